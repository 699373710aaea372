//! One shard: a part of the keys, with a part of the budget, behind one lock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::contents::{EntrySlot, IndexName, RemovedEntry, ShardContents};
use super::hot::Hot;
use super::index::IndexCursor;
use super::usage::MemoryUsage;
use crate::budget;
use crate::entry::packed::Packed;
use crate::entry::{Entry, Priority};
use crate::http_cache::Reason;
use crate::in_flight::InFlight;
use crate::routes::Pattern;

/// How many positions of an index a purge visits under one lock.
const BATCH: usize = 512;

/// How many slots each insert looks at for entries of no further use.
const SWEEP: u32 = 2;

/// Decoded forms take at most this part of the budget.
const HOT_SHARE: u64 = 8;

/// And no more than this: what is beyond the processor's caches is decoded as fast as it is visited.
const HOT_MAX: u64 = 2 << 20;

/// How much a full shard leaves free while decoded forms have less than their share: hits evict nothing,
/// so inserts make the room.
const ROOM_AHEAD: u64 = 16 << 10;

/// The keys of one shard and what is held under them.
#[derive(Debug)]
pub(super) struct Shard {
    max: u64,
    contents: ShardContents,
    /// The next slot to look at for expiry.
    sweep_at: u32,
    evictions: [u64; 3],
}

/// What a lookup found.
#[derive(Debug)]
pub(super) enum Hit {
    /// The entry itself.
    Decoded(Arc<Entry>),
    /// The packed entry: decode it after the lock is released.
    Packed(Packed, KeepDecoded),
}

/// Whether the decoded form of a hit is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepDecoded {
    No,
    /// Give it to [`Shard::keep_decoded`] for this slot.
    For(u32),
}

/// An entry about to be held.
#[derive(Debug)]
pub(super) struct IncomingEntry {
    hash: u32,
    packed: Packed,
    priority: Priority,
    /// Milliseconds since 1970.
    until: u64,
}

/// What a purge does with the entries that it finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    Remove,
    /// They are stale from then on.
    Soften(SystemTime),
}

/// What one bounded step of a purge removed, or made stale; drop it after the lock is released.
#[derive(Debug)]
pub(super) struct PurgeBatch {
    pub(super) purged: Vec<RemovedEntry>,
    /// Where the next step begins; `None`: done.
    pub(super) next: Option<IndexCursor>,
}

impl IncomingEntry {
    /// `entry` packed under `key`, whose hash is `hash`.
    pub(super) fn new(
        hash: u32,
        key: &str,
        entry: &Entry,
        in_flight: &InFlight,
        now: SystemTime,
    ) -> IncomingEntry {
        let keep = u64::try_from(entry.keep_for(now).as_millis()).unwrap_or(u64::MAX);
        IncomingEntry {
            hash,
            packed: Packed::new(key, entry, |bytes| in_flight.for_entry(bytes)),
            priority: entry.priority(),
            until: millis(now).saturating_add(keep),
        }
    }
}

impl Shard {
    pub(super) fn new(max: u64, in_flight: InFlight) -> Shard {
        Shard {
            max,
            contents: ShardContents::new(in_flight),
            sweep_at: 0,
            evictions: [0; 3],
        }
    }

    /// The entry under `key`, in the form there is; an expired one is removed instead. One lookup in the
    /// table, since every hit comes through here.
    pub(super) fn get(&mut self, hash: u32, key: &str, now: SystemTime) -> Option<Hit> {
        let number = self.contents.find(hash, key)?;
        if self.contents.get(number)?.until <= millis(now) {
            self.contents.remove(number);
            return None;
        }
        if let Some(entry) = self.contents.hit(number) {
            return Some(Hit::Decoded(entry));
        }
        let keep = match self.contents.note_packed_hit(number) {
            true => KeepDecoded::For(number),
            false => KeepDecoded::No,
        };
        Some(Hit::Packed(self.contents.get(number)?.packed.clone(), keep))
    }

    /// Keeps `entry`, to which `packed` was decoded outside the lock, but only if `slot` still holds that
    /// very `packed`: an entry that was purged meanwhile must not come back (promise I2).
    pub(super) fn keep_decoded(&mut self, slot: u32, packed: &Packed, entry: &Arc<Entry>) {
        let held = self.contents.get(slot);
        if !held.is_some_and(|held| held.packed.is(packed) && !held.is_decoded()) {
            return;
        }
        let weight = Hot::weight_of(entry);
        if self.make_hot_room(weight) {
            self.contents.keep_decoded(slot, Arc::clone(entry), weight);
        }
    }

    /// The packed entry under `key`, even an expired one; not counted as a hit.
    pub(super) fn peek(&self, hash: u32, key: &str) -> Option<&Packed> {
        let number = self.contents.find(hash, key)?;
        self.contents.get(number).map(|slot| &slot.packed)
    }

    /// Holds `new` under `key` in place of whatever was there, evicting what it must.
    pub(super) fn insert(
        &mut self,
        key: &str,
        new: IncomingEntry,
        now: SystemTime,
    ) -> Result<(), Reason> {
        self.remove(new.hash, key);
        self.sweep_expired(now);
        if new.until <= millis(now) {
            return Ok(());
        }
        let slot = EntrySlot::new(new.packed, new.until, new.hash);
        // Offsets within an entry have 32 bits.
        if slot.weight() > self.max.min(u32::MAX.into()) {
            return Err(Reason::TooLarge);
        }
        self.make_room(slot.weight(), new.priority)?;
        match self.contents.insert(slot, new.priority) {
            true => Ok(()),
            false => Err(Reason::BudgetFull),
        }
    }

    pub(super) fn remove(&mut self, hash: u32, key: &str) -> Option<RemovedEntry> {
        self.purge(hash, key, Effect::Remove)
    }

    /// Purges the entry under `key`; drop the result after the lock is released.
    pub(super) fn purge(&mut self, hash: u32, key: &str, effect: Effect) -> Option<RemovedEntry> {
        let number = self.contents.find(hash, key)?;
        self.purge_slot(number, effect)
    }

    fn purge_slot(&mut self, number: u32, effect: Effect) -> Option<RemovedEntry> {
        match effect {
            Effect::Remove => self.contents.remove(number),
            Effect::Soften(at) => self.contents.soften(number, at),
        }
    }

    /// Purges what `pattern` matches among the next positions of an index.
    pub(super) fn purge_batch(
        &mut self,
        name: IndexName,
        pattern: &Pattern,
        from: Option<IndexCursor>,
        effect: Effect,
    ) -> PurgeBatch {
        let found = self.contents.find_matching(name, pattern, from, BATCH);
        let slots = found.slots.into_iter();
        PurgeBatch {
            purged: slots
                .filter_map(|slot| self.purge_slot(slot, effect))
                .collect(),
            next: found.next.map(|cursor| match effect {
                Effect::Remove => cursor.rewind_if_matched(pattern),
                // What it has found is still there, and an entry that takes a free slot has begun since.
                Effect::Soften(_) => cursor,
            }),
        }
    }

    /// Empties the shard; drop the result after the lock is released.
    pub(super) fn take_contents(&mut self) -> ShardContents {
        self.contents.take()
    }

    /// The keys of some slots, from `slot` on, with their hits since they were last taken; and where the next step begins,
    /// `None`: done.
    pub(super) fn take_hits(&mut self, slot: u32) -> (Vec<(String, u16)>, Option<u32>) {
        let end = self.contents.slots().min(slot.saturating_add(BATCH as u32));
        let taken = (slot..end).filter_map(|slot| self.contents.take_hits(slot));
        let taken = taken.collect();
        (taken, (end < self.contents.slots()).then_some(end))
    }

    /// Its part of the tier's usage.
    pub(super) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            bytes: self.contents.bytes(),
            entries: self.contents.counts(),
            evictions: self.evictions,
            max: self.max,
        }
    }

    /// How many slots are looked at in one sweep for when nothing is inserted: one of `sweeps` parts of all.
    pub(super) fn slots_of_sweep(&self, sweeps: u32) -> u32 {
        self.contents.slots().div_ceil(sweeps)
    }

    /// Looks at some of `left` slots, and takes out those that are of no further use. Returns them, to be dropped after the
    /// lock is released, and how many slots are left.
    pub(super) fn sweep_batch(&mut self, left: u32, now: SystemTime) -> (Vec<RemovedEntry>, u32) {
        let some = left.min(BATCH as u32);
        (self.sweep_some(some, now), left - some)
    }

    /// Looks at the next few slots, so that entries nobody asks for do not linger for ever.
    fn sweep_expired(&mut self, now: SystemTime) {
        self.sweep_some(SWEEP, now);
    }

    fn sweep_some(&mut self, count: u32, now: SystemTime) -> Vec<RemovedEntry> {
        let mut removed = Vec::new();
        for _ in 0..count {
            let Some(slot) = self.sweep_at.checked_rem(self.contents.slots()) else {
                break;
            };
            self.sweep_at = slot + 1;
            let expired = |slot: &EntrySlot| slot.until <= millis(now);
            if self.contents.get(slot).is_some_and(expired) {
                removed.extend(self.contents.remove(slot));
            }
        }
        removed
    }

    fn make_room(&mut self, weight: u64, incoming: Priority) -> Result<(), Reason> {
        let ahead = ROOM_AHEAD.min(
            self.max_hot_bytes()
                .saturating_sub(self.contents.hot_bytes()),
        );
        let free = self
            .plan_eviction(self.bytes_to_free(weight + ahead), incoming)
            .or_else(|| self.plan_eviction(self.bytes_to_free(weight), incoming))
            .or_else(|| {
                // No entry is refused for the sake of decoded forms.
                while self.contents.drop_one_decoded() {}
                self.plan_eviction(self.bytes_to_free(weight), incoming)
            })
            .ok_or(Reason::CannotFit)?;
        for priority in Priority::ALL {
            self.evict(priority, free[priority.index()]);
        }
        Ok(())
    }

    /// How many bytes must go so that `weight` more fit.
    fn bytes_to_free(&self, weight: u64) -> u64 {
        let used: u64 = self.contents.bytes().iter().sum();
        used.saturating_add(weight).saturating_sub(self.max)
    }

    fn plan_eviction(&self, need: u64, incoming: Priority) -> Option<[u64; 3]> {
        budget::plan(need, self.contents.bytes(), incoming)
    }

    fn evict(&mut self, priority: Priority, bytes: u64) {
        let used = |shard: &Shard| shard.contents.bytes()[priority.index()];
        let goal = used(self).saturating_sub(bytes);
        while used(self) > goal {
            let victim = self.contents.next_victim(priority);
            if victim.and_then(|slot| self.contents.remove(slot)).is_none() {
                return;
            }
            self.evictions[priority.index()] += 1;
        }
    }

    /// Drops other decoded forms until one of `weight` fits; returns whether it does. No entry leaves for
    /// a decoded form.
    fn make_hot_room(&mut self, weight: u64) -> bool {
        if weight > self.max_hot_bytes() || self.bytes_to_free(weight) > self.contents.hot_bytes() {
            return false;
        }
        let full = |shard: &Shard| {
            shard.contents.hot_bytes() + weight > shard.max_hot_bytes()
                || shard.bytes_to_free(weight) > 0
        };
        while full(self) {
            if !self.contents.drop_one_decoded() {
                return false;
            }
        }
        true
    }

    /// The most that decoded forms may take.
    fn max_hot_bytes(&self) -> u64 {
        (self.max / HOT_SHARE).min(HOT_MAX)
    }
}

/// Since 1970, which no clock is before.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Shard {
    /// All it holds is in step, and within its budget.
    pub(super) fn check(&self) {
        self.contents.check();
        assert!(self.contents.bytes().iter().sum::<u64>() <= self.max);
        assert!(self.contents.hot_bytes() <= self.max_hot_bytes());
    }

    pub(super) fn hot_bytes(&self) -> u64 {
        self.contents.hot_bytes()
    }

    pub(super) fn slots(&self) -> u32 {
        self.contents.slots()
    }
}
