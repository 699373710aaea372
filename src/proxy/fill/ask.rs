//! The request to the app and the head of its answer.

use std::time::SystemTime;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::response::Parts;
use http::{Method, Request, Response, StatusCode, Uri};

use super::{Fill, Wish};
use crate::body::{Body, Timed};
use crate::entry::Variant;
use crate::http_cache::{Exchange, Reason, ranges, validation};
use crate::proxy::expect::Expectation;
use crate::proxy::{headers, interim, pass};
use crate::upstream::{Arriving, UpstreamError};

/// The app's answer with the times around its head.
pub(super) struct Arrival {
    pub(super) response: Response<Arriving>,
    pub(super) request_time: SystemTime,
    pub(super) response_time: SystemTime,
}

impl Fill {
    /// Asks for `wish`, or whether `stale` still holds.
    pub(super) async fn ask(
        &self,
        stale: Option<&Variant>,
        wish: &Wish,
    ) -> Result<Box<Arrival>, (StatusCode, Reason)> {
        let quest = &self.quest;
        let rule = quest.asked.live.rule(quest.lookup.rule);
        let request_time = quest.now();
        let started = crate::clock::monotonic();
        let upstream = quest.worker.upstream(&quest.asked.live);
        let mut may_ask_again = true;
        let answer = loop {
            let answer = upstream.send_once(self.request(stale, wish)).await;
            let was_lost = answer.as_ref().is_err_and(UpstreamError::was_lost);
            if !(was_lost && std::mem::take(&mut may_ask_again)) {
                break answer;
            }
        };
        match answer {
            Ok(response) => {
                rule.metrics.upstream(crate::clock::monotonic() - started);
                Ok(Box::new(Arrival {
                    response,
                    request_time,
                    response_time: quest.now(),
                }))
            }
            Err(error) => {
                tracing::warn!(path = quest.asked.parts.uri.path(), %error, "no answer from the app");
                Err(pass::status_of(&error))
            }
        }
    }

    fn request(&self, stale: Option<&Variant>, wish: &Wish) -> Request<Body> {
        let asked = &self.quest.asked;
        let tags = asked.live.rule(self.quest.lookup.rule).tags();
        let mut fields = pass::fields(asked, &Expectation::default());
        match (wish, stale) {
            (Wish::Own, _) => {}
            (Wish::Rest(rest), Some(part)) => ranges::add_rest(&mut fields, &part.stored, rest),
            (_, Some(stale)) if stale.stored.can_be_validated() => {
                validation::add_conditions(&mut fields, &stale.stored);
            }
            (Wish::UnlessHeld, _) => validation::strip_range(&mut fields),
            (Wish::Whole | Wish::Rest(_), _) => validation::strip_conditions(&mut fields),
        }
        if tags.iter().any(|tag| tag.reads_response()) {
            // Tags are read from the body, which a content coding would hide.
            headers::remove(&mut fields, |name| *name == ACCEPT_ENCODING);
        }
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = origin_form(&asked.parts.uri);
        *request.headers_mut() = fields;
        // A refresh has no client to tell.
        let sink = self.reply.as_ref().and(asked.interim.clone());
        interim::hand_on(&mut request, sink, Expectation::default());
        request
    }

    /// The app's answer as the client gets it, with its length if it has one.
    pub(super) fn returned(&self, response: Response<Arriving>) -> (Parts, Timed, Option<u64>) {
        let pool = self.quest.worker.upstream(&self.quest.asked.live);
        let patience = pass::patience(&response, pool);
        let (head, body) = response.into_parts();
        let length = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        (pass::end_to_end(head), body.within(patience), length)
    }
}

impl Arrival {
    /// As the policy sees it.
    pub(super) fn exchange(&self) -> Exchange<'_> {
        Exchange {
            status: self.response.status(),
            headers: self.response.headers(),
            request_time: self.request_time,
            response_time: self.response_time,
        }
    }
}

/// The target as the app is sent it: the client's bytes, without scheme and authority.
pub(in crate::proxy) fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from_static("/"),
    }
}
