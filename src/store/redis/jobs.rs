//! Which sidecar runs which job, and how far it is, as Redis keeps it for the fleet (`scripts/job.lua`).

use std::sync::Arc;

use fred::types::Value;
use serde::Deserialize;

use super::attached::AttachedTier;
use super::connection::RedisConnection;
use super::error::Error;
use super::scripts::{Call, Script, parse_number};

/// What Redis knows of a job. Times are milliseconds of its clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// The last of its times that somebody has taken.
    pub slot: u64,
    /// Counts the runs.
    pub token: u64,
    /// Of the last run; empty: it never ran.
    pub id: String,
    /// Who has it, or had it.
    pub holder: String,
    /// Why it runs, or ran.
    pub trigger: String,
    /// `running`, or how it has ended.
    pub state: String,
    /// Until when its holder has it.
    pub until: u64,
    /// How long it has it when it says so: milliseconds.
    pub lasting: u64,
    /// When the run began.
    pub begun: u64,
    /// And ended.
    pub ended: u64,
    /// URLs.
    pub total: u64,
    /// Of these settled.
    pub settled: u64,
    /// And of these failed.
    pub failed: u64,
    /// What failed last.
    pub error: String,
    /// Whether the run is for `slot`.
    pub of_slot: bool,
    /// When it was changed last.
    pub used: u64,
}

impl JobRecord {
    /// Whether somebody has it at `now`.
    pub fn is_held(&self, now: u64) -> bool {
        // What would be held for much longer than a lease lasts was taken before Redis's clock went back.
        let ends = now.saturating_add(self.lasting.saturating_mul(2));
        self.state == "running" && now < self.until && self.until <= ends
    }

    /// Whether its holder is gone, and its run undone.
    pub fn is_left(&self, now: u64) -> bool {
        self.state == "running" && !self.is_held(now)
    }
}

/// A run that wants the lease of its job.
#[derive(Clone, Debug)]
pub struct JobClaim {
    /// The job.
    pub name: String,
    /// The run.
    pub id: String,
    /// This process, for people.
    pub holder: String,
    /// How long it holds unless it is renewed: milliseconds.
    pub lasting: u64,
    /// Why it runs.
    pub trigger: &'static str,
    /// Of a schedule; 0: it is at no time of its own.
    pub slot: u64,
    /// The last slot that is known to be taken.
    pub known: u64,
    /// The token of the run that it goes on with; 0: it is one of its own.
    pub left: u64,
    /// It is not to be done if a run of the job has begun since then; 0: whenever that was.
    pub since: u64,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours, by this fencing token, from this time of Redis's on.
    Ours(u64, u64),
    /// Another sidecar runs the job.
    Held,
    /// The slot is taken, or has not come; or what it is for was done, or is not to be done any more.
    Past,
}

/// How far a run that is under way has come.
#[derive(Clone, Debug, Default)]
pub struct JobProgress {
    /// The job.
    pub name: String,
    /// The run.
    pub id: String,
    /// Its fencing token.
    pub token: u64,
    /// URLs.
    pub total: u64,
    /// Settled ones.
    pub settled: u64,
    /// Failed ones among them.
    pub failed: u64,
}

/// How a run has ended.
#[derive(Clone, Debug)]
pub struct JobEnd {
    /// How far it came.
    pub run: JobProgress,
    /// `done`, `failed`, `cancelled`, or `left` if somebody is to go on with it.
    pub state: &'static str,
    /// What failed last.
    pub error: String,
    /// The last slot that has passed meanwhile; 0: none.
    pub slot: u64,
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It is ours for as long again.
    Ours,
    /// It is to end, by an order.
    Cancel,
    /// Another has it.
    Lost,
}

/// What is asked of the script.
#[derive(Clone, Debug)]
pub(in crate::store) enum JobQuestion {
    /// All records; Redis learns of these slots if it has lost them.
    Look(Vec<(String, u64)>),
    Take(JobClaim),
    /// For so many milliseconds, by the run's holder and trigger.
    Renew(JobProgress, JobClaim),
    Finish(JobEnd),
    Cancel(String, String),
}

impl JobQuestion {
    fn words(&self) -> Vec<Value> {
        fn text(text: impl ToString) -> Value {
            text.to_string().into()
        }
        let far = |run: &JobProgress| [text(run.total), text(run.settled), text(run.failed)];
        let mut words = Vec::new();
        match self {
            JobQuestion::Look(known) => {
                words.push(text("look"));
                let known = known.iter();
                words.extend(known.flat_map(|(name, slot)| [text(name), text(slot)]));
            }
            JobQuestion::Take(claim) => words.extend([
                text("take"),
                text(&claim.name),
                text(&claim.id),
                text(&claim.holder),
                text(claim.lasting),
                text(claim.trigger),
                text(claim.slot),
                text(claim.known),
                text(claim.left),
                text(claim.since),
            ]),
            JobQuestion::Renew(run, claim) => {
                words.extend([text("renew"), text(&run.name), text(&run.id)]);
                words.extend([text(run.token), text(claim.lasting)]);
                words.extend(far(run));
                words.extend([text(&claim.holder), text(claim.trigger)]);
            }
            JobQuestion::Finish(JobEnd {
                run,
                state,
                error,
                slot,
            }) => {
                words.extend([text("finish"), text(&run.name), text(&run.id)]);
                words.extend([text(run.token), text(state)]);
                words.extend(far(run));
                words.extend([text(error), text(slot)]);
            }
            JobQuestion::Cancel(name, id) => {
                words.extend([text("cancel"), text(name), text(id)]);
            }
        }
        words
    }
}

impl AttachedTier {
    /// Redis's time in milliseconds, and its answer.
    pub(in crate::store) async fn ask_of_jobs(
        &self,
        question: JobQuestion,
    ) -> Result<(u64, Value), Error> {
        let connection = Arc::clone(&self.connection);
        let answered = self
            .runner
            .run(async move { connection.ask_of_jobs(&question).await });
        answered.await.unwrap_or(Err(Error::Down))
    }
}

impl RedisConnection {
    async fn ask_of_jobs(&self, question: &JobQuestion) -> Result<(u64, Value), Error> {
        let scope = self.for_requests();
        let name = self.tier.keys.jobs_name();
        let call = || Call {
            keys: vec![name.clone()],
            args: question.words(),
        };
        let reply = scope.run_plain(None, Script::Job, call).await?;
        let mut parts = reply.into_array().into_iter();
        let now = parse_number(&parts.next().unwrap_or(Value::Null));
        Ok((now, parts.next().unwrap_or(Value::Null)))
    }
}

/// What cannot be read is left aside: the next run replaces it.
pub(in crate::store) fn read_records(fields: Value) -> Vec<(String, JobRecord)> {
    let fields = fields.into_array();
    let pairs = fields.chunks_exact(2);
    let records = pairs.filter_map(|pair| {
        let record = serde_json::from_str(&pair[1].as_string()?).ok()?;
        Some((pair[0].as_string()?, record))
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_others_left_aside() {
        let fields: Vec<Value> = [
            "a",
            r#"{"slot":5,"token":2,"state":"running","until":9,"lasting":5,"of_slot":true,"used":1}"#,
            "b",
            "x",
        ]
        .map(Value::from)
        .into();
        let records = read_records(Value::Array(fields));
        let [(name, record)] = records.as_slice() else {
            panic!("{records:?}");
        };
        assert_eq!((name.as_str(), record.slot, record.token), ("a", 5, 2));
        assert!(record.is_held(8) && !record.is_held(9) && record.is_left(9));
        assert!(record.of_slot && record.used == 1);
        let ahead = JobRecord {
            until: 60_000,
            ..record.clone()
        };
        assert!(!ahead.is_held(9), "its clock was ahead then");
    }
}
