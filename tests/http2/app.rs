//! HTTP/2 to the app: `[upstream] http2 = true`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Response, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::support::Gate;
use crate::support::app::{Answer, Speaks, TestApp};
use crate::support::client::exchange_raw;
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RawHttp2, SETTINGS, fields, frame,
};
use crate::support::raw_app::{RawApp, Step as RawStep};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;
use crate::support::tls::Certificate;

const HTTP2: &str = "[upstream]\nhttp2 = true\n[listen]\nworkers = 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_a_connection_and_keep_their_host() {
    let app = TestApp::speaking(Speaks::Http2(100)).await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("POST", "/echo", move |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body)).behind(&shut)
    });
    let sidecar = Sidecar::start(&app.url(), HTTP2);
    // The first connects, so that the others find the connection.
    gate.open();
    sidecar.client().json("POST", "/echo", "0").await;
    gate.shut();
    let mut asking = Vec::new();
    for (client, host) in [
        (sidecar.client(), "a.example".to_owned()),
        (sidecar.client(), "b.example:81".to_owned()),
        (sidecar.http2(), sidecar.addr().to_string()),
    ] {
        let request = client.request("POST", "/echo?q=1").header("host", &host);
        let answer = tokio::spawn(request.body(host.clone()).send());
        asking.push((host, answer));
    }
    gate.reached(1 + asking.len()).await;
    gate.open();
    for (body, answer) in asking {
        assert_eq!(answer.await.expect("no panic").text(), body);
    }
    assert_eq!(app.connections(), 1);
    for seen in &app.seen()[1..] {
        assert_eq!(seen.version, Version::HTTP_2);
        assert_eq!(seen.query.as_deref(), Some("q=1"));
        let host = seen.authority.as_deref().expect("an authority");
        assert_eq!(seen.header("x-forwarded-host"), host);
        for name in ["host", "connection", "transfer-encoding", "te"] {
            assert_eq!(seen.header(name), "", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_stored_and_stream_as_ever() {
    let app = TestApp::speaking(Speaks::Http2(100)).await;
    let large = "x".repeat(900_000);
    let body = large.clone();
    app.on("GET", "/a", move |_| {
        Answer::text(body.clone())
            .cache_control("max-age=60")
            .header("x-long", &"y".repeat(60_000))
    });
    app.on("HEAD", "/a", |_| Answer::status(200).header("x-a", "1"));
    let sidecar = Sidecar::start(
        &app.url(),
        &format!("{HTTP2}[defaults]\nunmatched = \"rfc9111\""),
    );
    let head = sidecar.client().request("HEAD", "/a").send().await;
    assert_eq!((head.status.as_u16(), head.header("x-a")), (200, "1"));
    for client in [sidecar.client(), sidecar.http2()] {
        let reply = client.get("/a").await;
        assert_eq!(reply.body.len(), large.len());
        assert_eq!(reply.header("x-long").len(), 60_000);
    }
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let silence = std::time::Duration::from_secs(5);
    exchange_raw(sidecar.addr(), request.as_bytes(), silence).await;
    assert_eq!(app.last("*").authority.as_deref(), Some("a"));
}

/// An app that takes few requests at a time gets more connections, not longer queues.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_connection_gets_a_neighbour() {
    let app = TestApp::speaking(Speaks::Http2(2)).await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), HTTP2);
    let client = sidecar.http2();
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/slow").await })
        })
        .collect();
    gate.reached(5).await;
    assert_eq!(app.connections(), 3);
    gate.open();
    for answer in asking {
        assert_eq!(answer.await.expect("no panic").text(), "done");
    }
}

/// An app that answers each stream by `script`, which is told how many came before.
async fn scripted(script: fn(usize) -> Step) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    match script(counter.fetch_add(1, Ordering::Relaxed)) {
                        Step::Answer => {
                            let mut body = respond
                                .send_response(Response::new(()), false)
                                .expect("an open stream");
                            body.send_data(Bytes::from_static(b"ok"), true)
                                .expect("an open stream");
                        }
                        Step::Reset(reason) => respond.send_reset(reason),
                        Step::Half => {
                            let answer = Response::builder().header("cache-control", "max-age=60");
                            let answer = answer.body(()).expect("an answer");
                            let mut body = respond
                                .send_response(answer, false)
                                .expect("an open stream");
                            body.send_data(Bytes::from_static(b"half"), false)
                                .expect("an open stream");
                            tokio::spawn(async move {
                                // What is queued goes out before the reset.
                                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                                body.send_reset(h2::Reason::NO_ERROR);
                            });
                        }
                        Step::Close => return,
                    }
                }
            });
        }
    });
    (url, count)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Answer,
    Reset(h2::Reason),
    /// Half a body, then a reset that says it is no error.
    Half,
    /// The connection, without a word.
    Close,
}

/// Only the end of a stream ends a body, not a reset, whatever it says (reliability.md A1).
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reset_within_a_body_is_never_taken_for_its_end() {
    let (url, count) = scripted(|_| Step::Half).await;
    let sidecar = Sidecar::start(&url, &format!("{HTTP2}[defaults]\nunmatched = \"rfc9111\""));
    for nth in 1..4 {
        let reply = sidecar.client().request("GET", "/").try_send().await;
        assert!(
            reply.is_err() || reply.is_ok_and(|reply| reply.status == 502),
            "half a body was taken for all"
        );
        assert_eq!(count.load(Ordering::Relaxed), nth);
    }
}

/// RFC 9113 §8.7: what was refused unseen is sent again whatever its method; what may have been seen,
/// for reads alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_has_not_seen_is_sent_again() {
    type Script = fn(usize) -> Step;
    let refused: Script = |nth| match nth {
        0 => Step::Reset(h2::Reason::REFUSED_STREAM),
        _ => Step::Answer,
    };
    let always: Script = |_| Step::Reset(h2::Reason::REFUSED_STREAM);
    let failed: Script = |nth| match nth {
        0 => Step::Reset(h2::Reason::INTERNAL_ERROR),
        _ => Step::Answer,
    };
    let closed: Script = |nth| match nth {
        0 => Step::Close,
        _ => Step::Answer,
    };
    let rows: [(&str, Script, &str, u16, usize); 7] = [
        ("refused", refused, "GET", 200, 2),
        ("refused", refused, "POST", 200, 2),
        ("refused always", always, "GET", 502, 3),
        ("failed", failed, "GET", 502, 1),
        ("failed", failed, "POST", 502, 1),
        ("closed", closed, "GET", 200, 2),
        ("closed", closed, "POST", 502, 1),
    ];
    for (name, script, method, status, sent) in rows {
        let (url, count) = scripted(script).await;
        let sidecar = Sidecar::start(&url, HTTP2);
        let reply = sidecar.client().request(method, "/").send().await;
        let got = (reply.status.as_u16(), count.load(Ordering::Relaxed));
        assert_eq!(got, (status, sent), "{name} {method}");
    }
}

/// A write that was refused unseen purges nothing; one that may have been seen does (promise I2).
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_purges_nothing() {
    for (name, reason, hit) in [
        ("refused", h2::Reason::REFUSED_STREAM, true),
        ("failed", h2::Reason::INTERNAL_ERROR, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        if request.method() == "GET" {
                            let answer = Response::builder().header("cache-control", "max-age=60");
                            let answer = answer.body(()).expect("an answer");
                            let _ = respond.send_response(answer, true);
                        } else {
                            respond.send_reset(reason);
                        }
                    }
                });
            }
        });
        let sidecar = Sidecar::start(&url, &format!("{HTTP2}[defaults]\nunmatched = \"rfc9111\""));
        let client = sidecar.client();
        let stored = std::time::Duration::from_secs(10);
        crate::support::eventually("stored", stored, || async {
            client.get("/a").await.is_hit()
        })
        .await;
        assert_eq!(
            client.request("PUT", "/a").send().await.status,
            502,
            "{name}"
        );
        assert_eq!(client.get("/a").await.is_hit(), hit, "{name}");
    }
}

/// A connection that the app is closing (`GOAWAY`) takes no further request.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_going_away_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let _ = respond.send_response(Response::new(()), true);
                    connection.graceful_shutdown();
                }
            });
        }
    });
    let sidecar = Sidecar::start(&url, HTTP2);
    let client = sidecar.client();
    for n in 0..20 {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        let reply = client.request(method, "/").body("x").send().await;
        assert_eq!(reply.status, 200, "{n}");
    }
    assert!(connections.load(Ordering::Relaxed) > 1);
}

/// HTTP/2 has no upgrade, so a WebSocket goes to the same address over HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_over_http1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream)
                    .await
                    .expect("a handshake of HTTP/1.1");
                while let Some(Ok(message)) = socket.next().await {
                    let _ = socket.send(message).await;
                }
            });
        }
    });
    let sidecar = Sidecar::start(&url, HTTP2);
    let asking = tokio_tungstenite::connect_async(format!("ws://{}/ws", sidecar.addr()));
    let (mut socket, _) = asking.await.expect("a handshake");
    socket.send(Message::text("hello")).await.expect("open");
    let echoed = socket.next().await.expect("an echo").expect("a message");
    assert_eq!(echoed.into_text().expect("text"), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_alpn_decides() {
    let certificate = Certificate::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (ca_file, _) = certificate.write(folder.path());
    let toml = |http2: bool| {
        format!(
            "[upstream]\nhttp2 = {http2}\nca_file = {:?}\n",
            ca_file.display().to_string()
        )
    };
    let rows = [
        ("both", &["h2", "http/1.1"][..], true, Some(Version::HTTP_2)),
        (
            "both, not asked for",
            &["h2", "http/1.1"],
            false,
            Some(Version::HTTP_11),
        ),
        ("old app", &["http/1.1"], false, Some(Version::HTTP_11)),
        ("old app, asked for", &["http/1.1"], true, None),
        ("app without ALPN, asked for", &[], true, None),
    ];
    for (name, offers, http2, version) in rows {
        let app = TestApp::speaking(Speaks::Tls(certificate.server(offers))).await;
        app.on("GET", "/", |_| Answer::text("tls"));
        let sidecar = Sidecar::start(&app.url(), &toml(http2));
        let reply = sidecar.client().get("/").await;
        let seen = app.seen().first().map(|seen| seen.version);
        assert_eq!(seen, version, "{name}");
        assert_eq!(reply.status == 200, version.is_some(), "{name}");
    }
}

/// Nothing is sent to an app that does not begin as HTTP/2 does, so nothing is purged for it either.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_http1_is_told_apart() {
    let app = TestApp::start().await;
    // Its backlog takes connections, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("bound"));
    for url in [app.url(), silent] {
        let sidecar = Sidecar::start(
            &url,
            "[upstream]\nhttp2 = true\nconnect_timeout = \"500ms\"",
        );
        for method in ["GET", "POST"] {
            let reply = sidecar.client().request(method, "/").send().await;
            assert_eq!(reply.status, 502, "{url} {method}");
        }
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_app_fails_all_who_wait_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let sidecar = Sidecar::start(&url, HTTP2);
    let client = sidecar.http2();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/").await.status })
        })
        .collect();
    for status in asking {
        assert_eq!(status.await.expect("no panic"), 502);
    }
}

/// An app that answers the first request of each connection with these frames.
async fn answering(frames: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let frames = frames.concat();
            tokio::spawn(async move {
                let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
                let mut read = vec![0; PREFACE.len()];
                stream.read_exact(&mut read).await.expect("a preface");
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let [a, b, c, kind, ..] = head;
                    read.resize(u32::from_be_bytes([0, a, b, c]) as usize, 0);
                    stream.read_exact(&mut read).await.expect("a whole frame");
                    if kind == HEADERS {
                        let _ = stream.write_all(&frames).await;
                    }
                }
            });
        }
    });
    url
}

/// RFC 9113 §8.1, §8.6: there are no pseudo-fields in trailers, and no 101. h2 tells nobody of either, so that
/// they cannot be refused; nothing of them goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_101_and_pseudo_fields_in_trailers_stay_behind() {
    let head =
        |flags: u8, block: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &fields(block));
    let ok = || head(0, &[(":status", "200"), ("trailer", "x-sum")]);
    let rows = [
        (
            "101 before the answer",
            vec![
                head(0, &[(":status", "101")]),
                ok(),
                frame(DATA, END_STREAM, 1, b"ok"),
            ],
            "200",
        ),
        (
            "101 alone",
            vec![head(END_STREAM, &[(":status", "101")])],
            "502",
        ),
        (
            "trailers",
            vec![
                ok(),
                frame(DATA, 0, 1, b"ok"),
                head(END_STREAM, &[(":path", "/evil"), ("x-sum", "1")]),
            ],
            "200",
        ),
    ];
    for (name, frames, status) in rows {
        let sidecar = Sidecar::start(&answering(frames).await, HTTP2);
        let mut client = RawClient::connect(sidecar.addr()).await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\n\r\n")
            .await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
        assert!(!answer.contains("/evil"), "{name}: {answer}");
        assert_eq!(answer.contains("x-sum: 1"), name == "trailers", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_http2_are_sent_no_101_and_send_no_pseudo_fields_in_trailers() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![RawStep::send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        )],
        _ => vec![
            RawStep::read("x-sum: 1\r\n\r\n"),
            RawStep::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ],
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "");
    assert_eq!(sidecar.http2().get("/").await.status, 502);

    let mut client = RawHttp2::begin(sidecar.addr(), &[]).await;
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/up"),
        (":authority", "a"),
        ("trailer", "x-sum"),
    ];
    let trailers = [(":path", "/evil"), ("x-sum", "1")];
    for (kind, flags, payload) in [
        (HEADERS, END_HEADERS, fields(&request)),
        (DATA, 0, b"body".to_vec()),
        (HEADERS, END_HEADERS | END_STREAM, fields(&trailers)),
    ] {
        client.send(&frame(kind, flags, 1, &payload)).await;
    }
    client.next_of(HEADERS).await.expect("an answer");
    let received = app.request(1);
    assert!(received.contains("x-sum: 1"), "{received}");
    assert!(!received.contains("/evil"), "{received}");
}
