//! Writes of late, for the question which of them changed what is cached. They are bounded, and hold no value: of the path
//! its shape, and digests of what stands in place of an id.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::routes::shape_of;

/// A write that the app took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The method.
    pub method: String,
    /// The path with `{id}` for what looks like an id.
    pub shape: String,
    /// Digests of those.
    ids: Vec<u32>,
    /// From when it came to when it was answered: milliseconds.
    since: u64,
    until: u64,
}

impl Write {
    /// Of a request, which came and was answered then.
    pub fn new(method: &str, path: &str, since: u64, until: u64) -> Write {
        let shape = shape_of(path);
        Write {
            ids: ids_of(path, &shape),
            method: method.to_owned(),
            shape,
            since,
            until,
        }
    }

    /// As others read it; `by`: who has seen it.
    pub fn to_words(&self, by: &str) -> String {
        let ids: Vec<String> = self.ids.iter().map(u32::to_string).collect();
        let (ids, since, until) = (ids.join(","), self.since, self.until);
        format!(
            "{by} {since} {until} {} [{ids}] {}",
            self.method, self.shape
        )
    }

    /// Who has seen it, and the write.
    pub fn of_words(words: &str) -> Option<(&str, Write)> {
        let mut parts = words.splitn(6, ' ');
        let mut next = || parts.next();
        let (by, since, until) = (next()?, next()?.parse().ok()?, next()?.parse().ok()?);
        let (method, ids, shape) = (next()?.to_owned(), next()?, next()?.to_owned());
        let ids = ids.strip_prefix('[')?.strip_suffix(']')?.split(',');
        let ids = ids.filter(|id| !id.is_empty()).map(str::parse);
        let write = Write {
            method,
            shape,
            ids: ids.collect::<Result<_, _>>().ok()?,
            since,
            until,
        };
        Some((by, write))
    }

    /// Whether an id of it is among those of a read.
    pub fn shares_id(&self, ids: &[u32]) -> bool {
        self.ids.iter().any(|id| ids.contains(id))
    }
}

/// Digests of the segments of a path for which its shape has `{id}`.
fn ids_of(path: &str, shape: &str) -> Vec<u32> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let shapes = shape.split('/').filter(|segment| !segment.is_empty());
    let ids = segments.zip(shapes).filter(|(_, shape)| *shape == "{id}");
    ids.map(|(segment, _)| digest(segment)).collect()
}

/// Digests of all that may be an id in the target of a read: of its path, and the values of its query.
pub(super) fn ids_of_read(path: &str, query: Option<&str>) -> Vec<u32> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let fields = query.unwrap_or_default().split('&');
    let values = fields.filter_map(|field| field.split_once('=').map(|(_, value)| value));
    let mut ids: Vec<u32> = segments.chain(values).map(digest).collect();
    ids.truncate(32);
    ids
}

fn digest(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

/// The latest of them.
#[derive(Debug, Default)]
pub struct RecentWrites {
    writes: VecDeque<Write>,
    /// Those that others are to be told of; `None`: of none.
    unshared: Option<Vec<Write>>,
}

impl RecentWrites {
    /// The most (promise I7); the oldest go.
    pub const MAX: usize = 1024;

    /// The most that others are told of at a time.
    const MAX_UNSHARED: usize = 256;

    /// Takes one in.
    pub fn note(&mut self, write: Write) {
        if let Some(unshared) = &mut self.unshared
            && unshared.len() < Self::MAX_UNSHARED
        {
            unshared.push(write.clone());
        }
        self.keep(write);
    }

    /// Takes in what others have seen.
    pub fn take_in(&mut self, others: impl Iterator<Item = Write>) {
        others.for_each(|write| self.keep(write));
    }

    /// Whether others are told of those that come.
    pub fn share(&mut self, is_wanted: bool) {
        match is_wanted {
            true => _ = self.unshared.get_or_insert_default(),
            false => self.unshared = None,
        }
    }

    /// Those that others were not told of.
    pub fn take_unshared(&mut self) -> Vec<Write> {
        self.unshared
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Those that were taken, and that others could not be told of: next time, if there is room beside what has come since.
    pub fn keep_unshared(&mut self, untold: Vec<Write>) {
        if let Some(unshared) = &mut self.unshared {
            let later = std::mem::replace(unshared, untold);
            unshared.extend(later);
            unshared.truncate(Self::MAX_UNSHARED);
        }
    }

    fn keep(&mut self, write: Write) {
        if self.writes.len() >= Self::MAX {
            self.writes.pop_front();
        }
        self.writes.push_back(write);
    }

    /// Those that were under way at any time from `since` to `until`.
    pub fn between(&self, since: u64, until: u64) -> impl DoubleEndedIterator<Item = &Write> {
        let overlaps = move |write: &&Write| write.since <= until && write.until >= since;
        self.writes.iter().filter(overlaps)
    }
}

/// Writes that the app has not answered yet, and when they came.
#[derive(Debug, Default)]
pub struct UnderWay {
    since: BTreeMap<u64, Instant>,
    last: u64,
}

impl UnderWay {
    /// The most that are followed (promise I7).
    const MAX: usize = 4096;

    /// One comes; its number.
    pub fn begin(&mut self, now: Instant) -> u64 {
        self.last += 1;
        if self.since.len() < Self::MAX {
            self.since.insert(self.last, now);
        }
        self.last
    }

    /// The one with this number is done, and what it purges is purged.
    pub fn end(&mut self, number: u64) {
        self.since.remove(&number);
    }

    /// Whether any is under way that came before then.
    pub fn any_since_before(&self, then: Instant) -> bool {
        let oldest = self.since.values().next();
        oldest.is_some_and(|since| *since < then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_between_two_moments() {
        let mut recent = RecentWrites::default();
        for (path, since, until) in [("/a", 1, 2), ("/b", 5, 9), ("/c", 10, 11)] {
            recent.note(Write::new("PUT", path, since, until));
        }
        let between = |since, until| -> String {
            let found = recent.between(since, until);
            found.map(|write| write.shape.as_str()).collect()
        };
        for (since, until, expected) in [
            (0, 0, ""),
            (0, 1, "/a"),
            (3, 4, ""),
            (6, 7, "/b"),
            (2, 5, "/a/b"),
            (0, 100, "/a/b/c"),
            (12, 100, ""),
        ] {
            assert_eq!(between(since, until), expected, "{since} to {until}");
        }
    }

    #[test]
    fn they_are_bounded() {
        let mut recent = RecentWrites::default();
        for n in 0..RecentWrites::MAX as u64 + 5 {
            recent.note(Write::new("PUT", "/a", n, n));
        }
        assert_eq!(recent.between(0, u64::MAX).count(), RecentWrites::MAX);
        assert_eq!(recent.between(0, 4).count(), 0, "the oldest went");
    }

    #[test]
    fn others_read_what_is_told_and_it_is_told_once() {
        let mut recent = RecentWrites::default();
        recent.note(Write::new("PUT", "/before", 1, 1));
        recent.share(true);
        let writes = [
            Write::new("PUT", "/api/users/7/posts/12", 5, 9),
            Write::new("DELETE", "/a", 6, 6),
        ];
        for write in &writes {
            recent.note(write.clone());
        }
        recent.take_in([Write::new("POST", "/others", 1, 1)].into_iter());
        let told = recent.take_unshared();
        assert_eq!(told, writes);
        for write in told {
            let words = write.to_words("0f");
            assert_eq!(Write::of_words(&words), Some(("0f", write)), "{words}");
        }
        assert!(recent.take_unshared().is_empty());
        assert_eq!(recent.between(0, 10).count(), 4);
        // What could not be told waits, ahead of what comes.
        recent.note(writes[1].clone());
        recent.keep_unshared(vec![writes[0].clone()]);
        assert_eq!(recent.take_unshared(), writes);
        recent.keep_unshared(vec![writes[0].clone(); RecentWrites::MAX]);
        assert_eq!(recent.take_unshared().len(), RecentWrites::MAX_UNSHARED);
        recent.share(false);
        recent.keep_unshared(writes.to_vec());
        assert!(recent.take_unshared().is_empty());
        for words in [
            "",
            "0f 1 2 PUT [x] /a",
            "0f 1 2 PUT /a",
            "0f 1 -2 PUT [] /a",
        ] {
            assert_eq!(Write::of_words(words), None, "{words}");
        }
    }

    #[test]
    fn ids_in_common() {
        let write = Write::new("PUT", "/api/users/7/mail", 0, 0);
        for (path, query, expected) in [
            ("/api/users/7", None, true),
            ("/api/users/8", None, false),
            ("/api/boards", Some("user=7&team=1"), true),
            ("/api/boards", Some("user=8"), false),
            ("/api/mail", None, false),
        ] {
            assert_eq!(
                write.shares_id(&ids_of_read(path, query)),
                expected,
                "{path} {query:?}"
            );
        }
    }
}
