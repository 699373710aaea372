//! The memory tier: bounded by bytes, indexed for purges, evicting low priority first.
//!
//! Keys are spread over shards, each with its own lock and its own part of the budget, so priorities
//! compete within a shard. An entry is held packed, as one buffer with its key (`Packed`); a hit on it
//! decodes it, outside the lock. Those that are hit again and again are kept decoded beside, as far as a
//! share of the budget goes. All of it is counted, so that the reported sum is the memory taken.

mod contents;
mod decisions;
mod hot;
mod index;
mod lock;
mod shard;
mod sieve;
mod slots;
mod usage;

use std::sync::Arc;
use std::time::SystemTime;

use ahash::RandomState;

pub use self::usage::MemoryUsage;

use self::contents::IndexName;
pub(in crate::store) use self::decisions::Decisions;
use self::lock::LockedShard;
use self::shard::{Effect, Hit, IncomingEntry, KeepDecoded, Shard};
use crate::config::Auth;
use crate::entry::packed::Packed;
use crate::entry::{Entry, Priority, Variant};
use crate::http_cache::Reason;
use crate::in_flight::InFlight;
use crate::routes::{Pattern, Purge, PurgeKind};
use crate::store::fence::{Fence, Mark, Tags};
use crate::store::sharding::Sharding;

/// A shard has at least this part of the budget, so that large entries fit small budgets.
const SHARD_BYTES: u64 = 8 << 20;
const MAX_SHARDS: u64 = 16;

/// The tier, shared by all threads of the process.
#[derive(Debug)]
pub struct Memory {
    max: u64,
    /// Counts the bytes of entries that are not in the tier: on their way in, or sent after they left.
    in_flight: InFlight,
    hasher: RandomState,
    /// Of Redis: where that has several shards, those here follow them, so that one is emptied at once.
    sharding: Sharding,
    /// A power of two of them; none if the tier holds nothing.
    shards: Box<[LockedShard]>,
    decisions: Decisions,
}

/// In so many steps [`Memory::sweep`] has looked at everything.
const SWEEPS: u32 = 20;

/// What an entry with a small head takes beside its body, generously.
const SMALL_HEAD: u64 = 16 * 1024;

impl Memory {
    /// A tier of at most `max` bytes; 0: holds nothing.
    pub fn new(max: u64, in_flight: InFlight) -> Memory {
        let count = match max {
            0 => 0,
            _ => 1 << (max / SHARD_BYTES).clamp(1, MAX_SHARDS).ilog2(),
        };
        Memory {
            max,
            hasher: RandomState::new(),
            sharding: Sharding::NONE,
            shards: (0..count)
                .map(|_| LockedShard::new(Shard::new(max / count, in_flight.clone())))
                .collect(),
            in_flight,
            decisions: Decisions::new(Auth::DEFAULT_MAX),
        }
    }

    /// This tier, with at most `max` decisions on who asks beside its entries.
    pub fn with_decisions(self, max: usize) -> Memory {
        Memory {
            decisions: Decisions::new(max),
            ..self
        }
    }

    /// This tier, in front of a Redis with these shards.
    pub(in crate::store) fn with_sharding(self, sharding: Sharding) -> Memory {
        Memory { sharding, ..self }
    }

    /// What checks said of those who ask.
    pub(in crate::store) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The entry under `key`, counted as a hit; one of no further use at `now` is dropped instead.
    pub fn get(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        let (shard, hash) = self.shard_of(key)?;
        let hit = shard.lock().get(hash, key, now)?;
        let (packed, keep) = match hit {
            Hit::Decoded(entry) => return Some(entry),
            Hit::Packed(packed, keep) => (packed, keep),
        };
        let entry = Arc::new(packed.entry()?);
        if let KeepDecoded::For(slot) = keep {
            shard.lock().keep_decoded(slot, &packed, &entry);
        }
        Some(entry)
    }

    /// The entry under `key`, unless it is of no further use at `now`. Changes nothing: it does not count as
    /// a hit, and an expired entry stays.
    pub fn peek(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        let (shard, hash) = self.shard_of(key)?;
        let packed = shard.lock().peek(hash, key)?.clone();
        let entry = packed.entry()?;
        (!entry.keep_for(now).is_zero()).then(|| Arc::new(entry))
    }

    /// Holds `entry` in place of whatever was under `key`. Refused with [`Reason::Fenced`] if a purge since
    /// `mark` covers any of its variants (promise I3).
    ///
    /// The entry that was there is outdated and goes even where there is no room for the new one.
    pub fn replace(
        &self,
        key: &str,
        entry: Arc<Entry>,
        fence: &Fence,
        mark: Mark,
        now: SystemTime,
    ) -> Result<(), Reason> {
        let Some((shard, hash)) = self.shard_of(key) else {
            return Ok(());
        };
        let new = IncomingEntry::new(hash, key, &entry, &self.in_flight, now);
        let mut shard = shard.lock();
        let fenced = |variant: &Arc<Variant>| fence.covers(mark, key, Tags::Known(&variant.tags));
        if entry.variants.iter().any(fenced) {
            return Err(Reason::Fenced);
        }
        shard.insert(key, new, now)
    }

    /// Adds `variant` to the variants under `key`. Refused with [`Reason::Fenced`] if a purge since `mark`
    /// covers it (promise I3), and with [`Reason::BudgetFull`] by a tier that holds nothing.
    ///
    /// Where there is no room for all of them together, the entry that was there goes as well.
    pub fn add(
        &self,
        key: &str,
        variant: Arc<Variant>,
        fence: &Fence,
        mark: Mark,
        now: SystemTime,
    ) -> Result<(), Reason> {
        let Some((shard, hash)) = self.shard_of(key) else {
            return Err(Reason::BudgetFull);
        };
        let mut before = shard.lock().peek(hash, key).cloned();
        // Packing takes too long for the lock, so what was there may have changed meanwhile.
        loop {
            let held = before.as_ref().and_then(Packed::entry).unwrap_or_default();
            let entry = held.with(Arc::clone(&variant), now);
            let new = IncomingEntry::new(hash, key, &entry, &self.in_flight, now);
            let mut shard = shard.lock();
            if fence.covers(mark, key, Tags::Known(&variant.tags)) {
                return Err(Reason::Fenced);
            }
            let held = shard.peek(hash, key);
            if is_unchanged(held, before.as_ref()) {
                return shard.insert(key, new, now);
            }
            before = held.cloned();
        }
    }

    /// Whether a body of `length` bytes is small for the tier, so that it finds a place unless all that is there
    /// is of a higher priority.
    pub fn is_small(&self, length: usize) -> bool {
        let shards = self.shards.len().max(1) as u64;
        (length as u64).saturating_add(SMALL_HEAD) <= self.max / shards / 2
    }

    /// Removes every entry that `purge` covers, or makes it stale from `now` on; returns how many. Enter the
    /// purge in the fence first: an insert that runs meanwhile is refused by the fence alone.
    pub fn purge(&self, purge: &Purge, now: SystemTime) -> usize {
        self.decisions.purge(purge);
        let effect = match purge.kind {
            PurgeKind::Hard if purge.everything => return self.empty(),
            PurgeKind::Hard => Effect::Remove,
            PurgeKind::Soft => Effect::Soften(now),
        };
        let keys = purge.keys.iter().map(|pattern| match pattern.exact() {
            Some(key) => self.purge_exact(key, effect),
            None => self.purge_index(IndexName::Keys, pattern, effect),
        });
        let tags = purge
            .tags
            .iter()
            .map(|pattern| self.purge_index(IndexName::Tags, pattern, effect));
        keys.chain(tags).sum()
    }

    /// Removes the entry under `key`, or the decision of that name.
    pub fn purge_key(&self, key: &str) {
        self.decisions.remove(key);
        self.purge_exact(key, Effect::Remove);
    }

    /// Keys with their hits since they were last taken; not many more than `most`, and of others the next time.
    pub fn take_hits(&self, most: usize) -> Vec<(String, u16)> {
        let mut taken = Vec::new();
        let first = fastrand::usize(..self.shards.len().max(1));
        for shard in self
            .shards
            .iter()
            .cycle()
            .skip(first)
            .take(self.shards.len())
        {
            let mut from = Some(0);
            while let Some(slot) = from.filter(|_| taken.len() < most) {
                let (some, next) = shard.lock().take_hits(slot);
                taken.extend(some);
                from = next;
            }
        }
        taken
    }

    /// Drops what is of no further use at `now`, of a part of what it holds: for when nothing is inserted, which does the same.
    pub(in crate::store) fn sweep(&self, now: SystemTime) {
        for shard in &self.shards {
            let mut left = shard.lock().slots_of_sweep(SWEEPS);
            while left > 0 {
                // Dropped after the lock.
                let _expired;
                let mut shard = shard.lock();
                (_expired, left) = shard.sweep_batch(left, now);
            }
        }
    }

    /// Empties the tier.
    pub fn clear(&self) {
        self.decisions.clear();
        self.empty();
    }

    /// Takes out all that is of one shard of Redis, with what else shares its place here, and every decision. Freeing it takes
    /// long: drop what this returns where nobody waits for that.
    pub(in crate::store) fn take_shard(&self, number: usize) -> impl Sized + use<> {
        self.decisions.clear();
        let of_all = self
            .shards
            .iter()
            .filter(|_| self.sharding == Sharding::NONE);
        let of_one = self
            .piece(number)
            .filter(|_| self.sharding != Sharding::NONE);
        let shards = of_all.chain(of_one);
        shards
            .map(|shard| shard.lock().take_contents())
            .collect::<Vec<_>>()
    }

    /// What it holds now.
    pub fn usage(&self) -> MemoryUsage {
        let mut sum = MemoryUsage {
            max: self.max,
            ..MemoryUsage::default()
        };
        for shard in &self.shards {
            let usage = shard.lock().usage();
            for index in Priority::ALL.map(Priority::index) {
                sum.bytes[index] += usage.bytes[index];
                sum.entries[index] += usage.entries[index];
                sum.evictions[index] += usage.evictions[index];
            }
        }
        sum
    }

    /// The shard of `key`, and the hash it is found by there.
    fn shard_of(&self, key: &str) -> Option<(&LockedShard, u32)> {
        let hash = self.hasher.hash_one(key);
        let number = match self.sharding {
            // These bits are not in the hash.
            Sharding::NONE => (hash >> u32::BITS) as usize,
            sharding => sharding.shard_of(key),
        };
        Some((self.piece(number)?, hash as u32))
    }

    /// Of a power of two of shards the mask reaches every one.
    fn piece(&self, number: usize) -> Option<&LockedShard> {
        self.shards.get(number & self.shards.len().checked_sub(1)?)
    }

    fn purge_exact(&self, key: &str, effect: Effect) -> usize {
        let Some((shard, hash)) = self.shard_of(key) else {
            return 0;
        };
        let purged = shard.lock().purge(hash, key, effect);
        usize::from(purged.is_some())
    }

    /// Contents are dropped after the shard's lock: freeing takes longer than unlinking.
    fn empty(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let emptied = shard.lock().take_contents();
                emptied.len()
            })
            .sum()
    }

    fn purge_index(&self, name: IndexName, pattern: &Pattern, effect: Effect) -> usize {
        let of_shard = |shard| match effect {
            Effect::Remove => purge_shard(shard, name, pattern, effect).entries,
            Effect::Soften(_) => soften_shard(shard, name, pattern, effect),
        };
        self.shards.iter().map(of_shard).sum()
    }
}

/// What one walk through an index has purged.
struct Walk {
    entries: usize,
    /// Whether the lock was let go of in between.
    in_steps: bool,
}

/// Purges by batches, so that a large purge holds no lock for long. What is inserted between two
/// batches began after the purge: the fence refuses everything else.
fn purge_shard(shard: &LockedShard, name: IndexName, pattern: &Pattern, effect: Effect) -> Walk {
    let (mut entries, mut steps, mut from) = (0, 0, None);
    loop {
        let batch = shard.lock().purge_batch(name, pattern, from, effect);
        entries += batch.purged.len();
        steps += 1;
        from = batch.next;
        if from.is_none() {
            let in_steps = steps > 1;
            return Walk { entries, in_steps };
        }
    }
}

/// Goes through the index again as long as there is news: between two batches a variant to be made stale may have moved
/// behind the walk, beside one that is new. Where that does not end, all goes, which is always safe.
fn soften_shard(shard: &LockedShard, name: IndexName, pattern: &Pattern, effect: Effect) -> usize {
    const MAX_WALKS: usize = 4;
    let mut entries = 0;
    for _ in 0..MAX_WALKS {
        let walk = purge_shard(shard, name, pattern, effect);
        entries += walk.entries;
        if walk.entries == 0 || !walk.in_steps {
            return entries;
        }
    }
    entries + purge_shard(shard, name, pattern, Effect::Remove).entries
}

/// Whether `held` is still the very entry `before`: an equal one that took its place is another.
fn is_unchanged(held: Option<&Packed>, before: Option<&Packed>) -> bool {
    match (held, before) {
        (Some(held), Some(before)) => held.is(before),
        (held, before) => held.is_none() && before.is_none(),
    }
}

#[cfg(test)]
mod tests;
