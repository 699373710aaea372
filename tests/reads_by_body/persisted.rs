//! Operations whose text is not in the body: sent by a hash, an id or a name, as an upload, or in the URL. They may be
//! mutations, and are never taken for harmless reads.

use serde_json::{Value, json};

use super::{is_hit, until_hit};
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::sidecar::Sidecar;

const ROUTE: &str = r#"
[[route]]
name = "queries"
path = "/graphql"
methods = ["POST"]
key = "gql:{body}"
ignore_query = ["*"]
ttl = "1m"
"#;

/// What a purge of boards may need.
fn tables(route: &str, purge: &str) -> String {
    format!(
        "{ROUTE}{route}\n[[route]]\npath = \"/board\"\nkey = \"board\"\nttl = \"1m\"\n\
         [[purge]]\nname = \"mutation\"\nmethods = [\"POST\"]\npath = \"/graphql\"\n{purge}\nkeys = [\"board\"]\n"
    )
}

async fn graphql(tables: &str) -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| Answer::text(seen.nth.to_string()));
    app.on("POST", "/graphql", |seen: &Seen| {
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        Answer::json(&json!({"nth": seen.nth, "body": text}))
    });
    let sidecar = Sidecar::start(&app.url(), tables);
    (app, sidecar)
}

const WHEN: &str = r#"when = { "body.query" = "^\\s*(query\\b|\\{)" }"#;
const OF_TEXT: &str = r#"when = { "body.query" = "\\bmutation\\b" }"#;

async fn send(client: &Client, body: &str, target: &str) -> Reply {
    client.json("POST", target, body).await
}

/// Whether the board is still stored after this request, which must reach the app.
async fn keeps_board(app: &TestApp, client: &Client, body: &str, target: &str) -> bool {
    crate::purging::warm(client, &["/board"]).await;
    let asked = app.count("/graphql");
    let reply = send(client, body, target).await;
    assert!(!reply.is_hit(), "{target} {body}: {}", reply.cache_status());
    assert_eq!(app.count("/graphql"), asked + 1, "{target} {body}");
    crate::purging::are_hits(client, &["/board"]).await == [true]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_named_purges_as_a_mutation_would() {
    let hash = r#"{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}}"#;
    let empty = r#"{"query": "", "extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#;
    let batch = format!(r#"[{{"query": "{{ a }}"}}, {hash}]"#);
    let mutation = "/graphql?query=mutation+%7Bmove%7D";
    let rows = [
        ("a hash", hash, "/graphql"),
        ("an empty text", empty, "/graphql"),
        ("a document", r#"{"documentId": "sha256:ab"}"#, "/graphql"),
        ("Relay's", r#"{"doc_id": "1", "variables": {}}"#, "/graphql"),
        ("an id", r#"{"id": "MoveTask"}"#, "/graphql"),
        ("a name", r#"{"operationName": "MoveTask"}"#, "/graphql"),
        ("in a batch", &batch, "/graphql"),
        ("in the URL, without a body", "", mutation),
        (
            "in the URL, beside a query",
            r#"{"query": "{ a }"}"#,
            mutation,
        ),
        ("its hash in the URL", "{}", "/graphql?extensions=%7B%7D"),
        (
            "its name in the URL",
            "{}",
            "/graphql?operationName=MoveTask",
        ),
    ];
    let (app, sidecar) = graphql(&tables(WHEN, OF_TEXT)).await;
    let client = sidecar.client();
    for (case, body, target) in rows {
        // Not only the first time, of which an answer might be stored.
        for _ in 0..2 {
            assert!(!keeps_board(&app, &client, body, target).await, "{case}");
        }
    }
    // What has its text is what it was.
    let registers = r#"{"query": "{ a }", "extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#;
    for body in [registers, r#"{"query": "query B { b }", "id": 7}"#] {
        crate::purging::warm(&client, &["/board"]).await;
        until_hit(&client, "POST", "/graphql", body).await;
        assert_eq!(
            crate::purging::are_hits(&client, &["/board"]).await,
            [true],
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_be_a_mutation() {
    let (app, sidecar) = graphql(&tables(WHEN, OF_TEXT)).await;
    let client = sidecar.client();
    crate::purging::warm(&client, &["/board"]).await;
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let operations = r#"{"query": "mutation($file: Upload!) { add(file: $file) { id } }"}"#;
    let body = part("operations", operations) + &part("map", "{}") + "--b--\r\n";
    let request = client.request("POST", "/graphql");
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    request.body(&body).send().await;
    assert_eq!(app.count("/graphql"), 1);
    assert_eq!(
        crate::purging::are_hits(&client, &["/board"]).await,
        [false]
    );
}

/// Where names say which operations are reads, those are, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn names_tell_reads_from_mutations() {
    let by_name = r#"when = { "body.operationName" = "^Move" }"#;
    let reads = r#"when = { "body.operationName" = "^Board" }"#;
    let (app, sidecar) = graphql(&tables(reads, by_name)).await;
    let client = sidecar.client();
    let named = |name: &str| {
        format!(
            r#"{{"operationName": "{name}", "extensions": {{"persistedQuery": {{"sha256Hash": "ab"}}}}}}"#
        )
    };
    crate::purging::warm(&client, &["/board"]).await;
    until_hit(&client, "POST", "/graphql", &named("Board")).await;
    assert!(keeps_board(&app, &client, &named("Other"), "/graphql").await);
    assert!(!keeps_board(&app, &client, &named("MoveTask"), "/graphql").await);
    // A document need not be asked for by a name, and what the URL says may be what counts.
    let nameless = r#"{"extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#;
    assert!(!keeps_board(&app, &client, nameless, "/graphql").await);
    let both = "/graphql?operationName=MoveTask";
    assert!(!keeps_board(&app, &client, &named("Board"), both).await);
    assert!(is_hit(&client, "POST", "/graphql", &named("Board")).await);
}

/// A route by POST whose config says nothing of mutations answers none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_hash_is_no_word_for_reads() {
    let hashed = r#"when = { "body.extensions.persistedQuery" = "present" }"#;
    let never = r#"when = { "header.x-never" = "present" }"#;
    for route in ["", hashed] {
        let (app, sidecar) = graphql(&tables(route, never)).await;
        let client = sidecar.client();
        for body in [
            r#"{"extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#,
            r#"{"query": "mutation { move }", "extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#,
        ] {
            for _ in 0..3 {
                keeps_board(&app, &client, body, "/graphql").await;
            }
        }
        let stats: Value = sidecar.admin().get("/stats").await.value();
        let uncovered = json!([{"count": 6, "method": "POST", "path": "/graphql"}]);
        assert_eq!(stats["uncovered_writes"], uncovered, "{route}");
    }
    // An expression for the hash is one.
    let listed = r#"when = { "body.extensions.persistedQuery.sha256Hash" = "^(ab|cd)$" }"#;
    let (_app, sidecar) = graphql(&tables(listed, never)).await;
    let body = r#"{"extensions": {"persistedQuery": {"sha256Hash": "ab"}}}"#;
    until_hit(&sidecar.client(), "POST", "/graphql", body).await;
}

/// What no rule is about is told, also where rules of its path are about others.
#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_no_rule_holds_for_is_told() {
    let by_name = "when = { \"body.operationName\" = \"^Move\" }";
    let (_app, sidecar) = graphql(&tables(WHEN, by_name)).await;
    let client = sidecar.client();
    for (body, target) in [
        (
            r#"{"query": "mutation { add }", "operationName": "Add"}"#,
            "/graphql",
        ),
        (r#"{"documentId": "x", "operationName": "Add"}"#, "/graphql"),
        (
            r#"{"operationName": "Add"}"#,
            "/graphql?query=mutation%7Badd%7D",
        ),
        // These are covered, or no mutations.
        (
            r#"{"documentId": "x", "operationName": "Move"}"#,
            "/graphql",
        ),
        (
            r#"{"query": "subscription { a }", "operationName": "A"}"#,
            "/graphql",
        ),
        (r#"{"query": "{ a }", "operationName": "A"}"#, "/graphql"),
    ] {
        send(&client, body, target).await;
    }
    let stats: Value = sidecar.admin().get("/stats").await.value();
    let uncovered = json!([{"count": 3, "method": "POST", "path": "/graphql"}]);
    assert_eq!(stats["uncovered_writes"], uncovered);
}
