//! Long bodies compressed in Redis: what it keeps, and what clients get of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);
const ZSTD: (&str, &str) = ("accept-encoding", "gzip, zstd");

const RULES: &str = r#"
[defaults]
any_host = true
[[route]]
name = "page"
path = "/page/{id}"
key = "page:{path.id}"
[[route]]
name = "plain"
path = "/plain/{id}"
key = "plain:{path.id}"
compress = false
[[route]]
name = "strict"
path = "/strict/{id}"
key = "strict:{path.id}"
coherence = "strict"
[[purge]]
name = "all"
path = "/purge"
keys = ["page:*"]
"#;

/// A list as an API answers it.
fn list(items: usize) -> Value {
    let item = |id| json!({ "id": id, "title": format!("Task {id}"), "state": "open", "tags": ["a", "b"] });
    (0..items).map(item).collect()
}

fn with_redis(redis: &RedisServer) -> String {
    format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{RULES}",
        redis.url()
    )
}

async fn filled(client: &Client, path: &str) -> Reply {
    eventually(path, SHORT, || async { client.get(path).await.is_hit() }).await;
    client.get(path).await
}

fn unpacked(reply: &Reply) -> Vec<u8> {
    assert_eq!(reply.header("content-encoding"), "zstd");
    zstd::decode_all(&reply.body[..]).expect("a frame")
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_long_bodies_compressed_and_every_sidecar_reads_them() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    for path in ["/page/long", "/plain/long", "/strict/long"] {
        app.on("GET", path, |_| Answer::json(&list(500)));
    }
    app.on("GET", "/page/short", |_| Answer::json(&list(20)));
    app.on("GET", "/page/coded", |_| {
        Answer::json(&list(500)).header("content-encoding", "br")
    });
    app.on("GET", "/page/picture", |_| {
        Answer::text("pixel ".repeat(5000)).header("content-type", "image/png")
    });
    let a = Sidecar::start(&app.url(), &with_redis(&redis));
    let b = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&a).await;
    connected(&b).await;
    let length = list(500).to_string().len() as u64;
    let rows = [
        ("page:long", "/page/long", 0..length / 5),
        ("strict:long", "/strict/long", 0..length / 5),
        ("plain:long", "/plain/long", length..length + 999),
        ("page:coded", "/page/coded", length..length + 999),
        ("page:picture", "/page/picture", 30_000..31_000),
        ("page:short", "/page/short", 1_000..2_500),
    ];
    for (key, path, expected) in rows {
        let here = filled(&a.client(), path).await;
        let kept = redis.number(&["STRLEN", &format!("{{pannier}}:v6:e:{key}")]);
        assert!(expected.contains(&kept), "{key}: {kept} bytes");
        let there = b.client().get(path).await;
        assert!(there.is_hit(), "{path}: {}", there.cache_status());
        assert_eq!(there.body, here.body, "{path}");
        assert_eq!(app.count(path), 1, "{path}");
    }
    let metrics = a.admin().get("/metrics").await;
    let line = format!(
        "pannier_compression_bytes_total{{form=\"plain\"}} {}",
        2 * length
    );
    assert!(metrics.text().contains(&line), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_accepts_zstd_gets_what_redis_keeps() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    for path in ["/page/1", "/strict/1"] {
        app.on("GET", path, |_| {
            Answer::json(&list(500)).header("etag", "W/\"a\"")
        });
    }
    app.on("GET", "/page/strong", |_| {
        Answer::json(&list(500)).header("etag", "\"a\"")
    });
    let a = Sidecar::start(&app.url(), &with_redis(&redis));
    let b = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&a).await;
    connected(&b).await;
    let body = list(500).to_string().into_bytes();
    for path in ["/page/1", "/strict/1"] {
        filled(&a.client(), path).await;
        for client in [a.client(), b.client()] {
            // The third is under a head that is kept.
            for _ in 0..4 {
                let reply = client.get_with(path, &[ZSTD]).await;
                assert!(reply.is_hit(), "{path}: {}", reply.cache_status());
                assert_eq!(unpacked(&reply), body, "{path}");
                assert!(reply.body.len() < body.len() / 5, "{path}");
                assert_eq!(reply.header("vary"), "Accept-Encoding", "{path}");
                assert_eq!(reply.header("etag"), "W/\"a\"", "{path}");
                let plain = client.get(path).await;
                assert_eq!(plain.body, body, "{path}");
                assert_eq!(plain.header("content-encoding"), "", "{path}");
            }
        }
    }
    let client = a.client();
    let head = client
        .request("HEAD", "/page/1")
        .header(ZSTD.0, ZSTD.1)
        .send()
        .await;
    let whole = client.get_with("/page/1", &[ZSTD]).await;
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert_eq!(head.header("content-encoding"), "zstd");

    let range = ("range", "bytes=2-9");
    let part = client.get_with("/page/1", &[ZSTD, range]).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.body, &body[2..10], "of what the app sent");

    let condition = ("if-none-match", "W/\"a\"");
    let unchanged = client.get_with("/page/1", &[ZSTD, condition]).await;
    assert_eq!(unchanged.status, 304);
    assert_eq!(unchanged.header("vary"), "Accept-Encoding");

    filled(&client, "/page/strong").await;
    let strong = client.get_with("/page/strong", &[ZSTD]).await;
    assert!(strong.is_hit());
    assert_eq!(
        strong.header("content-encoding"),
        "",
        "its tag names these bytes"
    );
    assert_eq!(strong.body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_what_was_sent_compressed_is_all_of_it() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    const DATE: &str = "Mon, 02 Nov 2026 10:00:00 GMT";
    app.on("GET", "/page/1", |_| {
        Answer::json(&list(500)).header("last-modified", DATE)
    });
    let sidecar = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&sidecar).await;
    let client = sidecar.client();
    filled(&client, "/page/1").await;
    let resumed = [ZSTD, ("range", "bytes=100-"), ("if-range", DATE)];
    let reply = client.get_with("/page/1", &resumed).await;
    assert_eq!(reply.status, 200);
    assert_eq!(unpacked(&reply), list(500).to_string().into_bytes());
    assert_eq!(reply.header("accept-ranges"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_entry_stays_compressed_and_purges_take_both_forms() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |seen| {
        match seen.header("if-none-match") {
            "W/\"a\"" => Answer::status(304),
            _ => Answer::json(&list(500)).header("etag", "W/\"a\""),
        }
    });
    app.on("POST", "/purge", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&sidecar).await;
    let client = sidecar.client();
    let length = filled(&client, "/page/1").await.body.len() as u64;
    let renewed = client
        .get_with("/page/1", &[("cache-control", "no-cache"), ZSTD])
        .await;
    assert_eq!(
        unpacked(&renewed).len() as u64,
        length,
        "{}",
        renewed.cache_status()
    );
    sidecar.fills_have_ended().await;
    let name = "{pannier}:v6:e:page:1";
    assert!((1..length / 5).contains(&redis.number(&["STRLEN", name])));
    client.json("POST", "/purge", "{}").await;
    assert_eq!(redis.number(&["EXISTS", name]), 0);
    let look = [ZSTD, ("cache-control", "only-if-cached")];
    assert_eq!(client.get_with("/page/1", &look).await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_megabytes_is_compressed_beside_the_worker() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |_| Answer::json(&list(40_000)));
    let rules = format!("{}\n", with_redis(&redis))
        .replace("any_host = true", "any_host = true\nmax_body = \"8MiB\"");
    let sidecar = Sidecar::start(&app.url(), &rules);
    connected(&sidecar).await;
    let reply = filled(&sidecar.client(), "/page/1").await;
    assert_eq!(reply.body.len(), list(40_000).to_string().len());
    let kept = redis.number(&["STRLEN", "{pannier}:v6:e:page:1"]);
    assert!((1..reply.body.len() as u64 / 5).contains(&kept), "{kept}");
}
