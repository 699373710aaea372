//! A primary that sentinels watch: it fails and is replaced under load, and sentinels are lost.

use std::sync::Arc;

use super::load::Load;
use super::{LONG, RULES, app, redis_is, serves_from_redis};
use crate::support::eventually;
use crate::support::redis_sentinels::Watched;
use crate::support::sidecar::Sidecar;

fn config(watched: &Watched) -> String {
    format!(
        "[redis]\n{}reconnect_max = \"200ms\"\n{RULES}",
        watched.keys()
    )
}

/// Requests go on without a failure while the primary is killed and replaced, and another sentinel is gone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_replaced_under_load() {
    let (mut watched, app) = (Watched::start(), app().await);
    let sidecar = Sidecar::start(&app.url(), &config(&watched));
    redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
    serves_from_redis(&sidecar.client()).await;
    let load = Load::start(&sidecar);
    watched.sentinels.remove(0);
    watched.servers[0].kill();
    let watched = Arc::new(watched);
    eventually("the replica takes over", LONG, || {
        let watched = Arc::clone(&watched);
        async move { watched.primary() == Some(1) }
    })
    .await;
    redis_is(&sidecar.admin(), "up at the new one", |told| {
        told["state"] == "up"
    })
    .await;
    serves_from_redis(&sidecar.client()).await;
    assert!(watched.servers[1].info("connected_clients") != "0");
    load.ends_without_a_failure().await;
}

/// While the primary stands, sentinels are not needed; a sidecar that starts asks those that are left.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_be_lost() {
    let (mut watched, app) = (Watched::start(), app().await);
    let all = config(&watched);
    let sidecar = Sidecar::start(&app.url(), &all);
    redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
    watched.sentinels.drain(..2);
    serves_from_redis(&sidecar.client()).await;
    let late = Sidecar::start(&app.url(), &all);
    redis_is(&late.admin(), "up by the last one", |told| {
        told["state"] == "up"
    })
    .await;
    serves_from_redis(&late.client()).await;
    watched.sentinels.clear();
    serves_from_redis(&sidecar.client()).await;
}

/// One that was replaced may go on, where it has not heard of that: whoever stays there purges what nobody else reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_replaced_is_left_though_it_goes_on() {
    let (watched, app) = (Watched::start(), app().await);
    let config = config(&watched);
    let sidecars = [(); 2].map(|()| Sidecar::start(&app.url(), &config));
    for sidecar in &sidecars {
        redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
        serves_from_redis(&sidecar.client()).await;
    }
    let has_clients = |number: usize| {
        let clients = watched.servers[number].cli(&["CLIENT", "LIST"]);
        clients.contains("name=pannier:")
    };
    assert!(has_clients(0) && !has_clients(1));
    watched.replace_by(1);
    eventually("all are at the new one", LONG, || async {
        has_clients(1) && !has_clients(0)
    })
    .await;
    for sidecar in &sidecars {
        redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
        serves_from_redis(&sidecar.client()).await;
    }
    assert_eq!(watched.servers[0].info("role"), "master", "it goes on");
}
