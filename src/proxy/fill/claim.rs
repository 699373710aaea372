//! The right to ask the app for a key, which one sidecar of the fleet has at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Fill, Leasing, land};
use crate::entry::Variant;
use crate::http_cache::Reuse;
use crate::proxy::coalesce::{Landing, Leader, Memo, Ready};
use crate::store::Ticket;

/// Whether a fill asks the app.
pub(super) enum Claim {
    Ask(Ticket),
    /// Stored by another sidecar, and read after this moment.
    Found(Arc<Variant>, Instant),
}

/// The longest wait for another sidecar's fill; slower apps are asked twice rather than not at all.
const FLEET_WAIT: Duration = Duration::from_secs(5);

impl Fill {
    /// The right to fill. If another sidecar has it, its answer is waited for, briefly, rather than
    /// asked for a second time.
    pub(super) async fn claim(&self, leasing: Leasing) -> Claim {
        let quest = &self.quest;
        let (store, flights) = (&quest.worker.store, &quest.worker.flights);
        if leasing == Leasing::Never {
            return Claim::Ask(store.begin_alone(quest.key()));
        }
        let unwaited = flights.memo(&quest.lookup) == Some(Memo::Unwaited);
        let may_wait = leasing == Leasing::Wait && !unwaited;
        let deadline = quest.worker.upstream(&quest.asked.live).timeout();
        let mut until = None;
        let longest = || Instant::now() + deadline.min(FLEET_WAIT);
        let mut pause = Duration::from_millis(5);
        let mut missed = false;
        loop {
            let ticket = store.begin(quest.key(), deadline).await;
            if !may_wait {
                return Claim::Ask(ticket);
            }
            if !ticket.is_taken() {
                // Its holder may have stored between the look before and this lease.
                let serves = |entry| {
                    let (verdict, _) = quest.decide(Some(entry), quest.now());
                    matches!(verdict, Reuse::Serve { .. })
                };
                let stored = ticket.found().is_some_and(serves);
                if !stored || missed {
                    return Claim::Ask(ticket);
                }
                missed = true;
                store.abandon(ticket).await;
            } else if Instant::now() >= *until.get_or_insert_with(longest) {
                // Its holder may be dead; the next ones do not wait for it again.
                flights.note(&quest.lookup, Memo::Unwaited);
                return Claim::Ask(ticket);
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            let at = Instant::now();
            let found = store.fetch(quest.key(), quest.coherence()).await;
            if let (Reuse::Serve { .. }, Some(variant)) =
                quest.decide(found.as_deref(), quest.now())
            {
                return Claim::Found(variant.clone(), at);
            }
        }
    }

    /// Hands on what another sidecar stored.
    pub(super) fn found(mut self, leader: Option<Leader>, variant: Arc<Variant>, at: Instant) {
        let ready = Ready {
            variant: variant.clone(),
            asked: at,
            confirmed: Some(at),
        };
        land(leader, Landing::Ready(ready));
        self.reply(Answer::Found { variant });
    }
}
