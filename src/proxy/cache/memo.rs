//! What is remembered of a key for a short time, so that nobody waits in vain.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
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

/// What is remembered, by key.
#[derive(Debug)]
pub(super) struct Memos(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    map: AHashMap<FlightKey, (Memo, Instant)>,
    swept: Instant,
}

impl Default for Memos {
    fn default() -> Memos {
        Memos(Mutex::new(Kept {
            map: AHashMap::new(),
            swept: Instant::now(),
        }))
    }
}

impl Memos {
    /// What is remembered of a key.
    pub(super) fn find(&self, lookup: &Arc<Lookup>) -> Option<Memo> {
        let kept = self.0.lock();
        if kept.map.is_empty() {
            return None;
        }
        let (memo, since) = kept.map.get(&FlightKey::of(lookup))?;
        (since.elapsed() < memo.lasts()).then_some(*memo)
    }

    /// Remembers something of a key, unless what is remembered weighs more.
    pub(super) fn note(&self, lookup: &Arc<Lookup>, memo: Memo) {
        let mut kept = self.0.lock();
        let Kept { map, swept } = &mut *kept;
        if map.len() >= MEMOS && swept.elapsed() > Duration::from_secs(1) {
            map.retain(|_, (memo, since)| since.elapsed() < memo.lasts());
            *swept = Instant::now();
        }
        let key = FlightKey::of(lookup);
        let counts = map.get(&key).is_some_and(|(held, since)| {
            since.elapsed() < held.lasts() && held.is_general() && !memo.is_general()
        });
        if map.len() < MEMOS && !counts {
            map.insert(key, (memo, Instant::now()));
        }
    }

    /// The app's answer is one to share again.
    pub(super) fn note_shareable(&self, lookup: &Arc<Lookup>) {
        let mut kept = self.0.lock();
        if kept.map.is_empty() {
            return;
        }
        let key = FlightKey::of(lookup);
        let memo = kept.map.get(&key);
        let says_so = |memo: &Memo| !matches!(memo, Memo::Unwaited | Memo::Overtaken);
        if memo.is_some_and(|(memo, _)| says_so(memo)) {
            kept.map.remove(&key);
        }
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
        let FlightKey(lookup) = self;
        [&lookup.key.text, &lookup.selector, &lookup.key.form]
    }
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
