//! A HEAD that the store cannot answer: the app is asked, and what it says counts for the stored GET
//! response as well (RFC 9111 §4.3.5).

use std::sync::Arc;

use super::cached::{Quest, Stale};
use super::expect::Expectation;
use super::fill::Leasing;
use super::outcome::Outcome;
use super::pass;
use crate::body::{Body, Progress};
use crate::entry::Variant;
use crate::http_cache::validation::{ByHead, by_head};
use crate::http_cache::{Exchange, Reason};
use crate::store::{Tags, Ticket};

impl Quest {
    /// Asks the app, and lets its answer freshen or invalidate what is stored.
    pub(super) async fn write_through(
        &self,
        reason: Reason,
        stale: Stale,
        leasing: Leasing,
    ) -> Outcome {
        let Some(variant) = stale.variant.clone() else {
            return self.forward(reason).await;
        };
        let ticket = self.ticket(leasing).await;
        let upstream = self.worker.upstream(&self.asked.live);
        let request = pass::request(&self.asked, Body::empty(), &Expectation::default());
        let request_time = self.now();
        let started = crate::clock::monotonic();
        let response = match upstream.send(request, &Progress::default()).await {
            Ok(response) => response,
            Err(error) => {
                self.worker.store.abandon(ticket).await;
                return pass::failed(self.asked.clone(), self.lookup.rule, &error);
            }
        };
        let rule = self.asked.live.rule(self.lookup.rule);
        rule.metrics.upstream(crate::clock::monotonic() - started);
        let exchange = Exchange {
            status: response.status(),
            headers: response.headers(),
            request_time,
            response_time: self.now(),
        };
        self.take_note(&variant, &stale, &exchange, ticket);
        let status = response.status();
        self.outcome(reason, pass::returned(response, upstream))
            .asked_app(status)
    }

    async fn ticket(&self, leasing: Leasing) -> Ticket {
        let deadline = self.worker.upstream(&self.asked.live).timeout();
        match leasing {
            Leasing::Never => self.worker.store.begin_alone(self.key()),
            Leasing::Wait | Leasing::Try => self.worker.store.begin(self.key(), deadline).await,
        }
    }

    /// Stores what the answer made of the stored response, behind the client.
    fn take_note(
        &self,
        variant: &Arc<Variant>,
        stale: &Stale,
        exchange: &Exchange<'_>,
        ticket: Ticket,
    ) {
        let quest = self.clone();
        let policy = self.asked.live.rule(self.lookup.rule).policy;
        let fenced = self
            .worker
            .store
            .fenced(stale.since, self.key(), Tags::Known(&variant.tags));
        // What was purged since it was read must not come back.
        let known = !fenced && ticket.confirms(variant);
        let stored = match by_head(&variant.stored, &self.fill_head(), exchange, policy) {
            ByHead::Freshened(stored) | ByHead::Invalid(stored) if known => Some(Variant {
                tags: self.retagged(variant, &stored),
                stored,
                ..Variant::clone(variant)
            }),
            _ => None,
        };
        tokio::spawn(async move {
            let store = &quest.worker.store;
            match stored {
                // Refused, it stays as it was: stale, or fresh and soon gone.
                Some(variant) => drop(store.commit(ticket, variant, quest.coherence()).await),
                None => store.abandon(ticket).await,
            }
        });
    }
}
