//! Fetches for the store that no client asked for: by `POST /refresh`, by jobs, after writes.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;

use super::cache::{self, Cache};
use super::outcome::Tally;
use super::request::context::RequestContext;
use super::request::plan::{self, Plan};
use crate::http_cache::Reason;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It is stored in place of what was there.
    Stored,
    /// It is not, for this reason, if it is known; what was there stays.
    NotStored(Option<Reason>),
    /// It is not looked up, for this reason.
    Passed(Reason),
    /// The app answered 429 or 503, and background work stops for so long; what was there stays. It is to be asked for
    /// again.
    ToldToWait(Duration),
}

/// Fetches what `context` asks for, whatever is stored, when it is its turn among all that no client waits for; it is
/// counted and logged as any request (`refresh`).
///
/// Its `fetch_origin` says for whom, its `urgency` how soon. Dropping this before its end gives it up: nothing is stored.
pub async fn refresh(cache: &Arc<Cache>, tally: &Tally, context: RequestContext) -> Refreshed {
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
    let outcome = cache::answer_anew(cache, &context, lookup).await;
    let (stored, reason) = (outcome.is_stored(), outcome.reason());
    let is_told = matches!(
        outcome.response().status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let body = outcome.finish(tally, &context).into_body();
    let is_whole = body.collect().await.is_ok();
    match stored {
        Some(Ok(())) if is_whole => Refreshed::Stored,
        _ if is_told => Refreshed::ToldToWait(gate.stopped_for().unwrap_or_default()),
        Some(Err(reason)) => Refreshed::NotStored(Some(reason)),
        // The head left before that was known.
        None if is_whole && reason == Reason::Refresh => Refreshed::Stored,
        _ => Refreshed::NotStored(Some(reason).filter(|reason| *reason != Reason::Refresh)),
    }
}
