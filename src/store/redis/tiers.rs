//! The shards of one Redis: a single server has one, a cluster several, each with a tier of its own, so that what becomes of one
//! node concerns what it has and nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::breaker::CircuitBreaker;
use super::clients;
use super::connector::Connector;
use super::hit_counts::HitCounts;
use super::journal_file::JournalError;
use super::keys::{Keyspace, LAYOUT};
use super::lineage::Generation;
use super::overview::{Overview, ShardState};
use super::scripts::Scripts;
use super::server_limits::Management;
use super::session::Sessions;
use super::slots::SlotMap;
use super::status::RedisStatus;
use super::tier::{Latency, Shared, Tier};
use super::usage::{ByteBudget, Counters};
use crate::clock::{self, Clock};
use crate::config::{self, RedisAccess};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::routes::{Pattern, Purge};
use crate::store::fence::Fence;
use crate::store::memory::Memory;
use crate::store::sharding::Sharding;

/// The tiers of all shards.
pub(in crate::store) struct Tiers {
    sharding: Sharding,
    all: Box<[Arc<Tier>]>,
    shared: Arc<Shared>,
}

/// What the tiers share with the rest of the store.
pub(in crate::store) struct Surroundings {
    pub(in crate::store) memory: Arc<Memory>,
    pub(in crate::store) in_flight: InFlight,
    pub(in crate::store) fence: Arc<Fence>,
    pub(in crate::store) clock: Clock,
    pub(in crate::store) metrics: Arc<Metrics>,
}

/// How `config` spreads keys over Redis.
pub(in crate::store) fn sharding_of(config: &config::Redis) -> Sharding {
    match config.servers.is_cluster() {
        true => Sharding::CLUSTER,
        false => Sharding::NONE,
    }
}

impl Tiers {
    pub(in crate::store) fn new(
        config: &config::Redis,
        budget: &config::Budget,
        around: Surroundings,
    ) -> Tiers {
        let sharding = sharding_of(config);
        let layout = config.layout.unwrap_or(LAYOUT);
        let numbers = 0..sharding.count();
        let keys: Vec<Keyspace> = numbers
            .map(|number| Keyspace::new(&config.namespace, sharding, number, layout))
            .collect();
        let shared = Arc::new(share(config, budget, around, sharding, &keys));
        let numbered = keys.into_iter().enumerate();
        let tiers = numbered.map(|(number, keys)| Tier::new(number, keys, Arc::clone(&shared)));
        Tiers {
            sharding,
            all: tiers.map(Arc::new).collect(),
            shared,
        }
    }

    /// The tier that has `key`.
    pub(in crate::store) fn of(&self, key: &str) -> &Arc<Tier> {
        &self.all[self.sharding.shard_of(key)]
    }

    /// All of them, by the numbers of their shards.
    pub(in crate::store) fn all(&self) -> &[Arc<Tier>] {
        &self.all
    }

    /// Since when what each shard holds is valid, by Redis's clock in milliseconds; 0: it is not known.
    pub(in crate::store) fn valid_since(&self) -> Vec<u64> {
        let generations = self.all.iter().map(|tier| tier.lineage.generation());
        generations.map(Generation::began).collect()
    }

    pub(super) fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// What they have in common.
    pub(in crate::store) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The numbers of the shards that may have what `purge` covers.
    pub(in crate::store) fn concerned_by(&self, purge: &Purge) -> Vec<usize> {
        let exact: Option<BTreeSet<usize>> = match purge.everything || !purge.tags.is_empty() {
            true => None,
            false => {
                let keys = purge.keys.iter().map(Pattern::exact);
                keys.map(|key| Some(self.sharding.shard_of(key?))).collect()
            }
        };
        match exact {
            Some(numbers) => numbers.into_iter().collect(),
            None => (0..self.all.len()).collect(),
        }
    }

    /// Takes in what the file of `[redis] journal` says, and keeps it from now on.
    pub(in crate::store) fn keep_journal(&self) -> Result<(), JournalError> {
        let (config, overview) = (&self.shared.config, &self.shared.overview);
        let (hosts, namespace) = (&overview.address.hosts, &config.namespace);
        let (database, layout) = (config.database, config.layout.unwrap_or(LAYOUT));
        // What another server, database, namespace or layout has otherwise.
        let about = format!("{hosts}/{database} {namespace} v{layout}");
        self.shared.keep_journal(about)
    }

    /// New connections are let in as `access` says; those that stand have been let in.
    pub(in crate::store) fn take_access(&self, access: &RedisAccess) {
        self.shared.connector.take_access(access);
    }

    /// Returns when something was switched elsewhere.
    pub(in crate::store) async fn switch_news(&self) {
        self.shared.switch_news.notified().await;
    }

    /// What is known without asking Redis.
    pub(in crate::store) fn status(&self) -> RedisStatus {
        let Shared {
            overview, budget, ..
        } = &*self.shared;
        overview.observe();
        let (since, diagnosis) = overview.describe();
        let (shards_up, shards) = overview.count_usable();
        RedisStatus {
            up: overview.is_up(),
            shards_up,
            shards,
            since,
            diagnosis,
            hosts: overview.address.hosts.clone(),
            max: budget.max,
            manages_server: budget.manages_server,
            managed: self.shared.management.describe(|server| {
                let slots = self.shared.slots.as_ref();
                slots.is_none_or(|slots| slots.has_any(server))
            }),
            pending_purges: overview.count_pending(),
            last_error: overview.last_error(),
            ..RedisStatus::default()
        }
    }

    /// The same, where Redis was asked for its counters; `None`: it has not told them, so that what was found last stands.
    pub(super) fn status_with(&self, counters: Option<&Counters>) -> RedisStatus {
        let budget = &self.shared.budget;
        let (bytes, server_limit) = match counters {
            Some(counters) => (counters.total_bytes(), counters.server_limit),
            None => (budget.used(), budget.server_limit()),
        };
        RedisStatus {
            server_limit,
            nearly_full: budget.is_nearly_full(bytes, server_limit),
            taken_by_others: budget.is_taken_by_others(bytes, server_limit),
            tracking: self.shared.overview.is_tracking(),
            bytes,
            entries: counters.map_or(0, |counters| counters.entries.iter().sum()),
            ..self.status()
        }
    }
}

fn share(
    config: &config::Redis,
    budget: &config::Budget,
    around: Surroundings,
    sharding: Sharding,
    keys: &[Keyspace],
) -> Shared {
    let Surroundings {
        memory,
        in_flight,
        fence,
        clock,
        metrics,
    } = around;
    let shards = keys.iter().map(|_| begin_shard(config)).collect();
    let address = clients::address(config);
    let overview = Arc::new(Overview::new(
        address,
        sharding,
        shards,
        Arc::clone(&metrics),
    ));
    let config = Arc::new(config.clone());
    let slots = config.servers.is_cluster().then(|| {
        let slots = keys.iter().map(|keys| keys.names().slot()).collect();
        Arc::new(SlotMap::new(slots, clients::named_nodes(&config)))
    });
    Shared {
        connector: Arc::new(Connector::new(Arc::clone(&config), Arc::clone(&overview))),
        config,
        slots,
        overview,
        budget: ByteBudget::new(budget, sharding.count()),
        management: Management::default(),
        scripts: Scripts::new(),
        latency: Latency::new(&metrics),
        hits: HitCounts::new(budget.check_every, clock::monotonic()),
        switch_news: Notify::new(),
        process: OnceLock::new(),
        recorder: OnceLock::new(),
        memory,
        in_flight,
        fence,
        clock,
        metrics,
    }
}

fn begin_shard(config: &config::Redis) -> ShardState {
    let breaker = CircuitBreaker::new(config.breaker_failures, config.breaker_probe);
    ShardState {
        sessions: Arc::new(Sessions::new(breaker, config.staleness)),
        journal: Arc::default(),
        lineage: Arc::default(),
        chores: Arc::default(),
    }
}
