//! Storing what fills fetch: the right to, taken before the app is asked, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::compression;
use super::fence::{Mark, Tags};
use super::handle::{Shared, Store};
use super::redis::{HeldLease, Lease, Put, Session, Tier, Unanswered, Wanted, Wishes};
use super::ticket::Ticket;
use crate::config::{Coherence, Outage};
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, tag_fields};

/// Why a fill is stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored {
    /// As clients and operators are told.
    pub reason: Reason,
    /// Whether Redis was waited for in vain, so that it is not to be waited for a second time (promise I4).
    pub redis_is_late: bool,
}

impl From<Reason> for NotStored {
    fn from(reason: Reason) -> NotStored {
        NotStored {
            reason,
            redis_is_late: false,
        }
    }
}

/// Where a fill is.
enum Place {
    Redis,
    MemoryAlone,
}

/// Why a fill is not in Redis.
enum NotPut {
    /// Redis refused it: memory must not have it either.
    Refused(Reason),
    /// Redis was not asked or did not answer: memory may have it while Redis is down. The lease may stand.
    Failed(NotStored),
    /// A purge that has yet to land covers it. The lease stands.
    Overtaken,
}

impl Store {
    /// Takes a ticket for a fill of `key`, with the key's lease in the fleet if Redis can be asked. The fill has it as long as
    /// it has the ticket, and other sidecars hear that the app usually takes so long.
    pub async fn begin(&self, key: &str, usual: Option<Duration>) -> Ticket {
        self.take(key, usual, Wanted::Always).await
    }

    /// As [`Store::begin`], by a request that did not look in Redis before; `None`: something is stored there, and no lease
    /// was taken.
    pub async fn begin_unless_stored(&self, key: &str, usual: Option<Duration>) -> Option<Ticket> {
        let ticket = self.take(key, usual, Wanted::UnlessStored).await;
        (!matches!(ticket.lease, Lease::Needless)).then_some(ticket)
    }

    async fn take(&self, key: &str, usual: Option<Duration>, wanted: Wanted) -> Ticket {
        let lease = match self.redis_of(key) {
            Some(redis) => redis.lease(key, usual, wanted).await,
            None => Lease::UNASKED,
        };
        // The app has not been asked yet, so what was purged while Redis was is no obstacle.
        Ticket {
            key: key.into(),
            mark: self.mark(),
            lease,
            can_wait: false,
        }
    }

    /// A ticket without a lease: what it fetches is stored in memory at most, and nobody waits for it.
    pub fn begin_alone(&self, key: &str) -> Ticket {
        Ticket {
            key: key.into(),
            mark: self.mark(),
            lease: Lease::UNASKED,
            can_wait: false,
        }
    }

    /// Stores what the fill fetched: Redis first (if it is there), then memory.
    ///
    /// The error says why it is stored nowhere. `Ok` does not mean that memory has it: for a strict rule,
    /// or where memory refuses what Redis took, Redis alone does.
    pub async fn commit(
        &self,
        ticket: Ticket,
        variant: impl Into<Arc<Variant>>,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Result<(), Reason> {
        let committed = self.try_commit(ticket, variant, coherence, outage).await;
        committed.map_err(|not_stored| not_stored.reason)
    }

    /// As [`Store::commit`]; the error also says whether Redis was waited for in vain.
    pub async fn try_commit(
        &self,
        ticket: Ticket,
        variant: impl Into<Arc<Variant>>,
        coherence: Coherence,
        outage: Option<Outage>,
    ) -> Result<(), NotStored> {
        let mut variant = variant.into();
        self.end_by_later_purge(&ticket.key, &mut variant);
        let Some(tier) = self.tier_of(&ticket.key) else {
            return Ok(self.put_in_memory(&ticket, &variant)?);
        };
        // What follows the store in Redis into memory is measured from before this look at the fence.
        let stored_since = tier.invalidation_fence.mark();
        if self.fenced(ticket.mark, &ticket.key, Tags::Known(&variant.tags)) {
            self.give_back(ticket);
            return Err(Reason::Fenced.into());
        }
        let variant = match ticket.lease {
            Lease::Held(_) => {
                let Shared {
                    in_flight, metrics, ..
                } = &*self.shared;
                compression::compressed(variant, in_flight, metrics).await
            }
            _ => variant,
        };
        let wishes = Wishes {
            may_list: self.may_use_memory(coherence) && self.shared.memory.usage().max > 0,
            can_wait: ticket.can_wait,
        };
        match self.put_in_redis(tier, &ticket, &variant, wishes).await {
            Ok((session, place)) if self.may_use_memory(coherence) => {
                let put = self.put_beside_redis(session, stored_since, &ticket.key, &variant);
                match place {
                    // If memory refuses it, Redis has it nevertheless.
                    Place::Redis => Ok(()),
                    Place::MemoryAlone => Ok(put.unwrap_or(Err(Reason::LeaseLost))?),
                }
            }
            Ok(_) => Ok(()),
            Err(NotPut::Refused(reason)) => Err(reason.into()),
            Err(NotPut::Failed(not_stored)) => {
                let held = match self.may_use_memory(coherence) {
                    true => self.put_without_redis(&ticket, &variant, outage),
                    false => None,
                };
                self.give_back(ticket);
                held.map_or(Err(not_stored), |held| Ok(held?))
            }
            Err(NotPut::Overtaken) => {
                self.give_back(ticket);
                Err(Reason::Fenced.into())
            }
        }
    }

    /// Whether [`Store::commit`] would store a body of `length` bytes, as far as that is known without asking
    /// Redis: it has given the lease, no purge has come since, and should it be full, memory has room.
    pub fn expects_to_keep(
        &self,
        ticket: &Ticket,
        length: usize,
        tags: Tags<'_>,
        coherence: Coherence,
    ) -> bool {
        let has_right = !self.is_shared() || matches!(ticket.lease, Lease::Held(_));
        has_right
            && self.may_use_memory(coherence)
            && self.shared.memory.is_small(length)
            && !self.fenced(ticket.mark, &ticket.key, tags)
    }

    /// Gives a ticket back unused, behind whoever has an answer by now: Redis may not take it in time (promise I4).
    pub fn give_back(&self, mut ticket: Ticket) {
        self.give_lease_back(&mut ticket);
    }

    /// As [`Store::give_back`], of a ticket by which memory may be filled nevertheless.
    pub fn give_lease_back(&self, ticket: &mut Ticket) {
        let lease = std::mem::replace(&mut ticket.lease, Lease::UNASKED);
        if let (Some(redis), Some(token)) = (self.redis.clone(), lease.into_token()) {
            let key = ticket.key.clone();
            tokio::spawn(async move { redis.of(&key).release(&key, token).await });
        }
    }

    /// Gives a ticket back unused, so that another fill may start at once.
    pub async fn abandon(&self, ticket: Ticket) {
        let Ticket { key, lease, .. } = ticket;
        if let (Some(redis), Some(token)) = (self.redis_of(&key), lease.into_token()) {
            redis.release(&key, token).await;
        }
    }

    /// Stores `variant` in Redis, beside the variants found with the lease; returns the session in which it
    /// was stored. Where there is no room and it may be listed, memory alone is its place, and Redis tells of purges.
    async fn put_in_redis(
        &self,
        tier: &Tier,
        ticket: &Ticket,
        variant: &Arc<Variant>,
        wishes: Wishes,
    ) -> Result<(Session, Place), NotPut> {
        let lost = NotPut::Failed(Reason::LeaseLost.into());
        let (redis, lease) = match (self.redis_of(&ticket.key), &ticket.lease) {
            (Some(redis), Lease::Held(lease)) => (redis, lease),
            (_, Lease::Full) => return Err(NotPut::Failed(Reason::BudgetFull.into())),
            _ => return Err(lost),
        };
        let Some(session) = redis.session() else {
            return Err(lost);
        };
        if tier.journal.covers(&ticket.key, &variant.tags) {
            return Err(NotPut::Overtaken);
        }
        let entry = self.merge(lease, variant, self.shared.clock.now());
        let ttl = entry.keep_for(self.shared.clock.now());
        let put = redis.put(lease, &entry, ttl, wishes);
        match put.await {
            Ok(Put::Stored) => Ok((session, Place::Redis)),
            Ok(Put::Listed) => Ok((session, Place::MemoryAlone)),
            Ok(Put::Lost) => Err(NotPut::Refused(Reason::LeaseLost)),
            Ok(Put::Purged) => Err(NotPut::Refused(Reason::Fenced)),
            Ok(Put::Full) => Err(NotPut::Refused(Reason::BudgetFull)),
            Ok(Put::Unfit) => Err(NotPut::Refused(Reason::CannotFit)),
            Ok(Put::TooManyTags) => Err(NotPut::Refused(Reason::TooManyTags)),
            Err(Unanswered::Late) => Err(NotPut::Failed(NotStored {
                reason: Reason::LeaseLost,
                redis_is_late: true,
            })),
            Err(Unanswered::Failed) => Err(lost),
        }
    }

    /// Adds to memory what Redis has taken in `session`; `None`: that has ended.
    fn put_beside_redis(
        &self,
        session: Session,
        stored_since: Mark,
        key: &str,
        variant: &Arc<Variant>,
    ) -> Option<Result<(), Reason>> {
        let (tier, redis) = (self.tier_of(key)?, self.redis_of(key)?);
        let (variant, now) = (Arc::clone(variant), self.shared.clock.now());
        redis.put_within(session, || {
            let memory = &self.shared.memory;
            memory.add(key, variant, &tier.invalidation_fence, stored_since, now)
        })
    }

    /// Adds to memory what Redis has not taken, while Redis cannot be used; `None`: it can.
    fn put_without_redis(
        &self,
        ticket: &Ticket,
        variant: &Arc<Variant>,
        outage: Option<Outage>,
    ) -> Option<Result<(), Reason>> {
        let put = || self.put_in_memory(ticket, variant);
        match self.tier_of(&ticket.key) {
            Some(tier) => tier.put_without(&ticket.key, outage, put),
            None => Some(put()),
        }
    }

    /// Adds to memory, measured from the fill's begin.
    fn put_in_memory(&self, ticket: &Ticket, variant: &Arc<Variant>) -> Result<(), Reason> {
        let shared = &self.shared;
        let (variant, now) = (Arc::clone(variant), shared.clock.now());
        let Ticket { key, mark, .. } = ticket;
        if let Some(held) = shared.memory.peek(key, now) {
            self.count_turned_out(&held, &variant, now);
        }
        shared.memory.add(key, variant, &shared.fence, *mark, now)
    }

    /// The entry that was found with the lease, with `variant` added; alone, where all together have too many tags for
    /// one script.
    fn merge(&self, lease: &HeldLease, variant: &Arc<Variant>, now: SystemTime) -> Entry {
        let base = lease.base().cloned().unwrap_or_default();
        self.count_turned_out(&base, variant, now);
        let entry = base.with(Arc::clone(variant), now);
        let named: usize = entry.variants.iter().map(|held| held.tags.len()).sum();
        let most = tag_fields::MAX_TAGS;
        if named > most && entry.tags().len() > most {
            let variants = vec![Arc::clone(variant)];
            return Entry { variants };
        }
        entry
    }

    fn count_turned_out(&self, held: &Entry, variant: &Variant, now: SystemTime) {
        if held.turns_out(variant, now) {
            self.shared
                .metrics
                .not_kept(&variant.rule, Reason::TooManyVariants);
        }
    }
}
