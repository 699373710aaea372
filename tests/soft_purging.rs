//! Soft purges: what they cover is never fresh again, and is served as stale where its route allows that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

const RULES: &str = r#"
[defaults]
ttl = "1h"
any_host = true
[[route]]
name = "plain"
path = "/plain/{id}"
key = "plain:{path.id}"
tags = ["all", "item:{path.id}"]
[[route]]
name = "window"
path = "/window/{id}"
key = "window:{path.id}"
tags = ["all"]
stale_while_revalidate = "10m"
[[route]]
name = "excused"
path = "/excused/{id}"
key = "excused:{path.id}"
tags = ["all"]
stale_if_error = "10m"
[[route]]
name = "strict"
path = "/strict/{id}"
key = "strict:{path.id}"
tags = ["all"]
coherence = "strict"
stale_while_revalidate = "10m"
[[purge]]
name = "written"
path = "/write/{id}"
keys = ["window:{path.id}", "strict:{path.id}"]
tags = ["item:{path.id}"]
soft = true
"#;

const PATHS: [&str; 4] = ["/plain/1", "/window/1", "/excused/1", "/strict/1"];

/// An app whose answers say its version, which each write raises.
async fn app() -> (TestApp, Arc<AtomicUsize>) {
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(1));
    for path in PATHS {
        let version = Arc::clone(&version);
        app.on("GET", path, move |_| {
            Answer::text(version.load(Ordering::SeqCst).to_string())
        });
    }
    let written = Arc::clone(&version);
    app.on("PUT", "/write/1", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204)
    });
    (app, version)
}

fn with_redis(redis: &RedisServer) -> String {
    format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{RULES}",
        redis.url()
    )
}

async fn fill(client: &Client, paths: &[&str]) {
    for path in paths {
        eventually(path, SHORT, || async { is_fresh(&client.get(path).await) }).await;
    }
}

/// `POST /purge`, with this body.
async fn purge(sidecar: &Sidecar, body: &serde_json::Value) -> serde_json::Value {
    let request = sidecar.admin().request("POST", "/purge");
    let request = request.header("authorization", &format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "application/json");
    let reply = request.body(body.to_string()).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.value()
}

/// Whether it is a hit, and not of what is stale.
fn is_fresh(reply: &Reply) -> bool {
    says(reply, "detail=hit")
}

fn says(reply: &Reply, word: &str) -> bool {
    reply.cache_status().contains(word)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_write_a_window_serves_what_is_stale_and_else_the_app_is_asked() {
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    fill(&client, &["/plain/1", "/window/1", "/excused/1"]).await;
    client.json("PUT", "/write/1", "{}").await;

    let reply = client.get("/plain/1").await;
    assert!(says(&reply, "fwd=stale"), "{}", reply.cache_status());
    assert!(
        says(&reply, "detail=soft-purged"),
        "{}",
        reply.cache_status()
    );
    assert_eq!(reply.text(), "2");
    let reply = client.get("/window/1").await;
    assert!(
        says(&reply, "detail=stale-while-revalidate"),
        "{}",
        reply.cache_status()
    );
    assert!(says(&reply, "ttl=-1"), "{}", reply.cache_status());
    assert_eq!(reply.text(), "1");
    assert!(
        is_fresh(&client.get("/excused/1").await),
        "no rule covers it"
    );
    eventually("it is refreshed", SHORT, || async {
        let reply = client.get("/window/1").await;
        is_fresh(&reply) && reply.text() == "2"
    })
    .await;
    let metrics = sidecar.admin().get("/metrics").await;
    let softened = "pannier_purged_entries_total{kind=\"soft\",tier=\"memory\"} 2";
    assert!(metrics.text().contains(softened), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_purges_softly_by_every_selector() {
    let rows = [
        ("keys", json!({"keys": ["window:1"], "soft": true}), 1),
        ("patterns", json!({"patterns": ["win*"], "soft": true}), 1),
        ("tags", json!({"tags": ["all"], "soft": true}), 3),
        ("everything", json!({"everything": true, "soft": true}), 3),
    ];
    for (name, body, expected) in rows {
        let (app, version) = app().await;
        let sidecar = Sidecar::start(&app.url(), RULES);
        let client = sidecar.client();
        fill(&client, &["/plain/1", "/window/1", "/excused/1"]).await;
        version.fetch_add(1, Ordering::SeqCst);
        let purged = purge(&sidecar, &body).await;
        assert_eq!(purged["purged"]["memory"], expected, "{name}");
        let reply = client.get("/window/1").await;
        assert!(says(&reply, "detail=stale-while-revalidate"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_app_fails_it_serves_what_is_stale_and_a_304_renews_it() {
    let app = TestApp::start().await;
    let fails = Arc::new(AtomicUsize::new(0));
    let failing = Arc::clone(&fails);
    app.on("GET", "/excused/1", move |seen| {
        match (failing.load(Ordering::SeqCst), seen.header("if-none-match")) {
            (1, _) => Answer::status(503),
            (_, "\"a\"") => Answer::status(304).header("etag", "\"a\""),
            _ => Answer::text("a").header("etag", "\"a\""),
        }
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    fill(&client, &["/excused/1"]).await;
    fails.store(1, Ordering::SeqCst);
    purge(&sidecar, &json!({"keys": ["excused:1"], "soft": true})).await;
    let reply = client.get("/excused/1").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "a"));
    assert!(
        says(&reply, "detail=stale-if-error"),
        "{}",
        reply.cache_status()
    );

    fails.store(0, Ordering::SeqCst);
    eventually("it is confirmed", SHORT, || async {
        says(&client.get("/excused/1").await, "detail=revalidated")
    })
    .await;
    assert!(is_fresh(&client.get("/excused/1").await), "and fresh again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_from_before_a_soft_purge_is_not_stored_as_fresh() {
    let redis = RedisServer::start();
    for (name, rules) in [("memory", RULES.to_owned()), ("redis", with_redis(&redis))] {
        let app = TestApp::start().await;
        let gate = Gate::new();
        let behind = gate.clone();
        app.on("GET", "/plain/1", move |seen| {
            let answer = Answer::text(seen.nth.to_string());
            match seen.nth {
                0 => answer.behind(&behind),
                _ => answer,
            }
        });
        let sidecar = Sidecar::start(&app.url(), &rules);
        if name == "redis" {
            connected(&sidecar).await;
        }
        let client = sidecar.client();
        let racing = tokio::spawn({
            let client = client.clone();
            async move { client.get("/plain/1").await }
        });
        gate.reached(1).await;
        // By tag, which the lease cannot know.
        purge(&sidecar, &json!({"tags": ["item:1"], "soft": true})).await;
        gate.open();
        assert_eq!(racing.await.expect("no panic").text(), "0", "{name}");
        sidecar.fills_have_ended().await;
        let reply = client.get("/plain/1").await;
        assert_eq!(reply.text(), "1", "{name}: {}", reply.cache_status());
        assert!(!is_fresh(&reply), "{name}");
    }
}

/// Nor does the answer to a HEAD from before it make what is stored fresh again, on whatever sidecar.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_from_before_a_soft_purge_freshens_nothing() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    let answer = || Answer::text("old").header("etag", "\"1\"");
    app.on("GET", "/plain/1", move |_| answer());
    app.on("HEAD", "/plain/1", move |_| answer().behind(&behind));
    let sidecars = [0; 2].map(|_| Sidecar::start(&app.url(), &with_redis(&redis)));
    let [a, b] = &sidecars;
    connected(a).await;
    connected(b).await;
    let is_softened = |reply: &Reply| says(reply, "detail=soft-purged");
    for again in [false, true] {
        let client = a.client();
        fill(&client, &["/plain/1"]).await;
        if again {
            // What is softened already may be so once more.
            purge(b, &json!({"tags": ["item:1"], "soft": true})).await;
        }
        gate.shut();
        let reached = app.count("/plain/1");
        let head = tokio::spawn(async move {
            let head = client.request("HEAD", "/plain/1");
            head.header("cache-control", "no-cache").send().await
        });
        eventually("the app is asked", SHORT, || async {
            app.count("/plain/1") > reached
        })
        .await;
        purge(b, &json!({"tags": ["item:1"], "soft": true})).await;
        gate.open();
        assert_eq!(head.await.expect("no panic").status, 200);
        for sidecar in &sidecars {
            let reply = sidecar
                .client()
                .get_with("/plain/1", &[("cache-control", "only-if-cached")])
                .await;
            assert!(!is_fresh(&reply), "{again}: {}", reply.cache_status());
        }
        let reply = b.client().get("/plain/1").await;
        assert!(is_softened(&reply), "{again}: {}", reply.cache_status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sidecar_serves_it_as_fresh_no_more() {
    let redis = RedisServer::start();
    let (app, _) = app().await;
    let a = Sidecar::start(&app.url(), &with_redis(&redis));
    let b = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&a).await;
    connected(&b).await;
    let gate = Gate::new();
    let (to_a, to_b) = (a.client(), b.client());
    fill(&to_a, &PATHS).await;
    fill(&to_b, &PATHS).await;
    let asked = app.count("/window/1") + app.count("/strict/1");
    assert_eq!(asked, 2, "the second sidecar reads the first one's");
    // What refreshes waits, so that it stays stale.
    for path in ["/window/1", "/strict/1"] {
        let gate = gate.clone();
        app.on("GET", path, move |_| Answer::text("2").behind(&gate));
    }
    to_a.json("PUT", "/write/1", "{}").await;

    let reply = to_b.get("/strict/1").await;
    assert!(
        says(&reply, "detail=stale-while-revalidate"),
        "{}",
        reply.cache_status()
    );
    assert_eq!(reply.text(), "1");
    eventually("the other's memory is told", SHORT, || async {
        let reply = to_b.get("/window/1").await;
        assert_eq!(reply.text(), "1");
        says(&reply, "detail=stale-while-revalidate")
    })
    .await;
    for client in [&to_a, &to_b] {
        let reply = client.get("/window/1").await;
        assert!(
            says(&reply, "detail=stale-while-revalidate"),
            "{}",
            reply.cache_status()
        );
    }
    gate.open();
    for path in ["/window/1", "/strict/1"] {
        eventually("it is refreshed for both", SHORT, || async {
            let (here, there) = (to_a.get(path).await, to_b.get(path).await);
            is_fresh(&here) && is_fresh(&there) && here.text() == "2" && there.text() == "2"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_purge_while_redis_is_away_is_kept_and_masks_what_redis_holds() {
    let mut redis = RedisServer::start();
    let (app, _) = app().await;
    let a = Sidecar::start(&app.url(), &with_redis(&redis));
    let b = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&a).await;
    connected(&b).await;
    fill(&a.client(), &PATHS).await;
    redis.cli(&["SAVE"]);
    redis.kill();
    eventually("it is noticed", SHORT, || async {
        let stats = a.admin().get("/stats").await.value();
        stats["redis"]["state"] != "up"
    })
    .await;
    let purged = purge(
        &a,
        &json!({"patterns": ["window:*", "strict:*"], "soft": true}),
    )
    .await;
    assert_eq!(purged["pending"], true);
    let reply = a.client().get("/window/1").await;
    assert!(
        says(&reply, "detail=stale-while-revalidate"),
        "{}",
        reply.cache_status()
    );
    app.on("GET", "/strict/1", |_| Answer::text("2"));
    redis.restart(Data::Snapshot);
    connected(&a).await;
    connected(&b).await;
    for sidecar in [&a, &b] {
        eventually("the purge has landed", SHORT, || async {
            let stats = sidecar.admin().get("/stats").await.value();
            stats["redis"]["pending_purges"] == 0
        })
        .await;
    }
    eventually("and what it covers is refreshed", SHORT, || async {
        let reply = b.client().get("/strict/1").await;
        assert!(
            !(is_fresh(&reply) && reply.text() == "1"),
            "{}",
            reply.cache_status()
        );
        is_fresh(&reply)
    })
    .await;
    assert!(
        is_fresh(&b.client().get("/excused/1").await),
        "nothing else is touched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_of_it_and_the_own_url_of_a_write_is_removed() {
    let (app, _) = app().await;
    app.on("PUT", "/window/1", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    fill(&client, &["/plain/1", "/window/1"]).await;
    purge(&sidecar, &json!({"tags": ["all"], "soft": true})).await;
    let wanted = json!({"method": "GET", "target": "/plain/1", "headers": [["host", "a"]]});
    let request = sidecar.admin().request("POST", "/explain");
    let request = request.header("authorization", &format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "application/json");
    let told = request.body(wanted.to_string()).send().await;
    assert_eq!(
        told.value()["held"]["reason"],
        "soft-purged",
        "{}",
        told.text()
    );
    assert!(
        told.text().contains("it was purged softly"),
        "{}",
        told.text()
    );

    client.json("PUT", "/window/1", "{}").await;
    let reply = client.get("/window/1").await;
    assert!(says(&reply, "detail=miss"), "{}", reply.cache_status());
}

/// By key, pattern, tag and all at once, whichever node has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_holds_becomes_stale_on_every_node() {
    let nodes = RedisServer::start_cluster_of_three();
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(1));
    let paths: Vec<String> = (0..15).map(|id| format!("/plain/{id}")).collect();
    for path in &paths {
        let version = Arc::clone(&version);
        app.on("GET", path, move |seen| {
            let etag = format!("\"{}\"", version.load(Ordering::SeqCst));
            let is_held = seen.header("if-none-match") == etag;
            let answer = match is_held {
                true => Answer::status(304),
                false => Answer::text(version.load(Ordering::SeqCst).to_string()),
            };
            answer.header("etag", &etag)
        });
    }
    let [here, there] = [&nodes[0], &nodes[1]].map(|node| {
        let redis = format!(
            "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n",
            node.cluster_url()
        );
        Sidecar::start(&app.url(), &(redis + RULES))
    });
    for sidecar in [&here, &there] {
        connected(sidecar).await;
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let held = || {
        nodes
            .iter()
            .map(|node| node.number(&["DBSIZE"]))
            .sum::<u64>()
    };
    for (how, body) in [
        ("by tag", json!({"tags": ["all"], "soft": true})),
        ("by pattern", json!({"patterns": ["plain:*"], "soft": true})),
        ("all", json!({"everything": true, "soft": true})),
    ] {
        for sidecar in [&here, &there] {
            fill(&sidecar.client(), &paths).await;
            sidecar.fills_have_ended().await;
        }
        let (before, asked) = (held(), app.seen().len());
        version.fetch_add(1, Ordering::SeqCst);
        let done = purge(&here, &body).await;
        assert_eq!(done["purged"]["redis"], 15, "{how}: {done}");
        assert!(held() >= before, "{how}: what is stale stays");
        let now = version.load(Ordering::SeqCst).to_string();
        for path in &paths {
            let reply = here.client().get(path).await;
            assert_eq!(reply.text(), now, "{how}: {path}");
            assert!(says(&reply, "fwd=stale"), "{how}: {}", reply.cache_status());
            eventually("there as well", SHORT, || async {
                there.client().get(path).await.text() == now
            })
            .await;
        }
        assert!(app.seen().len() >= asked + 15, "{how}");
    }
    // A 304 makes what is stale fresh again, for all.
    fill(&here.client(), &paths).await;
    here.fills_have_ended().await;
    purge(&there, &json!({"patterns": ["plain:*"], "soft": true})).await;
    for path in &paths {
        let reply = there.client().get(path).await;
        assert!(
            says(&reply, "detail=revalidated"),
            "{}",
            reply.cache_status()
        );
        let seen = app.last(path);
        assert_ne!(seen.header("if-none-match"), "", "{path}: it is confirmed");
    }
    there.fills_have_ended().await;
    fill(&here.client(), &paths).await;
}

/// What is stale already neither counts again nor is stale from later on.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_soft_purge_changes_nothing_in_redis() {
    let redis = RedisServer::start();
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), &with_redis(&redis));
    connected(&sidecar).await;
    fill(&sidecar.client(), &["/plain/1"]).await;
    sidecar.fills_have_ended().await;
    let name = redis.cli(&["KEYS", "*:e:plain:1"]);
    let all = json!({"tags": ["all"], "soft": true});
    let first = purge(&sidecar, &all).await;
    assert_eq!(first["purged"], json!({"memory": 1, "redis": 1}));
    let stored = redis.cli(&["GET", &name]);
    let second = purge(&sidecar, &all).await;
    assert_eq!(second["purged"], json!({"memory": 0, "redis": 0}));
    assert_eq!(redis.cli(&["GET", &name]), stored, "not a byte of it");
}
