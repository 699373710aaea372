//! Clauses of RFC 9111 that only the whole program can show; `tests/requirements/rfc9111.toml` names
//! the rest.

use tokio::net::TcpListener;

use crate::caching::{SHORT, until_hit};
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::Sidecar;

const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"";

/// §3.1: trailers are no fields of the head.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_do_not_become_fields() {
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTrailer: X-End\r\n\
                  Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: 1\r\nETag: \"t\"\r\n\r\n";
    let app = RawApp::start(move |_| vec![Step::send(answer)]).await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let hit = until_hit(&sidecar.client(), "/").await;
    assert_eq!(hit.text(), "ok");
    for name in ["x-end", "etag", "trailer"] {
        assert!(!hit.headers.contains_key(name), "{name}");
    }
}

/// §3.4: parts of different representations are never joined, whatever was asked before.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_two_representations_are_not_joined() {
    let app = TestApp::start().await;
    app.on("GET", "/file", |seen| match seen.header("range") {
        "bytes=0-3" => Answer::text("aaaa")
            .with_status(206)
            .header("content-range", "bytes 0-3/8")
            .header("etag", "\"a\"")
            .cache_control("max-age=60"),
        "bytes=4-7" => Answer::text("bbbb")
            .with_status(206)
            .header("content-range", "bytes 4-7/8")
            .header("etag", "\"b\"")
            .cache_control("max-age=60"),
        _ => Answer::text("cccccccc")
            .header("etag", "\"c\"")
            .cache_control("max-age=60"),
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for (range, part) in [("bytes=0-3", "aaaa"), ("bytes=4-7", "bbbb")] {
        let reply = client.request("GET", "/file").header("range", range);
        assert_eq!(reply.send().await.text(), part);
    }
    assert_eq!(client.get("/file").await.text(), "cccccccc");
    assert_eq!(until_hit(&client, "/file").await.text(), "cccccccc");
}

/// §4: the age is this cache's own count, in place of the one received.
#[tokio::test(flavor = "multi_thread")]
async fn age_replaces_the_one_received() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| {
        Answer::text("x")
            .header("age", "100")
            .header("age", "7")
            .cache_control("max-age=1000")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let hit = until_hit(&sidecar.client(), "/").await;
    let ages: Vec<_> = hit.headers.get_all("age").iter().collect();
    assert_eq!(ages.len(), 1);
    let age: u64 = hit.header("age").parse().expect("a number");
    assert!((100..900).contains(&age), "{age}");
}

/// §4: what is not safe is written through, and answered by the app alone.
#[tokio::test(flavor = "multi_thread")]
async fn unsafe_methods_always_reach_the_app() {
    let app = TestApp::start().await;
    let methods = ["POST", "PUT", "PATCH", "DELETE", "FOO", "OPTIONS"];
    for method in methods.iter().chain(&["GET"]) {
        app.on(method, "/thing", |seen| {
            let text = format!("{} {}", seen.method, seen.nth);
            Answer::text(text).cache_control("public, max-age=60")
        });
    }
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for method in methods {
        until_hit(&client, "/thing").await;
        for nth in 0..2 {
            let reply = client.request(method, "/thing").send().await;
            assert_eq!(reply.text(), format!("{method} {nth}"));
            assert!(!reply.is_hit(), "{method}");
        }
    }
}

/// §4, §4.1: of several stored responses that match, the most recent.
#[tokio::test(flavor = "multi_thread")]
async fn the_most_recent_of_those_that_match_is_served() {
    let app = TestApp::start().await;
    app.on("GET", "/", |seen| {
        let answer = Answer::text(seen.nth.to_string()).cache_control("max-age=60");
        // The second is for everyone.
        match seen.nth {
            0 => answer.header("vary", "x-kind"),
            _ => answer,
        }
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let ask = |kind: &'static str| client.request("GET", "/").header("x-kind", kind).send();
    eventually("the first is stored", SHORT, || async {
        ask("a").await.is_hit()
    })
    .await;
    assert_eq!(ask("b").await.text(), "1");
    eventually("the second answers both", SHORT, || async {
        ask("a").await.text() == "1"
    })
    .await;
}

/// §4.3.2: conditions that only the app can judge are left to it.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_for_the_app_are_left_to_it() {
    let app = TestApp::start().await;
    for path in ["/new", "/known"] {
        for method in ["GET", "POST"] {
            app.on(method, path, |_| {
                Answer::text("x")
                    .header("etag", "\"a\"")
                    .cache_control("max-age=60")
            });
        }
    }
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    until_hit(&client, "/known").await;
    for (name, method, path, field, value) in [
        ("nothing stored", "GET", "/new", "if-match", "\"z\""),
        ("not a GET", "POST", "/known", "if-none-match", "*"),
        ("not a GET either", "POST", "/known", "if-match", "\"z\""),
    ] {
        let asked = app.count(path);
        let reply = client.request(method, path).header(field, value);
        assert_eq!(reply.send().await.status, 200, "{name}");
        assert_eq!(app.count(path), asked + 1, "{name}");
        assert_eq!(app.last(path).header(field), value, "{name}");
    }
}

/// §4.3.2: the app's 304 to this cache's own condition is a 200 for a client that named other tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_for_the_cache_is_a_200_for_the_client() {
    let app = TestApp::start().await;
    app.on("GET", "/", |seen| {
        let asked = seen.header("if-none-match");
        if asked.contains("\"a\"") {
            return Answer::status(304)
                .header("etag", "\"a\"")
                .cache_control("max-age=0");
        }
        Answer::text("x")
            .header("etag", "\"a\"")
            .cache_control("max-age=0")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    eventually("confirmed", SHORT, || async {
        let reply = client.request("GET", "/").header("if-none-match", "\"z\"");
        let reply = reply.send().await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "x"));
        reply.cache_status().contains("detail=revalidated")
    })
    .await;
}

/// §4.3.3: a full answer to a validation is the answer, and takes the place of what was stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_answer_to_a_validation_replaces_what_was_stored() {
    let app = TestApp::start().await;
    app.on("GET", "/", |seen| match seen.header("if-none-match") {
        "" => Answer::text("old")
            .header("etag", "\"a\"")
            .cache_control("max-age=0"),
        _ => Answer::text("new")
            .header("etag", "\"b\"")
            .cache_control("max-age=60"),
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    assert_eq!(client.get("/").await.text(), "old");
    eventually("the new one", SHORT, || async {
        client.get("/").await.text() == "new"
    })
    .await;
    let hit = until_hit(&client, "/").await;
    assert_eq!((hit.text(), hit.header("etag")), ("new", "\"b\""));
}

/// §5.2: cache directives are passed on in both directions, whatever they mean here.
#[tokio::test(flavor = "multi_thread")]
async fn cache_directives_are_passed_on() {
    const ANSWER: &str = "max-age=60, Foo=\"a, b\", s-maxage=\"60\"";
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("x").cache_control(ANSWER));
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let asked = client
        .request("GET", "/")
        .header("cache-control", "max-stale=5, Bar")
        .header("pragma", "foo");
    assert_eq!(asked.send().await.header("cache-control"), ANSWER);
    let seen = app.last("/");
    assert_eq!(seen.header("cache-control"), "max-stale=5, Bar");
    assert_eq!(seen.header("pragma"), "foo");
    assert_eq!(
        until_hit(&client, "/").await.header("cache-control"),
        ANSWER
    );
}

/// §5.2.1.2: a response past its time is kept for whoever takes a stale one, and for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn max_stale_is_honoured() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("x").cache_control("max-age=1"));
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let ask = |directives: &'static str| {
        let asked = client.request("GET", "/");
        asked.header("cache-control", directives).send()
    };
    client.get("/").await;
    eventually("served stale", SHORT, || async {
        let reply = ask("only-if-cached, max-stale").await;
        reply.cache_status().contains("detail=max-stale")
    })
    .await;
    assert_eq!(ask("only-if-cached").await.status, 504);
    assert_eq!(app.count("/"), 1);
}

/// §5.2.2.2: cut off from the app, what must be validated is not served; the answer is an error.
#[tokio::test(flavor = "multi_thread")]
async fn must_revalidate_without_the_app_is_an_error() {
    for directive in [
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage=0",
        "no-cache",
    ] {
        let app = TestApp::start().await;
        let line = format!("max-age=0, stale-if-error=60, {directive}");
        app.on("GET", "/", move |_| {
            Answer::text("x")
                .header("etag", "\"a\"")
                .cache_control(&line)
        });
        let url = app.url();
        let sidecar = Sidecar::start(&url, RFC);
        let client = sidecar.client();
        client.get("/").await;
        let asked = || {
            client
                .request("GET", "/")
                .header("cache-control", "max-stale")
        };
        eventually("validated", SHORT, || async {
            !asked().send().await.is_hit() && app.last("/").header("if-none-match") == "\"a\""
        })
        .await;
        let address = app.addr();
        drop(app);
        eventually("the app is gone", SHORT, || async {
            TcpListener::bind(address).await.is_ok()
        })
        .await;
        let status = asked().send().await.status;
        assert!(
            matches!(status.as_u16(), 502 | 504),
            "{directive}: {status}"
        );
    }
}

/// RFC 5861 §4: a client may ask for what is stale rather than for an error.
#[tokio::test(flavor = "multi_thread")]
async fn stale_if_error_in_a_request_is_honoured() {
    let app = TestApp::start().await;
    app.on("GET", "/", |seen| match seen.nth {
        0 => Answer::text("good")
            .header("etag", "\"a\"")
            .cache_control("max-age=0"),
        _ => Answer::status(503),
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    client.get("/").await;
    eventually("excused", SHORT, || async {
        let asked = client.request("GET", "/");
        let asked = asked.header("cache-control", "stale-if-error=3600");
        let reply = asked.send().await;
        reply.cache_status().contains("detail=stale-if-error") && reply.text() == "good"
    })
    .await;
    let plain = client.get("/").await;
    assert_eq!(plain.status, 503, "not for those who did not ask");
}
