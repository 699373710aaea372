//! Redis as people have it: managed by others, with users and passwords, behind sentinels, as a cluster, by TLS.

mod cluster;
mod command;
mod load;
mod managed;
mod nodes;
mod passwords;
mod rights;
mod sentinel;

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;

/// What does not happen by then does not happen.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A rule whose hits are from Redis, and a purge.
const RULES: &str = r#"
[[route]]
name = "item"
path = "/items/{id}"
key = "item:{path.id}"
any_host = true
coherence = "strict"
[[purge]]
name = "items"
path = "/items/{id}"
keys = ["item:{path.id}"]
[[purge]]
name = "others"
path = "/others"
keys = ["item:1*", "item:2*", "item:3*"]
"#;

/// An app with the items 0 to 31.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    for number in 0..32 {
        app.on("GET", &format!("/items/{number}"), |_| Answer::text("item"));
        app.on("PUT", &format!("/items/{number}"), |_| Answer::status(204));
    }
    app.on("PUT", "/others", |_| Answer::status(204));
    app
}

/// Waits until `/stats` says so of Redis.
async fn redis_is(admin: &Client, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
    eventually(what, LONG, || async {
        is_so(&admin.get("/stats").await.value()["redis"])
    })
    .await;
}

/// Redis stores for it, answers, and purges.
async fn serves_from_redis(client: &Client) {
    for number in 0..4 {
        let path = format!("/items/{number}");
        client.request("PUT", &path).send().await;
        assert!(!client.get(&path).await.is_hit(), "{path}, just purged");
        eventually("a hit from Redis", LONG, || async {
            client.get(&path).await.is_hit()
        })
        .await;
    }
}
