//! Fetches for the store that no client asked for: by `POST /refresh`, by jobs, after writes.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;

use super::cache::{self, Cache};
use super::outcome::Tally;
use super::request::context::RequestContext;
use super::request::plan::{self, Lookup, Plan};
use crate::http_cache::Reason;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It is stored in place of what was there.
    Stored,
    /// It is not, for this reason, if it is known, the app having answered so; what was there stays.
    NotStored(Option<Reason>, StatusCode),
    /// It is not looked up, for this reason.
    Passed(Reason),
    /// The app answered 429 or 503, and background work stops for so long; what was there stays. It is to be asked for
    /// again.
    ToldToWait(Duration),
}

/// The app's own timeouts are enough.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

/// Fetches what `context` asks for, whatever is stored, when it is its turn among all that no client waits for; it is
/// counted and logged as any request (`refresh`).
///
/// Its `fetch_origin` says for whom, its `urgency` how soon. Dropping this before its end gives it up: nothing is stored.
pub async fn refresh(cache: &Arc<Cache>, tally: &Tally, context: RequestContext) -> Refreshed {
    refresh_within(cache, tally, context, NO_LIMIT).await
}

/// As [`refresh`], for so long at most once it is its turn.
pub async fn refresh_within(
    cache: &Arc<Cache>,
    tally: &Tally,
    context: RequestContext,
    limit: Duration,
) -> Refreshed {
    let lookup = match plan::plan(&context) {
        Plan::Cache(lookup) => lookup,
        Plan::Shadow(_) => return Refreshed::Passed(Reason::Shadow),
        Plan::Pass { reason, .. } => return Refreshed::Passed(reason),
        Plan::Write(_) | Plan::Purge | Plan::Upgrade { .. } => {
            return Refreshed::Passed(Reason::Method);
        }
    };
    let gate = context.live.gates.background.clone();
    let of_rule = context.live.rule(lookup.rule).settings.priority;
    let _turn = gate.begin(context.urgency(of_rule)).await;
    let context = Arc::new(context);
    let fetching = fetch(cache, tally, &context, lookup);
    let late = Refreshed::NotStored(Some(Reason::UpstreamTimeout), StatusCode::GATEWAY_TIMEOUT);
    let fetched = tokio::time::timeout(limit, fetching).await;
    match fetched.unwrap_or(late) {
        Refreshed::ToldToWait(_) => Refreshed::ToldToWait(gate.stopped_for().unwrap_or_default()),
        fetched => fetched,
    }
}

async fn fetch(
    cache: &Arc<Cache>,
    tally: &Tally,
    context: &Arc<RequestContext>,
    lookup: Lookup,
) -> Refreshed {
    let (report, reported) = oneshot::channel();
    let outcome = cache::answer_anew(cache, context, lookup, Some(report)).await;
    let (known, reason) = (outcome.is_stored(), outcome.reason());
    let (status, is_asked) = (outcome.response().status(), outcome.has_asked_app());
    // Held and not read: the fill reads it for the store, and letting go of it gives that up. What is not stored, an
    // endless one among them, is let go of as soon as that is known.
    let body = outcome.finish(tally, context).into_body();
    let stored = reported.await.ok();
    drop(body);
    let is_told = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status);
    // Without a word of the fill there was none, or it broke down.
    match stored.or(known.filter(Result::is_err)) {
        Some(Err(reason)) if !is_asked => Refreshed::NotStored(Some(reason), status),
        _ if is_told => Refreshed::ToldToWait(Duration::ZERO),
        // An error is kept for a moment, and is not what was asked for.
        _ if status.is_server_error() => Refreshed::NotStored(Some(Reason::Status), status),
        Some(Ok(())) => Refreshed::Stored,
        Some(Err(reason)) => Refreshed::NotStored(Some(reason), status),
        None => {
            let reason = Some(reason).filter(|reason| *reason != Reason::Refresh);
            Refreshed::NotStored(reason, status)
        }
    }
}
