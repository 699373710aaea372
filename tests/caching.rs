//! Hits, misses, validation, and what is never stored.

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, exchange_raw};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

pub(crate) const SHORT: Duration = Duration::from_secs(30);

pub(crate) const BOARD: &str = r#"
[[route]]
name = "board"
path = "/board"
key = "board:{query.id}"
ttl = "5m"
"#;

/// Asks until the answer is a hit; returns it.
pub(crate) async fn until_hit(client: &Client, path: &str) -> crate::support::client::Reply {
    let mut last = client.get(path).await;
    for _ in 0..400 {
        if last.is_hit() {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        last = client.get(path).await;
    }
    panic!("no hit: {}", last.cache_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_then_hits() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(format!("{:?} {}", seen.query, seen.nth)).header("x-app", "1")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let miss = client.get("/board?id=1").await;
    let said = miss.cache_status();
    assert!(
        said.starts_with("pannier; fwd=uri-miss; fwd-status=200; ttl="),
        "{said}"
    );
    assert!(
        said.ends_with("; stored; rule=board; detail=miss"),
        "{said}"
    );
    let hit = until_hit(&client, "/board?id=1").await;
    assert_eq!(hit.text(), miss.text());
    assert_eq!(hit.header("x-app"), "1");
    assert_eq!(hit.header("age"), "0");
    assert_eq!(hit.header("date"), miss.header("date"));
    assert!(
        hit.cache_status().starts_with("pannier; hit; ttl="),
        "{}",
        hit.cache_status()
    );
    let head = client.request("HEAD", "/board?id=1").send().await;
    assert!(head.is_hit());
    assert_eq!(head.header("content-length"), miss.body.len().to_string());
    assert_eq!(app.count("/board"), 1);
    // Another key.
    assert!(!client.get("/board?id=2").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_key_leaves_out_makes_it_pass() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    until_hit(&client, "/board?id=1").await;
    for (name, path, field, reason) in [
        (
            "an unnamed query field",
            "/board?id=1&x=2",
            ("a", "b"),
            "unkeyed-query",
        ),
        (
            "a missing variable",
            "/board",
            ("a", "b"),
            "missing-variable",
        ),
        (
            "a cookie",
            "/board?id=1",
            ("cookie", "session=1"),
            "identity",
        ),
        (
            "authorization",
            "/board?id=1",
            ("authorization", "Bearer x"),
            "identity",
        ),
        (
            "an override",
            "/board?id=1",
            ("x-original-url", "/other"),
            "unkeyed-header",
        ),
        (
            "a forged host",
            "/board?id=1",
            ("x-forwarded-host", "evil"),
            "unkeyed-header",
        ),
        (
            "a forged host by RFC 7239",
            "/board?id=1",
            ("forwarded", "for=192.0.2.1;Host=\"evil\""),
            "unkeyed-header",
        ),
        (
            "another scheme by RFC 7239",
            "/board?id=1",
            ("forwarded", "for=192.0.2.1, proto=https"),
            "unkeyed-header",
        ),
        (
            "another port",
            "/board?id=1",
            ("x-forwarded-port", "8443"),
            "unkeyed-header",
        ),
        (
            "another scheme",
            "/board?id=1",
            ("x-forwarded-ssl", "on"),
            "unkeyed-header",
        ),
        (
            "an ambiguous path",
            "//board?id=1",
            ("a", "b"),
            "ambiguous-path",
        ),
    ] {
        let reply = client
            .request("GET", path)
            .header(field.0, field.1)
            .send()
            .await;
        assert!(!reply.is_hit(), "{name}");
        assert!(
            reply.cache_status().contains(&format!("detail={reason}")),
            "{name}: {}",
            reply.cache_status()
        );
    }
    // A GET with a body is another question.
    let reply = client.json("GET", "/board?id=1", "{}").await;
    assert!(
        reply.cache_status().ends_with("detail=request-body"),
        "{}",
        reply.cache_status()
    );
    // Another host has its own answer under the same key.
    let other = client
        .request("GET", "/board?id=1")
        .header("host", "other.example")
        .send()
        .await;
    assert!(
        other.cache_status().ends_with("detail=vary-miss"),
        "{}",
        other.cache_status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_in_the_key_keeps_people_apart() {
    let app = TestApp::start().await;
    app.on("GET", "/me", |seen| {
        Answer::text(seen.header("cookie").to_owned())
    });
    app.on("GET", "/public", |_| {
        Answer::text("all").cache_control("public, max-age=60")
    });
    app.on("GET", "/vouched", |_| Answer::text("all"));
    let sidecar = Sidecar::start(
        &app.url(),
        r#"
        [[route]]
        path = "/me"
        key = "me:{cookie.session}"
        [[route]]
        path = "/public"
        key = "public"
        [[route]]
        path = "/vouched"
        key = "vouched"
        shared = true
        "#,
    );
    let client = sidecar.client();
    for _ in 0..3 {
        for session in ["session=a", "session=b"] {
            let reply = client
                .request("GET", "/me")
                .header("cookie", session)
                .send()
                .await;
            assert_eq!(reply.text(), session);
        }
    }
    let settled = || async {
        client
            .request("GET", "/me")
            .header("cookie", "session=a")
            .send()
            .await
            .is_hit()
            && client
                .request("GET", "/public")
                .header("cookie", "session=b")
                .send()
                .await
                .is_hit()
            && client
                .request("GET", "/vouched")
                .header("authorization", "x")
                .send()
                .await
                .is_hit()
    };
    eventually("all three hit", SHORT, settled).await;
    // Without the cookie there is no key.
    assert!(
        client
            .get("/me")
            .await
            .cache_status()
            .ends_with("detail=missing-variable")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_forbids_storing_forbids_it() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x").cache_control("no-store"));
    app.on("GET", "/b", |_| Answer::text("x").cache_control("private"));
    app.on("GET", "/c", |_| {
        Answer::text("x").header("set-cookie", "a=b")
    });
    app.on("GET", "/d", |_| Answer::text("x").header("vary", "*"));
    app.on("GET", "/e", |_| Answer::status(500));
    app.on("GET", "/f", |_| Answer::text("x".repeat(2000)));
    app.on("GET", "/g", |_| {
        let answer = Answer::text("x").header("set-cookie", "a=b");
        answer.header("x-auth-token", "secret")
    });
    app.on("GET", "/h", |_| {
        Answer::text("x").header("x-auth-token", "secret")
    });
    let mut toml = String::new();
    for path in ["a", "b", "c", "d", "e", "f", "h"] {
        toml += &format!(
            "[[route]]\nname = \"{path}\"\npath = \"/{path}\"\nkey = \"{path}\"\nmax_body = \"1KB\"\n"
        );
    }
    toml +=
        "[[route]]\nname = \"g\"\npath = \"/g\"\nkey = \"g\"\nstore_despite = [\"set-cookie\"]\n";
    let sidecar = Sidecar::start(&app.url(), &toml);
    let client = sidecar.client();
    for (path, reason) in [
        ("/a", "no-store"),
        ("/b", "private"),
        ("/c", "set-cookie"),
        ("/d", "vary-any"),
        ("/e", "status"),
        ("/f", "too-large"),
        ("/h", "token"),
    ] {
        for _ in 0..2 {
            let reply = client.get(path).await;
            assert!(!reply.is_hit(), "{path}");
            assert!(
                reply.cache_status().contains(reason),
                "{path}: {}",
                reply.cache_status()
            );
        }
        assert_eq!(app.count(path), 2, "{path}");
    }
    let hit = until_hit(&client, "/g").await;
    assert_eq!(hit.header("set-cookie"), "", "a cookie is never replayed");
    assert_eq!(hit.header("x-auth-token"), "", "nor is a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_validated_and_served_again() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        if seen.header("if-none-match") == "\"v1\"" {
            return Answer::status(304)
                .header("etag", "\"v1\"")
                .cache_control("max-age=300");
        }
        Answer::text("x")
            .header("etag", "\"v1\"")
            .cache_control("max-age=0")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    assert_eq!(client.get("/board?id=1").await.text(), "x");
    eventually("validated", SHORT, || async {
        client
            .get("/board?id=1")
            .await
            .cache_status()
            .contains("detail=revalidated")
    })
    .await;
    assert_eq!(until_hit(&client, "/board?id=1").await.text(), "x");
    // The client's own condition is answered from the store.
    let asked = app.count("/board");
    let reply = client
        .request("GET", "/board?id=1")
        .header("if-none-match", "W/\"v1\", \"v0\"")
        .send()
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.len(), app.count("/board")),
        (304, 0, asked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_while_revalidate_and_stale_if_error() {
    let app = TestApp::start().await;
    app.on("GET", "/swr", |seen| {
        Answer::text(seen.nth.to_string()).cache_control("max-age=0, stale-while-revalidate=60")
    });
    app.on("GET", "/sie", |seen| match seen.nth {
        0 => Answer::text("good").cache_control("max-age=0, stale-if-error=60"),
        _ => Answer::status(503),
    });
    let sidecar = Sidecar::start(&app.url(), "[defaults]\nunmatched = \"rfc9111\"");
    let client = sidecar.client();
    client.get("/swr").await;
    eventually("a newer answer, served stale", SHORT, || async {
        let reply = client.get("/swr").await;
        reply
            .cache_status()
            .contains("detail=stale-while-revalidate")
            && reply.text() != "0"
    })
    .await;
    client.get("/sie").await;
    eventually("the good answer although the app fails", SHORT, || async {
        let reply = client.get("/sie").await;
        assert_eq!(reply.text(), "good");
        reply.cache_status().contains("detail=stale-if-error")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_if_cached_never_asks_the_app() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = || {
        client
            .request("GET", "/board?id=1")
            .header("cache-control", "only-if-cached")
            .send()
    };
    assert_eq!(ask().await.status, 504);
    // What is never looked up is not stored either.
    let ambiguous = client.request("GET", "//board?id=1");
    let ambiguous = ambiguous.header("cache-control", "only-if-cached");
    assert_eq!(ambiguous.send().await.status, 504);
    assert_eq!(app.seen().len(), 0);
    until_hit(&client, "/board?id=1").await;
    assert_eq!(ask().await.text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_kept_apart() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(seen.header("accept-language").to_owned()).header("vary", "Accept-Language")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = |language: &'static str| {
        let client = client.clone();
        async move {
            client
                .request("GET", "/board?id=1")
                .header("accept-language", language)
                .send()
                .await
        }
    };
    eventually("both hit", SHORT, || async {
        let (de, fr) = (ask("de").await, ask("fr").await);
        assert_eq!((de.text(), fr.text()), ("de", "fr"));
        de.is_hit() && fr.is_hit()
    })
    .await;
}

/// reliability.md R6: what the app does not see must not select an answer.
#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_take_away_what_the_key_reads() {
    let app = TestApp::start().await;
    app.on("GET", "/tenant", |seen| {
        Answer::text(seen.header("x-tenant").to_owned())
    });
    let route = "[[route]]\npath = \"/tenant\"\nkey = \"tenant:{header.x-tenant}\"";
    let sidecar = Sidecar::start(&app.url(), route);
    let client = sidecar.client();
    let ask = || client.request("GET", "/tenant").header("x-tenant", "acme");
    let forged = ask().header("connection", "X-Tenant").send().await;
    assert!(
        forged.cache_status().contains("detail=unkeyed-header"),
        "{}",
        forged.cache_status()
    );
    eventually("a hit", SHORT, || async {
        let reply = ask().send().await;
        assert_eq!(reply.text(), "acme");
        reply.is_hit()
    })
    .await;
}

/// A person's own conditions reach the app when the answer is his alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_personal_304_stays_a_304() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| match seen.header("if-none-match") {
        "\"v1\"" => Answer::status(304).header("etag", "\"v1\""),
        _ => Answer::text("x").header("etag", "\"v1\""),
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = || client.request("GET", "/board?id=1").header("cookie", "a=b");
    assert_eq!(ask().send().await.status, 200);
    assert_eq!(
        ask().header("if-none-match", "\"v1\"").send().await.status,
        304
    );
}

/// What one person's answer is says nothing of what others may share.
#[tokio::test(flavor = "multi_thread")]
async fn personal_requests_do_not_switch_the_cache_off_for_others() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    for field in [
        ("cookie", "a=b"),
        ("authorization", "x"),
        ("cache-control", "no-store"),
    ] {
        client
            .request("GET", "/board?id=1")
            .header(field.0, field.1)
            .send()
            .await;
    }
    until_hit(&client, "/board?id=1").await;
    assert_eq!(app.count("/board"), 4);
}

/// RFC 9111 §5.2.2.2: without the app, what must be validated is not served.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_validated_is_a_504_when_the_app_is_gone() {
    let app = TestApp::start().await;
    for (path, directives) in [
        ("/must", "max-age=0, must-revalidate, stale-if-error=60"),
        ("/may", "max-age=0"),
    ] {
        app.on("GET", path, move |_| {
            Answer::text("x")
                .cache_control(directives)
                .header("etag", "\"1\"")
        });
    }
    let sidecar = Sidecar::start(&app.url(), "[defaults]\nunmatched = \"rfc9111\"");
    let client = sidecar.client();
    for path in ["/must", "/may"] {
        eventually("stored", SHORT, || async {
            let status = client.get(path).await.cache_status().to_owned();
            status.contains("detail=revalidated") || status.contains("detail=stale")
        })
        .await;
    }
    drop(app);
    assert_eq!(client.get("/must").await.status, 504);
    assert_eq!(client.get("/may").await.status, 502);
}

/// What gateways add to every request does not keep it from the store.
#[tokio::test(flavor = "multi_thread")]
async fn what_gateways_add_is_no_override() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), BOARD);
    let client = sidecar.client();
    let ask = || {
        client
            .request("GET", "/board?id=1")
            .header("host", "a.example")
            .header("forwarded", "for=192.0.2.1;host=a.example;proto=https")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "443")
            .header("x-forwarded-ssl", "on")
            .header("x-forwarded-scheme", "https")
            .header("x-forwarded-server", "a.example")
            .send()
    };
    eventually("a hit", SHORT, || async { ask().await.is_hit() }).await;
}

/// `Connection` is read alike by who decides and who strips (reliability.md R6).
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_connection_hides_is_never_keyed_or_varied_on() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| {
        Answer::text(format!("lang={}", seen.header("x-lang"))).header("vary", "X-Lang")
    });
    let sidecar = Sidecar::start(&app.url(), BOARD);
    for _ in 0..3 {
        let mut request = b"GET /board?id=1 HTTP/1.1\r\nHost: a\r\nX-Lang: fr\r\n".to_vec();
        request.extend_from_slice(b"Connection: \xff, x-lang\r\nConnection: close\r\n\r\n");
        exchange_raw(sidecar.addr(), &request, SHORT).await;
        let victim = sidecar.client().request("GET", "/board?id=1");
        let victim = victim
            .header("host", "a")
            .header("x-lang", "fr")
            .send()
            .await;
        assert_eq!(victim.text(), "lang=fr");
    }
}

/// Promise I7: all that is asked of a path reads it, so a path that no key could have is asked nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_longer_than_any_key_passes() {
    let app = TestApp::start().await;
    let config = "[[route]]\npath = \"/{*rest}\"\nkey = \"all\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    for (length, expected) in [(4096, "uri-miss"), (4097, "key-too-long")] {
        let path = format!("/{}", "x".repeat(length - 1));
        app.on("GET", &path, |_| {
            Answer::text("x").cache_control("max-age=60")
        });
        let reply = sidecar.client().get(&path).await;
        let status = reply.header("cache-status");
        assert!(status.contains(expected), "{length}: {status}");
    }
}
