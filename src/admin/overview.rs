//! What `/stats` answers: the sums of the metrics, and what they come to.

use std::time::Duration;

use serde::Serialize;

use super::advice::{self, Advice, Details};
use super::alerts::{self, Alert, Measured, Tier};
use super::fleet::{self, Counts, Report};
use super::history::History;
use super::state::{self, Facts, State};
use super::stats::{LimitedBy, RedisState, Stats};
use super::under_way::PurgeUnderWay;
use crate::jobs::Summary;
use crate::live::Live;

const HOUR: Duration = Duration::from_secs(3600);

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// Of Pannier.
    pub version: &'static str,
    /// Of the config file in force, as `pannier_config_hash` has it, in hexadecimal digits.
    pub config_hash: String,
    /// How the sidecar is, in one word and with reasons.
    pub state: State,
    /// The thresholds of `[alerts]`, exceeded or not.
    pub alerts: Vec<Alert>,
    /// What would make it better, with figures.
    pub advice: Vec<Advice>,
    /// In the last ten seconds.
    pub requests_per_second: f64,
    /// What holds for each route, in the order of the config, and for what no route matches, `-`.
    pub routes: Vec<RouteSettings>,
    /// What is fetched without a client.
    pub jobs: Summary,
    /// Asked for here, and being carried out.
    pub purges: Vec<PurgeUnderWay>,
    /// All sidecars, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<fleet::Summary>,
    /// Everything countable.
    #[serde(flatten)]
    pub stats: Stats,
}

/// What holds for a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteSettings {
    /// As in the config.
    pub name: String,
    /// low, medium or high.
    pub priority: &'static str,
    /// As it is in force: off, shadow or on.
    pub mode: &'static str,
    /// Of its keys, for which share that holds.
    pub percent: u8,
    /// Seconds; null if the app's own header fields say how long.
    pub ttl: Option<u64>,
    /// Of bodies that this sidecar has fetched lately and that are fresh, as in `pannier_rule_bytes`.
    pub held_bytes: u64,
}

/// What is known beside the metrics.
pub(super) struct Surroundings<'a> {
    /// Whether the process is about to end.
    pub(super) draining: bool,
    pub(super) history: &'a History,
    /// What is not as it should be between sidecars.
    pub(super) fleet: &'a [String],
    /// Entries that the others had leave Redis in the last hour.
    pub(super) evicted_by_others: u64,
    pub(super) jobs: Summary,
    pub(super) purges: Vec<PurgeUnderWay>,
}

pub(super) fn look_over(
    live: &Live,
    stats: Stats,
    details: &Details,
    around: &Surroundings<'_>,
) -> Overview {
    let history = around.history;
    let is_shared = stats.redis.state != RedisState::Absent;
    let mut hour = history.sum_of_last(HOUR);
    hour.redis_evictions += around.evicted_by_others;
    let measured = Measured {
        memory_percent: stats.redis.usage.percent.filter(|_| is_shared),
        is_server_full_first: stats.redis.limited_by == Some(LimitedBy::Server),
        keys: match is_shared {
            true => stats.redis.usage.entries,
            false => stats.memory.entries,
        },
        tier: match is_shared {
            true => Tier::Redis,
            false => Tier::Memory,
        },
        hour,
    };
    let alerts = alerts::judge(&live.config.alerts, &measured);
    let state = state::judge(&Facts {
        draining: around.draining,
        fleet: around.fleet,
        failed_jobs: &around.jobs.failed,
        recent: history.sum_of_last(state::RECENT),
        redis: &stats.redis,
        jwt: stats.jwt.as_ref(),
        alerts: &alerts,
    });
    Overview {
        version: env!("CARGO_PKG_VERSION"),
        config_hash: format!("{:012x}", live.config.hash),
        state,
        alerts,
        advice: advice::advise(&stats, details),
        requests_per_second: history.last_rate(),
        routes: list_routes(live, details),
        jobs: around.jobs.clone(),
        purges: around.purges.clone(),
        fleet: None,
        stats,
    }
}

impl Overview {
    /// What a sidecar of this name, with this last hour, says to the others.
    pub(super) fn report(&self, name: &str, history: &History) -> Report {
        let (stats, total) = (&self.stats, &self.stats.total);
        Report {
            name: name.to_owned(),
            version: self.version.to_owned(),
            config_hash: self.config_hash.clone(),
            uptime: stats.uptime,
            state: self.state.word,
            requests_per_second: self.requests_per_second,
            counts: Counts {
                requests: total.requests,
                hits: total.hits,
                misses: total.misses,
                passes: total.passes,
                failures: total.failures,
                saved_seconds: total.saved_seconds.unwrap_or_default(),
            },
            evicted_in_hour: history.sum_of_last(HOUR).redis_evictions,
            memory_used_mb: stats.memory.used_mb,
            memory_limit_mb: stats.memory.limit_mb,
        }
    }
}

fn list_routes(live: &Live, details: &Details) -> Vec<RouteSettings> {
    let indexes = (0..live.config.routes.len()).map(Some).chain([None]);
    indexes
        .map(|index| {
            let rule = live.rule(index);
            let rollout = rule.dial.read();
            let name = rule.route.map_or("-", |route| &route.name);
            RouteSettings {
                name: name.to_owned(),
                held_bytes: details.held_bytes(name),
                priority: rule.settings.priority.as_str(),
                mode: rollout.mode.as_str(),
                percent: rollout.percent,
                ttl: rule.policy.ttl.map(|ttl| ttl.as_secs()),
            }
        })
        .collect()
}
