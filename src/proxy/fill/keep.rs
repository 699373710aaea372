//! What becomes of a whole answer: tags, the store, and those who waited.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::{Fill, Filling, land};
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored};
use crate::proxy::coalesce::{Landing, Ready};
use crate::proxy::{plan, variables};

impl Fill {
    /// The body is whole: renders its tags and stores it.
    pub(super) async fn keep(self, fill: Filling, stored: Stored, body: Bytes) {
        let rule = self.quest.asked.live.rule(self.quest.lookup.rule);
        let (tags, untagged) = match self.tags(&stored.headers, &body) {
            Ok(tags) => (tags, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let variant = Arc::new(Variant {
            stored,
            body,
            tags,
            priority: rule.priority(),
            rule: rule.name().unwrap_or_default().into(),
        });
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

    pub(super) async fn commit(self, fill: Filling, variant: Arc<Variant>) {
        let store = &self.quest.worker.store;
        let at = Instant::now();
        let stored = store
            .commit(
                fill.ticket,
                Variant::clone(&variant),
                self.quest.coherence(),
            )
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
    fn tags(&self, fields: &HeaderMap, body: &Bytes) -> Result<Vec<Box<str>>, Reason> {
        let asked = &self.quest.asked;
        let templates = asked.live.rule(self.quest.lookup.rule).tags();
        if templates.is_empty() {
            return Ok(Vec::new());
        }
        let reads_response = templates.iter().any(|tag| tag.reads_response());
        let response = (reads_response && !fields.contains_key(CONTENT_ENCODING))
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
