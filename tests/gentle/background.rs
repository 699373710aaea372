//! The gate of what no client waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

const RULES: &str =
    "[[route]]\nname = \"item\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\n";

pub(super) fn with_background(background: &str) -> String {
    format!("[upstream]\nbackground = {background}\n{RULES}")
}

/// The body of a `POST /refresh` of these items.
pub(super) fn urls(sidecar: &Sidecar, items: std::ops::Range<usize>) -> String {
    let urls: Vec<String> = items
        .map(|item| format!("http://{}/items/{item}", sidecar.addr()))
        .collect();
    serde_json::json!({ "urls": urls }).to_string()
}

pub(super) async fn refresh(sidecar: &Sidecar, items: std::ops::Range<usize>) -> serde_json::Value {
    let request = sidecar.admin().request("POST", "/refresh");
    let request = request
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {TOKEN}"));
    let reply = request.body(urls(sidecar, items)).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.value()
}

async fn background(sidecar: &Sidecar) -> serde_json::Value {
    let stats = sidecar.admin().get("/stats").await.value();
    stats["background"].clone()
}

/// Of six that are asked for four at a time two are under way, and two wait.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_under_way_than_may_be_and_clients_do_not_count() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    for item in 0..6 {
        let gate = gate.clone();
        app.on("GET", &format!("/items/{item}"), move |_| {
            Answer::text("x").behind(&gate)
        });
    }
    app.on("GET", "/items/client", |_| Answer::text("x"));
    let sidecar = Sidecar::start(
        &app.url(),
        &with_background("{ rate = \"1000/s\", concurrency = 2 }"),
    );
    let asked = |app: &TestApp| app.seen().len();
    let refreshing = refresh(&sidecar, 0..6);
    let watching = async {
        eventually("as many as may be, and others wait", LONG, || async {
            let now = background(&sidecar).await;
            now["running"] == 2 && now["waiting"] == 2 && asked(&app) == 2
        })
        .await;
        // A client's request is none of them.
        let reply = sidecar.client().get("/items/client").await;
        assert_eq!(reply.status, 200);
        assert_eq!(asked(&app), 3);
        gate.open();
    };
    let (result, ()) = tokio::join!(refreshing, watching);
    assert_eq!(result["refreshed"], 6, "{result}");
    let stats = sidecar.admin().get("/stats").await.value();
    assert_eq!(stats["app_requests"]["refresh"], 6);
    assert_eq!(stats["app_requests"]["client"], 1);
    assert_eq!(stats["background"]["running"], 0);
}

/// The first request meets the app's limit. All that no client waits for stops for as long as the app says; clients go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_retry_after_is_left_alone_for_so_long() {
    let app = TestApp::start().await;
    let times = Arc::new(Mutex::new(Vec::new()));
    for item in 0..3 {
        let times = times.clone();
        app.on("GET", &format!("/items/{item}"), move |_| {
            let mut times = times.lock().expect("no test panics under it");
            times.push(pannier::clock::monotonic());
            match times.len() {
                1 => Answer::status(429).header("retry-after", "3"),
                _ => Answer::text("x"),
            }
        });
    }
    app.on("GET", "/items/client", |_| Answer::text("x"));
    let sidecar = Sidecar::start(
        &app.url(),
        &with_background("{ rate = \"1000/s\", concurrency = 1 }"),
    );
    let told = refresh(&sidecar, 0..1).await;
    assert_eq!(told["results"][0]["result"], "told-to-wait", "{told}");
    let now = background(&sidecar).await;
    assert_eq!(now["state"], "stopped", "{now}");
    assert_eq!(now["stopped_seconds"], 3.0, "{now}");
    assert_eq!(sidecar.client().get("/items/client").await.status, 200);
    let result = refresh(&sidecar, 1..3).await;
    assert_eq!(result["refreshed"], 2, "{result}");
    let times = times.lock().expect("no test panics under it").clone();
    assert!(
        times[1] - times[0] >= Duration::from_millis(2900),
        "{times:?}"
    );
    assert_eq!(times.len(), 3, "one was told to wait");
    assert_eq!(background(&sidecar).await["state"], "slowed");
    let metrics = sidecar.admin().get("/metrics").await;
    let metrics = metrics.text();
    assert!(metrics.contains("pannier_background_stopped_seconds_total 3"));
}

/// Whoever asked has gone: what waits is not asked for, what is under way ends, and nothing of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_ends_and_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/items/0", move |_| {
        Answer::text("x").behind(&behind)
    });
    app.on("GET", "/items/1", |_| Answer::text("x"));
    let sidecar = Sidecar::start(
        &app.url(),
        &with_background("{ rate = \"1000/s\", concurrency = 1 }"),
    );
    let refreshing = refresh(&sidecar, 0..2);
    let watching = async {
        eventually("one is asked for, one waits", LONG, || async {
            app.seen().len() == 1 && background(&sidecar).await["waiting"] == 1
        })
        .await;
    };
    tokio::select! {
        _ = refreshing => panic!("the app has not answered"),
        () = watching => {}
    }
    // Its connection is closed.
    eventually("nothing is under way", LONG, || async {
        let now = background(&sidecar).await;
        now["running"] == 0 && now["waiting"] == 0
    })
    .await;
    gate.open();
    sidecar.fills_have_ended().await;
    assert_eq!(app.count("/items/1"), 0, "it was still waiting");
    let reply = sidecar.client().get("/items/0").await;
    assert!(!reply.is_hit(), "{}", reply.cache_status());
    let result = refresh(&sidecar, 1..2).await;
    assert_eq!(result["refreshed"], 1, "the gate is free again");
}

/// Twenty stale keys are read at once: the app is asked for as many at a time as may be, nobody waits, and all of them
/// are renewed in the end, each once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_stale_is_renewed_in_its_turn() {
    const KEYS: usize = 20;
    let app = TestApp::start().await;
    let gate = Gate::new();
    for item in 0..KEYS {
        let gate = gate.clone();
        app.on("GET", &format!("/items/{item}"), move |seen| {
            if seen.nth == 0 {
                return Answer::text("old").cache_control("max-age=0, stale-while-revalidate=600");
            }
            Answer::text("new")
                .cache_control("max-age=600")
                .behind(&gate)
        });
    }
    let sidecar = Sidecar::start(
        &app.url(),
        &with_background("{ rate = \"1000/s\", concurrency = 2 }"),
    );
    let client = sidecar.client();
    for item in 0..KEYS {
        client.get(&format!("/items/{item}")).await;
    }
    sidecar.fills_have_ended().await;
    let asked = app.seen().len();
    for _ in 0..3 {
        for item in 0..KEYS {
            let reply = client.get(&format!("/items/{item}")).await;
            assert_eq!(reply.text(), "old", "{}", reply.cache_status());
        }
    }
    eventually("two are asked for", LONG, || async {
        app.seen().len() == asked + 2
    })
    .await;
    assert_eq!(background(&sidecar).await["waiting"], KEYS - 2);
    gate.open();
    eventually("all are renewed", LONG, || async {
        let now = background(&sidecar).await;
        app.seen().len() == asked + KEYS && now["running"] == 0 && now["waiting"] == 0
    })
    .await;
    for item in 0..KEYS {
        let reply = client.get(&format!("/items/{item}")).await;
        assert!(
            reply.is_hit() && reply.text() == "new",
            "{}",
            reply.cache_status()
        );
    }
}

/// A renewal whose turn has not come holds its request: thousands may wait, but none with more than a few kilobytes.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_long_fields_does_not_wait_in_the_background() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let (behind, first) = (gate.clone(), AtomicBool::new(true));
    app.on("GET", "/items/0", move |_| {
        let answer = Answer::text("x").cache_control("max-age=60, stale-while-revalidate=600");
        match first.swap(false, Ordering::Relaxed) {
            true => answer,
            false => answer.behind(&behind),
        }
    });
    for item in ["/items/1", "/items/2"] {
        app.on("GET", item, |_| {
            Answer::text("x").cache_control("max-age=60, stale-while-revalidate=600")
        });
    }
    let sidecar = Sidecar::start(
        &app.url(),
        &with_background("{ rate = \"1000/s\", concurrency = 1 }"),
    );
    let client = sidecar.client();
    for item in ["/items/0", "/items/1", "/items/2"] {
        client.get(item).await;
    }
    sidecar.fills_have_ended().await;
    let purge = sidecar.admin().request("POST", "/purge");
    let purge = purge
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {TOKEN}"));
    let purge = purge.body(r#"{"patterns": ["item:*"], "soft": true}"#.to_owned());
    assert_eq!(purge.send().await.status, 200);
    client.get("/items/0").await;
    gate.reached(1).await;
    let with_fields = |item: &str, length: usize| {
        let request = client.request("GET", item);
        request.header("x-long", &"x".repeat(length)).send()
    };
    with_fields("/items/1", 9000).await;
    with_fields("/items/2", 4000).await;
    eventually("one waits", LONG, || async {
        background(&sidecar).await["waiting"] == 1
    })
    .await;
    gate.open();
    eventually("its turn", LONG, || async { app.count("/items/2") == 2 }).await;
    assert_eq!(app.count("/items/1"), 1);
}
