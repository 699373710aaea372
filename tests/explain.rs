//! `pannier explain` for what is stored: told by a running sidecar, or read from Redis.

mod by_body;
mod first_hit;
mod log;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, TOKEN};

const SHORT: Duration = Duration::from_secs(30);

const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"\n";

/// Name and value of each field.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// A config file with these tables, for the binary.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn of(tables: &str, token: &str) -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let text =
            format!("{tables}\n[upstream]\nurl = \"http://a\"\n[admin]\ntoken = \"{token}\"\n");
        std::fs::write(folder.path().join("p.toml"), text).expect("a writable folder");
        File { folder }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("p.toml")
    }

    /// What the command prints; fails the test if it fails.
    async fn explain(&self, admin: SocketAddr, arguments: &[&str]) -> String {
        let admin = format!("http://{admin}");
        let mut all = vec!["--admin", &admin];
        all.extend(arguments);
        let (text, succeeded) = run(&self.path(), &all).await;
        assert!(succeeded, "{arguments:?}: {text}");
        text
    }
}

/// What the command prints, and whether it succeeds.
async fn run(file: &Path, arguments: &[&str]) -> (String, bool) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_pannier"))
        .args(["explain", "--config"])
        .arg(file)
        .args(arguments)
        .output()
        .await
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    (text, output.status.success())
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Asks `POST /explain` about a GET of `path`, as a tool of one's own would.
async fn held(sidecar: &Sidecar, path: &str) -> serde_json::Value {
    let wanted = serde_json::json!({
        "method": "GET",
        "target": path,
        "headers": [["host", sidecar.addr().to_string()]],
    });
    let reply = sidecar
        .admin()
        .request("POST", "/explain")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(wanted.to_string())
        .send()
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.value()["held"].clone()
}

/// Fetches `path` and waits until memory holds the answer.
async fn store(sidecar: &Sidecar, path: &str, fields: Fields<'_>) {
    let mut request = sidecar.client().request("GET", path);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    assert_eq!(request.send().await.status, 200);
    eventually("it is stored", SHORT, || async {
        held(sidecar, path).await["memory"] != "nothing"
    })
    .await;
}

fn assert_said(name: &str, said: &str, expected: &[&str]) {
    for expected in expected {
        assert!(said.contains(expected), "{name}: {expected:?} in\n{said}");
    }
}

/// What the sidecar says when it is asked in earnest.
async fn detail(client: &Client, path: &str, fields: Fields<'_>) -> String {
    let mut request = client.request("GET", path);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    let reply = request.send().await;
    let mut parameters = reply.cache_status().split("; ");
    let detail = parameters.find_map(|one| one.strip_prefix("detail="));
    detail.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_explained_and_then_happens() {
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let file = File::of(RFC, TOKEN);
    #[rustfmt::skip]
    let rows: &[(&str, Fields, Fields, &str, &[&str])] = &[
        ("/fresh", &[("cache-control", "max-age=600")], &[], "hit", &[
            "decision:   served from the store (ttl=",
            "it is fresh, and the request takes it [RFC 9111 §4.2]",
            "answer 1 of 1: fresh (status 200, 6 bytes, in memory)",
            "600 s, from max-age in Cache-Control [RFC 9111 §5.2.2.1]",
            "[RFC 9111 §4.2.3]",
        ]),
        ("/stale", &[("cache-control", "max-age=60"), ("age", "100"), ("etag", "\"a\"")], &[], "stale", &[
            "answer 1 of 1: stale",
            "at arrival: 100",
            "would be asked with If-None-Match: \"a\" [RFC 9111 §4.3.1]",
        ]),
        ("/window", &[("cache-control", "max-age=60, stale-while-revalidate=6000"), ("age", "100")], &[],
            "stale-while-revalidate", &[
            "while a refresh runs: it is stale, within its window [RFC 5861 §3]",
            "6000 s past the lifetime, said by the answer",
        ]),
        ("/no-cache", &[("cache-control", "no-cache, max-age=600"), ("etag", "\"a\"")], &[], "no-cache", &[
            "answer 1 of 1: unusable without validation",
            "yes: validated before each use [RFC 9111 §5.2.2.4]",
        ]),
        ("/varies", &[("cache-control", "max-age=600"), ("vary", "accept-language")], &[("accept-language", "en")],
            "vary-miss", &[
            "answer 1 of 1: unusable for this request",
            "no: Vary: accept-language: `de` when stored, `en` now [RFC 9111 §4.1]",
        ]),
        ("/reload", &[("cache-control", "max-age=600")], &[("cache-control", "no-cache")], "request-directive", &[
            "no-cache: refuses whatever is not validated for it [RFC 9111 §5.2.1.4, §5.4]",
        ]),
    ];
    let client = sidecar.client();
    for (path, answer, asked_with, reason, expected) in rows {
        let fields: Vec<(String, String)> = answer
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        app.on("GET", path, move |_| {
            let answer = Answer::text("secret");
            fields
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(name, value))
        });
        store(&sidecar, path, &[("accept-language", "de")]).await;
        let url = format!("http://{}{path}", sidecar.addr());
        let headers: Vec<String> = asked_with
            .iter()
            .map(|(name, value)| format!("-H{name}: {value}"))
            .collect();
        let mut arguments: Vec<&str> = headers.iter().map(String::as_str).collect();
        arguments.push(&url);
        let asked = app.count(path);
        let said = file.explain(sidecar.admin_addr(), &arguments).await;
        assert_said(path, &said, expected);
        assert_said(path, &said, &[&format!("reason:     {reason}\n")]);
        assert_said(path, &said, &["told by:    the running sidecar at http://"]);
        assert!(!said.contains("another config"), "{path}: {said}");
        assert!(!said.contains("secret"), "a body is shown: {said}");
        assert_eq!(app.count(path), asked, "{path}: the app was asked");
        assert_eq!(detail(&client, path, asked_with).await, *reason, "{path}");
    }
    let url = format!("http://{}/never", sidecar.addr());
    let said = file.explain(sidecar.admin_addr(), &["GET", &url]).await;
    assert_said(
        "/never",
        &said,
        &[
            "memory:     holds nothing",
            "redis:      there is none",
            "reason:     miss\n",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_ever_shown() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("secret-body")
            .cache_control("public, max-age=600")
            .header("vary", "authorization, cookie, x-key")
            .header("x-person", "secret-field")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let file = File::of(RFC, TOKEN);
    let fields = [
        ("authorization", "Bearer secret-a"),
        ("cookie", "s=secret-a"),
        ("x-key", "secret-a"),
    ];
    store(&sidecar, "/a", &fields).await;
    let url = format!("http://{}/a", sidecar.addr());
    let with = |one: &str| {
        [
            format!("-Hauthorization: Bearer secret-{one}"),
            format!("-Hcookie: s=secret-{one}"),
            format!("-Hx-key: secret-{one}"),
        ]
    };
    for (one, expected) in [("a", "RFC 9111 §3.5"), ("b", "another value")] {
        let headers = with(one);
        let mut arguments: Vec<&str> = headers.iter().map(String::as_str).collect();
        arguments.push(&url);
        for form in [&[][..], &["--json"]] {
            arguments.extend(form);
            let said = file.explain(sidecar.admin_addr(), &arguments).await;
            assert_said(one, &said, &[expected, "identity"]);
            assert!(!said.contains("secret"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_read_where_no_sidecar_answers() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=600")
    });
    let mut redis = RedisServer::start();
    let tables = format!("{RFC}[redis]\nurl = \"{}\"\n", redis.url());
    let sidecar = Sidecar::start(&app.url(), &tables);
    // A connection that is made empties memory.
    connected(&sidecar).await;
    let file = File::of(&tables, TOKEN);
    eventually("both tiers hold it", SHORT, || async {
        sidecar.client().get("/a").await;
        let held = held(&sidecar, "/a").await;
        held["memory"]["holds"] == 1 && held["redis"]["holds"] == 1
    })
    .await;
    let url = format!("http://{}/a", sidecar.addr());
    let said = file.explain(sidecar.admin_addr(), &[&url]).await;
    assert_said(
        "with a sidecar",
        &said,
        &[
            "memory:     holds 1 answer",
            "redis:      holds 1 answer",
            "in memory and Redis",
        ],
    );

    sidecar.stop();
    let said = file.explain(nobody(), &[&url]).await;
    assert_said(
        "without",
        &said,
        &[
            "was asked in vain: nobody answers there",
            "told by:    Redis itself; no sidecar's memory was looked into",
            "memory:     there is none",
            "redis:      holds 1 answer",
            "reason:     hit\n",
            "answer 1 of 1: fresh (status 200, 1 bytes, in Redis)",
        ],
    );

    redis.kill();
    let said = file.explain(nobody(), &[&url]).await;
    assert_said(
        "without Redis either",
        &said,
        &["Redis does not answer within 3 s, so what is stored is not known"],
    );
}

/// Memory has not heard of Redis for too long: what is said is what happens.
#[tokio::test(flavor = "multi_thread")]
async fn what_memory_may_not_serve_in_an_outage_is_explained() {
    let app = TestApp::start().await;
    for path in ["/a", "/b"] {
        app.on("GET", path, |_| Answer::text("x").header("etag", "\"1\""));
    }
    let mut redis = RedisServer::start();
    let route = |name: &str, outage: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nkey = \"{name}\"\nttl = \"5m\"\nany_host = true\n\
             outage = \"{outage}\"\nstale_if_error = \"10m\"\n"
        )
    };
    let tables = format!(
        "[redis]\nurl = \"{}\"\nstaleness = \"500ms\"\n{}{}",
        redis.url(),
        route("a", "pass"),
        route("b", "serve")
    );
    let sidecar = Sidecar::start(&app.url(), &tables);
    connected(&sidecar).await;
    let file = File::of(&tables, TOKEN);
    let client = sidecar.client();
    // Asked for each time: while Redis is there, a connection that is made anew empties memory.
    let said_of = async |path: &str, word: &str| {
        client.get(path).await;
        held(&sidecar, path).await["memory"][word] == 1
    };
    eventually("memory holds it", SHORT, || async {
        said_of("/a", "holds").await && said_of("/b", "holds").await
    })
    .await;
    redis.kill();
    eventually("memory may not serve it", SHORT, || async {
        said_of("/a", "unconfirmed").await && said_of("/b", "holds").await
    })
    .await;
    let explain = async |path: &str| {
        let url = format!("http://{}{path}", sidecar.addr());
        file.explain(sidecar.admin_addr(), &[&url]).await
    };
    assert_said(
        "passes",
        &explain("/a").await,
        &[
            "memory:     holds 1, for the app to confirm: it has not heard of Redis for redis.staleness",
            "redis:      does not answer",
            "decision:   the app is asked whether it still holds: it may have been purged without a word; should the \
             app fail, it is served nevertheless [redis.staleness]",
            "reason:     stale",
            "answer 1 of 1: fresh",
        ],
    );
    assert_said("serves", &explain("/b").await, &["reason:     hit"]);
    let answers = [client.get("/a").await, client.get("/b").await];
    assert!(answers[0].cache_status().contains("fwd=stale"));
    assert!(answers[1].is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_knows_the_plan_alone_is_explained() {
    let file = File::of(RFC, TOKEN);
    let said = file.explain(nobody(), &["-X", "HEAD", "http://h/a"]).await;
    assert_said(
        "nobody",
        &said,
        &[
            "request:  HEAD /a for host h",
            "nobody answers there",
            "there is no [redis] to look into, so what is stored is not known",
        ],
    );
    let (said, succeeded) = run(&file.path(), &["--offline", "http://h/a"]).await;
    assert!(succeeded, "{said}");
    assert_said("offline", &said, &["key:      h/a"]);
    assert!(!said.contains("what is stored"), "{said}");

    let (said, succeeded) = run(&file.path(), &["-X", "GET", "HEAD", "/a"]).await;
    assert!(!succeeded, "{said}");
    assert_said("two methods", &said, &["give the method once"]);
    let (said, succeeded) = run(&file.path(), &["--admin", "ftp://h:1", "/a"]).await;
    assert!(!succeeded, "{said}");
    assert_said("no ftp there", &said, &["only http and https"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_bearer_of_the_token_is_told() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=600")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    let url = format!("http://{}/a", sidecar.addr());
    let said = File::of(RFC, "another-token-of-no-use")
        .explain(sidecar.admin_addr(), &[&url])
        .await;
    assert_said(
        "wrong token",
        &said,
        &["it refuses (401 Unauthorized): needs the field Authorization: Bearer TOKEN"],
    );
    assert!(!said.contains("token-of-the-tests"), "{said}");

    let right = format!("Bearer {TOKEN}");
    let (json, body) = (
        "application/json",
        r#"{"method":"GET","target":"/a","headers":[["host","a"]]}"#,
    );
    #[rustfmt::skip]
    let rows: &[(&str, &str, Fields, &str, u16)] = &[
        ("no token", "POST", &[("content-type", json)], body, 401),
        ("wrong token", "POST", &[("content-type", json), ("authorization", "Bearer no")], body, 401),
        ("foreign host, no token", "POST", &[("content-type", json), ("host", "evil")], body, 421),
        ("from a page", "POST", &[("content-type", json), ("authorization", &right), ("origin", "http://evil")], body, 403),
        ("a form", "POST", &[("content-type", "text/plain"), ("authorization", &right)], body, 415),
        ("no request", "POST", &[("content-type", json), ("authorization", &right)], "{}", 400),
        ("by GET", "GET", &[("authorization", &right)], "", 405),
        ("right", "POST", &[("content-type", json), ("authorization", &right)], body, 200),
    ];
    for (name, method, fields, body, status) in rows {
        let mut request = sidecar.admin().request(method, "/explain");
        for (field, value) in *fields {
            request = request.header(field, value);
        }
        let reply = request.body(*body).send().await;
        assert_eq!(reply.status.as_u16(), *status, "{name}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), "no-store", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_config_of_the_running_sidecar_is_told() {
    let rules = |ttl: &str| {
        format!(
            "[[route]]\nname = \"a\"\npath = \"/a\"\nkey = \"a\"\nttl = \"{ttl}\"\nshared = true\n"
        )
    };
    let app = TestApp::start().await;
    let sidecar = Sidecar::start(&app.url(), &rules("5m"));
    app.on("GET", "/a", |_| Answer::text("x"));
    store(&sidecar, "/a", &[]).await;
    let url = format!("http://{}/a", sidecar.addr());
    let said = File::of(&rules("1m"), TOKEN)
        .explain(sidecar.admin_addr(), &[&url])
        .await;
    assert_said(
        "ttl",
        &said,
        &[
            "the running sidecar has another config: ttl is 5m there, 1m by the file",
            "lifetime:   300 s, the rule's ttl, as the answer states none [rule: ttl]",
        ],
    );
    let said = File::of("", TOKEN)
        .explain(sidecar.admin_addr(), &[&url])
        .await;
    assert_said(
        "no rule in the file",
        &said,
        &["rule is a there, none by the file", "reason:     hit\n"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_says_the_same() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=600")
    });
    let sidecar = Sidecar::start(&app.url(), RFC);
    store(&sidecar, "/a", &[]).await;
    let url = format!("http://{}/a", sidecar.addr());
    let arguments = ["--json", "-R", "Cache-Control: private", &url];
    let said = File::of(RFC, TOKEN)
        .explain(sidecar.admin_addr(), &arguments)
        .await;
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let held = &said["stored"]["held"];
    assert_eq!(said["plan"][0]["label"], "request", "{said}");
    assert_eq!(held["reason"], "hit", "{said}");
    assert_eq!(held["memory"]["holds"], 1, "{said}");
    assert_eq!(held["variants"][0]["state"], "fresh", "{said}");
    assert_eq!(held["decision"][0]["clause"], "RFC 9111 §4.2", "{said}");
    assert_eq!(said["response"][0]["clause"], "RFC 9111 §5.2.2.7", "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_come_is_judged_by_its_head() {
    let file = File::of(RFC, TOKEN);
    #[rustfmt::skip]
    let rows: &[(&[&str], &str)] = &[
        (&["-R", "Cache-Control: no-store"], "stored:     no (no-store): the answer says no-store [RFC 9111 §5.2.2.5]"),
        (&["-R", "Cache-Control: s-maxage=9"], "lifetime:   9 s, from s-maxage in Cache-Control [RFC 9111 §5.2.2.10]"),
        (&["--status", "500"], "stored:     no (status)"),
        (&["--status", "404", "-R", "Cache-Control: max-age=5"], "stored:     yes, if its body is whole"),
    ];
    for (arguments, expected) in rows {
        let mut all = vec!["--offline"];
        all.extend(*arguments);
        all.push("http://h/a");
        let (said, succeeded) = run(&file.path(), &all).await;
        assert!(succeeded, "{said}");
        assert_said("", &said, &[expected]);
    }
    let (said, succeeded) = run(&file.path(), &["--offline", "--status", "99", "/a"]).await;
    assert!(!succeeded && said.contains("--status 99"), "{said}");
}
