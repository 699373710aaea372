//! The app's answers (A1, A3, A4, A5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{RFC, conversation};
use crate::caching::{BOARD, SHORT, until_hit};
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::Sidecar;

const BY_LENGTH: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n12345";
const IN_CHUNKS: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n\
                         3\r\n123\r\n2\r\n45\r\n0\r\n\r\n";

/// A1: cut at every byte, by an end or a reset: never whole for the client, never stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_at_any_byte_is_never_stored() {
    for answer in [BY_LENGTH, IN_CHUNKS] {
        let cut = Arc::new(AtomicUsize::new(0));
        let cutting = cut.clone();
        let app = RawApp::start(move |nth| {
            let piece = &answer.as_bytes()[..cutting.load(Ordering::SeqCst)];
            let end = if nth % 2 == 0 {
                Step::Close
            } else {
                Step::Reset
            };
            vec![Step::Send(piece.to_vec()), end]
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let client = sidecar.client();
        for end in 0..answer.len() {
            let path = format!("/board?id={end}");
            cut.store(end, Ordering::SeqCst);
            let reply = client.request("GET", &path).try_send().await;
            let status = reply.map(|reply| reply.status.as_u16());
            assert!(
                matches!(status, Err(_) | Ok(502)),
                "cut at {end}: {status:?}"
            );
        }
        cut.store(answer.len(), Ordering::SeqCst);
        for end in 0..answer.len() {
            let reply = client
                .request("GET", &format!("/board?id={end}"))
                .try_send()
                .await;
            // Every other whole answer is followed by a reset, which may overtake it.
            let Ok(reply) = reply else { continue };
            assert!(!reply.is_hit(), "stored when cut at {end}");
        }
    }
}

/// A3: what was never asked for, or ends nobody knows where, is refused and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn doubtful_answers_leave_nothing_behind() {
    for bad in [
        "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: xchunked\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    ] {
        let app = RawApp::start(move |nth| match nth {
            0 => vec![Step::send(bad), Step::Close],
            _ => vec![Step::send(BY_LENGTH)],
        })
        .await;
        let sidecar = Sidecar::start(&app.url(), BOARD);
        let client = sidecar.client();
        let refused = client.get("/board?id=1").await;
        assert_eq!(refused.status, 502, "{bad}");
        let next = client.get("/board?id=1").await;
        assert!(!next.is_hit(), "{bad}: {}", next.cache_status());
        assert_eq!(next.text(), "12345", "{bad}");
    }
}

/// A4: of a 304 only the fields that may change what is stored do.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_changes_only_what_it_may() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        if seen.header("if-none-match").is_empty() {
            return Answer::text("body")
                .header("etag", "\"a\"")
                .header("vary", "Accept")
                .header("x-version", "1")
                .cache_control("max-age=0");
        }
        Answer::status(304)
            .header("etag", "\"a\"")
            .header("vary", "Accept")
            .header("set-cookie", "session=1")
            .header("content-encoding", "gzip")
            .header("x-version", "2")
            .cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    client.get("/board?id=1").await;
    let hit = until_hit(&client, "/board?id=1").await;
    assert_eq!((hit.text(), hit.header("content-length")), ("body", "4"));
    assert_eq!(hit.header("x-version"), "2");
    for name in ["set-cookie", "content-encoding"] {
        assert_eq!(hit.header(name), "", "{name}");
    }
}

/// A4: a 304 that varies on more than the stored answer does is not taken for all who select that.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_that_varies_on_more_serves_nobody_else() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        if seen.header("if-none-match").is_empty() {
            return Answer::text("body")
                .header("etag", "\"a\"")
                .cache_control("max-age=0");
        }
        Answer::status(304)
            .header("etag", "\"a\"")
            .header("vary", "Accept-Language")
            .cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    for _ in 0..4 {
        let reply = client.get("/board?id=1").await;
        assert_eq!(reply.text(), "body");
        assert!(!reply.is_hit(), "{}", reply.cache_status());
    }
    assert_eq!(app.count("/board"), 4);
}

/// A5: a body without an end in sight goes through piece by piece and is not stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_streams_past_the_limit() {
    let app = TestApp::start().await;
    let (first, pieces) = Answer::piecewise();
    let first = std::sync::Mutex::new(Some(first.cache_control("max-age=60")));
    app.on("GET", "/big", move |_| {
        let first = first.lock().expect("unpoisoned").take();
        first.unwrap_or_else(|| Answer::text("small"))
    });
    let sidecar = Sidecar::start(&app.url(), &format!("{RFC}\nmax_body = \"1KiB\""));
    let mut client = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    client
        .write_all(format!("GET /big HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.addr()).as_bytes())
        .await
        .expect("it reads");
    let mut seen = String::new();
    for nth in 0..100 {
        // Each is sent only once the one before has come through.
        let mark = format!("<{nth}>");
        let piece = format!("{mark}{}", "x".repeat(500));
        pieces.send(Ok(piece.into())).expect("the app is there");
        while !seen.contains(&mark) {
            let mut read = [0; 4096];
            let reading = client.read(&mut read);
            let length = tokio::time::timeout(std::time::Duration::from_secs(30), reading)
                .await
                .expect("it comes before the next one")
                .expect("open");
            assert_ne!(length, 0, "closed after {nth}");
            seen.push_str(&String::from_utf8_lossy(&read[..length]));
        }
    }
    drop(pieces);
    let next = sidecar.client().get("/big").await;
    assert_eq!((next.text(), next.is_hit()), ("small", false));
}

/// A5: a coded body is stored as it came, and never decoded for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_coded_body_is_stored_as_it_came() {
    let app = TestApp::start().await;
    // No decoder would take it: whoever tried would fail.
    app.on("GET", "/bomb", |_| {
        Answer::text("no gzip at all")
            .header("content-encoding", "gzip")
            .header("content-type", "application/json")
            .cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let hit = until_hit(&client, "/bomb").await;
    assert_eq!(hit.text(), "no gzip at all");
    assert_eq!(hit.header("content-encoding"), "gzip");
}

/// A5: more fields than HTTP libraries read by default.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_hundred_fields_come_back() {
    let fields: String = (0..150).map(|nth| format!("X-{nth}: {nth}\r\n")).collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n{fields}\r\nok"
    );
    let app = RawApp::start(move |_| vec![Step::send(&answer)]).await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        sidecar.addr()
    );
    eventually("a hit", SHORT, || async {
        let answer = conversation(&sidecar, request.as_bytes()).await;
        let head = answer.to_ascii_lowercase();
        assert!(answer.ends_with("ok"), "{answer}");
        for nth in 0..150 {
            assert!(
                head.contains(&format!("\r\nx-{nth}: {nth}\r\n")),
                "{nth}: {answer}"
            );
        }
        head.contains("; hit")
    })
    .await;
}
