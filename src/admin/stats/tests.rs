use serde_json::{Value, json};

use super::*;
use crate::http_cache::Reason;
use crate::metrics::Metrics;
use crate::store::redis::{Diagnosis, RedisStatus};

fn json_of(metrics: &Metrics, status: &Status) -> Value {
    let families = metrics.registry.gather();
    serde_json::to_value(summarize(
        &families,
        status,
        None,
        BackgroundState::default(),
        Duration::from_millis(61_900),
    ))
    .unwrap()
}

#[test]
fn an_idle_sidecar_has_no_rates() {
    let none = json!({
        "requests": 0, "hits": 0, "misses": 0, "hit_rate": null,
        "memory": { "bytes": 0, "entries": 0 }, "redis": { "bytes": 0, "entries": 0 },
    });
    let app_requests = json!({
        "client": 0, "auth": 0, "revalidation": 0, "refresh-ahead": 0, "refetch": 0, "refresh": 0, "warm": 0, "audit": 0,
    });
    let redis = json!({
        "state": "absent", "since": null, "cause": null, "remedy": null, "used_mb": 0.0, "limit_mb": 0.0, "percent": null, "entries": 0, "evictions": 0,
        "pending_purges": 0, "tracking": false, "limited_by": null, "server_limit_mb": null, "connections": null, "shards": { "all": 0, "up": 0 }, "nearly_full": false, "last_error": null,
        "managed": { "state": "off", "maxmemory_mb": null, "cause": null },
    });
    let expected = json!({
        "uptime": 61,
        "requests": 0, "hits": 0, "stale": 0, "revalidated": 0, "collapsed": 0,
        "misses": 0, "passes": 0, "failures": 0, "hit_rate": null, "mean_hit_ms": null, "mean_app_ms": null,
        "saved_seconds": null,
        "memory": { "used_mb": 0.0, "limit_mb": 0.0, "percent": null, "entries": 0, "evictions": 0 },
        "auth": { "checks": 0, "failed": 0, "used": 0, "decisions": 0 },
            "jwt": null,
            "uncovered_writes": [],
        "shadow": { "same": 0, "stale": 0, "misses": 0, "uncompared": 0 },
        "audits": { "same": 0, "stale": 0, "misses": 0, "uncompared": 0 },
        "background": {
            "state": "free", "share": 1.0, "stopped_for": null, "stopped_seconds": 0.0, "running": 0, "waiting": 0,
        },
        "app_requests": app_requests,
        "redis": redis,
        "rules": {},
        "priorities": { "low": none, "medium": none, "high": none },
    });
    assert_eq!(json_of(&Metrics::new(), &Status::default()), expected);
}

#[test]
fn traffic_is_summed_by_rule_and_priority() {
    let metrics = Metrics::new();
    let ms = Duration::from_millis;
    let board = metrics.rule("board", Priority::High);
    board.answered(Reason::Miss, ms(900));
    board.answered(Reason::Hit, ms(1));
    board.answered(Reason::Collapsed, ms(2));
    board.answered(Reason::Stale, ms(1100));
    board.answered(Reason::Revalidated, ms(700));
    board.answered(Reason::StaleWhileRevalidate, ms(4));
    board.answered(Reason::OnlyIfCached, ms(5));
    let users = metrics.rule("users", Priority::Low);
    users.answered(Reason::Method, ms(10));
    users.answered(Reason::UpstreamError, ms(30));
    users.answered(Reason::Hit, ms(3));

    let stats = json_of(&metrics, &Status::default());
    let board = json!({
        "requests": 7, "hits": 1, "stale": 1, "revalidated": 1, "collapsed": 1,
        "misses": 3, "passes": 0, "failures": 0,
        "hit_rate": 0.1429, "mean_hit_ms": 1.0, "mean_app_ms": 1000.0, "saved_seconds": 1.0,
    });
    let users = json!({
        "requests": 3, "hits": 1, "stale": 0, "revalidated": 0, "collapsed": 0,
        "misses": 0, "passes": 1, "failures": 1,
        "hit_rate": 1.0, "mean_hit_ms": 3.0, "mean_app_ms": 10.0, "saved_seconds": 0.0,
    });
    assert_eq!(stats["rules"], json!({ "board": board, "users": users }));
    let totals = ["requests", "hits", "misses", "passes", "failures"].map(|name| &stats[name]);
    assert_eq!(totals, [10, 2, 3, 1, 1]);
    assert_eq!(stats["hit_rate"], 0.25);
    assert_eq!(stats["mean_hit_ms"], 2.0);
    assert_eq!(stats["mean_app_ms"], 670.0);
    assert_eq!(stats["priorities"]["high"]["hit_rate"], 0.1429);
    assert_eq!(stats["priorities"]["low"]["requests"], 3);
    assert_eq!(stats["priorities"]["medium"]["requests"], 0);
}

#[test]
fn tiers_are_read_from_the_gauges() {
    let metrics = Metrics::new();
    let bytes = |tier, priority| metrics.store_bytes.with_label_values(&[tier, priority]);
    bytes("memory", "low").set(1_000_000);
    bytes("memory", "high").set(2_500_000);
    bytes("redis", "high").set(18_000_000);
    bytes("redis", "low").set(-5);
    let entries = |tier, priority| metrics.store_entries.with_label_values(&[tier, priority]);
    entries("memory", "low").set(10);
    entries("memory", "high").set(5);
    metrics
        .store_limit
        .with_label_values(&["memory"])
        .set(7_000_000);
    metrics
        .store_limit
        .with_label_values(&["redis"])
        .set(20_000_000);
    metrics.redis_pending_purges.set(2);
    let evictions = |tier, priority| metrics.evictions.with_label_values(&[tier, priority]);
    evictions("memory", "low").inc_by(3);
    evictions("redis", "low").inc_by(4);
    evictions("redis", "high").inc_by(1);

    let stats = json_of(&metrics, &Status::default());
    let memory = json!({
        "used_mb": 3.5, "limit_mb": 7.0, "percent": 50.0, "entries": 15, "evictions": 3,
    });
    assert_eq!(stats["memory"], memory);
    assert_eq!(stats["redis"]["evictions"], 5);
    assert_eq!(stats["redis"]["percent"], 90.0);
    assert_eq!(stats["redis"]["pending_purges"], 2);
    let low = json!({ "bytes": 1_000_000, "entries": 10 });
    assert_eq!(stats["priorities"]["low"]["memory"], low);
}

#[test]
fn redis_is_up_down_or_absent() {
    let with = |up| Status {
        redis: Some(RedisStatus {
            up,
            tracking: up,
            last_error: (!up).then(|| "timed out".to_owned()),
            since: Duration::from_millis(5_900),
            diagnosis: (!up).then(|| Diagnosis {
                cause: "it does not answer".to_owned(),
                remedy: "see whether it runs".to_owned(),
            }),
            ..RedisStatus::default()
        }),
        ..Status::default()
    };
    let up = json_of(&Metrics::new(), &with(true))["redis"].clone();
    assert_eq!(
        (&up["state"], &up["tracking"]),
        (&json!("up"), &json!(true))
    );
    assert_eq!((&up["since"], &up["cause"]), (&json!(5), &Value::Null));
    let down = json_of(&Metrics::new(), &with(false))["redis"].clone();
    assert_eq!(
        (&down["state"], &down["last_error"]),
        (&json!("down"), &json!("timed out"))
    );
    assert_eq!(down["cause"], "it does not answer");
    assert_eq!(down["remedy"], "see whether it runs");
}
