//! Requests that go to the app and back without touching the store.

use http::{Method, Response, StatusCode};

use super::exchange::{exchange, passed_on};
use super::{expect, outgoing};
use crate::body::{Body, Progress, Received};
use crate::http_cache::Reason;
use crate::proxy::outcome::{Outcome, text};
use crate::proxy::request::context::RequestContext;

/// Forwards a request with its body.
pub(in crate::proxy) async fn forward(
    context: &RequestContext,
    rule: Option<usize>,
    reason: Reason,
    body: Received,
) -> Outcome {
    let progress = Progress::default();
    let body = outgoing::body(context, body, &progress, None);
    send(context, rule, reason, body, progress).await
}

/// Forwards a request that has no body, or whose body was read.
pub(in crate::proxy) async fn forward_at_hand(
    context: &RequestContext,
    rule: Option<usize>,
    reason: Reason,
) -> Outcome {
    let (body, progress) = (context.body_at_hand(), Progress::default());
    send(context, rule, reason, body, progress).await
}

async fn send(
    context: &RequestContext,
    rule: Option<usize>,
    reason: Reason,
    body: Body,
    progress: Progress,
) -> Outcome {
    let upstream = context.upstream();
    let (body, expectation) = expect::hold(&context.parts, body);
    let request = outgoing::request(context, body, &expectation);
    let sending = upstream.send_with_retry(request, &progress);
    match exchange(context, rule, sending).await {
        Ok(response) => {
            let response = expectation.answered(passed_on(response, upstream));
            let response = outgoing::end_after_trailers(context, &progress, response);
            let status = response.status();
            Outcome::new(rule, reason, response).asked_app(status)
        }
        Err(failure) => failure.outcome(context, rule),
    }
}

/// Whether a request that is not looked up wants what is stored or nothing (RFC 9111 §5.2.1.7). What
/// Pannier is not to cache it hands on like any proxy.
pub(in crate::proxy) fn is_unsatisfiable(context: &RequestContext, reason: Reason) -> bool {
    let method = &context.parts.method;
    (*method == Method::GET || *method == Method::HEAD)
        && !matches!(
            reason,
            Reason::NoRule | Reason::Disabled | Reason::NotInShare
        )
        && context.directives.only_if_cached
}

/// The answer to a request for what is stored, where nothing is.
pub(in crate::proxy) fn unsatisfiable() -> Response<Body> {
    let words = "nothing is stored for this request, and it says only-if-cached";
    text(StatusCode::GATEWAY_TIMEOUT, words)
}
