//! `[upstream] rate`: all requests to the app wait in order.

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const LONG: Duration = Duration::from_secs(30);

const RULES: &str = "\
    [[route]]\nname = \"high\"\npath = \"/high/{id}\"\nkey = \"high:{path.id}\"\npriority = \"high\"\n\
    [[route]]\nname = \"low\"\npath = \"/low/{id}\"\nkey = \"low:{path.id}\"\npriority = \"low\"\n\
    [[route]]\nname = \"kept\"\npath = \"/kept/{id}\"\nkey = \"kept:{path.id}\"\nttl = \"10m\"\n\
    [[route]]\nname = \"stale\"\npath = \"/stale/{id}\"\nkey = \"stale:{path.id}\"\nstale_if_error = \"10m\"\n";

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/high/1", "/low/1", "/low/2", "/kept/1", "/passed"] {
        app.on("GET", path, |_| Answer::text("x"));
    }
    app.on("GET", "/stale/1", |_| {
        Answer::text("x").cache_control("max-age=0")
    });
    app.on("POST", "/passed", |_| Answer::status(204));
    app
}

fn with(upstream: &str) -> String {
    format!("[upstream]\n{upstream}\n{RULES}")
}

fn reload(sidecar: &Sidecar, app: &TestApp, upstream: &str) {
    sidecar.reload(&with(upstream), &[("PANNIER_UPSTREAM_URL", &app.url())]);
}

async fn waiting(sidecar: &Sidecar, count: usize) {
    let line = format!("pannier_upstream_waiting {count}");
    eventually(&line, LONG, || async {
        let metrics = sidecar.admin().get("/metrics").await;
        metrics.text().lines().any(|found| found == line)
    })
    .await;
}

fn assert_busy(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.cache_status());
    assert!(reply.cache_status().contains("detail=upstream-busy"));
    let seconds: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=3600).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_by_priority_and_then_in_order() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), &with("rate = \"1/h\"\nqueue_timeout = \"60s\""));
    // The one of this hour.
    assert_eq!(sidecar.client().get("/low/2").await.status, 200);
    let (low, passed, high) = (sidecar.client(), sidecar.client(), sidecar.client());
    let low = async { low.get("/low/1").await };
    let passed = async {
        waiting(&sidecar, 1).await;
        passed.request("POST", "/passed").send().await
    };
    let high = async {
        waiting(&sidecar, 2).await;
        high.get("/high/1").await
    };
    let lifting = async {
        waiting(&sidecar, 3).await;
        reload(&sidecar, &app, "rate = \"2/s\"\nqueue_timeout = \"60s\"");
    };
    let (low, passed, high, ()) = tokio::join!(low, passed, high, lifting);
    for reply in [low, high] {
        assert_eq!(reply.status, 200, "{}", reply.cache_status());
    }
    assert_eq!(passed.status, 204);
    let seen: Vec<String> = app.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(seen, ["/low/2", "/high/1", "/passed", "/low/1"]);
}

/// Nobody may wait, so that whoever is past the rate is answered at once: by what is stale, or 503. Hits are hits.
#[tokio::test(flavor = "multi_thread")]
async fn past_the_queue_what_is_stale_is_served_or_503() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), &with("rate = \"1000/s\""));
    let client = sidecar.client();
    for path in ["/kept/1", "/stale/1"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    sidecar.fills_have_ended().await;
    reload(
        &sidecar,
        &app,
        "rate = \"1/h\"\nqueue = 0\nqueue_timeout = \"10m\"",
    );
    // The one of this hour, if the last one is not too near.
    client.get("/low/2").await;
    let asked = app.seen().len();
    assert_busy(&client.get("/low/1").await);
    assert_busy(&client.get("/passed").await);
    let write = client.request("POST", "/passed").send().await;
    assert_busy(&write);
    let stale = client.get("/stale/1").await;
    assert_eq!(stale.status, 200, "{}", stale.cache_status());
    assert!(stale.cache_status().contains("detail=stale-if-error"));
    for _ in 0..100 {
        assert!(client.get("/kept/1").await.is_hit());
    }
    assert_eq!(app.seen().len(), asked, "nothing was sent");
    // Lifted by a reload, it is as if it had never been.
    reload(&sidecar, &app, "");
    assert_eq!(client.get("/low/1").await.status, 200);
}

/// Who has waited too long gets 503; who waits when a client hangs up goes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_time_or_with_its_client() {
    let app = app().await;
    let sidecar = Sidecar::start(
        &app.url(),
        &with("rate = \"1/h\"\nqueue_timeout = \"200ms\""),
    );
    let client = sidecar.client();
    client.get("/low/2").await;
    assert_busy(&client.get("/low/1").await);
    reload(
        &sidecar,
        &app,
        "rate = \"1/h\"\nqueue = 1\nqueue_timeout = \"60s\"",
    );
    let gone = sidecar.client();
    tokio::select! {
        _ = gone.get("/passed") => panic!("it waits for an hour"),
        () = waiting(&sidecar, 1) => {}
    }
    // The only place is free again.
    waiting(&sidecar, 0).await;
    let next = async { client.get("/passed").await };
    let lifting = async {
        waiting(&sidecar, 1).await;
        reload(&sidecar, &app, "");
    };
    let (reply, ()) = tokio::join!(next, lifting);
    assert_eq!(reply.status, 200, "{}", reply.cache_status());
    assert_eq!(app.count("/low/1"), 0);
}
