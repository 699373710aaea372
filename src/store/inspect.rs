//! Looking into both tiers without counting as a hit or remembering anything, for `explain`.

use std::sync::Arc;
use std::time::SystemTime;

use super::Store;
use crate::config::Coherence;
use crate::entry::Entry;

/// What both tiers hold under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The memory tier.
    pub memory: Holding,
    /// The Redis tier.
    pub redis: Holding,
    /// When they were looked into (fleet time).
    pub now: SystemTime,
}

/// What one tier holds under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    /// There is no such tier.
    Absent,
    /// Memory, for a strict rule: it is not looked into.
    Unused,
    /// Redis is down, slow, or not connected yet.
    Unreachable,
    /// A purge that has not reached Redis yet covers it.
    Purged,
    /// Nothing.
    Nothing,
    /// This.
    Entry(Arc<Entry>),
}

impl Holding {
    /// What is held, if anything is.
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Holding::Entry(entry) => Some(entry),
            _ => None,
        }
    }
}

impl Store {
    /// Looks into both tiers as a request would (bounded by Redis's timeout), changing neither; what
    /// does not decode is removed from Redis all the same.
    pub async fn inspect(&self, key: &str, coherence: Coherence) -> Inspection {
        Inspection {
            redis: self.redis_holds(key).await,
            memory: self.memory_holds(key, coherence),
            now: self.shared.clock.now(),
        }
    }

    fn memory_holds(&self, key: &str, coherence: Coherence) -> Holding {
        if self.shared.memory.usage().max == 0 {
            return Holding::Absent;
        }
        if !self.may_use_memory(coherence) {
            return Holding::Unused;
        }
        let found = self.shared.memory.peek(key, self.shared.clock.now());
        found.map_or(Holding::Nothing, Holding::Entry)
    }

    async fn redis_holds(&self, key: &str) -> Holding {
        let Some(tier) = &self.shared.tier else {
            return Holding::Absent;
        };
        let Some(connection) = self
            .connection
            .as_ref()
            .filter(|connection| connection.session().is_some())
        else {
            return Holding::Unreachable;
        };
        if tier.journal.covers(key, &[]) {
            return Holding::Purged;
        }
        let entry = match connection.get(key).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Holding::Nothing,
            Err(_) => return Holding::Unreachable,
        };
        let mut variants = entry.variants.iter();
        if variants.any(|variant| tier.journal.covers(key, &variant.tags)) {
            return Holding::Purged;
        }
        Holding::Entry(Arc::new(entry))
    }
}
