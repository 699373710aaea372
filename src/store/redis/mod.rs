//! The Redis tier: shared by a fleet of sidecars, and optional at every instant (promise I4).
//!
//! `Tier` is what all threads of the process share, `RedisConnection` one runtime's connection with its task,
//! the `supervisor`. A connection is of use while it has a *session*: connected, client tracking confirmed,
//! clock compared, every missed purge done again. A session ends with its connection, and memory is
//! emptied whenever one begins, so it never goes on as if it had been told everything.

mod breaker;
mod clients;
mod connection;
mod deadlines;
mod error;
mod journal;
mod keys;
mod lease;
mod lookups;
mod purge;
mod recovery;
mod scope;
mod scripts;
mod supervisor;
mod tier;
mod tracking;

pub(super) use self::connection::{Counters, RedisConnection};
pub(super) use self::lease::{HeldLease, Lease, Put};
pub(super) use self::tier::{Session, Tier};

/// What is known of Redis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisStatus {
    /// Every runtime is connected, and the circuit breaker is closed.
    pub up: bool,
    /// Whether invalidations arrive, so that memory may remember what Redis holds.
    pub tracking: bool,
    /// Pannier's keys, bytes accounted by the scripts (entries, leases and indexes).
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// `[budget] max`.
    pub max: u64,
    /// Whether `bytes` is past `[budget] evict_at`.
    pub nearly_full: bool,
    /// Purges kept until Redis can be reached.
    pub pending_purges: usize,
    /// The last error, in words.
    pub last_error: Option<String>,
}
