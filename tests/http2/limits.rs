//! Clients that are slow, silent or greedy over HTTP/2 (reliability.md R7).

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::{gather, request};
use crate::support::app::{Answer, TestApp};
use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE,
    PRIORITY, RST_STREAM, RawHttp2, Received, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(20);
const ENHANCE_YOUR_CALM: u32 = 0xb;

fn get(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ])
}

/// Each would be waited for without end; the other deadline is far away.
#[tokio::test(flavor = "multi_thread")]
async fn slow_beginnings_and_slow_heads_are_ended() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let toml = "[listen]\nheader_timeout = \"300ms\"\nidle_timeout = \"1h\"";
    let sidecar = Sidecar::start(&app.url(), toml);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let block = get("/");
    let begun = [PREFACE, &settings].concat();
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let half = frame(HEADERS, END_STREAM, 3, &block[..9]);
    let rows = [
        ("silence", vec![]),
        ("half a preface", PREFACE[..10].to_vec()),
        ("no request", begun.clone()),
        ("half a frame", [&begun[..], &whole[..20]].concat()),
        ("a head without its end", [&begun[..], &half].concat()),
        ("the second head", [&begun[..], &whole, &half].concat()),
    ];
    for (name, bytes) in rows {
        let mut raw = RawHttp2::connect(sidecar.addr()).await;
        raw.send(&bytes).await;
        // What keeps a connection busy does not make its head come.
        raw.send(&if bytes.ends_with(&settings) {
            frame(PING, 0, 0, &[0; 8])
        } else {
            vec![]
        })
        .await;
        let frames = raw.rest().await;
        let answered = frames.iter().any(|frame| frame.kind == HEADERS);
        assert_eq!(answered, name == "the second head", "{name}: {frames:?}");
    }
}

/// A crowd is begun a few at a time (`src/turns.rs`): whoever has taken its request back meanwhile is not begun at all.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_before_their_turn_do_not_reach_the_app() {
    const CONNECTIONS: usize = 10;
    const STREAMS: u32 = 100;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let app = TestApp::start().await;
    app.on("GET", "/taken-back", |_| Answer::text("late"));
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nworkers = 1");
    let streams = || (0..STREAMS).map(|nth| 2 * nth + 1);
    let ask = |stream, path| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path));
    let crowd = streams().flat_map(|stream| ask(stream, "/taken-back"));
    let crowd = crowd.chain(frame(PING, 0, 0, &[0; 8])).collect::<Vec<u8>>();
    let resets = streams().flat_map(|stream| frame(RST_STREAM, 0, stream, &CANCEL));
    let resets = resets.collect::<Vec<u8>>();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(RawHttp2::begin(sidecar.addr(), &[]).await);
    }
    for connection in &mut connections {
        connection.send(&crowd).await;
    }
    for connection in &mut connections {
        // So it has accepted all of them.
        let answered = connection.next_of(PING).await;
        assert!(answered.is_some_and(|ping| ping.flags == ACK));
        connection.send(&resets).await;
    }
    for connection in &mut connections {
        let last = 2 * STREAMS + 1;
        connection.send(&ask(last, "/")).await;
        let is_answered = |frame: &Received| frame.stream == last && frame.kind == HEADERS;
        while !is_answered(&connection.next().await.expect("it is open")) {}
    }
    let begun = app.count("/taken-back");
    assert!(begun < CONNECTIONS * STREAMS as usize * 9 / 10, "{begun}");
}

/// Told by a `GOAWAY` first, so that a request sent just then is not lost in silence; pings do not count.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_ended_in_order() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let toml = "[listen]\nheader_timeout = \"1h\"\nidle_timeout = \"300ms\"";
    let sidecar = Sidecar::start(&app.url(), toml);
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/")))
        .await;
    let told = loop {
        let received = raw.next().await.expect("told before it is closed");
        match received.kind {
            GOAWAY => break received,
            // Answered, as a client must, and so never silent.
            PING if received.flags == 0 => raw.send(&frame(PING, ACK, 0, &received.payload)).await,
            _ => {
                // Not as fast as it could: that would be a flood.
                tokio::time::sleep(Duration::from_millis(5)).await;
                raw.send(&frame(PING, 0, 0, &[7; 8])).await;
            }
        }
    };
    assert_eq!(told.code(), 0);
    raw.rest().await;
}

/// A request that takes longer than a connection may idle is no idleness.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_request_is_not_idle() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let toml = "[listen]\nheader_timeout = \"100ms\"\nidle_timeout = \"100ms\"";
    let sidecar = Sidecar::start(&app.url(), toml);
    let client = sidecar.http2();
    let asking = tokio::spawn(async move { client.get("/slow").await });
    gate.reached(1).await;
    // The wait is what is tested.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.open();
    assert_eq!(asking.await.expect("no panic").text(), "done");
}

/// A client that opens no window: its stream is reset, and its other requests go on. The app's
/// connection is given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_answer_is_not_taken_is_reset() {
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| Answer::text("x".repeat(1_000_000)));
    app.on("GET", "/small", |_| Answer::status(204));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::status(204).behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nidle_timeout = \"400ms\"");
    let stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("an open connection");
    // Keeps the connection from being idle.
    let (slow, _) = client
        .send_request(request("GET", &sidecar, "/slow"), true)
        .expect("an open connection");
    gate.reached(1).await;
    let (large, _) = client
        .send_request(request("GET", &sidecar, "/large"), true)
        .expect("an open connection");
    let mut body = large.await.expect("a head").into_body();
    let ended = tokio::time::timeout(LONG, body.data()).await;
    let error = ended
        .expect("an end")
        .expect("no whole body")
        .expect_err("a reset");
    assert!(error.is_reset() && error.is_remote(), "{error}");
    let (small, _) = client
        .send_request(request("GET", &sidecar, "/small"), true)
        .expect("an open connection");
    assert_eq!(small.await.expect("an answer").status(), 204);
    gate.open();
    assert_eq!(slow.await.expect("an answer").status(), 204);
}

/// The same from the store, where nothing is streamed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hit_that_is_not_taken_ends_too() {
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| {
        Answer::text("x".repeat(1_000_000)).cache_control("max-age=60")
    });
    let toml = "[listen]\nidle_timeout = \"400ms\"\n[defaults]\nunmatched = \"rfc9111\"";
    let sidecar = Sidecar::start(&app.url(), toml);
    eventually("a hit", LONG, || async {
        sidecar.http2().get("/large").await.is_hit()
    })
    .await;
    let window = [0, 4, 0, 0, 0, 0];
    let mut raw = RawHttp2::begin(sidecar.addr(), &window).await;
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/large")))
        .await;
    raw.next_of(HEADERS).await.expect("a head");
    let reset = raw.next_of(RST_STREAM).await;
    assert!(reset.is_some() || raw.next().await.is_none());
}

/// A slow client that goes on taking is served to the end, however long that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_taker_is_served_whole() {
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| Answer::text("x".repeat(200_000)));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nidle_timeout = \"1s\"");
    let stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(20_000)
        .handshake::<_, Bytes>(stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("an open connection");
    let (large, _) = client
        .send_request(request("GET", &sidecar, "/large"), true)
        .expect("an open connection");
    let mut body = large.await.expect("a head").into_body();
    let mut taken = 0;
    while let Some(piece) = body.data().await {
        taken += piece.expect("it goes on").len();
        if taken % 20_000 == 0 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let _ = body.flow_control().release_capacity(20_000);
        }
    }
    assert_eq!(taken, 200_000);
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), "");
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    let mut flood = Vec::new();
    for stream in (1..2_000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/")));
        flood.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    raw.send(&flood).await;
    let told = raw.next_of(GOAWAY).await.expect("told to go");
    assert_eq!(told.code(), ENHANCE_YOUR_CALM);
    assert!(app.count("/") < 500, "most were not even looked at");
    assert_eq!(sidecar.http2().get("/").await.text(), "ok");
}

/// CVE-2019-9512, -9513, -9515, -9518 and their kin: frames that ask for nothing. Each kind would go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_that_ask_for_nothing_end_the_connection() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let sidecar = Sidecar::start(&app.url(), "");
    let post = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]);
    let rows = [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("answered ping", frame(PING, ACK, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ("window", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        (
            "window of a stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        ("unknown", frame(0xfa, 0, 0, &[0; 100])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("padding", frame(DATA, PADDED, 1, &[3, 0, 0, 0])),
    ];
    for (name, idle) in rows {
        let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, &post)).await;
        let pause = Duration::from_millis(1);
        let frames = raw.drip(&idle.repeat(500), pause, |_| false).await;
        let told = frames.last().expect("told to go");
        assert_eq!(
            (told.kind, told.code()),
            (GOAWAY, ENHANCE_YOUR_CALM),
            "{name}"
        );
    }
    let metrics = sidecar.admin().get("/metrics").await;
    // Some kinds are counted by hyper already.
    let line = "pannier_connections_cut_total{reason=\"flood\"} ";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    assert_eq!(sidecar.http2().get("/").await.text(), "ok");
}

/// A ping and two windows for each piece of an answer, as the most diligent client would.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_follow_an_answer_are_no_flood() {
    const LENGTH: usize = 20_000_000;
    let app = TestApp::start().await;
    app.on("GET", "/large", |_| Answer::text("x".repeat(LENGTH)));
    let sidecar = Sidecar::start(&app.url(), "");
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/large")))
        .await;
    let mut taken = 0;
    while taken < LENGTH {
        let data = raw.next_of(DATA).await.expect("it goes on").payload.len();
        taken += data;
        let opened = u32::try_from(data).expect("a frame").to_be_bytes();
        let diligent = [
            frame(PING, 0, 0, &[0; 8]),
            frame(WINDOW_UPDATE, 0, 0, &opened),
            frame(WINDOW_UPDATE, 0, 1, &opened),
        ];
        if data > 0 {
            raw.send(&diligent.concat()).await;
        }
    }
}

/// CVE-2024-27316 and its kin.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_continuations_ends_the_connection() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), "");
    for (name, piece) in [
        ("empty", Vec::new()),
        ("full", fields(&[("x", &"y".repeat(1_000))])),
    ] {
        let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
        raw.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
        for _ in 0..1_000 {
            raw.send(&frame(CONTINUATION, 0, 1, &piece)).await;
        }
        let frames = raw.rest().await;
        assert!(
            !frames.iter().any(|frame| frame.kind == HEADERS),
            "{name}: {frames:?}"
        );
    }
    assert_eq!(app.seen().len(), 0);
}

/// As many at a time as is announced; who asks for more is refused, and may ask again.
#[tokio::test(flavor = "multi_thread")]
async fn requests_at_a_time_are_limited() {
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    const REFUSED_STREAM: u32 = 7;
    let app = TestApp::start().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "");
    let mut raw = RawHttp2::begin(sidecar.addr(), &[]).await;
    let settings = raw.next_of(SETTINGS).await.expect("settings").payload;
    let announced = settings
        .chunks(6)
        .find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS)
        .expect("a limit is announced");
    let limit = u32::from_be_bytes(announced[2..].try_into().expect("four bytes"));
    assert!((100..=256).contains(&limit), "{limit}");
    // In force once it is acknowledged (RFC 9113 §6.5.3).
    raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
    for n in 0..limit {
        raw.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1 + 2 * n,
            &get("/slow"),
        ))
        .await;
    }
    gate.reached(limit as usize).await;
    let over = 1 + 2 * limit;
    raw.send(&frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        over,
        &get("/slow"),
    ))
    .await;
    let reset = raw.next_of(RST_STREAM).await.expect("a reset");
    assert_eq!((reset.stream, reset.code()), (over, REFUSED_STREAM));
    gate.open();
    assert!(raw.next_of(HEADERS).await.is_some());
}

/// `max_connections` counts connections, however many requests each carries.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_and_not_streams() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let sidecar = Sidecar::start(&app.url(), "[listen]\nmax_connections = 1\nworkers = 1");
    let mut client = super::h2_client(&sidecar).await;
    let answers: Vec<_> = (0..3)
        .map(|_| {
            let slow = request("GET", &sidecar, "/slow");
            client
                .send_request(slow, true)
                .expect("an open connection")
                .0
        })
        .collect();
    gate.reached(3).await;
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(metrics.text().contains("pannier_connections 1\n"));
    gate.open();
    for answer in answers {
        let answer = answer.await.expect("an answer");
        assert_eq!(gather(answer.into_body()).await, b"done");
    }
}
