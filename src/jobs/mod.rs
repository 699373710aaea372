//! Jobs: what is fetched without a client, at its time, once in the fleet.
//!
//! One task of the process does all of it ([`Jobs::follow`]). Each turn of it looks at what Redis knows of the jobs, queues the
//! runs that are due, takes the lease of those that may begin, has the next URLs fetched, and gives back what has ended. What
//! is to be done when is decided by values (`crate::agenda`); the state is on the [`board`](Board).

mod begin;
mod board;
mod fetches;
mod fetching;
mod hot;
mod lease;
mod show;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::board::{Board, Fleet, Terms};
use self::fetches::{Ended, Fetches};
use self::fetching::Fetcher;
use crate::agenda::{Kind, State, Trigger, next_turn};
use crate::clock;
use crate::live::Live;
use crate::proxy::Worker;
use crate::store::Store;

use self::lease::answered;

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
    /// Whether it was said that the list of hot keys is too long.
    is_hot_list_cut: AtomicBool,
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
            is_hot_list_cut: AtomicBool::new(false),
            holder: holder(),
        }
    }

    /// Does what is to be done, as long as the process runs; never returns. `store`: of this runtime.
    pub async fn follow(&self, store: &Store) {
        self.queue_start();
        let mut fetches = Fetches::default();
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
        self.queue_flushed(0);
    }

    fn queue_flushed(&self, since: u64) {
        if self.live.load().config.jobs.hot > 0 {
            let (terms, now) = (Terms { left: 0, since }, self.now());
            let mut board = self.board.lock();
            board.queue_on(terms, HOT, Kind::Hot, Trigger::Flush, now);
            self.changed.notify_one();
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
        match answered(store.fleet_jobs().cancel(&name, id)).await {
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
        self.tell_ends(store).await;
        let known = self.board.lock().known_slots();
        match answered(store.fleet_jobs().look(known)).await {
            Some((now, records)) => {
                self.board.lock().take_in(records, now);
                self.queue_followers();
            }
            None => self.board.lock().set_fleet(Fleet::Unreachable),
        }
        self.note_lost(store);
    }

    /// What Redis held is void: it was flushed, whoever did that, or has gone back to older data. What was hot is fetched
    /// again, once for all who find out.
    fn note_lost(&self, store: &Store) {
        let lost = self.board.lock().note_valid_since(store.valid_since());
        if let Some(since) = lost {
            self.queue_flushed(since);
        }
    }

    /// Gives the next URLs to fetch to whoever has the next turn.
    fn fetch_next(&self, fetches: &mut Fetches) {
        self.let_go_of_expired();
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
                active.how.clone(),
                fetch.clone(),
            );
            let task = fetches.begin(&active.run.id, fetch, errand);
            active.under_way.push(task);
        }
    }

    /// Until something has come, or is due.
    async fn pause(&self, fetches: &mut Fetches) {
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
            ended = fetches.next() => ended.into_iter().for_each(|ended| self.take_in(ended)),
            () = self.changed.notified() => {}
            () = self.leaving.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        for ended in fetches.take_ended() {
            self.take_in(ended);
        }
    }

    fn take_in(&self, ended: Ended) {
        let Ended {
            run,
            fetch,
            fetched,
        } = ended;
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
    async fn leave(&self, store: &Store, fetches: &mut Fetches) {
        fetches.give_up();
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
