//! Many who ask for one thing: who leads, who waits, and what becomes of them.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::caching::{BOARD, SHORT, until_hit};
use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::raw_app::{RawApp, Step};
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_for_one_cold_key_ask_the_app_once() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/board?id=1").await })
        })
        .collect();
    let waiting = "pannier_coalesced_waiters 999";
    let admin = sidecar.admin();
    eventually("999 wait", SHORT, || async {
        admin.get("/metrics").await.text().contains(waiting)
    })
    .await;
    gate.open();
    let mut collapsed = 0;
    for reply in asking {
        let reply = reply.await.expect("no panic");
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "x"));
        collapsed += usize::from(reply.cache_status().contains("collapsed"));
    }
    assert_eq!((app.count("/board"), collapsed), (1, 999));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_hang_up_and_the_others_are_answered() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut leader = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        sidecar.addr()
    );
    leader
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    gate.reached(1).await;
    let client = sidecar.client();
    let follower = tokio::spawn({
        let client = client.clone();
        async move { client.get("/board?id=1").await }
    });
    let admin = sidecar.admin();
    eventually("one waits", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 1")
    })
    .await;
    drop(leader);
    gate.open();
    assert_eq!(follower.await.expect("no panic").text(), "x");
    until_hit(&client, "/board?id=1").await;
    assert_eq!(app.count("/board"), 1);
}

/// reliability.md A6: each waits at most its own time, and the key is not poisoned.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_fill_does_not_poison_its_key() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![Step::Hang],
        _ => vec![Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
    })
    .await;
    let sidecar = Sidecar::start(
        &app.url(),
        &format!("[upstream]\ntimeout = \"4s\"\n{BOARD}"),
    );
    let client = sidecar.client();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/board?id=1").await.status.as_u16() })
        })
        .collect();
    for status in asking {
        assert_eq!(status.await.expect("no panic"), 504);
    }
    assert_eq!(client.get("/board?id=1").await.text(), "ok");
}

/// A slow client neither stops nor slows the fill (promise I6).
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_hold_up_the_others() {
    let app = TestApp::start().await;
    let body = "x".repeat(900_000);
    app.on("GET", "/board", move |_| Answer::text(body.clone()));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut lazy = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let request = format!(
        "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        sidecar.addr()
    );
    lazy.write_all(request.as_bytes()).await.expect("it reads");
    let mut first = [0; 1];
    lazy.read_exact(&mut first).await.expect("an answer begins");
    let client = sidecar.client();
    let hit = until_hit(&client, "/board?id=1").await;
    assert_eq!((hit.body.len(), app.count("/board")), (900_000, 1));
}

/// A crowd of two kinds asks the app twice, not once a head.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_two_kinds_is_fetched_twice() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |seen| {
        Answer::text(seen.header("accept-language").to_owned())
            .header("vary", "Accept-Language")
            .behind(&behind)
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let asking: Vec<_> = (0..100)
        .map(|nth| {
            let (client, language) = (sidecar.client(), ["de", "fr"][nth % 2]);
            tokio::spawn(async move {
                let ask = client
                    .request("GET", "/board?id=1")
                    .header("accept-language", language);
                (language, ask.send().await)
            })
        })
        .collect();
    let admin = sidecar.admin();
    eventually("99 wait", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 99")
    })
    .await;
    gate.open();
    for reply in asking {
        let (language, reply) = reply.await.expect("no panic");
        assert_eq!(reply.text(), language);
    }
    assert_eq!(app.count("/board"), 2);
}

/// A stream of events has no end to wait for: each subscriber has his own.
#[tokio::test(flavor = "multi_thread")]
async fn event_streams_are_not_shared_nor_kept() {
    let app = TestApp::start().await;
    let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = senders.clone();
    app.on("GET", "/board", move |_| {
        let (answer, sender) = Answer::piecewise();
        sender.send(Ok("data: 1\n\n".into())).expect("it is there");
        held.lock().expect("unpoisoned").push(sender);
        answer.header("content-type", "text/event-stream")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(sidecar.addr())
            .await
            .expect("it listens");
        let request = format!(
            "GET /board?id=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
            sidecar.addr()
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut seen = String::new();
        while !seen.contains("data: 1") {
            let mut piece = [0; 1024];
            let read = tokio::time::timeout(SHORT, stream.read(&mut piece)).await;
            let length = read.expect("in time").expect("open");
            assert_ne!(length, 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        assert!(seen.contains("not-stored=event-stream"), "{seen}");
        streams.push(stream);
    }
    drop(streams);
    eventually("the app is left in peace", SHORT, || async {
        senders
            .lock()
            .expect("unpoisoned")
            .iter()
            .all(|sender| sender.is_closed())
    })
    .await;
}

/// Promise I7: at most so many fills at a time, also of clients that have gone. Further misses pass.
#[tokio::test(flavor = "multi_thread")]
async fn fills_are_capped() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/board", move |_| Answer::text("x").behind(&behind));
    let sidecar = Sidecar::start(&app.url(), &format!("[upstream]\nmax_fills = 6\n{BOARD}"));
    let asking: Vec<_> = (0..10)
        .map(|id| {
            let client = sidecar.client();
            tokio::spawn(async move { client.get(&format!("/board?id={id}")).await })
        })
        .collect();
    gate.reached(10).await;
    for left in asking {
        left.abort();
    }
    let admin = sidecar.admin();
    eventually("the clients have gone, and fills go on", SHORT, || async {
        let metrics = admin.get("/metrics").await;
        let has = |line: &str| metrics.text().contains(line);
        has("pannier_connections 0") && has("pannier_fills 3")
    })
    .await;
    let last = sidecar.client();
    let last = tokio::spawn(async move { last.get("/board?id=99").await });
    gate.reached(11).await;
    // What no client waits for is not asked for at all, since it could not be stored.
    let url = format!("http://{}/board?id=98", sidecar.addr());
    let refresh = admin.request("POST", "/refresh");
    let refresh = refresh
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(serde_json::json!({ "urls": [url] }).to_string());
    let result = refresh.send().await.value();
    assert_eq!(result["results"][0]["why"], "fills-full", "{result}");
    assert_eq!(app.count("/board"), 11);
    gate.open();
    let last = last.await.expect("no panic");
    assert_eq!((last.status.as_u16(), last.text()), (200, "x"));
    let told = last.cache_status();
    assert!(told.contains("not-stored=fills-full"), "{told}");
}

/// The app was asked after they came, which is all that a validation could add.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_for_an_answer_to_be_validated_asks_once() {
    let app = TestApp::start().await;
    let first = Gate::new();
    let behind = first.clone();
    app.on("GET", "/board", move |_| {
        Answer::text("x")
            .header("etag", "\"v\"")
            .cache_control("no-cache")
            .behind(&behind)
    });
    let redis = RedisServer::start();
    let config = format!("[redis]\nurl = \"{}\"\n{BOARD}", redis.url());
    let other = Sidecar::start(&app.url(), &config);
    let sidecar = Sidecar::start(&app.url(), &config);
    for sidecar in [&other, &sidecar] {
        connected(sidecar).await;
    }
    // Another sidecar has the key's lease, so that the crowd is there before the app is asked.
    let host = sidecar.addr().to_string();
    let asking = other.client();
    let other = tokio::spawn(async move {
        let request = asking.request("GET", "/board?id=1").header("host", &host);
        request.send().await
    });
    first.reached(1).await;
    let ask = |id: usize| {
        let client = sidecar.client();
        tokio::spawn(async move { client.get(&format!("/board?id={id}")).await })
    };
    let crowd: Vec<_> = (0..50).map(|_| ask(1)).collect();
    let admin = sidecar.admin();
    eventually("49 wait", SHORT, || async {
        admin
            .get("/metrics")
            .await
            .text()
            .contains("pannier_coalesced_waiters 49")
    })
    .await;
    first.open();
    for reply in crowd.into_iter().chain([other]) {
        assert_eq!(reply.await.expect("no panic").text(), "x");
    }
    assert_eq!(app.count("/board"), 2);
}
