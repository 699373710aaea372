//! Names that this process has read in Redis, and that nothing is stored under, until Redis forgets that it has (`unwatch`).

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most keys that are remembered from one look to the next, a few times a second; of further ones Redis is not told.
const MOST_KEYS: usize = 4096;

/// The most credentials that are known to be watched; of further ones Redis is not told.
const MOST_IDENTITIES: usize = 16_384;

/// Credentials of one look.
const IDENTITIES_AT_A_TIME: usize = 1024;

/// From the question who somebody is, or from one look to the next, until it is looked at whether there is an answer.
const SETTLED: Duration = Duration::from_secs(5);

/// The keys since the last look.
#[derive(Debug, Default)]
pub(super) struct Unstored(Mutex<HashSet<Box<str>>>);

impl Unstored {
    /// Redis had nothing under `key`, or what was to be stored there is not.
    pub(super) fn note(&self, key: &str) {
        let mut keys = self.0.lock();
        if keys.len() < MOST_KEYS && !keys.contains(key) {
            keys.insert(key.into());
        }
    }

    /// Something is stored there.
    pub(super) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }

    pub(super) fn take(&self) -> HashSet<Box<str>> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Credentials that Redis watches the name of, for whoever asked who has them.
#[derive(Debug, Default)]
pub(super) struct WatchedIdentities(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    /// Oldest first.
    queue: VecDeque<(Instant, Box<str>)>,
    names: HashSet<Box<str>>,
}

impl WatchedIdentities {
    /// They are about to be watched.
    pub(super) fn note(&self, name: &str, now: Instant) {
        let watched = &mut *self.0.lock();
        if watched.queue.len() < MOST_IDENTITIES && watched.names.insert(name.into()) {
            watched.queue.push_back((now, name.into()));
        }
    }

    /// Some that have been watched for a while, and nothing is known of; the others of these wait again.
    pub(super) fn take_unknown(
        &self,
        now: Instant,
        is_known: impl Fn(&str) -> bool,
    ) -> Vec<Box<str>> {
        let watched = &mut *self.0.lock();
        let mut unknown = Vec::new();
        for _ in 0..watched.queue.len().min(IDENTITIES_AT_A_TIME) {
            let is_settled =
                |(since, _): &(Instant, _)| now.saturating_duration_since(*since) > SETTLED;
            if !watched.queue.front().is_some_and(is_settled) {
                break;
            }
            let Some((_, name)) = watched.queue.pop_front() else {
                break;
            };
            if is_known(&name) {
                watched.queue.push_back((now, name));
            } else {
                watched.names.remove(&name);
                unknown.push(name);
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_known_of_somebody_keeps_them_watched() {
        let watched = WatchedIdentities::default();
        let start = clock::monotonic();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, name) in [(0, "a"), (0, "b"), (1, "a"), (3, "c")] {
            watched.note(name, at(second));
        }
        let taken = |second, known: &str| {
            let unknown = watched.take_unknown(at(second), |name| known.contains(name));
            unknown.concat()
        };
        assert_eq!(taken(5, ""), "", "they may be asked about still");
        assert_eq!(taken(6, "b"), "a");
        assert_eq!(taken(10, ""), "c");
        assert_eq!(taken(12, ""), "b");
        watched.note("a", at(20));
        assert_eq!(taken(30, ""), "a", "watched anew");
        for number in 0..2 * MOST_IDENTITIES {
            watched.note(&number.to_string(), at(40));
        }
        assert_eq!(watched.0.lock().queue.len(), MOST_IDENTITIES);
    }

    #[test]
    fn no_more_keys_than_the_cap_are_kept() {
        let unstored = Unstored::default();
        for number in 0..2 * MOST_KEYS {
            unstored.note(&number.to_string());
            unstored.note("0");
        }
        assert_eq!(unstored.take().len(), MOST_KEYS);
        assert!(unstored.take().is_empty());
    }
}
