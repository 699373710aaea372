//! The rules for Prometheus and the dashboard for Grafana, by Prometheus itself.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use pannier::commands::alerts;
use pannier::config::Env;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::Sidecar;

const LONG: Duration = Duration::from_secs(60);

fn rules_of(toml: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pannier.toml");
    std::fs::write(&file, toml).expect("it is written");
    let mut rules = Vec::new();
    alerts::alerts(&file, &Env::default(), &mut rules).expect("a right config");
    String::from_utf8(rules).expect("text")
}

const WITH_ALL: &str =
    "[upstream]\nurl = \"http://app\"\n[redis]\nurl = \"redis://redis\"\n[alerts]\n";

/// One alert: series with their values by minute, when it fires and when it is over, its labels and words.
struct Scene {
    alert: &'static str,
    series: &'static [(&'static str, &'static str)],
    fires: &'static str,
    over: &'static str,
    labels: &'static str,
    summary: &'static str,
}

const SCENES: [Scene; 11] = [
    Scene {
        alert: "PannierMemoryHigh",
        series: &[
            (
                "pannier_store_bytes{instance=\"a\",tier=\"redis\",priority=\"low\"}",
                "19500000x10 19000000x10",
            ),
            (
                "pannier_store_limit_bytes{instance=\"a\",tier=\"redis\"}",
                "20000000x20",
            ),
        ],
        fires: "5m",
        over: "15m",
        labels: "instance: a, severity: warning",
        summary: "Pannier uses 97.5 % of what it may use in Redis (threshold 95 %)",
    },
    Scene {
        alert: "PannierEvictions",
        // What is in Redis is of both, and each has some of it leave.
        series: &[
            (
                "pannier_evictions_total{job=\"j\",instance=\"a\",tier=\"redis\",priority=\"low\"}",
                "0+2x60 120x120",
            ),
            (
                "pannier_evictions_total{job=\"j\",instance=\"b\",tier=\"redis\",priority=\"low\"}",
                "0+3x60 180x120",
            ),
        ],
        fires: "60m",
        over: "150m",
        labels: "job: j, severity: warning",
        summary: "300 entries left for space in the last hour (threshold 200)",
    },
    Scene {
        alert: "PannierKeys",
        series: &[
            (
                "pannier_store_entries{instance=\"a\",tier=\"redis\",priority=\"low\"}",
                "1000x10 900x10",
            ),
            (
                "pannier_store_entries{instance=\"a\",tier=\"redis\",priority=\"high\"}",
                "600x20",
            ),
        ],
        fires: "5m",
        over: "15m",
        labels: "instance: a, severity: warning",
        summary: "1600 keys are stored (threshold 1500)",
    },
    Scene {
        alert: "PannierHitRateLow",
        series: &[
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"hit\"}",
                "0+1x60 61+300x60",
            ),
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"miss\"}",
                "0+1x120",
            ),
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"method\"}",
                "0+900x120",
            ),
        ],
        fires: "60m",
        over: "119m",
        labels: "instance: a, severity: warning",
        summary: "The hit rate of the last hour is 50.0 % (threshold 70 %)",
    },
    Scene {
        // There has never been a hit, and nothing that counts them.
        alert: "PannierHitRateLow",
        series: &[(
            "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"miss\"}",
            "0+10x60 600x120",
        )],
        fires: "60m",
        over: "150m",
        labels: "instance: a, severity: warning",
        summary: "The hit rate of the last hour is 0.0 % (threshold 70 %)",
    },
    Scene {
        // As a sidecar has them that was started a while ago.
        alert: "PannierHitRateLow",
        series: &[
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"hit\"}",
                "_x30 0x150",
            ),
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"miss\"}",
                "_x30 0+10x30 300x120",
            ),
        ],
        fires: "60m",
        over: "150m",
        labels: "instance: a, severity: warning",
        summary: "The hit rate of the last hour is 0.0 % (threshold 70 %)",
    },
    Scene {
        alert: "PannierRedisDown",
        series: &[("pannier_redis_up{instance=\"a\"}", "1x5 0x5 1x10")],
        fires: "9m",
        over: "15m",
        labels: "instance: a, severity: warning",
        summary: "Pannier cannot use Redis; memory and the app serve meanwhile",
    },
    Scene {
        alert: "PannierConfigsDiffer",
        series: &[
            ("pannier_config_hash{job=\"j\",instance=\"a\"}", "7x60"),
            ("pannier_config_hash{job=\"j\",instance=\"b\"}", "8x30 7x30"),
        ],
        fires: "20m",
        over: "40m",
        labels: "job: j, severity: warning",
        summary: "Sidecars of one job run with different configs",
    },
    Scene {
        alert: "PannierStaleFound",
        series: &[(
            "pannier_audit_total{instance=\"a\",rule=\"r\",result=\"stale\"}",
            "0x10 0+1x10 10x120",
        )],
        fires: "40m",
        over: "130m",
        labels: "instance: a, severity: warning",
        summary: "Audits found 10 answers in the last hour that were not as the app says (threshold 1)",
    },
    Scene {
        // The first finding of a rule that came with a reload.
        alert: "PannierStaleFound",
        series: &[(
            "pannier_audit_total{instance=\"a\",rule=\"r\",result=\"stale\"}",
            "_x30 0x10 1x120",
        )],
        fires: "60m",
        over: "130m",
        labels: "instance: a, severity: warning",
        summary: "Audits found 1 answers in the last hour that were not as the app says (threshold 1)",
    },
    Scene {
        alert: "PannierFailures",
        series: &[
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"upstream-error\"}",
                "0+10x20 200x20",
            ),
            (
                "pannier_requests_total{instance=\"a\",rule=\"r\",reason=\"hit\"}",
                "0+90x40",
            ),
            // Whoever sends these neither brings it out nor hides it.
            (
                "pannier_requests_total{instance=\"a\",rule=\"-\",reason=\"bad-request\"}",
                "0+5000x40",
            ),
        ],
        fires: "15m",
        over: "35m",
        labels: "instance: a, severity: critical",
        summary: "10.0 % of the requests of five minutes failed",
    },
];

#[test]
fn each_alert_fires_and_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = rules_of(WITH_ALL);
    std::fs::write(folder.path().join("rules.yml"), &rules).expect("it is written");
    for scene in &SCENES {
        assert!(rules.contains(scene.alert), "{}", scene.alert);
        let text = unit_test(scene);
        let file = folder.path().join("test.yml");
        std::fs::write(&file, &text).expect("it is written");
        promtool(&["test", "rules"], &file, &text);
    }
    let named = rules.matches("- alert:").count();
    let tried: BTreeSet<&str> = SCENES.iter().map(|scene| scene.alert).collect();
    assert_eq!(named, tried.len(), "each has a scene");
}

fn unit_test(scene: &Scene) -> String {
    let series: String = scene
        .series
        .iter()
        .map(|(series, values)| format!("      - series: '{series}'\n        values: '{values}'\n"))
        .collect();
    format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{series}    \
         alert_rule_test:\n      - eval_time: {fires}\n        alertname: {alert}\n        exp_alerts:\n          - \
         exp_labels: {{ {labels} }}\n            exp_annotations: {{ summary: '{summary}' }}\n      - eval_time: \
         {over}\n        alertname: {alert}\n        exp_alerts: []\n",
        fires = scene.fires,
        over = scene.over,
        alert = scene.alert,
        labels = scene.labels,
        summary = scene.summary,
    )
}

fn promtool(words: &[&str], file: &Path, text: &str) {
    let output = Command::new("promtool").args(words).arg(file).output();
    let output = output.expect("promtool is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{text}");
}

#[test]
fn thresholds_are_those_of_the_config() {
    let rules = rules_of(&format!("{WITH_ALL}keys = 9\nmemory_percent = 0\n"));
    assert!(rules.contains("> 9'"), "{rules}");
    assert!(!rules.contains("PannierMemoryHigh"), "it is off: {rules}");
    let without = rules_of("[upstream]\nurl = \"http://app\"\n");
    assert!(
        !without.contains("PannierKeys") && !without.contains("PannierRedisDown"),
        "{without}"
    );
    assert!(without.contains("PannierFailures"), "{without}");
}

#[test]
fn what_is_delivered_is_what_the_command_prints() {
    let mut printed = Vec::new();
    let env = Env::from_pairs([
        ("REDIS_PASSWORD", "x"),
        ("ADMIN_TOKEN", "sixteen-characters"),
    ]);
    alerts::alerts(Path::new("config/full.toml"), &env, &mut printed).expect("a right config");
    let delivered = std::fs::read("deploy/prometheus/pannier.yml").expect("it is there");
    assert_eq!(
        String::from_utf8_lossy(&printed),
        String::from_utf8_lossy(&delivered),
        "pannier alerts config/full.toml > deploy/prometheus/pannier.yml"
    );
}

/// A Prometheus that scrapes `sidecars` every second.
struct Prometheus {
    process: Child,
    client: Client,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn start(sidecars: &[&Sidecar], rules: &str) -> Prometheus {
        let folder = tempfile::tempdir().expect("a folder");
        let targets: Vec<String> = sidecars
            .iter()
            .map(|sidecar| format!("'{}'", sidecar.admin_addr()))
            .collect();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\nscrape_configs:\n  - \
             job_name: pannier\n    static_configs: [{{ targets: [{}] }}]\n",
            targets.join(", ")
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("it is written");
        std::fs::write(folder.path().join("rules.yml"), rules).expect("it is written");
        let mut process = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.path().join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is installed by tests/run");
        let log = process.stderr.take().expect("it is piped");
        let address = find_address(BufReader::new(log));
        Prometheus {
            process,
            client: Client::new(address),
            _folder: folder,
        }
    }

    /// The samples of an expression; none while it does not answer.
    async fn query(&self, expression: &str) -> Vec<Value> {
        let query: String = form_urlencoded(expression);
        let request = self
            .client
            .request("GET", &format!("/api/v1/query?query={query}"));
        match request.try_send().await {
            Ok(reply) if reply.status == 200 => {
                let samples = reply.value()["data"]["result"].as_array().cloned();
                samples.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// Where it says that it listens; what else it says is read, so that it may go on.
fn find_address(log: BufReader<ChildStderr>) -> SocketAddr {
    let (found, finding) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let address = line.contains("msg=\"Listening on\"").then(|| {
                let (_, address) = line.split_once("address=")?;
                address.split_whitespace().next()?.parse().ok()
            });
            if let Some(address) = address.flatten() {
                let _ = found.send(address);
            }
        }
    });
    finding.recv_timeout(LONG).expect("prometheus listens")
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

const ROUTE: &str = "[[route]]\nname = \"board\"\npath = \"/board/{id}\"\nkey = \"board:{path.id}\"\nttl = \"1s\"\n\
                     [[purge]]\nname = \"write\"\npath = \"/board/{id}\"\nkeys = [\"board:{path.id}\"]\n";

/// Whether a panel may show that there is none of something, while all is well.
fn may_be_none(query: &str) -> bool {
    const OF: [&str; 8] = [
        "ALERTS",
        "pannier_audit_total",
        "pannier_coalesced_waiters",
        "pannier_evictions_total",
        "pannier_fills",
        "pannier_jobs_",
        "pannier_redis_breaker_open",
        "pannier_redis_pending_purges",
    ];
    OF.iter().any(|metric| query.contains(metric))
}

/// The dashboard and the alerts have one hit rate, as `/stats` has it.
#[test]
fn what_counts_for_the_hit_rate_is_the_same_everywhere() {
    let dashboard = std::fs::read_to_string("deploy/grafana/pannier.json").expect("it is there");
    let rules = rules_of(WITH_ALL);
    let words = rules
        .split("reason=~\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|words| words.starts_with("hit|"))
        .expect("the lookups of PannierHitRateLow");
    assert!(dashboard.contains(words), "{words}");
}

/// Every query of the dashboard answers with a number, under load.
#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboard_shows_something() {
    let text = std::fs::read_to_string("deploy/grafana/pannier.json").expect("it is there");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets");
        targets
            .iter()
            .map(move |target| (title, target["expr"].as_str().expect("a query")))
    });
    let queries: Vec<(String, String)> = targets
        .map(|(title, query)| {
            let query = query
                .replace("$__rate_interval", "15s")
                .replace("$instance", ".*");
            (title.to_owned(), query)
        })
        .collect();
    assert!(queries.len() >= 15);

    let (app, redis) = (TestApp::start().await, RedisServer::start());
    app.on("GET", "/board/1", |_| Answer::text("x"));
    app.on("PUT", "/board/1", |_| Answer::text("x"));
    let toml = format!("[redis]\nurl = \"{}\"\n{ROUTE}", redis.url());
    let sidecars = [
        Sidecar::start(&app.url(), &toml),
        Sidecar::start(&app.url(), &toml),
    ];
    let prometheus = Prometheus::start(&[&sidecars[0], &sidecars[1]], &rules_of(WITH_ALL));
    let load = async {
        loop {
            for sidecar in &sidecars {
                let client = sidecar.client();
                for _ in 0..5 {
                    client.get("/board/1").await;
                    sidecar.fills_have_ended().await;
                }
                client.request("PUT", "/board/1").send().await;
            }
        }
    };
    let all_answer = async {
        for (title, query) in &queries {
            eventually(&format!("{title}: {query}"), LONG, || async {
                let samples = prometheus.query(query).await;
                let numbers = samples.iter().filter_map(|sample| {
                    let number = sample["value"][1].as_str()?.parse::<f64>();
                    number.ok().filter(|number| number.is_finite())
                });
                let most = numbers.reduce(f64::max);
                most.is_some_and(|most| most > 0.0 || may_be_none(query))
            })
            .await;
        }
    };
    tokio::select! {
        () = load => {}
        () = all_answer => {}
    }
}

/// The same rules of shorter windows, so that nobody waits for an hour.
fn hurry(rules: &str) -> String {
    let lines = rules
        .lines()
        .map(|line| match line.trim_start().starts_with("for: ") {
            true => "        for: 0s".to_owned(),
            false => line.replace("[1h]", "[12s]").replace("[5m]", "[12s]"),
        });
    lines.collect::<Vec<_>>().join("\n")
}

const ALL_ALERTS: [&str; 8] = [
    "PannierConfigsDiffer",
    "PannierEvictions",
    "PannierFailures",
    "PannierHitRateLow",
    "PannierKeys",
    "PannierMemoryHigh",
    "PannierRedisDown",
    "PannierStaleFound",
];

async fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let samples = prometheus.query("ALERTS{alertstate=\"firing\"}").await;
    let name = |sample: &Value| sample["metric"]["alertname"].as_str().map(str::to_owned);
    samples.iter().filter_map(name).collect()
}

/// What brings each of them out but the loss of Redis, once.
async fn misbehave(app: &TestApp, sidecar: &Sidecar, round: usize) {
    let client = sidecar.client();
    for item in 0..20 {
        let path = format!("/small/{round}-{item}");
        app.on("GET", &path, |_| Answer::text("x"));
        client.get(&path).await;
    }
    let path = format!("/big/{round}");
    app.on("GET", &path, |_| {
        Answer::bytes((0..200_000).map(|_| fastrand::u8(..)).collect())
    });
    client.get(&path).await;
    // The app says something else each time.
    for _ in 0..3 {
        client.get("/board/1").await;
        sidecar.fills_have_ended().await;
    }
    // The app takes longer than it may.
    join_all((0..4).map(|_| client.get("/late"))).await;
}

/// Each alert fires in a Prometheus that scrapes two sidecars under load, and is over when its cause is.
#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_and_is_over_in_prometheus() {
    let (app, mut redis) = (TestApp::start().await, RedisServer::start());
    app.on("GET", "/board/1", |seen| {
        Answer::text(format!("{}", seen.nth))
    });
    app.on("GET", "/late", |_| Answer::text("x").after(LONG));
    let toml = format!(
        "timeout = \"500ms\"\n[redis]\nurl = \"{}\"\n[budget]\nmax = \"1MB\"\n[alerts]\nmemory_percent = 10\nevictions_per_hour = 1\nkeys = \
         2\nhit_rate_percent = 90\nstale_per_hour = 1\n[[route]]\nname = \"board\"\npath = \"/board/{{id}}\"\nkey = \
         \"board:{{path.id}}\"\nttl = \"60s\"\naudit = \"100%\"\n[[route]]\nname = \"any\"\npath = \"/{{kind}}/{{id}}\"\nkey \
         = \"any:{{path.kind}}:{{path.id}}\"\nttl = \"60s\"\n",
        redis.url()
    );
    let toml = format!("[upstream]\nurl = \"{}\"\n{toml}", app.url());
    let rules = hurry(&rules_of(&toml));
    let sidecars = [(); 2].map(|()| Sidecar::start(&app.url(), &toml));
    let prometheus = Prometheus::start(&[&sidecars[0], &sidecars[1]], &rules);
    let url = app.url();
    let variables = [("PANNIER_UPSTREAM_URL", url.as_str())];
    sidecars[1].reload(&format!("{toml}# another file\n"), &variables);

    let mut seen = BTreeSet::new();
    let begun = pannier::clock::monotonic();
    for round in 0.. {
        for sidecar in &sidecars {
            misbehave(&app, sidecar, round).await;
        }
        seen.extend(firing(&prometheus).await);
        if seen.len() == ALL_ALERTS.len() - 1 {
            break;
        }
        assert!(begun.elapsed() < LONG, "only these fired: {seen:?}");
    }
    redis.kill();
    eventually("Redis is missed", LONG, || async {
        firing(&prometheus).await.contains("PannierRedisDown")
    })
    .await;
    seen.insert("PannierRedisDown".to_owned());
    assert!(seen.iter().eq(ALL_ALERTS.iter()), "{seen:?}");

    redis.restart(Data::Lost);
    sidecars[1].reload(&toml, &variables);
    eventually("all is over", LONG, || async {
        firing(&prometheus).await.is_empty()
    })
    .await;
}
