//! Counting samples, and what a reason says of a request.

use prometheus::proto::Metric;

use super::Traffic;
use super::families::label;
use crate::http_cache::{Outcome, Reason, Source};

/// Sums before they become rates and means.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::admin) struct Tally {
    pub(in crate::admin) requests: u64,
    /// By the place of each in [`Outcome`].
    outcomes: [u64; OUTCOMES],
    hit: Times,
    app: Times,
}

const OUTCOMES: usize = Outcome::Failure as usize + 1;

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    seconds: f64,
    count: u64,
}

impl Tally {
    /// Takes in one sample of `pannier_requests_total`.
    pub(in crate::admin) fn count(&mut self, metric: &Metric) {
        // Exact up to 2^53 requests: the text format itself knows only floats.
        let count = metric.get_counter().get_value() as u64;
        self.requests += count;
        let word = label(metric, "reason");
        let reason = Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == word);
        let outcome = reason.map_or(Outcome::Pass, Reason::outcome);
        self.outcomes[outcome as usize] += count;
    }

    /// Takes in one sample of `pannier_request_duration_seconds`.
    pub(in crate::admin) fn add_times(&mut self, metric: &Metric) {
        let source = label(metric, "source");
        let times = if source == Source::Hit.as_str() {
            &mut self.hit
        } else if source == Source::App.as_str() {
            &mut self.app
        } else {
            return;
        };
        times.seconds += metric.get_histogram().get_sample_sum();
        times.count += metric.get_histogram().get_sample_count();
    }

    pub(in crate::admin) fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        for (count, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *count += more;
        }
        for (times, more) in [(&mut self.hit, other.hit), (&mut self.app, other.app)] {
            times.seconds += more.seconds;
            times.count += more.count;
        }
    }

    pub(in crate::admin) fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    pub(in crate::admin) fn hit_rate(&self) -> Option<f64> {
        let aside = self.of(Outcome::Pass) + self.of(Outcome::Failure);
        let looked_up = self.requests - aside;
        divide(self.of(Outcome::Hit) as f64, looked_up as f64, 4)
    }

    /// What the app takes for an answer.
    pub(in crate::admin) fn mean_app_seconds(&self) -> Option<f64> {
        divide(self.app.seconds, self.app.count as f64, 9)
    }

    pub(in crate::admin) fn saved_seconds(&self) -> Option<f64> {
        Some(self.of(Outcome::Hit) as f64 * self.mean_app_seconds()?)
    }

    pub(in crate::admin) fn summarize(&self) -> Traffic {
        let mean_ms = |times: Times| divide(times.seconds * 1e3, times.count as f64, 3);
        Traffic {
            requests: self.requests,
            hits: self.of(Outcome::Hit),
            stale: self.of(Outcome::Stale),
            revalidated: self.of(Outcome::Revalidated),
            collapsed: self.of(Outcome::Collapsed),
            misses: self.of(Outcome::Miss),
            passes: self.of(Outcome::Pass),
            failures: self.of(Outcome::Failure),
            hit_rate: self.hit_rate(),
            mean_hit_ms: mean_ms(self.hit),
            mean_app_ms: mean_ms(self.app),
            saved_seconds: self.saved_seconds().map(|saved| round(saved, 1)),
        }
    }
}

pub(in crate::admin) fn divide(part: f64, whole: f64, digits: i32) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole, digits))
}

pub(in crate::admin) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
