//! Every metric name, once. Counters are resolved when a rule is made, not per request.

mod jobs;

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{
    Counter, CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::entry::Priority;
use crate::http_cache::{Reason, Source};
use crate::rollout::Verdict;

pub use jobs::JobMetrics;

/// Bucket bounds in seconds: a memory hit is tens of microseconds, a slow app seconds.
const BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bucket bounds in seconds, of what is measured against lifetimes.
const AGES: &[f64] = &[
    0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// What `/metrics` gathers.
    pub registry: Registry,
    requests: IntCounterVec,
    not_stored: IntCounterVec,
    request_seconds: HistogramVec,
    upstream_seconds: HistogramVec,
    /// `pannier_purges_total{rule}`; `admin` for those of the admin interface.
    pub purges: IntCounterVec,
    /// `pannier_purges_again_total`: purges carried out again a while after their write.
    pub purges_again: IntCounter,
    /// `pannier_uncovered_writes_total{method,path}`
    pub uncovered_writes: UncoveredWrites,
    /// `pannier_purge_variables_absent_total{rule}`: variables a write lacked, so the purge was widened.
    pub purge_variables_absent: IntCounterVec,
    /// `pannier_purge_lists_too_long_total{rule}`: those of them that were lists with too many values.
    pub purge_lists_too_long: IntCounterVec,
    /// `pannier_purged_entries_total{tier,kind}`
    pub purged_entries: IntCounterVec,
    /// `pannier_evictions_total{tier,priority}`
    pub evictions: IntCounterVec,
    /// `pannier_compression_bytes_total{form}`: of bodies on their way to Redis, plain, and as stored.
    compression_bytes: IntCounterVec,
    /// `pannier_store_bytes{tier,priority}`
    pub store_bytes: IntGaugeVec,
    /// `pannier_store_entries{tier,priority}`
    pub store_entries: IntGaugeVec,
    /// `pannier_store_limit_bytes{tier}`
    pub store_limit: IntGaugeVec,
    /// `pannier_in_flight_bytes`: of bodies outside both tiers.
    pub in_flight: IntGauge,
    /// `pannier_in_flight_limit_bytes`
    pub in_flight_limit: IntGauge,
    /// `pannier_redis_errors_total{kind}`: timeout, connection, login, rights, cluster, clients, full, readonly,
    /// loading, undecodable, other.
    pub redis_errors: IntCounterVec,
    /// `pannier_redis_duration_seconds{command}`: get, lease, put, purge.
    pub redis_seconds: HistogramVec,
    /// `pannier_redis_voided_total{reason}`: how often this process has made void what Redis held: lost, older,
    /// layout.
    pub redis_voided: IntCounterVec,
    /// `pannier_redis_up`: 1 while every connection to Redis can be used.
    pub redis_up: IntGauge,
    /// `pannier_redis_breaker_open`: 1 while all requests are kept from Redis.
    pub redis_breaker_open: IntGauge,
    /// `pannier_redis_connections`: of the server, by all who use it.
    pub redis_connections: IntGauge,
    /// `pannier_redis_max_connections`: that the server lets in.
    pub redis_max_connections: IntGauge,
    /// `pannier_redis_pending_purges`: purges kept because Redis could not be reached.
    pub redis_pending_purges: IntGauge,
    /// `pannier_invalidations_total`: keys changed elsewhere, by Redis's invalidation messages.
    pub invalidations: IntCounter,
    /// `pannier_coalesced_waiters`: requests waiting for another one's fill now.
    pub coalesced_waiters: IntGauge,
    /// `pannier_fills`: fills under way now, until what they fetched is stored or refused.
    pub fills: IntGauge,
    /// `pannier_connections`: client connections open now.
    pub connections: IntGauge,
    /// `pannier_connections_cut_total{reason}`: client connections, or streams of one, ended by the server.
    pub connections_cut: IntCounterVec,
    /// `pannier_config_reloads_total{result}`: ok, error.
    pub config_reloads: IntCounterVec,
    /// `pannier_shadow_total{rule,result}`: same, stale, miss, uncompared.
    pub shadow: IntCounterVec,
    /// `pannier_audit_total{rule,result}`: same, stale, uncompared.
    pub audits: IntCounterVec,
    /// `pannier_saved_seconds_total{rule}`: of the app, by hits.
    pub saved_seconds: CounterVec,
    /// `pannier_rule_bytes{rule}`: of bodies that this sidecar has fetched lately, and that are fresh.
    pub rule_bytes: IntGaugeVec,
    /// `pannier_rule_entries{rule}`: the same, counted.
    pub rule_entries: IntGaugeVec,
    /// `pannier_webhook_posts_total{result}`: of alerts; `ok` or `error`.
    pub webhook_posts: IntCounterVec,
    /// `pannier_upstream_requests_total{origin}`: requests to the app, by whom they are for.
    pub requests_to_app: IntCounterVec,
    /// `pannier_upstream_waiting`: requests that wait for their turn at the app (`[upstream] rate`).
    pub upstream_waiting: IntGauge,
    /// `pannier_upstream_wait_seconds`: how long those waited that had to.
    pub upstream_wait: Histogram,
    /// `pannier_refetches`: keys that are to be asked for again after a write.
    pub refetches: IntGauge,
    /// `pannier_background_running`: requests to the app that no client waits for, now.
    pub background_running: IntGauge,
    /// `pannier_background_waiting`: those that wait for their turn.
    pub background_waiting: IntGauge,
    /// `pannier_background_wait_seconds`: how long they waited.
    pub background_wait: Histogram,
    /// `pannier_background_share`: of the rate of background work that is used, by how the app fares.
    pub background_share: Gauge,
    /// `pannier_background_stopped_seconds_total`: for how long the app has said `Retry-After`.
    pub background_stopped: Counter,
    /// `pannier_stale_seconds{rule}`: how long an answer that was found to be stale may have been so.
    pub stale_seconds: HistogramVec,
    /// `pannier_auth_checks_total{result}`: allowed, denied, failed, full.
    pub auth_checks: IntCounterVec,
    /// `pannier_auth_check_duration_seconds`: until the app has said who asks.
    pub auth_seconds: Histogram,
    /// `pannier_auth_decisions`: kept now.
    pub auth_decisions: IntGauge,
    /// `pannier_auth_decisions_used_total`: requests whose decision was at hand.
    pub auth_used: IntCounter,
    /// `pannier_jwks_refreshes_total{result}`: ok, error.
    pub jwks_refreshes: IntCounterVec,
    /// `pannier_jwks_last_success_time_seconds`: when the keys of `[jwt]` were last found to be as they are.
    pub jwks_last_success: Gauge,
    /// Of jobs.
    pub jobs: JobMetrics,
    /// `pannier_start_time_seconds`
    pub start_time: Gauge,
    /// `pannier_config_hash`: of the file in force; equal files have equal ones.
    pub config_hash: Gauge,
}

/// The counters of one rule (or of unmatched requests).
#[derive(Debug)]
pub struct RuleMetrics {
    rule: String,
    priority: Priority,
    requests: [OnceLock<IntCounter>; Reason::COUNT],
    requests_vec: IntCounterVec,
    not_stored_vec: IntCounterVec,
    /// Time from the request's head to the answer's head, by [`Source::index`].
    seconds: [Histogram; Source::ALL.len()],
    upstream_seconds: Histogram,
}

/// Writes that no purge rule covers, by method and the shape of their path.
#[derive(Debug)]
pub struct UncoveredWrites {
    /// By method and shape.
    pub(crate) counters: IntCounterVec,
    seen: Mutex<HashSet<(String, String)>>,
}

impl UncoveredWrites {
    /// The most shapes that are told apart (promise I7); the rest is counted under [`UncoveredWrites::OTHER`].
    pub const MAX_SHAPES: usize = 100;

    /// The path of the rest.
    pub const OTHER: &str = "other";

    /// Counts one; whether it is the first of its kind.
    pub fn note(&self, method: &str, shape: &str) -> bool {
        let kind = (method.to_owned(), shape.to_owned());
        let (is_told_apart, is_first) = {
            let mut seen = self.seen.lock();
            let is_known = seen.contains(&kind);
            let has_room = seen.len() < Self::MAX_SHAPES;
            if !is_known && has_room {
                seen.insert(kind);
            }
            (is_known || has_room, !is_known && has_room)
        };
        let labels = match is_told_apart {
            true => [method, shape],
            false => [Self::OTHER; 2],
        };
        self.counters.with_label_values(&labels).inc();
        is_first
    }
}

impl Metrics {
    /// Registers everything once.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let r = &registry;
        register_process(r);
        Metrics {
            requests: register_counters(
                r,
                "pannier_requests_total",
                "Requests by rule, priority and reason.",
                &["rule", "priority", "reason"],
            ),
            not_stored: register_counters(
                r,
                "pannier_not_stored_total",
                "Answers of the app not stored, by rule and reason.",
                &["rule", "reason"],
            ),
            request_seconds: register_histograms(
                r,
                "pannier_request_duration_seconds",
                "Time from request head to answer head, by rule and who answered.",
                &["rule", "source"],
            ),
            upstream_seconds: register_histograms(
                r,
                "pannier_upstream_duration_seconds",
                "Time from request sent to the app to its answer's head.",
                &["rule"],
            ),
            purges: register_counters(
                r,
                "pannier_purges_total",
                "Purges carried out, by purge rule.",
                &["rule"],
            ),
            uncovered_writes: UncoveredWrites {
                counters: register_counters(
                    r,
                    "pannier_uncovered_writes_total",
                    "Successful writes near a route that no purge rule matches.",
                    &["method", "path"],
                ),
                seen: Mutex::default(),
            },
            purges_again: register_counters(
                r,
                "pannier_purges_again_total",
                "Purges carried out again a while after their write.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            purge_variables_absent: register_counters(
                r,
                "pannier_purge_variables_absent_total",
                "Variables a write lacked, so that its purge was widened.",
                &["rule"],
            ),
            purge_lists_too_long: register_counters(
                r,
                "pannier_purge_lists_too_long_total",
                "Lists of a write with too many values, so that its purge was widened.",
                &["rule"],
            ),
            purged_entries: register_counters(
                r,
                "pannier_purged_entries_total",
                "Entries removed by purges, or made stale by soft ones.",
                &["tier", "kind"],
            ),
            compression_bytes: register_counters(
                r,
                "pannier_compression_bytes_total",
                "Bytes of long bodies on their way to Redis: as they are (plain), and as stored.",
                &["form"],
            ),
            evictions: register_counters(
                r,
                "pannier_evictions_total",
                "Entries removed for space.",
                &["tier", "priority"],
            ),
            store_bytes: register_gauges(
                r,
                "pannier_store_bytes",
                "Bytes stored, overhead included.",
                &["tier", "priority"],
            ),
            store_entries: register_gauges(
                r,
                "pannier_store_entries",
                "Entries stored.",
                &["tier", "priority"],
            ),
            store_limit: register_gauges(
                r,
                "pannier_store_limit_bytes",
                "Bytes the tier may hold.",
                &["tier"],
            ),
            in_flight: register_gauge(
                r,
                "pannier_in_flight_bytes",
                "Bytes of bodies on their way, outside both tiers.",
            ),
            in_flight_limit: register_gauge(
                r,
                "pannier_in_flight_limit_bytes",
                "Past so many no large body is gathered for the store.",
            ),
            redis_errors: register_counters(
                r,
                "pannier_redis_errors_total",
                "Commands that failed, by kind.",
                &["kind"],
            ),
            redis_seconds: register_histograms(
                r,
                "pannier_redis_duration_seconds",
                "Time of a command to Redis.",
                &["command"],
            ),
            redis_breaker_open: register_gauge(
                r,
                "pannier_redis_breaker_open",
                "1 while all requests are kept from Redis.",
            ),
            redis_voided: register_counters(
                r,
                "pannier_redis_voided_total",
                "How often this process made void what Redis held, by reason.",
                &["reason"],
            ),
            redis_up: register_gauge(
                r,
                "pannier_redis_up",
                "1 while every connection to Redis can be used.",
            ),
            redis_connections: register_gauge(
                r,
                "pannier_redis_connections",
                "Connections that the Redis server has, of all who use it.",
            ),
            redis_max_connections: register_gauge(
                r,
                "pannier_redis_max_connections",
                "Connections that the Redis server lets in; 0: not known.",
            ),
            redis_pending_purges: register_gauge(
                r,
                "pannier_redis_pending_purges",
                "Purges kept until Redis can be reached.",
            ),
            invalidations: register_counters(
                r,
                "pannier_invalidations_total",
                "Keys Redis said were changed elsewhere.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            coalesced_waiters: register_gauge(
                r,
                "pannier_coalesced_waiters",
                "Requests waiting for another one's fill.",
            ),
            fills: register_gauge(
                r,
                "pannier_fills",
                "Fills under way, until what they fetched is stored or refused.",
            ),
            connections: register_gauge(r, "pannier_connections", "Client connections open."),
            connections_cut: register_counters(
                r,
                "pannier_connections_cut_total",
                "Client connections, or streams of one, ended by the server, by reason.",
                &["reason"],
            ),
            config_reloads: register_counters(
                r,
                "pannier_config_reloads_total",
                "Reloads of the config file, by result.",
                &["result"],
            ),
            shadow: register_counters(
                r,
                "pannier_shadow_total",
                "Requests of rules in shadow, by what the cache would have done.",
                &["rule", "result"],
            ),
            audits: register_counters(
                r,
                "pannier_audit_total",
                "Hits that were compared with the app's answer, by what came of it.",
                &["rule", "result"],
            ),
            saved_seconds: register_sums(
                r,
                "pannier_saved_seconds_total",
                "Seconds that the app would have taken for what was answered by hits.",
                &["rule"],
            ),
            rule_bytes: register_gauges(
                r,
                "pannier_rule_bytes",
                "Bytes of bodies that this sidecar has fetched lately and that are fresh.",
                &["rule"],
            ),
            rule_entries: register_gauges(
                r,
                "pannier_rule_entries",
                "Answers that this sidecar has fetched lately and that are fresh.",
                &["rule"],
            ),
            webhook_posts: register_counters(
                r,
                "pannier_webhook_posts_total",
                "Alerts posted to the webhook, by whether it took them.",
                &["result"],
            ),
            requests_to_app: register_counters(
                r,
                "pannier_upstream_requests_total",
                "Requests to the app, by whom they are for.",
                &["origin"],
            ),
            upstream_waiting: register_gauge(
                r,
                "pannier_upstream_waiting",
                "Requests that wait for their turn at the app, by [upstream] rate.",
            ),
            upstream_wait: register_histograms(
                r,
                "pannier_upstream_wait_seconds",
                "How long those waited for their turn at the app that had to.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            refetches: register_gauge(
                r,
                "pannier_refetches",
                "Keys that are to be asked for again after a write.",
            ),
            background_running: register_gauge(
                r,
                "pannier_background_running",
                "Requests to the app that no client waits for.",
            ),
            background_waiting: register_gauge(
                r,
                "pannier_background_waiting",
                "Requests that no client waits for, waiting for their turn.",
            ),
            background_wait: register_ages(
                r,
                "pannier_background_wait_seconds",
                "How long requests that no client waits for waited for their turn.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            background_share: register_float(
                r,
                "pannier_background_share",
                "The part of its rate that background work uses, 1 while the app is well.",
            ),
            background_stopped: register_seconds(
                r,
                "pannier_background_stopped_seconds_total",
                "For how long the app has had background work stopped by Retry-After.",
            ),
            stale_seconds: register_ages(
                r,
                "pannier_stale_seconds",
                "How long an answer that was found to be stale may have been so.",
                &["rule"],
            ),
            auth_checks: register_counters(
                r,
                "pannier_auth_checks_total",
                "Checks of who asks, by what came of them.",
                &["result"],
            ),
            auth_seconds: register_histograms(
                r,
                "pannier_auth_check_duration_seconds",
                "Time until the app has said who asks.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            auth_decisions: register_gauge(
                r,
                "pannier_auth_decisions",
                "Decisions on who asks that are kept.",
            ),
            auth_used: register_counters(
                r,
                "pannier_auth_decisions_used_total",
                "Requests whose decision on who asks was at hand.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            jwks_refreshes: register_counters(
                r,
                "pannier_jwks_refreshes_total",
                "Renewals of the keys of [jwt], by result.",
                &["result"],
            ),
            jwks_last_success: register_float(
                r,
                "pannier_jwks_last_success_time_seconds",
                "Last renewal of the keys of [jwt], seconds since 1970.",
            ),
            jobs: JobMetrics::new(r),
            start_time: register_float(
                r,
                "pannier_start_time_seconds",
                "Start of the process, seconds since 1970.",
            ),
            config_hash: register_float(
                r,
                "pannier_config_hash",
                "Of the config file in force; equal files have equal ones.",
            ),
            registry,
        }
    }

    /// Counts entries that a purge removed from a tier, or made stale there.
    pub fn purged(&self, tier: &str, kind: &str, entries: usize) {
        let purged = self.purged_entries.with_label_values(&[tier, kind]);
        purged.inc_by(entries as u64);
    }

    /// Counts the bytes of a body that was to be compressed, and those that it is stored in.
    pub fn compressed(&self, plain: usize, stored: usize) {
        for (form, bytes) in [("plain", plain), ("stored", stored)] {
            let counter = self.compression_bytes.with_label_values(&[form]);
            counter.inc_by(bytes as u64);
        }
    }

    /// Counts what was stored for rule `name`, empty for unmatched requests, and is no more.
    pub fn not_kept(&self, name: &str, reason: Reason) {
        let name = if name.is_empty() { "-" } else { name };
        self.not_stored
            .with_label_values(&[name, reason.as_str()])
            .inc();
    }

    /// The counters of rule `name`; the same ones for the same name, across reloads.
    ///
    /// Those that alerts ask for stand at 0 before there is anything to count: Prometheus takes what a counter is born
    /// with for no increase.
    pub fn rule(&self, name: &str, priority: Priority) -> RuleMetrics {
        for verdict in [Verdict::Same, Verdict::Stale, Verdict::Uncompared] {
            self.audits.with_label_values(&[name, verdict.as_str()]);
        }
        let hits = [name, priority.as_str(), Reason::Hit.as_str()];
        self.requests.with_label_values(&hits);
        self.saved_seconds.with_label_values(&[name]);
        RuleMetrics {
            rule: name.to_owned(),
            priority,
            requests: std::array::from_fn(|_| OnceLock::new()),
            requests_vec: self.requests.clone(),
            not_stored_vec: self.not_stored.clone(),
            seconds: Source::ALL.map(|source| {
                self.request_seconds
                    .with_label_values(&[name, source.as_str()])
            }),
            upstream_seconds: self.upstream_seconds.with_label_values(&[name]),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl RuleMetrics {
    /// Counts one answered request.
    pub fn answered(&self, reason: Reason, took: Duration) {
        self.requests[reason.index()]
            .get_or_init(|| {
                self.requests_vec.with_label_values(&[
                    self.rule.as_str(),
                    self.priority.as_str(),
                    reason.as_str(),
                ])
            })
            .inc();
        self.seconds[reason.source().index()].observe(took.as_secs_f64());
    }

    /// Counts an answer of the app that was not stored.
    pub fn not_stored(&self, reason: Reason) {
        self.not_stored_vec
            .with_label_values(&[self.rule.as_str(), reason.as_str()])
            .inc();
    }

    /// Observes how long the app took to its answer's head.
    pub fn upstream(&self, took: Duration) {
        self.upstream_seconds.observe(took.as_secs_f64());
    }
}

/// Counts what it stands for in a gauge until it is dropped, as it is when a client hangs up.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Adds one to `gauge`.
    pub fn new(gauge: &IntGauge) -> GaugeGuard {
        gauge.inc();
        GaugeGuard(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// `process_…`, as Prometheus has them, and `pannier_build_info{version}`.
fn register_process(registry: &Registry) {
    #[cfg(target_os = "linux")]
    registry
        .register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))
        .expect("registered once");
    let info = "Which version runs; always 1.";
    register_gauges(registry, "pannier_build_info", info, &["version"])
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
}

fn register_float(registry: &Registry, name: &str, help: &str) -> Gauge {
    let metric = Gauge::new(name, help).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_seconds(registry: &Registry, name: &str, help: &str) -> Counter {
    let metric = Counter::new(name, help).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_sums(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> CounterVec {
    let metric = CounterVec::new(Opts::new(name, help), labels).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let metric = IntGauge::new(name, help).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_ages(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(AGES.to_vec());
    let metric = HistogramVec::new(opts, labels).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

fn register_histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    let metric = HistogramVec::new(opts, labels).expect("a valid name");
    registry
        .register(Box::new(metric.clone()))
        .expect("registered once");
    metric
}

#[cfg(test)]
mod tests;
