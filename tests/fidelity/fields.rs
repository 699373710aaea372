//! Fields: unchanged, in order, repeated ones apart (RFC 9110 §5.3), both ways and through the store.

use std::time::Duration;

use super::{PAGE, get};
use crate::caching::until_hit;
use crate::support::eventually;
use crate::support::raw_app::{RawApp, Step};
use crate::support::raw_client::{RawClient, fields};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

/// The lines of an answer that nobody on the way may touch. Those of the connection stand between
/// them, since taking them out is what could disturb the others.
const KEPT: [&str; 7] = [
    "x-first: 1",
    "x-twice: one",
    "x-twice: two, with a comma",
    "x-empty: ",
    "set-cookie: a=1; Path=/",
    "set-cookie: b=2",
    "x-last: \u{e9}\u{fffd}",
];

fn answer() -> Vec<u8> {
    let [first, once, again, empty, cookie, other, last] = KEPT;
    let lines = [
        first,
        "connection: x-hop, keep-alive",
        once,
        "keep-alive: timeout=5",
        again,
        empty,
        "x-hop: 1",
        cookie,
        other,
        "proxy-connection: keep-alive",
        last,
        "content-length: 5",
    ];
    format!("HTTP/1.1 200 OK\r\n{}\r\n\r\nhello", lines.join("\r\n")).into_bytes()
}

/// Without what a proxy adds: `Date`, `Age`, `Cache-Status`.
fn of_the_app(head: &str) -> Vec<&str> {
    let added = ["date: ", "age: ", "cache-status: ", "content-length: "];
    let mut lines = fields(head);
    lines.retain(|line| !added.iter().any(|name| line.starts_with(name)));
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_answer_keeps_its_fields() {
    let app = RawApp::start(|_| vec![Step::Send(answer())]).await;
    let sidecar = Sidecar::start(&app.url(), "");
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&get("/", "")).await;
    let head = client.until("hello").await;
    let head = head.trim_end_matches("hello");
    assert_eq!(of_the_app(head), KEPT);
    assert_eq!(
        head.matches("\r\ndate: ").count(),
        1,
        "RFC 9110 §6.6.1: {head}"
    );
    assert!(!head.contains("\r\nvia: "), "{head}");
}

/// The copy drops the cookies, if the rule stores it at all; all else is as the app said it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_keeps_its_fields() {
    let app = RawApp::start(|_| vec![Step::Send(answer())]).await;
    let config = format!("{PAGE}store_despite = [\"set-cookie\"]\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let mut client = RawClient::connect(sidecar.addr()).await;
    client.send(&get("/page", "")).await;
    let head = client.until("hello").await;
    assert_eq!(
        of_the_app(head.trim_end_matches("hello")),
        KEPT,
        "who caused the fill"
    );
    until_hit(&sidecar.client(), "/page").await;
    client.send(&get("/page", "")).await;
    let head = client.until("hello").await;
    let mut kept = KEPT.to_vec();
    kept.retain(|line| !line.starts_with("set-cookie"));
    assert_eq!(of_the_app(head.trim_end_matches("hello")), kept, "{head}");
    assert!(head.contains("detail=hit"), "{head}");
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "{head}");
}

/// Forty fields and one of 60 KB, from this sidecar's memory and from Redis through another one.
#[tokio::test(flavor = "multi_thread")]
async fn many_and_long_fields_survive_both_tiers() {
    let redis = RedisServer::start();
    let long = format!("x-long: {}", "y".repeat(60_000));
    let many = (0..40).map(|n| format!("x-field-{}: {n} \u{e9}", 39 - n));
    let lines: Vec<String> = many.chain([long]).collect();
    let text = format!(
        "HTTP/1.1 200 OK\r\n{}\r\ncontent-length: 5\r\n\r\nhello",
        lines.join("\r\n")
    );
    let app = RawApp::start(move |_| vec![Step::send(&text)]).await;
    let config = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{PAGE}",
        redis.url()
    );
    for tier in ["memory", "Redis"] {
        let sidecar = Sidecar::start(&app.url(), &config);
        connected(&sidecar).await;
        until_hit(&sidecar.client(), "/page").await;
        let mut client = RawClient::connect(sidecar.addr()).await;
        client.send(&get("/page", "")).await;
        let head = client.until("hello").await;
        assert_eq!(of_the_app(head.trim_end_matches("hello")), lines, "{tier}");
        eventually("stored in Redis", SHORT, || async {
            !redis.cli(&["KEYS", "*:e:*"]).is_empty()
        })
        .await;
    }
    assert_eq!(app.count(), 1, "the second sidecar has it from Redis");
}

const SHORT: Duration = Duration::from_secs(30);

async fn connected(sidecar: &Sidecar) {
    let admin = sidecar.admin();
    eventually("Redis is up", SHORT, || async {
        admin.get("/stats").await.value()["redis"]["state"] == "up"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_fields() {
    let ok = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";
    let app = RawApp::start(move |_| vec![Step::send(ok)]).await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let kept = [
        "x-first: 1",
        "x-twice: one",
        "x-twice: two",
        "x-empty: ",
        "x-last: \u{e9}",
    ];
    let lines = [
        kept[0],
        "connection: keep-alive",
        kept[1],
        "keep-alive: timeout=5",
        kept[2],
        "if-none-match: \"1\"",
        kept[3],
        kept[4],
    ];
    for (nth, path) in ["/other", "/page"].into_iter().enumerate() {
        let mut client = RawClient::connect(sidecar.addr()).await;
        client
            .send(&get(path, &format!("{}\r\n", lines.join("\r\n"))))
            .await;
        client.until("ok").await;
        let request = app.request(nth);
        let mut sent = fields(&request);
        sent.retain(|line| line.starts_with("x-") && !line.starts_with("x-forwarded"));
        assert_eq!(sent, kept, "{path}: {request}");
    }
}

/// What the app's side says of itself stays; of this cache nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_cache_is_stored() {
    let app = RawApp::start(|_| {
        vec![Step::send(
            "HTTP/1.1 200 OK\r\nAge: 3\r\nVia: 1.1 edge\r\nCache-Status: edge; hit\r\n\
             Content-Length: 5\r\n\r\nhello",
        )]
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    let client = sidecar.client();
    until_hit(&client, "/page").await;
    for _ in 0..3 {
        let hit = client.get("/page").await;
        let all = |name: &str| -> Vec<String> {
            let lines = hit.headers.get_all(name).iter();
            lines.map(|line| line.to_str().unwrap().into()).collect()
        };
        assert_eq!(all("via"), ["1.1 edge"]);
        assert_eq!(all("cache-status")[0], "edge; hit");
        assert_eq!(all("cache-status").len(), 2);
        let ages: Vec<u64> = all("age").iter().map(|age| age.parse().unwrap()).collect();
        assert!(ages.len() == 1 && ages[0] >= 3, "{ages:?}");
    }
}

/// The 304's cookie is for who caused the validation, and for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_comes_with_a_304_goes_to_its_requester_alone() {
    let app = RawApp::start(|nth| match nth {
        0 => vec![Step::send(
            "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nX-Person: old\r\nContent-Length: 5\r\n\r\nhello",
        )],
        _ => vec![Step::send(
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             Connection: x-hop\r\nX-Hop: 1\r\nX-Person: new\r\n\
             Cache-Control: private=\"x-person, x-hop\"\r\n\r\n",
        )],
    })
    .await;
    let sidecar = Sidecar::start(&app.url(), PAGE);
    until_hit(&sidecar.client(), "/page").await;
    let client = sidecar.client();
    let revalidated = client
        .request("GET", "/page")
        .header("cache-control", "no-cache")
        .send()
        .await;
    assert!(revalidated.cache_status().contains("revalidated"));
    let cookies: Vec<_> = revalidated.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(revalidated.header("x-person"), "new");
    assert_eq!(revalidated.header("x-hop"), "");
    assert_eq!(revalidated.text(), "hello");
    let next = until_hit(&client, "/page").await;
    assert_eq!(
        (next.header("set-cookie"), next.header("x-person")),
        ("", "")
    );
}
