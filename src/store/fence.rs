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
    /// The last of them.
    log: RwLock<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// Oldest first.
    purges: VecDeque<Arc<Purge>>,
    /// About the bytes that they take.
    bytes: usize,
}

impl Log {
    fn push(&mut self, purge: Arc<Purge>) {
        self.bytes += purge.bytes();
        self.purges.push_back(purge);
        while self.purges.len() > Fence::CAPACITY || self.bytes > Fence::MAX_BYTES {
            let Some(oldest) = self.purges.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes();
        }
    }
}

impl Fence {
    /// The most purges remembered; a fill older than the oldest of them counts as purged.
    pub const CAPACITY: usize = 4096;
    /// The most bytes of them, likewise.
    pub const MAX_BYTES: usize = 8 << 20;
    /// A larger purge is remembered as one of everything.
    const MAX_OF_ONE: usize = 1 << 20;

    /// This moment: later purges fence whatever starts here.
    pub fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// Adds a purge to the log; call it before anything is removed.
    pub fn purge(&self, purge: Arc<Purge>) {
        let purge = match purge.bytes() > Self::MAX_OF_ONE {
            true => Arc::new(Purge::of_everything()),
            false => purge,
        };
        let mut log = self.log.write();
        log.push(purge);
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

    /// Patterns of so many bytes in all, of `key` + a number.
    fn purge_of(bytes: usize, key: &str) -> Arc<Purge> {
        let each = 1024;
        let long = key.to_owned() + &"x".repeat(each - key.len());
        Arc::new(Purge {
            keys: vec![Pattern::literal(&long); bytes / each],
            ..Purge::default()
        })
    }

    #[test]
    fn what_left_the_log_for_its_bytes_counts_as_purged() {
        let fence = Fence::default();
        let first = fence.mark();
        for _ in 0..100 {
            fence.purge(purge_of(Fence::MAX_OF_ONE / 2, "other"));
            let log = fence.log.read();
            assert!(log.bytes <= Fence::MAX_BYTES);
            let bytes: usize = log.purges.iter().map(|purge| purge.bytes()).sum();
            assert_eq!(log.bytes, bytes);
        }
        assert!(fence.covers(first, "key", Tags::Known(&[])));
        let last = fence.mark();
        fence.purge(purge_of(1024, "other"));
        assert!(!fence.covers(last, "key", Tags::Known(&[])));
    }

    #[test]
    fn a_purge_that_is_too_large_to_remember_covers_everything() {
        let fence = Fence::default();
        let before = fence.mark();
        fence.purge(purge_of(2 * Fence::MAX_OF_ONE, "other"));
        assert!(fence.covers(before, "key", Tags::Known(&[])));
        assert!(fence.log.read().bytes < 1024);
        assert!(!fence.covers(fence.mark(), "key", Tags::Known(&[])));
    }
}
