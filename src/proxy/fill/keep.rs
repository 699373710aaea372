//! What becomes of a whole answer: tags and groups, the store, and those who waited.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::{Fill, Filling, land};
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, groups, ranges};
use crate::proxy::cached::Quest;
use crate::proxy::coalesce::{Landing, Ready};
use crate::proxy::{plan, variables};

impl Fill {
    /// The body is whole: renders its tags and stores it.
    pub(super) async fn keep(self, fill: Filling, stored: Stored, body: Bytes) {
        let (stored, body) = self.joined_with_base(&fill, stored, body);
        let (tags, untagged) = match self.tags(&stored, &body) {
            Ok(mut tags) => {
                tags.extend(self.quest.group_tags(&stored));
                (tags, None)
            }
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let variant = Arc::new(self.variant(stored, body, tags));
        match untagged {
            None => self.commit(fill, variant).await,
            Some(reason) => {
                self.count_not_stored(reason);
                let confirmed = (!self.quest.worker.store.is_shared()).then(Instant::now);
                land(
                    fill.leader,
                    Landing::Ready(Ready {
                        variant,
                        asked: fill.asked,
                        confirmed,
                    }),
                );
                self.quest.worker.store.abandon(fill.ticket).await;
            }
        }
    }

    pub(super) fn variant(&self, stored: Stored, body: Bytes, tags: Vec<Box<str>>) -> Variant {
        let rule = self.quest.asked.live.rule(self.quest.lookup.rule);
        Variant {
            stored,
            body,
            tags,
            priority: rule.priority(),
            rule: rule.name().unwrap_or_default().into(),
        }
    }

    /// A part joined with what was stored of the same representation (RFC 9111 §3.4), as far as the
    /// rule lets so much be stored.
    fn joined_with_base(&self, fill: &Filling, stored: Stored, body: Bytes) -> (Stored, Bytes) {
        let rule = self.quest.asked.live.rule(self.quest.lookup.rule);
        let base = fill.base.as_ref().filter(|_| stored.part.is_some());
        base.and_then(|base| {
            ranges::combined((&base.stored, &base.body), (&stored, &body))
                .filter(|(_, joined)| joined.len() <= rule.max_body())
        })
        .unwrap_or((stored, body))
    }

    pub(super) async fn commit(self, fill: Filling, variant: Arc<Variant>) {
        let store = &self.quest.worker.store;
        let at = Instant::now();
        let stored = store
            .commit(fill.ticket, variant.clone(), self.quest.coherence())
            .await;
        if let Err(reason) = stored {
            self.count_not_stored(reason);
        }
        // Without Redis every purge is this process's own, and nobody joins a fill that one covers.
        let confirmed = (stored.is_ok() || !store.is_shared()).then_some(at);
        land(
            fill.leader,
            Landing::Ready(Ready {
                variant,
                asked: fill.asked,
                confirmed,
            }),
        );
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
