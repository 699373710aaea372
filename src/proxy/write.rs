//! Writes: forwarded, and what they made stale is purged before their answer leaves (promise I2).

mod companions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::effects::{self, Extent, Said};
use super::outcome::{Outcome, text};
use super::plan::Effects;
use super::{Asked, Worker, expect, headers, pass, variables};
use crate::body::{Body, BoxError, Copy, Progress};
use crate::drain::Drain;
use crate::http_cache::Reason;
use crate::routes::{Pattern, Purge};
use crate::upstream::{Arriving, UpstreamError};

/// After its client was told of a timeout, the longest wait for the app to say how a write ended.
const LATE: Duration = Duration::from_secs(600);

/// Forwards a write. The work is detached: a client that hangs up does not stop the purge.
pub(super) async fn forward(
    worker: &Arc<Worker>,
    asked: &Arc<Asked>,
    effects: Effects,
    body: Incoming,
    drain: Drain,
) -> Outcome {
    let rule = effects.rule;
    let (reply, outcome) = oneshot::channel();
    let write = Write {
        worker: worker.clone(),
        asked: asked.clone(),
        effects,
        drain,
        copy: None,
        progress: Progress::default(),
        companions: Vec::new(),
    };
    tokio::spawn(write.run(body, reply));
    match outcome.await {
        Ok(outcome) => outcome,
        Err(_) => {
            let words = pass::words(Reason::UpstreamError);
            let response = text(StatusCode::BAD_GATEWAY, words);
            Outcome::new(rule, Reason::UpstreamError, response)
        }
    }
}

struct Write {
    worker: Arc<Worker>,
    /// Held until the purge is done.
    drain: Drain,
    asked: Arc<Asked>,
    effects: Effects,
    /// The beginning of the request's body, if a template reads it.
    copy: Option<Copy>,
    progress: Progress,
    /// Tags of the groups that the target was in when the write came (RFC 9875 §2.2.1).
    companions: Vec<Pattern>,
}

impl Write {
    async fn run(mut self, body: Incoming, reply: oneshot::Sender<Outcome>) {
        let asked = self.asked.clone();
        let cap = asked.live.config.defaults.max_variables;
        self.copy = self.effects.reads_body.then(|| Copy::new(cap));
        let body = asked.body(body, &self.progress, self.copy.clone());
        let (body, expectation) = expect::hold(&asked.parts, body);
        let mut request = pass::request(&asked, body, &expectation);
        if self.effects.reads_response {
            // A content coding would hide the variables.
            headers::remove(request.headers_mut(), |name| *name == ACCEPT_ENCODING);
        }
        let upstream = self.worker.upstream(&asked.live);
        let started = crate::clock::monotonic();
        let mut sending = Box::pin(upstream.start(request));
        let asking = async {
            let result = tokio::select! {
                result = upstream.wait_for_head(&mut sending, &self.progress) => result,
                () = self.drain.forced() => Err(UpstreamError::Timeout(upstream.timeout())),
            };
            (result, crate::clock::monotonic() - started)
        };
        // Looked up beside the app's own work, so that it costs the client no time.
        let ((result, took), companions) = tokio::join!(asking, self.companions_in_redis());
        self.companions = companions;
        match result {
            Ok(response) => {
                let metrics = asked.live.rule(self.effects.rule).metrics;
                metrics.upstream(took);
                let response = expectation.answered(pass::returned(response, upstream));
                let _ = reply.send(self.answered(response).await);
            }
            Err(error) => {
                self.unanswered(&error).await;
                let outcome = pass::failed(&asked, self.effects.rule, &error);
                let _ = reply.send(outcome);
                if matches!(error, UpstreamError::Timeout(_)) {
                    self.late(sending).await;
                }
            }
        }
    }

    async fn answered(&self, response: Response<Body>) -> Outcome {
        let status = response.status();
        let mut response = response;
        let mut purge = Purge {
            tags: effects::groups_invalidated(&self.asked, response.headers()),
            ..Purge::default()
        };
        if status.is_success() || status.is_redirection() {
            let mut received = None;
            if self.effects.reads_response && !pass::is_event_stream(response.headers()) {
                tokio::select! {
                    read = self.read(response) => (response, received) = read,
                    () = self.drain.forced() => {
                        let words = pass::words(Reason::UpstreamError);
                        response = text(StatusCode::BAD_GATEWAY, words);
                    }
                }
            }
            purge.absorb(self.purge(received, Some((status, response.headers()))));
        }
        self.carry_out(purge).await;
        Outcome::new(self.effects.rule, Reason::Method, response).asked_app(status)
    }

    /// The app may have acted on a request whose answer was lost: purging too much is safe.
    async fn unanswered(&self, error: &UpstreamError) {
        if !error.unsent() {
            self.carry_out(self.purge(None, None)).await;
        }
    }

    /// The app may act after the purge of a write that timed out; then what was read in between goes
    /// as well.
    async fn late(&self, sending: impl Future<Output = Result<Response<Arriving>, UpstreamError>>) {
        let Some(_slot) = self.worker.flights.late_slot() else {
            return;
        };
        let answer = tokio::select! {
            ended = tokio::time::timeout(LATE, sending) => ended.ok().and_then(Result::ok),
            () = self.drain.started() => None,
        };
        let mut purge = self.purge(None, None);
        if let Some(answer) = answer {
            let groups = effects::groups_invalidated(&self.asked, answer.headers());
            purge.tags.extend(groups);
        }
        self.carry_out(purge).await;
    }

    /// Reads the answer's JSON up to the cap; past it the variables count as absent, and the answer
    /// goes on whole.
    async fn read(&self, response: Response<Body>) -> (Response<Body>, Option<Vec<u8>>) {
        let cap = self.asked.live.config.defaults.max_variables;
        let (head, mut body) = response.into_parts();
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut trailers = None;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(piece)) => {
                    length += piece.len();
                    pieces.push(piece);
                    if length > cap {
                        return (Response::from_parts(head, prefixed(pieces, body)), None);
                    }
                }
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    let body = prefixed(pieces, ending(Err(error)));
                    return (Response::from_parts(head, body), None);
                }
            }
        }
        let whole = pieces.concat();
        let body = match trailers {
            Some(trailers) => prefixed(pieces, ending(Ok(Frame::trailers(trailers)))),
            None => Body::whole(Bytes::from(whole.clone())),
        };
        (Response::from_parts(head, body), Some(whole))
    }

    /// All that a write which may have succeeded makes stale: what the purge rules name, and the target
    /// itself (RFC 9111 §4.4) with its groups (RFC 9875 §2.2.1).
    fn purge(&self, received: Option<Vec<u8>>, answer: Option<(StatusCode, &HeaderMap)>) -> Purge {
        let cap = self.asked.live.config.defaults.max_variables;
        let json = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| variables::json(&bytes, cap));
        let sent = self.copy.as_ref().and_then(Copy::copied);
        let (body, received) = (json(sent), json(received));
        let said = Said {
            body: body.as_ref(),
            answer: received.as_ref(),
        };
        let mut purge = Purge::default();
        for index in &self.effects.purges {
            purge.absorb(self.bound(*index, said));
        }
        let (status, fields) = match answer {
            Some((status, fields)) => (status, Some(fields)),
            None => (StatusCode::OK, None),
        };
        let invalidated = effects::invalidated(&self.asked, status, fields);
        if !invalidated.is_empty() {
            purge.tags.extend(self.companions.iter().cloned());
            purge.tags.extend(self.companions_in_memory());
        }
        purge.keys.extend(invalidated);
        purge
    }

    fn bound(&self, index: usize, said: Said<'_>) -> Purge {
        let rule = self.asked.live.config.purges[index].name.as_str();
        // Half a request must not be a way to empty the store: it purges what it names, and no more.
        let extent = if self.progress.broke() {
            Extent::Named
        } else {
            Extent::Any
        };
        let (purge, absent) = effects::bind(&self.asked, index, said, extent);
        let metrics = &self.worker.metrics;
        metrics.purges.with_label_values(&[rule]).inc();
        if absent > 0 && extent == Extent::Any {
            metrics
                .purge_variables_absent
                .with_label_values(&[rule])
                .inc_by(absent as u64);
            let path = self.asked.parts.uri.path();
            tracing::info!(
                rule,
                absent,
                path,
                "purge widened: variables absent from the write"
            );
        }
        purge
    }

    async fn carry_out(&self, purge: Purge) {
        if purge.is_empty() {
            return;
        }
        let described = tracing::enabled!(tracing::Level::DEBUG).then(|| format!("{purge:?}"));
        let done = self.worker.store.purge(purge).await;
        tracing::debug!(
            path = self.asked.parts.uri.path(),
            purge = described,
            ?done,
            "purged"
        );
    }
}

/// What was read already, then the rest.
fn prefixed(pieces: Vec<Bytes>, rest: Body) -> Body {
    let read = stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
    let rest = BodyStream::new(rest);
    Body::stream(StreamBody::new(read.chain(rest)))
}

/// How a body ends after what was read already.
fn ending(last: Result<Frame<Bytes>, BoxError>) -> Body {
    Body::stream(StreamBody::new(stream::iter([last])))
}
