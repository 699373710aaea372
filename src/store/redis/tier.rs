//! What all runtimes of the process share of the Redis tier.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use prometheus::Histogram;

use super::breaker::Breaker;
use super::clients;
use super::connection::RedisConnection;
use super::error::Error;
use super::journal::Journal;
use super::keys::Keyspace;
use super::recovery::DataSet;
use super::scripts::Scripts;
use crate::clock::{self, Clock};
use crate::config;
use crate::http_cache::Reason;
use crate::metrics::Metrics;
use crate::store::{Fence, Memory};

/// The shared parts.
pub(in crate::store) struct Tier {
    /// Purges that Redis has not confirmed.
    pub(in crate::store) journal: Journal,
    /// Purges and invalidations: fences what enters memory on its way from Redis. Fills have the
    /// store's own fence: an entry that merely expires must not refuse the fill that renews it.
    pub(in crate::store) invalidation_fence: Fence,
    pub(super) config: config::Redis,
    pub(super) settings: Option<fred::types::config::Config>,
    /// Bytes of the budget for each shard.
    pub(super) shard_budget: u64,
    pub(super) budget: u64,
    /// Bytes above which the log and the stats warn.
    pub(super) evict_at: u64,
    /// Whether they do.
    warned: AtomicBool,
    pub(super) keys: Keyspace,
    pub(super) scripts: Scripts,
    pub(super) latency: Latency,
    pub(super) memory: Arc<Memory>,
    pub(super) fence: Arc<Fence>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// One connection at a time finds out what was missed.
    pub(super) recovery: tokio::sync::Mutex<()>,
    /// What each shard held last.
    pub(super) data: Mutex<Vec<Option<DataSet>>>,
    /// Read: put into memory, having seen that a session (or its absence) still stands. Write: empty
    /// memory and begin a session.
    gate: RwLock<()>,
    sessions: AtomicU64,
    /// Sessions up to this one are void.
    void: AtomicU64,
    breaker: Mutex<Breaker>,
    open: AtomicBool,
    /// Whether the breaker counts failures, so that the usual success costs one load.
    failing: AtomicBool,
    last_error: Mutex<Option<String>>,
    /// One connection a runtime.
    pub(super) attached: Mutex<Vec<Weak<RedisConnection>>>,
}

/// `pannier_redis_duration_seconds`.
pub(super) struct Latency {
    pub(super) get: Histogram,
    pub(super) lease: Histogram,
    pub(super) put: Histogram,
    pub(super) purge: Histogram,
}

impl Tier {
    pub(in crate::store) fn new(
        config: &config::Redis,
        budget: &config::Budget,
        memory: Arc<Memory>,
        fence: Arc<Fence>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Tier {
        let settings = clients::settings(config)
            .inspect_err(|error| tracing::error!(%error, "[redis] cannot be used"))
            .ok();
        let clustered = settings.as_ref().is_some_and(|s| s.server.is_clustered());
        let keys = Keyspace::new(&config.namespace, clustered);
        let shards = keys.shards().len();
        let latency = |command: &str| metrics.redis_seconds.with_label_values(&[command]);
        Tier {
            journal: Journal::default(),
            invalidation_fence: Fence::default(),
            settings,
            shard_budget: budget.max / shards as u64,
            budget: budget.max,
            evict_at: budget.evict_at,
            warned: AtomicBool::new(false),
            keys,
            scripts: Scripts::new(),
            latency: Latency {
                get: latency("get"),
                lease: latency("lease"),
                put: latency("put"),
                purge: latency("purge"),
            },
            memory,
            fence,
            clock,
            recovery: tokio::sync::Mutex::new(()),
            data: Mutex::new(vec![None; shards]),
            gate: RwLock::new(()),
            sessions: AtomicU64::new(0),
            void: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_probe)),
            open: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            last_error: Mutex::new(None),
            attached: Mutex::new(Vec::new()),
            config: config.clone(),
            metrics,
        }
    }

    /// Puts into memory (`put`) while `connection` cannot use Redis; `None`: it can, so what is not in Redis
    /// must not be in memory either, as no purge made elsewhere would reach it.
    pub(in crate::store) fn while_down(
        &self,
        connection: Option<&RedisConnection>,
        put: impl FnOnce() -> Result<(), Reason>,
    ) -> Option<Result<(), Reason>> {
        let _gate = self.gate.read();
        let down = connection.is_none_or(|connection| connection.session().is_none());
        down.then(put)
    }

    /// Puts into memory what was read or written in `session` of `connection`, if it still stands.
    pub(in crate::store) fn remember(
        &self,
        connection: &RedisConnection,
        session: Session,
        put: impl FnOnce() -> Result<(), Reason>,
    ) -> Option<Result<(), Reason>> {
        let _gate = self.gate.read();
        (connection.tracking() == Some(session)).then(put)
    }

    /// Empties memory and begins a session; all that came before is forgotten.
    pub(super) fn begin_session(&self, connection: &RedisConnection) {
        let _gate = self.gate.write();
        self.memory.clear();
        let number = 1 + self.sessions.fetch_add(1, Ordering::AcqRel);
        connection.set_session(Some(Session(number)));
        self.breaker().close();
        self.failing.store(false, Ordering::Release);
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::info!("Redis is back");
        }
        self.metrics.redis_breaker_open.set(0);
    }

    /// Ends the sessions of all links: what they were told is of another data set.
    pub(super) fn end_sessions(&self) {
        self.void
            .store(self.sessions.load(Ordering::Acquire), Ordering::Release);
    }

    pub(super) fn is_void(&self, session: Session) -> bool {
        session.0 <= self.void.load(Ordering::Acquire)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether the caller is to probe; always while the breaker is closed.
    pub(super) fn may_probe(&self) -> bool {
        !self.is_open() || self.breaker().probe(clock::monotonic())
    }

    /// Counts a command's result.
    pub(super) fn note<T>(&self, result: &Result<T, Error>) {
        let Err(error) = result else {
            if self.failing.load(Ordering::Acquire) {
                self.failing.store(false, Ordering::Release);
                self.breaker().succeeded();
            }
            return;
        };
        if *error == Error::Down {
            return;
        }
        self.count(error);
        if error.is_outage() {
            self.failing.store(true, Ordering::Release);
            if self.breaker().failed(clock::monotonic()) {
                self.open.store(true, Ordering::Release);
                self.metrics.redis_breaker_open.set(1);
                tracing::warn!(%error, "Redis fails; going on without it");
            }
        }
    }

    /// Counts an error and keeps its words for the status.
    pub(super) fn count(&self, error: &Error) {
        // What does not decode is counted where it is repaired.
        if !matches!(error, Error::WrongType(_)) {
            let errors = &self.metrics.redis_errors;
            errors.with_label_values(&[error.kind()]).inc();
        }
        *self.last_error.lock() = Some(error.to_string());
    }

    /// Warns once each time the bytes in Redis pass `[budget] evict_at`.
    pub(super) fn note_bytes(&self, bytes: u64) {
        let above = bytes >= self.evict_at;
        if above && !self.warned.swap(true, Ordering::AcqRel) {
            let (evict_at, max) = (self.evict_at, self.budget);
            tracing::warn!(
                bytes,
                evict_at,
                max,
                "Pannier's part of Redis is nearly full: shorten TTLs or raise [budget] max"
            );
        }
        if !above {
            self.warned.store(false, Ordering::Release);
        }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// Longest a command of a request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock()
    }
}

/// The time between a connection's recovery and the loss of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Session(pub(super) u64);
