//! HTTP/2 from clients: what is served, what is refused; towards the app in `app`, slow and greedy
//! clients in `limits`.

mod app;
mod limits;

use std::future::poll_fn;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use tokio::net::TcpStream;

use crate::support::Gate;
use crate::support::app::{Answer, TestApp};
use crate::support::http2::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, RawHttp2, fields, frame,
};
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::Sidecar;

const ROUTE: &str = r#"
[[route]]
name = "page"
path = "/page"
key = "page:{cookie.b|none}"
ignore_cookies = ["a"]
ttl = "5m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_share_a_port_and_a_cache() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |seen| Answer::text(seen.nth.to_string()));
    let sidecar = Sidecar::start(&app.url(), ROUTE);
    let (http1, http2) = (sidecar.client(), sidecar.http2());
    let first = http2.get("/page").await;
    assert_eq!(first.version, Version::HTTP_2);
    assert!(first.cache_status().contains("stored"));
    let second = http1.get("/page").await;
    assert_eq!(second.version, Version::HTTP_11);
    assert!(second.is_hit() && http2.get("/page").await.is_hit());
    assert_eq!(app.count("/page"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_gets_a_whole_request_and_the_client_no_field_of_a_connection() {
    let app = TestApp::start().await;
    app.on("POST", "/echo", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
            .header("connection", "keep-alive, x-own")
            .header("keep-alive", "timeout=5")
            .header("x-own", "1")
            .header("x-twice", "1")
            .header("x-twice", "2")
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let reply = sidecar
        .http2()
        .request("POST", "/echo?a=%61")
        .header("te", "trailers")
        .body("hello")
        .send()
        .await;
    assert_eq!((reply.version, reply.text()), (Version::HTTP_2, "hello"));
    for name in ["connection", "keep-alive", "transfer-encoding", "x-own"] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
    assert_eq!(reply.headers.get_all("x-twice").iter().count(), 2);
    let seen = app.last("/echo");
    assert_eq!(seen.version, Version::HTTP_11);
    assert_eq!(seen.query.as_deref(), Some("a=%61"));
    assert_eq!(seen.header("host"), sidecar.addr().to_string());
    assert_eq!(seen.header("via"), "2.0 pannier");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
}

/// RFC 9113 §8.2.3: before the key, the identity and the app see them.
#[tokio::test(flavor = "multi_thread")]
async fn split_cookies_are_one() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |seen| Answer::text(seen.header("cookie")));
    let sidecar = Sidecar::start(&app.url(), ROUTE);
    let ask = |fields: &'static [&'static str]| {
        let client = sidecar.http2();
        async move {
            let mut request = client.request("GET", "/page");
            for field in fields {
                request = request.header("cookie", field);
            }
            request.send().await
        }
    };
    assert_eq!(ask(&["a=1", "b=2"]).await.text(), "a=1; b=2");
    assert!(ask(&["a=1; b=2"]).await.is_hit(), "the same key");
    assert!(!ask(&["a=1", "b=3"]).await.is_hit(), "another key");
}

/// A body that no field announces makes a GET pass, and reaches the app.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_with_a_body_is_seen_as_one() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
    });
    let sidecar = Sidecar::start(&app.url(), ROUTE);
    for _ in 0..2 {
        let mut client = h2_client(&sidecar).await;
        let request = request("GET", &sidecar, "/page");
        let (answer, mut body) = client
            .send_request(request, false)
            .expect("an open connection");
        body.send_data(Bytes::from_static(b"query"), true)
            .expect("an open stream");
        let answer = answer.await.expect("an answer");
        let status = answer.headers()["cache-status"].to_str().expect("text");
        assert!(status.contains("detail=request-body"), "{status}");
        assert_eq!(gather(answer.into_body()).await, b"query");
    }
    assert_eq!(app.count("/page"), 2);
}

/// Has seen enough of an upload when it begins, and closes.
async fn refusing_uploads() -> RawApp {
    let refusal =
        "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge";
    RawApp::start(move |_| vec![Step::read("\r\n\r\n"), Step::send(refusal), Step::Close]).await
}

/// An upload whose answer is there before it was sent.
async fn refused(
    client: &mut h2::client::SendRequest<Bytes>,
    sidecar: &Sidecar,
) -> h2::SendStream<Bytes> {
    let request = request("POST", sidecar, "/upload");
    let sent = client.send_request(request, false);
    let (answer, upload) = sent.expect("an open connection");
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(gather(answer.into_body()).await, b"large");
    upload
}

/// Who is still sending may take the reset of its stream for the end of all, also of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_answered_early_may_go_on() {
    let app = refusing_uploads().await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = h2_client(&sidecar).await;
    for _ in 0..20 {
        let mut upload = refused(&mut client, &sidecar).await;
        // Together more than is let in while nobody reads.
        for nth in 1..=160 {
            let piece = Bytes::from(vec![b'x'; 1 << 14]);
            upload.reserve_capacity(piece.len());
            while upload.capacity() < piece.len() {
                let more = poll_fn(|cx| upload.poll_capacity(cx)).await;
                more.expect("an open stream").expect("no reset");
            }
            upload.send_data(piece, nth == 160).expect("an open stream");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_reads_is_reset_in_the_end() {
    let app = refusing_uploads().await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = h2_client(&sidecar).await;
    let mut upload = refused(&mut client, &sidecar).await;
    let reset = poll_fn(|cx| upload.poll_reset(cx)).await;
    assert_eq!(reset.expect("a reset"), h2::Reason::NO_ERROR);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none() {
    let app = TestApp::start().await;
    for method in ["GET", "HEAD"] {
        app.on(method, "/page", |_| {
            Answer::text("12345").header("etag", "\"e\"")
        });
    }
    let sidecar = Sidecar::start(&app.url(), ROUTE);
    let client = sidecar.http2();
    client.get("/page").await;
    let head = client.request("HEAD", "/page").send().await;
    assert!(head.is_hit());
    assert_eq!((head.header("content-length"), head.text()), ("5", ""));
    let same = client
        .request("GET", "/page")
        .header("if-none-match", "\"e\"");
    let same = same.send().await;
    assert_eq!((same.status, same.text()), (StatusCode::NOT_MODIFIED, ""));
    // Of Pannier's own: the app is gone.
    drop(app);
    let failed = client.request("HEAD", "/other").send().await;
    assert_eq!(
        (failed.status, failed.text()),
        (StatusCode::BAD_GATEWAY, "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_and_heads_pass_both_ways() {
    let large = "0123456789abcdef".repeat(200_000);
    let long = "x".repeat(60_000);
    let (body, field) = (large.clone(), long.clone());
    let app = TestApp::start().await;
    app.on("POST", "/echo", move |seen| {
        assert_eq!(seen.body.len(), 3_200_000);
        Answer::text(body.clone()).header("x-long", &field)
    });
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_head = \"128KiB\"");
    for client in [sidecar.client(), sidecar.http2()] {
        let mut request = client.request("POST", "/echo").header("x-long", &long);
        for n in 0..150 {
            request = request.header(&format!("x-{n}"), "1");
        }
        let reply = request.body(large.clone()).send().await;
        assert_eq!(reply.text().len(), large.len());
        assert_eq!(reply.header("x-long").len(), long.len());
        let seen = app.last("/echo");
        assert_eq!(seen.header("x-long").len(), long.len());
        assert_eq!(seen.header("x-149"), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_head_is_431() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_head = \"32KiB\"");
    for client in [sidecar.client(), sidecar.http2()] {
        for (fields, length, status) in [(200, 1, 200), (300, 1, 431), (1, 40_000, 431)] {
            let mut request = client.request("GET", "/");
            for n in 0..fields {
                request = request.header(&format!("x-{n}"), &"x".repeat(length));
            }
            let reply = request.send().await;
            assert_eq!(reply.status, status, "{fields} fields of {length} bytes");
        }
    }
    assert_eq!(app.count("/"), 2);
}

/// reliability.md R2 and R3, and what RFC 9113 §8 calls malformed.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_before_anything_is_forwarded() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "[defaults]\nunmatched = \"rfc9111\"");
    let get = [(":method", "GET"), (":scheme", "http")];
    let a = (":authority", "a");
    let root = (":path", "/");
    let rows: Vec<(&str, Vec<(&str, &str)>)> = vec![
        (
            "authority and host differ",
            [&get[..], &[a, root, ("host", "b")]].concat(),
        ),
        (
            "two hosts",
            [&get[..], &[root, ("host", "a"), ("host", "a")]].concat(),
        ),
        (
            "userinfo",
            [&get[..], &[(":authority", "u@a"), root]].concat(),
        ),
        ("no authority, no host", [&get[..], &[root]].concat()),
        (
            "empty authority",
            [&get[..], &[(":authority", ""), root]].concat(),
        ),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "a:443")],
        ),
        (
            "extended CONNECT",
            vec![
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ],
        ),
        ("GET *", [&get[..], &[a, (":path", "*")]].concat()),
        ("path without /", [&get[..], &[a, (":path", "x")]].concat()),
        (
            "a URL as path",
            [&get[..], &[a, (":path", "http://evil/")]].concat(),
        ),
        ("no path", [&get[..], &[a]].concat()),
        ("empty path", [&get[..], &[a, (":path", "")]].concat()),
        ("backslash", [&get[..], &[a, (":path", "/a\\b")]].concat()),
        (
            "another scheme",
            vec![(":method", "GET"), (":scheme", "ftp"), a, root],
        ),
        (
            "lower-case method",
            vec![(":method", "get"), (":scheme", "http"), a, root],
        ),
        (
            "upper-case field",
            [&get[..], &[a, root, ("X-A", "1")]].concat(),
        ),
        (
            "connection",
            [&get[..], &[a, root, ("connection", "x")]].concat(),
        ),
        (
            "keep-alive",
            [&get[..], &[a, root, ("keep-alive", "1")]].concat(),
        ),
        ("te", [&get[..], &[a, root, ("te", "gzip")]].concat()),
        (
            "transfer-encoding",
            [&get[..], &[a, root, ("transfer-encoding", "chunked")]].concat(),
        ),
        (
            "upgrade",
            [&get[..], &[a, root, ("upgrade", "websocket")]].concat(),
        ),
        (
            "length without body",
            [&get[..], &[a, root, ("content-length", "5")]].concat(),
        ),
        (
            "line break",
            [&get[..], &[a, root, ("x", "a\r\nb: c")]].concat(),
        ),
        (
            "pseudo-field after a field",
            [&get[..], &[a, ("x", "1"), root]].concat(),
        ),
        (
            "unknown pseudo-field",
            [&get[..], &[a, root, (":x", "1")]].concat(),
        ),
    ];
    for (name, list) in rows {
        let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&list)))
            .await;
        let answer = loop {
            match raw.next().await {
                Some(frame) if frame.stream == 1 || frame.kind == GOAWAY => break frame,
                Some(_) => {}
                None => panic!("{name}: no word"),
            }
        };
        // The first field is `:status`: 400 is index 12 of the static table (RFC 7541 §6.1), 501 a
        // literal with the name of index 8.
        let refused = match answer.kind {
            HEADERS => matches!(answer.payload[0], 0x8c | 0x48),
            _ => matches!(answer.kind, RST_STREAM | GOAWAY) && answer.code() != 0,
        };
        assert!(refused, "{name}: {answer:?}");
    }
    assert_eq!(app.seen().len(), 0);
}

/// `OPTIONS *` reaches the app as it is, from either version.
#[tokio::test(flavor = "multi_thread")]
async fn options_asterisk_is_forwarded() {
    let app = TestApp::start().await;
    app.on("OPTIONS", "*", |_| Answer::text("all"));
    let sidecar = Sidecar::start(&app.url(), "");
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let silence = std::time::Duration::from_secs(5);
    let answer =
        crate::support::client::exchange_raw(sidecar.addr(), request.as_bytes(), silence).await;
    assert!(
        answer.ends_with(b"all"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(app.last("*").header("host"), "a");

    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    let list = [
        (":method", "OPTIONS"),
        (":scheme", "http"),
        (":authority", "b"),
        (":path", "*"),
    ];
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&list)))
        .await;
    raw.next_of(HEADERS).await.expect("an answer");
    assert_eq!((app.count("*"), app.last("*").header("host")), (2, "b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_form_is_accepted() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("absolute"));
    let sidecar = Sidecar::start(&app.url(), "");
    for scheme in ["http", "https", "HTTP"] {
        let request = format!(
            "GET {scheme}://h.example/a?b HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n"
        );
        let silence = std::time::Duration::from_secs(5);
        let answer =
            crate::support::client::exchange_raw(sidecar.addr(), request.as_bytes(), silence).await;
        assert!(
            answer.ends_with(b"absolute"),
            "{scheme}: {}",
            String::from_utf8_lossy(&answer)
        );
        let seen = app.last("/a");
        assert_eq!(
            (seen.header("host"), seen.query.as_deref()),
            ("h.example", Some("b"))
        );
    }
}

/// A drain finishes the requests of a connection and then ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_in_flight() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nidle_timeout = \"1h\"");
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    let list = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/slow"),
    ];
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&list)))
        .await;
    gate.reached(1).await;
    let stopping = tokio::task::spawn_blocking(move || sidecar.stop());
    raw.next_of(GOAWAY).await.expect("told to send no more");
    let ping = raw.next_of(PING).await.expect("asked what is on its way");
    raw.send(&frame(PING, ACK, 0, &ping.payload)).await;
    gate.open();
    let frames = raw.rest().await;
    let body = frames.iter().find(|frame| frame.kind == DATA);
    assert_eq!(body.expect("the answer").payload, b"done");
    stopping.await.expect("no panic");
}

async fn h2_client(sidecar: &Sidecar) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client.ready().await.expect("an open connection")
}

fn request(method: &str, sidecar: &Sidecar, path: &str) -> Request<()> {
    let uri = format!("http://{}{path}", sidecar.addr());
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .version(Version::HTTP_2);
    request.body(()).expect("a request")
}

async fn gather(mut body: h2::RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a whole body");
        let _ = body.flow_control().release_capacity(piece.len());
        bytes.extend_from_slice(&piece);
    }
    bytes
}
