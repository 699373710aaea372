//! The two tiers behind one handle, and what is asked of both.

use std::sync::Arc;
use std::time::Duration;

use super::fence::{Fence, Mark, Tags};
use super::gauges;
use super::jobs::FleetJobs;
use super::later::LaterPurges;
use super::memory::{self, Memory};
use super::redis::{
    self, AttachedTier, AttachedTiers, JournalError, NewWrites, Presence, Purpose, SidecarWord,
    Surroundings, SwitchToKeep, Tier, Tiers, sharding_of,
};
use super::sharding::Sharding;
use crate::clock::Clock;
use crate::config::{Auth, Coherence, Config};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::rollout::Switches;

/// The store as one runtime sees it; clones share the memory tier and the fence.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
    /// The Redis tier with the connections that this runtime uses; absent before [`Store::attach`] and without Redis.
    pub(super) redis: Option<Arc<AttachedTiers>>,
}

pub(super) struct Shared {
    pub(super) memory: Arc<Memory>,
    pub(super) in_flight: InFlight,
    pub(super) fence: Arc<Fence>,
    pub(super) later: LaterPurges,
    /// The Redis tier, if one is configured.
    pub(super) tiers: Option<Arc<Tiers>>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

/// The state of both tiers, for `/stats`, `/readyz` and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The memory tier.
    pub memory: memory::MemoryUsage,
    /// The Redis tier; `None`: not configured.
    pub redis: Option<redis::RedisStatus>,
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

    /// Whether requests may use Redis for `key`.
    pub fn can_ask(&self, key: &str) -> bool {
        let redis = self.redis_of(key);
        redis.is_some_and(|redis| redis.session().is_some())
    }

    /// The Redis tier as it is for `key`.
    pub(super) fn tier_of(&self, key: &str) -> Option<&Tier> {
        Some(self.shared.tiers.as_ref()?.of(key))
    }

    /// The same, with the connection that this runtime uses.
    pub(super) fn redis_of(&self, key: &str) -> Option<&AttachedTier> {
        Some(self.redis.as_ref()?.of(key))
    }

    /// Waits until Redis can be used or is known not to be usable, at most for `longest`: before the first request.
    pub async fn settle(&self, longest: Duration) {
        if let Some(redis) = &self.redis {
            redis.settle(longest).await;
        }
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

    /// Sends what is pending and closes the connection; at the end of a drain.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
    }

    /// Strict rules are answered by Redis where there is one.
    pub(super) fn may_use_memory(&self, coherence: Coherence) -> bool {
        self.shared.tiers.is_none() || coherence == Coherence::Tracked
    }
}
