//! Fills under way in this process: who leads, who waits (promises I3, I6, I7).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::AHashMap;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce, watch};
use tokio::time::Instant;

use super::memo::{FlightKey, Memo, Memos};
use super::upcoming::{Announced, Upcoming};
use crate::config::Coherence;
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::proxy::request::plan::Lookup;
use crate::store::{Mark, Store, Tags};

/// Where purges overtake fills, who comes within this time is answered by one request to the app.
const TOGETHER: Duration = Duration::from_millis(50);

/// The fills of the process, by key, host and spelling.
#[derive(Debug)]
pub struct Flights {
    map: Mutex<AHashMap<FlightKey, Arc<Flight>>>,
    memos: Memos,
    upcoming: Arc<Upcoming>,
    places: Arc<Semaphore>,
}

/// A fill's place among those under way, of its rule's and of all.
#[derive(Debug)]
#[expect(dead_code, reason = "kept until it is dropped")]
pub(super) struct Place {
    of_rule: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

/// One fill.
#[derive(Debug)]
pub(super) struct Flight {
    mark: Mark,
    since: Instant,
    /// When the app was asked.
    asked: OnceLock<Instant>,
    /// Whether the head of the answer is there.
    begun: AtomicBool,
    /// Set once Redis was waited for in vain.
    redis_was_late: SetOnce<()>,
    /// Made by the first who waits.
    result: OnceLock<watch::Sender<Option<FillResult>>>,
}

/// How a fill ended, for those who waited.
#[derive(Clone, Debug)]
pub(super) enum FillResult {
    /// A complete response; it may be served to whomever it selects.
    Ready(Ready),
    /// The app's answer is for the leader alone: ask the app oneself.
    Uncacheable,
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

/// What a request is to the fill of its key.
pub(super) enum Role {
    /// Asks the app; the others wait.
    Leader(Leader),
    /// Waits for the leader's fill.
    Waiter(Waiter),
    /// Asks the app alone: nobody's answer is one to share.
    Bypass,
}

/// The duty to end a flight with a result: dropped, it lets the waiting look again.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<Flight>,
    /// When the app may be asked.
    not_before: Option<Instant>,
    result: FillResult,
}

/// Those who wait for a fill.
pub(super) struct Followers(Arc<Flight>);

/// The wait for a fill's result.
pub(super) struct Waiter {
    flight: Arc<Flight>,
    result: watch::Receiver<Option<FillResult>>,
    /// When it began to wait.
    pub(super) joined: Instant,
}

impl Flights {
    /// At most `max` fills at a time.
    pub fn new(max: usize) -> Flights {
        Flights {
            map: Mutex::default(),
            memos: Memos::default(),
            upcoming: Arc::default(),
            places: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A place among the fills under way, if one is free for its rule, which has `of_rule`. Nobody waits for
    /// one: a slow app would make the fast requests beside it slow, too.
    pub(super) fn place(&self, of_rule: &Arc<Semaphore>) -> Option<Place> {
        let of_rule = of_rule.clone().try_acquire_owned().ok()?;
        let of_all = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { of_rule, of_all })
    }

    /// Says that the key will be fetched for the store, by whoever has this; `None`: that was said already, or of too many.
    pub(super) fn announce(&self, lookup: &Arc<Lookup>) -> Option<Announced> {
        self.upcoming.announce(lookup)
    }

    /// What is remembered of a key.
    pub(super) fn memo(&self, lookup: &Arc<Lookup>) -> Option<Memo> {
        self.memos.find(lookup)
    }

    /// Remembers something of a key, unless what is remembered weighs more.
    pub(super) fn note(&self, lookup: &Arc<Lookup>, memo: Memo) {
        self.memos.note(lookup, memo);
    }

    /// The app's answer is one to share again.
    pub(super) fn note_shareable(&self, lookup: &Arc<Lookup>) {
        self.memos.note_shareable(lookup);
    }

    /// Joins the fill of `lookup`, unless there is none, or it is older than `timeout`, or a purge
    /// has overtaken it: then leads a new one.
    ///
    /// `tags_beginning`: what is known of the answer's tags. `redis_is_late`: it has waited for Redis in vain, so that the fill
    /// that it joins does not wait for Redis either ([`Leader::redis_was_late`]).
    pub(super) fn enter(
        self: &Arc<Self>,
        lookup: &Arc<Lookup>,
        store: &Store,
        tags_beginning: impl FnOnce() -> String,
        timeout: Duration,
        redis_is_late: bool,
    ) -> Role {
        let memo = self.memo(lookup);
        if memo == Some(Memo::Uncacheable) {
            return Role::Bypass;
        }
        let key = FlightKey::of(lookup);
        let mut map = self.map.lock();
        let mut not_before = None;
        if let Some(flight) = map.get(&key)
            && memo == Some(Memo::Overtaken)
            && let Some(asked) = flight.asked.get()
        {
            // Its answer may be overtaken. Who comes now asks for one that is surely not older than the request,
            // together with those who come soon.
            not_before = Some(*asked + TOGETHER);
        } else if let Some(flight) = map.get(&key)
            && (flight.begun.load(Ordering::Relaxed) || flight.since.elapsed() < timeout)
            && !store.fenced(
                flight.mark,
                &lookup.key.text,
                Tags::Beginning(&tags_beginning()),
            )
        {
            if redis_is_late {
                flight.note_redis_is_late();
            }
            return Role::Waiter(Waiter {
                flight: flight.clone(),
                result: flight.waiters().subscribe(),
                joined: Instant::now(),
            });
        }
        let flight = Arc::new(Flight {
            mark: store.mark(),
            since: Instant::now(),
            asked: OnceLock::new(),
            begun: AtomicBool::new(false),
            redis_was_late: SetOnce::new(),
            result: OnceLock::new(),
        });
        map.insert(key.clone(), flight.clone());
        Role::Leader(Leader {
            flights: self.clone(),
            key,
            flight,
            not_before,
            result: FillResult::Again,
        })
    }
}

impl Flight {
    fn waiters(&self) -> &watch::Sender<Option<FillResult>> {
        self.result.get_or_init(|| watch::Sender::new(None))
    }

    fn note_redis_is_late(&self) {
        // Said before, it is known.
        let _ = self.redis_was_late.set(());
    }
}

impl Followers {
    /// Returns when there are none.
    pub(super) async fn gone(&self) {
        if let Some(waiters) = self.0.result.get() {
            waiters.closed().await;
        }
    }
}

impl Leader {
    /// Returns when the app may be asked; from then on nobody joins who needs to be sure of the answer's age.
    pub(super) async fn ready_to_ask(&self) {
        if let Some(until) = self.not_before {
            tokio::time::sleep_until(until).await;
        }
        let _ = self.flight.asked.set(Instant::now());
    }

    /// Whether somebody waits for the end.
    pub(super) fn is_awaited(&self) -> bool {
        let waiters = self.flight.result.get();
        waiters.is_some_and(|waiters| waiters.receiver_count() > 0)
    }

    /// Those who wait for the end.
    pub(super) fn followers(&self) -> Followers {
        Followers(self.flight.clone())
    }

    /// The head of the answer is there: who waits for its body need not give up.
    pub(super) fn begun(&self) {
        self.flight.begun.store(true, Ordering::Relaxed);
    }

    /// Its request has waited for Redis in vain, and with it those who wait for its fill.
    pub(super) fn note_redis_is_late(&self) {
        self.flight.note_redis_is_late();
    }

    /// Returns when somebody has joined who has waited for Redis in vain, and must not wait for it a second time.
    pub(super) async fn redis_was_late(&self) {
        self.flight.redis_was_late.wait().await;
    }

    /// Ends the flight. Who waits goes on; who comes later looks in the store.
    pub(super) fn end(mut self, result: FillResult) {
        self.result = result;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut map = self.flights.map.lock();
        // A purge may have let a newer flight take the place.
        if map
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            map.remove(&self.key);
        }
        drop(map);
        // Nobody joins any more; mostly nobody has.
        if let Some(waiters) = self.flight.result.get() {
            let result = std::mem::replace(&mut self.result, FillResult::Again);
            waiters.send_replace(Some(result));
        }
    }
}

/// What a wait came to.
pub(super) enum Waited {
    /// The fill ended.
    Ended(FillResult),
    /// The answer has begun, and its body takes longer than the wait.
    Slow,
    /// Nothing came.
    Nothing,
}

impl Waiter {
    /// Waits for the result, at most for `timeout`.
    pub(super) async fn wait(&mut self, timeout: Duration) -> Waited {
        let landed = self.result.wait_for(Option::is_some);
        match tokio::time::timeout(timeout, landed).await {
            Ok(Ok(result)) => Waited::Ended(result.clone().unwrap_or(FillResult::Again)),
            Ok(Err(_)) => Waited::Ended(FillResult::Again),
            Err(_) if self.flight.begun.load(Ordering::Relaxed) => Waited::Slow,
            Err(_) => Waited::Nothing,
        }
    }

    /// Whether Redis was waited for in vain meanwhile.
    pub(super) fn redis_was_late(&self) -> bool {
        self.flight.redis_was_late.get().is_some()
    }
}
