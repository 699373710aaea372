//! `[listen] proxy_protocol`: a balancer that does not read HTTP says who the client is.

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

const LONG: Duration = Duration::from_secs(30);
const ON: &str = "[listen]\nproxy_protocol = true\n";
const GET: &str = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";

fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    [&signature[..], &[command, family], &length, rest].concat()
}

fn headers() -> Vec<(Vec<u8>, &'static str)> {
    let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0, 80, 1, 187, 4, 0, 1, 0];
    let mut v6 = [0; 36];
    (v6[0], v6[1], v6[15]) = (0xfd, 1, 9);
    let line = |text: &str| text.as_bytes().to_vec();
    vec![
        (
            line("PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n"),
            "192.0.2.9",
        ),
        (line("PROXY TCP6 fd00::7 ::1 4711 443\r\n"), "fd00::7"),
        (line("PROXY UNKNOWN\r\n"), "127.0.0.1"),
        (version_2(0x21, 0x11, &v4), "192.0.2.7"),
        (version_2(0x21, 0x21, &v6), "fd01::9"),
        (version_2(0x21, 0x31, &[1; 216]), "127.0.0.1"),
        (version_2(0x20, 0, &[]), "127.0.0.1"),
    ]
}

/// Whole and byte by byte; what follows it is the client's.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_whom_the_balancer_names() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        Answer::text(format!("for {}!", seen.header("x-forwarded-for")))
    });
    let sidecar = Sidecar::start(&app.url(), ON);
    for (header, expected) in headers() {
        let expected = format!("for {expected}!");
        let mut whole = RawClient::connect(sidecar.addr()).await;
        whole.send_bytes(&[&header, GET.as_bytes()].concat()).await;
        whole.until(&expected).await;
        // The connection goes on, and needs no further one.
        whole.send(GET).await;
        whole.until(&expected).await;
        let mut slow = RawClient::connect(sidecar.addr()).await;
        for byte in header.iter().chain(GET.as_bytes()) {
            slow.send_bytes(&[*byte]).await;
        }
        slow.until(&expected).await;
    }
}

/// What a client says itself, behind a balancer that does not read it, is no gateway's word.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_balancer_is_not_believed() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        let said = seen.header("x-forwarded-for");
        Answer::text(format!(
            "for {said} by {}!",
            seen.header("x-forwarded-proto")
        ))
    });
    let config = format!("{ON}trusted_proxies = [\"127.0.0.1\"]\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let forged = "GET /a HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.1\r\nx-forwarded-proto: https\r\n\r\n";
    for (header, expected) in [
        (
            "PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n",
            "for 192.0.2.9 by http!",
        ),
        // Where the balancer speaks for itself it is one.
        ("PROXY UNKNOWN\r\n", "for 203.0.113.1, 127.0.0.1 by https!"),
    ] {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&format!("{header}{forged}")).await;
        client.until(expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_otherwise_is_closed_and_counted() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), ON);
    let others = "[listen]\nproxy_protocol = true\ntrusted_proxies = [\"192.0.2.1\"]\n";
    let untrusting = Sidecar::start(&app.url(), others);
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let rows = [
        (&sidecar, GET),
        (&sidecar, "PROXY TCP4 192.0.2.9 10.0.0.1 1\r\n"),
        (&sidecar, &long),
        (&untrusting, "PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n"),
    ];
    for (sidecar, start) in rows {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(start).await;
        assert_eq!(client.rest().await, "", "{start}");
    }
    // A balancer that only looks whether the port is open.
    RawClient::connect(sidecar.addr()).await.end().await;
    assert!(app.seen().is_empty());
    for (sidecar, count) in [(&sidecar, 3), (&untrusting, 1)] {
        let line = format!("pannier_connections_cut_total{{reason=\"proxy-protocol\"}} {count}");
        let metrics = sidecar.admin().get("/metrics").await;
        assert!(metrics.text().contains(&line), "{}", metrics.text());
    }
}

/// Half a header holds its place no longer than half a head.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_header_has_its_time() {
    let app = TestApp::start().await;
    let config = format!("{ON}header_timeout = \"100ms\"\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send("PROXY TCP4 192.").await;
    assert_eq!(client.rest().await, "");
}

/// A reload counts from the next connection on.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_switches_it_on() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        Answer::text(format!("for {}!", seen.header("x-forwarded-for")))
    });
    let upstream = format!("[upstream]\nurl = \"{}\"\n", app.url());
    let sidecar = Sidecar::start(&app.url(), &upstream);
    let mut before = RawClient::connect(sidecar.addr()).await;
    before.send(GET).await;
    before.until("for 127.0.0.1!").await;
    sidecar.reload(&format!("{ON}{upstream}"), &[]);
    eventually("it is asked for", LONG, || async {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(GET).await;
        client.rest().await.is_empty()
    })
    .await;
    before.send(GET).await;
    before.until("for 127.0.0.1!").await;
}
