//! What advice judges of the counters: not what they have come to since the start, but what came in the last hour, so that it
//! comes soon after a fault and goes with it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::proto::MetricFamily;

use crate::admin::stats::families::{find_samples, label, sum_counters};
use crate::entry::Priority;
use crate::http_cache::{Outcome, Reason};

/// From one reading that is kept to the next.
const EVERY: Duration = Duration::from_secs(600);

/// Readings that are kept: the oldest of so many is an hour old when the next one comes.
const KEPT: usize = 6;

/// Sums since the start, or since a reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::admin) struct Counted {
    pub(super) rules: BTreeMap<String, RuleCounted>,
    /// Lookups in Redis, and requests for leases, which may be lookups too.
    pub(super) gets: u64,
    /// What they took.
    pub(super) get_seconds: f64,
    /// Commands to Redis that took longer than the timeout.
    pub(super) timeouts: u64,
    /// Entries that left for space, by priority: of Redis.
    pub(super) redis_evictions: [u64; 3],
    /// The same of memory.
    pub(super) memory_evictions: [u64; 3],
    /// Writes that no purge rule names, by method and the shape of their path.
    pub(super) uncovered: BTreeMap<(String, String), u64>,
}

/// Of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RuleCounted {
    pub(super) requests: u64,
    pub(super) hits: u64,
    /// How often each word was the reason for no hit.
    pub(super) words: BTreeMap<&'static str, u64>,
}

/// Readings of the last hour.
#[derive(Debug, Default)]
pub(in crate::admin) struct Past(Mutex<VecDeque<(Instant, Counted)>>);

impl Past {
    /// Keeps what the families say, if the last reading that is kept is old enough.
    pub(in crate::admin) fn note(&self, families: &[MetricFamily], now: Instant) {
        let mut readings = self.0.lock();
        let last = readings.back().map(|(at, _)| *at);
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            return;
        }
        if readings.len() >= KEPT {
            readings.pop_front();
        }
        readings.push_back((now, Counted::read(families)));
    }

    /// What was counted in the last hour, or since the start of a younger process.
    pub(in crate::admin) fn last_hour(&self, families: &[MetricFamily]) -> Counted {
        let now = Counted::read(families);
        let readings = self.0.lock();
        match readings.front() {
            Some((_, before)) if readings.len() >= KEPT => now.since(before),
            _ => now,
        }
    }
}

impl Counted {
    pub(super) fn read(families: &[MetricFamily]) -> Counted {
        let mut counted = Counted {
            timeouts: sum_counters(
                families,
                "pannier_redis_errors_total",
                &[("kind", "timeout")],
            ),
            redis_evictions: read_evictions(families, "redis"),
            memory_evictions: read_evictions(families, "memory"),
            ..Counted::default()
        };
        let value = |metric: &prometheus::proto::Metric| metric.get_counter().get_value() as u64;
        for metric in find_samples(families, "pannier_requests_total") {
            let reason = find_reason(label(metric, "reason"));
            let outcome = reason.map(Reason::outcome);
            let rule = counted.rule(label(metric, "rule"));
            rule.requests += value(metric);
            if outcome == Some(Outcome::Hit) {
                rule.hits += value(metric);
            }
            if outcome == Some(Outcome::Pass) {
                rule.count(reason, value(metric));
            }
        }
        for metric in find_samples(families, "pannier_not_stored_total") {
            let reason = find_reason(label(metric, "reason"));
            let rule = counted.rule(label(metric, "rule"));
            rule.count(reason, value(metric));
        }
        for metric in find_samples(families, "pannier_redis_duration_seconds") {
            if matches!(label(metric, "command"), "get" | "lease") {
                let histogram = metric.get_histogram();
                counted.gets += histogram.get_sample_count();
                counted.get_seconds += histogram.get_sample_sum();
            }
        }
        for metric in find_samples(families, "pannier_uncovered_writes_total") {
            let of = (label(metric, "method"), label(metric, "path"));
            let of = (of.0.to_owned(), of.1.to_owned());
            counted.uncovered.insert(of, value(metric));
        }
        counted
    }

    /// What has come since `before`.
    fn since(mut self, before: &Counted) -> Counted {
        for (name, rule) in &mut self.rules {
            if let Some(before) = before.rules.get(name) {
                rule.subtract(before);
            }
        }
        for (of, count) in &mut self.uncovered {
            subtract(count, before.uncovered.get(of).copied());
        }
        subtract(&mut self.gets, Some(before.gets));
        self.get_seconds = (self.get_seconds - before.get_seconds).max(0.0);
        subtract(&mut self.timeouts, Some(before.timeouts));
        for priority in 0..3 {
            let (redis, memory) = (before.redis_evictions, before.memory_evictions);
            subtract(&mut self.redis_evictions[priority], Some(redis[priority]));
            subtract(&mut self.memory_evictions[priority], Some(memory[priority]));
        }
        self
    }

    fn rule(&mut self, name: &str) -> &mut RuleCounted {
        if !self.rules.contains_key(name) {
            self.rules.insert(name.to_owned(), RuleCounted::default());
        }
        self.rules.get_mut(name).expect("it was just put there")
    }
}

impl RuleCounted {
    /// The most frequent reason for no hit.
    pub(super) fn foremost(&self) -> Option<(&'static str, u64)> {
        let most = self.words.iter().max_by_key(|(_, count)| **count)?;
        (*most.1 > 0).then_some((*most.0, *most.1))
    }

    fn count(&mut self, reason: Option<Reason>, count: u64) {
        if let Some(reason) = reason {
            *self.words.entry(reason.as_str()).or_default() += count;
        }
    }

    fn subtract(&mut self, before: &RuleCounted) {
        subtract(&mut self.requests, Some(before.requests));
        subtract(&mut self.hits, Some(before.hits));
        for (word, count) in &mut self.words {
            subtract(count, before.words.get(word).copied());
        }
    }
}

fn subtract(count: &mut u64, before: Option<u64>) {
    *count = count.saturating_sub(before.unwrap_or_default());
}

fn read_evictions(families: &[MetricFamily], tier: &str) -> [u64; 3] {
    Priority::ALL.map(|priority| {
        let labels = [("tier", tier), ("priority", priority.as_str())];
        sum_counters(families, "pannier_evictions_total", &labels)
    })
}

fn find_reason(word: &str) -> Option<Reason> {
    let mut reasons = Reason::ALL.into_iter();
    reasons.find(|reason| reason.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::metrics::Metrics;

    /// Ten minutes go by; what counts then.
    #[test]
    fn what_was_more_than_an_hour_ago_does_not_count() {
        let (metrics, past, start) = (Metrics::new(), Past::default(), clock::monotonic());
        let rule = metrics.rule("users", Priority::Medium);
        let evictions = metrics.evictions.with_label_values(&["redis", "high"]);
        let mut seen = Vec::new();
        for minute in 0..90u64 {
            if minute < 5 {
                evictions.inc();
                rule.answered(Reason::Hit, Duration::ZERO);
                rule.answered(Reason::UnkeyedQuery, Duration::ZERO);
                metrics.uncovered_writes.note("PUT", "/a");
            }
            let families = metrics.registry.gather();
            past.note(&families, start + Duration::from_secs(60 * minute));
            let hour = past.last_hour(&families);
            let users = &hour.rules["users"];
            let put = ("PUT".to_owned(), "/a".to_owned());
            let counts = [
                hour.redis_evictions[Priority::High.index()],
                users.hits,
                users.words["unkeyed-query"],
                hour.uncovered[&put],
            ];
            assert_eq!(counts, [counts[0]; 4], "minute {minute}");
            seen.push(counts[0]);
        }
        assert_eq!(seen[..6], [1, 2, 3, 4, 5, 5]);
        assert!(seen[5..50].iter().all(|count| *count == 5), "{seen:?}");
        assert!(seen[60..].iter().all(|count| *count == 0), "{seen:?}");
    }
}
