//! Hits, misses, validation, coalescing, and what is never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(10);

const BOARD: &str = r#"
[[route]]
name = "board"
path = "/board"
key = "board:{query.id}"
ttl = "5m"
"#;

/// Asks until the answer is a hit; returns it.
async fn until_hit(client: &Client, path: &str) -> crate::support::client::Reply {
    let mut last = client.get(path).await;
    for _ in 0..400 {
        if last.is_hit() {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        last = client.get(path).await;
    }
    panic!("no hit: {}", last.cache_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_then_hits() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(format!("{:?} {}", seen.query, seen.nth)).header("x-app", "1")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let miss = client.get("/board?id=1").await;
    assert_eq!(
        miss.cache_status(),
        "pannier; fwd=uri-miss; fwd-status=200; stored; rule=board; detail=miss"
    );
    let hit = until_hit(&client, "/board?id=1").await;
    assert_eq!(hit.text(), miss.text());
    assert_eq!(hit.header("x-app"), "1");
    assert_eq!(hit.header("age"), "0");
    assert_eq!(hit.header("date"), miss.header("date"));
    assert!(
        hit.cache_status().starts_with("pannier; hit; ttl="),
        "{}",
        hit.cache_status()
    );
    let head = client.request("HEAD", "/board?id=1").send().await;
    assert!(head.is_hit());
    assert_eq!(head.header("content-length"), miss.body.len().to_string());
    assert_eq!(app.count("/board"), 1);
    // Another key.
    assert!(!client.get("/board?id=2").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_key_leaves_out_makes_it_pass() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    until_hit(&client, "/board?id=1").await;
    for (name, path, field, reason) in [
        (
            "an unnamed query field",
            "/board?id=1&x=2",
            ("a", "b"),
            "unkeyed-query",
        ),
        (
            "a missing variable",
            "/board",
            ("a", "b"),
            "missing-variable",
        ),
        (
            "a cookie",
            "/board?id=1",
            ("cookie", "session=1"),
            "identity",
        ),
        (
            "authorization",
            "/board?id=1",
            ("authorization", "Bearer x"),
            "identity",
        ),
        (
            "an override",
            "/board?id=1",
            ("x-original-url", "/other"),
            "unkeyed-header",
        ),
        (
            "a forged host",
            "/board?id=1",
            ("x-forwarded-host", "evil"),
            "unkeyed-header",
        ),
        (
            "an ambiguous path",
            "//board?id=1",
            ("a", "b"),
            "ambiguous-path",
        ),
    ] {
        let reply = client
            .request("GET", path)
            .header(field.0, field.1)
            .send()
            .await;
        assert!(!reply.is_hit(), "{name}");
        assert!(
            reply.cache_status().contains(&format!("detail={reason}")),
            "{name}: {}",
            reply.cache_status()
        );
    }
    // A GET with a body is another question.
    let reply = client.json("GET", "/board?id=1", "{}").await;
    assert!(
        reply.cache_status().ends_with("detail=request-body"),
        "{}",
        reply.cache_status()
    );
    // Another host has its own answer under the same key.
    let other = client
        .request("GET", "/board?id=1")
        .header("host", "other.example")
        .send()
        .await;
    assert!(
        other.cache_status().ends_with("detail=vary-miss"),
        "{}",
        other.cache_status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_in_the_key_keeps_people_apart() {
    let app = TestApp::start().await;
    app.on("GET", "/me", |seen| {
        Answer::text(seen.header("cookie").to_owned())
    });
    app.on("GET", "/public", |_| {
        Answer::text("all").cache_control("public, max-age=60")
    });
    app.on("GET", "/vouched", |_| Answer::text("all"));
    let sidecar = Sidecar::start(
        &app.url(),
        r#"
        [[route]]
        path = "/me"
        key = "me:{cookie.session}"
        [[route]]
        path = "/public"
        key = "public"
        [[route]]
        path = "/vouched"
        key = "vouched"
        shared = true
        "#,
    );
    let client = sidecar.client();
    for _ in 0..3 {
        for session in ["session=a", "session=b"] {
            let reply = client
                .request("GET", "/me")
                .header("cookie", session)
                .send()
                .await;
            assert_eq!(reply.text(), session);
        }
    }
    let settled = || async {
        client
            .request("GET", "/me")
            .header("cookie", "session=a")
            .send()
            .await
            .is_hit()
            && client
                .request("GET", "/public")
                .header("cookie", "session=b")
                .send()
                .await
                .is_hit()
            && client
                .request("GET", "/vouched")
                .header("authorization", "x")
                .send()
                .await
                .is_hit()
    };
    eventually("all three hit", SHORT, settled).await;
    // Without the cookie there is no key.
    assert!(
        client
            .get("/me")
            .await
            .cache_status()
            .ends_with("detail=missing-variable")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_forbids_storing_forbids_it() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x").cache_control("no-store"));
    app.on("GET", "/b", |_| Answer::text("x").cache_control("private"));
    app.on("GET", "/c", |_| {
        Answer::text("x").header("set-cookie", "a=b")
    });
    app.on("GET", "/d", |_| Answer::text("x").header("vary", "*"));
    app.on("GET", "/e", |_| Answer::status(500));
    app.on("GET", "/f", |_| Answer::text("x".repeat(2000)));
    app.on("GET", "/g", |_| {
        Answer::text("x").header("set-cookie", "a=b")
    });
    let mut toml = String::new();
    for path in ["a", "b", "c", "d", "e", "f"] {
        toml += &format!(
            "[[route]]\nname = \"{path}\"\npath = \"/{path}\"\nkey = \"{path}\"\nmax_body = \"1KB\"\n"
        );
    }
    toml +=
        "[[route]]\nname = \"g\"\npath = \"/g\"\nkey = \"g\"\nstore_despite = [\"set-cookie\"]\n";
    let sidecar = Sidecar::start(&app.url(), &toml);
    let client = sidecar.client();
    for (path, reason) in [
        ("/a", "no-store"),
        ("/b", "private"),
        ("/c", "set-cookie"),
        ("/d", "vary-any"),
        ("/e", "status"),
        ("/f", "too-large"),
    ] {
        for _ in 0..2 {
            let reply = client.get(path).await;
            assert!(!reply.is_hit(), "{path}");
            assert!(
                reply.cache_status().contains(reason),
                "{path}: {}",
                reply.cache_status()
            );
        }
        assert_eq!(app.count(path), 2, "{path}");
    }
    let hit = until_hit(&client, "/g").await;
    assert_eq!(hit.header("set-cookie"), "", "a cookie is never replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_for_one_cold_key_ask_the_app_once() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/board?id=1").await })
        })
        .collect();
    let waiting = "pannier_coalesced_waiters 999";
    let admin = sidecar.admin();
    eventually("999 wait", SHORT, || async {
        admin.get("/metrics").await.text().contains(waiting)
    })
    .await;
    gate.open();
    let mut collapsed = 0;
    for reply in asking {
        let reply = reply.await.expect("no panic");
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "x"));
        collapsed += usize::from(reply.cache_status().contains("collapsed"));
    }
    assert_eq!((app.count("/board"), collapsed), (1, 999));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_hang_up_and_the_others_are_answered() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut leader = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        sidecar.addr()
    );
    leader
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    gate.reached(1).await;
    let client = sidecar.client();
    let follower = tokio::spawn({
        let client = client.clone();
        async move { client.get("/board?id=1").await }
    });
    let admin = sidecar.admin();
    eventually("one waits", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 1")
    })
    .await;
    drop(leader);
    gate.open();
    assert_eq!(follower.await.expect("no panic").text(), "x");
    until_hit(&client, "/board?id=1").await;
    assert_eq!(app.count("/board"), 1);
}

/// reliability.md A1: cut at every byte, and never stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_is_aborted_and_not_stored() {
    for (name, answer) in [
        (
            "short of its length",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345",
        ),
        (
            "chunked without an end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        ),
        (
            "cut in a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
        ),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let _ = asked.load(Ordering::Relaxed);
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let client = sidecar.client();
        for _ in 0..2 {
            let reply = client.request("GET", "/board?id=1").try_send().await;
            assert!(
                reply.is_err(),
                "{name}: the client is told by the broken connection"
            );
        }
        assert_eq!(app.count(), 2, "{name}: never stored");
    }
}

/// reliability.md A2: its end may be a cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_the_connection_is_not_stored() {
    let app =
        RawApp::start(|_| vec![Step::send("HTTP/1.1 200 OK\r\n\r\nhello"), Step::Close]).await;
    let sidecar = Sidecar::start(&app.url(), BOARD);
    for _ in 0..2 {
        let reply = sidecar.client().get("/board?id=1").await;
        assert_eq!(reply.text(), "hello");
        assert!(
            reply.cache_status().contains("close-delimited"),
            "{}",
            reply.cache_status()
        );
    }
}

/// reliability.md A3: what was never asked for.
#[tokio::test(flavor = "multi_thread")]
async fn unsolicited_answers_are_a_502() {
    for answer in [
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let reply = sidecar.client().get("/board?id=1").await;
        assert_eq!(reply.status, 502, "{answer}");
    }
}

/// reliability.md A6: each waits at most its own time, and the key is not poisoned.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_fill_does_not_poison_its_key() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![Step::Hang],
        _ => vec![Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
    })
    .await;
    let sidecar = Sidecar::start(
        &app.url(),
        &format!("[upstream]\ntimeout = \"500ms\"\n{BOARD}"),
    );
    let client = sidecar.client();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/board?id=1").await.status.as_u16() })
        })
        .collect();
    for status in asking {
        assert_eq!(status.await.expect("no panic"), 504);
    }
    assert_eq!(client.get("/board?id=1").await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_validated_and_served_again() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        if seen.header("if-none-match") == "\"v1\"" {
            return Answer::status(304)
                .header("etag", "\"v1\"")
                .cache_control("max-age=300");
        }
        Answer::text("x")
            .header("etag", "\"v1\"")
            .cache_control("max-age=0")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    assert_eq!(client.get("/board?id=1").await.text(), "x");
    eventually("validated", SHORT, || async {
        client
            .get("/board?id=1")
            .await
            .cache_status()
            .contains("detail=revalidated")
    })
    .await;
    assert_eq!(until_hit(&client, "/board?id=1").await.text(), "x");
    // The client's own condition is answered from the store.
    let asked = app.count("/board");
    let reply = client
        .request("GET", "/board?id=1")
        .header("if-none-match", "W/\"v1\", \"v0\"")
        .send()
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.len(), app.count("/board")),
        (304, 0, asked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_while_revalidate_and_stale_if_error() {
    let app = TestApp::start().await;
    app.on("GET", "/swr", |seen| {
        Answer::text(seen.nth.to_string()).cache_control("max-age=0, stale-while-revalidate=60")
    });
    app.on("GET", "/sie", |seen| match seen.nth {
        0 => Answer::text("good").cache_control("max-age=0, stale-if-error=60"),
        _ => Answer::status(503),
    });
    let sidecar = Sidecar::start(&app.url(), "[defaults]\nunmatched = \"rfc9111\"");
    let client = sidecar.client();
    client.get("/swr").await;
    eventually("a newer answer, served stale", SHORT, || async {
        let reply = client.get("/swr").await;
        reply
            .cache_status()
            .contains("detail=stale-while-revalidate")
            && reply.text() != "0"
    })
    .await;
    client.get("/sie").await;
    eventually("the good answer although the app fails", SHORT, || async {
        let reply = client.get("/sie").await;
        assert_eq!(reply.text(), "good");
        reply.cache_status().contains("detail=stale-if-error")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_if_cached_never_asks_the_app() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = || {
        client
            .request("GET", "/board?id=1")
            .header("cache-control", "only-if-cached")
            .send()
    };
    assert_eq!(ask().await.status, 504);
    assert_eq!(app.count("/board"), 0);
    until_hit(&client, "/board?id=1").await;
    assert_eq!(ask().await.text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_kept_apart() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(seen.header("accept-language").to_owned()).header("vary", "Accept-Language")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = |language: &'static str| {
        let client = client.clone();
        async move {
            client
                .request("GET", "/board?id=1")
                .header("accept-language", language)
                .send()
                .await
        }
    };
    eventually("both hit", SHORT, || async {
        let (de, fr) = (ask("de").await, ask("fr").await);
        assert_eq!((de.text(), fr.text()), ("de", "fr"));
        de.is_hit() && fr.is_hit()
    })
    .await;
}

/// A slow client neither stops nor slows the fill (promise I6).
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_hold_up_the_others() {
    let app = TestApp::start().await;
    let body = "x".repeat(900_000);
    app.on("GET", "/board", move |_| Answer::text(body.clone()));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut lazy = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        sidecar.addr()
    );
    lazy.write_all(request.as_bytes()).await.expect("it reads");
    let mut first = [0; 1];
    lazy.read_exact(&mut first).await.expect("an answer begins");
    let client = sidecar.client();
    let hit = until_hit(&client, "/board?id=1").await;
    assert_eq!((hit.body.len(), app.count("/board")), (900_000, 1));
}

/// reliability.md R6: what the app does not see must not select an answer.
#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_take_away_what_the_key_reads() {
    let app = TestApp::start().await;
    app.on("GET", "/tenant", |seen| {
        Answer::text(seen.header("x-tenant").to_owned())
    });
    let route = "[[route]]\npath = \"/tenant\"\nkey = \"tenant:{header.x-tenant}\"";
    let sidecar = Sidecar::start(&app.url(), route);
    let client = sidecar.client();
    let ask = || client.request("GET", "/tenant").header("x-tenant", "acme");
    let forged = ask().header("connection", "X-Tenant").send().await;
    assert!(
        forged.cache_status().contains("detail=unkeyed-header"),
        "{}",
        forged.cache_status()
    );
    eventually("a hit", SHORT, || async {
        let reply = ask().send().await;
        assert_eq!(reply.text(), "acme");
        reply.is_hit()
    })
    .await;
}

/// reliability.md A3: a body whose end is told in two ways, or in one nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_doubtful_length_are_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        for path in ["/board?id=1", "/unmatched"] {
            let reply = sidecar.client().request("GET", path).try_send().await;
            assert_eq!(reply.expect("an answer").status, 502, "{answer} {path}");
        }
    }
}

/// A crowd of two kinds asks the app twice, not once a head.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_two_kinds_is_fetched_twice() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |seen| {
        Answer::text(seen.header("accept-language").to_owned())
            .header("vary", "Accept-Language")
            .behind(&behind)
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let asking: Vec<_> = (0..100)
        .map(|nth| {
            let (client, language) = (sidecar.client(), ["de", "fr"][nth % 2]);
            tokio::spawn(async move {
                let ask = client
                    .request("GET", "/board?id=1")
                    .header("accept-language", language);
                (language, ask.send().await)
            })
        })
        .collect();
    let admin = sidecar.admin();
    eventually("99 wait", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 99")
    })
    .await;
    gate.open();
    for reply in asking {
        let (language, reply) = reply.await.expect("no panic");
        assert_eq!(reply.text(), language);
    }
    assert_eq!(app.count("/board"), 2);
}

/// A stream of events has no end to wait for: each subscriber has his own.
#[tokio::test(flavor = "multi_thread")]
async fn event_streams_are_not_shared_nor_kept() {
    let app = TestApp::start().await;
    let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = senders.clone();
    app.on("GET", "/board", move |_| {
        let (answer, sender) = Answer::piecewise();
        sender.send(Ok("data: 1\n\n".into())).expect("it is there");
        held.lock().expect("unpoisoned").push(sender);
        answer.header("content-type", "text/event-stream")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(sidecar.addr())
            .await
            .expect("it listens");
        let request = format!(
            "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
            sidecar.addr()
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut seen = String::new();
        while !seen.contains("data: 1") {
            let mut piece = [0; 1024];
            let read = tokio::time::timeout(SHORT, stream.read(&mut piece)).await;
            let length = read.expect("in time").expect("open");
            assert_ne!(length, 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        assert!(seen.contains("not-stored=event-stream"), "{seen}");
        streams.push(stream);
    }
    drop(streams);
    eventually("the app is left in peace", SHORT, || async {
        senders
            .lock()
            .expect("unpoisoned")
            .iter()
            .all(|sender| sender.is_closed())
    })
    .await;
}

/// A person's own conditions reach the app when the answer is his alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_personal_304_stays_a_304() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| match seen.header("if-none-match") {
        "\"v1\"" => Answer::status(304).header("etag", "\"v1\""),
        _ => Answer::text("x").header("etag", "\"v1\""),
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = || client.request("GET", "/board?id=1").header("cookie", "a=b");
    assert_eq!(ask().send().await.status, 200);
    assert_eq!(
        ask().header("if-none-match", "\"v1\"").send().await.status,
        304
    );
}

/// Promise I7: at most so many fills at a time, also of clients that have gone.
#[tokio::test(flavor = "multi_thread")]
async fn fills_are_capped() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), &format!("[upstream]\nmax_fills = 3\n{BOARD}"));
    let asking: Vec<_> = (0..10)
        .map(|id| {
            let client = sidecar.client();
            tokio::spawn(
                async move { client.get(&format!("/board?id={id}")).await.status.as_u16() },
            )
        })
        .collect();
    gate.reached(3).await;
    for left in asking {
        left.abort();
    }
    let last = sidecar.client();
    let last = tokio::spawn(async move { last.get("/board?id=99").await.status.as_u16() });
    assert_eq!(app.count("/board"), 3);
    gate.open();
    assert_eq!(last.await.expect("no panic"), 200);
}

/// What one person's answer is says nothing of what others may share.
#[tokio::test(flavor = "multi_thread")]
async fn personal_requests_do_not_switch_the_cache_off_for_others() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    for field in [
        ("cookie", "a=b"),
        ("authorization", "x"),
        ("cache-control", "no-store"),
    ] {
        client
            .request("GET", "/board?id=1")
            .header(field.0, field.1)
            .send()
            .await;
    }
    until_hit(&client, "/board?id=1").await;
    assert_eq!(app.count("/board"), 4);
}

/// The app was asked after they came, which is all that a validation could add.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_for_an_answer_to_be_validated_asks_once() {
    let app = TestApp::start().await;
    let first = Gate::new();
    let behind = first.clone();
    app.on("GET", "/board", move |_| {
        Answer::text("x")
            .header("etag", "\"v\"")
            .cache_control("no-cache")
            .behind(&behind)
    });
    let config = format!("[upstream]\nmax_fills = 1\n{BOARD}");
    let sidecar = Sidecar::start(&app.url(), &config);
    // The only place is taken by another key, so that the crowd is there before the app is asked.
    let ask = |id: usize| {
        let client = sidecar.client();
        tokio::spawn(async move { client.get(&format!("/board?id={id}")).await })
    };
    let other = ask(0);
    first.reached(1).await;
    let crowd: Vec<_> = (0..50).map(|_| ask(1)).collect();
    let admin = sidecar.admin();
    eventually("49 wait", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 49")
    })
    .await;
    first.open();
    for reply in crowd.into_iter().chain([other]) {
        assert_eq!(reply.await.expect("no panic").text(), "x");
    }
    assert_eq!(app.count("/board"), 2);
}
