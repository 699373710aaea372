//! Fetches for the store that no client asked for: by `POST /refresh`.

use std::sync::Arc;

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
    /// It is not, for this reason, if it is known, the app having answered so; what was there stays.
    NotStored(Option<Reason>, StatusCode),
    /// It is not looked up, for this reason.
    Passed(Reason),
}

/// Fetches what `context` asks for, whatever is stored; it is counted and logged as any request (`refresh`).
pub async fn refresh(cache: &Arc<Cache>, tally: &Tally, context: RequestContext) -> Refreshed {
    let lookup = match plan::plan(&context) {
        Plan::Cache(lookup) => lookup,
        Plan::Shadow(_) => return Refreshed::Passed(Reason::Shadow),
        Plan::Pass { reason, .. } => return Refreshed::Passed(reason),
        Plan::Write(_) | Plan::Purge | Plan::Upgrade { .. } => {
            return Refreshed::Passed(Reason::Method);
        }
    };
    let context = Arc::new(context);
    let outcome = cache::answer_anew(cache, &context, lookup).await;
    let (stored, reason) = (outcome.is_stored(), outcome.reason());
    let status = outcome.response().status();
    let body = outcome.finish(tally, &context).into_body();
    let is_whole = body.collect().await.is_ok();
    match stored {
        // An error is kept for a moment, and is not what was asked for.
        _ if status.is_server_error() => Refreshed::NotStored(Some(Reason::Status), status),
        Some(Ok(())) if is_whole => Refreshed::Stored,
        Some(Err(reason)) => Refreshed::NotStored(Some(reason), status),
        // The head left before that was known.
        None if is_whole && reason == Reason::Refresh => Refreshed::Stored,
        _ => {
            let reason = Some(reason).filter(|reason| *reason != Reason::Refresh);
            Refreshed::NotStored(reason, status)
        }
    }
}
