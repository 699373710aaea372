//! What holds for every range, body and part.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::http_cache::storable;
use crate::http_cache::tests::fixtures::{exchange, get, headers, rfc, stored};

const BOUNDARY: &str = "B";
const SLACK: usize = 4096;

/// Bytes that never contain the boundary's dashes, so that a naive reader can part them.
fn any_body() -> impl Strategy<Value = Bytes> {
    vec(b'a'..=b'z', 0..400).prop_map(Bytes::from)
}

fn position() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..450_u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

/// A right range set, and which positions of a body of `length` it asks for.
fn range_set() -> impl Strategy<Value = Vec<(Option<u64>, Option<u64>)>> {
    let member =
        (prop::option::of(position()), prop::option::of(position())).prop_map(|pair| match pair {
            (None, None) => (Some(0), None),
            (Some(first), Some(last)) => (Some(first.min(last)), Some(first.max(last))),
            one => one,
        });
    vec(member, 1..12)
}

fn spelled(set: &[(Option<u64>, Option<u64>)]) -> HeaderValue {
    let number = |number: &Option<u64>| number.map_or(String::new(), |number| number.to_string());
    let members: Vec<_> = set
        .iter()
        .map(|(first, last)| format!("{}-{}", number(first), number(last)))
        .collect();
    HeaderValue::try_from(format!("bytes={}", members.join(", "))).unwrap()
}

fn asks_for(set: &[(Option<u64>, Option<u64>)], position: u64, length: u64) -> bool {
    set.iter().any(|member| match *member {
        (Some(first), last) => first <= position && last.is_none_or(|last| position <= last),
        (None, Some(suffix)) => position >= length.saturating_sub(suffix),
        (None, None) => false,
    })
}

/// Values near what means something to a range, and bytes.
fn any_range() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => range_set().prop_map(|set| spelled(&set).as_bytes().to_vec()),
        3 => "(bytes|BYTES|x|)[ =]{0,2}[-0-9, \t]{0,30}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ]
}

/// A whole, or a part of it that may be anywhere.
fn any_held() -> impl Strategy<Value = (Stored, Bytes, Bytes)> {
    let ends = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    (any_body(), prop::option::of((ends, any::<bool>()))).prop_map(|(body, part)| match part {
        Some(((a, b), known)) if !body.is_empty() => {
            let (a, b) = (a.index(body.len()), b.index(body.len()));
            let (first, last) = (a.min(b), a.max(b));
            (
                part_of(&body, first, last, known),
                body.slice(first..=last),
                body,
            )
        }
        _ => (
            stored(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]),
            body.clone(),
            body,
        ),
    })
}

fn part_of(body: &Bytes, first: usize, last: usize, known: bool) -> Stored {
    let complete = if known {
        body.len().to_string()
    } else {
        "*".into()
    };
    let content_range = format!("bytes {first}-{last}/{complete}");
    let request = headers(&[("range", "bytes=0-")]);
    let response = headers(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("content-range", &content_range),
    ]);
    storable(&get(&request), &exchange(206, &response), &rfc()).unwrap()
}

/// The pieces of a 206 with where they say they lie.
fn pieces(headers: &HeaderMap, body: &Bytes) -> Vec<(u64, Vec<u8>)> {
    if let Some(range) = headers.get(CONTENT_RANGE) {
        return vec![(first_of(range.to_str().unwrap()), body.to_vec())];
    }
    let kind = headers[CONTENT_TYPE].to_str().unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let text = text
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap();
    let delimiter = format!("\r\n--{boundary}\r\n");
    let mut parts = text.split(&delimiter);
    assert_eq!(
        parts.next(),
        Some(""),
        "nothing stands before the first part"
    );
    parts
        .map(|part| {
            let (head, bytes) = part.split_once("\r\n\r\n").unwrap();
            let range = head.strip_prefix("Content-Range: ").unwrap();
            (first_of(range), bytes.as_bytes().to_vec())
        })
        .collect()
}

fn first_of(content_range: &str) -> u64 {
    let range = content_range.strip_prefix("bytes ").unwrap();
    range.split_once('-').unwrap().0.parse().unwrap()
}

fn with_range(value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(RANGE, value)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_range_is_answered_with_the_bytes_at_its_positions(
        (held, bytes, body) in any_held(),
        range in any_range(),
        condition in prop::option::of(vec(any::<u8>(), 0..10)),
    ) {
        let Ok(range) = HeaderValue::from_bytes(&range) else { return Ok(()) };
        let mut request = with_range(range);
        if let Some(condition) = condition.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            request.insert(IF_RANGE, condition);
        }
        let found = cut(&get(&request), &held, bytes.len() as u64);
        let (status, head, sent) = response(&found, &held, &bytes, BOUNDARY);
        let sent = Bytes::from(sent.concat());
        prop_assert_eq!(status.as_u16(), match found {
            Cut::Whole => 200,
            Cut::One(_) | Cut::Many(_) => 206,
            Cut::Unsatisfiable | Cut::Lacking => 416,
        });
        if status.as_u16() == 206 {
            prop_assert_eq!(&head[CONTENT_LENGTH], &sent.len().to_string());
            for (first, piece) in pieces(&head, &sent) {
                let end = first as usize + piece.len();
                prop_assert!(!piece.is_empty());
                prop_assert_eq!(&piece[..], &body[first as usize..end]);
            }
        }
        prop_assert!(sent.len() <= body.len() + SLACK, "{} of {}", sent.len(), body.len());
    }

    #[test]
    fn just_what_is_asked_is_sent(body in any_body(), set in range_set()) {
        let request = with_range(spelled(&set));
        let whole = stored(&[("cache-control", "max-age=60")]);
        let length = body.len() as u64;
        let found = cut(&get(&request), &whole, length);
        let sent: Vec<_> = match &found {
            Cut::One(range) => vec![range.clone()],
            Cut::Many(ranges) => ranges.clone(),
            // `Whole` is for a suffix of nothing, where no position is to be checked.
            _ => vec![],
        };
        prop_assert!(found != Cut::Whole || body.is_empty());
        for position in 0..length {
            let times = sent.iter().filter(|range| range.contains(&position)).count();
            let asked = usize::from(asks_for(&set, position, length));
            prop_assert_eq!(times, asked, "position {} of {}", position, length);
        }
        prop_assert!(sent.iter().all(|range| range.start < range.end && range.end <= length));
    }

    #[test]
    fn a_part_answers_as_the_whole_would(
        (held, bytes, body) in any_held(),
        set in range_set(),
    ) {
        let request = with_range(spelled(&set));
        let by_part = cut(&get(&request), &held, bytes.len() as u64);
        let whole = stored(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
        let by_whole = cut(&get(&request), &whole, body.len() as u64);
        prop_assert!(by_part == Cut::Lacking || by_part == by_whole, "{:?} {:?}", by_part, by_whole);
    }

    #[test]
    fn combined_parts_are_the_original(
        body in any_body().prop_filter("parts of something", |body| !body.is_empty()),
        ranges in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..8),
    ) {
        let mut held: Option<(Stored, Bytes)> = None;
        for (a, b, known) in ranges {
            let (a, b) = (a.index(body.len()), b.index(body.len()));
            let (first, last) = (a.min(b), a.max(b));
            let new = (part_of(&body, first, last, known), body.slice(first..=last));
            let Some(old) = held.take() else {
                held = Some(new);
                continue;
            };
            let joined = combined((&old.0, &old.1), (&new.0, &new.1));
            let (from, to) = old.0.part.map_or((0, body.len()), |part| (part.first as usize, part.end as usize));
            let meet = from <= last + 1 && first <= to;
            prop_assert_eq!(joined.is_some(), meet);
            held = Some(joined.unwrap_or(old));
            let (stored, bytes) = held.as_ref().unwrap();
            let (from, to) = stored.part.map_or((0, body.len()), |part| (part.first as usize, part.end as usize));
            prop_assert_eq!(bytes, &body.slice(from..to));
        }
    }

    #[test]
    fn the_missing_rest_makes_it_whole(
        body in any_body().prop_filter("parts of something", |body| body.len() > 1),
        at in any::<prop::sample::Index>(),
        start in any::<bool>(),
    ) {
        let at = at.index(body.len() - 1);
        let (first, last) = if start { (0, at) } else { (at + 1, body.len() - 1) };
        let held = part_of(&body, first, last, true);
        let rest = missing(&held).unwrap();
        let mut request = HeaderMap::new();
        add_rest(&mut request, &held, &rest);
        // The app answers from the whole.
        let whole = stored(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
        let found = cut(&get(&request), &whole, body.len() as u64);
        prop_assert_eq!(&found, &Cut::One(rest));
        let (status, head, bytes) = response(&found, &whole, &body, BOUNDARY);
        let bytes = Bytes::from(bytes.concat());
        let new = storable(&get(&request), &exchange(status.as_u16(), &head), &rfc()).unwrap();
        let (joined, all) = combined((&held, &body.slice(first..=last)), (&new, &bytes)).unwrap();
        prop_assert_eq!(joined.part, None);
        prop_assert_eq!(all, body);
    }
}
