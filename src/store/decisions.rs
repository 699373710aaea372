//! Decisions on who asks, as requests and checks use them: purged over the fleet, and fenced, as entries are.
//!
//! Redis holds no decision. A check reads two names there before it asks the app (`redis::keys`), and a purge of
//! identities writes them, so that Redis tells whoever has read them. The rest is as for entries: what was asked before a
//! purge is not kept behind it (promise I3), and memory that has not heard of Redis does not answer.

use std::time::Instant;

use super::fence::{Fence, Mark, Tags};
use super::memory::Memory;
use super::redis::{AttachedTier, AttachedTiers, Session, Tier, Tiers, Unanswered};
use crate::auth::{Decision, Digest, Verdict};
use crate::config::Outage;

/// A check under way.
#[derive(Debug)]
pub struct CheckTicket {
    digest: Digest,
    name: String,
    mark: Mark,
    heard: Heard,
}

/// How this process hears of what other sidecars purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// There are none.
    Alone,
    /// Redis tells, in this session.
    Within(Session),
    /// Redis cannot be asked.
    Outage,
    /// Redis has not answered in time.
    Late,
    /// It does not.
    Not,
}

/// What is known under `digest`, if it may be used without asking again.
pub(super) fn recall(
    memory: &Memory,
    tiers: Option<&Tiers>,
    redis: Option<&AttachedTiers>,
    (digest, outage, now): (&Digest, Option<Outage>, Instant),
) -> Option<Verdict> {
    let (verdict, asked) = memory.decisions().get(digest, now)?;
    // Where one tier has all, no name is made.
    let name = tiers.filter(|tiers| tiers.all().len() > 1);
    let name = name.map(|_| digest.name()).unwrap_or_default();
    match tiers.map(|tiers| tiers.of(&name)) {
        Some(tier) if !tier.trusts_memory() => {
            let can_ask = redis.is_some_and(|redis| redis.of(&name).session().is_some());
            let serves = !can_ask && tier.serves_in_outage(asked, outage, now);
            serves.then_some(verdict)
        }
        _ => Some(verdict),
    }
}

impl CheckTicket {
    /// To be taken before the app is asked of `digest`; `mark` is a moment before.
    pub(super) async fn take(
        tiers: Option<&Tiers>,
        redis: Option<&AttachedTiers>,
        digest: Digest,
        mark: Mark,
    ) -> CheckTicket {
        let name = digest.name();
        let heard = match tiers {
            Some(tiers) => {
                let redis = redis.map(|redis| redis.of(&name));
                hear_of_purges(tiers.of(&name), redis, &name).await
            }
            None => Heard::Alone,
        };
        CheckTicket {
            digest,
            name,
            mark,
            heard,
        }
    }

    /// As [`CheckTicket::take`] by a request that Redis has not answered in time before: it is not asked again.
    pub fn without_redis(digest: Digest, mark: Mark) -> CheckTicket {
        CheckTicket {
            digest,
            name: digest.name(),
            mark,
            heard: Heard::Not,
        }
    }

    /// Whether Redis was waited for in vain, so that it is not to be waited for a second time (promise I4).
    pub fn is_redis_late(&self) -> bool {
        self.heard == Heard::Late
    }

    /// Keeps what the app said, unless a purge has come since or would not be heard of. Returns whether it did.
    pub(super) fn keep(
        self,
        (memory, fence): (&Memory, &Fence),
        (tiers, redis): (Option<&Tiers>, Option<&AttachedTiers>),
        decision: Decision,
        outage: Option<Outage>,
    ) -> bool {
        let put = || {
            let is_fenced = || fence.covers(self.mark, &self.name, Tags::Known(&[]));
            memory.decisions().put(self.digest, decision, is_fenced)
        };
        let put = match (self.heard, tiers, redis) {
            (Heard::Alone, ..) => Some(put()),
            (Heard::Within(session), _, Some(redis)) => {
                redis.of(&self.name).put_within(session, put)
            }
            (Heard::Outage, Some(tiers), _) => {
                tiers.of(&self.name).put_without(&self.name, outage, put)
            }
            _ => None,
        };
        put.unwrap_or(false)
    }
}

async fn hear_of_purges(tier: &Tier, redis: Option<&AttachedTier>, name: &str) -> Heard {
    let Some((redis, session)) = redis.and_then(|redis| Some((redis, redis.session()?))) else {
        return Heard::Outage;
    };
    // Redis tells a connection nothing of what it does itself, and then watches the names for it no longer.
    if tier.journal.covers(name, &[]) {
        return Heard::Not;
    }
    match redis.watch_identity(name).await {
        Ok(()) => Heard::Within(session),
        Err(Unanswered::Late) => Heard::Late,
        Err(Unanswered::Failed) => Heard::Not,
    }
}
