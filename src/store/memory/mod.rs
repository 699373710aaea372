//! The memory tier: bounded by bytes, indexed for purges, evicting low priority first.
//!
//! Keys are spread over shards, each with its own lock and its own part of the budget, so priorities
//! compete within a shard. What is held is compact ([`Variant::compact`]), so that its weight is the
//! memory it takes.

mod index;
mod shard;
mod sieve;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use ahash::RandomState;

use self::shard::{IndexName, Shard};
use super::{Fence, Mark, Tags};
use crate::entry::{Entry, Priority, Variant};
use crate::http_cache::Reason;
use crate::routes::{Pattern, Purge};

/// A shard has at least this part of the budget, so that large entries fit small budgets.
const SHARD_BYTES: u64 = 8 << 20;
const MAX_SHARDS: u64 = 16;

/// The tier, shared by all threads of the process.
#[derive(Debug)]
pub struct Memory {
    max: u64,
    hasher: RandomState,
    /// A power of two of them; none if the tier holds nothing.
    shards: Box<[Mutex<Shard>]>,
}

/// What the tier holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Bytes, overhead counted, by [`Priority::ALL`].
    pub bytes: [u64; 3],
    /// Entries by [`Priority::ALL`].
    pub entries: [u64; 3],
    /// Evictions since the start by [`Priority::ALL`].
    pub evictions: [u64; 3],
    /// The limit.
    pub max: u64,
}

impl Memory {
    /// A tier of at most `max` bytes; 0: holds nothing.
    pub fn new(max: u64) -> Memory {
        let count = match max {
            0 => 0,
            _ => 1 << (max / SHARD_BYTES).clamp(1, MAX_SHARDS).ilog2(),
        };
        Memory {
            max,
            hasher: RandomState::new(),
            shards: (0..count)
                .map(|_| Mutex::new(Shard::new(max / count)))
                .collect(),
        }
    }

    /// What is held under `key`; an entry of no further use at `now` is dropped instead.
    pub fn get(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        lock(self.shard(key)?).get(key, now)
    }

    /// The same, counting as no hit and dropping nothing.
    pub fn peek(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        let entry = lock(self.shard(key)?).peek(key)?.clone();
        (!entry.keep_for(now).is_zero()).then(|| Arc::new(entry))
    }

    /// Holds `entry` in place of whatever was there, unless `fence` covers it since `mark`.
    ///
    /// Where there is no room for it, what was there goes nevertheless: it is outdated.
    pub fn replace(
        &self,
        key: &str,
        entry: Arc<Entry>,
        fence: &Fence,
        mark: Mark,
        now: SystemTime,
    ) -> Result<(), Reason> {
        let Some(shard) = self.shard(key) else {
            return Ok(());
        };
        let entry = Entry {
            variants: entry.variants.iter().map(compact).collect(),
        };
        let mut shard = lock(shard);
        let fenced = |variant: &Arc<Variant>| fence.covers(mark, key, Tags::Known(&variant.tags));
        if entry.variants.iter().any(fenced) {
            return Err(Reason::Fenced);
        }
        shard.insert(key, entry, now)
    }

    /// Adds `variant` to what is held, unless `fence` covers it since `mark`.
    ///
    /// Where there is no room for it, what was there goes nevertheless: it is outdated.
    pub fn add(
        &self,
        key: &str,
        variant: Arc<Variant>,
        fence: &Fence,
        mark: Mark,
        now: SystemTime,
    ) -> Result<(), Reason> {
        let Some(shard) = self.shard(key) else {
            return Ok(());
        };
        let variant = compact(&variant);
        let mut shard = lock(shard);
        if fence.covers(mark, key, Tags::Known(&variant.tags)) {
            return Err(Reason::Fenced);
        }
        let entry = match shard.peek(key) {
            Some(held) => held.with(variant, now),
            None => Entry {
                variants: vec![variant],
            },
        };
        shard.insert(key, entry, now)
    }

    /// Removes all that `purge` covers; returns how many entries.
    pub fn purge(&self, purge: &Purge) -> usize {
        if purge.everything {
            return self.empty();
        }
        let keys = purge.keys.iter().map(|pattern| match pattern.exact() {
            Some(key) => self.remove(key),
            None => self.purge_index(IndexName::Keys, pattern),
        });
        let tags = purge
            .tags
            .iter()
            .map(|pattern| self.purge_index(IndexName::Tags, pattern));
        keys.chain(tags).sum()
    }

    /// Empties the tier.
    pub fn clear(&self) {
        self.empty();
    }

    /// What it holds now.
    pub fn usage(&self) -> MemoryUsage {
        let mut sum = MemoryUsage {
            max: self.max,
            ..MemoryUsage::default()
        };
        for shard in &self.shards {
            let usage = lock(shard).usage();
            for index in Priority::ALL.map(Priority::index) {
                sum.bytes[index] += usage.bytes[index];
                sum.entries[index] += usage.entries[index];
                sum.evictions[index] += usage.evictions[index];
            }
        }
        sum
    }

    fn shard(&self, key: &str) -> Option<&Mutex<Shard>> {
        match self.shards.len() {
            0 | 1 => self.shards.first(),
            // A power of two, so the mask reaches every shard.
            count => self
                .shards
                .get(self.hasher.hash_one(key) as usize & (count - 1)),
        }
    }

    fn remove(&self, key: &str) -> usize {
        let removed = self.shard(key).and_then(|shard| lock(shard).remove(key));
        usize::from(removed.is_some())
    }

    /// What left a shard is dropped after its lock: freeing takes longer than unlinking.
    fn empty(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let emptied = lock(shard).empty();
                emptied.len()
            })
            .sum()
    }

    /// In batches, so that a large purge holds no lock for long. Whatever is inserted meanwhile began
    /// after the purge did: the fence refuses the rest.
    fn purge_index(&self, name: IndexName, pattern: &Pattern) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            let mut from = None;
            loop {
                let batch = lock(shard).purge_batch(name, pattern, from);
                count += batch.removed.len();
                from = batch.next;
                if from.is_none() {
                    break;
                }
            }
        }
        count
    }
}

/// A shard whose holder panicked may have lost track of what it holds: it starts anew.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        guard.empty();
        shard.clear_poison();
        guard
    })
}

fn compact(variant: &Arc<Variant>) -> Arc<Variant> {
    Arc::new(variant.compact())
}

#[cfg(test)]
mod tests;
