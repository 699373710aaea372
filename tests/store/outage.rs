//! Redis is optional at every instant (promise I4, reliability.md D2, D3).

use std::time::Duration;

use pannier::clock;
use pannier::config::Coherence::{Strict, Tracked};
use pannier::config::Outage;
use pannier::store::Holding;

use super::store_under_test::{SHORT, SHORT_TIMEOUT, Sidecar, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer, Service};
use crate::support::slow_line::SlowLine;

/// A call ends although Redis hangs for as long as the test wishes.
async fn bounded<T>(what: &str, call: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(SHORT, call).await;
    ended.unwrap_or_else(|_| panic!("{what} hangs with Redis"))
}

#[tokio::test]
async fn without_redis_memory_serves() {
    let a = Sidecar::detached("redis://127.0.0.1:1", 1 << 20);
    bounded("fill", a.fill("user:1", "alice"))
        .await
        .expect("in memory");
    assert_eq!(a.remembered("user:1"), Some("alice".into()));
    assert_eq!(bounded("fetch", a.fetched("user:1")).await, None);
    let purged = bounded("purge", a.store.purge(purge_key("user:1"))).await;
    assert!(purged.pending);
    assert_eq!(purged.memory, 1);
    assert_eq!(a.remembered("user:1"), None);
    assert_eq!(a.redis_status().await.pending_purges, 1);

    let ticket = a.store.begin("user:2", None).await;
    let strict = a
        .store
        .commit(ticket, variant("user:2", "bob"), Strict, None)
        .await;
    assert!(strict.is_err(), "strict rules are never in memory");
    bounded("close", a.store.close()).await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let redis = RedisServer::start_with(&["--requirepass", "secret"]);
    let url = redis.url().replace("redis://", "redis://:wrong@");
    let a = Sidecar::detached(&url, 1 << 20);
    eventually("reported", SHORT, || async {
        let error = a.redis_status().await.last_error.unwrap_or_default();
        error.contains("WRONGPASS")
    })
    .await;
    a.fill("user:1", "alice").await.expect("in memory");
    assert!(!a.redis_status().await.up);
}

#[tokio::test]
async fn a_killed_redis_costs_nothing_and_is_used_again() {
    let mut redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    // Each connection empties memory when it comes into session, and one is enough to be connected.
    eventually("it stays in memory", SHORT, || async {
        a.fill("user:1", "alice").await.ok();
        for _ in 0..10 {
            a.redis_status().await;
        }
        a.remembered("user:1").is_some()
    })
    .await;
    redis.kill();
    for i in 0..20 {
        bounded("fetch", a.fetched("user:9")).await;
        bounded("fill", a.fill(&format!("new:{i}"), "x")).await.ok();
    }
    assert_eq!(
        a.remembered("user:1"),
        Some("alice".into()),
        "memory goes on"
    );
    a.given_up().await;
    a.fill("user:2", "bob")
        .await
        .expect("in memory while Redis is away");
    assert_eq!(a.remembered("user:2"), Some("bob".into()));

    redis.restart(Data::Lost);
    a.connected().await;
    assert_eq!(
        a.remembered("user:2"),
        None,
        "Redis could not tell of its purges"
    );
    a.fill("user:2", "bob").await.expect("stored");
    assert_eq!(redis.cli(&["EXISTS", "{test}:v6:e:user:2"]), "1");
}

#[tokio::test]
async fn a_purge_during_an_outage_is_made_up_for_before_redis_is_trusted() {
    let mut redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    redis.cli(&["SAVE"]);
    redis.kill();
    let purged = bounded("purge", a.store.purge(purge_key("user:*"))).await;
    assert!(purged.pending);
    redis.restart(Data::Snapshot);
    eventually("the purge lands", SHORT, || async {
        assert_eq!(a.fetched("user:1").await, None, "served although purged");
        redis.cli(&["EXISTS", "{test}:v6:e:user:1"]) == "0"
    })
    .await;
    a.connected().await;
    assert_eq!(a.redis_status().await.pending_purges, 0);
    b.connected().await;
    assert_eq!(b.fetched("user:1").await, None);
}

#[tokio::test]
async fn a_hung_redis_opens_the_breaker_and_recovers() {
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    redis.stop();
    for _ in 0..3 {
        bounded("fetch", a.fetched("user:1")).await;
    }
    a.given_up().await;
    // A look at the budget that was under way has emptied memory: what it evicted is not known.
    a.fill("user:1", "alice").await.expect("in memory");
    let started = clock::monotonic();
    for i in 0..100 {
        a.fetched("user:1").await;
        a.fill(&format!("new:{i}"), "x").await.expect("in memory");
    }
    let took = clock::monotonic().duration_since(started);
    assert!(
        took < 20 * SHORT_TIMEOUT,
        "an open breaker waits for nothing: {took:?}"
    );
    assert_eq!(a.remembered("user:1"), Some("alice".into()));
    let purged = a.store.purge(purge_key("user:1")).await;
    assert!(purged.pending);

    redis.cont();
    eventually("Redis hits again", SHORT, || async {
        assert_eq!(a.fetched("user:1").await, None, "served although purged");
        a.fill("user:2", "bob").await.is_ok() && a.store.fetch("user:2", Strict).await.is_some()
    })
    .await;
    assert_eq!(redis.cli(&["EXISTS", "{test}:v6:e:user:1"]), "0");
}

#[tokio::test]
async fn a_hang_longer_than_the_connection_lives_is_survived() {
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    redis.stop();
    let big = "x".repeat(1 << 20);
    // More than the sockets' buffers take, so that a write hangs, too.
    let fills = (0..4).map(|i| {
        let (a, big) = (&a, &big);
        async move { a.fill(&format!("big:{i}"), big).await }
    });
    for fill in fills {
        let _ = bounded("fill", fill).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    redis.cont();
    a.connected().await;
    a.fill("user:1", "alice").await.expect("stored");
    assert_eq!(a.fetched("user:1").await, Some("alice".into()));
}

#[tokio::test]
async fn a_hang_with_a_large_write_on_its_way_is_survived() {
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    let mut tickets = Vec::new();
    for i in 0..8 {
        tickets.push(a.store.begin(&format!("big:{i}"), None).await);
    }
    redis.stop();
    let big = "x".repeat(4 << 20);
    for (i, ticket) in tickets.into_iter().enumerate() {
        let big = variant(&format!("big:{i}"), &big);
        let _ = bounded("commit", a.store.commit(ticket, big, Tracked, None)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    redis.cont();
    a.connected().await;
    a.fill("user:1", "alice").await.expect("stored");
    assert_eq!(a.fetched("user:1").await, Some("alice".into()));
}

#[tokio::test]
async fn a_purge_whose_caller_goes_away_still_lands() {
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    {
        let mut purge = std::pin::pin!(a.store.purge(purge_key("user:1")));
        let polled = futures_util::poll!(purge.as_mut());
        assert!(polled.is_pending(), "it waits for Redis");
    }
    assert_eq!(a.remembered("user:1"), None);
    assert_eq!(a.fetched("user:1").await, None);
    eventually("it lands", SHORT, || async {
        redis.cli(&["EXISTS", "{test}:v6:e:user:1"]) == "0"
            && a.redis_status().await.pending_purges == 0
    })
    .await;
}

/// A purge that Redis does not take leaves what it covers there, for every other sidecar to read.
#[tokio::test]
async fn a_redis_that_takes_no_purges_is_not_read() {
    for (case, refuse, words, mend) in [
        (
            "demoted",
            ["REPLICAOF", "127.0.0.1", "1"].as_slice(),
            "replica",
            ["REPLICAOF", "NO", "ONE"].as_slice(),
        ),
        (
            "too few replicas",
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            "NOREPLICAS",
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
        (
            "a failed save",
            &[],
            "MISCONF",
            &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"],
        ),
        (
            "paused",
            &["CLIENT", "PAUSE", "600000", "WRITE"],
            "does not answer",
            &["CLIENT", "UNPAUSE"],
        ),
        (
            "a right taken away",
            &["ACL", "SETUSER", "default", "-hset"],
            "lacks rights: +hset",
            &["ACL", "SETUSER", "default", "+hset"],
        ),
    ] {
        let redis = RedisServer::start();
        let a = Sidecar::with_short_timeout(&redis).await;
        a.fill("user:1", "alice").await.expect("stored");
        match refuse {
            [] => redis.fail_to_save(),
            command => drop(redis.cli(command)),
        }
        // No request tells it: the beat does.
        eventually(case, SHORT, || async { !a.is_up() }).await;
        let purged = bounded("purge", a.store.purge(purge_key("user:1"))).await;
        assert!(purged.pending, "{case}");
        assert_eq!(a.fetched_strictly("user:1").await, None, "{case}");
        a.fill("user:2", "bob").await.expect("in memory");
        assert_eq!(a.remembered("user:2"), Some("bob".into()), "{case}");
        eventually(words, SHORT, || async {
            let found = a.redis_status().await.diagnosis;
            found.is_some_and(|found| found.cause.contains(words))
        })
        .await;
        redis.cli(mend);
        a.connected().await;
        assert_eq!(redis.cli(&["EXISTS", "{test}:v6:e:user:1"]), "0", "{case}");
        assert_eq!(a.redis_status().await.pending_purges, 0, "{case}");
    }
}

/// A failover by which the address leads elsewhere, while the connections to the old primary stay.
#[tokio::test]
async fn a_demoted_primary_is_left_for_the_one_that_its_address_leads_to() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let service = Service::start(&old).await;
    let a = Sidecar::detached(&service.url(), 100 << 20);
    a.connected().await;
    service.lead_to(&new);
    old.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    eventually("the old one is left", SHORT, || async {
        old.info("connected_clients") == "1"
    })
    .await;
    eventually("the new primary is used", SHORT, || async {
        a.fill("user:1", "alice").await.ok();
        new.cli(&["EXISTS", "{test}:v6:e:user:1"]) == "1"
    })
    .await;
}

#[tokio::test]
async fn scripts_forgotten_by_redis_are_sent_again() {
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    a.fill("user:1", "alice").await.expect("stored");
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(a.store.purge(purge_key("user:1")).await.redis, Some(1));
}

/// Promise I10: what nobody can be told of any more is served for `outage_ttl` at most, and by a rule that passes not
/// at all once it may be stale.
#[tokio::test]
async fn in_an_outage_memory_serves_as_long_as_it_may() {
    let mut redis = RedisServer::start();
    let a = Sidecar::configured(&redis, |redis| {
        redis.staleness = Duration::from_millis(200);
        redis.outage_ttl = Duration::from_millis(1500);
    })
    .await;
    a.fill("user:1", "before").await.expect("stored");
    redis.kill();
    a.given_up().await;
    a.fill("user:4", "meanwhile").await.expect("in memory");
    eventually("memory is no longer trusted", SHORT, || async {
        a.remembered_by("user:4", Some(Outage::Pass)).is_none()
    })
    .await;
    a.fill("user:2", "meanwhile").await.expect("in memory");
    assert_eq!(a.remembered_by("user:2", Some(Outage::Pass)), None);
    assert_eq!(a.remembered("user:2"), Some("meanwhile".into()));
    for key in ["user:1", "user:2"] {
        eventually("it is too old", SHORT, || async {
            a.remembered(key).is_none()
        })
        .await;
    }
    a.fill("user:3", "later").await.expect("in memory");
    assert_eq!(a.remembered("user:3"), Some("later".into()));
    assert_eq!(a.remembered("user:1"), None, "it does not come back");
}

/// A Redis that is late tells of changes nevertheless: memory is kept, and is right.
#[tokio::test]
async fn a_slow_redis_is_left_alone_and_memory_goes_on() {
    let redis = RedisServer::start();
    let a = Sidecar::configured(&redis, |redis| {
        redis.timeout = Duration::from_millis(50);
        redis.staleness = Duration::from_secs(20);
    })
    .await;
    let b = Sidecar::start(&redis).await;
    for key in ["user:1", "user:2"] {
        a.fill(key, "kept").await.expect("stored");
    }
    // All commands wait, and so does what tells of changes; shorter than a connection lives without an answer.
    redis.cli(&["CLIENT", "PAUSE", "800", "ALL"]);
    for _ in 0..3 {
        assert_eq!(a.fetched_strictly("user:1").await, None);
    }
    a.fill("user:3", "meanwhile").await.expect("in memory");
    assert_eq!(a.remembered("user:1"), Some("kept".into()));
    eventually("it is used again", SHORT, || async {
        a.fetched_strictly("user:1").await.is_some()
    })
    .await;
    for key in ["user:1", "user:2"] {
        assert_eq!(
            a.remembered(key),
            Some("kept".into()),
            "nothing was emptied"
        );
    }
    assert_eq!(a.remembered("user:3"), None, "nobody would tell of it");
    b.store.purge(purge_key("user:2")).await;
    eventually("it is told", SHORT, || async {
        a.remembered("user:2").is_none()
    })
    .await;
}

/// Redis is heard, and so memory is trusted, though no request has an answer of it in time.
#[tokio::test]
async fn what_passes_during_an_outage_is_not_put_into_memory_while_redis_is_slow() {
    let redis = RedisServer::start();
    for (outage, is_put) in [(Outage::Serve, true), (Outage::Pass, false)] {
        let a = Sidecar::configured(&redis, |config| {
            config.outage = outage;
            config.timeout = Duration::from_nanos(1);
        })
        .await;
        a.given_up().await;
        let filled = a.fill("user:1", "alice").await;
        assert_eq!(filled.is_ok(), is_put, "{outage:?}: {filled:?}");
        let held = a.store.peek("user:1", clock::Clock::default().now());
        assert_eq!(held.is_some(), is_put, "{outage:?}");
    }
}

#[tokio::test]
async fn what_memory_may_not_answer_with_is_told() {
    let mut redis = RedisServer::start();
    let a = Sidecar::configured(&redis, |config| {
        config.staleness = Duration::from_secs(60);
        config.outage_ttl = Duration::ZERO;
    })
    .await;
    let never = Sidecar::configured(&redis, |config| {
        config.staleness = Duration::from_nanos(4);
    })
    .await;
    let inspect = async |sidecar: &Sidecar| {
        let inspection = sidecar.store.inspect("user:1", Tracked, None).await;
        (inspection.memory, inspection.redis)
    };
    a.fill("user:1", "alice").await.expect("stored");
    assert_eq!(never.fetched("user:1").await, Some("alice".into()));
    let (memory, in_redis) = inspect(&a).await;
    assert!(memory.entry().is_some() && in_redis.entry().is_some());
    let (memory, in_redis) = inspect(&never).await;
    assert_eq!(memory, Holding::Unheard);
    assert!(in_redis.entry().is_some());
    assert_eq!(never.remembered("user:1"), None);
    redis.kill();
    for (sidecar, outage, is_served) in [
        (&a, None, true),
        (&never, None, true),
        (&never, Some(Outage::Pass), false),
    ] {
        sidecar.given_up().await;
        let inspection = sidecar.store.inspect("user:1", Tracked, outage).await;
        assert_eq!(inspection.redis, Holding::Unreachable);
        let now = inspection.now;
        let recalled = sidecar.store.recall("user:1", Tracked, outage, now);
        assert_eq!(recalled.is_some(), is_served);
        match inspection.memory {
            Holding::Entry(_) => assert!(is_served),
            Holding::Unconfirmed(_) => assert!(!is_served),
            other => panic!("{other:?}"),
        }
    }
}

/// Redis answers all the while, from afar: a purge is there before its write is answered.
#[tokio::test]
async fn a_purge_waits_for_a_session_that_is_being_prepared() {
    let redis = RedisServer::start();
    let line = SlowLine::to(redis.port()).await;
    line.set_delays(60..80);
    let a = Sidecar::patient(&line.url());
    let first = bounded("the first", a.store.purge(purge_key("user:1"))).await;
    assert!(!first.pending, "the process has just started");
    for round in 0..3 {
        a.connected().await;
        redis.cli(&["DEL", "{test}:layouts"]);
        eventually("the session has ended", SHORT, || async {
            !a.redis_status().await.up
        })
        .await;
        let purged = bounded("the purge", a.store.purge(purge_key("user:1"))).await;
        assert!(!purged.pending, "round {round}");
    }
}

/// A fill of long ago would hold up those of others for as long as its lease lasts.
#[tokio::test]
async fn a_lease_that_could_not_be_given_back_is_given_back_later() {
    const LEASE: &str = "{test}:v6:l:user:1";
    let redis = RedisServer::start();
    let a = Sidecar::with_short_timeout(&redis).await;
    let ticket = a.store.begin("user:1", None).await;
    assert_eq!(redis.number(&["EXISTS", LEASE]), 1);
    redis.cli(&["ACL", "SETUSER", "default", "-eval", "-evalsha"]);
    a.store.abandon(ticket).await;
    assert_eq!(redis.number(&["EXISTS", LEASE]), 1, "it was refused");
    // It does not end by itself.
    redis.cli(&["ZADD", "{test}:v6:lx", "GT", "9999999999999", "user:1"]);
    redis.cli(&["ACL", "SETUSER", "default", "+eval", "+evalsha"]);
    eventually("the lease is gone", SHORT, || async {
        redis.number(&["EXISTS", LEASE]) == 0
    })
    .await;
}
