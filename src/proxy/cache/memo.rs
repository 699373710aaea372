//! What is remembered of a key for a short time, so that nobody waits in vain.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::proxy::request::plan::Lookup;

/// What is remembered of a key for a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memo {
    /// The app's last answer was not one to share (hit-for-miss): waiting for the next would only cost
    /// time.
    Uncacheable,
    /// An answer to a person was not one to share; what others are answered may be.
    Personal,
    /// Another sidecar held the key's lease longer than was worth waiting for.
    Unwaited,
    /// A purge came before the app's answer was stored: while purges go on coming so fast, nobody waits for an
    /// answer that may be overtaken, here or elsewhere.
    Overtaken,
    /// A client's own conditions were met by the app: while they go on being, nothing would ever be
    /// stored, so the next one's are left out.
    Unmodified,
}

impl Memo {
    /// How long it holds.
    fn lasts(self) -> Duration {
        match self {
            Memo::Uncacheable | Memo::Personal | Memo::Unwaited | Memo::Overtaken => {
                Duration::from_secs(10)
            }
            Memo::Unmodified => Duration::from_secs(600),
        }
    }

    /// Whether it counts for everyone, so that what counts for one does not displace it.
    fn is_general(self) -> bool {
        matches!(self, Memo::Uncacheable | Memo::Unwaited | Memo::Overtaken)
    }
}

/// The most memos kept (promise I7).
const MEMOS: usize = 10_000;

/// What is remembered, by a hash of the key: keys and paths may be long, and clients choose them. Of two keys with one hash,
/// which nobody can look for, the one is asked for as the other is, each in its own way right.
#[derive(Debug)]
pub(super) struct Memos {
    hashing: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    map: AHashMap<u64, (Memo, Instant)>,
    swept: Instant,
}

impl Default for Memos {
    fn default() -> Memos {
        Memos {
            hashing: RandomState::new(),
            kept: Mutex::new(Kept {
                map: AHashMap::new(),
                swept: Instant::now(),
            }),
        }
    }
}

impl Memos {
    /// What is remembered of a key.
    pub(super) fn find(&self, lookup: &Arc<Lookup>) -> Option<Memo> {
        let kept = self.kept.lock();
        if kept.map.is_empty() {
            return None;
        }
        let (memo, since) = kept.map.get(&self.hash(lookup))?;
        (since.elapsed() < memo.lasts()).then_some(*memo)
    }

    /// Remembers something of a key, unless what is remembered weighs more.
    pub(super) fn note(&self, lookup: &Arc<Lookup>, memo: Memo) {
        let mut kept = self.kept.lock();
        let Kept { map, swept } = &mut *kept;
        if map.len() >= MEMOS && swept.elapsed() > Duration::from_secs(1) {
            map.retain(|_, (memo, since)| since.elapsed() < memo.lasts());
            *swept = Instant::now();
        }
        let key = self.hash(lookup);
        let counts = map.get(&key).is_some_and(|(held, since)| {
            since.elapsed() < held.lasts() && held.is_general() && !memo.is_general()
        });
        if map.len() < MEMOS && !counts {
            map.insert(key, (memo, Instant::now()));
        }
    }

    /// The app's answer is one to share again.
    pub(super) fn note_shareable(&self, lookup: &Arc<Lookup>) {
        let mut kept = self.kept.lock();
        if kept.map.is_empty() {
            return;
        }
        let key = self.hash(lookup);
        let memo = kept.map.get(&key);
        let says_so = |memo: &Memo| !matches!(memo, Memo::Unwaited | Memo::Overtaken);
        if memo.is_some_and(|(memo, _)| says_so(memo)) {
            kept.map.remove(&key);
        }
    }

    fn hash(&self, lookup: &Lookup) -> u64 {
        self.hashing.hash_one(parts(lookup))
    }
}

/// A lookup by what tells its fill from others.
#[derive(Clone, Debug)]
pub(super) struct FlightKey(Arc<Lookup>);

impl FlightKey {
    pub(super) fn of(lookup: &Arc<Lookup>) -> FlightKey {
        FlightKey(lookup.clone())
    }

    fn parts(&self) -> [&str; 3] {
        parts(&self.0)
    }
}

fn parts(lookup: &Lookup) -> [&str; 3] {
    [&lookup.key.text, &lookup.selector, &lookup.key.form]
}

impl PartialEq for FlightKey {
    fn eq(&self, other: &FlightKey) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for FlightKey {}

impl Hash for FlightKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::Identity;
    use crate::routes::Key;

    fn lookup(text: &str, selector: &str, form: &str) -> Arc<Lookup> {
        Arc::new(Lookup {
            rule: None,
            key: Key {
                text: text.to_owned(),
                form: form.to_owned(),
            },
            identity: Identity::COVERED,
            selector: selector.to_owned(),
        })
    }

    #[test]
    fn memos_keep_no_paths() {
        let memos = Memos::default();
        let long = "x".repeat(60_000);
        let noted = lookup(&long, "a", &long);
        memos.note(&noted, Memo::Uncacheable);
        // Whoever else had it has let go of it.
        assert_eq!(Arc::strong_count(&noted), 1);
        assert_eq!(memos.find(&noted), Some(Memo::Uncacheable));
        let others = [
            lookup(&long, "b", &long),
            lookup(&long, "a", ""),
            lookup("x", "a", &long),
            lookup("", &format!("{long}a"), &long),
        ];
        for other in &others {
            assert_eq!(memos.find(other), None);
        }
        memos.note_shareable(&noted);
        assert_eq!(memos.find(&noted), None);
    }
}
