//! The circuit breaker: after some failures in a row nothing waits for Redis but a probe now and then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The breaker of the process, shared by all its connections.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: Mutex<BreakerState>,
    /// Whether it is open, so that a request need not lock.
    open: AtomicBool,
    /// Whether it counts failures, so that the usual success costs one load.
    counting: AtomicBool,
}

impl CircuitBreaker {
    /// Opens after `threshold` failures in a row, then lets a probe through every `interval`.
    pub(super) fn new(threshold: u32, interval: Duration) -> CircuitBreaker {
        CircuitBreaker {
            state: Mutex::new(BreakerState::new(threshold, interval)),
            open: AtomicBool::new(false),
            counting: AtomicBool::new(false),
        }
    }

    /// Whether requests are kept from Redis.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether the caller may try Redis: always while the breaker is closed, else once an interval.
    pub(super) fn may_probe(&self, now: Instant) -> bool {
        !self.is_open() || self.state.lock().take_probe(now)
    }

    /// A command succeeded.
    pub(super) fn note_success(&self) {
        if self.counting.load(Ordering::Acquire) {
            self.counting.store(false, Ordering::Release);
            self.state.lock().count_success();
        }
    }

    /// A command failed in a way that the next one would, too. Returns whether this opened the breaker.
    pub(super) fn note_failure(&self, now: Instant) -> bool {
        self.counting.store(true, Ordering::Release);
        let opened = self.state.lock().count_failure(now);
        if opened {
            self.open.store(true, Ordering::Release);
        }
        opened
    }

    /// Redis is back and has every purge that it missed.
    pub(super) fn close(&self) {
        self.state.lock().close();
        self.counting.store(false, Ordering::Release);
        self.open.store(false, Ordering::Release);
    }
}

/// The state machine without its atomics; the time is an argument.
#[derive(Debug)]
struct BreakerState {
    threshold: u32,
    interval: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { probe_at: Instant },
}

impl BreakerState {
    fn new(threshold: u32, interval: Duration) -> BreakerState {
        BreakerState {
            threshold: threshold.max(1),
            interval,
            phase: Phase::Closed { failures: 0 },
        }
    }

    /// Resets the count. Closes nothing: what was sent before the breaker opened may answer late.
    fn count_success(&mut self) {
        if let Phase::Closed { failures } = &mut self.phase {
            *failures = 0;
        }
    }

    /// Counts a failure; returns whether this opened the breaker.
    fn count_failure(&mut self, now: Instant) -> bool {
        let Phase::Closed { failures } = &mut self.phase else {
            return false;
        };
        *failures += 1;
        if *failures < self.threshold {
            return false;
        }
        self.phase = Phase::Open {
            probe_at: now + self.interval,
        };
        true
    }

    /// Whether the caller is to probe now; of many callers only one is, each interval. `false` while closed.
    fn take_probe(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Open { probe_at } if *probe_at <= now => {
                *probe_at = now + self.interval;
                true
            }
            _ => false,
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed { failures: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_millis(250);

    fn is_open(breaker: &BreakerState) -> bool {
        matches!(breaker.phase, Phase::Open { .. })
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let now = crate::clock::monotonic();
        let mut breaker = BreakerState::new(3, PROBE);
        for _ in 0..5 {
            assert!(!breaker.count_failure(now));
            assert!(!breaker.count_failure(now));
            breaker.count_success();
        }
        assert!(!is_open(&breaker));
        assert!(!breaker.count_failure(now));
        assert!(!breaker.count_failure(now));
        assert!(breaker.count_failure(now), "the third in a row opens it");
        assert!(is_open(&breaker));
        assert!(!breaker.count_failure(now), "open already");
    }

    #[test]
    fn probes_once_an_interval_while_open() {
        let start = crate::clock::monotonic();
        let mut breaker = BreakerState::new(1, PROBE);
        assert!(!breaker.take_probe(start), "closed");
        breaker.count_failure(start);
        assert!(!breaker.take_probe(at(start, 249)));
        assert!(breaker.take_probe(at(start, 250)));
        assert!(
            !breaker.take_probe(at(start, 250)),
            "taken by the other caller"
        );
        assert!(breaker.take_probe(at(start, 500)));
    }

    #[test]
    fn a_late_success_does_not_close_it() {
        let now = crate::clock::monotonic();
        let mut breaker = BreakerState::new(1, PROBE);
        breaker.count_failure(now);
        breaker.count_success();
        assert!(is_open(&breaker));
        breaker.close();
        assert!(!is_open(&breaker));
    }

    #[test]
    fn a_threshold_of_zero_is_one() {
        assert!(BreakerState::new(0, PROBE).count_failure(crate::clock::monotonic()));
    }
}
