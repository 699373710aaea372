//! The last hour in steps: for the page's charts, and for what is counted by the hour.
//!
//! A step is as long as it was measured to be, some ten seconds. It keeps figures and no buckets, so an hour takes some
//! 45 KB, and a rule's another half (promise I7).

mod reading;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::stats::tally::divide;

pub(super) use reading::Reading;

/// From one step to the next.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// When the step that was due at `due` has ended at `now`, the next one is due. Each is as long as all are on average, whatever
/// is late; only what was missed whole is left out.
pub(super) fn next_due(due: Instant, now: Instant) -> Instant {
    let next = due + STEP;
    match now < next {
        true => next,
        false => now + STEP,
    }
}

/// An hour of them.
const STEPS: usize = 360;

/// Steps of what is kept by rule: a minute.
const STEPS_PER_MINUTE: usize = 6;
const MINUTES: usize = STEPS / STEPS_PER_MINUTE;

/// Rules that are followed; the page says which.
const MAX_RULES: usize = 100;

/// What happened in the last hour.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: Option<Reading>,
    /// The reading of the last whole minute, by rule.
    minute: BTreeMap<String, [u64; 2]>,
    taken: usize,
    steps: VecDeque<Step>,
    rules: BTreeMap<String, VecDeque<[u32; 2]>>,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Step {
    /// When it ended, in seconds since 1970.
    pub(super) at: u64,
    /// For how long it lasted.
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Milliseconds to the head of a hit, by the histogram; null without one.
    pub(super) hit_p50_ms: Option<f64>,
    /// The same of the slowest in a hundred.
    pub(super) hit_p99_ms: Option<f64>,
    /// Milliseconds to the head of an answer of the app.
    pub(super) app_p50_ms: Option<f64>,
    /// The same of the slowest in a hundred.
    pub(super) app_p99_ms: Option<f64>,
    /// Millions of bytes in memory at its end.
    pub(super) memory_mb: f64,
    /// The same in Redis.
    pub(super) redis_mb: f64,
}

/// What is counted in a step, or over some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Requests of any kind.
    pub(super) requests: u64,
    /// Those that looked into the store.
    pub(super) lookups: u64,
    /// Those answered fresh from it.
    pub(super) hits: u64,
    /// Those that the app did not answer properly.
    pub(super) failures: u64,
    /// Those that were refused as malformed, whoever sends them: they say nothing of the sidecar or the app.
    pub(super) malformed: u64,
    /// Entries that left Redis for space.
    pub(super) redis_evictions: u64,
    /// The same of memory.
    pub(super) memory_evictions: u64,
    /// Stale answers that audits found.
    pub(super) stale_found: u64,
}

/// As the page reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Shown {
    /// Seconds from one step to the next.
    every: u64,
    /// The oldest first.
    steps: Vec<Step>,
    /// Requests and hits by rule and minute, the oldest first.
    rules: BTreeMap<String, Vec<[u32; 2]>>,
}

impl History {
    /// Takes in what was counted until now, if the last step is over; returns the step that has ended with it.
    pub(super) fn note(&self, now: Reading) -> Option<Step> {
        let mut ring = self.0.lock();
        let ring = &mut *ring;
        let step = ring.last.as_ref().map(|before| now.since(before));
        if let Some(step) = step {
            push(&mut ring.steps, step, STEPS);
            ring.taken += 1;
            if ring.taken.is_multiple_of(STEPS_PER_MINUTE) {
                ring.note_minute(&now);
            }
        } else {
            ring.minute = now.by_rule.clone();
        }
        ring.last = Some(now);
        step
    }

    /// What happened in the last steps, as many as are within `time` by more than half.
    pub(super) fn sum_of_last(&self, time: Duration) -> Counts {
        let ring = self.0.lock();
        let (mut sums, mut before) = (Counts::default(), 0.0);
        for step in ring.steps.iter().rev() {
            if before + step.seconds / 2.0 > time.as_secs_f64() {
                break;
            }
            before += step.seconds;
            sums.add(step.counts);
        }
        sums
    }

    /// Requests a second in the last step.
    pub(super) fn last_rate(&self) -> f64 {
        let ring = self.0.lock();
        let last = ring.steps.back();
        let rate = last.and_then(|step| divide(step.counts.requests as f64, step.seconds, 1));
        rate.unwrap_or_default()
    }

    /// All of it.
    pub(super) fn show(&self) -> Shown {
        let ring = self.0.lock();
        let rules = ring.rules.iter();
        Shown {
            every: STEP.as_secs(),
            steps: ring.steps.iter().copied().collect(),
            rules: rules
                .map(|(name, minutes)| (name.clone(), minutes.iter().copied().collect()))
                .collect(),
        }
    }
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.requests += more.requests;
        self.lookups += more.lookups;
        self.hits += more.hits;
        self.failures += more.failures;
        self.malformed += more.malformed;
        self.redis_evictions += more.redis_evictions;
        self.memory_evictions += more.memory_evictions;
        self.stale_found += more.stale_found;
    }
}

impl Ring {
    fn note_minute(&mut self, now: &Reading) {
        // Rules that are no more leave their places to others.
        self.rules.retain(|name, _| now.by_rule.contains_key(name));
        for (name, counts) in &now.by_rule {
            let is_idle = *counts == [0, 0] || self.rules.len() >= MAX_RULES;
            if is_idle && !self.rules.contains_key(name) {
                continue;
            }
            let before = self.minute.get(name).copied().unwrap_or_default();
            let since = |at: usize| {
                u32::try_from(counts[at].saturating_sub(before[at])).unwrap_or(u32::MAX)
            };
            let minutes = self.rules.entry(name.clone()).or_default();
            push(minutes, [since(0), since(1)], MINUTES);
        }
        self.minute = now.by_rule.clone();
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests;
