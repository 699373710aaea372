//! What is stored, as requests read it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::decisions::{self, CheckTicket};
use super::fence::{Mark, Tags};
use super::handle::{Shared, Store};
use super::inspect::{self, Holding, Inspection};
use super::redis::{Masked, Unanswered};
use crate::auth::{Decision, Digest, Verdict};
use crate::config::{Coherence, Outage};
use crate::entry::{Entry, Variant};
use crate::routes::PurgeKind;

impl Store {
    /// Looks in memory alone: no await, no allocation. `None` for strict rules with Redis configured, and where
    /// memory has not heard of Redis for longer than `[redis] staleness` and Redis can be asked instead.
    pub fn recall(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        match self.tier_of(key) {
            Some(tier) if !tier.trusts_memory() && self.can_ask(key) => None,
            _ => self.recall_unanswered(key, coherence, outage, now),
        }
    }

    /// As [`Store::recall`], where Redis was asked and has not answered.
    pub fn recall_unanswered(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        let entry = self.recall_trusted(key, coherence, now)?;
        match self.tier_of(key) {
            Some(tier) if !tier.trusts_memory() => tier.for_outage(entry, outage, now),
            _ => Some(entry),
        }
    }

    fn recall_trusted(
        &self,
        key: &str,
        coherence: Coherence,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        if !self.may_use_memory(coherence) {
            return None;
        }
        self.shared.memory.get(key, now)
    }

    /// What memory holds of a tracked rule and may not serve, since it has not heard of Redis for too long and
    /// cannot ask it: the app may confirm it. `has_answered`: whether Redis has, just now.
    pub fn unconfirmed(
        &self,
        key: &str,
        coherence: Coherence,
        has_answered: bool,
        now: SystemTime,
    ) -> Option<Arc<Entry>> {
        let tier = self.tier_of(key)?;
        if (has_answered && self.can_ask(key)) || tier.trusts_memory() {
            return None;
        }
        self.recall_trusted(key, coherence, now)
    }

    /// What memory holds under `key`, whether or not it may be served.
    pub fn peek(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        self.shared.memory.peek(key, now)
    }

    /// Looks in Redis, and remembers what it finds in memory (not for strict rules). `None` also when
    /// Redis is absent, down or slow, or a pending purge covers the entry.
    pub async fn fetch(&self, key: &str, coherence: Coherence) -> Option<Arc<Entry>> {
        self.try_fetch(key, coherence).await.ok().flatten()
    }

    /// Looks in Redis, and remembers what it finds in memory (not for strict rules).
    ///
    /// `Ok(None)`: nothing is stored, Redis is absent or left alone, or a pending purge covers the entry
    /// (promise I2). `Err`: Redis was asked and gave no answer in time; the caller should not wait for it a
    /// second time (promise I4).
    pub async fn try_fetch(
        &self,
        key: &str,
        coherence: Coherence,
    ) -> Result<Option<Arc<Entry>>, Unanswered> {
        let (Some(tier), Some(redis)) = (self.tier_of(key), self.redis_of(key)) else {
            return Ok(None);
        };
        let Some(session) = redis.session() else {
            return Ok(None);
        };
        let mark = tier.invalidation_fence.mark();
        let has_unconfirmed = tier.journal.has_any();
        if tier.journal.covering(key, &[]) == Some(PurgeKind::Hard) {
            return Ok(None);
        }
        let Some(entry) = redis.get(key).await?.map(Arc::new) else {
            return Ok(None);
        };
        let now = self.shared.clock.now();
        let masked = tier.journal.mask(key, Arc::clone(&entry), now);
        // What was on its way when Redis answered may have landed since: then it is behind the fence before it leaves the
        // journal, so the journal is looked at first.
        let fence = &tier.invalidation_fence;
        let landed = |variant: &Arc<Variant>| fence.covers(mark, key, Tags::Known(&variant.tags));
        if has_unconfirmed && entry.variants.iter().any(landed) {
            return Ok(None);
        }
        let entry = match masked {
            Masked::Untouched(entry) => entry,
            Masked::Stale(entry) => return Ok(Some(entry)),
            Masked::Hidden => return Ok(None),
        };
        tier.note_hit(key);
        if self.may_use_memory(coherence) {
            // What memory refuses is served all the same: it was in Redis when it was asked for.
            let _ = redis.put_within(session, || {
                let memory = &self.shared.memory;
                let entry = Arc::clone(&entry);
                memory.replace(key, entry, &tier.invalidation_fence, mark, now)
            });
        }
        Ok(Some(entry))
    }

    /// What is known under `digest` of whoever asks, if it may be used without asking again.
    pub fn recall_decision(
        &self,
        digest: &Digest,
        outage: Option<Outage>,
        now: Instant,
    ) -> Option<Verdict> {
        let (memory, tiers) = (&self.shared.memory, self.shared.tiers.as_deref());
        decisions::recall(memory, tiers, self.redis.as_deref(), (digest, outage, now))
    }

    /// To be done before the app is asked who has the credentials of `digest`; `mark` is a moment before.
    pub async fn begin_check(&self, digest: Digest, mark: Mark) -> CheckTicket {
        let (tiers, redis) = (self.shared.tiers.as_deref(), self.redis.as_deref());
        CheckTicket::take(tiers, redis, digest, mark).await
    }

    /// Keeps what the app said, unless a purge has come since or would not be heard of. Returns whether it did.
    pub fn keep_decision(
        &self,
        ticket: CheckTicket,
        decision: Decision,
        outage: Option<Outage>,
    ) -> bool {
        let Shared { memory, fence, .. } = &*self.shared;
        let tiers = (self.shared.tiers.as_deref(), self.redis.as_deref());
        ticket.keep((memory, fence), tiers, decision, outage)
    }

    /// Whether what was said of `digest` at `mark` may not be so any more: a purge has come since.
    pub fn is_overtaken(&self, digest: &Digest, mark: Mark) -> bool {
        // Its name is made only where something was purged.
        self.mark() != mark && self.fenced(mark, &digest.name(), Tags::Known(&[]))
    }

    /// Looks into both tiers as a request would (bounded by Redis's timeout), but counts no hit and
    /// remembers nothing. An entry in Redis that does not decode is removed all the same.
    pub async fn inspect(
        &self,
        key: &str,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Inspection {
        let Shared { memory, clock, .. } = &*self.shared;
        let redis = match self.tier_of(key) {
            Some(tier) => inspect::look_in_redis(tier, self.redis_of(key), key).await,
            None => Holding::Absent,
        };
        let (usable, now) = (self.may_use_memory(coherence), clock.now());
        let mut memory = inspect::look_in_memory(memory, usable, key, now);
        if let Some(tier) = self.tier_of(key) {
            memory = inspect::leave_what_is_trusted(tier, memory, &redis, outage, now);
        }
        Inspection { memory, redis, now }
    }
}
