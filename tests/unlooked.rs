//! Rules whose looks in Redis hardly ever find anything: the request for the lease is the look, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

/// Misses after which a rule is one of those (`src/live.rs`), with some to spare; and hits after which it is none.
const MANY: usize = 120;
const SOME: usize = 40;

const RULES: &str = r#"
[[route]]
name = "items"
path = "/items"
key = "item:{query.id}"
any_host = true
ttl = "60s"
[[route]]
name = "briefly"
path = "/briefly"
key = "briefly:{query.id}"
any_host = true
ttl = "1s"
stale_while_revalidate = "60s"
[[purge]]
name = "write"
path = "/items"
keys = ["item:{query.id}"]
"#;

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/items", "/briefly"] {
        app.on("GET", path, |seen| {
            Answer::text(format!("{:?}", seen.query))
        });
    }
    app.on("PUT", "/items", |_| Answer::text("written"));
    app
}

async fn sidecar(app: &TestApp, redis: &RedisServer) -> Sidecar {
    sidecar_that(app, redis, "", false).await
}

async fn sidecar_that(
    app: &TestApp,
    redis: &RedisServer,
    settings: &str,
    looks_by_lease: bool,
) -> Sidecar {
    let toml = format!("{settings}[redis]\nurl = \"{}\"\n{RULES}", redis.url());
    let upstream = [("PANNIER_UPSTREAM_URL", &*app.url())];
    let sidecar = Sidecar::start_changed(&toml, &upstream, |config| {
        config
            .redis
            .as_mut()
            .expect("it is configured")
            .looks_by_lease = looks_by_lease;
    });
    connected(&sidecar).await;
    sidecar
}

/// So many misses of the rule, each stored.
async fn miss_often(sidecar: &Sidecar, path: &str) {
    let (client, own) = (sidecar.client(), sidecar.addr().port());
    for nth in 0..MANY {
        let reply = client.get(&format!("{path}?id=warm-{own}-{nth}")).await;
        assert!(
            reply.cache_status().contains("fwd=uri-miss"),
            "{}",
            reply.cache_status()
        );
    }
    sidecar.fills_have_ended().await;
}

/// How often Redis was looked in, and asked for a lease.
async fn asked(admin: &Client) -> [u64; 2] {
    let metrics = admin.get("/metrics").await;
    ["get", "lease"].map(|command| {
        let name = format!("pannier_redis_duration_seconds_count{{command=\"{command}\"}} ");
        let line = metrics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(&name));
        line.expect("it is there").parse().expect("a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_asks_once_and_what_is_stored_is_found() {
    let (app, redis) = (app().await, RedisServer::start());
    let (a, b) = (sidecar(&app, &redis).await, sidecar(&app, &redis).await);
    miss_often(&a, "/items").await;
    let (client, other, admin) = (a.client(), b.client(), a.admin());
    let [looks, leases] = asked(&admin).await;
    for nth in 0..20 {
        let path = format!("/items?id={nth}");
        let reply = client.get(&path).await;
        assert!(
            reply.cache_status().contains("fwd=uri-miss"),
            "{}",
            reply.cache_status()
        );
        a.fills_have_ended().await;
        assert!(other.get(&path).await.is_hit(), "stored for the fleet");
        assert!(client.get(&path).await.is_hit(), "and in memory");
    }
    assert_eq!(asked(&admin).await, [looks, leases + 20]);
    // Of another rule nothing is known yet.
    client.get("/briefly?id=1").await;
    assert_eq!(asked(&admin).await, [looks + 1, leases + 21]);
    // Where more is found it is looked for first again.
    let asked_app = app.count("/items");
    for nth in 0..SOME {
        let path = format!("/items?id=of-b-{nth}");
        other.get(&path).await;
        b.fills_have_ended().await;
        assert!(client.get(&path).await.is_hit(), "{path}");
    }
    assert_eq!(app.count("/items"), asked_app + SOME);
    let [looks, leases] = asked(&admin).await;
    other.get("/items?id=last").await;
    b.fills_have_ended().await;
    assert!(client.get("/items?id=last").await.is_hit());
    assert_eq!(asked(&admin).await, [looks + 1, leases]);
}

/// The fleet asks the app once, whoever looked and whoever did not.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_did_not_look_wait_for_each_other() {
    let (app, redis) = (app().await, RedisServer::start());
    let (a, b) = (sidecar(&app, &redis).await, sidecar(&app, &redis).await);
    miss_often(&a, "/items").await;
    miss_often(&b, "/items").await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/items", move |_| Answer::text("x").behind(&behind));
    let before = app.count("/items");
    let leading = tokio::spawn({
        let client = a.client();
        async move { client.get("/items?id=cold").await }
    });
    gate.reached(1).await;
    let clients = [a.client(), a.client(), b.client(), b.client()];
    let waiting =
        clients.map(|client| tokio::spawn(async move { client.get("/items?id=cold").await }));
    for admin in [a.admin(), b.admin()] {
        eventually("they wait", LONG, || async {
            let metrics = admin.get("/metrics").await;
            !metrics.text().contains("pannier_coalesced_waiters 0")
        })
        .await;
    }
    gate.open();
    assert_eq!(leading.await.expect("no panic").text(), "x");
    for reply in waiting {
        assert_eq!(reply.await.expect("no panic").text(), "x");
    }
    assert_eq!(app.count("/items"), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_elsewhere_takes_the_lease_of_who_did_not_look() {
    let (app, redis) = (app().await, RedisServer::start());
    let (a, b) = (sidecar(&app, &redis).await, sidecar(&app, &redis).await);
    miss_often(&a, "/items").await;
    let gate = Gate::new();
    let (behind, is_written) = (gate.clone(), Arc::new(AtomicBool::new(false)));
    let written = Arc::clone(&is_written);
    app.on("GET", "/items", move |_| {
        match written.load(Ordering::SeqCst) {
            true => Answer::text("new"),
            false => Answer::text("old").behind(&behind),
        }
    });
    let reading = tokio::spawn({
        let client = a.client();
        async move { client.get("/items?id=1").await }
    });
    gate.reached(1).await;
    is_written.store(true, Ordering::SeqCst);
    b.client().request("PUT", "/items?id=1").send().await;
    gate.open();
    assert_eq!(reading.await.expect("no panic").text(), "old");
    a.fills_have_ended().await;
    for sidecar in [&b, &a] {
        assert_eq!(sidecar.client().get("/items?id=1").await.text(), "new");
    }
}

/// What is stale in Redis answers at once, as for any rule, and is renewed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_found_too() {
    let (app, redis) = (app().await, RedisServer::start());
    let (a, b) = (sidecar(&app, &redis).await, sidecar(&app, &redis).await);
    miss_often(&a, "/briefly").await;
    b.client().get("/briefly?id=1").await;
    b.fills_have_ended().await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/briefly", move |_| {
        Answer::text("new").behind(&behind)
    });
    eventually("it is stale", LONG, || async {
        let reply = b.client().get("/briefly?id=1").await;
        reply.cache_status().contains("ttl=-")
    })
    .await;
    let stale = a.client().get("/briefly?id=1").await;
    assert_eq!(stale.text(), "Some(\"id=1\")", "{}", stale.cache_status());
    gate.open();
}

/// A Redis that hangs is waited for once.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_app_is_asked() {
    let (app, redis) = (app().await, RedisServer::start());
    let a = sidecar(&app, &redis).await;
    miss_often(&a, "/items").await;
    let (client, admin) = (a.client(), a.admin());
    let [looks, leases] = asked(&admin).await;
    redis.stop();
    let reply = client.get("/items?id=1").await;
    assert_eq!(reply.text(), "Some(\"id=1\")");
    assert_eq!(asked(&admin).await, [looks, leases + 1]);
    redis.cont();
    connected(&a).await;
    eventually("it is stored", LONG, || async {
        client.get("/items?id=2").await;
        client.get("/items?id=2").await.is_hit()
    })
    .await;
}

/// What is asked for in turn: of one URL whatever begins without anything stored.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_by_a_rule_that_looks() {
    const WHOLE: &[(&str, &str)] = &[];
    let requests: &[(&str, &[(&str, &str)])] = &[
        ("GET", WHOLE),
        ("HEAD", WHOLE),
        ("GET", &[("range", "bytes=0-3")]),
        ("GET", &[("cache-control", "only-if-cached")]),
        ("GET", &[("cache-control", "no-cache")]),
        ("GET", &[("cache-control", "no-store")]),
        ("GET", &[("if-none-match", "\"1\"")]),
        ("GET", &[("if-none-match", "\"2\"")]),
        ("GET", &[("if-match", "\"2\"")]),
        ("GET", &[("authorization", "Bearer x")]),
        ("GET", &[("cookie", "session=1")]),
        ("GET", &[("accept-language", "de")]),
    ];
    let app = TestApp::start().await;
    app.on("GET", "/items", |seen| {
        let answer = Answer::text(format!(
            "{:?} {}",
            seen.query,
            seen.header("accept-language")
        ));
        let answer = answer
            .header("etag", "\"1\"")
            .header("vary", "Accept-Language");
        match seen.header("if-none-match") == "\"1\"" {
            true => answer.with_status(304),
            false => answer,
        }
    });
    let mut seen = Vec::new();
    for looks_by_lease in [false, true] {
        let redis = RedisServer::start();
        let sidecar = sidecar_that(&app, &redis, "", looks_by_lease).await;
        let (client, mut answers) = (sidecar.client(), Vec::new());
        for (method, fields) in requests {
            for repeated in 0..2 {
                let path = format!("/items?id={method}{fields:?}").replace([' ', '"'], "_");
                let mut request = client.request(method, &path);
                for (name, value) in *fields {
                    request = request.header(name, value);
                }
                let reply = request.send().await;
                sidecar.fills_have_ended().await;
                // What is left of its lifetime depends on where a second begins.
                let parts = reply.cache_status().split("; ");
                let parts = parts.filter(|part| !part.starts_with("ttl="));
                let said = parts.collect::<Vec<_>>().join("; ");
                answers.push((path, repeated, reply.status, reply.body, said));
            }
        }
        seen.push(answers);
    }
    let [looking, not_looking] = &seen[..] else {
        unreachable!("two runs")
    };
    for (expected, found) in looking.iter().zip(not_looking) {
        assert_eq!(found, expected);
    }
}

/// What memory may serve while Redis does not answer is served, and the lease that may stand is given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_leaves_what_memory_holds() {
    let (app, redis) = (app().await, RedisServer::start());
    let staleness = "[defaults]\ncoherence = \"tracked\"\n";
    let a = sidecar_that(&app, &redis, staleness, true).await;
    let (client, admin) = (a.client(), a.admin());
    client.get("/items?id=1").await;
    a.fills_have_ended().await;
    let before = app.count("/items");
    redis.stop();
    // Past `[redis] staleness` memory does not answer by itself.
    eventually("it is served since Redis cannot be asked", LONG, || async {
        let reply = client.get("/items?id=1").await;
        assert!(reply.is_hit(), "{}", reply.cache_status());
        admin.get("/stats").await.value()["redis"]["state"] != "up"
    })
    .await;
    assert_eq!(app.count("/items"), before);
    redis.cont();
}

/// Those who ask for one thing while Redis hangs cost one request, though its rule may fetch no more at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_answered_together_while_redis_hangs() {
    const CROWD: usize = 8;
    let (app, redis) = (app().await, RedisServer::start());
    let a = sidecar_that(&app, &redis, "[defaults]\nmax_fills = 1\n", true).await;
    let gate = Gate::new();
    let behind = gate.clone();
    app.on("GET", "/items", move |_| Answer::text("x").behind(&behind));
    let admin = a.admin();
    redis.stop();
    let asking: Vec<_> = (0..CROWD)
        .map(|_| {
            let client = a.client();
            tokio::spawn(async move { client.get("/items?id=1").await })
        })
        .collect();
    gate.reached(1).await;
    eventually("the others wait", LONG, || async {
        let metrics = admin.get("/metrics").await;
        metrics
            .text()
            .contains(&format!("pannier_coalesced_waiters {}", CROWD - 1))
    })
    .await;
    gate.open();
    for reply in asking {
        assert_eq!(reply.await.expect("no panic").text(), "x");
    }
    assert_eq!(app.count("/items"), 1);
    redis.cont();
}
