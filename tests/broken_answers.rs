//! Answers of the app that must not be passed on or kept (reliability.md, The app's answers).

use crate::caching::BOARD;
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::RawClient;
use crate::support::sidecar::Sidecar;

/// reliability.md A1: cut at every byte, and never stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_is_aborted_and_not_stored() {
    for (name, answer) in [
        (
            "short of its length",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345",
        ),
        (
            "chunked without an end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        ),
        (
            "cut in a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
        ),
    ] {
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let client = sidecar.client();
        for _ in 0..2 {
            let reply = client.request("GET", "/board?id=1").try_send().await;
            assert!(
                reply.is_err(),
                "{name}: the client is told by the broken connection"
            );
        }
        assert_eq!(app.count(), 2, "{name}: never stored");
    }
}

/// reliability.md A2: its end may be a cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_the_connection_is_not_stored() {
    let app =
        RawApp::start(|_| vec![Step::send("HTTP/1.1 200 OK\r\n\r\nhello"), Step::Close]).await;
    let sidecar = Sidecar::start(&app.url(), BOARD);
    for _ in 0..2 {
        let reply = sidecar.client().get("/board?id=1").await;
        assert_eq!(reply.text(), "hello");
        assert!(
            reply.cache_status().contains("close-delimited"),
            "{}",
            reply.cache_status()
        );
    }
}

/// reliability.md A3: what was never asked for.
#[tokio::test(flavor = "multi_thread")]
async fn unsolicited_answers_are_a_502() {
    for answer in [
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let reply = sidecar.client().get("/board?id=1").await;
        assert_eq!(reply.status, 502, "{answer}");
    }
}

/// reliability.md A3: a body whose end is told in two ways, or in one nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_doubtful_length_are_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let app = RawApp::start(move |_| vec![Step::send(answer), Step::Close]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        for path in ["/board?id=1", "/unmatched"] {
            let reply = sidecar.client().request("GET", path).try_send().await;
            assert_eq!(reply.expect("an answer").status, 502, "{answer} {path}");
        }
    }
}

/// RFC 9110 §8.6: one length that is said twice is said once; two lengths are none.
#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_length_becomes_one_number() {
    let rows = [
        ("GET", "Content-Length: 5, 5", Some("content-length: 5\r\n")),
        (
            "GET",
            "Content-Length: 5\r\nContent-Length: 5",
            Some("content-length: 5\r\n"),
        ),
        ("HEAD", "Content-Length: 5,5", Some("content-length: 5\r\n")),
        ("HEAD", "Content-Length: 5, 6", None),
        ("HEAD", "Content-Length: +5", None),
        ("GET", "Content-Length: 5, 6", None),
    ];
    for (method, lengths, expected) in rows {
        let body = if method == "GET" { "12345" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n{body}");
        let app = RawApp::start(move |_| vec![Step::send(&answer)]).await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        for path in ["/board?id=1", "/unmatched"] {
            let mut client = RawClient::connect(sidecar.addr()).await;
            let fields = "Host: a\r\nConnection: close\r\n\r\n";
            client
                .send(&format!("{method} {path} HTTP/1.1\r\n{fields}"))
                .await;
            let told = client.rest().await;
            match expected {
                Some(length) => {
                    assert!(told.contains(length), "{method} {path} {lengths}: {told}");
                    let count = told.matches("content-length").count();
                    assert_eq!(count, 1, "{method} {path} {lengths}: {told}");
                }
                None => assert!(told.starts_with("HTTP/1.1 502"), "{lengths}: {told}"),
            }
        }
    }
}

/// RFC 9112 §6.1, §6.3: where an answer ends is in doubt, so nothing more is read from its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_doubtful_answer_is_closed() {
    for (name, answer) in [
        (
            "two framings",
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "an answer that nobody asked for",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
        ),
    ] {
        let app = RawApp::start(move |nth| match nth {
            0 => vec![Step::send(answer)],
            _ => vec![Step::send(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright",
            )],
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), "[listen]\nworkers = 1\n");
        let client = sidecar.client();
        let _ = client.request("GET", "/first").try_send().await;
        let reply = client.request("GET", "/second").send().await;
        assert_eq!(reply.text(), "right", "{name}");
        crate::support::eventually(name, std::time::Duration::from_secs(30), || async {
            app.ended() >= 1
        })
        .await;
    }
}

/// hyper takes what follows for trailers, to which no bare line feed belongs.
#[tokio::test(flavor = "multi_thread")]
async fn a_bare_line_feed_behind_the_last_chunk_breaks_an_answer() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n\
                  X-Next: answer\r\n\r\n";
    let app = RawApp::start(move |_| vec![Step::send(answer)]).await;
    let sidecar = Sidecar::start(&app.url(), BOARD);
    for path in ["/board?id=1", "/board?id=1", "/unmatched"] {
        let reply = sidecar.client().request("GET", path).try_send().await;
        assert!(reply.is_err(), "{path}");
    }
    assert_eq!(app.count(), 3, "never stored");
}

/// An app that answers unasked does so again, and not always early enough to be seen.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_unasked_answer_each_request_has_a_connection_of_its_own() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright";
    let app = RawApp::start(move |nth| match nth {
        0 => vec![Step::send(answer), Step::send("HTTP/1.1 200 OK\r\n\r\n")],
        _ => vec![Step::send(answer)],
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), "[listen]\nworkers = 1\n");
    let client = sidecar.client();
    let _ = client.request("GET", "/first").try_send().await;
    let ended = |count: usize| {
        let app = &app;
        move || async move { app.ended() == count }
    };
    let long = std::time::Duration::from_secs(30);
    crate::support::eventually("it is seen", long, ended(1)).await;
    for _ in 0..5 {
        let reply = client.request("POST", "/later").send().await;
        assert_eq!(reply.text(), "right");
    }
    crate::support::eventually("none is used again", long, ended(6)).await;
}
