//! The contents of one shard: packed entries in slots, the table and the indexes that lead to them, and the
//! decoded forms of the hot ones. Every change here keeps all of these in step.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashTable;

use super::hot::{Hot, TakenHot};
use super::index::{Index, IndexCursor, IndexPage, TextPosition, TextSource};
use super::sieve::Sieve;
use super::slots::{self, SlotLink};
use crate::entry::packed::Packed;
use crate::entry::{Entry, Priority};
use crate::in_flight::InFlight;
use crate::routes::Pattern;

/// Everything that is dropped when the shard is emptied.
#[derive(Debug)]
pub(super) struct ShardContents {
    /// Counts what is still being sent of entries that have left.
    in_flight: InFlight,
    /// Slots by the hash of their key.
    table: HashTable<u32>,
    entries: Sieve<EntrySlot>,
    keys: Index,
    tags: Index,
    hot: Hot,
    bytes: [u64; 3],
    count: [u64; 3],
}

/// One key with its entry.
#[derive(Debug)]
pub(super) struct EntrySlot {
    pub(super) packed: Packed,
    /// Of no use from then on; milliseconds since 1970.
    pub(super) until: u64,
    /// Of the key, so that a growing table need not visit the keys.
    hash: u32,
    /// The position of its decoded form in [`Hot`], if it has one.
    decoded: SlotLink,
}

/// A removed entry in its packed and, if there was one, its decoded form. Drop it after the lock is
/// released: freeing takes longer than unlinking.
pub(super) type RemovedEntry = (Packed, Option<Arc<Entry>>);

/// Which index a purge goes through.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexName {
    Keys,
    Tags,
}

impl EntrySlot {
    pub(super) fn new(packed: Packed, until: u64, hash: u32) -> EntrySlot {
        EntrySlot {
            packed,
            until,
            hash,
            decoded: SlotLink::NONE,
        }
    }

    /// The bytes it takes beside a decoded form: the packed entry, the slot, its cell of the table (which is
    /// between 7/16 and 7/8 full) and its positions in the indexes (whose blocks are about 2/3 full).
    pub(super) fn weight(&self) -> u64 {
        const TABLE: usize = (size_of::<u32>() + 1) * 7 / 4;
        const POSITION: usize = size_of::<TextPosition>() * 3 / 2;
        let positions = 1 + self.packed.tags().count();
        let sum =
            self.packed.weight() + Sieve::<EntrySlot>::SLOT_BYTES + TABLE + POSITION * positions;
        sum as u64
    }

    pub(super) fn is_decoded(&self) -> bool {
        self.decoded != SlotLink::NONE
    }

    fn is(&self, hash: u32, key: &str) -> bool {
        self.hash == hash && self.packed.text(Packed::KEY) == key.as_bytes()
    }
}

impl TextSource for Sieve<EntrySlot> {
    fn text(&self, position: TextPosition) -> &[u8] {
        self.get(position.slot)
            .map_or(&[], |slot| slot.packed.text(position.at))
    }
}

impl ShardContents {
    pub(super) fn new(in_flight: InFlight) -> ShardContents {
        ShardContents {
            in_flight,
            table: HashTable::default(),
            entries: Sieve::default(),
            keys: Index::default(),
            tags: Index::default(),
            hot: Hot::default(),
            bytes: [0; 3],
            count: [0; 3],
        }
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> ShardContents {
        let empty = ShardContents::new(self.in_flight.clone());
        std::mem::replace(self, empty)
    }

    pub(super) fn find(&self, hash: u32, key: &str) -> Option<u32> {
        let is_it = |slot: &u32| self.get(*slot).is_some_and(|slot| slot.is(hash, key));
        self.table.find(spread_hash(hash), is_it).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&EntrySlot> {
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
    pub(super) fn counts(&self) -> [u64; 3] {
        self.count
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Marks `slot` as hit, so that it leaves later; returns its entry if it is decoded.
    pub(super) fn hit(&mut self, slot: u32) -> Option<Arc<Entry>> {
        self.entries.hit(slot);
        let position = self.get(slot)?.decoded.get()?;
        self.hot.hit(position)
    }

    /// The key of `slot` and its hits since they were last taken, if there were any.
    pub(super) fn take_hits(&mut self, slot: u32) -> Option<(String, u16)> {
        let hits = self.entries.take_hits(slot);
        let key = self.get(slot)?.packed.text(Packed::KEY);
        (hits > 0).then(|| (String::from_utf8_lossy(key).into_owned(), hits))
    }

    /// The slot of `priority` that leaves next.
    pub(super) fn next_victim(&mut self, priority: Priority) -> Option<u32> {
        self.entries.next_victim(priority)
    }

    /// Adds an entry under a key that is not held; `false` where all slot numbers are taken.
    pub(super) fn insert(&mut self, slot: EntrySlot, priority: Priority) -> bool {
        let (hash, weight) = (slot.hash, slot.weight());
        let Some(number) = self.entries.push(slot, priority) else {
            return false;
        };
        let entries = &self.entries;
        let hash_of = |slot: &u32| entries.get(*slot).map_or(0, |slot| spread_hash(slot.hash));
        self.table.insert_unique(spread_hash(hash), number, hash_of);
        if let Some(slot) = entries.get(number) {
            self.in_flight.enter_tier(slot.packed.bytes());
            self.keys.insert(key_position(number), entries);
            for at in slot.packed.tags() {
                self.tags.insert(TextPosition { slot: number, at }, entries);
            }
        }
        self.bytes[priority.index()] += weight;
        self.count[priority.index()] += 1;
        true
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<RemovedEntry> {
        let decoded = self.take_decoded(number);
        let slot = self.entries.get(number)?;
        self.keys.remove(key_position(number), &self.entries);
        for at in slot.packed.tags() {
            self.tags
                .remove(TextPosition { slot: number, at }, &self.entries);
        }
        let in_table = self
            .table
            .find_entry(spread_hash(slot.hash), |slot| *slot == number);
        if let Ok(entry) = in_table {
            entry.remove();
        }
        let (slot, priority) = self.entries.remove(number)?;
        self.bytes[priority.index()] -= slot.weight();
        self.count[priority.index()] -= 1;
        self.in_flight.leave_tier(slot.packed.bytes());
        if self.len() == 0 && self.entries.slots() > slots::CHUNK {
            // What was many leaves no empty slots and tables behind.
            self.take();
        }
        Some((slot.packed, decoded))
    }

    /// Makes what `slot` holds stale from `at` on; `None`: a soft purge has done so before. Returns what is to be
    /// dropped as after [`ShardContents::remove`].
    pub(super) fn soften(&mut self, slot: u32, at: SystemTime) -> Option<RemovedEntry> {
        let softened = self.get(slot)?.packed.softened(at)?;
        let decoded = self.take_decoded(slot);
        let held = self.entries.get_mut(slot)?;
        Some((std::mem::replace(&mut held.packed, softened), decoded))
    }

    /// The slots whose key or tag `pattern` matches, among the next `limit` positions of an index.
    pub(super) fn find_matching(
        &self,
        name: IndexName,
        pattern: &Pattern,
        from: Option<IndexCursor>,
        limit: usize,
    ) -> IndexPage {
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

    /// Remembers a hit on the packed entry of `slot`; returns whether it had been hit a short while ago.
    pub(super) fn note_packed_hit(&mut self, slot: u32) -> bool {
        self.hot.note_packed_hit(slot)
    }

    /// Keeps the decoded form of what `slot` holds; it has none yet.
    pub(super) fn keep_decoded(&mut self, slot: u32, entry: Arc<Entry>, weight: u64) {
        let Some(priority) = self.entries.priority(slot) else {
            return;
        };
        let Some(position) = self.hot.insert(slot, entry, weight) else {
            return;
        };
        if let Some(held) = self.entries.get_mut(slot) {
            held.decoded = SlotLink::to(position);
            self.bytes[priority.index()] += weight;
        }
    }

    /// Drops the decoded form whose turn it is to leave; `false` where there is none.
    pub(super) fn drop_one_decoded(&mut self) -> bool {
        let victim = self.hot.next_victim();
        victim.and_then(|slot| self.take_decoded(slot)).is_some()
    }

    /// Removes and returns the decoded form of what `slot` holds.
    fn take_decoded(&mut self, slot: u32) -> Option<Arc<Entry>> {
        let priority = self.entries.priority(slot)?;
        let position = self.entries.get_mut(slot)?.decoded.take()?;
        let TakenHot {
            entry,
            weight,
            moved,
        } = self.hot.remove(position)?;
        if let Some(moved) = moved.and_then(|slot| self.entries.get_mut(slot)) {
            moved.decoded = SlotLink::to(position);
        }
        self.bytes[priority.index()] -= weight;
        Some(entry)
    }
}

impl Drop for ShardContents {
    fn drop(&mut self) {
        let slots = (0..self.slots()).filter_map(|number| self.get(number));
        slots.for_each(|slot| self.in_flight.leave_tier(slot.packed.bytes()));
    }
}

fn key_position(slot: u32) -> TextPosition {
    let at = Packed::KEY;
    TextPosition { slot, at }
}

/// Spreads 32 bits over 64, since the table takes its tags from the highest bits.
fn spread_hash(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
impl ShardContents {
    /// Every index, sum and decoded form agrees with the entries held.
    pub(super) fn check(&self) {
        let slots: Vec<(u32, &EntrySlot)> = (0..self.slots())
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
            if let Some(position) = slot.decoded.get() {
                let (of, entry, weight) = self.hot.at(position);
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
