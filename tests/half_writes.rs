//! Writes that end anywhere, in order or by a reset, over both versions of HTTP: nothing is purged for what the app
//! never had whole.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::request_fuzzing::app::StrictApp;
use crate::support::eventually;
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, fields, frame,
};
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

/// The app lets `/c/…` be stored.
const CONFIG: &str = "[[route]]\npath = \"/c/page\"\nkey = \"page\"\n\
                      [[purge]]\npath = \"/write\"\nkeys = [\"page\", \"*\"]\n";
const PAGE: &str = "/c/page";
const BODY: &[u8] = b"12345";

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    InOrder,
    ByReset,
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_length_purge_nothing() {
    let write = b"POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345";
    cut_at_every_byte(&[], write).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chunks_purge_nothing() {
    let write = b"POST /write HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\n123\r\n2;x=y\r\n45\r\n0\r\nX-Sum: 1\r\n\r\n";
    cut_at_every_byte(&[], write).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_http2_purge_nothing() {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let write = [head(&[]), data(b"123", 0), data(b"45", END_STREAM)].concat();
    cut_at_every_byte(&begin, &write).await;
}

/// The stream alone ends, or is not as long as it says.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_stream_that_is_reset_purge_nothing() {
    let setting = Setting::start().await;
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let cancel = || frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let long = || head(&[("content-length", "5")]);
    let rows = [
        ("behind the head", [head(&[]), cancel()].concat()),
        ("behind the head of a length", [long(), cancel()].concat()),
        ("within", [head(&[]), data(b"12", 0), cancel()].concat()),
        (
            "before its end",
            [long(), data(b"1234", 0), cancel()].concat(),
        ),
        ("too short", [long(), data(b"123", END_STREAM)].concat()),
        ("too long", [long(), data(b"123456", 0)].concat()),
    ];
    for (name, write) in rows {
        for leaves in [Leaves::InOrder, Leaves::ByReset] {
            send(setting.addr(), &[&begin[..], &write].concat(), leaves).await;
            setting.has_not_purged(&format!("{name}, {leaves:?}")).await;
        }
    }
    setting
        .purges_for(&[begin, head(&[]), data(BODY, END_STREAM)].concat())
        .await;
}

/// `begin` always comes whole.
async fn cut_at_every_byte(begin: &[u8], write: &[u8]) {
    let setting = Setting::start().await;
    for end in 0..write.len() {
        for leaves in [Leaves::InOrder, Leaves::ByReset] {
            let half = [begin, &write[..end]].concat();
            send(setting.addr(), &half, leaves).await;
            let cut = format!("{}, {leaves:?}", write[..end].escape_ascii());
            setting.has_not_purged(&cut).await;
        }
    }
    setting.purges_for(&[begin, write].concat()).await;
}

/// A page that is stored, and is purged by every write.
struct Setting {
    app: StrictApp,
    sidecar: Sidecar,
}

impl Setting {
    async fn start() -> Setting {
        let app = StrictApp::start().await;
        let sidecar = Sidecar::start(&app.url(), CONFIG);
        let setting = Setting { app, sidecar };
        eventually("the page is stored", SHORT, || setting.holds_the_page()).await;
        setting.app.take_arrivals();
        setting
    }

    fn addr(&self) -> SocketAddr {
        self.sidecar.addr()
    }

    async fn holds_the_page(&self) -> bool {
        // A client of its own, so that no connection is left.
        self.sidecar.client().get(PAGE).await.is_hit()
    }

    /// What a write did late would be seen after the next one.
    async fn has_not_purged(&self, cut: &str) {
        self.all_have_left().await;
        assert!(self.holds_the_page().await, "purged: {cut}");
        let arrivals = self.app.take_arrivals();
        assert!(arrivals.refused.is_empty(), "{cut}: {arrivals:?}");
        for message in arrivals.messages {
            assert!(!message.whole, "{cut}: {message}");
            assert!(BODY.starts_with(&message.body), "{cut}: {message}");
        }
    }

    /// A client that leaves behind its last byte may be too early; if the app had the write, it purges.
    async fn purges_for(&self, write: &[u8]) {
        for leaves in [Leaves::InOrder, Leaves::ByReset] {
            send(self.addr(), write, leaves).await;
            self.all_have_left().await;
            let held = self.holds_the_page().await;
            let has_arrived = self.take_whole_write();
            assert!(held || has_arrived, "{leaves:?}: purged for nothing");
            if held && has_arrived {
                self.is_purged().await;
            }
            eventually("it is stored again", SHORT, || self.holds_the_page()).await;
        }
        let mut stream = TcpStream::connect(self.addr()).await.expect("it listens");
        stream.write_all(write).await.expect("it reads");
        self.is_purged().await;
        assert!(self.take_whole_write());
    }

    async fn is_purged(&self) {
        eventually("the whole write purges", SHORT, || async {
            !self.holds_the_page().await
        })
        .await;
    }

    fn take_whole_write(&self) -> bool {
        let messages = self.app.take_arrivals().messages.into_iter();
        let mut writes = messages.filter(|message| message.method == "POST");
        writes.any(|write| write.whole && write.body == BODY)
    }

    async fn all_have_left(&self) {
        let admin = self.sidecar.admin();
        eventually("the write has ended", SHORT, || async {
            let metrics = admin.get("/metrics").await;
            metrics.text().contains("pannier_connections 0\n")
        })
        .await;
    }
}

async fn send(addr: SocketAddr, bytes: &[u8], leaves: Leaves) {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let _ = stream.set_nodelay(true);
    stream.write_all(bytes).await.expect("it reads");
    match leaves {
        Leaves::InOrder => {
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        // Lingering for no time makes the close a reset.
        Leaves::ByReset => {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

fn head(further: &[(&str, &str)]) -> Vec<u8> {
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/write"),
    ];
    let all = [&request[..], further].concat();
    frame(HEADERS, END_HEADERS, 1, &fields(&all))
}

fn data(bytes: &[u8], flags: u8) -> Vec<u8> {
    frame(DATA, flags, 1, bytes)
}
