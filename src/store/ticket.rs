//! The right to store what one fill fetches.

use std::sync::Arc;
use std::time::Duration;

use super::fence::Mark;
use super::redis::{Holder, Lease, Unanswered};
use crate::entry::{Entry, Variant};

/// The right to store one fill's answer: taken before the app is asked.
#[derive(Debug)]
pub struct Ticket {
    pub(super) key: Box<str>,
    /// When the fill began: a purge since then refuses what it fetched (promise I3).
    pub(super) mark: Mark,
    pub(super) lease: Lease,
    /// Whether nobody waits for the store.
    pub(super) can_wait: bool,
}

impl Ticket {
    /// Has the store wait for others for a moment, since nobody waits for it.
    pub fn let_gather(&mut self) {
        self.can_wait = true;
    }

    /// When the fill began.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Which other fill of the fleet has the key's lease, if one has: what it stores can be waited for.
    pub fn taken_by(&self) -> Option<&str> {
        self.holder().map(Holder::token)
    }

    /// What the app usually takes, as the other fill's sidecar knows it.
    pub fn usual_of_holder(&self) -> Option<Duration> {
        self.holder()?.usual()
    }

    /// Whether the other fill was not heard of for so long that nobody may be there.
    pub fn is_holder_silent(&self) -> bool {
        self.holder().is_some_and(Holder::is_silent)
    }

    fn holder(&self) -> Option<&Holder> {
        match &self.lease {
            Lease::Taken(holder) => Some(holder),
            _ => None,
        }
    }

    /// Whether Redis was not asked, or did not answer in time.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.lease, Lease::Unknown { .. })
    }

    /// Whether Redis was waited for in vain, so that it is not to be waited for a second time (promise I4).
    pub fn is_redis_late(&self) -> bool {
        let Lease::Unknown { why, .. } = self.lease else {
            return false;
        };
        why == Unanswered::Late
    }

    /// The entry that was stored when the lease was taken: another sidecar's fill may have landed just
    /// before. `None` also when Redis gave no lease.
    pub fn found(&self) -> Option<&Entry> {
        match &self.lease {
            Lease::Held(held) => held.base(),
            _ => None,
        }
    }

    /// Whether `variant`, read before the ticket was taken, may still be confirmed by a validation: what
    /// was purged since must not be revived by it (promise I2).
    ///
    /// With a lease it may only if that very variant was still stored when the lease was taken. Without
    /// one Redis said nothing, and the fence alone decides.
    pub fn confirms(&self, variant: &Variant) -> bool {
        let Lease::Held(held) = &self.lease else {
            return true;
        };
        let is_same = |kept: &Arc<Variant>| {
            kept.stored.selector == variant.stored.selector
                && kept.stored.response_time == variant.stored.response_time
        };
        held.base()
            .is_some_and(|base| base.variants.iter().any(is_same))
    }

    /// As [`Ticket::confirms`], by an answer that was asked for before the ticket was taken: a soft purge since then has left
    /// the variant, and what is softened already does not show another one.
    pub fn confirms_by_earlier(&self, variant: &Variant) -> bool {
        let Lease::Held(held) = &self.lease else {
            return true;
        };
        let softened = |held: &Variant| held.stored.softened.is_some();
        let selector = &variant.stored.selector;
        let of_selector = |kept: &&Arc<Variant>| kept.stored.selector == *selector;
        let kept = held
            .base()
            .and_then(|base| base.variants.iter().find(of_selector));
        self.confirms(variant) && !softened(variant) && kept.is_none_or(|kept| !softened(kept))
    }
}
