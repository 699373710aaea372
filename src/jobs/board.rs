//! What is under way, what has been, and what the fleet does: the state of all jobs of a process.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tokio::task::AbortHandle;

use super::fetching::How;
use crate::agenda::{Fetch, Kind, Next, Run, State, Trigger};
use crate::store::{JobEnd, JobRecord};

/// Runs that are remembered after their end (promise I7).
const MAX_HISTORY: usize = 100;

/// After Redis was out of reach no slot is taken for so long: each sidecar tells it first which are taken.
const SETTLING_MS: u64 = 2500;

/// The state of an end that has somebody go on with the run.
pub(super) const LEFT: &str = "left";

/// What was left undone longer ago is not gone on with: milliseconds.
const LEFT_FOR_GOOD: u64 = 600_000;

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
    /// Whether it is still to be done, which Redis judges.
    pub(super) terms: Terms,
    /// Whether it is to run once more: what it has fetched may be gone.
    pub(super) is_again: bool,
}

/// When a run is not to be done any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// It goes on with the run that had this token, unless somebody does already; 0: it is one of its own.
    pub(super) left: u64,
    /// A run of the job that has begun since then does for it; 0: none does.
    pub(super) since: u64,
}

/// The lease of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    /// `None`: without a fleet nobody else could have it.
    pub(super) token: Option<u64>,
    /// When it was taken: fleet time.
    pub(super) taken: u64,
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
    /// Ends of runs that Redis has not said it knows of, by job.
    pub(super) untold: BTreeMap<String, JobEnd>,
    /// Redis's time from which on slots are taken.
    settled_from: u64,
    /// For which end of the jobs that it comes after a job was queued last.
    followed: BTreeMap<String, u64>,
    /// Which run of a job was to be gone on with last, by its token.
    resumed: BTreeMap<String, u64>,
    /// Since when what each shard of Redis holds is valid.
    valid_since: Vec<u64>,
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
        self.queue_on(Terms::default(), name, kind, trigger, now)
    }

    /// As [`Board::queue`], on these terms.
    pub(super) fn queue_on(
        &mut self,
        terms: Terms,
        name: &str,
        kind: Kind,
        trigger: Trigger,
        now: u64,
    ) -> String {
        if let Some(active) = self.active_mut(name) {
            let since = terms.since;
            let begun = active.lease.map(|lease| lease.taken);
            let may_lack = begun.is_some_and(|begun| since == 0 || begun < since);
            active.is_again |= trigger == Trigger::Flush && may_lack;
            return active.run.id.clone();
        }
        let id = format!("{:08x}", fastrand::u32(..));
        self.active.push(Active {
            run: Run::new(id.clone(), name, kind, trigger, now),
            how: How::default(),
            lease: None,
            under_way: Vec::new(),
            refused: None,
            terms,
            is_again: false,
        });
        id
    }

    fn active_mut(&mut self, name: &str) -> Option<&mut Active> {
        let mut active = self.active.iter_mut();
        active.find(|active| active.run.job == name)
    }

    fn is_active(&self, name: &str) -> bool {
        self.active.iter().any(|active| active.run.job == name)
    }

    /// Whether a job is to run at `now` for this time of its schedule.
    pub(super) fn wants_slot(&mut self, name: &str, slot: u64, now: u64) -> bool {
        if self.fleet == Fleet::Alone {
            // A job that was never seen begins with its next time; in a fleet Redis says whether it was.
            let taken = self.taken.entry(name.to_owned()).or_insert(slot);
            // The clock may have gone back.
            *taken = now.min(*taken);
        }
        let is_left = self.records.get(name).is_some_and(|record| {
            record.of_slot && record.slot == slot && self.is_left(name, record, now)
        });
        slot > self.taken.get(name).copied().unwrap_or_default() || is_left
    }

    fn is_left(&self, name: &str, record: &JobRecord, now: u64) -> bool {
        record.is_left(now) && !self.untold.contains_key(name) && !self.is_active(name)
    }

    /// Runs of no schedule that their holders have left undone, each of them once: the job, why it ran, and the terms.
    pub(super) fn left_runs(&mut self, now: u64) -> Vec<(String, Trigger, Terms)> {
        let left = self.records.iter().filter_map(|(name, record)| {
            let is_of_late = record.used.saturating_add(LEFT_FOR_GOOD) > now;
            let is_new = self.resumed.get(name) != Some(&record.token);
            let is_left = is_of_late && is_new && self.is_left(name, record, now);
            let trigger = Trigger::parse(&record.trigger).filter(|_| is_left && !record.of_slot)?;
            let terms = Terms {
                left: record.token,
                since: 0,
            };
            Some((name.clone(), trigger, terms))
        });
        let left: Vec<_> = left.collect();
        let tokens = left
            .iter()
            .map(|(name, _, terms)| (name.clone(), terms.left));
        self.resumed.extend(tokens);
        left
    }

    /// Whether a job that comes after these is to run, since they have ended well; and on which terms.
    pub(super) fn follows(&mut self, name: &str, after: &[String], now: u64) -> Option<Terms> {
        let ends = after.iter().map(|name| self.done_at(name, now));
        let since = ends.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
        let known = self.followed.get(name).copied().unwrap_or_default();
        if self.is_active(name) || since <= self.begun_last(name).max(known) {
            return None;
        }
        self.followed.insert(name.to_owned(), since);
        Some(Terms { left: 0, since })
    }

    /// When a job ended well, if it has and does not run again.
    fn done_at(&self, name: &str, now: u64) -> Option<u64> {
        if self.id_under_way(name, now).is_some() || self.ended_well(name) != Some(true) {
            return None;
        }
        let record = self.records.get(name);
        match self.fleet {
            // By its clock alone, as who has begun since.
            Fleet::Joined => record.map(|record| record.ended).filter(|ended| *ended > 0),
            Fleet::Alone | Fleet::Unreachable => {
                let mut runs = self.history.iter().filter(|run| run.job == name);
                runs.find(|run| run.state == State::Done)?.ended
            }
        }
    }

    fn begun_last(&self, name: &str) -> u64 {
        if self.fleet == Fleet::Joined {
            return self.records.get(name).map_or(0, |record| record.begun);
        }
        let runs = self.history.iter().filter(|run| run.job == name);
        let begun = runs.filter_map(|run| run.begun);
        begun.max().unwrap_or_default()
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
        for active in &over {
            // It has had its time, though it never began.
            if active.lease.is_none() && active.run.state != State::Lost {
                self.note_slot(&active.run.job, active.run.trigger.slot());
            }
        }
        over
    }

    /// A time of a job is taken.
    pub(super) fn note_slot(&mut self, name: &str, slot: Option<u64>) {
        if let Some(slot) = slot {
            let taken = self.taken.entry(name.to_owned()).or_default();
            *taken = slot.max(*taken);
        }
    }

    /// A run is over.
    pub(super) fn remember(&mut self, run: Run) {
        self.history.push_front(run);
        self.history.truncate(MAX_HISTORY);
    }

    /// Redis knows since `now` how a run has ended.
    pub(super) fn note_told(&mut self, end: &JobEnd, now: u64) {
        self.untold.remove(&end.run.name);
        let record = self.records.entry(end.run.name.clone()).or_default();
        if record.token > end.run.token {
            return;
        }
        record.until = 0;
        if end.state != LEFT {
            record.token = end.run.token;
            record.id.clone_from(&end.run.id);
            record.state = end.state.to_owned();
            record.ended = now;
        }
    }

    /// Since when what each shard of Redis holds is valid. Returns since when what was known before is not.
    pub(super) fn note_valid_since(&mut self, valid_since: Vec<u64>) -> Option<u64> {
        let known = std::mem::replace(&mut self.valid_since, valid_since);
        let now = self.valid_since.iter().zip(known);
        let begun = now.filter(|(now, known)| *known > 0 && *now > known);
        begun.map(|(now, _)| *now).max()
    }

    /// What Redis has, at its time.
    pub(super) fn take_in(&mut self, records: Vec<(String, JobRecord)>, now: u64) {
        if self.fleet != Fleet::Joined {
            self.fleet = Fleet::Joined;
            self.settled_from = now + SETTLING_MS;
        }
        self.records = records.into_iter().collect();
        for (name, record) in &self.records {
            let taken = self.taken.entry(name.clone()).or_default();
            // What is still to come was taken before the clock went back.
            *taken = record.slot.max(*taken).min(now);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::store::JobProgress;

    const JOB: &str = "pages";

    fn joined(records: Vec<(&str, JobRecord)>) -> Board {
        let mut board = Board::default();
        take_in(&mut board, records);
        board
    }

    fn take_in(board: &mut Board, records: Vec<(&str, JobRecord)>) {
        let records = records.into_iter();
        board.take_in(
            records
                .map(|(name, record)| (name.to_owned(), record))
                .collect(),
            10_000,
        );
    }

    fn record(state: &str, begun: u64, ended: u64) -> JobRecord {
        JobRecord {
            token: 3,
            id: format!("{begun}"),
            trigger: "order".to_owned(),
            state: state.to_owned(),
            begun,
            ended,
            used: 9000,
            ..JobRecord::default()
        }
    }

    fn begin(board: &mut Board, taken: u64) {
        for active in &mut board.active {
            active.run.begin(Vec::new(), taken);
            active.lease = Some(HeldLease {
                token: Some(4),
                taken,
                until: clock::monotonic(),
            });
        }
    }

    #[test]
    fn what_never_began_has_had_its_time() {
        let mut board = joined(vec![(JOB, JobRecord::default())]);
        for (slot, state) in [(100, State::Failed(0)), (200, State::Cancelled)] {
            assert!(board.wants_slot(JOB, slot, 300));
            let id = board.queue(JOB, Kind::Warm, Trigger::Schedule(slot), 300);
            match state {
                State::Cancelled => board.cancel(&id, 300),
                state => board.active[0].end(state, 300),
            }
            assert_eq!(board.take_over().len(), 1);
            assert!(!board.wants_slot(JOB, slot, 300), "nobody runs it any more");
            assert_eq!(board.known_slots(), [(JOB.to_owned(), slot)]);
        }
        // What another process is to go on with is not over.
        board.queue(JOB, Kind::Warm, Trigger::Schedule(300), 300);
        board.end_all(State::Lost, 300);
        board.take_over();
        assert!(board.wants_slot(JOB, 300, 300));
    }

    #[test]
    fn a_clock_that_goes_back_stops_no_schedule() {
        let ahead = JobRecord {
            slot: 50_000,
            ..JobRecord::default()
        };
        let mut board = joined(vec![(JOB, ahead)]);
        assert_eq!(board.known_slots(), [(JOB.to_owned(), 10_000)]);
        assert!(board.wants_slot(JOB, 10_001, 10_001));
        let mut alone = Board::default();
        alone.set_fleet(Fleet::Alone);
        assert!(!alone.wants_slot(JOB, 50_000, 50_000), "it is new");
        assert!(!alone.wants_slot(JOB, 900, 1000));
        assert!(alone.wants_slot(JOB, 1500, 1600));
    }

    #[test]
    fn what_is_left_undone_is_gone_on_with_once() {
        let left = record("running", 8000, 0);
        let of_slot = JobRecord {
            slot: 8000,
            of_slot: true,
            ..left.clone()
        };
        let held = JobRecord {
            until: 12_000,
            lasting: 3000,
            ..left.clone()
        };
        let all = vec![
            ("left", left),
            ("slot", of_slot),
            ("held", held),
            ("over", record("done", 8000, 8500)),
        ];
        let mut board = joined(all);
        let mut late = joined(vec![("old", record("running", 1, 0))]);
        assert!(late.left_runs(9001 + LEFT_FOR_GOOD).is_empty());
        let found = board.left_runs(10_000);
        let terms = Terms { left: 3, since: 0 };
        assert_eq!(found, [("left".to_owned(), Trigger::Order, terms)]);
        assert!(board.left_runs(10_000).is_empty(), "each once");
        assert!(board.wants_slot("slot", 8000, 10_000));
        // An end that Redis has not heard of is told again, and the run not gone on with.
        let end = JobEnd {
            run: JobProgress {
                name: "slot".to_owned(),
                id: "8000".to_owned(),
                token: 3,
                ..JobProgress::default()
            },
            state: "done",
            error: String::new(),
            slot: 8000,
        };
        board.untold.insert("slot".to_owned(), end.clone());
        assert!(!board.wants_slot("slot", 8000, 10_000));
        board.note_told(&end, 10_500);
        assert!(!board.wants_slot("slot", 8000, 10_500) && board.untold.is_empty());
        assert_eq!(board.ended_well("slot"), Some(true));
    }

    #[test]
    fn a_follower_runs_after_the_last_of_those_it_comes_after_whoever_has_run_them() {
        let after = ["one".to_owned(), "two".to_owned()];
        let since = |since| Some(Terms { left: 0, since });
        let mut board = joined(vec![("one", record("done", 100, 200))]);
        assert_eq!(board.follows(JOB, &after, 900), None, "two never ran");
        take_in(
            &mut board,
            vec![
                ("one", record("done", 100, 200)),
                ("two", record("done", 100, 300)),
            ],
        );
        assert_eq!(board.follows(JOB, &after, 900), since(300));
        assert_eq!(board.follows(JOB, &after, 900), None, "it was said");
        // It runs while one of them ends anew: that is not lost.
        board.queue(JOB, Kind::Warm, Trigger::After, 900);
        begin(&mut board, 350);
        let ran = [
            ("one", record("done", 390, 400)),
            ("two", record("done", 100, 300)),
            (JOB, record("running", 350, 0)),
        ];
        take_in(&mut board, ran.to_vec());
        assert_eq!(board.follows(JOB, &after, 900), None);
        board.active.clear();
        assert_eq!(board.follows(JOB, &after, 900), since(400));
        for (one, follower) in [
            (record("failed", 390, 500), record("done", 350, 380)),
            (record("done", 390, 500), record("done", 600, 700)),
        ] {
            let two = record("done", 100, 300);
            take_in(
                &mut board,
                vec![("one", one), ("two", two), (JOB, follower)],
            );
            assert_eq!(board.follows(JOB, &after, 900), None);
        }
    }

    #[test]
    fn what_is_lost_while_it_is_fetched_is_fetched_once_more() {
        let mut board = joined(Vec::new());
        let flush = |board: &mut Board, since| {
            let terms = Terms { left: 0, since };
            board.queue_on(terms, JOB, Kind::Hot, Trigger::Flush, 900)
        };
        flush(&mut board, 0);
        flush(&mut board, 0);
        assert!(!board.active[0].is_again, "it has not begun");
        begin(&mut board, 500);
        flush(&mut board, 400);
        assert!(!board.active[0].is_again, "that was before");
        flush(&mut board, 600);
        assert!(board.active[0].is_again);
        assert_eq!(board.active.len(), 1);
        assert_eq!(board.note_valid_since(vec![0, 7]), None);
        assert_eq!(board.note_valid_since(vec![5, 7]), None, "known only now");
        assert_eq!(board.note_valid_since(vec![6, 7]), Some(6));
        assert_eq!(board.note_valid_since(vec![6, 7]), None);
    }
}
