//! Writes that no purge rule covers are made visible; and what a write purged, its answer says.

use serde_json::json;

use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::Sidecar;

const RULES: &str = r#"
[[route]]
name = "board"
path = "/api/boards/{id}"
key = "board:{path.id}"
tags = ["boards"]
[[purge]]
name = "board-written"
path = "/api/boards/{id}"
keys = ["board:{path.id}"]
[[purge]]
name = "all-boards"
path = "/api/boards/{id}"
tags = ["boards"]
methods = ["DELETE"]
[[purge]]
name = "seen"
path = "/api/notifications/seen"
keys = []
"#;

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/api/boards/1", "/api/boards/2"] {
        app.on("GET", path, |_| Answer::text("board"));
        app.on("DELETE", path, |_| Answer::status(204));
        app.on("PUT", path, |_| Answer::text("ok"));
    }
    for path in [
        "/api/tasks/7/reorder",
        "/api/tasks/8/reorder",
        "/api/notifications/seen",
        "/login",
    ] {
        app.on("POST", path, |_| Answer::text("ok"));
    }
    app.on("POST", "/api/refused", |_| Answer::status(422));
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_no_rule_covers_are_counted_by_kind() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for (method, path) in [
        ("POST", "/api/tasks/7/reorder"),
        ("POST", "/api/tasks/8/reorder"),
        ("PUT", "/api/boards/1"),
        ("POST", "/api/notifications/seen"),
        ("POST", "/login"),
        ("POST", "/api/refused"),
        ("OPTIONS", "/api/tasks/7/reorder"),
    ] {
        client.json(method, path, "{}").await;
    }
    let stats = sidecar.admin().get("/stats").await.value();
    let expected = json!([{"count": 2, "method": "POST", "path": "/api/tasks/{id}/reorder"}]);
    assert_eq!(stats["uncovered_writes"], expected);
    let metrics = sidecar.admin().get("/metrics").await.text().to_owned();
    let counted =
        "pannier_uncovered_writes_total{method=\"POST\",path=\"/api/tasks/{id}/reorder\"} 2";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}

/// However many kinds there are, so many are told apart and no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_kinds_are_bounded() {
    let app = TestApp::start().await;
    let word = |number: u32| {
        let letter = |digit: u32| char::from(b'a' + (digit % 26) as u8);
        [letter(number / 26), letter(number)]
            .iter()
            .collect::<String>()
    };
    for number in 0..120 {
        app.on("POST", &format!("/api/{}", word(number)), |_| {
            Answer::text("ok")
        });
    }
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for number in 0..120 {
        client
            .json("POST", &format!("/api/{}", word(number)), "{}")
            .await;
    }
    let stats = sidecar.admin().get("/stats").await.value();
    let kinds = stats["uncovered_writes"].as_array().expect("a list");
    assert_eq!(kinds.len(), 101);
    assert_eq!(
        kinds[0],
        json!({"count": 20, "method": "other", "path": "other"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_says_what_it_purged() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for (method, path, purged) in [
        (
            "PUT",
            "/api/boards/1",
            Some("purged=1; rules=\"board-written\""),
        ),
        (
            "DELETE",
            "/api/boards/1",
            Some("purged=2; rules=\"board-written,all-boards\""),
        ),
        ("POST", "/api/notifications/seen", None),
        ("POST", "/api/refused", None),
    ] {
        for board in ["/api/boards/1", "/api/boards/2"] {
            client.get(board).await;
        }
        sidecar.fills_have_ended().await;
        let status = client
            .json(method, path, "{}")
            .await
            .cache_status()
            .to_owned();
        match purged {
            Some(purged) => assert!(status.ends_with(purged), "{method} {path}: {status}"),
            None => assert!(!status.contains("purged"), "{method} {path}: {status}"),
        }
    }
}
