//! Validation (RFC 9111 §4.3).

mod conditions;
mod head;

use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG,
    EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName};

use super::directives::{ResponseDirectives, TARGETS};
use super::fields::Storing;
use super::groups::CACHE_GROUPS;
use super::storable::{allowed, assembled, for_part};
use super::tokens::is_token;
use super::{Exchange, Policy, Reason, RequestHead, Stored, freshness};

pub use conditions::{is_conditional, not_modified, strip_conditions, strip_range};
pub use head::{ByHead, by_head};

/// Adds the conditions that ask whether `stored` still holds, replacing the client's own (§4.3.1).
/// Adds none if `stored` has no validator.
pub fn add_conditions(upstream_request: &mut HeaderMap, stored: &Stored) {
    strip_conditions(upstream_request);
    for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = stored.headers.get(validator) {
            upstream_request.insert(condition, value.clone());
        }
    }
}

/// The stored response brought up to date by a 304 (§3.2, §4.3.4).
///
/// It is good for the request that asked. If the 304 forbids keeping it (`no-store`, say), is about
/// another representation, or varies on more than the stored response does, the result has a
/// lifetime of zero, no stale windows and `no_cache`: nothing is served from it unasked.
/// [`keepable`] tells whether it may be stored again at all.
pub fn freshened(
    stored: &Stored,
    request: &RequestHead<'_>,
    not_modified: &Exchange<'_>,
    policy: &Policy,
) -> Stored {
    if !is_about(stored, not_modified.headers) {
        return unusable(stored.clone());
    }
    match updated_by(stored, request, not_modified, policy) {
        Updated::Usable(stored) | Updated::Unusable(stored, _) => stored,
    }
}

/// What a newer head of the same representation makes of a stored response.
enum Updated {
    /// It may go on being served as its fields say.
    Usable(Stored),
    /// It is not to be served unasked, for this reason; `None`: it may select other requests.
    Unusable(Stored, Option<Reason>),
}

fn updated_by(
    stored: &Stored,
    request: &RequestHead<'_>,
    news: &Exchange<'_>,
    policy: &Policy,
) -> Updated {
    let headers = updated(stored, news, policy);
    let response = Exchange {
        status: stored.status,
        headers: &headers,
        ..*news
    };
    let directives = ResponseDirectives::under(&headers, policy);
    let lifetime = freshness::lifetime(&response, &directives, &for_part(policy, stored.part));
    let fresh = Stored {
        part: stored.part,
        selector: stored.selector.clone(),
        lifetime: lifetime.unwrap_or_default(),
        // `Age` is the news' own, and is not among the stored fields.
        initial_age: freshness::initial_age(
            news,
            freshness::date(news.headers),
            &directives,
            policy,
        ),
        ..assembled(headers.clone(), &response, &directives, policy)
    };
    if !stored.selector.covers(news.headers, &policy.variation) {
        return Updated::Unusable(unusable(fresh), None);
    }
    match keepable(request, &fresh, policy) {
        Ok(()) => Updated::Usable(fresh),
        Err(reason) => Updated::Unusable(unusable(fresh), Some(reason)),
    }
}

/// Whether a response brought up to date by [`freshened`] may go on being stored (§3 applies to what
/// the 304 made of it).
pub fn keepable(
    request: &RequestHead<'_>,
    freshened: &Stored,
    policy: &Policy,
) -> Result<(), Reason> {
    let response = Exchange {
        status: freshened.status,
        headers: &freshened.headers,
        request_time: freshened.request_time,
        response_time: freshened.response_time,
        clock_lead: Duration::ZERO,
    };
    let directives = ResponseDirectives::under(&freshened.headers, policy);
    let storing = Storing::of(&freshened.headers, &directives, policy);
    // What was stored answered a GET, whether GET or HEAD asked again (§4.3.5).
    let request = RequestHead {
        method: &http::Method::GET,
        ..*request
    };
    let policy = for_part(policy, freshened.part);
    allowed(&request, &response, &directives, &storing, &policy)
}

/// The fields of a 304 that are for its requester alone; [`freshened`] leaves them out.
pub fn personal(not_modified: &HeaderMap, stored: &Stored, policy: &Policy) -> HeaderMap {
    let directives = ResponseDirectives::under(not_modified, policy);
    let storing = Storing::of(not_modified, &directives, policy);
    let before = ResponseDirectives::under(&stored.headers, policy);
    let before = Storing::of(&stored.headers, &before, policy);
    let mut personal = HeaderMap::new();
    for (name, value) in not_modified {
        if storing.is_personal(name) || before.withholds(name) {
            personal.append(name.clone(), value.clone());
        }
    }
    personal
}

/// §4.3.4: a validator that differs names another representation, which this 304 is about.
pub fn is_about(stored: &Stored, not_modified: &HeaderMap) -> bool {
    for (validator, same) in [
        (ETAG, conditions::names_stored as fn(&[u8], &[u8]) -> bool),
        (LAST_MODIFIED, |a, b| a == b),
    ] {
        if let (Some(ours), Some(theirs)) =
            (stored.headers.get(&validator), not_modified.get(&validator))
        {
            return same(ours.as_bytes(), theirs.as_bytes());
        }
    }
    true
}

/// §3.2: the 304's fields in place of the stored ones, order kept, with the exceptions below.
fn updated(stored: &Stored, not_modified: &Exchange<'_>, policy: &Policy) -> HeaderMap {
    let directives = ResponseDirectives::under(not_modified.headers, policy);
    let storing = Storing::of(not_modified.headers, &directives, policy);
    let before = ResponseDirectives::under(&stored.headers, policy);
    let before = Storing::of(&stored.headers, &before, policy);
    // It comes with a `Date` in any case (RFC 9110 §6.6.1): the stored one would make it old.
    let date = freshness::date(not_modified.headers);
    let news = storing.copy(not_modified.headers, date, not_modified.response_time);
    // What the stored response keeps from shared caches, the news do not bring (§5.2.2.7).
    updated_fields(&stored.headers, &news, |name| {
        storing.withholds(name) || before.withholds(name)
    })
}

/// §3.2: `stored` with `news` in place of fields of the same name, but for those that are `withheld`.
pub(super) fn updated_fields(
    stored: &HeaderMap,
    news: &HeaderMap,
    withheld: impl Fn(&HeaderName) -> bool,
) -> HeaderMap {
    let is_news = |name: &HeaderName| news.contains_key(name) && is_updatable(name);

    let mut headers = HeaderMap::with_capacity(stored.keys_len() + 4);
    let names = stored
        .keys()
        .filter(|name| !withheld(name))
        .map(|name| (name, is_news(name)));
    let added = news
        .keys()
        .filter(|name| is_updatable(name) && !stored.contains_key(*name) && !withheld(name))
        .map(|name| (name, true));
    for (name, new) in names.chain(added) {
        let source = if new { news } else { stored };
        for value in source.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// All but the exceptions of §3.2: `Content-Length`, what would make the stored bytes unreadable
/// (coding, range), and `Vary`, which the choice of the stored response depends upon. And a cookie
/// is nobody else's, nor is a token.
fn is_updatable(name: &HeaderName) -> bool {
    ![
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        SET_COOKIE,
        VARY,
    ]
    .contains(name)
        && !is_token(name)
}

fn unusable(stored: Stored) -> Stored {
    Stored {
        lifetime: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        no_cache: true,
        ..stored
    }
}

/// The fields of a 304 made from `stored` (RFC 9110 §15.4.5), in the order stored.
pub fn not_modified_headers(stored: &HeaderMap) -> HeaderMap {
    let has_etag = stored.contains_key(ETAG);
    let wanted = |name: &HeaderName| {
        [CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, VARY].contains(name)
            // Cache control and groups for the caches behind this one (RFC 9213, RFC 9875).
            || TARGETS.contains(name)
            || *name == CACHE_GROUPS
            // Metadata beyond these only where it is the one validator.
            || (*name == LAST_MODIFIED && !has_etag)
    };
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in stored.iter().filter(|(name, _)| wanted(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers
}

#[cfg(test)]
mod tests;
