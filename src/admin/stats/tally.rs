//! Counting samples, and what a reason says of a request.

use prometheus::proto::Metric;

use super::Traffic;
use super::families::label;
use crate::http_cache::Reason;

/// Sums before they become rates and means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    passes: u64,
    failures: u64,
    cache: Times,
    app: Times,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    seconds: f64,
    count: u64,
}

impl Tally {
    /// Takes in one sample of `pannier_requests_total`.
    pub(super) fn count(&mut self, metric: &Metric) {
        // Exact up to 2^53 requests: the text format itself knows only floats.
        let count = metric.get_counter().get_value() as u64;
        self.requests += count;
        match classify(label(metric, "reason")) {
            Outcome::Hit => self.hits += count,
            Outcome::Miss => self.misses += count,
            Outcome::Pass => self.passes += count,
            Outcome::Failure => self.failures += count,
        }
    }

    /// Takes in one sample of `pannier_request_duration_seconds`.
    pub(super) fn add_times(&mut self, metric: &Metric) {
        let times = match label(metric, "source") {
            "cache" => &mut self.cache,
            _ => &mut self.app,
        };
        times.seconds += metric.get_histogram().get_sample_sum();
        times.count += metric.get_histogram().get_sample_count();
    }

    pub(super) fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.misses += other.misses;
        self.passes += other.passes;
        self.failures += other.failures;
        for (times, more) in [(&mut self.cache, other.cache), (&mut self.app, other.app)] {
            times.seconds += more.seconds;
            times.count += more.count;
        }
    }

    pub(super) fn hit_rate(&self) -> Option<f64> {
        divide(self.hits as f64, (self.hits + self.misses) as f64, 4)
    }

    pub(super) fn summarize(&self) -> Traffic {
        let mean_ms = |times: Times| divide(times.seconds * 1e3, times.count as f64, 3);
        Traffic {
            requests: self.requests,
            hits: self.hits,
            misses: self.misses,
            passes: self.passes,
            failures: self.failures,
            hit_rate: self.hit_rate(),
            mean_cache_ms: mean_ms(self.cache),
            mean_app_ms: mean_ms(self.app),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Hit,
    Miss,
    Pass,
    Failure,
}

const HITS: [Reason; 6] = [
    Reason::Hit,
    Reason::StaleWhileRevalidate,
    Reason::StaleIfError,
    Reason::MaxStale,
    Reason::Revalidated,
    Reason::Collapsed,
];

const MISSES: [Reason; 6] = [
    Reason::Miss,
    Reason::VaryMiss,
    Reason::Stale,
    Reason::NoCache,
    Reason::RequestDirective,
    Reason::OnlyIfCached,
];

const FAILURES: [Reason; 4] = [
    Reason::UpstreamError,
    Reason::UpstreamTimeout,
    Reason::BadRequest,
    Reason::CoalesceTimeout,
];

/// What a reason's word says of a request.
fn classify(word: &str) -> Outcome {
    let among = |reasons: &[Reason]| reasons.iter().any(|reason| reason.as_str() == word);
    if among(&HITS) {
        Outcome::Hit
    } else if among(&MISSES) {
        Outcome::Miss
    } else if among(&FAILURES) {
        Outcome::Failure
    } else {
        Outcome::Pass
    }
}

pub(super) fn divide(part: f64, whole: f64, digits: i32) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole, digits))
}

pub(super) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hits_are_those_of_reason() {
        assert!(HITS.iter().all(|reason| reason.from_store()));
        let others = MISSES.iter().chain(&FAILURES);
        assert!(others.into_iter().all(|reason| !reason.from_store()));
        assert_eq!(classify(Reason::Hit.as_str()), Outcome::Hit);
        assert_eq!(classify(Reason::NoRule.as_str()), Outcome::Pass);
        assert_eq!(classify(Reason::BadRequest.as_str()), Outcome::Failure);
    }
}
