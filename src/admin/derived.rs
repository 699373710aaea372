//! Metrics that others come to: what hits have saved, and what each rule holds.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::proto::MetricFamily;

use super::stats::sum_by_rule;
use crate::http_cache::Outcome;
use crate::metrics::Metrics;
use crate::observe::Report;

/// Hits of each rule whose saving is counted.
#[derive(Debug, Default)]
pub(super) struct Derived(Mutex<BTreeMap<String, u64>>);

impl Derived {
    /// Brings them up to date with what the families say, and what fills have shown.
    pub(super) fn update(&self, metrics: &Metrics, families: &[MetricFamily], observed: &Report) {
        let mut counted = self.0.lock();
        for (rule, tally) in sum_by_rule(families) {
            let hits = tally.of(Outcome::Hit);
            let before = counted.get(&rule).copied().unwrap_or_default();
            // The app was not asked yet: they are counted when it was.
            let Some(mean) = tally.mean_app_seconds() else {
                continue;
            };
            let saved = hits.saturating_sub(before) as f64 * mean;
            metrics
                .saved_seconds
                .with_label_values(&[&rule])
                .inc_by(saved);
            counted.insert(rule, hits);
        }
        // Rules that are no more are not told.
        metrics.rule_bytes.reset();
        metrics.rule_entries.reset();
        for (rule, seen) in &observed.rules {
            let gauge = |gauges: &prometheus::IntGaugeVec, value: u64| {
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
    use std::time::Duration;

    use super::*;
    use crate::entry::Priority;
    use crate::http_cache::Reason;
    use crate::observe::RuleReport;

    #[test]
    fn savings_only_grow_and_what_is_held_is_as_it_is() {
        let (metrics, derived) = (Metrics::new(), Derived::default());
        let rule = metrics.rule("users", Priority::Medium);
        let report = |held_bytes, held| Report {
            seconds: 1,
            rules: BTreeMap::from([(
                "users".to_owned(),
                RuleReport {
                    held_bytes,
                    held,
                    ..RuleReport::default()
                },
            )]),
        };
        let update = |report: &Report| derived.update(&metrics, &metrics.registry.gather(), report);
        let saved = || metrics.saved_seconds.with_label_values(&["users"]).get();

        (0..3).for_each(|_| rule.answered(Reason::Hit, Duration::from_micros(50)));
        update(&report(100, 1));
        assert_eq!(saved(), 0.0, "nobody knows what the app takes");
        rule.answered(Reason::Miss, Duration::from_secs(2));
        update(&report(300, 2));
        assert_eq!(saved(), 6.0);
        // The app has become quicker: what was saved stays so.
        rule.answered(Reason::Miss, Duration::ZERO);
        update(&report(300, 2));
        assert_eq!(saved(), 6.0);
        rule.answered(Reason::Hit, Duration::ZERO);
        update(&report(200, 1));
        assert_eq!(saved(), 7.0);
        assert_eq!(metrics.rule_bytes.with_label_values(&["users"]).get(), 200);
        assert_eq!(metrics.rule_entries.with_label_values(&["users"]).get(), 1);
    }
}
