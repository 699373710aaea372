//! Hits that Redis was not told of yet (`hits`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// From one report to the next, at most: no longer than from one check of the budget to the next.
const EVERY: Duration = Duration::from_secs(10);

/// The keys of one report; hits in memory beyond it are told with the next.
pub(super) const MAX_KEYS: usize = 8_192;

/// Hits that were not told yet, by key; those in memory are counted there.
#[derive(Debug)]
pub(in crate::store) struct HitCounts(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    in_redis: HashMap<String, u32>,
    tell_at: Instant,
    every: Duration,
}

impl HitCounts {
    pub(super) fn new(check_every: Duration, now: Instant) -> HitCounts {
        let every = check_every.min(EVERY);
        HitCounts(Mutex::new(Counted {
            in_redis: HashMap::new(),
            tell_at: now + every,
            every,
        }))
    }

    /// Redis has answered for `key`. Past the bound further keys are not counted.
    pub(super) fn note(&self, key: &str) {
        let counts = &mut self.0.lock().in_redis;
        if let Some(count) = counts.get_mut(key) {
            *count = count.saturating_add(1);
        } else if counts.len() < MAX_KEYS {
            counts.insert(key.to_owned(), 1);
        }
    }

    /// What Redis has answered for, if a report is due.
    pub(super) fn take_due(&self, now: Instant) -> Option<HashMap<String, u32>> {
        let mut counted = self.0.lock();
        (counted.tell_at <= now).then(|| {
            counted.tell_at = now + counted.every;
            std::mem::take(&mut counted.in_redis)
        })
    }
}
