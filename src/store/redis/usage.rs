//! The bytes in Redis: how many there are, and how many there may be.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config;

/// The counters in Redis, by [`crate::entry::Priority::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Counters {
    pub(in crate::store) bytes: [u64; 3],
    pub(in crate::store) entries: [u64; 3],
    /// Bytes of the leases.
    pub(in crate::store) leases: u64,
}

impl Counters {
    /// Adds the counters of another shard.
    pub(super) fn add(&mut self, shard: &Counters) {
        for priority in 0..3 {
            self.bytes[priority] += shard.bytes[priority];
            self.entries[priority] += shard.entries[priority];
        }
        self.leases += shard.leases;
    }

    /// All bytes that count against the budget.
    pub(super) fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum::<u64>() + self.leases
    }
}

/// `[budget]` as the Redis tier uses it.
#[derive(Debug)]
pub(super) struct ByteBudget {
    /// `[budget] max`: the scripts refuse what would exceed it.
    pub(super) max: u64,
    /// What each shard may hold of it.
    pub(super) per_shard: u64,
    /// `[budget] evict_at`, which only warns so far: nothing is evicted from Redis for space, entries
    /// stay until they expire or are purged.
    evict_at: u64,
    /// Whether the log has warned since the bytes were last below `evict_at`.
    warned: AtomicBool,
}

impl ByteBudget {
    pub(super) fn new(budget: &config::Budget, shards: usize) -> ByteBudget {
        ByteBudget {
            max: budget.max,
            per_shard: budget.max / shards as u64,
            evict_at: budget.evict_at,
            warned: AtomicBool::new(false),
        }
    }

    /// Whether the stats call Redis nearly full at `bytes`.
    pub(super) fn is_nearly_full(&self, bytes: u64) -> bool {
        bytes >= self.evict_at
    }

    /// Warns once each time the bytes in Redis pass `[budget] evict_at`.
    pub(super) fn warn_if_nearly_full(&self, bytes: u64) {
        if !self.is_nearly_full(bytes) {
            self.warned.store(false, Ordering::Release);
        } else if !self.warned.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                bytes,
                evict_at = self.evict_at,
                max = self.max,
                "Pannier's part of Redis is nearly full: shorten TTLs or raise [budget] max"
            );
        }
    }
}
