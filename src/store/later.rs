//! Purges that are carried out again a while after their write, for apps that act later than they answer
//! (`again_after`). What is filled in between lives no longer than to the last of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::entry::Variant;
use crate::routes::{Purge, PurgeKind};

/// The most patterns that wait; at a time for which there are more everything goes (promise I7).
pub(super) const MAX_WAITING: usize = 16_384;

/// Bytes of a pattern that counts as one.
const OF_ORDINARY_PATTERN: usize = 512;

/// The most bytes of records of them that Redis has at a time.
const MAX_RECORDED: usize = 256 << 10;

/// Times are rounded up to this, so that the purges of a busy moment go as one.
const SLOT: Duration = Duration::from_millis(50);

/// The purges that wait, shared by all threads of the process.
#[derive(Debug)]
pub(super) struct LaterPurges {
    /// How many patterns wait, so that the usual case costs one load.
    count: AtomicUsize,
    /// Times are counted in slots from here.
    begin: Instant,
    slots: Mutex<Slots>,
    /// Tells who waits for the first of them that there is another.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    by_time: BTreeMap<u32, Vec<LaterPurge>>,
    /// Bytes of all records.
    recorded: usize,
}

/// One that waits for its time.
#[derive(Clone, Debug)]
pub(super) struct LaterPurge {
    pub(super) purge: Arc<Purge>,
    /// As Redis has it, should this process end before its time; several, where it stands for several.
    pub(super) records: Vec<Arc<str>>,
}

impl LaterPurge {
    /// Patterns; one that is long counts as several.
    fn weight(&self) -> usize {
        let patterns = self.purge.keys.len() + self.purge.tags.len();
        patterns
            .max(self.purge.bytes() / OF_ORDINARY_PATTERN)
            .max(1)
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.len()).sum()
    }
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

    /// Adds one that is due at `at`; returns whether Redis is to keep its records. They are dropped where it is there already,
    /// or Redis has as many as it may.
    pub(super) fn add(&self, mut later: LaterPurge, at: Instant) -> bool {
        let mut slots = self.slots.lock();
        let room = MAX_RECORDED.saturating_sub(slots.recorded);
        let slot = slots.by_time.entry(self.slot_of(at)).or_default();
        let is_there = |other: &LaterPurge| {
            *other.purge == Purge::of_everything() || other.purge == later.purge
        };
        if slot.iter().any(is_there) {
            return false;
        }
        if later.bytes() > room {
            later.records.clear();
        }
        let (bytes, before) = (later.bytes(), weight_of(slot));
        slot.push(later);
        let others = self.len() - before;
        if others + weight_of(slot) > MAX_WAITING {
            *slot = joined(slot);
        }
        if others + weight_of(slot) > MAX_WAITING {
            tracing::warn!(
                waiting = MAX_WAITING,
                "too many purges wait to be carried out again: everything will go"
            );
            *slot = vec![LaterPurge {
                purge: Arc::new(Purge::of_everything()),
                records: records_of(slot),
            }];
        }
        self.count
            .store(others + weight_of(slot), Ordering::Release);
        slots.recorded += bytes;
        drop(slots);
        self.changed.notify_waiters();
        bytes > 0
    }

    /// Waits until some are due, and takes them.
    pub(super) async fn due(&self) -> Vec<LaterPurge> {
        loop {
            let changed = self.changed.notified();
            let first = self.slots.lock().by_time.keys().next().copied();
            let Some(slot) = first else {
                changed.await;
                continue;
            };
            let at = tokio::time::Instant::from_std(self.begin + SLOT * slot);
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(at) => {
                    let mut slots = self.slots.lock();
                    let due = slots.by_time.remove(&slot).unwrap_or_default();
                    self.count.fetch_sub(weight_of(&due), Ordering::AcqRel);
                    slots.recorded -= due.iter().map(LaterPurge::bytes).sum::<usize>();
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
        let slots = &self.slots.lock().by_time;
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

fn weight_of(slot: &[LaterPurge]) -> usize {
    slot.iter().map(LaterPurge::weight).sum()
}

fn records_of(slot: &[LaterPurge]) -> Vec<Arc<str>> {
    slot.iter()
        .flat_map(|later| later.records.iter().cloned())
        .collect()
}

/// As one of each kind, each pattern once.
fn joined(slot: &[LaterPurge]) -> Vec<LaterPurge> {
    let of_kind = |kind| {
        let some: Vec<LaterPurge> = slot
            .iter()
            .filter(|it| it.purge.kind == kind)
            .cloned()
            .collect();
        LaterPurge {
            purge: Arc::new(Purge::joined(kind, some.iter().map(|later| &*later.purge))),
            records: records_of(&some),
        }
    };
    let all = PurgeKind::ALL.into_iter().map(of_kind);
    all.filter(|later| !later.purge.is_empty()).collect()
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
            records: Vec::new(),
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
    fn too_many_become_everything_at_their_time() {
        const EACH: usize = 128;
        let begin = clock::monotonic();
        let purges = LaterPurges::new(begin);
        let soon = begin + Duration::from_secs(1);
        let several = |from: usize, to: usize, record: &str| LaterPurge {
            purge: Arc::new(Purge {
                keys: (from..to)
                    .map(|number| Pattern::parse(&format!("k{number}")))
                    .collect(),
                ..Purge::default()
            }),
            records: vec![record.into()],
        };
        purges.add(later("sooner"), soon);
        let record = "r".repeat(MAX_RECORDED / 100);
        for number in 0..MAX_WAITING / EACH {
            let from = number * EACH;
            let to = (from + EACH).min(MAX_WAITING - 1);
            let is_recorded = purges.add(several(from, to, &record), begin);
            assert_eq!(is_recorded, number < 100, "{number}");
        }
        assert_eq!(purges.len(), MAX_WAITING);
        purges.add(several(5, 500, &record), begin);
        assert_eq!(purges.len(), MAX_WAITING, "each of them is there already");
        for number in 0..10 {
            purges.add(later(&format!("further{number}")), begin);
        }
        assert_eq!(purges.len(), 2);
        let slots = purges.slots.lock();
        let records: Vec<_> = slots
            .by_time
            .values()
            .map(|slot| records_of(slot).len())
            .collect();
        assert_eq!(records, [100, 0], "to be forgotten with it");
        drop(slots);
        let variant = samples::variant("x");
        let last = |key| purges.last_that_covers(key, &variant, begin);
        assert_eq!(last("anything"), Some(Duration::ZERO));
        assert_eq!(last("sooner"), Some(Duration::from_secs(1)), "others stand");
    }
}
