//! Jobs as `GET /jobs` shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::board::{Board, Fleet};
use super::{HOT, Jobs};
use crate::agenda::{Run, State};
use crate::store::JobRecord;

/// What `GET /jobs` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// Who shares them, in words.
    pub shared: &'static str,
    /// The jobs of the config.
    pub jobs: Vec<JobShown>,
    /// Runs of this sidecar: those under way, then those that are over, the latest first.
    pub runs: Vec<RunShown>,
}

/// Jobs in a few words, for `/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Runs of this sidecar that wait to begin.
    pub queued: usize,
    /// Those under way.
    pub running: usize,
    /// Jobs whose last run has failed, wherever it was, with what failed last.
    pub failed: Vec<String>,
}

/// A job of the config.
#[derive(Clone, Debug, Serialize)]
pub struct JobShown {
    /// Its name.
    pub name: String,
    /// warm, hot
    pub kind: &'static str,
    /// When it runs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Whether it runs at a start.
    pub on_start: bool,
    /// Jobs that it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// low, medium, high
    pub priority: &'static str,
    /// Its next time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Its last run, here or elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<RunShown>,
}

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunShown {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job: String,
    /// queued, waiting, running, done, failed, cancelled, lost
    pub state: String,
    /// The jobs that it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// start, schedule, order, after, flush
    pub trigger: String,
    /// The time of its schedule that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<String>,
    /// The sidecar that has it, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// URLs.
    pub total: u64,
    /// Settled ones.
    pub settled: u64,
    /// Stored anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<u64>,
    /// Left, since they were fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    /// Not stored, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<&'static str, u64>,
    /// Given up.
    pub failed: u64,
    /// How often each of these was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// What failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Since when it was to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Jobs {
    /// All of it.
    pub fn list(&self) -> Listing {
        let live = self.live.load();
        let now = self.now();
        let board = self.board.lock();
        let mut jobs: Vec<JobShown> = Vec::new();
        for warm in &live.config.warms {
            jobs.push(JobShown {
                name: warm.name.clone(),
                kind: "warm",
                schedule: warm.timing.as_ref().map(|timing| timing.show()),
                on_start: warm.on_start,
                after: warm.after.clone(),
                priority: warm.priority.as_str(),
                next: warm
                    .timing
                    .as_ref()
                    .and_then(|timing| show_time(timing.next(now)?)),
                last: last(&board, &warm.name, now),
            });
        }
        if live.config.jobs.hot > 0 {
            jobs.push(JobShown {
                name: HOT.to_owned(),
                kind: "hot",
                schedule: None,
                on_start: true,
                after: Vec::new(),
                priority: "medium",
                next: None,
                last: last(&board, HOT, now),
            });
        }
        let runs = board
            .active
            .iter()
            .map(|active| &active.run)
            .chain(&board.history);
        Listing {
            shared: match board.fleet {
                Fleet::Joined => "over the fleet: a run happens on one sidecar",
                Fleet::Alone => "with nobody: there is no [redis], and each sidecar runs its own",
                Fleet::Unreachable => {
                    "over the fleet, and Redis cannot be asked now: nothing begins but what runs at a start"
                }
            },
            jobs,
            runs: runs.map(show_run).collect(),
        }
    }

    /// In a few words.
    pub fn summary(&self) -> Summary {
        let (live, now) = (self.live.load(), self.now());
        let board = self.board.lock();
        let running = board.count_running();
        let names = live.config.warms.iter().map(|warm| warm.name.as_str());
        let failed = names.filter_map(|name| {
            let last = last(&board, name, now).filter(|last| last.state == "failed")?;
            let error = last.last_error.unwrap_or_default();
            Some(format!("the job {name} has failed: {error}"))
        });
        Summary {
            queued: board.active.len() - running,
            running,
            failed: failed.collect(),
        }
    }

    /// A run, or the last one of a job.
    pub fn find(&self, id_or_name: &str) -> Option<RunShown> {
        let now = self.now();
        let board = self.board.lock();
        let here = board
            .active
            .iter()
            .map(|active| &active.run)
            .chain(&board.history);
        let mut here = here.filter(|run| run.id == id_or_name);
        let elsewhere = board
            .records
            .iter()
            .find(|(_, record)| record.id == id_or_name);
        let elsewhere = elsewhere.map(|(name, record)| show_record(name, record, now));
        here.next()
            .map(show_run)
            .or(elsewhere)
            .or_else(|| last(&board, id_or_name, now))
    }
}

/// The last run of a job, wherever it was.
fn last(board: &Board, name: &str, now: u64) -> Option<RunShown> {
    let here = board
        .active
        .iter()
        .map(|active| &active.run)
        .chain(&board.history);
    let here = here
        .filter(|run| run.job == name)
        .max_by_key(|run| (run.queued, run.begun));
    let there = board
        .records
        .get(name)
        .filter(|record| !record.id.is_empty());
    match (here, there) {
        (Some(run), Some(record)) if run.id != record.id && record.begun > run.queued => {
            Some(show_record(name, record, now))
        }
        (Some(run), _) => Some(show_run(run)),
        (None, Some(record)) => Some(show_record(name, record, now)),
        (None, None) => None,
    }
}

fn show_run(run: &Run) -> RunShown {
    let counts = &run.counts;
    RunShown {
        id: run.id.clone(),
        job: run.job.clone(),
        state: run.state.as_str().to_owned(),
        waits_for: match &run.state {
            State::Waiting(names) => names.clone(),
            _ => Vec::new(),
        },
        trigger: run.trigger.as_str().to_owned(),
        scheduled: run.trigger.slot().and_then(show_time),
        holder: None,
        total: counts.total,
        settled: counts.settled(),
        stored: Some(counts.stored),
        fresh: Some(counts.fresh),
        refused: counts.refused.clone(),
        failed: counts.failed,
        tries: match run.state {
            State::Failed(tries) => Some(tries),
            _ => None,
        },
        last_error: run.last_error.clone(),
        queued: show_time(run.queued),
        begun: run.begun.and_then(show_time),
        ended: run.ended.and_then(show_time),
    }
}

fn show_record(name: &str, record: &JobRecord, now: u64) -> RunShown {
    let time = |time: u64| Some(time).filter(|time| *time > 0).and_then(show_time);
    RunShown {
        id: record.id.clone(),
        job: name.to_owned(),
        state: match record.state == "running" && !record.is_held(now) {
            true => State::Lost.as_str().to_owned(),
            false => record.state.clone(),
        },
        trigger: record.trigger.clone(),
        holder: Some(record.holder.clone()),
        total: record.total,
        settled: record.settled,
        failed: record.failed,
        last_error: Some(record.error.clone()).filter(|error| !error.is_empty()),
        begun: time(record.begun),
        ended: time(record.ended),
        ..RunShown::default()
    }
}

/// As RFC 3339 has it, in UTC.
fn show_time(millis: u64) -> Option<String> {
    let time = Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(time.to_string())
}
