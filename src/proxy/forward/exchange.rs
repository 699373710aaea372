//! One exchange with the app: asked, timed and counted; its answer or what takes its place.

use std::future::Future;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, response};

use crate::body::Body;
use crate::clock;
use crate::http_cache::Reason;
use crate::proxy::outcome::{Outcome, text};
use crate::proxy::request::context::RequestContext;
use crate::upstream::{Arriving, Upstream, UpstreamError};

/// The app gave no answer: what the client is told, and why.
#[derive(Debug)]
pub(in crate::proxy) struct NoAnswer {
    pub(in crate::proxy) status: StatusCode,
    pub(in crate::proxy) reason: Reason,
    pub(in crate::proxy) error: UpstreamError,
}

/// Awaits `sending`, a request to the app on behalf of `context` under `rule`. The time to the answer's
/// head is counted for the rule; an error is logged and becomes a status.
pub(in crate::proxy) async fn exchange(
    context: &RequestContext,
    rule: Option<usize>,
    sending: impl Future<Output = Result<Response<Arriving>, UpstreamError>>,
) -> Result<Response<Arriving>, NoAnswer> {
    let started = clock::monotonic();
    match sending.await {
        Ok(response) => {
            let took = clock::monotonic() - started;
            context.live.rule(rule).metrics.upstream(took);
            Ok(response)
        }
        Err(error) => {
            tracing::warn!(path = context.parts.uri.path(), %error, "no answer from the app");
            Err(NoAnswer::from(error))
        }
    }
}

/// The one place where an upstream error becomes a status.
impl From<UpstreamError> for NoAnswer {
    fn from(error: UpstreamError) -> NoAnswer {
        let (status, reason) = match error {
            UpstreamError::Connect(_)
            | UpstreamError::Refused(_)
            | UpstreamError::Broken(_)
            | UpstreamError::Malformed(_) => (StatusCode::BAD_GATEWAY, Reason::UpstreamError),
            UpstreamError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, Reason::UpstreamTimeout),
        };
        NoAnswer {
            status,
            reason,
            error,
        }
    }
}

impl NoAnswer {
    /// The outcome of a request that only passes through.
    pub(in crate::proxy) fn outcome(&self, rule: Option<usize>) -> Outcome {
        let response = text(self.status, explain_failure(self.reason));
        Outcome::new(rule, self.reason, response)
    }
}

/// What the client reads when the app gave no answer.
pub(in crate::proxy) fn explain_failure(reason: Reason) -> &'static str {
    match reason {
        Reason::UpstreamTimeout => "the app did not answer in time",
        Reason::CoalesceTimeout => {
            "another request is still waiting for the app's answer to the same question"
        }
        _ => "the app could not be reached, or its answer broke",
    }
}

/// The app's answer as the client gets it.
pub(in crate::proxy) fn passed_on(
    response: Response<Arriving>,
    upstream: &Upstream,
) -> Response<Body> {
    let timeout = body_timeout(&response, upstream);
    let (head, body) = response.into_parts();
    Response::from_parts(end_to_end(head), Body::stream(body.within(timeout)))
}

/// The head of the app's answer without what was of its connection, its version included
/// (RFC 9110 §2.5).
pub(in crate::proxy) fn end_to_end(mut head: response::Parts) -> response::Parts {
    crate::proxy::hop_by_hop::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    head
}

/// How long the app may pause within a body; an event stream for ever (`None`).
pub(in crate::proxy) fn body_timeout(
    response: &Response<Arriving>,
    upstream: &Upstream,
) -> Option<Duration> {
    (!is_event_stream(response.headers())).then(|| upstream.body_timeout())
}

/// Whether an answer is a stream of events, which has no end to wait for.
pub(in crate::proxy) fn is_event_stream(fields: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.get(..KIND.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}
