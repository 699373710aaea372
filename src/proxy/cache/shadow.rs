//! A rule in shadow: every request goes to the app, and its client gets the app's answer. What the cache would have served
//! is compared with that; what it lacks is stored as if the rule were on.
//!
//! So shadow keeps entries in the tiers, in their budget and under the rule's priority, and not digests in a place of their
//! own: purges of all sidecars, `Vary`, eviction and lifetimes are what they will be, and once the rule is on it is warm.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::oneshot;

use super::answer::{self, Shape};
use super::examine::{self, AppAnswer, Held};
use super::fill::options::{FetchMode, FillOptions, Leasing, Stale};
use super::lead::lead;
use super::request::{Cache, CacheRequest};
use super::witness::Witness;
use crate::body::Body;
use crate::http_cache::{Reason, Reuse};
use crate::proxy::forward::pass;
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::rollout::Verdict;

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
        (Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. }, Some(variant)) => {
            let asked = request.by_ref().now();
            let held = Held { variant, asked };
            beside(request, held).await
        }
        (Reuse::Pass(_) | Reuse::Unsatisfiable, _) => forward(&request).await,
        _ => store(&request, look.leasing).await,
    }
}

/// Passes on the app's answer, and has it compared with what is held.
async fn beside(request: CacheRequest, held: Held) -> Outcome {
    let outcome = forward(&request).await;
    let (head, is_comparable) = {
        let response = outcome.response();
        let is_whole = request.context.parts.method != Method::HEAD
            && response.status() != StatusCode::PARTIAL_CONTENT
            && response.status() != StatusCode::NOT_MODIFIED;
        ((response.status(), response.headers().clone()), is_whole)
    };
    if !is_comparable {
        count(&request, Verdict::Uncompared);
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
        judge(&request, &held, head, body).await;
    });
    outcome
}

async fn judge(
    request: &CacheRequest,
    held: &Held,
    (status, fields): (StatusCode, http::HeaderMap),
    body: Option<Bytes>,
) {
    let verdict = match body {
        Some(body) => {
            let answer = AppAnswer {
                status,
                fields,
                body,
            };
            examine::examine(request, held, answer).await
        }
        None => examine::count(request, Verdict::Uncompared),
    };
    count_in_metrics(request, verdict);
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
        leasing: match leasing {
            Leasing::Never => Leasing::Never,
            Leasing::Wait | Leasing::Try | Leasing::Renew(_) => Leasing::Try,
        },
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
