//! `/stats`: the metrics of this process in words and sums.
//!
//! Everything countable is computed from the families that `/metrics` writes out, so the two cannot
//! disagree; only what has no metric (whether Redis is up, the last error) comes from [`Status`].
//! MB are millions of bytes, as in the config's `"20MB"`. A rate or mean without a single
//! observation is null.

pub(in crate::admin) mod families;
pub(in crate::admin) mod tally;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prometheus::proto::MetricFamily;
use serde::Serialize;

use crate::entry::Priority;
use crate::gate::BackgroundState;
use crate::http_cache::Outcome;
use crate::live::Live;
use crate::politeness::FetchOrigin;
use crate::rollout::Verdict;
use crate::store::Status;
use crate::store::redis::{Managed, RedisStatus};
use families::{find_samples, label, sum_counters, sum_gauges};
use tally::{Tally, divide, round};

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Seconds since the start.
    pub uptime: u64,
    /// All rules together.
    #[serde(flatten)]
    pub total: Traffic,
    /// The memory tier.
    pub memory: Usage,
    /// The Redis tier.
    pub redis: Redis,
    /// Who asks, by the check of `[auth]`.
    pub auth: Auth,
    /// What verifies tokens; null without `[jwt]`.
    pub jwt: Option<Tokens>,
    /// Successful writes near a route that no purge rule matches, the most frequent first.
    pub uncovered_writes: Vec<UncoveredWrite>,
    /// What the cache would have done for rules in shadow.
    pub shadow: Compared,
    /// What hits were that were asked of the app as well.
    pub audits: Compared,
    /// What no client waits for.
    pub background: Background,
    /// Requests to the app, by whom they are for.
    pub app_requests: BTreeMap<&'static str, u64>,
    /// By rule name.
    pub rules: BTreeMap<String, Traffic>,
    /// By priority.
    pub priorities: BTreeMap<&'static str, ByPriority>,
}

/// What the check of `[auth]` costs, and saves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Auth {
    /// Requests of the app: checks.
    pub checks: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Requests whose decision was at hand.
    pub used: u64,
    /// Decisions that are kept.
    pub decisions: u64,
}

/// What the app is asked for, and no client waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Background {
    /// `free`, `slowed` (the app does not fare well) or `stopped` (it says `Retry-After`).
    pub state: &'static str,
    /// The part of its rate that it may use, 0 to 1.
    pub share: f64,
    /// Seconds until it goes on; null unless it is stopped.
    pub stopped_for: Option<f64>,
    /// Seconds for which the app has had it stopped.
    pub stopped_seconds: f64,
    /// Under way.
    pub running: usize,
    /// Waiting for their turn.
    pub waiting: usize,
}

/// How what is stored compares with what the app says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Compared {
    /// It is as the app says.
    pub same: u64,
    /// It is not.
    pub stale: u64,
    /// Nothing is stored.
    pub misses: u64,
    /// Not known.
    pub uncompared: u64,
}

/// Requests and how they were answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// All of them.
    pub requests: u64,
    /// Answered fresh from the store, without waiting for the app.
    pub hits: u64,
    /// Served what is stale.
    pub stale: u64,
    /// Served what the app confirmed (304).
    pub revalidated: u64,
    /// Answered by what another request was fetching.
    pub collapsed: u64,
    /// Looked up and asked of the app.
    pub misses: u64,
    /// Never looked up.
    pub passes: u64,
    /// Not answered properly by the app, or malformed.
    pub failures: u64,
    /// Of all but passes and failures the part that are hits, 0 to 1.
    pub hit_rate: Option<f64>,
    /// Milliseconds to the head of a hit.
    pub mean_hit_ms: Option<f64>,
    /// Milliseconds to the head of an answer of the app.
    pub mean_app_ms: Option<f64>,
    /// Seconds that the app would have taken for the hits, as it takes for other requests; null if it was not asked.
    pub saved_seconds: Option<f64>,
}

/// What a tier holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Millions of bytes, overhead included.
    pub used_mb: f64,
    /// Millions of bytes it may hold.
    pub limit_mb: f64,
    /// Of the limit; null without one.
    pub percent: Option<f64>,
    /// Keys with something stored.
    pub entries: u64,
    /// Entries that this sidecar has had leave for space.
    pub evictions: u64,
}

/// The Redis tier and the way to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redis {
    /// Whether it can be used.
    pub state: RedisState,
    /// In how many parts it holds what is stored, and how many of them can be used.
    pub shards: Shards,
    /// Seconds for which it has been so; null if absent.
    pub since: Option<u64>,
    /// Why it is down, if that is known.
    pub cause: Option<String>,
    /// What helps against that.
    pub remedy: Option<String>,
    /// What Pannier holds there.
    #[serde(flatten)]
    pub usage: Usage,
    /// Purges kept until it can be reached.
    pub pending_purges: u64,
    /// Whether its invalidations arrive.
    pub tracking: bool,
    /// What the limit is that of; null without Redis.
    pub limited_by: Option<LimitedBy>,
    /// Millions of bytes that the server's own memory leaves for Pannier; null if that is not bounded.
    pub server_limit_mb: Option<f64>,
    /// Connections of the server, by all who use it; null if it does not say.
    pub connections: Option<Connections>,
    /// What has become of `[budget] manage_server`.
    pub managed: ManagedServer,
    /// Whether the bytes are past `[budget] evict_at`.
    pub nearly_full: bool,
    /// Whether others have filled the server's memory; a reason of `state`.
    #[serde(skip)]
    pub taken_by_others: bool,
    /// In words.
    pub last_error: Option<String>,
}

/// Which of two bounds Redis comes to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// `[budget] max`.
    Budget,
    /// The memory of the server itself, with what others have there.
    Server,
}

/// The parts of what is stored in Redis: one of a single server; of a cluster several, each at one of its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shards {
    /// Those that can be used.
    pub up: usize,
    /// All of them.
    pub all: usize,
}

/// Connections of the Redis server, or of one node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Those there are.
    pub used: u64,
    /// Those it lets in.
    pub max: u64,
}

/// Whether Pannier bounds the memory of the Redis server itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManagedServer {
    /// `off`, `pending` (no session yet), `set` or `refused`.
    pub state: &'static str,
    /// Millions of bytes that `maxmemory` is then, over all servers.
    pub maxmemory_mb: Option<f64>,
    /// Why it is refused.
    pub cause: Option<String>,
}

/// What verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Where its keys are from: `config`, or a file.
    pub from: String,
    /// How many of them may verify a token.
    pub keys: usize,
    /// When they were last found to be as they are, in seconds since 1970; null if they came with the config.
    pub last_success: Option<u64>,
    /// Why they have not been renewed since.
    pub last_error: Option<String>,
}

/// Writes of one kind that no purge rule matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UncoveredWrite {
    /// How many succeeded.
    pub count: u64,
    /// Their method.
    pub method: String,
    /// Their path, with `{id}` for what looks like an id.
    pub path: String,
}

/// Whether Redis can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisState {
    /// Connected, and the circuit breaker is closed; of a cluster, every node.
    Up,
    /// Configured and out of reach, or a part of it is.
    Down,
    /// Not configured.
    Absent,
}

/// One priority's traffic and holdings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ByPriority {
    /// Requests of rules with this priority.
    pub requests: u64,
    /// As in [`Traffic`].
    pub hits: u64,
    /// As in [`Traffic`].
    pub misses: u64,
    /// As in [`Traffic`].
    pub hit_rate: Option<f64>,
    /// In the memory tier.
    pub memory: PriorityUse,
    /// In the Redis tier.
    pub redis: PriorityUse,
}

/// What one tier holds of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PriorityUse {
    /// Bytes, overhead included.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl RedisState {
    /// What `status` says of Redis.
    pub fn of(status: &Status) -> RedisState {
        match &status.redis {
            None => RedisState::Absent,
            Some(redis) if redis.up => RedisState::Up,
            Some(_) => RedisState::Down,
        }
    }
}

impl Tokens {
    /// Those of the config in force.
    pub fn of(live: &Live) -> Option<Tokens> {
        let (config, verifier) = live.config.jwt.as_ref().zip(live.jwt.as_ref())?;
        let renewal = verifier.renewal();
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        Some(Tokens {
            from: config.origin.to_string(),
            keys: verifier.count_keys(),
            last_success: renewal
                .last_success
                .and_then(since_epoch)
                .map(|since| since.as_secs()),
            last_error: renewal.last_error,
        })
    }
}

/// Sums up the gathered families.
pub fn summarize(
    families: &[MetricFamily],
    status: &Status,
    jwt: Option<Tokens>,
    background: BackgroundState,
    uptime: Duration,
) -> Stats {
    let rules = sum_by_rule(families);
    let mut total = Tally::default();
    rules.values().for_each(|rule| total.add(rule));
    let by_rule = rules.values().filter_map(Tally::saved_seconds);
    let saved = by_rule.reduce(|sum, saved| sum + saved);
    Stats {
        uptime: uptime.as_secs(),
        // What is saved differs by rule.
        total: Traffic {
            saved_seconds: saved.map(|saved| round(saved, 1)),
            ..total.summarize()
        },
        memory: sum_usage(families, "memory"),
        redis: summarize_redis(families, status),
        auth: summarize_auth(families),
        jwt,
        uncovered_writes: list_uncovered(families),
        shadow: sum_compared(families, "pannier_shadow_total"),
        audits: sum_compared(families, "pannier_audit_total"),
        background: summarize_background(families, background),
        app_requests: FetchOrigin::ALL
            .into_iter()
            .map(|origin| (origin.as_str(), sum_requests(families, origin)))
            .collect(),
        rules: rules
            .iter()
            .map(|(name, tally)| (name.clone(), tally.summarize()))
            .collect(),
        priorities: Priority::ALL
            .into_iter()
            .map(|priority| (priority.as_str(), sum_priority(families, priority.as_str())))
            .collect(),
    }
}

/// How many entries left for space, by priority.
pub(super) fn sum_evicted(families: &[MetricFamily]) -> BTreeMap<String, u64> {
    let mut evicted = BTreeMap::new();
    for priority in Priority::ALL.into_iter().map(Priority::as_str) {
        // What leaves memory is still in Redis, if there is one.
        let sum = |tier| {
            let labels = [("tier", tier), ("priority", priority)];
            sum_counters(families, "pannier_evictions_total", &labels)
        };
        let has_redis = sum_gauges(families, "pannier_store_limit_bytes", &[("tier", "redis")]) > 0;
        let tier = if has_redis { "redis" } else { "memory" };
        evicted.insert(priority.to_owned(), sum(tier));
    }
    evicted
}

fn summarize_background(families: &[MetricFamily], state: BackgroundState) -> Background {
    let stopped = find_samples(families, "pannier_background_stopped_seconds_total");
    let stopped = stopped.map(|metric| metric.get_counter().get_value());
    let left = state.stopped_for;
    Background {
        state: state.as_str(),
        share: round(state.share, 4),
        stopped_for: left.map(|left| round(left.as_secs_f64(), 1)),
        stopped_seconds: round(stopped.sum(), 1),
        running: state.running,
        waiting: state.waiting,
    }
}

fn sum_requests(families: &[MetricFamily], origin: FetchOrigin) -> u64 {
    let labels = [("origin", origin.as_str())];
    sum_counters(families, "pannier_upstream_requests_total", &labels)
}

fn sum_compared(families: &[MetricFamily], name: &str) -> Compared {
    let sum = |verdict: Verdict| sum_counters(families, name, &[("result", verdict.as_str())]);
    Compared {
        same: sum(Verdict::Same),
        stale: sum(Verdict::Stale),
        misses: sum(Verdict::Miss),
        uncompared: sum(Verdict::Uncompared),
    }
}

fn list_uncovered(families: &[MetricFamily]) -> Vec<UncoveredWrite> {
    let samples = find_samples(families, "pannier_uncovered_writes_total");
    let mut all: Vec<_> = samples
        .map(|metric| UncoveredWrite {
            count: metric.get_counter().get_value() as u64,
            method: label(metric, "method").to_owned(),
            path: label(metric, "path").to_owned(),
        })
        .collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all
}

fn summarize_redis(families: &[MetricFamily], status: &Status) -> Redis {
    let known = status.redis.as_ref();
    let diagnosis = known.and_then(|redis| redis.diagnosis.as_ref());
    Redis {
        state: RedisState::of(status),
        shards: known.map_or_else(Shards::default, |redis| Shards {
            up: redis.shards_up,
            all: redis.shards,
        }),
        since: known.map(|redis| redis.since.as_secs()),
        cause: diagnosis.map(|diagnosis| diagnosis.cause.clone()),
        remedy: diagnosis.map(|diagnosis| diagnosis.remedy.clone()),
        usage: sum_usage(families, "redis"),
        pending_purges: sum_gauges(families, "pannier_redis_pending_purges", &[]),
        connections: known
            .and_then(|redis| redis.connections)
            .map(|connections| Connections {
                used: connections.used,
                max: connections.max,
            }),
        limited_by: known.map(|redis| match redis.limit() < redis.max {
            true => LimitedBy::Server,
            false => LimitedBy::Budget,
        }),
        server_limit_mb: known
            .and_then(|redis| redis.server_limit)
            .map(|limit| round(limit as f64 / 1e6, 3)),
        managed: summarize_managed(known),
        nearly_full: known.is_some_and(|redis| redis.nearly_full),
        taken_by_others: known.is_some_and(|redis| redis.taken_by_others),
        tracking: known.is_some_and(|redis| redis.tracking),
        last_error: known.and_then(|redis| redis.last_error.clone()),
    }
}

fn summarize_managed(redis: Option<&RedisStatus>) -> ManagedServer {
    let (state, maxmemory, cause) = match redis.map(|redis| (redis.manages_server, &redis.managed))
    {
        Some((true, Some(Managed::Set(maxmemory)))) => ("set", Some(*maxmemory), None),
        Some((true, Some(Managed::Refused(cause)))) => ("refused", None, Some(cause.clone())),
        Some((true, None)) => ("pending", None, None),
        _ => ("off", None, None),
    };
    ManagedServer {
        state,
        maxmemory_mb: maxmemory.map(|bytes| round(bytes as f64 / 1e6, 3)),
        cause,
    }
}

fn summarize_auth(families: &[MetricFamily]) -> Auth {
    const CHECKS: &str = "pannier_auth_checks_total";
    Auth {
        checks: sum_counters(families, CHECKS, &[])
            - sum_counters(families, CHECKS, &[("result", "full")]),
        failed: sum_counters(families, CHECKS, &[("result", "failed")]),
        used: sum_counters(families, "pannier_auth_decisions_used_total", &[]),
        decisions: sum_gauges(families, "pannier_auth_decisions", &[]),
    }
}

fn sum_usage(families: &[MetricFamily], tier: &str) -> Usage {
    let tier = [("tier", tier)];
    let used = sum_gauges(families, "pannier_store_bytes", &tier);
    let limit = sum_gauges(families, "pannier_store_limit_bytes", &tier);
    let evictions = find_samples(families, "pannier_evictions_total")
        .filter(|metric| label(metric, "tier") == tier[0].1)
        .map(|metric| metric.get_counter().get_value() as u64);
    Usage {
        evictions: evictions.sum(),
        used_mb: round(used as f64 / 1e6, 3),
        limit_mb: round(limit as f64 / 1e6, 3),
        percent: divide(100.0 * used as f64, limit as f64, 1),
        entries: sum_gauges(families, "pannier_store_entries", &tier),
    }
}

fn sum_priority(families: &[MetricFamily], priority: &str) -> ByPriority {
    let mut tally = Tally::default();
    for metric in find_samples(families, "pannier_requests_total") {
        if label(metric, "priority") == priority {
            tally.count(metric);
        }
    }
    let held = |tier| {
        let labels = [("tier", tier), ("priority", priority)];
        PriorityUse {
            bytes: sum_gauges(families, "pannier_store_bytes", &labels),
            entries: sum_gauges(families, "pannier_store_entries", &labels),
        }
    };
    ByPriority {
        requests: tally.requests,
        hits: tally.of(Outcome::Hit),
        misses: tally.of(Outcome::Miss),
        hit_rate: tally.hit_rate(),
        memory: held("memory"),
        redis: held("redis"),
    }
}

pub(super) fn sum_by_rule(families: &[MetricFamily]) -> BTreeMap<String, Tally> {
    let mut rules = BTreeMap::<String, Tally>::new();
    for metric in find_samples(families, "pannier_requests_total") {
        let rule = rules.entry(label(metric, "rule").to_owned()).or_default();
        rule.count(metric);
    }
    for metric in find_samples(families, "pannier_request_duration_seconds") {
        let rule = rules.entry(label(metric, "rule").to_owned()).or_default();
        rule.add_times(metric);
    }
    rules
}

#[cfg(test)]
mod tests;
