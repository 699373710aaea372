//! The leases of jobs in Redis: each time is taken once, by Redis's clock, and who was overtaken hears of it.

use std::time::{Duration, SystemTime};

use pannier::store::{Claimed, JobClaim, JobProgress, Renewed, Store};

use super::store_under_test::Sidecar;
use crate::support::redis::{Data, RedisServer};

/// Longer than any of these tests.
const LASTING: u64 = 600_000;

fn now() -> u64 {
    let now = pannier::clock::wall().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as u64
}

fn claim(id: &str, slot: u64, lasting: u64) -> JobClaim {
    JobClaim {
        name: "job".to_owned(),
        id: id.to_owned(),
        holder: "test".to_owned(),
        lasting,
        trigger: "schedule",
        slot,
        known: 0,
    }
}

fn progress(id: &str, token: u64) -> JobProgress {
    JobProgress {
        name: "job".to_owned(),
        id: id.to_owned(),
        token,
        total: 9,
        settled: 4,
        failed: 0,
    }
}

async fn take(store: &Store, id: &str, slot: u64) -> Claimed {
    let claimed = store.fleet_jobs().claim(claim(id, slot, LASTING)).await;
    claimed.expect("Redis answers")
}

async fn renew(store: &Store, id: &str, token: u64) -> Renewed {
    let renewed = store
        .fleet_jobs()
        .renew(progress(id, token), claim(id, 0, LASTING))
        .await;
    renewed.expect("Redis answers")
}

async fn end(store: &Store, id: &str, token: u64, state: &'static str) {
    let jobs = store.fleet_jobs();
    let finished = jobs.finish(progress(id, token), state, String::new(), 0);
    finished.await.expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_taken_once_and_not_before_redis_says_that_it_has_come() {
    let redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    // Never seen: it begins with its next time.
    assert_eq!(take(&one.store, "a", slot).await, Claimed::Past);
    assert_eq!(take(&one.store, "a", slot).await, Claimed::Past);
    let slot = slot + 1000;
    let early = now() + 300_000;
    assert_eq!(
        take(&other.store, "b", early).await,
        Claimed::Past,
        "a clock five minutes ahead"
    );
    assert_eq!(take(&other.store, "b", slot).await, Claimed::Ours(1));
    assert_eq!(take(&one.store, "a", slot).await, Claimed::Held);
    assert_eq!(
        take(&one.store, "a", slot + 1000).await,
        Claimed::Held,
        "and the next one, too"
    );
    end(&other.store, "b", 1, "done").await;
    for late in [slot, slot - 1000] {
        assert_eq!(
            take(&one.store, "a", late).await,
            Claimed::Past,
            "a clock that is behind"
        );
    }
    assert_eq!(
        take(&one.store, "a", slot + 2000).await,
        Claimed::Ours(2),
        "one of two that were missed"
    );
    end(&one.store, "a", 2, "done").await;
    assert_eq!(
        take(&one.store, "a", slot + 1000).await,
        Claimed::Past,
        "the other is not made up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_changes_nothing_any_more() {
    let redis = RedisServer::start();
    let (dead, heir) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    take(&dead.store, "a", slot).await;
    let short = dead.store.fleet_jobs().claim(claim("a", slot + 1, 1)).await;
    assert_eq!(short, Some(Claimed::Ours(1)));
    tokio::time::sleep(Duration::from_millis(2)).await;
    // What it has left undone is done, by a higher token.
    assert_eq!(take(&heir.store, "b", slot + 1).await, Claimed::Ours(2));
    assert_eq!(renew(&dead.store, "a", 1).await, Renewed::Lost);
    end(&dead.store, "a", 1, "failed").await;
    let (_, records) = heir
        .store
        .fleet_jobs()
        .look(Vec::new())
        .await
        .expect("Redis answers");
    assert_eq!(
        (records[0].1.id.as_str(), records[0].1.state.as_str()),
        ("b", "running")
    );
    assert_eq!(renew(&heir.store, "b", 2).await, Renewed::Ours);
    assert_eq!(
        dead.store.fleet_jobs().cancel("job", "a").await,
        Some(false)
    );
    assert_eq!(dead.store.fleet_jobs().cancel("job", "b").await, Some(true));
    assert_eq!(renew(&heir.store, "b", 2).await, Renewed::Cancel);
    // One that ends in time leaves it to whoever comes next, at once.
    end(&heir.store, "b", 2, "left").await;
    assert_eq!(take(&dead.store, "c", slot + 1).await, Claimed::Ours(3));
    end(&dead.store, "c", 3, "done").await;
    assert_eq!(take(&dead.store, "d", slot + 1).await, Claimed::Past);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_has_lost_it_learns_again() {
    let mut redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    take(&one.store, "a", slot).await;
    assert_eq!(take(&one.store, "a", slot + 1).await, Claimed::Ours(1));
    redis.kill();
    redis.restart(Data::Lost);
    one.connected().await;
    other.connected().await;
    // The holder goes on, and nobody takes the same time again.
    assert_eq!(renew(&one.store, "a", 1).await, Renewed::Ours);
    assert_eq!(take(&other.store, "b", slot + 1).await, Claimed::Held);
    end(&one.store, "a", 1, "done").await;
    redis.cli(&["FLUSHALL"]);
    let known = vec![("job".to_owned(), slot + 1)];
    one.store
        .fleet_jobs()
        .look(known)
        .await
        .expect("Redis answers");
    assert_eq!(take(&other.store, "b", slot + 2).await, Claimed::Ours(1));
    end(&other.store, "b", 1, "done").await;
    assert_eq!(take(&one.store, "a", slot + 1).await, Claimed::Past);
    // What is none of it is taken for nothing.
    let name = redis.cli(&["KEYS", "*:jobs"]);
    redis.cli(&["HSET", &name, "job", "{\"token\":\"x"]);
    assert_eq!(take(&other.store, "b", slot + 3).await, Claimed::Past);
    redis.cli(&["SET", &name, "x"]);
    assert_eq!(take(&other.store, "b", slot + 3).await, Claimed::Past);
    assert_eq!(take(&other.store, "b", slot + 4).await, Claimed::Ours(1));
}
