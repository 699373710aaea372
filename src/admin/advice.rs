//! What would make the cache better, in words, each with its figures and the line of the config that it is about.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prometheus::proto::MetricFamily;
use serde::Serialize;

use super::stats::families::{find_samples, label};
use super::stats::{RedisState, Stats};
use crate::config::Config;
use crate::http_cache::{Outcome, Reason};
use crate::observe::{Report, RuleReport};
use crate::politeness::RequestRate;

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

/// What is measured and in no sum.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// How often each word was the reason for no hit, by rule.
    reasons: BTreeMap<String, BTreeMap<String, u64>>,
    /// Lookups in Redis: how many, and their seconds.
    gets: (u64, f64),
    /// Commands that took longer than the timeout.
    timeouts: u64,
    /// Entries of high priority that left Redis for space.
    high_evicted: u64,
    /// `[redis] timeout`.
    timeout: Duration,
    /// `[upstream] background.rate`
    background_rate: Option<RequestRate>,
    /// What fills have shown of each rule.
    observed: BTreeMap<String, RuleReport>,
    /// Of certificates that end soon, in words.
    certificates: Vec<(&'static str, String)>,
}

impl Details {
    /// `now`: for the ends of certificates.
    pub(super) fn read(
        families: &[MetricFamily],
        config: &Config,
        observed: Report,
        now: SystemTime,
    ) -> Details {
        let timeout = config.redis.as_ref().map(|redis| redis.timeout);
        let certificates = config.shown_certificates();
        let certificates = certificates.iter();
        let mut details = Details {
            timeout: timeout.unwrap_or_default(),
            background_rate: Some(config.upstream.background.rate),
            observed: observed.rules,
            certificates: certificates
                .filter_map(|shown| Some((shown.key, shown.warn(now)?)))
                .collect(),
            ..Details::default()
        };
        for metric in find_samples(families, "pannier_requests_total") {
            let word = label(metric, "reason");
            let reason = Reason::ALL
                .into_iter()
                .find(|reason| reason.as_str() == word);
            if reason.is_some_and(|reason| reason.outcome() == Outcome::Pass) {
                details.count(
                    label(metric, "rule"),
                    word,
                    metric.get_counter().get_value(),
                );
            }
        }
        for metric in find_samples(families, "pannier_not_stored_total") {
            let (rule, word) = (label(metric, "rule"), label(metric, "reason"));
            details.count(rule, word, metric.get_counter().get_value());
        }
        for metric in find_samples(families, "pannier_redis_duration_seconds") {
            if label(metric, "command") == "get" {
                let histogram = metric.get_histogram();
                details.gets.0 += histogram.get_sample_count();
                details.gets.1 += histogram.get_sample_sum();
            }
        }
        let counted = |family, name, value| -> u64 {
            find_samples(families, family)
                .filter(|metric| label(metric, name) == value)
                .filter(|metric| {
                    family != "pannier_evictions_total" || label(metric, "tier") == "redis"
                })
                .map(|metric| metric.get_counter().get_value() as u64)
                .sum()
        };
        details.timeouts = counted("pannier_redis_errors_total", "kind", "timeout");
        details.high_evicted = counted("pannier_evictions_total", "priority", "high");
        details
    }

    fn count(&mut self, rule: &str, word: &str, count: f64) {
        let words = self.reasons.entry(rule.to_owned()).or_default();
        *words.entry(word.to_owned()).or_default() += count as u64;
    }

    /// The most frequent reason of a rule for no hit.
    fn foremost(&self, rule: &str) -> Option<(&str, u64)> {
        let words = self.reasons.get(rule)?.iter();
        let most = words.max_by_key(|(_, count)| **count)?;
        (*most.1 > 0).then_some((most.0.as_str(), *most.1))
    }
}

/// All that is to be said.
pub(super) fn advise(stats: &Stats, details: &Details) -> Vec<Advice> {
    let mut advice = Vec::new();
    advice.extend(advise_on_space(stats, details));
    advice.extend(advise_on_routes(stats, details));
    advice.extend(advise_on_lives(details));
    advice.extend(advise_on_certificates(details));
    advice.extend(advise_on_redis(stats, details));
    advice.extend(advise_on_connections(stats));
    advice.extend(advise_on_background(stats, details));
    advice.extend(advise_on_writes(stats));
    advice
}

fn advise_on_space(stats: &Stats, details: &Details) -> Vec<Advice> {
    let mut advice = Vec::new();
    let is_shared = stats.redis.state != RedisState::Absent;
    let usage = match is_shared {
        true => &stats.redis.usage,
        false => &stats.memory,
    };
    if usage.percent.is_some_and(|percent| percent >= NEARLY_FULL) || usage.evictions > 0 {
        advice.extend(advise_on_costly_routes(stats, details));
    }
    if !is_shared {
        return advice;
    }
    if let Some(percent) = usage.percent.filter(|percent| *percent >= NEARLY_FULL) {
        let held = |priority: &str| {
            let held = stats.priorities.get(priority);
            held.map_or(0.0, |held| held.redis.bytes as f64 / 1e6)
        };
        let words = format!(
            "Redis holds {:.1} of {:.1} MB ({percent} %), of which {:.1} MB are of low and {:.1} MB of medium priority; \
             shorter TTLs there, or a larger [budget] max, leave room",
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
    if details.high_evicted > 0 {
        let words = format!(
            "{} entries of high priority left Redis for space, after all that was lower: give it more room, or fewer \
             routes high priority",
            details.high_evicted
        );
        advice.push(Advice {
            about: "[budget] max".into(),
            words,
        });
    }
    advice
}

/// Where there is no room for all: which routes take much of it for few hits.
fn advise_on_costly_routes(stats: &Stats, details: &Details) -> Vec<Advice> {
    let held: u64 = details.observed.values().map(|seen| seen.held_bytes).sum();
    let hits: u64 = stats.rules.values().map(|traffic| traffic.hits).sum();
    if held == 0 || hits < ENOUGH_REQUESTS {
        return Vec::new();
    }
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
    let observed = details.observed.iter();
    let costly = observed.filter_map(|(name, seen)| {
        let brought = stats.rules.get(name).map_or(0, |traffic| traffic.hits);
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

fn advise_on_routes(stats: &Stats, details: &Details) -> Vec<Advice> {
    let rules = stats.rules.iter();
    let few = rules.filter(|(name, traffic)| {
        *name != "-"
            && traffic.requests >= ENOUGH_REQUESTS
            && traffic.hits * FEW_HITS < traffic.requests
    });
    let told = few.filter_map(|(name, traffic)| {
        let (word, count) = details.foremost(name)?;
        // Else it is rather that nobody asks twice.
        (count * 2 >= traffic.requests).then(|| Advice {
            about: format!("[[route]] {name}"),
            words: format!(
                "route {name}: {} hits of {} requests; {count} times the reason was \"{word}\". pannier explain names \
                 the line of the config that lifts it",
                traffic.hits, traffic.requests
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
    let (count, seconds) = details.gets;
    if stats.redis.state == RedisState::Absent || count < ENOUGH_REQUESTS {
        return None;
    }
    let (mean, timeout) = (
        seconds * 1e3 / count as f64,
        details.timeout.as_secs_f64() * 1e3,
    );
    let is_slow = mean * 2.0 > timeout || details.timeouts * 100 >= count;
    is_slow.then(|| Advice {
        about: "[redis] timeout".into(),
        words: format!(
            "Redis takes {mean:.1} ms for a lookup, and {} commands took longer than the timeout of {timeout} ms: it is \
             loaded or far away. Nearer, it saves more; a longer timeout makes hits of what is a miss now",
            details.timeouts
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

fn advise_on_writes(stats: &Stats) -> Vec<Advice> {
    let writes = stats.uncovered_writes.iter().take(MAX_WRITES);
    let told = writes.map(|write| Advice {
        about: "[[purge]]".into(),
        words: format!(
            "{} {} succeeded {} times near what is cached, and no purge rule names it: what it changes is served stale \
             until its TTL ends",
            write.method, write.path, write.count
        ),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::admin::stats::summarize;
    use crate::config::Env;
    use crate::entry::Priority;
    use crate::gate::BackgroundState;
    use crate::metrics::Metrics;
    use crate::store::Status;
    use crate::store::redis::{RedisStatus, ServerConnections};

    fn advice_on(change: impl FnOnce(&Metrics)) -> Vec<String> {
        advice_after(change, Report::default())
    }

    fn advice_after(change: impl FnOnce(&Metrics), observed: Report) -> Vec<String> {
        advise_with(change, observed, None, BackgroundState::default())
    }

    fn advise_with(
        change: impl FnOnce(&Metrics),
        observed: Report,
        connections: Option<ServerConnections>,
        background: BackgroundState,
    ) -> Vec<String> {
        let text =
            "[upstream]\nurl = \"http://app\"\n[redis]\nurl = \"redis://r\"\ntimeout = \"50ms\"\n";
        let config = Config::parse(text, "p.toml", &Env::default());
        let config = config.expect("a right config").config;
        let metrics = Metrics::new();
        metrics
            .store_limit
            .with_label_values(&["redis"])
            .set(20_000_000);
        change(&metrics);
        let families = metrics.registry.gather();
        let status = Status {
            redis: Some(RedisStatus {
                up: true,
                connections,
                ..RedisStatus::default()
            }),
            ..Status::default()
        };
        let stats = summarize(&families, &status, None, background, Duration::ZERO);
        let details = Details::read(&families, &config, observed, UNIX_EPOCH);
        let advice = advise(&stats, &details);
        advice.into_iter().map(|advice| advice.words).collect()
    }

    fn answers(metrics: &Metrics, hits: u64, passes: u64, misses: u64) {
        let rule = metrics.rule("users", Priority::Medium);
        for (count, reason) in [
            (hits, Reason::Hit),
            (passes, Reason::UnkeyedQuery),
            (misses, Reason::Miss),
        ] {
            (0..count).for_each(|_| rule.answered(reason, Duration::from_millis(1)));
        }
    }

    fn lookups(metrics: &Metrics, milliseconds: f64) {
        let get = metrics.redis_seconds.with_label_values(&["get"]);
        (0..100).for_each(|_| get.observe(milliseconds / 1e3));
    }

    type Scene = fn(&Metrics);

    /// What brings each piece of advice out, and what is near it and does not.
    #[test]
    fn each_has_a_scene_that_brings_it_out_and_one_that_does_not() {
        let rows: [(&str, Scene, Scene); 6] = [
            (
                "Redis holds 18.4 of 20.0 MB (92 %)",
                |m| {
                    m.store_bytes
                        .with_label_values(&["redis", "low"])
                        .set(18_400_000)
                },
                |m| {
                    m.store_bytes
                        .with_label_values(&["redis", "low"])
                        .set(17_900_000)
                },
            ),
            (
                "3 entries of high priority left Redis",
                |m| m.evictions.with_label_values(&["redis", "high"]).inc_by(3),
                |m| m.evictions.with_label_values(&["memory", "high"]).inc_by(3),
            ),
            (
                "route users: 2 hits of 100 requests; 98 times the reason was \"unkeyed-query\"",
                |m| answers(m, 2, 98, 0),
                |m| answers(m, 5, 95, 0),
            ),
            (
                "route users: 0 hits of 120 requests; 120 times the reason was \"unkeyed-query\"",
                |m| answers(m, 0, 120, 0),
                |m| answers(m, 0, 10, 110),
            ),
            (
                "Redis takes 30.0 ms for a lookup",
                |m| lookups(m, 30.0),
                |m| lookups(m, 20.0),
            ),
            (
                "PUT /api/profile succeeded 2 times",
                |m| {
                    m.uncovered_writes.note("PUT", "/api/profile");
                    m.uncovered_writes.note("PUT", "/api/profile");
                },
                |_| {},
            ),
        ];
        for (begins, scene, near) in rows {
            let found = advice_on(scene);
            assert_eq!(found.len(), 1, "{begins}: {found:?}");
            assert!(found[0].starts_with(begins), "{found:?}");
            assert_eq!(advice_on(near), Vec::<String>::new(), "near {begins}");
        }
    }

    fn observed(rules: &[(&str, RuleReport)]) -> Report {
        let rules = rules
            .iter()
            .map(|(name, seen)| (String::from(*name), seen.clone()));
        Report {
            seconds: 600,
            rules: rules.collect(),
            ..Report::default()
        }
    }

    fn holding(held_bytes: u64) -> RuleReport {
        RuleReport {
            held_bytes,
            ..RuleReport::default()
        }
    }

    #[test]
    fn what_takes_much_room_for_few_hits_is_told_where_there_is_no_room() {
        let full = |bytes: i64| {
            move |metrics: &Metrics| {
                answers(metrics, 1000, 0, 0);
                let gauge = metrics.store_bytes.with_label_values(&["redis", "low"]);
                gauge.set(bytes);
            }
        };
        // `users` brings all hits.
        let costly = observed(&[
            ("users", holding(7_000_000)),
            ("export", holding(3_000_000)),
        ]);
        let said = advice_after(full(19_000_000), costly.clone());
        let words =
            "route export holds 3.0 MB, 30 % of what was stored lately, and brings 0 % of the hits";
        assert!(said.iter().any(|said| said.contains(words)), "{said:?}");
        assert!(
            !said.iter().any(|said| said.contains("route users")),
            "{said:?}"
        );

        assert_eq!(
            advice_after(full(17_000_000), costly),
            [""; 0],
            "there is room"
        );
        let small = observed(&[
            ("users", holding(9_000_000)),
            ("export", holding(1_000_000)),
        ]);
        let said = advice_after(full(19_000_000), small);
        assert!(
            !said.iter().any(|said| said.contains("route export")),
            "{said:?}"
        );
    }

    #[test]
    fn lives_that_nobody_uses_are_told() {
        let expired = |unread| RuleReport {
            same: 60,
            changed: 40,
            unread,
            ..RuleReport::default()
        };
        let said = advice_after(|_| {}, observed(&[("users", expired(50))]));
        assert!(
            said[0].starts_with("route users: 50 of 100 answers that expired"),
            "{said:?}"
        );
        assert_eq!(
            advice_after(|_| {}, observed(&[("users", expired(49))])),
            [""; 0]
        );
        let few = RuleReport {
            same: 49,
            unread: 49,
            ..RuleReport::default()
        };
        assert_eq!(advice_after(|_| {}, observed(&[("users", few)])), [""; 0]);
    }

    #[test]
    fn a_server_with_few_connections_left_is_told() {
        for (used, told) in [(23, false), (24, true), (30, true)] {
            let connections = Some(ServerConnections { used, max: 30 });
            let said = advise_with(|_| {}, Report::default(), connections, Default::default());
            assert_eq!(!said.is_empty(), told, "{used}: {said:?}");
        }
    }

    #[test]
    fn a_rate_that_is_too_low_for_what_is_to_be_renewed_is_told() {
        let state = |waiting, share, stopped_for| BackgroundState {
            stopped_for,
            share,
            waiting,
            ..BackgroundState::default()
        };
        for (state, told) in [
            (state(200, 1.0, None), true),
            (state(199, 1.0, None), false),
            (state(900, 0.5, None), false),
            (state(900, 1.0, Some(Duration::from_secs(3))), false),
        ] {
            let said = advise_with(|_| {}, Report::default(), None, state);
            assert_eq!(!said.is_empty(), told, "{state:?}: {said:?}");
        }
    }
}
