//! Sessions: when a connection to Redis may be used, and what may enter memory meanwhile.
//!
//! A connection is of use while it has a *session*: connected, client tracking confirmed, clock and
//! generations compared, every missed purge done again. A session ends with its connection, or with all
//! sessions of the process when another layout is in use beside the own one. Memory is emptied whenever one
//! begins, so that it never goes on as if it had heard of every change, and is trusted only as long as each
//! connection that has filled it is heard (`trust`).
//!
//! A session may end while a command is under way in it, or while it is still being prepared. So whoever
//! uses an answer of Redis looks at the session again when the answer is there, and a session begins only
//! if none was ended since its preparation began ([`Endings`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::breaker::CircuitBreaker;
use super::lineage::Watch;
use super::trust::Trust;
use crate::clock;

/// A session's number; later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Session(u64);

/// What has ended so far that concerns one connection, whether or not it had a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endings {
    all: u64,
    own: u64,
}

/// What no connection may have for something to be put into memory that is not in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// A session in which requests use Redis.
    Use,
    /// Any: in one, memory is trusted again as soon as Redis is heard, however slow that is for requests.
    Session,
}

/// The session of one connection.
#[derive(Debug, Default)]
pub(super) struct SessionSlot {
    /// Its number, 0 for none.
    number: AtomicU64,
    /// How often the connection has missed invalidations.
    missed: AtomicU64,
    /// Until when what it has read is known to be as it was; `None`: it has read nothing that memory holds.
    contribution: Mutex<Option<Instant>>,
    pub(super) generations: Watch,
    /// Wakes the supervisor, which is to look at Redis at once, and to recover if there is no session.
    woken: Notify,
}

impl SessionSlot {
    /// Waits until the supervisor is to look at Redis for a reason that the connection itself does not show.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// The sessions of all connections of the process.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Keeps requests from Redis even within a session.
    pub(super) breaker: CircuitBreaker,
    /// Read: put into memory, having seen that a session (or its absence) still stands. Write: empty
    /// memory and begin a session, or end sessions.
    gate: RwLock<()>,
    /// The last number given to a session, or to an ending of all.
    last: AtomicU64,
    /// Sessions up to this number have ended, whatever their slots say.
    ended: AtomicU64,
    slots: Mutex<Vec<Weak<SessionSlot>>>,
    /// Of memory, which holds what several connections have read: that of the connection which was heard longest
    /// ago.
    trust: Trust,
    /// Tells who waits of each session that begins.
    begun: Notify,
    /// When a session ended last; at first the process's begin.
    last_end: Mutex<Instant>,
}

impl Sessions {
    pub(super) fn new(breaker: CircuitBreaker, staleness: Duration) -> Sessions {
        Sessions {
            breaker,
            trust: Trust::new(staleness),
            gate: RwLock::new(()),
            last: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            slots: Mutex::new(Vec::new()),
            begun: Notify::new(),
            last_end: Mutex::new(clock::monotonic()),
        }
    }

    /// A slot for the session of one more connection; it has none yet.
    pub(super) fn add_slot(&self) -> Arc<SessionSlot> {
        let slot = Arc::new(SessionSlot::default());
        self.slots.lock().push(Arc::downgrade(&slot));
        slot
    }

    /// The session in which Redis tells this connection what changes.
    pub(super) fn current(&self, slot: &SessionSlot) -> Option<Session> {
        let number = slot.number.load(Ordering::Acquire);
        (number > self.ended.load(Ordering::Acquire)).then_some(Session(number))
    }

    /// The session in which requests may use this connection: none while the breaker is open.
    pub(super) fn usable(&self, slot: &SessionSlot) -> Option<Session> {
        self.current(slot).filter(|_| !self.breaker.is_open())
    }

    /// To be taken before a session is prepared, and given to [`Sessions::begin`].
    pub(super) fn endings(&self, slot: &SessionSlot) -> Endings {
        Endings {
            all: self.ended.load(Ordering::Acquire),
            own: slot.missed.load(Ordering::Acquire),
        }
    }

    /// Begins the session that was prepared since `endings`, and closes the breaker; `false` if anything
    /// would have ended it since, which the preparation may have missed. Memory is emptied first, by
    /// `empty_memory`: what it holds may have changed in Redis without an invalidation. What that returns is dropped after
    /// the gate, for which requests wait.
    pub(super) fn begin<T>(
        &self,
        slot: &SessionSlot,
        endings: Endings,
        empty_memory: impl FnOnce() -> T,
    ) -> bool {
        let _emptied;
        let _gate = self.gate.write();
        if self.endings(slot) != endings {
            return false;
        }
        _emptied = empty_memory();
        let number = 1 + self.last.fetch_add(1, Ordering::AcqRel);
        slot.number.store(number, Ordering::Release);
        *slot.contribution.lock() = None;
        self.begin_trust();
        self.breaker.close();
        self.begun.notify_waiters();
        true
    }

    /// Closes the breaker within the session of this connection, if that still stands: Redis was late for a while,
    /// and told of all changes nevertheless. `forget` removes from memory what Redis does not hold.
    pub(super) fn resume(&self, slot: &SessionSlot, forget: impl FnOnce()) {
        let _gate = self.gate.write();
        if self.current(slot).is_some() {
            forget();
            self.breaker.close();
            self.begun.notify_waiters();
        }
    }

    /// What Redis told this connection before `at` has arrived.
    pub(super) fn hear(&self, slot: &SessionSlot, at: Instant) {
        if self.current(slot).is_none() {
            return;
        }
        let slots = self.slots.lock();
        *slot.contribution.lock() = Some(at);
        self.confirm(&slots);
    }

    /// Where a connection has been lost for long and others have not, memory is emptied of what it had read, by
    /// `empty_memory`, so that it is trusted again.
    pub(super) fn let_go_of_lost<T>(&self, now: Instant, empty_memory: impl FnOnce() -> T) {
        let is_lost = |slot: &SessionSlot| {
            let heard = *slot.contribution.lock();
            self.current(slot).is_none() && heard.is_some_and(|at| self.trust.is_past(at, now))
        };
        if !self.any_slot(is_lost) || !self.any_slot(|slot| self.current(slot).is_some()) {
            return;
        }
        let _emptied;
        let _gate = self.gate.write();
        _emptied = empty_memory();
        self.begin_trust();
    }

    /// Whether memory may answer as if it had heard of every purge.
    pub(super) fn trusts_memory(&self, now: Instant) -> bool {
        self.trust.is_held(now)
    }

    /// How long ago what memory holds was confirmed; `None`: never.
    pub(super) fn age_of_memory(&self, now: Instant) -> Option<Duration> {
        self.trust.age(now)
    }

    /// Memory has been emptied: what it takes from now on is of connections that have a session. Of one that was not
    /// heard for a while something may be on its way.
    fn begin_trust(&self) {
        let now = clock::monotonic();
        let slots = self.slots.lock();
        for slot in slots.iter().filter_map(Weak::upgrade) {
            let is_current = self.current(&slot).is_some();
            let mut contribution = slot.contribution.lock();
            *contribution = is_current.then(|| contribution.unwrap_or(now));
        }
        self.confirm(&slots);
    }

    fn confirm(&self, slots: &[Weak<SessionSlot>]) {
        let slots = slots.iter().filter_map(Weak::upgrade);
        let contributions = slots.filter_map(|slot| *slot.contribution.lock());
        self.trust.confirm(contributions.min());
    }

    /// Whether none has begun yet, or was ended before it did.
    pub(super) fn are_to_begin(&self) -> bool {
        self.last.load(Ordering::Acquire) == 0
    }

    /// Whether Redis can be used by another connection, or has been lost for no longer than `fresh`: then it may be
    /// back at once.
    pub(super) fn may_be_back(&self, fresh: Duration) -> bool {
        let away = clock::monotonic().saturating_duration_since(*self.last_end.lock());
        !self.breaker.is_open() && (away <= fresh || self.any_usable())
    }

    /// Wakes the supervisors of all connections that requests may use.
    pub(super) fn wake_usable(&self) {
        let slots = self.slots.lock();
        let usable = slots.iter().filter_map(Weak::upgrade);
        usable
            .filter(|slot| self.usable(slot).is_some())
            .for_each(|slot| self.wake(&slot));
    }

    /// Waits until a session begins, at most until `deadline`.
    pub(super) async fn next(&self, deadline: tokio::time::Instant) {
        let _ = tokio::time::timeout_at(deadline, self.begun.notified()).await;
    }

    /// Ends the session of one connection, if it has one.
    pub(super) fn end(&self, slot: &SessionSlot) {
        slot.generations.note_news();
        if slot.number.swap(0, Ordering::AcqRel) != 0 {
            *self.last_end.lock() = clock::monotonic();
        }
    }

    /// The connection missed invalidations: its session ends, or the one that is being prepared, and the
    /// supervisor is woken. Memory is emptied by `empty_memory` if there was a session to keep it right.
    pub(super) fn end_having_missed<T>(
        &self,
        slot: &SessionSlot,
        empty_memory: impl FnOnce() -> T,
    ) {
        let _emptied;
        let _gate = self.gate.write();
        slot.missed.fetch_add(1, Ordering::AcqRel);
        if self.current(slot).is_some() {
            self.end(slot);
            _emptied = empty_memory();
            self.begin_trust();
        }
        slot.woken.notify_one();
    }

    /// Ends the sessions of all connections, and those that are being prepared.
    pub(super) fn end_all(&self) {
        let _gate = self.gate.write();
        let any_stood = self.any_slot(|slot| self.current(slot).is_some());
        let number = 1 + self.last.fetch_add(1, Ordering::AcqRel);
        self.ended.store(number, Ordering::Release);
        if any_stood {
            *self.last_end.lock() = clock::monotonic();
        }
    }

    fn any_slot(&self, is_so: impl Fn(&SessionSlot) -> bool) -> bool {
        let slots = self.slots.lock();
        slots
            .iter()
            .filter_map(Weak::upgrade)
            .any(|slot| is_so(&slot))
    }

    /// Wakes the supervisor of one connection, for a beat at once.
    pub(super) fn wake(&self, slot: &SessionSlot) {
        slot.woken.notify_one();
    }

    /// Redis has refused what a session needs: it ends, and the supervisor is woken to see whether the next
    /// one fares better.
    pub(super) fn end_and_wake(&self, slot: &SessionSlot) {
        self.end(slot);
        slot.woken.notify_one();
    }

    /// Ends all sessions, and wakes the supervisor of one connection to prepare the next.
    pub(super) fn end_all_and_wake(&self, slot: &SessionSlot) {
        self.end_all();
        slot.woken.notify_one();
    }

    /// Runs `put`, which puts into memory what was read or written in `session`, if that still stands:
    /// else invalidations of what is put may have been missed.
    pub(super) fn put_within<T>(
        &self,
        slot: &SessionSlot,
        session: Session,
        put: impl FnOnce() -> T,
    ) -> Option<T> {
        let _gate = self.gate.read();
        (self.current(slot) == Some(session)).then(put)
    }

    /// Runs `put`, which puts into memory what is not in Redis, if no connection has what it is to be without: else
    /// no purge made elsewhere would reach what is put, and yet memory would be trusted.
    pub(super) fn put_without<T>(&self, without: Without, put: impl FnOnce() -> T) -> Option<T> {
        let _gate = self.gate.read();
        let stands = match without {
            Without::Use => self.any_usable(),
            Without::Session => self.any_slot(|slot| self.current(slot).is_some()),
        };
        (!stands).then(put)
    }

    /// Whether there are connections, and every one has a session.
    pub(super) fn all_current(&self) -> bool {
        let slots = self.slots.lock();
        let mut slots = slots.iter().filter_map(Weak::upgrade).peekable();
        slots.peek().is_some() && slots.all(|slot| self.current(&slot).is_some())
    }

    /// Whether requests may use every connection.
    pub(super) fn all_usable(&self) -> bool {
        !self.breaker.is_open() && self.all_current()
    }

    /// Whether requests may use any connection.
    pub(super) fn any_usable(&self) -> bool {
        self.any_slot(|slot| self.usable(slot).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        let breaker = CircuitBreaker::new(1, Duration::from_secs(1));
        Sessions::new(breaker, Duration::from_secs(1))
    }

    #[test]
    fn an_ending_of_all_ends_each_and_what_begins_later_stands() {
        let sessions = sessions();
        let (a, b) = (sessions.add_slot(), sessions.add_slot());
        assert_eq!(sessions.current(&a), None);
        for slot in [&a, &b] {
            assert!(sessions.begin(slot, sessions.endings(slot), || ()));
        }
        assert!(sessions.all_current());
        assert_ne!(sessions.current(&a), sessions.current(&b));
        sessions.end_all();
        assert_eq!((sessions.current(&a), sessions.current(&b)), (None, None));
        assert!(sessions.begin(&a, sessions.endings(&a), || ()));
        assert!(sessions.current(&a).is_some() && !sessions.all_current());
    }

    #[test]
    fn a_session_that_was_ended_while_it_was_prepared_does_not_begin() {
        let sessions = sessions();
        let slot = sessions.add_slot();
        let endings = sessions.endings(&slot);
        sessions.end_all();
        let begun = sessions.begin(&slot, endings, || panic!("memory is kept"));
        assert!(!begun);
        assert_eq!(sessions.current(&slot), None);
        let endings = sessions.endings(&slot);
        sessions.end_all();
        sessions.end_all();
        assert!(!sessions.begin(&slot, endings, || ()), "two are not none");
        let endings = sessions.endings(&slot);
        sessions.end_having_missed(&slot, || panic!("memory is kept"));
        assert!(!sessions.begin(&slot, endings, || ()), "invalidations lost");
    }

    #[test]
    fn memory_is_trusted_as_far_as_the_connection_heard_longest_ago() {
        let sessions = sessions();
        let (a, b) = (sessions.add_slot(), sessions.add_slot());
        let start = clock::monotonic();
        let at = |millis| start + Duration::from_millis(millis);
        let trusts = |millis| sessions.trusts_memory(at(millis));
        assert!(!trusts(0), "no session yet");
        for slot in [&a, &b] {
            assert!(sessions.begin(slot, sessions.endings(slot), || ()));
        }
        assert!(trusts(900));
        sessions.hear(&a, at(5_000));
        assert!(!trusts(5_000), "the other one was not heard");
        sessions.hear(&b, at(4_500));
        assert!(trusts(5_500) && !trusts(5_501));

        sessions.end(&b);
        sessions.hear(&a, at(6_000));
        sessions.hear(&b, at(6_000));
        assert!(
            trusts(5_500) && !trusts(5_501),
            "it is lost, with what it has read"
        );
        sessions.let_go_of_lost(at(5_400), || panic!("it may come back"));
        let mut emptied = false;
        sessions.let_go_of_lost(at(5_600), || emptied = true);
        assert!(emptied && trusts(900), "from now on");
        sessions.hear(&a, at(7_000));
        assert!(trusts(8_000));
        sessions.end(&a);
        sessions.let_go_of_lost(at(9_000), || panic!("all are lost: an outage"));
        assert_eq!(
            sessions.age_of_memory(at(9_000)),
            Some(Duration::from_secs(2))
        );
    }

    #[test]
    fn memory_takes_only_what_belongs_to_the_state_of_the_session() {
        let sessions = sessions();
        let slot = sessions.add_slot();
        assert!(sessions.begin(&slot, sessions.endings(&slot), || ()));
        let first = sessions.current(&slot).expect("it began");
        assert_eq!(sessions.put_within(&slot, first, || 1), Some(1));
        let put_without = |without| sessions.put_without(without, || 1);
        assert_eq!(put_without(Without::Use), None, "Redis is in use");
        sessions.breaker.note_failure(crate::clock::monotonic());
        assert_eq!(put_without(Without::Use), Some(1), "breaker open");
        assert_eq!(put_without(Without::Session), None, "memory may be trusted");
        assert_eq!(
            sessions.put_within(&slot, first, || 1),
            Some(1),
            "invalidations still arrive"
        );
        assert!(sessions.begin(&slot, sessions.endings(&slot), || ()));
        assert_eq!(sessions.put_within(&slot, first, || 1), None, "another one");
        sessions.end(&slot);
        assert_eq!(put_without(Without::Use), Some(1), "none");
        assert_eq!(put_without(Without::Session), Some(1), "none");
        let other = sessions.add_slot();
        assert!(sessions.begin(&other, sessions.endings(&other), || ()));
        let put = put_without(Without::Use);
        assert_eq!(put, None, "another one fills the same memory");
    }
}
