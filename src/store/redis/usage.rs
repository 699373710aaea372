//! The bytes in Redis: how many there are, and how many there may be.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fred::types::Value;
use parking_lot::Mutex;

use crate::config::{self, EvictionOrder};

/// The counters in Redis, by [`crate::entry::Priority::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Counters {
    pub(in crate::store) bytes: [u64; 3],
    pub(in crate::store) entries: [u64; 3],
    /// Bytes of what stands beside the entries: indexes, tags, leases.
    pub(in crate::store) beside: u64,
    /// The most that the server's memory leaves, if it is bounded.
    pub(in crate::store) server_limit: Option<u64>,
}

impl Counters {
    /// Adds the counters of another shard.
    pub(super) fn add(&mut self, shard: &Counters) {
        for priority in 0..3 {
            self.bytes[priority] += shard.bytes[priority];
            self.entries[priority] += shard.entries[priority];
        }
        self.beside += shard.beside;
        if let Some(limit) = shard.server_limit {
            *self.server_limit.get_or_insert_default() += limit;
        }
    }

    /// Bytes by priority, each with its entries' part of what stands beside.
    pub(in crate::store) fn bytes_with_overhead(&self) -> [u64; 3] {
        let all = self.entries.iter().sum::<u64>().max(1);
        std::array::from_fn(|priority| {
            self.bytes[priority] + self.beside * self.entries[priority] / all
        })
    }

    /// All bytes that count against the budget.
    pub(super) fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum::<u64>() + self.beside
    }
}

/// `[budget]` as the Redis tier uses it.
#[derive(Debug)]
pub(super) struct ByteBudget {
    /// `[budget] max`: the scripts refuse what would exceed it.
    pub(super) max: u64,
    /// `[budget] evict_at`: what would pass it makes others leave.
    evict_at: u64,
    pub(super) check_every: Duration,
    pub(super) evict_percent: u64,
    pub(super) evict_percent_on_store: u64,
    pub(super) order: EvictionOrder,
    /// `[budget] manage_server`.
    pub(super) manages_server: bool,
    shards: u64,
    /// What Pannier had in each shard, as a beat has found last.
    used: Mutex<Box<[Option<Used>]>>,
    /// What the fleet has in the first shard.
    fleet_bytes: AtomicU64,
    /// Whether so much is used that entries may have to leave before long.
    is_filling: AtomicBool,
    /// Whether the log has warned since the bytes were last below `evict_at`.
    warned: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    bytes: u64,
    server_limit: Option<u64>,
}

impl ByteBudget {
    pub(super) fn new(budget: &config::Budget, shards: usize) -> ByteBudget {
        ByteBudget {
            max: budget.max,
            evict_at: budget.evict_at,
            check_every: budget.check_every,
            evict_percent: budget.evict_percent,
            evict_percent_on_store: budget.evict_percent_on_store,
            order: budget.order,
            manages_server: budget.manage_server,
            shards: shards as u64,
            used: Mutex::new(vec![None; shards].into()),
            fleet_bytes: AtomicU64::new(0),
            is_filling: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        }
    }

    /// What each shard may hold of `max`.
    pub(super) fn per_shard(&self) -> u64 {
        self.max / self.shards
    }

    /// As scripts take it: what a shard may hold, where eviction begins there, and how many shards there are.
    pub(super) fn arguments(&self) -> [Value; 3] {
        let evict_at = self.evict_at / self.shards;
        [self.per_shard(), evict_at, self.shards].map(|number| number.to_string().into())
    }

    /// As `sample.lua` takes it.
    pub(super) fn sample_arguments(&self) -> Vec<Value> {
        let fleet_bytes = self.fleet_bytes.load(Ordering::Relaxed).to_string();
        let arguments = self.arguments().into_iter();
        arguments.chain([fleet_bytes.into()]).collect()
    }

    /// What the fleet has in the first shard takes so much.
    pub(super) fn note_fleet_bytes(&self, bytes: u64) {
        self.fleet_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether the stats call Redis nearly full at `bytes`, of which its server leaves so many.
    pub(super) fn is_nearly_full(&self, bytes: u64, server_limit: Option<u64>) -> bool {
        bytes >= self.evict_at || self.is_taken_by_others(bytes, server_limit)
    }

    /// What the server leaves is so little that hardly an answer fits into it beside stubs (`room.lua`).
    pub(super) fn is_taken_by_others(&self, bytes: u64, server_limit: Option<u64>) -> bool {
        const HARDLY_ANYTHING: u64 = 64 << 10;
        let little = self.max / 32 + HARDLY_ANYTHING;
        server_limit.is_some_and(|limit| bytes < little && limit < little)
    }

    /// Whether it matters which entries are hit: some have to leave before long, by that.
    pub(super) fn wants_hits(&self) -> bool {
        self.order == EvictionOrder::Value && self.is_filling.load(Ordering::Relaxed)
    }

    /// What Pannier had in Redis, as was found last.
    pub(super) fn used(&self) -> u64 {
        sum_used(&self.used.lock())
    }

    /// What Pannier had in these shards, as was found last; `None`: of one of them nothing was found yet.
    pub(super) fn used_by(&self, shards: &[usize]) -> Option<u64> {
        let all = self.used.lock();
        let each = shards
            .iter()
            .map(|shard| all[*shard].map(|used| used.bytes));
        each.sum()
    }

    /// What the memory of the servers leaves, as was found last; `None`: it is not bounded.
    pub(super) fn server_limit(&self) -> Option<u64> {
        sum_limits(&self.used.lock())
    }

    /// A shard holds so much.
    pub(super) fn note_used(&self, shard: usize, counters: &Counters) {
        let mut all = self.used.lock();
        all[shard] = Some(Used {
            bytes: counters.total_bytes(),
            server_limit: counters.server_limit,
        });
        let used = sum_used(&all);
        let limit = sum_limits(&all);
        drop(all);
        let most = limit.unwrap_or(u64::MAX).min(self.evict_at);
        self.is_filling.store(used >= most / 2, Ordering::Relaxed);
        self.warn_if_nearly_full(used, limit);
    }

    /// Warns once each time the bytes in Redis pass `[budget] evict_at`, or others take all that its server has, and that
    /// stays so.
    fn warn_if_nearly_full(&self, bytes: u64, server_limit: Option<u64>) {
        let is_nearly_full = self.is_nearly_full(bytes, server_limit);
        if self.warned.swap(is_nearly_full, Ordering::AcqRel) || !is_nearly_full {
            return;
        }
        if self.is_taken_by_others(bytes, server_limit) {
            tracing::warn!(
                bytes,
                "the memory of the Redis server is full, and not by Pannier's part of it: hardly anything is stored \
                 there, and answers are kept in memory alone; raise maxmemory in Redis, or give Pannier a server of its own"
            );
        } else {
            tracing::warn!(
                bytes,
                evict_at = self.evict_at,
                max = self.max,
                "Pannier's part of Redis is nearly full: entries leave it, low priority first; \
                 [budget] max says how large it is"
            );
        }
    }
}

fn sum_used(all: &[Option<Used>]) -> u64 {
    all.iter().flatten().map(|used| used.bytes).sum()
}

fn sum_limits(all: &[Option<Used>]) -> Option<u64> {
    let limits = all.iter().flatten().filter_map(|used| used.server_limit);
    limits.reduce(u64::saturating_add)
}
