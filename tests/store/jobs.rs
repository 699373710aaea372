//! The leases of jobs in Redis: each time is taken once, by Redis's clock, and who was overtaken hears of it.

use std::time::{Duration, SystemTime};

use pannier::store::{Claimed, JobClaim, JobEnd, JobProgress, JobRecord, Renewed, Store};

use super::store_under_test::Sidecar;
use crate::support::eventually;
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
        left: 0,
        since: 0,
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

/// The token, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    By(u64),
    Held,
    Past,
}

async fn ask(store: &Store, claim: JobClaim) -> Taken {
    let claimed = store.fleet_jobs().claim(claim).await;
    match claimed.expect("Redis answers") {
        Claimed::Ours(token, _) => Taken::By(token),
        Claimed::Held => Taken::Held,
        Claimed::Past => Taken::Past,
    }
}

async fn take(store: &Store, id: &str, slot: u64) -> Taken {
    ask(store, claim(id, slot, LASTING)).await
}

/// The only record.
async fn record(store: &Store) -> JobRecord {
    let looked = store.fleet_jobs().look(Vec::new()).await;
    let (_, records) = looked.expect("Redis answers");
    records[0].1.clone()
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
    let end = JobEnd {
        run: progress(id, token),
        state,
        error: String::new(),
        slot: 0,
    };
    jobs.finish(end).await.expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_taken_once_and_not_before_redis_says_that_it_has_come() {
    let redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    // Never seen: it begins with its next time.
    assert_eq!(take(&one.store, "a", slot).await, Taken::Past);
    assert_eq!(take(&one.store, "a", slot).await, Taken::Past);
    let slot = slot + 1000;
    let early = now() + 300_000;
    assert_eq!(
        take(&other.store, "b", early).await,
        Taken::Past,
        "a clock five minutes ahead"
    );
    assert_eq!(take(&other.store, "b", slot).await, Taken::By(1));
    assert_eq!(take(&one.store, "a", slot).await, Taken::Held);
    assert_eq!(
        take(&one.store, "a", slot + 1000).await,
        Taken::Held,
        "and the next one, too"
    );
    end(&other.store, "b", 1, "done").await;
    for late in [slot, slot - 1000] {
        assert_eq!(
            take(&one.store, "a", late).await,
            Taken::Past,
            "a clock that is behind"
        );
    }
    assert_eq!(
        take(&one.store, "a", slot + 2000).await,
        Taken::By(2),
        "one of two that were missed"
    );
    end(&one.store, "a", 2, "done").await;
    assert_eq!(
        take(&one.store, "a", slot + 1000).await,
        Taken::Past,
        "the other is not made up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_changes_nothing_any_more() {
    let redis = RedisServer::start();
    let (dead, heir) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    take(&dead.store, "a", slot).await;
    let short = ask(&dead.store, claim("a", slot + 1, 1)).await;
    assert_eq!(short, Taken::By(1));
    tokio::time::sleep(Duration::from_millis(2)).await;
    // What it has left undone is done, by a higher token.
    assert_eq!(take(&heir.store, "b", slot + 1).await, Taken::By(2));
    assert_eq!(renew(&dead.store, "a", 1).await, Renewed::Lost);
    end(&dead.store, "a", 1, "failed").await;
    let kept = record(&heir.store).await;
    assert_eq!((kept.id.as_str(), kept.state.as_str()), ("b", "running"));
    assert_eq!(renew(&heir.store, "b", 2).await, Renewed::Ours);
    assert_eq!(
        dead.store.fleet_jobs().cancel("job", "a").await,
        Some(false)
    );
    assert_eq!(dead.store.fleet_jobs().cancel("job", "b").await, Some(true));
    assert_eq!(renew(&heir.store, "b", 2).await, Renewed::Cancel);
    // What is to end is not gone on with.
    end(&heir.store, "b", 2, "left").await;
    assert_eq!(take(&dead.store, "c", slot + 1).await, Taken::Past);
    // One that ends in time leaves it to whoever comes next, at once.
    assert_eq!(take(&heir.store, "b", slot + 2).await, Taken::By(3));
    end(&heir.store, "b", 3, "left").await;
    assert_eq!(take(&dead.store, "c", slot + 2).await, Taken::By(4));
    end(&dead.store, "c", 4, "done").await;
    assert_eq!(take(&dead.store, "d", slot + 2).await, Taken::Past);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_has_lost_it_learns_again() {
    let mut redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    take(&one.store, "a", slot).await;
    assert_eq!(take(&one.store, "a", slot + 1).await, Taken::By(1));
    redis.kill();
    redis.restart(Data::Lost);
    one.connected().await;
    other.connected().await;
    // The holder goes on, and nobody takes the same time again.
    assert_eq!(renew(&one.store, "a", 1).await, Renewed::Ours);
    assert_eq!(take(&other.store, "b", slot + 1).await, Taken::Held);
    end(&one.store, "a", 1, "done").await;
    redis.cli(&["FLUSHALL"]);
    let known = vec![("job".to_owned(), slot + 1)];
    one.store
        .fleet_jobs()
        .look(known)
        .await
        .expect("Redis answers");
    assert_eq!(take(&other.store, "b", slot + 2).await, Taken::By(1));
    end(&other.store, "b", 1, "done").await;
    assert_eq!(take(&one.store, "a", slot + 1).await, Taken::Past);
    // What is none of it is taken for nothing.
    let name = redis.cli(&["KEYS", "*:jobs"]);
    redis.cli(&["HSET", &name, "job", "{\"token\":\"x"]);
    assert_eq!(take(&other.store, "b", slot + 3).await, Taken::Past);
    redis.cli(&["SET", &name, "x"]);
    assert_eq!(take(&other.store, "b", slot + 3).await, Taken::Past);
    assert_eq!(take(&other.store, "b", slot + 4).await, Taken::By(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_time_is_done_once_as_well() {
    let redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let of_start = |id: &str| claim(id, 0, LASTING);
    // A job that is new and has run at a start begins its schedule with the next time all the same.
    assert_eq!(ask(&one.store, of_start("a")).await, Taken::By(1));
    let slot = now() - 60_000;
    assert_eq!(take(&other.store, "b", slot).await, Taken::Held);
    end(&one.store, "a", 1, "done").await;
    for again in [slot, slot] {
        assert_eq!(take(&other.store, "b", again).await, Taken::Past);
    }
    assert_eq!(take(&other.store, "b", slot + 1).await, Taken::By(2));
    end(&other.store, "b", 2, "done").await;
    // What is left undone is gone on with by one of those who find it.
    assert_eq!(ask(&one.store, of_start("c")).await, Taken::By(3));
    end(&one.store, "c", 3, "left").await;
    let goes_on = |id: &str| JobClaim {
        left: 3,
        ..of_start(id)
    };
    assert_eq!(ask(&other.store, goes_on("d")).await, Taken::By(4));
    assert_eq!(ask(&one.store, goes_on("e")).await, Taken::Held);
    end(&other.store, "d", 4, "done").await;
    assert_eq!(ask(&one.store, goes_on("e")).await, Taken::Past);
    // So is what follows: a run that has begun since then does for it, while it runs and after.
    let begun = record(&one.store).await.begun;
    let follows = |id: &str, since| JobClaim {
        since,
        ..of_start(id)
    };
    assert_eq!(ask(&one.store, follows("f", begun)).await, Taken::Past);
    assert_eq!(ask(&one.store, follows("f", begun + 1)).await, Taken::By(5));
    assert_eq!(
        ask(&other.store, follows("g", begun + 1)).await,
        Taken::Past
    );
    let later = now() + 1;
    assert_eq!(ask(&other.store, follows("g", later)).await, Taken::Held);
    end(&one.store, "f", 5, "done").await;
    assert_eq!(
        ask(&other.store, follows("g", begun + 1)).await,
        Taken::Past
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_death_nor_a_clock_that_jumps_undoes_an_order_or_stops_a_schedule() {
    let redis = RedisServer::start();
    let (one, other) = Sidecar::pair(&redis).await;
    let slot = now() - 60_000;
    take(&one.store, "a", slot).await;
    // It is to end, and its holder dies before it hears of that: nobody goes on with it.
    let dying = claim("a", slot + 1, 200);
    assert_eq!(ask(&one.store, dying).await, Taken::By(1));
    assert_eq!(one.store.fleet_jobs().cancel("job", "a").await, Some(true));
    eventually("its lease has ended", Duration::from_secs(30), || async {
        take(&other.store, "b", slot + 1).await == Taken::Past
    })
    .await;
    assert_eq!(record(&other.store).await.state, "cancelled");
    // Redis's clock was a day ahead, and has gone back.
    let name = redis.cli(&["KEYS", "*:jobs"]);
    let ahead = now() + 86_400_000;
    let json = format!(
        "{{\"slot\":{ahead},\"token\":7,\"id\":\"a\",\"state\":\"running\",\"until\":{ahead},\"lasting\":3000}}"
    );
    redis.cli(&["HSET", &name, "job", &json]);
    let known = vec![("job".to_owned(), ahead)];
    let looked = other.store.fleet_jobs().look(known).await;
    looked.expect("Redis answers");
    assert!(record(&other.store).await.slot <= now());
    assert_eq!(take(&other.store, "b", slot + 2).await, Taken::Past);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(take(&other.store, "b", now()).await, Taken::By(8));
}
