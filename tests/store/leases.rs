//! How long a lease lasts: as long as its fill, and hardly longer than its sidecar.

use std::time::Duration;

use pannier::config::Coherence::Tracked;
use pannier::http_cache::Reason;
use parking_lot::Mutex;

use super::store_under_test::{SHORT, Sidecar, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// That of a dead sidecar ends before those that were taken earlier and whose fills go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lasts_as_long_as_its_fill_and_not_much_longer_than_its_sidecar() {
    let single = RedisServer::start();
    lasts_as_long_as_its_fill(&single.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_in_a_cluster() {
    let cluster = RedisServer::start_cluster();
    lasts_as_long_as_its_fill(&cluster.cluster_url()).await;
}

async fn lasts_as_long_as_its_fill(url: &str) {
    let [a, b] = [0; 2].map(|_| Sidecar::patient(url));
    a.connected().await;
    b.connected().await;
    let [whole, purged] = ["whole", "purged"].map(|key| b.store.begin(key, None));
    let (whole, purged) = (whole.await, purged.await);
    // Nobody holds it, as where a process is killed.
    drop(b.store.begin("dead", None).await);
    is_free_in_the_end(&a, "dead").await;
    for key in ["whole", "purged"] {
        let ticket = a.store.begin(key, None).await;
        assert!(ticket.taken_by().is_some(), "{key}");
    }
    a.store.purge(purge_key("purge*")).await;
    let store = |ticket, key| b.store.commit(ticket, variant(key, "x"), Tracked, None);
    let refused = store(purged, "purged").await;
    assert!(refused.is_err(), "a purge finds it however old it is");
    assert_eq!(store(whole, "whole").await, Ok(()));
    assert_eq!(a.fetched("whole").await, Some("x".into()));
}

/// Nobody has the lease of `key` any more.
async fn is_free_in_the_end(sidecar: &Sidecar, key: &str) {
    eventually("the lease is given", SHORT, || async {
        let ticket = sidecar.store.begin(key, None).await;
        let is_given = ticket.taken_by().is_none();
        sidecar.store.abandon(ticket).await;
        is_given
    })
    .await;
}

/// It was only late: what it stores is refused, and it keeps nobody from the key.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_for_dead_stores_nothing_and_holds_nothing() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let late = b.store.begin("key", None).await;
    let heir = Mutex::new(None);
    eventually("it is taken over", SHORT, || async {
        // As if nothing was heard of it for long; it may say in between that it goes on.
        redis.cli(&["ZADD", "{test}:v6:lx", "1", "key"]);
        let ticket = a.store.begin("key", None).await;
        let is_given = ticket.taken_by().is_none();
        *heir.lock() = is_given.then_some(ticket);
        is_given
    })
    .await;
    let other = b.store.begin("key", None).await;
    assert!(other.taken_by().is_some(), "the heir has it");
    // This one dies, and the late one still believes that it goes on.
    drop(heir);
    is_free_in_the_end(&a, "key").await;
    let stored = b.store.commit(late, variant("key", "old"), Tracked, None);
    let stored = stored.await;
    assert!(
        matches!(stored, Err(Reason::LeaseLost | Reason::Fenced)),
        "{stored:?}"
    );
    assert_eq!(a.fetched("key").await, None);
    assert_eq!(b.remembered("key"), None);
}

/// Nobody need wait for one whose sidecar has died.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_that_the_other_was_not_heard_of_for_long() {
    const LATE: &str = "local time = redis.call('TIME')
                        local now = time[1] * 1000 + time[2] / 1000
                        return redis.call('ZADD', KEYS[1], now + 600, 'key')";
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let held = a.store.begin("key", None).await;
    let waits = b.store.begin("key", None).await;
    assert!(waits.taken_by().is_some() && !waits.is_holder_silent());
    eventually("it is late", SHORT, || async {
        // It may say in between that it goes on, and if that is late indeed the lease ends.
        redis.cli(&["EVAL", LATE, "1", "{test}:v6:lx"]);
        b.store.begin("key", None).await.is_holder_silent()
    })
    .await;
    eventually("it is heard of again", SHORT, || async {
        !b.store.begin("key", None).await.is_holder_silent()
    })
    .await;
    a.store.abandon(held).await;
}

/// One that has just started knows nothing of the app.
#[tokio::test]
async fn who_waits_is_told_what_the_app_usually_takes() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for usual in [
        None,
        Some(Duration::from_millis(0)),
        Some(Duration::from_millis(1250)),
    ] {
        let held = a.store.begin("key", usual).await;
        assert_eq!(held.usual_of_holder(), None, "its own");
        let waits = b.store.begin("key", None).await;
        assert!(waits.taken_by().is_some(), "{usual:?}");
        assert_eq!(waits.usual_of_holder(), usual);
        a.store.abandon(held).await;
    }
}
