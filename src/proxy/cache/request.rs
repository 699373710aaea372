//! One request that may be answered from the store, and what answering it takes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Response};
use parking_lot::Mutex;

use super::audits::Audits;
use super::coalesce::{Flights, Role};
use super::examinations::Examinations;
use super::head_cache::HeadCache;
use super::refetches::Refetches;
use super::respond::{self, Form};
use crate::body::Body;
use crate::clock::Clock;
use crate::config::Coherence;
use crate::entry::{Entry, Priority, Variant};
use crate::http_cache::{Reason, RequestHead, Reuse, groups, reuse};
use crate::live::Rule;
use crate::metrics::Metrics;
use crate::observe::{HotKeys, Observations, ReadMarks};
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::proxy::wants::{self, Sources};
use crate::rollout::Evidence;
use crate::store::Store;
use crate::turns::Turns;

/// The longest body of a request that is kept while it waits for its turn in the background.
const MAX_WAITING_BODY: usize = 4096;

/// The same of its target and fields.
const MAX_WAITING_HEAD: usize = 8192;

/// What answering from the store takes: one for each worker.
pub struct Cache {
    /// Both tiers, Redis through this runtime's own connection.
    pub store: Store,
    /// In these begins what a crowd may bring at once.
    pub turns: Turns,
    /// Fills under way in the process.
    pub flights: Arc<Flights>,
    /// Heads of this worker's popular hits.
    pub heads: HeadCache,
    /// What finding out who asks takes.
    pub sources: Arc<Sources>,
    /// What comparing with the app has shown.
    pub evidence: Arc<Mutex<Evidence>>,
    /// What fills have shown.
    pub observations: Arc<Mutex<Observations>>,
    /// Which keys are hit most.
    pub hot_keys: Arc<Mutex<HotKeys>>,
    /// Which keys were read since they were stored.
    pub read_marks: Arc<ReadMarks>,
    /// Which keys are renewed before they expire, or were just now.
    pub renewal_marks: Arc<ReadMarks>,
    /// Keys that are asked for again after writes.
    pub refetches: Arc<Refetches>,
    /// Audits of the process.
    pub audits: Arc<Audits>,
    /// Comparisons with the app that wait.
    pub examinations: Arc<Examinations>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Fleet time.
    pub clock: Clock,
}

/// A request as long as it takes: everything that stays the same while it is being answered.
#[derive(Clone)]
pub(super) struct CacheRequest {
    pub(super) cache: Arc<Cache>,
    pub(super) context: Arc<RequestContext>,
    pub(super) lookup: Arc<Lookup>,
}

/// The same request borrowed, so that a hit from memory moves and counts nothing.
#[derive(Clone, Copy)]
pub(super) struct CacheRequestRef<'r> {
    pub(super) cache: &'r Arc<Cache>,
    pub(super) context: &'r RequestContext,
    pub(super) lookup: &'r Lookup,
}

impl CacheRequest {
    pub(super) fn by_ref(&self) -> CacheRequestRef<'_> {
        CacheRequestRef {
            cache: &self.cache,
            context: &self.context,
            lookup: &self.lookup,
        }
    }

    /// How soon it has its turn, if no client waits for it.
    pub(super) fn urgency(&self) -> Priority {
        let of_rule = self.by_ref().rule().settings.priority;
        self.context.urgency(of_rule)
    }

    /// Whether it may be kept until it has its turn: thousands may be.
    pub(super) fn may_wait(&self) -> bool {
        let sent = self.context.sent.as_whole();
        let parts = &self.context.parts;
        let target = parts.uri.path_and_query();
        let target = target.map_or(0, |target| target.as_str().len());
        let fields = parts.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
        target + fields.sum::<usize>() <= MAX_WAITING_HEAD
            && sent.is_none_or(|body| body.bytes.len() <= MAX_WAITING_BODY)
    }

    /// Leads the fill of its key, waits for it, or goes by itself (promise I3: nobody joins a fill that a
    /// purge has overtaken).
    pub(super) fn enter(&self) -> Role {
        let request = self.by_ref();
        // Without tags of the rule's own the answer can still name groups (RFC 9875), or any by its fields.
        let names_any = || !request.rule().policy.tag_fields.is_empty();
        let tags_beginning = || match request.rule().tags() {
            [] if !names_any() => groups::tags_of(&request.group_origin()),
            _ => String::new(),
        };
        let (store, timeout) = (&self.cache.store, request.app_timeout());
        let flights = &self.cache.flights;
        let is_late = request.context.redis_is_late();
        flights.enter(&self.lookup, store, tags_beginning, timeout, is_late)
    }
}

impl<'r> CacheRequestRef<'r> {
    /// The settings of its rule.
    pub(super) fn rule(self) -> Rule<'r> {
        self.context.live.rule(self.lookup.rule)
    }

    pub(super) fn key(self) -> &'r str {
        &self.lookup.key.text
    }

    pub(super) fn coherence(self) -> Coherence {
        self.rule().settings.coherence
    }

    /// `[upstream] timeout`: the longest wait for the head of the app's answer.
    pub(super) fn app_timeout(self) -> Duration {
        self.context.upstream().timeout()
    }

    /// Fleet time.
    pub(super) fn now(self) -> SystemTime {
        self.cache.clock.now()
    }

    /// The request as RFC 9111 sees it.
    pub(super) fn head(self) -> RequestHead<'r> {
        self.lookup.head(self.context)
    }

    /// The request as a fill asks it: a refresh behind a HEAD fetches the whole response.
    pub(super) fn fill_head(self) -> RequestHead<'r> {
        static GET: Method = Method::GET;
        RequestHead {
            method: &GET,
            ..self.head()
        }
    }

    /// What RFC 9111 §4 and the rule say of `entry`, with the variant that the request selects.
    pub(super) fn decide(
        self,
        entry: Option<&Entry>,
        now: SystemTime,
    ) -> (Reuse, Option<&Arc<Variant>>) {
        let head = self.head();
        let variant = entry.and_then(|entry| entry.select(&head));
        let stored = variant.map(|variant| &variant.stored);
        let occupied = entry.is_some_and(|entry| !entry.variants.is_empty());
        (
            reuse(&head, stored, occupied, self.rule().policy, now),
            variant,
        )
    }

    /// What memory holds for it, if its rule lets memory answer.
    pub(super) fn recall(self, now: SystemTime) -> Option<Arc<Entry>> {
        let (coherence, outage) = (self.coherence(), self.rule().settings.outage);
        self.cache.store.recall(self.key(), coherence, outage, now)
    }

    /// As [`CacheRequestRef::recall`], where Redis was asked and has not answered.
    pub(super) fn recall_unanswered(self, now: SystemTime) -> Option<Arc<Entry>> {
        let (coherence, outage) = (self.coherence(), self.rule().settings.outage);
        let store = &self.cache.store;
        store.recall_unanswered(self.key(), coherence, outage, now)
    }

    /// Whether who asks is whom its key says, as far as that was found out by a check of `[auth]`: the app is asked once
    /// more, since its answer is of the time after that check.
    pub(super) async fn is_asker_confirmed(self) -> bool {
        match self.context.asker {
            Some(_) => Box::pin(wants::is_confirmed(&self.cache.sources, self.context)).await,
            None => true,
        }
    }

    /// Whether who asks may not be whom its key says: what was known of that has been purged since (promise I3).
    pub(super) fn is_asker_overtaken(self) -> bool {
        let asker = self.context.asker.as_ref();
        let checked = asker.and_then(|asker| Some((asker.digest?, asker.since)));
        checked.is_some_and(|(digest, since)| self.cache.store.is_overtaken(&digest, since))
    }

    /// Whose cache groups (RFC 9875) those of its answer are.
    pub(super) fn group_origin(self) -> String {
        match self.rule().settings.any_host {
            true => groups::ANY_ORIGIN.to_owned(),
            false => self.context.origin(),
        }
    }

    pub(super) fn outcome(self, reason: Reason, response: Response<Body>) -> Outcome {
        let key = self.context.live.config.defaults.cache_status_key;
        let outcome = Outcome::new(self.lookup.rule, reason, response);
        outcome.key(key.then(|| self.lookup.key.text.clone()))
    }

    /// The form in which the body of `variant` goes out.
    pub(super) fn form_of(self, variant: &Variant) -> Form {
        match variant.body.compressed() {
            Some(_) => Form::of(&self.head(), variant),
            None => Form::AsSent,
        }
    }

    /// `variant` as the answer, with its age and the freshness left.
    pub(super) fn outcome_of_stored(self, reason: Reason, variant: &Arc<Variant>) -> Outcome {
        let now = self.now();
        let (age, ttl) = (variant.stored.age(now), variant.stored.ttl(now));
        let response = respond::stored(&self.head(), variant.clone(), age);
        self.outcome(reason, response).ttl(ttl)
    }
}
