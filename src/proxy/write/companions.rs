//! The groups that a write's own target is in, which go with it (RFC 9875 §2.2.1).

use std::sync::Arc;

use futures_util::future::join_all;

use super::Write;
use crate::config::Coherence;
use crate::entry::Entry;
use crate::http_cache::invalidation;
use crate::proxy::effects;
use crate::routes::Pattern;

impl Write {
    /// As Redis holds the target now.
    pub(super) async fn companions_in_redis(&self) -> Vec<Pattern> {
        if invalidation::is_safe(&self.asked.parts.method) {
            return Vec::new();
        }
        let keys = effects::own_keys(&self.asked);
        let store = &self.worker.store;
        // Side by side, so that they wait for one timeout at most; not to be remembered in memory, as
        // strict rules' are not.
        let looks = keys
            .iter()
            .filter_map(Pattern::exact)
            .map(|key| store.fetch(key, Coherence::Strict));
        let entries = join_all(looks).await;
        self.companions_of(entries.into_iter().flatten())
    }

    /// As memory holds it now.
    pub(super) fn companions_in_memory(&self) -> Vec<Pattern> {
        let keys = effects::own_keys(&self.asked);
        let now = self.worker.clock.now();
        let recall = |key| self.worker.store.recall(key, Coherence::Tracked, now);
        let entries = keys.iter().filter_map(Pattern::exact).filter_map(recall);
        self.companions_of(entries)
    }

    fn companions_of(&self, entries: impl Iterator<Item = Arc<Entry>>) -> Vec<Pattern> {
        let entries: Vec<_> = entries.collect();
        let variants = entries.iter().flat_map(|entry| &entry.variants);
        let tags = variants.flat_map(|variant| variant.tags.iter().map(|tag| &**tag));
        effects::companions(&self.asked, tags)
    }
}
