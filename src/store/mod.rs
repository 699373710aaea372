//! The two tiers behind one interface: memory in front, Redis behind it and shared by the fleet.
//!
//! A fill takes a [`Ticket`] before it asks the app and hands it back with what it fetched. The store
//! refuses it if anything that covers the key was purged in between: in this process by the
//! [`Fence`], in the fleet by the key's lease in Redis, which a purge deletes.

pub mod fence;
pub mod memory;
pub mod redis;

mod gauges;
mod inspect;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use fence::{Fence, Mark, Tags};
pub use inspect::{Holding, Inspection};
pub use memory::Memory;

use self::redis::{HeldLease, Lease, Put, RedisConnection, Session, Tier};
use crate::clock::Clock;
use crate::config::{Coherence, Config};
use crate::entry::{Entry, Variant};
use crate::http_cache::Reason;
use crate::metrics::Metrics;
use crate::routes::Purge;

/// The store as one runtime sees it; clones share the memory tier and the fence.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// This runtime's connection; absent before [`Store::attach`] and without Redis.
    connection: Option<Arc<RedisConnection>>,
}

struct Shared {
    memory: Arc<Memory>,
    fence: Arc<Fence>,
    /// The Redis tier, if one is configured.
    tier: Option<Arc<Tier>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// Redis did not answer in time, or with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// The right to store one fill's answer: taken before the app is asked.
#[derive(Debug)]
pub struct Ticket {
    key: Box<str>,
    mark: Mark,
    lease: Lease,
}

impl Ticket {
    /// Whether another fill of the fleet has the key's lease: what it stores can be waited for.
    pub fn is_taken(&self) -> bool {
        matches!(self.lease, Lease::Taken)
    }

    /// What was stored when the lease was taken: another sidecar's fill may have landed just before.
    pub fn found(&self) -> Option<&Entry> {
        match &self.lease {
            Lease::Held(held) => held.base(),
            _ => None,
        }
    }

    /// Whether `variant`, read before the ticket was taken, was still stored then, as far as Redis
    /// told with the lease: what was purged since must not be revived by a validation.
    pub fn confirms(&self, variant: &Variant) -> bool {
        let Lease::Held(held) = &self.lease else {
            return true;
        };
        let is_same = |kept: &Arc<Variant>| {
            kept.stored.selector == variant.stored.selector
                && kept.stored.response_time == variant.stored.response_time
        };
        held.base()
            .is_some_and(|base| base.variants.iter().any(is_same))
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Entries removed from memory.
    pub memory: usize,
    /// Entries removed from Redis; `None`: no Redis is configured.
    pub redis: Option<usize>,
    /// Redis could not be reached: the purge is kept, what it covers is not served from Redis until
    /// it lands.
    pub pending: bool,
}

impl Store {
    /// The shared parts. Never waits for Redis and never fails because of it.
    pub fn new(config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Store {
        let memory = Arc::new(Memory::new(config.memory.max));
        let fence = Arc::new(Fence::default());
        let tier = config.redis.as_ref().map(|redis| {
            let (memory, fence) = (Arc::clone(&memory), Arc::clone(&fence));
            let (clock, metrics) = (clock.clone(), Arc::clone(&metrics));
            Tier::new(redis, &config.budget, memory, fence, clock, metrics)
        });
        Store {
            shared: Arc::new(Shared {
                memory,
                fence,
                tier: tier.map(Arc::new),
                clock,
                metrics,
            }),
            connection: None,
        }
    }

    /// The same store with this runtime's own Redis connection; call it inside the runtime.
    pub fn attach(&self) -> Store {
        let tier = self.shared.tier.clone();
        Store {
            shared: Arc::clone(&self.shared),
            connection: tier.and_then(RedisConnection::attach),
        }
    }

    /// Looks in memory alone: no await, no allocation. `None` for strict rules with Redis configured.
    pub fn recall(&self, key: &str, coherence: Coherence, now: SystemTime) -> Option<Arc<Entry>> {
        if !self.may_use_memory(coherence) {
            return None;
        }
        self.shared.memory.get(key, now)
    }

    /// Looks in Redis, and remembers what it finds in memory (not for strict rules). `None` also when
    /// Redis is absent, down or slow, or a pending purge covers the entry.
    pub async fn fetch(&self, key: &str, coherence: Coherence) -> Option<Arc<Entry>> {
        self.try_fetch(key, coherence).await.ok().flatten()
    }

    /// The same, telling an answer of "nothing" from none in time: who was not answered should not
    /// wait for Redis a second time.
    pub async fn try_fetch(
        &self,
        key: &str,
        coherence: Coherence,
    ) -> Result<Option<Arc<Entry>>, Unanswered> {
        let (Some(tier), Some(connection)) = (&self.shared.tier, &self.connection) else {
            return Ok(None);
        };
        let Some(session) = connection.session() else {
            return Ok(None);
        };
        let mark = tier.invalidation_fence.mark();
        if tier.journal.covers(key, &[]) {
            return Ok(None);
        }
        let Some(entry) = connection.get(key).await?.map(Arc::new) else {
            return Ok(None);
        };
        let covered = |variant: &Arc<Variant>| tier.journal.covers(key, &variant.tags);
        if entry.variants.iter().any(covered) {
            return Ok(None);
        }
        if self.may_use_memory(coherence) {
            let now = self.shared.clock.now();
            // What memory refuses is served all the same: it was in Redis when it was asked for.
            let _ = tier.remember(connection, session, || {
                let memory = &self.shared.memory;
                memory.replace(key, Arc::clone(&entry), &tier.invalidation_fence, mark, now)
            });
        }
        Ok(Some(entry))
    }

    /// Whether other sidecars may purge what this one holds.
    pub fn is_shared(&self) -> bool {
        self.shared.tier.is_some()
    }

    /// The moment a fill or a join is measured from.
    pub fn mark(&self) -> Mark {
        self.shared.fence.mark()
    }

    /// Whether a purge since `mark` covers `key` with `tags`.
    pub fn fenced(&self, mark: Mark, key: &str, tags: Tags<'_>) -> bool {
        self.shared.fence.covers(mark, key, tags)
    }

    /// Takes a ticket for a fill of `key` that lasts at most `deadline`.
    pub async fn begin(&self, key: &str, deadline: Duration) -> Ticket {
        let mark = self.mark();
        let lease = match &self.connection {
            Some(connection) => connection.lease(key, deadline).await,
            None => Lease::Unknown(None),
        };
        Ticket {
            key: key.into(),
            mark,
            lease,
        }
    }

    /// A ticket without a lease: what it fetches is stored in memory at most, and nobody waits for it.
    pub fn begin_alone(&self, key: &str) -> Ticket {
        Ticket {
            key: key.into(),
            mark: self.mark(),
            lease: Lease::Unknown(None),
        }
    }

    /// Stores what the fill fetched: Redis first (if it is there), then memory.
    pub async fn commit(
        &self,
        ticket: Ticket,
        variant: impl Into<Arc<Variant>>,
        coherence: Coherence,
    ) -> Result<(), Reason> {
        let variant = variant.into();
        let Some(tier) = &self.shared.tier else {
            return self.hold(&ticket, &variant);
        };
        // What follows the store in Redis into memory is measured from before this look at the fence.
        let invalidation_fence = tier.invalidation_fence.mark();
        if self.fenced(ticket.mark, &ticket.key, Tags::Known(&variant.tags)) {
            self.abandon(ticket).await;
            return Err(Reason::Fenced);
        }
        match self.put(tier, &ticket, &variant).await {
            Ok(session) => {
                self.hold_stored(
                    tier,
                    session,
                    invalidation_fence,
                    &ticket.key,
                    &variant,
                    coherence,
                );
                Ok(())
            }
            Err(NotPut::Refused(reason)) => Err(reason),
            Err(NotPut::Failed(reason)) => {
                let strict = !self.may_use_memory(coherence);
                let held = (!strict).then(|| {
                    tier.while_down(self.connection.as_deref(), || self.hold(&ticket, &variant))
                });
                self.abandon(ticket).await;
                held.flatten().unwrap_or(Err(reason))
            }
        }
    }

    /// Gives a ticket back unused, so that another fill may start at once.
    pub async fn abandon(&self, ticket: Ticket) {
        if let Some(connection) = &self.connection {
            connection.release(&ticket.key, ticket.lease).await;
        }
    }

    /// Removes all that `purge` covers from both tiers, and fences every fill under way.
    ///
    /// If its future is dropped half-way, memory is purged, and Redis will be.
    pub async fn purge(&self, purge: Purge) -> Purged {
        let purge = Arc::new(purge);
        let Some(tier) = &self.shared.tier else {
            return Purged {
                memory: self.forget(&purge),
                redis: None,
                pending: false,
            };
        };
        let unconfirmed = tier.journal.enter(Arc::clone(&purge));
        tier.invalidation_fence.purge(Arc::clone(&purge));
        let memory = self.forget(&purge);
        let sent = match &self.connection {
            Some(connection) => connection.purge(&purge).await.ok(),
            None => None,
        };
        if let Some(removed) = sent {
            tier.count_purged(removed);
            if !purge.tags.is_empty() {
                // A fetch in between could not know by its key that it was covered.
                tier.invalidation_fence.purge(Arc::clone(&purge));
            }
            unconfirmed.landed();
        }
        Purged {
            memory,
            redis: Some(sent.unwrap_or_default()),
            pending: sent.is_none(),
        }
    }

    /// What both tiers hold and how Redis is; asks Redis for its part (bounded by its timeout).
    pub async fn status(&self) -> Status {
        let memory = self.shared.memory.usage();
        gauges::memory(&self.shared.metrics, &memory);
        let redis = match (&self.shared.tier, &self.connection) {
            (Some(_), Some(connection)) => {
                let (status, counters) = connection.status().await;
                gauges::redis(&self.shared.metrics, &status, &counters);
                Some(status)
            }
            (Some(tier), None) => Some(tier.status()),
            (None, _) => None,
        };
        Status { memory, redis }
    }

    /// Sends what is pending and closes the connection; at the end of a drain.
    pub async fn close(&self) {
        if let Some(connection) = &self.connection {
            connection.close().await;
        }
    }

    /// Strict rules are answered by Redis where there is one.
    fn may_use_memory(&self, coherence: Coherence) -> bool {
        self.shared.tier.is_none() || coherence == Coherence::Tracked
    }

    /// Merges with what the lease found, and stores it in Redis.
    async fn put(
        &self,
        tier: &Tier,
        ticket: &Ticket,
        variant: &Arc<Variant>,
    ) -> Result<Session, NotPut> {
        let lost = NotPut::Failed(Reason::LeaseLost);
        let (connection, held) = match (&self.connection, &ticket.lease) {
            (Some(connection), Lease::Held(held)) => (connection, held),
            (_, Lease::Full) => return Err(NotPut::Failed(Reason::BudgetFull)),
            _ => return Err(lost),
        };
        let Some(session) = connection.session() else {
            return Err(lost);
        };
        if tier.journal.covers(&ticket.key, &variant.tags) {
            connection.release_held(&ticket.key, held).await;
            return Err(NotPut::Refused(Reason::Fenced));
        }
        let entry = merged(held, variant, self.shared.clock.now());
        let ttl = entry.keep_for(self.shared.clock.now());
        match connection.put(&ticket.key, held, &entry, ttl).await {
            Ok(Put::Stored) => Ok(session),
            Ok(Put::Lost) => Err(NotPut::Refused(Reason::LeaseLost)),
            Ok(Put::Purged) => Err(NotPut::Refused(Reason::Fenced)),
            Ok(Put::Full) => Err(NotPut::Refused(Reason::BudgetFull)),
            Err(_) => Err(lost),
        }
    }

    /// Adds to memory, where no store in Redis went before.
    fn hold(&self, ticket: &Ticket, variant: &Arc<Variant>) -> Result<(), Reason> {
        let shared = &self.shared;
        let (variant, now) = (Arc::clone(variant), shared.clock.now());
        let Ticket { key, mark, .. } = ticket;
        shared.memory.add(key, variant, &shared.fence, *mark, now)
    }

    /// Adds to memory what Redis has taken. If memory refuses it, it is stored nevertheless.
    fn hold_stored(
        &self,
        tier: &Tier,
        session: Session,
        invalidation_fence: Mark,
        key: &str,
        variant: &Arc<Variant>,
        coherence: Coherence,
    ) {
        let Some(connection) = &self.connection else {
            return;
        };
        if !self.may_use_memory(coherence) {
            return;
        }
        let (variant, now) = (Arc::clone(variant), self.shared.clock.now());
        let _ = tier.remember(connection, session, || {
            self.shared.memory.add(
                key,
                variant,
                &tier.invalidation_fence,
                invalidation_fence,
                now,
            )
        });
    }

    /// Fences the fills under way and purges memory.
    fn forget(&self, purge: &Arc<Purge>) -> usize {
        self.shared.fence.purge(Arc::clone(purge));
        let removed = self.shared.memory.purge(purge);
        let purged = &self.shared.metrics.purged_entries;
        purged.with_label_values(&["memory"]).inc_by(removed as u64);
        removed
    }
}

/// Why a fill is not in Redis.
enum NotPut {
    /// Redis said so: memory must not have it either.
    Refused(Reason),
    /// Redis was not asked or did not answer: memory may have it while Redis is down.
    Failed(Reason),
}

fn merged(held: &HeldLease, variant: &Arc<Variant>, now: SystemTime) -> Entry {
    let base = held.base().cloned().unwrap_or_default();
    base.with(Arc::clone(variant), now)
}

/// The state of both tiers, for `/stats`, `/readyz` and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The memory tier.
    pub memory: memory::MemoryUsage,
    /// The Redis tier; `None`: not configured.
    pub redis: Option<redis::RedisStatus>,
}
