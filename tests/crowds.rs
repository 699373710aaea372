//! What is held while clients are slow (promise I7): the budget for bodies on their way, the fills' places.
//!
//! `bench/crowds` has larger ones, with the memory they take and the latencies beside them.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::caching::SHORT;
use crate::running::Running;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::http2::{RawHttp2, fields, frame};
use crate::support::raw_app::{RawApp, Step};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const MIB: usize = 1 << 20;
const KEPT: &str = "[[route]]\npath = \"/kept/{id}\"\nkey = \"kept:{path.id}\"\n";

/// Asks, and reads nothing of the answer.
async fn ask_and_read_nothing(addr: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(addr).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is read");
    stream
}

/// How much body comes until the end.
async fn length_of_rest(mut stream: TcpStream) -> usize {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.len() - end.expect("a head") - 4
}

/// Answers `/{kind}/{id}` for so many ids.
fn on_each(
    app: &TestApp,
    kind: &str,
    count: usize,
    answer: impl Fn() -> Answer + Clone + Send + Sync + 'static,
) {
    for id in 0..count {
        let answer = answer.clone();
        app.on("GET", &format!("/{kind}/{id}"), move |_| answer());
    }
}

async fn metric(admin: &Client, name: &str) -> u64 {
    let metrics = admin.get("/metrics").await;
    let line = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {name}"))
}

async fn in_flight(admin: &Client) -> u64 {
    metric(admin, "pannier_in_flight_bytes").await
}

/// Each kind of slow client is whole in the end, and leaves nothing behind in the account.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_are_counted_and_forgotten() {
    let app = TestApp::start().await;
    on_each(&app, "kept", 30, || Answer::text("x".repeat(MIB)));
    app.on("GET", "/passed", |_| {
        Answer::text("x".repeat(8 * MIB)).cache_control("no-store")
    });
    let memory = "[memory]\nmax = \"8MiB\"\nin_flight = \"8MiB\"\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{memory}{KEPT}"));
    let admin = sidecar.admin();
    let mut slow = Vec::new();
    for id in 0..30 {
        let path = format!("/kept/{id}");
        slow.push((MIB, ask_and_read_nothing(sidecar.addr(), &path).await));
        eventually("the app is asked", SHORT, || async {
            app.count(&path) == 1
        })
        .await;
    }
    for _ in 0..5 {
        let stream = ask_and_read_nothing(sidecar.addr(), "/passed").await;
        slow.push((8 * MIB, stream));
    }
    eventually("all are asked", SHORT, || async {
        app.count("/passed") == 5
    })
    .await;
    // What is told may be a second old.
    eventually("what is held is told", SHORT, || async {
        in_flight(&admin).await > 1 << 20
    })
    .await;
    // A quarter of it for what is gathered; what passes is counted beside it.
    let held = in_flight(&admin).await;
    assert!(held > 1 << 20, "{held}");
    assert!(held <= (2 * MIB + 35 * (64 << 10)) as u64, "{held}");
    let refused = admin.get("/metrics").await;
    assert!(
        refused.text().contains("reason=\"in-flight-full\""),
        "more than there was room for came"
    );
    for (length, stream) in slow {
        assert_eq!(length_of_rest(stream).await, length);
    }
    eventually("nothing is held", SHORT, || async {
        in_flight(&admin).await == 0
    })
    .await;
}

/// The memory that the process takes, beside what it had before.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_takes_no_more_memory_than_it_may() {
    let app = TestApp::start().await;
    on_each(&app, "kept", 251, || {
        Answer::text("x".repeat(MIB)).cache_control("max-age=60")
    });
    on_each(&app, "passed", 50, || {
        Answer::text("x".repeat(MIB)).cache_control("no-store")
    });
    let url = app.url();
    let running = Running::start_with(
        &["run", "--upstream", &url],
        &url,
        &[
            ("PANNIER_MEMORY_MAX", "8MiB"),
            ("PANNIER_MEMORY_IN_FLIGHT", "8MiB"),
        ],
    );
    let client = Client::new(running.proxy);
    assert_eq!(client.get("/kept/250").await.text().len(), MIB);
    let before = running.resident_memory();
    let mut slow = Vec::new();
    let mut streams = Vec::new();
    for id in 0..50 {
        for kind in ["kept", "passed"] {
            let path = format!("/{kind}/{id}");
            slow.push(ask_and_read_nothing(running.proxy, &path).await);
        }
    }
    // HTTP/2 with a window of nothing.
    let no_window = [0, 4, 0, 0, 0, 0];
    for connection in 0..4_u32 {
        let mut http2 = RawHttp2::begin(running.proxy, &no_window).await;
        for stream in 0..50_u32 {
            let path = format!("/kept/{}", 50 + connection * 50 + stream);
            let head = fields(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", &path),
            ]);
            http2.send(&frame(1, 5, 2 * stream + 1, &head)).await;
        }
        streams.push(http2);
    }
    eventually("all are asked", SHORT, || async { app.seen().len() == 301 }).await;
    let admin = Client::new(running.admin);
    eventually("the fills have gone as far as they can", SHORT, || async {
        metric(&admin, "pannier_fills").await == 0
    })
    .await;
    let grown = running.resident_memory().saturating_sub(before);
    // 300 MiB were asked for. The two budgets, and as much again for 300 connections and streams.
    assert!(grown < 48 * MIB, "{} MiB", grown / MIB);
    drop((slow, streams));
}

/// What finds no room is its client's alone; what is short always finds some.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_long_body_is_not_stored_and_a_short_one_is() {
    let app = TestApp::start().await;
    let (mut pieces, mut answers) = (Vec::new(), Vec::new());
    let (answer, piece) = Answer::piecewise();
    answers.push(answer.header("content-length", "524288"));
    pieces.push(piece);
    let first = std::sync::Mutex::new(answers);
    app.on("GET", "/kept/first", move |_| {
        first.lock().expect("no panic").pop().expect("asked once")
    });
    app.on("GET", "/kept/long", |_| Answer::text("x".repeat(100_000)));
    app.on("GET", "/kept/unstated", |_| {
        let (answer, piece) = Answer::piecewise();
        for _ in 0..10 {
            piece
                .send(Ok(Bytes::from("x".repeat(10_000))))
                .expect("it is read");
        }
        answer
    });
    app.on("GET", "/kept/short", |_| Answer::text("x".repeat(10_000)));
    let memory = "[memory]\nin_flight = \"2MiB\"\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{memory}{KEPT}"));
    let client = sidecar.client();
    let slow = ask_and_read_nothing(sidecar.addr(), "/kept/first").await;
    let admin = sidecar.admin();
    eventually("its room is taken", SHORT, || async {
        in_flight(&admin).await >= 524_288
    })
    .await;
    for path in ["/kept/long", "/kept/unstated"] {
        for asked in 1..3 {
            let reply = client.get(path).await;
            assert_eq!(reply.text().len(), 100_000, "{path}");
            assert_eq!(app.count(path), asked, "{path}");
        }
    }
    let told = client.get("/kept/long").await;
    assert!(
        told.cache_status().contains("not-stored=in-flight-full"),
        "{}",
        told.cache_status()
    );
    eventually("it is stored", SHORT, || async {
        client.get("/kept/short").await.is_hit()
    })
    .await;
    // Room again.
    pieces[0]
        .send(Ok(Bytes::from(vec![b'x'; 524_288])))
        .expect("it is read");
    pieces.clear();
    assert_eq!(length_of_rest(slow).await, 524_288);
    eventually("it is stored", SHORT, || async {
        client.get("/kept/long").await.is_hit()
    })
    .await;
}

/// A long entry in Redis is as long as a long answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_long_entry_is_not_read_from_redis_and_a_short_one_is() {
    let app = TestApp::start().await;
    let (answer, piece) = Answer::piecewise();
    let first = std::sync::Mutex::new(Some(answer.header("content-length", "524288")));
    app.on("GET", "/kept/first", move |_| {
        first.lock().expect("no panic").take().expect("asked once")
    });
    app.on("GET", "/kept/long", |_| Answer::text("x".repeat(100_000)));
    app.on("GET", "/kept/short", |_| Answer::text("x".repeat(1000)));
    let redis = RedisServer::start();
    let config = format!("[redis]\nurl = \"{}\"\n{KEPT}", redis.url());
    let writer = Sidecar::start(&app.url(), &config);
    for path in ["/kept/long", "/kept/short"] {
        eventually("stored", SHORT, || async {
            writer.client().get(path).await.is_hit()
        })
        .await;
    }
    let memory = "[memory]\nmax = \"0B\"\nin_flight = \"2MiB\"\n";
    let reader = Sidecar::start(&app.url(), &format!("{memory}{config}"));
    let client = reader.client();
    for path in ["/kept/long", "/kept/short"] {
        eventually("read", SHORT, || async { client.get(path).await.is_hit() }).await;
    }
    let (long, short) = (app.count("/kept/long"), app.count("/kept/short"));
    let _slow = ask_and_read_nothing(reader.addr(), "/kept/first").await;
    let admin = reader.admin();
    eventually("no room", SHORT, || async {
        in_flight(&admin).await >= 524_288
    })
    .await;
    assert_eq!(client.get("/kept/long").await.text().len(), 100_000);
    assert!(client.get("/kept/short").await.is_hit());
    assert_eq!(app.count("/kept/short"), short);
    assert!(app.count("/kept/long") > long, "the app is asked instead");
    drop(piece);
}

/// Misses do not wait behind the misses of a slow route, with places or without.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_route_holds_up_no_other() {
    const RULES: &str = "[upstream]\nmax_fills = 4\n\
        [[route]]\npath = \"/slow/{id}\"\nkey = \"slow:{path.id}\"\n\
        [[route]]\npath = \"/kept/{id}\"\nkey = \"kept:{path.id}\"\n\
        [[route]]\npath = \"/one/{id}\"\nkey = \"one:{path.id}\"\nmax_fills = 1\n";
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    on_each(&app, "slow", 64, move || Answer::text("x").behind(&behind));
    on_each(&app, "kept", 2, || Answer::text("x"));
    let behind = gate.clone();
    on_each(&app, "one", 3, move || Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), RULES);
    let ask = |path: String| {
        let client = sidecar.client();
        tokio::spawn(async move { client.get(&path).await })
    };
    let mut slow: Vec<_> = (0..64).map(|id| ask(format!("/slow/{id}"))).collect();
    gate.reached(64).await;
    let client = sidecar.client();
    client.get("/kept/1").await;
    eventually("stored", SHORT, || async {
        client.get("/kept/1").await.is_hit()
    })
    .await;
    slow.extend((0..3).map(|id| ask(format!("/one/{id}"))));
    gate.reached(67).await;
    gate.open();
    let mut stored = [0, 0];
    for (number, reply) in slow.into_iter().enumerate() {
        let reply = reply.await.expect("no panic");
        assert_eq!(reply.text(), "x");
        let passed = reply.cache_status().contains("not-stored=fills-full");
        stored[usize::from(number >= 64)] += usize::from(!passed);
    }
    assert_eq!(stored, [2, 1], "half of the places, and the route's own");
}

/// A crowd for one key is one place, and those who wait for it are answered by it.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_and_waits_is_not_forgotten() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    on_each(&app, "kept", 3, move || Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), &format!("[upstream]\nmax_fills = 1\n{KEPT}"));
    let ask = |path: &'static str| {
        let client = sidecar.client();
        tokio::spawn(async move { client.get(path).await })
    };
    let first = ask("/kept/1");
    gate.reached(1).await;
    let crowd: Vec<_> = (0..20).map(|_| ask("/kept/2")).collect();
    gate.reached(21).await;
    gate.open();
    for reply in crowd.into_iter().chain([first]) {
        let reply = reply.await.expect("no panic");
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "x"));
    }
}

/// `abandoned` says what becomes of a fill whose client has gone: before the head and within the body.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_nobody_waits_for_ends_if_its_rule_says_so() {
    for (abandoned, within_body) in [
        ("end", false),
        ("end", true),
        ("finish", false),
        ("finish", true),
    ] {
        let case = format!("{abandoned}, within the body: {within_body}");
        let (go, ends) = (Gate::new(), abandoned == "end");
        let held = go.clone();
        let app = RawApp::start(move |_| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
            let begin = if within_body {
                format!("{head}x")
            } else {
                String::new()
            };
            let rest = if within_body {
                "x".to_owned()
            } else {
                format!("{head}xx")
            };
            // A connection that is read from notices its end.
            let wait = match ends {
                true => Step::read("never sent"),
                false => Step::Pass(held.clone()),
            };
            vec![Step::send(&begin), wait, Step::send(&rest)]
        })
        .await;
        let config = format!("{KEPT}abandoned = \"{abandoned}\"\n");
        let sidecar = Sidecar::start(&app.url(), &config);
        let mut stream = ask_and_read_nothing(sidecar.addr(), "/kept/1").await;
        eventually("asked", SHORT, || async { app.count() == 1 }).await;
        if within_body {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).await.expect("a head");
        }
        drop(stream);
        let admin = sidecar.admin();
        eventually("the client has gone", SHORT, || async {
            metric(&admin, "pannier_connections").await == 0
        })
        .await;
        if ends {
            eventually("the app's connection ends", SHORT, || async {
                app.ended() == 1
            })
            .await;
            sidecar.fills_have_ended().await;
            let metrics = admin.get("/metrics").await;
            assert!(metrics.text().contains("reason=\"unwanted\""), "{case}");
        } else {
            go.open();
            let client = sidecar.client();
            eventually("stored", SHORT, || async {
                client.get("/kept/1").await.is_hit()
            })
            .await;
            assert_eq!(app.count(), 1, "{case}");
        }
    }
}

/// Who waits for a fill has it, even when the client that caused it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_others_wait_for_goes_on() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    on_each(&app, "kept", 2, move || Answer::text("x").behind(&behind));
    let config = format!("{KEPT}abandoned = \"end\"\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let first = ask_and_read_nothing(sidecar.addr(), "/kept/1").await;
    gate.reached(1).await;
    let client = sidecar.client();
    let second = tokio::spawn(async move { client.get("/kept/1").await });
    let admin = sidecar.admin();
    eventually("one waits", SHORT, || async {
        metric(&admin, "pannier_coalesced_waiters").await == 1
    })
    .await;
    drop(first);
    eventually("the first has gone", SHORT, || async {
        // Of the three connections, that of the admin interface is not counted.
        metric(&admin, "pannier_connections").await == 1
    })
    .await;
    gate.open();
    assert_eq!(second.await.expect("no panic").text(), "x");
    assert_eq!(app.count("/kept/1"), 1);
}
