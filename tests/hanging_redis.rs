//! A Redis that hangs is waited for once by a request, whatever it would have asked for (promise I4).
//!
//! Of several requests, most take less than two timeouts, however busy the machine is.

use std::time::Duration;

use pannier::clock;

use crate::auth;
use crate::fleet::connected;
use crate::running::Running;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::slow_line::SlowLine;
use crate::support::{Gate, eventually};

const TIMEOUT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

fn redis(server: &RedisServer) -> String {
    format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"{}ms\"\nbreaker_failures = 1000\n",
        server.url(),
        TIMEOUT.as_millis()
    )
}

fn route(name: &str, ttl: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\npath = \"/{name}/{{id}}\"\nkey = \"{name}:{{path.id}}\"\nttl = \"{ttl}\"\n\
         any_host = true\n{more}\n"
    )
}

/// Before Redis hangs, there is what `prepare` has made.
async fn waits_once<P>(
    case: &str,
    (server, sidecar): (&RedisServer, &Sidecar),
    prepare: impl AsyncFn(usize) -> P,
    ask: impl AsyncFn(usize, P),
) {
    let mut took = Vec::new();
    for nth in 0..30 {
        connected(sidecar).await;
        let prepared = prepare(nth).await;
        server.stop();
        let asked = clock::monotonic();
        ask(nth, prepared).await;
        took.push(clock::monotonic() - asked);
        server.cont();
        // Else it found that the session had ended.
        took.retain(|took| *took >= TIMEOUT);
        if took.len() == 3 {
            break;
        }
    }
    assert_eq!(took.len(), 3, "{case}: hardly any waits");
    took.sort_unstable();
    assert!(took[1] < 2 * TIMEOUT, "{case}: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_waits_once() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    for path in ["/a/1", "/strict/1"] {
        for method in ["GET", "HEAD"] {
            app.on(method, path, |_| Answer::text("x").header("etag", "\"1\""));
        }
        app.on("PUT", path, |_| Answer::text("done"));
    }
    let config = [
        redis(&server),
        route("a", "1ms", "tags = [\"all\"]"),
        route("strict", "5m", "coherence = \"strict\""),
        "[[purge]]\nname = \"write\"\npath = \"/a/{id}\"\nkeys = [\"a:{path.id}\", \"strict:*\"]\ntags = [\"all\"]\n"
            .to_owned(),
    ];
    let sidecar = Sidecar::start(&app.url(), &config.concat());
    let client = sidecar.client();
    let store_both = async |_| {
        for stored in ["/a/1", "/strict/1"] {
            assert_eq!(client.get(stored).await.status, 200);
        }
    };
    for (case, method, path) in [
        ("stored in Redis alone", "GET", "/strict/1"),
        ("stale, and validated", "GET", "/a/1"),
        ("its head", "HEAD", "/a/1"),
        ("a write that purges", "PUT", "/a/1"),
    ] {
        let ask = async |_, ()| {
            let answer = client.request(method, path).send().await;
            assert_eq!(answer.status, 200, "{case}");
        };
        waits_once(case, (&server, &sidecar), store_both, ask).await;
    }
}

/// Nor is it waited for when the lease that may have been given is given back.
#[tokio::test(flavor = "multi_thread")]
async fn who_did_not_look_before_asking_for_the_lease_waits_once() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    let config =
        redis(&server) + &route("a", "5m", "") + &route("strict", "5m", "coherence = \"strict\"");
    let sidecar = looking_by_lease(&app, &config);
    let client = sidecar.client();
    for rule in ["a", "strict"] {
        let ask = async |nth, ()| {
            let path = format!("/{rule}/{nth}");
            app.on("GET", &path, |_| Answer::text("x"));
            assert_eq!(client.get(&path).await.text(), "x");
        };
        waits_once(rule, (&server, &sidecar), async |_| {}, ask).await;
    }
}

/// Another sidecar fetches it when Redis begins to hang.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_another_sidecar_waits_for_redis_once() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    let config = redis(&server) + &route("a", "5m", "");
    let [fetches, waits] = [0; 2].map(|_| Sidecar::start(&app.url(), &config));
    connected(&fetches).await;
    let gate = Gate::new();
    let get = |sidecar: &Sidecar, path: &str| {
        let (client, path) = (sidecar.client(), path.to_owned());
        tokio::spawn(async move { client.get(&path).await })
    };
    let admin = waits.admin();
    let prepare = async |nth: usize| {
        let (path, shut) = (format!("/a/{nth}"), gate.clone());
        app.on("GET", &path, move |_| Answer::text("x").behind(&shut));
        connected(&fetches).await;
        let first = get(&fetches, &path);
        gate.reached(2 * nth + 1).await;
        let leases = leases(&admin).await;
        let second = get(&waits, &path);
        eventually("it was refused the lease", LONG, || async {
            self::leases(&admin).await > leases
        })
        .await;
        (first, second)
    };
    let answers = std::cell::RefCell::new(Vec::new());
    let ask = async |nth: usize, (first, second)| {
        gate.reached(2 * nth + 2).await;
        answers.borrow_mut().extend([first, second]);
    };
    waits_once("it waits", (&server, &waits), prepare, ask).await;
    gate.open();
    for answer in answers.into_inner() {
        assert_eq!(answer.await.expect("no panic").text(), "x");
    }
}

/// Nor does who looks again, since the fill that it waited for has come to an answer for its own client alone.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_another_request_waits_once() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    let config = redis(&server) + &route("a", "5m", "");
    let sidecar = looking_by_lease(&app, &config);
    let (admin, gate) = (sidecar.admin(), Gate::new());
    let ask = async |nth, ()| {
        let (path, shut) = (format!("/a/{nth}"), gate.clone());
        gate.shut();
        app.on("GET", &path, move |seen| {
            match seen.header("if-none-match") {
                "" => Answer::text("x"),
                _ => Answer::status(304).behind(&shut),
            }
        });
        let ask = |fields: &'static [(&str, &str)]| {
            let (client, path) = (sidecar.client(), path.clone());
            tokio::spawn(async move { client.get_with(&path, fields).await })
        };
        let first = ask(&[("if-none-match", "\"1\"")]);
        let says = async |line: &str| admin.get("/metrics").await.text().contains(line);
        eventually("its fill begins", LONG, || says("pannier_fills 1")).await;
        let second = ask(&[]);
        eventually("it waits for the first", LONG, || {
            says("pannier_coalesced_waiters 1")
        })
        .await;
        gate.open();
        assert_eq!(first.await.expect("no panic").status, 304);
        assert_eq!(second.await.expect("no panic").text(), "x");
    };
    waits_once("it looks again", (&server, &sidecar), async |_| {}, ask).await;
}

/// Nor does who has waited for Redis wait for one who came later, and has yet to.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_one_who_came_later_waits_once() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    // Nobody else has a place meanwhile.
    let more = "coherence = \"strict\"\nmax_fills = 1";
    let config = redis(&server) + &route("strict", "5m", more);
    let sidecar = looking_by_lease(&app, &config);
    let admin = sidecar.admin();
    let later = std::cell::RefCell::new(Vec::new());
    let ask = async |nth, ()| {
        let path = format!("/strict/{nth}");
        app.on("GET", &path, |_| Answer::text("x"));
        let get = || {
            let (client, path) = (sidecar.client(), path.clone());
            tokio::spawn(async move { client.get(&path).await })
        };
        let first = get();
        eventually("its fill begins", LONG, || async {
            let begins = admin.get("/metrics").await;
            // At once at its end, if the session had ended.
            begins.text().contains("pannier_fills 1") || first.is_finished()
        })
        .await;
        tokio::time::sleep(TIMEOUT / 2).await;
        // It looks, since another one asks for the lease; until then that has been answered, and the third one asks for it.
        let second = get();
        assert_eq!(first.await.expect("no panic").text(), "x");
        later.borrow_mut().push((path.clone(), get()));
        assert_eq!(second.await.expect("no panic").text(), "x");
    };
    let nothing = async |_| {};
    waits_once("it came later", (&server, &sidecar), nothing, ask).await;
    let mut together = 0;
    for (path, third) in later.into_inner() {
        assert_eq!(third.await.expect("no panic").text(), "x");
        together += usize::from(app.count(&path) == 2);
    }
    assert!(together >= 2, "the second and the third ask one by one");
}

fn looking_by_lease(app: &TestApp, config: &str) -> Sidecar {
    let upstream = [("PANNIER_UPSTREAM_URL", &*app.url())];
    Sidecar::start_changed(config, &upstream, |config| {
        let redis = config.redis.as_mut().expect("it is configured");
        redis.looks_by_lease = true;
    })
}

/// How often Redis was asked for a lease.
async fn leases(admin: &Client) -> u64 {
    const NAME: &str = "pannier_redis_duration_seconds_count{command=\"lease\"} ";
    let metrics = admin.get("/metrics").await;
    let mut lines = metrics.text().lines();
    let count = lines.find_map(|line| line.strip_prefix(NAME));
    count.expect("it is there").parse().expect("a number")
}

/// Before the app is asked who it is, Redis is to tell of purges of that; then what they want is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_about_waits_once() {
    let (server, (app, sessions)) = (RedisServer::start(), auth::session_app().await);
    let sidecar = Sidecar::start(&app.url(), &(redis(&server) + auth::CONFIG));
    let client = sidecar.client();
    let prepare = async |nth: usize| {
        let mut sessions = sessions.lock().expect("no test panics under it");
        sessions.insert(format!("new-{nth}"), (nth as u64 + 1, "editor"));
    };
    let ask = async |nth, ()| {
        let reply = auth::get(&client, "/inquiries", &format!("new-{nth}")).await;
        assert_eq!(reply.text(), format!("for user {}, editor", nth + 1));
    };
    waits_once("it is asked about", (&server, &sidecar), &prepare, &ask).await;
    // Who is known is asked about again before what the app has answered meanwhile is theirs.
    let is_known = async |nth| {
        prepare(nth).await;
        let reply = auth::get(&client, "/role", &format!("new-{nth}")).await;
        assert_eq!(reply.text(), "for role editor");
        sidecar.fills_have_ended().await;
    };
    let ask_again = async |nth, ()| {
        let checks = app.count(auth::CHECK);
        ask(nth, ()).await;
        assert!(app.count(auth::CHECK) > checks);
    };
    waits_once("it is known", (&server, &sidecar), is_known, ask_again).await;
}

/// Whoever stops a process does not stop the answers that come to it: what was on its way has not waited.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_stopped_does_not_take_that_for_a_redis_that_hangs() {
    let (server, app) = (RedisServer::start(), TestApp::start().await);
    app.on("PUT", "/a/1", |_| Answer::text("done"));
    let line = SlowLine::to(server.port()).await;
    let config = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"2s\"\n{}[[purge]]\nname = \"write\"\npath = \"/a/{{id}}\"\nkeys = [\"a:{{path.id}}\"]\n",
        line.url(),
        route("a", "5m", "")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pannier.toml");
    std::fs::write(&file, config).expect("a writable folder");
    let file = file.display().to_string();
    let sidecar = Running::start(&["run", "--config", &file], &app.url());
    let (client, admin) = (Client::new(sidecar.proxy), Client::new(sidecar.admin));
    let errors = async || {
        let metrics = admin.get("/metrics").await;
        let text = metrics.text();
        let lines = text.lines().filter(|line| {
            line.starts_with("pannier_redis_errors_total{") && !line.ends_with(" 0")
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("Redis is up", LONG, || async {
        let stats = admin.get("/stats").await.value();
        stats["redis"]["state"] == "up" && stats["redis"]["tracking"] == true
    })
    .await;
    // There is always a question on its way, and so is a purge.
    line.set_delays(300..301);
    let (before, connections) = (errors().await, line.connections());
    for _ in 0..2 {
        let write = client.request("PUT", "/a/1");
        let write = tokio::spawn(async move { write.send().await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        sidecar.signal("-STOP");
        tokio::time::sleep(Duration::from_secs(3)).await;
        sidecar.signal("-CONT");
        let reply = write.await.expect("no panic");
        let status = reply.cache_status();
        assert!(!status.contains("purge-pending"), "{status}");
    }
    assert_eq!(errors().await, before);
    assert_eq!(line.connections(), connections, "it has connected anew");
}
