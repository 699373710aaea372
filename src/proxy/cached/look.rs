//! What a hit needs: the request borrowed, so that answering it from memory moves and counts nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Response};

use super::Holds;
use crate::body::Body;
use crate::config::Coherence;
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, RequestHead, Reuse, reuse};
use crate::proxy::heads::Told;
use crate::proxy::outcome::Outcome;
use crate::proxy::plan::Lookup;
use crate::proxy::present::Present;
use crate::proxy::{Asked, Worker, respond};

/// One cacheable request.
#[derive(Clone, Copy)]
pub(super) struct Look<'q> {
    pub(super) worker: &'q Worker,
    pub(super) asked: &'q Asked,
    pub(super) lookup: &'q Lookup,
}

impl<'q> Look<'q> {
    /// The answer, if memory holds one that may be served as it is.
    pub(super) fn at_once(self) -> Result<Outcome, Holds> {
        let now = self.worker.clock.now();
        let entry = self.recall(now).ok_or(Holds::Nothing)?;
        let (Reuse::Serve { age, ttl, reason }, Some(variant)) = self.decide(Some(&entry), now)
        else {
            return Err(Holds::Something);
        };
        let outcome = |response| self.outcome(reason, response).ttl(ttl);
        // What was decoded for this request alone is not seen again.
        let is_seen_again = Arc::strong_count(&entry) > 1;
        if !(is_seen_again && self.takes_the_whole()) {
            let variant = Arc::clone(variant);
            drop(entry);
            return Ok(outcome(self.taken(variant, age)));
        }
        let live = &self.asked.live;
        let told = Told {
            age: age.as_secs(),
            ttl,
            reason,
            key: live.config.defaults.cache_status_key,
        };
        let (heads, rule) = (&self.worker.heads, live.rule(self.lookup.rule).name());
        if let Some(fields) = heads.find(variant, told, rule) {
            return Ok(outcome(respond::under(fields, variant)).said());
        }
        let mut outcome = outcome(respond::whole(Arc::clone(variant), age));
        outcome.say(self.asked);
        heads.note(variant, told, rule, outcome.response().headers());
        Ok(outcome)
    }

    /// The variant as the answer; fields that nobody else holds move into it.
    pub(super) fn taken(self, variant: Arc<Variant>, age: Duration) -> Response<Body> {
        // `reuse` has decided against a part already; it must never look like the whole.
        if self.takes_the_whole() && variant.stored.part.is_none() {
            respond::whole(variant, age)
        } else {
            respond::taken(&self.head(), variant, age)
        }
    }

    /// Whether no field asks for less than a whole response.
    fn takes_the_whole(self) -> bool {
        self.asked.parts.method == Method::GET && !self.asked.present.has(Present::SELECTING)
    }

    pub(super) fn recall(self, now: SystemTime) -> Option<Arc<Entry>> {
        let store = &self.worker.store;
        store.recall(&self.lookup.key.text, self.coherence(), now)
    }

    /// What RFC 9111 and the rule say, with the variant it is about.
    pub(super) fn decide(
        self,
        entry: Option<&Entry>,
        now: SystemTime,
    ) -> (Reuse, Option<&Arc<Variant>>) {
        let head = self.head();
        let variant = entry.and_then(|entry| entry.select(&head));
        let stored = variant.map(|variant| &variant.stored);
        let occupied = entry.is_some_and(|entry| !entry.variants.is_empty());
        let policy = self.asked.live.rule(self.lookup.rule).policy;
        (reuse(&head, stored, occupied, policy, now), variant)
    }

    pub(super) fn head(self) -> RequestHead<'q> {
        self.lookup.head(self.asked)
    }

    /// The same as a fill asks: a refresh behind a HEAD fetches the whole response.
    pub(super) fn fill_head(self) -> RequestHead<'q> {
        static GET: Method = Method::GET;
        RequestHead {
            method: &GET,
            ..self.head()
        }
    }

    pub(super) fn coherence(self) -> Coherence {
        self.asked.live.rule(self.lookup.rule).coherence()
    }

    pub(super) fn outcome(self, reason: Reason, response: Response<Body>) -> Outcome {
        Outcome::new(self.lookup.rule, reason, response).looked_up(self.asked, self.lookup)
    }
}
