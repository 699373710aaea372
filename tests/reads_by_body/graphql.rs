//! A GraphQL app whole: queries by POST are stored, mutations purge what they return, and no query purges anything.

use serde_json::{Value, json};

use super::{is_hit, until_hit};
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::Client;
use crate::support::sidecar::Sidecar;

const GRAPHQL: &str = r#"
[[route]]
name = "queries"
path = "/graphql"
methods = ["POST"]
when = { "body.query" = "^\\s*(query\\b|\\{)" }
unless = { "body.query" = "\\b(mutation|subscription)\\b" }
key = "gql:{body.operationName|-}:{body}"
tags = ["board:{response.data.board.id|none}"]
ttl = "1m"
[[route]]
name = "persisted"
path = "/graphql"
key = "gql-persisted:{query}"
ttl = "1m"
[[purge]]
name = "mutation"
methods = ["POST"]
path = "/graphql"
when = { "body.query" = "\\bmutation\\b" }
tags = ["board:{response.data.moveTask.boards[].id}"]
"#;

async fn graphql() -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    app.on("POST", "/graphql", answer);
    app.on("GET", "/graphql", |seen| Answer::text(seen.nth.to_string()));
    let sidecar = Sidecar::start(&app.url(), GRAPHQL);
    (app, sidecar)
}

/// Boards, and a mutation that moves a task between two.
fn answer(seen: &Seen) -> Answer {
    let request: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let text = String::from_utf8_lossy(&seen.body);
    Answer::json(&match text.contains("mutation") {
        true => json!({"data": {"moveTask": {"boards": [{"id": 1}, {"id": 2}]}}}),
        false => json!({"data": {"board": {"id": request["variables"]["id"], "nth": seen.nth}}}),
    })
}

fn board(id: u64) -> String {
    let query = "query Board($id: ID!) { board(id: $id) { id tasks { id } } }";
    json!({"operationName": "Board", "query": query, "variables": {"id": id}}).to_string()
}

const MUTATION: &str =
    r#"{"query": "mutation Move { moveTask(id: 7, from: 1, to: 2) { boards { id } } }"}"#;

async fn boards_held(client: &Client) -> Vec<u64> {
    let mut held = Vec::new();
    for id in 1..=3 {
        if is_hit(client, "POST", "/graphql", &board(id)).await {
            held.push(id);
        }
    }
    held
}

async fn warm(client: &Client) {
    for id in 1..=3 {
        let reply = until_hit(client, "POST", "/graphql", &board(id)).await;
        assert_eq!(reply.value()["data"]["board"]["id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_stored_and_a_mutation_purges_what_it_returns() {
    let (app, sidecar) = graphql().await;
    let client = sidecar.client();
    warm(&client).await;
    assert_eq!(app.count("/graphql"), 3, "one for each board");
    let spelled = serde_json::to_string_pretty(&json!({
        "variables": {"id": 2},
        "query": "query Board($id: ID!) { board(id: $id) { id tasks { id } } }",
        "operationName": "Board",
    }));
    let spelled = client
        .json("POST", "/graphql", &spelled.expect("JSON"))
        .await;
    assert!(spelled.is_hit(), "{}", spelled.cache_status());
    let reply = client.json("POST", "/graphql", MUTATION).await;
    assert!(
        reply
            .cache_status()
            .contains("purged=2; rules=\"mutation\""),
        "{}",
        reply.cache_status()
    );
    assert_eq!(
        boards_held(&client).await,
        [3],
        "exactly those that changed are gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_purges_anything() {
    let (_app, sidecar) = graphql().await;
    let client = sidecar.client();
    warm(&client).await;
    let persisted = "/graphql?extensions=abc";
    crate::purging::warm(&client, &[persisted]).await;
    let queries = format!("[{}, {}]", board(8), board(9));
    let bodies = [&board(4), &queries, r#"{"query": "{ me { id } }"}"#];
    for body in bodies {
        client.json("POST", "/graphql", body).await;
        client.get(persisted).await;
        client.get("/graphql?extensions=other").await;
        assert_eq!(boards_held(&client).await, [1, 2, 3], "{body}");
        assert_eq!(
            crate::purging::are_hits(&client, &[persisted]).await,
            [true],
            "{body}"
        );
    }
    // A batch has no operationName of its own, which the key names.
    let batch = client.json("POST", "/graphql", &queries).await;
    assert!(
        batch.cache_status().contains("missing-variable"),
        "{}",
        batch.cache_status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_a_mutation_passes_and_purges() {
    let (app, sidecar) = graphql().await;
    let client = sidecar.client();
    let two = r#"{"operationName": "B", "query": "query A { a } mutation B { moveTask { boards { id } } }"}"#;
    let batch = format!("[{}, {MUTATION}]", board(1));
    for body in [MUTATION, two, &batch] {
        warm(&client).await;
        for _ in 0..2 {
            let asked = app.count("/graphql");
            let reply = client.json("POST", "/graphql", body).await;
            assert!(
                reply.cache_status().contains("method"),
                "{}",
                reply.cache_status()
            );
            assert_eq!(app.count("/graphql"), asked + 1, "{body}");
        }
        assert_eq!(boards_held(&client).await, [3], "{body}");
    }
    // What cannot be read passes and, as any write may, purges all that its answer leaves open.
    let doubled = r#"{"query": "query { a }", "query": "mutation { a }"}"#;
    for (body, held) in [("query { a }", vec![]), (doubled, vec![3])] {
        warm(&client).await;
        let reply = client.json("POST", "/graphql", body).await;
        assert!(!reply.is_hit(), "{}", reply.cache_status());
        assert_eq!(boards_held(&client).await, held, "{body}");
    }
    // By its fields it may be another method.
    for (field, method) in [
        ("x-http-method-override", "DELETE"),
        ("x-method-override", "put"),
    ] {
        warm(&client).await;
        let asked = app.count("/graphql");
        let request = client.request("POST", "/graphql").header(field, method);
        let request = request.header("content-type", "application/json");
        let reply = request.body(board(1)).send().await;
        assert!(!reply.is_hit(), "{field}: {}", reply.cache_status());
        assert_eq!(app.count("/graphql"), asked + 1, "{field}");
        // It may have changed the very thing that the URL names.
        assert_eq!(boards_held(&client).await, Vec::<u64>::new(), "{field}");
    }
}

/// Of a batch one may be a mutation, although not each is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_out_is_so_for_one_of_a_batch() {
    let app = TestApp::start().await;
    app.on("POST", "/graphql", answer);
    let tables = "[[route]]\npath = \"/graphql\"\nmethods = [\"POST\"]\nkey = \"gql:{body}\"\nttl = \"1m\"\n\
                  unless = { \"body.query\" = \"mutation\" }\n";
    let sidecar = Sidecar::start(&app.url(), tables);
    let client = sidecar.client();
    until_hit(&client, "POST", "/graphql", &format!("[{}]", board(1))).await;
    let batch = format!("[{}, {MUTATION}]", board(1));
    for _ in 0..3 {
        let asked = app.count("/graphql");
        let reply = client.json("POST", "/graphql", &batch).await;
        assert!(!reply.is_hit(), "{}", reply.cache_status());
        assert_eq!(app.count("/graphql"), asked + 1);
    }
}
