//! The wait for what another request fetches.

use http::StatusCode;
use tokio::time::Instant;

use super::coalesce::{FillResult, Ready, Waited, Waiter};
use super::failure::{failed, stale_if_error};
use super::fill::options::Stale;
use super::lead::ask_alone;
use super::request::{CacheRequest, CacheRequestRef};
use super::respond;
use crate::entry::Entry;
use crate::http_cache::{Reason, Reuse};
use crate::metrics::GaugeGuard;
use crate::proxy::outcome::Outcome;

/// What a request does after it has waited for another one's fill.
pub(super) enum Next {
    Done(Outcome),
    /// Look again.
    LookAgain,
    /// Look again, and ask without conditions.
    AskUnconditionally,
    /// Look again, unless the app failed before: then this is the answer.
    AfterFailure(Outcome),
    /// The answer is of another kind: look again, unless it was so before.
    OfAnotherKind,
}

/// Waits for another request's fill, which `reason` would have this one ask for.
pub(super) async fn follow(
    owned: &CacheRequest,
    mut waiter: Waiter,
    reason: Reason,
    stale: Stale,
) -> Next {
    let request = owned.by_ref();
    let joined = waiter.joined;
    let waiting = GaugeGuard::new(&request.cache.metrics.coalesced_waiters);
    let waited = waiter.wait(request.app_timeout()).await;
    drop(waiting);
    if waiter.redis_was_late() {
        request.context.note_redis_is_late();
    }
    let result = match waited {
        Waited::Ended(result) => result,
        Waited::Slow => return alone(owned, reason, stale).await,
        Waited::Nothing => {
            let (status, failure) = (StatusCode::GATEWAY_TIMEOUT, Reason::CoalesceTimeout);
            return after_failure(request, reason, &stale, status, failure);
        }
    };
    match result {
        FillResult::Ready(ready) if ready.answers(joined, request.coherence()) => {
            match serve_fetched(request, ready, joined, reason) {
                Ok(outcome) => Next::Done(outcome),
                Err(Unfit::OfAnotherKind) => Next::OfAnotherKind,
                Err(Unfit::TooOld) => alone(owned, Reason::Stale, stale).await,
            }
        }
        FillResult::Ready(_) | FillResult::Again => Next::LookAgain,
        FillResult::Unmodified => Next::AskUnconditionally,
        FillResult::Uncacheable => alone(owned, reason, stale).await,
        FillResult::Failed(status, failure) => {
            after_failure(request, reason, &stale, status, failure)
        }
    }
}

async fn alone(owned: &CacheRequest, reason: Reason, stale: Stale) -> Next {
    Next::Done(ask_alone(owned, reason, stale).await.collapsed())
}

fn after_failure(
    request: CacheRequestRef<'_>,
    reason: Reason,
    stale: &Stale,
    status: StatusCode,
    failure: Reason,
) -> Next {
    match &stale.variant {
        Some(variant) if stale.on_error => {
            Next::Done(stale_if_error(request, variant).because(reason).collapsed())
        }
        held => {
            let outcome = failed(request, held, status, failure);
            let outcome = outcome.because(reason).collapsed();
            // What broke the connection may have been the leader's own fields.
            match failure {
                Reason::UpstreamError => Next::AfterFailure(outcome),
                _ => Next::Done(outcome),
            }
        }
    }
}

/// Why what another request fetched does not answer this one.
enum Unfit {
    /// It selects other requests.
    OfAnotherKind,
    /// This one came after the app was asked, and wants it validated.
    TooOld,
}

fn serve_fetched(
    request: CacheRequestRef<'_>,
    ready: Ready,
    joined: Instant,
    reason: Reason,
) -> Result<Outcome, Unfit> {
    let now = request.now();
    let entry = Entry {
        variants: vec![ready.variant],
    };
    let (age, ttl) = match request.decide(Some(&entry), now) {
        (Reuse::Serve { age, ttl, .. }, Some(_)) => (age, ttl),
        (_, None) => return Err(Unfit::OfAnotherKind),
        // The app was asked after this request came, which is all that a validation could add.
        (Reuse::Validate { .. } | Reuse::ServeAndRefresh { .. }, Some(variant))
            if joined <= ready.asked =>
        {
            (variant.stored.age(now), variant.stored.ttl(now))
        }
        (_, Some(_)) => return Err(Unfit::TooOld),
    };
    let variant = entry.variants[0].clone();
    let response = respond::stored(&request.head(), variant, age);
    let outcome = request.outcome(Reason::Collapsed, response);
    Ok(outcome.because(reason).ttl(ttl).collapsed())
}
