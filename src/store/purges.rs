//! Purging both tiers: at once, and again later.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::handle::{Shared, Store};
use super::later::LaterPurge;
use super::redis::{AttachedTier, GRACE, NotPurged, Outlives, PurgeInFlight, Tier};
use crate::entry::Variant;
use crate::routes::{Purge, Purges};

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Entries removed from memory, or become stale there.
    pub memory: usize,
    /// Entries removed from Redis, or become stale there; `None`: no Redis is configured.
    pub redis: Option<usize>,
    /// Redis could not be reached: the purge is kept, what it covers is not served from Redis until
    /// it lands.
    pub pending: bool,
}

impl Purged {
    /// As it is told to who asked for the purge.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({
            "purged": { "memory": self.memory, "redis": self.redis },
            "pending": self.pending,
        })
    }
}

impl Store {
    /// Removes all that `purge` covers from both tiers, or makes it stale there, and fences every fill under way
    /// (promises I2 and I3). Where Redis cannot be reached the purge is kept, and what it covers is not served from Redis
    /// until it has landed there (promise I4). Either way the journal's file knows of it in the end.
    ///
    /// If its future is dropped half-way, memory is purged, and Redis will be.
    pub async fn purge(&self, purge: Purge) -> Purged {
        let purge = Arc::new(purge);
        let Some(tiers) = &self.shared.tiers else {
            return Purged {
                memory: self.purge_memory(&purge),
                redis: None,
                pending: false,
            };
        };
        let numbers = tiers.concerned_by(&purge).into_iter();
        let concerned = numbers.map(|number| {
            let redis = self.redis.as_ref().map(|redis| redis.numbered(number));
            let tier = &*tiers.all()[number];
            (tier, redis, tier.journal.enter(Arc::clone(&purge)))
        });
        let concerned: Vec<_> = concerned.collect();
        for (tier, ..) in &concerned {
            tier.invalidation_fence.purge(Arc::clone(&purge));
        }
        let memory = self.purge_memory(&purge);
        let sent = concerned.into_iter();
        let sent = sent.map(|(tier, redis, entered)| send_purge(tier, redis, &purge, entered));
        let sent = join_all(sent).await;
        let pending = sent.iter().any(|sent| sent.pending);
        let outlives = match pending {
            true => Outlives::Machine,
            false => Outlives::Process,
        };
        tiers.shared().record(outlives).await;
        Purged {
            memory,
            redis: Some(sent.iter().map(|sent| sent.removed).sum()),
            pending,
        }
    }

    /// As [`Store::purge`], what is removed and what becomes stale side by side.
    pub async fn purge_both(&self, purges: Purges) -> [Option<Purged>; 2] {
        let purge = |purge: Purge| async {
            match purge.is_empty() {
                true => None,
                false => Some(self.purge(purge).await),
            }
        };
        let (hard, soft) = tokio::join!(purge(purges.hard), purge(purges.soft));
        [hard, soft]
    }

    /// As [`Store::purge_again`], for each that covers anything.
    pub fn purge_both_again(
        &self,
        purges: &Purges,
        after: &[Duration],
    ) -> impl Future<Output = ()> + Send + use<> {
        let purges = [&purges.hard, &purges.soft].into_iter();
        let some = purges.filter(|purge| !purge.is_empty() && !after.is_empty());
        let records = some.map(|purge| self.purge_again(&Arc::new(purge.clone()), after));
        let records = join_all(records);
        async move { drop(records.await) }
    }

    /// Has `purge` carried out again after each of these times from now. What this returns tells Redis, so that others
    /// do it should this process end before ([`Store::carry_out_later`]).
    pub fn purge_again(
        &self,
        purge: &Arc<Purge>,
        after: &[Duration],
    ) -> impl Future<Output = ()> + Send + use<> {
        let (now, fleet_now) = (crate::clock::monotonic(), self.shared.clock.now());
        let redis = self.redis.clone();
        let mut records = Vec::new();
        for after in after {
            let redis = redis.as_ref();
            let record = redis.map(|it| it.first().later_record(purge, fleet_now + *after));
            let later = LaterPurge {
                purge: Arc::clone(purge),
                records: record.iter().cloned().collect(),
            };
            if self.shared.later.add(later, now + *after) {
                records.extend(record);
            }
        }
        async move {
            if let Some(redis) = redis.filter(|_| !records.is_empty()) {
                redis.first().keep_later(&records).await;
            }
        }
    }

    /// Carries out each purge that is to be carried out again, when it is due, and what other sidecars have left undone; and has
    /// memory let go of what has expired. Never returns: it is the work of one task of the process.
    pub async fn carry_out_later(&self) {
        let mut look = tokio::time::interval(GRACE);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (purges, records) = tokio::select! {
                due = self.shared.later.due() => {
                    let records = due.iter().flat_map(|later| later.records.clone()).collect();
                    let purges = due.into_iter().map(|later| later.purge).collect();
                    (purges, records)
                }
                _ = look.tick() => {
                    self.shared.memory.sweep(self.shared.clock.now());
                    self.take_over().await
                }
            };
            self.carry_out_again(purges, records).await;
        }
    }

    async fn take_over(&self) -> (Vec<Arc<Purge>>, Vec<Arc<str>>) {
        let Some(redis) = &self.redis else {
            return Default::default();
        };
        let overdue = redis.first().overdue(self.shared.clock.now() - GRACE);
        let overdue = overdue.await;
        let overdue = overdue.into_iter();
        overdue
            .map(|(record, purge)| (Arc::new(purge), record))
            .unzip()
    }

    async fn carry_out_again(&self, purges: Vec<Arc<Purge>>, records: Vec<Arc<str>>) {
        if purges.is_empty() {
            return;
        }
        let again = &self.shared.metrics.purges_again;
        again.inc_by(purges.len() as u64);
        let purges = Purges::joined(purges.iter().map(|purge| &**purge));
        let done = self.purge_both(purges).await;
        tracing::debug!(?done, "purged again");
        if let Some(redis) = self.redis.as_ref().filter(|_| !records.is_empty()) {
            redis.first().forget_later(&records).await;
        }
    }

    /// Whether purges wait to be carried out again, so that what is fetched may end with one.
    pub fn has_later_purges(&self) -> bool {
        self.shared.later.len() > 0
    }

    /// What was fetched between a purge and its repetition ends with that at the latest.
    pub fn end_by_later_purge(&self, key: &str, variant: &mut Arc<Variant>) {
        let now = crate::clock::monotonic();
        let last = self.shared.later.last_that_covers(key, variant, now);
        if let Some(left) = last {
            let end = self.shared.clock.now() + left;
            Arc::make_mut(variant).stored.end_by(end);
        }
    }

    /// Fences the fills under way and purges memory; returns how many entries that removed or made stale.
    fn purge_memory(&self, purge: &Arc<Purge>) -> usize {
        self.shared.fence.purge(Arc::clone(purge));
        let Shared { memory, clock, .. } = &*self.shared;
        let purged = memory.purge(purge, clock.now());
        self.shared
            .metrics
            .purged("memory", purge.kind.as_str(), purged);
        purged
    }
}

/// What a purge has come to in one shard.
struct PurgeSent {
    removed: usize,
    pending: bool,
}

async fn send_purge(
    tier: &Tier,
    redis: Option<&AttachedTier>,
    purge: &Arc<Purge>,
    entered: PurgeInFlight<'_>,
) -> PurgeSent {
    let sent = match redis {
        Some(redis) => redis.purge(purge).await,
        None => Err(NotPurged::Refused),
    };
    let pending = match sent {
        Ok(removed) => {
            tier.count_purged(purge.kind, removed);
            if purge.is_read_meanwhile() {
                // A fetch in between may be on its way to memory.
                tier.invalidation_fence.purge(Arc::clone(purge));
            }
            entered.confirm();
            false
        }
        Err(NotPurged::NotSent) => {
            let id = entered.fail();
            !tier.lands_soon(id).await
        }
        // It has been waited for already, or waiting is of no use.
        Err(NotPurged::Refused) => {
            entered.fail();
            true
        }
    };
    PurgeSent {
        removed: sent.unwrap_or_default(),
        pending,
    }
}
