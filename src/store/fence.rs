//! What was purged since a fill began (promise I3), exactly and in bounded memory.
//!
//! The order that keeps the promise: a purge enters the log first and removes second; a fill looks at
//! the log while it holds the lock under which it inserts. So either the fill sees the purge, or the
//! purge sees what was inserted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::routes::Purge;

/// A moment in the order of purges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// What is known of the tags of something that may have been purged.
#[derive(Clone, Copy, Debug)]
pub enum Tags<'a> {
    /// All of them.
    Known(&'a [Box<str>]),
    /// Not known yet; each will begin so.
    Beginning(&'a str),
}

/// The log of recent purges, shared by all threads of the process.
#[derive(Debug, Default)]
pub struct Fence {
    /// How many purges there were; written under the log's lock, after the log.
    count: AtomicU64,
    log: RwLock<Log>,
}

/// The last purges.
#[derive(Debug, Default)]
struct Log {
    /// Oldest first.
    purges: VecDeque<Arc<Purge>>,
    /// What they take.
    bytes: usize,
}

impl Fence {
    /// The most purges remembered; a fill older than the oldest of them counts as purged.
    pub const CAPACITY: usize = 4096;

    /// The most bytes of those, as of [`Purge::bytes`].
    pub const MAX_BYTES: usize = 8 << 20;

    /// This moment: later purges fence whatever starts here.
    pub fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// Adds a purge to the log; call it before anything is removed.
    pub fn purge(&self, purge: Arc<Purge>) {
        let mut log = self.log.write();
        log.bytes += purge.bytes();
        log.purges.push_back(purge);
        while log.purges.len() > Self::CAPACITY || log.bytes > Self::MAX_BYTES {
            let Some(oldest) = log.purges.pop_front() else {
                break;
            };
            log.bytes -= oldest.bytes();
        }
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether a purge since `mark` covers `key` with `tags`; where they are not known yet, any purge
    /// that may cover one of them counts.
    pub fn covers(&self, mark: Mark, key: &str, tags: Tags<'_>) -> bool {
        if self.mark() <= mark {
            return false;
        }
        let log = self.log.read();
        let Some(skip) = self.count_before(mark, &log.purges) else {
            return true;
        };
        log.purges.range(skip..).any(|purge| match tags {
            Tags::Known(tags) => purge.covers(key, tags),
            Tags::Beginning(prefix) => {
                purge.covers::<&str>(key, &[]) || purge.may_cover_tag_beginning(prefix)
            }
        })
    }

    /// How many purges in `log` came before `mark`; `None` if some after it have left the log.
    fn count_before(&self, mark: Mark, log: &VecDeque<Arc<Purge>>) -> Option<usize> {
        let since = self.mark().0.saturating_sub(mark.0);
        log.len().checked_sub(usize::try_from(since).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Pattern;

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
        assert!(
            !fence.covers(before, "key", Tags::Beginning("")),
            "nothing was purged"
        );
        fence.purge(everything());
        let after = fence.mark();
        assert!(fence.covers(before, "key", Tags::Known(&[])));
        assert!(!fence.covers(after, "key", Tags::Known(&[])));
        fence.purge(Arc::default());
        assert!(
            !fence.covers(after, "key", Tags::Beginning("")),
            "it covers nothing"
        );
        assert!(fence.covers(before, "key", Tags::Beginning("")));
    }

    #[test]
    fn tags_that_are_not_known_yet() {
        let by_tag = |pattern: &str| {
            let fence = Fence::default();
            fence.purge(Arc::new(Purge {
                tags: vec![Pattern::parse(pattern)],
                ..Purge::default()
            }));
            fence
        };
        let covers = |pattern, tags| by_tag(pattern).covers(Mark(0), "key", tags);
        #[rustfmt::skip]
        let rows = [
            ("any tag", "user:1", "", true),
            ("one that begins so", "user:1", "user:", true),
            ("just that", "user:", "user:", true),
            ("one that does not", "user:1", "board:", false),
            ("a shorter one", "user", "user:", false),
            ("a wildcard before", "*", "user:", true),
            ("a wildcard inside", "us*1", "user:", true),
            ("a wildcard behind", "user:1*", "user:", true),
            ("a wildcard elsewhere", "board*", "user:", false),
        ];
        for (name, pattern, prefix, expected) in rows {
            assert_eq!(covers(pattern, Tags::Beginning(prefix)), expected, "{name}");
        }
        assert!(!covers("*", Tags::Known(&[])));
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
        assert!(
            !fence.covers(first, "key", Tags::Beginning("")),
            "the log is just full"
        );
        fence.purge(Arc::default());
        assert!(fence.covers(first, "key", Tags::Beginning("")));
        assert!(!fence.covers(second, "key", Tags::Beginning("")));
        assert!(fence.log.read().purges.len() <= Fence::CAPACITY);
    }

    #[test]
    fn long_ones_leave_it_sooner() {
        let fence = Fence::default();
        let long = |times| {
            let keys = vec![Pattern::literal(&"k".repeat(4_000)); times];
            Arc::new(Purge {
                keys,
                ..Purge::default()
            })
        };
        let mut marks = Vec::new();
        for _ in 0..100 {
            marks.push(fence.mark());
            fence.purge(long(50));
            assert!(fence.log.read().bytes <= Fence::MAX_BYTES);
        }
        let covered = marks.iter();
        let covered = covered.filter(|mark| fence.covers(**mark, "key", Tags::Known(&[])));
        let covered = covered.count();
        assert!((50..80).contains(&covered), "{covered} of those before");
        // Even it leaves the log, so what began before it counts as purged.
        let before = fence.mark();
        fence.purge(long(5_000));
        assert!(fence.covers(before, "key", Tags::Known(&[])));
        assert!(!fence.covers(fence.mark(), "key", Tags::Known(&[])));
        assert_eq!(fence.log.read().bytes, 0);
    }
}
