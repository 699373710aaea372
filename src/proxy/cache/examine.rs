//! What was stored, beside what the app says now: compared, counted, and told in the log where a write shows to be the
//! cause.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode};

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

/// Bodies that are no longer than this together are compared at once.
const SHORT: usize = 32 << 10;

/// The app's answer, whole.
pub(super) struct AppAnswer {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    /// When its head came.
    pub(super) came: SystemTime,
}

/// What is to be compared with it.
pub(super) struct Held {
    pub(super) variant: Arc<Variant>,
    /// When the app was asked.
    pub(super) asked: SystemTime,
}

/// Compares, and takes what comes of it into the evidence. Returns the verdict.
pub(super) async fn examine(request: &CacheRequest, held: &Held, answer: AppAnswer) -> Verdict {
    let came = answer.came;
    let Some(differences) = find_differences(request, &held.variant, answer).await else {
        return count(request, Verdict::Uncompared);
    };
    if !differences.is_empty() {
        if !is_known_to_be_stale(request, held) {
            let examinations = &request.cache.examinations;
            let Some(_waiting) = examinations.begin_to_wait(request.by_ref().key()) else {
                return count(request, Verdict::Uncompared);
            };
            wait_for_purge(request).await;
        }
        if !is_held_still(request, held).await {
            return count(request, Verdict::Uncompared);
        }
    }
    note(request, held, came, &differences)
}

/// Whether a difference of what is held has waited for its purge already.
fn is_known_to_be_stale(request: &CacheRequest, held: &Held) -> bool {
    let stored = millis(held.variant.stored.response_time);
    let evidence = request.cache.evidence.lock();
    evidence.is_known_to_be_stale(request.by_ref().key(), stored)
}

/// Counts what was not compared.
pub(super) fn count(request: &CacheRequest, verdict: Verdict) -> Verdict {
    let rule = rule_name(request);
    let now = millis(request.by_ref().now());
    request.cache.evidence.lock().count(rule, verdict, now);
    verdict
}

/// The rule as the evidence has it.
pub(super) fn rule_name(request: &CacheRequest) -> &str {
    request.by_ref().rule().name().unwrap_or("-")
}

/// `None`: they cannot be compared, since the app failed or one of them cannot be read.
async fn find_differences(
    request: &CacheRequest,
    variant: &Arc<Variant>,
    answer: AppAnswer,
) -> Option<Vec<String>> {
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let is_coded = |fields: &HeaderMap| fields.contains_key(CONTENT_ENCODING);
    let is_short = variant.body.len() + answer.body.len() <= SHORT;
    if is_short && !is_coded(&variant.stored.headers) && !is_coded(&answer.fields) {
        return differences(request, variant, &answer);
    }
    // Reading them takes a while, and others are answered by this thread.
    let _place = request.cache.examinations.place().await?;
    let (request, variant) = (request.clone(), variant.clone());
    let reading = move || differences(&request, &variant, &answer);
    tokio::task::spawn_blocking(reading).await.ok()?
}

fn differences(
    request: &CacheRequest,
    variant: &Variant,
    answer: &AppAnswer,
) -> Option<Vec<String>> {
    let settings = &request.by_ref().rule().settings;
    let stored = &variant.stored;
    let codings = |fields: &HeaderMap| -> Vec<HeaderValue> {
        fields.get_all(CONTENT_ENCODING).iter().cloned().collect()
    };
    // In one coding the same bytes say the same, whether they can be read here or not.
    let is_same =
        variant.body[..] == answer.body[..] && codings(&stored.headers) == codings(&answer.fields);
    let (one, other) = match is_same {
        true => (Vec::new(), Vec::new()),
        false => {
            // Compressed it is short enough; a bomb it is not to be.
            let cap = settings.max_body.saturating_mul(8);
            let plain = |fields: &HeaderMap, body: &[u8]| content_coding::decode(fields, body, cap);
            (
                plain(&stored.headers, &variant.body)?,
                plain(&answer.fields, &answer.body)?,
            )
        }
    };
    let one = Reply {
        status: stored.status,
        fields: &stored.headers,
        body: &one,
    };
    let other = Reply {
        status: answer.status,
        fields: &answer.fields,
        body: &other,
    };
    Some(compare(one, other, &settings.compared))
}

async fn wait_for_purge(request: &CacheRequest) {
    let began = clock::monotonic();
    tokio::time::sleep(GRACE).await;
    let under_way = || {
        let evidence = request.cache.evidence.lock();
        evidence.under_way.any_since_before(began)
    };
    let writes_have_ended = async {
        loop {
            let mut end = pin!(request.cache.examinations.next_end_of_a_write());
            // From now on, so that none is missed that ends behind the look.
            end.as_mut().enable();
            if !under_way() {
                return;
            }
            end.await;
        }
    };
    let _ = tokio::time::timeout(LONGEST_GRACE, writes_have_ended).await;
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

fn note(request: &CacheRequest, held: &Held, came: SystemTime, differences: &[String]) -> Verdict {
    let (context, rule) = (&request.context, rule_name(request));
    let uri = &context.parts.uri;
    let comparison = Comparison {
        key: request.by_ref().key(),
        basis: context.live.basis(request.lookup.rule),
        path: uri.path(),
        query: uri.query(),
        stored: millis(held.variant.stored.response_time),
        asked: millis(held.asked),
        answered: millis(came),
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
