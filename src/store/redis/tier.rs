//! What all runtimes of the process share of the Redis tier.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use prometheus::Histogram;

use super::chores::Chores;
use super::connector::Connector;
use super::error::Error;
use super::hit_counts::HitCounts;
use super::journal::Journal;
use super::journal_file::{JournalError, JournalFile, Outlives};
use super::keys::Keyspace;
use super::lineage::{Comparison, Generation, Lineage};
use super::overview::Overview;
use super::recorder::{Knowledge, Recorder};
use super::scripts::Scripts;
use super::server_limits::Management;
use super::session::{Endings, SessionSlot, Sessions, Without};
use super::slots::SlotMap;
use super::unlisted::Unlisted;
use super::unreleased::Unreleased;
use super::unstored::{Unstored, WatchedIdentities};
use super::usage::ByteBudget;
use crate::clock::{self, Clock};
use crate::config::{self, Outage};
use crate::entry::codec::DecodeError;
use crate::entry::{Entry, Variant};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::routes::{Purge, PurgeKind};
use crate::store::fence::Fence;
use crate::store::memory::Memory;

/// A shard, as all runtimes of the process have it.
pub(in crate::store) struct Tier {
    pub(super) number: usize,
    /// Purges that Redis has not confirmed.
    pub(in crate::store) journal: Arc<Journal>,
    /// Purges and invalidations: fences what enters memory on its way from Redis. Fills have the
    /// store's own fence: an entry that merely expires must not refuse the fill that renews it.
    pub(in crate::store) invalidation_fence: Fence,
    pub(super) sessions: Arc<Sessions>,
    pub(super) keys: Keyspace,
    /// One connection at a time finds out what was missed.
    pub(super) recovery: tokio::sync::Mutex<()>,
    pub(super) lineage: Arc<Lineage>,
    pub(super) chores: Arc<Chores>,
    pub(super) unreleased: Unreleased,
    pub(super) unstored: Unstored,
    pub(super) identities: WatchedIdentities,
    unlisted: Unlisted,
    shared: Arc<Shared>,
}

/// What the tiers of all shards have in common; each reads it as its own.
pub(in crate::store) struct Shared {
    pub(super) config: Arc<config::Redis>,
    pub(super) connector: Arc<Connector>,
    /// Of a cluster, which node has which shard.
    pub(super) slots: Option<Arc<SlotMap>>,
    pub(super) overview: Arc<Overview>,
    pub(super) budget: ByteBudget,
    pub(super) management: Management,
    pub(super) scripts: Scripts,
    pub(super) latency: Latency,
    pub(super) hits: HitCounts,
    /// Something was switched elsewhere.
    pub(super) switch_news: tokio::sync::Notify,
    pub(super) process: OnceLock<Box<str>>,
    /// Of the file of `[redis] journal`, where this process keeps one.
    pub(super) recorder: OnceLock<Recorder>,
    pub(super) memory: Arc<Memory>,
    pub(super) in_flight: InFlight,
    pub(super) fence: Arc<Fence>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Deref for Tier {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// `pannier_redis_duration_seconds`.
pub(super) struct Latency {
    pub(super) get: Histogram,
    pub(super) lease: Histogram,
    pub(super) put: Histogram,
    pub(super) purge: Histogram,
}

impl Shared {
    /// Tells this process's purges from those of others.
    pub(super) fn process(&self) -> &str {
        let random = || format!("{:016x}", fastrand::u64(..)).into();
        self.process.get_or_init(random)
    }

    /// Takes in what the file of `[redis] journal` says, if one is configured, and keeps it from now on. To be done
    /// before any connection: what is read there is believed from the first session on.
    pub(super) fn keep_journal(&self, about: String) -> Result<(), JournalError> {
        let Some(path) = &self.config.journal else {
            return Ok(());
        };
        let (file, found) = JournalFile::open(path)?;
        let shards = self.overview.shards().iter();
        let mut knowledge = Knowledge {
            about,
            process: format!("{:016x}", fastrand::u64(..)).into(),
            lineages: shards.clone().map(|it| Arc::clone(&it.lineage)).collect(),
            journals: shards.map(|it| Arc::clone(&it.journal)).collect(),
        };
        knowledge.take_in(found, &file);
        let _ = self.process.set(knowledge.process.clone());
        let _ = self.recorder.set(Recorder::start(knowledge, file)?);
        Ok(())
    }

    /// Whether the journal has a file.
    pub(in crate::store) fn has_journal(&self) -> bool {
        self.recorder.get().is_some()
    }

    /// Has the journal's file written, and does not wait for it.
    pub(super) fn record_soon(&self) {
        if let Some(recorder) = self.recorder.get() {
            recorder.record_soon();
        }
    }

    /// Returns when the journal's file has what is known now, if there is one and it can be written.
    pub(in crate::store) async fn record(&self, outlives: Outlives) {
        if let Some(recorder) = self.recorder.get() {
            recorder.record(outlives).await;
        }
    }
}

impl Tier {
    pub(super) fn new(number: usize, keys: Keyspace, shared: Arc<Shared>) -> Tier {
        let state = shared.overview.shards()[number].clone();
        Tier {
            number,
            journal: state.journal,
            invalidation_fence: Fence::default(),
            sessions: state.sessions,
            keys,
            recovery: tokio::sync::Mutex::new(()),
            lineage: state.lineage,
            chores: state.chores,
            unreleased: Unreleased::default(),
            unstored: Unstored::default(),
            identities: WatchedIdentities::default(),
            unlisted: Unlisted::default(),
            shared,
        }
    }

    /// Begins the session of a connection that was prepared for it since `endings`; `false` if it has to
    /// be prepared again.
    pub(super) fn begin_session(&self, slot: &SessionSlot, endings: Endings) -> bool {
        let begun = self.sessions.begin(slot, endings, || {
            self.unlisted.take_all();
            self.memory.take_shard(self.number)
        });
        if begun {
            self.overview.forget_other_layout(self.number);
        }
        self.overview.observe();
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
        self.overview.observe();
    }

    /// Lets go of what memory holds and can no longer be told about.
    pub(super) fn forget_what_is_untold(&self) {
        let now = clock::monotonic();
        for key in self.unlisted.take_old(self.config.outage_ttl, now) {
            self.memory.purge_key(&key);
        }
        let empty_memory = || self.memory.take_shard(self.number);
        self.sessions.let_go_of_lost(now, empty_memory);
    }

    /// Waits until a purge that has failed is sent again, if that may be soon: other sidecars may read what it covers
    /// before. For as long as a command may take, and no longer than a moment where it is known why Redis cannot be
    /// used. Returns whether it was.
    pub(in crate::store) async fn lands_soon(&self, id: u64) -> bool {
        const MOMENT: Duration = Duration::from_millis(50);
        let longest = self.timeout().max(MOMENT);
        let is_starting = self.sessions.are_to_begin() && !self.overview.is_diagnosed();
        if !is_starting && !self.sessions.may_be_back(2 * longest) {
            return false;
        }
        self.sessions.wake_usable();
        let until = clock::monotonic() + longest;
        loop {
            if self.journal.lands_within(id, MOMENT).await {
                return true;
            }
            if self.overview.is_diagnosed() || clock::monotonic() >= until {
                return false;
            }
        }
    }

    /// A beat found sidecars of another layout.
    pub(super) fn note_other_layout(&self, other: u32) -> Error {
        let own = self.keys.layout();
        self.overview.note_other_layout(self.number, own, other)
    }

    /// Redis holds data of this generation. If it is a later one, all that was stored before is void, in memory
    /// and on its way there too.
    pub(super) fn note_generation(&self, found: Generation) -> Comparison {
        let comparison = self.lineage.compare(found);
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
        drop(self.memory.take_shard(self.number));
    }

    /// Who asks may have changed: what is known, and the checks under way.
    pub(super) fn drop_identities(&self, purge: Purge) {
        let purge = Arc::new(purge);
        self.fence.purge(Arc::clone(&purge));
        self.memory.decisions().purge(&purge);
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
        self.note_moved(error);
        self.overview.note_error(error);
        if error.is_outage() && self.sessions.breaker.note_failure(clock::monotonic()) {
            self.overview.blame_unless_known(error);
            self.overview.observe();
        }
    }

    /// As [`Tier::note`]; a refusal ends the session of this connection.
    pub(super) fn note_in<T>(&self, slot: &SessionSlot, result: &Result<T, Error>) {
        self.note(result);
        match result {
            Err(error) if error.is_refusal() => self.sessions.end_and_wake(slot),
            // Perhaps a part of the shard has moved to another node: a beat shows whether it can be used.
            Err(Error::Cluster(_) | Error::NotReady(_)) => self.sessions.wake(slot),
            _ => {}
        }
    }

    /// Another node of the cluster has the shard now, if that is what went wrong.
    pub(super) fn note_moved(&self, error: &Error) {
        if let (Error::Cluster(words), Some(slots)) = (error, &self.slots) {
            slots.take_in_moved(words);
        }
    }

    /// Counts an entry in Redis that does not decode.
    pub(super) fn note_undecodable(&self, key: &str, error: DecodeError) {
        self.overview.count_error("undecodable");
        tracing::warn!(key, %error, "removed an entry from Redis");
    }

    /// Counts entries purged in Redis.
    pub(in crate::store) fn count_purged(&self, kind: PurgeKind, purged: usize) {
        self.metrics.purged("redis", kind.as_str(), purged);
    }

    /// The fleet's time.
    pub(in crate::store) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Longest a command of a request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }
}

impl Latency {
    pub(super) fn new(metrics: &Metrics) -> Latency {
        let of = |command: &str| metrics.redis_seconds.with_label_values(&[command]);
        Latency {
            get: of("get"),
            lease: of("lease"),
            put: of("put"),
            purge: of("purge"),
        }
    }
}
