//! Memory never goes on as if it had heard of every change (reliability.md D4, D5, D7).

use std::pin::pin;
use std::task::Poll;

use futures_util::future::{FutureExt, join_all};
use futures_util::poll;
use pannier::clock::Clock;
use pannier::config::Coherence::Tracked;
use pannier::entry::Entry;
use pannier::http_cache::Reason;
use pannier::routes::{Pattern, Purge, PurgeKind};

use super::store_under_test::{SHORT, Sidecar, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::slow_line::{Silence, SlowLine};

#[tokio::test]
async fn an_entry_stored_anew_elsewhere_replaces_the_one_in_memory() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "one").await.expect("stored");
    b.fetched("user:1").await.expect("found");
    a.fill("user:1", "two").await.expect("stored");
    eventually("invalidated", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
    assert_eq!(b.fetched("user:1").await, Some("two".into()));
    assert_eq!(
        a.remembered("user:1"),
        Some("two".into()),
        "its own store is no news"
    );
}

#[tokio::test]
async fn a_lost_tracking_connection_empties_memory() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    b.fetched("user:1").await.expect("found");
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    // Changed while no invalidation could arrive.
    redis.cli(&["DEL", "{test}:v6:e:user:1"]);
    eventually("distrusted", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
    b.connected().await;
    assert_eq!(b.fetched("user:1").await, None);
}

#[tokio::test]
async fn what_is_read_while_a_purge_runs_does_not_outlive_it_in_memory() {
    let by_tag = Purge {
        tags: vec![Pattern::literal("t:user:1")],
        ..Purge::default()
    };
    for (case, purge) in [
        ("by key", purge_key("user:1")),
        ("by tag", by_tag.clone()),
        ("by key, softly", purge_key("user:1").into_soft()),
        ("by pattern, softly", purge_key("user:*").into_soft()),
        ("by tag, softly", by_tag.into_soft()),
    ] {
        let is_soft = purge.kind == PurgeKind::Soft;
        let redis = RedisServer::start();
        let (a, b) = Sidecar::pair(&redis).await;
        b.fill("user:1", "old").await.expect("stored");
        let mut purge = pin!(a.store.purge(purge));
        assert!(poll!(purge.as_mut()).is_pending(), "{case}: on its way");
        let mut fetch = pin!(a.fetched("user:1"));
        let read = poll!(fetch.as_mut());
        purge.await;
        // By key it is known not to be worth reading; by tag only when it is read.
        match case {
            "by key" => assert_eq!(read, Poll::Ready(None)),
            _ => drop(fetch.await),
        }
        let now = Clock::default().now();
        let held = a.store.recall("user:1", Tracked, None, now);
        let is_stale = |entry: &Entry| entry.variants[0].stored.softened.is_some();
        assert!(
            held.is_none_or(|entry| is_soft && is_stale(&entry)),
            "{case}"
        );
    }
}

/// What a purge was to remove when it was read is not served once the purge has landed, though Redis had answered before
/// (promise I2).
#[tokio::test]
async fn what_redis_answered_before_a_purge_landed_is_not_served_after() {
    let by_tag = Purge {
        tags: vec![Pattern::literal("t:user:1")],
        ..Purge::default()
    };
    for (case, purge) in [
        ("by tag", by_tag.clone()),
        ("by tag, softly", by_tag.into_soft()),
        ("by key, softly", purge_key("user:1").into_soft()),
    ] {
        let redis = RedisServer::start();
        let line = SlowLine::to(redis.port()).await;
        let writer = Sidecar::patient(&line.url());
        writer.connected().await;
        writer.fill("user:1", "old").await.expect("stored");
        assert_eq!(line.connections(), 1, "{case}: the writer's");
        let reader = writer.another_runtime();
        eventually("it reads", SHORT, || async {
            reader.fetched_strictly("user:1").await.is_some()
        })
        .await;
        assert_eq!(line.connections(), 2, "{case}: the reader's");

        line.set_mute(Some(0));
        let mut purge = pin!(writer.store.purge(purge));
        assert!(poll!(purge.as_mut()).is_pending(), "{case}: on its way");
        line.set_silence(Silence::One(1));
        let reads = || redis.calls("get") + redis.calls("mget");
        let before = reads();
        let mut read = pin!(reader.fetched_strictly("user:1"));
        eventually("Redis has answered", SHORT, || {
            let read = read.as_mut().now_or_never();
            assert_eq!(read, None, "{case}");
            async { reads() > before }
        })
        .await;
        line.set_mute(None);
        assert!(!purge.await.pending, "{case}");
        line.set_silence(Silence::Nobody);
        assert_eq!(read.await, None, "{case}");
    }
}

#[tokio::test]
async fn the_runtimes_of_one_process_agree() {
    let redis = RedisServer::start();
    let x = Sidecar::start(&redis).await;
    let y = x.another_runtime();
    y.connected().await;
    assert_eq!(y.fetched("user:1").await, None, "tracked by y's connection");
    let ticket = x.store.begin("user:1", None).await;
    let stored = x
        .store
        .commit(ticket, variant("user:1", "alice"), Tracked, None)
        .await;
    assert_eq!(stored, Ok(()));
    eventually("in the memory they share", SHORT, || async {
        y.fetched("user:1").await;
        x.remembered("user:1").is_some()
    })
    .await;
    let ticket = x.store.begin("user:1", None).await;
    y.store.purge(purge_key("user:*")).await;
    assert_eq!(x.remembered("user:1"), None, "at once");
    let late = x
        .store
        .commit(ticket, variant("user:1", "old"), Tracked, None)
        .await;
    assert_eq!(late, Err(Reason::Fenced));
}

/// What Redis tells comes before the answers that it concerns, on whatever thread these are wanted (promise I2): what was
/// read through the connection of another thread is never what a purge of everything made void before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_void_is_not_read_through_the_connection_of_another_thread() {
    let redis = RedisServer::start();
    let x = Sidecar::start(&redis).await;
    let (y, _end) = x.through_another_thread();
    let writer = Sidecar::start(&redis).await;
    y.connected().await;
    let everything = || Purge {
        everything: true,
        ..Purge::default()
    };
    let gets = || redis.info("cmdstat_get");
    for round in 0..40 {
        let body = round.to_string();
        writer.fill("a", &body).await.expect("stored");
        eventually("the generation is watched, not read", SHORT, || async {
            let before = gets();
            assert_eq!(y.fetched_strictly("a").await.as_ref(), Some(&body));
            gets() != before
        })
        .await;
        writer.store.purge(everything()).await;
        assert_eq!(y.fetched_strictly("a").await, None, "round {round}");
    }
}

#[tokio::test]
async fn an_expiry_does_not_fence_the_fill_that_renews_the_entry() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    b.fetched("user:1").await.expect("found");
    let ticket = b.store.begin("user:1", None).await;
    redis.cli(&["PEXPIRE", "{test}:v6:e:user:1", "1"]);
    eventually("invalidated", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
    let renewed = b
        .store
        .commit(ticket, variant("user:1", "alice"), Tracked, None)
        .await;
    assert_eq!(renewed, Ok(()));
}

#[tokio::test]
async fn a_flush_by_someone_else_is_noticed() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    b.fetched("user:1").await.expect("found");
    redis.cli(&["FLUSHALL"]);
    for sidecar in [&a, &b] {
        eventually("forgotten", SHORT, || async {
            sidecar.remembered("user:1").is_none()
        })
        .await;
        sidecar.connected().await;
    }
    a.fill("user:1", "bob").await.expect("stored");
    assert_eq!(b.fetched("user:1").await, Some("bob".into()));
    a.store.purge(purge_key("user:1")).await;
    eventually("invalidated", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_restart_with_old_data_brings_nothing_purged_back() {
    let mut redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    a.fill("user:2", "bob").await.expect("stored");
    redis.cli(&["SAVE"]);
    a.store.purge(purge_key("user:1")).await;
    redis.restart(Data::Snapshot);
    assert_eq!(
        redis.cli(&["EXISTS", "{test}:v6:e:user:1"]),
        "1",
        "it is back in Redis"
    );
    eventually("connected anew", SHORT, || async {
        let found = a.fetched("user:1").await;
        assert_eq!(found, None, "served although purged");
        a.redis_status().await.up
    })
    .await;
    assert_eq!(a.fetched("user:1").await, None);
    assert_eq!(a.fetched("user:2").await, None, "as old as the other");
    a.fill("user:2", "new").await.expect("stored");
    eventually("it is swept", SHORT, || async {
        redis.cli(&["KEYS", "{test}:v6:e:*"]) == "{test}:v6:e:user:2"
    })
    .await;
}

#[tokio::test]
async fn keys_of_others_are_never_touched() {
    let redis = RedisServer::start();
    let theirs = [
        "user:1",
        "test:v5:e:user:1",
        "{test2}:v6:e:user:1",
        "{test}:v10:e:user:1",
        "{test}x",
    ];
    for name in theirs {
        redis.cli(&["SET", name, "theirs"]);
    }
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    let everything = Purge {
        everything: true,
        ..Purge::default()
    };
    a.store.purge(everything).await;
    a.store.purge(purge_key("*")).await;
    for name in theirs {
        assert_eq!(redis.cli(&["GET", name]), "theirs", "{name}");
    }
}

#[tokio::test]
async fn purging_everything_finds_what_no_index_knows() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    redis.cli(&["DEL", "{test}:v6:ix"]);
    let everything = Purge {
        everything: true,
        ..Purge::default()
    };
    let purged = a.store.purge(everything).await;
    assert_eq!(purged.redis, Some(1));
    assert_eq!(a.fetched("user:1").await, None);
    assert_eq!(a.redis_status().await.bytes, 0);
}

#[tokio::test]
async fn a_store_that_comes_after_its_purge_is_refused_by_redis() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let ticket = a.store.begin("user:1", None).await;
    // The purge is over before the store is even sent; a later fill has its own lease.
    b.store.purge(purge_key("user:1")).await;
    b.fill("user:1", "new").await.expect("stored");
    let late = a
        .store
        .commit(ticket, variant("user:1", "old"), Tracked, None)
        .await;
    assert!(late.is_err());
    assert_eq!(b.fetched("user:1").await, Some("new".into()));
    assert_eq!(a.fetched("user:1").await, Some("new".into()));
}

/// More than the listener's queue takes, at once.
#[tokio::test]
async fn a_burst_of_invalidations_leaves_nothing_outdated_in_memory() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let keys: Vec<String> = (0..3000).map(|n| format!("user:{n}")).collect();
    for some in keys.chunks(100) {
        let fills = join_all(some.iter().map(|key| a.fill(key, "old"))).await;
        assert!(fills.iter().all(Result::is_ok));
        let found = join_all(some.iter().map(|key| b.fetched(key))).await;
        assert!(found.iter().all(Option::is_some));
    }
    let names = keys.iter().map(|key| format!("{{test}}:v6:e:{key}"));
    let names: Vec<String> = names.collect();
    let delete: Vec<&str> = ["DEL"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    // This blocks the runtime, so that nothing is heard before all is sent.
    assert_eq!(redis.number(&delete), 3000);
    eventually("invalidated, or emptied", SHORT, || async {
        keys.iter().all(|key| b.remembered(key).is_none())
    })
    .await;
    b.connected().await;
    b.fill("user:1", "new").await.expect("Redis is in use");
    assert_eq!(b.remembered("user:1"), Some("new".into()));
}

/// Redis does not tell a connection of what is evicted by a command of its own, nor of later purges of it: the purge
/// itself has to (promise I2).
#[tokio::test]
async fn what_was_evicted_by_the_sidecar_that_holds_it_is_purged_there_too() {
    const ENTRIES: usize = 15;
    let redis = RedisServer::start_with(&["--maxmemory-policy", "volatile-random"]);
    let (a, b) = Sidecar::pair(&redis).await;
    let used: usize = redis.info("used_memory").parse().expect("a number");
    let most = used + 1_000_000;
    redis.cli(&["CONFIG", "SET", "maxmemory", &most.to_string()]);
    for i in 0..ENTRIES {
        let stored = a.fill(&format!("user:{i}"), &"x".repeat(40_000)).await;
        stored.expect("there is room");
    }
    let held = |i: usize| a.remembered(&format!("user:{i}")).is_some();
    let stored = || redis.cli(&["KEYS", "{test}:v6:e:*"]).lines().count();
    // Another tenant takes what is left, but for less than the next command of this sidecar has, for which Redis evicts.
    let mut theirs = 0;
    while (0..ENTRIES).filter(|i| held(*i)).count() <= stored() {
        assert!(theirs < 100, "memory has more");
        let used: usize = redis.info("used_memory").parse().expect("a number");
        if used + 60_000 < most {
            redis.cli(&["SET", &format!("theirs:{theirs}"), &"y".repeat(20_000)]);
        } else {
            a.fetched_strictly(&"none".repeat(25_000)).await;
        }
        theirs += 1;
    }
    for i in 0..ENTRIES {
        b.store.purge(purge_key(&format!("user:{i}"))).await;
    }
    eventually("memory is told of all", SHORT, || async {
        !(0..ENTRIES).any(held)
    })
    .await;
}
