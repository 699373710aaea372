//! What is under way, what has been, and what the fleet does: the state of all jobs of a process.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tokio::task::AbortHandle;

use super::fetching::How;
use crate::agenda::{Fetch, Kind, Next, Run, State, Trigger};
use crate::store::JobRecord;

/// Runs that are remembered after their end (promise I7).
const MAX_HISTORY: usize = 100;

/// After Redis was out of reach no slot is taken for so long: each sidecar tells it first which are taken.
const SETTLING_MS: u64 = 2500;

/// Whom the jobs are shared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fleet {
    /// Redis was not asked yet, or cannot be asked.
    #[default]
    Unreachable,
    /// There is no Redis: this sidecar runs its own.
    Alone,
    /// All sidecars of the Redis and the namespace.
    Joined,
}

/// A run that is not over.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) run: Run,
    pub(super) how: How,
    /// Once it has begun: by which it is ours.
    pub(super) lease: Option<HeldLease>,
    /// The fetches under way.
    pub(super) under_way: Vec<AbortHandle>,
    /// When its lease was not to be had: it is not asked for again soon after.
    pub(super) refused: Option<Instant>,
}

/// The lease of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    /// `None`: without a fleet nobody else could have it.
    pub(super) token: Option<u64>,
    /// By this process's clock.
    pub(super) until: Instant,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// In the order in which they were queued.
    pub(super) active: Vec<Active>,
    /// The latest first.
    pub(super) history: VecDeque<Run>,
    /// As Redis had them last.
    pub(super) records: BTreeMap<String, JobRecord>,
    /// The last slot of each job that is known to be taken.
    pub(super) taken: BTreeMap<String, u64>,
    pub(super) fleet: Fleet,
    /// Jobs whose run at the start is waited for.
    pub(super) awaited: Vec<String>,
    /// Redis's time from which on slots are taken.
    settled_from: u64,
}

impl Active {
    /// The next fetch of the run, if it has one.
    pub(super) fn next(&mut self, now: u64) -> Option<Fetch> {
        match self.run.next(now) {
            Next::Fetch(fetch) => Some(fetch),
            Next::Wait(_) | Next::Nothing => None,
        }
    }

    /// It is over: nothing that it has asked for is waited for.
    pub(super) fn end(&mut self, state: State, now: u64) {
        self.run.end(state, now);
        for fetch in self.under_way.drain(..) {
            fetch.abort();
        }
    }
}

impl Board {
    pub(super) fn waited_for(awaited: Vec<String>) -> Board {
        Board {
            awaited,
            ..Board::default()
        }
    }

    /// How many runs are under way here.
    pub(super) fn count_running(&self) -> usize {
        let running = self.active.iter();
        let running = running.filter(|active| active.run.state == State::Running);
        running.count()
    }

    /// Queues a run, unless the job has one; the id of either.
    pub(super) fn queue(&mut self, name: &str, kind: Kind, trigger: Trigger, now: u64) -> String {
        if let Some(active) = self.active.iter().find(|active| active.run.job == name) {
            return active.run.id.clone();
        }
        let id = format!("{:08x}", fastrand::u32(..));
        self.active.push(Active {
            run: Run::new(id.clone(), name, kind, trigger, now),
            how: How::default(),
            lease: None,
            under_way: Vec::new(),
            refused: None,
        });
        id
    }

    /// The run of a job that is queued or under way, here or elsewhere.
    pub(super) fn id_under_way(&self, name: &str, now: u64) -> Option<String> {
        let here = self.active.iter().find(|active| active.run.job == name);
        let held = self.records.get(name).filter(|record| record.is_held(now));
        let elsewhere = held.map(|record| record.id.clone());
        here.map(|active| active.run.id.clone()).or(elsewhere)
    }

    /// How the last run of a job ended, if its last has ended.
    pub(super) fn ended_well(&self, name: &str) -> Option<bool> {
        let here = self
            .history
            .iter()
            .find(|run| run.job == name && run.state != State::Lost);
        let here = here.map(|run| (run.ended.unwrap_or_default(), run.state == State::Done));
        let there = self.records.get(name).filter(|record| record.ended > 0);
        let there = there.map(|record| (record.ended, record.state == "done"));
        let latest = here
            .into_iter()
            .chain(there)
            .max_by_key(|(ended, _)| *ended);
        latest.map(|(_, is_done)| is_done)
    }

    /// Ends a run by an order.
    pub(super) fn cancel(&mut self, id: &str, now: u64) {
        if let Some(active) = self.active.iter_mut().find(|active| active.run.id == id) {
            active.end(State::Cancelled, now);
        }
    }

    pub(super) fn end_all(&mut self, state: State, now: u64) {
        for active in &mut self.active {
            active.end(state.clone(), now);
        }
    }

    /// Takes the runs that are over out, into the history.
    pub(super) fn take_over(&mut self) -> Vec<Active> {
        let (over, active) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|active| active.run.state.is_over());
        self.active = active;
        over
    }

    /// A run is over, and nobody has its job now. `is_shared`: Redis was told so.
    pub(super) fn remember(&mut self, run: Run, is_shared: bool) {
        if is_shared {
            let record = self.records.entry(run.job.clone()).or_default();
            record.id.clone_from(&run.id);
            record.state = run.state.as_str().to_owned();
            record.begun = run.begun.unwrap_or_default();
            record.ended = run.ended.unwrap_or_default();
            record.until = 0;
        }
        self.history.push_front(run);
        self.history.truncate(MAX_HISTORY);
    }

    /// What Redis has, at its time. Returns whether it has lost what it had.
    pub(super) fn take_in(&mut self, records: Vec<(String, JobRecord)>, now: u64) -> bool {
        let is_there = |id: &str| records.iter().any(|(_, record)| record.id == id);
        let mut ran = self
            .records
            .values()
            .filter(|record| !record.id.is_empty())
            .peekable();
        let was_flushed = ran.peek().is_some()
            && !ran.any(|record| is_there(&record.id))
            && records.iter().all(|(_, record)| record.id.is_empty());
        if self.fleet != Fleet::Joined {
            self.fleet = Fleet::Joined;
            self.settled_from = now + SETTLING_MS;
        }
        self.records = records.into_iter().collect();
        for (name, record) in &self.records {
            let taken = self.taken.entry(name.clone()).or_default();
            *taken = record.slot.max(*taken);
        }
        was_flushed
    }

    pub(super) fn set_fleet(&mut self, fleet: Fleet) {
        if self.fleet != fleet {
            tracing::info!(?fleet, "jobs");
        }
        self.fleet = fleet;
    }

    /// Whether slots may be taken at `now`.
    pub(super) fn takes_slots(&self, now: u64) -> bool {
        match self.fleet {
            Fleet::Alone => true,
            Fleet::Joined => now >= self.settled_from,
            Fleet::Unreachable => false,
        }
    }

    pub(super) fn known_slots(&self) -> Vec<(String, u64)> {
        let taken = self.taken.iter().filter(|(_, slot)| **slot > 0);
        taken.map(|(name, slot)| (name.clone(), *slot)).collect()
    }
}
