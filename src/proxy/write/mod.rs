//! Writes: forwarded, and what they made stale is purged before their answer leaves (promise I2).

mod answer_body;
mod before;
pub mod effects;
pub mod judge;
mod noted;
pub(super) mod purge_method;
mod refetch;
mod stale;
mod uncovered;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::poll;
use http::header::ACCEPT_ENCODING;
use http::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::cache::Cache;
use super::forward::exchange::{exchange, explain_failure, is_event_stream, passed_on};
use super::forward::{expect, outgoing};
use super::outcome::{Outcome, text};
use super::request::client::Client;
use super::request::context::RequestContext;
use super::request::plan::Effects;
use crate::body::{Body, Copy, Droppable, Progress, Received, Room};
use crate::drain::Drain;
use crate::http_cache::cache_status::WritePurge;
use crate::http_cache::{Reason, remove};
use crate::routes::{Pattern, Purges};
use crate::store::Purged;
use crate::upstream::{Arriving, UpstreamError};
use noted::UnderWay;
use stale::Known;

/// After its client was told of a timeout, the longest wait for the app to say how a write ended.
const LATE: Duration = Duration::from_secs(600);

/// The most writes that are watched after their timeout (promise I7).
const MAX_LATE: usize = 256;

/// Places for the writes of the process that are watched after their timeout.
#[derive(Clone, Debug)]
pub struct LateWrites(Arc<Semaphore>);

impl Default for LateWrites {
    fn default() -> LateWrites {
        LateWrites(Arc::new(Semaphore::new(MAX_LATE)))
    }
}

impl LateWrites {
    fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// Forwards a write. The work is detached: a client that hangs up does not stop the purge. Until the app has answered it
/// keeps its connection's place: there are no more writes under way than clients may have.
pub(super) async fn forward(
    cache: &Arc<Cache>,
    late_writes: &LateWrites,
    context: &Arc<RequestContext>,
    effects: Effects,
    body: Received,
    client: &Client,
) -> Outcome {
    let rule = effects.rule;
    let (reply, outcome) = oneshot::channel();
    let write = Write {
        cache: cache.clone(),
        late_writes: late_writes.clone(),
        context: context.clone(),
        effects,
        drain: client.drain.clone(),
        copy: None,
        progress: Progress::default(),
        companions: Vec::new(),
        before: None,
        redis_is_late: false,
        came: cache.clock.now(),
        _under_way: UnderWay::begin(cache),
    };
    tokio::spawn(write.run(body, reply, client.connection_guard.clone()));
    outcome.await.unwrap_or_else(|_| {
        let response = text(
            StatusCode::BAD_GATEWAY,
            explain_failure(Reason::UpstreamError),
        );
        Outcome::new(rule, Reason::UpstreamError, response)
    })
}

/// A write under way.
struct Write {
    cache: Arc<Cache>,
    late_writes: LateWrites,
    /// Held until the purge is done.
    drain: Drain,
    context: Arc<RequestContext>,
    effects: Effects,
    /// The beginning of the request's body, if a template reads it.
    copy: Option<Copy>,
    progress: Progress,
    /// Tags of the groups that the target was in when the write came (RFC 9875 §2.2.1).
    companions: Vec<Pattern>,
    /// What was stored for the target when the write came, if a rule reads it.
    before: Option<Value>,
    /// Whether Redis was waited for in vain when it was asked for them.
    redis_is_late: bool,
    /// When it came, in fleet time.
    came: SystemTime,
    /// It is under way until this is dropped.
    _under_way: UnderWay,
}

impl Write {
    async fn run(
        mut self,
        body: Received,
        reply: oneshot::Sender<Outcome>,
        connection_guard: Arc<dyn Droppable>,
    ) {
        let context = self.context.clone();
        let rule = self.effects.rule;
        let cap = context.live.config.defaults.max_variables;
        let in_flight = self.cache.store.in_flight();
        let reads_body = self.effects.reads_body;
        self.copy = reads_body.then(|| Copy::new(cap, in_flight));
        let body = outgoing::body(&context, body, &self.progress, self.copy.clone());
        let (body, expectation) = expect::hold(&context.parts, body);
        let mut request = outgoing::request(&context, body, &expectation);
        if self.effects.reads_response {
            // A content coding would hide the variables.
            remove(request.headers_mut(), |name| *name == ACCEPT_ENCODING);
        }
        let upstream = context.upstream();
        let mut sending = Box::pin(upstream.start(request));
        let answer = exchange(&context, rule, async {
            tokio::select! {
                result = upstream.wait_for_head(&mut sending, &self.progress) => result,
                () = self.drain.forced() => Err(UpstreamError::Timeout(upstream.timeout())),
            }
        });
        let came = self.came;
        let held = before::in_memory(&self.cache, &context, &self.effects);
        // Looked up beside the app's own work, so that it costs the client no time.
        let looking = before::in_redis(&self.cache, &context, &self.effects);
        let (looked, answer) = tokio::join!(looking, answer);
        self.companions = looked.companions(&context);
        self.redis_is_late = looked.redis_is_late;
        if self.effects.reads_before {
            self.before = Some(held.and(looked).document(&self.cache, &context, came));
        }
        match answer {
            Ok(response) => {
                let response = expectation.answered(passed_on(response, upstream));
                let response = outgoing::end_after_trailers(&context, &self.progress, response);
                let _ = reply.send(self.answered(response).await);
            }
            Err(failure) => {
                self.unanswered(&failure.error).await;
                let _ = reply.send(failure.outcome(&context, rule));
                // Those that are watched from here on have places of their own.
                drop(connection_guard);
                if matches!(failure.error, UpstreamError::Timeout(_)) {
                    self.late(sending).await;
                }
            }
        }
    }

    async fn answered(&self, response: Response<Body>) -> Outcome {
        let cap = self.context.live.config.defaults.max_variables;
        let room = Room::of(self.cache.store.in_flight());
        let status = response.status();
        let mut response = response;
        let mut purges = Purges::default();
        purges.hard.tags = effects::groups_invalidated(&self.context, response.headers());
        let named = effects::named(&self.context, response.headers());
        let is_named = !named.is_empty();
        purges.absorb(named);
        let (mut rules, mut refetched) = (Vec::new(), Vec::new());
        if judge::matters(&self.context, &self.effects, status) {
            let mut received = None;
            if self.effects.reads_response && !is_event_stream(response.headers()) {
                tokio::select! {
                    read = answer_body::read(response, cap, room) => (response, received) = read,
                    () = self.drain.forced() => {
                        let words = explain_failure(Reason::UpstreamError);
                        response = text(StatusCode::BAD_GATEWAY, words);
                    }
                }
            }
            let answer = Some((status, response.headers()));
            let judgement;
            (judgement, refetched) = self.known().purge(&mut purges, received, answer);
            if judgement.is_uncovered && !is_named {
                uncovered::note(&self.context, &self.cache.metrics);
            }
            rules = judgement.rules;
            noted::note(&self.cache, &self.context, self.came);
        }
        let is_empty = purges.is_empty();
        let done = self.carry_out(purges, &rules).await;
        refetch::begin(&self.cache, &self.context, &refetched);
        let outcome = Outcome::new(self.effects.rule, Reason::Method, response).asked_app(status);
        match is_empty {
            true => outcome,
            false => outcome.purged(self.describe(done, &rules)),
        }
    }

    /// The app may have acted on a whole request whose answer was lost: purging too much is safe. Half a
    /// request that nobody answered says nothing, and must not be a way to empty the store.
    async fn unanswered(&self, error: &UpstreamError) {
        if !error.unsent() && self.progress.is_whole() {
            noted::note(&self.cache, &self.context, self.came);
            let mut purges = Purges::default();
            let (judgement, _) = self.known().purge(&mut purges, None, None);
            self.carry_out(purges, &judgement.rules).await;
        }
    }

    /// The app may act after the purge of a write that timed out; then what was read in between goes
    /// as well. Half a write is given up with its client: while the app takes nothing of it, it holds the client's
    /// connection, and over HTTP/2 the window of all.
    async fn late(&self, sending: impl Future<Output = Result<Response<Arriving>, UpstreamError>>) {
        if !self.progress.is_whole() {
            return;
        }
        let Some(_place) = self.late_writes.free_place() else {
            return;
        };
        let answer = tokio::select! {
            ended = tokio::time::timeout(LATE, sending) => ended.ok().and_then(Result::ok),
            () = self.drain.started() => None,
        };
        let mut purges = Purges::default();
        let (judgement, _) = self.known().purge(&mut purges, None, None);
        if let Some(answer) = answer {
            let groups = effects::groups_invalidated(&self.context, answer.headers());
            purges.hard.tags.extend(groups);
            purges.absorb(effects::named(&self.context, answer.headers()));
        }
        self.carry_out(purges, &judgement.rules).await;
    }

    fn known(&self) -> Known<'_> {
        Known {
            cache: &self.cache,
            context: &self.context,
            effects: &self.effects,
            copy: self.copy.as_ref(),
            progress: &self.progress,
            companions: &self.companions,
            before: self.before.as_ref(),
        }
    }

    /// When the app may act on it once more, by these rules.
    fn again_after(&self, rules: &[usize]) -> Vec<Duration> {
        let all = &self.context.live.config.purges;
        let mut after: Vec<Duration> = rules
            .iter()
            .flat_map(|index| all[*index].again_after.iter().copied())
            .collect();
        after.sort_unstable();
        after.dedup();
        after
    }

    /// What the write's answer says of its purge.
    fn describe(&self, done: Option<[Option<Purged>; 2]>, rules: &[usize]) -> WritePurge {
        let all = &self.context.live.config.purges;
        let names = rules.iter().map(|index| all[*index].name.as_str());
        let entries = |done: &Purged| done.memory.max(done.redis.unwrap_or_default());
        let of_both = done.as_ref().map(|done| done.iter().flatten());
        WritePurge {
            entries: of_both.clone().map(|both| both.map(entries).sum()),
            rules: names.collect::<Vec<_>>().join(","),
            is_pending: of_both.is_none_or(|mut both| both.any(|done| done.pending)),
        }
    }

    /// `None`: there is nothing to do, or it is not done yet.
    async fn carry_out(&self, purges: Purges, rules: &[usize]) -> Option<[Option<Purged>; 2]> {
        if purges.is_empty() {
            return None;
        }
        let described = tracing::enabled!(tracing::Level::DEBUG).then(|| format!("{purges:?}"));
        let store = self.cache.store.clone();
        let may_leave = self.redis_is_late && !store.has_journal();
        // Before the purge, since what is stored from now on ends with the last of them.
        let recording = store.purge_both_again(&purges, &self.again_after(rules));
        let mut purging =
            Box::pin(async move { tokio::join!(store.purge_both(purges), recording).0 });
        // What concerns this process is done at the first look. Where Redis was waited for in vain, that is enough for
        // one request (promise I4): the purge is on its way there, or kept until it can be sent. In the journal it is once it
        // is known that Redis has not taken it.
        let done = match poll!(purging.as_mut()) {
            Poll::Ready(done) => Some(done),
            Poll::Pending if !may_leave => Some(purging.await),
            Poll::Pending => {
                let drain = self.drain.clone();
                tokio::spawn(async move {
                    purging.await;
                    drop(drain);
                });
                None
            }
        };
        tracing::debug!(
            path = self.context.parts.uri.path(),
            purge = described,
            ?done,
            "purged"
        );
        done
    }
}
