//! Requests, responses and policies for the tests of this room.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::vary::Variation;
use crate::http_cache::{
    AppHeaders, CacheControlMode, Despite, Exchange, Identity, Policy, Reason, RequestHead, Stored,
    storable,
};

/// Name and value of each line.
pub(in crate::http_cache) type Lines<'a> = &'a [(&'a str, &'a str)];

/// [`now`] as an HTTP date.
pub(in crate::http_cache) const SENT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// One hour after [`now`].
pub(in crate::http_cache) const HOUR_LATER: &str = "Sun, 06 Nov 1994 09:49:37 GMT";
/// One hour before [`now`].
pub(in crate::http_cache) const HOUR_EARLIER: &str = "Sun, 06 Nov 1994 07:49:37 GMT";

/// [`SENT`].
pub(in crate::http_cache) fn now() -> SystemTime {
    at(784_111_777)
}

/// So many seconds after [`now`].
pub(in crate::http_cache) fn later(seconds: u64) -> SystemTime {
    now() + secs(seconds)
}

pub(in crate::http_cache) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + secs(seconds)
}

pub(in crate::http_cache) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(in crate::http_cache) fn headers(lines: Lines<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// The lines of a map, for comparison.
pub(in crate::http_cache) fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let line = |(name, value)| {
        let name: &HeaderName = name;
        let value: &HeaderValue = value;
        (name.as_str(), value.to_str().unwrap())
    };
    headers.iter().map(line).collect()
}

/// As `Vary` says.
pub(in crate::http_cache) fn plain() -> &'static Variation {
    static PLAIN: LazyLock<Variation> = LazyLock::new(Variation::default);
    &PLAIN
}

/// RFC 9111 alone.
pub(in crate::http_cache) fn rfc() -> Policy {
    Policy {
        error_ttl: Duration::MAX,
        app_headers: AppHeaders::Respect,
        variation: Variation::default(),
        cache_control: CacheControlMode::Respect,
        ttl: None,
        statuses: None,
        despite: Despite::default(),
        shared: false,
        stale_while_revalidate: None,
        stale_if_error: None,
        tag_fields: Vec::new(),
    }
}

/// A rule with a `ttl`.
pub(in crate::http_cache) fn ruled(ttl: u64) -> Policy {
    Policy {
        ttl: Some(secs(ttl)),
        ..rfc()
    }
}

pub(in crate::http_cache) fn get(headers: &HeaderMap) -> RequestHead<'_> {
    request(&Method::GET, headers)
}

pub(in crate::http_cache) fn request<'a>(
    method: &'a Method,
    headers: &'a HeaderMap,
) -> RequestHead<'a> {
    RequestHead {
        method,
        headers,
        directives: RequestDirectives::of(headers),
        identity: Identity::COVERED,
        host: "example.com",
        form: "",
        variation: plain(),
    }
}

/// A response that came at [`now`] without delay.
pub(in crate::http_cache) fn exchange(status: u16, headers: &HeaderMap) -> Exchange<'_> {
    Exchange {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        request_time: now(),
        response_time: now(),
        clock_lead: Duration::ZERO,
    }
}

/// What `storable` makes of a plain GET's answer.
pub(in crate::http_cache) fn store(
    status: u16,
    response: Lines<'_>,
    policy: &Policy,
) -> Result<Stored, Reason> {
    let (none, response) = (HeaderMap::new(), headers(response));
    storable(&get(&none), &exchange(status, &response), policy)
}

/// A stored 200 by RFC 9111 alone.
pub(in crate::http_cache) fn stored(response: Lines<'_>) -> Stored {
    store(200, response, &rfc()).unwrap()
}
