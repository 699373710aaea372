//! Audits: some of the hits are asked of the app as well, and it is counted how many were wrong.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::shadow::account;
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const LONG: Duration = Duration::from_secs(30);

fn rules(audit: &str) -> String {
    format!(
        "[[route]]\nname = \"user\"\npath = \"/api/users/{{id}}\"\nkey = \"user:{{path.id}}:{{header.authorization}}\"\n\
         audit = \"{audit}\"\n"
    )
}

/// An app that changes by itself, behind the cache's back, and says 503 if it is told to.
async fn app() -> (TestApp, Arc<AtomicUsize>, Arc<AtomicU16>) {
    let app = TestApp::start().await;
    let (version, trouble) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU16::new(0)));
    let (read, failing) = (version.clone(), trouble.clone());
    app.on("GET", "/api/users/1", move |seen| {
        match failing.load(Ordering::SeqCst) {
            0 => Answer::json(&json!({ "version": read.load(Ordering::SeqCst) }))
                .header("x-asker", seen.header("authorization")),
            status => Answer::status(status).header("retry-after", "3000"),
        }
    });
    (app, version, trouble)
}

async fn hit(sidecar: &Sidecar) {
    let client = sidecar.client();
    let fields = [("authorization", "Bearer ann")];
    client.get_with("/api/users/1", &fields).await;
    sidecar.fills_have_ended().await;
    let reply = client.get_with("/api/users/1", &fields).await;
    assert!(reply.is_hit(), "{}", reply.cache_status());
}

/// Hits go on until the verdict was counted so often.
async fn until(sidecar: &Sidecar, verdict: &str, count: u64) {
    eventually(verdict, LONG, || async {
        hit(sidecar).await;
        account(sidecar).await[verdict].as_u64() >= Some(count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_behind_the_caches_back_is_found_and_clients_wait_for_nothing() {
    let (app, version, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("100%"));
    until(&sidecar, "same", 2).await;
    version.store(7, Ordering::SeqCst);
    until(&sidecar, "stale", 1).await;
    let found = account(&sidecar).await;
    assert_eq!(
        found["differs_in"]
            .as_object()
            .expect("pointers")
            .keys()
            .next()
            .expect("one"),
        "/version"
    );
    let metrics = sidecar.admin().get("/metrics").await;
    for result in ["same", "stale"] {
        let begin = format!("pannier_audit_total{{result=\"{result}\",rule=\"user\"}}");
        assert!(metrics.text().contains(&begin), "{begin}");
    }
    // Each was asked with the credentials of the hit, and no other.
    let seen = app.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization") == "Bearer ann")
    );
}

/// Of 10 % one in ten hits is expected to find it; that none of 200 does comes once in a billion runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_found_within_the_expected_number_of_hits() {
    let (app, version, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("10%"));
    let client = sidecar.client();
    let fields = [("authorization", "Bearer ann")];
    client.get_with("/api/users/1", &fields).await;
    sidecar.fills_have_ended().await;
    version.store(7, Ordering::SeqCst);
    let mut hits = 0;
    while app.count("/api/users/1") < 2 {
        assert!(client.get_with("/api/users/1", &fields).await.is_hit());
        hits += 1;
        assert!(hits <= 200, "no audit in {hits} hits");
    }
    eventually("it is found", LONG, || async {
        account(&sidecar).await["stale"] == 1
    })
    .await;
    println!("the first of {hits} hits that was audited found it, for one request to the app");
}

/// Told to wait, or failing, the app is left alone, and what it says then is no evidence.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_in_trouble_is_left_alone() {
    let (app, _, trouble) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("100%"));
    hit(&sidecar).await;
    trouble.store(503, Ordering::SeqCst);
    until(&sidecar, "uncompared", 1).await;
    let asked = app.count("/api/users/1");
    for _ in 0..200 {
        hit(&sidecar).await;
    }
    assert_eq!(
        app.count("/api/users/1"),
        asked,
        "it has asked for 50 minutes"
    );
    assert_eq!(account(&sidecar).await["stale"], 0);
}

/// A stream of events that took the place of an answer has no end: the next audit need not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_does_not_keep_the_turn() {
    let app = TestApp::start().await;
    let pieces = Mutex::new(Vec::new());
    app.on("GET", "/api/users/1", move |seen| {
        if seen.nth == 0 {
            return Answer::text("an answer");
        }
        let (answer, sender) = Answer::piecewise();
        pieces.lock().expect("no panic").push(sender);
        answer.header("content-type", "text/event-stream")
    });
    let sidecar = Sidecar::start(&app.url(), &rules("100%"));
    until(&sidecar, "uncompared", 1).await;
}

/// What audits cost the app: a share of the hits, and one at a time.
#[tokio::test(flavor = "multi_thread")]
async fn audits_ask_for_a_share_of_the_hits_at_most() {
    let (app, _, _) = app().await;
    const HITS: usize = 300;
    // Of a ten millionth none of so many is expected, but once in 30,000 runs.
    let [rare, each] = ["0.00001%", "100%"].map(|audit| Sidecar::start(&app.url(), &rules(audit)));
    hit(&rare).await;
    let client = rare.client();
    for _ in 0..HITS {
        let reply = client
            .get_with("/api/users/1", &[("authorization", "Bearer ann")])
            .await;
        assert!(reply.is_hit());
    }
    assert_eq!(app.count("/api/users/1"), 1);
    // Of all hits the first is one.
    until(&each, "same", 1).await;
}
