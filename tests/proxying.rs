//! What passes through: methods, fields, bodies, upgrades, event streams, broken requests.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Gate;
use crate::support::app::{Answer, Speaks, TestApp};
use crate::support::client::exchange_raw;
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const QUIET: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn unmatched_requests_pass_both_ways_unchanged() {
    let app = TestApp::start().await;
    app.on("GET", "/plain", |_| {
        Answer::text("hello")
            .header("x-twice", "1")
            .header("x-twice", "2")
    });
    app.on("POST", "/echo", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let client = sidecar.client();

    let reply = client
        .request("GET", "/plain?a=%61&b")
        .header("x-own", "kept")
        .send()
        .await;
    assert_eq!(reply.text(), "hello");
    let twice: Vec<_> = reply.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2"]);
    assert_eq!(
        reply.cache_status(),
        "pannier; fwd=bypass; fwd-status=200; detail=no-rule"
    );
    let seen = app.last("/plain");
    assert_eq!(seen.query.as_deref(), Some("a=%61&b"));
    assert_eq!(seen.header("x-own"), "kept");
    assert_eq!(seen.header("via"), "1.1 pannier");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-host"), sidecar.addr().to_string());
    assert_eq!(seen.header("host"), sidecar.addr().to_string());

    assert_eq!(
        client.json("POST", "/echo", r#"{"a":1}"#).await.text(),
        r#"{"a":1}"#
    );
    assert_eq!(client.get("/absent").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_connection_stay_behind() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| {
        Answer::text("x")
            .header("connection", "x-private")
            .header("x-private", "1")
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let reply = sidecar
        .client()
        .request("GET", "/")
        .header("connection", "x-secret")
        .header("x-secret", "1")
        .header("te", "trailers")
        .send()
        .await;
    assert!(!reply.headers.contains_key("x-private"));
    let seen = app.last("/");
    assert_eq!(seen.header("x-secret"), "");
    assert_eq!(
        (seen.header("te"), seen.header("connection")),
        ("trailers", "te"),
        "said anew, for the app's connection"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_before_anything_is_forwarded() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "");
    for (name, request) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("space in host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "target and host disagree",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "two codings",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "leading zero",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc",
        ),
        ("lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let answer = exchange_raw(sidecar.addr(), request.as_bytes(), QUIET).await;
        let head = String::from_utf8_lossy(&answer);
        assert!(head.starts_with("HTTP/1.1 400"), "{name}: {head}");
    }
    let answer = exchange_raw(
        sidecar.addr(),
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        QUIET,
    )
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 501"), "CONNECT");
    assert_eq!(app.seen().len(), 0);
}

/// Old clients and scripts send them: the app gets what they mean, as nothing but visible ASCII, and rules see the same.
#[tokio::test(flavor = "multi_thread")]
async fn raw_characters_in_a_target_are_encoded() {
    let app = TestApp::start().await;
    let config = "[[route]]\nname = \"cafe\"\npath = \"/caf%C3%A9\"\nkey = \"cafe:{query}\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let mut client = RawClient::connect(sidecar.addr()).await;
    let rows = [
        ("/caf\u{e9}", "/caf%C3%A9", ""),
        ("/search?q=\"x\"", "/search", "q=%22x%22"),
        ("/search?q=<x>", "/search", "q=%3Cx%3E"),
        ("/search?q=a|b", "/search", "q=a|b"),
        ("/<a>", "/%3Ca%3E", ""),
    ];
    for (number, (target, path, query)) in rows.into_iter().enumerate() {
        // On one connection, also after a write, and with what looks like a request in a body.
        let body = format!("GET /{target} HTTP/1.1\r\n\r\n");
        let length = body.len();
        let write =
            format!("PUT /w/{number} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        client.send(&write).await;
        client.send(&body).await;
        client.head().await;
        let got = app.last(&format!("/w/{number}"));
        assert_eq!(String::from_utf8_lossy(&got.body), body);
        client.send("GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.head().await;
        client
            .send(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert_eq!(head.contains("rule=cafe"), path == "/caf%C3%A9", "{head}");
        let seen = app.last(path);
        assert_eq!(seen.query.unwrap_or_default(), query, "{target}");
    }
}

/// reliability.md R1: hyper drops the length of a chunked request before it can be seen here; what
/// reaches the app is one request with one framing.
#[tokio::test(flavor = "multi_thread")]
async fn two_framings_become_one() {
    let app = TestApp::start().await;
    app.on("POST", "/a", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                   0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    exchange_raw(sidecar.addr(), request.as_bytes(), QUIET).await;
    let seen = app.last("/a");
    assert_eq!(
        (
            seen.header("transfer-encoding"),
            seen.header("content-length")
        ),
        ("chunked", "")
    );
    assert!(seen.body.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_app_is_a_502_and_a_silent_one_a_504() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    let sidecar = Sidecar::start(&format!("http://{address}"), "");
    let reply = sidecar.client().get("/").await;
    assert_eq!(reply.status, 502);
    assert!(
        reply.cache_status().contains("detail=upstream-error"),
        "{}",
        reply.cache_status()
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let sidecar = Sidecar::start(
        &url,
        "[upstream]\ntimeout = \"200ms\"\n[defaults]\nunmatched = \"rfc9111\"",
    );
    for method in ["GET", "POST"] {
        let reply = sidecar.client().request(method, "/").send().await;
        assert_eq!(reply.status, 504, "{method}");
        assert!(
            reply.cache_status().contains("detail=upstream-timeout"),
            "{}",
            reply.cache_status()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_handed_over() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream)
                    .await
                    .expect("a handshake");
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        socket.send(message).await.expect("an open socket");
                    }
                }
            });
        }
    });
    let sidecar = Sidecar::start(
        &url,
        "[listen]\nheader_timeout = \"200ms\"\nidle_timeout = \"200ms\"",
    );
    let (mut socket, answer) =
        tokio_tungstenite::connect_async(format!("ws://{}/ws", sidecar.addr()))
            .await
            .expect("a handshake");
    assert_eq!(answer.status(), 101);
    assert!(
        answer.headers()["cache-status"]
            .to_str()
            .expect("text")
            .contains("detail=upgrade")
    );
    // Longer than a head or an idle connection may take.
    socket
        .send(Message::binary(vec![1]))
        .await
        .expect("an open socket");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(
        metrics.text().contains("pannier_connections 1\n"),
        "a relay counts as a connection"
    );
    for text in ["one", "two"] {
        socket
            .send(Message::text(text))
            .await
            .expect("an open socket");
        let echoed = socket.next().await.expect("an answer").expect("a message");
        assert_eq!(echoed.into_text().expect("text"), text);
    }
}

/// reliability.md R5: nothing is relayed raw before a 101.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_app_declines_is_an_ordinary_exchange() {
    let app = TestApp::start().await;
    app.on("GET", "/ws", |_| Answer::text("no"));
    app.on("GET", "/next", |_| Answer::text("next"));
    let sidecar = Sidecar::start(&app.url(), "");
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n\
                   GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange_raw(sidecar.addr(), request.as_bytes(), QUIET).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    assert_eq!(app.count("/next"), 1);
}

/// Event by event, whatever its kind, and not cut by the deadline of other answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_arrives_event_by_event() {
    for kind in [
        "text/event-stream",
        "application/x-ndjson",
        "multipart/x-mixed-replace; boundary=x",
    ] {
        let app = TestApp::start().await;
        let (answer, events) = Answer::piecewise();
        let answer = std::sync::Mutex::new(Some(answer.header("content-type", kind)));
        app.on("GET", "/events", move |_| {
            answer
                .lock()
                .expect("unpoisoned")
                .take()
                .expect("asked once")
        });
        let sidecar = Sidecar::start(
            &app.url(),
            "[upstream]\nbody_timeout = \"100ms\"\n[defaults]\nunmatched = \"rfc9111\"",
        );
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            // Longer than the body timeout of other answers.
            tokio::time::sleep(Duration::from_millis(150)).await;
            events.send(Ok(event.into())).expect("the app is there");
            client.until(event).await;
        }
    }
}

/// What a client does not finish is its own fault: 400 or 408, and no failure of the app.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_the_client_s_fault() {
    let rows = [
        ("no chunk", "Transfer-Encoding: chunked", "zz\r\n", "400"),
        (
            "no end of a chunk",
            "Transfer-Encoding: chunked",
            "3\r\n1234\r\n",
            "400",
        ),
        (
            "nothing behind a chunk",
            "Transfer-Encoding: chunked",
            "3\r\n123\r\n\r\n",
            "400",
        ),
        ("stalled", "Content-Length: 5", "123", "408"),
        (
            "stalled in chunks",
            "Transfer-Encoding: chunked",
            "3\r\n123\r\n",
            "408",
        ),
    ];
    for speaks in [Speaks::Http1, Speaks::Http2(100)] {
        let app = TestApp::speaking(speaks.clone()).await;
        let http2 = matches!(speaks, Speaks::Http2(_));
        let config = format!("[listen]\nbody_timeout = \"300ms\"\n[upstream]\nhttp2 = {http2}\n");
        let sidecar = Sidecar::start(&app.url(), &config);
        for method in ["POST", "GET"] {
            for (name, framing, body, status) in rows {
                let mut client = RawClient::connect(sidecar.addr()).await;
                let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
                client.send(&format!("{head}{body}")).await;
                let answer = client.rest().await;
                let expected = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&expected), "{method}, {name}: {answer}");
                assert!(answer.contains("connection: close"), "{name}: {answer}");
                assert!(answer.contains("pannier; detail=bad-request"), "{answer}");
            }
        }
        let metrics = sidecar.admin().get("/metrics").await;
        assert!(!metrics.text().contains("upstream-error"), "{http2}");
    }
}

/// An upload is limited by its own silence, not by how long it takes in all.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_outlives_the_answers_deadline() {
    let app = TestApp::start().await;
    app.on("POST", "/up", |seen| {
        Answer::text(seen.body.len().to_string())
    });
    let sidecar = Sidecar::start(&app.url(), "[upstream]\ntimeout = \"400ms\"");
    let mut stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    stream
        .write_all(
            b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",
        )
        .await
        .expect("it reads");
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"x").await.expect("it reads");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("10"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_silent_connections_are_ended() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(
        &app.url(),
        "[listen]\nheader_timeout = \"300ms\"\nidle_timeout = \"600ms\"",
    );

    let mut slow = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    slow.write_all(b"GET / HT").await.expect("it reads");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a slow head is not waited for");

    let mut idle = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("it reads");
    let mut piece = [0; 4096];
    assert_ne!(idle.read(&mut piece).await.expect("an answer"), 0);
    // Past the deadline of a head, before that of silence: still open.
    tokio::time::sleep(Duration::from_millis(400)).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("still open");
    assert_ne!(idle.read(&mut piece).await.expect("an answer"), 0);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), idle.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a silent connection is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_upstream() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut piece = [0; 4096];
            let _ = stream.read(&mut piece).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")
                .await;
        }
    });
    let sidecar = Sidecar::start(&format!("unix:{}", path.display()), "");
    assert_eq!(sidecar.client().get("/").await.text(), "unix");
}

/// `https://` with an authority of one's own, and refused without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tls_upstream() {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).expect("a writable folder");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a matching key");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut piece = [0; 4096];
                let _ = stream.read(&mut piece).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls")
                    .await;
            });
        }
    });
    let url = format!("https://localhost:{port}");
    let trusting = format!("[upstream]\nca_file = {:?}", ca_file.display().to_string());
    let sidecar = Sidecar::start(&url, &trusting);
    assert_eq!(sidecar.client().get("/").await.text(), "tls");
    let doubting = Sidecar::start(&url, "");
    assert_eq!(doubting.client().get("/").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_limited_and_uploads_may_not_stall() {
    let app = TestApp::start().await;
    app.on("POST", "/up", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(
        &app.url(),
        "[listen]\nmax_head = \"8KiB\"\nbody_timeout = \"300ms\"",
    );
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let answer = exchange_raw(sidecar.addr(), long.as_bytes(), QUIET).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let mut stalled = RawClient::connect(sidecar.addr()).await;
    stalled
        .send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let answer = stalled.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Promise I7: where all are busy, who finds no place waits in the backlog, and gets one when another leaves.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_capped() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_connections = 4\nworkers = 1");
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        held.push(client);
    }
    gate.reached(4).await;
    let mut fifth = TcpStream::connect(sidecar.addr())
        .await
        .expect("the backlog takes it");
    fifth
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("it is buffered");
    let mut piece = [0; 1024];
    assert!(
        tokio::time::timeout(QUIET, fifth.read(&mut piece))
            .await
            .is_err(),
        "no place yet"
    );
    gate.open();
    for client in &mut held {
        client.until("done").await;
    }
    held.pop();
    let read = tokio::time::timeout(Duration::from_secs(30), fifth.read(&mut piece)).await;
    assert_ne!(read.expect("a place").expect("an answer"), 0);
}

/// Promise I7: a write goes on when its client has left, and keeps the place of its connection until the app has answered.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_outlive_their_clients_are_capped() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("POST", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_connections = 2\nworkers = 1");
    for nth in 1..=2 {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client
            .send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .await;
        gate.reached(nth).await;
    }
    let mut third = TcpStream::connect(sidecar.addr())
        .await
        .expect("the backlog takes it");
    third
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("it is buffered");
    let mut piece = [0; 1024];
    assert!(
        tokio::time::timeout(QUIET, third.read(&mut piece))
            .await
            .is_err(),
        "no place yet"
    );
    gate.open();
    let read = tokio::time::timeout(Duration::from_secs(30), third.read(&mut piece)).await;
    assert_ne!(read.expect("a place").expect("an answer"), 0);
}

/// An app that closes an idle connection just as a request goes out on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_tried_once_more_for_reads_alone() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (method, last, requests) in [("GET", 200, 2), ("POST", 502, 1)] {
        let app = RawApp::start(move |nth| match nth {
            0 => vec![Step::Close],
            _ => vec![Step::send(ok)],
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), "");
        let reply = sidecar.client().request(method, "/").send().await;
        assert_eq!(
            (reply.status.as_u16(), app.count()),
            (last, requests),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_app_closes_at_once_is_replaced() {
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", app.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            // As some do that have just been told to stop; the next one is there for good.
            drop(app.accept().await.unwrap());
            let (mut connection, _) = app.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = connection.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = connection.write_all(answer).await;
        }
    });
    let sidecar = Sidecar::start(&url, "");
    for nth in 0..50 {
        let reply = sidecar.client().get("/").await;
        assert_eq!(reply.status, 200, "request {nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_get_keeps_its_body() {
    let app = TestApp::start().await;
    app.on("GET", "/search", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let request = "GET /search HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   5\r\nquery\r\n0\r\n\r\n";
    let answer = exchange_raw(sidecar.addr(), request.as_bytes(), QUIET).await;
    assert!(
        answer.ends_with(b"query"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// An app that has seen enough of an upload answers, and closes while the rest is still coming: the client gets
/// that answer, not a broken connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_to_an_upload_reaches_the_client() {
    let refusal =
        "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge";
    let app = RawApp::start(move |_| {
        // The end of the head, and of the first bytes behind it; what follows is never read.
        vec![Step::read("\r\n\r\nxxxx"), Step::send(refusal), Step::Close]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "");
    for _ in 0..20 {
        let mut client = TcpStream::connect(sidecar.addr())
            .await
            .expect("it listens");
        let (mut answers, mut upload) = client.split();
        let head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n";
        let piece = vec![b'x'; 1 << 16];
        let sending = async {
            let _ = upload.write_all(head.as_bytes()).await;
            // A client reads its answer only when it is through with sending, or cannot go on.
            for _ in 0..760 {
                if upload.write_all(&piece).await.is_err() {
                    return;
                }
            }
        };
        let mut answer = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..length]);
                if answer.ends_with(b"large") {
                    return;
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = async { sending.await; std::future::pending().await } => {}
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
        assert!(answer.ends_with("large"), "{answer:?}");
    }
}
