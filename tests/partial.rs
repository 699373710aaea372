//! Parts of responses, conditions of clients, and what a HEAD says of a stored GET.

use std::sync::{Arc, Mutex};

use crate::caching::{SHORT, until_hit};
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const UNMATCHED: &str = "[defaults]\nunmatched = \"rfc9111\"";

/// What the app holds: a text with its tag, or nothing.
#[derive(Clone)]
struct Document(Arc<Mutex<(String, String)>>);

impl Document {
    fn new(text: &str, etag: &str) -> Document {
        Document(Arc::new(Mutex::new((text.into(), etag.into()))))
    }

    fn set(&self, text: &str, etag: &str) {
        *self.0.lock().expect("whole") = (text.into(), etag.into());
    }

    /// As an app with ranges and conditions answers (RFC 9110 §13.2.2).
    fn answer(&self, seen: &Seen, cache_control: &str) -> Answer {
        let (text, etag) = self.0.lock().expect("whole").clone();
        let with_fields = |answer: Answer| {
            let answer = answer.cache_control(cache_control).header("x-kept", "1");
            if etag.is_empty() {
                answer
            } else {
                answer.header("etag", &etag)
            }
        };
        if !etag.is_empty() && seen.header("if-none-match") == etag {
            return with_fields(Answer::status(304));
        }
        let same = seen.header("if-range").is_empty() || seen.header("if-range") == etag;
        let range = seen.header("range").strip_prefix("bytes=");
        match range.filter(|_| same).and_then(|r| r.split_once('-')) {
            Some((first, last)) => {
                let length = text.len();
                let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
                    (Ok(first), last) => (first, last.unwrap_or(length - 1).min(length - 1)),
                    (Err(_), suffix) => (length - suffix.expect("a suffix"), length - 1),
                };
                with_fields(Answer::partial(&text[first..=last]))
                    .header("content-range", &format!("bytes {first}-{last}/{length}"))
            }
            None => with_fields(Answer::text(text)),
        }
    }
}

async fn served(document: &Document, cache_control: &'static str) -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    for method in ["GET", "HEAD"] {
        let document = document.clone();
        app.on(method, "/doc", move |seen| {
            document.answer(seen, cache_control)
        });
    }
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    (app, sidecar)
}

async fn range(client: &Client, range: &str) -> Reply {
    client
        .request("GET", "/doc")
        .header("range", range)
        .send()
        .await
}

/// Asks for a range until the store answers.
async fn until_range_hit(client: &Client, wanted: &str) -> Reply {
    eventually(wanted, SHORT, || async {
        range(client, wanted).await.is_hit()
    })
    .await;
    range(client, wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_cut_from_what_is_stored_whole() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    until_hit(&client, "/doc").await;
    for (wanted, status, content_range, body) in [
        ("bytes=0-1", 206, "bytes 0-1/10", "01"),
        ("bytes=5-", 206, "bytes 5-9/10", "56789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("lines=1-2", 200, "", "0123456789"),
        ("bytes=3-2", 200, "", "0123456789"),
    ] {
        let reply = range(&client, wanted).await;
        assert_eq!(reply.status.as_u16(), status, "{wanted}");
        assert!(reply.is_hit(), "{wanted}: {}", reply.cache_status());
        assert_eq!(reply.header("content-range"), content_range, "{wanted}");
        if status != 416 {
            assert_eq!(reply.text(), body, "{wanted}");
            assert_eq!(reply.header("x-kept"), "1", "{wanted}");
            assert_eq!(reply.header("content-length"), body.len().to_string());
        }
    }
    let several = range(&client, "bytes=0-0,-1").await;
    assert_eq!(several.status, 206);
    assert!(
        several
            .header("content-type")
            .starts_with("multipart/byteranges; boundary="),
        "{:?}",
        several.headers
    );
    for piece in ["Content-Range: bytes 0-0/10", "Content-Range: bytes 9-9/10"] {
        assert!(
            several
                .text()
                .to_lowercase()
                .contains(&piece.to_lowercase()),
            "{}",
            several.text()
        );
    }
    for (tag, status) in [("\"v1\"", 206), ("W/\"v1\"", 200), ("\"v0\"", 200)] {
        let reply = client
            .request("GET", "/doc")
            .header("range", "bytes=0-1")
            .header("if-range", tag)
            .send()
            .await;
        assert_eq!(reply.status.as_u16(), status, "If-Range: {tag}");
    }
    // A HEAD has no range, and a condition goes first.
    let head = client.request("HEAD", "/doc").header("range", "bytes=0-1");
    assert_eq!(head.send().await.header("content-length"), "10");
    let unchanged = client
        .request("GET", "/doc")
        .header("range", "bytes=0-1")
        .header("if-none-match", "\"v1\"");
    assert_eq!(unchanged.send().await.status, 304);
    assert_eq!(app.count("/doc"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_answers_what_lies_within_it_and_is_never_taken_for_the_whole() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    let first = range(&client, "bytes=2-7").await;
    assert_eq!((first.status.as_u16(), first.text()), (206, "234567"));
    assert!(
        first.cache_status().contains("; stored;"),
        "{}",
        first.cache_status()
    );
    let again = until_range_hit(&client, "bytes=2-7").await;
    assert_eq!(again.text(), "234567");
    assert_eq!(again.header("content-range"), "bytes 2-7/10");
    assert_eq!(range(&client, "bytes=3-4").await.text(), "34");
    assert_eq!(range(&client, "bytes=-1").await.text(), "9");
    assert_eq!(app.last("/doc").header("range"), "bytes=-1");
    // Two pieces are missing now, or one: in either case the whole comes whole.
    let whole = client.get("/doc").await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
    assert_eq!(until_hit(&client, "/doc").await.text(), "0123456789");
    assert_eq!(until_hit(&client, "/doc").await.header("content-range"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_part_lacks_is_asked_for_alone() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    range(&client, "bytes=0-5").await;
    until_range_hit(&client, "bytes=0-5").await;
    let whole = client.get("/doc").await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
    assert_eq!(whole.header("content-length"), "10");
    assert_eq!(app.last("/doc").header("range"), "bytes=6-9");
    assert_eq!(app.last("/doc").header("if-range"), "\"v1\"");
    assert!(
        whole.cache_status().contains("fwd=partial; fwd-status=206"),
        "{}",
        whole.cache_status()
    );
    assert_eq!(until_hit(&client, "/doc").await.text(), "0123456789");
}

/// A 304 would say that the part holds, which is no answer to a request for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_out_of_the_middle_is_not_validated_in_place_of_the_whole() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    until_range_hit(&client, "bytes=4-5").await;
    let whole = client.get("/doc").await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
    assert_eq!(app.last("/doc").header("if-none-match"), "");
    assert_eq!(until_hit(&client, "/doc").await.text(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_another_version_is_not_joined() {
    let document = Document::new("0123456789", "\"v1\"");
    let (_app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    range(&client, "bytes=0-5").await;
    until_range_hit(&client, "bytes=0-5").await;
    document.set("abcdefghijkl", "\"v2\"");
    // The app ignores the range as `If-Range` does not hold.
    assert_eq!(client.get("/doc").await.text(), "abcdefghijkl");
    assert_eq!(until_hit(&client, "/doc").await.text(), "abcdefghijkl");
    // Without a tag nothing tells that two parts are of one piece.
    let untagged = Document::new("0123456789", "");
    let (app, sidecar) = served(&untagged, "max-age=60").await;
    let client = sidecar.client();
    range(&client, "bytes=0-5").await;
    until_range_hit(&client, "bytes=0-5").await;
    untagged.set("abcdefghij", "");
    assert_eq!(client.get("/doc").await.text(), "abcdefghij");
    assert_eq!(app.last("/doc").header("range"), "");
}

/// An app that breaks the rules: another version's rest under the old tag's request.
#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_does_not_fit_makes_the_whole_be_asked_for() {
    let app = TestApp::start().await;
    app.on("GET", "/doc", |seen| {
        let answer = match seen.header("range") {
            "bytes=0-3" => Answer::partial("0123")
                .header("content-range", "bytes 0-3/10")
                .header("etag", "\"v1\""),
            "bytes=4-9" => Answer::partial("efghij")
                .header("content-range", "bytes 4-9/10")
                .header("etag", "\"v2\""),
            _ => Answer::text("abcdefghij").header("etag", "\"v2\""),
        };
        answer.cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let client = sidecar.client();
    range(&client, "bytes=0-3").await;
    until_range_hit(&client, "bytes=0-3").await;
    let whole = client.get("/doc").await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "abcdefghij"));
    let ranges: Vec<_> = app
        .seen()
        .iter()
        .map(|seen| seen.header("range").to_owned())
        .collect();
    assert_eq!(ranges[ranges.len() - 2..], ["bytes=4-9", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_what_is_stale_is_cut_after_validation() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    until_hit(&client, "/doc").await;
    let forced = || {
        client
            .request("GET", "/doc")
            .header("range", "bytes=0-1")
            .header("cache-control", "no-cache")
    };
    let confirmed = forced().send().await;
    assert_eq!((confirmed.status.as_u16(), confirmed.text()), (206, "01"));
    assert_eq!(app.last("/doc").header("range"), "");
    assert_eq!(app.last("/doc").header("if-none-match"), "\"v1\"");
    document.set("abcdef", "\"v2\"");
    let changed = forced().send().await;
    assert_eq!((changed.status.as_u16(), changed.text()), (200, "abcdef"));
}

/// A range of what cannot be validated is the app's to answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_what_is_stale_without_a_validator_is_asked_for() {
    let document = Document::new("0123456789", "");
    let (app, sidecar) = served(&document, "max-age=0, stale-if-error=60").await;
    let client = sidecar.client();
    client.get("/doc").await;
    eventually("stored", SHORT, || async {
        let status = client.get("/doc").await.cache_status().to_owned();
        status.contains("fwd=stale")
    })
    .await;
    document.set("abcdefghij", "");
    let reply = range(&client, "bytes=0-1").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (206, "ab"));
    assert_eq!(app.last("/doc").header("range"), "bytes=0-1");
}

/// Promise I3 for parts, with both moments in the test's hands.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_overtaken_by_a_purge_leaves_nothing_behind() {
    let document = Document::new("0123456789", "\"v1\"");
    let app = TestApp::start().await;
    let gate = Gate::new();
    let (read, shut) = (document.clone(), gate.clone());
    app.on("GET", "/doc", move |seen| {
        read.answer(seen, "max-age=60").behind(&shut)
    });
    app.on("PUT", "/doc", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let early = tokio::spawn({
        let client = sidecar.client();
        async move { range(&client, "bytes=0-5").await }
    });
    gate.reached(1).await;
    document.set("abcdefghij", "\"v2\"");
    let client = sidecar.client();
    client.request("PUT", "/doc").send().await;
    gate.open();
    assert_eq!(early.await.expect("no panic").text(), "012345");
    for _ in 0..20 {
        assert_eq!(range(&client, "bytes=0-5").await.text(), "abcdef");
        assert_eq!(client.get("/doc").await.text(), "abcdefghij");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_conditions_reach_the_app_when_nothing_is_stored() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    let conditional = |tag: &'static str| {
        let request = client.request("GET", "/doc").header("if-none-match", tag);
        async move { request.send().await }
    };
    let unchanged = conditional("\"v1\"").await;
    assert_eq!(unchanged.status, 304);
    assert_eq!(app.last("/doc").header("if-none-match"), "\"v1\"");
    assert!(
        unchanged.cache_status().contains("fwd-status=304"),
        "{}",
        unchanged.cache_status()
    );
    // Not for ever, or a key whose every client holds a copy would never be stored.
    let unchanged = conditional("\"v1\"").await;
    assert_eq!(unchanged.status, 304);
    assert_eq!(app.last("/doc").header("if-none-match"), "");
    until_hit(&client, "/doc").await;
    let changed = conditional("\"v0\"").await;
    assert_eq!(
        (changed.status.as_u16(), changed.text()),
        (200, "0123456789")
    );
    let asked = app.count("/doc");
    let unchanged = conditional("\"v1\"").await;
    assert!(unchanged.is_hit() && unchanged.status == 304);
    assert_eq!(app.count("/doc"), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_conditions_costs_the_app_two_answers() {
    let document = Document::new("0123456789", "\"v1\"");
    let app = TestApp::start().await;
    let gate = Gate::new();
    let (read, shut) = (document.clone(), gate.clone());
    app.on("GET", "/doc", move |seen| {
        read.answer(seen, "max-age=60").behind(&shut)
    });
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let ask = || {
        let request = sidecar
            .client()
            .request("GET", "/doc")
            .header("if-none-match", "\"v1\"");
        tokio::spawn(async move { request.send().await.status })
    };
    let crowd: Vec<_> = (0..50).map(|_| ask()).collect();
    let admin = sidecar.admin();
    eventually("49 wait", SHORT, || async {
        let metrics = admin.get("/metrics").await;
        metrics.text().contains("pannier_coalesced_waiters 49")
    })
    .await;
    gate.open();
    for status in crowd {
        assert_eq!(status.await.expect("no panic"), 304);
    }
    assert_eq!(app.count("/doc"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_freshens_what_is_stored_or_makes_it_be_validated() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    until_hit(&client, "/doc").await;
    let forced_head = || {
        let head = client.request("HEAD", "/doc");
        head.header("cache-control", "no-cache")
    };
    app.on("HEAD", "/doc", |_| {
        Answer::text("0123456789")
            .cache_control("max-age=90")
            .header("etag", "\"v1\"")
            .header("x-new", "2")
    });
    let head = forced_head().send().await;
    assert_eq!((head.status.as_u16(), head.header("x-new")), (200, "2"));
    eventually("the stored response is freshened", SHORT, || async {
        let reply = client.get("/doc").await;
        assert_eq!(reply.text(), "0123456789");
        reply.is_hit() && reply.header("x-new") == "2"
    })
    .await;
    let asked = app.count("/doc");
    document.set("abcdef", "\"v2\"");
    app.on("HEAD", "/doc", |_| {
        Answer::text("abcdef")
            .cache_control("max-age=90")
            .header("etag", "\"v2\"")
    });
    forced_head().send().await;
    eventually("the new text", SHORT, || async {
        client.get("/doc").await.text() == "abcdef"
    })
    .await;
    assert!(app.count("/doc") > asked);
}

/// Many apps answer any HEAD alike, and anybody may send one: it makes nothing fresher and changes no field.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_a_validator_keeps_nothing_fresh() {
    let document = Document::new("0123456789", "\"v1\"");
    let (app, sidecar) = served(&document, "max-age=60").await;
    let client = sidecar.client();
    until_hit(&client, "/doc").await;
    for length in [None, Some("10")] {
        app.on("HEAD", "/doc", move |_| {
            let answer = Answer::text("").cache_control("max-age=9000");
            let answer = answer.header("content-security-policy", "none");
            length.into_iter().fold(answer, |answer, length| {
                answer.header("content-length", length)
            })
        });
        let head = client.request("HEAD", "/doc");
        let head = head.header("cache-control", "no-cache").send().await;
        assert_eq!(head.header("content-security-policy"), "none");
        let reply = client.get("/doc").await;
        assert!(reply.is_hit(), "{}", reply.cache_status());
        assert_eq!(reply.header("content-security-policy"), "");
        assert_eq!(reply.header("cache-control"), "max-age=60");
    }
}

/// Who asks for the head is served as who asks for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_excused_a_failing_app_as_a_get_is() {
    let app = TestApp::start().await;
    for (path, directives) in [
        ("/may", "max-age=0, stale-if-error=60"),
        ("/must", "max-age=0, must-revalidate"),
    ] {
        app.on("GET", path, move |_| {
            Answer::text("x")
                .cache_control(directives)
                .header("etag", "\"1\"")
        });
        app.on("HEAD", path, |_| Answer::status(503));
    }
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let client = sidecar.client();
    let head = |path: &'static str| client.request("HEAD", path).send();
    for path in ["/may", "/must"] {
        eventually("stored", SHORT, || async {
            client.get(path).await.cache_status().contains("fwd=stale")
        })
        .await;
    }
    assert_eq!(head("/may").await.status, 200);
    assert_eq!(head("/must").await.status, 503);
    drop(app);
    assert_eq!(head("/may").await.status, 200);
    assert_eq!(head("/must").await.status, 504);
}

/// A field withheld once is not brought in by a later message about the same response.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_private_stays_so_through_304_and_head() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| match seen.nth {
        0 => Answer::text("x")
            .cache_control("max-age=0, private=\"x-user\"")
            .header("etag", "\"1\"")
            .header("x-user", "ann"),
        _ => Answer::status(304)
            .header("etag", "\"1\"")
            .header("expires", "Thu, 01 Jan 2099 00:00:00 GMT")
            .header("x-user", "bob"),
    });
    app.on("HEAD", "/a", |_| {
        Answer::text("x")
            .cache_control("max-age=60")
            .header("etag", "\"1\"")
            .header("x-user", "cid")
    });
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let client = sidecar.client();
    assert_eq!(client.get("/a").await.header("x-user"), "ann");
    eventually("validated", SHORT, || async {
        client
            .get("/a")
            .await
            .cache_status()
            .contains("fwd-status=304")
    })
    .await;
    eventually("freshened by HEAD", SHORT, || async {
        client.request("HEAD", "/a").send().await;
        client.get("/a").await.is_hit()
    })
    .await;
    assert_eq!(client.get("/a").await.header("x-user"), "");
}

/// RFC 9111 §4.3.4: a 304 about another version is no word on the stored one.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_about_another_version_makes_the_whole_be_asked_for() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| match seen.nth {
        0 => Answer::text("old")
            .cache_control("max-age=0")
            .header("etag", "\"1\""),
        _ if seen.header("if-none-match").is_empty() => Answer::text("new")
            .cache_control("max-age=60")
            .header("etag", "\"2\""),
        _ => Answer::status(304).header("etag", "\"2\""),
    });
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let client = sidecar.client();
    assert_eq!(client.get("/a").await.text(), "old");
    assert_eq!(client.get("/a").await.text(), "new");
    assert_eq!(until_hit(&client, "/a").await.text(), "new");
}

/// RFC 9110 §8.6.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_no_content_has_no_length() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::status(204).cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), UNMATCHED);
    let client = sidecar.client();
    until_hit(&client, "/a").await;
    let head = client.request("HEAD", "/a").send().await;
    assert!(head.is_hit() && head.headers.get("content-length").is_none());
}
