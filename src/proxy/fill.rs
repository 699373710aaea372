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
use crate::http_cache::{Reason, Reuse, validation};
use crate::store::{Tags, Ticket};
pub(super) use answer::Answer;
use ask::Arrival;
pub(super) use ask::origin_form;
use claim::Claim;
use enduring::Enduring;
use gather::Gathering;

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

/// What a fill is for, and who waits for the head of its answer.
struct Fill {
    quest: Quest,
    reply: Option<oneshot::Sender<Answer>>,
}

/// A fill whose answer has begun. It goes from hand to hand, and is boxed so that a future does not hold
/// it once for each.
struct Filling {
    fill: Fill,
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
        let mut filling = Box::new(Filling {
            fill: self,
            ticket,
            leader,
            asked,
            base: None,
        });
        match (wish, stale.variant) {
            // Boxed, so that the many fills of a whole response do not carry its size.
            (Wish::Rest(rest), Some(part)) => {
                Box::pin(filling.complete(arrival, part, rest)).await;
            }
            (Wish::Own, base) => {
                filling.base = base;
                filling.own(arrival, stale.on_error).await;
            }
            (wish, held) => {
                let spare = stale.on_error && held.is_some();
                let asked_about = held.filter(|stale| stale.stored.can_be_validated());
                let own = wish == Wish::UnlessHeld
                    && asked_about.is_none()
                    && filling.fill.is_conditional();
                filling.whole(arrival, asked_about, own, spare).await;
            }
        }
    }

    fn is_conditional(&self) -> bool {
        let asked = &self.quest.asked;
        asked.present.has(Present::SELECTING) && validation::is_conditional(&asked.parts.headers)
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

impl Filling {
    /// The answer to a request for the whole response: `stale` is what the request asked about, `own`
    /// that it had the client's conditions, `spare` that a failure is answered by what is stored.
    async fn whole(
        self: Box<Self>,
        arrival: Box<Arrival>,
        stale: Option<Arc<Variant>>,
        own: bool,
        spare: bool,
    ) {
        let status = arrival.response.status();
        match (status, stale) {
            (StatusCode::NOT_MODIFIED, Some(stale)) => {
                // RFC 9111 §4.3.4: what is stored is not what the app says is unchanged.
                if validation::is_about(&stale.stored, arrival.response.headers()) {
                    self.confirm(&stale, &arrival).await;
                } else {
                    drop(arrival);
                    Box::pin(self.anew()).await;
                }
            }
            (StatusCode::NOT_MODIFIED, None) if own => self.unmodified(arrival).await,
            // Never asked for (A3).
            (StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT, _) => {
                self.broken(arrival).await;
            }
            // RFC 5861 §4
            (status, _) if spare && is_failure(status) => self.broken(arrival).await,
            _ => self.take(arrival).await,
        }
    }

    /// The answer to a request for what the client asked.
    async fn own(self: Box<Self>, arrival: Box<Arrival>, spare: bool) {
        match arrival.response.status() {
            StatusCode::NOT_MODIFIED if self.fill.is_conditional() => {
                self.unmodified(arrival).await;
            }
            StatusCode::NOT_MODIFIED => self.broken(arrival).await,
            status if spare && is_failure(status) => self.broken(arrival).await,
            _ => self.take(arrival).await,
        }
    }

    /// An answer that cannot be used.
    async fn broken(self: Box<Self>, arrival: Box<Arrival>) {
        drop(arrival);
        let (status, reason) = (StatusCode::BAD_GATEWAY, Reason::UpstreamError);
        self.fail(status, reason).await;
    }

    async fn fail(self: Box<Self>, status: StatusCode, reason: Reason) {
        self.fill
            .fail(self.ticket, self.leader, status, reason)
            .await;
    }

    /// A 304: what is stored holds, with new freshness.
    async fn confirm(mut self: Box<Self>, stale: &Variant, arrival: &Arrival) {
        let quest = self.fill.quest.clone();
        let policy = quest.asked.live.rule(quest.lookup.rule).policy;
        let head = quest.fill_head();
        let stored = validation::freshened(&stale.stored, &head, &arrival.exchange(), policy);
        let variant = Arc::new(Variant {
            tags: quest.retagged(stale, &stored),
            stored,
            ..stale.clone()
        });
        self.fill.reply(Answer::Confirmed {
            variant: variant.clone(),
            status: StatusCode::NOT_MODIFIED,
            personal: validation::personal(arrival.response.headers(), &stale.stored, policy),
        });
        match validation::keepable(&head, &variant.stored, policy) {
            Ok(()) => self.commit(variant).await,
            Err(reason) => {
                self.fill.count_not_stored(reason);
                self.abandon(Landing::Apart).await;
            }
        }
    }

    /// A whole answer: streams it on, and keeps it if it may be kept.
    async fn take(mut self: Box<Self>, arrival: Box<Arrival>) {
        let variant = match self.fill.storable(&arrival) {
            Ok(variant) => variant,
            Err(reason) => return self.apart(arrival, reason).await,
        };
        if let Some(leader) = &self.leader {
            leader.begun();
        }
        let (status, response_time) = (arrival.response.status(), arrival.response_time);
        let (head, body, length) = self.fill.returned(arrival.response);
        let max_body = self.fill.max_body();
        let mut gathering = Gathering::new(body, max_body, length, &variant.stored);
        let response = Response::from_parts(head, gathering.for_client().await);
        let response = self.fill.quest.unless_held(response, &variant.stored);
        self.fill.reply(Answer::Streamed {
            response,
            kept: Ok(variant.stored.ttl(response_time)),
            status,
        });
        let gathered = gathering.whole().await;
        // The client learns now of an end that nobody told it, and the app's connection is free.
        drop(gathering);
        match gathered {
            Ok(bytes) => {
                let quest = &self.fill.quest;
                quest.worker.flights.note_shareable(&quest.lookup);
                self.keep(variant, bytes).await;
            }
            Err(reason) => {
                self.fill.count_not_stored(reason);
                let landing = match reason {
                    Reason::TooLarge => {
                        let quest = &self.fill.quest;
                        quest.worker.flights.note(&quest.lookup, Memo::Apart);
                        Landing::Apart
                    }
                    _ => Landing::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError),
                };
                self.abandon(landing).await;
            }
        }
    }

    /// The client holds what the app would send. Whoever waited asks without conditions.
    async fn unmodified(mut self: Box<Self>, arrival: Box<Arrival>) {
        let quest = &self.fill.quest;
        quest.worker.flights.note(&quest.lookup, Memo::Unmodified);
        land(self.leader.take(), Landing::Unmodified);
        let status = arrival.response.status();
        let (head, body, _) = self.fill.returned(arrival.response);
        self.fill.reply(Answer::Streamed {
            response: Response::from_parts(head, Body::stream(body)),
            kept: Err(Reason::Status),
            status,
        });
        self.fill.quest.worker.store.abandon(self.ticket).await;
    }

    /// An answer for this client alone: nothing of it is kept.
    async fn apart(mut self: Box<Self>, arrival: Box<Arrival>, reason: Reason) {
        let quest = &self.fill.quest;
        let flights = &quest.worker.flights;
        // What only this requester's own fields forbid says nothing of the next one's answer.
        let personal = matches!(
            reason,
            Reason::Authorization | Reason::Cookie | Reason::RequestNoStore
        );
        match self.leader.take() {
            Some(leader) if personal => leader.land(Landing::Again),
            Some(leader) => {
                flights.note(&quest.lookup, Memo::Apart);
                leader.land(Landing::Apart);
            }
            None => flights.note(&quest.lookup, Memo::Personal),
        }
        let status = arrival.response.status();
        let (head, body, _) = self.fill.returned(arrival.response);
        let response = Response::from_parts(head, Body::stream(body));
        self.fill.reply(Answer::Streamed {
            response,
            kept: Err(reason),
            status,
        });
        self.fill.quest.worker.store.abandon(self.ticket).await;
    }

    /// Nothing is stored: tells those who wait, and gives the ticket back.
    async fn abandon(self: Box<Self>, landing: Landing) {
        land(self.leader, landing);
        self.fill.quest.worker.store.abandon(self.ticket).await;
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
