//! Strong validators and `If-Range` (RFC 9110 §8.8, §13.1.5).

use std::time::{Duration, SystemTime};

use http::header::{ETAG, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

use super::part::only;
use crate::http_cache::{Stored, freshness};

/// What names a representation byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strong<'a> {
    /// A strong entity tag.
    Tag(&'a HeaderValue),
    /// A date of last change that no second change can share.
    Date(&'a HeaderValue),
}

impl<'a> Strong<'a> {
    /// The strong validator of a stored response. One with an entity tag goes by that alone
    /// (§13.1.5: no date stands in for it).
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Strong<'a>> {
        if headers.contains_key(ETAG) {
            let tag = only(headers, &ETAG).filter(|tag| is_strong_tag(tag));
            return tag.and(headers.get(ETAG)).map(Strong::Tag);
        }
        strong_date(headers)?;
        headers.get(LAST_MODIFIED).map(Strong::Date)
    }

    /// As it stands in `If-Range`.
    pub(super) fn value(self) -> &'a HeaderValue {
        match self {
            Strong::Tag(value) | Strong::Date(value) => value,
        }
    }
}

/// Whether the response has a strong validator (RFC 9110 §8.8.1), by which its parts are known from those of
/// another representation.
pub fn has_strong_validator(stored: &Stored) -> bool {
    Strong::of(&stored.headers).is_some()
}

/// Whether two responses are of different representations by their strong validators. Validators of
/// different kinds tell nothing of each other.
pub fn another_representation(a: &Stored, b: &Stored) -> bool {
    match (Strong::of(&a.headers), Strong::of(&b.headers)) {
        (Some(Strong::Tag(a)), Some(Strong::Tag(b))) => a != b,
        (Some(Strong::Date(a)), Some(Strong::Date(b))) => a != b,
        _ => false,
    }
}

/// §13.1.5: whether the request has no `If-Range`, or one that names the stored representation.
pub(super) fn if_range_holds(request: &HeaderMap, stored: &Stored) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(condition) = only(request, &IF_RANGE) else {
        return false;
    };
    if is_strong_tag(condition) {
        return only(&stored.headers, &ETAG) == Some(condition);
    }
    let Some(date) = date(condition) else {
        return false;
    };
    strong_date(&stored.headers) == Some(date)
}

/// §8.8.3: `"…"`, without `W/`.
fn is_strong_tag(tag: &[u8]) -> bool {
    let opaque = tag
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    opaque.is_some_and(|opaque| {
        opaque
            .iter()
            .all(|&byte| byte != b'"' && byte != 0x7f && byte > b' ')
    })
}

/// §8.8.2.2: `Last-Modified`, if the app sent the response at least a second later by its `Date`.
fn strong_date(headers: &HeaderMap) -> Option<SystemTime> {
    let modified = date(only(headers, &LAST_MODIFIED)?)?;
    let sent = freshness::date(headers)?;
    let since = sent.duration_since(modified).ok()?;
    (since >= Duration::from_secs(1)).then_some(modified)
}

fn date(text: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()
}
