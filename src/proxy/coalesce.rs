//! Fills under way in this process: who leads, who waits (promises I3, I6, I7).

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ahash::AHashMap;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::plan::Lookup;
use crate::config::Coherence;
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::store::{Mark, Store, Tags};

/// The fills of the process, by key, host and spelling.
#[derive(Debug)]
pub struct Flights {
    map: Mutex<AHashMap<FlightKey, Arc<Flight>>>,
    memos: Mutex<Memos>,
    slots: Arc<Semaphore>,
    late: Arc<Semaphore>,
}

/// What is remembered of keys.
#[derive(Debug)]
struct Memos {
    map: AHashMap<FlightKey, (Memo, Instant)>,
    swept: Instant,
}

/// A lookup by what tells its fill from others.
#[derive(Clone, Debug)]
struct FlightKey(Arc<Lookup>);

/// One fill.
#[derive(Debug)]
pub(super) struct Flight {
    mark: Mark,
    since: Instant,
    /// Whether the head of the answer is there.
    begun: AtomicBool,
    /// Made by the first who waits.
    landing: OnceLock<watch::Sender<Option<Landing>>>,
}

/// What is remembered of a key for a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memo {
    /// The app's last answer was not one to share: waiting for the next would only cost time.
    Apart,
    /// An answer to a person was not one to share; what others are answered may be.
    Personal,
    /// Another sidecar held the key's lease longer than was worth waiting for.
    Unwaited,
    /// A client's own conditions were met by the app: while they go on being, nothing would ever be
    /// stored, so the next one's are left out.
    Unmodified,
}

impl Memo {
    /// How long it holds.
    fn lasts(self) -> Duration {
        match self {
            Memo::Apart | Memo::Personal | Memo::Unwaited => Duration::from_secs(10),
            Memo::Unmodified => Duration::from_secs(600),
        }
    }

    /// Whether it counts for everyone, so that what counts for one does not displace it.
    fn is_general(self) -> bool {
        matches!(self, Memo::Apart | Memo::Unwaited)
    }
}

/// The most memos kept (promise I7).
const MEMOS: usize = 10_000;

/// The most writes watched after their timeout (promise I7).
const LATE: usize = 256;

/// How a fill ended, for those who waited.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// A complete response; it may be served to whomever it selects.
    Ready(Ready),
    /// The app's answer is for the leader alone: ask the app oneself.
    Apart,
    /// The answer broke: look again.
    Again,
    /// The leader's own conditions were met, so there is no answer for others: look again, and ask
    /// without conditions.
    Unmodified,
    /// The app failed.
    Failed(StatusCode, Reason),
}

/// A complete response for those who waited for it.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// The response.
    pub(super) variant: Arc<Variant>,
    /// When the app was asked.
    pub(super) asked: Instant,
    /// When storing began, if the store took it: no purge had overtaken it by then.
    pub(super) confirmed: Option<Instant>,
}

impl Ready {
    /// Whether it is no older than a request that came at `joined` may see.
    pub(super) fn answers(&self, joined: Instant, coherence: Coherence) -> bool {
        let stored_after = |at: Instant| coherence == Coherence::Tracked || joined <= at;
        joined <= self.asked || self.confirmed.is_some_and(stored_after)
    }
}

/// A place in a fill.
pub(super) enum Place {
    /// Ask the app; the others wait.
    Lead(Leader),
    /// Wait.
    Join(Follower),
    /// Ask the app alone.
    Apart,
}

/// The duty to land a flight: dropped, it lets the waiting look again.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<Flight>,
    landing: Landing,
}

/// The wait for a landing.
pub(super) struct Follower {
    flight: Arc<Flight>,
    landing: watch::Receiver<Option<Landing>>,
    /// When it began to wait.
    pub(super) joined: Instant,
}

impl Flights {
    /// At most `max` fills at a time.
    pub fn new(max: usize) -> Flights {
        Flights {
            map: Mutex::default(),
            memos: Mutex::new(Memos {
                map: AHashMap::new(),
                swept: Instant::now(),
            }),
            slots: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            late: Arc::new(Semaphore::new(LATE)),
        }
    }

    /// A place among the fills under way, within `patience`.
    pub(super) async fn slot(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        if let Some(slot) = self.free_slot() {
            return Some(slot);
        }
        let freed = self.slots.clone().acquire_owned();
        tokio::time::timeout(patience, freed).await.ok()?.ok()
    }

    /// A place, if one is free.
    pub(super) fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// A place among the writes that are watched after their timeout, if one is free.
    pub(super) fn late_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.late.clone().try_acquire_owned().ok()
    }

    /// What is remembered of a key.
    pub(super) fn memo(&self, lookup: &Arc<Lookup>) -> Option<Memo> {
        let memos = lock(&self.memos);
        if memos.map.is_empty() {
            return None;
        }
        let (memo, since) = memos.map.get(&FlightKey::of(lookup))?;
        (since.elapsed() < memo.lasts()).then_some(*memo)
    }

    /// Remembers something of a key, unless what is remembered weighs more.
    pub(super) fn note(&self, lookup: &Arc<Lookup>, memo: Memo) {
        let mut memos = lock(&self.memos);
        let Memos { map, swept } = &mut *memos;
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
        let mut memos = lock(&self.memos);
        if memos.map.is_empty() {
            return;
        }
        let key = FlightKey::of(lookup);
        if memos
            .map
            .get(&key)
            .is_some_and(|(memo, _)| *memo != Memo::Unwaited)
        {
            memos.map.remove(&key);
        }
    }

    /// Joins the fill of `lookup`, unless there is none, or it is older than `patience`, or a purge
    /// has overtaken it: then leads a new one.
    ///
    /// `tags_beginning`: what is known of the answer's tags.
    pub(super) fn enter(
        self: &Arc<Self>,
        lookup: &Arc<Lookup>,
        store: &Store,
        tags_beginning: impl FnOnce() -> String,
        patience: Duration,
    ) -> Place {
        if self.memo(lookup) == Some(Memo::Apart) {
            return Place::Apart;
        }
        let key = FlightKey::of(lookup);
        let mut map = lock(&self.map);
        if let Some(flight) = map.get(&key)
            && (flight.begun.load(Ordering::Relaxed) || flight.since.elapsed() < patience)
            && !store.fenced(
                flight.mark,
                &lookup.key.text,
                Tags::Beginning(&tags_beginning()),
            )
        {
            return Place::Join(Follower {
                flight: flight.clone(),
                landing: flight.waiters().subscribe(),
                joined: Instant::now(),
            });
        }
        let flight = Arc::new(Flight {
            mark: store.mark(),
            since: Instant::now(),
            begun: AtomicBool::new(false),
            landing: OnceLock::new(),
        });
        map.insert(key.clone(), flight.clone());
        Place::Lead(Leader {
            flights: self.clone(),
            key,
            flight,
            landing: Landing::Again,
        })
    }
}

impl Flight {
    fn waiters(&self) -> &watch::Sender<Option<Landing>> {
        self.landing.get_or_init(|| watch::Sender::new(None))
    }
}

impl Leader {
    /// The head of the answer is there: who waits for its body need not give up.
    pub(super) fn begun(&self) {
        self.flight.begun.store(true, Ordering::Relaxed);
    }

    /// Ends the flight. Who waits goes on; who comes later looks in the store.
    pub(super) fn land(mut self, landing: Landing) {
        self.landing = landing;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut map = lock(&self.flights.map);
        // A purge may have let a newer flight take the place.
        if map
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            map.remove(&self.key);
        }
        drop(map);
        // Nobody joins any more; mostly nobody has.
        if let Some(waiters) = self.flight.landing.get() {
            let landing = std::mem::replace(&mut self.landing, Landing::Again);
            waiters.send_replace(Some(landing));
        }
    }
}

/// What a wait came to.
pub(super) enum Waited {
    /// The fill ended.
    Landed(Landing),
    /// The answer has begun, and its body takes longer than the wait.
    Slow,
    /// Nothing came.
    Nothing,
}

impl Follower {
    /// Waits for the landing, at most for `patience`.
    pub(super) async fn wait(mut self, patience: Duration) -> Waited {
        let landed = self.landing.wait_for(Option::is_some);
        match tokio::time::timeout(patience, landed).await {
            Ok(Ok(landing)) => Waited::Landed(landing.clone().unwrap_or(Landing::Again)),
            Ok(Err(_)) => Waited::Landed(Landing::Again),
            Err(_) if self.flight.begun.load(Ordering::Relaxed) => Waited::Slow,
            Err(_) => Waited::Nothing,
        }
    }
}

impl FlightKey {
    fn of(lookup: &Arc<Lookup>) -> FlightKey {
        FlightKey(lookup.clone())
    }

    fn parts(&self) -> [&str; 3] {
        let FlightKey(lookup) = self;
        [&lookup.key.text, &lookup.host, &lookup.key.form]
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

/// Every value behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
