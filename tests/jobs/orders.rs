//! What operators do with jobs: run, cancel; what the end of a sidecar does.

use std::process::Command;

use serde_json::json;

use super::{LONG, ROUTE, becomes, last, order};
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const JOB: &str = "[[warm]]\nname = \"pages\"\nurls = [\"/api/{1..9}\"]\n";

/// Pages that the gate holds back.
async fn app_behind(gate: &Gate) -> TestApp {
    let app = TestApp::start().await;
    for page in 1..=9 {
        let held = gate.clone();
        app.on("GET", &format!("/api/{page}"), move |_| {
            Answer::text("x").behind(&held)
        });
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_by_order_and_is_cancelled_in_mid_run() {
    let gate = Gate::new();
    let app = app_behind(&gate).await;
    let sidecar = Sidecar::start(&app.url(), &format!("{ROUTE}{JOB}"));
    for (method, path) in [("POST", "/jobs/pages/run"), ("DELETE", "/jobs/pages")] {
        let reply = sidecar.admin().request(method, path).send().await;
        assert_eq!(reply.status, 401, "{method} {path} wants the token");
    }
    assert_eq!(order(&sidecar, "POST", "/jobs/page/run").await.status, 404);
    assert_eq!(app.seen().len(), 0);
    let id = order(&sidecar, "POST", "/jobs/pages/run").await.value()["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    gate.reached(4).await;
    let running = last(&sidecar, &id).await;
    assert_eq!(
        (&running["state"], &running["total"]),
        (&json!("running"), &json!(9))
    );
    let again = order(&sidecar, "POST", "/jobs/pages/run").await;
    assert!(
        again.status == 409 && again.text().contains(&id),
        "{}",
        again.text()
    );
    let began = pannier::clock::monotonic();
    assert_eq!(
        order(&sidecar, "DELETE", &format!("/jobs/{id}"))
            .await
            .status,
        200
    );
    let cancelled = becomes(&sidecar, &id, "cancelled").await;
    assert!(began.elapsed().as_secs() < 1, "within a second");
    assert_eq!(cancelled["settled"], 0);
    assert_eq!(
        order(&sidecar, "DELETE", &format!("/jobs/{id}"))
            .await
            .status,
        404,
        "it is over"
    );
    gate.open();
    sidecar.fills_have_ended().await;
    assert_eq!(app.seen().len(), 4, "nothing further is asked for");
    // Whole or not at all, and the next run gets all of it.
    for page in 1..=9 {
        let reply = sidecar.client().get(&format!("/api/{page}")).await;
        assert!(reply.status == 200 && reply.text() == "x");
    }
    order(&sidecar, "POST", "/jobs/pages/run").await;
    let done = becomes(&sidecar, "pages", "done").await;
    assert_eq!(done["stored"], 9, "by order all is fetched anew: {done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_sidecar_waits_for_no_job() {
    let gate = Gate::new();
    let app = app_behind(&gate).await;
    let sidecar = Sidecar::start(&app.url(), &format!("{ROUTE}{JOB}on_start = true\n"));
    gate.reached(4).await;
    let began = pannier::clock::monotonic();
    tokio::task::spawn_blocking(move || sidecar.stop())
        .await
        .expect("it stops");
    // The drain timeout is 30 s, and the app holds its answers back for ever.
    assert!(began.elapsed() < LONG / 3, "{:?}", began.elapsed());
}

/// A reload changes the jobs: what is gone is cancelled before it begins, what is new can be ordered.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_jobs() {
    let app = TestApp::start().await;
    app.on("GET", "/api/1", |_| Answer::text("x"));
    let toml = format!("{ROUTE}[[warm]]\nname = \"old\"\nurls = [\"/api/1\"]\n");
    let url = app.url();
    let sidecar = Sidecar::start(&url, &toml);
    sidecar.reload(
        &toml.replace("old", "new"),
        &[("PANNIER_UPSTREAM_URL", &url)],
    );
    assert_eq!(order(&sidecar, "POST", "/jobs/old/run").await.status, 404);
    assert_eq!(order(&sidecar, "POST", "/jobs/new/run").await.status, 200);
    becomes(&sidecar, "new", "done").await;
    eventually("it is a hit", LONG, || async {
        sidecar.client().get("/api/1").await.is_hit()
    })
    .await;
}

/// `pannier jobs`: listed, run to its end, and what it exits with.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_the_terminal() {
    let app = TestApp::start().await;
    app.on("GET", "/api/1", |_| Answer::text("x"));
    app.on("GET", "/api/2", |_| Answer::status(500));
    let toml = format!(
        "{ROUTE}[[warm]]\nname = \"good\"\nurls = [\"/api/1\"]\n\
         [[warm]]\nname = \"bad\"\nurls = [\"/api/1\", \"/api/2\"]\nretries = 0\nafter = [\"good\"]\n"
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let admin = sidecar.admin_addr().to_string();
    let pannier = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pannier"));
        command
            .args(arguments)
            .args(["--admin", &admin])
            .env("PANNIER_ADMIN_TOKEN", TOKEN);
        tokio::task::spawn_blocking(move || {
            let output = command.output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (
                output.status.success(),
                text + &String::from_utf8_lossy(&output.stderr),
            )
        })
    };
    let (is_done, printed) = pannier(&["jobs", "run", "good"]).await.expect("no panic");
    assert!(
        is_done && printed.contains("done: 1 of 1, 1 stored"),
        "{printed}"
    );
    becomes(&sidecar, "bad", "failed").await;
    let (is_done, printed) = pannier(&["jobs", "run", "bad"]).await.expect("no panic");
    assert!(!is_done && printed.contains("1 failed"), "{printed}");
    assert!(printed.contains("the app answered 500"), "{printed}");
    let (is_listed, printed) = pannier(&["jobs"]).await.expect("no panic");
    assert!(
        is_listed && printed.contains("bad: after good\n"),
        "{printed}"
    );
    let (is_cancelled, printed) = pannier(&["jobs", "cancel", "0"]).await.expect("no panic");
    assert!(
        !is_cancelled && printed.contains("there is no job or run"),
        "{printed}"
    );
}
