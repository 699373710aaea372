//! What the tiers hold, as gauges; set when they are asked.

use super::memory::MemoryUsage;
use super::redis::{Counters, RedisStatus};
use crate::entry::Priority;
use crate::metrics::Metrics;

pub(super) fn memory(metrics: &Metrics, usage: &MemoryUsage) {
    held(metrics, "memory", usage.bytes, usage.entries, usage.max);
    for (priority, total) in Priority::ALL.into_iter().zip(usage.evictions) {
        let labels = ["memory", priority.as_str()];
        let counter = metrics.evictions.with_label_values(&labels);
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

pub(super) fn redis(metrics: &Metrics, status: &RedisStatus, counters: &Counters) {
    // Down, nothing is known; the last numbers stand.
    if status.up {
        held(
            metrics,
            "redis",
            counters.bytes,
            counters.entries,
            status.max,
        );
    }
    let pending = gauge(status.pending_purges as u64);
    metrics.redis_pending_purges.set(pending);
}

fn held(metrics: &Metrics, tier: &str, bytes: [u64; 3], entries: [u64; 3], max: u64) {
    for (priority, (bytes, entries)) in Priority::ALL
        .into_iter()
        .zip(bytes.into_iter().zip(entries))
    {
        let labels = [tier, priority.as_str()];
        metrics
            .store_bytes
            .with_label_values(&labels)
            .set(gauge(bytes));
        metrics
            .store_entries
            .with_label_values(&labels)
            .set(gauge(entries));
    }
    metrics
        .store_limit
        .with_label_values(&[tier])
        .set(gauge(max));
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
