//! What the clients saw, as the checker and the report want it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pannier::clock;
use parking_lot::{Mutex, MutexGuard};

use super::checker::{Item, Moment, Origin, Read, Version, Write};
use super::fleet::SIDECARS;

/// Shared by all clients of a history.
pub(crate) struct Recorder {
    begun: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
    /// What the `Cache-Status` of each write says, as far as reports go.
    pub(crate) told: HashMap<(Item, Version), String>,
    /// Bodies that are not what the app sent, or are for another path.
    pub(crate) torn: Vec<String>,
    /// Requests that were not answered as they should be, though the app did its part.
    pub(crate) failed: Vec<String>,
    /// Requests that the app failed.
    pub(crate) app_failed: usize,
    /// Requests whose sidecar was killed.
    pub(crate) cut: usize,
    /// What reads took beyond what the app may take; without those whose sidecar was frozen.
    pub(crate) added: Vec<Duration>,
    /// The read that took most beyond that.
    pub(crate) slowest: Option<Slow>,
    /// What was done to Redis or the fleet, and when.
    pub(crate) notes: Vec<(Moment, String)>,
    watched_from: Moment,
    found_again: [Option<Moment>; SIDECARS],
}

/// What a read took beyond what the app may take.
pub(crate) struct Slow {
    pub(crate) added: Duration,
    pub(crate) begun: Moment,
    /// Where it went, and what its `Cache-Status` says.
    pub(crate) told: String,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder {
            begun: clock::monotonic(),
            recorded: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock()
    }

    pub(crate) fn moment(&self, at: Instant) -> Moment {
        at.duration_since(self.begun)
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        let now = self.moment(clock::monotonic());
        self.lock().notes.push((now, what.into()));
    }

    /// From now on, reads are looked for that Redis answers.
    pub(crate) fn watch_for_redis(&self) {
        let now = self.moment(clock::monotonic());
        let mut recorded = self.lock();
        recorded.watched_from = now;
        recorded.found_again = Default::default();
    }

    /// How long after that each sidecar had one.
    pub(crate) fn redis_is_back(&self) -> Option<Duration> {
        let recorded = self.lock();
        let found = recorded.found_again.iter().copied();
        let last = found.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(last - recorded.watched_from)
    }
}

impl Recorded {
    /// Whether there are so many writes, and reads that the cache answered.
    pub(crate) fn has(&self, count: usize) -> bool {
        let hits = self.reads.iter().filter(|read| read.is_hit);
        self.writes.len() >= count && hits.take(count).count() == count
    }

    pub(crate) fn written(
        &mut self,
        by: Origin,
        acknowledged: Moment,
        made: &[(Item, Version)],
        told: &str,
    ) {
        let told = made.iter().map(|&of| (of, told.to_owned()));
        self.told.extend(told);
        let writes = made.iter().map(|&(item, version)| Write {
            item,
            version,
            by,
            acknowledged,
        });
        self.writes.extend(writes);
    }

    /// `told` is asked for where no read before took longer.
    pub(crate) fn added(&mut self, added: Duration, begun: Moment, told: impl FnOnce() -> String) {
        self.added.push(added);
        let is_slowest = self
            .slowest
            .as_ref()
            .is_none_or(|slowest| slowest.added < added);
        if is_slowest {
            let told = told();
            self.slowest = Some(Slow { added, begun, told });
        }
    }

    /// A hit on a strict route: memory cannot have answered it.
    pub(crate) fn redis_answered(&mut self, by: Origin, begun: Moment, ended: Moment) {
        if begun >= self.watched_from {
            self.found_again[by.sidecar].get_or_insert(ended);
        }
    }
}
