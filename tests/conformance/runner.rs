//! Plays the cases of a subject side by side, exchange by exchange: the next round begins when nothing
//! of the last is under way, so that what a fill or a refresh leaves behind is there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::app::{App, Received};
use super::case::{Case, Level, Seen, Step};
use super::client::{Answer, Head, exchange};
use super::not_yet::NOT_YET;
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, is_quiet};

/// The longest that a round's fills go on.
const QUIET: Duration = Duration::from_secs(30);

/// Errors are kept as long as they say, however long a busy machine takes from one step to the next.
const BY_THE_RFC: &str = "[defaults]\nunmatched = \"rfc9111\"\nerror_ttl = \"1h\"\n";

/// Longer than the one second that cases wait for, by a second's rounding.
const LATER: Duration = Duration::from_millis(2100);

/// Where the sidecar keeps what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Memory,
    /// A Redis of its own, with the memory switched off: everything is written out and read back.
    Redis,
}

/// Runs the cases; fails with a table of those that fail and are not known to, and of those that are
/// known to and do not.
pub(crate) async fn run(cases: Vec<Case>, tier: Tier) {
    let faults = match tier {
        Tier::Memory => play(&cases, BY_THE_RFC).await,
        Tier::Redis => {
            let server = RedisServer::start();
            let url = server.url();
            // A busy machine must not make Redis look absent.
            let redis = format!("[redis]\nurl = \"{url}\"\ntimeout = \"10s\"\n");
            let tables = format!("{BY_THE_RFC}{redis}[memory]\nmax = \"0B\"\n");
            play(&cases, &tables).await
        }
    };
    let mut report = String::new();
    for (case, fault) in cases.iter().zip(&faults) {
        let expected = NOT_YET.contains(&case.name.as_str());
        match fault {
            Some(fault) if !expected => {
                let level = match case.level {
                    Level::Required => "required",
                    Level::Optimal => "optimal",
                };
                let _ = writeln!(report, "{} [{}, {level}]\n{fault}", case.name, case.section);
            }
            None if expected => {
                let _ = writeln!(report, "{}: passes; strike it from NOT_YET\n", case.name);
            }
            _ => {}
        }
    }
    let failed = faults.iter().flatten().count();
    println!("{} cases, {} pass", cases.len(), cases.len() - failed);
    assert!(report.is_empty(), "\n{report}");
}

/// The first fault of each case.
async fn play(cases: &[Case], config: &str) -> Vec<Option<String>> {
    let app = App::start(cases).await;
    let sidecar = Sidecar::start(&app.url(), config);
    let admin = sidecar.admin();
    eventually("Redis is up, if there is one", QUIET, || async {
        let stats = admin.get("/stats").await.value();
        stats["redis"]["state"] != "down"
    })
    .await;
    let mut faults: Vec<Option<String>> = cases.iter().map(|_| None).collect();
    let rounds = cases.iter().map(|case| case.steps.len()).max();
    for round in 0..rounds.unwrap_or_default() {
        let turns: Vec<(usize, &Step)> = cases
            .iter()
            .enumerate()
            .filter_map(|(index, case)| Some((index, case.steps.get(round)?)))
            .filter(|(index, _)| faults[*index].is_none())
            .collect();
        if turns.iter().any(|(_, step)| step.later) {
            tokio::time::sleep(LATER).await;
        }
        let sources: Vec<Option<usize>> = turns
            .iter()
            .map(|(index, _)| {
                app.advance(*index, round);
                app.take(*index).1
            })
            .collect();
        let answers = turns.iter().map(|turn| one(sidecar.addr(), turn.0, turn.1));
        let answers = join_all(answers).await;
        quiet(&sidecar).await;
        for (((index, step), answer), source) in turns.iter().zip(&answers).zip(sources) {
            let (received, _) = app.take(*index);
            let seen = Seen {
                answer,
                received: &received,
                scripted: &app.scripted(*index),
                at: round,
                source,
            };
            faults[*index] = fault(step, &seen);
        }
    }
    faults
}

async fn one(sidecar: SocketAddr, case: usize, step: &Step) -> Answer {
    exchange(sidecar, case, step).await
}

/// Waits until no fill is under way.
async fn quiet(sidecar: &Sidecar) {
    let admin = sidecar.admin();
    eventually("no fill is under way", QUIET, || async {
        let metrics = admin.get("/metrics").await;
        is_quiet(metrics.text())
    })
    .await;
}

fn fault(step: &Step, seen: &Seen<'_>) -> Option<String> {
    let failed = step.checks.iter().find(|check| !(check.holds)(seen))?;
    let mut text = format!("  step {} ({} {})", seen.at, step.method, step.target);
    let _ = writeln!(text, " wants: {}", failed.what);
    let _ = writeln!(text, "    got {}", told(seen.answer));
    for Received {
        method,
        target,
        head,
        ..
    } in seen.received
    {
        let _ = writeln!(text, "    the app got {method} {target}{}", fields(head));
    }
    if seen.received.is_empty() {
        let _ = writeln!(text, "    the app was not asked");
    }
    Some(text)
}

fn told(answer: &Answer) -> String {
    let mut text = String::new();
    for interim in &answer.interim {
        let _ = write!(text, "{}{} then ", interim.status, fields(interim));
    }
    let body = String::from_utf8_lossy(&answer.body);
    let body: String = body.chars().take(200).collect();
    let whole = if answer.complete { "" } else { " CUT" };
    let head = &answer.head;
    let _ = write!(text, "{}{} {body:?}{whole}", head.status, fields(head));
    text
}

fn fields(head: &Head) -> String {
    let mut text = String::from(" {");
    for (name, value) in &head.fields {
        let _ = write!(text, " {name}: {};", String::from_utf8_lossy(value));
    }
    text + " }"
}
