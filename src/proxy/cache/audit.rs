//! A few of the hits are asked of the app as well, in the background: how often what is served is wrong, and what differs.
//!
//! The request is the one that hit, with its own credentials and no other's. One is under way at a time, and each is
//! followed by a pause of ten times what the app took, so that audits are never a tenth of its work; one that gets no
//! answer pauses longer. None waits for its turn among other background work: there are more hits (promise I13).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::audits::Turn;
use super::examine::{self, AppAnswer, Held};
use super::fill::asked_anew;
use super::request::{Cache, CacheRequest};
use crate::body::Timed;
use crate::entry::Variant;
use crate::in_flight::Share;
use crate::politeness::FetchOrigin;
use crate::proxy::forward::exchange::is_event_stream;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::proxy::request::sent_body::SentBody;
use crate::rollout::{Rate, Verdict};

/// The pause after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The longest that one may take, from the request to the end of the answer.
const LONGEST: Duration = Duration::from_secs(60);

/// Audits this hit, if it is one of the few.
#[inline]
pub(super) fn maybe(
    cache: &Arc<Cache>,
    context: &RequestContext,
    lookup: &Lookup,
    variant: &Arc<Variant>,
) {
    let rate = context.live.rule(lookup.rule).settings.audit;
    if rate != Rate::NONE && rate.takes(fastrand::u32(..)) {
        begin(cache, context, lookup, variant);
    }
}

/// Not inlined: few hits come here.
#[cold]
fn begin(cache: &Arc<Cache>, context: &RequestContext, lookup: &Lookup, variant: &Arc<Variant>) {
    let is_plain = context.parts.method == Method::GET
        && !matches!(context.sent, SentBody::Whole(_))
        && variant.stored.part.is_none();
    let gate = &context.live.gates.background;
    let Some(turn) = is_plain.then(|| cache.audits.begin(gate)).flatten() else {
        return;
    };
    let request = CacheRequest {
        cache: cache.clone(),
        context: Arc::new(context.unheard(FetchOrigin::Audit)),
        lookup: Arc::new(lookup.clone()),
    };
    let held = Held {
        variant: variant.clone(),
        asked: request.by_ref().now(),
    };
    tokio::spawn(audit(request, held, turn));
}

async fn audit(request: CacheRequest, held: Held, mut turn: Turn) {
    let answer = ask(&request, &mut turn).await;
    drop(turn);
    let verdict = match answer {
        Some(answer) => examine::examine(&request, &held, answer).await,
        None => examine::count(&request, Verdict::Uncompared),
    };
    let labels = [examine::rule_name(&request), verdict.as_str()];
    let audits = &request.cache.metrics.audits;
    audits.with_label_values(&labels).inc();
}

/// The app's answer, if it comes whole and can be compared.
async fn ask(request: &CacheRequest, turn: &mut Turn) -> Option<AppAnswer> {
    turn.pause = Some(PAUSE_AFTER_FAILURE);
    // Others wait for the turn, and the app may never come to an end.
    let answer = tokio::time::timeout(LONGEST, read(request)).await.ok()??;
    turn.pause = None;
    Some(answer)
}

async fn read(request: &CacheRequest) -> Option<AppAnswer> {
    let share = request.cache.store.in_flight().take(0);
    let (head, body) = asked_anew(request.by_ref()).await?;
    if matches!(
        head.status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) || is_event_stream(&head.headers)
    {
        return None;
    }
    let came = request.by_ref().now();
    let cap = request.by_ref().rule().settings.max_body;
    Some(AppAnswer {
        status: head.status,
        fields: head.headers,
        body: gather(body, cap, share).await?,
        came,
    })
}

/// The whole body, if it is no longer than `cap` and there is room for it as it comes.
async fn gather(mut body: Timed, cap: usize, mut share: Share) -> Option<Bytes> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.ok()?.into_data() else {
            continue;
        };
        let fits = bytes.len() + piece.len() <= cap && share.try_grow(piece.len() as u64);
        if !fits {
            return None;
        }
        bytes.extend_from_slice(&piece);
    }
    Some(share.hold(bytes.into()))
}
