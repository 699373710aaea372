//! Writes purge what they made stale, and nothing that raced with them survives (I2, I3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

const KANBAN: &str = r#"
[[route]]
name = "board"
path = "/board"
key = "board:{query.project}:{query.team}"
[[route]]
name = "columns"
path = "/columns"
key = "columns:{query.project}"
[[route]]
name = "user"
path = "/users/{id}"
key = "user:{path.id}"
tags = ["person:{response.id}"]
[[route]]
name = "users"
path = "/users"
key = "users:all"
tags = ["people"]
[[purge]]
name = "task"
path = "/tasks/{*id}"
keys = ["board:{body.projectId}:*", "columns:{body.projectId}"]
[[purge]]
name = "created"
path = "/tasks"
keys = ["columns:{response.projectId}"]
[[purge]]
name = "person"
methods = ["PUT"]
path = "/people/{id}"
tags = ["person:{path.id}", "people"]
"#;

/// An app whose answers count up with each request.
async fn kanban() -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    for path in ["/board", "/columns", "/users"] {
        app.on("GET", path, |seen| Answer::text(seen.nth.to_string()));
    }
    app.on("GET", "/users/42", |seen| {
        Answer::json(&json!({"id": 42, "nth": seen.nth}))
    });
    app.on("GET", "/users/7", |seen| {
        Answer::json(&json!({"id": 7, "nth": seen.nth}))
    });
    app.on("PUT", "/tasks/1", |_| Answer::status(204));
    app.on("PUT", "/people/42", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), KANBAN);
    (app, sidecar)
}

/// Asks for each until it is a hit.
pub(crate) async fn warm(client: &Client, paths: &[&str]) {
    for path in paths {
        eventually(path, SHORT, || async { client.get(path).await.is_hit() }).await;
    }
}

/// Which of them are answered from the store.
pub(crate) async fn are_hits(client: &Client, paths: &[&str]) -> Vec<bool> {
    let mut hits = Vec::new();
    for path in paths {
        // only-if-cached: to look must not fill.
        let reply = client
            .request("GET", path)
            .header("cache-control", "only-if-cached")
            .send()
            .await;
        hits.push(reply.status == 200);
    }
    hits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_purges_by_key_and_pattern_what_its_rule_names() {
    let (_app, sidecar) = kanban().await;
    let client = sidecar.client();
    let paths = [
        "/board?project=1&team=a",
        "/board?project=1&team=b",
        "/columns?project=1",
        "/board?project=2&team=a",
    ];
    warm(&client, &paths).await;
    assert_eq!(
        client
            .json("PUT", "/tasks/1", r#"{"projectId": 1}"#)
            .await
            .status,
        204
    );
    assert_eq!(are_hits(&client, &paths).await, [false, false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_value_is_never_a_wildcard() {
    let (_app, sidecar) = kanban().await;
    let client = sidecar.client();
    let paths = [
        "/board?project=1&team=a",
        "/board?project=*&team=a",
        "/board?project=%3F&team=a",
    ];
    warm(&client, &paths).await;
    client
        .json("PUT", "/tasks/1", r#"{"projectId": "*"}"#)
        .await;
    assert_eq!(are_hits(&client, &paths).await, [true, false, true]);
    client
        .json("PUT", "/tasks/1", r#"{"projectId": "?"}"#)
        .await;
    assert_eq!(are_hits(&client, &paths).await, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_variable_purges_every_value_and_is_counted() {
    let (_app, sidecar) = kanban().await;
    let client = sidecar.client();
    let paths = [
        "/board?project=1&team=a",
        "/board?project=2&team=b",
        "/columns?project=2",
        "/users/42",
    ];
    for body in ["{}", "not json", ""] {
        warm(&client, &paths).await;
        client.json("PUT", "/tasks/1", body).await;
        assert_eq!(
            are_hits(&client, &paths).await,
            [false, false, false, true],
            "{body:?}"
        );
    }
    // Past the cap a body's variables count as absent, and the body still arrives whole.
    warm(&client, &paths).await;
    let large = format!(r#"{{"projectId": 1, "pad": "{}"}}"#, "x".repeat(300_000));
    client.json("PUT", "/tasks/1", &large).await;
    assert_eq!(are_hits(&client, &paths).await, [false, false, false, true]);
    assert_eq!(_app.last("/tasks/1").body.len(), large.len());
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("pannier_purge_variables_absent_total{rule=\"task\"} 8"),
        "{}",
        metrics.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_the_answer() {
    let (app, sidecar) = kanban().await;
    app.on("POST", "/tasks", |_| {
        Answer::json(&json!({"id": 9, "projectId": 1}))
    });
    let client = sidecar.client();
    let paths = ["/columns?project=1", "/columns?project=2"];
    warm(&client, &paths).await;
    let reply = client.json("POST", "/tasks", "{}").await;
    assert_eq!(reply.value(), json!({"id": 9, "projectId": 1}));
    assert_eq!(are_hits(&client, &paths).await, [false, true]);
    // An answer over the cap goes on whole, and its variables count as absent.
    let large = "x".repeat(300_000);
    let text = large.clone();
    app.on("POST", "/tasks", move |_| {
        Answer::json(&json!({"projectId": 1, "pad": text.clone()}))
    });
    warm(&client, &paths).await;
    let reply = client.json("POST", "/tasks", "{}").await;
    assert_eq!(reply.value()["pad"], large);
    assert_eq!(are_hits(&client, &paths).await, [false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_tag_finds_what_shows_the_thing() {
    let (_app, sidecar) = kanban().await;
    let client = sidecar.client();
    let paths = ["/users/42", "/users/7", "/users"];
    warm(&client, &paths).await;
    assert_eq!(client.json("PUT", "/people/42", "{}").await.status, 200);
    assert_eq!(are_hits(&client, &paths).await, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_purges_nothing() {
    let (app, sidecar) = kanban().await;
    let client = sidecar.client();
    warm(&client, &["/columns?project=1"]).await;
    for status in [400, 401, 409, 500, 503] {
        app.on("PUT", "/tasks/1", move |_| Answer::status(status));
        client.json("PUT", "/tasks/1", r#"{"projectId": 1}"#).await;
        assert_eq!(
            are_hits(&client, &["/columns?project=1"]).await,
            [true],
            "{status}"
        );
    }
    app.on("PUT", "/tasks/1", |_| Answer::status(303));
    client.json("PUT", "/tasks/1", r#"{"projectId": 1}"#).await;
    assert_eq!(are_hits(&client, &["/columns?project=1"]).await, [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_does_not_stop_the_purge() {
    let (app, sidecar) = kanban().await;
    let client = sidecar.client();
    warm(&client, &["/columns?project=1"]).await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("PUT", "/tasks/1", move |_| {
        Answer::status(204).behind(&shut)
    });
    let asking = tokio::spawn({
        let client = sidecar.client();
        async move { client.json("PUT", "/tasks/1", r#"{"projectId": 1}"#).await }
    });
    gate.reached(1).await;
    asking.abort();
    gate.open();
    eventually("purged although the client left", SHORT, || async {
        are_hits(&client, &["/columns?project=1"]).await == [false]
    })
    .await;
}

/// The app may have acted on a whole request; half a request must not be a way to empty the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_purges_and_half_a_write_does_not() {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let app = RawApp::start(move |nth| match nth {
        0 => vec![Step::send(page)],
        1 => vec![Step::Hang],
        _ => vec![Step::Close],
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), KANBAN);
    let client = sidecar.client();
    warm(&client, &["/columns?project=1"]).await;

    let mut half = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "PUT /tasks/1 HTTP/1.1\r\nHost: {}\r\nContent-Length: 99\r\n\r\n{{",
        sidecar.addr()
    );
    half.write_all(request.as_bytes()).await.expect("it reads");
    eventually("the head is at the app", SHORT, || async {
        app.count() == 2
    })
    .await;
    drop(half);
    let admin = sidecar.admin();
    eventually("the connection is gone", SHORT, || async {
        // The test's own client keeps one.
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_connections 1\n")
    })
    .await;
    for _ in 0..20 {
        assert_eq!(are_hits(&client, &["/columns?project=1"]).await, [true]);
        tokio::task::yield_now().await;
    }

    let lost = client.json("PUT", "/tasks/1", r#"{"projectId": 1}"#).await;
    assert_eq!(lost.status, 502);
    assert_eq!(are_hits(&client, &["/columns?project=1"]).await, [false]);
}

/// RFC 9111 §4.4: the target of an unsafe request, whether or not a rule names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_purges_its_own_url() {
    let (app, sidecar) = kanban().await;
    app.on("DELETE", "/users/42", |_| Answer::status(204));
    app.on("POST", "/elsewhere", |_| {
        Answer::status(201).header("location", "/users/7")
    });
    let client = sidecar.client();
    warm(&client, &["/users/42", "/users/7"]).await;
    client.request("DELETE", "/users/42").send().await;
    assert_eq!(
        are_hits(&client, &["/users/42", "/users/7"]).await,
        [false, true]
    );
    client.request("POST", "/elsewhere").send().await;
    assert_eq!(are_hits(&client, &["/users/7"]).await, [false]);
}

/// Promise I3, with both moments in the test's hands: the fill has asked the app before the write,
/// and is answered after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtaken_by_a_purge_leaves_nothing_behind() {
    let (app, sidecar) = kanban().await;
    let gate = Gate::new();
    let version = Arc::new(AtomicUsize::new(1));
    let (shut, read) = (gate.clone(), version.clone());
    app.on("GET", "/columns", move |_| {
        Answer::text(read.load(Ordering::SeqCst).to_string()).behind(&shut)
    });
    let written = version.clone();
    app.on("PUT", "/tasks/1", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204)
    });
    let client = sidecar.client();
    for by in ["key", "absent variable"] {
        gate.shut();
        let before = version.load(Ordering::SeqCst).to_string();
        let seen = app.count("/columns");
        let early = tokio::spawn({
            let client = client.clone();
            async move { client.get("/columns?project=1").await }
        });
        gate.reached(seen + 1).await;
        let body = if by == "key" {
            r#"{"projectId": 1}"#
        } else {
            "{}"
        };
        client.json("PUT", "/tasks/1", body).await;
        // A request after the write must not join the fill from before it.
        let late = tokio::spawn({
            let client = client.clone();
            async move { client.get("/columns?project=1").await }
        });
        gate.reached(seen + 2).await;
        gate.open();
        assert_eq!(early.await.expect("no panic").text(), before, "{by}");
        let after = version.load(Ordering::SeqCst).to_string();
        assert_eq!(late.await.expect("no panic").text(), after, "{by}");
        for _ in 0..20 {
            assert_eq!(client.get("/columns?project=1").await.text(), after, "{by}");
        }
        client.json("PUT", "/tasks/1", body).await;
    }
}

/// The same for tags, which a fill has only once its answer is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtaken_by_a_purge_of_its_tag_leaves_nothing_behind() {
    let (app, sidecar) = kanban().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/users/42", move |seen| {
        Answer::json(&json!({"id": 42, "nth": seen.nth})).behind(&shut)
    });
    let client = sidecar.client();
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.get("/users/42").await }
    });
    gate.reached(1).await;
    client.json("PUT", "/people/42", "{}").await;
    let late = tokio::spawn({
        let client = client.clone();
        async move { client.get("/users/42").await }
    });
    gate.reached(2).await;
    gate.open();
    assert_eq!(early.await.expect("no panic").value()["nth"], 0);
    assert_eq!(late.await.expect("no panic").value()["nth"], 1);
    for _ in 0..20 {
        assert_eq!(client.get("/users/42").await.value()["nth"], 1);
    }
}

/// Promise I2 under load: once a write's answer is here, no later read is older.
#[tokio::test(flavor = "multi_thread")]
async fn reads_after_a_write_are_never_older_than_it() {
    let (app, sidecar) = kanban().await;
    let version = Arc::new(AtomicUsize::new(0));
    let read = version.clone();
    app.on("GET", "/columns", move |_| {
        Answer::text(read.load(Ordering::SeqCst).to_string())
    });
    let written = version.clone();
    app.on("PUT", "/tasks/1", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204)
    });
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (client, version) = (sidecar.client(), version.clone());
            tokio::spawn(async move {
                while version.load(Ordering::SeqCst) < 150 {
                    client.get("/columns?project=1").await;
                }
            })
        })
        .collect();
    let client = sidecar.client();
    for written in 1..=150 {
        client.json("PUT", "/tasks/1", r#"{"projectId": 1}"#).await;
        let read: usize = client
            .get("/columns?project=1")
            .await
            .text()
            .parse()
            .expect("a number");
        assert!(read >= written, "read {read} after write {written}");
    }
    for reader in readers {
        reader.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_purges_with_its_token_alone() {
    let (_app, sidecar) = kanban().await;
    let (client, admin) = (sidecar.client(), sidecar.admin());
    let paths = [
        "/board?project=1&team=a",
        "/columns?project=1",
        "/users/42",
        "/users",
    ];
    warm(&client, &paths).await;
    let purge = |token: &str, body: &'static str| {
        admin
            .request("POST", "/purge")
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(purge("wrong", r#"{"everything": true}"#).await.status, 401);
    let forged = admin
        .request("POST", "/purge")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("origin", "http://evil.example")
        .header("content-type", "application/json")
        .body(r#"{"everything": true}"#);
    assert_eq!(forged.send().await.status, 403);
    assert_eq!(are_hits(&client, &paths).await, [true; 4]);
    assert_eq!(
        purge(TOKEN, r#"{"keys": ["columns:1"]}"#).await.value()["purged"]["memory"],
        1
    );
    assert_eq!(are_hits(&client, &paths).await, [true, false, true, true]);
    assert_eq!(
        purge(TOKEN, r#"{"patterns": ["board:*"], "tags": ["people"]}"#)
            .await
            .status,
        200
    );
    assert_eq!(are_hits(&client, &paths).await, [false, false, true, false]);
    assert_eq!(purge(TOKEN, r#"{"everything": true}"#).await.status, 200);
    assert_eq!(are_hits(&client, &paths).await, [false; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_token() {
    let (app, sidecar) = kanban().await;
    let admin = sidecar.admin();
    let purge = |token: &'static str| {
        admin
            .request("POST", "/purge")
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(r#"{"everything": true}"#)
            .send()
    };
    assert_eq!(purge(TOKEN).await.status, 200);
    let variables = [
        ("PANNIER_UPSTREAM_URL", &*app.url()),
        ("PANNIER_ADMIN_TOKEN", "another-token-of-the-tests"),
    ];
    sidecar.reload(KANBAN, &variables);
    assert_eq!(purge(TOKEN).await.status, 401);
    assert_eq!(purge("another-token-of-the-tests").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_what_happened() {
    let (_app, sidecar) = kanban().await;
    let (client, admin) = (sidecar.client(), sidecar.admin());
    warm(&client, &["/users/42"]).await;
    client.get("/users/42").await;
    // What is told of the tiers may be a second old.
    eventually("what memory holds is told", SHORT, || async {
        admin.get("/stats").await.value()["memory"]["entries"] == 1
    })
    .await;
    let stats = admin.get("/stats").await.value();
    assert!(stats["hits"].as_u64() >= Some(2), "{stats}");
    assert_eq!(stats["redis"]["state"], "absent", "{stats}");
    assert_eq!(stats["memory"]["entries"], 1, "{stats}");
    assert_eq!(admin.get("/healthz").await.status, 200);
    assert_eq!(admin.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_another_spelling_purges_as_well() {
    let (app, sidecar) = kanban().await;
    let client = sidecar.client();
    for path in [
        "/people/42/",
        "//people/42",
        "/%70eople/42",
        "/people;v=1/42",
        "/x/../people/42",
        "/People/42",
        "/people/42.json",
        "/PEOPLE/42.xml/",
    ] {
        app.on("PUT", path, |_| Answer::text("ok"));
        warm(&client, &["/users/42", "/users/7"]).await;
        assert_eq!(client.json("PUT", path, "{}").await.status, 200, "{path}");
        assert_eq!(
            are_hits(&client, &["/users/42", "/users/7"]).await,
            [false, true],
            "{path}"
        );
    }
    app.on("POST", "/people/42", |_| Answer::text("ok"));
    warm(&client, &["/users/42"]).await;
    client
        .request("POST", "/people/42")
        .header("x-http-method-override", "PUT")
        .send()
        .await;
    assert_eq!(
        are_hits(&client, &["/users/42"]).await,
        [false],
        "an overridden method"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_offers_an_upgrade_purges_as_well() {
    let (app, sidecar) = kanban().await;
    let client = sidecar.client();
    for protocol in ["h2c", "websocket"] {
        warm(&client, &["/users/42"]).await;
        let write = client
            .request("PUT", "/people/42")
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", protocol)
            .header("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA");
        assert_eq!(write.send().await.status, 200);
        assert_eq!(app.last("/people/42").header("upgrade"), "");
        assert_eq!(
            are_hits(&client, &["/users/42"]).await,
            [false],
            "{protocol}"
        );
    }
}

/// The client was told of a timeout; the app commits later, and what was read in between is older.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_ends_after_its_timeout_purges_again() {
    let (app, _) = kanban().await;
    let sidecar = Sidecar::start(
        &app.url(),
        &format!("[upstream]\ntimeout = \"300ms\"\n{KANBAN}"),
    );
    let client = sidecar.client();
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("PUT", "/people/42", move |_| {
        Answer::text("ok").behind(&shut)
    });
    assert_eq!(client.json("PUT", "/people/42", "{}").await.status, 504);
    warm(&client, &["/users/42"]).await;
    gate.open();
    eventually("purged when the app has answered", SHORT, || async {
        are_hits(&client, &["/users/42"]).await == [false]
    })
    .await;
}

/// A write that ends within its head or its body, or whose body is not one, and that nobody has answered
/// purges nothing, whatever its rule names; whole, it does.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_write_purges_nothing_wherever_it_ends() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |_| Answer::text("x"));
    app.on("POST", "/write", |_| Answer::status(204));
    let config = "[[route]]\npath = \"/page\"\nkey = \"page\"\n\
                  [[purge]]\npath = \"/write\"\nkeys = [\"page\", \"*\"]\n";
    let sidecar = Sidecar::start(&app.url(), config);
    // Each look has a client of its own: one that keeps connections may well have two.
    warm(&sidecar.client(), &["/page"]).await;
    let head = format!("POST /write HTTP/1.1\r\nHost: {}\r\n", sidecar.addr());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let sized = format!("{head}Content-Length: 5\r\n\r\n12345");
    let whole = format!("{chunked}3\r\n123\r\n2;x=y\r\n45\r\n0\r\n\r\n");
    let cut = |text: &String, from: usize| -> Vec<String> {
        (from..text.len())
            .map(|end| text[..end].to_owned())
            .collect()
    };
    let broken = [
        "zz\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "3\r\n1234\r\n",
        "3\r\n123\r\n\r\n",
    ];
    let mut halves = cut(&sized, sized.len() - 8);
    halves.extend(cut(&whole, chunked.len() - 3));
    halves.extend(broken.map(|end| format!("{chunked}{end}")));
    let admin = sidecar.admin();
    for half in halves {
        let mut stream = TcpStream::connect(sidecar.addr())
            .await
            .expect("it listens");
        stream.write_all(half.as_bytes()).await.expect("it reads");
        drop(stream);
        eventually("the write has ended", SHORT, || async {
            let metrics = admin.get("/metrics").await;
            metrics.text().contains("pannier_connections 0\n")
        })
        .await;
        let hits = are_hits(&sidecar.client(), &["/page"]).await;
        assert_eq!(hits, [true], "{half:?}");
    }
    let metrics = admin.get("/metrics").await;
    let waited = metrics.text().contains("upstream-timeout");
    assert!(!waited, "a broken body ends its request to the app");
    let mut stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    stream.write_all(whole.as_bytes()).await.expect("it reads");
    eventually("the whole write has purged", SHORT, || async {
        are_hits(&sidecar.client(), &["/page"]).await == [false]
    })
    .await;
}

/// A default is for what is absent. What could not be read may have been any value.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_purges_for_any_value() {
    let long = format!(r#"{{"id": "1", "more": "{}"}}"#, "x".repeat(2_000));
    let app = TestApp::start().await;
    for path in ["/page/1", "/page/none"] {
        app.on("GET", path, |_| Answer::text("x"));
    }
    app.on("POST", "/write", |_| Answer::status(204));
    let answer = long.clone();
    app.on("GET", "/tagged", move |_| Answer::text(answer.clone()));
    let config = "[defaults]\nmax_variables = \"1KB\"\n\
                  [[route]]\npath = \"/page/{id}\"\nkey = \"page:{path.id}\"\n\
                  [[route]]\npath = \"/tagged\"\nkey = \"tagged\"\ntags = [\"t:{response.id|none}\"]\n\
                  [[purge]]\npath = \"/write\"\nkeys = [\"page:{body.id|none}\"]\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let client = sidecar.client();
    let pages = ["/page/1", "/page/none"];
    let rows = [
        ("no body", "", [true, false]),
        ("absent", "{}", [true, false]),
        ("there", r#"{"id": 1}"#, [false, true]),
        ("too long", long.as_str(), [false, false]),
        ("no JSON", "id=1", [false, false]),
    ];
    for (name, body, hits) in rows {
        warm(&client, &pages).await;
        client.json("POST", "/write", body).await;
        assert_eq!(are_hits(&client, &pages).await, hits, "{name}");
    }
    for _ in 0..2 {
        assert!(!client.get("/tagged").await.is_hit(), "it has any tag");
        sidecar.fills_have_ended().await;
    }
}

/// Of two members of one name the app may take either: the write purges for both, and an answer that names
/// two is not stored under the tag of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_member_counts_with_all_its_values() {
    let (app, sidecar) = kanban().await;
    let client = sidecar.client();
    let boards = ["/board?project=1&team=a", "/board?project=2&team=a"];
    warm(&client, &boards).await;
    app.on("PUT", "/tasks/7", |_| Answer::text("ok"));
    let body = r#"{"projectId": 1, "projectId": 2}"#;
    client.json("PUT", "/tasks/7", body).await;
    assert_eq!(are_hits(&client, &boards).await, [false, false]);

    app.on("GET", "/users/42", |_| {
        Answer::text(r#"{"id": 42, "id": 43}"#).header("content-type", "application/json")
    });
    for _ in 0..2 {
        assert!(!client.get("/users/42").await.is_hit());
        sidecar.fills_have_ended().await;
    }
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(metrics.text().contains("missing-tag"));
}
