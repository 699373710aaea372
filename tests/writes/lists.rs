//! Lists in bodies: an answer carries a tag for each member, a write purges for each.

use serde_json::{Value, json};

use crate::caching::SHORT;
use crate::fleet::connected;
use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const LISTS: &str = r#"
[[route]]
name = "board"
path = "/boards/{id}"
key = "board:{path.id}"
any_host = true
tags = ["task:{response.tasks[].id}", "label:{response.tasks[].labels}"]
[[purge]]
name = "task"
path = "/tasks/{id}"
tags = ["task:{path.id}"]
[[purge]]
name = "bulk"
path = "/tasks"
tags = ["task:{body.ids[]}"]
[[purge]]
name = "labels"
path = "/labels"
tags = ["label:{response[].name}"]
"#;

const BOARDS: [&str; 3] = ["/boards/1", "/boards/2", "/boards/3"];

/// An app with three boards: tasks 1 and 2 with two labels, task 3 with one, and none.
async fn boards() -> TestApp {
    let app = TestApp::start().await;
    let boards = [
        json!({"tasks": [{"id": 1, "labels": ["red"]}, {"id": "2", "labels": ["blue", "grey"]}]}),
        json!({"tasks": [{"id": 3, "labels": ["green"]}]}),
        json!({"tasks": []}),
    ];
    for (path, board) in BOARDS.into_iter().zip(boards) {
        app.on("GET", path, move |_| Answer::json(&board));
    }
    app.on("PATCH", "/tasks/2", |_| Answer::status(204));
    app.on("PUT", "/tasks", |_| Answer::status(204));
    app.on("PUT", "/labels", |_| {
        Answer::json(&json!([{"name": "grey"}, {"name": "no"}]))
    });
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_of_an_answer_is_a_tag_and_each_of_a_write_is_purged() {
    let app = boards().await;
    let sidecar = Sidecar::start(&app.url(), LISTS);
    let client = sidecar.client();
    let many = Value::from_iter(4..2_000).to_string();
    let rows = [
        ("PATCH", "/tasks/2", "{}".to_owned(), [false, true, true]),
        (
            "PUT",
            "/tasks",
            r#"{"ids": [3, 4]}"#.to_owned(),
            [true, false, true],
        ),
        (
            "PUT",
            "/tasks",
            r#"{"ids": ["1", 3]}"#.to_owned(),
            [false, false, true],
        ),
        ("PUT", "/tasks", r#"{"ids": []}"#.to_owned(), [true; 3]),
        // What cannot be named may be any: all that have such a tag.
        (
            "PUT",
            "/tasks",
            r#"{"ids": [9, null]}"#.to_owned(),
            [false, false, true],
        ),
        (
            "PUT",
            "/tasks",
            r#"{"ids": [9], "ids": [8]}"#.to_owned(),
            [false, false, true],
        ),
        (
            "PUT",
            "/tasks",
            format!(r#"{{"ids": {many}}}"#),
            [false, false, true],
        ),
        ("PUT", "/labels", "{}".to_owned(), [false, true, true]),
    ];
    for (method, path, body, hits) in rows {
        warm(&client, &BOARDS).await;
        client.json(method, path, &body).await;
        assert_eq!(
            are_hits(&client, &BOARDS).await,
            hits,
            "{method} {path} {body:.40}"
        );
    }
    let metrics = sidecar.admin().get("/metrics").await;
    for counted in [
        "pannier_purge_variables_absent_total{rule=\"bulk\"} 3",
        "pannier_purge_lists_too_long_total{rule=\"bulk\"} 1",
    ] {
        assert!(metrics.text().contains(counted), "{}", metrics.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_at_its_cap_is_tagged_and_purged_in_redis() {
    let app = TestApp::start().await;
    app.on("GET", "/boards/1", |_| {
        let tasks = (0..500).map(|id| json!({"id": id, "labels": [format!("l{id}")]}));
        Answer::json(&json!({"tasks": Vec::from_iter(tasks)}))
    });
    app.on("PUT", "/tasks", |_| Answer::status(204));
    let redis = RedisServer::start();
    let [one, two] = [(); 2].map(|()| {
        // A thousand tags take long on a busy machine, and Redis late is another matter.
        let tables = format!(
            "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{LISTS}",
            redis.url()
        );
        Sidecar::start(&app.url(), &tables)
    });
    connected(&one).await;
    connected(&two).await;
    let board = ["/boards/1"];
    warm(&one.client(), &board).await;
    warm(&two.client(), &board).await;
    assert_eq!(app.count("/boards/1"), 1, "the second has it from Redis");
    let ids = Value::from_iter(499..1_499).to_string();
    let body = format!(r#"{{"ids": {ids}}}"#);
    two.client().json("PUT", "/tasks", &body).await;
    assert_eq!(are_hits(&two.client(), &board).await, [false]);
    // The other one is told a moment later.
    eventually("the other one asks anew", SHORT, || async {
        one.client().get("/boards/1").await;
        app.count("/boards/1") == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_members_cannot_all_be_tagged_is_not_stored() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), LISTS);
    let client = sidecar.client();
    let task = |id: Value| json!({"id": id, "labels": []});
    let rows = [
        ("missing-tag", vec![task(json!(1)), json!({"labels": []})]),
        ("missing-tag", vec![task(json!(1)), task(Value::Null)]),
        ("missing-tag", vec![task(json!({}))]),
        (
            "too-many-tags",
            (0..1_001).map(|id| task(json!(id))).collect(),
        ),
    ];
    for (reason, tasks) in rows {
        let board = json!({"tasks": tasks});
        app.on("GET", "/boards/1", move |_| Answer::json(&board));
        client.get("/boards/1").await;
        sidecar.fills_have_ended().await;
        let again = client.get("/boards/1").await;
        assert!(!again.is_hit(), "{reason}");
        sidecar.fills_have_ended().await;
        let metrics = sidecar.admin().get("/metrics").await;
        let counted = format!("pannier_not_stored_total{{reason=\"{reason}\",rule=\"board\"}}");
        assert!(metrics.text().contains(&counted), "{}", metrics.text());
    }
}
