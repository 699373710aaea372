//! How many connections a sidecar has to Redis, what they are called, and that workers which share them are served by them.

use std::time::Duration;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

fn config(redis: &RedisServer, workers: usize, connections: &str) -> String {
    format!(
        r#"
[listen]
workers = {workers}
[redis]
url = "{}"
timeout = "10s"
{connections}
[[route]]
name = "item"
path = "/items/{{id}}"
key = "item:{{path.id}}"
any_host = true
coherence = "strict"
[[purge]]
name = "items"
path = "/items/{{id}}"
keys = ["item:{{path.id}}"]
"#,
        redis.url()
    )
}

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for number in 0..8 {
        app.on("GET", &format!("/items/{number}"), |_| Answer::text("item"));
        app.on("PUT", &format!("/items/{number}"), |_| Answer::status(204));
    }
    app
}

/// What Pannier's connections to it are for, in order.
fn purposes(redis: &RedisServer) -> Vec<String> {
    let clients = redis.cli(&["CLIENT", "LIST"]);
    let names = clients
        .split(' ')
        .filter_map(|word| word.strip_prefix("name=pannier:"));
    let mut purposes: Vec<String> = names
        .map(|name| {
            let parts: Vec<&str> = name.split(':').collect();
            assert_eq!(parts.len(), 3, "host, process and purpose: {name}");
            assert_eq!(parts[1], std::process::id().to_string(), "{name}");
            parts[2].to_owned()
        })
        .collect();
    purposes.sort();
    purposes
}

/// All clients of Redis but the one that asks.
fn clients(redis: &RedisServer) -> usize {
    redis.cli(&["CLIENT", "LIST"]).lines().count() - 1
}

/// Eight clients at a time, over all workers: all is stored, found and purged.
async fn serves(sidecar: &Sidecar) {
    let rounds = (0..8).map(|number| {
        let (client, path) = (sidecar.client(), format!("/items/{number}"));
        async move {
            for _ in 0..5 {
                client.request("PUT", &path).send().await;
                let first = client.get(&path).await;
                assert!(!first.is_hit(), "{path} after its purge");
                eventually("it is in Redis", SHORT, || async {
                    client.get(&path).await.is_hit()
                })
                .await;
            }
        }
    });
    futures_util::future::join_all(rounds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_few_connections_which_have_names() {
    let app = app().await;
    for (case, workers, connections, requests) in [
        ("by default", 8, "", 2),
        ("one alone", 8, "connections = 1", 1),
        ("one each", 3, "connections = 3", 3),
        ("no more than one each", 2, "connections = 9", 2),
    ] {
        let redis = RedisServer::start();
        let sidecar = Sidecar::start(&app.url(), &config(&redis, workers, connections));
        connected(&sidecar).await;
        serves(&sidecar).await;
        let mut expected = vec!["requests"; requests];
        expected.push("upkeep");
        assert_eq!(purposes(&redis), expected, "{case}");
        assert_eq!(clients(&redis), requests + 1, "{case}");
    }
}

/// A connection that is lost is made anew, in its place and under its name.
#[tokio::test(flavor = "multi_thread")]
async fn shared_connections_that_are_lost_come_back() {
    let (app, redis) = (app().await, RedisServer::start());
    let sidecar = Sidecar::start(&app.url(), &config(&redis, 8, ""));
    connected(&sidecar).await;
    for _ in 0..3 {
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        eventually("they have their names again", SHORT, || async {
            purposes(&redis) == ["requests", "requests", "upkeep"]
        })
        .await;
        connected(&sidecar).await;
        serves(&sidecar).await;
        assert_eq!(clients(&redis), 3);
    }
}
