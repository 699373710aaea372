//! Sessions: when a connection to Redis may be used, and what may enter memory meanwhile.
//!
//! A connection is of use while it has a *session*: connected, client tracking confirmed, clock
//! compared, every missed purge done again. A session ends with its connection, or with all sessions of
//! the process when Redis turns out to hold other data. Memory is emptied whenever one begins, so that it
//! never goes on as if it had been told everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::breaker::CircuitBreaker;

/// A session's number; later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Session(u64);

/// The session of one connection: its number, 0 for none.
#[derive(Debug, Default)]
pub(super) struct SessionSlot(AtomicU64);

/// The sessions of all connections of the process.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Keeps requests from Redis even within a session.
    pub(super) breaker: CircuitBreaker,
    /// Read: put into memory, having seen that a session (or its absence) still stands. Write: empty
    /// memory and begin a session.
    gate: RwLock<()>,
    /// The number of the last session that began.
    begun: AtomicU64,
    /// Sessions up to this number have ended, whatever their slots say.
    ended: AtomicU64,
    slots: Mutex<Vec<Weak<SessionSlot>>>,
}

impl Sessions {
    pub(super) fn new(breaker: CircuitBreaker) -> Sessions {
        Sessions {
            breaker,
            gate: RwLock::new(()),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            slots: Mutex::new(Vec::new()),
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
        let number = slot.0.load(Ordering::Acquire);
        (number > self.ended.load(Ordering::Acquire)).then_some(Session(number))
    }

    /// The session in which requests may use this connection: none while the breaker is open.
    pub(super) fn usable(&self, slot: &SessionSlot) -> Option<Session> {
        self.current(slot).filter(|_| !self.breaker.is_open())
    }

    /// Begins a session and closes the breaker. Memory is emptied first, by `empty_memory`: what it was
    /// told before the session began may be of other data.
    pub(super) fn begin(&self, slot: &SessionSlot, empty_memory: impl FnOnce()) {
        let _gate = self.gate.write();
        empty_memory();
        let number = 1 + self.begun.fetch_add(1, Ordering::AcqRel);
        slot.0.store(number, Ordering::Release);
        if self.breaker.close() {
            tracing::info!("Redis is back");
        }
    }

    /// Ends the session of one connection, if it has one.
    pub(super) fn end(&self, slot: &SessionSlot) {
        slot.0.store(0, Ordering::Release);
    }

    /// Ends the sessions of all connections: what they were told is of another data set.
    pub(super) fn end_all(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        self.ended.store(begun, Ordering::Release);
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

    /// Runs `put`, which puts into memory what is not in Redis, if the connection cannot use Redis: else
    /// no purge made elsewhere would reach what is put.
    pub(super) fn put_without<T>(&self, slot: &SessionSlot, put: impl FnOnce() -> T) -> Option<T> {
        let _gate = self.gate.read();
        self.usable(slot).is_none().then(put)
    }

    /// Whether every connection has a session.
    pub(super) fn all_current(&self) -> bool {
        let slots = self.slots.lock();
        let mut slots = slots.iter().filter_map(Weak::upgrade);
        slots.all(|slot| self.current(&slot).is_some())
    }

    /// Whether requests may use every connection.
    pub(super) fn all_usable(&self) -> bool {
        !self.breaker.is_open() && self.all_current()
    }
}
