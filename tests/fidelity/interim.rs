//! Interim answers (RFC 9110 §15.2).

use super::{PAGE, get};
use crate::caching::until_hit;
use crate::support::Gate;
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const HINTS_OUT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Passed, filled, written: at once and in order, and nothing of them in the answer or the store.
#[tokio::test(flavor = "multi_thread")]
async fn they_reach_the_client_before_the_answer_is_made() {
    for request in [
        get("/other", ""),
        get("/page", ""),
        "POST /page HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n".into(),
    ] {
        let gate = Gate::new();
        let held = gate.clone();
        let app = RawApp::start(move |_| {
            let processing = Step::send("HTTP/1.1 102 Processing\r\nX-Interim: 1\r\n\r\n");
            let held = Step::Pass(held.clone());
            vec![processing, Step::send(HINTS), held, Step::send(ANSWER)]
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), PAGE);
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&request).await;
        assert_eq!(
            client.head().await,
            "HTTP/1.1 102 Processing\r\nx-interim: 1\r\n\r\n",
            "{request}"
        );
        assert_eq!(client.head().await, HINTS_OUT, "{request}");
        gate.open();
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{request}: {head}");
        assert!(
            !head.contains("link:") && !head.contains("x-interim"),
            "{head}"
        );
        client.until("hello").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_not_stored() {
    let app = RawApp::start(|_| vec![Step::send(HINTS), Step::send(ANSWER)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let hit = until_hit(&sidecar.client(), "/page").await;
    assert!(!hit.headers.contains_key("link"));
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&get("/page", "")).await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("detail=hit"),
        "{head}"
    );
}

/// The app's segment holds both: the answer must not overtake what came before it.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_come_with_the_answer_go_before_it() {
    let app = RawApp::start(|_| vec![Step::Send([HINTS, HINTS, ANSWER].concat().into())]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let mut client = RawClient::connect(sidecar.addr()).await;
    for path in ["/other", "/page", "/other"] {
        client.send(&get(path, "")).await;
        assert_eq!(client.head().await, HINTS_OUT, "{path}");
        assert_eq!(client.head().await, HINTS_OUT, "{path}");
        let rest = client.until("hello").await;
        assert!(rest.starts_with("HTTP/1.1 200 OK"), "{path}: {rest}");
    }
}

/// Each one stands before the answer to its own request.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_get_each_their_own() {
    let app = RawApp::start(|nth| {
        let body = format!("body-{nth}");
        let length = body.len();
        let hints = format!("HTTP/1.1 103 Early Hints\r\nx-nth: {nth}\r\n\r\n");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        vec![Step::send(&hints), Step::send(&answer)]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    let requests: String = (0..20).map(|_| get("/", "")).collect();
    client.send(&requests).await;
    for nth in 0..20 {
        let hints = format!("HTTP/1.1 103 Early Hints\r\nx-nth: {nth}\r\n\r\n");
        assert_eq!(client.head().await, hints);
        let answer = client.until(&format!("\r\n\r\nbody-{nth}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

/// HTTP/1.0 has no such thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_gets_none() {
    let app = RawApp::start(|_| vec![Step::send(HINTS), Step::send(ANSWER)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    for path in ["/other", "/page"] {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        let all = client.rest().await;
        assert!(
            all.starts_with("HTTP/1.0 200 OK") && !all.contains("103"),
            "{all}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_the_app_s_connection_stays_behind() {
    let app = RawApp::start(|_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                     X-End: \u{e9}\r\n\r\n";
        vec![Step::send(hints), Step::send(ANSWER)]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&get("/", "")).await;
    assert_eq!(
        client.head().await,
        "HTTP/1.1 103 Early Hints\r\nx-end: \u{e9}\r\n\r\n"
    );
}

/// The app hints, then says that what is stored holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_validation_hands_them_on_too() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![Step::send(
            "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\nhello",
        )],
        _ => vec![
            Step::send(HINTS),
            Step::send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
        ],
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    until_hit(&sidecar.client(), "/page").await;
    let mut client = RawClient::connect(sidecar.addr()).await;
    client
        .send(&get("/page", "cache-control: no-cache\r\n"))
        .await;
    assert_eq!(client.head().await, HINTS_OUT);
    let answer = client.until("hello").await;
    assert!(
        answer.contains("detail=revalidated") && !answer.contains("link:"),
        "{answer}"
    );
}
