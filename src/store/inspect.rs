//! Looking into both tiers without counting as a hit or remembering anything, for `explain`.

use std::sync::Arc;
use std::time::SystemTime;

use super::memory::Memory;
use super::redis::{AttachedTier, Masked, Tier};
use crate::config::Outage;
use crate::entry::Entry;
use crate::routes::PurgeKind;

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
    /// Memory has not heard of Redis for longer than `[redis] staleness`, and Redis has answered: what it holds is left
    /// alone.
    Unheard,
    /// The same where Redis does not answer: the app may confirm this.
    Unconfirmed(Arc<Entry>),
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
    /// What is held and may be served, if anything is.
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Holding::Entry(entry) => Some(entry),
            _ => None,
        }
    }
}

/// What memory holds under `key`; `usable`: whether the rule lets memory answer.
pub(super) fn look_in_memory(memory: &Memory, usable: bool, key: &str, now: SystemTime) -> Holding {
    if memory.usage().max == 0 {
        return Holding::Absent;
    }
    if !usable {
        return Holding::Unused;
    }
    let found = memory.peek(key, now);
    found.map_or(Holding::Nothing, Holding::Entry)
}

/// What is left of what memory holds, where Redis has answered a lookup with `redis`: all of it, if it has heard of
/// Redis lately.
pub(super) fn leave_what_is_trusted(
    tier: &Tier,
    memory: Holding,
    redis: &Holding,
    outage: Option<Outage>,
    now: SystemTime,
) -> Holding {
    match memory {
        Holding::Entry(_) if tier.trusts_memory() => memory,
        Holding::Entry(_) if *redis != Holding::Unreachable => Holding::Unheard,
        Holding::Entry(entry) => tier
            .for_outage(Arc::clone(&entry), outage, now)
            .map_or(Holding::Unconfirmed(entry), Holding::Entry),
        _ => memory,
    }
}

/// What Redis would answer a lookup of `key` with; `redis` is absent before the store is attached.
pub(super) async fn look_in_redis(tier: &Tier, redis: Option<&AttachedTier>, key: &str) -> Holding {
    let Some(redis) = redis.filter(|redis| redis.session().is_some()) else {
        return Holding::Unreachable;
    };
    if tier.journal.covering(key, &[]) == Some(PurgeKind::Hard) {
        return Holding::Purged;
    }
    let entry = match redis.get(key).await {
        Ok(Some(entry)) => entry,
        Ok(None) => return Holding::Nothing,
        Err(_) => return Holding::Unreachable,
    };
    match tier.journal.mask(key, Arc::new(entry), tier.now()) {
        Masked::Untouched(entry) | Masked::Stale(entry) => Holding::Entry(entry),
        Masked::Hidden => Holding::Purged,
    }
}
