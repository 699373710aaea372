//! Redis as a whole, however many shards it has there: whether it is up, what the operator is told of it, and what one shard
//! has to know of the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::types::config::Server;
use parking_lot::Mutex;

use super::chores::{Chore, Chores, HitReport};
use super::diagnosis::{self, Address, Diagnosis};
use super::error::Error;
use super::health::{Health, News};
use super::journal::Journal;
use super::layouts::OtherLayouts;
use super::lineage::Lineage;
use super::session::Sessions;
use crate::clock::{self, Clock};
use crate::http_cache::CLOCKS_APART;
use crate::metrics::Metrics;
use crate::store::sharding::Sharding;

/// Shared by the tiers of all shards.
pub(super) struct Overview {
    pub(super) address: Address,
    sharding: Sharding,
    shards: Vec<ShardState>,
    health: Health,
    last_error: Mutex<Option<String>>,
    other_layouts: OtherLayouts,
    /// Servers of which the operator was told that they may evict bookkeeping.
    told_of_eviction: Mutex<HashSet<String>>,
    /// Whether the operator was told that the clocks are.
    clocks_are_apart: AtomicBool,
    metrics: Arc<Metrics>,
}

/// What each shard has for itself.
#[derive(Clone)]
pub(super) struct ShardState {
    pub(super) sessions: Arc<Sessions>,
    pub(super) journal: Arc<Journal>,
    pub(super) lineage: Arc<Lineage>,
    pub(super) chores: Arc<Chores>,
}

impl Overview {
    pub(super) fn new(
        address: Address,
        sharding: Sharding,
        shards: Vec<ShardState>,
        metrics: Arc<Metrics>,
    ) -> Overview {
        metrics.redis_breaker_open.set(1);
        Overview {
            address,
            sharding,
            other_layouts: OtherLayouts::new(shards.len()),
            shards,
            health: Health::new(clock::monotonic()),
            last_error: Mutex::new(None),
            told_of_eviction: Mutex::default(),
            clocks_are_apart: AtomicBool::new(false),
            metrics,
        }
    }

    /// What each shard has for itself, by its number.
    pub(super) fn shards(&self) -> &[ShardState] {
        &self.shards
    }

    /// Whether every runtime may use every shard.
    pub(super) fn is_up(&self) -> bool {
        self.all(Sessions::all_usable)
    }

    /// Whether Redis tells every runtime of every change.
    pub(super) fn is_tracking(&self) -> bool {
        self.all(Sessions::all_current)
    }

    fn all(&self, is_so: impl Fn(&Sessions) -> bool) -> bool {
        self.shards.iter().all(|shard| is_so(&shard.sessions))
    }

    /// How many shards can be used, and how many there are.
    pub(super) fn count_usable(&self) -> (usize, usize) {
        let usable = self.shards.iter();
        let usable = usable.filter(|shard| shard.sessions.any_usable()).count();
        (usable, self.shards.len())
    }

    /// Sees whether Redis is up, sets the gauges that say so, and tells the operator what is new.
    pub(super) fn observe(&self) {
        let is_up = self.is_up();
        self.metrics.redis_up.set(is_up.into());
        let is_open = self.count_usable().0 == 0;
        self.metrics.redis_breaker_open.set(is_open.into());
        let pending = i64::try_from(self.count_pending()).unwrap_or(i64::MAX);
        self.metrics.redis_pending_purges.set(pending);
        if let Some(news) = self.health.observe(is_up, clock::monotonic()) {
            self.tell(news);
        }
    }

    /// Redis cannot be used because of this; `node`: of a cluster, where.
    pub(super) fn blame(&self, error: &Error, node: Option<&Server>) {
        let mut diagnosis = diagnosis::diagnose(error, &self.address);
        if let Some(node) = node {
            diagnosis.cause = format!("of {node}: {}", diagnosis.cause);
        }
        match error {
            // fred says so of each command that was under way, behind the reason itself.
            Error::Connection(words) if words.starts_with("Connection closed") => {
                self.health.blame_unless_known(diagnosis);
            }
            _ => self.health.blame(diagnosis),
        }
    }

    /// As [`Overview::blame`], for what is told to requests: the supervisor may know better, that a connection was
    /// refused, say, on which they wait.
    pub(super) fn blame_unless_known(&self, error: &Error) {
        let diagnosis = diagnosis::diagnose(error, &self.address);
        self.health.blame_unless_known(diagnosis);
    }

    /// There is something that no attempt will mend.
    pub(super) fn blame_settings(&self, diagnosis: Diagnosis) {
        self.health.blame(diagnosis);
    }

    /// How long Redis has been as it is, and what is wrong while it is down.
    pub(super) fn describe(&self) -> (Duration, Option<Diagnosis>) {
        self.health.describe(clock::monotonic())
    }

    /// Whether it is known why Redis cannot be used.
    pub(super) fn is_diagnosed(&self) -> bool {
        self.describe().1.is_some()
    }

    /// Counts an error and keeps its words for the status.
    pub(super) fn note_error(&self, error: &Error) {
        // An entry that does not decode is counted where it is removed.
        if !matches!(error, Error::WrongType(_)) {
            self.count_error(error.kind());
        }
        self.keep_words(error);
    }

    pub(super) fn count_error(&self, kind: &str) {
        let errors = &self.metrics.redis_errors;
        errors.with_label_values(&[kind]).inc();
    }

    fn keep_words(&self, error: &Error) {
        *self.last_error.lock() = Some(error.to_string());
    }

    /// The last error, in words.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// How many purges Redis could not take: one that several shards wait for is one.
    pub(super) fn count_pending(&self) -> usize {
        match &*self.shards {
            [shard] => shard.journal.failed_count(),
            shards => {
                let waiting = shards.iter().filter(|it| it.journal.failed_count() > 0);
                let failed = waiting.flat_map(|shard| shard.journal.failed());
                let failed = failed.map(|(_, purge)| Arc::as_ptr(&purge));
                failed.collect::<HashSet<_>>().len()
            }
        }
    }

    fn tell(&self, news: News) {
        let host = &self.address.hosts;
        match news {
            // Told where the other layout was met.
            News::Down { .. } if !self.other_layouts.is_none() => {}
            News::Down { lasted, diagnosis } => {
                let (cause, remedy) = (diagnosis.cause, diagnosis.remedy);
                let seconds = lasted.as_secs();
                let (usable, all) = self.count_usable();
                let part = name_part(usable, all);
                tracing::warn!(
                    "Redis at {host} cannot be used{part}, for {seconds} s now: {cause}. What helps: {remedy}. \
                     Meanwhile requests go on without what cannot be used"
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

    /// Says once that the clocks of Redis and this machine are far apart, and once that they agree again.
    pub(super) fn note_clocks(&self, clock: &Clock) {
        let (apart, is_ahead) = (clock.difference(), !clock.lead().is_zero());
        let is_far = apart > CLOCKS_APART;
        if self.clocks_are_apart.swap(is_far, Ordering::AcqRel) == is_far {
            return;
        }
        match is_far {
            true => tracing::warn!(
                "the clock of Redis is {} s {} this machine's: what is stored ages by that of Redis, for all sidecars alike. \
                 What helps: set both by NTP",
                apart.as_secs(),
                if is_ahead { "ahead of" } else { "behind" },
            ),
            false => tracing::info!("the clocks of Redis and of this machine agree again"),
        }
    }

    /// A beat found sidecars of another layout in a shard. All sessions end, of all shards; memory is kept, as while Redis
    /// is away.
    pub(super) fn note_other_layout(&self, shard: usize, own: u32, other: u32) -> Error {
        for shard in &self.shards {
            shard.sessions.end_all();
        }
        if self.other_layouts.appear(shard, other, clock::monotonic()) {
            self.void_all();
            tracing::warn!(
                own,
                other,
                "sidecars of another stored layout use this namespace: \
                 Redis is left alone until they are gone"
            );
        }
        let error = Error::OtherLayout(other);
        self.keep_words(&error);
        error
    }

    /// Other layouts were in use in a shard, as their names there tell.
    pub(super) fn note_left_layout(&self, shard: usize, other: &str) {
        let other = other.parse().unwrap_or_default();
        if self.other_layouts.leave(shard, other, clock::monotonic()) {
            self.void_all();
            // None of its sidecars was met, so nothing was logged yet.
            tracing::info!("another stored layout was in use: what this one had stored is void");
        }
    }

    /// The other layout may not have been announced in every shard, of which each may lack a purge nevertheless.
    fn void_all(&self) {
        for shard in &self.shards {
            shard.lineage.note_void(shard.lineage.generation());
        }
    }

    /// The other layout that is in use in another shard than this one.
    pub(super) fn other_layout_beside(&self, shard: usize) -> Option<u32> {
        self.other_layouts.in_use_beside(shard, clock::monotonic())
    }

    /// A session begins in this shard, so no other layout is in use there.
    pub(super) fn forget_other_layout(&self, shard: usize) {
        self.other_layouts.disappear(shard);
    }

    /// Whether the operator is to be told that this server may evict bookkeeping: once.
    pub(super) fn tells_of_eviction(&self, server: String) -> bool {
        self.told_of_eviction.lock().insert(server)
    }

    /// Has these hits told, each to the shard of its key.
    pub(super) fn begin_hit_reports(&self, hits: HashMap<String, u32>) {
        let mut reports = vec![Vec::new(); self.shards.len()];
        for (key, count) in hits {
            reports[self.sharding.shard_of(&key)].push((key, count));
        }
        for (shard, hits) in self.shards.iter().zip(reports) {
            if !hits.is_empty() {
                shard.chores.begin(Chore::TellHits(HitReport { hits }));
            }
        }
    }
}

/// What of Redis cannot be used, in words behind "cannot be used", where that is not all of it.
fn name_part(usable: usize, all: usize) -> String {
    match all - usable {
        0 => " by some of its connections".to_owned(),
        down if down == all => String::new(),
        down => format!(" for {down} of {all} shards"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        for (usable, all, expected) in [
            (0, 1, ""),
            (0, 4, ""),
            (1, 4, " for 3 of 4 shards"),
            (3, 4, " for 1 of 4 shards"),
            // Each shard has a connection that can be used, and not all of them can.
            (1, 1, " by some of its connections"),
            (4, 4, " by some of its connections"),
        ] {
            assert_eq!(name_part(usable, all), expected, "{usable} of {all}");
        }
    }
}
