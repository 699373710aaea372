//! Keys that are to be asked for again after writes: one sees to each, however many writes come meanwhile.

use std::time::Instant;

use ahash::AHashMap;
use parking_lot::Mutex;

/// The most keys that wait (promise I7); what is over is fetched by who reads it.
const MAX_KEYS: usize = 4096;

/// The most times at which one is to be asked for.
const MAX_TIMES: usize = 16;

/// Keys that are to be asked for again, each with the times for it that are to come.
#[derive(Debug, Default)]
pub struct Refetches(Mutex<AHashMap<String, Vec<Instant>>>);

impl Refetches {
    /// Whether the key is among them.
    pub(in crate::proxy) fn has(&self, key: &str) -> bool {
        self.0.lock().contains_key(key)
    }

    /// Adds these times; whether somebody has to see to the key now.
    pub(super) fn add(&self, key: &str, times: &[Instant]) -> bool {
        let mut keys = self.0.lock();
        if let Some(known) = keys.get_mut(key) {
            for time in times {
                put(known, *time);
            }
            return false;
        }
        if keys.len() >= MAX_KEYS || times.is_empty() {
            return false;
        }
        let mut known = Vec::new();
        for time in times {
            put(&mut known, *time);
        }
        keys.insert(key.to_owned(), known);
        true
    }

    /// The next time; `None`: there is none, and the key is not among them any more.
    pub(super) fn next(&self, key: &str) -> Option<Instant> {
        let mut keys = self.0.lock();
        let next = keys.get(key)?.iter().min().copied();
        if next.is_none() {
            keys.remove(key);
        }
        next
    }

    /// The app is asked now: that does for all times until `now`.
    pub(super) fn begin(&self, key: &str, now: Instant) {
        if let Some(times) = self.0.lock().get_mut(key) {
            times.retain(|time| *time > now);
        }
    }
}

/// One more; of too many the last stays, since what is asked for then is of the time after all of them.
fn put(times: &mut Vec<Instant>, time: Instant) {
    if times.len() < MAX_TIMES {
        return times.push(time);
    }
    if let Some(last) = times.iter_mut().max() {
        *last = time.max(*last);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn each_key_is_seen_to_by_one_and_for_the_last_write() {
        let (refetches, now) = (Refetches::default(), clock::monotonic());
        let later = now + Duration::from_secs(1);
        assert!(refetches.add("a", &[now]));
        assert!(!refetches.add("a", &[now, later]), "one sees to it already");
        assert!(refetches.add("b", &[now]) && refetches.has("b"));
        assert_eq!(refetches.next("a"), Some(now));
        refetches.begin("a", now);
        assert_eq!(refetches.next("a"), Some(later));
        refetches.begin("a", later);
        assert_eq!(refetches.next("a"), None);
        assert!(!refetches.has("a") && refetches.add("a", &[now]));
    }

    #[test]
    fn it_is_bounded() {
        let (refetches, now) = (Refetches::default(), clock::monotonic());
        for _ in 0..2 * MAX_TIMES {
            refetches.add("a", &[now]);
        }
        for number in 0..2 * MAX_KEYS {
            refetches.add(&number.to_string(), &[now]);
        }
        let keys = refetches.0.lock();
        assert_eq!((keys.len(), keys["a"].len()), (MAX_KEYS, MAX_TIMES));
    }

    #[test]
    fn of_too_many_times_the_last_stays() {
        let (refetches, now) = (Refetches::default(), clock::monotonic());
        let at = |n: u64| now + Duration::from_millis(n);
        let times: Vec<Instant> = (0..20).map(at).collect();
        refetches.add("a", &times);
        refetches.add("a", &[at(40), at(30)]);
        let keys = refetches.0.lock();
        let last = keys["a"].iter().max();
        assert_eq!((keys["a"].len(), last), (MAX_TIMES, Some(&at(40))));
    }
}
