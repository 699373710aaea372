//! `[[warm]]`: at the start, of lists, in order; what is refused, what fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{LONG, ROUTE, becomes, last};
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_warmed_at_the_start_is_a_hit_for_the_first_client() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", "/api/settings", move |_| {
        Answer::text("s").behind(&held)
    });
    let list = json!({ "items": [{ "id": 1 }, { "id": "a b" }, { "id": null }] });
    // Nothing is stored of the list itself, and it is read all the same.
    app.on("GET", "/projects", move |_| Answer::json(&list));
    for path in ["/api/projects/1/board", "/api/projects/a%20b/board"] {
        app.on("GET", path, |_| Answer::text("board"));
    }
    let toml = format!(
        "{ROUTE}[listen]\nready_path = \"/ready\"\n\
         [[warm]]\nname = \"settings\"\nurls = [\"/api/settings\"]\non_start = true\nready = true\n\
         headers = {{ accept-language = \"de\" }}\nhost = \"shop.example\"\n\
         [[warm]]\nname = \"boards\"\nfrom = \"/projects\"\neach = \"/api/projects/{{items[].id}}/board\"\n\
         after = [\"settings\"]\non_start = true\n"
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    gate.reached(1).await;
    let ready = sidecar.admin().get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(ready.value()["jobs"], json!(["settings"]));
    assert_eq!(sidecar.client().get("/ready").await.text(), "warming\n");
    let boards = becomes(&sidecar, "boards", "waiting").await;
    assert_eq!(boards["waits_for"], json!(["settings"]));
    assert_eq!(app.count("/projects"), 0, "it comes after the settings");
    gate.open();
    let settings = becomes(&sidecar, "settings", "done").await;
    assert_eq!(
        (&settings["stored"], &settings["trigger"]),
        (&json!(1), &json!("start"))
    );
    let boards = becomes(&sidecar, "boards", "done").await;
    assert_eq!(boards["stored"], 2, "{boards}");
    assert_eq!(
        (&boards["total"], &boards["refused"]["no-url"]),
        (&json!(3), &json!(1))
    );
    eventually("it is ready", LONG, || async {
        sidecar.admin().get("/readyz").await.status == 200
    })
    .await;
    assert_eq!(sidecar.client().get("/ready").await.status, 200);
    let asked = app.last("/api/settings");
    assert_eq!(
        (asked.header("host"), asked.header("accept-language")),
        ("shop.example", "de")
    );
    for path in [
        "/api/settings",
        "/api/projects/1/board",
        "/api/projects/a%20b/board",
    ] {
        assert!(sidecar.client().get(path).await.is_hit(), "{path}");
        assert_eq!(app.count(path), 1, "{path}");
    }
    let listing = sidecar.admin().get("/jobs").await.value();
    assert_eq!(listing["jobs"][1]["last"]["state"], "done", "{listing}");
    assert_eq!(listing["runs"].as_array().map(Vec::len), Some(2));
    assert!(
        listing["shared"]
            .as_str()
            .is_some_and(|shared| shared.contains("there is no [redis]"))
    );
    let metrics = sidecar.admin().get("/metrics").await;
    for line in [
        "pannier_jobs_total{kind=\"warm\",result=\"done\"} 2",
        "pannier_job_urls_total{kind=\"warm\",result=\"stored\"} 3",
        "pannier_jobs_running 0",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_waits_no_longer_than_it_is_told_to() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", "/api/slow", move |_| Answer::text("s").behind(&held));
    let toml = format!(
        "{ROUTE}[jobs]\nready_within = \"100ms\"\n\
         [[warm]]\nname = \"slow\"\nurls = [\"/api/slow\"]\non_start = true\nready = true\n"
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    gate.reached(1).await;
    eventually("it is ready", LONG, || async {
        sidecar.admin().get("/readyz").await.status == 200
    })
    .await;
    assert_eq!(last(&sidecar, "slow").await["state"], "running");
    gate.open();
}

/// What will not be otherwise the next time is refused and counted; what may be is tried again, and given up.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_and_failures_tried_again() {
    let (app, elsewhere) = (TestApp::start().await, TestApp::start().await);
    let away = format!("{}/secret", elsewhere.url());
    app.on("GET", "/api/moved", move |_| {
        Answer::status(302).header("location", &away)
    });
    app.on("GET", "/api/large", |_| Answer::text("x".repeat(3000)));
    app.on("GET", "/api/mine", |_| {
        Answer::text("m").cache_control("private")
    });
    app.on("GET", "/api/broken", |_| Answer::status(500));
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    app.on("GET", "/api/shy", move |_| {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::status(503),
            _ => Answer::text("here"),
        }
    });
    let urls = ["moved", "large", "mine", "broken", "shy"].map(|name| format!("\"/api/{name}\""));
    let toml = format!(
        "{ROUTE}max_body = \"1KB\"\n\
         [[warm]]\nname = \"all\"\nurls = [{}]\non_start = true\nretries = 1\n\
         [[warm]]\nname = \"next\"\nurls = [\"/api/shy\"]\nafter = [\"all\"]\non_start = true\n",
        urls.join(", ")
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let all = becomes(&sidecar, "all", "failed").await;
    let refused = json!({ "private": 1, "status": 1, "too-large": 1 });
    assert_eq!(all["refused"], refused, "{all}");
    assert_eq!(
        (&all["stored"], &all["failed"], &all["tries"]),
        (&json!(1), &json!(1), &json!(2))
    );
    let error = all["last_error"].as_str().expect("a reason");
    assert!(
        error.contains("/api/broken: the app answered 500"),
        "{error}"
    );
    assert_eq!((app.count("/api/broken"), app.count("/api/large")), (2, 1));
    assert_eq!(elsewhere.seen().len(), 0, "no redirect is followed");
    // What comes after it fails with it, and asks for nothing.
    let next = becomes(&sidecar, "next", "failed").await;
    let error = next["last_error"].as_str().expect("a reason");
    assert!(
        error.contains("all, which it comes after, has failed"),
        "{next}"
    );
    assert_eq!(app.count("/api/shy"), 2);
}

/// A list that the app is too busy for is asked for once it may be: that is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_told_to_wait_is_read_later() {
    let app = TestApp::start().await;
    app.on("GET", "/projects", |seen| match seen.nth {
        0 => Answer::status(503).header("retry-after", "1"),
        _ => Answer::json(&json!([{ "id": 1 }])),
    });
    app.on("GET", "/api/1", |_| Answer::text("a"));
    let toml = format!(
        "{ROUTE}[[warm]]\nname = \"all\"\nfrom = \"/projects\"\neach = \"/api/{{[].id}}\"\n\
         on_start = true\nretries = 0\n"
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let all = becomes(&sidecar, "all", "done").await;
    assert_eq!(all["stored"], 1, "{all}");
    assert_eq!(app.count("/projects"), 2);
}

/// Where Redis is away at a start each sidecar warms by itself, and its clients do not wait for Redis.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_without_a_redis_that_is_away() {
    let app = TestApp::start().await;
    app.on("GET", "/api/a", |_| Answer::text("a"));
    let toml = format!(
        "{ROUTE}[redis]\nurl = \"redis://127.0.0.1:1\"\n\
         [[warm]]\nname = \"a\"\nurls = [\"/api/a\"]\non_start = true\n"
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let run = becomes(&sidecar, "a", "done").await;
    assert_eq!(
        (&run["stored"], &run["trigger"]),
        (&json!(1), &json!("start"))
    );
}

/// A schedule without Redis: each sidecar its own, and not before its time.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_schedule_is_each_sidecars_own() {
    let app = TestApp::start().await;
    app.on("GET", "/api/a", |_| Answer::text("a"));
    let toml = format!("{ROUTE}[[warm]]\nname = \"a\"\nurls = [\"/api/a\"]\nevery = \"1s\"\n");
    let sidecar = Sidecar::start(&app.url(), &toml);
    eventually("three runs", LONG, || async { app.count("/api/a") >= 3 }).await;
    let listing = sidecar.admin().get("/jobs").await.value();
    assert_eq!(listing["jobs"][0]["schedule"], "every 1 s");
    assert!(
        listing["jobs"][0]["next"]
            .as_str()
            .is_some_and(|next| next.ends_with('Z'))
    );
    let runs = listing["runs"].as_array().expect("a list");
    assert!(
        runs.iter().all(|run| run["trigger"] == "schedule"),
        "{listing}"
    );
}
