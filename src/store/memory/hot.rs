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
    places: Vec<Place>,
    hand: usize,
    weight: u64,
    /// The slots of the last hits on packed entries, each at its number's remainder.
    asked: [u32; RECENT],
}

#[derive(Debug)]
struct Place {
    entry: Arc<Entry>,
    slot: u32,
    weight: u32,
    hit: bool,
}

/// What came out, and who took its place.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) entry: Arc<Entry>,
    pub(super) weight: u64,
    /// The slot whose entry stands there now.
    pub(super) moved: Option<u32>,
}

impl Default for Hot {
    fn default() -> Self {
        Hot {
            places: Vec::new(),
            hand: 0,
            weight: 0,
            asked: [u32::MAX; RECENT],
        }
    }
}

impl Hot {
    /// The bytes of all decoded entries.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// What `entry` takes here beside its packed form; its place's vector may be half empty.
    pub(super) fn weight_of(entry: &Entry) -> u64 {
        (entry.weight() + size_of::<Place>() * 3 / 2) as u64
    }

    /// Notes a hit on the packed entry of `slot`; whether there was one a short while ago.
    pub(super) fn asked_again(&mut self, slot: u32) -> bool {
        let asked = &mut self.asked[slot as usize % RECENT];
        std::mem::replace(asked, slot) == slot
    }

    /// The entry at `place`, which was hit.
    pub(super) fn hit(&mut self, place: u32) -> Option<Arc<Entry>> {
        let place = self.places.get_mut(place as usize)?;
        place.hit = true;
        Some(place.entry.clone())
    }

    /// Takes in the entry of `slot`; returns its place. `None` where it or the whole is beyond all size.
    pub(super) fn insert(&mut self, slot: u32, entry: Arc<Entry>, weight: u64) -> Option<u32> {
        let place = u32::try_from(self.places.len()).ok()?;
        self.places.push(Place {
            entry,
            slot,
            weight: u32::try_from(weight).ok()?,
            hit: false,
        });
        self.weight += weight;
        Some(place)
    }

    /// Takes out what stands at `place`; the last one moves there.
    pub(super) fn remove(&mut self, place: u32) -> Option<Removed> {
        let at = place as usize;
        if at >= self.places.len() {
            return None;
        }
        let gone = self.places.swap_remove(at);
        self.weight -= u64::from(gone.weight);
        Some(Removed {
            entry: gone.entry,
            weight: u64::from(gone.weight),
            moved: self.places.get(at).map(|place| place.slot),
        })
    }

    /// The slot whose entry is to leave next.
    pub(super) fn victim(&mut self) -> Option<u32> {
        // Twice round: then all flags are cleared.
        for _ in 0..2 * self.places.len() {
            let at = self.hand % self.places.len();
            let place = &mut self.places[at];
            if !std::mem::take(&mut place.hit) {
                return Some(place.slot);
            }
            self.hand = at + 1;
        }
        None
    }
}

#[cfg(test)]
impl Hot {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The slot, the entry and the weight at `place`.
    pub(super) fn at(&self, place: u32) -> (u32, &Arc<Entry>, u64) {
        let place = &self.places[place as usize];
        (place.slot, &place.entry, u64::from(place.weight))
    }
}
