//! Metrics that others come to: what hits have saved, and what each rule holds.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::IntGaugeVec;
use prometheus::proto::MetricFamily;

use super::refresh::Fetcher;
use super::stats::sum_by_rule;
use crate::http_cache::Outcome;
use crate::metrics::Metrics;
use crate::observe::Report;

/// What was counted of each rule.
#[derive(Debug, Default)]
pub(super) struct Derived(Mutex<BTreeMap<String, Counted>>);

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    hits: u64,
    misses: u64,
    /// Hits whose saving is counted.
    saved: u64,
}

/// Who is told of what is counted, and tells what each rule holds.
pub(super) trait Observer {
    /// So many requests more of a rule were answered from the store, and by the app.
    fn note_requests(&self, rule: &str, hits: u64, misses: u64);
    /// What fills have shown.
    fn report(&self) -> Report;
}

impl Observer for Fetcher {
    fn note_requests(&self, rule: &str, hits: u64, misses: u64) {
        Fetcher::note_requests(self, rule, hits, misses);
    }

    fn report(&self) -> Report {
        Fetcher::report(self)
    }
}

impl Derived {
    /// Brings them up to date with what the families say, and what fills have shown; has the requests since the last time
    /// noted.
    pub(super) fn update(
        &self,
        metrics: &Metrics,
        families: &[MetricFamily],
        observer: &impl Observer,
    ) {
        let mut all = self.0.lock();
        for (rule, tally) in sum_by_rule(families) {
            let counted = all.entry(rule.clone()).or_default();
            let (hits, misses) = (tally.of(Outcome::Hit), tally.of(Outcome::Miss));
            let more = |now: u64, before: u64| now.saturating_sub(before);
            let (more_hits, more_misses) = (more(hits, counted.hits), more(misses, counted.misses));
            observer.note_requests(&rule, more_hits, more_misses);
            (counted.hits, counted.misses) = (hits, misses);
            // Where the app was not asked yet, they are counted when it was.
            if let Some(mean) = tally.mean_app_seconds() {
                let saved = more(hits, counted.saved) as f64 * mean;
                metrics
                    .saved_seconds
                    .with_label_values(&[&rule])
                    .inc_by(saved);
                counted.saved = hits;
            }
        }
        // Rules that are no more are not told.
        metrics.rule_bytes.reset();
        metrics.rule_entries.reset();
        for (rule, seen) in &observer.report().rules {
            let gauge = |gauges: &IntGaugeVec, value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauges.with_label_values(&[rule]).set(value);
            };
            gauge(&metrics.rule_bytes, seen.held_bytes);
            gauge(&metrics.rule_entries, seen.held);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;
    use crate::entry::Priority;
    use crate::http_cache::Reason;
    use crate::observe::RuleReport;

    #[derive(Default)]
    struct Seen {
        held: RuleReport,
        noted: Cell<[u64; 2]>,
    }

    impl Seen {
        fn holding(held_bytes: u64, held: u64) -> Seen {
            let held = RuleReport {
                held_bytes,
                held,
                ..RuleReport::default()
            };
            Seen {
                held,
                ..Seen::default()
            }
        }
    }

    impl Observer for Seen {
        fn note_requests(&self, _rule: &str, hits: u64, misses: u64) {
            let [before_hits, before_misses] = self.noted.get();
            self.noted.set([before_hits + hits, before_misses + misses]);
        }

        fn report(&self) -> Report {
            Report {
                rules: BTreeMap::from([("users".to_owned(), self.held.clone())]),
                ..Report::default()
            }
        }
    }

    #[test]
    fn requests_are_noted_once() {
        let (metrics, derived, seen) = (Metrics::new(), Derived::default(), Seen::default());
        let rule = metrics.rule("users", Priority::Medium);
        for expected in [[1, 2], [2, 4]] {
            rule.answered(Reason::Hit, Duration::ZERO);
            (0..2).for_each(|_| rule.answered(Reason::Miss, Duration::ZERO));
            for _ in 0..2 {
                derived.update(&metrics, &metrics.registry.gather(), &seen);
            }
            assert_eq!(seen.noted.get(), expected);
        }
    }

    #[test]
    fn savings_only_grow_and_what_is_held_is_as_it_is() {
        let (metrics, derived) = (Metrics::new(), Derived::default());
        let rule = metrics.rule("users", Priority::Medium);
        let update = |seen: &Seen| derived.update(&metrics, &metrics.registry.gather(), seen);
        let saved = || metrics.saved_seconds.with_label_values(&["users"]).get();

        (0..3).for_each(|_| rule.answered(Reason::Hit, Duration::from_micros(50)));
        update(&Seen::holding(100, 1));
        assert_eq!(saved(), 0.0, "nobody knows what the app takes");
        rule.answered(Reason::Miss, Duration::from_secs(2));
        update(&Seen::holding(300, 2));
        assert_eq!(saved(), 6.0);
        // The app has become quicker: what was saved stays so.
        rule.answered(Reason::Miss, Duration::ZERO);
        update(&Seen::holding(300, 2));
        assert_eq!(saved(), 6.0);
        rule.answered(Reason::Hit, Duration::ZERO);
        update(&Seen::holding(200, 1));
        assert_eq!(saved(), 7.0);
        assert_eq!(metrics.rule_bytes.with_label_values(&["users"]).get(), 200);
        assert_eq!(metrics.rule_entries.with_label_values(&["users"]).get(), 1);
    }
}
