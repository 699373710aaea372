//! A hit from memory, from the look to the head that goes out.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use super::ahead;
use super::audit;
use super::head_cache::HeadKey;
use super::hot;
use super::request::{Cache, CacheRequestRef};
use super::respond;
use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{Reason, Reuse};
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::proxy::request::present::Present;

/// What memory holds for a request that it does not answer as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum MemoryLookup {
    /// Nothing.
    Miss,
    /// Something that may not be served as it is, for one because it is stale.
    Stale,
    /// Whatever there is, it is to be fetched anew.
    Unwanted,
}

/// The answer that memory can give as it is, without asking anyone; or what it holds instead.
pub(in crate::proxy) fn answer_from_memory(
    cache: &Arc<Cache>,
    context: &RequestContext,
    lookup: &Lookup,
) -> Result<Outcome, MemoryLookup> {
    let request = CacheRequestRef {
        cache,
        context,
        lookup,
    };
    let now = request.now();
    let entry = request.recall(now).ok_or(MemoryLookup::Miss)?;
    let (Reuse::Serve { age, ttl, reason }, Some(variant)) = request.decide(Some(&entry), now)
    else {
        return Err(MemoryLookup::Stale);
    };
    let mut is_renewed = false;
    if reason == Reason::Hit {
        audit::maybe(cache, context, lookup, variant);
        is_renewed = ahead::maybe(request, variant, age);
    }
    cache.read_marks.set(request.key());
    let outcome = |response| {
        let outcome = request.outcome(reason, response).ttl(ttl);
        outcome.renewed(is_renewed)
    };
    // What was decoded for this request alone is not seen again.
    let is_seen_again = Arc::strong_count(&entry) > 1;
    if is_renewed || !(is_seen_again && takes_the_whole(request)) {
        hot::note_hit(request, variant);
        let variant = Arc::clone(variant);
        drop(entry);
        return Ok(outcome(serve_variant(request, variant, age)));
    }
    let form = request.form_of(variant);
    let head_key = HeadKey {
        age: age.as_secs(),
        ttl,
        reason,
        shows_key: context.live.config.defaults.cache_status_key,
        form,
    };
    let rule = request.rule().name();
    if let Some(fields) = cache.heads.find(variant, head_key, rule) {
        return Ok(outcome(respond::under(fields, variant, form)).with_cache_status());
    }
    hot::note_hit(request, variant);
    let mut outcome = outcome(respond::whole(Arc::clone(variant), age, form));
    outcome.add_cache_status(context);
    let fields = outcome.response().headers();
    cache.heads.note(variant, head_key, rule, fields);
    Ok(outcome)
}

/// The variant as the answer to `request`; fields that nobody else holds move into it.
pub(super) fn serve_variant(
    request: CacheRequestRef<'_>,
    variant: Arc<Variant>,
    age: Duration,
) -> Response<Body> {
    // `reuse` has decided against a part already; it must never look like the whole.
    if takes_the_whole(request) && variant.stored.part.is_none() {
        let form = request.form_of(&variant);
        respond::whole(variant, age, form)
    } else {
        respond::stored(&request.head(), variant, age)
    }
}

/// Whether no field asks for less than a whole response.
fn takes_the_whole(request: CacheRequestRef<'_>) -> bool {
    let RequestContext { parts, present, .. } = request.context;
    parts.method == Method::GET && !present.has(Present::SELECTING)
}
