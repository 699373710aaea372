//! One exchange with the app: asked, timed and counted; its answer or what takes its place.

use std::future::Future;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode, Version, response};

use super::outgoing;
use crate::body::{Body, BodyFault};
use crate::clock;
use crate::gate::Busy;
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
    let (origin, gates) = (context.fetch_origin, &context.live.gates);
    if context.live.config.upstream.limit.is_some() {
        // Boxed, so that a miss does not carry its size.
        Box::pin(wait_for_turn(context, rule)).await?;
    }
    gates.count(origin);
    let started = clock::monotonic();
    match sending.await {
        Ok(response) => {
            let took = clock::monotonic() - started;
            let rule = context.live.rule(rule);
            rule.metrics.upstream(took);
            let (status, fields) = (response.status(), response.headers());
            let usual = &rule.fills.left_alone;
            gates
                .background
                .note_answer(origin, status, fields, took, usual);
            Ok(response)
        }
        Err(error) => {
            gates.background.note_no_answer(origin);
            let path = context.parts.uri.path();
            match error {
                UpstreamError::RequestBody(_) => tracing::debug!(path, %error, "half a request"),
                _ => tracing::warn!(path, %error, "no answer from the app"),
            }
            Err(NoAnswer::from(error))
        }
    }
}

/// Waits until the app may be asked once more (`[upstream] rate`).
async fn wait_for_turn(context: &RequestContext, rule: Option<usize>) -> Result<(), NoAnswer> {
    let priority = context.live.settings(rule).priority;
    let limit = &context.live.gates.limit;
    let turn = limit.pass(context.fetch_origin, context.urgency(priority));
    turn.await.map_err(|Busy| {
        let path = context.parts.uri.path();
        tracing::debug!(path, "as many wait for the app as may, or for too long");
        NoAnswer::from(UpstreamError::Busy)
    })
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
            UpstreamError::Busy | UpstreamError::Crowded(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Reason::UpstreamBusy)
            }
            UpstreamError::RequestBody(BodyFault::Stalled) => {
                (StatusCode::REQUEST_TIMEOUT, Reason::BadRequest)
            }
            UpstreamError::RequestBody(BodyFault::Broken) => {
                (StatusCode::BAD_REQUEST, Reason::BadRequest)
            }
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
    pub(in crate::proxy) fn outcome(
        &self,
        context: &RequestContext,
        rule: Option<usize>,
    ) -> Outcome {
        let mut response = describe_failure(context, self.status, self.reason);
        if matches!(self.error, UpstreamError::RequestBody(_)) {
            // What comes next is the rest of a body whose end nobody knows.
            response = outgoing::end_if_unread(context, response);
        }
        Outcome::new(rule, self.reason, response)
    }
}

/// What the client gets when the app gave no answer.
pub(in crate::proxy) fn describe_failure(
    context: &RequestContext,
    status: StatusCode,
    reason: Reason,
) -> Response<Body> {
    let mut response = text(status, explain_failure(reason));
    if reason == Reason::UpstreamBusy {
        let wait = context.live.gates.limit.retry_after();
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// What the client reads when the app gave no answer.
pub(in crate::proxy) fn explain_failure(reason: Reason) -> &'static str {
    match reason {
        Reason::UpstreamTimeout => "the app did not answer in time",
        Reason::UpstreamBusy => "the app is asked as often as it may be; ask again a little later",
        Reason::CoalesceTimeout => {
            "another request is still waiting for the app's answer to the same question"
        }
        Reason::BadRequest => "the body of the request did not come whole",
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

/// Kinds of content that have one record after another, often without an end.
const STREAMS: [&str; 16] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
    "application/stream+json",
    "application/x-json-stream",
    "multipart/x-mixed-replace",
    "application/grpc",
    "application/connect",
    "application/geo+json-seq",
    "application/jsonlines",
    "application/x-ldjson",
    "application/vnd.docker.raw-stream",
    "application/vnd.docker.multiplexed-stream",
];

/// Whether an answer is a stream of events, which has no end to wait for. One that states its length has.
pub(in crate::proxy) fn is_event_stream(fields: &HeaderMap) -> bool {
    let Some(kind) = fields.get(CONTENT_TYPE) else {
        return false;
    };
    let mut parts = kind.as_bytes().split(|byte| *byte == b';');
    let kind = parts.next().unwrap_or_default().trim_ascii();
    // `;stream=watch` of Kubernetes, `;subscriptionSpec=1.0` of GraphQL.
    let says_so = parts.any(|parameter| {
        let name = parameter.split(|byte| *byte == b'=').next();
        let name = name.unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"stream") || name.eq_ignore_ascii_case(b"subscriptionspec")
    });
    // `application/grpc+proto` and `-web` are of the same kind.
    let is_kind = |stream: &&str| {
        let (name, suffix) = kind.split_at(kind.len().min(stream.len()));
        name.eq_ignore_ascii_case(stream.as_bytes()) && matches!(suffix, [] | [b'+' | b'-', ..])
    };
    (says_so || STREAMS.iter().any(is_kind)) && !fields.contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_has_no_end_is_known_by_its_kind() {
        let rows = [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/x-ndjson", true),
            ("application/jsonl ;charset=utf-8", true),
            ("application/json-seq", true),
            ("multipart/x-mixed-replace; boundary=frame", true),
            ("application/grpc+proto", true),
            ("application/json;stream=watch", true),
            ("application/json; streamed=1", false),
            (
                "multipart/mixed;boundary=graphql; subscriptionSpec=1.0",
                true,
            ),
            ("application/connect+json", true),
            ("application/vnd.docker.raw-stream", true),
            ("application/grpc-web+proto", true),
            ("text/event-streams", false),
            ("application/json", false),
            ("multipart/mixed", false),
            ("", false),
        ];
        for (kind, expected) in rows {
            let mut fields = HeaderMap::new();
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_event_stream(&fields), expected, "{kind}");
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("9"));
            assert!(!is_event_stream(&fields), "{kind} with a length");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }
}
