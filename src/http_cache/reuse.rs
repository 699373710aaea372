//! Constructing responses from caches (RFC 9111 §4).

use std::time::{Duration, SystemTime};

use http::Method;

use super::directives::RequestDirectives;
use super::{Policy, Reason, RequestHead, Stored, ranges};

/// What to do with a request, given what is stored for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it: `Reason` is `Hit` or `MaxStale`.
    Serve {
        /// Current age, for `Age`.
        age: Duration,
        /// Freshness left in seconds, negative when stale, for `Cache-Status`.
        ttl: i64,
        /// `Hit` or `MaxStale`.
        reason: Reason,
    },
    /// Serve it stale and refresh behind it.
    ServeAndRefresh {
        /// Current age.
        age: Duration,
        /// Freshness left in seconds; negative.
        ttl: i64,
    },
    /// Ask the app whether it still holds; on failure it may be served if `stale_on_error`.
    Validate {
        /// `Stale`, `SoftPurged`, `NoCache` or `RequestDirective`.
        reason: Reason,
        /// Whether RFC 5861 §4 or the rule lets it be served if the app fails.
        stale_on_error: bool,
    },
    /// Ask the app anew.
    Fetch(Reason),
    /// Ask the app and neither join nor be joined: the requester's identity is not in the key.
    Pass(Reason),
    /// Answer 504: `only-if-cached` (RFC 9111 §5.2.1.7).
    Unsatisfiable,
}

/// Whether `request` is answered from the store at `now`, in the order of RFC 9111 §4, or else how the app
/// is asked; with it promise I8: without a key, response or rule that allows it, identity passes.
///
/// `stored` is the response that the request selects (§4.1). If it is `None`, `occupied` says that the key
/// holds others. `now` is fleet time. Purges are the caller's business: what they cover is not passed in.
pub fn reuse(
    request: &RequestHead<'_>,
    stored: Option<&Stored>,
    occupied: bool,
    policy: &Policy,
    now: SystemTime,
) -> Reuse {
    let decision = match stored {
        // §4: the method allows it. A stored GET answers HEAD too (RFC 9110 §9.3.2).
        _ if request.method != Method::GET && request.method != Method::HEAD => {
            Reuse::Pass(Reason::Method)
        }
        // Promise I8, which contains §3.5 for what is stored already.
        _ if !identity_allows(request, stored, policy) => Reuse::Pass(Reason::Identity),
        None if occupied => Reuse::Fetch(Reason::VaryMiss),
        None => Reuse::Fetch(Reason::Miss),
        // §3.3: a part answers what it covers.
        Some(stored) if ranges::lacks(request, stored) => Reuse::Fetch(Reason::Partial),
        Some(stored) => consider(stored, &request.directives, now),
    };
    match decision {
        Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. } => decision,
        // §5.2.1.7: whatever else was decided would wait for the app.
        _ if request.directives.only_if_cached => Reuse::Unsatisfiable,
        _ => decision,
    }
}

fn identity_allows(request: &RequestHead<'_>, stored: Option<&Stored>, policy: &Policy) -> bool {
    request.identity.covered() || policy.shared || stored.is_some_and(|stored| stored.shareable)
}

/// What is left of a verdict on what may have been purged without a word: it is not served before the app has
/// confirmed it, but for where the app fails and RFC 5861 §4 or the rule allows it.
pub fn until_confirmed(verdict: Reuse, stored: &Stored, now: SystemTime) -> Reuse {
    match verdict {
        Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. } => {
            let stale_on_error = is_within(stored.stale_if_error, stored, now);
            validate_or_fetch(stored, stored.why_stale(now), stale_on_error)
        }
        other => other,
    }
}

fn consider(stored: &Stored, directives: &RequestDirectives, now: SystemTime) -> Reuse {
    let age = stored.age(now);
    let ttl = stored.ttl(now);
    // §5.2.2.4; its windows for stale serving are zero.
    if stored.no_cache {
        return validate_or_fetch(stored, Reason::NoCache, false);
    }
    // RFC 5861 §4 excuses staleness "regardless of other freshness information", for all or, at the
    // word of the request, for this client.
    let excuse = directives.stale_if_error.unwrap_or_default();
    let stale_on_error = is_within(stored.stale_if_error.max(excuse), stored, now);
    // §5.2.1.4: the client asked for an answer of the app, so its failure is the answer.
    if directives.no_cache {
        return validate_or_fetch(stored, Reason::RequestDirective, false);
    }
    if client_refuses(stored, directives, now) {
        return validate_or_fetch(stored, Reason::RequestDirective, stale_on_error);
    }
    // §4.2
    if stored.is_fresh(now) {
        let reason = Reason::Hit;
        return Reuse::Serve { age, ttl, reason };
    }
    // §4.2.4, §5.2.1.2
    if !stored.must_revalidate && directives.max_stale >= Some(stored.staleness(now)) {
        let reason = Reason::MaxStale;
        return Reuse::Serve { age, ttl, reason };
    }
    // §5.2.1.1: who names an age and no `max-stale` does not wish a stale response.
    let stale_unwished = directives.max_age.is_some() && directives.max_stale.is_none();
    // RFC 5861 §3
    if !stale_unwished && is_within(stored.stale_while_revalidate, stored, now) {
        return Reuse::ServeAndRefresh { age, ttl };
    }
    validate_or_fetch(stored, stored.why_stale(now), stale_on_error)
}

/// §5.2.1.1 and §5.2.1.3: too old for this client, or not fresh for long enough.
fn client_refuses(stored: &Stored, directives: &RequestDirectives, now: SystemTime) -> bool {
    // `max-age=0` is how a reload is spelled: it asks even in the second the response came.
    let too_old = directives
        .max_age
        .is_some_and(|limit| limit.is_zero() || stored.age(now) > limit);
    let too_short = directives
        .min_fresh
        .is_some_and(|needed| stored.fresh_for() < stored.age(now).saturating_add(needed));
    too_old || too_short
}

/// Whether staleness is inside a window; a window of zero is none.
fn is_within(window: Duration, stored: &Stored, now: SystemTime) -> bool {
    !window.is_zero() && !stored.must_revalidate && stored.staleness(now) <= window
}

/// §4.3: a conditional request, if there is anything to keep the stored response for.
fn validate_or_fetch(stored: &Stored, reason: Reason, stale_on_error: bool) -> Reuse {
    // A 304 would vouch for the part, where a request for the rest makes it whole.
    if stored.is_partial() && !stale_on_error {
        return Reuse::Fetch(reason);
    }
    if stored.has_validator() || stale_on_error {
        Reuse::Validate {
            reason,
            stale_on_error,
        }
    } else {
        Reuse::Fetch(reason)
    }
}

#[cfg(test)]
mod tests;
