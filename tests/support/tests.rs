//! The toolbox itself: a test tool that lies makes every test lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::app::{Answer, TestApp};
use super::client::{Client, ClientError, exchange_raw};
use super::raw_app::{RawApp, Step};
use super::{Gate, eventually};

#[tokio::test]
async fn the_app_answers_and_records() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        Answer::text(format!("{} {:?}", seen.nth, seen.query)).cache_control("max-age=5")
    });
    let client = Client::new(app.addr());
    assert_eq!(client.get("/a?x=1").await.text(), r#"0 Some("x=1")"#);
    let second = client.request("GET", "/a").header("x-y", "z").send().await;
    assert_eq!(second.text(), "1 None");
    assert_eq!(second.header("cache-control"), "max-age=5");
    assert_eq!(client.json("PUT", "/a", "{}").await.status, 404);
    assert_eq!(app.count("/a"), 3);
    assert_eq!(app.seen()[1].header("x-y"), "z");
    assert_eq!(app.last("/a").body, "{}");
}

#[tokio::test]
async fn a_gate_controls_both_moments() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&held));
    let client = Client::new(app.addr());
    let asking = tokio::spawn(async move { client.get("/slow").await });
    gate.reached(1).await;
    assert!(!asking.is_finished());
    gate.open();
    assert_eq!(asking.await.unwrap().text(), "done");
}

#[tokio::test]
async fn a_body_comes_piece_by_piece_or_breaks_off() {
    let app = TestApp::start().await;
    app.on("GET", "/whole", |_| {
        let (answer, pieces) = Answer::piecewise();
        pieces.send(Ok("one ".into())).unwrap();
        pieces.send(Ok("two".into())).unwrap();
        answer
    });
    app.on("GET", "/cut", |_| {
        let (answer, pieces) = Answer::piecewise();
        pieces.send(Ok("one ".into())).unwrap();
        pieces.send(Err("cut".into())).unwrap();
        answer
    });
    let client = Client::new(app.addr());
    assert_eq!(client.get("/whole").await.text(), "one two");
    let cut = client.request("GET", "/cut").try_send().await;
    assert!(matches!(cut, Err(ClientError::Body(_))), "{cut:?}");
}

#[tokio::test]
async fn raw_answers_are_sent_as_they_are() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
            Step::Close,
        ],
        1 => vec![
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
            Step::Reset,
        ],
        2 => vec![Step::send("no HTTP"), Step::Close],
        _ => vec![Step::Hang],
    })
    .await;
    let client = Client::new(app.addr());
    for name in ["closed", "reset"] {
        let cut = client.request("GET", "/").try_send().await;
        assert!(matches!(cut, Err(ClientError::Body(_))), "{name}: {cut:?}");
    }
    let silence = Duration::from_millis(100);
    let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(exchange_raw(app.addr(), head, silence).await, b"no HTTP");
    assert_eq!(exchange_raw(app.addr(), head, silence).await, b"");
    assert_eq!(app.count(), 4);
}

#[tokio::test]
async fn eventually_waits_as_long_as_it_takes() {
    let checks = AtomicUsize::new(0);
    eventually("the third check", Duration::from_secs(5), || async {
        checks.fetch_add(1, Ordering::Relaxed) == 2
    })
    .await;
    assert_eq!(checks.load(Ordering::Relaxed), 3);
}

#[tokio::test]
#[should_panic(expected = "not within 20ms: never")]
async fn eventually_gives_up() {
    eventually("never", Duration::from_millis(20), || async { false }).await;
}
