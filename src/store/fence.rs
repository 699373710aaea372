//! What was purged since a fill began (promise I3), exactly and in bounded memory.
//!
//! The order that keeps the promise: a purge enters the log first and removes second; a fill looks at
//! the log while it holds the lock under which it inserts. So either the fill sees the purge, or the
//! purge sees what was inserted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::routes::Purge;

/// A moment in the order of purges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// The log of recent purges, shared by all threads of the process.
#[derive(Debug, Default)]
pub struct Fence {
    /// How many purges there were; written under the log's lock, after the log.
    count: AtomicU64,
    /// The last of them, oldest first.
    log: RwLock<VecDeque<Arc<Purge>>>,
}

impl Fence {
    /// The most purges remembered; a fill older than the oldest of them counts as purged.
    pub const CAPACITY: usize = 4096;

    /// This moment: later purges fence whatever starts here.
    pub fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// Adds a purge to the log; call it before anything is removed.
    pub fn purge(&self, purge: Arc<Purge>) {
        // A push is whole or not at all, so a log whose holder panicked is still right.
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        if log.len() == Self::CAPACITY {
            log.pop_front();
        }
        log.push_back(purge);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether a purge since `mark` covers `key` with `tags`; `tags = None`: not known yet, so any
    /// purge by tag counts.
    pub fn covers(&self, mark: Mark, key: &str, tags: Option<&[Box<str>]>) -> bool {
        if self.mark() <= mark {
            return false;
        }
        let log = self.log();
        let Some(skip) = self.before(mark, &log) else {
            return true;
        };
        log.range(skip..).any(|purge| match tags {
            Some(tags) => purge.covers(key, tags),
            None => !purge.tags.is_empty() || purge.covers::<&str>(key, &[]),
        })
    }

    /// The purges since `mark`, oldest first, to do them again where they may have been undone;
    /// `None` if the log no longer reaches back so far.
    pub fn since(&self, mark: Mark) -> Option<Vec<Arc<Purge>>> {
        let log = self.log();
        let skip = self.before(mark, &log)?;
        Some(log.range(skip..).cloned().collect())
    }

    fn log(&self) -> RwLockReadGuard<'_, VecDeque<Arc<Purge>>> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many purges in `log` came before `mark`; `None` if some after it have left the log.
    fn before(&self, mark: Mark, log: &VecDeque<Arc<Purge>>) -> Option<usize> {
        let since = self.mark().0.saturating_sub(mark.0);
        log.len().checked_sub(usize::try_from(since).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Arc<Purge> {
        Arc::new(Purge {
            everything: true,
            ..Purge::default()
        })
    }

    #[test]
    fn a_purge_fences_what_began_before_it_and_nothing_after() {
        let fence = Fence::default();
        let before = fence.mark();
        assert!(!fence.covers(before, "key", None), "nothing was purged");
        fence.purge(everything());
        let after = fence.mark();
        assert!(fence.covers(before, "key", Some(&[])));
        assert!(!fence.covers(after, "key", Some(&[])));
        fence.purge(Arc::default());
        assert!(!fence.covers(after, "key", None), "it covers nothing");
        assert!(fence.covers(before, "key", None));
    }

    #[test]
    fn what_left_the_log_counts_as_purged() {
        let fence = Fence::default();
        let first = fence.mark();
        fence.purge(Arc::default());
        let second = fence.mark();
        for _ in 1..Fence::CAPACITY {
            fence.purge(Arc::default());
        }
        assert!(!fence.covers(first, "key", None), "the log is just full");
        fence.purge(Arc::default());
        assert!(fence.covers(first, "key", None));
        assert!(!fence.covers(second, "key", None));
        assert!(fence.log().len() <= Fence::CAPACITY);
    }

    #[test]
    fn since_gives_the_purges_after_a_mark_in_order() {
        let fence = Fence::default();
        let start = fence.mark();
        fence.purge(everything());
        let middle = fence.mark();
        fence.purge(Arc::default());
        let lengths = |mark| fence.since(mark).map(|purges| purges.len());
        assert_eq!(lengths(start), Some(2));
        assert_eq!(fence.since(middle), Some(vec![Arc::default()]));
        assert_eq!(lengths(fence.mark()), Some(0));
        assert_eq!(lengths(Mark(100)), Some(0), "a mark of the future");
        for _ in 0..Fence::CAPACITY {
            fence.purge(Arc::default());
        }
        assert_eq!(lengths(start), None);
    }
}
