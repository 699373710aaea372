//! Which entries are hit: counted here and in memory, and told to Redis some at a time, never one write a hit, so that what
//! is worth least leaves it first (`[budget] order = "value"`). While there is room for all, nothing is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fred::types::Value;
use parking_lot::Mutex;

use super::chores::Chore;
use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use super::tier::Tier;

/// From one report to the next, at most: no longer than from one check of the budget to the next.
const EVERY: Duration = Duration::from_secs(10);

/// The keys of one report; hits in memory beyond it are told with the next.
const MAX_KEYS: usize = 8_192;

/// The keys of one call.
const KEYS_PER_CALL: usize = 64;

/// Hits that were not told yet, by key; those in memory are counted there.
#[derive(Debug)]
pub(in crate::store) struct HitCounts(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    in_redis: HashMap<String, u32>,
    tell_at: Instant,
    every: Duration,
}

/// Keys of one shard with their hits, to be told.
#[derive(Debug)]
pub(super) struct HitReport {
    pub(super) shard: usize,
    hits: Vec<(String, u32)>,
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
    fn note(&self, key: &str) {
        let counts = &mut self.0.lock().in_redis;
        if let Some(count) = counts.get_mut(key) {
            *count = count.saturating_add(1);
        } else if counts.len() < MAX_KEYS {
            counts.insert(key.to_owned(), 1);
        }
    }

    /// What Redis has answered for, if a report is due.
    fn take_due(&self, now: Instant) -> Option<HashMap<String, u32>> {
        let mut counted = self.0.lock();
        (counted.tell_at <= now).then(|| {
            counted.tell_at = now + counted.every;
            std::mem::take(&mut counted.in_redis)
        })
    }
}

impl Tier {
    /// Redis has answered for `key`.
    pub(in crate::store) fn note_hit(&self, key: &str) {
        if self.budget.wants_hits() {
            self.hits.note(key);
        }
    }

    /// Has hits told, if it is time.
    pub(super) fn tell_hits_if_due(&self, now: Instant) {
        if !self.budget.wants_hits() {
            return;
        }
        let Some(mut hits) = self.hits.take_due(now) else {
            return;
        };
        for (key, count) in self.memory.take_hits(MAX_KEYS) {
            *hits.entry(key).or_default() += u32::from(count);
        }
        let mut reports: Vec<HitReport> = Vec::new();
        reports.extend((0..self.keys.shards().len()).map(HitReport::of_shard));
        for (key, count) in hits {
            reports[self.keys.shard_number(&key)]
                .hits
                .push((key, count));
        }
        for report in reports.into_iter().filter(|report| !report.hits.is_empty()) {
            self.chores.begin(Chore::TellHits(report));
        }
    }
}

impl HitReport {
    fn of_shard(shard: usize) -> HitReport {
        HitReport {
            shard,
            hits: Vec::new(),
        }
    }

    /// Tells some; returns the rest.
    pub(super) async fn tell_some(
        mut self,
        scope: &CommandScope<'_>,
    ) -> Result<Option<HitReport>, Error> {
        let rest = self.hits.len().saturating_sub(KEYS_PER_CALL);
        let some = self.hits.split_off(rest);
        let prefix = &*scope.tier.keys.shards()[self.shard].prefix;
        let call = || {
            let pairs = some.iter().flat_map(|(key, count)| {
                let key = Value::from(key.as_str());
                [key, count.to_string().into()]
            });
            Call::about_shard(prefix, pairs.collect())
        };
        let told = scope.run_script(None, Script::Hits, self.shard, call);
        told.await?;
        Ok((!self.hits.is_empty()).then_some(self))
    }
}
