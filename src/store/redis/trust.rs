//! How long memory may answer as if it had heard of every purge made elsewhere.
//!
//! Redis tells a connection of changes before it answers what the connection asks next. So whatever was
//! answered to a command proves that all is known that had happened when the command was sent. Memory is trusted
//! for `[redis] staleness` from then on, by the monotonic clock: a process that was frozen, or cut off without
//! noticing, distrusts its memory before its first answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// The trust of one process's memory.
#[derive(Debug)]
pub(super) struct Trust {
    staleness: Duration,
    /// What the times below count from, in µs.
    start: Instant,
    /// When all that was there was confirmed last; 0: never.
    confirmed: AtomicU64,
}

impl Trust {
    pub(super) fn new(staleness: Duration) -> Trust {
        Trust {
            staleness,
            // Before now, so that 0 is before all that happens.
            start: clock::monotonic() - Duration::from_micros(1),
            confirmed: AtomicU64::new(0),
        }
    }

    /// Everything that happened until `at` is known, as far as it concerns what memory holds; `None`: memory
    /// holds nothing of Redis.
    pub(super) fn confirm(&self, at: Option<Instant>) {
        let micros = at.map_or(0, |at| self.micros(at));
        self.confirmed.store(micros, Ordering::Release);
    }

    /// Whether memory may answer at `now`.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= self.staleness)
    }

    /// Whether what was confirmed at `at` is no longer so at `now`.
    pub(super) fn is_past(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.staleness
    }

    /// How long ago what memory holds was confirmed; `None`: never.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        match self.confirmed.load(Ordering::Acquire) {
            0 => None,
            confirmed => Some(Duration::from_micros(
                self.micros(now).saturating_sub(confirmed),
            )),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lapses_by_itself() {
        let staleness = Duration::from_millis(1000);
        let trust = Trust::new(staleness);
        let now = clock::monotonic();
        let at = |millis| now + Duration::from_millis(millis);
        assert!(!trust.is_held(now), "nothing was heard yet");
        assert_eq!(trust.age(now), None);
        trust.confirm(Some(now));
        assert!(trust.is_held(now) && trust.is_held(at(1000)));
        assert!(!trust.is_held(at(1001)));
        assert_eq!(trust.age(at(1500)), Some(Duration::from_millis(1500)));
        trust.confirm(Some(at(1400)));
        assert!(trust.is_held(at(2400)) && !trust.is_held(at(2401)));
        trust.confirm(None);
        assert!(!trust.is_held(at(1400)));
    }
}
