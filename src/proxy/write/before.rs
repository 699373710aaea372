//! What is stored for a write's own URL when it comes: the groups that go with it (RFC 9875 §2.2.1), and what its
//! purge rules read of it.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use http::Method;
use serde_json::Value;

use super::effects;
use crate::config::Coherence;
use crate::entry::Entry;
use crate::http_cache::invalidation;
use crate::proxy::cache::Cache;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::methods::acting_method;
use crate::proxy::request::plan::{self, Effects};
use crate::proxy::request::variables;
use crate::routes::{Pattern, json};
use crate::store::Unanswered;

/// What was found.
#[derive(Default)]
pub(super) struct Before {
    entries: Vec<Arc<Entry>>,
    /// Whether Redis was waited for in vain.
    pub(super) redis_is_late: bool,
}

/// As Redis holds the target now.
pub(super) async fn in_redis(cache: &Cache, context: &RequestContext, effects: &Effects) -> Before {
    if invalidation::is_safe(&acting_method(&context.parts)) && !effects.reads_before {
        return Before::default();
    }
    let keys = keys(context, effects);
    // Side by side, so that they wait for one timeout at most; not to be remembered in memory, as
    // strict rules' are not.
    let looks = keys
        .iter()
        .map(|key| cache.store.try_fetch(key, Coherence::Strict));
    let looked = join_all(looks).await;
    Before {
        redis_is_late: looked.contains(&Err(Unanswered::Late)),
        entries: looked
            .into_iter()
            .filter_map(Result::ok)
            .flatten()
            .collect(),
    }
}

/// As memory holds the target now, as far as it may be believed, for what rules read.
pub(super) fn in_memory(cache: &Cache, context: &RequestContext, effects: &Effects) -> Before {
    if !effects.reads_before {
        return Before::default();
    }
    let matched = variables::match_route(&context.live, &Method::GET, context.parts.uri.path());
    let settings = context.live.settings(matched.map(|(rule, _)| rule));
    let (coherence, outage, now) = (settings.coherence, settings.outage, cache.clock.now());
    let recall = |key: &String| cache.store.recall(key, coherence, outage, now);
    Before {
        entries: keys(context, effects).iter().filter_map(recall).collect(),
        redis_is_late: false,
    }
}

/// Of the target; and where rules read it, as the writer would get it.
fn keys(context: &RequestContext, effects: &Effects) -> Vec<String> {
    let own = effects::own_keys(context);
    let mut keys: Vec<String> = own
        .iter()
        .filter_map(Pattern::exact)
        .map(str::to_owned)
        .collect();
    if effects.reads_before
        && let Some(key) = plan::key_of_read(context)
        && !keys.contains(&key)
    {
        keys.push(key);
    }
    keys
}

impl Before {
    /// With what the other tier had.
    pub(super) fn and(mut self, other: Before) -> Before {
        self.entries.extend(other.entries);
        self.redis_is_late |= other.redis_is_late;
        self
    }

    /// The tags of the groups that the target is in.
    pub(super) fn companions(&self, context: &RequestContext) -> Vec<Pattern> {
        companions(context, &self.entries)
    }

    /// What the target says: a list of what each of its variants does, so that a variable has all their values.
    /// What is not fresh may say what was true long ago, what the app said after the write `came` may be its outcome,
    /// and of what is not stored nothing is known.
    pub(super) fn document(
        &self,
        cache: &Cache,
        context: &RequestContext,
        came: SystemTime,
    ) -> Value {
        let max = context.live.config.defaults.max_variables;
        let now = cache.clock.now();
        let variants = self.entries.iter().flat_map(|entry| &entry.variants);
        let fresh = variants.filter(|variant| variant.stored.is_fresh(now));
        let read = fresh.map(|variant| {
            let is_before = variant.stored.response_time <= came;
            let document = variables::read_stored(&variant.stored, &variant.body, max);
            document.filter(|_| is_before)
        });
        let documents: Vec<Value> = read
            .map(|document| document.unwrap_or_else(json::unknown))
            .collect();
        match documents.is_empty() || self.redis_is_late {
            true => json::unknown(),
            false => Value::Array(documents),
        }
    }
}

/// The tags of the groups that the target is in, as memory holds it now.
pub(super) fn companions_in_memory(cache: &Cache, context: &RequestContext) -> Vec<Pattern> {
    let keys = effects::own_keys(context);
    let now = cache.clock.now();
    let peek = |key| cache.store.peek(key, now);
    let entries = keys.iter().filter_map(Pattern::exact).filter_map(peek);
    companions(context, &Vec::from_iter(entries))
}

fn companions(context: &RequestContext, entries: &[Arc<Entry>]) -> Vec<Pattern> {
    let variants = entries.iter().flat_map(|entry| &entry.variants);
    let tags = variants.flat_map(|variant| variant.tags.iter().map(|tag| &**tag));
    effects::companions(context, tags)
}
