//! `[budget] manage_server`: the server's own bound, where Pannier may set it, and where it may not.

use fred::util::redis_keyslot;

use super::{LONG, RULES, app, redis_is, serves_from_redis};
use crate::running::{Running, wait_for};
use crate::support::app::Answer;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::redis_cluster::Cluster;
use crate::support::sidecar::Sidecar;

fn config(url: &str) -> String {
    format!(
        "[redis]\nurl = \"{url}\"\ntimeout = \"10s\"\nreconnect_max = \"100ms\"\n[budget]\nmax = \"20MB\"\n\
         manage_server = true\n{RULES}"
    )
}

fn bounds(redis: &RedisServer) -> (String, String) {
    (redis.info("maxmemory"), redis.info("maxmemory_policy"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lets_it_is_bounded_whenever_it_comes_back() {
    let app = app().await;
    let mut redis = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let sidecar = Sidecar::start(&app.url(), &config(&redis.url()));
    for _ in 0..2 {
        redis_is(&sidecar.admin(), "it is set", |told| {
            told["state"] == "up" && told["managed"]["state"] == "set"
        })
        .await;
        let told = sidecar.admin().get("/stats").await.value();
        assert_eq!(told["redis"]["managed"]["maxmemory_mb"], 20.0);
        let expected = ("20000000".to_owned(), "noeviction".to_owned());
        // The state of before is told until the connection for it is back.
        eventually("Redis has it", LONG, || async {
            bounds(&redis) == expected
        })
        .await;
        serves_from_redis(&sidecar.client()).await;
        redis.restart(Data::Lost);
    }
}

/// Pannier goes on where it is refused, and says once why.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_left_as_it_is() {
    let app = app().await;
    let renamed = RedisServer::start_with(&["--rename-command", "CONFIG", ""]);
    let forbidden = RedisServer::start();
    forbidden.cli(&[
        "ACL", "SETUSER", "pannier", "on", ">secret", "~*", "+@all", "-config",
    ]);
    let occupied = RedisServer::start();
    occupied.cli(&["SETRANGE", "theirs", "24999999", "x"]);
    for (case, redis, login, cause) in [
        ("no such command", &renamed, "", "unknown command"),
        ("no right", &forbidden, "pannier:secret@", "+config|set"),
        ("others fill it", &occupied, "", "others store so much"),
    ] {
        let before = bounds(redis);
        let url = format!("redis://{login}127.0.0.1:{}", redis.port());
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pannier.toml");
        std::fs::write(&file, config(&url)).expect("a writable folder");
        let file = file.display().to_string();
        let running = Running::start(&["run", "--config", &file], &app.url());
        let warning = wait_for(&running.log, "manage_server");
        assert!(
            warning.contains("WARN") && warning.contains(cause),
            "{case}: {warning}"
        );
        let admin = Client::new(running.admin);
        redis_is(&admin, case, |told| {
            let told_cause = told["managed"]["cause"].as_str().unwrap_or_default();
            told["managed"]["state"] == "refused"
                && told_cause.contains(cause)
                && told["state"] == "up"
        })
        .await;
        serves_from_redis(&Client::new(running.proxy)).await;
        assert_eq!(bounds(redis), before, "{case}");
        // All connections are made anew, and it is not told again.
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        redis_is(&admin, case, |told| {
            told["since"].as_u64() < Some(5) && told["state"] == "up"
        })
        .await;
        serves_from_redis(&Client::new(running.proxy)).await;
        while let Ok(line) = running.log.try_recv() {
            assert!(
                !line.contains("manage_server"),
                "{case}, told twice: {line}"
            );
        }
    }
    assert_eq!(occupied.number(&["STRLEN", "theirs"]), 25_000_000);
    let log = forbidden.cli(&["ACL", "LOG"]);
    assert!(!log.contains("config"), "it was not tried: {log}");
}

/// Others store after the server was bounded: they are refused nothing for it, and it is bounded again when they have gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_bound_is_raised_for_others() {
    let (app, redis) = (app().await, RedisServer::start());
    let config = config(&redis.url()).replace("[budget]", "[budget]\ncheck_every = \"1s\"");
    let sidecar = Sidecar::start(&app.url(), &config);
    let maxmemory = async |is_so: &dyn Fn(u64) -> bool, what| {
        eventually(what, LONG, || async {
            is_so(redis.info("maxmemory").parse().expect("a number"))
        })
        .await;
    };
    maxmemory(&|bytes| bytes == 20_000_000, "it is bounded").await;
    redis.cli(&["SETRANGE", "theirs", "18399999", "x"]);
    maxmemory(&|bytes| bytes > 20_000_000, "it is raised").await;
    assert_eq!(redis.cli(&["SETRANGE", "more", "999999", "x"]), "1000000");
    redis_is(&sidecar.admin(), "it is told", |told| {
        told["managed"]["maxmemory_mb"].as_f64() > Some(20.0)
    })
    .await;
    redis.cli(&["DEL", "theirs", "more"]);
    maxmemory(&|bytes| bytes == 20_000_000, "as before").await;
    serves_from_redis(&sidecar.client()).await;
}

/// Names of others, one at each of three nodes.
fn names_at(nodes: &[RedisServer]) -> [String; 3] {
    std::array::from_fn(|node| {
        let last = [5460, 10_922, 16_383];
        let mut names = (0..).map(|number| format!("theirs{number}"));
        let name = names.find(|name| {
            let slot = redis_keyslot(name.as_bytes());
            slot <= last[node] && (node == 0 || slot > last[node - 1])
        });
        let name = name.expect("there is always another one");
        assert_eq!(nodes[node].cli(&["EXISTS", &name]), "0");
        name
    })
}

/// What Pannier has at one node says nothing of what others have at another.
#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_are_told_apart() {
    let app = app().await;
    for number in 0..40 {
        let body = |_: &_| Answer::text("x".repeat(400_000));
        app.on("GET", &format!("/items/large{number}"), body);
    }
    let nodes = RedisServer::start_cluster_of_three();
    for (node, name) in nodes.iter().zip(names_at(&nodes)) {
        node.cli(&["SETRANGE", &name, "21999999", "x"]);
    }
    let config = config(&nodes[0].cluster_url()).replace("20MB", "48MB");
    let config = format!("{config}[defaults]\ncompress = false\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let is_left = |told: &serde_json::Value| {
        let cause = told["managed"]["cause"].as_str().unwrap_or_default();
        told["state"] == "up" && cause.contains("others store so much")
    };
    redis_is(&sidecar.admin(), "they are left", is_left).await;
    let client = sidecar.client();
    for number in 0..40 {
        client.get(&format!("/items/large{number}")).await;
    }
    redis_is(&sidecar.admin(), "Pannier has much there", |told| {
        told["used_mb"].as_f64() > Some(14.0) && told["since"].as_u64() >= Some(6)
    })
    .await;
    for node in &nodes {
        node.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    redis_is(&sidecar.admin(), "connections are made anew", |told| {
        told["since"].as_u64() < Some(6) && is_left(told)
    })
    .await;
    serves_from_redis(&client).await;
    for node in &nodes {
        assert_eq!(node.info("maxmemory"), "0");
    }
}

/// A primary that was replaced counts no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_the_primaries_are_summed() {
    let (cluster, app) = (Cluster::start(), app().await);
    let config = config(&cluster.url()).replace("20MB", "48MB");
    let sidecar = Sidecar::start(&app.url(), &config);
    let is_whole =
        |told: &serde_json::Value| told["state"] == "up" && told["managed"]["maxmemory_mb"] == 48.0;
    redis_is(&sidecar.admin(), "all are bounded", |told| {
        is_whole(told) && told["since"].as_u64() >= Some(6)
    })
    .await;
    tokio::task::block_in_place(|| cluster.fail_over_to(3));
    eventually("the new one is, too", LONG, || async {
        let maxmemory = cluster.nodes[3].info("maxmemory").parse();
        maxmemory.is_ok_and(|bytes: u64| bytes > 0)
    })
    .await;
    redis_is(&sidecar.admin(), "it is in use", |told| {
        let is_again = told["state"] == "up" && told["since"].as_u64() < Some(6);
        assert!(!is_again || is_whole(told), "{told}");
        is_again
    })
    .await;
}
