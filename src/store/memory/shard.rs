//! One shard: a part of the keys, with a part of the budget, behind one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ahash::RandomState;

use super::MemoryUsage;
use super::index::{Index, Place};
use super::sieve::Sieve;
use crate::budget;
use crate::entry::{Entry, Priority, weight};
use crate::http_cache::Reason;
use crate::routes::Pattern;

/// How many places a purge visits under one lock.
const BATCH: usize = 512;

/// How many slots each insert looks at for entries of no further use.
const SWEEP: usize = 2;

/// The keys of one shard and what is held under them.
#[derive(Debug)]
pub(super) struct Shard {
    max: u64,
    held: Held,
    evictions: [u64; 3],
}

/// All that is dropped when the shard is emptied.
#[derive(Debug, Default)]
pub(super) struct Held {
    slots: HashMap<Arc<str>, usize, RandomState>,
    entries: Sieve<Slot>,
    keys: Index,
    tags: Index,
    /// The next slot to look at for expiry.
    sweep: usize,
    bytes: [u64; 3],
    count: [u64; 3],
}

/// An entry that left, or is held.
#[derive(Debug)]
pub(super) struct Slot {
    key: Arc<str>,
    entry: Arc<Entry>,
    /// The tags of all variants, each once, shared with the index.
    tags: Box<[Arc<str>]>,
    priority: Priority,
    /// Of no use from then on.
    until: SystemTime,
    /// Entry, key and its places in all indexes.
    weight: u64,
}

/// Which index a purge goes through.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexName {
    Keys,
    Tags,
}

/// What one bounded step of a purge removed; drop it after the lock.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) removed: Vec<Slot>,
    /// Where to go on; `None`: done.
    pub(super) next: Option<Place>,
}

impl Shard {
    pub(super) fn new(max: u64) -> Shard {
        Shard {
            max,
            held: Held::default(),
            evictions: [0; 3],
        }
    }

    /// The hit path: one lookup, no allocation.
    pub(super) fn get(&mut self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        let slot = *self.held.slots.get(key)?;
        let held = self.held.entries.get(slot)?;
        if held.until <= now {
            self.held.remove_slot(slot);
            return None;
        }
        let entry = held.entry.clone();
        self.held.entries.hit(slot);
        Some(entry)
    }

    /// What is held under `key`, useful or not; counts as no hit.
    pub(super) fn peek(&self, key: &str) -> Option<&Entry> {
        let slot = *self.held.slots.get(key)?;
        self.held.entries.get(slot).map(|held| &*held.entry)
    }

    /// Holds `entry` under `key` in place of whatever was there, evicting what it must.
    pub(super) fn insert(
        &mut self,
        key: &str,
        entry: Entry,
        now: SystemTime,
    ) -> Result<(), Reason> {
        self.remove(key);
        self.sweep(now);
        let keep = entry.keep_for(now);
        if keep.is_zero() {
            return Ok(());
        }
        let slot = Slot::new(key, entry, until(now, keep));
        if slot.weight > self.max {
            return Err(Reason::TooLarge);
        }
        self.make_room(slot.weight, slot.priority)?;
        self.held.insert(slot);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Slot> {
        let slot = *self.held.slots.get(key)?;
        self.held.remove_slot(slot)
    }

    /// Removes what `pattern` matches among the next places of an index.
    pub(super) fn purge_batch(
        &mut self,
        name: IndexName,
        pattern: &Pattern,
        from: Option<Place>,
    ) -> Batch {
        let index = match name {
            IndexName::Keys => &self.held.keys,
            IndexName::Tags => &self.held.tags,
        };
        let found = index.find(pattern, from, BATCH);
        let removed = found.slots.into_iter();
        Batch {
            removed: removed
                .filter_map(|slot| self.held.remove_slot(slot))
                .collect(),
            next: found.next,
        }
    }

    /// Takes out all it holds; drop it after the lock.
    pub(super) fn empty(&mut self) -> Held {
        std::mem::take(&mut self.held)
    }

    /// Its part of the tier's.
    pub(super) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            bytes: self.held.bytes,
            entries: self.held.count,
            evictions: self.evictions,
            max: self.max,
        }
    }

    /// Looks at the next few slots, so that entries nobody asks for do not linger for ever.
    fn sweep(&mut self, now: SystemTime) {
        for _ in 0..SWEEP.min(self.held.entries.slots()) {
            let slot = self.held.sweep % self.held.entries.slots();
            self.held.sweep = slot + 1;
            let expired = |held: &Slot| held.until <= now;
            if self.held.entries.get(slot).is_some_and(expired) {
                self.held.remove_slot(slot);
            }
        }
    }

    fn make_room(&mut self, weight: u64, incoming: Priority) -> Result<(), Reason> {
        let used: u64 = self.held.bytes.iter().sum();
        let need = (used + weight).saturating_sub(self.max);
        let free = budget::plan(need, self.held.bytes, incoming).ok_or(Reason::BudgetFull)?;
        for priority in Priority::ALL {
            self.evict(priority, free[priority.index()]);
        }
        Ok(())
    }

    fn evict(&mut self, priority: Priority, bytes: u64) {
        let mut freed = 0;
        while freed < bytes {
            let victim = self.held.entries.victim(priority);
            let Some(slot) = victim.and_then(|slot| self.held.remove_slot(slot)) else {
                return;
            };
            freed += slot.weight;
            self.evictions[priority.index()] += 1;
        }
    }
}

impl Held {
    /// How many entries.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn insert(&mut self, mut slot: Slot) {
        let number = self.entries.next_slot();
        for tag in &mut slot.tags {
            *tag = self.tags.insert(tag.clone(), number);
        }
        self.keys.insert(slot.key.clone(), number);
        self.slots.insert(slot.key.clone(), number);
        self.bytes[slot.priority.index()] += slot.weight;
        self.count[slot.priority.index()] += 1;
        let priority = slot.priority;
        self.entries.push(slot, priority);
    }

    fn remove_slot(&mut self, number: usize) -> Option<Slot> {
        let slot = self.entries.remove(number)?;
        self.slots.remove(&slot.key);
        self.keys.remove(&slot.key, number);
        for tag in &slot.tags {
            self.tags.remove(tag, number);
        }
        self.bytes[slot.priority.index()] -= slot.weight;
        self.count[slot.priority.index()] -= 1;
        Some(slot)
    }
}

impl Slot {
    fn new(key: &str, entry: Entry, until: SystemTime) -> Slot {
        let tags = distinct_tags(&entry);
        Slot {
            weight: (entry.weight() + overhead(key, &tags)) as u64,
            key: Arc::from(key),
            priority: entry.priority(),
            entry: Arc::new(entry),
            tags,
            until,
        }
    }
}

fn distinct_tags(entry: &Entry) -> Box<[Arc<str>]> {
    let mut tags: Vec<&str> = entry
        .variants
        .iter()
        .flat_map(|variant| &variant.tags)
        .map(|tag| &**tag)
        .collect();
    tags.sort_unstable();
    tags.dedup();
    tags.into_iter().map(Arc::from).collect()
}

/// What an entry takes beside itself: its slot, its key, its place in the table (which is between 7/16
/// and 7/8 full) and its places in the ordered indexes (whose nodes are about 2/3 full).
fn overhead(key: &str, tags: &[Arc<str>]) -> usize {
    const TABLE: usize = (size_of::<(Arc<str>, usize)>() + 1) * 3 / 2;
    const PLACE: usize = size_of::<Place>() * 3 / 2;
    let text = |text: &str| weight::allocation(weight::ARC + text.len());
    let tag = |tag: &Arc<str>| PLACE + text(tag);
    Sieve::<Slot>::SLOT_BYTES
        + TABLE
        + PLACE
        + text(key)
        + weight::allocation(size_of_val(tags))
        + tags.iter().map(tag).sum::<usize>()
}

/// The moment `keep` after `now`; where the calendar ends, about thirty years.
fn until(now: SystemTime, keep: Duration) -> SystemTime {
    const LONG: Duration = Duration::from_secs(1 << 30);
    now.checked_add(keep)
        .or_else(|| now.checked_add(LONG))
        .unwrap_or(now)
}

#[cfg(test)]
impl Shard {
    /// Every index and sum agrees with the entries held.
    pub(super) fn check(&self) {
        let held = &self.held;
        let slots: Vec<&Slot> = (0..held.entries.slots())
            .filter_map(|slot| held.entries.get(slot))
            .collect();
        let (mut bytes, mut count) = ([0; 3], [0; 3]);
        for slot in &slots {
            bytes[slot.priority.index()] += slot.weight;
            count[slot.priority.index()] += 1;
            let number = held.slots[&slot.key];
            let found = held.entries.get(number).expect("the table leads to a slot");
            assert_eq!(found.key, slot.key);
        }
        assert_eq!((held.bytes, held.count), (bytes, count));
        assert_eq!(held.slots.len(), slots.len());
        assert_eq!(held.keys.len(), slots.len());
        let tags: usize = slots.iter().map(|slot| slot.tags.len()).sum();
        assert_eq!(held.tags.len(), tags);
        assert!(bytes.iter().sum::<u64>() <= self.max);
    }
}
