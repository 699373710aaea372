use std::time::UNIX_EPOCH;

use super::*;
use crate::admin::stats::summarize;
use crate::config::Env;
use crate::gate::BackgroundState;
use crate::http_cache::Reason;
use crate::metrics::Metrics;
use crate::store::Status;
use crate::store::redis::{RedisStatus, ServerConnections};

fn advice_on(change: impl FnOnce(&Metrics)) -> Vec<String> {
    advice_after(change, Report::default())
}

fn advice_after(change: impl FnOnce(&Metrics), observed: Report) -> Vec<String> {
    advise_with(change, observed, None, BackgroundState::default())
}

const CONFIG: &str = r#"
[upstream]
url = "http://app"
[redis]
url = "redis://r"
timeout = "50ms"
[[route]]
name = "users"
path = "/api/users/{id}"
key = "user:{path.id}"
ttl = "5m"
[[purge]]
name = "users"
path = "/api/users/{id}"
methods = ["PUT"]
keys = ["user:{path.id}"]
[[purge]]
name = "moves"
path = "/api/users/{id}/move"
when = { "body.kind" = "far" }
keys = ["user:{path.id}"]
"#;

fn advise_with(
    change: impl FnOnce(&Metrics),
    observed: Report,
    connections: Option<ServerConnections>,
    background: BackgroundState,
) -> Vec<String> {
    let config = Config::parse(CONFIG, "p.toml", &Env::default());
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
    let details = Details::new(Counted::read(&families), &config, observed, UNIX_EPOCH);
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
    let rows: [(&str, Scene, Scene); 8] = [
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
            "3 entries of high priority left Redis for space in the last hour",
            |m| m.evictions.with_label_values(&["redis", "high"]).inc_by(3),
            |m| m.evictions.with_label_values(&["memory", "high"]).inc_by(3),
        ),
        (
            "route users: 2 hits of 100 requests in the last hour; 98 times the reason was \"unkeyed-query\"",
            |m| answers(m, 2, 98, 0),
            |m| answers(m, 5, 95, 0),
        ),
        (
            "route users: 0 hits of 120 requests in the last hour; 120 times the reason was \"unkeyed-query\"",
            |m| answers(m, 0, 120, 0),
            |m| answers(m, 0, 10, 110),
        ),
        (
            "Redis takes 30.0 ms for a lookup",
            |m| lookups(m, 30.0),
            |m| lookups(m, 20.0),
        ),
        (
            "PUT /api/profile succeeded 2 times in the last hour",
            |m| {
                m.uncovered_writes.note("PUT", "/api/profile");
                m.uncovered_writes.note("PUT", "/api/profile");
            },
            // A rule for it has been added since.
            |m| {
                m.uncovered_writes.note("PUT", "/api/users/{id}");
            },
        ),
        (
            "POST /api/users/{id} succeeded 1 times",
            |m| {
                m.uncovered_writes.note("POST", "/api/users/{id}");
            },
            |m| {
                let other = [UncoveredWrites::OTHER; 2];
                let counters = &m.uncovered_writes.counters;
                counters.with_label_values(&other).inc();
            },
        ),
        (
            // Its rule is for some of them alone.
            "PUT /api/users/{id}/move succeeded 1 times",
            |m| {
                m.uncovered_writes.note("PUT", "/api/users/{id}/move");
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
fn lives_that_space_ends_are_told() {
    let gone = |early, early_same| {
        let users = RuleReport {
            early,
            early_same,
            same: 20,
            changed: 20,
            ..RuleReport::default()
        };
        observed(&[("users", users)])
    };
    let evicted = |count| {
        move |metrics: &Metrics| {
            let counter = metrics.evictions.with_label_values(&["redis", "medium"]);
            counter.inc_by(count);
        }
    };
    let said = advice_after(evicted(300), gone(60, 50));
    let words = "route users: 60 of 100 answers that were fetched again were gone before their ttl, and 300 entries of \
                 medium priority left for space in the last hour";
    assert!(said.iter().any(|said| said.starts_with(words)), "{said:?}");
    for (name, count, report) in [
        ("nothing left for space", 0, gone(60, 50)),
        ("few did", 49, gone(60, 50)),
        ("purges end them", 300, gone(60, 29)),
        ("few are gone early", 300, gone(49, 49)),
    ] {
        assert_eq!(advice_after(evicted(count), report), [""; 0], "{name}");
    }
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
