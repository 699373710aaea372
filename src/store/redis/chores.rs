//! What this process is to do in Redis for all, bit by bit (`sweep`).

use fred::types::Value;
use parking_lot::Mutex;

use super::lineage::Generation;
use crate::entry::Priority;

#[derive(Debug, Default)]
pub(super) struct Chores(Mutex<Vec<Chore>>);

#[derive(Debug)]
pub(super) enum Chore {
    /// What is void is to be removed.
    Sweep(Sweep),
    /// Bookkeeping of what has expired is to be removed.
    Tidy,
    /// The account is to be corrected, and the budget to be checked.
    Check,
    /// Entries are to leave.
    Evict(RoomRequest),
    /// Which entries were hit is to be told.
    TellHits(HitReport),
}

/// What is to be made room for, and how far that has come.
#[derive(Clone, Debug)]
pub(super) struct RoomRequest {
    /// The highest priority that may go.
    pub(super) ceiling: Priority,
    /// Bytes that are to fit; 0: none in particular.
    pub(super) need: u64,
    /// Of what is used, so much is to go.
    pub(super) percent: u64,
    /// Bytes at which it ends, as the first step has found it.
    pub(super) goal: Option<String>,
}

/// Keys with their hits, to be told.
#[derive(Debug)]
pub(super) struct HitReport {
    pub(super) hits: Vec<(String, u32)>,
}

/// How far the shard has been swept.
#[derive(Debug)]
pub(super) struct Sweep {
    /// In which it began.
    pub(super) generation: Generation,
    pub(super) cursor: Value,
}

impl Sweep {
    /// From the beginning.
    pub(super) fn new(generation: Generation) -> Sweep {
        Sweep {
            generation,
            cursor: Value::from("0"),
        }
    }
}

impl Chore {
    /// Whether the other does the same.
    fn is_as(&self, other: &Chore) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Chores {
    /// Adds one, in place of one of the kind.
    pub(super) fn begin(&self, chore: Chore) {
        let mut chores = self.0.lock();
        chores.retain(|other| !other.is_as(&chore));
        chores.insert(0, chore);
    }

    /// Taken out, so that two connections do not do the same.
    pub(super) fn take(&self) -> Option<Chore> {
        self.0.lock().pop()
    }
}
