//! One shard: a part of the keys, with a part of the budget, behind one lock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::MemoryUsage;
use super::held::{Gone, Held, IndexName, Slot};
use super::hot::Hot;
use super::index::Stop;
use crate::budget;
use crate::entry::packed::Packed;
use crate::entry::{Entry, Priority};
use crate::http_cache::Reason;
use crate::routes::Pattern;

/// How many places a purge visits under one lock.
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
    held: Held,
    /// The next slot to look at for expiry.
    sweep: u32,
    evictions: [u64; 3],
}

/// What a lookup found.
#[derive(Debug)]
pub(super) enum Hit {
    /// All there is to it.
    Decoded(Arc<Entry>),
    /// To be decoded after the lock.
    Packed(Packed, Keep),
}

/// Whether the decoded form of a hit is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    No,
    /// Give it to [`Shard::keep`] for this slot.
    For(u32),
}

/// An entry about to be held.
#[derive(Debug)]
pub(super) struct Newcomer {
    hash: u32,
    packed: Packed,
    priority: Priority,
    /// Milliseconds since 1970.
    until: u64,
}

/// What one bounded step of a purge removed; drop it after the lock.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) removed: Vec<Gone>,
    /// Where to go on; `None`: done.
    pub(super) next: Option<Stop>,
}

impl Newcomer {
    /// `entry` packed under `key`, whose hash is `hash`.
    pub(super) fn new(hash: u32, key: &str, entry: &Entry, now: SystemTime) -> Newcomer {
        let keep = u64::try_from(entry.keep_for(now).as_millis()).unwrap_or(u64::MAX);
        Newcomer {
            hash,
            packed: Packed::new(key, entry),
            priority: entry.priority(),
            until: millis(now).saturating_add(keep),
        }
    }
}

impl Shard {
    pub(super) fn new(max: u64) -> Shard {
        Shard {
            max,
            held: Held::default(),
            sweep: 0,
            evictions: [0; 3],
        }
    }

    /// The hit path: one lookup.
    pub(super) fn get(&mut self, hash: u32, key: &str, now: SystemTime) -> Option<Hit> {
        let number = self.held.find(hash, key)?;
        if self.held.get(number)?.until <= millis(now) {
            self.held.remove(number);
            return None;
        }
        if let Some(entry) = self.held.hit(number) {
            return Some(Hit::Decoded(entry));
        }
        let keep = match self.held.asked_again(number) {
            true => Keep::For(number),
            false => Keep::No,
        };
        Some(Hit::Packed(self.held.get(number)?.packed.clone(), keep))
    }

    /// Keeps `entry`, which `packed` was decoded to, if `slot` still holds just that.
    pub(super) fn keep(&mut self, slot: u32, packed: &Packed, entry: &Arc<Entry>) {
        let held = self.held.get(slot);
        if !held.is_some_and(|held| held.packed.is(packed) && !held.is_decoded()) {
            return;
        }
        let weight = Hot::weight_of(entry);
        if self.make_hot_room(weight) {
            self.held.keep(slot, Arc::clone(entry), weight);
        }
    }

    /// What is held under `key`, useful or not; counts as no hit.
    pub(super) fn peek(&self, hash: u32, key: &str) -> Option<&Packed> {
        let number = self.held.find(hash, key)?;
        self.held.get(number).map(|slot| &slot.packed)
    }

    /// Holds `new` under `key` in place of whatever was there, evicting what it must.
    pub(super) fn insert(
        &mut self,
        key: &str,
        new: Newcomer,
        now: SystemTime,
    ) -> Result<(), Reason> {
        self.remove(new.hash, key);
        self.sweep(now);
        if new.until <= millis(now) {
            return Ok(());
        }
        let slot = Slot::new(new.packed, new.until, new.hash);
        // Places within an entry are told in 32 bits.
        if slot.weight() > self.max.min(u32::MAX.into()) {
            return Err(Reason::TooLarge);
        }
        self.make_room(slot.weight(), new.priority)?;
        match self.held.insert(slot, new.priority) {
            true => Ok(()),
            false => Err(Reason::BudgetFull),
        }
    }

    pub(super) fn remove(&mut self, hash: u32, key: &str) -> Option<Gone> {
        let number = self.held.find(hash, key)?;
        self.held.remove(number)
    }

    /// Removes what `pattern` matches among the next places of an index.
    pub(super) fn purge_batch(
        &mut self,
        name: IndexName,
        pattern: &Pattern,
        from: Option<Stop>,
    ) -> Batch {
        let found = self.held.matching(name, pattern, from, BATCH);
        let slots = found.slots.into_iter();
        Batch {
            removed: slots.filter_map(|slot| self.held.remove(slot)).collect(),
            next: found.next.map(|stop| stop.or_earlier(pattern)),
        }
    }

    /// Takes out all it holds; drop it after the lock.
    pub(super) fn empty(&mut self) -> Held {
        std::mem::take(&mut self.held)
    }

    /// Its part of the tier's.
    pub(super) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            bytes: self.held.bytes(),
            entries: self.held.count(),
            evictions: self.evictions,
            max: self.max,
        }
    }

    /// Looks at the next few slots, so that entries nobody asks for do not linger for ever.
    fn sweep(&mut self, now: SystemTime) {
        for _ in 0..SWEEP {
            let Some(slot) = self.sweep.checked_rem(self.held.slots()) else {
                return;
            };
            self.sweep = slot + 1;
            let expired = |slot: &Slot| slot.until <= millis(now);
            if self.held.get(slot).is_some_and(expired) {
                self.held.remove(slot);
            }
        }
    }

    fn make_room(&mut self, weight: u64, incoming: Priority) -> Result<(), Reason> {
        let ahead = ROOM_AHEAD.min(self.hot_max().saturating_sub(self.held.hot_bytes()));
        let free = self
            .plan(self.lacks(weight + ahead), incoming)
            .or_else(|| self.plan(self.lacks(weight), incoming))
            .or_else(|| {
                // No entry is refused for the sake of decoded forms.
                while self.held.cool_one() {}
                self.plan(self.lacks(weight), incoming)
            })
            .ok_or(Reason::BudgetFull)?;
        for priority in Priority::ALL {
            self.evict(priority, free[priority.index()]);
        }
        Ok(())
    }

    /// How many bytes to free so that `weight` more fit.
    fn lacks(&self, weight: u64) -> u64 {
        let used: u64 = self.held.bytes().iter().sum();
        used.saturating_add(weight).saturating_sub(self.max)
    }

    fn plan(&self, need: u64, incoming: Priority) -> Option<[u64; 3]> {
        budget::plan(need, self.held.bytes(), incoming)
    }

    fn evict(&mut self, priority: Priority, bytes: u64) {
        let held = |shard: &Shard| shard.held.bytes()[priority.index()];
        let goal = held(self).saturating_sub(bytes);
        while held(self) > goal {
            let victim = self.held.victim(priority);
            if victim.and_then(|slot| self.held.remove(slot)).is_none() {
                return;
            }
            self.evictions[priority.index()] += 1;
        }
    }

    /// Drops other decoded forms until one of `weight` fits; whether it does. No entry leaves for it.
    fn make_hot_room(&mut self, weight: u64) -> bool {
        if weight > self.hot_max() || self.lacks(weight) > self.held.hot_bytes() {
            return false;
        }
        let full = |shard: &Shard| {
            shard.held.hot_bytes() + weight > shard.hot_max() || shard.lacks(weight) > 0
        };
        while full(self) {
            if !self.held.cool_one() {
                return false;
            }
        }
        true
    }

    /// The most that decoded forms may take.
    fn hot_max(&self) -> u64 {
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
        self.held.check();
        assert!(self.held.bytes().iter().sum::<u64>() <= self.max);
        assert!(self.held.hot_bytes() <= self.hot_max());
    }

    pub(super) fn hot_bytes(&self) -> u64 {
        self.held.hot_bytes()
    }

    pub(super) fn slots(&self) -> u32 {
        self.held.slots()
    }
}
