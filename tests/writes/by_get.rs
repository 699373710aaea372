//! GETs that change something, as `/logout` of many apps.

use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::sidecar::Sidecar;

const TABLES: &str = r#"
[[route]]
name = "board"
path = "/boards/{id}"
key = "board:{path.id}"
ignore_query = ["*"]
[[route]]
name = "session"
path = "/session/{*rest}"
key = "session:{uri}"
[[purge]]
name = "logout"
methods = ["GET"]
path = "/session/end"
keys = ["board:*"]
[[purge]]
name = "done"
methods = ["GET", "POST"]
path = "/boards/{id}"
when = { "query.done" = "present" }
keys = ["board:{path.id}"]
"#;

const BOARDS: [&str; 2] = ["/boards/1", "/boards/2"];

async fn boards() -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    for method in ["GET", "HEAD"] {
        for path in BOARDS.into_iter().chain(["/session/end"]) {
            app.on(method, path, |seen| {
                Answer::text(seen.nth.to_string()).header("etag", "\"1\"")
            });
        }
    }
    let sidecar = Sidecar::start(&app.url(), TABLES);
    (app, sidecar)
}

async fn send(client: &Client, method: &str, path: &str, field: (&'static str, &str)) -> Reply {
    let request = client.request(method, path).header(field.0, field.1);
    request.send().await
}

fn says(reply: &Reply, words: &str) -> bool {
    reply.cache_status().contains(words)
}

const NONE: (&str, &str) = ("accept", "*/*");

/// However it is asked for; a HEAD is a GET to most apps.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_a_rule_is_for_reaches_the_app_each_time_and_purges() {
    let (app, sidecar) = boards().await;
    let client = sidecar.client();
    for (method, field) in [
        ("GET", NONE),
        ("HEAD", NONE),
        ("GET", ("sec-purpose", "prefetch")),
        ("GET", ("if-none-match", "\"1\"")),
        ("GET", ("range", "bytes=0-0")),
        ("GET", ("cache-control", "only-if-cached")),
        ("GET", ("content-length", "0")),
    ] {
        for _ in 0..2 {
            warm(&client, &BOARDS).await;
            let asked = app.count("/session/end");
            let reply = send(&client, method, "/session/end", field).await;
            let status = reply.cache_status().to_owned();
            assert_eq!(app.count("/session/end"), asked + 1, "{field:?}: {status}");
            assert_eq!(app.last("/session/end").method, method);
            assert!(
                says(&reply, "purged=2; rules=\"logout\""),
                "{method} {field:?}: {status}"
            );
            assert_eq!(are_hits(&client, &BOARDS).await, [false; 2], "{field:?}");
        }
    }
    // An offer that the app declines.
    warm(&client, &BOARDS).await;
    let upgrade = client
        .request("GET", "/session/end")
        .header("connection", "upgrade");
    upgrade.header("upgrade", "websocket").send().await;
    assert_eq!(are_hits(&client, &BOARDS).await, [false; 2]);
    // What fails changes nothing.
    app.on("GET", "/session/end", |_| Answer::status(500));
    warm(&client, &BOARDS).await;
    client.get("/session/end").await;
    assert_eq!(are_hits(&client, &BOARDS).await, [true; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_a_rule_is_surely_not_for_is_a_read() {
    let (app, sidecar) = boards().await;
    let client = sidecar.client();
    warm(&client, &BOARDS).await;
    let asked = app.count("/boards/1");
    assert!(client.get("/boards/1?x=1").await.is_hit());
    let reply = client.get("/boards/1?done=1").await;
    assert!(
        says(&reply, "purged=1; rules=\"done\""),
        "{}",
        reply.cache_status()
    );
    assert_eq!(app.count("/boards/1"), asked + 1);
    assert_eq!(are_hits(&client, &BOARDS).await, [false, true]);
}

/// RFC 9111 §4.4 is of the method that the app obeys; whichever that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_in_disguise_purges_its_own_url() {
    let (app, sidecar) = boards().await;
    app.on("GET", "/session/x", |_| Answer::text("x"));
    let client = sidecar.client();
    let all = ["/boards/1", "/boards/2", "/session/x"];
    for (method, path, field, hits) in [
        (
            "GET",
            "/boards/1",
            ("x-http-method-override", "DELETE"),
            [false, true, true],
        ),
        (
            "HEAD",
            "/boards/1",
            ("x-http-method-override", "put"),
            [false, true, true],
        ),
        ("GET", "/boards/2?_method=DELETE", NONE, [true, false, true]),
        (
            "GET",
            "/session/x?_method=DELETE",
            NONE,
            [true, true, false],
        ),
        ("GET", "/session/x?_method=GET&a", NONE, [true; 3]),
        (
            "GET",
            "/boards/1",
            ("x-http-method-override", "OPTIONS"),
            [true; 3],
        ),
    ] {
        warm(&client, &all).await;
        let reply = send(&client, method, path, field).await;
        assert!(!reply.is_hit(), "{path}: {}", reply.cache_status());
        assert_eq!(reply.status, 200);
        assert_eq!(
            are_hits(&client, &all).await,
            hits,
            "{method} {path} {field:?}"
        );
    }
    let uncovered = sidecar.admin().get("/stats").await.value()["uncovered_writes"].clone();
    assert_eq!(uncovered.to_string(), "[]", "it need not have been one");
}
