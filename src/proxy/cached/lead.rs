//! The answer to the request that causes a fill, and what takes its place when the app fails.

use std::sync::Arc;

use http::StatusCode;

use super::Quest;
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::proxy::fill::{self, Answer, Order};
use crate::proxy::outcome::{Outcome, text};
use crate::proxy::{pass, respond};

impl Quest {
    pub(super) async fn lead(&self, reason: Reason, order: Order) -> Outcome {
        let stale = order.stale.clone();
        let patience = self.worker.upstream(&self.asked.live).timeout();
        let Some(slot) = self.worker.flights.slot(patience).await else {
            return self.failed(&None, StatusCode::SERVICE_UNAVAILABLE, Reason::FillsFull);
        };
        match fill::start(self.clone(), order, slot).await {
            Some(Answer::Streamed {
                response,
                kept,
                status,
            }) => {
                let outcome = self.outcome(reason, response).asked_app(status);
                match kept {
                    Ok(ttl) => outcome.ttl(ttl).stored(Ok(())),
                    Err(reason) => outcome.stored(Err(reason)),
                }
            }
            Some(Answer::Confirmed {
                variant,
                status,
                personal,
            }) => {
                let now = self.now();
                let mut response = respond::stored(&self.head(), &variant, variant.stored.age(now));
                response.headers_mut().extend(personal);
                self.outcome(Reason::Revalidated, response)
                    .because(reason)
                    .ttl(variant.stored.ttl(now))
                    .asked_app(status)
            }
            Some(Answer::Completed { variant, status }) => {
                let now = self.now();
                let response = respond::stored(&self.head(), &variant, variant.stored.age(now));
                self.outcome(reason, response)
                    .asked_app(status)
                    .stored(Ok(()))
            }
            Some(Answer::Found { variant }) => self.served_found(&variant).because(reason),
            Some(Answer::Failed(status, failure)) => match &stale.variant {
                Some(variant) if stale.on_error => self.stale_if_error(variant).because(reason),
                held => self.failed(held, status, failure).because(reason),
            },
            None => self
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
        let response = respond::stored(&self.head(), variant, age);
        self.outcome(Reason::Collapsed, response)
            .ttl(ttl)
            .collapsed()
    }

    pub(in crate::proxy) fn stale_if_error(&self, variant: &Arc<Variant>) -> Outcome {
        let now = self.now();
        let age = variant.stored.age(now);
        let ttl = variant.stored.lifetime.as_secs() as i64 - age.as_secs() as i64;
        let response = respond::stored(&self.head(), variant, age);
        self.outcome(Reason::StaleIfError, response).ttl(ttl)
    }

    pub(super) fn unsatisfiable(&self) -> Outcome {
        self.outcome(Reason::OnlyIfCached, pass::unsatisfiable())
    }

    /// The app failed, and nothing stored may take its place: not even `held`, if it must be validated
    /// (RFC 9111 §5.2.2.2 asks for 504 then).
    pub(in crate::proxy) fn failed(
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
}
