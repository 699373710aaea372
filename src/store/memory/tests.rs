mod hot;
mod soft;

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use bytes::Bytes;

use super::*;
use crate::entry::tests::samples::{at, entry, variant, variant_for};
use crate::in_flight::InFlight;

const MIB: u64 = 1 << 20;

/// A tier with a fence, at a fixed moment.
struct Bench {
    memory: Memory,
    fence: Fence,
}

impl Bench {
    fn new(max: u64) -> Bench {
        Bench {
            memory: Memory::new(max, InFlight::new(0, 0)),
            fence: Fence::default(),
        }
    }

    fn hold(&self, key: &str, variant: Variant) -> Result<(), Reason> {
        self.hold_since(self.fence.mark(), key, variant)
    }

    fn hold_since(&self, mark: Mark, key: &str, variant: Variant) -> Result<(), Reason> {
        let entry = Arc::new(entry(variant));
        self.memory.replace(key, entry, &self.fence, mark, at(0))
    }

    fn add(&self, key: &str, variant: Variant, now: SystemTime) -> Result<(), Reason> {
        let mark = self.fence.mark();
        self.memory
            .add(key, Arc::new(variant), &self.fence, mark, now)
    }

    fn holds(&self, key: &str) -> bool {
        self.memory.get(key, at(0)).is_some()
    }

    fn purge(&self, purge: Purge) -> usize {
        self.fence.purge(Arc::new(purge.clone()));
        self.memory.purge(&purge, at(0))
    }

    fn entries(&self) -> u64 {
        self.memory.usage().entries.iter().sum()
    }

    fn bytes(&self) -> u64 {
        self.memory.usage().bytes.iter().sum()
    }

    /// Every index holds just what the entries need.
    fn check(&self) {
        for shard in &self.memory.shards {
            shard.lock().check();
        }
        assert!(self.bytes() <= self.memory.max);
    }
}

fn keys(globs: &[&str]) -> Purge {
    Purge {
        keys: globs.iter().map(|glob| Pattern::parse(glob)).collect(),
        ..Purge::default()
    }
}

fn tags(globs: &[&str]) -> Purge {
    Purge {
        tags: globs.iter().map(|glob| Pattern::parse(glob)).collect(),
        ..Purge::default()
    }
}

fn everything() -> Purge {
    Purge {
        everything: true,
        ..Purge::default()
    }
}

fn tagged(tags: &[&str]) -> Variant {
    let mut variant = variant("body");
    variant.tags = tags.iter().map(|tag| Box::from(*tag)).collect();
    variant
}

fn sized(bytes: usize, priority: Priority) -> Variant {
    let mut variant = variant("");
    variant.body = Bytes::from(vec![0; bytes]).into();
    variant.priority = priority;
    variant
}

/// What is told to Redis of hits here (`store/redis/hits.rs`).
#[test]
fn hits_are_taken_once_and_by_key() {
    let bench = Bench::new(64 * MIB);
    for i in 0..2_000 {
        bench.hold(&format!("k:{i}"), variant("body")).unwrap();
    }
    let hit = |key: &str, times| (0..times).for_each(|_| assert!(bench.holds(key)));
    hit("k:7", 3);
    hit("k:1999", 1);
    assert!(bench.memory.peek("k:8", at(0)).is_some(), "no hit");
    let taken = |most| {
        let mut taken = bench.memory.take_hits(most);
        taken.sort();
        taken
    };
    let expected = [("k:1999".to_owned(), 1), ("k:7".to_owned(), 3)];
    assert_eq!(taken(9_000), expected);
    assert_eq!(taken(9_000), [], "they were taken");

    hit("k:7", 70_000);
    assert_eq!(taken(9_000), [("k:7".to_owned(), u16::MAX)]);
    for i in 0..2_000 {
        hit(&format!("k:{i}"), 1);
    }
    let first = taken(100).len();
    assert!((100..2_000).contains(&first), "{first}: bounded by steps");
    assert_eq!(first + taken(9_000).len(), 2_000, "the rest is not lost");
}

#[test]
fn a_purge_in_batches_finds_what_moves_to_an_earlier_slot() {
    let mut shard = Shard::new(64 * MIB, InFlight::new(0, 0));
    let hash = |number: usize| number as u32;
    let hold = |shard: &mut Shard, number: usize, tag: &str| {
        let (key, held) = (number.to_string(), entry(tagged(&[tag])));
        let new = IncomingEntry::new(hash(number), &key, &held, &InFlight::new(0, 0), at(0));
        shard.insert(&key, new, at(0)).expect("there is room");
    };
    for number in 0..600 {
        hold(&mut shard, number, "t");
    }
    let pattern = Pattern::parse("t");
    let first = shard.purge_batch(IndexName::Tags, &pattern, None, Effect::Remove);
    assert!(!first.purged.is_empty() && first.next.is_some());
    // The slot of the last is taken by another, so that it comes back in one that the batch left free.
    shard.remove(hash(599), "599");
    hold(&mut shard, 1_000, "other");
    hold(&mut shard, 599, "t");
    let mut next = first.next;
    while let Some(stop) = next {
        next = shard
            .purge_batch(IndexName::Tags, &pattern, Some(stop), Effect::Remove)
            .next;
    }
    assert!(shard.peek(hash(599), "599").is_none());
    assert!(shard.peek(hash(1_000), "1000").is_some());
}

#[test]
fn small_budgets_have_few_shards() {
    let rows = [
        (0, 0),
        (1, 1),
        (8 * MIB, 1),
        (16 * MIB, 2),
        (24 * MIB, 2),
        (64 * MIB, 8),
        (1024 * MIB, 16),
        (u64::MAX, 16),
    ];
    for (max, shards) in rows {
        assert_eq!(
            Memory::new(max, InFlight::new(0, 0)).shards.len(),
            shards,
            "{max} bytes"
        );
    }
}

#[test]
fn what_one_shard_of_a_cluster_has_goes_alone() {
    let sharding = Sharding::CLUSTER;
    for (max, together) in [(128 * MIB, 1), (64 * MIB, 2), (8 * MIB, 16)] {
        let mut bench = Bench::new(max);
        bench.memory = bench.memory.with_sharding(sharding);
        let keys: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        for key in &keys {
            bench.hold(key, variant("one")).unwrap();
        }
        bench.memory.take_shard(3);
        let left = keys.iter().filter(|key| bench.holds(key));
        let left: Vec<usize> = left.map(|key| sharding.shard_of(key)).collect();
        assert!(!left.contains(&3), "{max}");
        let kinds: std::collections::BTreeSet<usize> = left.into_iter().collect();
        assert_eq!(kinds.len(), sharding.count() - together, "{max}");
        bench.check();
    }
    let bench = Bench::new(64 * MIB);
    bench.hold("a", variant("one")).unwrap();
    bench.memory.take_shard(0);
    assert!(!bench.holds("a"), "a single server has one");
}

#[test]
fn what_was_held_is_found_and_counted() {
    let bench = Bench::new(64 * MIB);
    bench.hold("a", variant("one")).unwrap();
    let found = bench.memory.get("a", at(0)).unwrap();
    assert_eq!(*found.variants[0].body, "one");
    assert!(!bench.holds("b"));
    let usage = bench.memory.usage();
    assert_eq!(usage.entries, [0, 1, 0]);
    assert!(usage.bytes[1] > 100);
    assert_eq!(usage.max, 64 * MIB);
    bench.memory.clear();
    assert_eq!((bench.bytes(), bench.entries()), (0, 0));
    bench.check();
}

#[test]
fn replace_forgets_what_was_there_and_add_keeps_it() {
    let bench = Bench::new(MIB);
    let hosts = |bench: &Bench| -> Vec<Box<str>> {
        let found = bench.memory.get("key", at(2)).unwrap();
        let variants = found.variants.iter();
        variants.map(|v| v.stored.selector.host.clone()).collect()
    };
    bench.add("key", variant_for("a", 0), at(0)).unwrap();
    bench.add("key", variant_for("b", 1), at(1)).unwrap();
    assert_eq!(
        *hosts(&bench),
        [Box::<str>::from("b"), Box::<str>::from("a")]
    );
    bench.add("key", variant_for("a", 2), at(2)).unwrap();
    assert_eq!(
        *hosts(&bench),
        [Box::<str>::from("a"), Box::<str>::from("b")]
    );
    bench.hold("key", variant_for("c", 2)).unwrap();
    assert_eq!(*hosts(&bench), [Box::<str>::from("c")]);
    assert_eq!(bench.entries(), 1);
    bench.check();
}

#[test]
fn a_tier_of_no_bytes_holds_nothing() {
    let bench = Bench::new(0);
    assert_eq!(bench.hold("key", variant("body")), Ok(()));
    let added = bench.add("key", variant("body"), at(0));
    assert_eq!(added, Err(Reason::BudgetFull));
    assert!(!bench.holds("key"));
    assert_eq!(bench.purge(everything()), 0);
    assert_eq!(bench.purge(keys(&["key", "*"])), 0);
    assert_eq!(bench.memory.usage(), MemoryUsage::default());
}

#[test]
fn an_entry_heavier_than_its_shard_is_too_large_and_leaves_nothing_outdated() {
    let bench = Bench::new(MIB);
    bench.hold("key", variant("old")).unwrap();
    let large = sized(MIB as usize, Priority::High);
    assert_eq!(bench.hold("key", large), Err(Reason::TooLarge));
    assert!(!bench.holds("key"));
    assert_eq!(bench.bytes(), 0);
}

#[test]
fn low_leaves_before_medium_before_high() {
    use Priority::{High, Low, Medium};
    let bench = Bench::new(MIB);
    let hold = |key: &str, priority| bench.hold(key, sized(200_000, priority));
    for (key, priority) in [("h", High), ("m1", Medium), ("l1", Low), ("l2", Low)] {
        hold(key, priority).unwrap();
    }
    let held = |names: &[&str]| names.iter().all(|name| bench.holds(name));
    hold("m2", Medium).unwrap();
    assert!(held(&["h", "m1", "m2", "l1", "l2"]), "all of it fits");
    hold("m3", Medium).unwrap();
    hold("m4", Medium).unwrap();
    assert!(held(&["h", "m1", "m2", "m3", "m4"]), "both low ones left");
    assert_eq!(hold("l3", Low), Err(Reason::CannotFit));
    hold("h2", High).unwrap();
    assert_eq!(bench.memory.usage().entries, [0, 3, 2]);
    assert_eq!(bench.memory.usage().evictions, [2, 1, 0]);
    bench.check();
}

#[test]
fn what_was_hit_outlives_what_was_not() {
    let bench = Bench::new(MIB);
    let hold = |n: usize| {
        bench
            .hold(&format!("k{n}"), sized(100_000, Priority::Medium))
            .unwrap();
    };
    (0..10).for_each(hold);
    assert!(bench.holds("k0") && bench.holds("k3"));
    (10..17).for_each(hold);
    assert!(bench.holds("k0") && bench.holds("k3"));
    assert!(!bench.holds("k1") && !bench.holds("k2") && !bench.holds("k4"));
    bench.check();
}

#[test]
fn a_hit_on_everything_still_leaves_victims() {
    let bench = Bench::new(MIB);
    for n in 0..5_000 {
        let key = format!("k{n}");
        bench.hold(&key, sized(1_000, Priority::Medium)).unwrap();
        assert!(bench.holds(&key));
    }
    assert!(bench.memory.usage().evictions[1] > 0);
    bench.check();
}

#[test]
fn a_dead_entry_is_dropped_when_asked_for() {
    let bench = Bench::new(MIB);
    bench.hold("key", tagged(&["t"])).unwrap();
    assert!(bench.memory.get("key", at(59)).is_some());
    assert!(bench.memory.get("key", at(60)).is_none());
    assert_eq!((bench.entries(), bench.bytes()), (0, 0));
    bench.check();
}

#[test]
fn a_dead_entry_nobody_asks_for_is_swept_by_inserts() {
    let bench = Bench::new(8 * MIB);
    for n in 0..100 {
        bench.hold(&format!("dead{n}"), tagged(&["t"])).unwrap();
    }
    for n in 0..100 {
        let key = format!("live{n}");
        bench.add(&key, variant_for("a", 100), at(100)).unwrap();
    }
    assert_eq!(bench.entries(), 100);
    bench.check();
}

#[test]
fn a_dead_entry_goes_where_nothing_is_inserted() {
    let bench = Bench::new(64 * MIB);
    for i in 0..1000 {
        bench.hold(&format!("dead {i}"), variant("x")).unwrap();
    }
    bench.memory.sweep(at(0));
    assert_eq!(bench.entries(), 1000);
    for _ in 0..SWEEPS {
        bench.memory.sweep(at(1_000_000));
    }
    assert_eq!((bench.entries(), bench.bytes()), (0, 0));
    bench.check();
}

#[test]
fn an_entry_already_of_no_use_is_not_held() {
    let bench = Bench::new(MIB);
    bench.hold("key", variant("old")).unwrap();
    let mark = bench.fence.mark();
    let dead = Arc::new(entry(variant("dead")));
    let replaced = bench
        .memory
        .replace("key", dead, &bench.fence, mark, at(60));
    assert_eq!(replaced, Ok(()));
    assert_eq!(bench.entries(), 0);
}

#[test]
fn purges_remove_what_they_cover_and_nothing_else() {
    let all = ["board:1:a", "board:1:b", "board:10:a", "user:1", "user:2"];
    let rows: [(&str, Purge, &[&str]); 10] = [
        ("a key", keys(&["user:1"]), &["user:1"]),
        ("a key that is a prefix of others", keys(&["board:1"]), &[]),
        (
            "a prefix",
            keys(&["board:1:*"]),
            &["board:1:a", "board:1:b"],
        ),
        (
            "a wildcard inside",
            keys(&["board:*:a"]),
            &["board:1:a", "board:10:a"],
        ),
        (
            "a wildcard in front",
            keys(&["*:a"]),
            &["board:1:a", "board:10:a"],
        ),
        ("all keys", keys(&["*"]), &all),
        ("a tag", tags(&["tag:user:1"]), &["user:1"]),
        (
            "a tag that begins others",
            tags(&["tag:board:1:*"]),
            &["board:1:a", "board:1:b"],
        ),
        (
            "a tag of all, twice",
            tags(&["all", "tag:user:2", "all"]),
            &all,
        ),
        ("everything", everything(), &all),
    ];
    for (name, purge, removed) in rows {
        let bench = Bench::new(64 * MIB);
        for key in all {
            bench
                .hold(key, tagged(&["all", &format!("tag:{key}")]))
                .unwrap();
        }
        assert_eq!(bench.purge(purge), removed.len(), "{name}");
        for key in all {
            assert_eq!(bench.holds(key), !removed.contains(&key), "{name}: {key}");
        }
        bench.check();
    }
}

#[test]
fn a_purge_of_many_goes_on_after_each_batch() {
    let bench = Bench::new(64 * MIB);
    let count = 5_000;
    let fill = || {
        for n in 0..count {
            bench.hold(&format!("k{n}"), tagged(&["all"])).unwrap();
        }
    };
    fill();
    bench.hold("other", variant("")).unwrap();
    assert_eq!(bench.purge(keys(&["k*"])), count);
    fill();
    assert_eq!(bench.purge(tags(&["a*"])), count);
    assert_eq!(bench.entries(), 1);
    bench.check();
}

#[test]
fn one_variant_with_the_tag_removes_the_entry() {
    let bench = Bench::new(MIB);
    let mut other = tagged(&["other", "both"]);
    other.stored.selector.host = "b".into();
    bench.add("key", tagged(&["one", "both"]), at(0)).unwrap();
    bench.add("key", other, at(0)).unwrap();
    bench.check();
    assert_eq!(bench.purge(tags(&["one"])), 1);
    assert_eq!(bench.entries(), 0);
    bench.check();
}

#[test]
fn a_fill_from_before_a_purge_is_refused() {
    let bench = Bench::new(MIB);
    let mark = bench.fence.mark();
    bench.purge(Purge {
        keys: vec![Pattern::parse("user:*")],
        tags: vec![Pattern::parse("team:1")],
        ..Purge::default()
    });
    let since = |key: &str, variant| bench.hold_since(mark, key, variant);
    assert_eq!(since("user:1", variant("")), Err(Reason::Fenced));
    assert_eq!(since("board", tagged(&["team:1"])), Err(Reason::Fenced));
    assert_eq!(since("board", tagged(&["team:2"])), Ok(()));
    let added = |key: &str, variant: Variant| {
        let variant = Arc::new(variant);
        bench.memory.add(key, variant, &bench.fence, mark, at(0))
    };
    assert_eq!(added("user:1", variant("")), Err(Reason::Fenced));
    assert_eq!(added("board", tagged(&["team:1"])), Err(Reason::Fenced));
    assert_eq!(bench.hold("user:1", variant("")), Ok(()), "a newer fill");
}

#[test]
fn after_a_purge_no_older_fill_is_found() {
    let bench = Bench::new(64 * MIB);
    let stop = AtomicBool::new(false);
    let fill = |thread: usize| {
        let key = |round: usize| format!("user:{}", (thread + round) % 32);
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mark = bench.fence.mark();
            // The fill carries the moment it began, so that a reader can tell.
            let mut variant = tagged(&["users"]);
            variant.body = Bytes::from(mark.0.to_string()).into();
            std::thread::yield_now();
            let _ = bench.hold_since(mark, &key(round), variant);
        }
    };
    let assert_purged = |since: Mark| {
        // Three times each, so that some are kept decoded.
        for key in (0..96).map(|n| format!("user:{}", n / 3)) {
            let Some(found) = bench.memory.get(&key, at(0)) else {
                continue;
            };
            let body = std::str::from_utf8(&found.variants[0].body).unwrap();
            assert!(body.parse::<u64>().unwrap() >= since.0, "{key}: {body}");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || fill(thread));
        }
        let _stop = StopOnDrop(&stop);
        let purges = [keys(&["user:*"]), tags(&["users"]), everything()];
        for purge in purges.iter().cycle().take(1_500) {
            bench.fence.purge(Arc::new(purge.clone()));
            let since = bench.fence.mark();
            bench.memory.purge(purge, at(0));
            assert_purged(since);
        }
    });
    bench.check();
}

/// Ends the other threads also where an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_budget_holds_at_every_moment_under_concurrent_inserts() {
    let bench = Bench::new(16 * MIB);
    std::thread::scope(|scope| {
        let bench = &bench;
        let fillers: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    for n in 0..2_000_usize {
                        let size = (n * 7919 + thread) % 60_000;
                        let priority = Priority::ALL[n % 3];
                        let _ = bench.hold(&format!("k{thread}:{n}"), sized(size, priority));
                    }
                })
            })
            .collect();
        while !fillers.iter().all(|filler| filler.is_finished()) {
            assert!(bench.bytes() <= 16 * MIB);
        }
    });
    assert!(bench.memory.usage().evictions.iter().sum::<u64>() > 0);
    bench.check();
}

#[test]
fn a_shard_whose_holder_panicked_starts_anew() {
    let bench = Bench::new(MIB);
    bench.hold("key", variant("body")).unwrap();
    let panicked = std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _guard = bench.memory.shards[0].lock();
            panic!("on purpose");
        });
        holder.join()
    });
    assert!(panicked.is_err());
    assert!(!bench.holds("key"));
    bench.hold("key", variant("body")).unwrap();
    assert!(bench.holds("key"));
}

#[derive(Clone, Debug)]
enum Step {
    Hold(u8, u8, usize, Priority),
    Add(u8, u8, u64),
    Get(u8, u64),
    PurgeKeys(u8),
    PurgeTags(u8),
    PurgeAll,
}

fn any_step() -> impl Strategy<Value = Step> {
    let priority = prop::sample::select(&Priority::ALL[..]);
    prop_oneof![
        6 => (0..30_u8, any::<u8>(), 0..40_000_usize, priority)
            .prop_map(|(key, tags, size, priority)| Step::Hold(key, tags, size, priority)),
        3 => (0..30_u8, any::<u8>(), 0..100_u64).prop_map(|(k, t, now)| Step::Add(k, t, now)),
        3 => (0..30_u8, 0..100_u64).prop_map(|(key, now)| Step::Get(key, now)),
        1 => (0..4_u8).prop_map(Step::PurgeKeys),
        1 => (0..8_u8).prop_map(Step::PurgeTags),
        1 => Just(Step::PurgeAll),
    ]
}

fn take(bench: &Bench, step: Step) {
    let tag_list = |bits: u8| -> Vec<Box<str>> {
        (0..8)
            .filter(|bit| bits & (1 << bit) != 0)
            .map(|bit| format!("t{bit}").into())
            .collect()
    };
    match step {
        Step::Hold(key, bits, size, priority) => {
            let mut variant = sized(size, priority);
            variant.tags = tag_list(bits);
            let _ = bench.hold(&format!("k{key}"), variant);
        }
        Step::Add(key, bits, now) => {
            let mut variant = variant_for(&now.to_string(), now);
            variant.tags = tag_list(bits);
            let _ = bench.add(&format!("k{key}"), variant, at(now));
        }
        Step::Get(key, now) => drop(bench.memory.get(&format!("k{key}"), at(now))),
        Step::PurgeKeys(digit) => drop(bench.purge(keys(&[&format!("k{digit}*")]))),
        Step::PurgeTags(bit) => drop(bench.purge(tags(&[&format!("t{bit}")]))),
        Step::PurgeAll => drop(bench.purge(everything())),
    }
}

proptest! {
    #[test]
    fn indexes_and_sums_agree_with_what_is_held(
        steps in prop::collection::vec(any_step(), 0..120),
    ) {
        let bench = Bench::new(200_000);
        for step in steps {
            take(&bench, step);
            bench.check();
        }
        bench.memory.purge(&keys(&["*"]), at(0));
        bench.check();
        prop_assert_eq!((bench.bytes(), bench.entries()), (0, 0));
    }
}

#[test]
fn a_fill_keeps_nothing_of_the_buffer_it_came_in() {
    let bench = Bench::new(MIB);
    let read_buffer = bytes::Bytes::from(vec![b'x'; 100_000]);
    let mut slice = variant("");
    slice.body = read_buffer.slice(10..20).into();
    bench.hold("replaced", slice.clone()).unwrap();
    bench.add("added", slice, at(0)).unwrap();
    assert!(read_buffer.is_unique());
    assert!(bench.holds("replaced") && bench.holds("added"));
    assert!(bench.bytes() < 4_000);
}
