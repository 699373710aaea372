//! What all runtimes of the process share of the Redis tier.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Histogram;

use super::breaker::CircuitBreaker;
use super::clients;
use super::data_set::DataSets;
use super::error::Error;
use super::journal::Journal;
use super::keys::{Keyspace, LAYOUT};
use super::layouts::OtherLayout;
use super::scripts::Scripts;
use super::session::{Endings, SessionSlot, Sessions};
use super::status::RedisStatus;
use super::unreleased::Unreleased;
use super::usage::ByteBudget;
use crate::clock::{self, Clock};
use crate::config;
use crate::entry::codec::DecodeError;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::store::fence::Fence;
use crate::store::memory::Memory;

/// The shared parts.
pub(in crate::store) struct Tier {
    /// Purges that Redis has not confirmed.
    pub(in crate::store) journal: Journal,
    /// Purges and invalidations: fences what enters memory on its way from Redis. Fills have the
    /// store's own fence: an entry that merely expires must not refuse the fill that renews it.
    pub(in crate::store) invalidation_fence: Fence,
    pub(super) sessions: Sessions,
    pub(super) config: config::Redis,
    /// fred's form of `config`; absent if it cannot be used.
    pub(super) settings: Option<fred::types::config::Config>,
    pub(super) budget: ByteBudget,
    pub(super) keys: Keyspace,
    pub(super) scripts: Scripts,
    pub(super) latency: Latency,
    pub(super) memory: Arc<Memory>,
    pub(super) in_flight: InFlight,
    pub(super) fence: Arc<Fence>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// One connection at a time finds out what was missed.
    pub(super) recovery: tokio::sync::Mutex<()>,
    pub(super) data_sets: DataSets,
    pub(super) unreleased: Unreleased,
    pub(super) other_layout: OtherLayout,
    last_error: Mutex<Option<String>>,
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
        in_flight: InFlight,
        fence: Arc<Fence>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Tier {
        let settings = clients::parse_settings(config)
            .inspect_err(|error| tracing::error!(%error, "[redis] cannot be used"))
            .ok();
        let clustered = settings.as_ref().is_some_and(|s| s.server.is_clustered());
        let keys = Keyspace::new(
            &config.namespace,
            clustered,
            config.layout.unwrap_or(LAYOUT),
        );
        let shards = keys.shards().len();
        let gauge = metrics.redis_breaker_open.clone();
        let breaker = CircuitBreaker::new(config.breaker_failures, config.breaker_probe, gauge);
        Tier {
            journal: Journal::default(),
            invalidation_fence: Fence::default(),
            sessions: Sessions::new(breaker),
            config: config.clone(),
            settings,
            budget: ByteBudget::new(budget, shards),
            keys,
            scripts: Scripts::new(),
            latency: Latency::new(&metrics),
            memory,
            in_flight,
            fence,
            clock,
            metrics,
            recovery: tokio::sync::Mutex::new(()),
            data_sets: DataSets::new(shards),
            unreleased: Unreleased::default(),
            other_layout: OtherLayout::default(),
            last_error: Mutex::new(None),
        }
    }

    /// Begins the session of a connection that was prepared for it since `endings`; `false` if it has to
    /// be prepared again.
    pub(super) fn begin_session(&self, slot: &SessionSlot, endings: Endings) -> bool {
        let begun = self.sessions.begin(slot, endings, || self.memory.clear());
        if begun && let Some(other) = self.other_layout.disappear() {
            tracing::info!(
                other,
                "the other stored layout is gone: Redis is used again, from empty"
            );
        }
        begun
    }

    /// A beat found sidecars of another layout. All sessions end; memory is kept, as while Redis is away.
    pub(super) fn note_other_layout(&self, other: u32) -> Error {
        self.sessions.end_all();
        if self.other_layout.appear(other) {
            let own = self.keys.layout();
            tracing::warn!(
                own,
                other,
                "sidecars of another stored layout use this namespace: \
                 Redis is left alone until they are gone"
            );
        }
        let error = Error::OtherLayout(other);
        *self.last_error.lock() = Some(error.to_string());
        error
    }

    /// Counts a command's result: for the breaker, the metrics and the status.
    pub(super) fn note<T>(&self, result: &Result<T, Error>) {
        let error = match result {
            Ok(_) => return self.sessions.breaker.note_success(),
            // Nothing was sent, or nothing is amiss with Redis.
            Err(Error::Down | Error::NoRoom) => return,
            Err(error) => error,
        };
        self.note_error(error);
        if error.is_outage() && self.sessions.breaker.note_failure(clock::monotonic()) {
            tracing::warn!(%error, "Redis fails; going on without it");
        }
    }

    /// Counts an error and keeps its words for the status.
    pub(super) fn note_error(&self, error: &Error) {
        // An entry that does not decode is counted where it is removed.
        if !matches!(error, Error::WrongType(_)) {
            self.count_error(error.kind());
        }
        *self.last_error.lock() = Some(error.to_string());
    }

    /// Counts an entry in Redis that does not decode.
    pub(super) fn note_undecodable(&self, key: &str, error: DecodeError) {
        self.count_error("undecodable");
        tracing::warn!(key, %error, "removed an entry from Redis");
    }

    /// Counts entries removed from Redis.
    pub(in crate::store) fn count_purged(&self, removed: usize) {
        let purged = self.metrics.purged_entries.with_label_values(&["redis"]);
        purged.inc_by(removed as u64);
    }

    /// What is known without asking Redis.
    pub(in crate::store) fn status(&self) -> RedisStatus {
        RedisStatus {
            max: self.budget.max,
            pending_purges: self.journal.failed_count(),
            last_error: self.last_error.lock().clone(),
            ..RedisStatus::default()
        }
    }

    /// Longest a command of a request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    fn count_error(&self, kind: &str) {
        let errors = &self.metrics.redis_errors;
        errors.with_label_values(&[kind]).inc();
    }
}

impl Latency {
    fn new(metrics: &Metrics) -> Latency {
        let of = |command: &str| metrics.redis_seconds.with_label_values(&[command]);
        Latency {
            get: of("get"),
            lease: of("lease"),
            put: of("put"),
            purge: of("purge"),
        }
    }
}
