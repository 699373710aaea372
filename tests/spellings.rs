//! `[upstream] paths`: spellings that are one to the app are purged together, and none is answered with what another
//! fetched.

use std::time::Duration;

use serde_json::json;

use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::sidecar::{Sidecar, TOKEN};

const LONG: Duration = Duration::from_secs(30);

/// An app that reads many spellings of a path as one: what is stored under any of them goes with a write to any other,
/// by rules and by its own URL, and none is answered with what another fetched.
#[tokio::test(flavor = "multi_thread")]
async fn spellings_that_are_one_to_the_app() {
    const RULES: &str = "[defaults]\nunmatched = \"rfc9111\"\n\
        [[route]]\npath = \"/api/Products/{id}\"\nkey = \"product:{path.id}\"\n\
        [[route]]\npath = \"/feed.json\"\nkey = \"feed\"\n\
        [[purge]]\npath = \"/api/products/{id}\"\nkeys = [\"product:{path.id}\"]\n\
        [[purge]]\npath = \"/publish\"\nkeys = [\"feed\"]\n";
    let reads = [
        "/api/products/aB",
        "/API/PRODUCTS/aB",
        "/api/products/aB.json",
        "/api/products/aB/",
        "/api/Products/aB.JSON/",
        "/plain/x",
        "/PLAIN/x.json",
        "/plain/x/",
    ];
    let app = TestApp::start().await;
    for path in reads.into_iter().chain(["/feed.json"]) {
        app.on("GET", path, move |seen| {
            Answer::text(format!("{path} {}", seen.nth)).cache_control("max-age=600")
        });
    }
    let url = app.url();
    let paths = "{ ignore_case = true, suffixes = [\".json\"], trailing_slash = true }";
    let upstream = format!("[upstream]\nurl = \"{url}\"\npaths = {paths}\n");
    let sidecar = Sidecar::start_with_env(&format!("{upstream}{RULES}"), &[]);
    let client = sidecar.client();
    for (write, product) in [
        ("/api/products/aB", true),
        ("/api/PRODUCTS/aB.json", true),
        ("/API/products/aB/", true),
        ("/plain/x.json", false),
        ("/Plain/X", false),
    ] {
        app.on("PUT", write, |_| Answer::text("ok"));
        warm(&client, &reads).await;
        for path in reads {
            let reply = client.get(path).await;
            assert!(reply.is_hit(), "{path}: {}", reply.cache_status());
            assert!(
                reply.text().starts_with(&format!("{path} ")),
                "{path}: {}",
                reply.text()
            );
        }
        assert_eq!(client.json("PUT", write, "{}").await.status, 200, "{write}");
        let expected = reads.map(|path| path.to_lowercase().starts_with("/api") != product);
        assert_eq!(are_hits(&client, &reads).await, expected, "{write}");
    }
    for (method, path) in [("POST", "/publish"), ("PUT", "/feed")] {
        app.on(method, path, |_| Answer::text("ok"));
        warm(&client, &["/feed.json"]).await;
        client.json(method, path, "{}").await;
        let hits = are_hits(&client, &["/feed.json"]).await;
        assert_eq!(hits, [false], "a rule with a suffix: {path}");
    }
}

/// Rules as apps write paths, such as with a slash at the end: a write in any spelling of their paths purges what they
/// name, and so what is stored for its own URL.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_found_in_any_spelling_of_a_rule() {
    let by_rule = |path: &str| {
        format!(
            "[[route]]\npath = \"/stored\"\nkey = \"user:7\"\n\
             [[purge]]\npath = {path:?}\nkeys = [\"user:{{path.id}}\"]\n"
        )
    };
    let own = "[[route]]\npath = \"/api/users/{id}/\"\n".to_owned();
    let rows: [(String, &str, &[&str]); 5] = [
        (
            own,
            "/api/users/7/",
            &[
                "/api/users/7/",
                "/api/%75sers/7/",
                "/API/users/7/",
                "//api/users/7/",
                "/api/users/%37/",
                "/api/users/7%20/",
                "/api/users/7%0Ax/",
            ],
        ),
        (
            by_rule("/api/users/{id}/"),
            "/stored",
            &[
                "/api/users/7/",
                "/api/users/7",
                "/api/%75sers/7/",
                "//api/users/7",
            ],
        ),
        (
            by_rule("/.api/users/{id}/"),
            "/stored",
            &[
                "/.api/users/7/",
                "/.%61pi/users/7",
                "/%2Eapi/%75sers/7/",
                "/.API//users/7",
            ],
        ),
        (
            by_rule("/@{id}/caf%c3%a9"),
            "/stored",
            &["/@7/caf%C3%A9", "/%407/caf%c3%a9", "/%407/c%61f%C3%A9/"],
        ),
        (
            by_rule("/{{a}}/{id}"),
            "/stored",
            &["/%7Ba%7D/7", "/%7b%61%7d/%37"],
        ),
    ];
    for (rules, read, writes) in rows {
        let app = TestApp::start().await;
        app.on("GET", read, |_| {
            Answer::text("x").cache_control("max-age=600")
        });
        let sidecar = Sidecar::start(&app.url(), &rules);
        let client = sidecar.client();
        for write in writes {
            app.on("PUT", write, |_| Answer::status(204));
            warm(&client, &[read]).await;
            let reply = client.json("PUT", write, "{}").await;
            assert_eq!(reply.status, 204, "{write}");
            assert_eq!(
                are_hits(&client, &[read]).await,
                [false],
                "{write}\n{rules}"
            );
        }
    }
}

/// Ids in hexadecimal digits, which a page, a write, its body, its answer and a tag of the app each have in another case.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_in_any_case() {
    const RULES: &str = r#"
[defaults]
tag_fields = ["surrogate-key"]
[[route]]
path = "/api/Products/{id}"
key = "Product:{path.id}"
[[route]]
path = "/search"
key = "search:{query.id}"
tags = ["Product:{query.id}"]
[[route]]
path = "/page"
key = "page"
[[purge]]
path = "/api/products/{id}"
keys = ["Product:{path.id}"]
tags = ["product:{path.id}"]
[[purge]]
path = "/import"
keys = ["Product:{response.id}", "search:{body.id}"]
"#;
    let app = TestApp::start().await;
    let reads = [
        "/api/Products/AB-CD",
        "/api/products/ab-cd",
        "/search?id=AB-cd",
        "/search?id=ab-cd",
        "/page",
    ];
    for path in [
        "/api/Products/AB-CD",
        "/api/products/ab-cd",
        "/search",
        "/page",
    ] {
        app.on("GET", path, move |seen| {
            let query = seen.query.as_deref().unwrap_or_default();
            let answer = Answer::text(format!("{path} {query}"));
            answer.header(
                "surrogate-key",
                if path == "/page" { "Product:aB-cD" } else { "" },
            )
        });
    }
    let url = app.url();
    let upstream = format!("[upstream]\nurl = \"{url}\"\npaths = {{ ignore_case = true }}\n");
    let sidecar = Sidecar::start_with_env(&format!("{upstream}{RULES}"), &[]);
    let client = sidecar.client();
    let fill = || async {
        warm(&client, &reads).await;
        for path in reads {
            let reply = client.get(path).await;
            let expected = path.replace('?', " ");
            assert_eq!(reply.text().trim_end(), expected, "of another");
        }
    };
    for write in [
        "/api/products/ab-cd",
        "/api/products/AB-CD",
        "/API/products/Ab-cD",
    ] {
        app.on("PUT", write, |_| Answer::status(204));
        fill().await;
        client.json("PUT", write, "{}").await;
        assert_eq!(are_hits(&client, &reads).await, [false; 5], "{write}");
    }
    app.on("POST", "/import", |_| Answer::json(&json!({"id": "Ab-Cd"})));
    fill().await;
    client.json("POST", "/import", r#"{"id": "aB-cD"}"#).await;
    let hits = are_hits(&client, &reads).await;
    assert_eq!(
        hits,
        [false, false, false, false, true],
        "by a body and an answer"
    );
    fill().await;
    let purge =
        r#"{"keys": ["Product:AB-CD"], "patterns": ["SEARCH:A*"], "tags": ["PRODUCT:AB-CD"]}"#;
    let request = sidecar.admin().request("POST", "/purge");
    let request = request
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json");
    assert_eq!(request.body(purge).send().await.status, 200);
    eventually("by an admin", LONG, || async {
        are_hits(&client, &reads).await == [false; 5]
    })
    .await;
}
