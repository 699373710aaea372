//! More clients than `max_connections`: whoever has been idle longest makes room, and nobody else.

use std::time::Duration;

use rustls::version::TLS13;

use crate::support::Gate;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Offers};
use crate::support::http2::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RawHttp2, fields, frame};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;
use crate::support::tls::Certificate;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One worker, so that what one client's connection does is over before the next one's begins.
fn four_places() -> String {
    "[listen]\nmax_connections = 4\nworkers = 1\nheader_timeout = \"1h\"\n".to_owned()
}

async fn start() -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), &four_places());
    (app, sidecar)
}

async fn ask(client: &mut RawClient) {
    client.send(ASK).await;
    assert!(client.until("ok").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_idle_connection_makes_room() {
    let (_app, sidecar) = start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(sidecar.addr()).await;
        ask(&mut client).await;
        clients.push(client);
    }
    ask(&mut clients[0]).await;
    for _ in 0..2 {
        let mut next = RawClient::connect(sidecar.addr()).await;
        ask(&mut next).await;
        clients.push(next);
        // Those that asked last but one and two: the others are still served.
        assert_eq!(clients.remove(1).rest().await, "");
    }
    for client in &mut clients {
        ask(client).await;
    }
    let metrics = sidecar.admin().get("/metrics").await;
    let line = "pannier_connections_cut_total{reason=\"crowded\"} 2\n";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

/// They never asked for anything, or have got all that they asked for.
#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_make_room_in_either_version() {
    let (_app, sidecar) = start().await;
    let get = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(RawClient::connect(sidecar.addr()).await);
    }
    let mut begun = RawHttp2::begin(sidecar.addr(), &[]).await;
    let mut answered = RawHttp2::begin(sidecar.addr(), &[]).await;
    answered
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get))
        .await;
    answered.next_of(HEADERS).await.expect("an answer");
    let mut served = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(sidecar.addr()).await;
        ask(&mut client).await;
        served.push(client);
    }
    for client in silent {
        assert_eq!(client.rest().await, "");
    }
    for raw in [&mut begun, &mut answered] {
        assert_eq!(raw.next_of(GOAWAY).await.expect("told to go").code(), 0);
        raw.rest().await;
    }
    for client in &mut served {
        ask(client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_begin_no_handshake_make_room() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let certificate = Certificate::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = certificate.write(folder.path());
    let toml = format!("{}tls_cert = {cert:?}\ntls_key = {key:?}", four_places());
    let sidecar = Sidecar::start(&app.url(), &toml);
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(RawClient::connect(sidecar.addr()).await);
    }
    let client = Client::tls(sidecar.addr(), certificate.client(&[&TLS13]), Offers::Both);
    assert_eq!(client.get("/").await.text(), "ok");
    assert_eq!(silent.remove(0).rest().await, "");
}

/// Half a head, half a body, an answer to come, an answer under way, a relay, a stream of HTTP/2: none is
/// idle, however long it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_middle_of_something_stays() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    app.on("POST", "/", |_| Answer::text("ok"));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let pieces = gate.clone();
    app.on("GET", "/pieces", move |_| {
        let (answer, sender) = Answer::piecewise();
        let pieces = pieces.clone();
        tokio::spawn(async move {
            let _ = sender.send(Ok("one,".into()));
            pieces.pass().await;
            let _ = sender.send(Ok("two".into()));
        });
        answer
    });
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_connections = 5\nworkers = 1");
    let rows = [
        (&ASK[..20], &ASK[20..], "ok"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody",
            " rest",
            "ok",
        ),
        ("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", "", "done"),
        ("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n", "", "two"),
    ];
    let mut clients = Vec::new();
    for (begin, rest, end) in rows {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(begin).await;
        clients.push((client, rest, end));
    }
    let http2 = sidecar.http2();
    let stream = tokio::spawn(async move { http2.get("/slow").await });
    gate.reached(3).await;
    let fifth = sidecar.client();
    let waiting = tokio::spawn(async move { fifth.get("/").await });
    // Long enough for every one of them to have been asked.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    gate.open();
    for (client, rest, end) in &mut clients {
        client.send(rest).await;
        client.until(end).await;
    }
    assert_eq!(stream.await.expect("no panic").text(), "done");
    assert_eq!(waiting.await.expect("no panic").text(), "ok");
}
