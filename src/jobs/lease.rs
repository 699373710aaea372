//! Who runs a job: its lease in Redis, taken, renewed and given back. Without Redis it is this process.

use std::time::Duration;

use super::Jobs;
use super::board::{Active, Fleet, HeldLease};
use crate::agenda::{Kind, Run, State, Trigger};
use crate::clock;
use crate::store::{Claimed, JobClaim, JobProgress, Renewed, Store};

/// How long a run holds its job without a renewal: so long after a holder's death another goes on.
const LEASE: Duration = Duration::from_secs(3);

/// The holder counts less, so that it ends before another begins, whatever a message takes.
const MARGIN: Duration = Duration::from_secs(1);

/// A year, which no process without a fleet outlives.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

impl Jobs {
    /// Takes the lease of the run's job; `None`: not now, or the run is over.
    pub(super) async fn claim(&self, run: &Run, store: &Store) -> Option<HeldLease> {
        let (fleet, known) = {
            let board = self.board.lock();
            (board.fleet, board.taken.get(&run.job).copied())
        };
        let slot = match run.trigger {
            Trigger::Schedule(slot) => slot,
            _ => 0,
        };
        let asked = clock::monotonic();
        if fleet == Fleet::Alone {
            let mut board = self.board.lock();
            let taken = board.taken.entry(run.job.clone()).or_default();
            *taken = slot.max(*taken);
            return Some(HeldLease {
                token: None,
                until: asked + FOR_EVER,
            });
        }
        let claim = JobClaim {
            slot,
            known: known.unwrap_or_default(),
            ..self.words_of(run)
        };
        match store.fleet_jobs().claim(claim).await {
            Some(Claimed::Ours(token)) => {
                let mut board = self.board.lock();
                let taken = board.taken.entry(run.job.clone()).or_default();
                *taken = slot.max(*taken);
                Some(HeldLease {
                    token: Some(token),
                    until: asked + LEASE - MARGIN,
                })
            }
            // Somebody else has that time; what is wanted at no time of its own waits for its turn.
            Some(Claimed::Held | Claimed::Past) | None if slot > 0 => {
                self.forget(&run.id);
                None
            }
            Some(Claimed::Held | Claimed::Past) | None => None,
        }
    }

    /// Says of all that is under way that it is.
    pub(super) async fn renew_all(&self, store: &Store) {
        for (run, token) in self.held() {
            let asked = clock::monotonic();
            let renewed = store
                .fleet_jobs()
                .renew(progress(&run, token), self.words_of(&run))
                .await;
            self.change(&run.id, |active, now| match renewed {
                Some(Renewed::Ours) => {
                    if let Some(lease) = &mut active.lease {
                        lease.until = asked + LEASE - MARGIN;
                    }
                }
                Some(Renewed::Cancel) => active.end(State::Cancelled, now),
                Some(Renewed::Lost) => active.end(State::Lost, now),
                None => {
                    let until = active.lease.map(|lease| lease.until);
                    if until.is_some_and(|until| until <= clock::monotonic()) {
                        active.end(State::Lost, now);
                    }
                }
            });
        }
    }

    fn held(&self) -> Vec<(Run, u64)> {
        let board = self.board.lock();
        let held = board.active.iter().filter_map(|active| {
            let token = active.lease?.token?;
            (active.run.state == State::Running).then(|| (active.run.clone(), token))
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
        for active in over {
            let is_shared = self.give_back(&active, store).await;
            self.count(&active.run);
            let name = active.run.job.clone();
            let is_done = active.run.state == State::Done;
            let mut board = self.board.lock();
            board.awaited.retain(|awaited| *awaited != name);
            board.remember(active.run, is_shared);
            drop(board);
            if is_done {
                self.queue_followers(&name);
            }
        }
        self.set_gauges();
    }

    /// Returns whether Redis knows of its end.
    async fn give_back(&self, active: &Active, store: &Store) -> bool {
        let run = &active.run;
        let Some(token) = active.lease.and_then(|lease| lease.token) else {
            return false;
        };
        let is_left = run.state == State::Lost;
        let state = if is_left { "left" } else { run.state.as_str() };
        let error = run.last_error.clone().unwrap_or_default();
        // What came while it ran was for it, too.
        let slot = match run.trigger {
            Trigger::Schedule(slot) if !is_left => self.latest_slot(&run.job).unwrap_or(slot),
            _ => 0,
        };
        let done = store
            .fleet_jobs()
            .finish(progress(run, token), state, error, slot)
            .await;
        let mut board = self.board.lock();
        let taken = board.taken.entry(run.job.clone()).or_default();
        *taken = slot.max(*taken);
        done.is_some() && !is_left
    }

    fn latest_slot(&self, name: &str) -> Option<u64> {
        let live = self.live.load();
        let warm = live.config.warms.iter().find(|warm| warm.name == name)?;
        warm.timing.as_ref()?.latest(self.now())
    }

    /// Those that come after `name`, and have no time of their own.
    fn queue_followers(&self, name: &str) {
        let (live, now) = (self.live.load(), self.now());
        let mut board = self.board.lock();
        let warms = live.config.warms.iter();
        for warm in
            warms.filter(|warm| warm.follows() && warm.after.iter().any(|after| after == name))
        {
            let all_done = warm.after.iter().all(|after| {
                board.ended_well(after) == Some(true) && board.id_under_way(after, now).is_none()
            });
            if all_done {
                board.queue(&warm.name, Kind::Warm, Trigger::After, now);
            }
        }
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
        }
    }
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
