//! Requests that go to the app and back without touching the store.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, response};
use hyper::body::Incoming;

use super::expect::{self, Expectation};
use super::outcome::{Outcome, text};
use super::{Asked, Worker, fill, headers, hops, interim};
use crate::body::{Body, Progress};
use crate::http_cache::Reason;
use crate::upstream::{Arriving, Upstream, UpstreamError};

/// Forwards a request with its body.
pub(super) async fn forward(
    worker: &Worker,
    asked: &Asked,
    rule: Option<usize>,
    reason: Reason,
    body: Incoming,
) -> Outcome {
    let progress = Progress::default();
    let body = asked.body(body, &progress, None);
    send(worker, asked, rule, reason, body, progress).await
}

/// Forwards a request that has no body.
pub(super) async fn forward_bodiless(
    worker: &Worker,
    asked: &Asked,
    rule: Option<usize>,
    reason: Reason,
) -> Outcome {
    let (body, progress) = (Body::empty(), Progress::default());
    send(worker, asked, rule, reason, body, progress).await
}

async fn send(
    worker: &Worker,
    asked: &Asked,
    rule: Option<usize>,
    reason: Reason,
    body: Body,
    progress: Progress,
) -> Outcome {
    let upstream = worker.upstream(&asked.live);
    let started = crate::clock::monotonic();
    let (body, expectation) = expect::hold(&asked.parts, body);
    let request = request(asked, body, &expectation);
    match upstream.send_with_retry(request, &progress).await {
        Ok(response) => {
            asked
                .live
                .rule(rule)
                .metrics
                .upstream(crate::clock::monotonic() - started);
            let response = expectation.answered(returned(response, upstream));
            let status = response.status();
            Outcome::new(rule, reason, response).asked_app(status)
        }
        Err(error) => failed(asked, rule, &error),
    }
}

/// The request as the app gets it. Interim answers to it are handed on to the client.
pub(super) fn request(asked: &Asked, body: Body, expectation: &Expectation) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = asked.parts.method.clone();
    *request.uri_mut() = fill::origin_form(&asked.parts.uri);
    *request.headers_mut() = fields(asked, expectation);
    hops::pass(&asked.parts.method, request.headers_mut());
    if streams_without_length(&request) {
        // hyper would take a GET's body for absent.
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    interim::hand_on(&mut request, asked.interim.clone(), expectation.clone());
    request
}

/// The client's fields as the app gets them.
pub(super) fn fields(asked: &Asked, expectation: &Expectation) -> HeaderMap {
    let mut fields = asked.parts.headers.clone();
    headers::strip_hop_by_hop(&mut fields);
    if expectation.is_none() {
        // RFC 9110 §10.1.1: not without a body to wait for, nor from HTTP/1.0.
        headers::remove(&mut fields, |name| *name == EXPECT);
    }
    if headers::takes_trailers(&asked.parts) {
        headers::ask_for_trailers(&mut fields);
    }
    headers::add_forwarding(
        &mut fields,
        asked.peer,
        &asked.host,
        asked.parts.version,
        asked.scheme(),
    );
    fields
}

fn streams_without_length(request: &Request<Body>) -> bool {
    request.body().is_streamed() && !request.headers().contains_key(CONTENT_LENGTH)
}

/// The app's answer as the client gets it.
pub(super) fn returned(response: Response<Arriving>, upstream: &Upstream) -> Response<Body> {
    let patience = patience(&response, upstream);
    let (head, body) = response.into_parts();
    Response::from_parts(end_to_end(head), Body::stream(body.within(patience)))
}

/// The head of the app's answer without what was of its connection, its version included
/// (RFC 9110 §2.5).
pub(super) fn end_to_end(mut head: response::Parts) -> response::Parts {
    headers::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    head
}

/// How long the app may pause within a body: an event stream for ever.
pub(super) fn patience(response: &Response<Arriving>, upstream: &Upstream) -> Option<Duration> {
    (!is_event_stream(response.headers())).then(|| upstream.body_timeout())
}

/// Whether an answer is a stream of events, which has no end to wait for.
pub(super) fn is_event_stream(fields: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.get(..KIND.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

/// Whether a request that is not looked up wants what is stored or nothing (RFC 9111 §5.2.1.7). What
/// Pannier is not to cache it hands on like any proxy.
pub(super) fn is_unsatisfiable(asked: &Asked, reason: Reason) -> bool {
    let method = &asked.parts.method;
    (*method == Method::GET || *method == Method::HEAD)
        && !matches!(reason, Reason::NoRule | Reason::Disabled)
        && asked.directives.only_if_cached
}

/// The answer to a request for what is stored, where nothing is.
pub(super) fn unsatisfiable() -> Response<Body> {
    let words = "nothing is stored for this request, and it says only-if-cached";
    text(StatusCode::GATEWAY_TIMEOUT, words)
}

/// The answer when the app gave none.
pub(super) fn failed(asked: &Asked, rule: Option<usize>, error: &UpstreamError) -> Outcome {
    tracing::warn!(path = asked.parts.uri.path(), %error, "no answer from the app");
    let (status, reason) = status_of(error);
    Outcome::new(rule, reason, text(status, words(reason)))
}

/// The one place where an upstream error becomes a status.
pub(super) fn status_of(error: &UpstreamError) -> (StatusCode, Reason) {
    match error {
        UpstreamError::Connect(_)
        | UpstreamError::Refused(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Malformed(_) => (StatusCode::BAD_GATEWAY, Reason::UpstreamError),
        UpstreamError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, Reason::UpstreamTimeout),
    }
}

/// What the client reads when the app gave no answer.
pub(super) fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::UpstreamTimeout => "the app did not answer in time",
        Reason::CoalesceTimeout => {
            "another request is still waiting for the app's answer to the same question"
        }
        _ => "the app could not be reached, or its answer broke",
    }
}
