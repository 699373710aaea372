//! `refresh_ahead`: what is read is renewed before it expires, and nobody waits.
//!
//! An answer that says `Age` is in the last part of its life from the beginning, so no test waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::background::refresh;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Reply;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

const RULES: &str = "\
    [[route]]\nname = \"item\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\nany_host = true\n\
    refresh_ahead = \"50%\"\n\
    [[route]]\nname = \"mine\"\npath = \"/mine\"\nkey = \"mine:{header.authorization}\"\nrefresh_ahead = \"50%\"\n\
    [[route]]\nname = \"plain\"\npath = \"/plain\"\nkey = \"plain\"\n\
    [[purge]]\nname = \"item\"\npath = \"/items/{id}\"\nkeys = [\"item:{path.id}\"]\n";

/// Old when it is fetched for the first time, and young after that.
fn answer(nth: usize, text: impl Into<String>) -> Answer {
    let answer = Answer::text(text).cache_control("max-age=600");
    match nth {
        0 => answer.header("age", "500"),
        _ => answer,
    }
}

fn begins(reply: &Reply) -> bool {
    reply.cache_status().ends_with("; refresh-ahead")
}

async fn first(sidecar: &Sidecar, path: &str) {
    assert_eq!(sidecar.client().get(path).await.status, 200);
    sidecar.fills_have_ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_once_however_many_read_it_and_nobody_waits() {
    let (app, gate) = (TestApp::start().await, Gate::new());
    let behind = gate.clone();
    app.on("GET", "/items/1", move |seen| match seen.nth {
        0 => answer(0, "old"),
        nth => answer(nth, "new").behind(&behind),
    });
    app.on("GET", "/plain", |_| answer(0, "plain"));
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    first(&sidecar, "/items/1").await;
    first(&sidecar, "/plain").await;
    let mut begun = 0;
    for _ in 0..200 {
        let reply = client.get("/items/1").await;
        assert!(
            reply.is_hit() && reply.text() == "old",
            "{}",
            reply.cache_status()
        );
        begun += usize::from(begins(&reply));
        let plain = client.get("/plain").await;
        assert!(plain.is_hit() && !begins(&plain));
    }
    assert_eq!(begun, 1, "only one of them has it renewed");
    gate.reached(1).await;
    assert_eq!(app.count("/items/1"), 2);
    gate.open();
    sidecar.fills_have_ended().await;
    for _ in 0..20 {
        let reply = client.get("/items/1").await;
        assert!(
            reply.is_hit() && reply.text() == "new",
            "{}",
            reply.cache_status()
        );
        assert!(!begins(&reply), "it is young again");
    }
    assert_eq!((app.count("/items/1"), app.count("/plain")), (2, 1));
    let stats = sidecar.admin().get("/stats").await.value();
    assert_eq!(stats["app_requests"]["refresh-ahead"], 1);
}

/// It fails: what is stored is served as before, and tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_leaves_what_is_stored_and_is_tried_again() {
    let app = TestApp::start().await;
    app.on("GET", "/items/1", |seen| match seen.nth {
        0 => answer(0, "old"),
        1 => Answer::status(500),
        nth => answer(nth, "new"),
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    first(&sidecar, "/items/1").await;
    eventually("it is renewed", LONG, || async {
        let reply = client.get("/items/1").await;
        assert!(reply.is_hit(), "{}", reply.cache_status());
        reply.text() == "new"
    })
    .await;
    assert_eq!(app.count("/items/1"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebodys_is_renewed_by_their_own_request_alone() {
    let app = TestApp::start().await;
    app.on("GET", "/mine", |seen| {
        let whose = seen.header("authorization").to_owned();
        match whose.as_str() {
            "Bearer ann" => answer(seen.nth, whose),
            _ => answer(1, whose),
        }
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for whose in ["Bearer ann", "Bearer bob"] {
        let fields = [("authorization", whose)];
        client.get_with("/mine", &fields).await;
        sidecar.fills_have_ended().await;
    }
    let ann = client
        .get_with("/mine", &[("authorization", "Bearer ann")])
        .await;
    assert!(begins(&ann), "{}", ann.cache_status());
    sidecar.fills_have_ended().await;
    assert_eq!(app.count("/mine"), 3);
    assert_eq!(app.last("/mine").header("authorization"), "Bearer ann");
    let bob = client
        .get_with("/mine", &[("authorization", "Bearer bob")])
        .await;
    assert!(bob.is_hit() && !begins(&bob) && bob.text() == "Bearer bob");
}

/// The write's answer has left before the renewal's comes: what that fetched is of before, and is not kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_comes_meanwhile_wins() {
    let (app, gate) = (TestApp::start().await, Gate::new());
    let version = Arc::new(AtomicUsize::new(0));
    let (read, written, behind) = (version.clone(), version.clone(), gate.clone());
    app.on("GET", "/items/1", move |seen| {
        let text = read.load(Ordering::SeqCst).to_string();
        match seen.nth {
            1 => answer(1, text).behind(&behind),
            nth => answer(nth, text),
        }
    });
    app.on("PUT", "/items/1", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204)
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    first(&sidecar, "/items/1").await;
    assert!(begins(&client.get("/items/1").await));
    gate.reached(1).await;
    assert_eq!(client.request("PUT", "/items/1").send().await.status, 204);
    assert_eq!(client.get("/items/1").await.text(), "1");
    gate.open();
    sidecar.fills_have_ended().await;
    let reply = client.get("/items/1").await;
    assert!(
        reply.is_hit() && reply.text() == "1",
        "{}",
        reply.cache_status()
    );
}

/// All three hit it in the last part of its life; one asks the app, and all have what it fetched.
#[tokio::test(flavor = "multi_thread")]
async fn three_sidecars_renew_once() {
    let redis = RedisServer::start();
    let (app, gate) = (TestApp::start().await, Gate::new());
    let behind = gate.clone();
    app.on("GET", "/items/1", move |seen| match seen.nth {
        0 => answer(0, "old"),
        nth => answer(nth, "new").behind(&behind),
    });
    // Who had to wait longer for Redis would ask the app.
    let rules = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{RULES}",
        redis.url()
    );
    let sidecars: Vec<Sidecar> = (0..3).map(|_| Sidecar::start(&app.url(), &rules)).collect();
    for sidecar in &sidecars {
        eventually("it has its Redis", LONG, || async {
            let stats = sidecar.admin().get("/stats").await.value();
            stats["redis"]["state"] == "up" && stats["redis"]["tracking"] == true
        })
        .await;
    }
    first(&sidecars[0], "/items/1").await;
    for sidecar in &sidecars {
        let reply = sidecar.client().get("/items/1").await;
        assert!(reply.is_hit() && begins(&reply), "{}", reply.cache_status());
    }
    gate.reached(1).await;
    // The other two have seen that one is at it.
    for sidecar in &sidecars[1..] {
        sidecar.fills_have_ended().await;
    }
    // Nor is it asked for by an order meanwhile: the answer could not be stored.
    let result = refresh(&sidecars[1], 1..2).await;
    assert_eq!(result["results"][0]["why"], "lease-lost", "{result}");
    gate.open();
    for sidecar in &sidecars {
        eventually("it has what was fetched", LONG, || async {
            let reply = sidecar.client().get("/items/1").await;
            assert!(reply.is_hit(), "{}", reply.cache_status());
            reply.text() == "new"
        })
        .await;
    }
    assert_eq!(app.count("/items/1"), 2, "the fleet has asked once more");
}
