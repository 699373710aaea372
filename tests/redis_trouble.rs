//! A Redis that is wrong from the start, in each way that operators meet: requests go on, and the operator is
//! told once what is wrong, where, and what helps; and once that it is over.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pannier::clock;
use serde_json::Value;

use crate::fleet::connected;
use crate::running::{Running, wait_for};
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::ports::free_port;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::slow_line::SlowLine;
use crate::support::tls::Certificate;

const SHORT: Duration = Duration::from_secs(30);

/// The line that names the trouble, and that of its end.
const TROUBLE: &str = "cannot be used";
const OVER: &str = "is in use";

type Mend = Box<dyn FnOnce(&mut RedisServer, &str) + Send>;

/// One way to be wrong.
struct Trouble {
    case: &'static str,
    /// `[redis] url`.
    url: String,
    /// What the warning names beside the host.
    cause: &'static str,
    remedy: &'static str,
    /// Makes the server well, given the warning; `None`: only another config would.
    mend: Option<Mend>,
    server: Option<RedisServer>,
    is_of_one_node: bool,
}

impl Trouble {
    fn new(case: &'static str, url: String, cause: &'static str, remedy: &'static str) -> Trouble {
        Trouble {
            case,
            url,
            cause,
            remedy,
            mend: None,
            server: None,
            is_of_one_node: false,
        }
    }

    fn mended_by(mut self, mend: impl FnOnce(&mut RedisServer, &str) + Send + 'static) -> Trouble {
        self.mend = Some(Box::new(mend));
        self
    }

    /// What is at the others can be used.
    fn of_one_node(mut self) -> Trouble {
        self.is_of_one_node = true;
        self
    }

    fn keeping(mut self, server: RedisServer) -> Trouble {
        self.server = Some(server);
        self
    }

    fn host(&self) -> &str {
        let place = self.url.split("://").nth(1).unwrap_or_default();
        place.rsplit('@').next().unwrap_or_default()
    }
}

async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("of the app"));
    app
}

fn write_config(folder: &tempfile::TempDir, upstream: &str, url: &str) -> String {
    let file = folder.path().join("pannier.toml");
    let text = format!(
        "[listen]\nworkers = 2\n[upstream]\nurl = \"{upstream}\"\n[redis]\nurl = \"{url}\"\nreconnect_max = \"200ms\"\n"
    );
    std::fs::write(&file, text).expect("a writable folder");
    file.display().to_string()
}

async fn stats(running: &Running) -> Value {
    let admin = Client::new(running.admin);
    admin.get("/stats").await.value()["redis"].clone()
}

async fn has_metric(running: &Running, line: &str) -> bool {
    let metrics = Client::new(running.admin).get("/metrics").await;
    metrics.text().lines().any(|found| found == line)
}

/// The line that says so; the trouble is told no second time before.
fn hear_of_the_end(running: &Running, case: &str) -> String {
    loop {
        let line = running.log.recv_timeout(SHORT).expect(case);
        assert!(!line.contains(TROUBLE), "{case}, a second time: {line}");
        if line.contains(OVER) {
            return line;
        }
    }
}

/// Starts a sidecar with this Redis, and sees what it does and says.
async fn meet(mut trouble: Trouble) {
    let case = trouble.case;
    let app = app().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = write_config(&folder, &app.url(), &trouble.url);
    let running = Running::start(&["run", "--config", &file], &app.url());
    let client = Client::new(running.proxy);
    assert_eq!(client.get("/a").await.text(), "of the app", "{case}");
    let warning = wait_for(&running.log, TROUBLE);
    assert!(warning.contains("WARN"), "{case}: {warning}");
    for words in [trouble.host(), trouble.cause, trouble.remedy] {
        assert!(warning.contains(words), "{case}: no {words:?}: {warning}");
    }
    assert!(!warning.contains("Os {") && !warning.contains("Custom {"));
    // What is told may be a second old.
    eventually(case, SHORT, || async {
        let told = stats(&running).await;
        told["cause"].is_string() && told["since"].as_u64() >= Some(1)
    })
    .await;
    let told = stats(&running).await;
    assert_eq!(told["state"], "down", "{case}: {told}");
    let cause = told["cause"].as_str().expect(case);
    assert!(cause.contains(trouble.cause), "{case}: {cause}");
    let of_others = told["shards"]["up"].as_u64().expect(case);
    assert_eq!(of_others > 0, trouble.is_of_one_node, "{case}: {told}");
    let is_open = u8::from(!trouble.is_of_one_node);
    let breaker = format!("pannier_redis_breaker_open {is_open}");
    for line in ["pannier_redis_up 0", &breaker] {
        assert!(has_metric(&running, line).await, "{case}: {line}");
    }
    assert_eq!(client.get("/a").await.text(), "of the app", "{case}");
    let (Some(mend), Some(server)) = (trouble.mend, &mut trouble.server) else {
        return;
    };
    mend(server, &warning);
    let over = hear_of_the_end(&running, case);
    assert!(over.contains("INFO"), "{case}: {over}");
    eventually("it is up", SHORT, || async {
        has_metric(&running, "pannier_redis_up 1").await
            && has_metric(&running, "pannier_redis_breaker_open 0").await
    })
    .await;
    eventually("the stats say so", SHORT, || async {
        let told = stats(&running).await;
        told["state"] == "up" && told["cause"] == Value::Null
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_reached() {
    let (mut gone, plain) = (RedisServer::start(), RedisServer::start());
    gone.kill();
    let (cause, remedy) = ("nothing listens there", "start Redis");
    meet(
        Trouble::new("nothing listens", gone.url(), cause, remedy)
            .mended_by(|server, _| server.restart(Data::Lost))
            .keeping(gone),
    )
    .await;
    let nowhere = "redis://no-such-host.invalid:6379".to_owned();
    meet(Trouble::new(
        "no such name",
        nowhere,
        "cannot be resolved",
        "DNS",
    ))
    .await;
    let url = plain.url().replace("redis://", "rediss://");
    meet(Trouble::new("no TLS there", url, "does not answer", "write redis://").keeping(plain))
        .await;

    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = Certificate::new().write(folder.path());
    let port = free_port().to_string();
    let settings = ["--tls-port", &port, "--tls-auth-clients", "no"];
    let files = [cert, key].map(|file| file.display().to_string());
    let files = [
        ["--tls-cert-file", &files[0]],
        ["--tls-key-file", &files[1]],
        ["--tls-ca-cert-file", &files[0]],
    ];
    let server = RedisServer::start_with(&[&settings[..], &files.concat()].concat());
    let url = format!("redis://localhost:{port}");
    meet(Trouble::new(
        "TLS there",
        url,
        "the connection broke",
        "write rediss://",
    ))
    .await;
    let url = format!("rediss://localhost:{port}");
    meet(Trouble::new("self-signed", url, "self-signed", "[redis] ca_file").keeping(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_the_login() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let url = server.url().replace("redis://", "redis://:wrong@");
    let demand = |server: &RedisServer, password: &str| {
        let command = ["CONFIG", "SET", "requirepass", password];
        server.cli(&[&["--no-auth-warning", "-a", "right"][..], &command].concat());
    };
    meet(
        Trouble::new(
            "wrong password",
            url,
            "wrong password",
            "mend user and password",
        )
        .mended_by(move |server, _| demand(server, "wrong"))
        .keeping(server),
    )
    .await;
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let (cause, remedy) = ("demands a password", "redis://user:password@host");
    meet(
        Trouble::new("no password", server.url(), cause, remedy)
            .mended_by(move |server, _| demand(server, ""))
            .keeping(server),
    )
    .await;
}

/// Each missing right is named, and the remedy grants what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_user_that_lacks_rights() {
    for (case, rights, cause) in [
        ("tracking", "~* +@all -client|tracking", "+client|tracking"),
        ("scripts", "~* +@all -eval -evalsha", "+eval +evalsha"),
        ("in scripts", "~* +@all -hset -zadd", "+hset +zadd"),
        ("lookups", "~* +@all -get -mget", "+get +mget"),
        ("keys", "~other:* +@all", "~{pannier}*"),
    ] {
        let server = RedisServer::start();
        let grant = ["ACL", "SETUSER", "app", "on", ">secret"];
        let rights: Vec<&str> = rights.split(' ').collect();
        server.cli(&[&grant[..], &rights].concat());
        let url = server.url().replace("redis://", "redis://app:secret@");
        let trouble = Trouble::new(case, url, cause, "ACL SETUSER app");
        meet(trouble.mended_by(grant_all).keeping(server)).await;
    }
}

/// As some providers have it.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_commands_are_renamed() {
    let renamed = [
        "--rename-command",
        "TIME",
        "",
        "--rename-command",
        "SCAN",
        "renamed",
    ];
    let server = RedisServer::start_with(&renamed);
    let app = app().await;
    let sidecar = Sidecar::start(
        &app.url(),
        &format!("[redis]\nurl = \"{}\"\n", server.url()),
    );
    let admin = sidecar.admin();
    eventually("it is told which", SHORT, || async {
        let redis = admin.get("/stats").await.value()["redis"].clone();
        let says = |field: &str, words: &str| {
            redis[field]
                .as_str()
                .is_some_and(|text| text.contains(words))
        };
        says("cause", "unknown command: TIME, SCAN") && says("remedy", "rename-command")
    })
    .await;
}

/// Others have all of its memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_of_what_others_have() {
    let server = RedisServer::start();
    let app = app().await;
    let sidecar = Sidecar::start(
        &app.url(),
        &format!(
            "[redis]\nurl = \"{}\"\n[budget]\ncheck_every = \"1s\"\n",
            server.url()
        ),
    );
    connected(&sidecar).await;
    let admin = sidecar.admin();
    let is_nearly_full = async || admin.get("/stats").await.value()["redis"]["nearly_full"] == true;
    assert!(!is_nearly_full().await);
    let used = server.info("used_memory");
    server.cli(&["CONFIG", "SET", "maxmemory", &used]);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("it is told", SHORT, is_nearly_full).await;
}

/// Each node of a cluster has users of its own, and no right is missing on the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_one_node_of_a_cluster_lacks() {
    let [first, second, third] = RedisServer::start_cluster_of_three();
    for node in [&first, &second, &third] {
        node.cli(&[
            "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all",
        ]);
    }
    third.cli(&["ACL", "SETUSER", "app", "-setrange", "-zadd"]);
    let url = first.cluster_url().replace("://", "://app:secret@");
    let trouble = Trouble::new("one node", url, "+setrange +zadd", "ACL SETUSER app").of_one_node();
    let grant = |node: &mut RedisServer, warning: &str| grant_all(node, warning);
    meet(trouble.mended_by(grant).keeping(third)).await;
}

/// As an operator would, by the warning.
fn grant_all(server: &mut RedisServer, warning: &str) {
    let (_, command) = warning.split_once("in Redis: ").expect("a remedy");
    let (command, _) = command.split_once(". Meanwhile").expect("its end");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(server.cli(&words), "OK", "{command}");
}

/// A right that purges alone need is missed by whoever reads, too, and before anybody writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_missed_at_once() {
    let server = RedisServer::start();
    let app = app().await;
    let config = format!("[redis]\nurl = \"{}\"\n", server.url());
    let sidecar = Sidecar::start(&app.url(), &config);
    for right in ["unlink", "hdel", "zrevrangebylex"] {
        connected(&sidecar).await;
        server.cli(&["ACL", "SETUSER", "default", &format!("-{right}")]);
        let admin = sidecar.admin();
        eventually(right, SHORT, || async {
            let stats = admin.get("/stats").await.value();
            let cause = stats["redis"]["cause"].as_str().unwrap_or_default();
            stats["redis"]["state"] == "down" && cause.contains(&format!("+{right}"))
        })
        .await;
        server.cli(&["ACL", "SETUSER", "default", "+@all"]);
    }
}

/// What a script had stored when a right failed it is in no index: purges by pattern would never find it.
#[tokio::test(flavor = "multi_thread")]
async fn what_scripts_have_left_half_done_is_void() {
    let server = RedisServer::start();
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(0));
    for nth in 0..5 {
        let version = version.clone();
        app.on("GET", &format!("/a/{nth}"), move |_| {
            Answer::text(version.load(Ordering::SeqCst).to_string())
        });
    }
    let written = version.clone();
    app.on("PUT", "/a", move |_| {
        written.fetch_add(1, Ordering::SeqCst);
        Answer::status(204)
    });
    let config = format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n[[route]]\nname = \"a\"\npath = \"/a/{{id}}\"\nkey = \"a:{{path.id}}\"\n\
         ttl = \"5m\"\nany_host = true\ncoherence = \"strict\"\n[[purge]]\nname = \"write\"\npath = \"/a\"\nkeys = [\"a:*\"]\n",
        server.url()
    );
    let sidecars = [0; 2].map(|_| Sidecar::start(&app.url(), &config));
    let clients = [sidecars[0].client(), sidecars[1].client()];
    let read_all = async || {
        for client in &clients {
            for nth in 0..5 {
                assert_eq!(client.get(&format!("/a/{nth}")).await.status, 200);
            }
        }
    };
    for right in ["hlen", "hdel", "hset", "hincrby", "zadd", "zcard", "unlink"] {
        for sidecar in &sidecars {
            connected(sidecar).await;
        }
        read_all().await;
        server.cli(&["ACL", "SETUSER", "default", &format!("-{right}")]);
        assert_eq!(clients[0].request("PUT", "/a").send().await.status, 204);
        eventually(right, SHORT, || async {
            read_all().await;
            let stats = sidecars[1].admin().get("/stats").await.value();
            stats["redis"]["state"] == "down"
        })
        .await;
        server.cli(&["ACL", "SETUSER", "default", "+@all"]);
        for sidecar in &sidecars {
            connected(sidecar).await;
        }
        read_all().await;
        read_all().await;
        assert_eq!(clients[0].request("PUT", "/a").send().await.status, 204);
        let newest = version.load(Ordering::SeqCst).to_string();
        for client in &clients {
            for nth in 0..5 {
                let reply = client.get(&format!("/a/{nth}")).await;
                assert_eq!(reply.text(), newest, "{right}: {}", reply.cache_status());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_more_clients() {
    let server = RedisServer::start();
    let mut only = TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
    server.cli(&["CONFIG", "SET", "maxclients", "1"]);
    let url = server.url();
    let cause = "as many clients as it takes";
    meet(
        Trouble::new("maxclients", url, cause, "raise maxclients")
            .mended_by(move |_, _| {
                only.write_all(b"CONFIG SET maxclients 100\r\n")
                    .expect("open")
            })
            .keeping(server),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_purges() {
    let unwritable = RedisServer::start();
    unwritable.fail_to_save();
    for (case, server, cause, remedy, mend) in [
        (
            "a replica",
            RedisServer::start_with(&["--replicaof", "127.0.0.1 1"]),
            "it is a replica",
            "lead to the primary",
            "REPLICAOF NO ONE",
        ),
        (
            "alone",
            RedisServer::start_with(&["--min-replicas-to-write", "1"]),
            "too few replicas",
            "lower min-replicas-to-write",
            "CONFIG SET min-replicas-to-write 0",
        ),
        (
            "cannot save",
            unwritable,
            "cannot save",
            "mend its disk",
            "CONFIG SET stop-writes-on-bgsave-error no",
        ),
    ] {
        let mend = move |server: &mut RedisServer, _: &str| {
            let words: Vec<&str> = mend.split(' ').collect();
            server.cli(&words);
        };
        let trouble = Trouble::new(case, server.url(), cause, remedy);
        meet(trouble.mended_by(mend).keeping(server)).await;
    }
}

/// The namespace's slot is another node's.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_asked_as_a_single_redis() {
    let node = || {
        let bus = free_port().to_string();
        let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let whole = ["--cluster-require-full-coverage", "no"];
        (
            RedisServer::start_with(&[&settings[..], &whole].concat()),
            bus,
        )
    };
    let ((asked, _), (owner, bus)) = (node(), node());
    let slot = asked.cli(&["CLUSTER", "KEYSLOT", "{pannier}"]);
    owner.cli(&["CLUSTER", "ADDSLOTS", &slot]);
    let port = owner.port().to_string();
    asked.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    eventually("the nodes know each other", SHORT, || async {
        asked.cli(&["GET", "{pannier}"]).starts_with("MOVED")
    })
    .await;
    let (cause, remedy) = ("node of a cluster", "write redis-cluster://");
    meet(
        Trouble::new("moved", asked.url(), cause, remedy)
            .mended_by(move |asked, _| {
                let id = asked.cli(&["CLUSTER", "MYID"]);
                for node in [&owner, &*asked] {
                    node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
                }
            })
            .keeping(asked),
    )
    .await;
}

/// One warning for all connections of the process, and not one for each attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_told_once_and_its_end_once() {
    let mut server = RedisServer::start();
    let app = app().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = write_config(&folder, &app.url(), &server.url());
    let running = Running::start(&["run", "--config", &file], &app.url());
    eventually("up", SHORT, || async {
        stats(&running).await["state"] == "up"
    })
    .await;
    server.kill();
    let warning = wait_for(&running.log, TROUBLE);
    assert!(warning.contains("Connection refused"), "{warning}");
    server.restart(Data::Lost);
    eventually("up again", SHORT, || async {
        stats(&running).await["state"] == "up"
    })
    .await;
    let over = hear_of_the_end(&running, "a loss");
    assert!(over.contains("in use again"), "{over}");
    let rest: Vec<String> = running.log.try_iter().collect();
    assert!(!rest.iter().any(|line| line.contains(TROUBLE)), "{rest:#?}");
    assert!(!rest.iter().any(|line| line.contains(OVER)), "{rest:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_connect_tries_the_app_and_redis() {
    let app = app().await;
    let check = |upstream: &str, url: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = write_config(&folder, upstream, url);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pannier"));
        let output = command.args(["check", "--connect", &file]).output();
        let output = output.expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    };
    let server = RedisServer::start();
    let before = server.cli(&["KEYS", "*:layouts"]);
    let (good, text) = check(&app.url(), &server.url());
    assert!(good, "{text}");
    for expected in ["answers HEAD / with", "can be used", "every right"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(
        server.cli(&["KEYS", "*:layouts"]),
        before,
        "it leaves no trace"
    );

    let grant = ["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"];
    server.cli(&[&grant[..], &["-zadd", "-client|tracking"]].concat());
    let url = server.url().replace("redis://", "redis://app:secret@");
    let (good, text) = check(&app.url(), &url);
    assert!(!good, "{text}");
    let grant = "ACL SETUSER app +client|tracking +zadd";
    assert!(text.contains(grant), "{text}");

    let nowhere = format!("127.0.0.1:{}", free_port());
    let (good, text) = check(&format!("http://{nowhere}"), &format!("redis://{nowhere}"));
    assert!(!good, "{text}");
    let app = format!("cannot connect to the app: {nowhere}: ");
    for expected in [app.as_str(), "Connection refused", "nothing listens there"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// As the README lists them: a fill, a lookup, and a purge that sweeps.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_readme_are_enough() {
    let readme = include_str!("../README.md");
    let (_, command) = readme
        .split_once("ACL SETUSER pannier on")
        .expect("it is there");
    let (command, _) = command.split_once("```").expect("its end");
    let words = ["ACL", "SETUSER", "pannier", "resetkeys", "nocommands", "on"];
    let words: Vec<&str> = words
        .into_iter()
        .chain(command.split_whitespace())
        .collect();
    let server = RedisServer::start();
    assert_eq!(server.cli(&words), "OK", "{command}");
    let app = app().await;
    let url = server
        .url()
        .replace("redis://", "redis://pannier:password@");
    let route = "[[route]]\nname = \"a\"\npath = \"/a\"\nkey = \"a\"\nttl = \"5m\"\nany_host = true\ncoherence = \"strict\"\n";
    let config = format!("[redis]\nurl = \"{url}\"\ntimeout = \"10s\"\n{route}");
    let sidecar = Sidecar::start(&app.url(), &config);
    connected(&sidecar).await;
    let client = sidecar.client();
    eventually("a hit", SHORT, || async { client.get("/a").await.is_hit() }).await;
    let purge = sidecar.admin().request("POST", "/purge");
    let purge = purge.header("authorization", &format!("Bearer {TOKEN}"));
    let purge = purge.header("content-type", "application/json");
    let purged = purge.body(r#"{"everything": true}"#).send().await.value();
    assert_eq!(
        (&purged["purged"]["redis"], &purged["pending"]),
        (&1.into(), &false.into())
    );
    let metrics = sidecar.admin().get("/metrics").await;
    assert!(
        !metrics.text().contains("pannier_redis_errors_total{"),
        "{}",
        metrics.text()
    );
}

/// What memory may no longer serve in an outage, the app may confirm; and where it fails, too, stale is what the rule
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_in_an_outage_is_confirmed_by_the_app_or_served_if_it_fails() {
    let mut server = RedisServer::start();
    let app = TestApp::start().await;
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    app.on("GET", "/a", move |seen| {
        if failing.load(Ordering::SeqCst) {
            return Answer::status(503);
        }
        let answer = match seen.header("if-none-match") {
            "\"1\"" => Answer::status(304),
            _ => Answer::text("of the app"),
        };
        answer.header("etag", "\"1\"")
    });
    let config = format!(
        "[redis]\nurl = \"{}\"\nstaleness = \"200ms\"\noutage = \"pass\"\n\
         [[route]]\nname = \"a\"\npath = \"/a\"\nkey = \"a\"\nttl = \"5m\"\nstale_if_error = \"10m\"\nany_host = true\n",
        server.url()
    );
    let sidecar = Sidecar::start(&app.url(), &config);
    connected(&sidecar).await;
    let client = sidecar.client();
    assert_eq!(client.get("/a").await.text(), "of the app");
    server.kill();
    eventually("the app confirms it", SHORT, || async {
        let answer = client.get("/a").await;
        assert_eq!(answer.text(), "of the app");
        answer
            .header("cache-status")
            .contains("fwd=stale; fwd-status=304")
    })
    .await;
    fails.store(true, Ordering::SeqCst);
    eventually("it is served although the app fails", SHORT, || async {
        let answer = client.get("/a").await;
        answer.text() == "of the app" && answer.header("cache-status").contains("stale-if-error")
    })
    .await;
}

/// What lets everybody in and nobody do anything is not asked hundreds of times a second; once it is well it is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_breaks_each_connection_is_not_stormed() {
    let redis = RedisServer::start();
    let line = SlowLine::to(redis.port()).await;
    line.cut_after_first_answer(true);
    let app = app().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = write_config(&folder, &app.url(), &line.url());
    let running = Running::start(&["run", "--config", &file], &app.url());
    eventually("it has tried", SHORT, || async { line.connections() > 10 }).await;
    let (before, began) = (line.connections(), clock::monotonic());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = line.connections() - before;
    // Three connections, each of which may be made twice in 200 ms.
    let most = 3 * 2 * 5 * (1 + began.elapsed().as_secs());
    assert!(made < 2 * most, "{made} in {:?}", began.elapsed());
    line.cut_after_first_answer(false);
    eventually("Redis is up", SHORT, || async {
        stats(&running).await["state"] == "up"
    })
    .await;
}
