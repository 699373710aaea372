//! The order in which entries leave: SIEVE (Zhang et al., NSDI '24), one queue a priority.
//!
//! A hit sets a flag and moves nothing. The hand of a queue goes from its oldest towards its newest
//! slot, clears the flag of those that were hit and takes the first that was not.

use crate::entry::Priority;

/// The most flags one search clears, so that it ends soon even where everything was hit.
const MAX_LOOKS: usize = 64;

/// Values in slots that keep their number while they stay, linked by priority and age.
#[derive(Debug)]
pub(super) struct Sieve<T> {
    slots: Vec<Option<Node<T>>>,
    free: Vec<usize>,
    queues: [Queue; 3],
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    priority: Priority,
    hit: bool,
    newer: Option<usize>,
    older: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    newest: Option<usize>,
    oldest: Option<usize>,
    hand: Option<usize>,
}

impl<T> Default for Sieve<T> {
    fn default() -> Self {
        Sieve {
            slots: Vec::new(),
            free: Vec::new(),
            queues: [Queue::default(); 3],
        }
    }
}

impl<T> Sieve<T> {
    /// The memory that a value takes with its links; its vector may be half empty.
    pub(super) const SLOT_BYTES: usize =
        size_of::<Option<Node<T>>>() * 3 / 2 + size_of::<usize>() / 2;

    /// Slots, free ones counted: each number is below.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.node(slot).map(|node| &node.value)
    }

    /// Gives the value of `slot` a second chance.
    pub(super) fn hit(&mut self, slot: usize) {
        if let Some(node) = self.node_mut(slot) {
            node.hit = true;
        }
    }

    /// The number that the next [`Sieve::push`] returns.
    pub(super) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Takes in `value` as the newest of its priority.
    pub(super) fn push(&mut self, value: T, priority: Priority) -> usize {
        let slot = self.next_slot();
        let older = self.queues[priority.index()].newest.replace(slot);
        let node = Some(Node {
            value,
            priority,
            hit: false,
            newer: None,
            older,
        });
        match self.free.pop() {
            Some(_) => self.slots[slot] = node,
            None => self.slots.push(node),
        }
        match older.and_then(|older| self.node_mut(older)) {
            Some(older) => older.newer = Some(slot),
            None => self.queues[priority.index()].oldest = Some(slot),
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let node = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        let queue = &mut self.queues[node.priority.index()];
        if queue.hand == Some(slot) {
            queue.hand = node.newer;
        }
        if queue.newest == Some(slot) {
            queue.newest = node.older;
        }
        if queue.oldest == Some(slot) {
            queue.oldest = node.newer;
        }
        if let Some(newer) = node.newer.and_then(|slot| self.node_mut(slot)) {
            newer.older = node.older;
        }
        if let Some(older) = node.older.and_then(|slot| self.node_mut(slot)) {
            older.newer = node.newer;
        }
        Some(node.value)
    }

    /// The slot of `priority` that leaves next.
    pub(super) fn victim(&mut self, priority: Priority) -> Option<usize> {
        let Queue { oldest, hand, .. } = self.queues[priority.index()];
        let mut slot = hand.or(oldest)?;
        for _ in 0..MAX_LOOKS {
            let node = self.node_mut(slot)?;
            if !node.hit {
                break;
            }
            node.hit = false;
            slot = node.newer.or(oldest)?;
        }
        self.queues[priority.index()].hand = Some(slot);
        Some(slot)
    }

    fn node(&self, slot: usize) -> Option<&Node<T>> {
        self.slots.get(slot)?.as_ref()
    }

    fn node_mut(&mut self, slot: usize) -> Option<&mut Node<T>> {
        self.slots.get_mut(slot)?.as_mut()
    }
}
