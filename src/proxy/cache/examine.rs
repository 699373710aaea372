//! What was stored, beside what the app says now: compared, counted, and told in the log where a write shows to be the
//! cause.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::CacheRequest;
use crate::clock;
use crate::content_coding;
use crate::entry::Variant;
use crate::http_cache::Reuse;
use crate::rollout::{Comparison, Read, Reply, Verdict, compare, missing_purge};

/// A write that has changed the app's answer may be on its way back, and purges what is stored before its own answer
/// leaves: nothing was served that was stale. So long at least a difference waits for its purge.
const GRACE: Duration = Duration::from_secs(1);

/// And so long for writes that this sidecar has under way.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// How often those are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The app's answer, whole.
pub(super) struct AppAnswer {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

/// What is to be compared with it.
pub(super) struct Held {
    pub(super) variant: Arc<Variant>,
    /// When the app was asked.
    pub(super) asked: SystemTime,
}

/// Compares, and takes what comes of it into the evidence. Returns the verdict.
pub(super) async fn examine(request: &CacheRequest, held: &Held, answer: AppAnswer) -> Verdict {
    let Some(differences) = find_differences(request, &held.variant, answer) else {
        return count(request, Verdict::Uncompared);
    };
    if !differences.is_empty() {
        wait_for_purge(request, held).await;
        if !is_held_still(request, held).await {
            return count(request, Verdict::Uncompared);
        }
    }
    note(request, held, &differences)
}

/// Counts what was not compared.
pub(super) fn count(request: &CacheRequest, verdict: Verdict) -> Verdict {
    let rule = rule_name(request);
    request.cache.evidence.lock().count(rule, verdict);
    verdict
}

/// The rule as the evidence has it.
pub(super) fn rule_name(request: &CacheRequest) -> &str {
    request.by_ref().rule().name().unwrap_or("-")
}

/// `None`: they cannot be compared, since the app failed or one of them cannot be read.
fn find_differences(
    request: &CacheRequest,
    variant: &Variant,
    answer: AppAnswer,
) -> Option<Vec<String>> {
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let settings = &request.by_ref().rule().settings;
    // Compressed it is short enough; a bomb it is not to be.
    let cap = settings.max_body.saturating_mul(8);
    let plain = |fields: &HeaderMap, body: &Bytes| content_coding::decode(fields, body, cap);
    let stored = plain(&variant.stored.headers, &variant.body)?;
    let fresh = plain(&answer.fields, &answer.body)?;
    let one = Reply {
        status: variant.stored.status,
        fields: &variant.stored.headers,
        body: &stored,
    };
    let other = Reply {
        status: answer.status,
        fields: &answer.fields,
        body: &fresh,
    };
    Some(compare(one, other, &settings.compared))
}

async fn wait_for_purge(request: &CacheRequest, held: &Held) {
    let began = clock::monotonic();
    tokio::time::sleep(GRACE).await;
    let under_way = || {
        let evidence = request.cache.evidence.lock();
        evidence.under_way.any_since_before(began)
    };
    while under_way()
        && clock::monotonic() - began < LONGEST_GRACE
        && is_held_still(request, held).await
    {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether it would be served still: no purge of any sidecar has come, nor has its time.
async fn is_held_still(request: &CacheRequest, held: &Held) -> bool {
    let asked = request.by_ref();
    let (store, now) = (&asked.cache.store, asked.now());
    let entry = match store.peek(asked.key(), now) {
        Some(entry) => Some(entry),
        None => store.fetch(asked.key(), asked.coherence()).await,
    };
    let (verdict, variant) = asked.decide(entry.as_deref(), now);
    let is_same =
        |found: &&Arc<Variant>| found.stored.response_time == held.variant.stored.response_time;
    matches!(verdict, Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. })
        && variant.filter(is_same).is_some()
}

fn note(request: &CacheRequest, held: &Held, differences: &[String]) -> Verdict {
    let (context, rule) = (&request.context, rule_name(request));
    let uri = &context.parts.uri;
    let comparison = Comparison {
        key: request.by_ref().key(),
        path: uri.path(),
        query: uri.query(),
        stored: millis(held.variant.stored.response_time),
        asked: millis(held.asked),
        differences,
    };
    let (verdict, stale_ms, news) = {
        let mut evidence = request.cache.evidence.lock();
        let (verdict, stale_ms) = evidence.note(rule, &comparison);
        (verdict, stale_ms, evidence.take_news(rule))
    };
    if verdict == Verdict::Stale {
        let seconds = &request.cache.metrics.stale_seconds;
        seconds
            .with_label_values(&[rule])
            .observe(stale_ms as f64 / 1e3);
    }
    if let (Some((kind, tally)), Some(route)) = (news, request.by_ref().rule().route) {
        let finding = missing_purge(
            &Read::new(&route.name, &route.path, &route.key_text),
            &kind,
            tally,
        );
        tracing::warn!(rule, add = finding.rule, "{}", finding.what);
    }
    verdict
}

/// Of fleet time.
pub(in crate::proxy) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
