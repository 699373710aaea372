//! When the next request may go: so many in a burst, and then one each interval.
//!
//! The generic cell rate algorithm (ITU-T I.371): one time says it all, and an idle bucket costs nothing.

use std::time::{Duration, Instant};

/// The longest between two requests, however slow they are told to be.
const LONGEST_INTERVAL: Duration = Duration::from_secs(7200);

/// Lets requests go at a rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the next is due if all come evenly; `None`: none has gone yet.
    due: Option<Instant>,
}

impl Bucket {
    /// Lets `burst` go at once, one at least, and then one each `interval`.
    pub fn new(interval: Duration, burst: u32) -> Bucket {
        Bucket {
            interval,
            burst: burst.max(1),
            due: None,
        }
    }

    /// With another rate, and what has gone already counted: the next waits no longer than it would by that.
    pub fn tuned(self, interval: Duration, burst: u32, now: Instant) -> Bucket {
        let tuned = Bucket::new(interval, burst);
        Bucket {
            due: self.due.map(|due| due.min(now + interval * tuned.burst)),
            ..tuned
        }
    }

    /// Lets one go at `now`, at this `share` (above 0, at most 1) of its rate; `Err`: not before then.
    pub fn take(&mut self, now: Instant, share: f64) -> Result<(), Instant> {
        let interval = self.interval.div_f64(share.clamp(1e-3, 1.0));
        let interval = interval.min(LONGEST_INTERVAL);
        let due = self.due.map_or(now, |due| due.max(now));
        // What is due so much later has gone in the burst. Slowed down there is none.
        let ahead = match share < 1.0 {
            true => Duration::ZERO,
            false => interval * (self.burst - 1),
        };
        if due.saturating_duration_since(now) > ahead {
            return Err(due - ahead);
        }
        self.due = Some(due + interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many goes, in milliseconds, if all want to at once.
    fn gone(mut bucket: Bucket, share: f64, count: usize, start: Instant) -> Vec<u128> {
        let mut now = start;
        let mut times = Vec::new();
        while times.len() < count {
            match bucket.take(now, share) {
                Ok(()) => times.push((now - start).as_millis()),
                Err(at) => {
                    assert!(at > now, "it makes no progress");
                    now = at;
                }
            }
        }
        times
    }

    fn start() -> Instant {
        crate::clock::monotonic()
    }

    #[test]
    fn when_they_go() {
        let interval = Duration::from_millis(50);
        let rows = [
            ("one by one", 1, 1.0, vec![0, 50, 100, 150]),
            ("a burst first", 3, 1.0, vec![0, 0, 0, 50, 100]),
            ("at half the rate, and no burst", 3, 0.5, vec![0, 100, 200]),
            ("a burst of none is of one", 0, 1.0, vec![0, 50]),
        ];
        for (name, burst, share, expected) in rows {
            let bucket = Bucket::new(interval, burst);
            let found = gone(bucket, share, expected.len(), start());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn what_was_not_used_is_not_saved_up_beyond_the_burst() {
        let (mut bucket, start) = (Bucket::new(Duration::from_millis(50), 2), start());
        assert!(bucket.take(start, 1.0).is_ok());
        let late = start + Duration::from_secs(3600);
        assert_eq!(gone(bucket, 1.0, 4, late), [0, 0, 50, 100]);
    }

    #[test]
    fn tuned_it_remembers_what_has_gone() {
        let start = start();
        let mut bucket = Bucket::new(Duration::from_secs(10), 1);
        assert!(bucket.take(start, 1.0).is_ok());
        let mut tuned = bucket.tuned(Duration::from_millis(1), 1, start);
        let soon = start + Duration::from_millis(1);
        assert_eq!(tuned.take(start, 1.0), Err(soon));
        assert_eq!(tuned.take(soon, 1.0), Ok(()));
    }
}
