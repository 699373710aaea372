//! A rule in shadow: every request goes to the app, and its client gets the app's answer. What the cache would have served
//! is compared with that; what it lacks is stored as if the rule were on.
//!
//! So shadow keeps entries in the tiers, in their budget and under the rule's priority, and not digests in a place of their
//! own: purges of all sidecars, `Vary`, eviction and lifetimes are what they will be, and once the rule is on it is warm.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::sync::oneshot;

use super::ahead;
use super::answer::{self, Shape};
use super::examine::{self, AppAnswer, Held};
use super::fill;
use super::fill::options::{FetchMode, FillOptions, Leasing, Stale};
use super::lead::lead;
use super::request::{Cache, CacheRequest};
use super::witness::Witness;
use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{Reason, Reuse};
use crate::proxy::forward::pass;
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::rollout::Verdict;
use crate::store::Mark;

/// Answers by the app, whatever is stored.
pub(in crate::proxy) async fn answer(
    cache: &Arc<Cache>,
    context: &Arc<RequestContext>,
    lookup: Lookup,
) -> Outcome {
    let request = CacheRequest {
        cache: cache.clone(),
        context: context.clone(),
        lookup: Arc::new(lookup),
    };
    let look = answer::look_in_both(&request).await;
    match (look.verdict, look.variant) {
        (Reuse::Serve { age, reason, .. }, Some(variant)) => {
            let then = match reason {
                Reason::Hit => Then::Ahead(age),
                _ => Then::Nothing,
            };
            beside(request, variant, then).await
        }
        (Reuse::ServeAndRefresh { .. }, Some(variant)) => {
            beside(request, variant, Then::Renewed(look.since)).await
        }
        (Reuse::Pass(_) | Reuse::Unsatisfiable, _) => forward(&request).await,
        _ => store(&request, look.leasing).await,
    }
}

/// What a hit would have done, once it is compared: before, the purge that a difference waits for could not be told from it.
enum Then {
    /// Renewed it before its end, if that is due. It has this age.
    Ahead(Duration),
    /// Renewed what it was served stale. It was looked up after this moment.
    Renewed(Mark),
    /// No more than answer.
    Nothing,
}

/// Passes on the app's answer, and has it compared with what is held.
async fn beside(request: CacheRequest, variant: Arc<Variant>, then: Then) -> Outcome {
    let held = Held {
        variant,
        asked: request.by_ref().now(),
    };
    // Once the rule is on this is a hit.
    request.cache.read_marks.set(request.by_ref().key());
    let outcome = forward(&request).await;
    let came = request.by_ref().now();
    let (head, is_comparable) = {
        let response = outcome.response();
        let is_whole = request.context.parts.method != Method::HEAD
            && response.status() != StatusCode::PARTIAL_CONTENT
            && response.status() != StatusCode::NOT_MODIFIED;
        ((response.status(), response.headers().clone()), is_whole)
    };
    if !is_comparable {
        count(&request, Verdict::Uncompared);
        renew(&request, held, then);
        return outcome;
    }
    let cap = request.by_ref().rule().settings.max_body;
    let (sender, copied) = oneshot::channel();
    let in_flight = request.cache.store.in_flight().clone();
    let outcome = outcome.map_body(|body| {
        let (witness, copied) = Witness::of(body, cap, &in_flight);
        let _ = sender.send(copied);
        Body::stream(witness)
    });
    tokio::spawn(async move {
        let body = match copied.await {
            Ok(copied) => copied.await.ok(),
            Err(_) => None,
        };
        let (status, fields) = head;
        let answer = body.map(|body| AppAnswer {
            status,
            fields,
            body,
            came,
        });
        let verdict = match answer {
            Some(answer) => examine::examine(&request, &held, answer).await,
            None => examine::count(&request, Verdict::Uncompared),
        };
        count_in_metrics(&request, verdict);
        renew(&request, held, then);
    });
    outcome
}

/// As behind a hit: in the background, once for each key.
fn renew(request: &CacheRequest, held: Held, then: Then) {
    match then {
        Then::Ahead(age) => {
            ahead::maybe(request.by_ref(), &held.variant, age);
        }
        Then::Renewed(since) => {
            let stale = Stale {
                variant: Some(held.variant),
                on_error: false,
                since,
            };
            fill::refresh(request.clone(), stale);
        }
        Then::Nothing => {}
    }
}

/// What is not held is stored, and its client gets the app's answer as it comes. Nobody joins such a fill, nor is it
/// validated.
async fn store(request: &CacheRequest, leasing: Leasing) -> Outcome {
    if answer::shape(request.by_ref()) != Shape::Plain {
        count(request, Verdict::Uncompared);
        return forward(request).await;
    }
    count(request, Verdict::Miss);
    let options = FillOptions {
        stale: Stale::default(),
        leader: None,
        leasing: leasing.without_waiting(),
        mode: FetchMode::Conditional,
        report: None,
    };
    lead(request, Reason::Shadow, options).await
}

async fn forward(request: &CacheRequest) -> Outcome {
    pass::forward_at_hand(&request.context, request.lookup.rule, Reason::Shadow).await
}

fn count(request: &CacheRequest, verdict: Verdict) {
    examine::count(request, verdict);
    count_in_metrics(request, verdict);
}

fn count_in_metrics(request: &CacheRequest, verdict: Verdict) {
    let labels = [examine::rule_name(request), verdict.as_str()];
    request
        .cache
        .metrics
        .shadow
        .with_label_values(&labels)
        .inc();
}
