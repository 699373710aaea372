//! Cache groups (RFC 9875), as clients and apps see them: what goes with what, and what a fill that
//! was overtaken leaves behind (I3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"\n";

const GROUPS: &str = "cache-groups";
const INVALIDATION: &str = "cache-group-invalidation";

type Fields<'a> = &'a [(&'a str, &'a str)];

/// An answer that is fresh for long, in the groups `field` names.
fn grouped(text: &str, field: &str) -> Answer {
    Answer::text(text)
        .cache_control("max-age=600")
        .header(GROUPS, field)
}

/// `/a` and `/ab` in group a, `/b` in group b and `/ab`'s other, `/none` in none.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    let groups = [("/a", r#""a""#), ("/ab", r#""b", "a""#), ("/b", r#""b""#)];
    for (path, field) in groups {
        app.on("GET", path, |seen| grouped(&seen.nth.to_string(), field));
    }
    app.on("GET", "/none", |_| {
        Answer::text("none").cache_control("max-age=600")
    });
    app
}

const PATHS: [&str; 4] = ["/a", "/ab", "/b", "/none"];

/// `POST /write` answers so.
fn on_write(app: &TestApp, status: u16, field: &'static str) {
    app.on("POST", "/write", move |_| {
        Answer::status(status).header(INVALIDATION, field)
    });
}

async fn write(client: &Client) {
    client.request("POST", "/write").send().await;
}

async fn warm(client: &Client, paths: &[&str]) {
    for path in paths {
        eventually(path, SHORT, || async { client.get(path).await.is_hit() }).await;
    }
}

/// To look must not fill.
async fn look(client: &Client, path: &str, fields: Fields<'_>) -> Reply {
    let mut request = client.request("GET", path);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request
        .header("cache-control", "only-if-cached")
        .send()
        .await
}

async fn are_hits(client: &Client, paths: &[&str]) -> Vec<bool> {
    let mut hits = Vec::new();
    for path in paths {
        hits.push(look(client, path, &[]).await.status == 200);
    }
    hits
}

/// RFC 9875 §2.1, §3.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_invalidates_the_groups_that_its_answer_names() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    let nothing = [true; 4];
    #[rustfmt::skip]
    let rows: &[(&str, u16, &'static str, [bool; 4])] = &[
        ("one group", 200, r#""a""#, [false, false, true, true]),
        ("several", 204, r#""x", "b", "a""#, [false, false, false, true]),
        ("parameters are ignored", 200, r#""b";x=1"#, [true, false, false, true]),
        ("after a redirect", 303, r#""b""#, [true, false, false, true]),
        ("whatever the status", 500, r#""b""#, [true, false, false, true]),
        ("one that nothing is in", 200, r#""c""#, nothing),
        ("case counts", 200, r#""A""#, nothing),
        ("no wildcards", 200, r#""*""#, nothing),
        ("a token is no String", 200, "a", nothing),
        ("one that is none spoils all", 200, r#""a", b"#, nothing),
        ("an empty list", 200, "", nothing),
    ];
    for (name, status, field, expected) in rows {
        warm(&client, &PATHS).await;
        on_write(&app, *status, field);
        write(&client).await;
        assert_eq!(are_hits(&client, &PATHS).await, *expected, "{name}");
    }
    warm(&client, &PATHS).await;
    let field = client.get("/a").await.header(GROUPS).to_owned();
    assert_eq!(field, r#""a""#, "it is for the caches behind this one too");
}

/// RFC 9875 §3: ignored on answers to safe methods.
#[tokio::test(flavor = "multi_thread")]
async fn safe_methods_invalidate_no_group() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for method in ["GET", "HEAD", "OPTIONS", "PROPFIND", "BREW", "DELETE"] {
        app.on(method, "/said", |_| {
            Answer::status(200).header(INVALIDATION, r#""a""#)
        });
        warm(&client, &["/a"]).await;
        client.request(method, "/said").send().await;
        let safe = !matches!(method, "BREW" | "DELETE");
        assert_eq!(are_hits(&client, &["/a"]).await, [safe], "{method}");
    }
}

/// RFC 9875 §2.1: two responses of one group share the origin.
#[tokio::test(flavor = "multi_thread")]
async fn groups_end_at_their_origin() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    on_write(&app, 204, r#""a""#);
    let https = ("x-forwarded-proto", "https");
    #[rustfmt::skip]
    let rows: &[(&str, Fields<'_>, bool)] = &[
        ("the same", &[("host", "one.example")], false),
        ("in capitals", &[("host", "ONE.example")], false),
        ("with the scheme's own port", &[("host", "one.example:80")], false),
        ("another host", &[("host", "two.example")], true),
        ("another port", &[("host", "one.example:81")], true),
        ("another scheme", &[("host", "one.example"), https], true),
    ];
    let ours = [("host", "one.example")];
    for (name, fields, kept) in rows {
        client
            .request("GET", "/a")
            .header("host", "one.example")
            .send()
            .await;
        eventually("stored", SHORT, || async {
            look(&client, "/a", &ours).await.status == 200
        })
        .await;
        let mut write = client.request("POST", "/write");
        for (field, value) in *fields {
            write = write.header(field, value);
        }
        write.send().await;
        let found = look(&client, "/a", &ours).await.status == 200;
        assert_eq!(found, *kept, "{name}");
    }
}

/// What a rule shares among all hosts belongs to the groups of each; tags of rules are no groups.
#[tokio::test(flavor = "multi_thread")]
async fn groups_and_the_rules_of_a_config() {
    let app = app().await;
    for path in ["/tagged", "/shared"] {
        app.on("GET", path, |_| grouped("x", r#""a""#));
    }
    app.on("POST", "/tag", |_| Answer::status(204));
    let sidecar = Sidecar::start(
        &app.url(),
        r#"
[[route]]
name = "tagged"
path = "/tagged"
tags = ["b"]
[[route]]
name = "shared"
path = "/shared"
key = "shared"
any_host = true
[[purge]]
name = "by-tag"
path = "/tag"
tags = ["a"]
"#,
    );
    let client = sidecar.client();
    let paths = ["/tagged", "/shared"];
    warm(&client, &paths).await;
    client.request("POST", "/tag").send().await;
    assert_eq!(are_hits(&client, &paths).await, [true, true], "a tag");
    on_write(&app, 204, r#""b""#);
    write(&client).await;
    assert_eq!(are_hits(&client, &paths).await, [true, true], "a group");
    on_write(&app, 204, r#""a""#);
    let elsewhere = client
        .request("POST", "/write")
        .header("host", "two.example");
    elsewhere.send().await;
    assert_eq!(are_hits(&client, &paths).await, [true, false]);
    write(&client).await;
    assert_eq!(are_hits(&client, &paths).await, [false, false]);
}

/// RFC 9875 §2: what more than can be tracked would not be found again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_too_many_groups_is_not_stored() {
    let app = TestApp::start().await;
    for (path, count) in [("/many", 128), ("/more", 129)] {
        let names = (0..count).map(|n| format!("\"group number {n} of this app\""));
        let field = names.collect::<Vec<_>>().join(", ");
        app.on("GET", path, move |_| grouped("x", &field));
    }
    on_write(&app, 204, r#""group number 127 of this app""#);
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    warm(&client, &["/many"]).await;
    for _ in 0..2 {
        let reply = client.get("/more").await;
        assert_eq!(reply.text(), "x");
        let status = reply.cache_status();
        assert!(status.contains("stored=?0"), "{status}");
        assert!(status.ends_with("not-stored=too-many-groups"), "{status}");
    }
    write(&client).await;
    assert_eq!(are_hits(&client, &["/many"]).await, [false]);
}

/// RFC 9875 §2.2.1: what is invalidated takes its groups along, and those take nothing further.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_member_takes_its_groups_along_one_step() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), RFC);
    let client = sidecar.client();
    for (status, expected) in [
        (500, [true, true, true, true]),
        (204, [false, false, true, true]),
    ] {
        app.on("DELETE", "/a", move |_| Answer::status(status));
        warm(&client, &PATHS).await;
        client.request("DELETE", "/a").send().await;
        assert_eq!(are_hits(&client, &PATHS).await, expected, "{status}");
    }
}

/// The client was told of a timeout, and what the app says after it counts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_invalidates_its_groups() {
    let app = app().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("POST", "/write", move |_| {
        Answer::status(204)
            .header(INVALIDATION, r#""a""#)
            .behind(&shut)
    });
    let config = format!("[upstream]\ntimeout = \"300ms\"\n{RFC}");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    assert_eq!(client.request("POST", "/write").send().await.status, 504);
    warm(&client, &["/a", "/none"]).await;
    gate.open();
    eventually("invalidated", SHORT, || async {
        are_hits(&client, &["/a", "/none"]).await == [false, true]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_reach_the_whole_fleet() {
    let redis = RedisServer::start();
    let app = app().await;
    let [left, right] = fleet(&app, &redis).await;
    let (one, two) = (left.client(), right.client());
    let fields = [("host", "app.example")];
    let seen = |client: Client| async move {
        let mut hits = Vec::new();
        for path in PATHS {
            hits.push(look(&client, path, &fields).await.status == 200);
        }
        hits
    };
    let warm = |client: Client| async move {
        for path in PATHS {
            eventually(path, SHORT, || async {
                let get = client.request("GET", path).header("host", "app.example");
                get.send().await.is_hit()
            })
            .await;
        }
    };
    on_write(&app, 204, r#""a""#);
    app.on("DELETE", "/a", |_| Answer::status(204));
    let gone = vec![false, false, true, true];
    for (method, path) in [("POST", "/write"), ("DELETE", "/a")] {
        warm(one.clone()).await;
        if method == "POST" {
            // So that its memory has to be told.
            warm(two.clone()).await;
        }
        let write = one.request(method, path).header("host", "app.example");
        write.send().await;
        assert_eq!(seen(one.clone()).await, gone, "{method}, where it was made");
        eventually("told", SHORT, || async { seen(two.clone()).await == gone }).await;
        // Written through the other one, whose memory need not hold what goes along.
        warm(one.clone()).await;
        let write = two.request(method, path).header("host", "app.example");
        write.send().await;
        assert_eq!(seen(two.clone()).await, gone, "{method}, through the other");
        eventually("told", SHORT, || async { seen(one.clone()).await == gone }).await;
    }
}

/// Two sidecars on one Redis, both connected to it.
async fn fleet(app: &TestApp, redis: &RedisServer) -> [Sidecar; 2] {
    let config = format!(
        r#"
[redis]
url = "{}"
timeout = "10s"
[defaults]
unmatched = "rfc9111"
[[route]]
name = "strict"
path = "/strict"
coherence = "strict"
[[route]]
name = "tagged"
path = "/tagged"
tags = ["x"]
"#,
        redis.url()
    );
    let sidecars = [(); 2].map(|()| Sidecar::start(&app.url(), &config));
    for sidecar in &sidecars {
        let admin = sidecar.admin();
        eventually("Redis is up", SHORT, || async {
            let stats = admin.get("/stats").await.value();
            stats["redis"]["state"] == "up" && stats["redis"]["tracking"] == true
        })
        .await;
    }
    sidecars
}

/// Answers with the version that each write raises.
fn versioned(app: &TestApp, paths: &[&str], gate: &Gate) -> Arc<AtomicUsize> {
    let version = Arc::new(AtomicUsize::new(0));
    for path in paths {
        let (shut, read) = (gate.clone(), version.clone());
        app.on("GET", path, move |_| {
            grouped(&read.load(Ordering::SeqCst).to_string(), r#""a""#).behind(&shut)
        });
    }
    let written = version.clone();
    app.on("POST", "/write", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204).header(INVALIDATION, r#""a""#)
    });
    version
}

fn spawn_get(client: &Client, path: &'static str) -> tokio::task::JoinHandle<Reply> {
    let client = client.clone();
    tokio::spawn(async move {
        let get = client.request("GET", path).header("host", "app.example");
        get.send().await
    })
}

/// Promise I3: groups are known only once the answer is there, also where the rule has no tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtaken_by_a_group_invalidation_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let paths = ["/plain", "/tagged"];
    let gate = Gate::new();
    let version = versioned(&app, &paths, &gate);
    let config = format!("{RFC}[[route]]\nname = \"t\"\npath = \"/tagged\"\ntags = [\"x\"]\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    let mut reached = 0;
    for path in paths {
        gate.shut();
        let old = version.load(Ordering::SeqCst).to_string();
        let early = spawn_get(&client, path);
        gate.reached(reached + 1).await;
        let write = client.request("POST", "/write");
        write.header("host", "app.example").send().await;
        let new = version.load(Ordering::SeqCst).to_string();
        // A request after the write must not join the fill from before it.
        let late = spawn_get(&client, path);
        gate.reached(reached + 2).await;
        reached += 2;
        gate.open();
        assert_eq!(early.await.expect("no panic").text(), old, "{path}");
        assert_eq!(late.await.expect("no panic").text(), new, "{path}");
        for _ in 0..20 {
            let reply = spawn_get(&client, path).await.expect("no panic");
            assert_eq!(reply.text(), new, "{path}");
        }
    }
}

/// The same across sidecars: a purge by tag finds no lease, as the fill has no tags yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_overtaken_by_a_group_invalidation_elsewhere_leaves_nothing_behind() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    let paths = ["/plain", "/strict", "/tagged"];
    let gate = Gate::new();
    let version = versioned(&app, &paths, &gate);
    let [left, right] = fleet(&app, &redis).await;
    for (turn, path) in paths.into_iter().enumerate() {
        gate.shut();
        let reached = app.seen().iter().filter(|seen| is_read(seen)).count();
        let early = spawn_get(&left.client(), path);
        gate.reached(reached + 1).await;
        let write = right.client().request("POST", "/write");
        write.header("host", "app.example").send().await;
        let new = version.load(Ordering::SeqCst).to_string();
        gate.open();
        let old = early.await.expect("no panic").text().to_owned();
        assert_eq!(old, turn.to_string(), "{path}");
        for client in [right.client(), left.client()] {
            for _ in 0..20 {
                let reply = spawn_get(&client, path).await.expect("no panic");
                assert_eq!(reply.text(), new, "{path}");
            }
        }
    }
}

fn is_read(seen: &Seen) -> bool {
    seen.method == "GET"
}

/// A purge of tags that no answer here can carry makes nobody ask a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_without_tags_is_joined_whatever_tags_are_purged() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    versioned(&app, &["/plain"], &gate);
    app.on("POST", "/tag", |_| Answer::status(204));
    app.on("POST", "/other", |_| {
        Answer::status(204).header(INVALIDATION, r#""a""#)
    });
    let config = format!("{RFC}[[purge]]\nname = \"t\"\npath = \"/tag\"\ntags = [\"x\"]\n");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    let first = spawn_get(&client, "/plain");
    gate.reached(1).await;
    client.request("POST", "/tag").send().await;
    let other = client
        .request("POST", "/other")
        .header("host", "two.example");
    other.send().await;
    let second = spawn_get(&client, "/plain");
    let admin = sidecar.admin();
    eventually("the second one waits", SHORT, || async {
        let metrics = admin.get("/metrics").await;
        metrics.text().contains("pannier_coalesced_waiters 1\n")
    })
    .await;
    gate.open();
    for reply in [first, second] {
        assert_eq!(reply.await.expect("no panic").text(), "0");
    }
    assert_eq!(app.count("/plain"), 1);
}

/// `/page` is stale at once, in group old; the app confirms it as of group new, once `gate` is open,
/// until a write has come.
fn confirming(app: &TestApp, gate: &Gate) {
    let writes = Arc::new(AtomicUsize::new(0));
    let (shut, written) = (gate.clone(), writes.clone());
    app.on("GET", "/page", move |seen| {
        let version = written.load(Ordering::SeqCst);
        if version > 0 || seen.header("if-none-match").is_empty() {
            let age = if version == 0 { 0 } else { 600 };
            return Answer::text(version.to_string())
                .header("etag", &format!("\"{version}\""))
                .cache_control(&format!("max-age={age}"))
                .header(GROUPS, r#""old""#);
        }
        Answer::status(304)
            .cache_control("max-age=600")
            .header(GROUPS, r#""new""#)
            .behind(&shut)
    });
    for group in ["old", "new", "other"] {
        let written = writes.clone();
        app.on("POST", &format!("/{group}"), move |_| {
            written.fetch_add(1, Ordering::SeqCst);
            Answer::status(204).header(INVALIDATION, &format!("\"{group}\""))
        });
    }
}

/// RFC 9111 §4.3.4: a 304 may move what it confirms into other groups.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_may_change_the_groups() {
    for (group, kept) in [("new", false), ("other", true)] {
        let app = TestApp::start().await;
        let gate = Gate::new();
        gate.open();
        confirming(&app, &gate);
        let sidecar = Sidecar::start(&app.url(), RFC);
        let client = sidecar.client();
        client.get("/page").await;
        warm(&client, &["/page"]).await;
        assert!(gate_was_used(&app), "confirmed by a 304");
        let reply = client.get("/page").await;
        assert_eq!(reply.header(GROUPS), r#""new""#);
        client.request("POST", &format!("/{group}")).send().await;
        assert_eq!(are_hits(&client, &["/page"]).await, [kept], "{group}");
    }
}

fn gate_was_used(app: &TestApp) -> bool {
    let conditional = |seen: &Seen| !seen.header("if-none-match").is_empty();
    app.seen().iter().any(conditional)
}

/// Promise I3 for confirmations: neither the groups it was in nor those it is put into were purged
/// while the app was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_overtaken_by_a_group_invalidation_leaves_nothing_behind() {
    let redis = RedisServer::start();
    for group in ["old", "new"] {
        for shared in [false, true] {
            let app = TestApp::start().await;
            let gate = Gate::new();
            confirming(&app, &gate);
            let (reader, writer) = if shared {
                redis.cli(&["FLUSHALL"]);
                let [left, right] = fleet(&app, &redis).await;
                (left, Some(right))
            } else {
                (Sidecar::start(&app.url(), RFC), None)
            };
            let client = reader.client();
            spawn_get(&client, "/page").await.expect("no panic");
            let early = confirmation(&client, &gate).await;
            let path = format!("/{group}");
            let other = writer.as_ref().map(Sidecar::client);
            let write = other.as_ref().unwrap_or(&client).request("POST", &path);
            write.header("host", "app.example").send().await;
            gate.open();
            assert_eq!(early.await.expect("no panic").text(), "0");
            for _ in 0..20 {
                let reply = spawn_get(&client, "/page").await.expect("no panic");
                assert_eq!(reply.text(), "1", "{group}, shared: {shared}");
            }
        }
    }
}

/// A request whose confirmation waits at the gate. The answer before may still be on its way into the
/// store, and then is asked for anew.
async fn confirmation(client: &Client, gate: &Gate) -> tokio::task::JoinHandle<Reply> {
    loop {
        let mut asked = spawn_get(client, "/page");
        tokio::select! {
            () = gate.reached(1) => return asked,
            _ = &mut asked => {}
        }
    }
}
