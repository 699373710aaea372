//! What the file and the environment say: off, a share, on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Gate;
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::{Sidecar, TOKEN};

const ITEM: &str = "[[route]]\nname = \"item\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\n";

/// An app whose items change with each write to them.
pub(super) async fn app_with_items(count: usize) -> (TestApp, Arc<AtomicUsize>) {
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(0));
    for id in 0..count {
        let read = version.clone();
        app.on("GET", &format!("/items/{id}"), move |_| {
            Answer::text(read.load(Ordering::SeqCst).to_string())
        });
        let written = version.clone();
        app.on("PUT", &format!("/items/{id}"), move |_| {
            written.fetch_add(1, Ordering::SeqCst);
            Answer::status(204)
        });
    }
    (app, version)
}

#[tokio::test(flavor = "multi_thread")]
async fn off_looks_nothing_up_and_stores_nothing() {
    let (app, _) = app_with_items(1).await;
    for toml in [
        format!("{ITEM}mode = \"off\"\n"),
        format!("{ITEM}enabled = false\n"),
        format!("[defaults]\nmode = \"off\"\n{ITEM}"),
        format!(
            "[defaults]\nenabled = true\n[[group]]\npath = \"/{{*rest}}\"\nmode = \"off\"\n{ITEM}"
        ),
    ] {
        let sidecar = Sidecar::start(&app.url(), &toml);
        for _ in 0..2 {
            let reply = sidecar.client().get("/items/0").await;
            assert!(reply.cache_status().ends_with("detail=disabled"), "{toml}");
        }
        sidecar.fills_have_ended().await;
        let stats = sidecar.admin().get("/stats").await.value();
        assert_eq!(stats["memory"]["entries"], 0, "{toml}");
    }
    // The nearest word counts, by whichever of the two keys.
    let toml = format!("[defaults]\nmode = \"off\"\n{ITEM}enabled = true\n");
    let sidecar = Sidecar::start(&app.url(), &toml);
    sidecar.client().get("/items/0").await;
    sidecar.fills_have_ended().await;
    assert!(sidecar.client().get("/items/0").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_wins_over_the_file_and_over_switches() {
    let (app, _) = app_with_items(1).await;
    let variables = [
        ("PANNIER_UPSTREAM_URL", app.url()),
        ("PANNIER_MODE", "off".to_owned()),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let sidecar = Sidecar::start_with_env(&format!("{ITEM}mode = \"on\"\n"), &variables);
    let on = r#"{"rule":"item","mode":"on"}"#;
    let switched = sidecar.admin().request("POST", "/switch").body(on);
    let switched = switched
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .send()
        .await;
    assert_eq!(switched.status, 200);
    let reply = sidecar.client().get("/items/0").await;
    assert!(reply.cache_status().ends_with("detail=disabled"));
    let listing = sidecar.admin().get("/switch").await.value();
    assert_eq!(listing["environment"], "off");
    // After a reload too, as its environment is the same.
    sidecar.reload(ITEM, &variables);
    let reply = sidecar.client().get("/items/0").await;
    assert!(reply.cache_status().ends_with("detail=disabled"));
}

/// What was asked of the app while the rule was on is not stored once it is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_under_way_stores_nothing_once_its_rule_is_off() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", "/items/0", move |_| Answer::text("0").behind(&held));
    let sidecar = Sidecar::start(&app.url(), ITEM);
    let client = sidecar.client();
    let asked = tokio::spawn(async move { client.get("/items/0").await });
    gate.reached(1).await;
    super::switches::throw(&sidecar, r#"{"rule":"item","mode":"off"}"#).await;
    gate.open();
    assert_eq!(asked.await.expect("it is answered").text(), "0");
    sidecar.fills_have_ended().await;
    let stats = sidecar.admin().get("/stats").await.value();
    assert_eq!(stats["memory"]["entries"], 0);
}

/// The share that is served is the share that was asked for; a key stays in as it grows, on every sidecar.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_keys_is_served_and_grows_by_keeping_what_it_has() {
    const KEYS: usize = 300;
    let (app, _) = app_with_items(KEYS).await;
    let mut before = vec![false; KEYS];
    for percent in [10, 25, 60, 100] {
        let toml = format!("{ITEM}percent = {percent}\n");
        let mut served = Vec::new();
        // Two that know nothing of each other.
        for sidecar in [0, 1].map(|_| Sidecar::start(&app.url(), &toml)) {
            let client = sidecar.client();
            let mut hits = Vec::new();
            for id in 0..KEYS {
                client.get(&format!("/items/{id}")).await;
            }
            sidecar.fills_have_ended().await;
            for id in 0..KEYS {
                let reply = client.get(&format!("/items/{id}")).await;
                let status = reply.cache_status();
                let is_out = status.ends_with("detail=not-in-share");
                assert!(reply.is_hit() != is_out, "{status}");
                hits.push(reply.is_hit());
            }
            served.push(hits);
        }
        assert_eq!(served[0], served[1], "at {percent} %");
        let hits = served.swap_remove(0);
        let left = before
            .iter()
            .zip(&hits)
            .filter(|(before, now)| **before && !**now);
        assert_eq!(left.count(), 0, "keys left at {percent} %");
        let share = hits.iter().filter(|hit| **hit).count() as f64 * 100.0 / KEYS as f64;
        assert!(
            (share - f64::from(percent)).abs() <= 6.0,
            "{share} % for {percent} %"
        );
        before = hits;
    }
    assert!(before.iter().all(|hit| *hit), "100 % are all");
}
