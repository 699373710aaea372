//! A request's own conditions (RFC 9111 §4.3.2, RFC 9110 §13.1).

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, Method};

use crate::http_cache::{RequestHead, Stored, freshness, remove};

/// Whether the request has a condition, so that the app may answer it with 304 (RFC 9110 §13.1).
pub fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Removes `Range` and its condition, for a request that is for all.
pub fn strip_range(upstream_request: &mut HeaderMap) {
    remove(upstream_request, |name| [IF_RANGE, RANGE].contains(name));
}

/// Removes the client's conditions and `Range`, so that a fill fetches a whole response.
pub fn strip_conditions(upstream_request: &mut HeaderMap) {
    let partial = [
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_RANGE,
        IF_UNMODIFIED_SINCE,
        RANGE,
    ];
    remove(upstream_request, |name| partial.contains(name));
}

/// Whether a request's own conditions are met by `stored`, so that the answer is 304 (§4.3.2).
pub fn not_modified(request: &RequestHead<'_>, stored: &Stored) -> bool {
    // RFC 9110 §13.2.1: conditions apply where the answer would otherwise be a success.
    let applies = (request.method == Method::GET || request.method == Method::HEAD)
        && stored.status.is_success();
    if !applies {
        return false;
    }
    // RFC 9110 §13.1.3: `If-None-Match` stands in place of `If-Modified-Since`.
    if request.headers.contains_key(IF_NONE_MATCH) {
        return none_match_fails(request.headers, stored);
    }
    request.headers.contains_key(IF_MODIFIED_SINCE) && unmodified_since(request.headers, stored)
}

/// RFC 9110 §13.1.2: `*`, or any listed tag, compared weakly.
fn none_match_fails(request: &HeaderMap, stored: &Stored) -> bool {
    let etag = stored.headers.get(http::header::ETAG);
    let mut lines = request.get_all(IF_NONE_MATCH).into_iter();
    lines.any(|line| {
        entity_tags(line.as_bytes())
            .any(|tag| tag == b"*" || etag.is_some_and(|etag| weakly_equal(tag, etag.as_bytes())))
    })
}

/// The members of a list of entity tags; a comma may stand inside the quotes.
fn entity_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

/// RFC 9110 §8.8.3.2: equal but for `W/`.
pub(super) fn weakly_equal(a: &[u8], b: &[u8]) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    opaque(a) == opaque(b)
}

/// §4.3.4: a strong tag of the newer response names the very same stored one, a weak one any that is
/// weakly equal.
pub(super) fn names_stored(stored: &[u8], newer: &[u8]) -> bool {
    if newer.starts_with(b"W/") {
        weakly_equal(stored, newer)
    } else {
        stored == newer
    }
}

/// RFC 9110 §13.1.3, and §4.3.2 for a response without `Last-Modified`.
fn unmodified_since(request: &HeaderMap, stored: &Stored) -> bool {
    // More than one line, or no date: the condition is ignored.
    if request.get_all(IF_MODIFIED_SINCE).iter().count() != 1 {
        return false;
    }
    let Some(since) = freshness::date_field(request, &IF_MODIFIED_SINCE) else {
        return false;
    };
    let changed = freshness::date_field(&stored.headers, &LAST_MODIFIED)
        .or_else(|| freshness::date(&stored.headers))
        .unwrap_or(stored.response_time);
    changed <= since
}
