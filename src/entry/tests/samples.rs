//! Entries for tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::entry::{Entry, Priority, StoredBody, Variant};
use crate::http_cache::vary::Selector;
use crate::http_cache::{Part, Stored};

/// `seconds` after the start of the tests' time.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// A response of [`at`] `(0)` that is of use for a minute.
pub(crate) fn variant(body: &str) -> Variant {
    Variant {
        stored: Stored {
            selector: Selector {
                host: "api.example".into(),
                ..Selector::default()
            },
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]),
            request_time: at(0),
            response_time: at(0),
            initial_age: Duration::ZERO,
            lifetime: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
            no_cache: false,
            shareable: true,
            part: None,
            softened: None,
        },
        body: Bytes::copy_from_slice(body.as_bytes()).into(),
        tags: Vec::new(),
        priority: Priority::Medium,
        rule: "sample".into(),
        max_variants: Entry::DEFAULT_VARIANTS,
        compress_over: usize::MAX,
    }
}

/// [`variant`] for requests to `host`, answered at `seconds`.
pub(crate) fn variant_for(host: &str, seconds: u64) -> Variant {
    let mut variant = variant(host);
    variant.stored.selector.host = host.into();
    variant.stored.response_time = at(seconds);
    variant
}

/// An entry of one variant.
pub(crate) fn entry(variant: Variant) -> Entry {
    Entry {
        variants: vec![Arc::new(variant)],
    }
}

/// Any entry that the codec keeps whole.
pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    vec(any_variant().prop_map(Arc::new), 0..=3).prop_map(|variants| Entry { variants })
}

fn any_variant() -> impl Strategy<Value = Variant> {
    let rest = (
        prop_oneof![
            vec(any::<u8>(), 0..200).prop_map(Bytes::from),
            (any::<u8>(), 0..200_usize).prop_map(|(byte, times)| vec![byte; times].into()),
        ],
        vec(any::<String>().prop_map(Box::from), 0..4),
        prop::sample::select(&Priority::ALL[..]),
        any::<String>().prop_map(Box::from),
    );
    (any_stored(), any_place(), rest).prop_map(|(stored, place, (body, tags, priority, rule))| {
        Variant {
            stored: Stored {
                part: place.and_then(|place| part_at(place, &body)),
                ..stored
            },
            body: compressed_or_not(body),
            tags,
            priority,
            rule,
            max_variants: Entry::DEFAULT_VARIANTS,
            compress_over: usize::MAX,
        }
    })
}

/// Compressed where that is worth it: what any body is may be, a part too.
fn compressed_or_not(body: Bytes) -> StoredBody {
    let mut body = StoredBody::from(body);
    body.compress(|bytes| bytes);
    body
}

/// Where a part begins, and how much follows it; `None`: that is not known.
type Place = (u64, Option<u64>);

fn any_place() -> impl Strategy<Value = Option<Place>> {
    prop::option::of((any::<u64>(), prop::option::of(any::<u64>())))
}

/// `body` as a part, if there can be such a one.
fn part_at((first, rest): Place, body: &Bytes) -> Option<Part> {
    let end = first.checked_add(body.len() as u64)?;
    let part = Part {
        first,
        end,
        complete: rest.map(|rest| end.saturating_add(rest)),
    };
    part.is_possible().then_some(part)
}

/// [`variant`] as a part of a representation with a strong validator.
pub(crate) fn part(first: u64, body: &str, complete: Option<u64>) -> Variant {
    let mut variant = variant(body);
    let tag = HeaderValue::from_static("\"a\"");
    variant.stored.headers.insert(http::header::ETAG, tag);
    variant.stored.part = Some(Part {
        first,
        end: first + body.len() as u64,
        complete,
    });
    variant
}

fn any_stored() -> impl Strategy<Value = Stored> {
    let headers = vec((any_name(), any_value()), 0..8).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    });
    let times = (any_millis(), any_millis());
    let durations = (any_millis(), any_millis(), any_millis(), any_millis());
    let head = (any_selector(), 100..1000_u16, headers);
    (head, times, durations, any::<(bool, bool, bool, bool)>()).prop_map(
        |((selector, status, headers), times, durations, flags)| Stored {
            selector,
            status: StatusCode::from_u16(status).expect("three digits"),
            headers,
            request_time: SystemTime::UNIX_EPOCH + times.0,
            response_time: SystemTime::UNIX_EPOCH + times.1,
            initial_age: durations.0,
            lifetime: durations.1,
            stale_while_revalidate: durations.2,
            stale_if_error: durations.3,
            must_revalidate: flags.0,
            no_cache: flags.1,
            shareable: flags.2,
            part: None,
            softened: flags.3.then_some(SystemTime::UNIX_EPOCH + times.1),
        },
    )
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let value = prop::option::of(vec(any::<u8>(), 0..20).prop_map(Box::from));
    (
        any::<String>(),
        any::<String>(),
        vec((any_name(), value), 0..3),
    )
        .prop_map(|(host, form, fields)| Selector {
            host: host.into(),
            form: form.into(),
            fields,
        })
}

fn any_name() -> impl Strategy<Value = HeaderName> {
    let known = prop::sample::select(vec![
        http::header::ETAG,
        http::header::VARY,
        http::header::DATE,
    ]);
    let unknown = vec(prop::sample::select(&b"abcxyz-_09"[..]), 1..12)
        .prop_map(|name| HeaderName::from_bytes(&name).expect("token characters"));
    prop_oneof![known, unknown]
}

fn any_value() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8];
    vec(byte, 0..30).prop_map(|value| HeaderValue::from_bytes(&value).expect("field characters"))
}

fn any_millis() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..10_000_000_u64]
        .prop_map(Duration::from_millis)
}
