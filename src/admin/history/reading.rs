//! The metrics at one moment, and what happened between two.

use std::collections::BTreeMap;
use std::time::Instant;

use prometheus::proto::MetricFamily;

use super::{Counts, Step};
use crate::admin::stats::families::{find_samples, label, sum_counters, sum_gauges};
use crate::admin::stats::tally::{Tally, divide, round};
use crate::http_cache::{Outcome, Reason, Source};
use crate::rollout::Verdict;

/// Sums since the start of the process.
#[derive(Clone, Debug, Default)]
pub(in crate::admin) struct Reading {
    /// Seconds since 1970.
    at: u64,
    /// By a clock that nobody sets; `None`: of nothing yet.
    moment: Option<Instant>,
    total: Tally,
    /// Requests that were refused as malformed, of the failures in `total`.
    malformed: u64,
    redis_evictions: u64,
    memory_evictions: u64,
    stale_found: u64,
    hit: Buckets,
    app: Buckets,
    memory_bytes: u64,
    redis_bytes: u64,
    /// Requests and hits.
    pub(super) by_rule: BTreeMap<String, [u64; 2]>,
}

/// How many observations are at most so many seconds, for each bound; the last is infinite.
#[derive(Clone, Debug, Default, PartialEq)]
struct Buckets(Vec<(f64, u64)>);

impl Reading {
    /// What the families say at `moment`, which is `at` in seconds since 1970.
    pub(in crate::admin) fn take(families: &[MetricFamily], moment: Instant, at: u64) -> Reading {
        let malformed = [("reason", Reason::BadRequest.as_str())];
        let mut reading = Reading {
            at,
            moment: Some(moment),
            malformed: sum_counters(families, "pannier_requests_total", &malformed),
            memory_bytes: sum_gauges(families, "pannier_store_bytes", &[("tier", "memory")]),
            redis_bytes: sum_gauges(families, "pannier_store_bytes", &[("tier", "redis")]),
            ..Reading::default()
        };
        let mut rules = BTreeMap::<&str, Tally>::new();
        for metric in find_samples(families, "pannier_requests_total") {
            rules
                .entry(label(metric, "rule"))
                .or_default()
                .count(metric);
        }
        for (name, tally) in rules {
            reading.total.add(&tally);
            let counts = [tally.requests, tally.of(Outcome::Hit)];
            reading.by_rule.insert(name.to_owned(), counts);
        }
        for metric in find_samples(families, "pannier_request_duration_seconds") {
            let source = label(metric, "source");
            if source == Source::Hit.as_str() {
                reading.hit.add(metric.get_histogram());
            } else if source == Source::App.as_str() {
                reading.app.add(metric.get_histogram());
            }
        }
        let evicted = |tier| {
            let evictions = find_samples(families, "pannier_evictions_total");
            evictions
                .filter(|metric| label(metric, "tier") == tier)
                .map(|metric| metric.get_counter().get_value() as u64)
                .sum()
        };
        reading.redis_evictions = evicted("redis");
        reading.memory_evictions = evicted("memory");
        let stale = [("result", Verdict::Stale.as_str())];
        reading.stale_found = sum_counters(families, "pannier_audit_total", &stale);
        reading
    }

    /// By rule it is of those alone that `is_in_force` knows.
    pub(in crate::admin) fn of_rules(mut self, is_in_force: impl Fn(&str) -> bool) -> Reading {
        self.by_rule.retain(|name, _| is_in_force(name));
        self
    }

    /// What happened since `before`.
    pub(super) fn since(&self, before: &Reading) -> Step {
        let of = |outcome| {
            self.total
                .of(outcome)
                .saturating_sub(before.total.of(outcome))
        };
        let requests = self.total.requests.saturating_sub(before.total.requests);
        let failures = of(Outcome::Failure);
        let malformed = self.malformed.saturating_sub(before.malformed);
        let (hit, app) = (self.hit.since(&before.hit), self.app.since(&before.app));
        let lasted = self.moment.zip(before.moment);
        let lasted = lasted.map(|(now, before)| now.saturating_duration_since(before));
        Step {
            at: self.at,
            seconds: round(lasted.unwrap_or_default().as_secs_f64(), 3),
            counts: Counts {
                requests,
                lookups: requests.saturating_sub(of(Outcome::Pass) + failures),
                hits: of(Outcome::Hit),
                failures: failures.saturating_sub(malformed),
                malformed,
                redis_evictions: self.redis_evictions.saturating_sub(before.redis_evictions),
                memory_evictions: self
                    .memory_evictions
                    .saturating_sub(before.memory_evictions),
                stale_found: self.stale_found.saturating_sub(before.stale_found),
            },
            hit_p50_ms: hit.quantile_ms(0.5),
            hit_p99_ms: hit.quantile_ms(0.99),
            app_p50_ms: app.quantile_ms(0.5),
            app_p99_ms: app.quantile_ms(0.99),
            memory_mb: round(self.memory_bytes as f64 / 1e6, 3),
            redis_mb: round(self.redis_bytes as f64 / 1e6, 3),
        }
    }
}

impl Buckets {
    fn add(&mut self, histogram: &prometheus::proto::Histogram) {
        let mut found: Vec<(f64, u64)> = histogram
            .get_bucket()
            .iter()
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
            .filter(|(bound, _)| bound.is_finite())
            .collect();
        found.push((f64::INFINITY, histogram.get_sample_count()));
        if self.0.is_empty() {
            self.0 = found;
            return;
        }
        // All have the same bounds.
        for ((_, sum), (_, count)) in self.0.iter_mut().zip(found) {
            *sum += count;
        }
    }

    fn since(&self, before: &Buckets) -> Buckets {
        let before = before.0.iter().map(|(_, count)| *count);
        let before = before.chain(std::iter::repeat(0));
        let pairs = self.0.iter().zip(before);
        Buckets(
            pairs
                .map(|((bound, count), before)| (*bound, count.saturating_sub(before)))
                .collect(),
        )
    }

    /// As Prometheus's `histogram_quantile`: within a bucket observations are taken to be spread evenly.
    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let (_, all) = *self.0.last()?;
        let rank = quantile * all as f64;
        let at = self.0.iter().position(|(_, count)| *count as f64 >= rank)?;
        let (bound, count) = self.0[at];
        let (below, so_far) = at.checked_sub(1).map_or((0.0, 0), |before| self.0[before]);
        if bound.is_infinite() {
            return (all > 0).then(|| round(below * 1e3, 3));
        }
        let part = divide(rank - so_far as f64, (count - so_far) as f64, 6)?;
        Some(round((below + (bound - below) * part) * 1e3, 3))
    }
}
