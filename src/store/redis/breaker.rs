//! The circuit breaker: after some failures in a row nothing waits for Redis but a probe now and then.
//!
//! A pure state machine; the time is an argument.

use std::time::{Duration, Instant};

/// Whether requests may use Redis.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    interval: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Instant },
}

impl Breaker {
    /// Opens after `threshold` failures in a row, then probes every `interval`.
    pub(super) fn new(threshold: u32, interval: Duration) -> Breaker {
        Breaker {
            threshold: threshold.max(1),
            interval,
            state: State::Closed { failures: 0 },
        }
    }

    /// A command succeeded. Closes nothing: what was sent before the breaker opened may answer late.
    pub(super) fn succeeded(&mut self) {
        if let State::Closed { failures } = &mut self.state {
            *failures = 0;
        }
    }

    /// A command failed; whether this opened the breaker.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let State::Closed { failures } = &mut self.state else {
            return false;
        };
        *failures += 1;
        if *failures < self.threshold {
            return false;
        }
        self.state = State::Open {
            probe_at: now + self.interval,
        };
        true
    }

    /// Whether the caller is to probe now; of many callers only one is, each interval.
    pub(super) fn probe(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Open { probe_at } if *probe_at <= now => {
                *probe_at = now + self.interval;
                true
            }
            _ => false,
        }
    }

    /// Redis is back and has been told all it missed.
    pub(super) fn close(&mut self) {
        self.state = State::Closed { failures: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_millis(250);

    fn is_open(breaker: &Breaker) -> bool {
        matches!(breaker.state, State::Open { .. })
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let now = crate::clock::monotonic();
        let mut breaker = Breaker::new(3, PROBE);
        for _ in 0..5 {
            assert!(!breaker.failed(now));
            assert!(!breaker.failed(now));
            breaker.succeeded();
        }
        assert!(!is_open(&breaker));
        assert!(!breaker.failed(now));
        assert!(!breaker.failed(now));
        assert!(breaker.failed(now), "the third in a row opens it");
        assert!(is_open(&breaker));
        assert!(!breaker.failed(now), "open already");
    }

    #[test]
    fn probes_once_an_interval_while_open() {
        let start = crate::clock::monotonic();
        let mut breaker = Breaker::new(1, PROBE);
        assert!(!breaker.probe(start), "closed");
        breaker.failed(start);
        assert!(!breaker.probe(at(start, 249)));
        assert!(breaker.probe(at(start, 250)));
        assert!(!breaker.probe(at(start, 250)), "taken by the other caller");
        assert!(breaker.probe(at(start, 500)));
    }

    #[test]
    fn a_late_success_does_not_close_it() {
        let now = crate::clock::monotonic();
        let mut breaker = Breaker::new(1, PROBE);
        breaker.failed(now);
        breaker.succeeded();
        assert!(is_open(&breaker));
        breaker.close();
        assert!(!is_open(&breaker));
    }

    #[test]
    fn a_threshold_of_zero_is_one() {
        assert!(Breaker::new(0, PROBE).failed(crate::clock::monotonic()));
    }
}
