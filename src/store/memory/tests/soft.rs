//! Soft purges: what they cover stays, is fresh no more, and loses that mark to a fill alone.

use std::time::Duration;

use super::*;

fn is_fresh(bench: &Bench, key: &str) -> Option<bool> {
    let entry = bench.memory.get(key, at(1))?;
    let fresh = |variant: &Arc<Variant>| variant.stored.is_fresh(at(1));
    Some(entry.variants.iter().all(fresh))
}

#[test]
fn what_a_soft_purge_covers_stays_and_is_stale() {
    let rows: [(&str, Purge, usize); 5] = [
        ("a key", keys(&["user:1"]), 1),
        ("a pattern", keys(&["user:*"]), 2),
        ("a tag", tags(&["t"]), 1),
        (
            "by key and by tag, counted once",
            Purge {
                tags: tags(&["t"]).tags,
                ..keys(&["user:1"])
            },
            1,
        ),
        ("everything", everything(), 3),
    ];
    for (name, purge, expected) in rows {
        let bench = Bench::new(MIB);
        bench.hold("user:1", tagged(&["t"])).expect("there is room");
        bench.hold("user:2", tagged(&["u"])).expect("there is room");
        bench.hold("board", variant("body")).expect("there is room");
        let purge = purge.into_soft();
        assert_eq!(bench.purge(purge.clone()), expected, "{name}");
        assert_eq!(bench.entries(), 3, "{name}");
        assert_eq!(is_fresh(&bench, "user:1"), Some(false), "{name}");
        assert_eq!(is_fresh(&bench, "board"), Some(expected < 3), "{name}");
        assert_eq!(bench.purge(purge), 0, "{name}: the earlier one stands");
        bench.check();
    }
}

#[test]
fn the_decoded_form_of_what_is_hot_goes() {
    let bench = Bench::new(MIB);
    bench.hold("hot", variant("body")).expect("there is room");
    for _ in 0..10 {
        assert_eq!(is_fresh(&bench, "hot"), Some(true));
    }
    bench.purge(keys(&["hot"]).into_soft());
    for _ in 0..10 {
        assert_eq!(is_fresh(&bench, "hot"), Some(false));
    }
    bench.check();
}

#[test]
fn a_fill_takes_the_mark_from_its_own_variant_alone() {
    let bench = Bench::new(MIB);
    let mut sibling = variant_for("a", 0);
    sibling.stored.stale_while_revalidate = Duration::from_secs(60);
    bench.add("key", sibling, at(0)).expect("there is room");
    bench
        .add("key", variant_for("b", 0), at(0))
        .expect("there is room");
    bench.purge(keys(&["key"]).into_soft());
    bench
        .add("key", variant_for("b", 1), at(1))
        .expect("there is room");
    let entry = bench.memory.get("key", at(1)).expect("it is held");
    let marks = entry
        .variants
        .iter()
        .map(|held| held.stored.softened.is_some());
    assert_eq!(marks.collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_fill_from_before_a_soft_purge_is_refused() {
    let bench = Bench::new(MIB);
    let mark = bench.fence.mark();
    bench.purge(keys(&["user:*"]).into_soft());
    assert_eq!(
        bench.hold_since(mark, "user:1", variant("")),
        Err(Reason::Fenced)
    );
}

#[test]
fn a_walk_in_steps_ends() {
    let bench = Bench::new(64 * MIB);
    for number in 0..2_000 {
        let held = bench.hold(&number.to_string(), tagged(&["t"]));
        held.expect("there is room");
    }
    assert_eq!(bench.purge(tags(&["t"]).into_soft()), 2_000);
    assert_eq!(is_fresh(&bench, "1999"), Some(false));
    bench.check();
}

#[test]
fn nothing_that_moves_during_a_walk_stays_fresh() {
    let bench = Bench::new(64 * MIB);
    for number in 0..3_000 {
        let held = bench.hold(&number.to_string(), tagged(&["t"]));
        held.expect("there is room");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What was there before moves to another slot, beside a variant that no purge covers.
            for number in (0..3_000).rev() {
                let _ = bench.add(&number.to_string(), variant_for("other", 0), at(0));
            }
            done.store(true, Ordering::Release);
        });
        bench.purge(tags(&["t"]).into_soft());
        let old = |key: String| {
            let entry = bench.memory.get(&key, at(1));
            let mut variants = entry.iter().flat_map(|entry| &entry.variants);
            variants.any(|held| !held.tags.is_empty() && held.stored.is_fresh(at(1)))
        };
        let fresh = (0..3_000)
            .map(|number| number.to_string())
            .filter(|key| old(key.clone()));
        assert_eq!(fresh.collect::<Vec<_>>(), Vec::<String>::new());
    });
    assert!(done.load(Ordering::Acquire));
    bench.check();
}
