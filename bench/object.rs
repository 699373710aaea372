//! The object that all servers of the benchmark answer with: made by the app, cached by the peers,
//! answered from a constant by the bare limits. One definition, so that no one sends less than others.

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED};
use http::{HeaderName, HeaderValue};

/// A JSON body of exactly `bytes` bytes (at least the 40 or so that its frame takes).
pub(crate) fn body(id: &str, version: u64, bytes: usize) -> Bytes {
    let head = format!("{{\"id\":\"{id}\",\"version\":{version},\"text\":\"");
    let filler = bytes.saturating_sub(head.len() + 2);
    let mut text = head;
    text.extend(std::iter::repeat_n('x', filler));
    text.push_str("\"}");
    Bytes::from(text)
}

/// The fields the app sends with it; `Date` and `Content-Length` are hyper's.
pub(crate) fn fields(version: u64, bytes: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    let etag = format!("\"{version}-{bytes}\"");
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        fields.insert(ETAG, etag);
    }
    fields.insert(
        LAST_MODIFIED,
        HeaderValue::from_static("Mon, 05 Jan 2026 10:00:00 GMT"),
    );
    fields
}

/// What a cache adds on a hit, for the bare limits: they send as much as Pannier does.
#[allow(
    dead_code,
    reason = "the app includes this file too and caches nothing"
)]
pub(crate) fn hit_fields(bytes: usize) -> HeaderMap {
    let mut fields = fields(1, bytes);
    fields.insert(AGE, HeaderValue::from_static("12"));
    fields.insert(
        HeaderName::from_static("cache-status"),
        HeaderValue::from_static("pannier; hit; ttl=3588; rule=object; detail=hit"),
    );
    fields
}
