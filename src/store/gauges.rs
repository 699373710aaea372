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

/// Sets the gauges of the Redis tier. `counters`: `None` if they are not known now, so that the last ones stand.
pub(super) fn set_redis(metrics: &Metrics, status: &RedisStatus, counters: Option<&Counters>) {
    for priority in Priority::ALL {
        // There before anything leaves: Prometheus takes what a counter is born with for no increase.
        let labels = ["redis", priority.as_str()];
        metrics.evictions.with_label_values(&labels);
    }
    if let Some(counters) = counters {
        let (bytes, entries) = (counters.bytes_with_overhead(), counters.entries);
        set_usage(metrics, "redis", bytes, entries, status.limit());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(metrics: &Metrics) -> [i64; 2] {
        let bytes = metrics.store_bytes.with_label_values(&["redis", "high"]);
        let limit = metrics.store_limit.with_label_values(&["redis"]);
        [bytes.get(), limit.get()]
    }

    /// A command that Redis does not answer in time empties nothing.
    #[test]
    fn what_is_not_known_now_stands_as_it_was() {
        let metrics = Metrics::new();
        let status = RedisStatus {
            up: true,
            max: 20,
            ..RedisStatus::default()
        };
        let counters = Counters {
            bytes: [0, 0, 9],
            ..Counters::default()
        };
        set_redis(&metrics, &status, Some(&counters));
        assert_eq!(bytes(&metrics), [9, 20]);
        set_redis(&metrics, &status, None);
        assert_eq!(bytes(&metrics), [9, 20]);
    }

    #[test]
    fn the_limit_is_what_comes_first() {
        for (server_limit, expected) in [(None, 20), (Some(10), 10), (Some(30), 20)] {
            let metrics = Metrics::new();
            let status = RedisStatus {
                max: 20,
                server_limit,
                ..RedisStatus::default()
            };
            set_redis(&metrics, &status, Some(&Counters::default()));
            assert_eq!(bytes(&metrics)[1], expected, "{server_limit:?}");
        }
    }

    /// Prometheus takes what a counter is born with for no increase.
    #[test]
    fn evictions_stand_at_zero_before_there_are_any() {
        let metrics = Metrics::new();
        set_redis(&metrics, &RedisStatus::default(), None);
        let families = metrics.registry.gather();
        let evictions = families
            .iter()
            .find(|family| family.name() == "pannier_evictions_total");
        assert_eq!(evictions.map(|family| family.get_metric().len()), Some(3));
    }
}
