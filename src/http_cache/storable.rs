//! Storing responses (RFC 9111 §3).

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};

use super::directives::{Reach, ResponseDirectives};
use super::fields::Storing;
use super::tokens;
use super::vary::Selector;
use super::{
    Part, Policy, Reason, RequestHead, Stored, fields, freshness, groups, tag_fields, vary,
};

/// A response's head with the times around it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The final status.
    pub status: StatusCode,
    /// All fields as received.
    pub headers: &'a HeaderMap,
    /// When the request was sent (fleet time).
    pub request_time: SystemTime,
    /// When the head arrived (fleet time).
    pub response_time: SystemTime,
    /// How far fleet time is ahead of this machine's clock, which is no age.
    pub clock_lead: Duration,
}

/// What to store of `response` to `request` under `policy`, or the first reason against it, in the order of
/// RFC 9111 §3; with it promise I8: what goes to one identity alone is not stored for others.
///
/// Decided by the heads: that the body is whole, and within `max_body`, is the caller's to check. A 206 is
/// stored as the [`Part`] that `request` must have asked for with its `Range` (§3.3); that its body is as
/// long as the part is the caller's to check too.
pub fn storable(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    policy: &Policy,
) -> Result<Stored, Reason> {
    if response.status != StatusCode::PARTIAL_CONTENT {
        return whole_or_part(request, response, policy, None);
    }
    // §3.3: stored as a part of what a request for all would have got.
    let part = Part::of(request.headers, response.headers).ok_or(Reason::Partial)?;
    let whole = Exchange {
        status: StatusCode::OK,
        ..*response
    };
    let policy = for_part(policy, Some(part));
    let mut stored = whole_or_part(request, &whole, &policy, Some(part))?;
    // They describe the message, which is not what is stored.
    let of_message = [CONTENT_RANGE, CONTENT_LENGTH];
    stored.headers = fields::picked(&stored.headers, |name| !of_message.contains(name));
    Ok(stored)
}

/// A rule that lists 206 takes parts, which are stored with status 200.
pub(super) fn for_part(policy: &Policy, part: Option<Part>) -> Cow<'_, Policy> {
    let lists = |status| {
        policy
            .statuses
            .as_ref()
            .is_some_and(|listed| listed.contains(&status))
    };
    if part.is_none() || !lists(StatusCode::PARTIAL_CONTENT) {
        return Cow::Borrowed(policy);
    }
    Cow::Owned(Policy {
        statuses: None,
        ..policy.clone()
    })
}

fn whole_or_part(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    policy: &Policy,
    part: Option<Part>,
) -> Result<Stored, Reason> {
    let directives = ResponseDirectives::under(response.headers, policy);
    let storing = Storing::of(response.headers, &directives, policy);
    allowed(request, response, &directives, &storing, policy)?;
    // §4.1
    let selector = Selector::of(request, response.headers).ok_or(Reason::VaryAny)?;
    let stored = kept(response, &directives, &storing, policy, part)?;
    Ok(Stored { selector, ..stored })
}

/// What would be kept of a response that nothing forbids storing, but for its selector.
fn kept(
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    storing: &Storing,
    policy: &Policy,
    part: Option<Part>,
) -> Result<Stored, Reason> {
    // §3, last item: freshness is stated, or the status lets it be assigned.
    let lifetime = freshness::lifetime(response, directives, policy);
    if lifetime.is_none() && !freshness::may_be_assigned(response.status, directives, policy) {
        return Err(Reason::Status);
    }
    let date = freshness::date(response.headers);
    let headers = storing.copy(response.headers, date, response.response_time);
    let stored = Stored {
        lifetime: lifetime.unwrap_or_default(),
        initial_age: freshness::initial_age(response, date, directives, policy),
        part,
        ..assembled(headers, response, directives, policy)
    };
    (stored.is_servable() || stored.can_be_renewed())
        .then_some(stored)
        .ok_or(Reason::NoFreshness)
}

/// All that stands between `response` and a hit under `policy`: every reason against storing it, [`storable()`]'s own
/// first, and then why it could not be served at once if it were stored.
pub fn obstacles(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    policy: &Policy,
) -> Vec<Reason> {
    let mut all = Vec::new();
    let is_part = response.status == StatusCode::PARTIAL_CONTENT;
    let part = is_part.then(|| Part::of(request.headers, response.headers));
    let part = part.flatten();
    if is_part && part.is_none() {
        all.push(Reason::Partial);
    }
    let response = Exchange {
        status: if is_part {
            StatusCode::OK
        } else {
            response.status
        },
        ..*response
    };
    let policy = for_part(policy, part);
    let directives = ResponseDirectives::under(response.headers, &policy);
    let storing = Storing::of(response.headers, &directives, &policy);
    let _ = each_refusal(
        request,
        &response,
        &directives,
        &storing,
        &policy,
        |reason| {
            all.push(reason);
            ControlFlow::Continue(())
        },
    );
    if Selector::of(request, response.headers).is_none() {
        all.push(Reason::VaryAny);
    }
    match kept(&response, &directives, &storing, &policy, part) {
        Err(reason) if all.contains(&reason) => {}
        Err(reason) => all.push(reason),
        Ok(stored) if stored.no_cache => all.push(Reason::NoCache),
        Ok(stored) if !stored.is_fresh(stored.response_time) => all.push(Reason::Stale),
        Ok(_) => {}
    }
    all
}

/// The first condition of §3 that is not met, or of those that this cache adds.
pub(super) fn allowed(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    storing: &Storing,
    policy: &Policy,
) -> Result<(), Reason> {
    let first = ControlFlow::Break;
    match each_refusal(request, response, directives, storing, policy, first) {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The conditions of §3, in its order, and those this cache adds: `found` is given each that is not met, and says
/// whether to go on.
fn each_refusal(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    storing: &Storing,
    policy: &Policy,
    mut found: impl FnMut(Reason) -> ControlFlow<Reason>,
) -> ControlFlow<Reason> {
    // §3: the method is understood. An answer to HEAD has no body to store.
    if request.method != Method::GET {
        found(Reason::Method)?;
    }
    // §3: the status is final; §5.2.2.3, and whatever the rule says of statuses.
    if let Err(reason) = status_allowed(response.status, directives, policy) {
        found(reason)?;
    }
    // §5.2.1.5
    if request.directives.no_store {
        found(Reason::RequestNoStore)?;
    }
    // §5.2.2.5; §5.2.2.3: `must-understand` stands above it, for statuses that are understood.
    if directives.no_store && !directives.must_understand {
        found(Reason::NoStore)?;
    }
    // §5.2.2.7: a shared cache must not store it. Qualified, it only withholds fields.
    if directives.private == Reach::Whole {
        found(Reason::Private)?;
    }
    if let Err(reason) = identity_allowed(request, response, directives, policy) {
        found(reason)?;
    }
    // RFC 9110 §12.5.3: who gets it from the store accepts no more than who fetched it.
    if !vary::accepts_coding(request, response.headers) {
        found(Reason::UnacceptedCoding)?;
    }
    // RFC 9875 §2: what a group cannot find could not be invalidated with it.
    if groups::of(response.headers).is_err() {
        found(Reason::TooManyGroups)?;
    }
    if tag_fields::of(response.headers, &policy.tag_fields).is_err() {
        found(Reason::TooManyTags)?;
    }
    // Not RFC 9111 (§7.3 warns of it): a cookie is for one person unless somebody says otherwise.
    if response.headers.contains_key(SET_COOKIE) && storing.keeps_cookies() {
        found(Reason::SetCookie)?;
    }
    // So is what its client is known by from then on.
    let hands_token = tokens::found_in(response.headers).any(|name| storing.keeps(name));
    if hands_token || storing.keeps_negotiation() {
        found(Reason::Token)?;
    }
    ControlFlow::Continue(())
}

fn status_allowed(
    status: StatusCode,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Result<(), Reason> {
    // §3: final. A 304 is about another response (§4.3.3).
    if !(200..600).contains(&status.as_u16()) || status == StatusCode::NOT_MODIFIED {
        return Err(Reason::Status);
    }
    // §5.2.2.3
    if directives.must_understand && !is_understood(status) {
        return Err(Reason::Status);
    }
    let allowed = match &policy.statuses {
        Some(listed) => listed.contains(&status),
        None => !is_bound_to_its_request(status),
    };
    allowed.then_some(()).ok_or(Reason::Status)
}

/// Statuses whose caching rules are known here: RFC 9110 §15, and 425, 451, 507 and 508.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 425 | 426 | 451 | 500..=505
            | 507 | 508
    )
}

/// Statuses that answer something no key or `Vary` tells: a delta (226, RFC 3229), conditions and
/// ranges (412, 416), and those that must not be stored (428, 429, 431, 511; RFC 6585).
fn is_bound_to_its_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 226 | 412 | 416 | 428 | 429 | 431 | 511)
}

fn identity_allowed(
    request: &RequestHead<'_>,
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Result<(), Reason> {
    if request.identity.covered() || policy.shared {
        return Ok(());
    }
    let shared = freshness::permits_sharing(response, directives);
    // §3.5. A key that carries the credentials keeps persons apart, which is what §3.5 is for. That `must-revalidate`
    // alone would do as well is not taken up: frameworks say it of personal pages.
    if request.identity.unkeyed_authorization && !shared {
        return Err(Reason::Authorization);
    }
    if request.identity.unkeyed_cookie && !shared {
        return Err(Reason::Cookie);
    }
    Ok(())
}

/// What is stored, given that it may be; selector, lifetime, age and part are the caller's to say.
pub(super) fn assembled(
    headers: HeaderMap,
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Stored {
    let must_revalidate = directives.forbid_stale();
    let no_cache = directives.no_cache == Reach::Whole;
    // §4.2.4: stale serving gives way to any directive against it.
    let window = |stated: Option<Duration>, ruled: Option<Duration>| match stated.or(ruled) {
        Some(window) if !must_revalidate && !no_cache => window,
        _ => Duration::ZERO,
    };
    Stored {
        selector: Selector::default(),
        lifetime: Duration::ZERO,
        status: response.status,
        headers,
        request_time: response.request_time,
        response_time: response.response_time,
        initial_age: Duration::ZERO,
        stale_while_revalidate: window(
            directives.stale_while_revalidate,
            policy.stale_while_revalidate,
        )
        .min(freshness::error_bound(response.status, policy)),
        stale_if_error: window(directives.stale_if_error, policy.stale_if_error),
        must_revalidate,
        no_cache,
        shareable: freshness::permits_sharing(response, directives),
        part: None,
        softened: None,
    }
}

#[cfg(test)]
mod tests;
