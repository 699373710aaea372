//! The verdict of [`reuse()`](crate::http_cache::reuse()) in words.

use std::time::SystemTime;

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::Statement;
use crate::http_cache::{Reason, RequestHead, Reuse, Stored, validation};

/// The word for a verdict, as long as the app has not been asked.
pub(super) fn reason(verdict: Reuse) -> Reason {
    match verdict {
        Reuse::Serve { reason, .. }
        | Reuse::Validate { reason, .. }
        | Reuse::Fetch(reason)
        | Reuse::Pass(reason) => reason,
        Reuse::ServeAndRefresh { .. } => Reason::StaleWhileRevalidate,
        Reuse::Unsatisfiable => Reason::OnlyIfCached,
    }
}

pub(super) fn statement(verdict: Reuse, chosen: Option<&Stored>, now: SystemTime) -> Statement {
    let reason = reason(verdict);
    let because = because(reason);
    let text = match verdict {
        Reuse::Serve { ttl, .. } => format!("served from the store (ttl={ttl}): {because}"),
        Reuse::ServeAndRefresh { ttl, .. } => {
            format!("served stale from the store (ttl={ttl}) while a refresh runs: {because}")
        }
        Reuse::Validate { stale_on_error, .. } => {
            let how = match chosen {
                Some(stored) if !stored.has_validator() => "anew",
                _ => "whether it still holds",
            };
            let failing = match chosen {
                Some(stored) if stale_on_error && stored.is_fresh(now) => {
                    "; should the app fail, it is served nevertheless"
                }
                Some(_) if stale_on_error => "; should the app fail, it is served stale",
                _ => "",
            };
            format!("the app is asked {how}: {because}{failing}")
        }
        Reuse::Fetch(_) => format!("the app is asked anew: {because}"),
        Reuse::Pass(_) => format!("the app is asked, for this request alone: {because}"),
        Reuse::Unsatisfiable => format!("504, without asking the app: {because}"),
    };
    Statement::new("decision", text, clause(reason))
}

/// What would be served, were it known that nothing has purged it.
pub(super) fn unconfirmed(chosen: &Stored, verdict: Reuse) -> Statement {
    let how = match chosen.has_validator() {
        true => "whether it still holds",
        false => "anew",
    };
    let failing = match verdict {
        Reuse::Validate {
            stale_on_error: true,
            ..
        } => "; should the app fail, it is served nevertheless",
        _ => "",
    };
    let text = format!("the app is asked {how}: it may have been purged without a word{failing}");
    Statement::new("decision", text, "redis.staleness")
}

/// Whether what is served would be a 304 to the request's own conditions.
pub(super) fn own_conditions(
    request: &RequestHead<'_>,
    verdict: Reuse,
    chosen: Option<&Stored>,
) -> Option<Statement> {
    let served = matches!(verdict, Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. });
    let stored = chosen.filter(|_| served)?;
    let conditional = [IF_NONE_MATCH, IF_MODIFIED_SINCE]
        .iter()
        .any(|name| request.headers.contains_key(name));
    let text = if validation::not_modified(request, stored) {
        "they are met by what is stored, so the answer is 304"
    } else {
        "they are not met by what is stored, so it is sent whole"
    };
    conditional.then(|| Statement::new("conditions", text, "RFC 9111 §4.3.2"))
}

fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::Hit => "it is fresh, and the request takes it",
        Reason::MaxStale => "it is stale, and the request takes that",
        Reason::StaleWhileRevalidate => "it is stale, within its window",
        Reason::Stale => "it is stale",
        Reason::SoftPurged => "it was purged softly, and is stale since",
        Reason::NoCache => "it says no-cache",
        Reason::RequestDirective => "the request refuses it as it is",
        Reason::Miss => "nothing is stored under the key",
        Reason::VaryMiss => "of what is stored under the key, nothing selects this request",
        Reason::Identity => "it identifies a person, and the key does not",
        Reason::OnlyIfCached => "the request says only-if-cached, and nothing can be served",
        Reason::Method => "the method is neither GET nor HEAD",
        other => other.as_str(),
    }
}

fn clause(reason: Reason) -> &'static str {
    match reason {
        Reason::Hit | Reason::Stale => "RFC 9111 §4.2",
        Reason::MaxStale => "RFC 9111 §5.2.1.2",
        Reason::StaleWhileRevalidate => "RFC 5861 §3",
        Reason::SoftPurged => "RFC 9111 §4.2.4",
        Reason::NoCache => "RFC 9111 §5.2.2.4",
        Reason::RequestDirective => "RFC 9111 §5.2.1",
        Reason::VaryMiss => "RFC 9111 §4.1",
        Reason::Identity => "promise I8, RFC 9111 §3.5",
        Reason::OnlyIfCached => "RFC 9111 §5.2.1.7",
        _ => "RFC 9111 §4",
    }
}
