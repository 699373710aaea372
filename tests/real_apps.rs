//! Apps as their frameworks make them, and the settings that let them in.

use std::io::Write;
use std::time::Duration;

use http::HeaderValue;
use serde_json::json;

use crate::caching::until_hit;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Fields;
use crate::support::raw_app::{RawApp, Step};
use crate::support::sidecar::{Sidecar, TOKEN};

/// A route of `/page/{id}` with these settings, before an app that says `said` and tells whom it answers.
async fn page(settings: &str, said: Fields<'static>) -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    for id in 0..10 {
        app.on("GET", &format!("/page/{id}"), move |seen| {
            let mut answer = Answer::text(format!("{} {}", seen.header("cookie"), seen.nth));
            for (name, value) in said {
                answer = answer.header(name, value);
            }
            answer.header("set-cookie", &format!("seen={}", seen.nth))
        });
    }
    let route = "[[route]]\nname = \"page\"\npath = \"/page/{id}\"\nkey = \"page:{path.id}\"\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{route}{settings}\n"));
    (app, sidecar)
}

const NEXT: Fields<'static> = &[
    (
        "cache-control",
        "private, no-cache, no-store, max-age=0, must-revalidate",
    ),
    ("vary", "Cookie"),
    ("expires", "0"),
];

/// What the framework says counts for nothing, and its cookie goes to the one it was made for.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_not_meant() {
    let (app, sidecar) = page("shared = true\napp_headers = \"ignore\"", NEXT).await;
    let client = sidecar.client();
    let first = client.get_with("/page/1", &[("cookie", "session=a")]).await;
    assert_eq!(first.header("set-cookie"), "seen=0");
    sidecar.fills_have_ended().await;
    let second = client.get_with("/page/1", &[("cookie", "session=b")]).await;
    assert!(second.is_hit(), "{}", second.cache_status());
    assert_eq!(
        (second.text(), second.header("set-cookie")),
        ("session=a 0", "")
    );
    assert_eq!(app.count("/page/1"), 1);
}

/// Who may share is still the key's to say.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_not_meant_share_nothing() {
    let public: Fields<'static> = &[("cache-control", "public, max-age=600")];
    for said in [NEXT, public] {
        let (_app, sidecar) = page("app_headers = \"ignore\"", said).await;
        let client = sidecar.client();
        for _ in 0..2 {
            let reply = client.get_with("/page/1", &[("cookie", "session=a")]).await;
            assert!(!reply.is_hit(), "{}", reply.cache_status());
            sidecar.fills_have_ended().await;
        }
    }
}

/// Stale windows open where `must-revalidate` shut them.
#[tokio::test(flavor = "multi_thread")]
async fn stale_answers_behind_must_revalidate() {
    let settings = [
        "app_headers = \"ignore\"",
        "cache_control = \"override\"\nstore_despite = [\"must-revalidate\", \"set-cookie\"]",
    ];
    let said: Fields<'static> = &[("cache-control", "max-age=60, must-revalidate")];
    for setting in settings {
        let windows = "ttl = \"1ms\"\nstale_if_error = \"1m\"";
        let (app, sidecar) = page(&format!("{setting}\n{windows}"), said).await;
        let client = sidecar.client();
        client.get("/page/1").await;
        sidecar.fills_have_ended().await;
        app.on("GET", "/page/1", |_| Answer::status(503));
        let stale = client.get("/page/1").await;
        assert_eq!(stale.text(), " 0", "{setting}: {}", stale.cache_status());
        assert!(stale.cache_status().contains("stale-if-error"), "{setting}");
    }
}

/// nginx, Varnish and Envoy can ignore a reload; a reload of each client costs the app a request otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_reload() {
    let reloads: [Fields<'static>; 4] = [
        &[("cache-control", "no-cache"), ("pragma", "no-cache")],
        &[("cache-control", "max-age=0")],
        &[("pragma", "no-cache")],
        &[("cache-control", "min-fresh=999999")],
    ];
    let wrong = [("pannier-token", "wrong"), ("cache-control", "no-cache")];
    let right = [("pannier-token", TOKEN), ("cache-control", "no-cache")];
    for (setting, asked) in [("obey", true), ("ignore", false), ("token", false)] {
        let settings = format!("client_cache_control = \"{setting}\"\napp_headers = \"ignore\"");
        let (app, sidecar) = page(&settings, &[]).await;
        let client = sidecar.client();
        until_hit(&client, "/page/1").await;
        for fields in reloads {
            let reply = client.get_with("/page/1", fields).await;
            assert_eq!(
                !reply.is_hit(),
                asked,
                "{setting}: {fields:?}, {}",
                reply.cache_status()
            );
            sidecar.fills_have_ended().await;
        }
        assert_eq!(
            !client.get_with("/page/1", &wrong).await.is_hit(),
            asked,
            "{setting}"
        );
        let by_token = client.get_with("/page/1", &right).await;
        assert_eq!(!by_token.is_hit(), setting != "ignore", "{setting}");
        let told = app
            .seen()
            .iter()
            .any(|seen| seen.headers.contains_key("pannier-token"));
        assert!(!told, "the app never sees the token");
        client
            .get_with("/page/3", &[("cache-control", "no-store")])
            .await;
        sidecar.fills_have_ended().await;
        assert_eq!(
            client.get("/page/3").await.is_hit(),
            !asked,
            "{setting}: no-store"
        );
        let only = client
            .get_with("/page/2", &[("cache-control", "only-if-cached")])
            .await;
        assert_eq!(
            only.status, 504,
            "{setting}: what asks for no request to the app counts"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told() {
    let said: Fields<'static> = &[
        ("cache-control", "max-age=60"),
        ("expires", "Thu, 01 Dec 2050 16:00:00 GMT"),
        ("cdn-cache-control", "max-age=600"),
    ];
    let settings = "downstream = \"private, max-age=5\"\nstore_despite = [\"set-cookie\"]";
    let (app, sidecar) = page(settings, said).await;
    let client = sidecar.client();
    let first = client.get("/page/1").await;
    assert_eq!(first.header("set-cookie"), "seen=0");
    assert_eq!(
        first.header("cache-control"),
        "max-age=60",
        "a cookie is one person's"
    );
    let hit = until_hit(&client, "/page/1").await;
    assert_eq!(hit.header("cache-control"), "private, max-age=5");
    assert_eq!(
        (hit.header("expires"), hit.header("cdn-cache-control")),
        ("", "")
    );
    app.on("GET", "/page/2", |_| {
        Answer::status(500).cache_control("no-store")
    });
    let failed = client.get("/page/2").await;
    assert_eq!(
        failed.header("cache-control"),
        "no-store",
        "what is not stored stays as it is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_with_200_is_not_stored() {
    let app = TestApp::start().await;
    let settings = "[[route]]\npath = \"/data/{id}\"\nkey = \"data:{path.id}\"\n\
                    store_when = { \"response.error\" = \"absent\", \"response.data.id\" = \"present\" }\n";
    let sidecar = Sidecar::start(&app.url(), settings);
    let client = sidecar.client();
    let rows = [
        ("/data/1", json!({"error": "no", "data": {"id": 1}}), false),
        ("/data/2", json!({"error": null, "data": {"id": 1}}), true),
        ("/data/3", json!({"data": {}}), false),
        (
            "/data/4",
            json!({"data": {"id": "x".repeat(300_000)}}),
            false,
        ),
    ];
    for (path, body, stored) in rows {
        app.on("GET", path, move |_| Answer::json(&body));
        client.get(path).await;
        sidecar.fills_have_ended().await;
        let again = client.get(path).await;
        assert_eq!(again.is_hit(), stored, "{path}: {}", again.cache_status());
        sidecar.fills_have_ended().await;
    }
    let metrics = sidecar.admin().get("/metrics").await;
    let counted = "pannier_not_stored_total{reason=\"store-when\",rule=\"data-id\"} 6";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

/// HTTP/1.0, `php -S`.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_end_with_their_connection() {
    for (setting, stored) in [("false", false), ("true", true)] {
        let app = RawApp::start(|_| {
            let answer = Step::send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nwhole");
            vec![answer, Step::Close]
        })
        .await;
        let route =
            format!("[[route]]\npath = \"/php\"\nkey = \"php\"\nclose_delimited = {setting}\n");
        let sidecar = Sidecar::start(&app.url(), &route);
        let client = sidecar.client();
        assert_eq!(client.get("/php").await.text(), "whole");
        sidecar.fills_have_ended().await;
        let again = client.get("/php").await;
        assert_eq!(
            (again.text(), again.is_hit()),
            ("whole", stored),
            "{setting}"
        );
    }
}

/// GitLab's projects, scopes of npm.
#[tokio::test(flavor = "multi_thread")]
async fn ids_with_a_slash() {
    let app = TestApp::start().await;
    for path in [
        "/projects/a%2Fb",
        "/projects/a%2fc",
        "/projects/a%2F..",
        "/projects/a%2F%2e",
    ] {
        app.on("GET", path, |seen| Answer::text(seen.path.clone()));
    }
    let route = |setting: &str| {
        format!(
            "[[route]]\npath = \"/projects/{{id}}\"\nkey = \"project:{{path.id}}\"\n\
             encoded_slash = \"{setting}\"\n[[purge]]\npath = \"/projects/{{id}}\"\n\
             keys = [\"project:{{path.id}}\"]\n"
        )
    };
    let sidecar = Sidecar::start(&app.url(), &route("data"));
    let client = sidecar.client();
    let hit = until_hit(&client, "/projects/a%2Fb").await;
    assert_eq!(hit.text(), "/projects/a%2Fb");
    assert_eq!(
        until_hit(&client, "/projects/a%2fc").await.text(),
        "/projects/a%2fc"
    );
    for odd in ["/projects/a%2F..", "/projects/a%2F%2e"] {
        for _ in 0..2 {
            let reply = client.get(odd).await;
            assert!(!reply.is_hit(), "{odd}: {}", reply.cache_status());
            sidecar.fills_have_ended().await;
        }
    }
    app.on("PUT", "/projects/a%2Fb", |_| Answer::text("ok"));
    client.json("PUT", "/projects/a%2Fb", "{}").await;
    assert!(
        !client.get("/projects/a%2Fb").await.is_hit(),
        "its own write purges it"
    );

    let sidecar = Sidecar::start(&app.url(), &route("pass"));
    let reply = sidecar.client().get("/projects/a%2Fb").await;
    assert!(
        reply.cache_status().contains("ambiguous-path"),
        "{}",
        reply.cache_status()
    );
}

/// Many preferences are few answers, and the app chooses by what selects them.
#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_made_few() {
    let app = TestApp::start().await;
    app.on("GET", "/text", |seen| {
        let (language, coding) = (
            seen.header("accept-language"),
            seen.header("accept-encoding"),
        );
        Answer::text(format!("{language} {coding}"))
            .header("vary", "Accept-Language, Accept-Encoding")
    });
    let settings = "[[route]]\npath = \"/text\"\nkey = \"text\"\nlanguages = [\"en\", \"de\"]\n\
                    encodings = [\"br\", \"gzip\"]\n";
    let sidecar = Sidecar::start(&app.url(), settings);
    let client = sidecar.client();
    let rows: [(Fields<'_>, &str, bool); 5] = [
        (
            &[
                ("accept-language", "de-AT, fr"),
                ("accept-encoding", "gzip, br"),
            ],
            "de br",
            false,
        ),
        (
            &[
                ("accept-language", "fr;q=0.5, de"),
                ("accept-encoding", "br"),
            ],
            "de br",
            true,
        ),
        (
            &[("accept-language", "fr"), ("accept-encoding", "gzip")],
            "en gzip",
            false,
        ),
        (&[("accept-encoding", "gzip;q=0.1")], "en gzip", true),
        (&[], "en identity", false),
    ];
    for (fields, text, hit) in rows {
        let reply = client.get_with("/text", fields).await;
        assert_eq!((reply.text(), reply.is_hit()), (text, hit), "{fields:?}");
        sidecar.fills_have_ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_vary_by() {
    let said: Fields<'static> = &[("vary", "RSC, Accept-Language, Next-Router-State-Tree")];
    let settings = "app_headers = \"ignore\"\nvary = [\"accept-language\"]";
    let (_app, sidecar) = page(settings, said).await;
    let client = sidecar.client();
    until_hit(&client, "/page/1").await;
    let rows = [
        ("rsc", "1", true),
        ("next-router-state-tree", "%5B", true),
        ("accept-language", "de", false),
    ];
    for (name, value, hit) in rows {
        let reply = client.get_with("/page/1", &[(name, value)]).await;
        assert_eq!(reply.is_hit(), hit, "{name}: {}", reply.cache_status());
    }

    let (_app, sidecar) = page("app_headers = \"ignore\"\ncors = \"vary\"", &[]).await;
    let client = sidecar.client();
    let hit = until_hit(&client, "/page/1").await;
    assert_eq!(
        hit.header("vary"),
        "origin",
        "browsers keep it apart as well"
    );
    let other = client
        .get_with("/page/1", &[("origin", "https://a.example")])
        .await;
    assert!(
        other.cache_status().contains("vary-miss"),
        "{}",
        other.cache_status()
    );
}

/// The rule says how many answers stand under one key; which one gave way is counted.
#[tokio::test(flavor = "multi_thread")]
async fn answers_under_one_key() {
    let said: Fields<'static> = &[("vary", "x-kind")];
    let (_app, sidecar) = page("app_headers = \"ignore\"\nmax_variants = 2", said).await;
    let client = sidecar.client();
    for kind in ["1", "2", "3"] {
        client.get_with("/page/1", &[("x-kind", kind)]).await;
        sidecar.fills_have_ended().await;
    }
    for (kind, hit) in [("3", true), ("2", true), ("1", false)] {
        let reply = client.get_with("/page/1", &[("x-kind", kind)]).await;
        assert_eq!(reply.is_hit(), hit, "{kind}: {}", reply.cache_status());
    }
    sidecar.fills_have_ended().await;
    let metrics = sidecar.admin().get("/metrics").await;
    let counted = "pannier_not_stored_total{reason=\"too-many-variants\",rule=\"page\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

/// Clients get the compressed body, and its tags are read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_compressed_body() {
    let app = TestApp::start().await;
    app.on("GET", "/users/1", |seen| {
        let text = json!({"id": 1, "nth": seen.nth}).to_string();
        if !seen.header("accept-encoding").contains("gzip") {
            return Answer::text(text);
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("into memory");
        Answer::bytes(encoder.finish().expect("into memory"))
            .field("content-encoding", HeaderValue::from_static("gzip"))
    });
    app.on("PUT", "/write", |_| Answer::text("ok"));
    let config = "[[route]]\npath = \"/users/{id}\"\nkey = \"user:{path.id}\"\n\
                  tags = [\"id:{response.id}\"]\n[[purge]]\npath = \"/write\"\ntags = [\"id:1\"]\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let client = sidecar.client();
    let accepts: Fields<'_> = &[("accept-encoding", "gzip, br, zstd")];
    let first = client.get_with("/users/1", accepts).await;
    assert_eq!(first.header("content-encoding"), "gzip");
    assert_eq!(
        app.last("/users/1").header("accept-encoding"),
        "gzip, br",
        "what can be read here"
    );
    sidecar.fills_have_ended().await;
    let hit = client.get_with("/users/1", accepts).await;
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.body, first.body);
    client.json("PUT", "/write", "{}").await;
    assert!(
        !client.get_with("/users/1", accepts).await.is_hit(),
        "its tag was read"
    );
}

/// Who cannot read a coding does not get it, though the app does not say by what it chose.
#[tokio::test(flavor = "multi_thread")]
async fn a_coding_goes_to_those_who_take_it() {
    let app = TestApp::start().await;
    app.on("GET", "/asset", |seen| {
        match seen.header("accept-encoding") {
            "" | "identity" => Answer::text("plain"),
            coding => Answer::text(coding.to_owned()).header("content-encoding", coding),
        }
    });
    let sidecar = Sidecar::start(
        &app.url(),
        "[[route]]\npath = \"/asset\"\nkey = \"asset\"\n",
    );
    let client = sidecar.client();
    for (accepts, coding, hit) in [
        ("gzip", "gzip", false),
        ("identity", "", false),
        ("gzip", "", true),
        ("br", "", true),
    ] {
        let reply = client
            .get_with("/asset", &[("accept-encoding", accepts)])
            .await;
        let got = (reply.header("content-encoding"), reply.is_hit());
        // What is plain goes to everyone once it is there, unless the coded one is newer by its Date.
        let coded = (accepts, true);
        assert!(got == (coding, hit) || got == coded, "{accepts}: {got:?}");
        sidecar.fills_have_ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_clock_of_the_app() {
    let said: Fields<'static> = &[("date", "Thu, 01 Jan 2015 00:00:00 GMT"), ("age", "3600")];
    let settings = "cache_control = \"override\"\nttl = \"5m\"\nstore_despite = [\"set-cookie\"]";
    let (_app, sidecar) = page(settings, said).await;
    let client = sidecar.client();
    until_hit(&client, "/page/1").await;
    let still = tokio::time::timeout(Duration::from_secs(30), client.get("/page/1")).await;
    assert!(still.expect("an answer").is_hit());
}

/// What `[defaults]` say holds for what no route matches, too.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_requests_without_a_route() {
    let app = TestApp::start().await;
    app.on("GET", "/any", |seen| {
        Answer::text(seen.nth.to_string()).cache_control("no-store, max-age=0")
    });
    for (settings, hit) in [
        ("ttl = \"1m\"\n", false),
        (
            "ttl = \"1m\"\napp_headers = \"ignore\"\nignore_query = [\"utm_*\"]\n",
            true,
        ),
        (
            "ttl = \"1m\"\napp_headers = \"ignore\"\nenabled = false\n",
            false,
        ),
    ] {
        let defaults = format!("[defaults]\nunmatched = \"rfc9111\"\n{settings}");
        let sidecar = Sidecar::start(&app.url(), &defaults);
        let client = sidecar.client();
        client.get("/any").await;
        sidecar.fills_have_ended().await;
        let again = client.get("/any?utm_source=a").await;
        assert_eq!(again.is_hit(), hit, "{settings}: {}", again.cache_status());
    }
}

/// An app that chooses by `Accept-Language` and does not say so, to GET and to HEAD.
#[tokio::test(flavor = "multi_thread")]
async fn languages_that_the_app_does_not_tell() {
    let app = TestApp::start().await;
    for method in ["GET", "HEAD"] {
        app.on(method, "/text", |seen| {
            let language = seen.header("accept-language").to_owned();
            Answer::text("same length").header("content-language", &language)
        });
    }
    for more in ["", "vary = []\n"] {
        let route = "[[route]]\npath = \"/text\"\nkey = \"text\"\nttl = \"1ms\"\n";
        let kept = "languages = [\"en\", \"de\"]\nstale_if_error = \"1h\"\n";
        let sidecar = Sidecar::start(&app.url(), &format!("{route}{kept}{more}"));
        let client = sidecar.client();
        let asks: Fields<'_> = &[("accept-language", "fr, de;q=0.5")];
        assert_eq!(
            client
                .get_with("/text", asks)
                .await
                .header("content-language"),
            "de"
        );
        sidecar.fills_have_ended().await;
        let head = client
            .request("HEAD", "/text")
            .header("accept-language", "fr, de;q=0.5");
        assert_eq!(head.send().await.header("content-language"), "de", "{more}");
        let other = client.get_with("/text", &[("accept-language", "en")]).await;
        assert_eq!(
            other.header("content-language"),
            "en",
            "{more}{}",
            other.cache_status()
        );
        assert!(
            other.cache_status().contains("vary-miss"),
            "{}",
            other.cache_status()
        );
    }
}

/// What its body keeps out of the store is not said to be stored, nor are clients told that they may keep it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_promised_before_the_body_is_read() {
    let app = TestApp::start().await;
    app.on("GET", "/data", |_| {
        let (answer, body) = Answer::piecewise();
        tokio::spawn(async move {
            // The second half comes when the head has been answered, mostly.
            let _ = body.send(Ok("{\"error\":".into()));
            tokio::task::yield_now().await;
            let _ = body.send(Ok("\"no\"}".into()));
        });
        answer
            .header("content-length", "14")
            .cache_control("no-store")
    });
    let config = "[[route]]\npath = \"/data\"\nkey = \"data\"\napp_headers = \"ignore\"\n\
                  downstream = \"public, max-age=600\"\nstore_when = { \"response.error\" = \"absent\" }\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let client = sidecar.client();
    for _ in 0..5 {
        // Whoever waits for the other's fill is told no more than that one.
        let both = tokio::join!(client.get("/data"), client.get("/data"));
        for reply in [both.0, both.1] {
            let said = reply.cache_status();
            assert_eq!(reply.text(), "{\"error\":\"no\"}");
            assert!(!said.contains("; stored;"), "{said}");
            assert_eq!(reply.header("cache-control"), "no-store", "{said}");
        }
        sidecar.fills_have_ended().await;
    }
}

/// An app that compresses whatever is asked for: what the request refuses is nobody's hit.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_coding_is_not_stored() {
    let app = TestApp::start().await;
    app.on("GET", "/gzip", |_| {
        Answer::text("coded").header("content-encoding", "gzip")
    });
    let sidecar = Sidecar::start(&app.url(), "[[route]]\npath = \"/gzip\"\nkey = \"gzip\"\n");
    let client = sidecar.client();
    for (accepts, hit) in [
        ("identity", false),
        ("br", false),
        ("gzip;q=0, *", false),
        ("x-gzip", true),
        ("*", true),
    ] {
        let asks: Fields<'_> = &[("accept-encoding", accepts)];
        client.get_with("/gzip", asks).await;
        sidecar.fills_have_ended().await;
        let again = client.get_with("/gzip", asks).await;
        assert_eq!(again.is_hit(), hit, "{accepts}: {}", again.cache_status());
        sidecar.fills_have_ended().await;
    }
    assert!(
        client
            .get("/gzip")
            .await
            .cache_status()
            .contains("vary-miss"),
        "who says nothing takes any"
    );
    sidecar.fills_have_ended().await;
    assert!(client.get("/gzip").await.is_hit());
}
