//! `Cache-Status` (RFC 9211) on real answers: what leads to which parameters.

use std::time::Duration;

use sfv::{BareItem, Item, List, ListEntry, Parser};

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"\n";

type Fields<'a> = &'a [(&'a str, &'a str)];

/// What `stored` may be.
type Claims<'a> = &'a [Option<bool>];

async fn get(client: &Client, path: &str, fields: Fields<'_>) -> Reply {
    let mut request = client.request("GET", path);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send().await
}

/// All members of all lines, which is a List (§2).
fn members(reply: &Reply) -> Vec<Item> {
    let lines = reply.headers.get_all("cache-status").iter();
    let lines: Vec<&[u8]> = lines.map(|line| line.as_bytes()).collect();
    let list: List = Parser::new(&lines.join(&b", "[..]))
        .parse()
        .expect("a List");
    let items = list.into_iter().map(|member| match member {
        ListEntry::Item(item) => item,
        ListEntry::InnerList(_) => panic!("an Inner List"),
    });
    items.collect()
}

/// Pannier's own member: the last, as it is the nearest to the client (§2).
fn own(reply: &Reply) -> Item {
    let member = members(reply).pop().expect("a member");
    let name = member.bare_item.as_token().expect("a Token");
    assert_eq!(name.as_str(), "pannier");
    member
}

fn token<'i>(member: &'i Item, name: &str) -> &'i str {
    let value = member.params.get(name).and_then(|value| value.as_token());
    value.map_or("", |token| token.as_str())
}

fn integer(member: &Item, name: &str) -> Option<i64> {
    let value = member.params.get(name)?.as_integer()?;
    Some(value.into())
}

fn boolean(member: &Item, name: &str) -> Option<bool> {
    member.params.get(name)?.as_boolean()
}

/// §2.1, §2.3 to §2.5.
#[tokio::test(flavor = "multi_thread")]
async fn a_miss_a_hit_and_a_confirmation() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        let status = if seen.header("if-none-match").is_empty() {
            200
        } else {
            304
        };
        Answer::status(status)
            .header("etag", "\"1\"")
            .cache_control("max-age=600")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let miss = own(&get(&client, "/a", &[]).await);
    assert_eq!(token(&miss, "fwd"), "uri-miss");
    assert_eq!(integer(&miss, "fwd-status"), Some(200));
    assert_eq!(boolean(&miss, "stored"), Some(true));
    assert!(
        (500..=600).contains(&integer(&miss, "ttl").expect("of what is stored")),
        "{miss:?}"
    );
    assert!(!miss.params.contains_key("hit") && !miss.params.contains_key("key"));
    eventually("stored", SHORT, || async {
        get(&client, "/a", &[]).await.is_hit()
    })
    .await;
    let hit = own(&get(&client, "/a", &[("if-none-match", "\"1\"")]).await);
    assert_eq!(boolean(&hit, "hit"), Some(true), "a 304 of ours is a hit");
    for absent in ["fwd", "fwd-status", "stored", "collapsed"] {
        assert!(!hit.params.contains_key(absent), "{absent}");
    }
    // §2.2: a fresh response, which the request's semantics forbid to use.
    let confirmed = own(&get(&client, "/a", &[("cache-control", "no-cache")]).await);
    assert_eq!(token(&confirmed, "fwd"), "request");
    assert_eq!(integer(&confirmed, "fwd-status"), Some(304));
    assert_eq!(token(&confirmed, "detail"), "revalidated");
    assert!(integer(&confirmed, "ttl").expect("of what was confirmed") > 500);
}

/// §2.2: the most specific reason, also when the app fails.
#[tokio::test(flavor = "multi_thread")]
async fn why_the_app_was_asked() {
    let app = TestApp::start().await;
    app.on("GET", "/vary", |_| {
        Answer::text("x")
            .cache_control("max-age=600")
            .header("vary", "a")
    });
    app.on("GET", "/stale", |seen| {
        if seen.nth == 0 {
            Answer::text("x")
                .header("etag", "\"1\"")
                .cache_control("max-age=0, stale-if-error=600")
        } else {
            Answer::status(503)
        }
    });
    app.on("GET", "/secret", |_| {
        Answer::text("x").cache_control("no-store")
    });
    app.on("POST", "/secret", |_| Answer::text("x"));
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    eventually("stored", SHORT, || async {
        get(&client, "/vary", &[]).await.is_hit()
    })
    .await;
    let vary = own(&get(&client, "/vary", &[("a", "1")]).await);
    assert_eq!(token(&vary, "fwd"), "vary-miss");

    get(&client, "/stale", &[]).await;
    eventually("the stale one is served", SHORT, || async {
        let failed = get(&client, "/stale", &[]).await;
        token(&own(&failed), "detail") == "stale-if-error"
    })
    .await;
    let failed = own(&get(&client, "/stale", &[]).await);
    assert_eq!(token(&failed, "fwd"), "stale");
    assert!(
        integer(&failed, "ttl") <= Some(0),
        "negative when stale: {failed:?}"
    );

    let secret = own(&get(&client, "/secret", &[]).await);
    assert_eq!(boolean(&secret, "stored"), Some(false));
    assert_eq!(token(&secret, "not-stored"), "no-store");
    assert_eq!(integer(&secret, "ttl"), None, "nothing is kept");
    let written = own(&client.request("POST", "/secret").send().await);
    assert_eq!(token(&written, "fwd"), "method");
    assert_eq!(integer(&written, "fwd-status"), Some(200));

    drop(app);
    let down = own(&get(&client, "/vary", &[("a", "2")]).await);
    assert_eq!(token(&down, "fwd"), "vary-miss");
    assert_eq!(token(&down, "detail"), "upstream-error");
    assert_eq!(integer(&down, "fwd-status"), None, "there was none");
    let only = [("cache-control", "only-if-cached")];
    let refused = get(&client, "/nothing", &only).await;
    assert_eq!(refused.status, 504);
    let refused = own(&refused);
    assert!(!refused.params.contains_key("fwd") && !refused.params.contains_key("hit"));
    assert_eq!(token(&refused, "detail"), "only-if-cached");
}

/// §2: the caches nearer to the app come first, and what they said is kept.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_caches_before_this_one() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x")
            .cache_control("max-age=600")
            .header(
                "cache-status",
                "origin; hit; ttl=1, \"an edge\"; fwd=uri-miss",
            )
            .header("cache-status", "third; fwd=miss")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for hit in [false, true] {
        let mut reply = get(&client, "/a", &[]).await;
        if hit {
            eventually("a hit", SHORT, || async {
                get(&client, "/a", &[]).await.is_hit()
            })
            .await;
            reply = get(&client, "/a", &[]).await;
        }
        let names: Vec<String> = members(&reply)
            .iter()
            .map(|member| match &member.bare_item {
                BareItem::Token(name) => name.as_str().to_owned(),
                BareItem::String(name) => name.as_str().to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["origin", "an edge", "third", "pannier"]);
        assert_eq!(reply.is_hit(), hit);
    }
}

/// §2.7, §6: the key only where the config says so; names that are no Tokens are Strings.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_and_the_rule() {
    let app = TestApp::start().await;
    app.on("GET", "/items/1", |_| Answer::text("x"));
    let rule = "[[route]]\nname = \"1st\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\n";
    for (told, setting) in [(false, ""), (true, "[defaults]\ncache_status_key = true\n")] {
        let sidecar = Sidecar::start(&app.url(), &format!("{setting}{rule}"));
        let client = sidecar.client();
        eventually("a hit", SHORT, || async {
            let reply = get(&client, "/items/1", &[]).await;
            let member = own(&reply);
            let text = |name: &str| {
                let value = member.params.get(name).and_then(|value| value.as_string());
                value.map(|text| text.as_str().to_owned())
            };
            assert_eq!(text("rule").as_deref(), Some("1st"));
            assert_eq!(text("key").as_deref(), told.then_some("item:1"));
            reply.is_hit()
        })
        .await;
    }
}

/// §2.5: freshness left is told in one way. Half a second past its end it is −1, whatever takes the place
/// of an answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_ttl_of_what_is_served_for_a_failure_is_that_of_any_stale_answer() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| match seen.nth {
        0 => Answer::text("good").cache_control("max-age=0, stale-if-error=60"),
        _ => Answer::status(503),
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    get(&client, "/a", &[]).await;
    sidecar.fills_have_ended().await;
    let reply = get(&client, "/a", &[]).await;
    let member = own(&reply);
    assert_eq!(token(&member, "detail"), "stale-if-error");
    let age: i64 = reply.header("age").parse().expect("a number");
    let ttl = integer(&member, "ttl").expect("a ttl");
    // The age is rounded down, and what is past the end up: they meet only on a full second.
    assert!(
        ttl == -age - 1 || ttl == -age && age > 0,
        "age {age}, ttl {ttl}"
    );
}

/// Promise I9: what is not stored is counted once, for a client's own fill and for one behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_is_counted_once_whoever_waits_for_it() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| match seen.nth {
        0 => Answer::text("good").cache_control("max-age=0, stale-while-revalidate=60"),
        _ => Answer::text("private").cache_control("no-store"),
    });
    app.on("GET", "/b", |_| Answer::text("b").cache_control("private"));
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    get(&client, "/a", &[]).await;
    sidecar.fills_have_ended().await;
    let stale = own(&get(&client, "/a", &[]).await);
    assert_eq!(token(&stale, "detail"), "stale-while-revalidate");
    get(&client, "/b", &[]).await;
    let admin = sidecar.admin();
    for reason in ["no-store", "private"] {
        let counted = format!("pannier_not_stored_total{{reason=\"{reason}\",rule=\"-\"}} 1");
        eventually(&counted, SHORT, || async {
            let metrics = admin.get("/metrics").await;
            metrics.text().lines().any(|line| line == counted)
        })
        .await;
    }
}

/// §2.5: `stored` is said of what is in the store when the head leaves, `stored=?0` of what is known not to
/// come into it, and neither of what is yet to be seen; log and metrics tell the rest, in the same word.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_be_stored_that_is_not() {
    const SMALL: &str = "[memory]\nmax = \"0B\"\n";
    const TAGGED: &str = "[[route]]\nname = \"r\"\npath = \"/a\"\ntags = [\"t:{response.id}\"]\n";
    const CAPPED: &str = "[[route]]\nname = \"r\"\npath = \"/a\"\nmax_body = \"2KiB\"\n";
    const PLAIN: &str = "[[route]]\nname = \"r\"\npath = \"/a\"\n";
    #[rustfmt::skip]
    let rows: &[(&str, String, usize, Claims, &str)] = &[
        ("nothing against it", PLAIN.into(), 10, &[Some(true)], ""),
        ("no tier", format!("{PLAIN}{SMALL}"), 10, &[Some(false)], "budget-full"),
        ("no tag", TAGGED.into(), 10, &[Some(false)], "missing-tag"),
        ("too long, as it says", CAPPED.into(), 5000, &[Some(false)], "too-large"),
        ("too long for the tier", format!("{PLAIN}max_body = \"1MiB\"\n[memory]\nmax = \"64KiB\"\n"), 500_000,
            &[None, Some(false)], "too-large"),
    ];
    for (name, tables, length, claims, reason) in rows {
        let app = TestApp::start().await;
        let length = *length;
        app.on("GET", "/a", move |_| Answer::text("x".repeat(length)));
        let sidecar = Sidecar::start(&app.url(), tables);
        let reply = get(&sidecar.client(), "/a", &[]).await;
        let told = own(&reply);
        assert!(
            claims.contains(&boolean(&told, "stored")),
            "{name}: {told:?}"
        );
        sidecar.fills_have_ended().await;
        let metrics = sidecar.admin().get("/metrics").await;
        let counted = format!("pannier_not_stored_total{{reason=\"{reason}\",rule=\"r\"}} 1");
        assert_eq!(
            metrics.text().contains(&counted),
            !reason.is_empty(),
            "{name}"
        );
        let again = get(&sidecar.client(), "/a", &[]).await;
        assert_eq!(again.is_hit(), reason.is_empty(), "{name}");
    }
}

/// What is yet to come may exceed the cap, or break off: nothing is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_body_that_is_still_to_come_nothing_is_said() {
    let app = TestApp::start().await;
    let bodies = std::sync::Mutex::new(Vec::new());
    let bodies = std::sync::Arc::new(bodies);
    let kept = bodies.clone();
    app.on("GET", "/a", move |_| {
        let (answer, body) = Answer::piecewise();
        kept.lock().expect("nobody panics").push(body);
        answer
    });
    let route = "[[route]]\nname = \"r\"\npath = \"/a\"\nmax_body = \"1KiB\"\n";
    let sidecar = Sidecar::start(&app.url(), route);
    let client = sidecar.client();
    let asked = tokio::spawn(async move { get(&client, "/a", &[]).await });
    eventually("the app is asked", SHORT, || async { app.count("/a") == 1 }).await;
    let body = bodies.lock().expect("nobody panics").pop().expect("one");
    body.send(Ok("x".repeat(5000).into())).expect("it is read");
    drop(body);
    let told = own(&asked.await.expect("an answer"));
    assert_ne!(boolean(&told, "stored"), Some(true), "{told:?}");
    sidecar.fills_have_ended().await;
    let metrics = sidecar.admin().get("/metrics").await;
    let counted = "pannier_not_stored_total{reason=\"too-large\",rule=\"r\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}
