//! A kanban app whole: whatever is written, the boards that changed are purged, and no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::fleet::connected;
use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const RULES: &str = r#"
[[route]]
name = "board"
path = "/boards/{id}"
key = "board:{path.id}"
any_host = true
tags = ["task:{response.tasks[].id}"]
[[route]]
name = "task"
path = "/tasks/{id}"
key = "task:{path.id}:{header.accept-language|en}"
any_host = true
[[purge]]
name = "task"
methods = ["PUT"]
path = "/tasks/{id}"
keys = ["board:{before.boardId}", "board:{body.boardId}"]
[[purge]]
name = "task-deleted"
methods = ["DELETE"]
path = "/tasks/{id}"
keys = ["board:{before.boardId}"]
[[purge]]
name = "bulk"
methods = ["PATCH"]
path = "/tasks"
tags = ["task:{body[].id}"]
"#;

const BOARDS: [&str; 5] = [
    "/boards/0",
    "/boards/1",
    "/boards/2",
    "/boards/3",
    "/boards/4",
];

/// Which board each task is on.
type Tasks = Arc<Mutex<BTreeMap<usize, usize>>>;

/// Five boards of twenty tasks: task 7 is on board 2, as all that leave 2 by 5.
async fn kanban() -> (TestApp, Tasks) {
    let app = TestApp::start().await;
    let tasks: Tasks = Arc::new(Mutex::new((0..100).map(|id| (id, id % 5)).collect()));
    for (board, path) in BOARDS.into_iter().enumerate() {
        let tasks = tasks.clone();
        app.on("GET", path, move |seen| {
            let tasks = tasks.lock().expect("no panic");
            let on_it = tasks.iter().filter(|(_, on)| **on == board);
            let listed: Vec<Value> = on_it.map(|(id, _)| json!({"id": id})).collect();
            Answer::json(&json!({"tasks": listed, "nth": seen.nth}))
        });
    }
    for id in [7, 8] {
        let path = format!("/tasks/{id}");
        let held = tasks.clone();
        app.on("GET", &path, move |seen| {
            let board = held.lock().expect("no panic").get(&id).copied();
            let text = json!({"id": id, "boardId": board}).to_string();
            match seen.header("accept-encoding").contains("gzip") {
                true => {
                    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
                    std::io::Write::write_all(&mut coder, text.as_bytes()).expect("memory");
                    let coded = Answer::bytes(coder.finish().expect("memory"));
                    coded
                        .header("content-encoding", "gzip")
                        .header("vary", "accept-encoding")
                }
                false => Answer::text(text).header("vary", "accept-encoding"),
            }
        });
        let held = tasks.clone();
        app.on("PUT", &path, move |seen| {
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            let board = body["boardId"]
                .as_u64()
                .and_then(|board| usize::try_from(board).ok());
            held.lock()
                .expect("no panic")
                .extend(board.map(|board| (id, board)));
            Answer::status(204)
        });
        let held = tasks.clone();
        app.on("DELETE", &path, move |_| {
            held.lock().expect("no panic").remove(&id);
            Answer::status(204)
        });
    }
    app.on("PATCH", "/tasks", |_| Answer::status(204));
    app.on("POST", "/reorder", |_| Answer::status(204));
    (app, tasks)
}

/// Stores the boards and task 7 as two readers get it.
async fn warm_all(client: &Client) {
    warm(client, &BOARDS).await;
    for coding in ["identity", "gzip"] {
        let fields = [("accept-encoding", coding)];
        while !client.get_with("/tasks/7", &fields).await.is_hit() {}
    }
}

async fn write(client: &Client, method: &str, path: &str, body: &str) -> Vec<bool> {
    warm_all(client).await;
    assert_eq!(client.json(method, path, body).await.status, 204);
    are_hits(client, &BOARDS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_boards_that_changed_are_purged() {
    let (app, _tasks) = kanban().await;
    let redis = RedisServer::start();
    for tables in [
        String::new(),
        format!("[redis]\nurl = \"{}\"\n", redis.url()),
    ] {
        let sidecar = Sidecar::start(&app.url(), &format!("{tables}{RULES}"));
        if !tables.is_empty() {
            connected(&sidecar).await;
        }
        let client = sidecar.client();
        // From 2, or where the first round left it, to 3, and back.
        let moved = write(&client, "PUT", "/tasks/7", r#"{"boardId": 3}"#).await;
        assert_eq!(moved, [true, true, false, false, true], "{tables}");
        let moved = write(&client, "PUT", "/tasks/7", r#"{"boardId": 2}"#).await;
        assert_eq!(moved, [true, true, false, false, true], "{tables}");
        // 40 of boards 0 and 1.
        let ids = (0..100).filter(|id| id % 5 < 2).map(|id| json!({"id": id}));
        let bulk = write(
            &client,
            "PATCH",
            "/tasks",
            &Value::from_iter(ids).to_string(),
        )
        .await;
        assert_eq!(bulk, [false, false, true, true, true], "{tables}");
        // No rule names it.
        let reorder = write(&client, "POST", "/reorder", r#"{"ids": [7, 12]}"#).await;
        assert_eq!(reorder, [true; 5], "{tables}");
    }
    let sidecar = Sidecar::start(&app.url(), RULES);
    let deleted = write(&sidecar.client(), "DELETE", "/tasks/7", "").await;
    assert_eq!(deleted, [true, true, false, true, true]);
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(
        !metrics.text().contains("absent_total{"),
        "{}",
        metrics.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_sidecar_stored_is_read_from_redis() {
    let (app, _tasks) = kanban().await;
    let redis = RedisServer::start();
    let tables = format!("[redis]\nurl = \"{}\"\n{RULES}", redis.url());
    let [one, two] = [(); 2].map(|()| Sidecar::start(&app.url(), &tables));
    connected(&one).await;
    connected(&two).await;
    warm_all(&one.client()).await;
    // It has never heard of the task.
    warm(&two.client(), &BOARDS).await;
    two.client().json("DELETE", "/tasks/7", "").await;
    let hits = are_hits(&two.client(), &BOARDS).await;
    assert_eq!(hits, [true, true, false, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_may_have_been_anywhere() {
    let (app, _tasks) = kanban().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    warm(&client, &BOARDS).await;
    client.json("DELETE", "/tasks/8", "").await;
    assert_eq!(are_hits(&client, &BOARDS).await, [false; 5]);
    let metrics = sidecar.admin().get("/metrics").await;
    let counted = "pannier_purge_variables_absent_total{rule=\"task-deleted\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}
