//! Behind a gateway: what it says of a request by `X-Forwarded-*` and `Forwarded` is believed where the config
//! names it, and poisons nobody's answer whatever the app makes of it.

mod proxy_protocol;

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Fields, Reply};
use crate::support::sidecar::Sidecar;

const BELIEVED: &str = "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n";
const OTHERS: &str = "[listen]\ntrusted_proxies = [\"192.0.2.1\"]\n";
const PAGE: &str = "[[route]]\nname = \"page\"\npath = \"/page\"\nkey = \"page:{query.n|}\"\n";

/// All that the app is told, but for who asks.
fn whole(seen: &Seen) -> Answer {
    let fields = seen
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-forwarded-for");
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    Answer::text(fields.join("\n"))
}

/// Asks with the first fields twice, then with the second ones; whether the first were answered from the store,
/// and whether the second were.
async fn shares(sidecar: &Sidecar, path: &str, first: Fields<'_>, second: Fields<'_>) -> [bool; 2] {
    let client = sidecar.client();
    client.get_with(path, first).await;
    sidecar.fills_have_ended().await;
    let again = client.get_with(path, first).await;
    let second = client.get_with(path, second).await;
    sidecar.fills_have_ended().await;
    [again.is_hit(), second.is_hit()]
}

/// An app that reflects all it is told (reliability.md K4): two equal requests share, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_gateway_says_selects_the_answer() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let sidecar = Sidecar::start(&app.url(), &format!("{BELIEVED}{PAGE}"));
    let both = |name, one, other| ([(name, one)], [(name, other)]);
    let rows = [
        both("x-forwarded-prefix", "/shop", "/blog"),
        both("x-forwarded-host", "shop.example", "blog.example"),
        both("x-forwarded-host", "shop.example", "shop.example, evil"),
        both("x-forwarded-server", "edge-1", "edge-2"),
        both("x-forwarded-port", "8443", "8080"),
        both("x-forwarded-ssl", "on", "perhaps"),
        both("x-forwarded-proto", "https,http", "https"),
        both("x-forwarded-proto", "https,http", "https, http"),
        both("x-forwarded-proto", "wss", "ws"),
        both("x-forwarded-scheme", "https", "gopher"),
        both("forwarded", "host=shop.example", "host=blog.example"),
        both("forwarded", "proto=https", "proto=http;host=x"),
        both("forwarded", "host=a;x=1", "host=a;x=2"),
        both("x-forwarded-prefix", "/a\\0a", "/a\\5c0a"),
    ];
    for (number, (one, other)) in rows.iter().enumerate() {
        let path = format!("/page?n={number}");
        let found = shares(&sidecar, &path, one, other).await;
        assert_eq!(found, [true, false], "{one:?} {other:?}");
        let found = shares(&sidecar, &path, one, &[]).await;
        assert_eq!(found, [true, false], "{one:?} and nothing");
    }
}

/// What agrees with the request only to who ignores case, or looks at each line alone, is another host or none to many apps:
/// whoever says it, others are answered as if nobody had.
#[tokio::test(flavor = "multi_thread")]
async fn what_agrees_to_some_apps_alone_poisons_nobody() {
    const HOST: (&str, &str) = ("host", "shop.example");
    const MAPPED: (&str, &str) = ("host", "shop.example:8080");
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let rows: [&[(&str, &str)]; 20] = [
        &[HOST, ("x-forwarded-host", "SHOP.example")],
        &[HOST, ("x-original-host", "Shop.Example")],
        &[
            HOST,
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-host", "shop.example"),
        ],
        &[HOST, ("x-forwarded-host", "shop.example,shop.example")],
        &[
            HOST,
            ("x-forwarded-server", "shop.example"),
            ("x-forwarded-server", "shop.example"),
        ],
        &[HOST, ("forwarded", "host=SHOP.example")],
        &[HOST, ("forwarded", "host=shop.example;proto=HTTP")],
        &[HOST, ("x-forwarded-port", "80"), ("x-forwarded-port", "80")],
        &[HOST, ("x-forwarded-port", "080")],
        &[MAPPED, ("x-forwarded-port", "80")],
        &[
            MAPPED,
            ("x-forwarded-port", "80"),
            ("x-forwarded-port", "80"),
        ],
        &[HOST, ("x-forwarded-ssl", "no")],
        &[HOST, ("x-forwarded-ssl", "OFF")],
        &[HOST, ("x-forwarded-ssl", "0")],
        &[HOST, ("x-forwarded-ssl", "off"), ("x-forwarded-ssl", "off")],
        &[HOST, ("front-end-https", "false")],
        &[HOST, ("x-forwarded-scheme", "HTTP")],
        &[HOST, ("x-url-scheme", "http"), ("x-url-scheme", "http")],
        &[
            HOST,
            ("cf-visitor", "{\"scheme\":\"http\"}"),
            ("cf-visitor", "{\"scheme\":\"http\"}"),
        ],
        &[HOST, ("x-original-uri", "/PAGE")],
    ];
    for config in [PAGE.to_owned(), format!("{BELIEVED}{PAGE}")] {
        let sidecar = Sidecar::start(&app.url(), &config);
        for (number, fields) in rows.iter().enumerate() {
            let path = format!("/page?n={number}");
            let [_, poisoned] = shares(&sidecar, &path, fields, &fields[..1]).await;
            assert!(!poisoned, "{fields:?}");
        }
    }
}

/// What gateways say of each request, and says what the request says, keeps nothing from the store, whoever they are.
#[tokio::test(flavor = "multi_thread")]
async fn what_gateways_say_of_each_request_is_stored() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let rows: [&[(&str, &str)]; 6] = [
        &[
            ("host", "shop.example"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-port", "80"),
        ],
        &[
            ("host", "SHOP.example"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-ssl", "off"),
        ],
        &[
            ("host", "shop.example:8080"),
            ("x-forwarded-host", "shop.example:8080"),
            ("x-forwarded-port", "8080"),
        ],
        // In a container, whose port 80 is another one outside.
        &[("host", "shop.example:8080"), ("x-forwarded-port", "80")],
        &[
            ("host", "[::1]"),
            ("x-forwarded-host", "[::1]"),
            ("x-forwarded-port", "80"),
        ],
        &[
            ("host", "shop.example"),
            ("forwarded", "for=192.0.2.1;host=shop.example;proto=http"),
            ("forwarded", "for=192.0.2.2;host=shop.example;proto=http"),
        ],
    ];
    for (number, fields) in rows.iter().enumerate() {
        let path = format!("/page?n={number}");
        let found = shares(&sidecar, &path, fields, fields).await;
        assert_eq!(found, [true, true], "{fields:?}");
    }
}

/// Who asks does not change the answer, and may be another for each request.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_one_gateway_share() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let sidecar = Sidecar::start(&app.url(), &format!("{BELIEVED}{PAGE}"));
    let of = |who: &'static str, by: &'static str| {
        [
            ("x-forwarded-for", who),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https,http"),
            ("forwarded", by),
        ]
    };
    let one = of(
        "192.0.2.1",
        "for=192.0.2.1;host=shop.example;proto=https, for=10.0.0.1;by=a",
    );
    let other = of(
        "192.0.2.2",
        "for=192.0.2.2;host=shop.example;proto=https, for=10.0.0.2;by=b",
    );
    let found = shares(&sidecar, "/page", &one, &other).await;
    assert_eq!(found, [true, true]);
}

/// An override that is no gateway's word passes as ever, and so does more than any gateway says.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_gateway_may_not_say_everything() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = format!("{BELIEVED}[defaults]\nunsafe_headers = [\"x-forwarded-port\"]\n{PAGE}");
    let sidecar = Sidecar::start(&app.url(), &config);
    let (long, schemes) = ("x".repeat(2_000), "https,".repeat(20));
    for field in [
        ("x-original-url", "/other"),
        ("x-http-method-override", "DELETE"),
        ("x-forwarded-host", &long),
        ("x-forwarded-proto", &schemes),
        ("x-forwarded-port", "8443"),
    ] {
        let found = shares(&sidecar, "/page", &[field], &[field]).await;
        assert_eq!(found, [false, false], "{field:?}");
        let reply = sidecar.client().get_with("/page", &[field]).await;
        let status = reply.cache_status();
        let reason = match field.0 {
            "x-http-method-override" => "detail=method",
            _ => "unkeyed-header",
        };
        assert!(status.contains(reason), "{field:?}: {status}");
    }
}

/// `trusted_identity` says that a gateway sets the field.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_only_gateways_set_selects_as_well() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config =
        format!("[defaults]\ntrusted_identity = [\"x-forwarded-prefix\"]\n{PAGE}shared = true\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let (shop, blog) = (
        [("x-forwarded-prefix", "/shop")],
        [("x-forwarded-prefix", "/blog")],
    );
    assert_eq!(shares(&sidecar, "/page", &shop, &blog).await, [true, false]);
    assert_eq!(shares(&sidecar, "/page", &shop, &[]).await, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_the_forwarded_one_where_the_config_says_so() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    app.on("PUT", "/page", |_| Answer::status(204));
    let listen = format!("{BELIEVED}forwarded_host = true\n");
    let config = format!("{listen}[[route]]\npath = \"/page\"\nkey = \"{{host}}\"\n");
    let config = format!("{config}[defaults]\ncache_status_key = true\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    let shop = [
        ("host", "in.example"),
        ("x-forwarded-host", "Shop.example, in.example"),
    ];
    let other_host = [
        ("host", "other.example"),
        ("x-forwarded-host", "Shop.example, in.example"),
    ];
    let found = shares(&sidecar, "/page", &shop, &other_host).await;
    assert_eq!(found, [true, false], "the app sees Host, too");
    let reply = client.get_with("/page", &shop).await;
    let status = reply.cache_status();
    assert!(status.contains("key=\"shop.example\""), "{status}");
    let written = client.request("PUT", "/page");
    let written = written.header("host", "in.example");
    written
        .header("forwarded", "host=shop.example")
        .send()
        .await;
    assert!(!client.get_with("/page", &shop).await.is_hit(), "purged");
    assert_eq!(app.last("/page").header("host"), "in.example");
}

/// `any_host` says of the app that the host does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn any_host_is_any_forwarded_host() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = format!("{BELIEVED}{PAGE}any_host = true\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let one = [
        ("x-forwarded-host", "a.example"),
        ("forwarded", "host=a.example;proto=http"),
    ];
    let other = [
        ("x-forwarded-host", "b.example"),
        ("forwarded", "host=b.example;proto=http"),
    ];
    assert_eq!(shares(&sidecar, "/page", &one, &other).await, [true, true]);
}

/// Where gateways are named, nobody else is one.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_say_is_dropped_where_gateways_are_named() {
    let app = TestApp::start().await;
    app.on("GET", "/page", |_| Answer::text("x"));
    let fields = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=203.0.113.9;host=evil.example"),
        ("x-forwarded-user", "ann"),
        ("host", "a.example"),
    ];
    let rows = [
        (OTHERS.to_owned(), true),
        (format!("{OTHERS}untrusted_forwarded = \"pass\"\n"), false),
        (
            "[listen]\nuntrusted_forwarded = \"drop\"\n".to_owned(),
            true,
        ),
        (String::new(), false),
    ];
    for (listen, dropped) in rows {
        let config = format!("{listen}{PAGE}shared = true\n");
        let sidecar = Sidecar::start(&app.url(), &config);
        let found = shares(&sidecar, "/page", &fields, &[("host", "a.example")]).await;
        assert_eq!(found, [dropped, dropped], "{listen:?}");
        let fields = [&fields[..], &[("authorization", "x")]].concat();
        let path = format!("/else?{dropped}");
        sidecar.client().get_with(&path, &fields).await;
        let seen = app.last("/else");
        let [host, chain, scheme] = match dropped {
            true => ["a.example", "127.0.0.1", "http"],
            false => ["evil.example", "203.0.113.9, 127.0.0.1", "https"],
        };
        assert_eq!(seen.header("x-forwarded-host"), host, "{listen:?}");
        assert_eq!(seen.header("x-forwarded-for"), chain, "{listen:?}");
        assert_eq!(seen.header("x-forwarded-proto"), scheme, "{listen:?}");
        for name in ["x-forwarded-port", "x-forwarded-prefix", "forwarded"] {
            let is_there = seen.headers.contains_key(name);
            assert_eq!(is_there, !dropped, "{listen:?}: {name}");
        }
        assert_eq!(seen.header("x-forwarded-user"), "ann", "of another kind");
    }
}

/// Lists of the two schemes are few, so anybody may send one; each has its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_list_of_schemes_selects_whoever_sends_it() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let by = |schemes| [("x-forwarded-proto", schemes)];
    for (one, other, hits) in [
        ("https,http", "https", true),
        ("https, http", "https,http", true),
        ("http,https", "https,http", true),
        ("http, http, https", "http", true),
        ("https,ftp", "https", false),
        ("https,http,http,http", "https", false),
        ("https,", "https", false),
    ] {
        let path = format!("/page?n={}", one.replace(", ", "+"));
        let found = shares(&sidecar, &path, &by(one), &by(other)).await;
        assert_eq!(found, [hits, false], "{one} {other}");
    }
}

/// Trust is of the config in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_who_is_believed() {
    let app = TestApp::start().await;
    app.on("GET", "/page", whole);
    let config = |listen: &str| format!("{listen}[upstream]\nurl = \"{}\"\n{PAGE}", app.url());
    let sidecar = Sidecar::start(&app.url(), &config(OTHERS));
    let client = sidecar.client();
    let shop = [("x-forwarded-host", "shop.example")];
    let told = |reply: Reply| reply.text().contains("shop.example");
    assert!(!told(client.get_with("/page", &shop).await));
    sidecar.reload(&config(BELIEVED), &[]);
    assert!(told(client.get_with("/page", &shop).await));
}
