//! A HEAD that the store cannot answer: the app is asked, and what it says counts for the stored GET
//! response as well (RFC 9111 §4.3.5).

use std::sync::Arc;

use super::cached::{Quest, Stale};
use super::expect::Expectation;
use super::fill::{Leasing, is_failure};
use super::outcome::Outcome;
use super::pass;
use crate::body::{Body, Progress};
use crate::entry::Variant;
use crate::http_cache::validation::{ByHead, by_head};
use crate::http_cache::{Exchange, Reason};
use crate::store::{Mark, Tags};

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
        let upstream = self.worker.upstream(&self.asked.live);
        let request = pass::request(&self.asked, Body::empty(), &Expectation::default());
        let request_time = self.now();
        let started = crate::clock::monotonic();
        let response = match upstream
            .send_with_retry(request, &Progress::default())
            .await
        {
            Ok(response) => response,
            Err(_) if stale.on_error => return self.stale_if_error(&variant).because(reason),
            Err(error) => {
                tracing::warn!(path = self.asked.parts.uri.path(), %error, "no answer from the app");
                let (status, failure) = pass::status_of(&error);
                return self.failed(&stale.variant, status, failure).because(reason);
            }
        };
        let rule = self.asked.live.rule(self.lookup.rule);
        rule.metrics.upstream(crate::clock::monotonic() - started);
        let status = response.status();
        if stale.on_error && is_failure(status) {
            return self.stale_if_error(&variant).because(reason);
        }
        let exchange = Exchange {
            status,
            headers: response.headers(),
            request_time,
            response_time: self.now(),
        };
        self.take_note(&variant, stale.since, &exchange, leasing);
        self.outcome(reason, pass::returned(response, upstream))
            .asked_app(status)
    }

    /// Stores what the answer made of the stored response, behind the client.
    ///
    /// The lease is taken only now: a HEAD brings no body that anyone could wait for. A purge in between
    /// has removed the variant, of which the lease then knows nothing.
    fn take_note(
        &self,
        variant: &Arc<Variant>,
        since: Mark,
        exchange: &Exchange<'_>,
        leasing: Leasing,
    ) {
        let policy = self.asked.live.rule(self.lookup.rule).policy;
        let (ByHead::Freshened(stored) | ByHead::Invalid(stored)) =
            by_head(&variant.stored, &self.fill_head(), exchange, policy)
        else {
            return;
        };
        let (quest, variant) = (self.clone(), variant.clone());
        tokio::spawn(async move {
            let store = &quest.worker.store;
            let deadline = quest.worker.upstream(&quest.asked.live).timeout();
            let ticket = match leasing {
                Leasing::Never => store.begin_alone(quest.key()),
                Leasing::Wait | Leasing::Try => store.begin(quest.key(), deadline).await,
            };
            let fenced = store.fenced(since, quest.key(), Tags::Known(&variant.tags));
            if fenced || !ticket.confirms(&variant) {
                return store.abandon(ticket).await;
            }
            let noted = Variant {
                tags: quest.retagged(&variant, &stored),
                stored,
                ..Variant::clone(&variant)
            };
            // Refused, it stays as it was: stale, or fresh and soon gone.
            let _ = store.commit(ticket, noted, quest.coherence()).await;
        });
    }
}
