//! Clients that are never silent and yet move next to nothing: `[listen] min_rate`, and what it must not cut
//! (reliability.md R7).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::app::{Answer, TestApp};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawHttp2, WINDOW_UPDATE, fields,
    frame,
};
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

/// What is not over by then goes on for ever.
const LONG: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// So that no client of these tests is fast enough.
const STRICT: &str = "
[listen]
min_rate = \"1GB/s\"
body_timeout = \"600ms\"
idle_timeout = \"600ms\"
header_timeout = \"2s\"
";

/// Every app and every client of these tests is fast enough for this rate, if it is measured rightly.
const FAIR: &str = "
[listen]
min_rate = \"100KB/s\"
body_timeout = \"2s\"
idle_timeout = \"2s\"
";

async fn is_counted(sidecar: &Sidecar, reason: &str) -> bool {
    let metrics = sidecar.admin().get("/metrics").await;
    let line = format!("pannier_connections_cut_total{{reason=\"{reason}\"}} ");
    metrics.text().contains(&line)
}

/// Sends `text` every [`PAUSE`] until the server closes, and returns what it said.
async fn drip(mut stream: TcpStream, text: &str) -> String {
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        loop {
            let _ = writer.write_all(text.as_bytes()).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut answer) => {}
        () = dripping => {}
        () = tokio::time::sleep(LONG) => panic!("it goes on"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(sidecar: &Sidecar, begin: &str) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    stream.write_all(begin.as_bytes()).await.expect("it reads");
    stream
}

fn head(method: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ])
}

/// A head has `header_timeout` in all, however it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_dripped_head_is_cut() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), STRICT);
    let stream = connect(&sidecar, "GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    drip(stream, "x").await;
    assert!(is_counted(&sidecar, "slow-head").await);
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &head("GET", "/")))
        .await;
    // The rest of it, of which a byte comes at a time.
    raw.send(&frame(9, 0, 1, &[0; 10_000])[..9]).await;
    raw.drip(&[0], PAUSE, |_| false).await;
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripped_body_is_cut() {
    let app = TestApp::start().await;
    app.on("POST", "/up", |_| Answer::text("taken"));
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), STRICT);
    for (name, framing, drop) in [
        ("by length", "Content-Length: 1000000", "x"),
        ("in chunks", "Transfer-Encoding: chunked", "1\r\nx\r\n"),
    ] {
        let begin = format!("POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let answer = drip(connect(&sidecar, &begin).await, drop).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{name}: {answer}");
    }
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/up")))
        .await;
    let drop = frame(DATA, 0, 1, b"x");
    let ends = |kind| kind == HEADERS || kind == RST_STREAM;
    raw.drip(&drop, PAUSE, |received| ends(received.kind)).await;
    // The stream alone has ended.
    raw.send(&frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &head("GET", "/"),
    ))
    .await;
    while raw.next_of(HEADERS).await.expect("an answer").stream != 3 {}
}

/// It takes a piece every now and then, of an answer that does not fit into the buffers on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_taken_in_drops_is_cut() {
    const LENGTH: usize = 64_000_000;
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| Answer::text("x".repeat(LENGTH)));
    let sidecar = Sidecar::start(&app.url(), STRICT);
    let mut slow = connect(&sidecar, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut taken, mut piece) = (0, vec![0; 100_000]);
    while let Ok(length) = slow.read(&mut piece).await
        && length > 0
    {
        taken += length;
        tokio::time::sleep(PAUSE).await;
    }
    assert!(taken < LENGTH, "served whole");
    assert!(is_counted(&sidecar, "slow-answer").await);
}

/// A window that opens by little at a time; the stream alone is reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_opened_in_drops_holds_no_stream() {
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| Answer::text("x".repeat(64_000_000)));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("ok").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), STRICT);
    let mut raw = RawHttp2::begin(sidecar.addr(), &[0, 4, 0, 0, 0, 0]).await;
    for (stream, path) in [(1, "/slow"), (3, "/large")] {
        raw.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &head("GET", path),
        ))
        .await;
    }
    gate.reached(1).await;
    let drop = [0, 3].map(|stream| frame(WINDOW_UPDATE, 0, stream, &20_000u32.to_be_bytes()));
    let frames = raw
        .drip(&drop.concat(), PAUSE, |received| {
            received.kind == RST_STREAM
        })
        .await;
    let reset = frames.last().expect("a reset");
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 3));
    assert!(is_counted(&sidecar, "slow-answer").await);
    gate.open();
    assert_eq!(raw.next_of(HEADERS).await.expect("an answer").stream, 1);
}

/// An answer that hyper has in one piece, so that its stream is nobody's concern any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_opened_in_drops_holds_no_connection() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| {
        Answer::text("x".repeat(10_000)).cache_control("max-age=60")
    });
    let toml = format!("{STRICT}[defaults]\nunmatched = \"rfc9111\"");
    let sidecar = Sidecar::start(&app.url(), &toml);
    eventually("it is stored", LONG, || async {
        sidecar.client().get("/").await.is_hit()
    })
    .await;
    let mut raw = RawHttp2::begin(sidecar.addr(), &[0, 4, 0, 0, 0, 0]).await;
    raw.send(&frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &head("GET", "/"),
    ))
    .await;
    let drop = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    let frames = raw.drip(&drop, PAUSE, |_| false).await;
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY));
}

/// The app streams a byte now and then; the client takes each at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_app_sends_slowly_is_not_cut() {
    for kind in ["text/plain", "text/event-stream"] {
        let app = TestApp::start().await;
        app.on("GET", "/", move |_| {
            let (answer, pieces) = Answer::piecewise();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let _ = pieces.send(Ok("x".into()));
                    tokio::time::sleep(5 * PAUSE).await;
                }
            });
            answer.header("content-type", kind)
        });
        let sidecar = Sidecar::start(&app.url(), STRICT);
        for client in [sidecar.client(), sidecar.http2()] {
            let reply = client.get("/").await;
            assert_eq!(reply.text(), "x".repeat(20), "{kind}, {:?}", reply.version);
        }
    }
}

/// The client has sent all that fits, and the app takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_app_takes_slowly_is_not_cut() {
    const LENGTH: usize = 20_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let gate = Gate::new();
    let shut = gate.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut piece = vec![0; 100_000];
        let mut taken = stream.read(&mut piece).await.expect("a head");
        shut.pass().await;
        while taken < LENGTH {
            taken += stream.read(&mut piece).await.expect("a body");
        }
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")
            .await;
        shut.pass().await;
    });
    let sidecar = Sidecar::start(&url, FAIR);
    let body = "x".repeat(LENGTH);
    let sending = tokio::spawn({
        let client = sidecar.client();
        async move { client.request("POST", "/up").body(body).send().await }
    });
    gate.reached(1).await;
    // Longer than a client may be waited for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    gate.open();
    assert_eq!(sending.await.expect("no panic").text(), "taken");
}

/// Handed over, the two ends have their own ideas of slowness.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_not_cut() {
    let gate = Gate::new();
    let shut = gate.clone();
    let app = RawApp::start(move |_| {
        vec![
            Step::send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
            ),
            Step::read("aaa"),
            Step::Pass(shut.clone()),
            Step::send("bye"),
            Step::Close,
        ]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), STRICT);
    let mut client = RawClient::connect(sidecar.addr()).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
        .await;
    client.head().await;
    for _ in 0..3 {
        tokio::time::sleep(15 * PAUSE).await;
        client.send("a").await;
    }
    gate.reached(1).await;
    tokio::time::sleep(50 * PAUSE).await;
    gate.open();
    assert_eq!(client.rest().await, "bye");
    assert!(!is_counted(&sidecar, "slow-answer").await);
}
