//! The one exit of a fill: however it ended, those who wait are told and its client, if it was not when the
//! answer began; what was not stored is counted, and the ticket is given back or used. Whatever observes
//! fills hangs here.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::observed;
use super::options::{Fate, FillAnswer, Report};
use crate::body::Body;
use crate::config::Coherence;
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::proxy::cache::coalesce::{FillResult, Leader, Ready};
use crate::proxy::cache::memo::Memo;
use crate::proxy::cache::request::CacheRequest;
use crate::rollout::Mode;
use crate::store::{Tags, Ticket};

/// A fill under way: what it is for, who waits for it, and what it holds.
///
/// It is boxed once and goes from hand to hand, so that no future holds it twice.
pub(super) struct Fill {
    pub(super) request: CacheRequest,
    /// Waits for the answer's head; `None`: nobody does, or it has been answered.
    pub(super) client: Option<oneshot::Sender<FillAnswer>>,
    /// Hears whether the answer is stored; `None`: nobody does, or it has heard.
    pub(super) report: Option<Report>,
    /// The duty to those who wait for the end; `None`: nobody does.
    pub(super) leader: Option<Leader>,
    /// `None`: not yet granted, not needed since another sidecar has stored, or used.
    pub(super) ticket: Option<Ticket>,
    /// The answer to that client, if all of it is at hand: it leaves when it is known whether it is stored, as far
    /// as nobody has to be waited for.
    pub(super) whole: Option<FillAnswer>,
    /// When the app was asked.
    pub(super) asked: Instant,
}

/// How a fill ended.
pub(super) enum FillEnd {
    /// The answer is whole and goes into the store; its client has been answered.
    Stored(Arc<Variant>),
    /// The app confirmed what was stored (304).
    Confirmed {
        /// With new freshness.
        variant: Arc<Variant>,
        /// Fields for this client alone.
        personal: HeaderMap,
        /// Whether it may be stored with that.
        storable: Result<(), Reason>,
    },
    /// The client holds what the app would send: its own conditions were met.
    Unmodified(Response<Body>),
    /// The head of the answer says that it is not to be stored: it is this client's alone.
    Uncacheable(Reason, Response<Body>),
    /// The body grew past what may be stored, or past what there is room for; the client takes the rest of it.
    GivenUp(Reason),
    /// The answer is whole, but its body says that it is not stored, or has no tags to be purged by. Those who
    /// wait may have it.
    Unstorable(Arc<Variant>, Reason),
    /// Its client has gone, and nobody else waits.
    Unwanted,
    /// The body broke off, and the client has seen that.
    Broken(Reason),
    /// The app gave no answer, or none that can be used.
    Failed(StatusCode, Reason),
    /// Another sidecar fetches it, or has renewed it.
    Elsewhere,
    /// It is to be looked for first.
    Unled,
    /// Another sidecar stored it: read from Redis after this moment.
    Found(Arc<Variant>, Instant),
}

impl Fill {
    /// The one exit: carries out what follows from `end`.
    pub(super) async fn finish(mut self: Box<Self>, end: FillEnd) {
        let end = self.unless_switched_off(end);
        self.tell_observers(&end);
        match end {
            FillEnd::Stored(variant) => self.commit(variant).await,
            FillEnd::Confirmed {
                variant,
                personal,
                storable,
            } => {
                let answer = FillAnswer::Confirmed {
                    variant: variant.clone(),
                    personal,
                };
                if let Err(reason) = storable {
                    return self
                        .settle(Some(reason), FillResult::Uncacheable, Some(answer))
                        .await;
                }
                reply(&mut self.client, answer);
                self.commit(variant).await;
            }
            FillEnd::Unmodified(response) => {
                self.note(Memo::Unmodified);
                let answer = unstored(response, Reason::Status);
                self.settle(Some(Reason::Status), FillResult::Unmodified, Some(answer))
                    .await;
            }
            FillEnd::Uncacheable(reason, response) => {
                let result = self.note_uncacheable(reason);
                self.settle(Some(reason), result, Some(unstored(response, reason)))
                    .await;
            }
            FillEnd::GivenUp(reason) => {
                let result = self.note_uncacheable(reason);
                self.settle(Some(reason), result, None).await;
            }
            FillEnd::Unstorable(variant, reason) => {
                // Without Redis every purge is this process's own, and nobody joins a fill that one covers.
                let shared = self.request.cache.store.is_shared();
                let result = match self.request.by_ref().is_asker_confirmed().await {
                    true => self.ready(variant, (!shared).then(Instant::now)),
                    false => FillResult::Again,
                };
                self.settle(Some(reason), result, None).await;
            }
            FillEnd::Unwanted => {
                self.settle(Some(Reason::Unwanted), FillResult::Again, None)
                    .await;
            }
            FillEnd::Broken(reason) => {
                let failed = FillResult::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError);
                self.settle(Some(reason), failed, None).await;
            }
            FillEnd::Failed(status, reason) => {
                report(&mut self.report, Err(reason));
                let answer = FillAnswer::Failed(status, reason);
                self.settle(None, FillResult::Failed(status, reason), Some(answer))
                    .await;
            }
            FillEnd::Elsewhere => {
                self.settle(None, FillResult::Again, Some(FillAnswer::Elsewhere))
                    .await;
            }
            FillEnd::Unled => {
                // Its client looks for a place again.
                if let Some(ticket) = self.ticket.take() {
                    self.request.cache.store.give_back(ticket);
                }
                self.settle(None, FillResult::Again, Some(FillAnswer::Unled))
                    .await;
            }
            FillEnd::Found(variant, read_at) => {
                self.asked = read_at;
                let ready = self.ready(variant.clone(), Some(read_at));
                self.settle(None, ready, Some(FillAnswer::Found { variant }))
                    .await;
            }
        }
    }

    fn tell_observers(&self, end: &FillEnd) {
        let request = self.request.by_ref();
        match end {
            FillEnd::Stored(variant)
            | FillEnd::Confirmed {
                variant,
                storable: Ok(()),
                ..
            } => observed::note_stored(request, variant, self.asked.elapsed()),
            FillEnd::Uncacheable(Reason::TooLarge, response) => {
                observed::note_too_large(request, Some(response.headers()));
            }
            FillEnd::GivenUp(Reason::TooLarge) => observed::note_too_large(request, None),
            _ => {}
        }
    }

    /// What is switched off while the app is asked is not stored any more.
    fn unless_switched_off(&self, end: FillEnd) -> FillEnd {
        let dial = self.request.by_ref().rule().dial;
        if dial.is_full() || dial.read().mode != Mode::Off {
            return end;
        }
        match end {
            FillEnd::Stored(variant) => FillEnd::Unstorable(variant, Reason::Disabled),
            FillEnd::Confirmed {
                variant,
                personal,
                storable,
            } => FillEnd::Confirmed {
                variant,
                personal,
                storable: storable.and(Err(Reason::Disabled)),
            },
            other => other,
        }
    }

    /// Stores `variant`, and lets those who wait have it.
    async fn commit(mut self: Box<Self>, variant: Arc<Variant>) {
        // Granted before the app was asked, so an answer to store comes with one.
        let Some(mut ticket) = self.ticket.take() else {
            return;
        };
        let began = Instant::now();
        let request = self.request.by_ref();
        let store = &request.cache.store;
        let (coherence, since) = (request.coherence(), ticket.mark());
        // The client waits for Redis only where nothing but Redis can hold it.
        let (length, tags) = (variant.body.len(), Tags::Known(&variant.tags));
        let mut is_overtaken = request.is_asker_overtaken();
        let asker_is_asked_again = request.context.asker.is_some();
        if (store.is_shared() || asker_is_asked_again)
            && !is_overtaken
            && store.expects_to_keep(&ticket, length, tags, coherence)
            && let Some(answer) = self.whole.take()
        {
            reply(&mut self.client, answer.known(Ok(())));
        }
        is_overtaken |= !request.is_asker_confirmed().await;
        let has_followers = self.leader.as_ref().is_some_and(Leader::is_awaited);
        if self.whole.is_none() && self.report.is_none() && !has_followers {
            ticket.let_gather();
        }
        let outage = request.rule().settings.outage;
        if request.context.redis_is_late() {
            store.give_lease_back(&mut ticket);
        }
        let has_asked = !ticket.is_unanswered();
        let stored = match is_overtaken {
            true => {
                store.give_back(ticket);
                Err(Reason::Fenced)
            }
            false => {
                let storing = store.try_commit(ticket, variant.clone(), coherence, outage);
                storing.await.map_err(|not_stored| {
                    if not_stored.redis_is_late {
                        request.context.note_redis_is_late();
                    }
                    not_stored.reason
                })
            }
        };
        if let Some(answer) = self.whole.take() {
            reply(&mut self.client, answer.known(stored));
        }
        report(&mut self.report, stored);
        if let Err(reason) = stored {
            self.count_not_stored(reason);
            let is_lost =
                reason == Reason::LeaseLost && has_asked && !self.request.context.redis_is_late();
            if is_lost || reason == Reason::Fenced {
                self.note(Memo::Overtaken);
            }
        }
        if is_overtaken {
            // It may be another's, or of another role than the key says.
            return self.tell_waiters(FillResult::Again);
        }
        // Nobody joins a fill that a purge covers which is known here. Without Redis there are no others; with
        // it, what takes a lease is told at once, and purges by tag are told with the answer to the store alone.
        let knows_all = !store.is_shared()
            || coherence == Coherence::Tracked
                && variant.tags.is_empty()
                && store.fenced(since, request.key(), Tags::Known(&[]));
        let confirmed = (stored.is_ok() || knows_all).then_some(began);
        let ready = self.ready(variant, confirmed);
        self.tell_waiters(ready);
    }

    /// Whether an answer whose body states `length` and is still to come will be stored, if it comes whole: the
    /// most that can be said when its head leaves.
    pub(super) fn expects_to_keep(&self, length: Option<u64>) -> bool {
        let request = self.request.by_ref();
        let reads_answer = request.rule().reads_answer();
        let (Some(ticket), Some(length)) = (&self.ticket, length) else {
            return false;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let store = &request.cache.store;
        !reads_answer
            && store.expects_to_keep(ticket, length, Tags::Known(&[]), request.coherence())
    }

    /// Stores nothing: counts why, tells those who wait and the client, and gives the ticket back.
    async fn settle(
        mut self: Box<Self>,
        not_stored: Option<Reason>,
        result: FillResult,
        answer: Option<FillAnswer>,
    ) {
        if let Some(reason) = not_stored {
            self.count_not_stored(reason);
            report(&mut self.report, Err(reason));
        }
        self.tell_waiters(result);
        let refused = |answer: FillAnswer| match not_stored {
            Some(reason) => answer.known(Err(reason)),
            None => answer,
        };
        if let Some(answer) = answer.or_else(|| self.whole.take().map(refused)) {
            reply(&mut self.client, answer);
        }
        if let Some(ticket) = self.ticket.take() {
            self.request.cache.store.abandon(ticket).await;
        }
    }

    fn tell_waiters(&mut self, result: FillResult) {
        if let Some(leader) = self.leader.take() {
            if self.request.context.redis_is_late() {
                leader.note_redis_is_late();
            }
            leader.end(result);
        }
    }

    /// A complete response for those who wait; `confirmed`: when storing began, if no purge can have
    /// overtaken it by then.
    fn ready(&self, variant: Arc<Variant>, confirmed: Option<Instant>) -> FillResult {
        FillResult::Ready(Ready {
            variant,
            asked: self.asked,
            confirmed,
        })
    }

    /// Remembers that the answer was not one to share, and says what those who wait do.
    fn note_uncacheable(&self, reason: Reason) -> FillResult {
        match &self.leader {
            // Too long for everyone.
            _ if reason == Reason::TooLarge => self.note(Memo::Uncacheable),
            // Says nothing of the answer.
            _ if reason == Reason::InFlightFull => {}
            Some(_) if reason.is_of_requester() => return FillResult::Again,
            Some(_) => self.note(Memo::Uncacheable),
            None => self.note(Memo::Personal),
        }
        FillResult::Uncacheable
    }

    fn note(&self, memo: Memo) {
        let CacheRequest { cache, lookup, .. } = &self.request;
        cache.flights.note(lookup, memo);
    }

    /// Counts and logs why an answer was not stored: its head may have left before that was known.
    fn count_not_stored(&self, reason: Reason) {
        let request = self.request.by_ref();
        let rule = request.rule();
        rule.metrics.not_stored(reason);
        tracing::debug!(
            target: "pannier::fill",
            rule = rule.name().unwrap_or("-"),
            path = request.context.parts.uri.path(),
            not_stored = reason.as_str(),
        );
    }
}

/// Answers the client. One that has gone does not matter: the fill goes on for those who wait and for the
/// store.
pub(super) fn reply(client: &mut Option<oneshot::Sender<FillAnswer>>, answer: FillAnswer) {
    if let Some(client) = client.take() {
        let _ = client.send(answer);
    }
}

/// Tells whoever has asked whether the answer is stored.
fn report(report: &mut Option<Report>, stored: Result<(), Reason>) {
    if let Some(report) = report.take() {
        let _ = report.send(stored);
    }
}

/// The app's answer as it comes, which is not stored for `reason`.
fn unstored(response: Response<Body>, reason: Reason) -> FillAnswer {
    let status = response.status();
    FillAnswer::Streamed {
        response,
        fate: Fate::Known(Err(reason)),
        ttl: None,
        status,
    }
}
