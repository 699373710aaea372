//! Requests (R4 to R8).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{RFC, conversation};
use crate::caching::{BOARD, until_hit};
use crate::support::app::{Answer, TestApp};
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// R4: a GET that would hit, with a body that is itself a request: one answer for one request.
#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_get_that_would_hit_is_no_request() {
    let length = SMUGGLED.len();
    let plain = format!("Content-Length: {length}\r\n\r\n{SMUGGLED}");
    let chunked =
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
    for method in ["GET", "HEAD"] {
        for (name, body) in [("by length", &plain), ("in chunks", &chunked)] {
            let app = TestApp::start().await;
            app.on("GET", "/board", |_| Answer::text("board"));
            app.on("HEAD", "/board", |_| Answer::text("board"));
            app.on("GET", "/smuggled", |_| Answer::text("smuggled"));
            app.on("GET", "/last", |_| Answer::text("last"));
            let sidecar = Sidecar::start(&app.url(), BOARD);
            let host = sidecar.addr();
            until_hit(&sidecar.client(), "/board?id=1").await;
            let requests = format!(
                "{method} /board?id=1 HTTP/1.1\r\nHost: {host}\r\n{body}\
                 GET /last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            );
            let answer = conversation(&sidecar, requests.as_bytes()).await;
            assert!(!answer.contains("smuggled"), "{method}, {name}: {answer}");
            assert_eq!(app.count("/smuggled"), 0, "{method}, {name}");
            let answers = answer.matches("HTTP/1.1 ").count();
            assert!(answers <= 2, "{method}, {name}: {answer}");
            assert_eq!(answers == 2, answer.ends_with("last"), "{method}, {name}");
        }
    }
}

/// R5: what follows an upgrade that the app declines is not handed to the app as it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_declined_upgrade_is_not_relayed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let app = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut byte).await.expect("a head");
            assert_eq!(read, 1, "cut in the head");
            head.push(byte[0]);
        }
        let declined = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        stream.write_all(declined).await.expect("it reads");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        hearing.lock().expect("unpoisoned").extend(rest);
    });
    let sidecar = Sidecar::start(&url, RFC);
    let mut client = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n{SMUGGLED}"
    );
    client
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    tokio::time::timeout(Duration::from_secs(30), app)
        .await
        .expect("the app is told the end")
        .expect("the app does not panic");
    assert_eq!(*heard.lock().expect("unpoisoned"), b"");
}

/// R6: what `Connection` names is not forwarded, yet it counts for who may see the answer.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_named_by_connection_share_nothing() {
    let app = TestApp::start().await;
    app.on("GET", "/me", |seen| {
        let who = format!("[{}]", seen.header("authorization"));
        Answer::text(who).cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for _ in 0..2 {
        let reply = client
            .request("GET", "/me")
            .header("connection", "close, Authorization, X-Secret")
            .header("authorization", "Bearer a")
            .header("x-secret", "1")
            .send()
            .await;
        assert!(!reply.is_hit(), "{}", reply.cache_status());
        assert_eq!(reply.text(), "[]");
        assert_eq!(app.last("/me").header("x-secret"), "");
    }
    let reply = client.get("/me").await;
    assert!(!reply.is_hit(), "nothing of it was kept");
}

/// R7: heads of any size are refused, and nothing of them reaches the app.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_megabyte_of_fields_is_refused() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), "");
    let many: String = (0..5_000)
        .map(|nth| format!("x-{nth}: {}\r\n", "y".repeat(90)))
        .collect();
    let one = format!("x: {}\r\n", "y".repeat(500_000));
    for (name, fields) in [("many", many), ("one", one)] {
        let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let answer = conversation(&sidecar, request.as_bytes()).await;
        // The refusal is lost where the connection is reset below what is still being sent.
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 431");
        assert!(refused, "{name}: {answer}");
        assert_eq!(app.count("/a"), 0, "{name}");
    }
    assert_eq!(sidecar.client().get("/a").await.text(), "ok");
}

/// R7: a crowd that sends its heads or bodies slowly holds up nobody, and is sent away.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_crowd_holds_up_nobody() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("ok").cache_control("max-age=60")
    });
    app.on("GET", "/pass", |_| Answer::text("ok"));
    app.on("POST", "/up", |_| Answer::text("ok"));
    let toml = format!("{RFC}\n[listen]\nheader_timeout = \"3s\"\nbody_timeout = \"3s\"");
    let sidecar = Sidecar::start(&app.url(), &toml);
    let mut crowd = Vec::new();
    for nth in 0..400 {
        let mut slow = TcpStream::connect(sidecar.addr())
            .await
            .expect("it listens");
        let begun: &[u8] = match nth % 2 {
            0 => b"GET /a HTTP/1.1\r\nHost: a\r\nX: ",
            _ => b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        };
        slow.write_all(begun).await.expect("it reads");
        crowd.push(slow);
    }
    let client = sidecar.client();
    for _ in 0..20 {
        assert_eq!(client.get("/a").await.text(), "ok");
        assert_eq!(client.get("/pass").await.text(), "ok");
    }
    for mut slow in crowd {
        let mut answer = Vec::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "a slow client is sent away");
    }
    assert_eq!(
        app.seen()
            .iter()
            .filter(|seen| seen.path == "/up" && seen.body.len() == 100)
            .count(),
        0
    );
}

/// R8: what one request makes the app refuse is not the next one's answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_provoked_by_one_request_is_kept_from_others() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        let odd =
            seen.header("x-big").len() > 8_000 || !seen.header("x-http-method-override").is_empty();
        if odd {
            Answer::status(400)
        } else {
            Answer::text("board")
        }
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let big = "x".repeat(9_000);
    for (id, name, value) in [
        (1, "x-big", big.as_str()),
        (2, "x-http-method-override", "TRACE"),
    ] {
        let path = format!("/board?id={id}");
        let poisoned = client.request("GET", &path).header(name, value);
        assert_eq!(poisoned.send().await.status, 400, "{name}");
        let clean = client.get(&path).await;
        assert_eq!(
            (clean.status.as_u16(), clean.text()),
            (200, "board"),
            "{name}"
        );
    }
    let asked = app.count("/board");
    let control = "GET /board?id=3 HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\nConnection: close\r\n\r\n";
    let answer = conversation(&sidecar, control.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(app.count("/board"), asked, "not forwarded");
    assert_eq!(client.get("/board?id=3").await.text(), "board");
}

/// What comes behind a body whose end is in doubt is answered by nobody, rather than taken for a part of it
/// in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_bare_line_feed_behind_the_last_chunk_swallows_no_request() {
    let rows = [
        ("no end of the trailers", "3\r\nabc\r\n0\r\n\n", "400"),
        (
            "within the trailers",
            "3\r\nabc\r\n0\r\nX-Sum: 1\n\n",
            "200",
        ),
        ("in a chunk's line", "3\nabc\r\n0\r\n\r\n", "400"),
        ("in an extension", "3;a\n\r\nabc\r\n0\r\n\r\n", "400"),
        ("behind a chunk", "3\r\nabc\n0\r\n\r\n", "400"),
        ("in the last chunk's line", "3\r\nabc\r\n0\n\r\n", "400"),
    ];
    for method in ["POST", "GET"] {
        for (name, body, status) in rows {
            let app = TestApp::start().await;
            app.on(method, "/first", |_| Answer::text("first"));
            app.on("GET", "/smuggled", |_| Answer::text("smuggled"));
            let sidecar = Sidecar::start(&app.url(), RFC);
            let head = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let requests = format!("{method} /first {head}{body}{SMUGGLED}");
            // It closes by itself.
            let answers = conversation(&sidecar, requests.as_bytes()).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(
                answers.starts_with(&expected),
                "{method}, {name}: {answers}"
            );
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{name}: {answers}");
            assert!(answers.contains("connection: close"), "{name}: {answers}");
            assert_eq!(app.count("/smuggled"), 0, "{method}, {name}");
        }
    }
}

/// Where Pannier or the app answers before it has read the body, its end is in doubt as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_bare_line_feed_behind_an_unread_body_swallows_no_request() {
    let body = "3\r\nabc\r\n0\r\n\n";
    let fields = "Host: a\r\nTransfer-Encoding: chunked\r\n";
    for (name, line) in [
        ("ready", "GET /ready HTTP/1.1\r\n"),
        ("trace", "TRACE / HTTP/1.1\r\nMax-Forwards: 0\r\n"),
        (
            "only if cached",
            "GET / HTTP/1.1\r\nCache-Control: only-if-cached\r\n",
        ),
    ] {
        let app = TestApp::start().await;
        let config = format!("{RFC}\n[listen]\nready_path = \"/ready\"\n");
        let sidecar = Sidecar::start(&app.url(), &config);
        let requests = format!("{line}{fields}\r\n{body}{SMUGGLED}");
        let answers = conversation(&sidecar, requests.as_bytes()).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{name}: {answers}");
        assert!(answers.contains("connection: close"), "{name}: {answers}");
        assert_eq!(app.count("/smuggled"), 0, "{name}");
    }

    let early = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let app = RawApp::start(move |_| vec![Step::send(early)]).await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let mut client = RawClient::connect(sidecar.addr()).await;
    client
        .send(&format!("POST /first HTTP/1.1\r\n{fields}\r\n3\r\nabc\r\n"))
        .await;
    let head = client.head().await;
    assert!(head.contains("connection: close"), "{head}");
}
