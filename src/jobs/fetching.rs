//! One fetch of a run: asked of the app as nobody's request, stored by the rules like any other.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::agenda::{Each, Fetch, Fetched, What};
use crate::entry::Priority;
use crate::http_cache::Reason;
use crate::live::Live;
use crate::politeness::FetchOrigin;
use crate::proxy::refresh::{Refreshed, refresh_within};
use crate::proxy::request::context::RequestContext;
use crate::proxy::unsent::{self, ReadError, ReadLimits};
use crate::proxy::{Cache, Tally, Worker};

/// Bytes of a list's answer.
const MAX_LIST: usize = 4 << 20;

/// What fetches: a worker that answers no client.
pub(super) struct Fetcher {
    pub(super) cache: Arc<Cache>,
    tally: Arc<Tally>,
    pool: usize,
}

/// What holds for all fetches of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    /// For each, once it is its turn.
    pub(super) timeout: Duration,
    /// Who goes first at the gate.
    pub(super) priority: Priority,
    /// Whether what is fresh is left as it is.
    pub(super) spares_fresh: bool,
    /// What URLs are made of, where a list names them.
    pub(super) each: Option<Arc<Each>>,
    /// Scheme and host of those.
    pub(super) origin: String,
}

impl Fetcher {
    pub(super) fn of(worker: Worker) -> Fetcher {
        Fetcher {
            cache: worker.cache,
            tally: worker.tally,
            pool: worker.index,
        }
    }

    fn request(
        &self,
        live: &Arc<Live>,
        how: &How,
        fetch: &Fetch,
    ) -> Result<RequestContext, String> {
        let mut request = unsent::request(&fetch.url, &fetch.fields, live, self.pool)?;
        request.fetch_origin = FetchOrigin::Warm;
        request.urgency = Some(how.priority);
        Ok(request)
    }
}

/// Carries a fetch out.
pub(super) async fn carry_out(
    fetcher: Arc<Fetcher>,
    live: Arc<Live>,
    how: How,
    fetch: Fetch,
) -> Fetched {
    match fetch.what {
        What::Page => page(&fetcher, &live, &how, &fetch).await,
        What::List => list(&fetcher, &live, &how, &fetch).await,
    }
}

async fn page(fetcher: &Fetcher, live: &Arc<Live>, how: &How, fetch: &Fetch) -> Fetched {
    let request = || fetcher.request(live, how, fetch);
    if how.spares_fresh
        && let Ok(context) = request()
        && unsent::is_fresh(&fetcher.cache, context).await
    {
        return Fetched::Fresh;
    }
    let Ok(context) = request() else {
        return Fetched::Refused(Reason::BadRequest.as_str());
    };
    match refresh_within(&fetcher.cache, &fetcher.tally, context, how.timeout).await {
        Refreshed::Stored => Fetched::Stored,
        Refreshed::ToldToWait(delay) => told_to_wait(delay),
        Refreshed::Passed(reason) => Fetched::Refused(reason.as_str()),
        Refreshed::NotStored(reason, status) => judge(reason, status),
    }
}

/// The app answered 429 or 503, and background work stops for so long.
fn told_to_wait(delay: Duration) -> Fetched {
    match delay.is_zero() {
        true => Fetched::Failed("the app is busy (429 or 503)".to_owned()),
        false => Fetched::PutOff(delay.as_millis() as u64),
    }
}

/// What is not stored: for good, or for now.
fn judge(reason: Option<Reason>, status: StatusCode) -> Fetched {
    let is_apps = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    match reason {
        Some(Reason::LeaseLost) => Fetched::Taken(Reason::LeaseLost.as_str()),
        // The app was not asked.
        Some(Reason::FillsFull) => Fetched::Failed(Reason::FillsFull.as_str().to_owned()),
        _ if is_apps => Fetched::Failed(format!("the app answered {status}")),
        None => Fetched::Failed("it did not come whole".to_owned()),
        Some(reason) if may_pass(reason) => Fetched::Failed(reason.as_str().to_owned()),
        Some(reason) => Fetched::Refused(reason.as_str()),
    }
}

/// Whether the next try may be stored.
fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UpstreamError
            | Reason::UpstreamTimeout
            | Reason::CoalesceTimeout
            | Reason::Incomplete
            | Reason::Fenced
            | Reason::InFlightFull
            | Reason::Unwanted
    )
}

async fn list(fetcher: &Fetcher, live: &Arc<Live>, how: &How, fetch: &Fetch) -> Fetched {
    let request = fetcher.request(live, how, fetch);
    let (Ok(context), Some(each)) = (request, &how.each) else {
        return Fetched::Refused(Reason::BadRequest.as_str());
    };
    let limits = ReadLimits {
        bytes: MAX_LIST,
        time: how.timeout,
    };
    let read = unsent::read(&fetcher.cache, &fetcher.tally, context, limits).await;
    let body = match read {
        Ok(body) => body,
        Err(ReadError::ToldToWait(delay)) => return told_to_wait(delay),
        Err(ReadError::TooLarge) => return Fetched::Refused(Reason::TooLarge.as_str()),
        Err(error) if error.may_pass() => return Fetched::Failed(error.to_string()),
        Err(ReadError::Status(_)) => return Fetched::Refused(Reason::Status.as_str()),
        Err(_) => return Fetched::Refused(Reason::BadRequest.as_str()),
    };
    let answer = serde_json::from_slice(&body).map_err(|_| "the answer is no JSON".to_owned());
    match answer.and_then(|answer| each.expand(&answer)) {
        Ok(expanded) => {
            let pages = expanded.urls.iter().map(|url| Fetch {
                what: What::Page,
                url: format!("{}{url}", how.origin),
                fields: fetch.fields.clone(),
                tries: 0,
                put_off: 0,
            });
            let without = expanded.without + expanded.too_many;
            Fetched::Listed(pages.collect(), without as u64)
        }
        Err(why) => Fetched::Failed(why),
    }
}
