//! Once in the fleet: a scheduled run happens on one sidecar, whoever dies, and wherever it is asked about.

use std::collections::BTreeMap;

use super::{LONG, ROUTE, becomes, last, order};
use crate::fleet::connected;
use crate::running::Running;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

fn config(redis: &RedisServer, job: &str) -> String {
    format!(
        "{ROUTE}[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n[[warm]]\nname = \"a\"\nurls = [\"/api/a\"]\n{job}\n",
        redis.url()
    )
}

/// How often each time of the schedule was served, over these sidecars.
async fn served(fleet: &[Sidecar]) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    for sidecar in fleet {
        let listing = sidecar.admin().get("/jobs").await.value();
        let runs = listing["runs"].as_array().expect("a list").clone();
        for run in runs.iter().filter(|run| run["state"] == "done") {
            let slot = run["scheduled"].as_str().expect("of a schedule").to_owned();
            *served.entry(slot).or_default() += 1;
        }
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sidecars_run_a_schedule_once() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    app.on("GET", "/api/a", |_| Answer::text("a"));
    let toml = config(&redis, "every = \"1s\"");
    let fleet = [0; 3].map(|_| Sidecar::start(&app.url(), &toml));
    for sidecar in &fleet {
        connected(sidecar).await;
    }
    eventually("five runs", LONG, || async { app.count("/api/a") >= 5 }).await;
    eventually("those under way are over", LONG, || async {
        let served = served(&fleet).await;
        served.len() >= 5 && served.len() == app.count("/api/a")
    })
    .await;
    let served = served(&fleet).await;
    assert!(
        served.values().all(|times| *times == 1),
        "each time once: {served:?}"
    );
    // Everybody knows of the last one.
    let of_all = "over the fleet: a run happens on one sidecar";
    for sidecar in &fleet {
        let listing = sidecar.admin().get("/jobs").await.value();
        assert_eq!(listing["shared"], of_all);
        assert!(listing["jobs"][0]["last"]["id"].is_string(), "{listing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holders_run_is_taken_over_and_cancelled_from_elsewhere() {
    let redis = RedisServer::start();
    let (app, gate) = (TestApp::start().await, Gate::new());
    let held = gate.clone();
    for path in ["/api/a", "/api/b"] {
        let held = held.clone();
        app.on("GET", path, move |_| Answer::text("a").behind(&held));
    }
    // The dead one's lease of the first page outlives it by a little.
    let toml = config(&redis, "every = \"1s\"\ntimeout = \"60s\"");
    let toml = toml.replace("[\"/api/a\"]", "[\"/api/a\", \"/api/b\"]")
        + "[upstream]\nbackground = { rate = \"100/s\", concurrency = 1 }\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pannier.toml");
    std::fs::write(&file, &toml).expect("a writable folder");
    let holder = Running::start(
        &["run", "--config", &file.display().to_string()],
        &app.url(),
    );
    gate.reached(1).await;
    let [heir, other] = [0; 2].map(|_| Sidecar::start(&app.url(), &toml));
    connected(&heir).await;
    connected(&other).await;
    let before = Client::new(holder.admin).get("/jobs/a").await.value();
    let slot = before["scheduled"].as_str().expect("a time");
    eventually("the others know of it", LONG, || async {
        last(&heir, "a").await["id"] == before["id"]
    })
    .await;
    assert_eq!(last(&heir, "a").await["state"], "running");
    holder.signal("-KILL");
    gate.reached(2).await;
    let of_heir = last(&heir, "a").await;
    let (holds, asked) = match of_heir["scheduled"].is_string() {
        true => (&heir, &other),
        false => (&other, &heir),
    };
    let run = last(holds, "a").await;
    assert_ne!(run["id"], before["id"]);
    assert!(
        run["scheduled"].as_str().is_some_and(|again| again >= slot),
        "{run}"
    );
    // Whoever is asked, the one that has it ends it.
    let id = run["id"].as_str().expect("an id");
    eventually("the other knows of it", LONG, || async {
        last(asked, id).await["state"] == "running"
    })
    .await;
    let reply = order(asked, "POST", "/jobs/a/run").await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert_eq!(
        order(asked, "DELETE", &format!("/jobs/{id}")).await.status,
        200
    );
    becomes(holds, id, "cancelled").await;
    // The next time has come, and another run with it.
    eventually("the other hears of its end", LONG, || async {
        last(asked, "a").await["id"] != run["id"]
    })
    .await;
    gate.open();
}
