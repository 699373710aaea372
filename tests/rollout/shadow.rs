//! Shadow: the app answers every request, and it is seen what the cache would have done.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

const USERS: u64 = 7;

const RULES: &str = r#"
[[route]]
name = "user"
path = "/api/users/{id}"
key = "user:{path.id}"
mode = "shadow"
ignore_fields = ["/seen", "/items/*/views"]
[[purge]]
path = "/api/users/{id}"
keys = ["user:{path.id}"]
"#;

/// Users whose names are changed by two paths, and who are seen each time they are read.
pub(super) async fn app_with_users() -> TestApp {
    let app = TestApp::start().await;
    let names: Arc<Mutex<HashMap<u64, u64>>> = Arc::default();
    for id in 0..USERS {
        let read = names.clone();
        app.on("GET", &format!("/api/users/{id}"), move |seen| {
            let name = read.lock().expect("no panic").get(&id).copied();
            Answer::json(&json!({
                "id": id,
                "name": format!("name {}", name.unwrap_or_default()),
                "seen": seen.nth,
                "items": [{ "views": seen.nth }],
            }))
        });
        for path in [format!("/api/users/{id}"), format!("/api/profiles/{id}")] {
            let written = names.clone();
            app.on("PUT", &path, move |_| {
                *written.lock().expect("no panic").entry(id).or_default() += 1;
                Answer::status(204)
            });
        }
    }
    app.on("POST", "/api/logs", |_| Answer::status(204));
    app
}

/// What `/shadow` says of the rule `user`.
pub(super) async fn account(sidecar: &Sidecar) -> Value {
    let shadow = sidecar.admin().get("/shadow").await.value();
    shadow["rules"]["user"].clone()
}

/// Waits until so many requests were judged; what is said of them then.
pub(super) async fn judged(sidecar: &Sidecar, count: u64) -> Value {
    let sum = |account: &Value| -> u64 {
        let verdicts = ["same", "stale", "misses", "uncompared"];
        verdicts
            .iter()
            .filter_map(|verdict| account[verdict].as_u64())
            .sum()
    };
    eventually("all are judged", LONG, || async {
        sum(&account(sidecar).await) == count
    })
    .await;
    account(sidecar).await
}

/// Reads each user, lets the write go by, and reads each again.
async fn read_write_read(sidecar: &Sidecar, write: &str) -> u64 {
    let client = sidecar.client();
    let mut read = 0;
    for id in 0..USERS {
        let path = format!("/api/users/{id}");
        for _ in 0..2 {
            let reply = client.get(&path).await;
            assert!(
                reply.cache_status().ends_with("detail=shadow"),
                "{}",
                reply.cache_status()
            );
            sidecar.fills_have_ended().await;
        }
        client.request("POST", "/api/logs").send().await;
        let written = client.request("PUT", &format!("{write}/{id}")).send().await;
        assert_eq!(written.status, 204);
        client.get(&path).await;
        sidecar.fills_have_ended().await;
        read += 3;
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_purge_rule_is_named_with_the_write_and_once_added_nothing_is_stale() {
    let app = app_with_users().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let read = read_write_read(&sidecar, "/api/profiles").await;
    let found = judged(&sidecar, read).await;
    assert_eq!(found["misses"], USERS, "each was stored once: {found}");
    assert_eq!(found["same"], USERS, "{found}");
    assert_eq!(found["stale"], USERS, "{found}");
    assert_eq!(
        found["differs_in"],
        json!({ "/name": USERS }),
        "pointers, and nothing ignored"
    );
    let finding = &found["findings"][0];
    assert_eq!(
        finding["what"],
        "`GET /api/users/{id}` changed after `PUT /api/profiles/{id}`, 7 times of 7: no purge rule covers it"
    );
    let rule = finding["rule"].as_str().expect("a rule");
    assert_eq!(
        rule,
        "[[purge]]\npath = \"/api/profiles/{id}\"\nmethods = [\"PUT\"]\nkeys = [\"user:{path.id}\"]\n"
    );
    assert!(
        !found.to_string().contains("name 1"),
        "no value is told: {found}"
    );
    let metrics = sidecar.admin().get("/metrics").await;
    let line = format!("pannier_shadow_total{{result=\"stale\",rule=\"user\"}} {USERS}");
    assert!(metrics.text().contains(&line));

    // With the rule as it is told: what was found without it says nothing any more.
    let url = app.url();
    let variables = [("PANNIER_UPSTREAM_URL", url.as_str())];
    sidecar.reload(&format!("# As before.\n{RULES}"), &variables);
    assert_eq!(
        account(&sidecar).await["stale"],
        USERS,
        "it rests on the rules alone"
    );
    sidecar.reload(&format!("{RULES}{rule}"), &variables);
    assert!(account(&sidecar).await.is_null());
    let flushed = super::switches::post(&sidecar, "/purge", r#"{"everything":true}"#).await;
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    let read = read_write_read(&sidecar, "/api/profiles").await;
    let found = judged(&sidecar, read).await;
    assert_eq!(
        (&found["stale"], &found["findings"]),
        (&json!(0), &json!([])),
        "{found}"
    );
    assert_eq!(found["same"], USERS, "{found}");
}

/// Every request goes to the app, and its client gets what the app says.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_the_answer_of_the_app() {
    let app = app_with_users().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for nth in 0..5 {
        let reply = client.get("/api/users/1").await;
        assert_eq!(reply.value()["seen"], nth, "the app's own");
        sidecar.fills_have_ended().await;
    }
    assert_eq!(app.count("/api/users/1"), 5);
    let head = client.request("HEAD", "/api/users/1").send().await;
    assert!(head.cache_status().ends_with("detail=shadow"));
    let found = judged(&sidecar, 6).await;
    assert_eq!(
        (&found["misses"], &found["same"], &found["uncompared"]),
        (&json!(1), &json!(4), &json!(1))
    );
    assert_eq!(found["hit_rate"], 0.8);
    let observed = sidecar.admin().get("/observations").await.value();
    let seen = &observed["rules"]["user"];
    assert_eq!(
        (&seen["keys"], &seen["single"]),
        (&json!(1), &json!(0)),
        "once it is on it is read: {seen}"
    );
    // Once it is on it is warm.
    super::switches::throw(&sidecar, r#"{"rule":"user","mode":"on"}"#).await;
    let asked = app.count("/api/users/1");
    assert!(client.get("/api/users/1").await.is_hit());
    assert_eq!(app.count("/api/users/1"), asked);
}

/// The app has acted and its answer is on its way: what the cache has will be purged before the write is answered, so
/// nobody would have seen it stale.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_way_is_no_missing_rule() {
    let app = app_with_users().await;
    let gate = Gate::new();
    let (held, name) = (gate.clone(), Arc::new(Mutex::new("a")));
    let read = name.clone();
    app.on("GET", "/api/users/1", move |_| {
        let name = *read.lock().expect("no panic");
        Answer::json(&json!({ "name": name }))
    });
    app.on("PUT", "/api/users/1", move |_| {
        *name.lock().expect("no panic") = "b";
        Answer::status(204).behind(&held)
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    client.get("/api/users/1").await;
    sidecar.fills_have_ended().await;
    let writer = client.clone();
    let write = tokio::spawn(async move { writer.request("PUT", "/api/users/1").send().await });
    gate.reached(1).await;
    for _ in 0..5 {
        assert_eq!(client.get("/api/users/1").await.value()["name"], "b");
    }
    // One of a key waits, however many there are.
    let found = judged(&sidecar, 5).await;
    assert_eq!(found["uncompared"], 4, "{found}");
    // Longer than a difference waits for a purge where no write is under way.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.open();
    write.await.expect("it is answered");
    let found = judged(&sidecar, 6).await;
    assert_eq!(
        (&found["stale"], &found["uncompared"]),
        (&json!(0), &json!(5)),
        "{found}"
    );
}

/// As behind a hit: the app is asked once more, when what is served stale has been compared.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_stale_while_it_refreshes_is_renewed() {
    let app = TestApp::start().await;
    app.on("GET", "/api/users/1", |_| {
        Answer::json(&json!({ "name": "a" }))
    });
    let rules = RULES.replace(
        "ignore_fields",
        "ttl = \"1s\"\nstale_while_revalidate = \"1h\"\nignore_fields",
    );
    let sidecar = Sidecar::start(&app.url(), &rules);
    let client = sidecar.client();
    let read = AtomicUsize::new(0);
    eventually("it is renewed", LONG, || async {
        client.get("/api/users/1").await;
        let read = read.fetch_add(1, Ordering::SeqCst) + 1;
        sidecar.fills_have_ended().await;
        app.count("/api/users/1") > read
    })
    .await;
    let found = judged(&sidecar, read.load(Ordering::SeqCst) as u64).await;
    assert_eq!(
        (&found["misses"], &found["stale"]),
        (&json!(1), &json!(0)),
        "{found}"
    );
}

/// What the app changes by itself is told as such.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_any_write_is_told_as_one() {
    let app = TestApp::start().await;
    app.on("GET", "/api/users/1", |seen| {
        Answer::json(&json!({ "rate": seen.nth, "name": "x" }))
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    sidecar.client().get("/api/users/1").await;
    sidecar.fills_have_ended().await;
    sidecar.client().get("/api/users/1").await;
    let found = judged(&sidecar, 2).await;
    let finding = &found["findings"][0];
    assert_eq!(
        finding["what"],
        "`GET /api/users/{id}` changed 1 times of 1 with no write in between that this sidecar saw, in /rate"
    );
    let help = finding["rule"].as_str().expect("words");
    assert!(help.contains("ignore_fields = [\"/rate\"]"), "{help}");
}

/// Reads come through one sidecar and writes through another: it is named all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_another_sidecar_passed_on_is_named() {
    let (app, redis) = (app_with_users().await, RedisServer::start());
    let toml = format!("[redis]\nurl = \"{}\"\n{RULES}", redis.url());
    let [reads, writes] = [(); 2].map(|()| Sidecar::start(&app.url(), &toml));
    for sidecar in [&reads, &writes] {
        crate::fleet::connected(sidecar).await;
    }
    let (reader, writer) = (reads.client(), writes.client());
    let named = || async {
        for id in 0..USERS {
            let path = format!("/api/users/{id}");
            reader.get(&path).await;
            reads.fills_have_ended().await;
            let write = format!("/api/profiles/{id}");
            assert_eq!(writer.request("PUT", &write).send().await.status, 204);
            reader.get(&path).await;
        }
        let findings = account(&reads).await["findings"].to_string();
        findings.contains("changed after `PUT /api/profiles/{id}`")
    };
    eventually("it is named", LONG, named).await;
}
