//! What becomes of one node of a cluster concerns what it has, and nothing else.

use std::collections::BTreeSet;

use fred::util::redis_keyslot;

use super::{LONG, app, redis_is};
use crate::support::app::Answer;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::redis_cluster::Cluster;
use crate::support::sidecar::{Sidecar, TOKEN};

/// Hits of the first rule are from Redis, those of the second from memory, once it has them.
const RULES: &str = r#"
[[route]]
name = "item"
path = "/items/{id}"
key = "item:{path.id}"
any_host = true
coherence = "strict"
[[route]]
name = "tracked"
path = "/tracked/{id}"
key = "tracked:{path.id}"
any_host = true
[[purge]]
name = "items"
path = "/items/{id}"
keys = ["item:{path.id}"]
"#;

/// Workers that share one connection a node, so that most requests are errands of other runtimes.
fn config(node: &RedisServer) -> String {
    format!(
        "[listen]\nworkers = 4\n[redis]\nurl = \"{}\"\nconnections = 1\ntimeout = \"10s\"\nreconnect_max = \"200ms\"\n{RULES}",
        node.cluster_url()
    )
}

/// Three nodes without replicas, which go on serving what they have when another one is lost.
fn start() -> [RedisServer; 3] {
    let nodes = RedisServer::start_cluster_of_three();
    for node in &nodes {
        let set = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        assert_eq!(node.cli(&set), "OK");
    }
    nodes
}

/// The paths whose entries a node has, under a prefix of keys.
fn paths_at(node: &RedisServer, prefix: &str) -> BTreeSet<String> {
    let names = node.cli(&["KEYS", &format!("*:e:{prefix}:*")]);
    let numbers = names.lines().filter_map(|name| name.rsplit(':').next());
    let folder = if prefix == "item" { "items" } else { prefix };
    numbers
        .map(|number| format!("/{folder}/{number}"))
        .collect()
}

async fn all_are_hits(client: &Client, paths: impl IntoIterator<Item = &String>) {
    for path in paths {
        eventually("a hit", LONG, || async { client.get(path).await.is_hit() }).await;
    }
}

fn calls_of_get(nodes: &[RedisServer]) -> Vec<String> {
    nodes.iter().map(|node| node.info("cmdstat_get")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_lost_takes_nothing_else_with_it() {
    let (mut nodes, app) = (tokio::task::block_in_place(start), app().await);
    let paths = |folder: &str| {
        (0..32)
            .map(|number| format!("/{folder}/{number}"))
            .collect()
    };
    let (items, tracked): (Vec<String>, Vec<String>) = (paths("items"), paths("tracked"));
    for path in &tracked {
        app.on("GET", path, |_| Answer::text("tracked"));
    }
    let sidecar = Sidecar::start(&app.url(), &config(&nodes[0]));
    let (client, admin) = (sidecar.client(), sidecar.admin());
    redis_is(&admin, "up", |told| told["state"] == "up").await;
    all_are_hits(&client, items.iter().chain(&tracked)).await;
    let lost = paths_at(&nodes[0], "item");
    let (left, left_tracked): (BTreeSet<String>, BTreeSet<String>) = nodes[1..]
        .iter()
        .map(|node| (paths_at(node, "item"), paths_at(node, "tracked")))
        .fold(
            Default::default(),
            |(items, tracked), (more, more_tracked)| (&items | &more, &tracked | &more_tracked),
        );
    assert!(!lost.is_empty() && !left_tracked.is_empty());
    assert_eq!(lost.len() + left.len(), items.len());

    // The only one that the config names. What the others have is never missed, whatever is known of the loss yet.
    nodes[0].kill();
    let name = format!("127.0.0.1:{}", nodes[0].port());
    redis_is(&admin, "a part is lost", |told| {
        let cause = told["cause"].as_str().unwrap_or_default();
        told["state"] == "down" && cause.contains(&name)
    })
    .await;
    for path in left.iter().chain(&left_tracked) {
        assert!(client.get(path).await.is_hit(), "{path}");
    }
    for path in &lost {
        let answer = client.get(path).await;
        assert!(answer.status == 200 && !answer.is_hit(), "{path}");
    }
    let shards = admin.get("/stats").await.value()["redis"]["shards"].clone();
    assert_eq!(shards["all"], 16);
    let up = shards["up"].as_u64().expect("a number");
    assert!((1..16).contains(&up), "{shards}");

    // Longer than `redis.staleness` after the loss, memory answers for the others as before, without asking Redis.
    redis_is(&admin, "lost for longer", |told| {
        told["since"].as_u64() >= Some(2)
    })
    .await;
    // Beats ask the nodes as well, now and then.
    eventually("nobody asks Redis", LONG, || async {
        let before = calls_of_get(&nodes[1..]);
        for path in &left_tracked {
            assert!(client.get(path).await.is_hit(), "{path}");
        }
        calls_of_get(&nodes[1..]) == before
    })
    .await;

    // Purges land at once where they can, and wait for the others alone.
    let purge = admin
        .request("POST", "/purge")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(r#"{"patterns": ["item:*"]}"#);
    let told = purge.send().await.value();
    assert_eq!(told["pending"], true, "{told}");
    assert_eq!(told["purged"]["redis"], left.len(), "{told}");
    for path in &left {
        assert!(!client.get(path).await.is_hit(), "{path}, just purged");
    }
    all_are_hits(&client, &left).await;
    let one = left.first().expect("there are some");
    client.request("PUT", one).send().await;
    assert!(!client.get(one).await.is_hit(), "{one}, just purged");

    nodes[0].restart(Data::Lost);
    redis_is(&admin, "up again", |told| {
        told["state"] == "up" && told["pending_purges"] == 0
    })
    .await;
    all_are_hits(&client, items.iter().chain(&tracked)).await;
}

/// Scripts name all that they may come upon: what has moved already is put off, and not taken for lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_has_moved_half_makes_nothing_void() {
    const SHARD: &str = "{pannier.0}";
    let (cluster, app) = (Cluster::start(), app().await);
    let sidecar = Sidecar::start(&app.url(), &config(&cluster.nodes[0]));
    let (client, admin) = (sidecar.client(), sidecar.admin());
    redis_is(&admin, "up", |told| told["state"] == "up").await;
    let items: Vec<String> = (0..32).map(|number| format!("/items/{number}")).collect();
    all_are_hits(&client, &items).await;
    let slot = redis_keyslot(SHARD.as_bytes());
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    let names = cluster.nodes[from].cli(&["KEYS", &format!("{SHARD}:*:e:item:*")]);
    let moving = names.lines().filter_map(|name| name.rsplit(':').next());
    let moving: Vec<String> = moving.map(|number| format!("/items/{number}")).collect();
    assert!(!moving.is_empty());

    tokio::task::block_in_place(|| {
        cluster.begin_migration(slot, to);
        // Of all bookkeeping the one that scripts do not look for at their begin.
        cluster.move_key(&format!("{SHARD}:alive"), from, to);
    });
    redis_is(&admin, "it is put off", |told| told["shards"]["up"] == 15).await;
    for path in &items {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.is_hit(), !moving.contains(path), "{path}");
    }
    tokio::task::block_in_place(|| cluster.end_migration(slot, to));
    redis_is(&admin, "up again", |told| told["state"] == "up").await;
    for path in &items {
        assert!(client.get(path).await.is_hit(), "{path}");
    }
    let metrics = admin.get("/metrics").await;
    let voided =
        |line: &&str| line.starts_with("pannier_redis_voided_total") && !line.ends_with(" 0");
    assert_eq!(metrics.text().lines().find(voided), None);
}
