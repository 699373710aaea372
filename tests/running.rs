//! The binary: run, reload, drain, check, explain, schema.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, exchange_raw};
use crate::support::raw_client::RawClient;
use crate::support::redis::RedisServer;
use crate::support::{Gate, eventually};

const SHORT: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
[[route]]
name = "board"
path = "/board"
key = "board:{query.id}"
ttl = "5m"

[[purge]]
name = "task"
path = "/tasks/{id}"
keys = ["board:{body.boardId}", "other:*"]
"#;

const JOBS: &str = r#"
[[warm]]
name = "shop"
host = "shop.example"
urls = ["/board?id={1..3}"]
on_start = true

[[warm]]
name = "boards"
from = "/all"
each = "/board?id={[].id}"
host = "localhost"
after = ["shop"]
"#;

/// `pannier run`, with what it logs.
pub(crate) struct Running {
    child: Child,
    pub(crate) log: mpsc::Receiver<String>,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
}

fn pannier(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pannier"));
    command.args(arguments);
    command
}

impl Running {
    pub(crate) fn start(arguments: &[&str], upstream: &str) -> Running {
        Running::spawn(pannier(arguments), upstream)
    }

    pub(crate) fn start_with(
        arguments: &[&str],
        upstream: &str,
        variables: &[(&str, &str)],
    ) -> Running {
        let mut command = pannier(arguments);
        command.envs(variables.iter().copied());
        Running::spawn(command, upstream)
    }

    /// Bytes of memory that the process takes.
    pub(crate) fn resident_memory(&self) -> usize {
        let file = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(file).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
        kib.expect("its memory") << 10
    }

    fn spawn(mut command: Command, upstream: &str) -> Running {
        command.env_remove("REDIS_URL").env_remove("REDIS_HOST");
        Running::spawn_as_it_is(command, upstream)
    }

    fn spawn_as_it_is(mut command: Command, upstream: &str) -> Running {
        let mut child = command
            .env("PANNIER_LISTEN_PROXY", "127.0.0.1:0")
            .env("PANNIER_LISTEN_ADMIN", "127.0.0.1:0")
            .env("PANNIER_UPSTREAM_URL", upstream)
            .env("PANNIER_LOG_FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, log) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let ready = wait_for(&log, "\"ready\"");
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("a JSON line");
        let address = |name: &str| {
            ready[name]
                .as_str()
                .expect("an address")
                .parse()
                .expect("an address")
        };
        Running {
            proxy: address("proxy"),
            admin: address("admin"),
            child,
            log,
        }
    }

    /// Waits until the process has ended; whether it says that all went well.
    pub(crate) async fn ends_well(mut self) -> bool {
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await;
        status.expect("no panic").expect("it ended").success()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait_for(log: &mpsc::Receiver<String>, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        match log.recv_timeout(SHORT) {
            Ok(line) if line.contains(text) => return line,
            Ok(line) => seen.push(line),
            Err(_) => panic!("no {text:?} in the log: {seen:#?}"),
        }
    }
}

fn output(mut command: Command) -> Output {
    command.output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, content).expect("a writable folder");
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_no_file_caches_by_rfc_9111() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let url = app.url();
    let running = Running::start(&["run", "--upstream", &url], &url);
    let client = Client::new(running.proxy);
    eventually("a hit", SHORT, || async { client.get("/a").await.is_hit() }).await;
    assert_eq!(app.count("/a"), 1);
}

/// Whoever sends clients here has time to notice: the port stays open, and both addresses say that it will not.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_to_end_says_so_before_it_closes_its_port() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x"));
    let mut command = pannier(&["run", "--upstream", &app.url()]);
    command.env("PANNIER_LISTEN_DRAIN_DELAY", "1h");
    command.env("PANNIER_LISTEN_READY_PATH", "/-/ready");
    let mut running = Running::spawn(command, &app.url());
    let (proxy, admin) = (Client::new(running.proxy), Client::new(running.admin));
    eventually("ready", SHORT, || async {
        proxy.get("/-/ready").await.status == 200
    })
    .await;
    running.signal("-TERM");
    eventually("not ready", SHORT, || async {
        admin.get("/readyz").await.status == 503
    })
    .await;
    assert_eq!(proxy.get("/-/ready").await.status, 503);
    let new = Client::new(running.proxy).get("/a").await;
    assert_eq!(new.text(), "x", "a new client is served");
    assert_eq!(admin.get("/healthz").await.status, 200);
    running.signal("-TERM");
    let status = tokio::task::spawn_blocking(move || running.child.wait())
        .await
        .expect("no panic");
    assert!(
        status.expect("it ended").success(),
        "a second signal ends the wait"
    );
    assert_eq!(app.count("/-/ready"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_in_flight() {
    let app = TestApp::start().await;
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let url = app.url();
    let mut running = Running::start(&["run", "--upstream", &url], &url);
    let client = Client::new(running.proxy);
    let asking = tokio::spawn(async move { client.get("/slow").await });
    gate.reached(1).await;
    running.signal("-TERM");
    wait_for(&running.log, "draining");
    let proxy = running.proxy;
    eventually("no new connections", SHORT, || async {
        tokio::net::TcpStream::connect(proxy).await.is_err()
    })
    .await;
    assert_eq!(Client::new(running.admin).get("/readyz").await.status, 503);
    gate.open();
    assert_eq!(asking.await.expect("no panic").text(), "done");
    let status = tokio::task::spawn_blocking(move || running.child.wait())
        .await
        .expect("no panic");
    assert!(status.expect("it ended").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_and_a_broken_file_does_not() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "pannier.toml", CONFIG);
    let running = Running::start(&["run", "--config", &file], &app.url());
    let client = Client::new(running.proxy);
    let rule = || async { client.get("/board?id=1").await.cache_status().to_owned() };
    assert!(rule().await.contains("rule=board"));

    // On a change of the file.
    write(
        folder.path(),
        "pannier.toml",
        &CONFIG.replace("\"board\"", "\"renamed\""),
    );
    eventually("the new name", SHORT, || async {
        rule().await.contains("rule=renamed")
    })
    .await;

    // All errors are reported, and what was in force stays.
    write(
        folder.path(),
        "pannier.toml",
        &CONFIG.replace("ttl", "tll").replace("keys", "kees"),
    );
    let report = wait_for(&running.log, "not reloaded");
    assert!(
        report.contains("tll") && report.contains("kees"),
        "{report}"
    );
    assert!(rule().await.contains("rule=renamed"));
    let metrics = Client::new(running.admin).get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("pannier_config_reloads_total{result=\"error\"} 1")
    );

    // On SIGHUP, whether or not the file changed.
    write(folder.path(), "pannier.toml", CONFIG);
    eventually("the old name", SHORT, || async {
        rule().await.contains("rule=board")
    })
    .await;
    running.signal("-HUP");
    wait_for(&running.log, "reloaded");
}

/// What waits for a restart is what differs from what runs, not from the file before.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_restart_is_told_until_it_is_as_at_the_start() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let with = |max: &str| format!("[memory]\nmax = \"{max}\"\n{CONFIG}");
    let file = write(folder.path(), "pannier.toml", &with("10MB"));
    let running = Running::start(&["run", "--config", &file], &app.url());
    write(folder.path(), "pannier.toml", &with("20MB"));
    let line = wait_for(&running.log, "config reloaded");
    assert!(line.contains("memory.max"), "{line}");
    running.signal("-HUP");
    let line = wait_for(&running.log, "config reloaded");
    assert!(line.contains("memory.max"), "the same file: {line}");
    write(folder.path(), "pannier.toml", &with("10MB"));
    wait_for(&running.log, "\"message\":\"config reloaded\"");
}

/// `log.level` of the file in force counts, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_how_much_is_logged() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x"));
    let folder = tempfile::tempdir().expect("a folder");
    let with = |level: &str| format!("[log]\nlevel = \"{level}\"\n{CONFIG}");
    let file = write(folder.path(), "pannier.toml", &with("info"));
    let running = Running::start(&["run", "--config", &file], &app.url());
    let client = Client::new(running.proxy);
    client.get("/quiet").await;
    write(folder.path(), "pannier.toml", &with("debug"));
    eventually("requests are logged", SHORT, || async {
        client.get("/loud").await;
        let mut lines = running.log.try_iter();
        lines.any(|line| {
            let is_request = line.contains("pannier::request");
            assert!(!(is_request && line.contains("/quiet")), "{line}");
            assert!(!line.contains("restart_needed"), "{line}");
            is_request && line.contains("/loud")
        })
    })
    .await;
}

/// What is logged of a request is a number where it is one, and names the client that a gateway names.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_clients_in_the_log() {
    let app = TestApp::start().await;
    let variables = [
        ("PANNIER_LOG_LEVEL", "debug"),
        ("PANNIER_LOG_SUMMARY_EVERY", "3"),
        ("PANNIER_LISTEN_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8"),
    ];
    let running = Running::start_with(&["run", "--upstream", &app.url()], &app.url(), &variables);
    let client = Client::new(running.proxy);
    for _ in 0..3 {
        let request = client.request("GET", "/a");
        request
            .header("x-forwarded-for", "203.0.113.1, 203.0.113.9, 10.0.0.7")
            .send()
            .await;
    }
    let line = wait_for(&running.log, "pannier::request");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!(line["client"], "203.0.113.9", "{line}");
    let ms = line["ms"].as_f64().expect("a number");
    assert_eq!((ms * 1e3).round() / 1e3, ms, "to the microsecond");
    let line = wait_for(&running.log, "summary");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!(line["hit_rate"].as_f64(), Some(0.0), "{line}");
}

/// One slow answer is found by its id, in the log of Pannier and in that of the app; the context of a trace passes.
#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_a_line_with_the_id_of_its_request() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let variables = [("PANNIER_LOG_ACCESS", "true")];
    let running = Running::start_with(&["run", "--upstream", &app.url()], &app.url(), &variables);
    let client = Client::new(running.proxy);
    let read = || {
        let line = wait_for(&running.log, "pannier::access");
        serde_json::from_str::<serde_json::Value>(&line).expect("a JSON line")
    };
    let made = client
        .request("GET", "/a?b=c")
        .header("traceparent", TRACE)
        .send()
        .await;
    let (line, seen) = (read(), app.last("/a"));
    let id = made.header("x-request-id");
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(line["request_id"], id, "{line}");
    assert_eq!(seen.header("x-request-id"), id);
    assert_eq!(seen.header("traceparent"), TRACE, "as it came");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["http.request.method"], "GET");
    assert_eq!(
        (&line["url.path"], &line["url.query"]),
        (&"/a".into(), &"b=c".into())
    );
    assert_eq!(line["http.response.status_code"], 200);
    assert_eq!(line["client.address"], "127.0.0.1");
    assert_eq!(line["pannier.reason"], "miss");

    let given = client
        .request("GET", "/a?b=c")
        .header("x-request-id", "mine")
        .send()
        .await;
    assert_eq!(
        given.header("x-request-id"),
        "mine",
        "of this request, whoever's answer is stored"
    );
    let line = read();
    assert_eq!(line["request_id"], "mine");
    assert_eq!(line["pannier.reason"], "hit", "one from memory");

    // What is refused has its line as well.
    let broken = b"GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n";
    exchange_raw(running.proxy, broken, SHORT).await;
    let line = read();
    assert_eq!(line["pannier.reason"], "bad-request");
    assert_eq!(line["http.response.status_code"], 400);
}

/// As such teams have Redis for the app.
#[tokio::test(flavor = "multi_thread")]
async fn redis_of_the_environment_counts_and_the_log_says_so() {
    let (app, redis) = (TestApp::start().await, RedisServer::start());
    let mut command = pannier(&["run", "--upstream", &app.url()]);
    let url = redis.url();
    let (host, port) = url
        .trim_start_matches("redis://")
        .split_once(':')
        .expect("a port");
    command
        .env_remove("REDIS_URL")
        .env("REDIS_HOST", host)
        .env("REDIS_PORT", port);
    command.stderr(Stdio::piped());
    let running = Running::spawn_as_it_is(command, &app.url());
    let admin = Client::new(running.admin);
    eventually("Redis is used", SHORT, || async {
        admin.get("/stats").await.value()["redis"]["state"] == "up"
    })
    .await;
    // It was said before `ready`, up to which `Running` reads.
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "a.toml", "[upstream]\nurl = \"http://a\"\n");
    let mut check = pannier(&["check", &file]);
    check.env_remove("REDIS_URL").env("REDIS_HOST", host);
    let said = text(&output(check).stdout);
    assert!(
        said.contains("Redis is taken from REDIS_HOST of the environment"),
        "{said}"
    );
}

/// A second sidecar would take half of the clients, under a config of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_has_one_sidecar() {
    let app = TestApp::start().await;
    let running = Running::start(&["run", "--upstream", &app.url()], &app.url());
    for (key, taken) in [("PROXY", running.proxy), ("ADMIN", running.admin)] {
        let mut second = pannier(&["run", "--upstream", &app.url()]);
        for other in ["PROXY", "ADMIN"] {
            second.env(format!("PANNIER_LISTEN_{other}"), "127.0.0.1:0");
        }
        second.env(format!("PANNIER_LISTEN_{key}"), taken.to_string());
        second.env("PANNIER_LISTEN_WORKERS", "2");
        let mut second = second.stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(second.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        for line in lines.map_while(Result::ok) {
            said += &line;
            // It would go on for ever.
            if line.contains(": ready ") {
                let _ = second.kill();
            }
        }
        let status = second.wait().expect("it ended");
        assert_eq!(status.code(), Some(1), "{key}: {said}");
        let expected = format!(
            "[listen] {} = \"{taken}\": cannot listen; end what",
            key.to_lowercase()
        );
        assert!(said.contains(&expected), "{said}");
    }
}

/// As `pannier check FILE | head` does when it has read enough.
#[test]
fn a_command_whose_reader_has_gone_says_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("[upstream]\nurl = \"http://a\"\n{CONFIG}");
    let (good, broken) = (
        write(folder.path(), "good.toml", &config),
        write(folder.path(), "broken.toml", "[listen]\nx = 1\n"),
    );
    for arguments in [
        vec!["check", &good],
        vec!["check", &broken],
        vec!["explain", "--offline", "--config", &good, "/board?id=1"],
        vec![
            "explain",
            "--offline",
            "--json",
            "--config",
            &good,
            "/board?id=1",
        ],
        vec!["schema"],
        vec!["demo", "--once"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = pannier(&arguments);
        command
            .env_remove("REDIS_URL")
            .stdout(writer)
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        drop(command);
        let result = child.wait_with_output().expect("it ends");
        assert_eq!(text(&result.stderr), "", "{arguments:?}");
        assert!(result.status.success(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_is_named_in_one_way() {
    let app = TestApp::start().await;
    let running = Running::start(&["run", "--upstream", &app.url()], &app.url());
    let port = running.admin.port();
    for (admin, good) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("http://127.0.0.1:{port}"), true),
        (format!("http://localhost:{port}/"), true),
        (format!("https://127.0.0.1:{port}"), false),
        ("127.0.0.1".to_owned(), false),
    ] {
        let result = output(pannier(&["healthcheck", "--admin", &admin]));
        assert_eq!(
            result.status.success(),
            good,
            "{admin}: {}",
            text(&result.stderr)
        );
    }
}

#[test]
fn check_reports_every_error_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = write(
        folder.path(),
        "broken.toml",
        "[upstream]\nurl = \"http://a\"\n[memory]\nmax = 64\n[[route]]\npath = \"/a\"\ntll = \"5m\"\nkey = \"{qery.a}\"\n",
    );
    let result = output(pannier(&["check", &broken]));
    assert!(!result.status.success());
    let report = text(&result.stdout) + &text(&result.stderr);
    for expected in [
        "broken.toml:4",
        "broken.toml:7",
        "broken.toml:8",
        "did you mean ttl?",
        "did you mean `query`?",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    let good = write(
        folder.path(),
        "good.toml",
        &format!("[upstream]\nurl = \"http://a\"\n{CONFIG}"),
    );
    let result = output(pannier(&["check", &good]));
    assert!(result.status.success(), "{}", text(&result.stdout));
    assert!(
        text(&result.stdout).contains("board:{query.id}"),
        "{}",
        text(&result.stdout)
    );
}

#[test]
fn explain_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(
        folder.path(),
        "c.toml",
        &format!("[upstream]\nurl = \"http://a\"\n{CONFIG}{JOBS}"),
    );
    let explain = |arguments: &[&str]| {
        let mut all = vec!["explain", "--offline", "--config", &file];
        all.extend(arguments);
        let result = output(pannier(&all));
        assert!(result.status.success(), "{}", text(&result.stderr));
        text(&result.stdout)
    };
    for (arguments, expected) in [
        (
            vec!["GET", "/board?id=1"],
            vec![
                "rule:     board",
                "key:      board:1",
                "5m",
                "purged by: task",
                "job:      shop (at the start, for http://shop.example alone), boards (if /all names it)",
            ],
        ),
        (vec!["GET", "/board?id=1&x=2"], vec!["unkeyed-query", "\"x"]),
        (vec!["GET", "/board"], vec!["missing-variable", "query.id"]),
        (vec!["GET", "/else"], vec!["no-rule"]),
        (
            vec!["GET", "/board?id=1", "-H", "Cookie: a=b"],
            vec!["identity", "the cookie a", "ignore_cookies = [\"a\"]"],
        ),
        (
            vec!["PUT", "/tasks/1", "--body", "{\"boardId\": 7}"],
            vec!["purge rule task", "key board:7", "key other:*"],
        ),
        (vec!["PUT", "/tasks/1"], vec!["key board:*", "absent"]),
    ] {
        let said = explain(&arguments);
        for expected in expected {
            assert!(
                said.contains(expected),
                "{arguments:?}: {expected:?} in {said}"
            );
        }
    }
}

#[test]
fn the_schema_is_json() {
    let result = output(pannier(&["schema"]));
    let schema: serde_json::Value = serde_json::from_slice(&result.stdout).expect("JSON");
    assert!(schema["properties"]["route"].is_object(), "{schema}");
}

#[test]
fn the_demo_shows_a_hit_and_a_purge() {
    let redis = RedisServer::start();
    for url in ["", &redis.url()] {
        let result = output({
            let mut command = pannier(&["demo", "--once"]);
            command.env("REDIS_URL", url);
            command
        });
        let shown = text(&result.stdout);
        assert!(
            result.status.success(),
            "{url:?}: {} {shown}",
            text(&result.stderr)
        );
        assert_eq!(shown.matches("detail=hit").count(), 1, "{url:?}: {shown}");
        assert_eq!(shown.matches("detail=miss").count(), 2, "{url:?}: {shown}");
    }
    assert!(
        !redis.cli(&["KEYS", "{pannier-demo}:v6:e:*"]).is_empty(),
        "that Redis was used"
    );
}

/// What `/metrics` says must please Prometheus's own linter.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_in_the_metrics() {
    use tokio::io::AsyncWriteExt;

    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let url = app.url();
    let running = Running::start(&["run", "--upstream", &url], &url);
    let client = Client::new(running.proxy);
    client.get("/a").await;
    client.request("POST", "/a").send().await;
    let metrics = Client::new(running.admin).get("/metrics").await;
    let mut promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (tests/run does it)");
    promtool
        .stdin
        .take()
        .expect("piped")
        .write_all(&metrics.body)
        .await
        .expect("it reads");
    let result = promtool.wait_with_output().await.expect("it ends");
    assert!(result.status.success(), "{}", text(&result.stderr));
    assert_eq!(text(&result.stdout) + &text(&result.stderr), "");
}

/// reliability.md R9: with no descriptor left it goes on accepting as soon as there is one.
#[tokio::test(flavor = "multi_thread")]
async fn the_descriptor_limit_is_survived() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| {
        Answer::text("x").cache_control("max-age=60")
    });
    let url = app.url();
    let running = Running::start(&["run", "--upstream", &url], &url);
    // Taken away from under it: at the start it would have kept within them.
    let pid = running.child.id().to_string();
    let lowered = Command::new("prlimit")
        .args(["--pid", &pid, "--nofile=60:60"])
        .status();
    assert!(lowered.expect("prlimit runs").success());
    let mut crowd = Vec::new();
    for _ in 0..150 {
        match tokio::net::TcpStream::connect(running.proxy).await {
            Ok(connection) => crowd.push(connection),
            Err(error) => {
                let log: Vec<_> = running.log.try_iter().collect();
                panic!("the backlog takes it: {error}; {log:#?}");
            }
        }
    }
    wait_for(&running.log, "cannot accept");
    drop(crowd);
    let client = Client::new(running.proxy);
    eventually("it serves again", SHORT, || async {
        client.get("/a").await.is_hit()
    })
    .await;
}

/// With few descriptors fewer clients are taken, and the health check, the app and metrics have theirs.
#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_leave_some_for_health_and_the_app() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x"));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("GET", "/slow", move |_| Answer::text("done").behind(&shut));
    let url = app.url();
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -n 200; PANNIER_LISTEN_WORKERS=2 exec \"$0\" run --upstream \"$1\"",
        env!("CARGO_BIN_EXE_pannier"),
        &url,
    ]);
    limited.env("PANNIER_LOG_FORMAT", "json");
    let running = Running::spawn(limited, &url);
    let mut crowd = Vec::new();
    for nth in 0..300 {
        let mut client = RawClient::connect(running.proxy).await;
        let request = format!("GET /slow?{nth} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(&request).await;
        crowd.push(client);
    }
    // As many as are let in have also had the app asked.
    gate.reached(27).await;
    for _ in 0..20 {
        let health = output(pannier(&[
            "healthcheck",
            "--admin",
            &running.admin.to_string(),
        ]));
        assert!(health.status.success(), "{}", text(&health.stderr));
    }
    let metrics = Client::new(running.admin).get("/metrics").await;
    assert!(metrics.text().contains("pannier_connections 27\n"));
    gate.open();
    for client in &mut crowd[..5] {
        client.until("done").await;
    }
    let refused: Vec<_> = running.log.try_iter().collect();
    let told = refused.iter().any(|line| line.contains("cannot accept"));
    assert!(!told, "{refused:#?}");
}

/// The soft limit is often small where the hard one is not: it is raised to what the config needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_of_descriptors_is_raised() {
    let app = TestApp::start().await;
    let url = app.url();
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -Sn 200; PANNIER_LISTEN_WORKERS=2 PANNIER_LISTEN_MAX_CONNECTIONS=400 exec \"$0\" run --upstream \"$1\"",
        env!("CARGO_BIN_EXE_pannier"),
        &url,
    ]);
    let running = Running::spawn(limited, &url);
    let pid = running.child.id().to_string();
    let mut asked = Command::new("prlimit");
    asked.args([
        "--pid",
        &pid,
        "--nofile",
        "--noheadings",
        "--output",
        "SOFT",
    ]);
    let soft: u64 = text(&output(asked).stdout)
        .trim()
        .parse()
        .expect("a number");
    assert!((800..10_000).contains(&soft), "two for each client: {soft}");
}

/// The kernel clears a huge page at once, while clients wait, and keeps what nobody uses of it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_not_in_huge_pages() {
    let app = TestApp::start().await;
    let running = Running::start(&["run", "--upstream", &app.url()], &app.url());
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id()));
    let status = status.expect("it runs");
    let allowed = status.lines().find(|line| line.starts_with("THP_enabled:"));
    assert_eq!(allowed, Some("THP_enabled:\t0"));
}

/// What outsiders can cause is said ten times, and then how often it was not said.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_cannot_be_flooded_from_outside() {
    const REQUESTS: u64 = 200;
    let nowhere = "http://127.0.0.1:1";
    let running = Running::start(&["run", "--upstream", nowhere], nowhere);
    let client = Client::new(running.proxy);
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").await.status, 502);
    }
    running.signal("-INT");
    let (mut said, mut left_out) = (0, 0);
    while let Ok(line) = running.log.recv_timeout(SHORT) {
        let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
        match line["message"].as_str() {
            Some("no answer from the app") => said += 1,
            Some("more lines of this kind were left out") => {
                assert_eq!(line["kind"], "no answer from the app");
                left_out += line["more"].as_u64().expect("a number");
            }
            _ => {}
        }
    }
    assert_eq!(said + left_out, REQUESTS);
    assert!(left_out > 0 && said < REQUESTS / 2, "{said} and {left_out}");
}

/// The client has gone and the drain has begun: the write is still waited for, and purges.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_a_write_whose_client_has_gone() {
    let redis = RedisServer::start();
    let app = TestApp::start().await;
    app.on("GET", "/board", |seen| Answer::text(seen.nth.to_string()));
    let gate = Gate::new();
    let shut = gate.clone();
    app.on("PUT", "/tasks/1", move |_| {
        Answer::status(204).behind(&shut)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!("[redis]\nurl = \"{}\"\n{CONFIG}", redis.url());
    let file = write(folder.path(), "pannier.toml", &toml);
    let mut running = Running::start(&["run", "--config", &file], &app.url());
    let client = Client::new(running.proxy);
    eventually("stored in Redis", SHORT, || async {
        client.get("/board?id=1").await;
        !redis.cli(&["KEYS", "*:e:board:1"]).is_empty()
    })
    .await;
    let writing = tokio::spawn({
        let client = Client::new(running.proxy);
        async move { client.json("PUT", "/tasks/1", r#"{"boardId": 1}"#).await }
    });
    gate.reached(1).await;
    writing.abort();
    running.signal("-TERM");
    wait_for(&running.log, "draining");
    // Without the wait it would be gone at once, and the write with it.
    for _ in 0..50 {
        assert!(
            running.child.try_wait().expect("it is ours").is_none(),
            "ended with a write in flight"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gate.open();
    let status = tokio::task::spawn_blocking(move || running.child.wait())
        .await
        .expect("no panic");
    assert!(status.expect("it ended").success());
    assert_eq!(redis.cli(&["KEYS", "*:e:board:1"]), "");
}

/// As Kubernetes does: the file is a link through a link, which is swapped; more than once.
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_is_a_reload_each_time() {
    let app = TestApp::start().await;
    app.on("GET", "/board", |_| Answer::text("x"));
    let folder = tempfile::tempdir().expect("a folder");
    let swap = |version: &str| {
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path(version)).expect("a writable folder");
        let toml = CONFIG.replace("\"board\"", &format!("\"{version}\""));
        std::fs::write(path(version).join("pannier.toml"), toml).expect("a writable folder");
        std::os::unix::fs::symlink(version, path("..next")).expect("a link");
        std::fs::rename(path("..next"), path("..data")).expect("a swap");
    };
    swap("v1");
    let file = folder.path().join("pannier.toml");
    std::os::unix::fs::symlink("..data/pannier.toml", &file).expect("a link");
    let running = Running::start(
        &["run", "--config", &file.display().to_string()],
        &app.url(),
    );
    let client = Client::new(running.proxy);
    for (version, old) in [("v2", "v1"), ("v3", "v2"), ("v4", "v3")] {
        swap(version);
        std::fs::remove_dir_all(folder.path().join(old)).expect("it is there");
        let expected = format!("rule={version}");
        eventually(version, SHORT, || async {
            client
                .get("/board?id=1")
                .await
                .cache_status()
                .contains(&expected)
        })
        .await;
    }
}
