use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use samples::{at, entry, part, variant, variant_for};

pub(crate) mod samples;

fn hosts(entry: &Entry) -> Vec<&str> {
    entry
        .variants
        .iter()
        .map(|variant| &*variant.stored.selector.host)
        .collect()
}

fn with(entry: &Entry, host: &str, seconds: u64) -> Entry {
    entry.with(Arc::new(variant_for(host, seconds)), at(seconds))
}

#[test]
fn with_keeps_the_newest_first() {
    let held = with(&with(&Entry::default(), "a", 10), "b", 30);
    assert_eq!(hosts(&with(&held, "c", 40)), ["c", "b", "a"], "newest");
    assert_eq!(hosts(&with(&held, "c", 20)), ["b", "c", "a"], "between");
    assert_eq!(hosts(&with(&held, "c", 5)), ["b", "a", "c"], "oldest");
    assert_eq!(hosts(&with(&held, "c", 30)), ["c", "b", "a"], "same time");
}

#[test]
fn with_replaces_an_equal_selector() {
    let held = with(&with(&Entry::default(), "a", 10), "b", 20);
    let new = with(&held, "a", 30);
    assert_eq!(hosts(&new), ["a", "b"]);
    assert_eq!(new.variants[0].stored.response_time, at(30));
}

#[test]
fn with_drops_what_is_of_no_further_use() {
    let held = with(&with(&Entry::default(), "a", 0), "b", 20);
    assert_eq!(hosts(&with(&held, "c", 59)), ["c", "b", "a"]);
    assert_eq!(hosts(&with(&held, "c", 60)), ["c", "b"]);
}

#[test]
fn one_variant_too_many_replaces_the_oldest() {
    let mut held = Entry::default();
    for second in 0..u64::from(Entry::DEFAULT_VARIANTS) {
        held = with(&held, &second.to_string(), 10 + second);
    }
    assert_eq!(hosts(&held), ["7", "6", "5", "4", "3", "2", "1", "0"]);
    let newest = with(&held, "new", 20);
    assert_eq!(
        hosts(&newest),
        ["new", "7", "6", "5", "4", "3", "2", "1"],
        "the oldest left"
    );
    let late = with(&held, "late", 5);
    assert_eq!(
        hosts(&late),
        ["7", "6", "5", "4", "3", "2", "1", "late"],
        "the new one stays although its time is the oldest"
    );
}

/// RFC 9111 §3.3, §3.4: who of a whole and a part stays.
#[test]
fn with_weighs_parts_against_wholes() {
    fn tagged(mut variant: Variant, tag: Option<&'static str>) -> Variant {
        variant.stored.headers.remove(http::header::ETAG);
        if let Some(tag) = tag {
            let tag = HeaderValue::from_static(tag);
            variant.stored.headers.insert(http::header::ETAG, tag);
        }
        variant
    }
    let whole = |tag| tagged(variant("whole"), tag);
    let part = |tag| tagged(part(0, "wh", Some(5)), tag);
    let full = |tag| tagged(samples::part(0, "whole", Some(5)), tag);
    let elsewhere = |mut variant: Variant| {
        variant.stored.selector.host = "b".into();
        variant
    };
    let (a, b, weak) = (Some("\"a\""), Some("\"b\""), Some("W/\"a\""));
    let (whole_stays, part_stays): (&[&str], &[&str]) = (&["whole"], &["wh"]);
    // name, held, new, seconds, bodies
    #[rustfmt::skip]
    let rows: Vec<(&str, Variant, Variant, u64, &[&str])> = vec![
        ("a part of the same", whole(a), part(a), 10, whole_stays),
        ("a part of another", whole(a), part(b), 10, part_stays),
        ("a part without a validator", whole(a), part(None), 10, whole_stays),
        ("a part with a weak one", whole(a), part(weak), 10, whole_stays),
        ("neither has a validator", whole(None), part(None), 10, whole_stays),
        ("the whole is worth validating", whole(a), part(a), 119, whole_stays),
        ("the whole is of no use", whole(a), part(a), 120, part_stays),
        ("the whole is of no use and has no validator", whole(None), part(a), 60, part_stays),
        ("the whole selects others", elsewhere(whole(a)), part(a), 10, &["wh", "whole"]),
        ("a whole of the same", part(a), whole(a), 10, whole_stays),
        ("a whole of another", part(a), whole(b), 10, whole_stays),
        ("a whole without a validator", part(a), whole(None), 10, whole_stays),
        ("a part that is all, by a whole", full(a), whole(a), 10, whole_stays),
        ("a part that is all counts as a whole", full(a), part(a), 10, whole_stays),
        ("and displaces one", whole(a), full(a), 10, whole_stays),
        ("a part by one of another", part(a), tagged(samples::part(2, "ol", Some(5)), b), 10, &["ol"]),
        ("a part by one of the same", part(a), tagged(samples::part(2, "ol", Some(5)), a), 10, &["ol"]),
    ];
    for (name, held, new, seconds, expected) in rows {
        let is_all = new.stored.part.filter(|part| part.is_all());
        let found = entry(held).with(Arc::new(new), at(seconds));
        let bodies: Vec<_> = found.variants.iter().map(|held| &held.body[..]).collect();
        let expected: Vec<_> = expected.iter().map(|body| body.as_bytes()).collect();
        assert_eq!(bodies, expected, "{name}");
        if is_all.is_some() {
            assert_eq!(found.variants[0].stored.part, is_all, "{name}");
        }
    }
}

#[test]
fn a_part_that_gives_way_leaves_no_useless_variants() {
    let held = with(&with(&Entry::default(), "a", 0), "b", 50);
    let mut part = part(0, "b", Some(5));
    part.stored.selector.host = "b".into();
    let found = held.with(Arc::new(part), at(70));
    assert_eq!(hosts(&found), ["b"]);
    assert_eq!(found.variants[0].stored.part, None);
}

#[test]
fn retain_says_when_nothing_is_left() {
    let held = with(&with(&Entry::default(), "a", 0), "b", 1);
    let host_b = |variant: &Variant| &*variant.stored.selector.host == "b";
    assert_eq!(held.retain(|_| true), Some(held.clone()));
    assert_eq!(
        held.retain(host_b).as_ref().map(hosts),
        Some(Vec::from(["b"]))
    );
    assert_eq!(held.retain(|_| false), None);
}

#[test]
fn an_entry_is_kept_as_long_as_its_most_lasting_variant() {
    let held = with(&with(&Entry::default(), "a", 0), "b", 20);
    let rows = [
        ("before it was stored", at(0), 60),
        ("the younger one counts", at(30), 50),
        ("the elder one is gone", at(79), 1),
        ("the end", at(80), 0),
        ("past it", at(1_000), 0),
    ];
    for (name, now, seconds) in rows {
        assert_eq!(held.keep_for(now), Duration::from_secs(seconds), "{name}");
    }
    assert_eq!(Entry::default().keep_for(at(0)), Duration::ZERO);
}

#[test]
fn the_highest_priority_of_the_variants_counts() {
    let mut low = variant_for("a", 0);
    low.priority = Priority::Low;
    let mut high = variant_for("b", 0);
    high.priority = Priority::High;
    assert_eq!(entry(low.clone()).priority(), Priority::Low);
    let both = entry(low).with(Arc::new(high), at(0));
    assert_eq!(both.priority(), Priority::High);
}

#[test]
fn weight_grows_with_all_that_an_entry_is_made_of() {
    let base = entry(variant("")).weight();
    assert!(base > size_of::<Variant>(), "the struct itself counts");
    type Grow = fn(&mut Variant);
    let rows: [(&str, usize, Grow); 5] = [
        ("header name", 1_000, |v| {
            let name = HeaderName::from_bytes(&[b'x'; 1_000]).unwrap();
            v.stored.headers.insert(name, HeaderValue::from_static(""));
        }),
        ("header table", 4_000, |v| {
            v.stored.headers.reserve(50);
        }),
        ("tag", 1_000, |v| v.tags = vec!["t".repeat(1_000).into()]),
        ("selector", 1_000, |v| {
            v.stored.selector.form = "f".repeat(1_000).into()
        }),
        ("rule", 1_000, |v| v.rule = "r".repeat(1_000).into()),
    ];
    for (name, least, grow) in rows {
        let mut grown = variant("");
        grow(&mut grown);
        let weight = entry(grown).weight();
        let rounding = 32;
        assert!(
            weight + rounding >= base + least,
            "{name}: {base} to {weight}"
        );
    }
}

proptest! {
    #[test]
    fn with_holds_its_invariants(
        fills in prop::collection::vec((0..12_u64, 0..200_u64), 1..40),
    ) {
        let mut held = Entry::default();
        for (host, second) in fills {
            held = with(&held, &host.to_string(), second);
            prop_assert!(held.variants.len() <= Entry::MAX_VARIANTS);
            let times = held.variants.iter().map(|v| v.stored.response_time);
            prop_assert!(times.is_sorted_by(|a, b| a >= b));
            let mut selectors = hosts(&held);
            selectors.sort_unstable();
            selectors.dedup();
            prop_assert_eq!(selectors.len(), held.variants.len(), "one a selector");
            prop_assert!(selectors.contains(&&*host.to_string()));
        }
    }
}
