//! Who may see what (promise I8): two persons, one after the other, and an app that answers each for
//! itself whatever it is asked by.

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::Fields;
use crate::support::sidecar::Sidecar;

/// All that the app is told of a requester.
fn whole(seen: &Seen) -> Answer {
    let fields: Vec<String> = seen
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    Answer::text(fields.join("\n"))
}

/// Asks as `first` twice, then as `second`; whether the first was answered from the store, and the second
/// with what was the first's.
async fn shares(
    sidecar: &Sidecar,
    path: &str,
    first: Fields<'_>,
    second: Fields<'_>,
) -> (bool, bool) {
    let client = sidecar.client();
    let of_first = client.get_with(path, first).await;
    sidecar.fills_have_ended().await;
    let again = client.get_with(path, first).await;
    let of_second = client.get_with(path, second).await;
    sidecar.fills_have_ended().await;
    (again.is_hit(), of_second.text() == of_first.text())
}

const DESK: &str = include_str!("../config/desk.toml");

/// What lenient apps take for `/api/users/me`.
const SPELLINGS: [&str; 18] = [
    "/api/users/m%65",
    "/api/users/%6d%65",
    "/api/users/m%2565",
    "/api/users/ME",
    "/api/users/Me",
    "/api/users/me.json",
    "/api/users/ME.JSON",
    "/api/users/me.",
    "/api/users/me%20",
    "/api/users/%20me",
    "/api/users/me%09",
    "/api/users/me%00",
    "/api/users/me%3Bx",
    "/api/users/me;x",
    "/api/users/me%23x",
    "/api/users/me%3Fx",
    "/api/users/me%EF%BB%BF",
    "/api/users/%EF%BB%BFme",
];

/// A shipped config before an app that takes all of these for one path.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_private_path_is_shared() {
    let app = TestApp::start().await;
    for path in SPELLINGS {
        // With what the rule's tags need, so that nothing else keeps it from the store.
        app.on("GET", path, |seen| {
            Answer::text(format!(r#"{{"email":"{}"}}"#, seen.header("cookie")))
        });
    }
    app.on("GET", "/api/users/42", |_| {
        Answer::text("{\"email\":\"a@desk.example\"}")
    });
    let desk = DESK.replace(
        "[redis]\nurl = \"${REDIS_URL:-redis://127.0.0.1:6379}\"\n",
        "",
    );
    assert!(!desk.contains("[redis]"));
    let sidecar = Sidecar::start(&app.url(), &desk);
    for path in SPELLINGS {
        let (ann, bob) = (("cookie", "session=ann"), ("cookie", "session=bob"));
        let (_, leaks) = shares(&sidecar, path, &[ann], &[bob]).await;
        assert!(!leaks, "{path}");
        let reply = sidecar.client().get_with(path, &[ann]).await;
        assert!(
            reply.text().contains("session=ann"),
            "{path}: the app answers"
        );
    }
    let (hits, shared) = shares(&sidecar, "/api/users/42", &[("cookie", "session=ann")], &[]).await;
    assert!(
        hits && shared,
        "a path with one meaning is shared as the rule says"
    );
}

/// Rules in an app's own way of writing paths (Django's with a slash at the end, Azure's `/.auth`), and paths that begin as
/// that of one person: whatever app takes the path for another rule's, nobody gets what another was answered.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_that_an_app_may_take_for_a_private_one_is_shared() {
    const RULES: [(&str, &str); 6] = [
        ("/api/users/me/", "/api/users/{id}/"),
        ("/api/users/me/", "/api/users/{id}"),
        ("/api/users/me", "/api/users/{id}/"),
        ("/.auth/users/me", "/{any}/users/me"),
        ("/api/users/me", "/api/users/{id}/{part}"),
        ("/api/users/me/", "/api/{*rest}"),
    ];
    const PATHS: [&str; 15] = [
        "/api/users/m%65/",
        "/api/users/ME/",
        "/api/users/me%20/",
        "/api/users/me%3Bx/",
        "/api/users/me%0Ax/",
        "/api/users/me%0Ax",
        "/api/users/m%65",
        "/api/users/ME",
        "/.AUTH/users/me",
        "/.aut%68/users/me",
        "/auth/users/me",
        "/api/users/me/x.css",
        "/api/users/me/x.css/",
        "/api/users/ME/x.css",
        "/api/users/me/a/x.css",
    ];
    for (me, others) in RULES {
        let app = TestApp::start().await;
        let all = PATHS.into_iter().chain(["/api/users/42", "/api/users/42/"]);
        for path in all.chain(["/api/users/42/x.css", "/other/users/me"]) {
            app.on("GET", path, whole);
        }
        let config = format!(
            "[[route]]\npath = {me:?}\nkey = \"me:{{cookie.session}}\"\n\
             [[route]]\npath = {others:?}\nshared = true\n"
        );
        let sidecar = Sidecar::start(&app.url(), &config);
        for path in PATHS {
            let (_, leaks) = shares(&sidecar, path, &[("cookie", "session=ann")], &[]).await;
            assert!(!leaks, "{path}: {me} {others}");
        }
        let plain = match others {
            "/api/users/{id}/" => "/api/users/42/",
            "/api/users/{id}" => "/api/users/42",
            "/{any}/users/me" => "/other/users/me",
            _ => "/api/users/42/x.css",
        };
        let (hits, shared) = shares(&sidecar, plain, &[("cookie", "session=ann")], &[]).await;
        assert!(hits && shared, "{plain} is shared as {others} says");
    }
}

/// What the app has everyone ask it for is its own affair, whatever lifetime a rule gives it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_is_asked_for_each_time_is_not_shared() {
    let app = TestApp::start().await;
    let said = [
        ("public, max-age=0", false),
        ("public, max-age=0, must-revalidate", false),
        ("s-maxage=0", false),
        ("max-age=60, s-maxage=0", false),
        ("public, no-cache", false),
        ("public, private", false),
        ("public, no-store", false),
        ("public, max-age=60", true),
        ("max-age=0, s-maxage=60", true),
    ];
    for (nth, (line, _)) in said.into_iter().enumerate() {
        for kind in ["over", "lift"] {
            let path = format!("/{kind}/{nth}");
            app.on("GET", &path, move |seen| whole(seen).cache_control(line));
        }
    }
    let lifted = "store_despite = [\"private\", \"no-store\", \"no-cache\", \"must-revalidate\"]";
    let config = format!(
        "[[route]]\npath = \"/over/{{n}}\"\nttl = \"5m\"\ncache_control = \"override\"\n\
         [[route]]\npath = \"/lift/{{n}}\"\nttl = \"5m\"\ncache_control = \"override\"\n{lifted}\n"
    );
    let sidecar = Sidecar::start(&app.url(), &config);
    for (nth, (line, expected)) in said.into_iter().enumerate() {
        for kind in ["over", "lift"] {
            let path = format!("/{kind}/{nth}");
            let (ann, bob) = (("cookie", "session=ann"), ("cookie", "session=bob"));
            let (_, shared) = shares(&sidecar, &path, &[ann], &[bob]).await;
            assert_eq!(shared, expected, "{kind} {line}");
            let reply = sidecar.client().get(&path).await;
            let leaks = reply.text().contains("session=ann");
            assert_eq!(leaks, expected, "{kind} {line}: nobody");
        }
    }
}

/// Fields that say who asks, under the names that gateways, clouds and apps give them.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_any_name_are_not_shared() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = "[defaults]\ntrusted_identity = [\"x-gate-id\"]\ncredential_headers = [\"x-company\"]\n\
                  [[route]]\nname = \"page\"\npath = \"/page\"\nkey = \"page:{query.n}\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let names = [
        "Authorization",
        "X-Api-Key",
        "Api-Key",
        "ApiKey",
        "X-Auth-Token",
        "X-Access-Token",
        "X-Session-Token",
        "X-Session-Id",
        "Private-Token",
        "Job-Token",
        "Cf-Access-Jwt-Assertion",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Groups",
        "X-Amzn-Oidc-Data",
        "X-Amzn-Oidc-Identity",
        "X-Goog-Iap-Jwt-Assertion",
        "X-Goog-Authenticated-User-Email",
        "X-Ms-Client-Principal",
        "X-Ms-Client-Principal-Id",
        "X-Remote-User",
        "Remote-User",
        "X-User-Id",
        "X-Account-Id",
        "X-Tenant-Id",
        "X-Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-Shopify-Access-Token",
        "X-Vault-Token",
        "Ocp-Apim-Subscription-Key",
        "X-Functions-Key",
        "DD-API-KEY",
        "X-Auth-Request-User",
        "X-Authenticated-User",
        "X-Impersonate-User",
        "Sudo",
        "X-Jwt",
        "X-Id-Token",
        "X-Secret",
        "X-Gate-Id",
        "X-Company",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let path = format!("/page?n={number}");
        let (hits, leaks) = shares(&sidecar, &path, &[(name, "ann")], &[(name, "bob")]).await;
        assert!(!hits && !leaks, "{name}");
    }
    let agent = |value| [("User-Agent", value)];
    let (hits, shared) = shares(&sidecar, "/page?n=x", &agent("a"), &agent("b")).await;
    assert!(
        hits && shared,
        "what says nothing of a person is no obstacle"
    );
}

/// RFC 9111 §3.5 takes `must-revalidate` for a permission as well; many frameworks say it of personal pages.
#[tokio::test(flavor = "multi_thread")]
async fn must_revalidate_lets_nobody_have_what_was_anothers() {
    let config = "[defaults]\nunmatched = \"rfc9111\"\n\
                  [[route]]\npath = \"/plain/{id}\"\nkey = \"plain:{path.id}\"\n\
                  [[route]]\npath = \"/ttl/{id}\"\nkey = \"ttl:{path.id}\"\nttl = \"1m\"\n\
                  [[route]]\npath = \"/over/{id}\"\nkey = \"over:{path.id}\"\nttl = \"1m\"\n\
                  cache_control = \"override\"\n";
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), config);
    let said = [
        ("must", "max-age=60, must-revalidate", false),
        ("only", "must-revalidate", false),
        ("proxies", "max-age=60, proxy-revalidate", false),
        ("immutable", "max-age=60, immutable", false),
        ("public", "max-age=60, must-revalidate, public", true),
    ];
    let ann = [
        ("Authorization", "Bearer ann"),
        ("X-Api-Key", "ann"),
        ("Cookie", "session=ann"),
    ];
    let client = sidecar.client();
    for rule in ["plain", "ttl", "over", "unmatched"] {
        for (word, directives, may_be_shared) in said {
            for (name, value) in ann {
                let path = format!("/{rule}/{word}-{name}");
                app.on("GET", &path, move |seen| {
                    whole(seen).cache_control(directives)
                });
                let of_ann = client.get_with(&path, &[(name, value)]).await;
                sidecar.fills_have_ended().await;
                let bob = value.replace("ann", "bob");
                let others: [Fields<'_>; 3] = [&[(name, &bob)], &[], &[("X-Api-Key", "bob")]];
                for other in others {
                    let reply = client.get_with(&path, other).await;
                    let got_hers = reply.text() == of_ann.text();
                    assert_eq!(got_hers, may_be_shared, "{path}: {other:?}");
                    sidecar.fills_have_ended().await;
                }
            }
        }
    }
}

/// Each cookie is in the key, or known to change nothing, or the request passes.
#[tokio::test(flavor = "multi_thread")]
async fn one_cookie_never_stands_for_another() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    // The key, what is ignored, two requesters, whether the first may be answered from the store.
    #[rustfmt::skip]
    let rows = [
        ("{cookie.theme}", "", "theme=dark; session=A", "theme=dark; session=B", false),
        ("{cookie.session|none}", "", "other=A", "other=B", false),
        ("{cookie.session}", "", "session=A", "session=B", true),
        ("{cookie.session}", "theme", "session=A; theme=dark", "session=B; theme=dark", true),
        ("{cookie.session}", "", "session=A; _ga=1; OptanonConsent=x", "session=B; _ga=1", true),
        ("{cookie.session}", "", "session=A; session=x", "session=B; session=x", true),
        ("{cookie.session}", "", "session=A; =x", "session=A; sid", false),
        ("{header.cookie}", "", "a=A; b=1", "a=B; b=1", true),
    ];
    for (key, ignored, ann, bob, hits) in rows {
        let config = format!(
            "[[route]]\nname = \"page\"\npath = \"/page\"\nkey = \"page:{key}\"\n\
             ignore_cookies = [{}]\n",
            match ignored {
                "" => String::new(),
                name => format!("\"{name}\""),
            }
        );
        let sidecar = Sidecar::start(&app.url(), &config);
        let found = shares(&sidecar, "/page", &[("cookie", ann)], &[("cookie", bob)]).await;
        assert!(!found.1, "{key}: {ann} and {bob}");
        if ann.contains("=x") && !hits {
            continue;
        }
        assert_eq!(found.0, hits, "{key}: {ann}");
    }
}

/// What no route is for is cached as its own fields say, and may be what a route keeps to one person.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_private_path_falls_under_no_route() {
    let app = TestApp::start().await;
    for path in SPELLINGS {
        app.on("GET", path, |seen| {
            Answer::text(seen.header("cookie")).cache_control("public, max-age=60")
        });
    }
    let route = "[defaults]\nunmatched = \"rfc9111\"\n[[route]]\nname = \"me\"\npath = \"/api/users/me\"\n\
                 key = \"me:{cookie.session}\"\n";
    let sidecar = Sidecar::start(&app.url(), route);
    for path in SPELLINGS {
        let (ann, bob) = (("cookie", "session=ann"), ("cookie", "session=bob"));
        let (_, leaks) = shares(&sidecar, path, &[ann], &[bob]).await;
        assert!(!leaks, "{path}");
    }
}

/// Apps that take blanks or commas between cookies find one in the value of another.
#[tokio::test(flavor = "multi_thread")]
async fn no_cookie_hides_in_another() {
    let app = TestApp::start().await;
    let mut routes = String::new();
    for (rule, key) in [("n", "n"), ("d", "d:{cookie.session|none}")] {
        for nth in 0..5 {
            app.on("GET", &format!("/{rule}/{nth}"), whole);
        }
        routes += &format!(
            "[[route]]\nname = \"{rule}\"\npath = \"/{rule}/{{id}}\"\nkey = \"{key}:{{path.id}}\"\nany_host = true\n"
        );
    }
    let sidecar = Sidecar::start(&app.url(), &routes);
    let lines = [
        "_ga=1 session=ann",
        "_ga=1\tsession=ann",
        "_ga=1, session=ann",
        "_ga=1,session=ann",
        "=ann",
    ];
    for rule in ["n", "d"] {
        for (nth, line) in lines.iter().enumerate() {
            let path = format!("/{rule}/{nth}");
            let (_, leaks) = shares(&sidecar, &path, &[("cookie", line)], &[]).await;
            assert!(!leaks, "{path}: {line}");
        }
    }
    // The cookie before it is irrelevant by itself.
    let (is_hit, _) = shares(&sidecar, "/n/0", &[("cookie", "_ga=1")], &[]).await;
    assert!(is_hit);
}

/// A redirect to https that was stored for http would send those who came by https round for ever.
#[tokio::test(flavor = "multi_thread")]
async fn any_host_keeps_the_schemes_apart() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |seen| {
        Answer::text(seen.header("x-forwarded-proto"))
    });
    let config = "[[route]]\npath = \"/page\"\nkey = \"page\"\nany_host = true\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let by = |scheme| [("x-forwarded-proto", scheme)];
    let (hits, mixed) = shares(&sidecar, "/page", &by("http"), &by("https")).await;
    assert_eq!((hits, mixed), (true, false));
}

/// What may be a secret is not to be read in keys.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_hashed_in_keys() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = "[defaults]\ncache_status_key = true\ncredential_headers = [\"x-company\"]\n\
                  [[route]]\npath = \"/page\"\n\
                  key = \"page:{header.x-api-key|}:{header.x-company|}:{header.x-lang|}\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let fields = [
        ("x-api-key", "hunter2"),
        ("x-company", "acme-inc"),
        ("x-lang", "en"),
    ];
    let reply = sidecar.client().get_with("/page", &fields).await;
    let status = reply.header("cache-status");
    assert!(
        !status.contains("hunter2") && !status.contains("acme-inc"),
        "{status}"
    );
    assert!(status.contains(":en"), "{status}");
    let other = [
        ("x-api-key", "hunter3"),
        ("x-company", "acme-inc"),
        ("x-lang", "en"),
    ];
    let (hits, leaks) = shares(&sidecar, "/page", &fields, &other).await;
    assert!(hits && !leaks);
}

/// Fields that some app or gateway obeys, and an app that reflects all it is told: nothing of it comes out of
/// the cache (reliability.md K4).
#[tokio::test(flavor = "multi_thread")]
async fn no_override_is_served_to_another() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = "[defaults]\nunsafe_headers = [\"x-own-switch\"]\n\
                  [[route]]\nname = \"page\"\npath = \"/page\"\nkey = \"page:{query.n}\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    #[rustfmt::skip]
    let names = [
        "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Original-Host", "X-HTTP-Host-Override",
        "X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Protocol", "X-Forwarded-Path",
        "X-Forwarded-Uri", "X-Forwarded-PathBase", "X-Forwarded-Prefix", "X-Url-Scheme", "X-Scheme",
        "Front-End-Https", "X-Envoy-Original-Path", "X-Now-Route-Matches", "X-Middleware-Prefetch",
        "X-Middleware-Rewrite", "X-Invoke-Path", "X-Invoke-Status", "X-HTTP-Method-Override", "X-Host",
        "X_Forwarded_Host", "X_Original_URL", "x_http_method_override", "X-Forwarded_Host", "Script_Name",
        "X-Own-Switch",
    ];
    let forwarded = [
        "host=evil",
        "host = evil",
        "host\t=\tevil",
        "for=a;host= evil",
        "for=a, host =\"evil\"",
        "HOST=evil",
        "proto = evil",
        "host=\" evil\"",
    ];
    let fields = names.into_iter().map(|name| (name, "evil"));
    let fields = fields.chain(forwarded.into_iter().map(|value| ("Forwarded", value)));
    for (number, field) in fields.enumerate() {
        let path = format!("/page?n={number}");
        let client = sidecar.client();
        client.get_with(&path, &[field]).await;
        sidecar.fills_have_ended().await;
        for _ in 0..2 {
            let reply = client.get_with(&path, &[]).await;
            assert!(
                !reply.text().contains("evil"),
                "{field:?}: {}",
                reply.text()
            );
            sidecar.fills_have_ended().await;
        }
    }
    let forwarded = [
        ("forwarded", "for=192.0.2.1; host = a.example ; proto=http"),
        ("host", "a.example"),
    ];
    let (hits, _) = shares(&sidecar, "/page?n=x", &forwarded, &forwarded).await;
    assert!(hits, "what agrees with the request is no obstacle");
}

/// What networks in front and frameworks' own clients send with every request keeps nothing from the store, and has an answer
/// of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_every_request_brings_has_its_own_answer() {
    let app = TestApp::start().await;
    for path in ["/p/1", "/p/2", "/p/3", "/p/4", "/_next/data/1"] {
        app.on("GET", path, whole);
    }
    let route = |name: &str, path: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"{path}/{{id}}\"\nkey = \"{name}:{{path.id}}\"\nshared = true\n"
        )
    };
    let routes = route("p", "/p") + &route("data", "/_next/data");
    let sidecar = Sidecar::start(&app.url(), &routes);
    let visitor = ("cf-visitor", r#"{"scheme":"https"}"#);
    for (path, field, is_stored) in [
        ("/p/1", visitor, true),
        ("/p/2", ("fastly-ssl", "1"), true),
        ("/p/2", ("cf-visitor", "x"), false),
        ("/p/2", ("x-nextjs-data", "1"), false),
        ("/p/2", ("sec-fetch-user", "?1"), true),
        ("/p/3", ("x-original-uri", "/p/3"), true),
        ("/p/4", ("x-original-uri", "/p/3"), false),
    ] {
        let (is_hit, leaks) = shares(&sidecar, path, &[field], &[("x-other", "1")]).await;
        assert_eq!(is_hit, is_stored, "{field:?}");
        let is_harmless = ["sec-fetch-user", "x-original-uri"].contains(&field.0) && is_stored;
        assert!(!leaks || is_harmless, "{field:?}");
    }
    let data = ("x-nextjs-data", "1");
    let (is_hit, _) = shares(&sidecar, "/_next/data/1", &[data], &[data]).await;
    assert!(is_hit);
}

/// What the key has cannot poison.
#[tokio::test(flavor = "multi_thread")]
async fn an_override_in_the_key_is_no_obstacle() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = "[[route]]\npath = \"/page\"\nkey = \"page:{header.x-forwarded-prefix|}\"\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let (shop, blog) = (
        [("x-forwarded-prefix", "/shop")],
        [("x-forwarded-prefix", "/blog")],
    );
    let (hits, mixed) = shares(&sidecar, "/page", &shop, &blog).await;
    assert!(hits && !mixed);
}

/// R8: an error that a client can provoke is kept for a moment, unless the rule says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_kept_for_a_moment() {
    let app = TestApp::start().await;
    for path in ["/a", "/b"] {
        app.on("GET", path, |_| {
            Answer::status(404).cache_control("public, max-age=600")
        });
    }
    let config = "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b\"\nstatuses = [404]\n";
    let sidecar = Sidecar::start(&app.url(), config);
    let client = sidecar.client();
    for (path, ttl) in [("/a", ["ttl=1", "ttl=0"]), ("/b", ["ttl=600", "ttl=599"])] {
        let status = client.get_with(path, &[]).await;
        let status = status.header("cache-status");
        assert!(
            ttl.iter().any(|ttl| status.contains(ttl)),
            "{path}: {status}"
        );
    }
}
