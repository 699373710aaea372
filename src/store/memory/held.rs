//! What one shard holds: packed entries in slots, the table and the indexes that lead to them, and the
//! decoded forms of the hot ones; each change keeps them all in step.

use std::sync::Arc;

use hashbrown::HashTable;

use super::hot::{Hot, Removed};
use super::index::{Found, Index, Place, Stop, Texts};
use super::sieve::Sieve;
use super::slots::{self, Link};
use crate::entry::packed::Packed;
use crate::entry::{Entry, Priority};
use crate::routes::Pattern;

/// All that is dropped when the shard is emptied.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Slots by the hash of their key.
    table: HashTable<u32>,
    entries: Sieve<Slot>,
    keys: Index,
    tags: Index,
    hot: Hot,
    bytes: [u64; 3],
    count: [u64; 3],
}

/// One key with its entry.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) packed: Packed,
    /// Of no use from then on; milliseconds since 1970.
    pub(super) until: u64,
    /// Of the key, so that a growing table need not visit the keys.
    hash: u32,
    /// Where its decoded form is.
    decoded: Link,
}

/// What left; drop it after the lock.
pub(super) type Gone = (Packed, Option<Arc<Entry>>);

/// Which index a purge goes through.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexName {
    Keys,
    Tags,
}

impl Slot {
    pub(super) fn new(packed: Packed, until: u64, hash: u32) -> Slot {
        Slot {
            packed,
            until,
            hash,
            decoded: Link::NONE,
        }
    }

    /// What it takes beside a decoded form: the bytes, the slot, its place in the table (which is between
    /// 7/16 and 7/8 full) and its places in the indexes (whose blocks are about 2/3 full).
    pub(super) fn weight(&self) -> u64 {
        const TABLE: usize = (size_of::<u32>() + 1) * 7 / 4;
        const PLACE: usize = size_of::<Place>() * 3 / 2;
        let places = 1 + self.packed.tags().count();
        let sum = self.packed.weight() + Sieve::<Slot>::SLOT_BYTES + TABLE + PLACE * places;
        sum as u64
    }

    pub(super) fn is_decoded(&self) -> bool {
        self.decoded != Link::NONE
    }

    fn is(&self, hash: u32, key: &str) -> bool {
        self.hash == hash && self.packed.text(Packed::KEY) == key.as_bytes()
    }
}

impl Texts for Sieve<Slot> {
    fn text(&self, place: Place) -> &[u8] {
        self.get(place.slot)
            .map_or(&[], |slot| slot.packed.text(place.at))
    }
}

impl Held {
    pub(super) fn find(&self, hash: u32, key: &str) -> Option<u32> {
        let is_it = |slot: &u32| self.get(*slot).is_some_and(|slot| slot.is(hash, key));
        self.table.find(spread(hash), is_it).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Slot> {
        self.entries.get(slot)
    }

    /// Slots, free ones counted.
    pub(super) fn slots(&self) -> u32 {
        // No number is greater than these.
        u32::try_from(self.entries.slots()).unwrap_or(u32::MAX)
    }

    pub(super) fn bytes(&self) -> [u64; 3] {
        self.bytes
    }

    /// How many entries by priority.
    pub(super) fn count(&self) -> [u64; 3] {
        self.count
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Notes a hit on `slot`; its entry if it is decoded.
    pub(super) fn hit(&mut self, slot: u32) -> Option<Arc<Entry>> {
        self.entries.hit(slot);
        let place = self.get(slot)?.decoded.get()?;
        self.hot.hit(place)
    }

    /// The slot of `priority` that leaves next.
    pub(super) fn victim(&mut self, priority: Priority) -> Option<u32> {
        self.entries.victim(priority)
    }

    /// Adds an entry under a key that is not held; whether there is a number left for it.
    pub(super) fn insert(&mut self, slot: Slot, priority: Priority) -> bool {
        let (hash, weight) = (slot.hash, slot.weight());
        let Some(number) = self.entries.push(slot, priority) else {
            return false;
        };
        let entries = &self.entries;
        let hash_of = |slot: &u32| entries.get(*slot).map_or(0, |slot| spread(slot.hash));
        self.table.insert_unique(spread(hash), number, hash_of);
        if let Some(slot) = entries.get(number) {
            self.keys.insert(key_place(number), entries);
            for at in slot.packed.tags() {
                self.tags.insert(Place { slot: number, at }, entries);
            }
        }
        self.bytes[priority.index()] += weight;
        self.count[priority.index()] += 1;
        true
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Gone> {
        let decoded = self.cool(number);
        let slot = self.entries.get(number)?;
        self.keys.remove(key_place(number), &self.entries);
        for at in slot.packed.tags() {
            self.tags.remove(Place { slot: number, at }, &self.entries);
        }
        let in_table = self
            .table
            .find_entry(spread(slot.hash), |slot| *slot == number);
        if let Ok(entry) = in_table {
            entry.remove();
        }
        let (slot, priority) = self.entries.remove(number)?;
        self.bytes[priority.index()] -= slot.weight();
        self.count[priority.index()] -= 1;
        if self.len() == 0 && self.entries.slots() > slots::CHUNK {
            // What was many leaves no empty slots and tables behind.
            *self = Held::default();
        }
        Some((slot.packed, decoded))
    }

    /// At most `limit` places of an index that `pattern` may match.
    pub(super) fn matching(
        &self,
        name: IndexName,
        pattern: &Pattern,
        from: Option<Stop>,
        limit: usize,
    ) -> Found {
        let index = match name {
            IndexName::Keys => &self.keys,
            IndexName::Tags => &self.tags,
        };
        index.find(pattern, from, limit, &self.entries)
    }

    /// The bytes of all decoded forms.
    pub(super) fn hot_bytes(&self) -> u64 {
        self.hot.weight()
    }

    /// Whether the packed entry of `slot`, which was hit, had been hit a short while ago.
    pub(super) fn asked_again(&mut self, slot: u32) -> bool {
        self.hot.asked_again(slot)
    }

    /// Keeps the decoded form of what `slot` holds; it has none yet.
    pub(super) fn keep(&mut self, slot: u32, entry: Arc<Entry>, weight: u64) {
        let Some(priority) = self.entries.priority(slot) else {
            return;
        };
        let Some(place) = self.hot.insert(slot, entry, weight) else {
            return;
        };
        if let Some(held) = self.entries.get_mut(slot) {
            held.decoded = Link::to(place);
            self.bytes[priority.index()] += weight;
        }
    }

    /// Drops a decoded form that was not hit of late; whether there was one.
    pub(super) fn cool_one(&mut self) -> bool {
        let victim = self.hot.victim();
        victim.and_then(|slot| self.cool(slot)).is_some()
    }

    /// Takes the decoded form of what `slot` holds.
    fn cool(&mut self, slot: u32) -> Option<Arc<Entry>> {
        let priority = self.entries.priority(slot)?;
        let place = self.entries.get_mut(slot)?.decoded.take()?;
        let Removed {
            entry,
            weight,
            moved,
        } = self.hot.remove(place)?;
        if let Some(moved) = moved.and_then(|slot| self.entries.get_mut(slot)) {
            moved.decoded = Link::to(place);
        }
        self.bytes[priority.index()] -= weight;
        Some(entry)
    }
}

fn key_place(slot: u32) -> Place {
    let at = Packed::KEY;
    Place { slot, at }
}

/// The table takes its tags from the highest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
impl Held {
    /// Every index, sum and decoded form agrees with the entries held.
    pub(super) fn check(&self) {
        let slots: Vec<(u32, &Slot)> = (0..self.slots())
            .filter_map(|number| Some((number, self.get(number)?)))
            .collect();
        let (mut bytes, mut count) = ([0; 3], [0; 3]);
        let (mut tags, mut hot, mut hot_bytes) = (0, 0, 0);
        for (number, slot) in &slots {
            let priority = self.entries.priority(*number).expect("it is held").index();
            bytes[priority] += slot.weight();
            count[priority] += 1;
            tags += slot.packed.tags().count();
            let key = std::str::from_utf8(slot.packed.text(Packed::KEY)).expect("a key");
            assert_eq!(self.find(slot.hash, key), Some(*number), "{key}");
            if let Some(place) = slot.decoded.get() {
                let (of, entry, weight) = self.hot.at(place);
                assert_eq!(of, *number);
                assert_eq!(slot.packed.entry().as_ref(), Some(&**entry));
                bytes[priority] += weight;
                hot_bytes += weight;
                hot += 1;
            }
        }
        assert_eq!((self.bytes, self.count), (bytes, count));
        assert_eq!((self.hot.len(), self.hot.weight()), (hot, hot_bytes));
        assert_eq!((self.len(), self.keys.len()), (slots.len(), slots.len()));
        assert_eq!(self.tags.len(), tags);
        self.keys.check(&self.entries);
        self.tags.check(&self.entries);
    }
}
