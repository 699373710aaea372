//! Tags that the app itself names, by fields of its answers.

use std::time::Duration;

use serde_json::json;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

const RULES: &str = r#"
[defaults]
any_host = true
tag_fields = ["surrogate-key", "xkey", "cache-tag"]
strip_tag_fields = true
[[group]]
path = "/seen/{*rest}"
strip_tag_fields = false
[[route]]
name = "page"
path = "/page/{id}"
key = "page:{path.id}"
[[route]]
name = "seen"
path = "/seen/{id}"
key = "seen:{path.id}"
[[route]]
name = "untagged"
path = "/untagged/{id}"
key = "untagged:{path.id}"
tag_fields = []
[[purge]]
name = "user"
path = "/users/{id}"
tags = ["user:{path.id}"]
"#;

fn names(text: &str, field: &'static str, tags: &str) -> Answer {
    Answer::text(text).header(field, tags)
}

async fn fill(client: &Client, paths: &[&str]) {
    for path in paths {
        eventually(path, SHORT, || async { client.get(path).await.is_hit() }).await;
    }
}

async fn holds(client: &Client, path: &str) -> bool {
    let look = [("cache-control", "only-if-cached")];
    client.get_with(path, &look).await.status == 200
}

fn says(reply: &Reply, word: &str) -> bool {
    reply.cache_status().contains(word)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_rule_finds_what_the_app_has_named_in_both_tiers() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |_| {
        names("1", "surrogate-key", "all user:7 board:*")
    });
    app.on("GET", "/page/2", |_| names("2", "xkey", "all,user:8"));
    app.on("GET", "/page/3", |_| names("3", "cache-tag", "all, user:7"));
    app.on("GET", "/seen/1", |_| names("4", "surrogate-key", "user:7"));
    app.on("GET", "/untagged/1", |_| {
        names("5", "surrogate-key", "user:7")
    });
    app.on("PUT", "/users/7", |_| Answer::status(204));
    let with_redis = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{RULES}",
        redis.url()
    );
    let a = Sidecar::start(&app.url(), &with_redis);
    let b = Sidecar::start(&app.url(), &with_redis);
    connected(&a).await;
    connected(&b).await;
    let paths = ["/page/1", "/page/2", "/page/3", "/seen/1", "/untagged/1"];
    let (to_a, to_b) = (a.client(), b.client());
    fill(&to_a, &paths).await;
    let reply = to_a.get("/page/1").await;
    assert_eq!(reply.header("surrogate-key"), "", "it is stripped");
    assert_eq!(to_a.get("/page/3").await.header("cache-tag"), "");
    assert_eq!(to_a.get("/seen/1").await.header("surrogate-key"), "user:7");

    to_b.json("PUT", "/users/7", "{}").await;
    let expected = [false, true, false, false, true];
    for (path, expected) in paths.into_iter().zip(expected) {
        assert_eq!(holds(&to_b, path).await, expected, "{path}, in Redis");
        eventually(path, SHORT, || async {
            holds(&to_a, path).await == expected
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_of_the_app_is_no_wildcard_and_tags_are_exact() {
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |_| names("1", "xkey", "user:*"));
    app.on("GET", "/page/2", |_| names("2", "xkey", "user:77"));
    app.on("PUT", "/users/7", |_| Answer::status(204));
    app.on("PUT", "/users/%2A", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    fill(&client, &["/page/1", "/page/2"]).await;
    client.json("PUT", "/users/7", "{}").await;
    assert!(holds(&client, "/page/1").await && holds(&client, "/page/2").await);
    client.json("PUT", "/users/%2A", "{}").await;
    assert!(
        !holds(&client, "/page/1").await,
        "the one with that very value"
    );
    assert!(holds(&client, "/page/2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tags_are_not_stored() {
    let app = TestApp::start().await;
    let tags: Vec<String> = (0..1001).map(|number| format!("t{number}")).collect();
    let (most, more) = (tags[1..].join(" "), tags.join(" "));
    let most_too = most.clone();
    app.on("GET", "/page/1", move |_| names("1", "xkey", &most));
    app.on("GET", "/page/2", move |_| names("2", "xkey", &more));
    app.on("GET", "/page/3", move |_| {
        names("3", "xkey", &"t".repeat(1025))
    });
    // One more by the rule.
    app.on("GET", "/tagged/4", move |_| names("4", "xkey", &most_too));
    let tagged =
        "[[route]]\npath = \"/tagged/{id}\"\nkey = \"tagged:{path.id}\"\ntags = [\"rule\"]\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{RULES}{tagged}"));
    let client = sidecar.client();
    fill(&client, &["/page/1"]).await;
    for path in ["/page/2", "/page/3", "/tagged/4"] {
        let reply = client.get(path).await;
        assert!(
            says(&reply, "not-stored=too-many-tags"),
            "{}",
            reply.cache_status()
        );
        assert!(!holds(&client, path).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_adds_the_tags_that_it_brings_and_so_does_a_head() {
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |seen| match seen.nth {
        0 => names("1", "xkey", "user:1").header("etag", "\"a\""),
        _ => Answer::status(304)
            .header("etag", "\"a\"")
            .header("xkey", "user:2"),
    });
    app.on("HEAD", "/page/1", |_| {
        names("1", "xkey", "user:3")
            .header("etag", "\"a\"")
            .header("cache-control", "max-age=60")
    });
    for path in ["/users/1", "/users/2", "/users/3"] {
        app.on("PUT", path, |_| Answer::status(204));
    }
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    let no_cache = [("cache-control", "no-cache")];
    for (name, method, write) in [
        ("304", "GET", "/users/2"),
        ("HEAD", "HEAD", "/users/3"),
        ("before", "GET", "/users/1"),
    ] {
        // As it came, then confirmed with other tags.
        fill(&client, &["/page/1"]).await;
        let request = client.request(method, "/page/1");
        let reply = request.header(no_cache[0].0, no_cache[0].1).send().await;
        assert_eq!(reply.status, 200, "{name}");
        assert!(holds(&client, "/page/1").await, "{name}");
        client.json("PUT", write, "{}").await;
        assert!(!holds(&client, "/page/1").await, "{name}");
        app.on("GET", "/page/1", |seen| {
            match seen.header("if-none-match") {
                "" => names("1", "xkey", "user:1").header("etag", "\"a\""),
                _ => Answer::status(304)
                    .header("etag", "\"a\"")
                    .header("xkey", "user:2"),
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_a_fill_that_a_purge_by_an_unknown_tag_may_have_overtaken() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/page/1", move |seen| {
        let answer = names(&seen.nth.to_string(), "xkey", "user:7");
        match seen.nth {
            0 => answer.behind(&behind),
            _ => answer,
        }
    });
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.get("/page/1").await }
    });
    gate.reached(1).await;
    let request = sidecar.admin().request("POST", "/purge");
    let request = request.header("authorization", &format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "application/json");
    request
        .body(json!({"tags": ["user:7"]}).to_string())
        .send()
        .await;
    let later = client.get("/page/1").await;
    assert_eq!(later.text(), "1", "{}", later.cache_status());
    gate.open();
    assert_eq!(first.await.expect("no panic").text(), "0");
    sidecar.fills_have_ended().await;
    let last = client.get("/page/1").await;
    assert_eq!(last.text(), "1", "{}", last.cache_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_found_by_its_tags() {
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |seen| match seen.header("range") {
        "" => names("abcdef", "xkey", "user:7").header("etag", "\"a\""),
        _ => Answer::partial("abc")
            .header("content-range", "bytes 0-2/6")
            .header("etag", "\"a\"")
            .header("xkey", "user:7"),
    });
    app.on("PUT", "/users/7", |_| Answer::status(204));
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    let part = [("range", "bytes=0-2"), ("cache-control", "only-if-cached")];
    eventually("the part is stored", SHORT, || async {
        client.get_with("/page/1", &part[..1]).await;
        client.get_with("/page/1", &part).await.status == 206
    })
    .await;
    client.json("PUT", "/users/7", "{}").await;
    assert_eq!(client.get_with("/page/1", &part).await.status, 504);
}

const WRITES: &str = r#"
[defaults]
any_host = true
tag_fields = ["surrogate-key"]
purge_fields = ["surrogate-purge", "x-purge"]
[[route]]
name = "page"
path = "/page/{id}"
key = "page:{path.id}"
stale_while_revalidate = "10m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_write_names_what_it_purges() {
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |_| names("1", "surrogate-key", "user:7"));
    app.on("GET", "/page/2", |_| {
        names("2", "surrogate-key", "user:8,9")
    });
    app.on("GET", "/page/3", |_| names("3", "surrogate-key", "other"));
    app.on("GET", "/read", |_| names("r", "surrogate-purge", "other"));
    app.on("POST", "/one", |_| {
        names("w", "surrogate-purge", "user:7 unknown")
    });
    app.on("POST", "/comma", |_| names("w", "x-purge", "user:8,9"));
    app.on("POST", "/failed", |_| {
        names("w", "surrogate-purge", "other").with_status(500)
    });
    app.on("POST", "/star", |_| names("w", "surrogate-purge", "user:*"));
    let sidecar = Sidecar::start(&app.url(), WRITES);
    let client = sidecar.client();
    let paths = ["/page/1", "/page/2", "/page/3"];
    let rows = [
        ("GET", "/read", [true, true, true]),
        ("POST", "/star", [true, true, true]),
        ("POST", "/one", [false, true, true]),
        ("POST", "/comma", [true, false, true]),
        ("POST", "/failed", [true, true, false]),
    ];
    for (method, path, expected) in rows {
        fill(&client, &paths).await;
        let reply = client.request(method, path).send().await;
        assert_eq!(
            reply.header("surrogate-purge"),
            "",
            "{path}: no client sees it"
        );
        assert_eq!(reply.header("x-purge"), "", "{path}: no client sees it");
        for (page, expected) in paths.into_iter().zip(expected) {
            assert_eq!(holds(&client, page).await, expected, "{path}: {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_write_may_purge_softly_and_more_than_it_can_name() {
    let app = TestApp::start().await;
    app.on("GET", "/page/1", |seen| {
        names(&seen.nth.to_string(), "surrogate-key", "user:7")
    });
    app.on("POST", "/soft", |_| {
        names("w", "surrogate-purge", "user:7").header("soft-purge", "1")
    });
    let many: Vec<String> = (0..1001).map(|number| format!("t{number}")).collect();
    app.on("POST", "/many", move |_| {
        names("w", "surrogate-purge", &many.join(" "))
    });
    let sidecar = Sidecar::start(&app.url(), WRITES);
    let client = sidecar.client();
    fill(&client, &["/page/1"]).await;
    let reply = client.request("POST", "/soft").send().await;
    assert_eq!(reply.header("soft-purge"), "", "no client sees it");
    let reply = client.get("/page/1").await;
    assert!(
        says(&reply, "detail=stale-while-revalidate"),
        "{}",
        reply.cache_status()
    );
    assert_eq!(reply.text(), "0");
    eventually("it is refreshed", SHORT, || async {
        says(&client.get("/page/1").await, "detail=hit")
    })
    .await;
    client.request("POST", "/many").send().await;
    assert!(!holds(&client, "/page/1").await, "all tags there are");
}
