//! `config/minimal.toml` and `config/full.toml`: they start, and serve. And no shipped file is one
//! that `pannier check` would warn of.

use std::time::Duration;

use pannier::config::{Config, Env};
use serde_json::json;

use super::shipped;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

#[test]
fn nothing_is_unwise() {
    for name in ["minimal", "full", "kanban", "desk", "portal"] {
        let loaded = Config::parse(&shipped(name), name, &Env::default());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [""; 0], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minimal_one_serves_and_purges() {
    let app = shop().await;
    let sidecar = Sidecar::start(&app.url(), &shipped("minimal"));
    let client = sidecar.client();
    let lists = ["/api/products", "/api/products?page=2"];
    for list in lists {
        is_stored(&client, list).await;
    }
    let asked = app.count(lists[0]);
    assert_eq!(
        client.json("PUT", "/api/products/7", "{}").await.status,
        204
    );
    for list in lists {
        assert!(!client.get(list).await.is_hit(), "{list}");
    }
    assert_eq!(app.count(lists[0]), asked + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_full_one_serves_and_purges() {
    let (app, redis) = (shop().await, RedisServer::start());
    let (app_url, redis_url) = (app.url(), redis.url());
    let variables = [
        ("PANNIER_UPSTREAM_URL", &*app_url),
        ("REDIS_URL", &*redis_url),
    ];
    let sidecar = Sidecar::start_with_env(&shipped("full"), &variables);
    let client = sidecar.client();
    is_stored(&client, "/api/products/7?utm_source=mail").await;
    assert!(client.get("/api/products/7?ref=home").await.is_hit());
    let entry = "{pannier}:v6:e:product:7:EUR";
    eventually("in Redis too", SHORT, || async {
        client.get("/api/products/7").await;
        redis.cli(&["EXISTS", entry]) == "1"
    })
    .await;
    assert_eq!(
        client.json("PUT", "/api/products/7", "{}").await.status,
        204
    );
    assert_eq!(redis.cli(&["EXISTS", entry]), "0");
    assert!(!client.get("/api/products/7").await.is_hit());
}

async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.on("GET", "/api/products", |_| {
        Answer::json(&json!([{"id": 7}]))
    });
    app.on("GET", "/api/products/7", |_| {
        Answer::json(&json!({"id": 7, "shop": {"id": 1}}))
    });
    app.on("PUT", "/api/products/7", |_| Answer::status(204));
    app
}

async fn is_stored(client: &Client, path: &str) {
    assert!(!client.get(path).await.is_hit(), "{path}");
    eventually(path, SHORT, || async { client.get(path).await.is_hit() }).await;
}
