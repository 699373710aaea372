//! Purges that Redis has not confirmed: what they cover is neither served from it (after a soft one: not as fresh) nor
//! stored in it.
//!
//! A purge is entered before it is sent and leaves when Redis has confirmed it, so one whose caller goes away
//! half-way is not lost. Failed ones wait here until the supervisor sends them again (promise I4); with `[redis] journal`
//! a file has them too (`recorder`), and the next process sends what this one could not.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::entry::{Entry, Variant};
use crate::routes::{Purge, PurgeKind};

/// The most failed purges kept one by one; more become one of everything.
pub(in crate::store) const MAX_FAILED: usize = 1024;
/// The most bytes of them, likewise.
const MAX_FAILED_BYTES: usize = 8 << 20;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The unconfirmed purges, shared by all threads of the process.
#[derive(Debug, Default)]
pub(in crate::store) struct Journal {
    /// The length of `purges`, so that the usual case costs one load.
    len: AtomicUsize,
    purges: Mutex<PurgeList>,
    /// Tells who waits of each failed one that has been carried out.
    landed: Notify,
}

#[derive(Debug, Default)]
struct PurgeList {
    next_id: u64,
    entries: Vec<UnconfirmedPurge>,
    retry: Option<(Instant, Duration)>,
}

#[derive(Debug)]
struct UnconfirmedPurge {
    id: u64,
    purge: Arc<Purge>,
    failed: bool,
    /// It stands for all that failed before it.
    is_collapsed: bool,
}

/// An entry of Redis as it may be served while purges are unconfirmed.
#[derive(Debug)]
pub(in crate::store) enum Masked {
    /// As it is: none covers it.
    Untouched(Arc<Entry>),
    /// As stale: a soft one covers it.
    Stale(Arc<Entry>),
    /// Not at all: a hard one covers it.
    Hidden,
}

/// A purge on its way; dropped before [`PurgeInFlight::confirm`], it counts as failed.
#[derive(Debug)]
pub(in crate::store) struct PurgeInFlight<'j> {
    journal: &'j Journal,
    id: u64,
    confirmed: bool,
}

impl Journal {
    /// Enters a purge that is about to be sent.
    pub(in crate::store) fn enter(&self, purge: Arc<Purge>) -> PurgeInFlight<'_> {
        let id = self.push(purge, false);
        PurgeInFlight {
            journal: self,
            id,
            confirmed: false,
        }
    }

    /// Enters purges that had failed before this process began.
    pub(in crate::store) fn restore(&self, failed: impl IntoIterator<Item = Arc<Purge>>) {
        for purge in failed {
            self.push(purge, true);
        }
    }

    /// Whether an unconfirmed purge covers `key` with `tags`: then what Redis holds under it is not added to, and is not
    /// served, or as stale alone (promise I2). Without tags, only what covers it by its key counts.
    pub(in crate::store) fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        self.covering(key, tags).is_some()
    }

    /// As [`Journal::covers`]: of which kind; a hard one goes before a soft one.
    pub(in crate::store) fn covering(&self, key: &str, tags: &[Box<str>]) -> Option<PurgeKind> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let purges = self.purges.lock();
        let covering = purges.entries.iter().filter(|e| e.purge.covers(key, tags));
        let mut kinds = covering.map(|entry| entry.purge.kind);
        let first = kinds.next()?;
        let is_hard = first == PurgeKind::Hard || kinds.any(|kind| kind == PurgeKind::Hard);
        Some(if is_hard { PurgeKind::Hard } else { first })
    }

    /// What is left of `entry`, which Redis holds under `key`, until the purges that cover it have landed; `None`:
    /// nothing that may be served.
    pub(in crate::store) fn mask(&self, key: &str, entry: Arc<Entry>, now: SystemTime) -> Masked {
        let covering = |variant: &Arc<Variant>| self.covering(key, &variant.tags);
        let kinds: Vec<PurgeKind> = entry.variants.iter().filter_map(covering).collect();
        if kinds.is_empty() {
            return Masked::Untouched(entry);
        }
        if kinds.contains(&PurgeKind::Hard) {
            return Masked::Hidden;
        }
        let mut entry = Entry::clone(&entry);
        entry.soften(now);
        Masked::Stale(Arc::new(entry))
    }

    /// The failed ones, oldest first.
    pub(in crate::store) fn failed(&self) -> Vec<(u64, Arc<Purge>)> {
        let purges = self.purges.lock();
        let failed = purges.entries.iter().filter(|entry| entry.failed);
        failed
            .map(|entry| (entry.id, Arc::clone(&entry.purge)))
            .collect()
    }

    /// How many failed.
    pub(in crate::store) fn failed_count(&self) -> usize {
        match self.len.load(Ordering::Acquire) {
            0 => 0,
            _ => self
                .purges
                .lock()
                .entries
                .iter()
                .filter(|entry| entry.failed)
                .count(),
        }
    }

    /// Removes failed ones, which Redis has carried out after all.
    pub(in crate::store) fn confirm(&self, ids: impl IntoIterator<Item = u64>) {
        let ids: HashSet<u64> = ids.into_iter().collect();
        self.change(|purges| {
            purges.entries.retain(|entry| !ids.contains(&entry.id));
            purges.retry = None;
        });
        self.landed.notify_waiters();
    }

    /// Whether a failed one is carried out within `longest`.
    pub(in crate::store) async fn lands_within(&self, id: u64, longest: Duration) -> bool {
        let has_landed = async {
            loop {
                let landed = self.landed.notified();
                let stands_for_it = |entry: &UnconfirmedPurge| {
                    entry.id == id || (entry.is_collapsed && entry.id > id)
                };
                if !self.purges.lock().entries.iter().any(stands_for_it) {
                    return;
                }
                landed.await;
            }
        };
        tokio::time::timeout(longest, has_landed).await.is_ok()
    }

    /// The failed ones are to be sent again as soon as anybody looks.
    pub(in crate::store) fn hurry(&self) {
        self.change(|purges| purges.retry = None);
    }

    /// Whether the caller is to send the failed ones again now; each time it is, the wait until the next
    /// attempt doubles.
    pub(in crate::store) fn take_retry(&self, now: Instant) -> bool {
        if self.failed_count() == 0 {
            return false;
        }
        self.change(|purges| match purges.retry {
            Some((at, _)) if now < at => false,
            before => {
                let wait = before.map_or(FIRST_RETRY, |(_, wait)| (wait * 2).min(LAST_RETRY));
                purges.retry = Some((now + wait, wait));
                true
            }
        })
    }

    fn push(&self, purge: Arc<Purge>, failed: bool) -> u64 {
        self.change(|purges| {
            let id = purges.next_id;
            purges.next_id += 1;
            purges.entries.push(UnconfirmedPurge {
                id,
                purge,
                failed,
                is_collapsed: false,
            });
            id
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut PurgeList) -> T) -> T {
        let mut purges = self.purges.lock();
        let result = change(&mut purges);
        self.len.store(purges.entries.len(), Ordering::Release);
        result
    }
}

impl PurgeList {
    fn collapse(&mut self) {
        let failed = || self.entries.iter().filter(|entry| entry.failed);
        let bytes = failed().map(|entry| entry.purge.bytes()).sum::<usize>();
        if failed().count() <= MAX_FAILED && bytes <= MAX_FAILED_BYTES {
            return;
        }
        self.entries.retain(|entry| !entry.failed);
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push(UnconfirmedPurge {
            id,
            purge: Arc::new(Purge::of_everything()),
            failed: true,
            is_collapsed: true,
        });
    }
}

impl PurgeInFlight<'_> {
    /// It waits to be sent again, as what is returned.
    pub(in crate::store) fn fail(self) -> u64 {
        self.id
    }

    /// Redis has carried it out.
    pub(in crate::store) fn confirm(mut self) {
        self.confirmed = true;
    }
}

impl Drop for PurgeInFlight<'_> {
    fn drop(&mut self) {
        self.journal.change(|purges| {
            if self.confirmed {
                purges.entries.retain(|entry| entry.id != self.id);
            } else {
                for entry in purges.entries.iter_mut().filter(|e| e.id == self.id) {
                    entry.failed = true;
                }
                purges.collapse();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::samples;
    use crate::routes::Pattern;

    fn purge(key: &str) -> Arc<Purge> {
        Arc::new(Purge {
            keys: vec![Pattern::literal(key)],
            ..Purge::default()
        })
    }

    #[test]
    fn a_hard_one_hides_an_entry_and_a_soft_one_leaves_it_as_stale() {
        let soft = || Arc::new(Purge::clone(&purge("a")).into_soft());
        let rows: [(&str, Vec<Arc<Purge>>, &str); 5] = [
            ("none", vec![], "untouched"),
            ("another's", vec![purge("b")], "untouched"),
            ("hard", vec![purge("a")], "hidden"),
            ("soft", vec![soft()], "stale"),
            ("both", vec![soft(), purge("a")], "hidden"),
        ];
        for (name, failed, expected) in rows {
            let journal = Journal::default();
            journal.restore(failed);
            let held = Arc::new(samples::entry(samples::variant("body")));
            let masked = match journal.mask("a", held, samples::at(7)) {
                Masked::Untouched(entry) => {
                    assert_eq!(entry.variants[0].stored.softened, None, "{name}");
                    "untouched"
                }
                Masked::Stale(entry) => {
                    assert_eq!(
                        entry.variants[0].stored.softened,
                        Some(samples::at(7)),
                        "{name}"
                    );
                    "stale"
                }
                Masked::Hidden => "hidden",
            };
            assert_eq!(masked, expected, "{name}");
        }
    }

    #[test]
    fn covers_from_entry_to_landing() {
        let journal = Journal::default();
        let on_its_way = journal.enter(purge("a"));
        assert!(journal.covers("a", &[]));
        assert!(!journal.covers("b", &[]));
        assert_eq!(journal.failed_count(), 0);
        on_its_way.confirm();
        assert!(!journal.covers("a", &[]));
    }

    #[test]
    fn a_dropped_one_is_kept_until_it_lands() {
        let journal = Journal::default();
        drop(journal.enter(purge("a")));
        let failed = journal.failed();
        assert_eq!(failed.len(), 1);
        assert!(journal.covers("a", &[]));
        journal.confirm([failed[0].0]);
        assert!(!journal.covers("a", &[]));
        assert_eq!(journal.failed_count(), 0);
    }

    #[test]
    fn too_many_become_one_of_everything() {
        let journal = Journal::default();
        let on_its_way = journal.enter(purge("in flight"));
        for i in 0..MAX_FAILED {
            drop(journal.enter(purge(&i.to_string())));
        }
        assert_eq!(journal.failed_count(), MAX_FAILED);
        assert!(!journal.covers("other", &[]));
        drop(journal.enter(purge("one more")));
        assert_eq!(journal.failed_count(), 1);
        assert!(journal.covers("other", &[]));
        on_its_way.confirm();
        assert_eq!(journal.failed_count(), 1);
    }

    #[test]
    fn too_many_bytes_become_one_of_everything() {
        let journal = Journal::default();
        let bytes = MAX_FAILED_BYTES / 4;
        for i in 0..3 {
            drop(journal.enter(purge(&(i.to_string() + &"x".repeat(bytes)))));
        }
        assert_eq!(journal.failed_count(), 3);
        assert!(!journal.covers("other", &[]));
        drop(journal.enter(purge(&"x".repeat(bytes))));
        assert_eq!(journal.failed_count(), 1);
        assert!(journal.covers("other", &[]));
    }

    #[test]
    fn retries_wait_longer_each_time() {
        let journal = Journal::default();
        let start = crate::clock::monotonic();
        assert!(!journal.take_retry(start), "nothing failed");
        drop(journal.enter(purge("a")));
        assert!(journal.take_retry(start));
        assert!(!journal.take_retry(start + FIRST_RETRY / 2));
        assert!(journal.take_retry(start + FIRST_RETRY));
        assert!(!journal.take_retry(start + FIRST_RETRY * 2));
        assert!(journal.take_retry(start + FIRST_RETRY * 3));
    }
}
