//! A Node app behind Pannier, and Node's own WebSocket and EventSource (or the packages `ws` and
//! `eventsource`) in front of it.

use tokio::process::Command;

use super::curl::{BY_THE_RFC, curl};
use super::process::{Running, command, run, script, start};
use crate::support::sidecar::Sidecar;

/// The running app.
struct NodeApp {
    url: String,
    _process: Running,
}

impl NodeApp {
    async fn start() -> NodeApp {
        let mut process = start(node().await.arg(script("app.cjs")));
        let port = process.line().await;
        NodeApp {
            url: format!("http://127.0.0.1:{port}"),
            _process: process,
        }
    }
}

/// Node with the two clients switched on where they are behind a switch; Debian keeps packages apart.
async fn node() -> Command {
    let switches = ["--experimental-websocket", "--experimental-eventsource"];
    let mut known = Vec::new();
    for switch in switches {
        if run(command("node").args([switch, "--eval", "0"]))
            .await
            .success
        {
            known.push(switch);
        }
    }
    let mut node = command("node");
    node.args(known).args(["--no-warnings"]);
    node.env("NODE_PATH", "/usr/share/nodejs");
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn node_chunks_are_stored_whole() {
    let app = NodeApp::start().await;
    let sidecar = Sidecar::start(&app.url, BY_THE_RFC);
    let first = curl(&[], sidecar.addr(), "/chunked").await;
    assert_eq!((first.status, first.text()), (200, "one, two, three"));
    let second = curl(&[], sidecar.addr(), "/chunked").await;
    // The number of the request to the app is in it.
    assert_eq!(second.text(), first.text());
    assert_eq!(curl(&[], sidecar.addr(), "/count").await.text(), "1");
    // `fetch` of Node's own, with a body that streams both ways.
    let echoed = curl(&["--data-binary", "a body"], sidecar.addr(), "/echo").await;
    assert_eq!(echoed.text(), "a body");
}

/// Requests of one client connection are answered by one worker, which keeps its connection to Node.
#[tokio::test(flavor = "multi_thread")]
async fn node_is_asked_on_a_kept_connection() {
    let app = NodeApp::start().await;
    let sidecar = Sidecar::start(&app.url, BY_THE_RFC);
    let client = sidecar.client();
    let mut sockets = std::collections::BTreeSet::new();
    for _ in 0..40 {
        sockets.insert(client.get("/socket").await.text().to_owned());
    }
    // A connection may come back to the pool a moment after the next request has gone.
    assert!(sockets.len() < 20, "{sockets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_event_source_gets_events_while_the_stream_is_open() {
    let app = NodeApp::start().await;
    let sidecar = Sidecar::start(&app.url, BY_THE_RFC);
    let url = format!("http://{}/events", sidecar.addr());
    let client = run(node().await.arg(script("events.cjs")).arg(url)).await;
    assert_eq!(client.text(), "0 one\n1 two\n2 three\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_web_socket_talks_both_ways() {
    let app = NodeApp::start().await;
    let sidecar = Sidecar::start(&app.url, BY_THE_RFC);
    let url = format!("ws://{}/socket", sidecar.addr());
    let client = run(node().await.arg(script("socket.cjs")).arg(url)).await;
    assert_eq!(
        client.text(),
        "open\ntext hello\nbinary 100000\nclosed 1000\n"
    );
}
