//! What all runtimes of the process share of the Redis tier.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use fred::types::config::Server;
use parking_lot::Mutex;
use prometheus::Histogram;

use super::breaker::CircuitBreaker;
use super::chores::Chores;
use super::clients::{self, Clients};
use super::diagnosis::{self, Address};
use super::error::Error;
use super::health::{Health, News};
use super::hit_counts::HitCounts;
use super::journal::Journal;
use super::journal_file::{JournalError, JournalFile, Outlives};
use super::keys::{Keyspace, LAYOUT};
use super::layouts::OtherLayout;
use super::lineage::{Comparison, Generation, Lineages};
use super::recorder::{Knowledge, Recorder};
use super::scripts::Scripts;
use super::server_limits::Management;
use super::session::{Endings, SessionSlot, Sessions, Without};
use super::status::RedisStatus;
use super::unlisted::Unlisted;
use super::unreleased::Unreleased;
use super::usage::ByteBudget;
use crate::clock::{self, Clock};
use crate::config::{self, Outage, RedisAccess};
use crate::entry::codec::DecodeError;
use crate::entry::{Entry, Variant};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::routes::{Purge, PurgeKind};
use crate::store::fence::Fence;
use crate::store::memory::Memory;

/// The shared parts.
pub(in crate::store) struct Tier {
    /// Purges that Redis has not confirmed.
    pub(in crate::store) journal: Arc<Journal>,
    /// Purges and invalidations: fences what enters memory on its way from Redis. Fills have the
    /// store's own fence: an entry that merely expires must not refuse the fill that renews it.
    pub(in crate::store) invalidation_fence: Fence,
    pub(super) sessions: Sessions,
    pub(super) config: config::Redis,
    /// How new connections are let in.
    access: ArcSwap<RedisAccess>,
    /// Of a cluster, as a session has found them last.
    nodes: Mutex<Vec<Server>>,
    pub(super) budget: ByteBudget,
    pub(super) management: Management,
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
    pub(super) lineages: Arc<Lineages>,
    pub(super) chores: Chores,
    pub(super) hits: HitCounts,
    /// Tells this process's purges from those of others.
    pub(super) process: Box<str>,
    pub(super) unreleased: Unreleased,
    unlisted: Unlisted,
    /// Of the file of `[redis] journal`, where this process keeps one.
    recorder: Option<Recorder>,
    pub(super) other_layout: OtherLayout,
    /// Something was switched elsewhere.
    pub(in crate::store) switch_news: tokio::sync::Notify,
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
        let keys = Keyspace::new(
            &config.namespace,
            config.servers.is_cluster(),
            config.layout.unwrap_or(LAYOUT),
        );
        let shards = keys.shards().len();
        let breaker = CircuitBreaker::new(config.breaker_failures, config.breaker_probe);
        metrics.redis_breaker_open.set(1);
        Tier {
            journal: Arc::default(),
            invalidation_fence: Fence::default(),
            sessions: Sessions::new(breaker, config.staleness),
            access: ArcSwap::from_pointee(config.access.clone()),
            config: config.clone(),
            budget: ByteBudget::new(budget, shards),
            nodes: Mutex::default(),
            management: Management::default(),
            keys,
            scripts: Scripts::new(),
            latency: Latency::new(&metrics),
            memory,
            in_flight,
            fence,
            clock,
            metrics,
            recovery: tokio::sync::Mutex::new(()),
            lineages: Arc::new(Lineages::new(shards)),
            chores: Chores::default(),
            hits: HitCounts::new(budget.check_every, clock::monotonic()),
            process: format!("{:016x}", fastrand::u64(..)).into(),
            unreleased: Unreleased::default(),
            unlisted: Unlisted::default(),
            recorder: None,
            other_layout: OtherLayout::default(),
            switch_news: tokio::sync::Notify::new(),
            last_error: Mutex::new(None),
            address: clients::address(config),
            health,
        }
    }

    /// fred's client, let in as it is said now; `None` if that cannot be, which the operator is told.
    pub(super) fn make_clients(&self) -> Option<Clients> {
        Clients::new(&self.config, self.access.load_full(), &self.nodes.lock())
            .inspect_err(|error| {
                tracing::error!(%error, "[redis] cannot be used");
                self.health.blame(error.diagnose());
            })
            .ok()
    }

    /// The nodes of the cluster, each of which names the others.
    pub(super) fn note_nodes(&self, nodes: Vec<Server>) {
        *self.nodes.lock() = nodes;
    }

    /// Whether a new client would be let in otherwise than this one was.
    pub(super) fn lets_in_otherwise(&self, clients: &Clients) -> bool {
        clients.is_let_in_otherwise(self.access.load_full())
    }

    /// New connections are let in as `access` says; those that stand have been let in.
    pub(in crate::store) fn take_access(&self, access: &RedisAccess) {
        self.access.store(Arc::new(access.clone()));
    }

    /// Takes in what the file of `[redis] journal` says, if one is configured, and keeps it from now on. To be done
    /// before any connection: what is read there is believed from the first session on.
    pub(in crate::store) fn keep_journal(&mut self) -> Result<(), JournalError> {
        let Some(path) = &self.config.journal else {
            return Ok(());
        };
        let (file, found) = JournalFile::open(path)?;
        let mut knowledge = Knowledge {
            about: self.describe_store(),
            process: self.process.clone(),
            lineages: Arc::clone(&self.lineages),
            journal: Arc::clone(&self.journal),
        };
        knowledge.take_in(found, &file);
        self.process.clone_from(&knowledge.process);
        self.recorder = Some(Recorder::start(knowledge, file)?);
        Ok(())
    }

    /// What another server, database, namespace or layout has otherwise.
    fn describe_store(&self) -> String {
        let (hosts, namespace) = (&self.address.hosts, &self.config.namespace);
        let (database, layout) = (self.config.database, self.keys.layout());
        format!("{hosts}/{database} {namespace} v{layout}")
    }

    /// Has the journal's file written, and does not wait for it.
    pub(super) fn record_soon(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.record_soon();
        }
    }

    /// Returns when the journal's file has what is known now, if there is one and it can be written.
    pub(in crate::store) async fn record(&self, outlives: Outlives) {
        if let Some(recorder) = &self.recorder {
            recorder.record(outlives).await;
        }
    }

    /// Begins the session of a connection that was prepared for it since `endings`; `false` if it has to
    /// be prepared again.
    pub(super) fn begin_session(&self, slot: &SessionSlot, endings: Endings) -> bool {
        let begun = self.sessions.begin(slot, endings, || {
            self.unlisted.take_all();
            self.memory.clear();
        });
        if begun {
            self.other_layout.disappear();
        }
        self.observe();
        begun
    }

    /// Whether memory may answer as if it had heard of every purge.
    pub(in crate::store) fn trusts_memory(&self) -> bool {
        self.sessions.trusts_memory(clock::monotonic())
    }

    /// Whether what is known of whoever asks since `asked` still counts at `now`, where Redis cannot be asked.
    pub(in crate::store) fn serves_in_outage(
        &self,
        asked: Instant,
        outage: Option<Outage>,
        now: Instant,
    ) -> bool {
        let most = self.config.outage_ttl;
        let age = self.sessions.age_of_memory(now);
        outage.unwrap_or(self.config.outage) == Outage::Serve
            && (age.is_some_and(|age| age <= most) || now.saturating_duration_since(asked) <= most)
    }

    /// What memory may still answer with where Redis cannot be asked: of `entry`, which it holds, what was
    /// confirmed or fetched within `[redis] outage_ttl`. `None` also where the rule passes during an outage.
    pub(in crate::store) fn for_outage(
        &self,
        entry: Arc<Entry>,
        outage: Option<Outage>,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        let most = self.config.outage_ttl;
        if outage.unwrap_or(self.config.outage) == Outage::Pass {
            return None;
        }
        let age = self.sessions.age_of_memory(clock::monotonic());
        if age.is_some_and(|age| age <= most) {
            return Some(entry);
        }
        let is_recent = |variant: &Arc<Variant>| {
            let age = now.duration_since(variant.stored.response_time);
            age.unwrap_or_default() <= most
        };
        let mut recent = Entry::clone(&entry);
        recent.variants.retain(is_recent);
        (!recent.variants.is_empty()).then(|| Arc::new(recent))
    }

    /// Runs `put`, which puts into memory what is not in Redis, if Redis cannot be used. Where the rule passes
    /// during an outage, not while it may be told again that memory is as it should be: that would not be so of this.
    pub(in crate::store) fn put_without<T>(
        &self,
        key: &str,
        outage: Option<Outage>,
        put: impl FnOnce() -> T,
    ) -> Option<T> {
        let without = match outage.unwrap_or(self.config.outage) {
            Outage::Serve => Without::Use,
            Outage::Pass => Without::Session,
        };
        self.sessions.put_without(without, || {
            if let Some(key) = self.unlisted.note(key, clock::monotonic()) {
                self.memory.purge_key(&key);
            }
            put()
        })
    }

    /// Redis answers in time again, in the session of this connection.
    pub(super) fn resume(&self, slot: &SessionSlot) {
        self.sessions.resume(slot, || {
            for key in self.unlisted.take_all() {
                self.memory.purge_key(&key);
            }
        });
        self.observe();
    }

    /// Lets go of what memory holds and can no longer be told about.
    pub(super) fn forget_what_is_untold(&self) {
        let now = clock::monotonic();
        for key in self.unlisted.take_old(self.config.outage_ttl, now) {
            self.memory.purge_key(&key);
        }
        self.sessions.let_go_of_lost(now, || self.memory.clear());
    }

    /// Waits a moment until a purge that has failed is sent again, if that may be soon: other sidecars may read what
    /// it covers before. Returns whether it was.
    pub(in crate::store) async fn lands_soon(&self, id: u64) -> bool {
        const MOMENT: Duration = Duration::from_millis(50);
        if !self.sessions.may_be_back(2 * MOMENT) {
            return false;
        }
        self.sessions.wake_usable();
        self.journal.lands_within(id, MOMENT).await
    }

    /// Whether it is known why Redis cannot be used.
    pub(super) fn is_diagnosed(&self) -> bool {
        self.health.describe(clock::monotonic()).1.is_some()
    }

    /// Sees whether Redis is up, sets the gauges that say so, and tells the operator what is new.
    pub(super) fn observe(&self) {
        let is_up = self.sessions.all_usable();
        self.metrics.redis_up.set(is_up.into());
        let is_open = !self.sessions.any_usable();
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

    /// Redis holds data of this generation. If it is a later one, all that was stored before is void, in memory
    /// and on its way there too.
    pub(super) fn note_generation(&self, shard: usize, found: Generation) -> Comparison {
        let comparison = self.lineages.compare(shard, found);
        if comparison == Comparison::Later {
            self.distrust();
        }
        comparison
    }

    /// Empties memory, and fences all that is on its way there.
    pub(super) fn distrust(&self) {
        let everything = Arc::new(Purge::of_everything());
        self.invalidation_fence.purge(Arc::clone(&everything));
        self.fence.purge(everything);
        self.memory.clear();
    }

    /// A script of this process has begun a generation; `why` is empty if it has not.
    pub(super) fn note_begun(&self, why: &str) {
        let cause = match why {
            "lost" => {
                "Redis has lost bookkeeping of Pannier, by an eviction, a deletion or a flush"
            }
            "older" => "Redis lacks purges that it had: it has gone back to older data",
            "layout" => "Redis has lost the list of layouts, or another layout was in use",
            _ => return,
        };
        self.metrics.redis_voided.with_label_values(&[why]).inc();
        tracing::warn!("{cause}; what was stored there is void, and fetched anew");
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
            // The supervisor may know better: that a connection was refused, say, on which requests wait.
            let diagnosis = diagnosis::diagnose(error, &self.address);
            self.health.blame_unless_known(diagnosis);
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

    /// Counts entries purged in Redis.
    pub(in crate::store) fn count_purged(&self, kind: PurgeKind, purged: usize) {
        self.metrics.purged("redis", kind.as_str(), purged);
    }

    /// What is known without asking Redis.
    pub(in crate::store) fn status(&self) -> RedisStatus {
        self.observe();
        let (since, diagnosis) = self.health.describe(clock::monotonic());
        RedisStatus {
            up: self.sessions.all_usable(),
            since,
            diagnosis,
            hosts: self.address.hosts.clone(),
            max: self.budget.max,
            manages_server: self.budget.manages_server,
            managed: self.management.describe(),
            pending_purges: self.journal.failed_count(),
            last_error: self.last_error.lock().clone(),
            ..RedisStatus::default()
        }
    }

    /// The fleet's time.
    pub(in crate::store) fn now(&self) -> SystemTime {
        self.clock.now()
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
