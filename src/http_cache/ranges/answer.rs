//! The 206 and the 416 made from what is stored (RFC 9110 §15.3.7, §15.5.17).

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED, LINK,
    PRAGMA, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Cut, StoredPositions};
use crate::http_cache::Stored;
use crate::http_cache::directives::TARGETS;
use crate::http_cache::fields::picked;

/// Head and body of the answer to a [`Cut`] other than `Whole` and `Lacking`, made by
/// [`cut`](super::cut) from the same stored response. `boundary` parts a multipart body: letters and
/// digits that nobody can foresee. The body is of pieces in their order, which share the bytes of the stored one.
///
/// Fields keep their order. Of `Whole` it makes the stored response as it is; `Lacking` cannot be
/// answered from here, and like ranges that the body does not have it becomes a 416.
pub fn response(
    cut: &Cut,
    stored: &Stored,
    body: &Bytes,
    boundary: &str,
) -> (StatusCode, HeaderMap, Vec<Bytes>) {
    let held = StoredPositions::of(stored, body.len() as u64);
    match cut {
        Cut::Whole if held.is_all() => (stored.status, stored.headers.clone(), vec![body.clone()]),
        Cut::One(range) => match slice(&held, body, range) {
            Some(bytes) => answer_one(stored, range, held.complete, bytes),
            None => refuse_range(stored, held.complete),
        },
        Cut::Many(ranges) => {
            let slices: Option<Vec<_>> = ranges
                .iter()
                .map(|range| slice(&held, body, range).map(|bytes| (range, bytes)))
                .collect();
            match slices {
                Some(slices) => answer_many(stored, &slices, held.complete, boundary),
                None => refuse_range(stored, held.complete),
            }
        }
        Cut::Whole | Cut::Unsatisfiable | Cut::Lacking => refuse_range(stored, held.complete),
    }
}

/// The bytes at a range of positions of the representation.
fn slice(held: &StoredPositions, body: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    if range.start >= range.end || !held.covers(range) {
        return None;
    }
    let start = usize::try_from(range.start - held.positions.start).ok()?;
    let end = usize::try_from(range.end - held.positions.start).ok()?;
    Some(body.slice(start..end))
}

fn answer_one(
    stored: &Stored,
    range: &Range<u64>,
    complete: Option<u64>,
    bytes: Bytes,
) -> (StatusCode, HeaderMap, Vec<Bytes>) {
    let mut headers = picked(&stored.headers, |name| !is_of_whole_content(name));
    headers.insert(CONTENT_RANGE, to_value(show_content_range(range, complete)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    (StatusCode::PARTIAL_CONTENT, headers, vec![bytes])
}

/// §15.3.7.2: `Content-Range` and the representation's type stand in each part, not in the head.
fn answer_many(
    stored: &Stored,
    slices: &[(&Range<u64>, Bytes)],
    complete: Option<u64>,
    boundary: &str,
) -> (StatusCode, HeaderMap, Vec<Bytes>) {
    let boundary = fit_boundary(boundary);
    let kind = stored.headers.get(CONTENT_TYPE);
    let mut body = Vec::with_capacity(2 * slices.len() + 1);
    for (range, bytes) in slices {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if let Some(kind) = kind {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(kind.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let range = show_content_range(range, complete);
        head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
        body.extend([head.into(), bytes.clone()]);
    }
    body.push(format!("\r\n--{boundary}--\r\n").into());
    let kind = to_value(format!("multipart/byteranges; boundary={boundary}"));
    let mut headers = picked(&stored.headers, |name| !is_of_whole_content(name));
    headers.insert(CONTENT_TYPE, kind);
    let length: usize = body.iter().map(Bytes::len).sum();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    (StatusCode::PARTIAL_CONTENT, headers, body)
}

/// §15.5.17, §14.4
fn refuse_range(stored: &Stored, complete: Option<u64>) -> (StatusCode, HeaderMap, Vec<Bytes>) {
    let mut headers = picked(&stored.headers, |name| !is_of_representation(name));
    if let Some(complete) = complete {
        headers.insert(CONTENT_RANGE, to_value(format!("bytes */{complete}")));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    (StatusCode::RANGE_NOT_SATISFIABLE, headers, Vec::new())
}

/// Fields about the bytes of one message, which a part's are not (`Content-Digest`: RFC 9530 §2).
fn is_of_whole_content(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, CONTENT_RANGE].contains(name)
        || ["content-digest", "content-md5"].contains(&name.as_str())
}

/// Fields that tell of the stored representation or of how long it may be kept: a 416 is neither it
/// nor to be stored in its place.
fn is_of_representation(name: &HeaderName) -> bool {
    [
        CACHE_CONTROL,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
        LINK,
        PRAGMA,
        SET_COOKIE,
    ]
    .contains(name)
        || TARGETS.contains(name)
        || ["digest", "repr-digest"].contains(&name.as_str())
        || name.as_str().starts_with("content-")
}

fn show_content_range(range: &Range<u64>, complete: Option<u64>) -> String {
    let last = range.end.saturating_sub(1);
    let mut text = format!("bytes {}-{last}/", range.start);
    match complete {
        Some(complete) => write!(text, "{complete}").expect("a String takes all"),
        None => text.push('*'),
    }
    text
}

fn to_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("letters, digits and punctuation are visible ASCII")
}

/// RFC 2046 §5.1.1: at most 70 characters, here of those that need no quotes.
fn fit_boundary(boundary: &str) -> String {
    let fit: String = boundary
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
        .take(70)
        .collect();
    if fit.is_empty() { "part".into() } else { fit }
}
