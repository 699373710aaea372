//! Values under small numbers, which they keep while they stay; in chunks, so that growing moves nothing
//! and leaves no half of a large vector unused.

/// How many slots a chunk has.
pub(super) const CHUNK: usize = 256;

/// A slot's number, or none, in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotLink(u32);

impl SlotLink {
    pub(super) const NONE: SlotLink = SlotLink(u32::MAX);

    /// A link to `slot`, which is below [`u32::MAX`] as all that [`Slots`] gives are.
    pub(super) fn to(slot: u32) -> SlotLink {
        SlotLink(slot)
    }

    pub(super) fn get(self) -> Option<u32> {
        (self != SlotLink::NONE).then_some(self.0)
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        std::mem::replace(self, SlotLink::NONE).get()
    }
}

/// A slab: values under the numbers of their slots.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// All full but the last; free slots count.
    chunks: Vec<Vec<SlotState<T>>>,
    /// The first of the free slots.
    free: SlotLink,
}

#[derive(Debug)]
enum SlotState<T> {
    Occupied(T),
    /// Links to the next free slot.
    Free(SlotLink),
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            chunks: Vec::new(),
            free: SlotLink::NONE,
        }
    }
}

impl<T> Slots<T> {
    /// The memory of one slot.
    pub(super) const SLOT_BYTES: usize = size_of::<SlotState<T>>();

    /// Slots, free ones counted: each number is below.
    pub(super) fn len(&self) -> usize {
        match self.chunks.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * CHUNK + last.len(),
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, at) = chunk_and_offset(number);
        match self.chunks.get(chunk)?.get(at)? {
            SlotState::Occupied(value) => Some(value),
            SlotState::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.slot_mut(number)? {
            SlotState::Occupied(value) => Some(value),
            SlotState::Free(_) => None,
        }
    }

    /// Adds `value` and returns its slot; `None` where all numbers are taken.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        let Some(number) = self.free.get() else {
            return self.append(value);
        };
        let slot = self.slot_mut(number)?;
        if let SlotState::Free(next) = std::mem::replace(slot, SlotState::Occupied(value)) {
            self.free = next;
        }
        Some(number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let free = self.free;
        let slot = self.slot_mut(number)?;
        match std::mem::replace(slot, SlotState::Free(free)) {
            SlotState::Occupied(value) => {
                self.free = SlotLink::to(number);
                Some(value)
            }
            already => {
                *slot = already;
                None
            }
        }
    }

    fn append(&mut self, value: T) -> Option<u32> {
        let number = u32::try_from(self.len()).ok();
        let number = number.filter(|number| *number != u32::MAX)?;
        match self.chunks.last_mut() {
            Some(open) if open.len() < CHUNK => open.push(SlotState::Occupied(value)),
            // Only the first chunk grows, so that a few values take little.
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(SlotState::Occupied(value));
                self.chunks.push(chunk);
            }
            None => self.chunks.push(vec![SlotState::Occupied(value)]),
        }
        Some(number)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut SlotState<T>> {
        let (chunk, at) = chunk_and_offset(number);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }
}

fn chunk_and_offset(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / CHUNK, number % CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_free_ones_are_used_again() {
        let mut slots = Slots::default();
        let count = 3 * CHUNK as u32 + 7;
        for n in 0..count {
            assert_eq!(slots.insert(n), Some(n));
        }
        assert_eq!(slots.len(), count as usize);
        for n in (0..count).step_by(3) {
            assert_eq!(slots.remove(n), Some(n));
            assert_eq!(slots.remove(n), None, "it is gone");
            assert_eq!(slots.get(n), None);
        }
        let mut again: Vec<u32> = (0..count)
            .step_by(3)
            .map(|n| slots.insert(n + 1_000_000).unwrap())
            .collect();
        again.sort_unstable();
        assert!(again.iter().copied().eq((0..count).step_by(3)));
        assert_eq!(slots.len(), count as usize);
        assert_eq!(slots.get(1), Some(&1));
        assert_eq!(slots.insert(0), Some(count));
        assert_eq!(slots.get_mut(count + 1), None);
        assert_eq!(slots.remove(count + 1), None);
    }

    #[test]
    fn a_link_leads_somewhere_or_nowhere() {
        let mut link = SlotLink::to(0);
        assert_eq!(link.get(), Some(0));
        assert_eq!((link.take(), link), (Some(0), SlotLink::NONE));
        assert_eq!(link.take(), None);
    }
}
