//! Purges that are carried out again a while after their write, for apps that act later than they answer
//! (`again_after`). What is filled in between lives no longer than to the last of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::entry::Variant;
use crate::routes::Purge;

/// The most that wait, one for each time; a further one makes everything go at its time (promise I7).
pub(super) const MAX_WAITING: usize = 4096;

/// Times are rounded up to this, so that the purges of a busy moment go as one.
const SLOT: Duration = Duration::from_millis(50);

/// The purges that wait, shared by all threads of the process.
#[derive(Debug)]
pub(super) struct LaterPurges {
    /// How many wait, so that the usual case costs one load.
    count: AtomicUsize,
    /// Times are counted in slots from here.
    begin: Instant,
    slots: Mutex<BTreeMap<u32, Vec<LaterPurge>>>,
    /// Tells who waits for the first of them that there is another.
    changed: Notify,
}

/// One that waits for its time.
#[derive(Clone, Debug)]
pub(super) struct LaterPurge {
    pub(super) purge: Arc<Purge>,
    /// As Redis has it, should this process end before its time.
    pub(super) record: Option<Arc<str>>,
}

impl LaterPurges {
    /// None yet.
    pub(super) fn new(now: Instant) -> LaterPurges {
        LaterPurges {
            count: AtomicUsize::new(0),
            begin: now,
            slots: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Adds one that is due at `at`.
    pub(super) fn add(&self, later: LaterPurge, at: Instant) {
        let mut slots = self.slots.lock();
        let slot = slots.entry(self.slot_of(at)).or_default();
        let is_there = |other: &LaterPurge| {
            *other.purge == Purge::of_everything()
                || (other.purge == later.purge && other.record == later.record)
        };
        match self.len() < MAX_WAITING {
            _ if slot.iter().any(is_there) => {}
            true => {
                slot.push(later);
                self.count.fetch_add(1, Ordering::AcqRel);
            }
            false => {
                tracing::warn!(
                    waiting = MAX_WAITING,
                    "too many purges wait to be carried out again: everything will go"
                );
                self.count.fetch_sub(slot.len(), Ordering::AcqRel);
                self.count.fetch_add(1, Ordering::AcqRel);
                slot.clear();
                slot.push(LaterPurge {
                    purge: Arc::new(Purge::of_everything()),
                    record: None,
                });
            }
        }
        drop(slots);
        self.changed.notify_waiters();
    }

    /// Waits until some are due, and takes them.
    pub(super) async fn due(&self) -> Vec<LaterPurge> {
        loop {
            let changed = self.changed.notified();
            let first = self.slots.lock().keys().next().copied();
            let Some(slot) = first else {
                changed.await;
                continue;
            };
            let at = tokio::time::Instant::from_std(self.begin + SLOT * slot);
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(at) => {
                    let due = self.slots.lock().remove(&slot).unwrap_or_default();
                    self.count.fetch_sub(due.len(), Ordering::AcqRel);
                    return due;
                }
            }
        }
    }

    /// How long from `now` the last one is off that covers `variant` under `key`.
    pub(super) fn last_that_covers(
        &self,
        key: &str,
        variant: &Variant,
        now: Instant,
    ) -> Option<Duration> {
        if self.len() == 0 {
            return None;
        }
        let slots = self.slots.lock();
        let covers = |later: &LaterPurge| later.purge.covers(key, &variant.tags);
        let (last, _) = slots
            .iter()
            .rev()
            .find(|(_, slot)| slot.iter().any(covers))?;
        Some((self.begin + SLOT * *last).saturating_duration_since(now))
    }

    fn slot_of(&self, at: Instant) -> u32 {
        let since = at.saturating_duration_since(self.begin).as_millis();
        u32::try_from(since.div_ceil(SLOT.as_millis())).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::entry::tests::samples;
    use crate::routes::Pattern;

    fn later(key: &str) -> LaterPurge {
        LaterPurge {
            purge: Arc::new(Purge {
                keys: vec![Pattern::parse(key)],
                ..Purge::default()
            }),
            record: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn they_come_at_their_times_and_together() {
        let begin = clock::monotonic();
        let purges = LaterPurges::new(begin);
        let ms = Duration::from_millis;
        for (key, after) in [("b", 130), ("a", 20), ("c", 120), ("a", 40)] {
            purges.add(later(key), begin + ms(after));
        }
        assert_eq!(purges.len(), 3, "one of the same and the same moment");
        for expected in [&["a"][..], &["b", "c"]] {
            let due = purges.due().await;
            let keys: Vec<_> = due
                .iter()
                .filter_map(|due| due.purge.keys[0].exact())
                .collect();
            assert_eq!(keys, expected);
        }
        assert_eq!(purges.len(), 0);
    }

    #[test]
    fn the_last_that_covers_counts() {
        let begin = clock::monotonic();
        let purges = LaterPurges::new(begin);
        let ms = Duration::from_millis;
        let variant = samples::variant("x");
        assert_eq!(purges.last_that_covers("a", &variant, begin), None);
        for (key, after) in [("a", 500), ("*", 2000), ("b", 3000)] {
            purges.add(later(key), begin + ms(after));
        }
        for (key, last) in [("a", 2000), ("b", 3000), ("c", 2000)] {
            let found = purges.last_that_covers(key, &variant, begin);
            assert_eq!(found, Some(ms(last)), "{key}");
        }
        let late = purges.last_that_covers("a", &variant, begin + ms(5000));
        assert_eq!(late, Some(Duration::ZERO), "one that is late");
    }

    #[test]
    fn too_many_become_everything() {
        let begin = clock::monotonic();
        let purges = LaterPurges::new(begin);
        for number in 0..MAX_WAITING {
            purges.add(later(&format!("k{number}")), begin);
        }
        for number in 0..10 {
            purges.add(later(&format!("further{number}")), begin);
        }
        assert_eq!(purges.len(), 1);
        let variant = samples::variant("x");
        assert!(
            purges
                .last_that_covers("anything", &variant, begin)
                .is_some()
        );
    }
}
