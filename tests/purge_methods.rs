//! `PURGE` and `BAN` on the proxy's own port.

use std::time::Duration;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, TOKEN};

const SHORT: Duration = Duration::from_secs(30);

const ROUTES: &str = r#"
[defaults]
tag_fields = ["xkey"]
[[route]]
name = "own"
path = "/own/{id}"
key = "own:{path.id}:{header.authorization}"
[[route]]
name = "page"
path = "/page/{id}"
key = "page:{path.id}:{query.lang|en}"
stale_while_revalidate = "10m"
"#;

const ON: &str = "[admin]\npurge_methods = true\n";

const ANNE: (&str, &str) = ("authorization", "Bearer anne");
const BERT: (&str, &str) = ("authorization", "Bearer bert");

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/page/1", "/page/2", "/own/1"] {
        app.on("GET", path, move |seen| {
            let tag = path.replace('/', "");
            Answer::text(seen.nth.to_string())
                .header("xkey", &tag)
                .header("vary", "accept")
        });
    }
    for method in ["PURGE", "BAN"] {
        app.on(method, "/page/1", |_| Answer::text("the app's own"));
    }
    app
}

async fn fill(client: &Client, path: &str, fields: &[(&str, &str)]) {
    eventually(path, SHORT, || async {
        client.get_with(path, fields).await.is_hit()
    })
    .await;
}

async fn holds(client: &Client, path: &str, fields: &[(&str, &str)]) -> bool {
    let look = [fields, &[("cache-control", "only-if-cached")]].concat();
    client.get_with(path, &look).await.status == 200
}

async fn send(client: &Client, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let request = client.request(method, path).header("pannier-token", TOKEN);
    let add = |request: crate::support::client::Outgoing, (name, value): &(&str, &str)| {
        request.header(name, value)
    };
    fields.iter().fold(request, add).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_a_url_in_all_its_variants_whoever_asked() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), &format!("{ROUTES}{ON}"));
    let client = sidecar.client();
    let variants: [&[(&str, &str)]; 2] = [&[("accept", "a/a")], &[("accept", "b/b")]];
    for fields in variants {
        fill(&client, "/page/1", fields).await;
    }
    fill(&client, "/page/2", &[]).await;
    for who in [ANNE, BERT] {
        fill(&client, "/own/1", &[who]).await;
    }
    let reply = send(&client, "PURGE", "/page/1", &[]).await;
    assert_eq!(
        (reply.status.as_u16(), reply.value()["pending"].as_bool()),
        (200, Some(false))
    );
    assert_eq!(
        reply.value()["purged"]["memory"],
        1,
        "one key with two variants"
    );
    assert_eq!(reply.cache_status(), "pannier; detail=purge-method");
    for fields in variants {
        assert!(!holds(&client, "/page/1", fields).await);
    }
    assert!(holds(&client, "/page/2", &[]).await);
    // Whoever sends it is not whom it is about.
    let reply = send(&client, "PURGE", "/own/1", &[ANNE]).await;
    assert_eq!(reply.value()["purged"]["memory"], 2);
    for who in [ANNE, BERT] {
        assert!(!holds(&client, "/own/1", &[who]).await, "{who:?}");
    }
    assert_eq!(
        app.seen()
            .iter()
            .filter(|seen| seen.method == "PURGE")
            .count(),
        0
    );
    assert_eq!(
        send(&client, "PURGE", "/nowhere", &[]).await.status,
        404,
        "no route"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tags_by_patterns_and_softly() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), &format!("{ROUTES}{ON}"));
    let client = sidecar.client();
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], [bool; 2]);
    let rows: [Row<'_>; 5] = [
        ("xkey", "PURGE", &[("xkey", "page2 other")], [true, false]),
        (
            "surrogate-key",
            "PURGE",
            &[("surrogate-key", "page1")],
            [false, true],
        ),
        (
            "a pattern",
            "BAN",
            &[("ban-keys", "page:2:*")],
            [true, false],
        ),
        (
            "two patterns",
            "BAN",
            &[("ban-keys", "page:1:*"), ("ban-keys", "page:2:*")],
            [false, false],
        ),
        (
            "no key has it",
            "BAN",
            &[("ban-keys", "page:3*")],
            [true, true],
        ),
    ];
    for (name, method, fields, expected) in rows {
        for path in ["/page/1", "/page/2"] {
            fill(&client, path, &[]).await;
        }
        let reply = send(&client, method, "/page/1", fields).await;
        assert_eq!(reply.status, 200, "{name}");
        for (path, expected) in ["/page/1", "/page/2"].into_iter().zip(expected) {
            assert_eq!(holds(&client, path, &[]).await, expected, "{name}: {path}");
        }
    }
    for soft in ["soft-purge", "fastly-soft-purge"] {
        eventually("it is fresh", SHORT, || async {
            client
                .get("/page/1")
                .await
                .cache_status()
                .contains("detail=hit")
        })
        .await;
        send(&client, "PURGE", "/page/1", &[(soft, "1")]).await;
        let status = client.get("/page/1").await.cache_status().to_owned();
        assert!(
            status.contains("detail=stale-while-revalidate"),
            "{soft}: {status}"
        );
    }
    let many: Vec<String> = (0..1001).map(|number| format!("t{number}")).collect();
    let many = many.join(" ");
    let reply = send(&client, "PURGE", "/page/1", &[("xkey", &many)]).await;
    assert_eq!(reply.status, 400, "too many");
    assert_eq!(
        send(&client, "BAN", "/page/1", &[]).await.status,
        400,
        "no pattern"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_purged_or_forwarded_and_off_it_is_the_apps() {
    let app = app().await;
    let on = Sidecar::start(&app.url(), &format!("{ROUTES}{ON}"));
    let client = on.client();
    fill(&client, "/page/1", &[]).await;
    for method in ["PURGE", "BAN"] {
        for token in ["", "wrong", &TOKEN[1..]] {
            let request = client.request(method, "/page/1").header("ban-keys", "*");
            let reply = request.header("pannier-token", token).send().await;
            assert_eq!(reply.status, 403, "{method} {token}");
            assert!(holds(&client, "/page/1", &[]).await, "{method} {token}");
        }
        let reply = client.request(method, "/page/1").send().await;
        assert_eq!(reply.status, 403, "{method}");
    }
    assert!(app.seen().iter().all(|seen| seen.method == "GET"));
    let off = Sidecar::start(&app.url(), ROUTES);
    let reply = send(&off.client(), "PURGE", "/page/1", &[]).await;
    assert_eq!(reply.text(), "the app's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reaches_redis_and_the_other_sidecars() {
    let redis = RedisServer::start();
    let app = app().await;
    let any_host = ROUTES.replace("[defaults]", "[defaults]\nany_host = true");
    let rules = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n{any_host}{ON}",
        redis.url()
    );
    let (a, b) = (
        Sidecar::start(&app.url(), &rules),
        Sidecar::start(&app.url(), &rules),
    );
    connected(&a).await;
    connected(&b).await;
    fill(&a.client(), "/page/1", &[]).await;
    fill(&b.client(), "/page/1", &[]).await;
    let reply = send(&a.client(), "PURGE", "/page/1", &[]).await;
    assert_eq!(reply.value()["purged"]["redis"], 1);
    eventually("the other's memory is told", SHORT, || async {
        !holds(&b.client(), "/page/1", &[]).await
    })
    .await;
}
