//! Reads by POST and QUERY: answered by their whole body, and never a write.

mod graphql;
mod passing;
mod persisted;

use serde_json::{Value, json};

use crate::caching::SHORT;
use crate::fleet::connected;
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::raw_client::RawClient;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const SEARCH: &str = r#"
[defaults]
max_variables = "4KB"
cache_status_key = true
[[route]]
name = "search"
path = "/search"
methods = ["POST", "QUERY"]
key = "search:{body}"
ttl = "1m"
[[route]]
name = "plain"
path = "/search"
key = "search:{query.d|}"
ttl = "1m"
"#;

/// An app that answers searches with their body, and the number of the request.
async fn search_app() -> TestApp {
    let app = TestApp::start().await;
    for method in ["GET", "POST", "QUERY"] {
        app.on(method, "/search", echo);
    }
    app
}

fn echo(seen: &Seen) -> Answer {
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let answer = json!({"method": seen.method.as_str(), "body": body, "nth": seen.nth});
    Answer::json(&answer).header("etag", "\"1\"")
}

/// Asks until it is a hit.
async fn until_hit(client: &Client, method: &str, path: &str, body: &str) -> Reply {
    eventually(body, SHORT, || async {
        client.json(method, path, body).await.is_hit()
    })
    .await;
    client.json(method, path, body).await
}

/// Whether the store has an answer; to look must not fill.
async fn is_hit(client: &Client, method: &str, path: &str, body: &str) -> bool {
    let request = client
        .request(method, path)
        .header("content-type", "application/json")
        .header("cache-control", "only-if-cached");
    let reply = request.body(body).send().await;
    assert!([200, 504].contains(&reply.status.as_u16()), "{body}");
    reply.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_for_its_body_and_method_alone() {
    let app = search_app().await;
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let client = sidecar.client();
    let (one, other) = (r#"{"a": 1, "b": [true]}"#, r#"{"a": 2, "b": [true]}"#);
    for method in ["POST", "QUERY"] {
        for body in [one, other] {
            let reply = until_hit(&client, method, "/search", body).await;
            assert_eq!(reply.value()["body"], body, "{method}");
            assert_eq!(reply.value()["method"], method, "{body}");
        }
        let respelled = client
            .json(method, "/search", "{\"b\":[true],\r\n\"a\":1}")
            .await;
        assert!(respelled.is_hit(), "{method}: {}", respelled.cache_status());
        assert_eq!(respelled.value()["body"], one);
        // The app had one request of each.
        assert_eq!(respelled.value()["nth"], 0, "{method}");
    }
    assert_eq!(app.count("/search"), 4);
    // Two readings of the same bytes.
    let reply = client.request("POST", "/search").body(one).send().await;
    assert_eq!(reply.value()["nth"], 2, "{}", reply.cache_status());
    // Nor has a GET of the same key, and its HEAD, what a POST has.
    let status = client.json("POST", "/search", one).await;
    let (_, key) = status
        .cache_status()
        .split_once("key=\"search:")
        .expect("a key");
    let path = format!("/search?d={}", key.split('"').next().unwrap_or_default());
    for method in ["HEAD", "GET"] {
        let reply = client.request(method, &path).send().await;
        assert!(!reply.is_hit(), "{method}: {}", reply.cache_status());
    }
    let got = until_hit(&client, "GET", &path, "").await;
    assert_eq!(got.value()["method"], "GET", "{}", got.cache_status());
    let posted = client.json("POST", "/search", one).await;
    assert_eq!(
        (posted.is_hit(), posted.value()["method"].as_str()),
        (true, Some("POST"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_gets_the_body_and_its_fields_and_is_asked_once_for_many() {
    let app = search_app().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("POST", "/search", move |seen| echo(seen).behind(&behind));
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let client = sidecar.client();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.json("POST", "/search", r#"{"a": 1}"#).await })
        })
        .collect();
    let admin = sidecar.admin();
    eventually("49 wait", SHORT, || async {
        let metrics = admin.get("/metrics").await;
        metrics.text().contains("pannier_coalesced_waiters 49")
    })
    .await;
    gate.open();
    for reply in asking {
        let reply = reply.await.expect("no panic");
        assert_eq!(reply.value()["body"], r#"{"a": 1}"#);
    }
    assert_eq!(app.count("/search"), 1);
    let seen = app.last("/search");
    assert_eq!(
        (seen.method.as_str(), &seen.body[..]),
        ("POST", &br#"{"a": 1}"#[..])
    );
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("content-length"), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_a_body_comes_is_one() {
    let app = search_app().await;
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let body = r#"{"a": 1}"#;
    until_hit(&sidecar.client(), "POST", "/search", body).await;
    let http2 = sidecar.http2().json("POST", "/search", body).await;
    assert!(http2.is_hit(), "{}", http2.cache_status());
    let mut raw = RawClient::connect(sidecar.addr()).await;
    let head = format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        sidecar.addr()
    );
    raw.send(&format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n3\r\n{{\"a\r\n5\r\n\": 1}}\r\n0\r\n\r\n"
    ))
    .await;
    let answer = raw.head().await;
    assert!(answer.contains("; hit"), "{answer}");
    raw.until("\"nth\":0}").await;
    // On the same connection, with a client that waits for the word.
    raw.send(&format!(
        "{head}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n"
    ))
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 100"));
    raw.send(body).await;
    let answer = raw.head().await;
    assert!(answer.contains("; hit"), "{answer}");
    assert_eq!(app.count("/search"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_of_the_body_is_a_part_of_it() {
    let app = search_app().await;
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let client = sidecar.client();
    let send = |coding: &str| {
        let request = client
            .request("POST", "/search")
            .header("content-type", "application/json")
            .header("content-encoding", coding);
        request.body(r#"{"a": 1}"#).send()
    };
    until_hit(&client, "POST", "/search", r#"{"a": 1}"#).await;
    for (coding, asked) in [("gzip", 2), ("br", 3)] {
        eventually(coding, SHORT, || async { send(coding).await.is_hit() }).await;
        assert_eq!(app.count("/search"), asked, "{coding}");
        assert_eq!(app.last("/search").header("content-encoding"), coding);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_fetched_anew_with_the_body_and_without_conditions() {
    let app = search_app().await;
    app.on("PUT", "/touch", |_| Answer::status(204));
    let tables =
        format!("{SEARCH}[[purge]]\npath = \"/touch\"\nkeys = [\"search:*\"]\nsoft = true\n")
            .replace(
                "ttl = \"1m\"",
                "ttl = \"1m\"\nstale_while_revalidate = \"1m\"",
            );
    let sidecar = Sidecar::start(&app.url(), &tables);
    let client = sidecar.client();
    until_hit(&client, "POST", "/search", "[1]").await;
    client.json("PUT", "/touch", "{}").await;
    let stale = client.json("POST", "/search", "[1]").await;
    assert!(
        stale.cache_status().contains("stale-while-revalidate"),
        "{}",
        stale.cache_status()
    );
    eventually("it is refreshed", SHORT, || async {
        client.json("POST", "/search", "[1]").await.value()["nth"] == 1
    })
    .await;
    let seen = app.last("/search");
    assert_eq!(
        (seen.method.as_str(), &seen.body[..]),
        ("POST", &b"[1]"[..])
    );
    assert_eq!(seen.header("if-none-match"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtaken_by_a_purge_leaves_nothing_behind() {
    let app = search_app().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("POST", "/search", move |seen| echo(seen).behind(&behind));
    app.on("PUT", "/touch", |_| Answer::status(204));
    let tables = format!("{SEARCH}[[purge]]\npath = \"/touch\"\nkeys = [\"search:*\"]\n");
    let sidecar = Sidecar::start(&app.url(), &tables);
    let client = sidecar.client();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.json("POST", "/search", "[1]").await }
    });
    gate.reached(1).await;
    client.json("PUT", "/touch", "{}").await;
    gate.open();
    asking.await.expect("no panic");
    sidecar.fills_have_ended().await;
    assert!(!is_hit(&client, "POST", "/search", "[1]").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sidecar_finds_it_in_redis() {
    let redis = RedisServer::start();
    let app = search_app().await;
    let tables = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{SEARCH}",
        redis.url()
    )
    .replace("ttl = \"1m\"", "ttl = \"1m\"\nany_host = true");
    let [here, there] = [(); 2].map(|()| Sidecar::start(&app.url(), &tables));
    for sidecar in [&here, &there] {
        connected(sidecar).await;
    }
    until_hit(&here.client(), "POST", "/search", "[1]").await;
    here.fills_have_ended().await;
    let found = there.client().json("POST", "/search", "[1]").await;
    assert!(found.is_hit(), "{}", found.cache_status());
    // A PUT to the same URL makes all its answers stale (RFC 9111 §4.4), everywhere.
    app.on("PUT", "/search", |_| Answer::status(204));
    there.client().json("PUT", "/search", "{}").await;
    for sidecar in [&here, &there] {
        eventually("it is gone", SHORT, || async {
            !is_hit(&sidecar.client(), "POST", "/search", "[1]").await
        })
        .await;
    }
    assert_eq!(app.count("/search"), 2, "one POST and one PUT");
}

/// Their keys are digests, spread over the nodes; what purges the URL finds them on each.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_holds_the_answers_to_bodies() {
    let nodes = RedisServer::start_cluster_of_three();
    let app = search_app().await;
    app.on("PUT", "/search", |_| Answer::status(204));
    app.on("PUT", "/touch", |_| Answer::status(204));
    let [here, there] = [&nodes[0], &nodes[2]].map(|node| {
        let tables = format!(
            "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{SEARCH}\
             [[purge]]\npath = \"/touch\"\nkeys = [\"search:*\"]\n",
            node.cluster_url()
        );
        Sidecar::start(
            &app.url(),
            &tables.replace("ttl = \"1m\"", "ttl = \"1m\"\nany_host = true"),
        )
    });
    for sidecar in [&here, &there] {
        connected(sidecar).await;
    }
    let bodies: Vec<String> = (0..12).map(|id| format!("{{\"id\":{id}}}")).collect();
    let touched = nodes.iter().filter(|node| node.number(&["DBSIZE"]) > 0);
    assert!(touched.count() > 1, "shards are spread");
    for (round, path) in ["/touch", "/search"].into_iter().enumerate() {
        for body in &bodies {
            until_hit(&here.client(), "POST", "/search", body).await;
        }
        here.fills_have_ended().await;
        for body in &bodies {
            let found = there.client().json("POST", "/search", body).await;
            assert!(found.is_hit(), "{body}: {}", found.cache_status());
            assert_eq!(found.value()["body"].as_str(), Some(body.as_str()));
        }
        assert_eq!(app.count("/search"), 12 * (round + 1));
        there.client().json("PUT", path, "{}").await;
        for body in &bodies {
            assert!(
                !is_hit(&there.client(), "POST", "/search", body).await,
                "{path} {body}"
            );
            eventually("it is gone there", SHORT, || async {
                !is_hit(&here.client(), "POST", "/search", body).await
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_are_never_mixed() {
    let app = TestApp::start().await;
    let who = |seen: &Seen| Answer::json(&json!({"who": seen.header("cookie"), "nth": seen.nth}));
    app.on("POST", "/all", who);
    app.on("POST", "/own", who);
    let route = |path: &str, key: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\nmethods = [\"POST\"]\nkey = \"{key}\"\nttl = \"1m\"\n"
        )
    };
    let tables = route("/all", "all:{body}") + &route("/own", "own:{cookie.sid}:{body}");
    let sidecar = Sidecar::start(&app.url(), &tables);
    let client = sidecar.client();
    let ask = |path: &'static str, sid: &str| {
        let request = client.request("POST", path).header("cookie", sid);
        request.body("[1]").send()
    };
    for sid in ["sid=a", "sid=b"] {
        for nth in 0..3 {
            let all = ask("/all", sid).await;
            assert_eq!(all.value()["who"], sid, "{nth}");
            assert!(!all.is_hit(), "{}", all.cache_status());
        }
        eventually(sid, SHORT, || async { ask("/own", sid).await.is_hit() }).await;
        assert_eq!(ask("/own", sid).await.value()["who"], sid);
    }
    let nobody: Value = client
        .request("POST", "/own")
        .body("[1]")
        .send()
        .await
        .value();
    assert_eq!(nobody["who"], "");
}
