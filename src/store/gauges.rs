//! What the tiers hold, as gauges; set when they are asked.

use super::memory::MemoryUsage;
use super::redis::{Counters, RedisStatus};
use crate::entry::Priority;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;

/// Sets the gauges of the memory tier, and brings its eviction counters up to date.
pub(super) fn set_memory(metrics: &Metrics, usage: &MemoryUsage) {
    set_usage(metrics, "memory", usage.bytes, usage.entries, usage.max);
    for (priority, total) in Priority::ALL.into_iter().zip(usage.evictions) {
        let labels = ["memory", priority.as_str()];
        let counter = metrics.evictions.with_label_values(&labels);
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

/// Sets the gauges of what is outside both.
pub(super) fn set_in_flight(metrics: &Metrics, in_flight: &InFlight) {
    metrics.in_flight.set(to_gauge(in_flight.held()));
    metrics.in_flight_limit.set(to_gauge(in_flight.max()));
}

/// Sets the gauges of the Redis tier.
pub(super) fn set_redis(metrics: &Metrics, status: &RedisStatus, counters: &Counters) {
    // Down, nothing is known; the last numbers stand.
    if status.up {
        set_usage(
            metrics,
            "redis",
            counters.bytes_with_overhead(),
            counters.entries,
            status.max,
        );
    }
    if let Some(connections) = status.connections {
        metrics.redis_connections.set(to_gauge(connections.used));
        metrics.redis_max_connections.set(to_gauge(connections.max));
    }
    let pending = to_gauge(status.pending_purges as u64);
    metrics.redis_pending_purges.set(pending);
}

fn set_usage(metrics: &Metrics, tier: &str, bytes: [u64; 3], entries: [u64; 3], max: u64) {
    for (priority, (bytes, entries)) in Priority::ALL
        .into_iter()
        .zip(bytes.into_iter().zip(entries))
    {
        let labels = [tier, priority.as_str()];
        metrics
            .store_bytes
            .with_label_values(&labels)
            .set(to_gauge(bytes));
        metrics
            .store_entries
            .with_label_values(&labels)
            .set(to_gauge(entries));
    }
    metrics
        .store_limit
        .with_label_values(&[tier])
        .set(to_gauge(max));
}

fn to_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
