//! Decisions on who asks, as requests and checks use them: purged over the fleet, and fenced, as entries are.
//!
//! Redis holds no decision. A check reads two names there before it asks the app (`redis::keys`), and a purge of
//! identities writes them, so that Redis tells whoever has read them. The rest is as for entries: what was asked before a
//! purge is not kept behind it (promise I3), and memory that has not heard of Redis does not answer.

use std::time::Instant;

use super::fence::{Mark, Tags};
use super::redis::Session;
use super::{Shared, Store};
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
    /// It does not.
    Not,
}

impl Store {
    /// What is known under `digest`, if it may be used without asking again.
    pub fn recall_decision(
        &self,
        digest: &Digest,
        outage: Option<Outage>,
        now: Instant,
    ) -> Option<Verdict> {
        let (verdict, asked) = self.shared.memory.decisions().get(digest, now)?;
        match &self.shared.tier {
            Some(tier) if !tier.trusts_memory() => {
                let serves = !self.can_ask() && tier.serves_in_outage(asked, outage, now);
                serves.then_some(verdict)
            }
            _ => Some(verdict),
        }
    }

    /// Whether what was said of `digest` at `mark` may not be so any more: a purge has come since.
    pub fn is_overtaken(&self, digest: &Digest, mark: Mark) -> bool {
        // Its name is made only where something was purged.
        self.mark() != mark && self.fenced(mark, &digest.name(), Tags::Known(&[]))
    }

    /// To be done before the app is asked of `digest`; `mark` is a moment before.
    pub async fn begin_check(&self, digest: Digest, mark: Mark) -> CheckTicket {
        let name = digest.name();
        CheckTicket {
            heard: self.hear_of_purges(&name).await,
            digest,
            name,
            mark,
        }
    }

    /// Keeps what the app said, unless a purge has come since or would not be heard of. Returns whether it did.
    pub fn keep_decision(
        &self,
        ticket: CheckTicket,
        decision: Decision,
        outage: Option<Outage>,
    ) -> bool {
        let Shared { memory, fence, .. } = &*self.shared;
        let CheckTicket {
            digest,
            name,
            mark,
            heard,
        } = ticket;
        let put = || {
            let is_fenced = || fence.covers(mark, &name, Tags::Known(&[]));
            memory.decisions().put(digest, decision, is_fenced)
        };
        let put = match (heard, &self.shared.tier, &self.redis) {
            (Heard::Alone, ..) => Some(put()),
            (Heard::Within(session), _, Some(redis)) => redis.put_within(session, put),
            (Heard::Outage, Some(tier), _) => tier.put_without(&name, outage, put),
            _ => None,
        };
        put.unwrap_or(false)
    }

    async fn hear_of_purges(&self, name: &str) -> Heard {
        let Some(tier) = &self.shared.tier else {
            return Heard::Alone;
        };
        let Some((redis, session)) = self
            .redis
            .as_ref()
            .and_then(|redis| Some((redis, redis.session()?)))
        else {
            return Heard::Outage;
        };
        // Redis tells a connection nothing of what it does itself, and then watches the names for it no longer.
        if tier.journal.covers(name, &[]) {
            return Heard::Not;
        }
        match redis.watch_identity(name).await {
            Ok(()) => Heard::Within(session),
            Err(_) => Heard::Not,
        }
    }
}
