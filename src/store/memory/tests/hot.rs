//! Packed and decoded forms answer alike, and what is gone is gone in both.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::entry::tests::samples::part;
use crate::store::memory::shard::Hit;

impl Bench {
    fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.memory.get(key, at(0))
    }

    /// As often as makes it decoded.
    fn heat(&self, key: &str) -> Arc<Entry> {
        for _ in 0..2 {
            self.get(key).expect("it is held");
        }
        self.get(key).expect("it is held")
    }

    fn hot_bytes(&self) -> u64 {
        let shards = self.memory.shards.iter();
        shards.map(|shard| shard.lock().hot_bytes()).sum()
    }
}

/// A tier of one shard whose decoded forms may take 25,000 bytes.
fn small() -> Bench {
    Bench::new(200_000)
}

#[test]
fn a_hit_is_the_same_packed_and_decoded() {
    let mut tagged = tagged(&["b", "a", "b"]);
    tagged.rule = "other".into();
    let rows = [
        ("plain", entry(variant("body"))),
        ("tagged", entry(tagged)),
        ("a part", entry(part(10, "part", Some(100)))),
        (
            "several",
            entry(variant("a")).with(Arc::new(variant_for("b", 5)), at(5)),
        ),
    ];
    for (name, entry) in rows {
        let bench = small();
        let mark = bench.fence.mark();
        let given = Arc::new(entry.clone());
        let held = bench.memory.replace(name, given, &bench.fence, mark, at(0));
        assert_eq!(held, Ok(()), "{name}");
        let hits: Vec<_> = (0..4).map(|_| bench.get(name).unwrap()).collect();
        assert!(hits.iter().all(|hit| **hit == entry), "{name}");
        assert!(!Arc::ptr_eq(&hits[0], &hits[1]), "{name}: one hit is none");
        assert!(Arc::ptr_eq(&hits[1], &hits[2]), "{name}: the second stays");
        assert!(Arc::ptr_eq(&hits[1], &hits[3]), "{name}");
        assert_eq!(bench.memory.peek(name, at(0)).as_deref(), Some(&entry));
        bench.check();
    }
}

#[test]
fn hits_spread_over_very_many_keep_nothing_decoded() {
    let bench = Bench::new(8 * MIB);
    let keys: Vec<String> = (0..2_000).map(|n| format!("k{n}")).collect();
    for key in &keys {
        bench.hold(key, variant("")).unwrap();
    }
    for key in keys.iter().cycle().take(3 * keys.len()) {
        bench.get(key).unwrap();
    }
    assert_eq!(bench.hot_bytes(), 0);
    bench.heat("k7");
    assert!(bench.hot_bytes() > 0);
    bench.check();
}

#[test]
fn decoded_forms_keep_to_their_share_and_the_hottest_stays() {
    let bench = small();
    let keys: Vec<String> = (0..150).map(|n| format!("k{n}")).collect();
    for key in &keys {
        bench.hold(key, variant("")).unwrap();
    }
    let hottest = bench.heat("k0");
    for key in &keys {
        // In, and not asked for again.
        (0..2).for_each(|_| drop(bench.get(key)));
        let again = bench.get("k0").unwrap();
        assert!(Arc::ptr_eq(&hottest, &again), "displaced by {key}");
        bench.check();
    }
    assert!(bench.hot_bytes() > 20_000, "{}", bench.hot_bytes());
    let last = ["k149", "k149"].map(|key| bench.get(key).unwrap());
    assert!(Arc::ptr_eq(&last[0], &last[1]), "who comes finds room");
}

#[test]
fn hits_evict_nothing_and_still_find_room_in_a_full_tier() {
    let bench = small();
    let keys: Vec<String> = (0..2_000).map(|n| format!("k{n}")).collect();
    for key in &keys {
        bench.hold(key, variant("")).unwrap();
    }
    let held: Vec<&String> = keys.iter().filter(|key| bench.holds(key)).collect();
    let before = bench.memory.usage();
    assert!(before.evictions[1] > 0);
    for key in &held {
        bench.heat(key);
    }
    bench.check();
    let after = bench.memory.usage();
    assert_eq!(after.evictions, before.evictions);
    assert_eq!(after.entries, before.entries);
    assert!(bench.hot_bytes() > 0);
}

#[test]
fn nothing_is_refused_for_the_sake_of_decoded_forms() {
    let bench = small();
    for n in 0..20 {
        let key = format!("k{n}");
        bench.hold(&key, sized(100, Priority::High)).unwrap();
        bench.heat(&key);
    }
    let hot = bench.hot_bytes();
    assert!(hot > 10_000);
    let left = 200_000 - bench.bytes();
    let size = (left + hot / 2) as usize;
    assert_eq!(bench.hold("low", sized(size, Priority::Low)), Ok(()));
    assert_eq!(bench.memory.usage().entries, [1, 0, 20]);
    bench.check();
}

#[test]
fn what_is_purged_is_gone_in_both_forms() {
    let rows = [
        ("by key", keys(&["user:1"])),
        ("by pattern", keys(&["user:*"])),
        ("by tag", tags(&["team"])),
        ("everything", everything()),
    ];
    for (name, purge) in rows {
        let bench = small();
        bench.hold("user:1", tagged(&["team"])).unwrap();
        bench.heat("user:1");
        assert_eq!(bench.purge(purge), 1, "{name}");
        assert!(bench.get("user:1").is_none(), "{name}");
        assert_eq!((bench.bytes(), bench.hot_bytes()), (0, 0), "{name}");
        bench.check();
    }
}

/// Promise I2: an entry that was purged while a reader decoded it is not kept.
#[test]
fn what_changed_while_it_was_decoded_is_not_kept() {
    type Change = fn(&Bench);
    let purge: Change = |bench| assert_eq!(bench.purge(keys(&["key"])), 1);
    let rows: [(&str, Change, Option<&str>, Option<&str>); 4] = [
        ("purged", purge, None, None),
        (
            "replaced",
            |bench| bench.hold("key", variant("new")).unwrap(),
            Some("new"),
            None,
        ),
        (
            "purged, its slot taken by another key",
            |bench| {
                bench.purge(keys(&["key"]));
                bench.hold("other", variant("other")).unwrap();
            },
            None,
            Some("other"),
        ),
        (
            "purged and held again",
            |bench| {
                bench.purge(everything());
                bench.hold("key", variant("old")).unwrap();
            },
            Some("old"),
            None,
        ),
    ];
    for (name, change, key, other) in rows {
        let bench = small();
        bench.hold("key", variant("old")).unwrap();
        bench.get("key").unwrap();
        let (shard, hash) = bench.memory.shard_of("key").unwrap();
        let hit = shard.lock().get(hash, "key", at(0));
        let Some(Hit::Packed(packed, KeepDecoded::For(slot))) = hit else {
            panic!("{name}: the second hit is worth keeping");
        };
        let decoded = Arc::new(packed.entry().unwrap());
        change(&bench);
        shard.lock().keep_decoded(slot, &packed, &decoded);
        assert_eq!(bench.hot_bytes(), 0, "{name}");
        let body = |key: &str| bench.get(key).map(|found| found.variants[0].body.clone());
        assert_eq!(
            body("key").as_deref().map(|body| &body[..]),
            key.map(str::as_bytes),
            "{name}"
        );
        assert_eq!(
            body("other").as_deref().map(|body| &body[..]),
            other.map(str::as_bytes),
            "{name}"
        );
        bench.check();
    }
}

#[test]
fn what_was_many_leaves_no_slots_behind() {
    let bench = Bench::new(8 * MIB);
    let fill = || {
        for n in 0..2_000 {
            bench.hold(&format!("k{n}"), variant("")).unwrap();
        }
    };
    fill();
    assert_eq!(bench.memory.shards[0].lock().slots(), 2_000);
    bench.purge(keys(&["k*"]));
    assert_eq!(bench.memory.shards[0].lock().slots(), 0);
    fill();
    assert_eq!(bench.entries(), 2_000);
    bench.check();
}

#[derive(Clone, Debug)]
enum Step {
    Hold(u8, u16),
    Get(u8),
    PurgeKeys(u8),
    PurgeTag(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..40_u8, 0..3_000_u16).prop_map(|(key, size)| Step::Hold(key, size)),
        // A few keys are asked for much more often.
        6 => prop_oneof![0..40_u8, 0..4_u8].prop_map(Step::Get),
        1 => (0..4_u8).prop_map(Step::PurgeKeys),
        1 => (0..3_u8).prop_map(Step::PurgeTag),
    ]
}

proptest! {
    #[test]
    fn a_hit_is_what_was_held_last_and_never_what_was_purged(
        steps in prop::collection::vec(any_step(), 0..300),
    ) {
        // Tight enough that entries leave, and decoded forms too.
        let bench = Bench::new(40_000);
        let mut last: HashMap<u8, usize> = HashMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Hold(key, size) => {
                    let mut variant = tagged(&[&format!("t{}", key % 3)]);
                    let body = format!("{number}:{}", "x".repeat(size.into()));
                    variant.body = Bytes::from(body).into();
                    let held = bench.hold(&format!("k{key}"), variant);
                    last.remove(&key);
                    if held.is_ok() {
                        last.insert(key, number);
                    }
                }
                Step::Get(key) => {
                    if let Some(found) = bench.get(&format!("k{key}")) {
                        let number = last.get(&key).expect("purged, and found");
                        let begin = format!("{number}:");
                        prop_assert!(found.variants[0].body.starts_with(begin.as_bytes()));
                    }
                }
                Step::PurgeKeys(digit) => {
                    bench.purge(keys(&[&format!("k{digit}*")]));
                    last.retain(|key, _| !key.to_string().starts_with(&digit.to_string()));
                }
                Step::PurgeTag(tag) => {
                    bench.purge(tags(&[&format!("t{tag}")]));
                    last.retain(|key, _| key % 3 != tag);
                }
            }
            bench.check();
        }
    }
}
