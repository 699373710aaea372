//! The store on a real Redis: two stores here are two sidecars of a fleet.

mod batches;
mod budget;
mod coherence;
mod generations;
mod jobs;
mod layouts;
mod leases;
mod outage;
mod pages;
mod store_under_test;
mod unlooked;

use std::time::Duration;

use futures_util::future::{FutureExt, join, join_all};
use pannier::clock::Clock;
use pannier::config::Coherence::{Strict, Tracked};
use pannier::http_cache::Reason;
use pannier::routes::{Pattern, Purge};
use pannier::store::Tags;

use self::store_under_test::{SHORT, Sidecar, Variation, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::RedisServer;

#[tokio::test]
async fn what_one_stores_the_other_finds() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    assert_eq!(a.remembered("user:1"), Some("alice".into()));
    assert_eq!(b.remembered("user:1"), None);
    assert_eq!(b.fetched("user:1").await, Some("alice".into()));
    assert_eq!(
        b.remembered("user:1"),
        Some("alice".into()),
        "now in memory"
    );
}

#[tokio::test]
async fn entries_outlive_a_restart_of_the_sidecar() {
    let redis = RedisServer::start();
    let first = Sidecar::start(&redis).await;
    first.fill("user:1", "alice").await.expect("stored");
    first.store.close().await;
    let second = Sidecar::start(&redis).await;
    assert_eq!(second.fetched("user:1").await, Some("alice".into()));
}

#[tokio::test]
async fn redis_forgets_when_the_entry_is_of_no_more_use() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    let ttl = redis.number(&["PTTL", "{test}:v6:e:user:1"]);
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_purge_reaches_redis_and_every_memory() {
    for (case, purge) in [
        ("by key", purge_key("user:1")),
        ("by pattern", purge_key("user:*")),
        (
            "by tag",
            Purge {
                tags: vec![Pattern::literal("t:user:1")],
                ..Purge::default()
            },
        ),
        (
            "by tag pattern",
            Purge {
                tags: vec![Pattern::parse("t:user:*")],
                ..Purge::default()
            },
        ),
        (
            "everything",
            Purge {
                everything: true,
                ..Purge::default()
            },
        ),
    ] {
        let redis = RedisServer::start();
        redis.cli(&["SET", "user:1", "foreign"]);
        let (a, b) = Sidecar::pair(&redis).await;
        a.fill("user:1", "alice").await.expect("stored");
        a.fill("group:1", "staff").await.expect("stored");
        b.fetched("user:1").await.expect("found");
        b.fetched("group:1").await.expect("found");

        let purged = a.store.purge(purge.clone()).await;
        let all = purge.everything;
        assert_eq!(purged.redis, Some(if all { 2 } else { 1 }), "{case}");
        assert_eq!(purged.memory, if all { 2 } else { 1 }, "{case}");
        assert!(!purged.pending, "{case}");
        assert_eq!(a.remembered("user:1"), None, "{case}");
        assert_eq!(b.fetched("user:1").await, None, "{case}");
        eventually(case, SHORT, || async { b.remembered("user:1").is_none() }).await;
        assert_eq!(b.fetched("group:1").await.is_some(), !all, "{case}");
        assert_eq!(redis.cli(&["GET", "user:1"]), "foreign", "{case}");
    }
}

#[tokio::test]
async fn whoever_stored_an_entry_is_told_when_another_purges_it() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    assert!(a.remembered("user:1").is_some(), "without ever reading it");
    b.store.purge(purge_key("user:*")).await;
    eventually("invalidated", SHORT, || async {
        a.remembered("user:1").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_pattern_purges_more_than_a_page() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for i in 0..450 {
        a.fill(&format!("list:{i}"), "x").await.expect("stored");
    }
    a.fill("lists", "kept").await.expect("stored");
    let purged = a.store.purge(purge_key("list:*")).await;
    assert_eq!(purged.redis, Some(450));
    let generation = redis.cli(&["GET", "{test}:v6:g"]);
    let page = format!("{{test}}:v6:ix:{generation}:");
    assert_eq!(
        redis.number(&["ZCARD", "{test}:v6:ix"]),
        1,
        "one page is left"
    );
    let left = redis.cli(&["HKEYS", &page]);
    assert_eq!(left.trim(), "lists");
    let purged = a.store.purge(purge_key("*s")).await;
    assert_eq!(purged.redis, Some(1));
}

#[tokio::test]
async fn a_purge_between_fences_the_fill() {
    for (case, purge) in [
        ("by key", purge_key("user:1")),
        ("by pattern", purge_key("us*")),
        (
            "by tag",
            Purge {
                tags: vec![Pattern::literal("t:user:1")],
                ..Purge::default()
            },
        ),
        (
            "by tag pattern",
            Purge {
                tags: vec![Pattern::parse("t:*")],
                ..Purge::default()
            },
        ),
    ] {
        let redis = RedisServer::start();
        let (a, b) = Sidecar::pair(&redis).await;
        for (who, purger) in [("itself", &a), ("the other", &b)] {
            let ticket = a.store.begin("user:1", None).await;
            purger.store.purge(purge.clone()).await;
            let result = a
                .store
                .commit(ticket, variant("user:1", "old"), Tracked, None)
                .await;
            assert!(
                matches!(result, Err(Reason::Fenced | Reason::LeaseLost)),
                "{case} by {who}: {result:?}"
            );
            assert_eq!(a.remembered("user:1"), None, "{case} by {who}");
            assert_eq!(b.fetched("user:1").await, None, "{case} by {who}");
            a.fill("user:1", "new")
                .await
                .expect("a later fill is stored");
            purger.store.purge(purge_key("*")).await;
        }
    }
}

#[tokio::test]
async fn redis_itself_refuses_a_store_without_its_lease() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (case, command) in [
        ("deleted", ["DEL", "{test}:v6:l:user:1", "{test}:v6:l:none"]),
        ("another's", ["SET", "{test}:v6:l:user:1", "another"]),
    ] {
        let ticket = a.store.begin("user:1", None).await;
        // This blocks the runtime, so the store cannot hear of it before it is asked to commit.
        redis.cli(&command);
        let result = a
            .store
            .commit(ticket, variant("user:1", "old"), Tracked, None)
            .await;
        assert_eq!(result, Err(Reason::LeaseLost), "{case}");
        assert_eq!(a.fetched("user:1").await, None, "{case}");
        assert_eq!(a.remembered("user:1"), None, "{case}");
        a.store.purge(purge_key("user:1")).await;
    }
}

#[tokio::test]
async fn a_purge_of_another_tag_fences_nothing_in_the_fleet() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let ticket = a.store.begin("user:1", None).await;
    let other = Purge {
        tags: vec![Pattern::literal("t:user:2")],
        ..Purge::default()
    };
    b.store.purge(other).await;
    let result = a
        .store
        .commit(ticket, variant("user:1", "alice"), Tracked, None)
        .await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_fill_that_lost_its_lease_is_not_joined_any_more() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let mark = a.store.mark();
    let ticket = a.store.begin("user:1", None).await;
    assert!(!a.store.fenced(mark, "user:1", Tags::Beginning("")));
    b.store.purge(purge_key("user:*")).await;
    eventually("the lost lease is heard of", SHORT, || async {
        a.store.fenced(mark, "user:1", Tags::Beginning(""))
    })
    .await;
    a.store.abandon(ticket).await;
}

#[tokio::test]
async fn one_lease_in_the_fleet() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let leader = a.store.begin("user:1", None).await;
    let second = b.store.begin("user:1", None).await;
    let result = b
        .store
        .commit(second, variant("user:1", "b"), Tracked, None)
        .await;
    assert_eq!(result, Err(Reason::LeaseLost));
    assert_eq!(b.remembered("user:1"), None);
    let result = a
        .store
        .commit(leader, variant("user:1", "a"), Tracked, None)
        .await;
    assert_eq!(result, Ok(()));

    let abandoned = a.store.begin("user:2", None).await;
    a.store.abandon(abandoned).await;
    b.fill("user:2", "b")
        .await
        .expect("the lease was given back");
}

#[tokio::test]
async fn variants_of_a_key_are_merged() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill_as("page", "english", Variation::of("en"))
        .await
        .expect("stored");
    b.fill_as("page", "deutsch", Variation::of("de"))
        .await
        .expect("stored");
    b.fill_as("page", "english 2", Variation::of("en"))
        .await
        .expect("stored");
    let entry = a.store.fetch("page", Strict).await.expect("found");
    let bodies: Vec<_> = entry.variants.iter().map(|v| v.body.as_ref()).collect();
    assert_eq!(bodies, [b"english 2".as_ref(), b"deutsch"]);
    let purged = b.store.purge(purge_key("page")).await;
    assert_eq!(purged.redis, Some(1), "one entry, all variants");
}

/// Redis writes each tag by itself, so there are no more of all variants together than of one answer.
#[tokio::test]
async fn variants_with_too_many_tags_for_one_entry_are_stored_one_at_a_time() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (host, first) in [("one", 0), ("two", 600)] {
        let variation = Variation {
            tags: (first..first + 600)
                .map(|tag| format!("tag:{tag}").into())
                .collect(),
            ..Variation::of(host)
        };
        a.fill_as("page", host, variation).await.expect("stored");
    }
    assert_eq!(a.fetched_strictly("page").await, Some("two".into()));
    let by_tag = |tag: &str| Purge {
        tags: vec![Pattern::literal(tag)],
        ..Purge::default()
    };
    assert_eq!(a.store.purge(by_tag("tag:7")).await.redis, Some(0));
    assert_eq!(a.store.purge(by_tag("tag:1199")).await.redis, Some(1));
}

#[tokio::test]
async fn strict_rules_are_never_answered_from_memory() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let ticket = a.store.begin("user:1", None).await;
    let stored = a
        .store
        .commit(ticket, variant("user:1", "alice"), Strict, None)
        .await;
    assert_eq!(stored, Ok(()));
    assert!(a.store.fetch("user:1", Strict).await.is_some());
    assert_eq!(a.remembered("user:1"), None, "nothing was put there");
    a.fetched("user:1").await.expect("found");
    assert!(a.remembered("user:1").is_some());
    let now = Clock::default().now();
    assert!(a.store.recall("user:1", Strict, None, now).is_none());
}

#[tokio::test]
async fn what_does_not_decode_is_a_miss_and_is_repaired() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (case, command) in [
        ("garbage", vec!["SET", "{test}:v6:e:user:1", "garbage"]),
        ("empty", vec!["SET", "{test}:v6:e:user:1", ""]),
        ("a list", vec!["LPUSH", "{test}:v6:e:user:1", "a"]),
    ] {
        redis.cli(&["DEL", "{test}:v6:e:user:1"]);
        redis.cli(&command);
        assert_eq!(a.fetched("user:1").await, None, "{case}");
        let is_gone = redis.cli(&["EXISTS", "{test}:v6:e:user:1"]) == "0";
        assert!(
            is_gone || case == "a list",
            "{case}: the lease removes that"
        );

        redis.cli(&command);
        a.fill("user:1", "alice").await.expect(case);
        assert_eq!(a.fetched("user:1").await, Some("alice".into()), "{case}");
    }
    assert!(a.errors("undecodable") >= 2);
}

/// On one thread all have asked before the first command goes out.
#[tokio::test]
async fn lookups_of_one_moment_are_few_commands_and_each_gets_its_own() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let keys: Vec<String> = (0..70).map(|n| format!("user:{n}")).collect();
    for key in &keys {
        a.fill(key, key).await.expect("stored");
    }
    redis.cli(&["SET", "{test}:v6:e:user:garbage", "garbage"]);
    redis.cli(&["LPUSH", "{test}:v6:e:user:list", "a"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);

    let odd = ["user:garbage", "user:list", "user:absent"];
    let (own, none) = join(
        join_all(keys.iter().map(|key| b.fetched(key))),
        join_all(odd.map(|key| b.fetched(key))),
    )
    .await;
    for (key, own) in keys.iter().zip(own) {
        assert_eq!(own.as_ref(), Some(key));
    }
    assert_eq!(none, [None, None, None]);
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = stats.split_once("cmdstat_mget:calls=").expect("some").1;
    let calls: usize = calls
        .split(',')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    // Five, and what the sidecars ask a few times a second to be told of changes.
    assert!((5..20).contains(&calls), "{stats}");
}

#[tokio::test]
async fn a_lookup_that_is_given_up_takes_no_other_along() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for key in ["user:1", "user:2", "user:3"] {
        a.fill(key, key).await.expect("stored");
    }
    let mut given_up = Box::pin(b.fetched("user:1"));
    assert_eq!((&mut given_up).now_or_never(), None);
    let rest = join(b.fetched("user:2"), b.fetched("user:3"));
    drop(given_up);
    assert_eq!(rest.await, (Some("user:2".into()), Some("user:3".into())));
}

#[tokio::test]
async fn lookups_of_one_moment_are_found_in_every_shard_of_a_cluster() {
    let nodes = RedisServer::start_cluster_of_three();
    let a = Sidecar::detached(&nodes[0].cluster_url(), 100 << 20);
    let b = Sidecar::detached(&nodes[1].cluster_url(), 100 << 20);
    a.connected().await;
    b.connected().await;
    let keys: Vec<String> = (0..100).map(|n| format!("user:{n}")).collect();
    for key in &keys {
        a.fill(key, key).await.expect("stored");
    }
    let found = join_all(keys.iter().map(|key| b.fetched(key))).await;
    for (key, found) in keys.iter().zip(found) {
        assert_eq!(found.as_ref(), Some(key));
    }
}

#[tokio::test]
async fn a_cluster_spreads_keys_and_purges_visit_every_shard() {
    let nodes = RedisServer::start_cluster_of_three();
    let a = Sidecar::detached(&nodes[0].cluster_url(), 100 << 20);
    let b = Sidecar::detached(&nodes[1].cluster_url(), 100 << 20);
    a.connected().await;
    b.connected().await;
    for i in 0..64 {
        a.fill(&format!("user:{i}"), "x").await.expect("stored");
    }
    assert_eq!(b.fetched("user:7").await, Some("x".into()));
    assert_eq!(b.fetched("user:8").await, Some("x".into()));
    assert_eq!(a.redis_status().await.entries, 64);
    let shards = nodes
        .each_ref()
        .map(|node| node.cli(&["KEYS", "{test.*}:v6:ix"]).lines().count());
    assert!(shards.iter().all(|shards| *shards > 2), "{shards:?}");

    assert_eq!(a.store.purge(purge_key("user:7")).await.redis, Some(1));
    let tag = Purge {
        tags: vec![Pattern::literal("t:user:8")],
        ..Purge::default()
    };
    assert_eq!(a.store.purge(tag).await.redis, Some(1));
    for key in ["user:7", "user:8"] {
        eventually(key, SHORT, || async { b.remembered(key).is_none() }).await;
        assert_eq!(b.fetched(key).await, None, "{key}");
    }
    assert_eq!(a.store.purge(purge_key("user:*")).await.redis, Some(62));
    let everything = Purge {
        everything: true,
        ..Purge::default()
    };
    assert_eq!(a.store.purge(everything).await.redis, Some(0));
    assert_eq!(a.redis_status().await.bytes, 0);
}
