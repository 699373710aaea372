//! `when`, `unless` and `statuses`: which writes a purge rule is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::Sidecar;

const QUERY: &str = r#"{"query": "query { me { id } }"}"#;
const MUTATION: &str = r#"{"query": "mutation { rename(id: 1) { id } }"}"#;

/// A GraphQL app whose answers are stored under one key, and as the RFC has it.
async fn graphql(purge: &str) -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    app.on("GET", "/graphql", |seen| Answer::text(seen.nth.to_string()));
    app.on("GET", "/plain", |seen| {
        Answer::text(seen.nth.to_string()).cache_control("max-age=99")
    });
    app.on("POST", "/graphql", |seen| {
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        Answer::json(&json!({"ok": body["fails"] != true})).header("location", "/plain")
    });
    app.on("PUT", "/graphql", |_| Answer::status(204));
    let tables = format!(
        "[defaults]\nmax_variables = \"1KB\"\nunmatched = \"rfc9111\"\n\
         [[route]]\npath = \"/graphql\"\nkey = \"gql\"\nignore_query = [\"*\"]\n\
         [[purge]]\nname = \"mutation\"\npath = \"/graphql\"\nkeys = [\"gql\"]\n{purge}\n"
    );
    let sidecar = Sidecar::start(&app.url(), &tables);
    (app, sidecar)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_by_post_purges_nothing_and_a_mutation_does() {
    let paths = ["/graphql?id=1", "/plain"];
    let when = r#"when = { "body.query" = "\\bmutation\\b" }"#;
    let unless = r#"unless = { "body.query" = "^\\s*(query|\\{)" }"#;
    let none = ("", [false, false]);
    let batch = format!("[{QUERY}, {MUTATION}]");
    let queries = format!("[{QUERY}, {QUERY}]");
    let large = format!(
        r#"{{"query": "query {{ a }}", "pad": "{}"}}"#,
        "x".repeat(2_000)
    );
    for (rule, not_read) in [(when, [false; 2]), (unless, [false; 2]), none] {
        let (_app, sidecar) = graphql(rule).await;
        let client = sidecar.client();
        let kept = if rule.is_empty() {
            [false; 2]
        } else {
            [true; 2]
        };
        let rows = [
            (QUERY, kept),
            (&queries, kept),
            (MUTATION, [false; 2]),
            (&batch, [false; 2]),
            // What cannot be read may be one.
            ("mutation", not_read),
            (r#"{"query": "query", "query": "mutation"}"#, not_read),
            (r#"{"query": ["query", {}]}"#, not_read),
            (&large, not_read),
        ];
        for (body, hits) in rows {
            warm(&client, &paths).await;
            let reply = client.json("POST", "/graphql", body).await;
            assert_eq!(reply.status, 200);
            assert_eq!(are_hits(&client, &paths).await, hits, "{rule} {body:.60}");
        }
        // Of a PUT the target is stale, whatever rules say of what else is.
        warm(&client, &paths).await;
        client.json("PUT", "/graphql?id=1", QUERY).await;
        assert_eq!(are_hits(&client, &paths).await, [false, true], "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_may_decide() {
    let paths = ["/graphql?id=1"];
    let both = r#"when = { "response.ok" = "true", "header.x-kind" = "present" }"#;
    let (_app, sidecar) = graphql(both).await;
    let client = sidecar.client();
    let rows = [
        (r#"{"fails": true}"#, Some("a"), true),
        ("{}", None, true),
        ("{}", Some("a"), false),
    ];
    for (body, kind, hit) in rows {
        warm(&client, &paths).await;
        let request = client.request("POST", "/graphql").body(body);
        let request = match kind {
            Some(kind) => request.header("x-kind", kind),
            None => request,
        };
        request.send().await;
        assert_eq!(are_hits(&client, &paths).await, [hit], "{body} {kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_may_have_been_one() {
    let closes = Arc::new(AtomicBool::new(false));
    let app = RawApp::start({
        let closes = closes.clone();
        move |_| match closes.load(Ordering::SeqCst) {
            false => vec![Step::send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")],
            true => vec![Step::read("{}"), Step::Close],
        }
    })
    .await;
    let tables = "[[route]]\npath = \"/a\"\nkey = \"a\"\n[[purge]]\npath = \"/b\"\nkeys = [\"a\"]\n\
                  statuses = [201]\nwhen = { \"response.ok\" = \"true\" }\n";
    let sidecar = Sidecar::start(&app.url(), tables);
    let client = sidecar.client();
    warm(&client, &["/a"]).await;
    closes.store(true, Ordering::SeqCst);
    let reply = client.json("POST", "/b", "{}").await;
    assert_eq!(reply.status, 502);
    assert_eq!(are_hits(&client, &["/a"]).await, [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn which_answers_count() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| Answer::text(seen.nth.to_string()));
    let tables = "[[route]]\npath = \"/board\"\nkey = \"board\"\n\
                  [[purge]]\npath = \"/tasks/{id}\"\nkeys = [\"board\"]\nstatuses = [200, 409]\n";
    let sidecar = Sidecar::start(&app.url(), tables);
    let client = sidecar.client();
    for (status, hit) in [
        (200, false),
        (204, true),
        (302, true),
        (404, true),
        (409, false),
    ] {
        app.on("PUT", "/tasks/1", move |_| Answer::status(status));
        warm(&client, &["/board"]).await;
        client.json("PUT", "/tasks/1", "{}").await;
        assert_eq!(are_hits(&client, &["/board"]).await, [hit], "{status}");
    }
}

/// A path may be read in several ways, and one of them is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_the_path_is_asked_of_each_reading() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| Answer::text(seen.nth.to_string()));
    let tables = "[[route]]\npath = \"/board\"\nkey = \"board\"\n\
                  [[purge]]\npath = \"/tasks/{id}\"\nkeys = [\"board\"]\nwhen = { \"path.id\" = \"^7$\" }\n";
    let sidecar = Sidecar::start(&app.url(), tables);
    let client = sidecar.client();
    for (path, hit) in [
        ("/tasks/7", false),
        ("/tasks/7.json", false),
        ("/tasks/%37/", false),
        ("/tasks/8.json", true),
    ] {
        app.on("PUT", path, |_| Answer::status(204));
        warm(&client, &["/board"]).await;
        assert_eq!(client.json("PUT", path, "{}").await.status, 204, "{path}");
        assert_eq!(are_hits(&client, &["/board"]).await, [hit], "{path}");
    }
}
