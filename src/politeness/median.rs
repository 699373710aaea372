//! What the app usually takes: the median of what was seen, followed step by step.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A median that a few answers settle, in two numbers.
#[derive(Debug, Default)]
pub struct Median {
    /// In microseconds.
    value: AtomicU32,
    count: AtomicU64,
}

impl Median {
    /// With fewer answers nothing is known.
    pub const LEAST: u64 = 8;

    /// Takes one more in. What two threads note at the same moment may count once.
    pub fn note(&self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let value = self.value.load(Ordering::Relaxed);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // Large steps find it, small ones keep it.
        let step = |part: u32| (value / part).max(1);
        let step = step(if count < 4 * Median::LEAST { 4 } else { 32 });
        let value = match took.cmp(&value) {
            _ if count == 0 => took,
            std::cmp::Ordering::Greater => value.saturating_add(step).min(took),
            std::cmp::Ordering::Less => (value - step.min(value)).max(took),
            std::cmp::Ordering::Equal => value,
        };
        self.value.store(value, Ordering::Relaxed);
    }

    /// The median, if enough is known.
    pub fn get(&self) -> Option<Duration> {
        let is_known = self.count.load(Ordering::Relaxed) >= Median::LEAST;
        let value = self.value.load(Ordering::Relaxed);
        is_known.then(|| Duration::from_micros(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_after_a_few() {
        let median = Median::default();
        for _ in 1..Median::LEAST {
            median.note(Duration::from_millis(5));
            assert_eq!(median.get(), None);
        }
        median.note(Duration::from_millis(5));
        assert_eq!(median.get(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn what_is_rare_does_not_move_it_and_what_stays_does() {
        let median = Median::default();
        let (fast, slow) = (Duration::from_millis(10), Duration::from_secs(2));
        for round in 0..300 {
            median.note(if round % 5 == 0 { slow } else { fast });
        }
        let found = median.get().expect("known");
        assert!(found < 2 * fast, "{found:?}");
        for _ in 0..400 {
            median.note(slow);
        }
        assert_eq!(median.get(), Some(slow));
    }
}
