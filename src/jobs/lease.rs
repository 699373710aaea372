//! Who runs a job: its lease in Redis, taken, renewed and given back. Without Redis it is this process.

use std::time::Duration;

use super::board::{Active, Fleet, HeldLease, LEFT, Terms};
use super::{HOT, Jobs};
use crate::agenda::{Kind, Run, State, Trigger};
use crate::clock;
use crate::store::{Claimed, JobClaim, JobEnd, JobProgress, Renewed, Store};

/// How long a run holds its job without a renewal: so long after a holder's death another goes on.
const LEASE: Duration = Duration::from_secs(3);

/// The holder counts less, so that it ends before another begins: it looks whether its time is over before and after each
/// question to Redis, and none takes longer than [`QUESTION`].
const MARGIN: Duration = Duration::from_secs(1);

/// The longest wait for Redis, whatever `[redis] timeout` is.
const QUESTION: Duration = Duration::from_millis(500);

/// Where Redis cannot be asked for so long after the start, what runs at a start does so without it.
const ALONE_AFTER: Duration = Duration::from_secs(3);

/// Characters of an error that Redis keeps (promise I7).
const MAX_ERROR: usize = 300;

/// A year, which no process without a fleet outlives.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

impl Jobs {
    /// Takes the lease of the run's job; `None`: not now, or the run is over.
    pub(super) async fn claim(&self, run: &Run, terms: Terms, store: &Store) -> Option<HeldLease> {
        let (fleet, known) = {
            let board = self.board.lock();
            (board.fleet, board.taken.get(&run.job).copied())
        };
        let (slot, asked) = (run.trigger.slot(), clock::monotonic());
        if fleet == Fleet::Alone || fleet == Fleet::Unreachable && self.goes_without(run) {
            self.board.lock().note_slot(&run.job, slot);
            return Some(HeldLease {
                token: None,
                taken: self.now(),
                until: asked + FOR_EVER,
            });
        }
        let claim = JobClaim {
            slot: slot.unwrap_or_default(),
            known: known.unwrap_or_default(),
            left: terms.left,
            since: terms.since,
            ..self.words_of(run)
        };
        let claimed = answered(store.fleet_jobs().claim(claim)).await;
        if let Some(Claimed::Ours(token, taken)) = claimed {
            self.board.lock().note_slot(&run.job, slot);
            return Some(HeldLease {
                token: Some(token),
                taken,
                until: asked + LEASE - MARGIN,
            });
        }
        let is_others = match claimed {
            Some(Claimed::Past) => true,
            // What is wanted at no time of its own waits for its turn.
            Some(_) => slot.is_some() || terms.left > 0,
            None => slot.is_some(),
        };
        if is_others {
            self.forget(&run.id);
        }
        None
    }

    /// Whether a run need not wait for a Redis that cannot be asked: each sidecar has its own start.
    fn goes_without(&self, run: &Run) -> bool {
        let is_of_start = run.trigger == Trigger::Start && run.kind == Kind::Warm;
        is_of_start && self.started.elapsed() >= ALONE_AFTER
    }

    /// Says of all that is under way that it is.
    pub(super) async fn renew_all(&self, store: &Store) {
        for (run, claim) in self.held() {
            let (asked, id) = (clock::monotonic(), run.id.clone());
            let renewed = answered(store.fleet_jobs().renew(run, claim)).await;
            self.change(&id, |active, now| match renewed {
                Some(Renewed::Ours) => {
                    if let Some(lease) = &mut active.lease {
                        lease.until = asked + LEASE - MARGIN;
                    }
                }
                Some(Renewed::Cancel) => active.end(State::Cancelled, now),
                Some(Renewed::Lost) => active.end(State::Lost, now),
                None => {}
            });
            self.let_go_of_expired();
        }
    }

    /// Ends the runs whose lease may soon be another's.
    pub(super) fn let_go_of_expired(&self) {
        let (now, at) = (self.now(), clock::monotonic());
        for active in &mut self.board.lock().active {
            if active.lease.is_some_and(|lease| lease.until <= at) && !active.run.state.is_over() {
                active.end(State::Lost, now);
            }
        }
    }

    /// How far those are that are under way by a lease.
    fn held(&self) -> Vec<(JobProgress, JobClaim)> {
        let board = self.board.lock();
        let held = board.active.iter().filter_map(|active| {
            let (run, token) = (&active.run, active.lease?.token?);
            let is_under_way = run.state == State::Running;
            is_under_way.then(|| (progress(run, token), self.words_of(run)))
        });
        held.collect()
    }

    /// Gives back what has ended, and has those run that come after.
    pub(super) async fn finish_settled(&self, store: &Store) {
        let over = {
            let now = self.now();
            let mut board = self.board.lock();
            for active in &mut board.active {
                if active.run.is_settled() {
                    active.run.settle(now);
                }
            }
            board.take_over()
        };
        let is_any_over = !over.is_empty();
        for active in over {
            self.count(&active.run);
            let (end, name) = (self.end_of(&active), active.run.job.clone());
            let is_again =
                active.is_again && matches!(active.run.state, State::Done | State::Failed(_));
            {
                let mut board = self.board.lock();
                board.awaited.retain(|awaited| *awaited != name);
                // Before Redis hears of it, so that it is seen at every moment.
                board.remember(active.run);
                if let Some(end) = &end {
                    board.note_slot(&name, Some(end.slot));
                    board.untold.insert(name, end.clone());
                }
            }
            if let Some(end) = end {
                self.tell_end(end, store).await;
            }
            if is_again {
                let now = self.now();
                self.board.lock().queue(HOT, Kind::Hot, Trigger::Flush, now);
            }
        }
        if is_any_over {
            self.queue_followers();
        }
        self.set_gauges();
    }

    /// What Redis is to know of the end of a run; `None`: it was not by a lease of Redis's.
    fn end_of(&self, active: &Active) -> Option<JobEnd> {
        let run = &active.run;
        let token = active.lease?.token?;
        let is_left = run.state == State::Lost;
        // What came while it ran was for it, too.
        let slot = match run.trigger {
            Trigger::Schedule(slot) if !is_left => self.latest_slot(&run.job).unwrap_or(slot),
            _ => 0,
        };
        let error = run.last_error.iter().flat_map(|error| error.chars());
        Some(JobEnd {
            run: progress(run, token),
            state: if is_left { LEFT } else { run.state.as_str() },
            error: error.take(MAX_ERROR).collect(),
            slot,
        })
    }

    async fn tell_end(&self, end: JobEnd, store: &Store) {
        if let Some(now) = answered(store.fleet_jobs().finish(end.clone())).await {
            self.board.lock().note_told(&end, now);
        }
    }

    /// Tells Redis of ends that it may not have heard of.
    pub(super) async fn tell_ends(&self, store: &Store) {
        let untold: Vec<JobEnd> = self.board.lock().untold.values().cloned().collect();
        for end in untold {
            self.tell_end(end, store).await;
        }
    }

    fn latest_slot(&self, name: &str) -> Option<u64> {
        let live = self.live.load();
        let warm = live.config.warms.iter().find(|warm| warm.name == name)?;
        warm.timing.as_ref()?.latest(self.now())
    }

    fn count(&self, run: &Run) {
        let (metrics, kind) = (&self.fetcher.cache.metrics.jobs, run.kind.as_str());
        metrics
            .runs
            .with_label_values(&[kind, run.state.as_str()])
            .inc();
        let counts = &run.counts;
        for (result, count) in [
            ("stored", counts.stored),
            ("fresh", counts.fresh),
            ("refused", counts.all_refused()),
            ("failed", counts.failed),
        ] {
            metrics
                .urls
                .with_label_values(&[kind, result])
                .inc_by(count);
        }
        if let Some((begun, ended)) = run.begun.zip(run.ended) {
            let took = ended.saturating_sub(begun) as f64 / 1e3;
            metrics.seconds.with_label_values(&[kind]).observe(took);
        }
        let (job, id, error) = (&run.job, &run.id, run.last_error.as_deref());
        let (state, settled, total) = (run.state.as_str(), counts.settled(), counts.total);
        match run.state {
            State::Failed(_) => tracing::warn!(job, id, state, settled, total, error, "job: over"),
            _ => tracing::info!(job, id, state, settled, total, error, "job: over"),
        }
    }

    fn set_gauges(&self) {
        let board = self.board.lock();
        let running = board.count_running();
        let metrics = &self.fetcher.cache.metrics.jobs;
        metrics.running.set(running as i64);
        metrics.queued.set((board.active.len() - running) as i64);
    }

    /// A run that is not to be: somebody else has it.
    fn forget(&self, id: &str) {
        let mut board = self.board.lock();
        board.active.retain(|active| active.run.id != id);
    }

    fn words_of(&self, run: &Run) -> JobClaim {
        JobClaim {
            name: run.job.clone(),
            id: run.id.clone(),
            holder: self.holder.clone(),
            lasting: LEASE.as_millis() as u64,
            trigger: run.trigger.as_str(),
            slot: 0,
            known: 0,
            left: 0,
            since: 0,
        }
    }
}

/// What Redis answers, unless it takes too long.
pub(super) async fn answered<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(QUESTION, question).await.ok()?
}

fn progress(run: &Run, token: u64) -> JobProgress {
    JobProgress {
        name: run.job.clone(),
        id: run.id.clone(),
        token,
        total: run.counts.total,
        settled: run.counts.settled(),
        failed: run.counts.failed,
    }
}
