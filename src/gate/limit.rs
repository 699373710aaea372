//! `[upstream] rate`: all requests to the app wait in order, those of routes with a higher priority first.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Histogram, IntGauge};

use super::turnstile::Turnstile;
use crate::clock;
use crate::config;
use crate::entry::Priority;
use crate::metrics::{GaugeGuard, Metrics};
use crate::politeness::{Bucket, FetchOrigin, RequestRate};

/// What goes at once: a tenth of a second's requests. They come unevenly, and nobody is to wait for that.
const BURST: Duration = Duration::from_millis(100);

/// That of background work, of each priority, and of what many requests wait for.
const CLASSES: usize = Priority::ALL.len() + 2;

/// The limit on all requests to the app.
#[derive(Debug)]
pub struct Limit {
    turnstile: Turnstile<CLASSES>,
    settings: Mutex<Option<config::AppLimit>>,
    waiting: IntGauge,
    wait_seconds: Histogram,
}

/// The app is asked as often as it may be: too many wait already, or the wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Limit {
    pub(super) fn new(settings: Option<config::AppLimit>, metrics: &Metrics) -> Limit {
        let limit = Limit {
            turnstile: Turnstile::new(Bucket::new(Duration::ZERO, 1), usize::MAX),
            settings: Mutex::new(None),
            waiting: metrics.upstream_waiting.clone(),
            wait_seconds: metrics.upstream_wait.clone(),
        };
        limit.tune(settings);
        limit
    }

    pub(super) fn tune(&self, settings: Option<config::AppLimit>) {
        *self.settings.lock() = settings;
        // Whoever waits when it is lifted goes at once.
        let (interval, burst) = settings.map_or((Duration::ZERO, 1), |limit| {
            (limit.rate.interval(), limit.rate.in_time(BURST))
        });
        self.turnstile.tune(interval, burst, usize::MAX);
    }

    /// Waits until the app may be asked for `origin`, under a rule of this priority.
    pub async fn pass(&self, origin: FetchOrigin, priority: Priority) -> Result<(), Busy> {
        let Some(settings) = *self.settings.lock() else {
            return Ok(());
        };
        if self.turnstile.try_enter() {
            self.turnstile.leave();
            return Ok(());
        }
        let (_, waiting) = self.turnstile.count();
        if waiting >= settings.queue {
            return Err(Busy);
        }
        let _waiting = GaugeGuard::new(&self.waiting);
        let began = clock::monotonic();
        let turn = self.turnstile.enter(class(origin, priority));
        let had = tokio::time::timeout(settings.queue_timeout, turn).await;
        let waited = clock::monotonic() - began;
        self.wait_seconds.observe(waited.as_secs_f64());
        had.map_err(|_| Busy)?;
        self.turnstile.leave();
        Ok(())
    }

    /// When it is worth asking again: as soon as those who wait have gone.
    pub fn retry_after(&self) -> Duration {
        let rate = self.settings.lock().map(|limit| limit.rate);
        let interval = rate.map_or(Duration::ZERO, RequestRate::interval);
        let (_, waiting) = self.turnstile.count();
        let ahead = u32::try_from(waiting).unwrap_or(u32::MAX);
        interval.saturating_mul(ahead.saturating_add(1))
    }
}

fn class(origin: FetchOrigin, priority: Priority) -> usize {
    match origin {
        FetchOrigin::Auth => CLASSES - 1,
        origin if origin.is_background() => 0,
        _ => 1 + priority.index(),
    }
}
