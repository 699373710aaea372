//! A cluster of three primaries and three replicas: a primary dies, a replica takes over in order, a slot moves; all of it under
//! load.

use fred::util::redis_keyslot;

use super::load::Load;
use super::{RULES, app, redis_is, serves_from_redis};
use crate::support::redis_cluster::Cluster;
use crate::support::sidecar::Sidecar;

fn config(cluster: &Cluster) -> String {
    format!(
        "[redis]\nurl = \"{}\"\nreconnect_max = \"200ms\"\n{RULES}",
        cluster.url()
    )
}

async fn is_up(sidecar: &Sidecar, when: &str) {
    redis_is(&sidecar.admin(), when, |told| told["state"] == "up").await;
    serves_from_redis(&sidecar.client()).await;
}

/// A slot in which Pannier has something.
fn slot(shard: usize) -> u16 {
    redis_keyslot(format!("{{pannier.{shard}}}").as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_is_replaced_under_load() {
    let (mut cluster, app) = (Cluster::start(), app().await);
    let sidecar = Sidecar::start(&app.url(), &config(&cluster));
    is_up(&sidecar, "up").await;
    let load = Load::start(&sidecar);
    let dying = cluster.owner(slot(0));
    cluster.nodes[dying].kill();
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.is_whole();
        cluster
    });
    let cluster = cluster.await.expect("it is whole again");
    assert_ne!(cluster.owner(slot(0)), dying);
    is_up(&sidecar, "up again").await;
    load.ends_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_in_order_under_load() {
    let (cluster, app) = (Cluster::start(), app().await);
    let sidecar = Sidecar::start(&app.url(), &config(&cluster));
    is_up(&sidecar, "up").await;
    let load = Load::start(&sidecar);
    let replica = 3 + cluster.owner(slot(0));
    tokio::task::block_in_place(|| cluster.fail_over_to(replica));
    assert_eq!(cluster.owner(slot(0)), replica);
    is_up(&sidecar, "up again").await;
    load.ends_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_under_load() {
    let (cluster, app) = (Cluster::start(), app().await);
    let sidecar = Sidecar::start(&app.url(), &config(&cluster));
    is_up(&sidecar, "up").await;
    let load = Load::start(&sidecar);
    let from = cluster.owner(slot(0));
    let to = (from + 1) % 3;
    tokio::task::block_in_place(|| cluster.migrate(slot(0), to));
    is_up(&sidecar, "up again").await;
    load.ends_without_a_failure().await;
}
