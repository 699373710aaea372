//! What would make the cache better, in words, each with its figures of the last hour and the line of the config that it is
//! about.

mod counted;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::Method;
use serde::Serialize;

use super::stats::{LimitedBy, RedisState, Stats};
use crate::config::Config;
use crate::entry::Priority;
use crate::metrics::UncoveredWrites;
use crate::observe::{Report, RuleReport};
use crate::politeness::RequestRate;
pub(super) use counted::{Counted, Past};

/// Fewer requests say nothing of a route.
const ENOUGH_REQUESTS: u64 = 100;

/// A route with fewer hits than one in so many is told.
const FEW_HITS: u64 = 20;

/// Fewer answers that were fetched again say nothing of a TTL.
const ENOUGH_EXPIRED: u64 = 50;

/// A route that holds so many times more of the bytes than it brings of the hits is told.
const COSTLY: f64 = 3.0;

/// Percent of the bytes below which it is not.
const LARGE_SHARE: f64 = 20.0;

/// Percent of the budget from which on it is told.
const NEARLY_FULL: f64 = 90.0;

/// Percent of a server's connections from which on it is told.
const MANY_CONNECTIONS: u64 = 80;

/// Where what waits in the background has its turn within so long, there is nothing to say.
const SOON: Duration = Duration::from_secs(10);

/// Of the writes that nothing covers, the most frequent.
const MAX_WRITES: usize = 3;

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The line of the config that it is about.
    pub about: String,
    /// What was measured, and what to do about it.
    pub words: String,
}

/// What it is judged by, beside the sums of `/stats`.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// In the last hour.
    hour: Counted,
    /// `[redis] timeout`.
    timeout: Duration,
    /// `[upstream] background.rate`
    background_rate: Option<RequestRate>,
    /// What fills have shown of each rule.
    observed: BTreeMap<String, RuleReport>,
    /// Of each rule in force.
    priorities: BTreeMap<String, Priority>,
    /// Of certificates that end soon, in words.
    certificates: Vec<(&'static str, String)>,
}

impl Details {
    /// `hour`: what was counted in the last one; `now`: for the ends of certificates.
    pub(super) fn new(
        mut hour: Counted,
        config: &Config,
        observed: Report,
        now: SystemTime,
    ) -> Details {
        let timeout = config.redis.as_ref().map(|redis| redis.timeout);
        let certificates = config.shown_certificates();
        let certificates = certificates.iter();
        let routes = config.routes.iter();
        hour.uncovered.retain(|(method, shape), count| {
            *count > 0 && shape != UncoveredWrites::OTHER && !is_covered(config, method, shape)
        });
        Details {
            hour,
            timeout: timeout.unwrap_or_default(),
            background_rate: Some(config.upstream.background.rate),
            observed: observed.rules,
            priorities: routes
                .map(|route| (route.name.clone(), route.settings.priority))
                .collect(),
            certificates: certificates
                .filter_map(|shown| Some((shown.key, shown.warn(now)?)))
                .collect(),
        }
    }
}

impl Details {
    /// Bytes of bodies that this sidecar has fetched of a rule lately, and that are fresh.
    pub(super) fn held_bytes(&self, rule: &str) -> u64 {
        self.observed.get(rule).map_or(0, |seen| seen.held_bytes)
    }
}

/// Whether a purge rule in force is for all such writes; those of before it are told no more.
fn is_covered(config: &Config, method: &str, shape: &str) -> bool {
    let Ok(method) = method.parse::<Method>() else {
        return false;
    };
    config.purges.iter().any(|rule| {
        let is_for_all = rule.when.is_empty() && rule.unless.is_empty();
        // The braces of a shape are a value like any other.
        is_for_all && rule.is_for(&method) && rule.matcher.at(shape).is_some()
    })
}

/// All that is to be said.
pub(super) fn advise(stats: &Stats, details: &Details) -> Vec<Advice> {
    let mut advice = Vec::new();
    advice.extend(advise_on_space(stats, details));
    advice.extend(advise_on_routes(details));
    advice.extend(advise_on_lives(details));
    advice.extend(advise_on_certificates(details));
    advice.extend(advise_on_redis(stats, details));
    advice.extend(advise_on_connections(stats));
    advice.extend(advise_on_background(stats, details));
    advice.extend(advise_on_writes(details));
    advice
}

fn advise_on_space(stats: &Stats, details: &Details) -> Vec<Advice> {
    let mut advice = Vec::new();
    let is_shared = stats.redis.state != RedisState::Absent;
    let usage = match is_shared {
        true => &stats.redis.usage,
        false => &stats.memory,
    };
    let evictions = match is_shared {
        true => details.hour.redis_evictions,
        false => details.hour.memory_evictions,
    };
    if usage.percent.is_some_and(|percent| percent >= NEARLY_FULL) || evictions != [0; 3] {
        advice.extend(advise_on_costly_routes(details));
        advice.extend(advise_on_short_lives(details, evictions));
    }
    if !is_shared {
        return advice;
    }
    if let Some(percent) = usage.percent.filter(|percent| *percent >= NEARLY_FULL) {
        let held = |priority: &str| {
            let held = stats.priorities.get(priority);
            held.map_or(0.0, |held| held.redis.bytes as f64 / 1e6)
        };
        let (whose, larger) = match stats.redis.limited_by {
            Some(LimitedBy::Server) => (
                " that the server's memory leaves",
                "more memory for the server",
            ),
            _ => ("", "a larger [budget] max"),
        };
        let words = format!(
            "Redis holds {:.1} of {:.1} MB{whose} ({percent} %), of which {:.1} MB are of low and {:.1} MB of medium \
             priority; shorter TTLs there, or {larger}, leave room",
            usage.used_mb,
            usage.limit_mb,
            held("low"),
            held("medium"),
        );
        advice.push(Advice {
            about: "[budget] max".into(),
            words,
        });
    }
    let high_evicted = evictions[Priority::High.index()];
    if high_evicted > 0 {
        let words = format!(
            "{high_evicted} entries of high priority left Redis for space in the last hour, after all that was lower: give \
             it more room, or fewer routes high priority"
        );
        advice.push(Advice {
            about: "[budget] max".into(),
            words,
        });
    }
    advice
}

/// Where there is no room for all: which routes take much of it for few hits.
fn advise_on_costly_routes(details: &Details) -> Vec<Advice> {
    let held: u64 = details.observed.values().map(|seen| seen.held_bytes).sum();
    let rules = &details.hour.rules;
    let hits: u64 = rules.values().map(|counted| counted.hits).sum();
    if held == 0 || hits < ENOUGH_REQUESTS {
        return Vec::new();
    }
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
    let observed = details.observed.iter();
    let costly = observed.filter_map(|(name, seen)| {
        let brought = rules.get(name).map_or(0, |counted| counted.hits);
        let (bytes, gain) = (percent(seen.held_bytes, held), percent(brought, hits));
        (bytes >= LARGE_SHARE && bytes >= COSTLY * gain).then(|| Advice {
            about: format!("[[route]] {name} priority"),
            words: format!(
                "route {name} holds {:.1} MB, {bytes:.0} % of what was stored lately, and brings {gain:.0} % of the hits: \
                 priority = \"low\" or a shorter ttl there keeps the rest longer",
                seen.held_bytes as f64 / 1e6
            ),
        })
    });
    costly.collect()
}

/// Where there is no room for all: which TTLs promise more than there is room for.
fn advise_on_short_lives(details: &Details, evictions: [u64; 3]) -> Vec<Advice> {
    let observed = details.observed.iter();
    let short = observed.filter_map(|(name, seen)| {
        let priority = details.priorities.get(name)?;
        let evicted = evictions[priority.index()];
        let again = seen.early + seen.same + seen.changed;
        // What a purge has removed is mostly another answer when it comes again.
        let is_of_space = evicted >= ENOUGH_EXPIRED && seen.early_same * 2 >= seen.early;
        let is_told = seen.early >= ENOUGH_EXPIRED && seen.early * 2 >= again && is_of_space;
        is_told.then(|| Advice {
            about: format!("[[route]] {name} ttl"),
            words: format!(
                "route {name}: {} of {again} answers that were fetched again were gone before their ttl, and {evicted} \
                 entries of {} priority left for space in the last hour: its ttl promises more than there is room for. A \
                 larger [budget] max, a higher priority, or shorter ttls elsewhere keep them",
                seen.early,
                priority.as_str()
            ),
        })
    });
    short.collect()
}

fn advise_on_routes(details: &Details) -> Vec<Advice> {
    let rules = details.hour.rules.iter();
    let few = rules.filter(|(name, counted)| {
        *name != "-"
            && counted.requests >= ENOUGH_REQUESTS
            && counted.hits * FEW_HITS < counted.requests
    });
    let told = few.filter_map(|(name, counted)| {
        let (word, count) = counted.foremost()?;
        // Else it is rather that nobody asks twice.
        (count * 2 >= counted.requests).then(|| Advice {
            about: format!("[[route]] {name}"),
            words: format!(
                "route {name}: {} hits of {} requests in the last hour; {count} times the reason was \"{word}\". pannier \
                 explain names the line of the config that lifts it",
                counted.hits, counted.requests
            ),
        })
    });
    told.collect()
}

/// Of TTLs: what is fetched again though nobody has read it.
fn advise_on_lives(details: &Details) -> Vec<Advice> {
    let observed = details.observed.iter().filter(|(name, _)| *name != "-");
    let unread = observed.filter_map(|(name, seen)| {
        let expired = seen.same + seen.changed;
        (expired >= ENOUGH_EXPIRED && seen.unread * 2 >= expired).then(|| Advice {
            about: format!("[[route]] {name} ttl"),
            words: format!(
                "route {name}: {} of {expired} answers that expired and were fetched again had not been read meanwhile: a \
                 shorter ttl leaves the room to others, and a longer one makes hits of them if they may be so old",
                seen.unread
            ),
        })
    });
    unread.collect()
}

fn advise_on_certificates(details: &Details) -> Vec<Advice> {
    let ends = details.certificates.iter();
    let told = ends.map(|(key, words)| Advice {
        about: (*key).to_owned(),
        words: words.clone(),
    });
    told.collect()
}

fn advise_on_redis(stats: &Stats, details: &Details) -> Option<Advice> {
    let (count, seconds) = (details.hour.gets, details.hour.get_seconds);
    if stats.redis.state == RedisState::Absent || count < ENOUGH_REQUESTS {
        return None;
    }
    let (mean, timeout) = (
        seconds * 1e3 / count as f64,
        details.timeout.as_secs_f64() * 1e3,
    );
    let timeouts = details.hour.timeouts;
    let is_slow = mean * 2.0 > timeout || timeouts * 100 >= count;
    is_slow.then(|| Advice {
        about: "[redis] timeout".into(),
        words: format!(
            "Redis takes {mean:.1} ms for a lookup or a lease, and {timeouts} commands of the last hour took longer than the timeout of \
             {timeout} ms: it is loaded or far away. Nearer, it saves more; a longer timeout makes hits of what is a miss now"
        ),
    })
}

fn advise_on_connections(stats: &Stats) -> Option<Advice> {
    let connections = stats.redis.connections?;
    let is_near = connections.used * 100 >= connections.max * MANY_CONNECTIONS;
    is_near.then(|| Advice {
        about: "[redis] connections".into(),
        words: format!(
            "{} of the {} connections that Redis lets in are in use, by all who use it: past that sidecars that start are \
             turned away. Fewer [redis] connections, or a larger plan",
            connections.used, connections.max
        ),
    })
}

/// Where more is to be renewed than the rate lets through.
fn advise_on_background(stats: &Stats, details: &Details) -> Option<Advice> {
    let (background, rate) = (&stats.background, details.background_rate?);
    let waiting = u32::try_from(background.waiting).unwrap_or(u32::MAX);
    let last = rate.interval().saturating_mul(waiting);
    // Else the app, and not the config, holds it back.
    let is_slow = background.state == "free" && last >= SOON;
    is_slow.then(|| Advice {
        about: "[upstream] background.rate".into(),
        words: format!(
            "{waiting} fetches that no client waits for wait for their turn, {:.0} s at {rate}: what is served stale stays \
             so meanwhile. A higher rate, if the app bears it, or longer TTLs",
            last.as_secs_f64(),
        ),
    })
}

fn advise_on_writes(details: &Details) -> Vec<Advice> {
    let mut writes: Vec<_> = details.hour.uncovered.iter().collect();
    writes.sort_by_key(|(_, count)| Reverse(**count));
    let writes = writes.into_iter().take(MAX_WRITES);
    let told = writes.map(|((method, shape), count)| Advice {
        about: "[[purge]]".into(),
        words: format!(
            "{method} {shape} succeeded {count} times in the last hour near what is cached, and no purge rule names it: \
             what it changes is served stale until its TTL ends"
        ),
    });
    told.collect()
}

#[cfg(test)]
mod tests;
