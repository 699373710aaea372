//! The gate of what no client waits for: at a rate, a few at a time, stopped by `Retry-After`, slowed by trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use prometheus::{Counter, Gauge, Histogram, IntGauge};

use super::turnstile::Turnstile;
use crate::clock;
use crate::config;
use crate::entry::Priority;
use crate::metrics::{GaugeGuard, Metrics};
use crate::politeness::{Bucket, FetchOrigin, Median, Pace, Trouble, retry_after};

/// So long after the last request of background work the app may still be at it.
const AFTERMATH: Duration = Duration::from_secs(1);

/// A 429 that names no time stops it for so long.
const UNNAMED: Duration = Duration::from_secs(1);

/// The gate of what no client waits for.
#[derive(Debug)]
pub struct Background {
    turnstile: Turnstile<{ Priority::ALL.len() }>,
    state: Mutex<State>,
    stopped_seconds: Counter,
    share: Gauge,
    running: IntGauge,
    waiting: IntGauge,
    wait_seconds: Histogram,
}

#[derive(Debug, Default)]
struct State {
    pace: Pace,
    /// When the last turn ended.
    ended: Option<Instant>,
}

/// The right to ask the app for what no client waits for, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Background>,
    _running: GaugeGuard,
}

/// How background work stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackgroundState {
    /// How long nothing is asked any more because the app said so.
    pub stopped_for: Option<Duration>,
    /// The share of its rate that it may use, 1 if the app is well.
    pub share: f64,
    /// How many are under way.
    pub running: usize,
    /// How many wait for their turn.
    pub waiting: usize,
}

impl Default for BackgroundState {
    /// Nothing has happened yet.
    fn default() -> BackgroundState {
        BackgroundState {
            stopped_for: None,
            share: 1.0,
            running: 0,
            waiting: 0,
        }
    }
}

impl BackgroundState {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self.stopped_for {
            Some(_) => "stopped",
            None if self.share < 1.0 => "slowed",
            None => "free",
        }
    }
}

impl Background {
    pub(super) fn new(settings: config::BackgroundLimits, metrics: &Metrics) -> Background {
        metrics.background_share.set(1.0);
        let bucket = bucket(settings);
        Background {
            turnstile: Turnstile::new(bucket, settings.concurrency),
            state: Mutex::default(),
            stopped_seconds: metrics.background_stopped.clone(),
            share: metrics.background_share.clone(),
            running: metrics.background_running.clone(),
            waiting: metrics.background_waiting.clone(),
            wait_seconds: metrics.background_wait.clone(),
        }
    }

    pub(super) fn tune(&self, settings: config::BackgroundLimits) {
        let (interval, burst) = (settings.rate.interval(), burst(settings));
        self.turnstile.tune(interval, burst, settings.concurrency);
    }

    /// Waits for a turn, from now on: higher priorities first, and nobody for ever. Dropping the wait gives it up.
    pub fn begin(self: &Arc<Self>, priority: Priority) -> impl Future<Output = Turn> + use<> {
        let gate = self.clone();
        let waiting = GaugeGuard::new(&gate.waiting);
        let began = clock::monotonic();
        async move {
            gate.turnstile.enter(priority.index()).await;
            let waited = clock::monotonic() - began;
            gate.wait_seconds.observe(waited.as_secs_f64());
            let turn = gate.turn();
            drop(waiting);
            turn
        }
    }

    /// A turn, if nobody has to be waited for.
    pub fn try_begin(self: &Arc<Self>) -> Option<Turn> {
        self.turnstile.try_enter().then(|| self.turn())
    }

    fn turn(self: &Arc<Self>) -> Turn {
        Turn {
            gate: self.clone(),
            _running: GaugeGuard::new(&self.running),
        }
    }

    /// How it stands.
    pub fn state(&self) -> BackgroundState {
        let (running, waiting) = self.turnstile.count();
        BackgroundState {
            stopped_for: self.stopped_for(),
            share: self.state.lock().pace.share(),
            running,
            waiting,
        }
    }

    /// How long the app wants to be left alone; `None`: it does not.
    pub fn stopped_for(&self) -> Option<Duration> {
        let until = self.turnstile.closed_until()?;
        let left = until.saturating_duration_since(clock::monotonic());
        (left > Duration::ZERO).then_some(left)
    }

    /// The head of an answer has come, for a request of `origin` and after this time; `usual` is what the app takes for
    /// such requests while it is left alone.
    pub fn note_answer(
        &self,
        origin: FetchOrigin,
        status: StatusCode,
        fields: &HeaderMap,
        took: Duration,
        usual: &Median,
    ) {
        let is_background = origin.is_background();
        match status {
            StatusCode::TOO_MANY_REQUESTS if is_background => self.note_told(fields, true),
            // This one holds for everyone; a 429 to a client may be about that client.
            StatusCode::SERVICE_UNAVAILABLE => {
                self.note_told(fields, false);
                if is_background {
                    self.note_failure();
                }
            }
            status if status.is_server_error() => {
                if is_background {
                    self.note_failure();
                }
            }
            status => self.note_took(is_background, status, took, usual),
        }
    }

    /// The app gave no answer to a request of `origin`.
    pub fn note_no_answer(&self, origin: FetchOrigin) {
        if origin.is_background() {
            self.note_failure();
        }
    }

    fn note_told(&self, fields: &HeaderMap, is_429: bool) {
        let named = retry_after(fields, clock::wall());
        let unnamed = is_429.then_some(UNNAMED);
        if let Some(delay) = named.or(unnamed) {
            self.stop_for(delay);
        }
        if is_429 {
            let now = clock::monotonic();
            self.change(|pace| pace.note_too_many(now));
        }
    }

    fn note_failure(&self) {
        let now = clock::monotonic();
        self.change(|pace| pace.note_error(now));
    }

    fn note_took(&self, is_background: bool, status: StatusCode, took: Duration, usual: &Median) {
        let now = clock::monotonic();
        let is_busy = self.is_busy(now);
        if status == StatusCode::OK {
            match usual.get().filter(|_| is_busy) {
                Some(usual) => self.change(|pace| pace.note_took(now, took, usual)),
                None => usual.note(took),
            }
        }
        if is_background {
            self.change(|pace| {
                pace.note_success(now);
                None
            });
        }
    }

    /// Whether the app is at background work, or was just now.
    fn is_busy(&self, now: Instant) -> bool {
        let (running, _) = self.turnstile.count();
        let ended = self.state.lock().ended;
        running > 0 || ended.is_some_and(|ended| now.saturating_duration_since(ended) < AFTERMATH)
    }

    fn stop_for(&self, delay: Duration) {
        let now = clock::monotonic();
        let was_stopped = self.stopped_for();
        if !self.turnstile.close_until(now + delay) {
            return;
        }
        let added = delay.saturating_sub(was_stopped.unwrap_or_default());
        self.stopped_seconds.inc_by(added.as_secs_f64());
        if was_stopped.is_none() && delay > Duration::ZERO {
            let seconds = delay.as_secs_f64();
            tracing::warn!(seconds, "background work stops: the app says Retry-After");
        }
    }

    fn change(&self, note: impl FnOnce(&mut Pace) -> Option<Trouble>) {
        let (before, share, trouble) = {
            let mut state = self.state.lock();
            let before = state.pace.share();
            let trouble = note(&mut state.pace);
            (before, state.pace.share(), trouble)
        };
        if share == before {
            return;
        }
        self.share.set(share);
        self.turnstile.slow_to(share);
        match trouble {
            Some(trouble) if before == 1.0 => {
                let why = trouble.as_str();
                tracing::warn!(why, "background work is slowed down to spare the app");
            }
            None if share == 1.0 => {
                tracing::info!("background work is at its whole rate again");
            }
            _ => tracing::debug!(share, "the pace of background work"),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.gate.state.lock().ended = Some(clock::monotonic());
        self.gate.turnstile.leave();
    }
}

/// A burst is of as many as may be under way, so that a limit in the app is not met at the first moment.
fn burst(settings: config::BackgroundLimits) -> u32 {
    u32::try_from(settings.concurrency).unwrap_or(u32::MAX)
}

fn bucket(settings: config::BackgroundLimits) -> Bucket {
    Bucket::new(settings.rate.interval(), burst(settings))
}
