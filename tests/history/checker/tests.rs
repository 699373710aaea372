//! Small histories with what the checker must say of them; and large ones with violations planted.

use super::*;

const A: Origin = Origin {
    sidecar: 0,
    life: 0,
};
const B: Origin = Origin {
    sidecar: 1,
    life: 0,
};
const A_AGAIN: Origin = Origin {
    sidecar: 0,
    life: 1,
};
const BOUNDS: Bounds = Bounds {
    own: Duration::ZERO,
    strict: ms(100),
    tracked: ms(1000),
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn write(by: Origin, item: Item, version: Version, acknowledged: u64) -> Write {
    Write {
        item,
        version,
        by,
        acknowledged: ms(acknowledged),
    }
}

fn read(coherence: Coherence, by: Origin, begun: u64, seen: &[(Item, Version)]) -> Read {
    Read {
        target: "/items/1".to_owned(),
        coherence,
        by,
        begun: ms(begun),
        seen: seen.to_vec(),
        is_hit: true,
        status: String::new(),
    }
}

#[test]
fn each_read_is_judged_by_what_was_acknowledged_before_it_began() {
    use Coherence::{Strict, Tracked};
    use Promise as P;
    let one = [write(A, 1, 5, 1000)];
    let two = [write(A, 1, 5, 1000), write(B, 1, 6, 2000)];
    // The later version is acknowledged first.
    let crossed = [write(A, 1, 5, 2000), write(A, 1, 6, 1000)];
    let list = [write(A, 1, 5, 1000), write(A, 2, 9, 1500)];
    for (case, writes, read, expected) in [
        ("no write", &[][..], read(Strict, B, 1, &[(1, 0)]), None),
        ("it sees it", &one, read(Strict, B, 9000, &[(1, 5)]), None),
        ("it sees more", &one, read(Strict, B, 9000, &[(1, 7)]), None),
        (
            "it began before",
            &one,
            read(Strict, A, 999, &[(1, 4)]),
            None,
        ),
        (
            "at the same moment",
            &one,
            read(Strict, A, 1000, &[(1, 4)]),
            None,
        ),
        (
            "own, at once",
            &one,
            read(Tracked, A, 1001, &[(1, 4)]),
            Some((P::Own, 1, 5)),
        ),
        (
            "strict, inside",
            &one,
            read(Strict, B, 1100, &[(1, 4)]),
            None,
        ),
        (
            "strict, outside",
            &one,
            read(Strict, B, 1101, &[(1, 4)]),
            Some((P::Strict, 101, 5)),
        ),
        (
            "tracked, inside",
            &one,
            read(Tracked, B, 2000, &[(1, 4)]),
            None,
        ),
        (
            "tracked, outside",
            &one,
            read(Tracked, B, 2001, &[(1, 4)]),
            Some((P::Tracked, 1001, 5)),
        ),
        (
            "in its next life it is another",
            &one,
            read(Tracked, A_AGAIN, 1500, &[(1, 4)]),
            None,
        ),
        (
            "the oldest missed write counts",
            &two,
            read(Strict, B, 2150, &[(1, 4)]),
            Some((P::Strict, 1150, 5)),
        ),
        (
            "the one it missed counts",
            &two,
            read(Strict, A, 2150, &[(1, 5)]),
            Some((P::Strict, 150, 6)),
        ),
        (
            "a later version acknowledged first",
            &crossed,
            read(Strict, B, 1500, &[(1, 4)]),
            Some((P::Strict, 500, 5)),
        ),
        (
            "and an earlier one seen",
            &crossed,
            read(Strict, B, 1500, &[(1, 5)]),
            Some((P::Strict, 500, 6)),
        ),
        ("another item", &one, read(Strict, B, 9000, &[(2, 0)]), None),
        (
            "one of a list",
            &list,
            read(Strict, B, 2000, &[(1, 5), (2, 8)]),
            Some((P::Strict, 500, 9)),
        ),
        (
            "all of a list",
            &list,
            read(Strict, B, 2000, &[(1, 5), (2, 9)]),
            None,
        ),
        (
            "the worst of a list",
            &list,
            read(Tracked, A, 2000, &[(1, 4), (2, 8)]),
            Some((P::Own, 1000, 5)),
        ),
    ] {
        let found = check(writes, &[read], &BOUNDS).violations;
        let found = found.first().map(|violation| {
            let staleness = violation.staleness.as_millis() as u64;
            (violation.promise, staleness, violation.missed.version)
        });
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn stale_reads_inside_their_bounds_are_measured() {
    let writes = [write(A, 1, 5, 1000)];
    let reads: Vec<_> = (1..=200)
        .rev()
        .map(|late| read(Coherence::Tracked, B, 1000 + late, &[(1, 4)]))
        .collect();
    let verdict = check(&writes, &reads, &BOUNDS);
    assert_eq!(verdict.violations, []);
    let staleness = verdict.staleness(Promise::Tracked);
    assert_eq!((staleness.len(), staleness.last()), (200, Some(&ms(200))));
    assert_eq!(p99(staleness), ms(198));
    assert!(verdict.staleness(Promise::Own).is_empty());
    assert_eq!((p99(&[]), p99(&[ms(7)])), (ms(0), ms(7)));
}

/// A history of a cache that is exact, in which some reads are then made stale.
#[test]
fn planted_violations_are_found_and_nothing_else() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        let mut current = [0; 8];
        for now in 0..2000 {
            let item = random.u8(0..8);
            let by = [A, B, A_AGAIN][random.usize(0..3)];
            let coherence = [Coherence::Strict, Coherence::Tracked][random.usize(0..2)];
            if random.u8(0..4) == 0 {
                current[usize::from(item)] += 1;
                writes.push(write(by, item, current[usize::from(item)], now));
            } else {
                let other = random.u8(0..8);
                let seen = [item, other].map(|item| (item, current[usize::from(item)]));
                reads.push(read(coherence, by, now + 1, &seen));
            }
        }
        random.shuffle(&mut writes);
        random.shuffle(&mut reads);
        let none = Bounds {
            own: ms(0),
            strict: ms(0),
            tracked: ms(0),
        };
        assert_eq!(check(&writes, &reads, &none).violations, [], "seed {seed}");
        let mut planted = 0;
        for read in reads.iter_mut().filter(|_| random.u8(0..100) == 0) {
            if let Some((_, version)) = read.seen.iter_mut().find(|(_, version)| *version > 0) {
                *version -= 1;
                planted += 1;
            }
        }
        let found = check(&writes, &reads, &none).violations.len();
        assert_eq!(found, planted, "seed {seed}");
    }
}
