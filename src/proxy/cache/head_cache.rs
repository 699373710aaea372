//! Heads of recent answers, ready to be sent again.
//!
//! `Age` and the `ttl` of `Cache-Status` count in seconds, so within one second a stored response goes
//! out under the same head. Each worker keeps those of its popular hits: a hit then costs one copy of a
//! head, and workers do not share its counters.

use std::fmt;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::respond::Form;
use crate::entry::Variant;
use crate::http_cache::Reason;

/// How many heads a worker keeps: a power of two. Each is about a kilobyte.
const SLOTS: usize = 1024;

/// The heads of one worker.
pub struct HeadCache(Mutex<Box<[HeadSlot]>>);

/// Room for one head.
#[derive(Default)]
struct HeadSlot {
    /// Whose head it is. It keeps neither body nor fields alive, and while it is held no other variant
    /// has the same address.
    of: Weak<Variant>,
    head: Option<Head>,
}

struct Head {
    key: HeadKey,
    rule: Option<Box<str>>,
    fields: HeaderMap,
}

/// What a head says beside the stored fields and the rule's name: with them it is the same head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadKey {
    /// Seconds.
    pub(super) age: u64,
    /// Freshness left, in seconds.
    pub(super) ttl: i64,
    pub(super) reason: Reason,
    /// Whether `Cache-Status` shows the cache key.
    pub(super) shows_key: bool,
    /// The form of the body under it.
    pub(super) form: Form,
}

impl HeadCache {
    /// A copy of the head of `variant` that says just `key` and `rule`; `None`: it has to be made.
    pub(super) fn find(
        &self,
        variant: &Arc<Variant>,
        key: HeadKey,
        rule: Option<&str>,
    ) -> Option<HeaderMap> {
        let slots = self.0.lock();
        let slot = &slots[slot_of(variant)];
        let head = slot.head.as_ref().filter(|_| slot.is_of(variant))?;
        (head.key == key && head.rule.as_deref() == rule).then(|| head.fields.clone())
    }

    /// Keeps the head under which `variant` goes out, if it is not the first time.
    pub(super) fn note(
        &self,
        variant: &Arc<Variant>,
        key: HeadKey,
        rule: Option<&str>,
        fields: &HeaderMap,
    ) {
        let mut slots = self.0.lock();
        let slot = &mut slots[slot_of(variant)];
        if !slot.is_of(variant) {
            *slot = HeadSlot {
                of: Arc::downgrade(variant),
                head: None,
            };
            return;
        }
        slot.head = Some(Head {
            key,
            rule: rule.map(Box::from),
            fields: copy_apart(fields),
        });
    }
}

impl Default for HeadCache {
    fn default() -> HeadCache {
        HeadCache(Mutex::new(
            (0..SLOTS).map(|_| HeadSlot::default()).collect(),
        ))
    }
}

impl fmt::Debug for HeadCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadCache").finish_non_exhaustive()
    }
}

impl HeadSlot {
    fn is_of(&self, variant: &Arc<Variant>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(variant))
    }
}

/// By address: allocations are spread evenly in steps of more than their alignment.
fn slot_of(variant: &Arc<Variant>) -> usize {
    let address = Arc::as_ptr(variant).addr() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SLOTS
}

/// A copy that shares no buffer: a value is a slice of what holds the whole stored response.
fn copy_apart(fields: &HeaderMap) -> HeaderMap {
    let mut copy = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).expect("a field name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a field value");
        copy.append(name, value);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::samples::variant;

    fn fields(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::AGE, HeaderValue::from_static(text))])
    }

    const KEY: HeadKey = HeadKey {
        age: 1,
        ttl: 59,
        reason: Reason::Hit,
        shows_key: false,
        form: Form::AsSent,
    };

    #[test]
    fn a_head_is_kept_from_the_second_time_on() {
        let (heads, held) = (HeadCache::default(), Arc::new(variant("a")));
        for expected in [None, None, Some(fields("1"))] {
            assert_eq!(heads.find(&held, KEY, None), expected);
            heads.note(&held, KEY, None, &fields("1"));
        }
    }

    #[test]
    fn a_head_that_tells_something_else_is_not_it() {
        let (heads, held) = (HeadCache::default(), Arc::new(variant("a")));
        heads.note(&held, KEY, Some("rule"), &fields("1"));
        heads.note(&held, KEY, Some("rule"), &fields("1"));
        let rows = [
            ("the same", KEY, Some("rule"), true),
            (
                "a second later",
                HeadKey { age: 2, ..KEY },
                Some("rule"),
                false,
            ),
            (
                "less fresh",
                HeadKey { ttl: 58, ..KEY },
                Some("rule"),
                false,
            ),
            (
                "for another reason",
                HeadKey {
                    reason: Reason::MaxStale,
                    ..KEY
                },
                Some("rule"),
                false,
            ),
            (
                "the key besides",
                HeadKey {
                    shows_key: true,
                    ..KEY
                },
                Some("rule"),
                false,
            ),
            (
                "in another form",
                HeadKey {
                    form: Form::Compressed,
                    ..KEY
                },
                Some("rule"),
                false,
            ),
            ("another rule", KEY, Some("other"), false),
            ("no rule", KEY, None, false),
        ];
        for (name, key, rule, found) in rows {
            assert_eq!(heads.find(&held, key, rule).is_some(), found, "{name}");
        }
        let other = Arc::new(variant("a"));
        assert_eq!(heads.find(&other, KEY, Some("rule")), None);
    }

    #[test]
    fn a_head_keeps_nothing_of_the_stored_response_alive() {
        let (heads, held) = (HeadCache::default(), Arc::new(variant("a")));
        let stored = held.stored.headers.clone();
        for _ in 0..2 {
            heads.note(&held, KEY, None, &stored);
        }
        let gone = Arc::downgrade(&held);
        let kept = heads.find(&held, KEY, None).expect("kept");
        for (name, value) in &stored {
            let copy = kept[name].as_bytes();
            assert_eq!(copy, value.as_bytes());
            assert!(
                !std::ptr::eq(copy.as_ptr(), value.as_bytes().as_ptr()),
                "{name}"
            );
        }
        drop(held);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn more_variants_than_slots_take_turns() {
        let heads = HeadCache::default();
        let held: Vec<_> = (0..3 * SLOTS).map(|_| Arc::new(variant("a"))).collect();
        for _ in 0..3 {
            for variant in &held {
                heads.note(variant, KEY, None, &fields("1"));
            }
        }
        let found = held
            .iter()
            .filter(|held| heads.find(held, KEY, None).is_some());
        assert!(found.count() <= SLOTS);
    }
}
