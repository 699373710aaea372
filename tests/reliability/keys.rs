//! Keys and variants (K3, K4, K6, K7).

use super::RFC;
use crate::caching::{BOARD, until_hit};
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::Reply;
use crate::support::sidecar::Sidecar;

/// K3: what can be read as another path is forwarded byte for byte, and never stored under that one.
#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_paths_are_forwarded_as_they_are() {
    let app = TestApp::start().await;
    let echo = |seen: &Seen| Answer::text(seen.path.clone()).cache_control("public, max-age=60");
    let ambiguous = [
        "/me;x.css",
        "/me%00.css",
        "/me%2f..%2fstatic%2fx.css",
        "/me%2F..%2Fstatic%2Fx.css",
        "/static/..%2fme",
        "/static/../me",
        "/static/./x.css",
        "/static/%2e%2e/me",
        "//me",
        "/static//x.css",
    ];
    let plain = ["/me", "/me/x.css", "/static/x.css"];
    for path in ambiguous.iter().chain(&plain) {
        app.on("GET", path, echo);
    }
    let route =
        "[[route]]\nname = \"static\"\npath = \"/static/{file}\"\nkey = \"static:{path.file}\"\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{RFC}\n{route}"));
    let client = sidecar.client();
    for path in plain {
        assert_eq!(until_hit(&client, path).await.text(), path);
    }
    for path in ambiguous {
        for _ in 0..2 {
            let reply = client.get(path).await;
            assert_eq!(reply.text(), path);
            assert!(
                reply.cache_status().contains("detail=ambiguous-path"),
                "{path}: {}",
                reply.cache_status()
            );
        }
        assert_eq!(app.count(path), 2, "{path}");
    }
    for path in plain {
        assert_eq!(client.get(path).await.text(), path, "still its own");
    }
}

/// K4: what a field makes the app reflect never comes out of the cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_reflected_field_is_not_cached() {
    const FIELDS: [&str; 6] = [
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-forwarded-prefix",
        "x-forwarded-proto",
    ];
    let app = TestApp::start().await;
    let reflect = |seen: &Seen| {
        let evil = FIELDS.iter().any(|name| seen.header(name) == "evil");
        Answer::text(if evil { "evil" } else { "clean" }).cache_control("public, max-age=60")
    };
    app.on("GET", "/board", reflect);
    app.on("GET", "/unmatched", reflect);
    let sidecar = Sidecar::start(&app.url(), &format!("{RFC}\n{BOARD}"));
    let client = sidecar.client();
    for (nth, field) in FIELDS.iter().enumerate() {
        for path in [format!("/board?id={nth}"), format!("/unmatched?{nth}")] {
            let poisoned = client.request("GET", &path).header(field, "evil");
            assert_eq!(poisoned.send().await.text(), "evil", "{field} is forwarded");
            assert_eq!(client.get(&path).await.text(), "clean", "{field} {path}");
            assert_eq!(until_hit(&client, &path).await.text(), "clean", "{field}");
            let again = client.request("GET", &path).header(field, "evil");
            assert!(!again.send().await.is_hit(), "{field} {path}");
        }
    }
}

/// K6: of ever new values of a `Vary` field a few are kept, and each is answered as its own.
#[tokio::test(flavor = "multi_thread")]
async fn variants_are_capped() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(seen.header("x-kind")).header("vary", "X-Kind")
    });
    app.on("GET", "/any", |_| {
        Answer::text("x")
            .header("vary", "*")
            .cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), &format!("{RFC}\n{BOARD}"));
    let client = sidecar.client();
    let ask = |kind: usize| {
        let asked = client.request("GET", "/board?id=1");
        asked.header("x-kind", &kind.to_string()).send()
    };
    let kinds = 100;
    for kind in 0..kinds {
        assert_eq!(ask(kind).await.text(), kind.to_string());
    }
    let mut hits = 0;
    for kind in (0..kinds).rev() {
        let reply = ask(kind).await;
        assert_eq!(reply.text(), kind.to_string());
        hits += usize::from(reply.is_hit());
    }
    assert!((1..=8).contains(&hits), "{hits}");
    for _ in 0..2 {
        assert!(!client.get("/any").await.is_hit(), "Vary: *");
    }
    assert_eq!(app.count("/any"), 2);
}

const DIGITS: &str = "0123456789";

/// An app that honours one range, as `bytes=2-4`.
async fn app_with_ranges() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/head", "/range", "/file"] {
        app.on("HEAD", path, |_| {
            Answer::text(DIGITS)
                .header("etag", "\"a\"")
                .cache_control("max-age=60")
        });
        app.on("GET", path, |seen| {
            let answer = match seen.header("range") {
                "bytes=2-4" => {
                    let mut answer = Answer::text(&DIGITS[2..5]);
                    answer = answer.header("content-range", "bytes 2-4/10");
                    answer.with_status(206)
                }
                _ => Answer::text(DIGITS),
            };
            answer.header("etag", "\"a\"").cache_control("max-age=60")
        });
    }
    app
}

/// K7: the answer to HEAD and a part are never served as the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_and_a_part_are_not_the_whole() {
    let app = app_with_ranges().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let head = client.request("HEAD", "/head").send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(client.get("/head").await.text(), DIGITS);
    assert_eq!(until_hit(&client, "/head").await.text(), DIGITS);

    for _ in 0..2 {
        let part = client.request("GET", "/range").header("range", "bytes=2-4");
        is_honest(&part.send().await, "2-4");
    }
    assert_eq!(client.get("/range").await.text(), DIGITS);
    assert_eq!(until_hit(&client, "/range").await.text(), DIGITS);
}

/// K7: many ranges, and ranges at the end of what numbers can say, of what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_ranges_are_answered_within_bounds() {
    let app = app_with_ranges().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    until_hit(&client, "/file").await;
    let thousand = vec!["0-"; 1_000].join(",");
    for range in [
        thousand.as_str(),
        "0-18446744073709551615",
        "0-18446744073709551616",
        "18446744073709551615-",
        "18446744073709551615-18446744073709551615",
        "-18446744073709551616",
        "-0",
        "9-2",
        "5-",
        "-3",
        "0-0,9-9",
    ] {
        let asked = client.request("GET", "/file");
        let reply = asked
            .header("range", &format!("bytes={range}"))
            .send()
            .await;
        is_honest(&reply, range);
    }
    assert_eq!(client.get("/file").await.text(), DIGITS);
}

/// Whole, or just the bytes that its `Content-Range` names, or several parts of bounded length, or
/// a refusal.
fn is_honest(reply: &Reply, range: &str) {
    let content_range = reply.header("content-range");
    match reply.status.as_u16() {
        200 => assert_eq!(reply.text(), DIGITS, "{range}"),
        206 if content_range.is_empty() => {
            let several = reply.header("content-type");
            assert!(
                several.starts_with("multipart/byteranges"),
                "{range}: {several}"
            );
            assert!(reply.body.len() < 2_000, "{range}: {}", reply.body.len());
        }
        206 => {
            let named = content_range.strip_prefix("bytes ").and_then(|named| {
                let (first, rest) = named.split_once('-')?;
                let (last, _) = rest.split_once('/')?;
                let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
                DIGITS.get(first..=last)
            });
            assert_eq!(named, Some(reply.text()), "{range}: {content_range}");
        }
        status => assert_eq!(status, 416, "{range}"),
    }
}
