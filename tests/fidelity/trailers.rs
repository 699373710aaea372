//! Trailer sections (RFC 9110 §6.5, RFC 9112 §7.1.2).

use super::{PAGE, get};
use crate::caching::until_hit;
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const ASKED: &str = "te: trailers\r\nconnection: te\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-More\r\n\r\n\
                      5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\nX-More: 3\r\n\r\n";
const END: &str = "hello\r\n0\r\nx-sum: 1\r\nx-more: 2\r\nx-more: 3\r\n\r\n";

/// Passed, and filled: for the client that caused it.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_trailers_gets_them() {
    for path in ["/other", "/page"] {
        let app = RawApp::start(|_| vec![Step::send(ANSWER)]).await;
        let sidecar = Sidecar::start(&app.url(), PAGE);
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&get(path, ASKED)).await;
        let head = client.head().await;
        assert!(
            head.contains("trailer: X-Sum, X-More\r\n"),
            "{path}: {head}"
        );
        client.until(END).await;
        let request = app.request(0);
        assert!(request.contains("te: trailers\r\n"), "{path}: {request}");
        assert!(request.contains("connection: te\r\n"), "{path}: {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_not_stored() {
    let app = RawApp::start(|_| vec![Step::send(ANSWER)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let hit = until_hit(&sidecar.client(), "/page").await;
    assert_eq!(hit.text(), "hello");
    assert!(!hit.headers.contains_key("trailer"));
    assert!(!hit.headers.contains_key("x-sum"), "never made into fields");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&get("/page", ASKED)).await;
    let answer = client.until("hello").await;
    assert!(
        answer.contains("detail=hit") && answer.contains("content-length: 5"),
        "{answer}"
    );
}

/// RFC 9110 §6.5.1: a sender must know that they are taken.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_ask_gets_the_body_alone() {
    let app = RawApp::start(|_| vec![Step::send(ANSWER)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    for path in ["/other", "/page"] {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&get(path, "connection: close\r\n")).await;
        let all = client.rest().await;
        assert!(all.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{path}: {all}");
    }
    assert!(
        !app.request(0).contains("te: "),
        "nor does the app hear of it"
    );
}

/// The purge reads the answer's body first; the client gets all of it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_read_for_its_purge_keeps_them() {
    let app = RawApp::start(|_| vec![Step::send(&ANSWER.replace("hello", "[1,2]"))]).await;
    let rule = "[[purge]]\nname = \"page\"\npath = \"/write\"\nkeys = [\"page:{response.id}\"]\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{PAGE}{rule}"));
    let mut client = RawClient::connect(sidecar.addr()).await;
    let request = format!("POST /write HTTP/1.1\r\nhost: a\r\n{ASKED}content-length: 0\r\n\r\n");
    client.send(&request).await;
    client.until(&END.replace("hello", "[1,2]")).await;
}

fn upload(fields: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n{fields}\r\n\
         4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_s_trailers_reach_the_app_if_they_were_announced() {
    for (fields, end) in [
        ("trailer: x-sum\r\n", "body\r\n0\r\nx-sum: 1\r\n\r\n"),
        // hyper sends none that its head did not announce; a proxy may drop them (RFC 9112 §7.1.2).
        ("", "body\r\n0\r\n\r\n"),
    ] {
        let app = RawApp::start(move |_| {
            vec![
                Step::read(end),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ]
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), "");
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&upload(fields)).await;
        client.until("\r\n\r\nok").await;
    }
}
