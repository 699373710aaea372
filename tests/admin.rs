//! The admin interface, and those who would keep others from it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::app::TestApp;
use crate::support::client::Client;
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

/// Shorter than any deadline that would end a slow connection.
const SOON: Duration = Duration::from_secs(5);

/// Begins a head, and goes on with it for ever.
async fn drip(mut stream: TcpStream) {
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await;
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::future::pending::<()>().await;
}

/// Sends nothing.
async fn keep_silent(_stream: TcpStream) {
    std::future::pending::<()>().await;
}

/// Asks for the metrics again and again, and reads none of them.
async fn read_nothing(mut stream: TcpStream) {
    let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let _ = stream.write_all(requests.as_bytes()).await;
    std::future::pending::<()>().await;
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(addr).await.expect("it listens")
}

/// A liveness probe that waits too long has its pod killed.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_while_hundreds_of_slow_connections_are_held() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "");
    let admin = sidecar.admin_addr();
    let mut slow = JoinSet::new();
    for _ in 0..100 {
        slow.spawn(drip(connect(admin).await));
        slow.spawn(keep_silent(connect(admin).await));
        slow.spawn(read_nothing(connect(admin).await));
    }
    for path in ["/healthz", "/readyz", "/metrics"].repeat(5) {
        // A probe connects anew each time.
        let client = Client::new(admin);
        let answer = tokio::time::timeout(SOON, client.get(path)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{path} is not answered"));
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(slow.len(), 300, "all of them are still held");
}

/// Who uses the interface in order keeps his connection beside slow ones that fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_use_outlives_idle_ones() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut scraper = RawClient::connect(sidecar.admin_addr()).await;
    let mut slow = JoinSet::new();
    for _ in 0..5 {
        for _ in 0..20 {
            slow.spawn(keep_silent(connect(sidecar.admin_addr()).await));
        }
        // Who comes after them is served after they were let in.
        let newcomer = sidecar.admin().get("/healthz").await;
        assert_eq!(newcomer.status, 200);
        scraper
            .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        scraper.until("{\"status\":\"ok\"}\n").await;
    }
}

/// DNS rebinding: a web page whose name leads here reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_known_hosts_are_answered() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "[admin]\nhosts = [\"pannier.internal\"]\n");
    let by_address = sidecar.admin_addr().to_string();
    let hosts = [
        (by_address.as_str(), 200),
        ("localhost:9180", 200),
        ("pannier.internal", 200),
        ("evil.example", 421),
        ("10.0.0.1", 421),
    ];
    for path in ["/healthz", "/readyz", "/metrics", "/stats"] {
        for (host, status) in hosts {
            let request = sidecar.admin().request("GET", path).header("host", host);
            let answer = request.send().await;
            assert_eq!(answer.status, status, "{path} {host}");
            assert_eq!(answer.text().contains("[admin] hosts"), status == 421);
        }
    }
    // A reload changes them.
    sidecar.reload(
        "[admin]\nhosts = [\"*\"]\n",
        &[("PANNIER_UPSTREAM_URL", &app.url())],
    );
    let request = sidecar.admin().request("GET", "/healthz");
    let answer = request.header("host", "evil.example").send().await;
    assert_eq!(answer.status, 200);
}
