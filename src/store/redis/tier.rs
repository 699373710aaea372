//! What all runtimes of the process share of the Redis tier.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Histogram;

use super::breaker::CircuitBreaker;
use super::clients;
use super::data_set::DataSets;
use super::diagnosis::{self, Address};
use super::error::Error;
use super::health::{Health, News};
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
    address: Address,
    health: Health,
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
        let health = Health::new(clock::monotonic());
        let settings = clients::parse_settings(config)
            .inspect_err(|error| {
                tracing::error!(%error, "[redis] cannot be used");
                health.blame(error.diagnose());
            })
            .ok();
        let clustered = settings.as_ref().is_some_and(|s| s.server.is_clustered());
        let keys = Keyspace::new(
            &config.namespace,
            clustered,
            config.layout.unwrap_or(LAYOUT),
        );
        let shards = keys.shards().len();
        let breaker = CircuitBreaker::new(config.breaker_failures, config.breaker_probe);
        metrics.redis_breaker_open.set(1);
        let address = settings
            .as_ref()
            .map(|settings| clients::address(settings, &config.namespace));
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
            address: address.unwrap_or_default(),
            health,
        }
    }

    /// Begins the session of a connection that was prepared for it since `endings`; `false` if it has to
    /// be prepared again.
    pub(super) fn begin_session(&self, slot: &SessionSlot, endings: Endings) -> bool {
        let begun = self.sessions.begin(slot, endings, || self.memory.clear());
        if begun {
            self.other_layout.disappear();
        }
        self.observe();
        begun
    }

    /// Sees whether Redis is up, sets the gauges that say so, and tells the operator what is new.
    pub(super) fn observe(&self) {
        let is_up = self.settings.is_some() && self.sessions.all_usable();
        self.metrics.redis_up.set(is_up.into());
        let is_open = self.settings.is_none() || !self.sessions.any_usable();
        self.metrics.redis_breaker_open.set(is_open.into());
        if let Some(news) = self.health.observe(is_up, clock::monotonic()) {
            self.tell(news);
        }
    }

    /// Redis cannot be used because of this.
    pub(super) fn blame(&self, error: &Error) {
        let diagnosis = diagnosis::diagnose(error, &self.address);
        match error {
            // fred says so of each command that was under way, behind the reason itself.
            Error::Connection(words) if words.starts_with("Connection closed") => {
                self.health.blame_unless_known(diagnosis);
            }
            _ => self.health.blame(diagnosis),
        }
    }

    fn tell(&self, news: News) {
        let host = &self.address.hosts;
        match news {
            // Told where the other layout was met.
            News::Down { .. } if !self.other_layout.is_none() => {}
            News::Down { lasted, diagnosis } => {
                let (cause, remedy) = (diagnosis.cause, diagnosis.remedy);
                let seconds = lasted.as_secs();
                tracing::warn!(
                    "Redis at {host} cannot be used, for {seconds} s now: {cause}. What helps: {remedy}. \
                     Meanwhile requests go on without it"
                );
            }
            News::Up => tracing::info!("Redis at {host} is in use"),
            News::Again {
                lasted,
                untold: None,
            } => tracing::info!(
                "Redis at {host} is in use again, after {} s",
                lasted.as_secs()
            ),
            News::Again {
                lasted,
                untold: Some(diagnosis),
            } => tracing::info!(
                "Redis at {host} is in use again, after {} ms: {}",
                lasted.as_millis(),
                diagnosis.cause
            ),
        }
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
            self.blame(error);
            self.observe();
        }
    }

    /// As [`Tier::note`]; a refusal ends the session of this connection.
    pub(super) fn note_in<T>(&self, slot: &SessionSlot, result: &Result<T, Error>) {
        self.note(result);
        if let Err(error) = result
            && error.is_refusal()
        {
            self.sessions.end_and_wake(slot);
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
        self.observe();
        let (since, diagnosis) = self.health.describe(clock::monotonic());
        RedisStatus {
            up: self.settings.is_some() && self.sessions.all_usable(),
            since,
            diagnosis,
            hosts: self.address.hosts.clone(),
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
