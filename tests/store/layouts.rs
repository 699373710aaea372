//! Sidecars of two stored layouts in one namespace, as during a rolling update: neither can purge what the
//! other stored, so neither uses Redis while the other does (promises I2 to I5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use pannier::config::Coherence::{Strict, Tracked};
use pannier::routes::Purge;

use super::store_under_test::{SHORT, Sidecar, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};

/// A layout that this program has not.
const OTHER: u32 = 7;
/// The one of this version.
const OWN: u32 = 6;

impl Sidecar {
    /// Waits until its beat has found sidecars of `layout`.
    async fn found(&self, layout: u32) {
        let words = format!("layout {layout} use");
        eventually("another layout is found", SHORT, || async {
            let status = self.redis_status().await;
            !status.up
                && status
                    .last_error
                    .is_some_and(|error| error.contains(&words))
        })
        .await;
    }
}

/// What a beat of another layout does to the shared names, at this very moment: it is in use until
/// [`end`].
fn announce(redis: &RedisServer, layout: &str) {
    redis.cli(&["HSET", "{test}:alive", layout, "99999999999999"]);
    redis.cli(&["SADD", "{test}:layouts", layout]);
}

/// As if the last beat of that layout were long ago.
fn end(redis: &RedisServer, layout: &str) {
    redis.cli(&["HSET", "{test}:alive", layout, "1"]);
}

fn layouts(redis: &RedisServer) -> String {
    redis.cli(&["SORT", "{test}:layouts"]).replace('\n', " ")
}

/// Waits until what is void has been removed.
async fn swept(redis: &RedisServer, names: &str) {
    eventually("it is swept", SHORT, || async {
        redis.cli(&["KEYS", names]).is_empty()
    })
    .await;
}

fn everything() -> Purge {
    Purge {
        everything: true,
        ..Purge::default()
    }
}

#[tokio::test]
async fn a_purge_by_the_new_layout_is_never_answered_from_redis_by_the_old() {
    let redis = RedisServer::start();
    let old = Sidecar::start(&redis).await;
    for key in ["user:1", "user:2"] {
        old.fill(key, "stored").await.expect("stored");
    }
    assert!(old.fetched_strictly("user:1").await.is_some());
    let new = Sidecar::of_layout(&redis.url(), OTHER);
    new.found(OWN).await;
    // From here on without waiting for anything.
    assert!(new.store.purge(purge_key("user:*")).await.pending);
    for key in ["user:1", "user:2"] {
        assert_eq!(old.fetched_strictly(key).await, None, "{key}");
        assert_eq!(old.fetched(key).await, None, "{key}");
        assert_eq!(new.fetched(key).await, None, "{key}");
    }
    let strict = old.store.begin("user:1", None).await;
    assert_eq!(strict.found(), None, "nor with a lease");
    old.store.abandon(strict).await;
    old.found(OTHER).await;
}

#[tokio::test]
async fn while_two_layouts_are_in_use_memory_goes_on_and_redis_takes_nothing() {
    let redis = RedisServer::start();
    let old = Sidecar::start(&redis).await;
    old.fill("user:1", "stored").await.expect("stored");
    let new = Sidecar::of_layout(&redis.url(), OTHER);
    new.found(OWN).await;
    old.found(OTHER).await;
    assert_eq!(old.remembered("user:1"), Some("stored".into()));
    for sidecar in [&old, &new] {
        sidecar.fill("user:2", "kept").await.expect("in memory");
        assert_eq!(sidecar.remembered("user:2"), Some("kept".into()));
        let ticket = sidecar.store.begin("user:3", None).await;
        let strict = variant("user:3", "strict");
        let stored = sidecar.store.commit(ticket, strict, Strict, None).await;
        assert!(stored.is_err(), "a strict rule has nowhere to store");
        let purged = sidecar.store.purge(purge_key("user:2")).await;
        assert!(purged.pending && purged.memory == 1);
        assert_eq!(sidecar.remembered("user:2"), None, "its own purge");
    }
    assert_eq!(redis.cli(&["KEYS", "{test}:v6:e:*"]), "{test}:v6:e:user:1");
    assert_eq!(redis.cli(&["KEYS", "{test}:v7:[el]:*"]), "");
    assert_eq!(new.redis_status().await.pending_purges, 1, "it is kept");
}

/// Nothing of Redis is used from the moment at which the other layout announces itself, whatever was under
/// way then: the test's runtime is blocked while that happens, so the sidecar cannot have heard of it.
#[tokio::test]
async fn what_is_under_way_when_another_layout_comes_is_not_used() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "stored").await.expect("stored");
    let before = a.store.begin("user:2", None).await;

    announce(&redis, "7");
    assert_eq!(a.fetched_strictly("user:1").await, None, "a lookup");
    a.found(OTHER).await;
    end(&redis, "7");
    a.connected().await;

    a.fill("user:1", "stored").await.expect("stored");
    announce(&redis, "7");
    let ticket = a.store.begin("user:1", None).await;
    assert_eq!(ticket.found(), None, "a lease");
    a.store.abandon(ticket).await;
    a.found(OTHER).await;
    end(&redis, "7");
    a.connected().await;

    announce(&redis, "7");
    assert!(a.store.purge(purge_key("user:1")).await.pending, "a purge");
    end(&redis, "7");
    a.connected().await;
    assert_eq!(a.redis_status().await.pending_purges, 0);
    let late = a
        .store
        .commit(before, variant("user:2", "x"), Tracked, None)
        .await;
    assert!(late.is_err(), "a store under a lease from before");
    assert_eq!(a.fetched("user:2").await, None);
}

#[tokio::test]
async fn the_new_layout_takes_over_when_the_old_one_stops() {
    let redis = RedisServer::start();
    let old = Sidecar::start(&redis).await;
    for key in ["user:1", "user:2"] {
        old.fill(key, "stored").await.expect("stored");
    }
    let new = Sidecar::of_layout(&redis.url(), OTHER);
    new.found(OWN).await;
    new.fill("user:2", "kept").await.expect("in memory");
    new.store.purge(purge_key("user:1")).await;
    old.store.close().await;
    new.connected().await;
    assert_eq!(new.redis_status().await.pending_purges, 0);
    assert_eq!(new.remembered("user:2"), None, "memory begins anew");
    for key in ["user:1", "user:2"] {
        assert_eq!(new.fetched(key).await, None, "{key}");
        new.fill(key, "new").await.expect("stored");
        assert_eq!(new.fetched_strictly(key).await, Some("new".into()));
    }
    assert_eq!(redis.cli(&["KEYS", "{test}:v6:*"]), "", "nothing is left");
    assert_eq!(layouts(&redis), "7");
    assert_eq!(redis.cli(&["HKEYS", "{test}:alive"]), "7");
}

#[tokio::test]
async fn after_a_rollback_the_old_layout_serves_nothing_that_the_new_one_purged() {
    let redis = RedisServer::start();
    let old = Sidecar::start(&redis).await;
    for key in ["user:1", "user:2"] {
        old.fill(key, "stored").await.expect("stored");
    }
    let new = Sidecar::of_layout(&redis.url(), OTHER);
    new.found(OWN).await;
    new.store.purge(purge_key("user:1")).await;
    new.store.close().await;
    old.connected().await;
    for key in ["user:1", "user:2"] {
        assert_eq!(old.remembered(key), None, "{key}");
        assert_eq!(old.fetched(key).await, None, "{key}");
    }
    swept(&redis, "{test}:v[45]:[el]:*").await;
    old.fill("user:1", "new").await.expect("stored");
    assert_eq!(old.fetched_strictly("user:1").await, Some("new".into()));
    assert_eq!(layouts(&redis), "6");
}

/// No sidecar of the one layout ever saw one of the other: all were stopped before the others started.
#[tokio::test]
async fn a_layout_that_came_and_went_meanwhile_is_found_by_its_name() {
    let redis = RedisServer::start();
    let before = Sidecar::start(&redis).await;
    before.fill("user:1", "stored").await.expect("stored");
    before.store.close().await;
    redis.cli(&["SET", "{test}:v7:e:user:1", "theirs"]);
    redis.cli(&["SADD", "{test}:layouts", "7"]);
    let after = Sidecar::start(&redis).await;
    assert_eq!(after.fetched("user:1").await, None, "purged by them, maybe");
    swept(&redis, "{test}:v[45]:e:*").await;
    assert_eq!(layouts(&redis), "6");
}

#[tokio::test]
async fn without_the_names_of_the_layouts_nothing_stored_is_trusted() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "stored").await.expect("stored");
    redis.cli(&["DEL", "{test}:layouts", "{test}:alive"]);
    assert_eq!(a.fetched_strictly("user:1").await, None);
    a.connected().await;
    assert_eq!(a.fetched("user:1").await, None);
    a.fill("user:1", "new").await.expect("stored");
    assert_eq!(layouts(&redis), "6");
}

#[tokio::test]
async fn sidecars_of_one_layout_take_over_side_by_side() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let c = a.another_runtime();
    c.connected().await;
    for round in 0..5 {
        let body = format!("round {round}");
        for key in ["user:1", "user:2"] {
            a.fill(key, &body).await.expect("stored");
            assert_eq!(b.fetched(key).await, Some(body.clone()));
        }
        announce(&redis, "7");
        for sidecar in [&a, &b] {
            sidecar.found(OTHER).await;
        }
        end(&redis, "7");
        // Whoever comes first stores at once, while the others may still remove.
        eventually("all are back", SHORT, || async {
            for sidecar in [&a, &b, &c] {
                let found = sidecar.fetched("user:1").await;
                assert!(found.is_none_or(|found| found == "early"), "{round}");
                assert_eq!(sidecar.fetched("user:2").await, None, "{round}");
                let _ = sidecar.fill("user:1", "early").await;
            }
            a.redis_status().await.up && b.redis_status().await.up
        })
        .await;
        a.store.purge(everything()).await;
        eventually("invalidated", SHORT, || async {
            b.remembered("user:1").is_none()
        })
        .await;
    }
}

/// Each change ends the sessions of all, and those that are being prepared, in which purges are sent again.
#[tokio::test(flavor = "multi_thread")]
async fn purges_land_although_the_list_of_layouts_is_lost_again_and_again() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let losses = tokio::task::spawn_blocking({
        let is_over = Arc::clone(&is_over);
        move || {
            for _ in 0..150 {
                redis.cli(&["DEL", "{test}:layouts"]);
            }
            is_over.store(true, Ordering::SeqCst);
            redis
        }
    });
    let purges = [&a, &b].into_iter().flat_map(|sidecar| {
        [(); 4].map(|()| async {
            let mut kept = 0;
            while !is_over.load(Ordering::SeqCst) {
                let purged = sidecar.store.purge(purge_key("user:*")).await;
                kept += usize::from(purged.pending);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            kept
        })
    });
    let purges = join_all(purges);
    let (redis, kept) = tokio::join!(losses, purges);
    drop(redis);
    assert_eq!(kept, [0; 8], "acknowledged before they had landed");
}

/// If a session had ended, memory would have been emptied as the next began.
#[tokio::test]
async fn a_sidecar_of_the_same_layout_disturbs_nobody() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "stored").await.expect("stored");
    let b = Sidecar::start(&redis).await;
    for _ in 0..3 {
        let last = redis.number(&["HGET", "{test}:alive", "6"]);
        eventually("another beat", SHORT, || async {
            redis.number(&["HGET", "{test}:alive", "6"]) > last
        })
        .await;
    }
    b.store.close().await;
    assert_eq!(a.remembered("user:1"), Some("stored".into()));
    assert_eq!(a.fetched_strictly("user:1").await, Some("stored".into()));
    assert_eq!(layouts(&redis), "6");
}

/// `pannier explain` of another version reads Redis where no sidecar answers.
#[tokio::test]
async fn a_process_that_only_looks_disturbs_no_fleet_of_another_layout() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("user:1", "stored").await.expect("stored");
    let looking = Sidecar::looking_by_layout(&redis.url(), OTHER);
    looking.found(OWN).await;
    assert_eq!(looking.fetched("user:1").await, None);
    assert_eq!(a.remembered("user:1"), Some("stored".into()));
    assert_eq!(a.fetched_strictly("user:1").await, Some("stored".into()));
    assert_eq!(layouts(&redis), "6");

    let same = Sidecar::looking_by_layout(&redis.url(), OWN);
    same.connected().await;
    assert_eq!(same.fetched("user:1").await, Some("stored".into()));
    a.store.close().await;
    redis.cli(&["SADD", "{test}:layouts", "7"]);
    let later = Sidecar::looking_by_layout(&redis.url(), OWN);
    eventually("it has looked", SHORT, || async {
        later.store.fetch("user:1", Strict).await.is_none() && !later.redis_status().await.up
    })
    .await;
    assert_eq!(
        redis.cli(&["EXISTS", "{test}:v6:e:user:1"]),
        "1",
        "it takes nothing over"
    );
}

/// A snapshot from before the other layout came knows nothing of it, but whoever has seen it does.
#[tokio::test]
async fn older_data_do_not_hide_that_another_layout_was_there() {
    let mut redis = RedisServer::start();
    let old = Sidecar::start(&redis).await;
    old.fill("user:1", "stored").await.expect("stored");
    redis.cli(&["SAVE"]);
    let new = Sidecar::of_layout(&redis.url(), OTHER);
    new.found(OWN).await;
    old.found(OTHER).await;
    new.store.purge(purge_key("user:1")).await;
    new.store.close().await;
    redis.restart(Data::Snapshot);
    assert_eq!(redis.cli(&["EXISTS", "{test}:v6:e:user:1"]), "1");
    assert_eq!(layouts(&redis), "6", "the snapshot is of before");
    eventually("connected anew", SHORT, || async {
        assert_eq!(old.fetched("user:1").await, None, "although purged");
        old.redis_status().await.up
    })
    .await;
    assert_eq!(old.fetched("user:1").await, None);
}

#[tokio::test]
async fn in_a_cluster_every_shard_knows_of_the_other_layout() {
    let redis = RedisServer::start_cluster();
    let old = Sidecar::of_layout(&redis.cluster_url(), OWN);
    old.connected().await;
    let keys: Vec<String> = (0..64).map(|n| format!("user:{n}")).collect();
    for key in &keys {
        old.fill(key, "stored").await.expect("stored");
    }
    let new = Sidecar::of_layout(&redis.cluster_url(), OTHER);
    new.found(OWN).await;
    new.store.purge(purge_key("user:*")).await;
    let found = join_all(keys.iter().map(|key| old.fetched_strictly(key))).await;
    assert!(found.iter().all(Option::is_none), "{found:?}");
    old.found(OTHER).await;
    new.store.close().await;
    old.connected().await;
    let found = join_all(keys.iter().map(|key| old.fetched(key))).await;
    assert!(found.iter().all(Option::is_none), "{found:?}");
    swept(&redis, "{test.*}:v[45]:e:*").await;
    assert_eq!(redis.cli(&["SMEMBERS", "{test.7}:layouts"]), "6");
    old.fill("user:1", "new").await.expect("stored");
}

/// The other layout's sidecars may have come to one shard alone, and purged what is in another one.
#[tokio::test]
async fn a_layout_that_is_met_in_one_shard_counts_for_all() {
    let redis = RedisServer::start_cluster();
    let a = Sidecar::of_layout(&redis.cluster_url(), OWN);
    a.connected().await;
    let keys: Vec<String> = (0..64).map(|n| format!("user:{n}")).collect();
    for key in &keys {
        a.fill(key, "stored").await.expect("stored");
    }
    redis.cli(&["HSET", "{test.7}:alive", "7", "99999999999999"]);
    redis.cli(&["SADD", "{test.7}:layouts", "7"]);
    a.found(OTHER).await;
    let found = join_all(keys.iter().map(|key| a.fetched_strictly(key))).await;
    assert!(found.iter().all(Option::is_none), "{found:?}");
    redis.cli(&["HSET", "{test.7}:alive", "7", "1"]);
    a.connected().await;
    let found = join_all(keys.iter().map(|key| a.fetched(key))).await;
    assert!(
        found.iter().all(Option::is_none),
        "what was stored before is void: {found:?}"
    );
    a.fill("user:1", "new").await.expect("stored");
}

/// One that was held up while a sibling took over: what the sibling stored since then is not void.
#[tokio::test]
async fn a_takeover_that_comes_late_changes_nothing() {
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
    let generation = || redis.cli(&["GET", "{test}:v6:g"]);
    let renew = |ending: &str| {
        let first = [
            "EVAL",
            SCRIPT,
            "1",
            "{test}:v6:by",
            "{test}:v6",
            &"0".repeat(16),
        ];
        let reply = redis.cli(&[first.as_slice(), &["layout", ending, "", "0"]].concat());
        reply.lines().last().map(str::to_owned)
    };
    let first = generation();
    a.fill("user:1", "stored").await.expect("stored");
    assert_eq!(renew(&first), Some("1".to_owned()));
    let second = generation();
    assert!(second > first, "{second} after {first}");
    a.fill("user:1", "new").await.expect("stored");
    assert_eq!(renew(&first), Some("0".to_owned()));
    assert_eq!(generation(), second);
    assert_eq!(a.fetched_strictly("user:1").await, Some("new".into()));
}
