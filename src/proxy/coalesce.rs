//! Fills under way in this process: who leads, who waits (promises I3, I6, I7).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

type FlightKey = Arc<(String, String, String)>;

/// One fill.
#[derive(Debug)]
pub(super) struct Flight {
    mark: Mark,
    since: Instant,
    /// Whether the head of the answer is there.
    begun: AtomicBool,
    landing: watch::Sender<Option<Landing>>,
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
        tokio::time::timeout(patience, self.slots.clone().acquire_owned())
            .await
            .ok()?
            .ok()
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
    pub(super) fn memo(&self, lookup: &Lookup) -> Option<Memo> {
        let memos = lock(&self.memos);
        if memos.map.is_empty() {
            return None;
        }
        let (memo, since) = memos.map.get(&flight_key(lookup))?;
        (since.elapsed() < memo.lasts()).then_some(*memo)
    }

    /// Remembers something of a key, unless what is remembered weighs more.
    pub(super) fn note(&self, lookup: &Lookup, memo: Memo) {
        let mut memos = lock(&self.memos);
        let Memos { map, swept } = &mut *memos;
        if map.len() >= MEMOS && swept.elapsed() > Duration::from_secs(1) {
            map.retain(|_, (memo, since)| since.elapsed() < memo.lasts());
            *swept = Instant::now();
        }
        let key = flight_key(lookup);
        let counts = map.get(&key).is_some_and(|(held, since)| {
            since.elapsed() < held.lasts() && held.is_general() && !memo.is_general()
        });
        if map.len() < MEMOS && !counts {
            map.insert(key, (memo, Instant::now()));
        }
    }

    /// The app's answer is one to share again.
    pub(super) fn note_shareable(&self, lookup: &Lookup) {
        let mut memos = lock(&self.memos);
        if memos.map.is_empty() {
            return;
        }
        let key = flight_key(lookup);
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
        lookup: &Lookup,
        store: &Store,
        tags_beginning: impl FnOnce() -> String,
        patience: Duration,
    ) -> Place {
        if self.memo(lookup) == Some(Memo::Apart) {
            return Place::Apart;
        }
        let key = flight_key(lookup);
        let mut map = lock(&self.map);
        if let Some(flight) = map.get(&key)
            && (flight.begun.load(Ordering::Relaxed) || flight.since.elapsed() < patience)
            && !store.fenced(flight.mark, &key.0, Tags::Beginning(&tags_beginning()))
        {
            return Place::Join(Follower {
                flight: flight.clone(),
                landing: flight.landing.subscribe(),
                joined: Instant::now(),
            });
        }
        let flight = Arc::new(Flight {
            mark: store.mark(),
            since: Instant::now(),
            begun: AtomicBool::new(false),
            landing: watch::Sender::new(None),
        });
        map.insert(key.clone(), flight.clone());
        Place::Lead(Leader {
            flights: self.clone(),
            key,
            flight,
        })
    }
}

impl Leader {
    /// The head of the answer is there: who waits for its body need not give up.
    pub(super) fn begun(&self) {
        self.flight.begun.store(true, Ordering::Relaxed);
    }

    /// Ends the flight. Who waits goes on; who comes later looks in the store.
    pub(super) fn land(self, landing: Landing) {
        self.flight.landing.send_replace(Some(landing));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // A landing that was sent stays; otherwise (a panic, a runtime shut down) the others try anew.
        self.flight.landing.send_if_modified(|landing| {
            let missing = landing.is_none();
            if missing {
                *landing = Some(Landing::Again);
            }
            missing
        });
        let mut map = lock(&self.flights.map);
        // A purge may have let a newer flight take the place.
        if map
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            map.remove(&self.key);
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

fn flight_key(lookup: &Lookup) -> FlightKey {
    Arc::new((
        lookup.key.text.clone(),
        lookup.host.clone(),
        lookup.key.form.clone(),
    ))
}

/// Every value behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
