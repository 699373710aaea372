//! Jobs: what is fetched without a client, at its time, once in the fleet.
//!
//! One task of the process does all of it ([`Jobs::follow`]). Each turn of it looks at what Redis knows of the jobs, queues the
//! runs that are due, takes the lease of those that may begin, has the next URLs fetched, and gives back what has ended. What
//! is to be done when is decided by values (`crate::agenda`); the state is on the [`board`](Board).

mod begin;
mod board;
mod fetching;
mod hot;
mod lease;
mod show;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::board::{Board, Fleet};
use self::fetching::{Fetcher, Fetching};
use crate::agenda::{Kind, State, Trigger, next_turn};
use crate::clock;
use crate::live::Live;
use crate::proxy::Worker;
use crate::store::Store;

pub use self::begin::HOT;
pub use self::show::{Listing, RunShown, Summary};

/// How often Redis is asked what the fleet does.
const LOOK: Duration = Duration::from_secs(1);

/// How often a run that is under way says so.
const RENEW: Duration = Duration::from_millis(400);

/// All jobs of the process.
pub struct Jobs {
    live: Arc<ArcSwap<Live>>,
    fetcher: Arc<Fetcher>,
    board: Mutex<Board>,
    changed: Notify,
    warmed: CancellationToken,
    leaving: CancellationToken,
    started: Instant,
    /// This process, for people who read of it elsewhere.
    holder: String,
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No such job, or run.
    #[error("there is no job or run \"{0}\": GET /jobs lists them")]
    Unknown(String),
    /// It runs.
    #[error("{0} is queued or under way as {1}: wait for its end, or cancel it")]
    UnderWay(String, String),
    /// Another sidecar has it, and Redis cannot be asked.
    #[error("another sidecar runs {0}, and Redis cannot be asked now: try again")]
    Unreachable(String),
    /// The process ends.
    #[error("this sidecar is about to end")]
    Leaving,
}

impl Jobs {
    /// Of a process that starts now. `worker` fetches; `warmed` is cancelled once the jobs with `ready` have run.
    pub fn new(worker: Worker, warmed: CancellationToken) -> Jobs {
        let live = worker.live.load_full();
        let starting = live.config.warms.iter().filter(|warm| warm.ready);
        let board = Board::waited_for(starting.map(|warm| warm.name.clone()).collect());
        if board.awaited.is_empty() {
            warmed.cancel();
        }
        Jobs {
            live: worker.live.clone(),
            leaving: worker.leaving.clone(),
            fetcher: Arc::new(Fetcher::of(worker)),
            board: Mutex::new(board),
            changed: Notify::new(),
            warmed,
            started: clock::monotonic(),
            holder: holder(),
        }
    }

    /// Does what is to be done, as long as the process runs; never returns. `store`: of this runtime.
    pub async fn follow(&self, store: &Store) {
        self.queue_start();
        let mut fetches = JoinSet::new();
        let (mut looked, mut renewed) = (None, clock::monotonic());
        let mut told = clock::monotonic();
        while !self.leaving.is_cancelled() {
            if looked.is_none_or(|at: Instant| at.elapsed() >= LOOK) {
                looked = Some(clock::monotonic());
                self.look(store).await;
            }
            self.queue_due();
            self.begin_ready(store).await;
            if renewed.elapsed() >= RENEW {
                renewed = clock::monotonic();
                self.renew_all(store).await;
            }
            if told.elapsed() >= hot::TELL {
                told = clock::monotonic();
                self.tell_hot(store).await;
            }
            self.fetch_next(&mut fetches);
            self.finish_settled(store).await;
            self.note_readiness();
            self.pause(&mut fetches).await;
        }
        self.leave(store, &mut fetches).await;
        std::future::pending().await
    }

    /// Everything was purged: what was hot is fetched again.
    pub fn note_flush(&self) {
        if self.live.load().config.jobs.hot > 0 {
            let now = self.now();
            self.board.lock().queue(HOT, Kind::Hot, Trigger::Flush, now);
            self.changed.notify_one();
        }
    }

    /// Redis was emptied. Memory finds out with the next beat, and until then what it holds would be taken for fresh.
    fn note_emptied(&self) {
        self.note_flush();
        let later = clock::monotonic() + LOOK;
        let mut board = self.board.lock();
        for active in board
            .active
            .iter_mut()
            .filter(|active| active.run.trigger == Trigger::Flush)
        {
            active.refused = Some(later);
        }
    }

    /// Queues a run of a job; returns its id.
    pub fn order(&self, name: &str) -> Result<String, OrderError> {
        if self.leaving.is_cancelled() {
            return Err(OrderError::Leaving);
        }
        let kind = self
            .kind_of(name)
            .ok_or_else(|| OrderError::Unknown(name.to_owned()))?;
        let now = self.now();
        let mut board = self.board.lock();
        if let Some(id) = board.id_under_way(name, now) {
            return Err(OrderError::UnderWay(name.to_owned(), id));
        }
        let id = board.queue(name, kind, Trigger::Order, now);
        self.changed.notify_one();
        Ok(id)
    }

    /// Ends a run, here or wherever it is under way; returns the name of its job.
    pub async fn cancel(&self, id: &str, store: &Store) -> Result<String, OrderError> {
        let unknown = || OrderError::Unknown(id.to_owned());
        let now = self.now();
        let elsewhere = {
            let mut board = self.board.lock();
            let name = board.active.iter().find(|active| active.run.id == id);
            if let Some(name) = name.map(|active| active.run.job.clone()) {
                board.cancel(id, now);
                self.changed.notify_one();
                return Ok(name);
            }
            let held = board.records.iter().find(|(_, record)| record.id == id);
            held.map(|(name, _)| name.clone())
        };
        let name = elsewhere.ok_or_else(unknown)?;
        match store.fleet_jobs().cancel(&name, id).await {
            Some(true) => Ok(name),
            Some(false) => Err(unknown()),
            None => Err(OrderError::Unreachable(name)),
        }
    }

    /// Jobs whose run at the start `/readyz` waits for.
    pub fn awaited(&self) -> Vec<String> {
        match self.warmed.is_cancelled() {
            true => Vec::new(),
            false => self.board.lock().awaited.clone(),
        }
    }

    fn kind_of(&self, name: &str) -> Option<Kind> {
        let live = self.live.load();
        let is_warm = live.config.warms.iter().any(|warm| warm.name == name);
        let is_hot = name == HOT && live.config.jobs.hot > 0;
        is_warm
            .then_some(Kind::Warm)
            .or(is_hot.then_some(Kind::Hot))
    }

    /// What the fleet does.
    async fn look(&self, store: &Store) {
        if !store.is_shared() {
            return self.board.lock().set_fleet(Fleet::Alone);
        }
        let known = self.board.lock().known_slots();
        match store.fleet_jobs().look(known).await {
            Some((now, records)) => {
                let was_flushed = self.board.lock().take_in(records, now);
                if was_flushed {
                    self.note_emptied();
                }
            }
            None => self.board.lock().set_fleet(Fleet::Unreachable),
        }
    }

    /// Gives the next URLs to fetch to whoever has the next turn.
    fn fetch_next(&self, fetches: &mut JoinSet<Fetching>) {
        let now = self.now();
        let mut board = self.board.lock();
        let at_a_time = self.live.load().config.upstream.background.concurrency;
        while fetches.len() < at_a_time {
            let wanting = board.active.iter().enumerate();
            let wanting = wanting.filter(|(_, active)| active.run.wants_turn(now));
            let runs = wanting.map(|(at, active)| (at, active.run.priority, active.run.last_turn));
            let Some(at) = next_turn(runs, now) else {
                return;
            };
            let Some(fetch) = board.active[at].next(now) else {
                return;
            };
            let active = &mut board.active[at];
            let errand = fetching::carry_out(
                self.fetcher.clone(),
                self.live.load_full(),
                active.run.id.clone(),
                active.how.clone(),
                fetch,
            );
            active.under_way.push(fetches.spawn(errand));
        }
    }

    /// Until something has come, or is due.
    async fn pause(&self, fetches: &mut JoinSet<Fetching>) {
        let now = self.now();
        let (is_busy, due) = {
            let board = self.board.lock();
            let due = board
                .active
                .iter()
                .filter_map(|active| active.run.due())
                .min();
            (!board.active.is_empty(), due)
        };
        let tick = if is_busy { RENEW / 4 } else { LOOK };
        let due = due.into_iter().chain(self.next_slot(now)).min();
        let due = due.map(|due| Duration::from_millis(due.saturating_sub(now).max(1)));
        let pause = due.map_or(tick, |due| due.min(tick));
        tokio::select! {
            Some(fetched) = fetches.join_next(), if !fetches.is_empty() => self.take_in(fetched),
            () = self.changed.notified() => {}
            () = self.leaving.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        while let Some(fetched) = fetches.try_join_next() {
            self.take_in(fetched);
        }
    }

    fn take_in(&self, fetched: Result<Fetching, tokio::task::JoinError>) {
        // One that was given up belongs to a run that is over.
        let Ok(Fetching {
            run,
            fetch,
            fetched,
        }) = fetched
        else {
            return;
        };
        let (now, share) = (self.now(), fastrand::f64());
        let mut board = self.board.lock();
        if let Some(active) = board.active.iter_mut().find(|active| active.run.id == run) {
            active.under_way.retain(|fetch| !fetch.is_finished());
            active.run.note(fetch, fetched, now, share);
        }
    }

    /// The jobs that readiness waits for have ended, or have had their time.
    fn note_readiness(&self) {
        if self.warmed.is_cancelled() {
            return;
        }
        let within = self.live.load().config.jobs.ready_within;
        let awaited = self.board.lock().awaited.clone();
        let is_late = self.started.elapsed() >= within;
        if is_late && !awaited.is_empty() {
            tracing::warn!(jobs = awaited.join(", "), after = ?within, "ready before its jobs have ended");
        }
        if is_late || awaited.is_empty() {
            self.warmed.cancel();
        }
    }

    /// The process ends: what it has begun is left to others.
    async fn leave(&self, store: &Store, fetches: &mut JoinSet<Fetching>) {
        fetches.abort_all();
        self.tell_hot(store).await;
        let now = self.now();
        self.board.lock().end_all(State::Lost, now);
        self.finish_settled(store).await;
    }

    /// Milliseconds of fleet time.
    fn now(&self) -> u64 {
        let since = self
            .fetcher
            .cache
            .clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_millis() as u64
    }
}

fn holder() -> String {
    let system = rustix::system::uname();
    format!(
        "{}:{}",
        system.nodename().to_string_lossy(),
        std::process::id()
    )
}
