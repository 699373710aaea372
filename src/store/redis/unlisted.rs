//! What memory holds and Redis does not: no purge made elsewhere reaches it, so it is held for a short time only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most keys that are known one by one.
const MOST: usize = 10_000;

/// The keys, oldest first, with the time at which each was put into memory.
#[derive(Debug, Default)]
pub(super) struct Unlisted(Mutex<VecDeque<(Instant, Box<str>)>>);

impl Unlisted {
    /// `key` has been put into memory at `now`. Returns the key that is no longer known, if there are too many.
    pub(super) fn note(&self, key: &str, now: Instant) -> Option<Box<str>> {
        let mut keys = self.0.lock();
        keys.push_back((now, key.into()));
        match keys.len() > MOST {
            true => keys.pop_front().map(|(_, key)| key),
            false => None,
        }
    }

    /// Those that were put there longer than `most` ago; they are no longer known.
    pub(super) fn take_old(&self, most: Duration, now: Instant) -> Vec<Box<str>> {
        let mut keys = self.0.lock();
        let is_old = |at: Instant| now.saturating_duration_since(at) > most;
        let count = keys.iter().take_while(|(at, _)| is_old(*at)).count();
        keys.drain(..count).map(|(_, key)| key).collect()
    }

    /// All of them; they are no longer known.
    pub(super) fn take_all(&self) -> Vec<Box<str>> {
        self.0.lock().drain(..).map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let unlisted = Unlisted::default();
        let start = crate::clock::monotonic();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, key) in [(0, "a"), (1, "b"), (2, "a")] {
            assert_eq!(unlisted.note(key, at(second)), None);
        }
        let most = Duration::from_secs(10);
        assert!(unlisted.take_old(most, at(10)).is_empty());
        let text = |keys: Vec<Box<str>>| keys.join(" ");
        assert_eq!(text(unlisted.take_old(most, at(12))), "a b");
        assert_eq!(text(unlisted.take_all()), "a");
        for _ in 0..MOST {
            assert_eq!(unlisted.note("c", at(3)), None);
        }
        assert_eq!(unlisted.note("d", at(4)), Some("c".into()));
    }
}
