//! Which runs are due, which may begin, and what they begin with.

use std::sync::Arc;

use super::board::{Active, Terms};
use super::fetching::How;
use super::{Jobs, LOOK};
use crate::agenda::{Fetch, Kind, Run, Source, State, Trigger, Warm, What};
use crate::clock;
use crate::store::Store;

/// The name of the job of `[jobs] hot`.
pub const HOT: &str = "hot";

/// What comes of a run that wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// For runs of these jobs.
    Waits(Vec<String>),
    /// A job that it comes after has failed.
    Vain(String),
    /// Its job is not in the config any more.
    Gone,
}

impl Jobs {
    /// What runs when a sidecar starts.
    pub(super) fn queue_start(&self) {
        let live = self.live.load();
        let now = self.now();
        let mut board = self.board.lock();
        for warm in live.config.warms.iter().filter(|warm| warm.on_start) {
            board.queue(&warm.name, Kind::Warm, Trigger::Start, now);
        }
        if live.config.jobs.hot > 0 {
            board.queue(HOT, Kind::Hot, Trigger::Start, now);
        }
    }

    /// What the clock says.
    pub(super) fn queue_due(&self) {
        let live = self.live.load();
        let now = self.now();
        let mut board = self.board.lock();
        if !board.takes_slots(now) {
            return;
        }
        for warm in &live.config.warms {
            let slot = warm.timing.as_ref().and_then(|timing| timing.latest(now));
            let Some(slot) = slot else {
                continue;
            };
            if board.wants_slot(&warm.name, slot, now) {
                board.queue(&warm.name, Kind::Warm, Trigger::Schedule(slot), now);
            }
        }
        drop(board);
        self.queue_left();
    }

    /// What others have begun and left undone, of no schedule.
    fn queue_left(&self) {
        let now = self.now();
        let left = self.board.lock().left_runs(now);
        for (name, trigger, terms) in left {
            if let Some(kind) = self.kind_of(&name) {
                let mut board = self.board.lock();
                board.queue_on(terms, &name, kind, trigger, now);
            }
        }
    }

    /// Those that come after others, and have no time of their own: whoever has run these, and whoever finds out.
    pub(super) fn queue_followers(&self) {
        let (live, now) = (self.live.load(), self.now());
        let mut board = self.board.lock();
        let warms = live.config.warms.iter();
        for warm in warms.filter(|warm| warm.follows()) {
            if let Some(terms) = board.follows(&warm.name, &warm.after, now) {
                board.queue_on(terms, &warm.name, Kind::Warm, Trigger::After, now);
            }
        }
    }

    /// When there is something to do that no message tells of: the next time of any job, or the end of another's lease.
    pub(super) fn next_slot(&self, now: u64) -> Option<u64> {
        let live = self.live.load();
        let warms = live.config.warms.iter();
        let timings = warms.filter_map(|warm| warm.timing.as_ref());
        let slots = timings.filter_map(|timing| timing.next(now));
        let board = self.board.lock();
        let held = board.records.values().filter(|record| record.is_held(now));
        slots.chain(held.map(|record| record.until)).min()
    }

    /// Begins what may begin.
    pub(super) async fn begin_ready(&self, store: &Store) {
        for id in self.waiting_ids() {
            match self.readiness(&id) {
                Readiness::Ready => {
                    self.begin(&id, store).await;
                    self.let_go_of_expired();
                }
                Readiness::Waits(names) => self.change(&id, |active, _| {
                    active.run.state = State::Waiting(names);
                }),
                Readiness::Vain(name) => self.change(&id, |active, now| {
                    active.run.last_error =
                        Some(format!("{name}, which it comes after, has failed"));
                    active.end(State::Failed(0), now);
                }),
                Readiness::Gone => self.change(&id, |active, now| {
                    active.run.last_error = Some("the config has no such job any more".to_owned());
                    active.end(State::Cancelled, now);
                }),
            }
        }
    }

    fn waiting_ids(&self) -> Vec<String> {
        let board = self.board.lock();
        let waiting = board
            .active
            .iter()
            .filter(|active| active.refused.is_none_or(|at| at.elapsed() >= LOOK))
            .filter(|active| matches!(active.run.state, State::Queued | State::Waiting(_)));
        waiting.map(|active| active.run.id.clone()).collect()
    }

    fn readiness(&self, id: &str) -> Readiness {
        let (live, now) = (self.live.load(), self.now());
        let board = self.board.lock();
        let Some(active) = board.active.iter().find(|active| active.run.id == id) else {
            return Readiness::Gone;
        };
        let run = &active.run;
        if run.kind == Kind::Hot {
            return Readiness::Ready;
        }
        let Some(warm) = live.config.warms.iter().find(|warm| warm.name == run.job) else {
            return Readiness::Gone;
        };
        let under_way = warm
            .after
            .iter()
            .filter(|name| board.id_under_way(name, now).is_some());
        let under_way: Vec<String> = under_way.cloned().collect();
        if !under_way.is_empty() {
            return Readiness::Waits(under_way);
        }
        let failed = warm
            .after
            .iter()
            .find(|name| board.ended_well(name) == Some(false));
        match failed {
            // Whoever orders it knows better.
            Some(name) if run.trigger != Trigger::Order => Readiness::Vain(name.clone()),
            _ => Readiness::Ready,
        }
    }

    /// Begins a run if its lease is to be had.
    async fn begin(&self, id: &str, store: &Store) {
        let Some((run, terms)) = self.run(id) else {
            return;
        };
        let Some(lease) = self.claim(&run, terms, store).await else {
            return self.change(id, |active, _| active.refused = Some(clock::monotonic()));
        };
        let (fetches, how, priority, retries) = self.plan(&run, store).await;
        self.change(id, move |active, now| {
            active.lease = Some(lease);
            active.how = how;
            let run = active.run.clone().with(priority, retries);
            active.run = run;
            active.run.begin(fetches, now);
        });
        let kind = run.kind.as_str();
        let waited = self.now().saturating_sub(run.queued) as f64 / 1e3;
        let metrics = &self.fetcher.cache.metrics.jobs;
        metrics.wait.with_label_values(&[kind]).observe(waited);
        let (trigger, slot) = (run.trigger.as_str(), run.trigger.slot());
        tracing::info!(job = run.job, id = run.id, trigger, slot, "job: begun");
    }

    /// What a run fetches, and how.
    async fn plan(
        &self,
        run: &Run,
        store: &Store,
    ) -> (Vec<Fetch>, How, crate::entry::Priority, u32) {
        let live = self.live.load_full();
        let warm = live.config.warms.iter().find(|warm| warm.name == run.job);
        let spares_fresh = run.trigger.spares_fresh();
        match warm.filter(|_| run.kind == Kind::Warm) {
            Some(warm) => {
                let how = How {
                    timeout: warm.timeout,
                    priority: warm.priority,
                    spares_fresh,
                    each: match &warm.source {
                        Source::From { each, .. } => Some(Arc::new(each.clone())),
                        Source::Listed(_) => None,
                    },
                    origin: warm.origin.clone(),
                };
                (fetches_of(warm), how, warm.priority, warm.retries)
            }
            None => {
                let how = How {
                    timeout: live.config.upstream.timeout,
                    spares_fresh: true,
                    ..How::default()
                };
                (
                    self.hot_fetches(store).await,
                    how,
                    crate::entry::Priority::default(),
                    2,
                )
            }
        }
    }

    fn run(&self, id: &str) -> Option<(Run, Terms)> {
        let board = self.board.lock();
        let active = board.active.iter().find(|active| active.run.id == id);
        active.map(|active| (active.run.clone(), active.terms))
    }

    /// Changes a run that is not over.
    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Active, u64)) {
        let now = self.now();
        let mut board = self.board.lock();
        let mut active = board.active.iter_mut();
        if let Some(active) =
            active.find(|active| active.run.id == id && !active.run.state.is_over())
        {
            change(active, now);
        }
    }
}

fn fetches_of(warm: &Warm) -> Vec<Fetch> {
    let fields = Arc::new(warm.headers.clone());
    let fetch = |what, url: &str| Fetch {
        what,
        url: format!("{}{url}", warm.origin),
        fields: fields.clone(),
        tries: 0,
        put_off: 0,
    };
    match &warm.source {
        Source::Listed(urls) => urls.iter().map(|url| fetch(What::Page, url)).collect(),
        Source::From { list, .. } => vec![fetch(What::List, list)],
    }
}
