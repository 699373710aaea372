//! The order in which entries leave: SIEVE (Zhang et al., NSDI '24), one queue a priority.
//!
//! A hit sets a flag and moves nothing. The hand of a queue goes from its oldest towards its newest
//! slot, clears the flag of those that were hit and takes the first that was not.

use super::slots::{SlotLink, Slots};
use crate::entry::Priority;

/// The most flags one search clears, so that it ends soon even where everything was hit.
const MAX_LOOKS: usize = 64;

/// Values in slots that keep their number while they stay, linked by priority and age.
#[derive(Debug)]
pub(super) struct Sieve<T> {
    slots: Slots<Node<T>>,
    queues: [Queue; 3],
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    newer: SlotLink,
    older: SlotLink,
    priority: Priority,
    hit: bool,
    /// Hits that were not taken yet ([`Sieve::take_hits`]).
    hits: u16,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    newest: SlotLink,
    oldest: SlotLink,
    hand: SlotLink,
}

impl<T> Default for Sieve<T> {
    fn default() -> Self {
        let empty = Queue {
            newest: SlotLink::NONE,
            oldest: SlotLink::NONE,
            hand: SlotLink::NONE,
        };
        Sieve {
            slots: Slots::default(),
            queues: [empty; 3],
        }
    }
}

impl<T> Sieve<T> {
    /// The memory that a value takes with its links.
    pub(super) const SLOT_BYTES: usize = Slots::<Node<T>>::SLOT_BYTES;

    /// Slots, free ones counted: each number is below.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot).map(|node| &node.value)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot).map(|node| &mut node.value)
    }

    pub(super) fn priority(&self, slot: u32) -> Option<Priority> {
        self.slots.get(slot).map(|node| node.priority)
    }

    /// Gives the value of `slot` a second chance.
    pub(super) fn hit(&mut self, slot: u32) {
        if let Some(node) = self.slots.get_mut(slot) {
            node.hit = true;
            node.hits = node.hits.saturating_add(1);
        }
    }

    /// The hits on `slot` since they were last taken.
    pub(super) fn take_hits(&mut self, slot: u32) -> u16 {
        let node = self.slots.get_mut(slot);
        node.map_or(0, |node| std::mem::take(&mut node.hits))
    }

    /// Takes in `value` as the newest of its priority; `None` where all numbers are taken.
    pub(super) fn push(&mut self, value: T, priority: Priority) -> Option<u32> {
        let older = self.queues[priority.index()].newest;
        let slot = self.slots.insert(Node {
            value,
            newer: SlotLink::NONE,
            older,
            priority,
            hit: false,
            hits: 0,
        })?;
        match older.get().and_then(|older| self.slots.get_mut(older)) {
            Some(older) => older.newer = SlotLink::to(slot),
            None => self.queues[priority.index()].oldest = SlotLink::to(slot),
        }
        self.queues[priority.index()].newest = SlotLink::to(slot);
        Some(slot)
    }

    /// Takes out the value of `slot`, and tells its priority.
    pub(super) fn remove(&mut self, slot: u32) -> Option<(T, Priority)> {
        let node = self.slots.remove(slot)?;
        let queue = &mut self.queues[node.priority.index()];
        let gone = SlotLink::to(slot);
        if queue.hand == gone {
            queue.hand = node.newer;
        }
        if queue.newest == gone {
            queue.newest = node.older;
        }
        if queue.oldest == gone {
            queue.oldest = node.newer;
        }
        if let Some(newer) = node.newer.get().and_then(|slot| self.slots.get_mut(slot)) {
            newer.older = node.older;
        }
        if let Some(older) = node.older.get().and_then(|slot| self.slots.get_mut(slot)) {
            older.newer = node.newer;
        }
        Some((node.value, node.priority))
    }

    /// The slot of `priority` that leaves next.
    pub(super) fn next_victim(&mut self, priority: Priority) -> Option<u32> {
        let Queue { oldest, hand, .. } = self.queues[priority.index()];
        let mut slot = hand.get().or(oldest.get())?;
        for _ in 0..MAX_LOOKS {
            let node = self.slots.get_mut(slot)?;
            if !node.hit {
                break;
            }
            node.hit = false;
            slot = node.newer.get().or(oldest.get())?;
        }
        self.queues[priority.index()].hand = SlotLink::to(slot);
        Some(slot)
    }
}
