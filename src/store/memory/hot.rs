//! The entries that are hit again and again, decoded: a hit on one costs a clone of an `Arc`.
//!
//! An entry comes in at its second hit within a short while, so that hits spread over very many entries
//! displace nothing. Who leaves is found by a clock hand: the first that was not hit since it last passed.

use std::sync::Arc;

use crate::entry::Entry;

/// How many hits on packed entries are remembered.
const RECENT: usize = 256;

/// The decoded entries of a shard, and who may become one.
#[derive(Debug)]
pub(super) struct Hot {
    entries: Vec<HotEntry>,
    hand: usize,
    weight: u64,
    /// The slots of the last hits on packed entries, each at its number's remainder.
    recent: [u32; RECENT],
}

#[derive(Debug)]
struct HotEntry {
    entry: Arc<Entry>,
    slot: u32,
    weight: u32,
    hit: bool,
}

/// An entry that was removed, and whose entry stands in its place now.
#[derive(Debug)]
pub(super) struct TakenHot {
    pub(super) entry: Arc<Entry>,
    pub(super) weight: u64,
    /// The slot whose entry stands there now.
    pub(super) moved: Option<u32>,
}

impl Default for Hot {
    fn default() -> Self {
        Hot {
            entries: Vec::new(),
            hand: 0,
            weight: 0,
            recent: [u32::MAX; RECENT],
        }
    }
}

impl Hot {
    /// The bytes of all decoded entries.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The bytes that `entry` takes here beside its packed form; the vector it stands in may be half empty.
    pub(super) fn weight_of(entry: &Entry) -> u64 {
        (entry.weight() + size_of::<HotEntry>() * 3 / 2) as u64
    }

    /// Remembers a hit on the packed entry of `slot`; returns whether another one is remembered already,
    /// which makes its decoded form worth keeping.
    pub(super) fn note_packed_hit(&mut self, slot: u32) -> bool {
        let last = &mut self.recent[slot as usize % RECENT];
        std::mem::replace(last, slot) == slot
    }

    /// The entry at `position`; it is marked as hit.
    pub(super) fn hit(&mut self, position: u32) -> Option<Arc<Entry>> {
        let hot = self.entries.get_mut(position as usize)?;
        hot.hit = true;
        Some(hot.entry.clone())
    }

    /// Adds the entry of `slot`; returns its position. `None` where a number is past 32 bits.
    pub(super) fn insert(&mut self, slot: u32, entry: Arc<Entry>, weight: u64) -> Option<u32> {
        let position = u32::try_from(self.entries.len()).ok()?;
        self.entries.push(HotEntry {
            entry,
            slot,
            weight: u32::try_from(weight).ok()?,
            hit: false,
        });
        self.weight += weight;
        Some(position)
    }

    /// Removes the entry at `position`; the last one moves there.
    pub(super) fn remove(&mut self, position: u32) -> Option<TakenHot> {
        let at = position as usize;
        if at >= self.entries.len() {
            return None;
        }
        let gone = self.entries.swap_remove(at);
        self.weight -= u64::from(gone.weight);
        Some(TakenHot {
            entry: gone.entry,
            weight: u64::from(gone.weight),
            moved: self.entries.get(at).map(|last| last.slot),
        })
    }

    /// The slot whose entry is to leave next.
    pub(super) fn next_victim(&mut self) -> Option<u32> {
        // Twice round: then all flags are cleared.
        for _ in 0..2 * self.entries.len() {
            let at = self.hand % self.entries.len();
            let hot = &mut self.entries[at];
            if !std::mem::take(&mut hot.hit) {
                return Some(hot.slot);
            }
            self.hand = at + 1;
        }
        None
    }
}

#[cfg(test)]
impl Hot {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The slot, the entry and the weight at `position`.
    pub(super) fn at(&self, position: u32) -> (u32, &Arc<Entry>, u64) {
        let hot = &self.entries[position as usize];
        (hot.slot, &hot.entry, u64::from(hot.weight))
    }
}
