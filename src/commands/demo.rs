//! `pannier demo`: an example app that is slow, a sidecar in front of it, and what that changes.
//!
//! Both run in this process, on free loopback ports, with the shipped `config/kanban.toml`.

pub mod kanban;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use self::kanban::{Kanban, Pace};
use crate::app::App;
use crate::clock;
use crate::config::{Config, Env};

const CONFIG: &str = include_str!("../../config/kanban.toml");
const BOARD: &str = "/api/kanban/board?projectId=1&teamId=7";
const TASKS: &str = "/api/kanban/tasks";
const NEW_TASK: &str = "Written through the sidecar";

/// No secret: the sidecar listens on loopback and holds example data.
const TOKEN: &str = "pannier-demo-token";

/// The longest wait for the connections to Redis.
const REDIS_PATIENCE: Duration = Duration::from_secs(4);

/// The copy of an answer is stored behind it; a person is never fast enough to see that, this
/// program is.
const STORED_BEHIND: Duration = Duration::from_millis(100);

/// Runs the demo, with the Redis of `REDIS_URL` if that is set; `once` ends it after the table. Fails
/// unless the cache did what it should.
pub fn demo(once: bool) -> anyhow::Result<ExitCode> {
    let environment = Env::process();
    let redis_url = environment.get("REDIS_URL").filter(|url| !url.is_empty());
    let kanban = Kanban::start(Pace::SLOW).context("the example app cannot start")?;
    let app = App::start(build_config(kanban.addr(), redis_url)?, None)
        .context("the sidecar cannot start")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(show(&app, &kanban, redis_url.is_some(), once));
    app.shutdown();
    result.map(|()| ExitCode::SUCCESS)
}

/// The shipped config with this machine's free ports. Redis gets a namespace of its own, so that
/// emptying it touches nobody's entries.
fn build_config(upstream: SocketAddr, redis_url: Option<&str>) -> anyhow::Result<Config> {
    let upstream = format!("http://{upstream}");
    let mut variables = vec![
        ("PANNIER_LISTEN_PROXY", "127.0.0.1:0"),
        ("PANNIER_LISTEN_ADMIN", "127.0.0.1:0"),
        ("PANNIER_UPSTREAM_URL", &upstream),
        ("PANNIER_REDIS_NAMESPACE", "pannier-demo"),
        ("PANNIER_ADMIN_TOKEN", TOKEN),
    ];
    variables.extend(redis_url.map(|url| ("PANNIER_REDIS_URL", url)));
    let loaded = Config::parse(CONFIG, "config/kanban.toml", &Env::from_pairs(variables))?;
    let mut config = loaded.config;
    if redis_url.is_none() {
        config.redis = None;
    }
    Ok(config)
}

async fn show(app: &App, kanban: &Kanban, redis: bool, once: bool) -> anyhow::Result<()> {
    let client = Browser::new();
    let proxy = format!("http://{}", app.proxy_addr());
    let admin = format!("http://{}", app.admin_addr());
    let store = if redis {
        "memory and Redis"
    } else {
        "memory only"
    };
    say(&format!(
        "A kanban API that takes 1 to 2 s an answer, and Pannier in front of it ({store}).\n"
    ))?;

    if redis && !client.reaches_redis(&admin).await? {
        say("Redis does not answer, so memory alone serves until it does.\n")?;
    }
    // An earlier demo may have left entries in the same Redis.
    client.purge_everything(&admin).await?;
    let task = json!({ "projectId": "1", "title": NEW_TASK });
    let miss = client.send(Method::GET, &proxy, BOARD, None).await?;
    tokio::time::sleep(STORED_BEHIND).await;
    let hit = client.send(Method::GET, &proxy, BOARD, None).await?;
    let write = client
        .send(Method::POST, &proxy, TASKS, Some(&task))
        .await?;
    let after = client.send(Method::GET, &proxy, BOARD, None).await?;

    say(&show_table(&[&miss, &hit, &write, &after]))?;
    say(&format!(
        "The app itself was asked {} times for these 4 requests.\n",
        kanban.served()
    ))?;
    judge(&hit, &write, &after)?;
    if once {
        return Ok(());
    }
    say(&show_invitation(&proxy, &admin))?;
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}

/// Whether the cache did what the demo is there to show.
fn judge(hit: &Reply, write: &Reply, after: &Reply) -> anyhow::Result<()> {
    ensure!(hit.is_hit(), "the second request was no hit");
    ensure!(write.status.is_success(), "the write was refused");
    ensure!(after.is_miss(), "the request after the write was no miss");
    ensure!(
        after.has_task(NEW_TASK),
        "the new task is not in the answer after the write"
    );
    Ok(())
}

fn show_table(replies: &[&Reply; 4]) -> String {
    let header = show_row("", "request", "answer", "took", "Cache-Status");
    let rows = (1..).zip(replies).map(|(number, reply)| {
        show_row(
            &format!("{number}"),
            &reply.request,
            &reply.summary(),
            &show_milliseconds(reply.took),
            &reply.cache_status,
        )
    });
    std::iter::once(header).chain(rows).collect()
}

fn show_row(number: &str, request: &str, answer: &str, took: &str, cache_status: &str) -> String {
    format!("{number:1}  {request:44}  {answer:11}  {took:>10}  {cache_status}\n")
}

fn show_milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    let digits = if ms < 10.0 { 2 } else { 0 };
    format!("{ms:.digits$} ms")
}

fn show_invitation(proxy: &str, admin: &str) -> String {
    let body = r#"{"projectId":"1","title":"Mine"}"#;
    format!(
        "Try it (Ctrl-C ends it):
  curl -i '{proxy}{BOARD}'
  curl -i '{proxy}{TASKS}' -H 'Content-Type: application/json' -d '{body}'
  curl {admin}/stats
  curl {admin}/metrics
  curl {admin}/purge -H 'Authorization: Bearer {TOKEN}' -H 'Content-Type: application/json' \\
       -d '{{\"patterns\": [\"kanban:board:*\"]}}'
"
    )
}

/// To standard output; a reader that has gone away is an error, not a panic.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// The client side of the demo.
struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// One answer, as the table shows it.
#[derive(Debug)]
struct Reply {
    request: String,
    status: StatusCode,
    cache_status: String,
    body: Value,
    took: Duration,
}

impl Browser {
    fn new() -> Browser {
        Browser {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn send(
        &self,
        method: Method,
        base: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let request = Request::builder()
            .method(&method)
            .uri(format!("{base}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(to_json(body))?;
        let started = clock::monotonic();
        let response = self.client.request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let took = clock::monotonic().duration_since(started);
        let cache_status = head
            .headers
            .get(HeaderName::from_static("cache-status"))
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Reply {
            request: format!("{:4} {path}", method.as_str()),
            status: head.status,
            cache_status: cache_status.unwrap_or_default(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            took,
        })
    }

    /// Waits until the sidecar has its connections, which it makes while it serves already.
    async fn reaches_redis(&self, admin: &str) -> anyhow::Result<bool> {
        let started = clock::monotonic();
        while clock::monotonic().duration_since(started) < REDIS_PATIENCE {
            let request = Request::get(format!("{admin}/stats")).body(to_json(None))?;
            let stats = self
                .client
                .request(request)
                .await?
                .into_body()
                .collect()
                .await?;
            let stats: Value = serde_json::from_slice(&stats.to_bytes())?;
            if stats["redis"]["state"] == "up" {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(false)
    }

    async fn purge_everything(&self, admin: &str) -> anyhow::Result<()> {
        let request = Request::post(format!("{admin}/purge"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(to_json(Some(&json!({ "everything": true }))))?;
        let status = self.client.request(request).await?.status();
        ensure!(status.is_success(), "the first purge was refused: {status}");
        Ok(())
    }
}

fn to_json(body: Option<&Value>) -> Full<Bytes> {
    Full::new(body.map(Value::to_string).unwrap_or_default().into())
}

impl Reply {
    /// `hit` as RFC 9211 §2.1 has it.
    fn is_hit(&self) -> bool {
        self.parameters().any(|parameter| parameter == "hit")
    }

    /// `fwd=miss`, `fwd=uri-miss` or `fwd=vary-miss` (RFC 9211 §2.2).
    fn is_miss(&self) -> bool {
        self.parameters()
            .filter_map(|parameter| parameter.strip_prefix("fwd="))
            .any(|forwarded| forwarded.ends_with("miss"))
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.cache_status.split(';').skip(1).map(str::trim)
    }

    fn has_task(&self, title: &str) -> bool {
        self.tasks()
            .is_some_and(|tasks| tasks.iter().any(|task| task["title"] == title))
    }

    fn summary(&self) -> String {
        match self.tasks() {
            Some(tasks) => format!("{} tasks", tasks.len()),
            None => self.status.to_string(),
        }
    }

    fn tasks(&self) -> Option<&Vec<Value>> {
        self.body["tasks"].as_array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(cache_status: &str, titles: &[&str]) -> Reply {
        let tasks: Vec<_> = titles
            .iter()
            .map(|title| json!({ "title": title }))
            .collect();
        Reply {
            request: "GET  /".to_owned(),
            status: StatusCode::OK,
            cache_status: cache_status.to_owned(),
            body: json!({ "tasks": tasks }),
            took: Duration::from_millis(1234),
        }
    }

    #[test]
    fn the_demo_fails_if_the_cache_does() {
        let hit = "pannier; hit; ttl=299; detail=hit";
        let miss = "pannier; fwd=uri-miss; stored";
        let cases = [
            ("as it should be", hit, miss, vec![NEW_TASK], true),
            ("no hit", miss, miss, vec![NEW_TASK], false),
            ("no header", "", miss, vec![NEW_TASK], false),
            (
                "a rule called hit",
                "hit; fwd=stale",
                miss,
                vec![NEW_TASK],
                false,
            ),
            ("hit after the write", hit, hit, vec![NEW_TASK], false),
            (
                "passed after the write",
                hit,
                "pannier; fwd=bypass",
                vec![NEW_TASK],
                false,
            ),
            (
                "the old answer after the write",
                hit,
                miss,
                vec!["Old"],
                false,
            ),
        ];
        let write = reply("pannier; fwd=method", &[]);
        for (name, second, fourth, titles, good) in cases {
            let judged = judge(&reply(second, &[]), &write, &reply(fourth, &titles));
            assert_eq!(judged.is_ok(), good, "{name}");
        }
        let mut refused = reply("pannier; fwd=method", &[]);
        refused.status = StatusCode::BAD_REQUEST;
        assert!(judge(&reply(hit, &[]), &refused, &reply(miss, &[NEW_TASK])).is_err());
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(show_milliseconds(Duration::from_micros(423)), "0.42 ms");
        assert_eq!(show_milliseconds(Duration::from_millis(1234)), "1234 ms");
    }
}
