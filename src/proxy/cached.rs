//! A request that may be answered from the store.

mod follow;
mod lead;
mod look;

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{Method, Response};

pub(super) use follow::Counted;
use follow::Next;
use look::Look;

use super::coalesce::{Memo, Place};
use super::fill::{self, Leasing, Order, Wish};
use super::outcome::Outcome;
use super::plan::Lookup;
use super::present::Present;
use super::{Asked, Worker, pass};
use crate::body::Body;
use crate::clock;
use crate::config::Coherence;
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, RequestHead, Reuse, groups, ranges};
use crate::store::Mark;

/// One cacheable request that takes longer than a look into memory: everything that stays the same
/// while it is being answered.
#[derive(Clone)]
pub(super) struct Quest {
    pub(super) worker: Arc<Worker>,
    pub(super) asked: Arc<Asked>,
    pub(super) lookup: Arc<Lookup>,
}

/// What memory holds for a request that it does not answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    /// What is stale, for one thing.
    Something,
}

/// The answer to a request that memory can give as it is, without asking anyone.
pub(super) fn at_once(worker: &Worker, asked: &Asked, lookup: &Lookup) -> Result<Outcome, Holds> {
    let look = Look {
        worker,
        asked,
        lookup,
    };
    look.at_once()
}

/// Answers what [`at_once`] could not.
pub(super) async fn answer(
    worker: &Arc<Worker>,
    asked: &Arc<Asked>,
    lookup: Lookup,
    memory: Holds,
) -> Outcome {
    let quest = Quest {
        worker: worker.clone(),
        asked: asked.clone(),
        lookup: Arc::new(lookup),
    };
    if memory == Holds::Something
        && let Some(outcome) = quest.serve_recalled(quest.worker.store.mark())
    {
        return outcome;
    }
    quest.beyond_memory().await
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
    fn serve_recalled(&self, since: Mark) -> Option<Outcome> {
        let now = self.now();
        let entry = self.look().recall(now)?;
        let (verdict, mut variant) = self.judge(Some(entry), now);
        self.serve(verdict, &mut variant, since)
    }

    /// The verdict on `entry`, which is let go but for the variant it is about.
    fn judge(&self, entry: Option<Arc<Entry>>, now: SystemTime) -> (Reuse, Option<Arc<Variant>>) {
        let (verdict, variant) = self.decide(entry.as_deref(), now);
        (verdict, variant.cloned())
    }

    /// Serves the variant, and takes it, if the verdict is to; stale while a refresh runs.
    fn serve(
        &self,
        verdict: Reuse,
        variant: &mut Option<Arc<Variant>>,
        since: Mark,
    ) -> Option<Outcome> {
        let (age, ttl, reason) = match verdict {
            Reuse::Serve { age, ttl, reason } => (age, ttl, reason),
            Reuse::ServeAndRefresh { age, ttl } => {
                let stale = Stale {
                    variant: variant.clone(),
                    on_error: false,
                    since,
                };
                fill::refresh(self.clone(), stale);
                (age, ttl, Reason::StaleWhileRevalidate)
            }
            _ => return None,
        };
        let response = self.look().taken(variant.take()?, age);
        Some(self.outcome(reason, response).ttl(ttl))
    }

    async fn beyond_memory(self) -> Outcome {
        let patience = self.worker.upstream(&self.asked.live).timeout();
        let deadline = self.asked.arrived + patience;
        let (mut failed, mut mismatched) = (false, false);
        // A crowd with conditions costs the app one short answer and one whole one, not one each.
        let mut wish = match self.worker.flights.memo(&self.lookup) {
            Some(Memo::Unmodified) => Wish::Whole,
            _ => Wish::UnlessHeld,
        };
        // Each turn but the last waits for a fill that began after the turn before; who has waited as
        // long as for an answer asks alone.
        while clock::monotonic() < deadline {
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
            let now = self.now();
            let entry = looked.ok().flatten();
            let entry = entry.or_else(|| self.look().recall(now));
            let (verdict, mut variant) = self.judge(entry, now);
            if let Some(outcome) = self.serve(verdict, &mut variant, since) {
                return outcome;
            }
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
            let can_be = |variant: &Arc<Variant>| variant.stored.can_be_validated();
            let validates =
                variant.as_ref().is_some_and(can_be) && matches!(verdict, Reuse::Validate { .. });
            let stale = Stale {
                variant,
                on_error,
                since,
            };
            match self.shape() {
                // Boxed, like all that is rare, so that a miss does not carry its size.
                Shape::Head => return Box::pin(self.write_through(reason, stale, leasing)).await,
                Shape::Preconditioned => {
                    return Box::pin(self.forward(Reason::RequestDirective)).await;
                }
                // What is stored whole is validated, and then cut.
                Shape::Ranged if !validates => return self.ranged(reason, stale, leasing).await,
                Shape::Ranged | Shape::Plain => {}
            }
            match self.enter() {
                Place::Apart => return self.alone(reason, stale).await,
                Place::Lead(leader) => {
                    // The fill before may have landed between the look and the lead.
                    if let Some(outcome) = self.serve_recalled(since) {
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

    /// Asks the app for a requester whose identity the key lacks; only what says so itself is stored.
    async fn pass(&self, reason: Reason, leasing: Leasing) -> Outcome {
        if self.shape() != Shape::Plain {
            return Box::pin(self.forward(reason)).await;
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
        pass::forward_bodiless(&self.worker, &self.asked, self.lookup.rule, reason).await
    }

    /// What a request needs beyond the whole response, if the store cannot answer it.
    fn shape(&self) -> Shape {
        let headers = &self.asked.parts.headers;
        if self.asked.parts.method == Method::HEAD {
            Shape::Head
        } else if !self.asked.present.has(Present::SELECTING) {
            Shape::Plain
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
        let tags_beginning = || match rule.tags() {
            [] => groups::tags_of(&self.group_origin()),
            _ => String::new(),
        };
        self.worker.flights.enter(
            &self.lookup,
            &self.worker.store,
            tags_beginning,
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
        self.look().decide(entry, now)
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        self.look().head()
    }

    pub(super) fn fill_head(&self) -> RequestHead<'_> {
        self.look().fill_head()
    }

    fn look(&self) -> Look<'_> {
        Look {
            worker: &self.worker,
            asked: &self.asked,
            lookup: &self.lookup,
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.lookup.key.text
    }

    pub(super) fn coherence(&self) -> Coherence {
        self.look().coherence()
    }

    pub(super) fn now(&self) -> SystemTime {
        self.worker.clock.now()
    }

    pub(super) fn outcome(&self, reason: Reason, response: Response<Body>) -> Outcome {
        self.look().outcome(reason, response)
    }
}
