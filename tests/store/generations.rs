//! Lost bookkeeping and older data: what was stored before is void at once, for all sidecars (promises I2, I3
//! and I10).

use pannier::config::Coherence::Tracked;
use pannier::http_cache::Reason;
use pannier::routes::{Pattern, Purge};

use super::store_under_test::{SHORT, Sidecar, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const BOOKKEEPING: [&str; 17] = [
    "{test}:v6:g",
    "{test}:v6:by",
    "{test}:v6:ix",
    "{test}:v6:x0",
    "{test}:v6:x1",
    "{test}:v6:x2",
    "{test}:v6:lx",
    "{test}:v6:tx",
    "{test}:v6:tp",
    "{test}:v6:pl",
    // The pages, whose names have the generation.
    "{test}:v6:ix:*:",
    "{test}:v6:x0:*:",
    "{test}:v6:x1:*:",
    "{test}:v6:x2:*:",
    "{test}:v6:tx:*:",
    "{test}:v6:px",
    "{test}:v6:px:*:",
];

/// The name of the structure as it is now.
fn current(redis: &RedisServer, name: &str) -> String {
    name.replace('*', &redis.cli(&["GET", "{test}:v6:g"]))
}

/// What the variants of these tests are tagged with.
fn purge_tag(tag: &str) -> Purge {
    Purge {
        tags: vec![Pattern::parse(tag)],
        ..Purge::default()
    }
}

/// Keeps what the namespace holds now, for [`bring_back`].
fn keep(redis: &RedisServer) {
    redis.cli(&[
        "EVAL",
        "for _, name in ipairs(redis.call('KEYS', '{test}:v6:*')) do \
             redis.call('SET', 'old:' .. name, redis.call('DUMP', name)) \
         end",
        "0",
    ]);
}

/// Redis holds again what it held at [`keep`], in the same process and under open connections.
fn bring_back(redis: &RedisServer) {
    redis.cli(&[
        "EVAL",
        "redis.call('UNLINK', unpack(redis.call('KEYS', '{test}:v6:*'))) \
         for _, name in ipairs(redis.call('KEYS', 'old:*')) do \
             redis.call('RESTORE', string.sub(name, 5), 0, redis.call('GET', name)) \
         end",
        "0",
    ]);
}

/// Until a beat has found what there is to find: the status is one.
async fn beat(sidecar: &Sidecar) {
    sidecar.redis_status().await;
}

#[tokio::test]
async fn a_purge_is_exact_whichever_bookkeeping_was_lost() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for name in BOOKKEEPING {
        for damage in [
            vec!["DEL"],
            vec![
                "EVAL",
                "redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], 'x')",
                "1",
            ],
        ] {
            for purge in [
                purge_key("user:1"),
                purge_key("us*"),
                purge_tag("t:user:1"),
                purge_tag("t:*"),
            ] {
                let case = format!("{} {name}, then {purge:?}", damage[0]);
                // The first may find damage that the purge before had no use for.
                if a.fill("user:1", "old").await.is_err() {
                    a.fill("user:1", "old").await.expect(&case);
                }
                assert_eq!(b.fetched("user:1").await, Some("old".into()), "{case}");
                let name = current(&redis, name);
                redis.cli(&[&damage[..], &[name.as_str()]].concat());
                let purged = a.store.purge(purge).await;
                assert!(!purged.pending, "{case}");
                assert_eq!(a.fetched_strictly("user:1").await, None, "{case}");
                assert_eq!(b.fetched_strictly("user:1").await, None, "{case}");
                eventually(&case, SHORT, || async { b.remembered("user:1").is_none() }).await;
                assert_eq!(a.fetched("user:1").await, None, "{case}");
            }
        }
    }
    a.fill("user:1", "new").await.expect("it heals");
    assert_eq!(b.fetched_strictly("user:1").await, Some("new".into()));
    assert!(a.redis_status().await.up && b.redis_status().await.up);
}

#[tokio::test]
async fn a_fill_is_fenced_whichever_bookkeeping_was_lost() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for name in BOOKKEEPING {
        for purge in [
            purge_key("user:1"),
            purge_key("us*"),
            purge_tag("t:user:1"),
            purge_tag("t:*"),
        ] {
            let case = format!("{name}, {purge:?}");
            let ticket = a.store.begin("user:1", None).await;
            redis.cli(&["DEL", &current(&redis, name)]);
            assert!(!b.store.purge(purge).await.pending, "{case}");
            let stored = a
                .store
                .commit(ticket, variant("user:1", "old"), Tracked, None)
                .await;
            assert!(
                matches!(stored, Err(Reason::Fenced | Reason::LeaseLost)),
                "{case}: {stored:?}"
            );
            for sidecar in [&a, &b] {
                assert_eq!(sidecar.fetched("user:1").await, None, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn older_data_under_open_connections_are_void_for_who_purged() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for key in ["user:1", "user:2"] {
        a.fill(key, "old").await.expect("stored");
    }
    keep(&redis);
    b.store.purge(purge_key("user:1")).await;
    bring_back(&redis);
    // As many purges as before: by their count alone nothing is missing.
    a.store.purge(purge_key("user:2")).await;
    beat(&b).await;
    for sidecar in [&a, &b] {
        assert_eq!(sidecar.fetched("user:1").await, None);
        assert_eq!(sidecar.fetched_strictly("user:1").await, None);
    }
    assert!(a.fill("user:1", "new").await.is_ok());
    assert_eq!(b.fetched_strictly("user:1").await, Some("new".into()));
}

#[tokio::test]
async fn older_data_are_void_though_the_next_purge_has_the_number_of_the_one_that_is_missing() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for key in ["user:1", "user:2"] {
        a.fill(key, "old").await.expect("stored");
    }
    for next in [
        purge_key("user:2"),
        purge_key("user:2*"),
        purge_tag("t:user:2"),
    ] {
        a.fill("user:1", "old").await.expect("stored");
        keep(&redis);
        a.store.purge(purge_key("user:1")).await;
        bring_back(&redis);
        a.store.purge(next).await;
        for sidecar in [&a, &b] {
            assert_eq!(sidecar.fetched_strictly("user:1").await, None);
        }
    }
}

/// Redis forgets what it was to tell with any flush.
#[tokio::test]
async fn memory_begins_anew_when_another_database_is_flushed() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "old").await.expect("stored");
    assert_eq!(b.fetched("user:1").await, Some("old".into()));
    redis.cli(&["-n", "5", "FLUSHDB"]);
    a.store.purge(purge_key("user:1")).await;
    eventually("it is noticed", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
    a.fill("user:1", "new").await.expect("stored");
    assert_eq!(b.fetched("user:1").await, Some("new".into()));
    a.store.purge(purge_key("user:1")).await;
    eventually("it is told again", SHORT, || async {
        b.remembered("user:1").is_none()
    })
    .await;
}

#[tokio::test]
async fn older_data_are_void_for_who_has_heard_of_the_purge() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "old").await.expect("stored");
    keep(&redis);
    a.store.purge(purge_key("user:1")).await;
    beat(&b).await;
    a.store.close().await;
    bring_back(&redis);
    beat(&b).await;
    assert_eq!(b.fetched("user:1").await, None);
    let fresh = Sidecar::start(&redis).await;
    assert_eq!(fresh.fetched("user:1").await, None);
}

#[tokio::test]
async fn an_earlier_generation_is_never_read() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "old").await.expect("stored");
    keep(&redis);
    a.store.purge(Purge::of_everything()).await;
    assert_eq!(b.fetched_strictly("user:1").await, None);
    bring_back(&redis);
    for sidecar in [&a, &b] {
        assert_eq!(sidecar.fetched_strictly("user:1").await, None);
    }
}

#[tokio::test]
async fn a_generation_is_later_than_any_that_was_known() {
    const SCRIPT: &str = concat!(
        include_str!("../../src/store/redis/scripts/common.lua"),
        include_str!("../../src/store/redis/scripts/pages.lua"),
        include_str!("../../src/store/redis/scripts/account.lua"),
        include_str!("../../src/store/redis/scripts/entries.lua"),
        include_str!("../../src/store/redis/scripts/room.lua"),
        include_str!("../../src/store/redis/scripts/renew.lua"),
    );
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "old").await.expect("stored");
    // By a server whose clock is ahead.
    let known = "0010000000000000";
    redis.cli(&[
        "EVAL",
        SCRIPT,
        "1",
        "{test}:v6:by",
        "{test}:v6",
        known,
        "purged",
        "none",
        "",
        "0",
    ]);
    assert_eq!(redis.cli(&["GET", "{test}:v6:g"]), "0010000000000001");
    assert_eq!(a.fetched_strictly("user:1").await, None);
    a.fill("user:1", "new").await.expect("stored");
    a.store.purge(Purge::of_everything()).await;
    assert_eq!(redis.cli(&["GET", "{test}:v6:g"]), "0010000000000002");
}

/// Somebody writes one that is later than a clock ever says, and what is of it is lost then.
#[tokio::test]
async fn a_generation_of_somebody_else_is_followed_by_a_later_one() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    redis.cli(&["SET", "{test}:v6:g", "0123456789abcdef"]);
    let pages = || redis.cli(&["KEYS", "{test}:v6:ix:0123456789ab*"]);
    eventually("it is left", SHORT, || async {
        let _ = a.fill("user:1", "old").await;
        !pages().is_empty() && a.is_up()
    })
    .await;
    let page = pages();
    redis.cli(&["DEL", &page]);
    redis.cli(&["RPUSH", &page, "not a page"]);
    eventually("what is stored is found", SHORT, || async {
        let _ = a.fill("user:1", "new").await;
        a.fetched_strictly("user:1").await == Some("new".into())
    })
    .await;
    assert_eq!(a.store.purge(purge_key("user:*")).await.redis, Some(1));
}

/// What is void counts against the budget until it is gone (promise I5).
#[tokio::test]
async fn what_is_void_is_swept() {
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, 200_000).await;
    for key in 0..1000 {
        let _ = a.fill(&format!("user:{key}"), &"x".repeat(100)).await;
    }
    redis.cli(&["MSET", "user:1", "theirs", "{test2}:v6:e:user:1", "theirs"]);
    let lease = a.store.begin("lease", None).await;
    let purged = a.store.purge(Purge::of_everything()).await;
    assert!(
        purged.redis.is_some_and(|entries| entries > 100),
        "{purged:?}"
    );
    let large = a.fill("user:1", &"x".repeat(60_000)).await;
    let is_there = redis.number(&["STRLEN", "{test}:v6:e:user:1"]) > 1000;
    let held = redis.cli(&["KEYS", "{test}:v6:e:*"]).lines().count();
    assert!(!is_there || held < 300, "{large:?}, {held} are held");
    eventually("it is swept", SHORT, || async {
        redis.number(&["HGET", "{test}:v6:by", "vb"]) == 0
    })
    .await;
    a.store.purge(purge_key("*")).await;
    assert_eq!(redis.cli(&["KEYS", "{test}:v6:[el]:*"]), "");
    eventually("there is room", SHORT, || async {
        a.fill("user:1", "x").await.is_ok()
    })
    .await;
    assert_eq!(
        redis.cli(&["MGET", "user:1", "{test2}:v6:e:user:1"]),
        "theirs\ntheirs"
    );
    a.store.abandon(lease).await;
}
