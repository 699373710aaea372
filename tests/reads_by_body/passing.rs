//! What passes although its route answers by the body: whole, and as it came.

use super::{SEARCH, is_hit, search_app, until_hit};
use crate::caching::SHORT;
use crate::support::app::Answer;
use crate::support::eventually;
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

fn head(sidecar: &Sidecar, more: &str) -> String {
    format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{more}\r\n\r\n",
        sidecar.addr()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_cap_reaches_the_app_whole() {
    let app = search_app().await;
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let client = sidecar.client();
    let long = format!("[\"{}\"]", "x".repeat(9_000));
    for asked in 1..=2 {
        let reply = client.json("POST", "/search", &long).await;
        assert!(
            reply.cache_status().contains("request-body"),
            "{}",
            reply.cache_status()
        );
        assert_eq!(
            (app.count("/search"), app.last("/search").body.len()),
            (asked, 9_004)
        );
    }
    // Of unknown length: what was read goes first.
    let mut raw = RawClient::connect(sidecar.addr()).await;
    raw.send(&head(&sidecar, "Transfer-Encoding: chunked"))
        .await;
    for _ in 0..3 {
        raw.send(&format!("bb8\r\n{}\r\n", "y".repeat(3_000))).await;
    }
    raw.send("0\r\n\r\n").await;
    let answer = raw.head().await;
    assert!(answer.contains("request-body"), "{answer}");
    assert_eq!(app.last("/search").body, "y".repeat(9_000));
    // Trailers belong to it as well.
    let mut raw = RawClient::connect(sidecar.addr()).await;
    raw.send(&head(
        &sidecar,
        "Transfer-Encoding: chunked\r\nTrailer: x-sum",
    ))
    .await;
    raw.send("3\r\n[1]\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let answer = raw.head().await;
    assert!(answer.contains("request-body"), "{answer}");
    assert_eq!(app.last("/search").body, "[1]");
    assert!(!is_hit(&client, "POST", "/search", "[1]").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_whole_leaves_nothing() {
    let app = search_app().await;
    let tables = format!("[listen]\nbody_timeout = \"300ms\"\n{SEARCH}");
    let sidecar = Sidecar::start(&app.url(), &tables);
    let mut slow = RawClient::connect(sidecar.addr()).await;
    slow.send(&head(&sidecar, "Content-Length: 3")).await;
    slow.send("[1").await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut gone = RawClient::connect(sidecar.addr()).await;
    gone.send(&head(&sidecar, "Content-Length: 3")).await;
    gone.send("[1").await;
    gone.end().await;
    let client = sidecar.client();
    assert!(!is_hit(&client, "POST", "/search", "[1").await);
    assert_eq!(
        until_hit(&client, "POST", "/search", "[1]").await.value()["body"],
        "[1]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_ranges_are_the_apps_to_judge() {
    let app = search_app().await;
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let client = sidecar.client();
    until_hit(&client, "POST", "/search", "[1]").await;
    for (name, value, reason) in [
        ("if-none-match", "\"1\"", "request-directive"),
        ("range", "bytes=0-1", "range"),
    ] {
        let asked = app.count("/search");
        let request = client
            .request("POST", "/search")
            .header("content-type", "application/json")
            .header(name, value);
        let reply = request.body("[1]").send().await;
        assert!(
            reply.cache_status().contains(reason),
            "{}",
            reply.cache_status()
        );
        assert_eq!(app.count("/search"), asked + 1, "{name}");
        assert_eq!(app.last("/search").header(name), value);
        assert_eq!(app.last("/search").body, "[1]");
    }
    assert!(is_hit(&client, "POST", "/search", "[1]").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_no_write_and_a_post_is_one_where_a_rule_is_for_it() {
    let app = search_app().await;
    let tables = format!(
        "{SEARCH}[[purge]]\nname = \"saved\"\npath = \"/search\"\nmethods = [\"POST\"]\n\
         when = {{ \"body.save\" = \"true\" }}\nkeys = [\"search:*\"]\n"
    );
    let sidecar = Sidecar::start(&app.url(), &tables);
    let client = sidecar.client();
    until_hit(&client, "POST", "/search", "{}").await;
    let long = format!("{{\"save\": true, \"pad\": \"{}\"}}", "x".repeat(5_000));
    for body in [r#"{"save": true}"#, &long] {
        client.json("QUERY", "/search", body).await;
        assert!(is_hit(&client, "POST", "/search", "{}").await, "{body:.20}");
        let reply = client.json("POST", "/search", body).await;
        assert!(
            reply.cache_status().contains("rules=\"saved\""),
            "{}",
            reply.cache_status()
        );
        assert!(
            !is_hit(&client, "POST", "/search", "{}").await,
            "{body:.20}"
        );
        until_hit(&client, "POST", "/search", "{}").await;
    }
    // Without a body at all.
    app.on("POST", "/search", |_| Answer::text("nothing"));
    eventually("an empty body has an answer", SHORT, || async {
        client.request("POST", "/search").send().await.is_hit()
    })
    .await;
}

/// Nobody empties the answers of a path by what a read has beside its body.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_looked_up_is_no_write() {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let app = search_app().await;
    app.on("POST", "/edit", |_| Answer::text("ok"));
    let edit = "[[route]]\npath = \"/edit\"\nmethods = [\"POST\"]\nkey = \"edit:{body}\"\nttl = \"1m\"\n\
                [[purge]]\nname = \"deleted\"\npath = \"/edit\"\nmethods = [\"DELETE\"]\nkeys = [\"search:*\"]\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{SEARCH}{edit}"));
    let client = sidecar.client();
    let send = |path: &'static str, field: (&'static str, &'static str), body: &str| {
        let request = client.request("POST", path).header(FORM.0, FORM.1);
        request.header(field.0, field.1).body(body).send()
    };
    let none = ("accept", "*/*");
    let kept = || async {
        until_hit(&client, "POST", "/search", "[1]").await;
        eventually("a form is a read", SHORT, || async {
            send("/search", none, "q=1").await.is_hit()
        })
        .await;
    };
    let long = format!("q={}", "x".repeat(9_000));
    let rows = [
        ("a range", "/search", ("range", "bytes=0-1"), "q=1", "range"),
        (
            "a condition",
            "/search",
            ("if-none-match", "\"1\""),
            "q=1",
            "request-directive",
        ),
        ("over the cap", "/search", none, &long, "request-body"),
        ("unkeyed", "/search?x=1", none, "q=1", "unkeyed-query"),
        ("two readings", "/search", none, "q=1;r=2", "request-body"),
        (
            "no other method",
            "/search?_method=POST",
            none,
            "q=1",
            "unkeyed-query",
        ),
    ];
    for (case, path, field, body, reason) in rows {
        kept().await;
        for _ in 0..2 {
            let asked = app.count("/search");
            let reply = send(path, field, body).await;
            let status = reply.cache_status().to_owned();
            assert!(status.contains(reason), "{case}: {status}");
            assert_eq!(app.count("/search"), asked + 1, "{case}");
            assert_eq!(app.last("/search").body, body.as_bytes(), "{case}");
        }
        assert!(is_hit(&client, "POST", "/search", "[1]").await, "{case}");
        assert!(send("/search", none, "q=1").await.is_hit(), "{case}");
    }
    eventually("no other method in a form", SHORT, || async {
        send("/search", none, "_method=POST&q=1").await.is_hit()
    })
    .await;
    assert!(is_hit(&client, "POST", "/search", "[1]").await);
    // What may name the method of a rule.
    for (case, field, body, hit) in [
        ("none", none, "q=1", true),
        ("that method", none, "_method=DELETE", false),
        ("another", none, "_method=PATCH", true),
        ("two readings", none, "q=1;r=2", false),
        ("unread, and none", ("range", "bytes=0-1"), "q=1", true),
        (
            "unread, and that",
            ("range", "bytes=0-1"),
            "_method=DELETE",
            false,
        ),
        ("over the cap", none, &long, false),
    ] {
        kept().await;
        assert_eq!(send("/edit", field, body).await.status, 200);
        assert_eq!(
            is_hit(&client, "POST", "/search", "[1]").await,
            hit,
            "{case}"
        );
    }
}

/// Bodies that wait for their ends share the room of all that is in flight; past it they go to the app as they come.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_read_have_a_budget() {
    const CLIENTS: usize = 60;
    const LENGTH: usize = 60_000;
    let app = search_app().await;
    let tables = SEARCH.replace("\"4KB\"", "\"64KB\"") + "[memory]\nin_flight = \"2MiB\"\n";
    let sidecar = Sidecar::start(&app.url(), &tables);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client
            .send(&head(&sidecar, &format!("Content-Length: {LENGTH}")))
            .await;
        let body = format!("[{number:02},\"{}", "x".repeat(LENGTH - 7));
        client.send(&body).await;
        clients.push(client);
    }
    // What is read is not sent before it is whole.
    eventually("some find no room", SHORT, || async {
        app.connections() > 0
    })
    .await;
    let mut passed = 0;
    for client in &mut clients {
        client.send("\"]").await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        passed += usize::from(answer.contains("request-body"));
    }
    assert!(passed > 0 && passed < CLIENTS, "{passed} found no room");
    for seen in app.seen() {
        assert_eq!(seen.body.len(), LENGTH, "each is whole");
    }
}
