//! Reading gathered families by name and label.

use prometheus::proto::{Metric, MetricFamily};

pub(in crate::admin) fn sum_gauges(
    families: &[MetricFamily],
    name: &str,
    labels: &[(&str, &str)],
) -> u64 {
    // A gauge may stand below zero for a moment while threads adjust it; `as` makes that 0.
    find_samples(families, name)
        .filter(|metric| has(metric, labels))
        .map(|metric| metric.get_gauge().get_value() as u64)
        .sum()
}

pub(in crate::admin) fn sum_counters(
    families: &[MetricFamily],
    name: &str,
    labels: &[(&str, &str)],
) -> u64 {
    find_samples(families, name)
        .filter(|metric| has(metric, labels))
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

fn has(metric: &Metric, labels: &[(&str, &str)]) -> bool {
    labels
        .iter()
        .all(|(name, value)| label(metric, name) == *value)
}

/// The samples of one family; none if nothing was observed yet.
pub(in crate::admin) fn find_samples<'f>(
    families: &'f [MetricFamily],
    name: &str,
) -> impl Iterator<Item = &'f Metric> {
    families
        .iter()
        .filter(move |family| family.name() == name)
        .flat_map(|family| family.get_metric())
}

/// A label's value; empty if there is none.
pub(in crate::admin) fn label<'m>(metric: &'m Metric, name: &str) -> &'m str {
    metric
        .get_label()
        .iter()
        .find(|pair| pair.name() == name)
        .map_or("", |pair| pair.value())
}
