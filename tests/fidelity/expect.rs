//! `Expect: 100-continue` (RFC 9110 §10.1.1).

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const HEAD: &str =
    "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
const SHORT: Duration = Duration::from_secs(30);
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The client is told when the app is ready, once, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn the_app_s_word_lets_the_body_go() {
    let gate = Gate::new();
    let held = gate.clone();
    let app = RawApp::start(move |_| {
        vec![
            Step::send("HTTP/1.1 103 Early Hints\r\n\r\n"),
            Step::Pass(held.clone()),
            Step::send(CONTINUE),
            Step::read("\r\n\r\nbody"),
            Step::send(OK),
        ]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(HEAD).await;
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\n\r\n");
    gate.open();
    assert_eq!(client.head().await, CONTINUE);
    client.send("body").await;
    let answer = client.until("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "said once: {answer}");
    assert!(app.request(0).contains("expect: 100-continue\r\n"));
}

/// The client never sends the body, the app never gets one, and both connections end.
#[tokio::test(flavor = "multi_thread")]
async fn the_app_s_refusal_comes_instead_of_the_word() {
    for length in ["content-length: 4\r\n", "transfer-encoding: chunked\r\n"] {
        let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
        // Whatever follows on its connection would be read as the body.
        let app =
            RawApp::start(move |_| vec![Step::send(refusal), Step::read("no such end")]).await;
        let sidecar = Sidecar::start(&app.url(), "");
        let mut client = RawClient::connect(sidecar.addr()).await;
        client
            .send(&HEAD.replace("content-length: 4\r\n", length))
            .await;
        let all = client.rest().await;
        assert!(all.starts_with("HTTP/1.1 413"), "{all}");
        assert!(all.contains("connection: close\r\n"), "{all}");
        assert!(all.ends_with("\r\n\r\ntoo much"), "{all}");
        eventually("the app's connection ends", SHORT, || async {
            app.ended() == 1
        })
        .await;
        let request = app.request(0);
        let (_, after_head) = request.split_once("\r\n\r\n").expect("a head");
        assert_eq!(after_head, "", "no byte of a body, and no end of one");
    }
}

/// No answer at all is no reason to keep the client waiting.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_nothing_gets_the_body() {
    let app = RawApp::start(|_| vec![Step::read("\r\n\r\nbody"), Step::send(OK)]).await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(HEAD).await;
    assert_eq!(client.head().await, CONTINUE);
    client.send("body").await;
    client.until("ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_upload_goes_through() {
    let app = TestApp::start().await;
    app.on("POST", "/up", |seen| {
        Answer::text(seen.body.len().to_string())
    });
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    let length = 10 << 20;
    client
        .send(&HEAD.replace("content-length: 4", &format!("content-length: {length}")))
        .await;
    assert_eq!(client.head().await, CONTINUE);
    client.send_bytes(&vec![b'x'; length]).await;
    client.until(&format!("\r\n\r\n{length}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_meet_is_417() {
    let app = RawApp::start(|_| vec![Step::send(OK)]).await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&HEAD.replace("100-continue", "200-ok")).await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 417 Expectation Failed"),
        "{head}"
    );
    assert_eq!(app.count(), 0);
}

/// There is nothing to wait for, and HTTP/1.0 knows no waiting.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_body_and_in_http_1_0_nothing_is_expected_of_the_app() {
    let app = RawApp::start(|_| vec![Step::send(OK)]).await;
    let sidecar = Sidecar::start(&app.url(), "");
    let requests = [
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nexpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.0\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\nbody",
    ];
    for (nth, request) in requests.into_iter().enumerate() {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(request).await;
        let answer = client.until("ok").await;
        assert!(
            answer.contains(" 200 OK\r\n") && !answer.contains(" 100 "),
            "{answer}"
        );
        assert!(!app.request(nth).contains("expect"), "{request}");
    }
}
