//! Where a message ends, in each version and for answers without a body; how far a request goes.

use super::{PAGE, get};
use crate::caching::until_hit;
use crate::support::app::{Answer, TestApp};
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

/// HTTP/1.0 knows no chunks: the connection's end is the body's, unless its length is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0() {
    let app = RawApp::start(|_| vec![Step::send(CHUNKED)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    for path in ["/other", "/page"] {
        let mut client = RawClient::connect(sidecar.addr()).await;
        let request = format!("GET {path} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        client.send(&request).await;
        let all = client.rest().await;
        assert!(all.starts_with("HTTP/1.0 200 OK\r\n"), "{path}: {all}");
        assert!(!all.contains("transfer-encoding"), "{path}: {all}");
        assert!(all.ends_with("\r\n\r\nhello"), "{path}: {all}");
    }
    until_hit(&sidecar.client(), "/page").await;
    let mut client = RawClient::connect(sidecar.addr()).await;
    for _ in 0..2 {
        client
            .send("GET /page HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            .await;
        let hit = client.until("hello").await;
        assert!(hit.contains("connection: keep-alive\r\n"), "{hit}");
        assert!(hit.contains("content-length: 5\r\n"), "{hit}");
    }
    client.send("GET /page HTTP/1.0\r\n\r\n").await;
    assert!(
        client.rest().await.ends_with("hello"),
        "and without it the server closes"
    );
}

/// RFC 9110 §2.5: each speaks its own version.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_http_1_0() {
    let answer = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let mut client = RawClient::connect(sidecar.addr()).await;
    for path in ["/other", "/page", "/other"] {
        client.send(&get(path, "")).await;
        let answer = client.until("hello").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}: {answer}"
        );
        assert!(!answer.contains("connection:"), "{path}: {answer}");
    }
}

/// RFC 9110 §6.4.1: nothing follows their heads, whatever length they tell.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body() {
    let rows = [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 12345",
            Some("12345"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            None,
        ),
        (
            "HEAD",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0",
            Some("0"),
        ),
        ("GET", "HTTP/1.1 204 No Content", None),
        ("DELETE", "HTTP/1.1 204 No Content", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"1\"", None),
    ];
    for (method, answer, length) in rows {
        let app = RawApp::start(move |_| vec![Step::send(&format!("{answer}\r\n\r\n"))]).await;
        let sidecar = Sidecar::start(&app.url(), "[defaults]\nunmatched = \"pass\"\n");
        let mut client = RawClient::connect(sidecar.addr()).await;
        for _ in 0..2 {
            let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nif-none-match: \"1\"\r\n\r\n");
            client.send(&request).await;
            let head = client.head().await;
            let status = answer.lines().next().expect("a status line");
            assert!(head.starts_with(status), "{method} {answer}: {head}");
            let told = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            assert_eq!(told, length, "{method} {answer}: {head}");
            assert!(
                !head.contains("transfer-encoding"),
                "{method} {answer}: {head}"
            );
        }
    }
}

/// RFC 9110 §9.3.8: the app echoes what it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_takes_no_secrets_to_the_app() {
    let app = TestApp::start().await;
    for method in ["TRACE", "GET"] {
        app.on(method, "/", |_| Answer::text("the app"));
    }
    let config = "[defaults]\ncredential_headers = [\"x-company\"]";
    let sidecar = Sidecar::start(&app.url(), config);
    let client = sidecar.client();
    let secrets = ["authorization", "cookie", "x-api-key", "x-company"];
    for (method, arrive) in [("TRACE", false), ("GET", true)] {
        let mut request = client.request(method, "/").header("x-own", "1");
        for name in secrets.into_iter().chain(["proxy-authorization"]) {
            request = request.header(name, "a=secret");
        }
        assert_eq!(request.send().await.text(), "the app", "{method}");
        let seen = app.last("/");
        assert_eq!(seen.header("x-own"), "1", "{method}");
        for name in secrets {
            let value = if arrive { "a=secret" } else { "" };
            assert_eq!(seen.header(name), value, "{method} {name}");
        }
        assert_eq!(seen.header("proxy-authorization"), "", "{method}");
    }
}

/// RFC 9110 §7.6.2.
#[tokio::test(flavor = "multi_thread")]
async fn max_forwards_counts_the_hops_of_trace_and_options() {
    let app = TestApp::start().await;
    for method in ["TRACE", "OPTIONS", "GET"] {
        app.on(method, "/", |_| Answer::text("the app"));
    }
    let sidecar = Sidecar::start(&app.url(), "");
    let client = sidecar.client();
    for (method, sent, received) in [
        ("TRACE", "2", "1"),
        ("OPTIONS", "1", "0"),
        ("GET", "0", "0"),
    ] {
        let request = client.request(method, "/").header("max-forwards", sent);
        assert_eq!(request.send().await.text(), "the app", "{method}");
        assert_eq!(app.last("/").header("max-forwards"), received, "{method}");
    }
    let before = app.count("/");
    let options = client
        .request("OPTIONS", "/")
        .header("max-forwards", "0")
        .send()
        .await;
    assert_eq!((options.status.as_u16(), options.text()), (200, ""));
    assert_eq!(options.cache_status(), "pannier; detail=max-forwards");
    let trace = client
        .request("TRACE", "/?a=b")
        .header("max-forwards", "0")
        .header("x-own", "1")
        .header("cookie", "secret")
        .send()
        .await;
    assert_eq!(trace.header("content-type"), "message/http");
    assert!(
        trace.text().starts_with("TRACE /?a=b HTTP/1.1\r\n"),
        "{}",
        trace.text()
    );
    assert!(trace.text().contains("x-own: 1\r\n") && !trace.text().contains("secret"));
    assert_eq!(app.count("/"), before, "neither went further");
}
