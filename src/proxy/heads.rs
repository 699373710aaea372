//! Heads of recent answers, ready to be sent again.
//!
//! `Age` and the `ttl` of `Cache-Status` count in seconds, so within one second a stored response goes
//! out under the same head. Each worker keeps those of its popular hits: a hit then costs one copy of a
//! head, and workers do not share its counters.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::entry::Variant;
use crate::http_cache::Reason;

/// How many heads a worker keeps: a power of two. Each is about a kilobyte.
const PLACES: usize = 1024;

/// The heads of one worker.
pub struct Heads(Mutex<Box<[Place]>>);

/// Room for one head.
#[derive(Default)]
struct Place {
    /// Whose head it is. It keeps neither body nor fields alive, and while it is held no other variant
    /// has the same address.
    of: Weak<Variant>,
    head: Option<Head>,
}

struct Head {
    told: Told,
    rule: Option<Box<str>>,
    fields: HeaderMap,
}

/// What a head tells beside the stored fields and the rule's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Seconds.
    pub(super) age: u64,
    /// Freshness left, in seconds.
    pub(super) ttl: i64,
    pub(super) reason: Reason,
    /// Whether the key is told.
    pub(super) key: bool,
}

impl Heads {
    /// A copy of the head of `variant` that tells just this; `None`: make it.
    pub(super) fn find(
        &self,
        variant: &Arc<Variant>,
        told: Told,
        rule: Option<&str>,
    ) -> Option<HeaderMap> {
        let places = self.lock();
        let place = &places[number(variant)];
        let head = place.head.as_ref().filter(|_| place.is_of(variant))?;
        (head.told == told && head.rule.as_deref() == rule).then(|| head.fields.clone())
    }

    /// Keeps the head under which `variant` goes out, if it is not the first time.
    pub(super) fn note(
        &self,
        variant: &Arc<Variant>,
        told: Told,
        rule: Option<&str>,
        fields: &HeaderMap,
    ) {
        let mut places = self.lock();
        let place = &mut places[number(variant)];
        if !place.is_of(variant) {
            *place = Place {
                of: Arc::downgrade(variant),
                head: None,
            };
            return;
        }
        place.head = Some(Head {
            told,
            rule: rule.map(Box::from),
            fields: own(fields),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Place]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Heads {
    fn default() -> Heads {
        Heads(Mutex::new((0..PLACES).map(|_| Place::default()).collect()))
    }
}

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heads").finish_non_exhaustive()
    }
}

impl Place {
    fn is_of(&self, variant: &Arc<Variant>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(variant))
    }
}

/// By address: allocations are spread evenly in steps of more than their alignment.
fn number(variant: &Arc<Variant>) -> usize {
    let address = Arc::as_ptr(variant).addr() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % PLACES
}

/// A copy that shares no buffer: a value is a slice of what holds the whole stored response.
fn own(fields: &HeaderMap) -> HeaderMap {
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

    const TOLD: Told = Told {
        age: 1,
        ttl: 59,
        reason: Reason::Hit,
        key: false,
    };

    #[test]
    fn a_head_is_kept_from_the_second_time_on() {
        let (heads, held) = (Heads::default(), Arc::new(variant("a")));
        for expected in [None, None, Some(fields("1"))] {
            assert_eq!(heads.find(&held, TOLD, None), expected);
            heads.note(&held, TOLD, None, &fields("1"));
        }
    }

    #[test]
    fn a_head_that_tells_something_else_is_not_it() {
        let (heads, held) = (Heads::default(), Arc::new(variant("a")));
        heads.note(&held, TOLD, Some("rule"), &fields("1"));
        heads.note(&held, TOLD, Some("rule"), &fields("1"));
        let rows = [
            ("the same", TOLD, Some("rule"), true),
            (
                "a second later",
                Told { age: 2, ..TOLD },
                Some("rule"),
                false,
            ),
            ("less fresh", Told { ttl: 58, ..TOLD }, Some("rule"), false),
            (
                "for another reason",
                Told {
                    reason: Reason::MaxStale,
                    ..TOLD
                },
                Some("rule"),
                false,
            ),
            (
                "the key besides",
                Told { key: true, ..TOLD },
                Some("rule"),
                false,
            ),
            ("another rule", TOLD, Some("other"), false),
            ("no rule", TOLD, None, false),
        ];
        for (name, told, rule, found) in rows {
            assert_eq!(heads.find(&held, told, rule).is_some(), found, "{name}");
        }
        let other = Arc::new(variant("a"));
        assert_eq!(heads.find(&other, TOLD, Some("rule")), None);
    }

    #[test]
    fn a_head_keeps_nothing_of_the_stored_response_alive() {
        let (heads, held) = (Heads::default(), Arc::new(variant("a")));
        let stored = held.stored.headers.clone();
        for _ in 0..2 {
            heads.note(&held, TOLD, None, &stored);
        }
        let gone = Arc::downgrade(&held);
        let kept = heads.find(&held, TOLD, None).expect("kept");
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
    fn more_variants_than_places_take_turns() {
        let heads = Heads::default();
        let held: Vec<_> = (0..3 * PLACES).map(|_| Arc::new(variant("a"))).collect();
        for _ in 0..3 {
            for variant in &held {
                heads.note(variant, TOLD, None, &fields("1"));
            }
        }
        let found = held
            .iter()
            .filter(|held| heads.find(held, TOLD, None).is_some());
        assert!(found.count() <= PLACES);
    }
}
