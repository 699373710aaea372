//! The two tiers behind one interface: memory in front, Redis behind it and shared by the fleet.
//!
//! A fill takes a [`Ticket`] before it asks the app and hands it back with what it fetched. The store
//! refuses it if anything that covers the key was purged in between: in this process by the
//! [`Fence`], in the fleet by the key's lease in Redis, which a purge deletes.

pub mod fence;
pub mod memory;
pub mod redis;

mod compression;
mod decisions;
mod gauges;
mod inspect;
mod jobs;
mod later;
mod sharding;
mod ticket;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;

pub use self::decisions::CheckTicket;
pub use self::fence::{Fence, Mark, Tags};
pub use self::inspect::{Holding, Inspection};
pub use self::jobs::FleetJobs;
pub use self::memory::Memory;
pub use self::redis::{
    Claimed, JobClaim, JobEnd, JobProgress, JobRecord, JournalError, MAX_HOT_LIST, NewWrites,
    Renewed, SidecarWord, SwitchToKeep, Unanswered,
};
pub use self::ticket::Ticket;

use self::later::{LaterPurge, LaterPurges};
use self::redis::{
    AttachedTier, AttachedTiers, GRACE, HeldLease, Lease, Masked, NotPurged, Outlives, Presence,
    PurgeInFlight, Purpose, Put, Session, Surroundings, Tier, Tiers, Wanted, Wishes, sharding_of,
};
use self::sharding::Sharding;
use crate::auth::{Decision, Digest, Verdict};
use crate::clock::Clock;
use crate::config::{Auth, Coherence, Config, Outage};
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, tag_fields};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::rollout::Switches;
use crate::routes::{Purge, PurgeKind, Purges};

/// The store as one runtime sees it; clones share the memory tier and the fence.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// The Redis tier with the connections that this runtime uses; absent before [`Store::attach`] and without Redis.
    redis: Option<Arc<AttachedTiers>>,
}

struct Shared {
    memory: Arc<Memory>,
    in_flight: InFlight,
    fence: Arc<Fence>,
    later: LaterPurges,
    /// The Redis tier, if one is configured.
    tiers: Option<Arc<Tiers>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

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
    /// The shared parts. Never waits for Redis and never fails because of it.
    pub fn new(config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Store {
        let in_flight = InFlight::new(config.memory.in_flight, config.memory.per_body);
        let max_decisions = config
            .auth
            .as_ref()
            .map_or(Auth::DEFAULT_MAX, |auth| auth.max);
        let sharding = config.redis.as_ref().map_or(Sharding::NONE, sharding_of);
        let memory = Memory::new(config.memory.max, in_flight.clone());
        let memory = memory.with_decisions(max_decisions).with_sharding(sharding);
        let (memory, fence) = (Arc::new(memory), Arc::new(Fence::default()));
        let tiers = config.redis.as_ref().map(|redis| {
            let around = Surroundings {
                memory: Arc::clone(&memory),
                in_flight: in_flight.clone(),
                fence: Arc::clone(&fence),
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
            };
            Tiers::new(redis, &config.budget, around)
        });
        Store {
            shared: Arc::new(Shared {
                memory,
                in_flight,
                fence,
                later: LaterPurges::new(crate::clock::monotonic()),
                tiers: tiers.map(Arc::new),
                clock,
                metrics,
            }),
            redis: None,
        }
    }

    /// This store, in the one process that keeps the file of `[redis] journal`, if there is to be one. Call it before
    /// anything is attached.
    pub fn keeping_journal(self) -> Result<Store, JournalError> {
        if let Some(tiers) = &self.shared.tiers {
            tiers.keep_journal()?;
        }
        Ok(self)
    }

    /// Connections to Redis that are made from now on are let in as `config` says.
    pub fn reload(&self, config: &Config) {
        if let (Some(tiers), Some(redis)) = (&self.shared.tiers, &config.redis) {
            tiers.take_access(&redis.access);
        }
    }

    /// This store with a Redis connection of this runtime's own, which is made in the background; other runtimes may use
    /// it, too ([`Store::attach_through`]). Call it inside the runtime.
    pub fn attach(&self) -> Store {
        self.attach_as(Presence::Announced, Purpose::Requests)
    }

    /// As [`Store::attach`], for what is done beside requests.
    pub fn attach_for_upkeep(&self) -> Store {
        self.attach_as(Presence::Announced, Purpose::Upkeep)
    }

    /// As [`Store::attach`], for a process that only looks: it does not announce its stored layout, which
    /// would stop a fleet of another layout from using Redis.
    pub fn attach_silently(&self) -> Store {
        self.attach_as(Presence::Silent, Purpose::Look)
    }

    /// This store with the Redis connection that `owner` has on another runtime, which must outlive this one's requests.
    /// Call it inside the runtime.
    pub fn attach_through(&self, owner: &Store) -> Store {
        let redis = owner.redis.as_deref().and_then(AttachedTiers::through);
        self.with_redis(redis)
    }

    fn attach_as(&self, presence: Presence, purpose: Purpose) -> Store {
        let tiers = self.shared.tiers.clone();
        self.with_redis(tiers.and_then(|tiers| AttachedTiers::new(tiers, presence, purpose)))
    }

    fn with_redis(&self, redis: Option<AttachedTiers>) -> Store {
        Store {
            shared: Arc::clone(&self.shared),
            redis: redis.map(Arc::new),
        }
    }

    /// Whether this runtime hears from Redis what others have purged.
    pub fn hears_news(&self) -> bool {
        self.redis.is_some()
    }

    /// Looks in memory alone: no await, no allocation. `None` for strict rules with Redis configured, and where
    /// memory has not heard of Redis for longer than `[redis] staleness` and Redis can be asked instead.
    pub fn recall(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        match self.tier_of(key) {
            Some(tier) if !tier.trusts_memory() && self.can_ask(key) => None,
            _ => self.recall_unanswered(key, coherence, outage, now),
        }
    }

    /// As [`Store::recall`], where Redis was asked and has not answered.
    pub fn recall_unanswered(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        let entry = self.recall_trusted(key, coherence, now)?;
        match self.tier_of(key) {
            Some(tier) if !tier.trusts_memory() => tier.for_outage(entry, outage, now),
            _ => Some(entry),
        }
    }

    /// Whether requests may use Redis for `key`.
    pub fn can_ask(&self, key: &str) -> bool {
        let redis = self.redis_of(key);
        redis.is_some_and(|redis| redis.session().is_some())
    }

    /// The Redis tier as it is for `key`.
    fn tier_of(&self, key: &str) -> Option<&Tier> {
        Some(self.shared.tiers.as_ref()?.of(key))
    }

    /// The same, with the connection that this runtime uses.
    fn redis_of(&self, key: &str) -> Option<&AttachedTier> {
        Some(self.redis.as_ref()?.of(key))
    }

    fn recall_trusted(
        &self,
        key: &str,
        coherence: Coherence,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        if !self.may_use_memory(coherence) {
            return None;
        }
        self.shared.memory.get(key, now)
    }

    /// What memory holds of a tracked rule and may not serve, since it has not heard of Redis for too long and
    /// cannot ask it: the app may confirm it. `has_answered`: whether Redis has, just now.
    pub fn unconfirmed(
        &self,
        key: &str,
        coherence: Coherence,
        has_answered: bool,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        let tier = self.tier_of(key)?;
        if (has_answered && self.can_ask(key)) || tier.trusts_memory() {
            return None;
        }
        self.recall_trusted(key, coherence, now)
    }

    /// What memory holds under `key`, whether or not it may be served.
    pub fn peek(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        self.shared.memory.peek(key, now)
    }

    /// Waits until Redis can be used or is known not to be usable, at most for `longest`: before the first request.
    pub async fn settle(&self, longest: Duration) {
        if let Some(redis) = &self.redis {
            redis.settle(longest).await;
        }
    }

    /// Looks in Redis, and remembers what it finds in memory (not for strict rules). `None` also when
    /// Redis is absent, down or slow, or a pending purge covers the entry.
    pub async fn fetch(&self, key: &str, coherence: Coherence) -> Option<Arc<Entry>> {
        self.try_fetch(key, coherence).await.ok().flatten()
    }

    /// Looks in Redis, and remembers what it finds in memory (not for strict rules).
    ///
    /// `Ok(None)`: nothing is stored, Redis is absent or left alone, or a pending purge covers the entry
    /// (promise I2). `Err`: Redis was asked and gave no answer in time; the caller should not wait for it a
    /// second time (promise I4).
    pub async fn try_fetch(
        &self,
        key: &str,
        coherence: Coherence,
    ) -> Result<Option<Arc<Entry>>, Unanswered> {
        let (Some(tier), Some(redis)) = (self.tier_of(key), self.redis_of(key)) else {
            return Ok(None);
        };
        let Some(session) = redis.session() else {
            return Ok(None);
        };
        let mark = tier.invalidation_fence.mark();
        let has_failed = tier.journal.failed_count() > 0;
        if tier.journal.covering(key, &[]) == Some(PurgeKind::Hard) {
            return Ok(None);
        }
        let Some(entry) = redis.get(key).await?.map(Arc::new) else {
            return Ok(None);
        };
        let fence = &tier.invalidation_fence;
        // A purge by tag that was pending when Redis answered may have landed since.
        let landed = |variant: &Arc<Variant>| {
            has_failed && fence.covers(mark, key, Tags::Known(&variant.tags))
        };
        if entry.variants.iter().any(landed) {
            return Ok(None);
        }
        let now = self.shared.clock.now();
        let entry = match tier.journal.mask(key, entry, now) {
            Masked::Untouched(entry) => entry,
            Masked::Stale(entry) => return Ok(Some(entry)),
            Masked::Hidden => return Ok(None),
        };
        tier.note_hit(key);
        if self.may_use_memory(coherence) {
            // What memory refuses is served all the same: it was in Redis when it was asked for.
            let _ = redis.put_within(session, || {
                let memory = &self.shared.memory;
                let entry = Arc::clone(&entry);
                memory.replace(key, entry, &tier.invalidation_fence, mark, now)
            });
        }
        Ok(Some(entry))
    }

    /// What is known under `digest` of whoever asks, if it may be used without asking again.
    pub fn recall_decision(
        &self,
        digest: &Digest,
        outage: Option<Outage>,
        now: Instant,
    ) -> Option<Verdict> {
        let (memory, tiers) = (&self.shared.memory, self.shared.tiers.as_deref());
        decisions::recall(memory, tiers, self.redis.as_deref(), (digest, outage, now))
    }

    /// To be done before the app is asked who has the credentials of `digest`; `mark` is a moment before.
    pub async fn begin_check(&self, digest: Digest, mark: Mark) -> CheckTicket {
        let (tiers, redis) = (self.shared.tiers.as_deref(), self.redis.as_deref());
        CheckTicket::take(tiers, redis, digest, mark).await
    }

    /// Keeps what the app said, unless a purge has come since or would not be heard of. Returns whether it did.
    pub fn keep_decision(
        &self,
        ticket: CheckTicket,
        decision: Decision,
        outage: Option<Outage>,
    ) -> bool {
        let Shared { memory, fence, .. } = &*self.shared;
        let tiers = (self.shared.tiers.as_deref(), self.redis.as_deref());
        ticket.keep((memory, fence), tiers, decision, outage)
    }

    /// Whether what was said of `digest` at `mark` may not be so any more: a purge has come since.
    pub fn is_overtaken(&self, digest: &Digest, mark: Mark) -> bool {
        // Its name is made only where something was purged.
        self.mark() != mark && self.fenced(mark, &digest.name(), Tags::Known(&[]))
    }

    /// The budget for what is held outside the tiers.
    pub fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
    }

    /// Whether purges that Redis could not take are in a file.
    pub fn has_journal(&self) -> bool {
        let tiers = self.shared.tiers.as_ref();
        tiers.is_some_and(|tiers| tiers.shared().has_journal())
    }

    /// Whether other sidecars may purge what this one holds.
    pub fn is_shared(&self) -> bool {
        self.shared.tiers.is_some()
    }

    /// Since when what each shard of Redis holds is valid, in milliseconds of its time; 0: it is not known. Once one is later,
    /// all that was stored there is void.
    pub fn valid_since(&self) -> Vec<u64> {
        let tiers = self.shared.tiers.as_ref();
        tiers.map_or_else(Vec::new, |tiers| tiers.valid_since())
    }

    /// The moment a fill or a join is measured from.
    pub fn mark(&self) -> Mark {
        self.shared.fence.mark()
    }

    /// Whether a purge since `mark` covers `key` with `tags` (promise I3).
    pub fn fenced(&self, mark: Mark, key: &str, tags: Tags<'_>) -> bool {
        self.shared.fence.covers(mark, key, tags)
    }

    /// Takes a ticket for a fill of `key`, with the key's lease in the fleet if Redis can be asked. The fill has it as long as
    /// it has the ticket, and other sidecars hear that the app usually takes so long.
    pub async fn begin(&self, key: &str, usual: Option<Duration>) -> Ticket {
        self.take(key, usual, Wanted::Always).await
    }

    /// As [`Store::begin`], by a request that did not look in Redis before; `None`: something is stored there, and no lease
    /// was taken.
    pub async fn begin_unless_stored(&self, key: &str, usual: Option<Duration>) -> Option<Ticket> {
        let ticket = self.take(key, usual, Wanted::UnlessStored).await;
        (!matches!(ticket.lease, Lease::Needless)).then_some(ticket)
    }

    async fn take(&self, key: &str, usual: Option<Duration>, wanted: Wanted) -> Ticket {
        let lease = match self.redis_of(key) {
            Some(redis) => redis.lease(key, usual, wanted).await,
            None => Lease::UNASKED,
        };
        // The app has not been asked yet, so what was purged while Redis was is no obstacle.
        Ticket {
            key: key.into(),
            mark: self.mark(),
            lease,
            can_wait: false,
        }
    }

    /// A ticket without a lease: what it fetches is stored in memory at most, and nobody waits for it.
    pub fn begin_alone(&self, key: &str) -> Ticket {
        Ticket {
            key: key.into(),
            mark: self.mark(),
            lease: Lease::UNASKED,
            can_wait: false,
        }
    }

    /// Stores what the fill fetched: Redis first (if it is there), then memory.
    ///
    /// The error says why it is stored nowhere. `Ok` does not mean that memory has it: for a strict rule,
    /// or where memory refuses what Redis took, Redis alone does.
    pub async fn commit(
        &self,
        ticket: Ticket,
        variant: impl Into<Arc<Variant>>,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Result<(), Reason> {
        let committed = self.try_commit(ticket, variant, coherence, outage).await;
        committed.map_err(|not_stored| not_stored.reason)
    }

    /// As [`Store::commit`]; the error also says whether Redis was waited for in vain.
    pub async fn try_commit(
        &self,
        ticket: Ticket,
        variant: impl Into<Arc<Variant>>,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Result<(), NotStored> {
        let mut variant = variant.into();
        self.end_by_later_purge(&ticket.key, &mut variant);
        let Some(tier) = self.tier_of(&ticket.key) else {
            return Ok(self.put_in_memory(&ticket, &variant)?);
        };
        // What follows the store in Redis into memory is measured from before this look at the fence.
        let stored_since = tier.invalidation_fence.mark();
        if self.fenced(ticket.mark, &ticket.key, Tags::Known(&variant.tags)) {
            self.give_back(ticket);
            return Err(Reason::Fenced.into());
        }
        let variant = match ticket.lease {
            Lease::Held(_) => {
                let Shared {
                    in_flight, metrics, ..
                } = &*self.shared;
                compression::compressed(variant, in_flight, metrics).await
            }
            _ => variant,
        };
        let wishes = Wishes {
            may_list: self.may_use_memory(coherence) && self.shared.memory.usage().max > 0,
            can_wait: ticket.can_wait,
        };
        match self.put_in_redis(tier, &ticket, &variant, wishes).await {
            Ok((session, place)) if self.may_use_memory(coherence) => {
                let put = self.put_beside_redis(session, stored_since, &ticket.key, &variant);
                match place {
                    // If memory refuses it, Redis has it nevertheless.
                    Place::Redis => Ok(()),
                    Place::MemoryAlone => Ok(put.unwrap_or(Err(Reason::LeaseLost))?),
                }
            }
            Ok(_) => Ok(()),
            Err(NotPut::Refused(reason)) => Err(reason.into()),
            Err(NotPut::Failed(not_stored)) => {
                let held = match self.may_use_memory(coherence) {
                    true => self.put_without_redis(&ticket, &variant, outage),
                    false => None,
                };
                self.give_back(ticket);
                held.map_or(Err(not_stored), |held| Ok(held?))
            }
            Err(NotPut::Overtaken) => {
                self.give_back(ticket);
                Err(Reason::Fenced.into())
            }
        }
    }

    /// Whether [`Store::commit`] would store a body of `length` bytes, as far as that is known without asking
    /// Redis: it has given the lease, no purge has come since, and should it be full, memory has room.
    pub fn expects_to_keep(
        &self,
        ticket: &Ticket,
        length: usize,
        tags: Tags<'_>,
        coherence: Coherence,
    ) -> bool {
        let has_right = !self.is_shared() || matches!(ticket.lease, Lease::Held(_));
        has_right
            && self.may_use_memory(coherence)
            && self.shared.memory.is_small(length)
            && !self.fenced(ticket.mark, &ticket.key, tags)
    }

    /// Gives a ticket back unused, behind whoever has an answer by now: Redis may not take it in time (promise I4).
    pub fn give_back(&self, mut ticket: Ticket) {
        self.give_lease_back(&mut ticket);
    }

    /// As [`Store::give_back`], of a ticket by which memory may be filled nevertheless.
    pub fn give_lease_back(&self, ticket: &mut Ticket) {
        let lease = std::mem::replace(&mut ticket.lease, Lease::UNASKED);
        if let (Some(redis), Some(token)) = (self.redis.clone(), lease.into_token()) {
            let key = ticket.key.clone();
            tokio::spawn(async move { redis.of(&key).release(&key, token).await });
        }
    }

    /// Gives a ticket back unused, so that another fill may start at once.
    pub async fn abandon(&self, ticket: Ticket) {
        let Ticket { key, lease, .. } = ticket;
        if let (Some(redis), Some(token)) = (self.redis_of(&key), lease.into_token()) {
            redis.release(&key, token).await;
        }
    }

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

    /// Has Redis keep these switches for the fleet; returns all that it has then. `None`: there is no Redis, or it cannot
    /// be asked now.
    pub async fn keep_switches(&self, switches: &[SwitchToKeep]) -> Option<Switches> {
        let redis = self.redis.as_ref()?;
        let kept = redis.first().keep_switches(switches.to_vec());
        kept.await.ok()
    }

    /// Jobs as Redis has them for the fleet.
    pub fn fleet_jobs(&self) -> FleetJobs {
        FleetJobs {
            redis: self.redis.clone(),
        }
    }

    /// Tells the other sidecars of writes, in words; returns what Redis has after the one with the number `known`. `None`:
    /// there is no Redis, or it cannot be asked now.
    pub async fn exchange_writes(&self, words: Vec<String>, known: u64) -> Option<NewWrites> {
        let first = self.redis.as_ref()?.first();
        first.exchange_writes(words, known).await.ok()
    }

    /// Says to the other sidecars what this one has to say, or that it goes; returns what all say, the latest first. `None`:
    /// there is no Redis, or it cannot be asked now.
    pub async fn meet_sidecars(&self, id: &str, word: Option<String>) -> Option<Vec<SidecarWord>> {
        let redis = self.redis.as_ref()?;
        let met = redis.first().meet_sidecars(id.to_owned(), word);
        met.await.ok()
    }

    /// Returns when Redis says that something was switched elsewhere; never without Redis.
    pub async fn switch_news(&self) {
        match &self.shared.tiers {
            Some(tiers) => tiers.switch_news().await,
            None => std::future::pending().await,
        }
    }

    /// What both tiers hold and how Redis is; asks Redis for its part (bounded by its timeout).
    pub async fn status(&self) -> Status {
        let memory = self.shared.memory.usage();
        gauges::set_memory(&self.shared.metrics, &memory);
        self.shared
            .metrics
            .auth_decisions
            .set(self.shared.memory.decisions().count() as i64);
        gauges::set_in_flight(&self.shared.metrics, &self.shared.in_flight);
        let redis = match (&self.shared.tiers, &self.redis) {
            (Some(_), Some(redis)) => {
                let (status, counters) = redis.status().await;
                gauges::set_redis(&self.shared.metrics, &status, counters.as_ref());
                Some(status)
            }
            (Some(tiers), None) => Some(tiers.status()),
            (None, _) => None,
        };
        Status { memory, redis }
    }

    /// Looks into both tiers as a request would (bounded by Redis's timeout), but counts no hit and
    /// remembers nothing. An entry in Redis that does not decode is removed all the same.
    pub async fn inspect(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Inspection {
        let Shared { memory, clock, .. } = &*self.shared;
        let redis = match self.tier_of(key) {
            Some(tier) => inspect::look_in_redis(tier, self.redis_of(key), key).await,
            None => Holding::Absent,
        };
        let (usable, now) = (self.may_use_memory(coherence), clock.now());
        let mut memory = inspect::look_in_memory(memory, usable, key, now);
        if let Some(tier) = self.tier_of(key) {
            memory = inspect::leave_what_is_trusted(tier, memory, &redis, outage, now);
        }
        Inspection { memory, redis, now }
    }

    /// Sends what is pending and closes the connection; at the end of a drain.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
    }

    /// Strict rules are answered by Redis where there is one.
    fn may_use_memory(&self, coherence: Coherence) -> bool {
        self.shared.tiers.is_none() || coherence == Coherence::Tracked
    }

    /// Stores `variant` in Redis, beside the variants found with the lease; returns the session in which it
    /// was stored. Where there is no room and it may be listed, memory alone is its place, and Redis tells of purges.
    async fn put_in_redis(
        &self,
        tier: &Tier,
        ticket: &Ticket,
        variant: &Arc<Variant>,
        wishes: Wishes,
    ) -> Result<(Session, Place), NotPut> {
        let lost = NotPut::Failed(Reason::LeaseLost.into());
        let (redis, lease) = match (self.redis_of(&ticket.key), &ticket.lease) {
            (Some(redis), Lease::Held(lease)) => (redis, lease),
            (_, Lease::Full) => return Err(NotPut::Failed(Reason::BudgetFull.into())),
            _ => return Err(lost),
        };
        let Some(session) = redis.session() else {
            return Err(lost);
        };
        if tier.journal.covers(&ticket.key, &variant.tags) {
            return Err(NotPut::Overtaken);
        }
        let entry = self.merge(lease, variant, self.shared.clock.now());
        let ttl = entry.keep_for(self.shared.clock.now());
        let put = redis.put(lease, &entry, ttl, wishes);
        match put.await {
            Ok(Put::Stored) => Ok((session, Place::Redis)),
            Ok(Put::Listed) => Ok((session, Place::MemoryAlone)),
            Ok(Put::Lost) => Err(NotPut::Refused(Reason::LeaseLost)),
            Ok(Put::Purged) => Err(NotPut::Refused(Reason::Fenced)),
            Ok(Put::Full) => Err(NotPut::Refused(Reason::BudgetFull)),
            Ok(Put::Unfit) => Err(NotPut::Refused(Reason::CannotFit)),
            Ok(Put::TooManyTags) => Err(NotPut::Refused(Reason::TooManyTags)),
            Err(Unanswered::Late) => Err(NotPut::Failed(NotStored {
                reason: Reason::LeaseLost,
                redis_is_late: true,
            })),
            Err(Unanswered::Failed) => Err(lost),
        }
    }

    /// Adds to memory what Redis has taken in `session`; `None`: that has ended.
    fn put_beside_redis(
        &self,
        session: Session,
        stored_since: Mark,
        key: &str,
        variant: &Arc<Variant>,
    ) -> Option<Result<(), Reason>> {
        let (tier, redis) = (self.tier_of(key)?, self.redis_of(key)?);
        let (variant, now) = (Arc::clone(variant), self.shared.clock.now());
        redis.put_within(session, || {
            let memory = &self.shared.memory;
            memory.add(key, variant, &tier.invalidation_fence, stored_since, now)
        })
    }

    /// Adds to memory what Redis has not taken, while Redis cannot be used; `None`: it can.
    fn put_without_redis(
        &self,
        ticket: &Ticket,
        variant: &Arc<Variant>,
        outage: Option<Outage>,
    ) -> Option<Result<(), Reason>> {
        let put = || self.put_in_memory(ticket, variant);
        match self.tier_of(&ticket.key) {
            Some(tier) => tier.put_without(&ticket.key, outage, put),
            None => Some(put()),
        }
    }

    /// Adds to memory, measured from the fill's begin.
    fn put_in_memory(&self, ticket: &Ticket, variant: &Arc<Variant>) -> Result<(), Reason> {
        let shared = &self.shared;
        let (variant, now) = (Arc::clone(variant), shared.clock.now());
        let Ticket { key, mark, .. } = ticket;
        if let Some(held) = shared.memory.peek(key, now) {
            self.count_turned_out(&held, &variant, now);
        }
        shared.memory.add(key, variant, &shared.fence, *mark, now)
    }

    /// The entry that was found with the lease, with `variant` added; alone, where all together have too many tags for
    /// one script.
    fn merge(&self, lease: &HeldLease, variant: &Arc<Variant>, now: SystemTime) -> Entry {
        let base = lease.base().cloned().unwrap_or_default();
        self.count_turned_out(&base, variant, now);
        let entry = base.with(Arc::clone(variant), now);
        let named: usize = entry.variants.iter().map(|held| held.tags.len()).sum();
        let most = tag_fields::MAX_TAGS;
        if named > most && entry.tags().len() > most {
            let variants = vec![Arc::clone(variant)];
            return Entry { variants };
        }
        entry
    }

    fn count_turned_out(&self, held: &Entry, variant: &Variant, now: SystemTime) {
        if held.turns_out(variant, now) {
            self.shared
                .metrics
                .not_kept(&variant.rule, Reason::TooManyVariants);
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

/// Why a fill is stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored {
    /// As clients and operators are told.
    pub reason: Reason,
    /// Whether Redis was waited for in vain, so that it is not to be waited for a second time (promise I4).
    pub redis_is_late: bool,
}

impl From<Reason> for NotStored {
    fn from(reason: Reason) -> NotStored {
        NotStored {
            reason,
            redis_is_late: false,
        }
    }
}

/// Where a fill is.
enum Place {
    Redis,
    MemoryAlone,
}

/// Why a fill is not in Redis.
enum NotPut {
    /// Redis refused it: memory must not have it either.
    Refused(Reason),
    /// Redis was not asked or did not answer: memory may have it while Redis is down. The lease may stand.
    Failed(NotStored),
    /// A purge that has yet to land covers it. The lease stands.
    Overtaken,
}

/// The state of both tiers, for `/stats`, `/readyz` and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The memory tier.
    pub memory: memory::MemoryUsage,
    /// The Redis tier; `None`: not configured.
    pub redis: Option<redis::RedisStatus>,
}
