//! RFC 9111 §4.4, clause by clause: which stored responses a write takes with it.

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"\n";

const HOST: (&str, &str) = ("host", "app.example");

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Everything is fresh for long, but for what a test says otherwise.
async fn app(paths: &[&str]) -> TestApp {
    let app = TestApp::start().await;
    for path in paths {
        app.on("GET", path, |seen| {
            Answer::text(seen.nth.to_string()).cache_control("max-age=600")
        });
    }
    app
}

async fn send(client: &Client, method: &str, target: &str, fields: Fields<'_>) -> Reply {
    let mut request = client.request(method, target);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send().await
}

async fn store(client: &Client, target: &str, fields: Fields<'_>) {
    eventually(target, SHORT, || async {
        send(client, "GET", target, fields).await.is_hit()
    })
    .await;
}

async fn is_stored(client: &Client, target: &str, fields: Fields<'_>) -> bool {
    let only = ("cache-control", "only-if-cached");
    let fields: Vec<_> = fields.iter().copied().chain([only]).collect();
    send(client, "GET", target, &fields).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_by_method_and_status() {
    let app = app(&["/a"]).await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    #[rustfmt::skip]
    let rows: &[(&str, u16, bool)] = &[
        ("POST", 200, false),
        ("POST", 201, false),
        ("PUT", 204, false),
        ("PATCH", 200, false),
        ("DELETE", 202, false),
        ("M-SEARCH", 200, false),
        ("BREW", 200, false),
        ("POST", 302, false),
        ("POST", 303, false),
        ("PUT", 301, false),
        ("POST", 400, true),
        ("DELETE", 404, true),
        ("PUT", 412, true),
        ("BREW", 418, true),
        ("POST", 500, true),
        ("DELETE", 503, true),
        ("OPTIONS", 200, true),
        ("PROPFIND", 207, true),
        ("SEARCH", 200, true),
        ("REPORT", 200, true),
    ];
    for (method, status, kept) in rows {
        let status = *status;
        app.on(method, "/a", move |_| Answer::status(status));
        store(&client, "/a", &[HOST]).await;
        let reply = send(&client, method, "/a", &[HOST]).await;
        assert_eq!(reply.status, status);
        let found = is_stored(&client, "/a", &[HOST]).await;
        assert_eq!(found, *kept, "{method} {status}");
    }
}

/// The same URI, however its authority or an app reads it, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_target_and_no_other_uri() {
    let app = app(&["/a", "/a/b"]).await;
    for path in ["/a", "/a/b", "/a/", "//a", "/%61"] {
        app.on("POST", path, |_| Answer::status(204));
    }
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let https = ("x-forwarded-proto", "https");
    #[rustfmt::skip]
    let rows: &[(&str, &str, Fields<'_>, &str, Fields<'_>, bool)] = &[
        ("the target", "/a", &[HOST], "/a", &[HOST], false),
        ("with its query", "/a?x=1", &[HOST], "/a?x=1", &[HOST], false),
        ("another query", "/a?x=1", &[HOST], "/a?x=2", &[HOST], true),
        ("none", "/a?x=1", &[HOST], "/a", &[HOST], true),
        ("below it", "/a/b", &[HOST], "/a", &[HOST], true),
        ("above it", "/a", &[HOST], "/a/b", &[HOST], true),
        ("another host", "/a", &[HOST], "/a", &[("host", "b.example")], true),
        ("capitals in the host", "/a", &[HOST], "/a", &[("host", "App.Example")], false),
        ("own port told", "/a", &[HOST], "/a", &[("host", "app.example:80")], false),
        ("own port left out", "/a", &[("host", "app.example:80")], "/a", &[HOST], false),
        ("own port of https", "/a", &[HOST, https], "/a", &[("host", "app.example:443"), https], false),
        ("another port", "/a", &[HOST], "/a", &[("host", "app.example:81")], true),
        ("a slash at the end", "/a", &[HOST], "/a/", &[HOST], false),
        ("two slashes", "/a", &[HOST], "//a", &[HOST], false),
        ("needlessly encoded", "/a", &[HOST], "/%61", &[HOST], false),
    ];
    for (name, stored, as_get, written, as_post, kept) in rows {
        store(&client, stored, as_get).await;
        send(&client, "POST", written, as_post).await;
        assert_eq!(is_stored(&client, stored, as_get).await, *kept, "{name}");
    }
}

/// "All stored responses": each variant, and what answers HEAD.
#[tokio::test(flavor = "multi_thread")]
async fn every_variant_goes() {
    let app = app(&[]).await;
    app.on("GET", "/a", |seen| {
        Answer::text(seen.header("accept-language").to_owned())
            .cache_control("max-age=600")
            .header("vary", "accept-language")
    });
    app.on("PUT", "/a", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let languages = ["en", "de", "fr"].map(|language| [HOST, ("accept-language", language)]);
    for language in &languages {
        store(&client, "/a", language).await;
    }
    let head = send(&client, "HEAD", "/a", &languages[0]).await;
    assert!(head.is_hit(), "{}", head.cache_status());
    let put = [HOST, ("accept-language", "en")];
    send(&client, "PUT", "/a", &put).await;
    for language in &languages {
        assert!(!is_stored(&client, "/a", language).await, "{language:?}");
    }
    let head = send(&client, "HEAD", "/a", &languages[0]).await;
    assert!(!head.is_hit(), "{}", head.cache_status());
}

/// `Location` and `Content-Location` of the same origin (RFC 9110 §4.3.1), and of no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_locations_of_the_answer() {
    let paths = ["/x/made", "/made", "/%C3%A9", "/made~"];
    let app = app(&paths).await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let https = ("x-forwarded-proto", "https");
    let (plain, secure): (Fields<'_>, Fields<'_>) = (&[HOST], &[HOST, https]);
    #[rustfmt::skip]
    let rows: &[(&str, u16, &str, &str, Fields<'_>, bool)] = &[
        ("a path", 201, "/made", "/made", plain, false),
        ("relative", 201, "made", "/x/made", plain, false),
        ("relative, up", 201, "../made", "/made", plain, false),
        ("absolute", 201, "http://app.example/made", "/made", plain, false),
        ("capitals", 201, "HTTP://APP.example/made", "/made", plain, false),
        ("own port", 201, "http://app.example:80/made", "/made", plain, false),
        ("network path", 201, "//app.example/made", "/made", plain, false),
        ("fragment", 201, "/made#here", "/made", plain, false),
        ("its query", 201, "/made?v=1", "/made?v=1", plain, false),
        ("needlessly encoded", 201, "/made%7E", "/made~", plain, false),
        ("another query", 201, "/made?v=1", "/made", plain, true),
        ("beyond ASCII", 201, "/é", "/%C3%A9", plain, false),
        ("after a redirect", 303, "/made", "/made", plain, false),
        ("on an error", 409, "/made", "/made", plain, true),
        ("another host", 201, "http://b.example/made", "/made", plain, true),
        ("another port", 201, "http://app.example:81/made", "/made", plain, true),
        ("another scheme", 201, "https://app.example/made", "/made", plain, true),
        ("userinfo", 201, "http://u@app.example/made", "/made", plain, true),
        ("TLS ends in front", 201, "https://app.example/made", "/made", secure, false),
        ("TLS ends in front, its port", 201, "https://app.example:443/made", "/made", secure, false),
        ("TLS ends in front, plain", 201, "http://app.example/made", "/made", secure, true),
        ("no URI", 201, "http://[/made", "/made", plain, true),
    ];
    for (name, status, reference, target, fields, kept) in rows {
        for field in ["location", "content-location"] {
            let (status, reference) = (*status, reference.to_string());
            app.on("POST", "/x/all", move |_| {
                let value =
                    http::HeaderValue::from_bytes(reference.as_bytes()).expect("no controls");
                Answer::status(status).field(field, value)
            });
            store(&client, target, fields).await;
            send(&client, "POST", "/x/all", fields).await;
            let found = is_stored(&client, target, fields).await;
            assert_eq!(found, *kept, "{name} ({field})");
        }
    }
}

const ROUTES: &str = r#"
[[route]]
name = "me"
path = "/me"
key = "me:{cookie.session}"
[[route]]
name = "board"
path = "/boards/{id}"
key = "board:{path.id}:{header.accept-language|en}:{query.page|1}"
[[route]]
name = "list"
path = "/list"
key = "list:{query.page}"
ignore_query = ["utm_*"]
"#;

/// A URI is invalidated under the key of its route, whatever else the key takes from requests. Where it
/// tells persons apart, each has a resource of their own there, if the writer says who it is.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_routes() {
    let app = TestApp::start().await;
    for path in ["/me", "/boards/1", "/boards/2", "/list"] {
        app.on("GET", path, |_| Answer::text("x"));
        app.on("PUT", path, |_| Answer::status(204));
    }
    app.on("POST", "/new", |_| {
        Answer::status(201).header("location", "/boards/1")
    });
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    let client = sidecar.client();
    let (ann, ben) = (("cookie", "session=ann"), ("cookie", "session=ben"));
    let german = ("accept-language", "de");
    #[rustfmt::skip]
    let rows: &[(&str, &str, Fields<'_>, &str, &str, Fields<'_>, bool)] = &[
        ("one's own", "/me", &[ann], "PUT", "/me", &[ann], false),
        ("another person's", "/me", &[ann], "PUT", "/me", &[ben], true),
        ("by nobody", "/me", &[ann], "PUT", "/me", &[], false),
        ("another parameter", "/boards/1", &[], "PUT", "/boards/2", &[], true),
        ("the same", "/boards/1", &[], "PUT", "/boards/1", &[], false),
        ("in another language", "/boards/1", &[german], "PUT", "/boards/1", &[], false),
        ("by who speaks another", "/boards/1", &[], "PUT", "/boards/1", &[german], false),
        ("another page", "/boards/1?page=2", &[], "PUT", "/boards/1", &[], true),
        ("a location", "/boards/1", &[german], "POST", "/new", &[], false),
        ("no GET of it has a key", "/list?page=1", &[], "PUT", "/list", &[], true),
        ("fields that do not count", "/list?page=1", &[], "PUT", "/list?utm_a=1&page=1", &[], false),
    ];
    for (name, stored, as_get, method, written, as_writer, kept) in rows {
        store(&client, stored, as_get).await;
        send(&client, method, written, as_writer).await;
        assert_eq!(is_stored(&client, stored, as_get).await, *kept, "{name}");
    }
}
