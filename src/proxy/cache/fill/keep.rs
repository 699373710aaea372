//! What is kept of an answer: whether it may be stored, and as what.

use std::sync::Arc;

use bytes::Bytes;

use super::ask::Arrival;
use super::gather::check_body;
use super::tags;
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, ranges, storable};
use crate::proxy::cache::request::CacheRequestRef;

/// What to store of the answer by RFC 9111 §3 and the rule, its body and tags to come; or why not.
pub(super) fn judge_storable(
    request: CacheRequestRef<'_>,
    arrival: &Arrival,
) -> Result<Arc<Variant>, Reason> {
    let rule = request.rule();
    let stored = storable(&request.fill_head(), &arrival.exchange(), rule.policy)?;
    check_body(&arrival.response, rule.settings)?;
    Ok(Arc::new(new_variant(request, stored, Bytes::new())))
}

pub(super) fn new_variant(request: CacheRequestRef<'_>, stored: Stored, body: Bytes) -> Variant {
    let rule = request.rule();
    Variant {
        stored,
        body: body.into(),
        tags: Vec::new(),
        priority: rule.settings.priority,
        rule: rule.name().unwrap_or_default().into(),
        max_variants: rule.settings.max_variants,
        compress_over: match rule.settings.compress {
            true => request.context.live.config.budget.compress_over,
            false => usize::MAX,
        },
    }
}

/// Adds to `variant` what was not known when the answer began: its body, joined with `base` if both are
/// parts of one representation, and its tags. `Err`: the rule does not store such a body, or the tags cannot
/// be rendered, so that no purge by them would find it.
pub(super) fn complete(
    request: CacheRequestRef<'_>,
    variant: &mut Variant,
    body: Bytes,
    base: Option<&Variant>,
) -> Result<(), Reason> {
    variant.body = body.into();
    if let Some(base) = base {
        join_parts(variant, base, request.rule().settings.max_body);
    }
    let document = tags::read_document(request, &variant.stored, &variant.body);
    if !request.rule().settings.store_when.holds(document.as_ref()) {
        return Err(Reason::StoreWhen);
    }
    variant.tags = tags::of_answer(request, &variant.stored, document.as_ref())?;
    Ok(())
}

/// The freshness left, in seconds, of what is about to be stored, as far as that is known before its body: where a purge
/// will be carried out again that may cover it, and its tags are not known yet, `None`.
pub(super) fn ttl_at_head(request: CacheRequestRef<'_>, variant: &Arc<Variant>) -> Option<i64> {
    let store = &request.cache.store;
    let mut ending = variant.clone();
    if store.has_later_purges() {
        if request.rule().reads_answer() {
            return None;
        }
        let variant = Arc::make_mut(&mut ending);
        variant.tags = tags::of_answer(request, &variant.stored, None).ok()?;
        store.end_by_later_purge(request.key(), &mut ending);
    }
    Some(ending.stored.ttl(ending.stored.response_time))
}

/// Joins a part with what was stored of the same representation (RFC 9111 §3.4), as far as the rule
/// lets so much be stored.
fn join_parts(part: &mut Variant, base: &Variant, max_body: usize) {
    if part.stored.part.is_none() {
        return;
    }
    let joined = ranges::combined((&base.stored, &base.body), (&part.stored, &part.body));
    if let Some((stored, body)) = joined
        && body.len() <= max_body
    {
        (part.stored, part.body) = (stored, body.into());
    }
}
