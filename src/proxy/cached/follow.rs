//! The wait for what another request fetches.

use http::StatusCode;
use prometheus::IntGauge;
use tokio::time::Instant;

use super::{Quest, Stale};
use crate::entry::Entry;
use crate::http_cache::{Reason, Reuse};
use crate::proxy::coalesce::{Follower, Landing, Ready, Waited};
use crate::proxy::outcome::Outcome;
use crate::proxy::respond;

/// What a request does after it has waited for another one's fill.
pub(super) enum Next {
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

impl Quest {
    /// Waits for another request's fill.
    pub(super) async fn follow(&self, follower: Follower, why: Reason, stale: Stale) -> Next {
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
        let response = respond::stored(&self.head(), &entry.variants[0], age);
        Next::Done(
            self.outcome(Reason::Collapsed, response)
                .because(why)
                .ttl(ttl)
                .collapsed(),
        )
    }
}

/// Counted in a gauge until it is dropped, as it is when a waiting client hangs up.
pub(in crate::proxy) struct Counted(IntGauge);

impl Counted {
    pub(in crate::proxy) fn in_gauge(gauge: &IntGauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
