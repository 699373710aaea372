//! The groups that a write's own target is in, which go with it (RFC 9875 §2.2.1).

use std::sync::Arc;

use futures_util::future::join_all;

use super::effects;
use crate::config::Coherence;
use crate::entry::Entry;
use crate::http_cache::invalidation;
use crate::proxy::cache::Cache;
use crate::proxy::request::context::RequestContext;
use crate::routes::Pattern;
use crate::store::Unanswered;

/// As Redis holds the target now; and whether Redis was waited for in vain.
pub(super) async fn in_redis(cache: &Cache, context: &RequestContext) -> (Vec<Pattern>, bool) {
    if invalidation::is_safe(&context.parts.method) {
        return (Vec::new(), false);
    }
    let keys = effects::own_keys(context);
    // Side by side, so that they wait for one timeout at most; not to be remembered in memory, as
    // strict rules' are not.
    let looks = keys
        .iter()
        .filter_map(Pattern::exact)
        .map(|key| cache.store.try_fetch(key, Coherence::Strict));
    let looked = join_all(looks).await;
    let is_late = looked.contains(&Err(Unanswered::Late));
    let entries = looked.into_iter().filter_map(Result::ok).flatten();
    (of_entries(context, entries), is_late)
}

/// As memory holds it now.
pub(super) fn in_memory(cache: &Cache, context: &RequestContext) -> Vec<Pattern> {
    let keys = effects::own_keys(context);
    let now = cache.clock.now();
    let peek = |key| cache.store.peek(key, now);
    let entries = keys.iter().filter_map(Pattern::exact).filter_map(peek);
    of_entries(context, entries)
}

fn of_entries(context: &RequestContext, entries: impl Iterator<Item = Arc<Entry>>) -> Vec<Pattern> {
    let entries: Vec<_> = entries.collect();
    let variants = entries.iter().flat_map(|entry| &entry.variants);
    let tags = variants.flat_map(|variant| variant.tags.iter().map(|tag| &**tag));
    effects::companions(context, tags)
}
