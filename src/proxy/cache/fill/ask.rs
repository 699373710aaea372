//! The request to the app and the head of its answer.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::response::Parts;
use http::{Method, Request, Response};

use super::options::FetchMode;
use crate::body::{Body, Timed};
use crate::content_coding;
use crate::entry::Variant;
use crate::http_cache::{Exchange, ranges, validation};
use crate::proxy::cache::request::CacheRequestRef;
use crate::proxy::forward::exchange::{NoAnswer, body_timeout, end_to_end, exchange};
use crate::proxy::forward::expect::Expectation;
use crate::proxy::forward::outgoing;
use crate::proxy::request::sent_body::SentBody;
use crate::upstream::{Arriving, UpstreamError};

/// The app's answer with the times around its head.
pub(super) struct Arrival {
    pub(super) response: Response<Arriving>,
    pub(super) request_time: SystemTime,
    pub(super) response_time: SystemTime,
    clock_lead: Duration,
}

/// Who hears of the app's interim answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// The client that caused the fill.
    Client,
    /// Nobody: a refresh has no client.
    Nobody,
}

/// Asks the app by `mode`, or whether `stale` still holds; once more if the connection was lost before
/// an answer began. The request is built anew for that: copying each one, as for requests that only pass,
/// would cost every miss.
pub(super) async fn ask(
    request: CacheRequestRef<'_>,
    stale: Option<&Variant>,
    mode: &FetchMode,
    listener: Listener,
) -> Result<Box<Arrival>, NoAnswer> {
    let request_time = request.now();
    let upstream = request.context.upstream();
    // Pinned here, so that the exchange does not move it.
    let sending = pin!(async {
        let mut may_ask_again = true;
        loop {
            let answer = upstream
                .send_once(build(request, stale, mode, listener))
                .await;
            let was_lost = answer.as_ref().is_err_and(UpstreamError::was_lost);
            if !(was_lost && std::mem::take(&mut may_ask_again)) {
                return answer;
            }
        }
    });
    let response = exchange(request.context, request.lookup.rule, sending).await?;
    Ok(Box::new(Arrival {
        response,
        request_time,
        response_time: request.now(),
        clock_lead: request.cache.clock.lead(),
    }))
}

fn build(
    request: CacheRequestRef<'_>,
    stale: Option<&Variant>,
    mode: &FetchMode,
    listener: Listener,
) -> Request<Body> {
    let context = request.context;
    let mut fields = outgoing::fields(context, &Expectation::default());
    let rule = request.rule();
    rule.policy.variation.put_preferences(&mut fields);
    match (mode, stale) {
        (FetchMode::AsClient, _) => {}
        (FetchMode::MissingRange(rest), Some(part)) => {
            ranges::add_rest(&mut fields, &part.stored, rest);
        }
        (_, Some(stale)) if may_validate(request, stale) => {
            validation::add_conditions(&mut fields, &stale.stored);
        }
        (FetchMode::Conditional, _) => validation::strip_range(&mut fields),
        (FetchMode::Full | FetchMode::MissingRange(_), _) => {
            validation::strip_conditions(&mut fields);
        }
    }
    if rule.reads_answer()
        && let Some(accepted) = fields.get(ACCEPT_ENCODING)
    {
        // The body is read here too.
        let readable = content_coding::restrict_to_readable(accepted);
        fields.insert(ACCEPT_ENCODING, readable);
    }
    let mut to_app = Request::new(context.body_at_hand());
    *to_app.method_mut() = match context.sent {
        // HEAD or GET.
        SentBody::Unread | SentBody::Unreadable => Method::GET,
        SentBody::Whole(_) => context.parts.method.clone(),
    };
    *to_app.uri_mut() = outgoing::origin_form(&context.parts.uri);
    *to_app.headers_mut() = fields;
    if listener == Listener::Client {
        let sink = context.interim.clone();
        outgoing::hand_on_interim(&mut to_app, sink, Expectation::default());
    }
    to_app
}

/// Whether the app can be asked if `stale` still holds; conditions are of GET (RFC 9110 §13.1).
pub(super) fn may_validate(request: CacheRequestRef<'_>, stale: &Variant) -> bool {
    request.context.sent.as_whole().is_none() && stale.stored.can_be_validated()
}

/// The app's answer as the client gets it: its head and its body.
pub(super) fn take_apart(
    request: CacheRequestRef<'_>,
    response: Response<Arriving>,
) -> (Parts, Timed) {
    let timeout = body_timeout(&response, request.context.upstream());
    let (head, body) = response.into_parts();
    (end_to_end(head), body.within(timeout))
}

impl Arrival {
    /// The length that it states.
    pub(super) fn length(&self) -> Option<u64> {
        let length = self.response.headers().get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// As RFC 9111 sees it.
    pub(super) fn exchange(&self) -> Exchange<'_> {
        Exchange {
            status: self.response.status(),
            headers: self.response.headers(),
            request_time: self.request_time,
            response_time: self.response_time,
            clock_lead: self.clock_lead,
        }
    }
}
