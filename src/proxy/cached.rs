//! A request that may be answered from the store.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{Method, Response, StatusCode};
use prometheus::IntGauge;
use tokio::time::Instant;

use super::coalesce::{Follower, Landing, Memo, Place, Ready, Waited};
use super::fill::{self, Answer, Leasing, Order, Wish};
use super::outcome::{Outcome, text};
use super::plan::Lookup;
use super::{Asked, Worker, pass, respond};
use crate::body::Body;
use crate::config::Coherence;
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, RequestHead, Reuse, groups, ranges, reuse, validation};
use crate::store::{Mark, Tags};

/// One cacheable request: everything that stays the same while it is being answered.
#[derive(Clone)]
pub(super) struct Quest {
    pub(super) worker: Arc<Worker>,
    pub(super) asked: Arc<Asked>,
    pub(super) lookup: Arc<Lookup>,
}

pub(super) async fn answer(worker: &Arc<Worker>, asked: Asked, lookup: Lookup) -> Outcome {
    let quest = Quest {
        worker: worker.clone(),
        asked: Arc::new(asked),
        lookup: Arc::new(lookup),
    };
    let since = quest.worker.store.mark();
    match quest.recall().and_then(|entry| quest.serve(&entry, since)) {
        Some(outcome) => outcome,
        None => quest.beyond_memory().await,
    }
}

/// What a request does after it has waited for another one's fill.
enum Next {
    Done(Outcome),
    /// Look again.
    Again,
    /// Look again, and ask without conditions.
    Unconditional,
    /// Look again, unless the app failed before.
    AfterFailure(Outcome),
    /// The answer is of another kind: look again, unless it was so before.
    OfAnotherKind,
}

/// What is stored and stale.
#[derive(Clone, Default)]
pub(super) struct Stale {
    /// To be validated.
    pub(super) variant: Option<Arc<Variant>>,
    /// Whether it may be served if the app fails.
    pub(super) on_error: bool,
    /// A moment before it was read.
    pub(super) since: Mark,
}

/// Kinds of GET and HEAD, as far as asking the app differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The whole response.
    Plain,
    /// A part of it.
    Ranged,
    /// The head alone.
    Head,
    /// With a condition that only the app may judge (RFC 9110 §13.1.1, §13.1.4).
    Preconditioned,
}

impl Quest {
    /// Serves from what memory holds, fresh or stale while a refresh runs; `None`: look further.
    fn serve(&self, entry: &Entry, since: Mark) -> Option<Outcome> {
        let now = self.now();
        match self.decide(Some(entry), now) {
            (Reuse::Serve { age, ttl, reason }, Some(variant)) => {
                let response = respond::stored(&self.head(), variant, age, now);
                Some(self.outcome(reason, response).ttl(ttl))
            }
            (Reuse::ServeAndRefresh { age, ttl }, Some(variant)) => {
                let stale = Stale {
                    variant: Some(variant.clone()),
                    on_error: false,
                    since,
                };
                fill::refresh(self.clone(), stale);
                let response = respond::stored(&self.head(), variant, age, now);
                Some(
                    self.outcome(Reason::StaleWhileRevalidate, response)
                        .ttl(ttl),
                )
            }
            _ => None,
        }
    }

    async fn beyond_memory(self) -> Outcome {
        let patience = self.worker.upstream(&self.asked.live).timeout();
        let begun = Instant::now();
        let (mut failed, mut mismatched) = (false, false);
        // A crowd with conditions costs the app one short answer and one whole one, not one each.
        let mut wish = match self.worker.flights.memo(&self.lookup) {
            Some(Memo::Unmodified) => Wish::Whole,
            _ => Wish::UnlessHeld,
        };
        // Each turn but the last waits for a fill that began after the turn before; who has waited as
        // long as for an answer asks alone.
        while begun.elapsed() < patience {
            let since = self.worker.store.mark();
            let looked = self
                .worker
                .store
                .try_fetch(self.key(), self.coherence())
                .await;
            let leasing = if looked.is_ok() {
                Leasing::Wait
            } else {
                Leasing::Never
            };
            let entry = looked.ok().flatten().or_else(|| self.recall());
            if let Some(outcome) = entry.as_deref().and_then(|entry| self.serve(entry, since)) {
                return outcome;
            }
            let (verdict, variant) = self.decide(entry.as_deref(), self.now());
            let (reason, on_error) = match verdict {
                Reuse::Unsatisfiable => return self.unsatisfiable(),
                Reuse::Pass(reason) => return self.pass(reason, leasing).await,
                Reuse::Fetch(reason) => (reason, false),
                Reuse::Validate {
                    reason,
                    stale_on_error,
                } => (reason, stale_on_error),
                Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. } => (Reason::Stale, false),
            };
            let validates = variant.is_some_and(|variant| variant.stored.can_be_validated())
                && matches!(verdict, Reuse::Validate { .. });
            let stale = Stale {
                variant: variant.cloned(),
                on_error,
                since,
            };
            match self.shape() {
                Shape::Head => return self.write_through(reason, stale, leasing).await,
                Shape::Preconditioned => return self.forward(Reason::RequestDirective).await,
                // What is stored whole is validated, and then cut.
                Shape::Ranged if !validates => return self.ranged(reason, stale, leasing).await,
                Shape::Ranged | Shape::Plain => {}
            }
            match self.enter() {
                Place::Apart => return self.alone(reason, stale).await,
                Place::Lead(leader) => {
                    // The fill before may have landed between the look and the lead.
                    let landed = self.recall().and_then(|entry| self.serve(&entry, since));
                    if let Some(outcome) = landed {
                        return outcome;
                    }
                    let order = Order {
                        wish: self.rest_of(&stale).unwrap_or(wish),
                        stale,
                        leader: Some(leader),
                        leasing,
                    };
                    return self.lead(reason, order).await;
                }
                Place::Join(follower) => match self.follow(follower, reason, stale).await {
                    Next::Done(outcome) => return outcome,
                    Next::AfterFailure(outcome) if failed => return outcome,
                    Next::AfterFailure(_) => failed = true,
                    // Of two kinds each is fetched once; of many, waiting for one after another is slow.
                    Next::OfAnotherKind if mismatched => break,
                    Next::OfAnotherKind => mismatched = true,
                    Next::Unconditional => wish = Wish::Whole,
                    Next::Again => {}
                },
            }
        }
        self.alone(Reason::Miss, Stale::default()).await
    }

    /// Waits for another request's fill.
    async fn follow(&self, follower: Follower, why: Reason, stale: Stale) -> Next {
        let joined = follower.joined;
        let waiting = Counted::in_gauge(&self.worker.metrics.coalesced_waiters);
        let landing = follower
            .wait(self.worker.upstream(&self.asked.live).timeout())
            .await;
        drop(waiting);
        let failed = |status, reason| match &stale.variant {
            Some(variant) if stale.on_error => {
                Next::Done(self.stale_if_error(variant).because(why).collapsed())
            }
            held if reason != Reason::UpstreamError => {
                let failed = self.failed(held, status, reason);
                Next::Done(failed.because(why).collapsed())
            }
            // What broke the connection may have been the leader's own fields.
            held => {
                let failed = self.failed(held, status, reason);
                Next::AfterFailure(failed.because(why).collapsed())
            }
        };
        let landing = match landing {
            Waited::Landed(landing) => landing,
            Waited::Slow => return Next::Done(self.alone(why, stale).await.collapsed()),
            Waited::Nothing => return failed(StatusCode::GATEWAY_TIMEOUT, Reason::CoalesceTimeout),
        };
        match landing {
            Landing::Ready(ready) if ready.answers(joined, self.coherence()) => {
                self.collapsed(ready, joined, why, stale).await
            }
            Landing::Ready(_) | Landing::Again => Next::Again,
            Landing::Unmodified => Next::Unconditional,
            Landing::Apart => Next::Done(self.alone(why, stale).await.collapsed()),
            Landing::Failed(status, reason) => failed(status, reason),
        }
    }

    /// Serves what another request fetched, if it selects this one.
    async fn collapsed(&self, ready: Ready, joined: Instant, why: Reason, stale: Stale) -> Next {
        let now = self.now();
        let entry = Entry {
            variants: vec![ready.variant],
        };
        let (age, ttl) = match self.decide(Some(&entry), now) {
            (Reuse::Serve { age, ttl, .. }, Some(_)) => (age, ttl),
            (_, None) => return Next::OfAnotherKind,
            // The app was asked after this request came, which is all that a validation could add.
            (Reuse::Validate { .. } | Reuse::ServeAndRefresh { .. }, Some(variant))
                if joined <= ready.asked =>
            {
                (variant.stored.age(now), variant.stored.ttl(now))
            }
            (_, Some(_)) => {
                return Next::Done(self.alone(Reason::Stale, stale).await.collapsed());
            }
        };
        let response = respond::stored(&self.head(), &entry.variants[0], age, now);
        Next::Done(
            self.outcome(Reason::Collapsed, response)
                .because(why)
                .ttl(ttl)
                .collapsed(),
        )
    }

    /// Asks the app for a requester whose identity the key lacks; only what says so itself is stored.
    async fn pass(&self, reason: Reason, leasing: Leasing) -> Outcome {
        if self.shape() != Shape::Plain {
            return self.forward(reason).await;
        }
        let memo = self.worker.flights.memo(&self.lookup);
        let apart = matches!(memo, Some(Memo::Apart | Memo::Personal));
        let leasing = match leasing {
            Leasing::Wait if !apart => Leasing::Try,
            _ => Leasing::Never,
        };
        let order = Order {
            stale: Stale::default(),
            leader: None,
            leasing,
            wish: Wish::UnlessHeld,
        };
        self.lead(reason, order).await
    }

    /// Asks the app without others waiting for it, nor a lease that others would wait for.
    async fn alone(&self, reason: Reason, stale: Stale) -> Outcome {
        let order = Order {
            stale,
            leader: None,
            leasing: Leasing::Never,
            wish: Wish::Whole,
        };
        self.lead(reason, order).await
    }

    /// Asks the app for the client's range. Nobody waits for it: it may answer nobody else.
    async fn ranged(&self, reason: Reason, stale: Stale, leasing: Leasing) -> Outcome {
        let leasing = match leasing {
            Leasing::Never => Leasing::Never,
            Leasing::Wait | Leasing::Try => Leasing::Try,
        };
        let order = Order {
            stale,
            leader: None,
            leasing,
            wish: Wish::Own,
        };
        self.lead(reason, order).await
    }

    /// What to ask for where a stored part needs only the rest, and the whole may be stored.
    fn rest_of(&self, stale: &Stale) -> Option<Wish> {
        let part = &stale.variant.as_ref()?.stored;
        let rest = ranges::missing(part)?;
        let complete = part.part?.complete?;
        let max = self.asked.live.rule(self.lookup.rule).max_body();
        (complete <= max as u64).then_some(Wish::Rest(rest))
    }

    /// Hands the request to the app as it is.
    pub(super) async fn forward(&self, reason: Reason) -> Outcome {
        pass::forward_bodiless(
            self.worker.clone(),
            self.asked.clone(),
            self.lookup.rule,
            reason,
        )
        .await
    }

    async fn lead(&self, reason: Reason, order: Order) -> Outcome {
        let stale = order.stale.clone();
        let patience = self.worker.upstream(&self.asked.live).timeout();
        let Some(slot) = self.worker.flights.slot(patience).await else {
            return self.failed(&None, StatusCode::SERVICE_UNAVAILABLE, Reason::FillsFull);
        };
        match fill::start(self.clone(), order, slot).await {
            Ok(Answer::Streamed {
                response,
                kept,
                status,
            }) => {
                let now = self.now();
                let response = match &kept {
                    Ok(kept) if validation::not_modified(&self.head(), kept, now) => {
                        let mut answer = Response::new(Body::empty());
                        *answer.status_mut() = StatusCode::NOT_MODIFIED;
                        *answer.headers_mut() = validation::not_modified_headers(&kept.headers);
                        let policy = self.asked.live.rule(self.lookup.rule).policy;
                        let personal = validation::personal(response.headers(), kept, policy);
                        answer.headers_mut().extend(personal);
                        answer
                    }
                    _ => response,
                };
                let outcome = self.outcome(reason, response).asked_app(status);
                let outcome = match &kept {
                    Ok(kept) => outcome.ttl(kept.ttl(now)),
                    Err(_) => outcome,
                };
                outcome.stored(kept.map(|_| ()))
            }
            Ok(Answer::Confirmed {
                variant,
                status,
                personal,
            }) => {
                let now = self.now();
                let mut response =
                    respond::stored(&self.head(), &variant, variant.stored.age(now), now);
                response.headers_mut().extend(personal);
                self.outcome(Reason::Revalidated, response)
                    .because(reason)
                    .ttl(variant.stored.ttl(now))
                    .asked_app(status)
            }
            Ok(Answer::Completed { variant, status }) => {
                let now = self.now();
                let response =
                    respond::stored(&self.head(), &variant, variant.stored.age(now), now);
                self.outcome(reason, response)
                    .asked_app(status)
                    .stored(Ok(()))
            }
            Ok(Answer::Found { variant }) => self.served_found(&variant).because(reason),
            Ok(Answer::Failed(status, failure)) => match &stale.variant {
                Some(variant) if stale.on_error => self.stale_if_error(variant).because(reason),
                held => self.failed(held, status, failure).because(reason),
            },
            Err(_) => self
                .failed(
                    &stale.variant,
                    StatusCode::BAD_GATEWAY,
                    Reason::UpstreamError,
                )
                .because(reason),
        }
    }

    /// Another sidecar filled the key while this one waited for its lease.
    fn served_found(&self, variant: &Arc<Variant>) -> Outcome {
        let now = self.now();
        let age = variant.stored.age(now);
        let ttl = variant.stored.lifetime.as_secs() as i64 - age.as_secs() as i64;
        let response = respond::stored(&self.head(), variant, age, now);
        self.outcome(Reason::Collapsed, response)
            .ttl(ttl)
            .collapsed()
    }

    pub(super) fn stale_if_error(&self, variant: &Arc<Variant>) -> Outcome {
        let now = self.now();
        let age = variant.stored.age(now);
        let ttl = variant.stored.lifetime.as_secs() as i64 - age.as_secs() as i64;
        let response = respond::stored(&self.head(), variant, age, now);
        self.outcome(Reason::StaleIfError, response).ttl(ttl)
    }

    fn unsatisfiable(&self) -> Outcome {
        let words = "nothing is stored for this request, and it says only-if-cached";
        self.outcome(
            Reason::OnlyIfCached,
            text(StatusCode::GATEWAY_TIMEOUT, words),
        )
    }

    /// The app failed, and nothing stored may take its place: not even `held`, if it must be validated
    /// (RFC 9111 §5.2.2.2 asks for 504 then).
    pub(super) fn failed(
        &self,
        held: &Option<Arc<Variant>>,
        status: StatusCode,
        reason: Reason,
    ) -> Outcome {
        let disconnected = matches!(reason, Reason::UpstreamError | Reason::UpstreamTimeout);
        let status = match held {
            Some(held) if disconnected && held.stored.must_revalidate => {
                StatusCode::GATEWAY_TIMEOUT
            }
            _ => status,
        };
        self.outcome(reason, text(status, pass::words(reason)))
    }

    /// What a request needs beyond the whole response, if the store cannot answer it.
    fn shape(&self) -> Shape {
        let headers = &self.asked.parts.headers;
        if self.asked.parts.method == Method::HEAD {
            Shape::Head
        } else if headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE) {
            Shape::Preconditioned
        } else if headers.contains_key(RANGE) {
            Shape::Ranged
        } else {
            Shape::Plain
        }
    }

    pub(super) fn enter(&self) -> Place {
        let rule = self.asked.live.rule(self.lookup.rule);
        // Without tags of the rule's own the answer can still name groups (RFC 9875).
        let beginning = match rule.tags() {
            [] => groups::tags_of(&self.group_origin()),
            _ => String::new(),
        };
        self.worker.flights.enter(
            &self.lookup,
            &self.worker.store,
            Tags::Beginning(&beginning),
            self.worker.upstream(&self.asked.live).timeout(),
        )
    }

    /// Whose groups the answer's are.
    pub(super) fn group_origin(&self) -> String {
        let route = self.asked.live.rule(self.lookup.rule).route;
        match route {
            Some(route) if route.any_host => groups::ANY_ORIGIN.to_owned(),
            _ => self.asked.origin(),
        }
    }

    /// What RFC 9111 and the rule say, with the variant it is about.
    pub(super) fn decide<'e>(
        &self,
        entry: Option<&'e Entry>,
        now: SystemTime,
    ) -> (Reuse, Option<&'e Arc<Variant>>) {
        let head = self.head();
        let variant = entry.and_then(|entry| entry.select(&head));
        let occupied = entry.is_some_and(|entry| !entry.variants.is_empty());
        let policy = self.asked.live.rule(self.lookup.rule).policy;
        (
            reuse(
                &head,
                variant.map(|variant| &variant.stored),
                occupied,
                policy,
                now,
            ),
            variant,
        )
    }

    fn recall(&self) -> Option<Arc<Entry>> {
        self.worker.store.recall(self.key(), self.coherence())
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        self.lookup
            .head(&self.asked.parts.method, &self.asked.parts.headers)
    }

    /// The same as a fill asks: a refresh behind a HEAD fetches the whole response.
    pub(super) fn fill_head(&self) -> RequestHead<'_> {
        static GET: Method = Method::GET;
        RequestHead {
            method: &GET,
            ..self.head()
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.lookup.key.text
    }

    pub(super) fn coherence(&self) -> Coherence {
        self.asked.live.rule(self.lookup.rule).coherence()
    }

    pub(super) fn now(&self) -> SystemTime {
        self.worker.clock.now()
    }

    pub(super) fn outcome(&self, reason: Reason, response: Response<Body>) -> Outcome {
        Outcome::new(self.asked.clone(), self.lookup.rule, reason, response).looked_up(&self.lookup)
    }
}

/// Counted in a gauge until it is dropped, as it is when a waiting client hangs up.
pub(super) struct Counted(IntGauge);

impl Counted {
    pub(super) fn in_gauge(gauge: &IntGauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
