//! The byte budget, and indexes that hold nothing that is not there (promises I5, I7).

use std::time::Duration;

use pannier::config::Coherence::Strict;
use pannier::entry::Priority;
use pannier::http_cache::Reason;
use pannier::routes::{Pattern, Purge};

use super::store_under_test::{SHORT, Sidecar, Variation, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const INDEXES: [(&str, &str); 5] = [
    ("ZCARD", "{test}:v2:ix"),
    ("ZCARD", "{test}:v2:ex"),
    ("ZCARD", "{test}:v2:lx"),
    ("ZCARD", "{test}:v2:tx"),
    ("HLEN", "{test}:v2:m"),
];

fn assert_empty(redis: &RedisServer, when: &str) {
    for (command, name) in INDEXES {
        let members = redis.number(&[command, name]);
        assert_eq!(members, 1, "{name} {when}: none but the one that stays");
    }
    for field in ["b0", "b1", "b2", "n0", "n1", "n2", "l"] {
        let counter = redis.number(&["HGET", "{test}:v2:by", field]);
        assert_eq!(counter, 0, "{field} {when}");
    }
}

fn everything() -> Purge {
    Purge {
        everything: true,
        ..Purge::default()
    }
}

#[tokio::test]
async fn counts_by_priority() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (key, priority) in [
        ("a", Priority::Low),
        ("b", Priority::High),
        ("c", Priority::High),
    ] {
        let variation = Variation {
            priority,
            ..Variation::default()
        };
        a.fill_as(key, "x", variation).await.expect("stored");
    }
    let counts = ["n0", "n1", "n2"].map(|field| redis.number(&["HGET", "{test}:v2:by", field]));
    assert_eq!(counts, [1, 0, 2]);
    let status = a.redis_status().await;
    assert_eq!(status.entries, 3);
    assert!(status.bytes > 3 * 300, "{}", status.bytes);
}

#[tokio::test]
async fn storing_again_counts_once() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("a", "x").await.expect("stored");
    let once = a.redis_status().await.bytes;
    for _ in 0..5 {
        a.fill("a", "x").await.expect("stored");
    }
    assert_eq!(a.redis_status().await.bytes, once);
    assert_eq!(a.redis_status().await.entries, 1);
}

/// A full Redis keeps so much of an entry that purges made elsewhere find it (promises I2, I5).
#[tokio::test]
async fn memory_has_what_redis_has_no_room_for() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let b = Sidecar::with_budget(&redis, MAX).await;
    let body = "x".repeat(10_000);
    for i in 0..30 {
        a.fill(&format!("a:{i}"), &body).await.expect("somewhere");
    }
    let bytes = a.redis_status().await.bytes;
    assert!(bytes <= MAX, "{bytes}");
    let in_redis = redis.cli(&["KEYS", "{test}:v2:e:*"]);
    assert_eq!(in_redis.lines().count(), 30, "entries and stubs");
    assert_eq!(b.fetched("a:29").await, None, "a stub is nothing");
    for i in 0..30 {
        let key = format!("a:{i}");
        assert_eq!(a.remembered(&key), Some(body.clone()), "{key}");
    }

    // Two that have it do not take it from each other.
    b.fill("a:29", &body).await.expect("in memory");
    a.redis_status().await;
    assert_eq!(a.remembered("a:29"), Some(body.clone()));
    assert_eq!(b.remembered("a:29"), Some(body.clone()));

    let by_tag = Purge {
        tags: vec![Pattern::literal("t:a:28")],
        ..Purge::default()
    };
    for (key, purge) in [
        ("a:29", purge_key("a:29")),
        ("a:28", by_tag),
        ("a:27", purge_key("a:2*")),
    ] {
        b.store.purge(purge).await;
        eventually("a is told", SHORT, || async { a.remembered(key).is_none() }).await;
    }
    // Two hosts under one key, each with tags of its own: one purge by tag takes both from memory.
    for host in ["one.example", "two.example"] {
        a.fill_as("a:26", &body, Variation::of(host))
            .await
            .expect("in memory");
    }
    assert!(a.remembered("a:26").is_some());
    let strict = a.store.begin("a:29", SHORT).await;
    let put = a
        .store
        .commit(strict, variant("a:29", &"x".repeat(200_000)), Strict, None);
    assert_eq!(
        put.await,
        Err(Reason::BudgetFull),
        "memory is not for strict rules"
    );
}

#[tokio::test]
async fn nothing_remains_of_what_expired() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let brief = Variation {
        lifetime: Some(Duration::from_millis(50)),
        ..Variation::default()
    };
    for i in 0..50 {
        a.fill_as(&format!("a:{i}"), "x", brief.clone())
            .await
            .expect("stored");
    }
    eventually("all expired and tidied", SHORT, || async {
        a.redis_status().await.entries == 0
    })
    .await;
    assert_empty(&redis, "after expiry");
}

#[tokio::test]
async fn nothing_remains_of_leases_given_up() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let ticket = a.store.begin("a", SHORT).await;
    assert_eq!(redis.number(&["ZCARD", "{test}:v2:ix"]), 2);
    assert!(a.redis_status().await.bytes > 0, "a lease costs, too");
    a.store.abandon(ticket).await;
    assert_empty(&redis, "after abandon");

    // One that nobody gives back ends by itself.
    drop(a.store.begin("b", Duration::from_millis(1)).await);
    eventually("the lease ends", SHORT, || async {
        a.redis_status().await.bytes == 0
    })
    .await;
    assert_empty(&redis, "after the lease's end");
}

#[tokio::test]
async fn nothing_remains_of_what_is_purged() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (case, purge) in [("everything", everything()), ("a pattern", purge_key("*"))] {
        for i in 0..250 {
            a.fill(&format!("a:{i}"), "x").await.expect("stored");
        }
        drop(a.store.begin("lease only", SHORT).await);
        assert_eq!(a.store.purge(purge).await.redis, Some(250), "{case}");
        assert_empty(&redis, case);
    }
}

#[tokio::test]
async fn the_budget_holds() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let body = "x".repeat(2000);
    let mut refused = 0;
    for i in 0..200 {
        match a.fill(&format!("a:{i}"), &body).await {
            Ok(()) => {}
            Err(Reason::BudgetFull) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        assert!(a.redis_status().await.bytes <= MAX);
    }
    assert!(refused > 50, "{refused}");
    let stored = a.redis_status().await.entries;
    assert!(stored > 50, "{stored}");
    assert_eq!(
        a.remembered("a:199"),
        None,
        "nor in memory: no purge would reach it"
    );
    a.store.purge(purge_key("a:0")).await;
    a.fill("a:0", &body).await.expect("there is room again");
}

#[tokio::test]
async fn what_is_accounted_is_what_redis_takes() {
    const ENTRIES: u64 = 2000;
    for (case, key, body) in [
        ("small", "k:", 10),
        ("typical", "kanban:board:project-1234:team-5678:", 900),
        ("large", "analytics:", 20_000),
    ] {
        let redis = RedisServer::start();
        let a = Sidecar::start(&redis).await;
        let body = "x".repeat(body);
        let before: u64 = redis.info("used_memory").parse().expect("a number");
        for i in 0..ENTRIES {
            a.fill(&format!("{key}{i}"), &body).await.expect("stored");
        }
        let after: u64 = redis.info("used_memory").parse().expect("a number");
        let real = after - before;
        let accounted = a.redis_status().await.bytes;
        let each = (accounted / ENTRIES, real / ENTRIES);
        assert!(accounted * 10 >= real * 9, "{case}: {each:?}");
        assert!(accounted * 2 <= real * 3, "{case}: {each:?}");
    }
}

#[tokio::test]
async fn a_full_redis_refuses_stores_and_not_purges() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    let held = a.store.begin("user:2", SHORT).await;
    // Less than an empty server takes.
    redis.cli(&["CONFIG", "SET", "maxmemory", "500kb"]);
    assert!(redis.cli(&["SET", "foreign", "x"]).starts_with("OOM"));
    assert_eq!(
        a.fill("user:3", "x").await,
        Err(Reason::BudgetFull),
        "no lease"
    );
    let variant = super::variant("user:2", "x");
    let put = a
        .store
        .commit(held, variant, pannier::config::Coherence::Tracked, None)
        .await;
    assert_eq!(put, Err(Reason::BudgetFull), "no room behind a lease");
    assert!(a.errors("full") >= 2);
    for (case, purge) in [
        ("by key", purge_key("user:1")),
        ("by pattern", purge_key("user:*")),
        ("everything", everything()),
    ] {
        let purged = a.store.purge(purge).await;
        assert!(!purged.pending, "{case}");
    }
    assert_eq!(a.fetched("user:1").await, None);
    assert_empty(&redis, "after the purges");
}
