//! Apps that act later than they answer: writes whose purge is carried out again (`again_after`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::fleet::connected;
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

/// An app that acts on a write only when it is told to.
async fn app() -> (TestApp, Arc<AtomicUsize>) {
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(1));
    let shown = version.clone();
    app.on("GET", "/orders/1", move |_| {
        Answer::text(shown.load(Ordering::SeqCst).to_string())
    });
    app.on("PUT", "/orders/1", |_| Answer::status(202));
    app.on("PUT", "/orders/refused", |_| Answer::status(409));
    (app, version)
}

fn rules(again_after: &str) -> String {
    format!(
        "[[route]]\npath = \"/orders/{{id}}\"\nkey = \"order:{{path.id}}\"\nttl = \"10m\"\nany_host = true\n\
         stale_while_revalidate = \"10m\"\n\
         [[purge]]\nname = \"order\"\npath = \"/orders/{{id}}\"\nkeys = [\"order:1\"]\nagain_after = {again_after}\n"
    )
}

/// Seconds of freshness left.
fn ttl(reply: &Reply) -> u64 {
    let status = reply.cache_status();
    let ttl = status.split("ttl=").nth(1).expect(status);
    let digits = ttl.split(';').next().expect(status);
    digits.parse().expect(status)
}

/// The app acts when its old answer is stored again; that has to go.
async fn act_once_the_old_answer_is_stored(client: &Client, version: &AtomicUsize) {
    eventually("the old answer is a hit again", SHORT, || async {
        let reply = client.get("/orders/1").await;
        reply.is_hit() && reply.text() == "1"
    })
    .await;
    version.store(2, Ordering::SeqCst);
    eventually("the new answer", SHORT, || async {
        client.get("/orders/1").await.text() == "2"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filled_before_the_app_has_acted_goes() {
    let (app, version) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("[\"3s\", \"50ms\"]"));
    let client = sidecar.client();
    client.get("/orders/1").await;
    assert_eq!(client.json("PUT", "/orders/1", "{}").await.status, 202);
    act_once_the_old_answer_is_stored(&client, &version).await;
    let metrics = sidecar.admin().get("/metrics").await.text().to_owned();
    let again = "pannier_purges_again_total ";
    let again = metrics.lines().find_map(|line| line.strip_prefix(again));
    assert!(again.is_some_and(|count| count != "0"), "{again:?}");
}

/// It could be wrong, and nothing else would end it should nobody be there to purge it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_filled_in_between_ends_with_the_last_repetition() {
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("[\"40s\", \"60s\"]"));
    let client = sidecar.client();
    let hit = || async {
        client.get("/orders/1").await;
        sidecar.fills_have_ended().await;
        let hit = client.get("/orders/1").await;
        assert!(hit.is_hit(), "{}", hit.cache_status());
        ttl(&hit)
    };
    assert!(hit().await > 60);
    assert_eq!(
        client.json("PUT", "/orders/refused", "{}").await.status,
        409
    );
    assert!(hit().await > 60, "a write that failed");
    client.json("PUT", "/orders/1", "{}").await;
    assert!(hit().await <= 60, "in between");
}

/// However the purge finds what is filled in between, and whoever is answered by it.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_in_between_says_the_rest_that_it_has() {
    let app = TestApp::start().await;
    let text = |seen: &Seen| Answer::text(seen.nth.to_string());
    let document = |seen: &Seen| Answer::json(&json!({"id": 1, "nth": seen.nth}));
    app.on("GET", "/key/1", text);
    app.on("GET", "/tag/1", text);
    app.on("GET", "/field/1", move |seen| {
        text(seen).header("xkey", "thing")
    });
    app.on("GET", "/answer/1", document);
    app.on("GET", "/long/1", |_| Answer::text("x".repeat(300_000)));
    app.on("GET", "/told/1", |seen| {
        let answer = match seen.header("if-none-match") {
            "" => Answer::text("told"),
            _ => Answer::status(304),
        };
        answer.header("etag", "\"1\"")
    });
    app.on("HEAD", "/told/1", |_| {
        Answer::text("told").header("etag", "\"1\"")
    });
    app.on("PUT", "/things/1", |_| Answer::status(202));
    let route = |path: &str, more: &str| {
        format!(
            "[[route]]\npath = \"/{path}/{{id}}\"\nkey = \"{path}:{{path.id}}\"\nttl = \"10m\"\n{more}\n"
        )
    };
    let tables = ["key", "told"].map(|path| route(path, "")).concat()
        + &route("tag", "tags = [\"thing\"]")
        + &route("long", "tags = [\"thing\"]")
        + &route("field", "tag_fields = [\"xkey\"]")
        + &route("answer", "tags = [\"thing:{response.id}\"]")
        + "[[purge]]\npath = \"/things/{id}\"\nkeys = [\"key:*\"]\ntags = [\"thing*\"]\nagain_after = [\"40s\", \"60s\"]\n\
           [[purge]]\npath = \"/things/{id}\"\nkeys = [\"told:*\"]\nagain_after = [\"60s\"]\nsoft = true\n";
    let sidecar = Sidecar::start(&app.url(), &tables);
    let client = sidecar.client();
    let paths = ["key", "tag", "field", "answer", "long", "told"].map(|path| format!("/{path}/1"));
    for path in &paths {
        assert!(ttl(&client.get(path).await) > 60, "{path}");
    }
    sidecar.fills_have_ended().await;
    client.json("PUT", "/things/1", "{}").await;
    for path in &paths {
        let filled = client.get(path).await;
        assert!(
            filled.cache_status().contains("fwd="),
            "{}",
            filled.cache_status()
        );
        // The head of what is long leaves before its tags are known.
        let told = ttl(&filled);
        assert!(
            (58..=60).contains(&told),
            "{path}: {}",
            filled.cache_status()
        );
        sidecar.fills_have_ended().await;
        let hit = client.get(path).await;
        assert!(
            hit.is_hit() && ttl(&hit) <= told,
            "{path}: {}",
            hit.cache_status()
        );
    }
    // A HEAD makes what is stale fresh as well, and for no longer.
    client.json("PUT", "/things/1", "{}").await;
    assert_eq!(client.request("HEAD", "/told/1").send().await.status, 200);
    let hit = client.get("/told/1").await;
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert!(ttl(&hit) <= 60, "{}", hit.cache_status());
}

/// Who waits for a fill is told what its leader is.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_told_so_too() {
    let (app, _) = app().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/orders/1", move |_| {
        Answer::text("1").behind(&behind)
    });
    let sidecar = Sidecar::start(&app.url(), &rules("[\"60s\"]"));
    let client = sidecar.client();
    client.json("PUT", "/orders/1", "{}").await;
    let asking = [(); 3].map(|()| {
        let client = client.clone();
        tokio::spawn(async move { client.get("/orders/1").await })
    });
    let admin = sidecar.admin();
    eventually("two wait", SHORT, || async {
        let metrics = admin.get("/metrics").await;
        metrics.text().contains("pannier_coalesced_waiters 2")
    })
    .await;
    gate.open();
    for reply in asking {
        let reply = reply.await.expect("no panic");
        assert!(ttl(&reply) <= 60, "{}", reply.cache_status());
    }
    assert_eq!(app.count("/orders/1"), 2, "the write and one of them");
}

/// The sidecar that took the write has ended before the app acts: another one purges in its place.
#[tokio::test(flavor = "multi_thread")]
async fn others_purge_again_for_a_sidecar_that_has_ended() {
    let redis = RedisServer::start();
    let (app, version) = app().await;
    let config = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{}",
        redis.url(),
        rules("[\"3s\"]")
    );
    let writer = Sidecar::start(&app.url(), &config);
    let other = Sidecar::start(&app.url(), &config);
    connected(&writer).await;
    connected(&other).await;
    let client = other.client();
    client.get("/orders/1").await;
    writer.client().json("PUT", "/orders/1", "{}").await;
    writer.stop();
    act_once_the_old_answer_is_stored(&client, &version).await;
    let admin = other.admin();
    eventually("it is counted", SHORT, || async {
        let metrics = admin.get("/metrics").await.text().to_owned();
        metrics
            .lines()
            .any(|line| line == "pannier_purges_again_total 1")
    })
    .await;
}
