//! What is kept of an answer: whether it may be, its tags and groups, the store, and those who waited.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::ask::Arrival;
use super::gather::check_body;
use super::{Fill, Filling, land};
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, groups, ranges, storable};
use crate::proxy::cached::Quest;
use crate::proxy::coalesce::{Landing, Ready};
use crate::proxy::{plan, variables};

impl Filling {
    /// The body is whole: renders the tags and stores it.
    pub(super) async fn keep(self: Box<Self>, mut variant: Arc<Variant>, body: Bytes) {
        let untagged = self.finish(Arc::make_mut(&mut variant), body).err();
        match untagged {
            None => self.commit(variant).await,
            Some(reason) => {
                self.fill.count_not_stored(reason);
                let shared = self.fill.quest.worker.store.is_shared();
                let ready = Ready {
                    variant,
                    asked: self.asked,
                    confirmed: (!shared).then(Instant::now),
                };
                self.abandon(Landing::Ready(ready)).await;
            }
        }
    }

    /// Adds what was not known when the answer began.
    fn finish(&self, variant: &mut Variant, body: Bytes) -> Result<(), Reason> {
        variant.body = body;
        self.join_with_base(variant);
        variant.tags = self.fill.tags(&variant.stored, &variant.body)?;
        variant
            .tags
            .extend(self.fill.quest.group_tags(&variant.stored));
        Ok(())
    }

    /// Joins a part with what was stored of the same representation (RFC 9111 §3.4), as far as the rule
    /// lets so much be stored.
    fn join_with_base(&self, part: &mut Variant) {
        let Some(base) = self.base.as_ref().filter(|_| part.stored.part.is_some()) else {
            return;
        };
        let joined = ranges::combined((&base.stored, &base.body), (&part.stored, &part.body));
        if let Some((stored, body)) = joined
            && body.len() <= self.fill.max_body()
        {
            (part.stored, part.body) = (stored, body);
        }
    }

    pub(super) async fn commit(self: Box<Self>, variant: Arc<Variant>) {
        let quest = &self.fill.quest;
        let store = &quest.worker.store;
        let at = Instant::now();
        let stored = store
            .commit(self.ticket, variant.clone(), quest.coherence())
            .await;
        if let Err(reason) = stored {
            self.fill.count_not_stored(reason);
        }
        // Without Redis every purge is this process's own, and nobody joins a fill that one covers.
        let confirmed = (stored.is_ok() || !store.is_shared()).then_some(at);
        land(
            self.leader,
            Landing::Ready(Ready {
                variant,
                asked: self.asked,
                confirmed,
            }),
        );
    }
}

impl Fill {
    /// What to store of the answer, its body and tags to come; or why not.
    pub(super) fn storable(&self, arrival: &Arrival) -> Result<Arc<Variant>, Reason> {
        let quest = &self.quest;
        let policy = quest.asked.live.rule(quest.lookup.rule).policy;
        let stored = storable(&quest.fill_head(), &arrival.exchange(), policy)?;
        check_body(&arrival.response, self.max_body())?;
        Ok(Arc::new(self.variant(stored, Bytes::new())))
    }

    pub(super) fn variant(&self, stored: Stored, body: Bytes) -> Variant {
        let rule = self.quest.asked.live.rule(self.quest.lookup.rule);
        Variant {
            stored,
            body,
            tags: Vec::new(),
            priority: rule.priority(),
            rule: rule.name().unwrap_or_default().into(),
        }
    }

    pub(super) fn max_body(&self) -> usize {
        let rule = self.quest.asked.live.rule(self.quest.lookup.rule);
        rule.max_body()
    }

    /// The rule's tags for this answer; one that cannot be rendered could not be purged.
    fn tags(&self, stored: &Stored, body: &Bytes) -> Result<Vec<Box<str>>, Reason> {
        let asked = &self.quest.asked;
        let templates = asked.live.rule(self.quest.lookup.rule).tags();
        if templates.is_empty() {
            return Ok(Vec::new());
        }
        let reads_response = templates.iter().any(|tag| tag.reads_response());
        let readable = stored.part.is_none() && !stored.headers.contains_key(CONTENT_ENCODING);
        let response = (reads_response && readable)
            .then(|| variables::json(body, asked.live.config.defaults.max_variables))
            .flatten();
        let params = plan::matched(&asked.live, asked.parts.uri.path())
            .map(|(_, params)| params)
            .unwrap_or_default();
        let claims = plan::claims(asked, templates.iter().any(|tag| tag.reads_jwt()));
        let mut scope = plan::scope(asked, &params, claims.as_ref());
        scope.response = response.as_ref();
        templates
            .iter()
            .map(|tag| {
                tag.render(&scope)
                    .map(|tag| tag.text.into())
                    .map_err(|_| Reason::MissingTag)
            })
            .collect()
    }
}

impl Quest {
    /// The tags of the groups that a response names (RFC 9875 §2).
    pub(super) fn group_tags(&self, stored: &Stored) -> Vec<Box<str>> {
        // One with too many was refused (`storable`).
        let groups = groups::of(&stored.headers).unwrap_or_default();
        if groups.is_empty() {
            return Vec::new();
        }
        let origin = self.group_origin();
        let tags = groups.iter().map(|group| groups::tag(&origin, group));
        tags.collect()
    }

    /// The tags of `stale` as `confirmed`, which a 304 made of it and may have put into other groups.
    ///
    /// Those it was in before are kept for once: a purge of one, while the app was being asked, covers
    /// what was confirmed.
    pub(in crate::proxy) fn retagged(&self, stale: &Variant, confirmed: &Stored) -> Vec<Box<str>> {
        let ruled = stale.tags.iter().filter(|tag| !groups::is_tag(tag));
        let mut tags: Vec<Box<str>> = ruled.cloned().collect();
        tags.extend(self.group_tags(confirmed));
        tags.extend(self.group_tags(&stale.stored));
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}
