//! Asking the app for what the store lacks, to the end whatever the client that caused it does.
//!
//! The client is handed pieces as they come; the fill keeps a capped copy and stores it when it is
//! whole, when RFC 9111 and the rule allow it, and when no purge has come between.

mod answer;
mod ask;
mod claim;
mod enduring;
mod gather;
mod keep;
mod rest;

use std::ops::Range;
use std::sync::Arc;

use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::cached::{Counted, Quest, Stale};
use super::coalesce::{Landing, Leader, Memo, Place};
use super::present::Present;
use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{Reason, Reuse, storable, validation};
use crate::store::{Tags, Ticket};
pub(super) use answer::Answer;
use ask::Arrival;
pub(super) use ask::origin_form;
use claim::Claim;
use enduring::Enduring;
use gather::{Gathering, check_body};

/// What to ask for.
pub(super) struct Order {
    /// What is stored and stale.
    pub(super) stale: Stale,
    /// The duty to those who wait; `None`: nobody waits.
    pub(super) leader: Option<Leader>,
    /// Whether to take the key's lease.
    pub(super) leasing: Leasing,
    /// What to ask the app for.
    pub(super) wish: Wish,
}

/// What the app is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The whole response, whatever the client's conditions are.
    Whole,
    /// The whole response, unless the client has it: its conditions go to the app, whose 304 is then
    /// the client's (RFC 9111 §4.3.2).
    UnlessHeld,
    /// What the client asks, its range included.
    Own,
    /// What a stored part lacks to be whole (RFC 9111 §3.4).
    Rest(Range<u64>),
}

/// How a fill deals with the lease of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leasing {
    /// Takes it, or waits for the answer of whoever has it.
    Wait,
    /// Takes it if it is free.
    Try,
    /// Leaves it: Redis is not to be waited for, or the answer is not one to share.
    Never,
}

/// Starts a fill and waits for the head of its answer; `None`: it broke down. `slot` is its place among
/// the fills under way.
pub(super) async fn start(
    quest: Quest,
    order: Order,
    slot: OwnedSemaphorePermit,
) -> Option<Answer> {
    let (reply, answer) = oneshot::channel();
    let counted = Counted::in_gauge(&quest.worker.metrics.fills);
    let fill = Enduring::new(Box::pin(async move {
        Fill {
            quest,
            reply: Some(reply),
        }
        .run(order)
        .await;
        drop((slot, counted));
    }));
    fill.until(answer).await
}

/// Renews a stale response behind the client that was served it, once however many are served it.
pub(super) fn refresh(quest: Quest, stale: Stale) {
    let Place::Lead(leader) = quest.enter() else {
        return;
    };
    let Some(slot) = quest.worker.flights.free_slot() else {
        return;
    };
    let counted = Counted::in_gauge(&quest.worker.metrics.fills);
    tokio::spawn(async move {
        // Moved in, so that a refresh that ends early is no longer counted either.
        let _counted = counted;
        let found = quest
            .worker
            .store
            .try_fetch(quest.key(), quest.coherence())
            .await;
        let leasing = if found.is_ok() {
            Leasing::Wait
        } else {
            Leasing::Never
        };
        let found = found.ok().flatten();
        if let (Reuse::Serve { .. }, _) = quest.decide(found.as_deref(), quest.now()) {
            // Another sidecar has renewed it, and looking has put it into memory.
            return;
        }
        let order = Order {
            stale,
            leader: Some(leader),
            leasing,
            wish: Wish::Whole,
        };
        Fill { quest, reply: None }.run(order).await;
        drop(slot);
    });
}

struct Fill {
    quest: Quest,
    reply: Option<oneshot::Sender<Answer>>,
}

/// A fill whose answer has begun.
struct Filling {
    ticket: Ticket,
    leader: Option<Leader>,
    asked: Instant,
    /// What a part of the same representation may be joined with.
    base: Option<Arc<Variant>>,
}

impl Fill {
    async fn run(self, order: Order) {
        let Order {
            mut stale,
            leader,
            leasing,
            wish,
        } = order;
        let ticket = match self.claim(leasing).await {
            Claim::Ask(ticket) => ticket,
            Claim::Found(variant, at) => return self.found(leader, variant, at),
        };
        // What was purged since it was read must not come back by a 304.
        stale.variant = stale.variant.filter(|variant| {
            let fenced = self.quest.worker.store.fenced(
                stale.since,
                self.quest.key(),
                Tags::Known(&variant.tags),
            );
            !fenced && ticket.confirms(variant)
        });
        let asked = Instant::now();
        let arrival = match self.ask(stale.variant.as_deref(), &wish).await {
            Ok(arrival) => arrival,
            Err((status, reason)) => return self.fail(ticket, leader, status, reason).await,
        };
        let fill = Filling {
            ticket,
            leader,
            asked,
            base: None,
        };
        match (wish, stale.variant) {
            // Boxed, so that the many fills of a whole response do not carry its size.
            (Wish::Rest(rest), Some(part)) => {
                Box::pin(self.complete(fill, arrival, part, rest)).await;
            }
            (Wish::Own, base) => {
                let fill = Filling { base, ..fill };
                self.own(fill, arrival, stale.on_error).await;
            }
            (wish, held) => {
                let spare = stale.on_error && held.is_some();
                let asked_about = held.filter(|stale| stale.stored.can_be_validated());
                let own =
                    wish == Wish::UnlessHeld && asked_about.is_none() && self.is_conditional();
                self.whole(fill, arrival, asked_about, own, spare).await;
            }
        }
    }

    /// The answer to a request for the whole response: `stale` is what the request asked about, `own`
    /// that it had the client's conditions, `spare` that a failure is answered by what is stored.
    async fn whole(
        self,
        fill: Filling,
        arrival: Arrival,
        stale: Option<Arc<Variant>>,
        own: bool,
        spare: bool,
    ) {
        let status = arrival.response.status();
        match (status, stale) {
            (StatusCode::NOT_MODIFIED, Some(stale)) => {
                // RFC 9111 §4.3.4: what is stored is not what the app says is unchanged.
                if validation::is_about(&stale.stored, arrival.response.headers()) {
                    self.confirm(fill, &stale, &arrival).await;
                } else {
                    Box::pin(self.anew(fill)).await;
                }
            }
            (StatusCode::NOT_MODIFIED, None) if own => self.unmodified(fill, arrival).await,
            // Never asked for (A3).
            (StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT, _) => self.broken(fill).await,
            // RFC 5861 §4
            (status, _) if spare && is_failure(status) => self.broken(fill).await,
            _ => self.take(fill, arrival).await,
        }
    }

    /// The answer to a request for what the client asked.
    async fn own(self, fill: Filling, arrival: Arrival, spare: bool) {
        match arrival.response.status() {
            StatusCode::NOT_MODIFIED if self.is_conditional() => {
                self.unmodified(fill, arrival).await;
            }
            StatusCode::NOT_MODIFIED => self.broken(fill).await,
            status if spare && is_failure(status) => self.broken(fill).await,
            _ => self.take(fill, arrival).await,
        }
    }

    fn is_conditional(&self) -> bool {
        let asked = &self.quest.asked;
        asked.present.has(Present::SELECTING) && validation::is_conditional(&asked.parts.headers)
    }

    /// An answer that cannot be used.
    async fn broken(self, fill: Filling) {
        let (status, reason) = (StatusCode::BAD_GATEWAY, Reason::UpstreamError);
        self.fail(fill.ticket, fill.leader, status, reason).await;
    }

    /// A 304: what is stored holds, with new freshness.
    async fn confirm(mut self, fill: Filling, stale: &Variant, arrival: &Arrival) {
        let quest = self.quest.clone();
        let policy = quest.asked.live.rule(quest.lookup.rule).policy;
        let head = quest.fill_head();
        let stored = validation::freshened(&stale.stored, &head, &arrival.exchange(), policy);
        let variant = Arc::new(Variant {
            tags: quest.retagged(stale, &stored),
            stored,
            ..stale.clone()
        });
        self.reply(Answer::Confirmed {
            variant: variant.clone(),
            status: StatusCode::NOT_MODIFIED,
            personal: validation::personal(arrival.response.headers(), &stale.stored, policy),
        });
        match validation::keepable(&head, &variant.stored, policy) {
            Ok(()) => self.commit(fill, variant).await,
            Err(reason) => {
                self.count_not_stored(reason);
                land(fill.leader, Landing::Apart);
                quest.worker.store.abandon(fill.ticket).await;
            }
        }
    }

    /// A whole answer: streams it on, and keeps it if it may be kept.
    async fn take(mut self, fill: Filling, arrival: Arrival) {
        let quest = self.quest.clone();
        let rule = quest.asked.live.rule(quest.lookup.rule);
        let verdict = storable(&quest.fill_head(), &arrival.exchange(), rule.policy)
            .and_then(|stored| check_body(&arrival.response, rule.max_body()).map(|()| stored));
        let stored = match verdict {
            Ok(stored) => stored,
            Err(reason) => return self.apart(fill, arrival, reason).await,
        };
        if let Some(leader) = &fill.leader {
            leader.begun();
        }
        let status = arrival.response.status();
        let (head, body, length) = self.returned(arrival.response);
        let mut gathering = Gathering::new(body, rule.max_body(), length, &stored);
        let response = Response::from_parts(head, gathering.for_client().await);
        self.reply(Answer::Streamed {
            response: quest.unless_held(response, &stored),
            kept: Ok(stored.ttl(arrival.response_time)),
            status,
        });
        match gathering.whole().await {
            Ok(bytes) => {
                quest.worker.flights.note_shareable(&quest.lookup);
                self.keep(fill, stored, bytes).await;
            }
            Err(reason) => {
                self.count_not_stored(reason);
                let landing = match reason {
                    Reason::TooLarge => {
                        quest.worker.flights.note(&quest.lookup, Memo::Apart);
                        Landing::Apart
                    }
                    _ => Landing::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError),
                };
                land(fill.leader, landing);
                quest.worker.store.abandon(fill.ticket).await;
            }
        }
    }

    /// The client holds what the app would send. Whoever waited asks without conditions.
    async fn unmodified(mut self, mut fill: Filling, arrival: Arrival) {
        let quest = &self.quest;
        quest.worker.flights.note(&quest.lookup, Memo::Unmodified);
        land(fill.leader.take(), Landing::Unmodified);
        let status = arrival.response.status();
        let (head, body, _) = self.returned(arrival.response);
        self.reply(Answer::Streamed {
            response: Response::from_parts(head, Body::stream(body)),
            kept: Err(Reason::Status),
            status,
        });
        self.quest.worker.store.abandon(fill.ticket).await;
    }

    /// An answer for this client alone: nothing of it is kept.
    async fn apart(mut self, fill: Filling, arrival: Arrival, reason: Reason) {
        let quest = self.quest.clone();
        let flights = &quest.worker.flights;
        // What only this requester's own fields forbid says nothing of the next one's answer.
        let personal = matches!(
            reason,
            Reason::Authorization | Reason::Cookie | Reason::RequestNoStore
        );
        match fill.leader {
            Some(leader) if personal => leader.land(Landing::Again),
            Some(leader) => {
                flights.note(&quest.lookup, Memo::Apart);
                leader.land(Landing::Apart);
            }
            None => flights.note(&quest.lookup, Memo::Personal),
        }
        let status = arrival.response.status();
        let (head, body, _) = self.returned(arrival.response);
        let response = Response::from_parts(head, Body::stream(body));
        self.reply(Answer::Streamed {
            response,
            kept: Err(reason),
            status,
        });
        quest.worker.store.abandon(fill.ticket).await;
    }

    fn count_not_stored(&self, reason: Reason) {
        self.quest
            .asked
            .live
            .rule(self.quest.lookup.rule)
            .metrics
            .not_stored(reason);
    }

    async fn fail(
        mut self,
        ticket: Ticket,
        leader: Option<Leader>,
        status: StatusCode,
        reason: Reason,
    ) {
        land(leader, Landing::Failed(status, reason));
        self.reply(Answer::Failed(status, reason));
        self.quest.worker.store.abandon(ticket).await;
    }

    /// A client that has gone does not matter: the fill goes on for those who wait and the store.
    fn reply(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }
}

fn land(leader: Option<Leader>, landing: Landing) {
    if let Some(leader) = leader {
        leader.land(landing);
    }
}

/// RFC 5861 §4 names these.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
