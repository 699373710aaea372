//! The tags of what is stored: those of its rule, those that its fields name, and the cache groups that it is in
//! (RFC 9875).

use bytes::Bytes;
use serde_json::Value;

use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, groups, tag_fields};
use crate::proxy::cache::request::CacheRequestRef;
use crate::proxy::request::variables;
use crate::routes::template::{self, Untagged};

/// The JSON document of an answer, if its rule reads that; of a part, or of a body that cannot be read, nothing
/// is known.
pub(super) fn read_document(
    request: CacheRequestRef<'_>,
    stored: &Stored,
    body: &Bytes,
) -> Option<Value> {
    if !request.rule().reads_answer() {
        return None;
    }
    let max = request.context.live.config.defaults.max_variables;
    variables::read_stored(stored, body, max)
}

/// All tags of an answer with this document. `Err`: some cannot be rendered, or they are too many.
pub(super) fn of_answer(
    request: CacheRequestRef<'_>,
    stored: &Stored,
    document: Option<&Value>,
) -> Result<Vec<Box<str>>, Reason> {
    let mut tags = of_rule(request, document)?;
    tags.extend(of_fields(request, stored)?);
    tags.extend(of_groups(request, stored));
    each_once(tags)
}

/// What is no more than can be stored.
fn each_once(mut tags: Vec<Box<str>>) -> Result<Vec<Box<str>>, Reason> {
    tags.sort_unstable();
    tags.dedup();
    match tags.len() > tag_fields::MAX_TAGS {
        true => Err(Reason::TooManyTags),
        false => Ok(tags),
    }
}

/// The rule's tags for an answer with this document; `Err` if one cannot be rendered, or they are too many: it
/// could not be purged.
fn of_rule(
    request: CacheRequestRef<'_>,
    response: Option<&Value>,
) -> Result<Vec<Box<str>>, Reason> {
    let context = request.context;
    let templates = request.rule().tags();
    if templates.is_empty() {
        return Ok(Vec::new());
    }
    let params = variables::match_route(
        &context.live,
        &context.parts.method,
        context.parts.uri.path(),
    )
    .map(|(_, params)| params)
    .unwrap_or_default();
    let claims = variables::verified_claims(context, templates.iter().any(|tag| tag.reads_jwt()));
    let mut scope = variables::template_scope(context, &params, claims.as_deref());
    scope.response = response;
    template::tags_of(templates, &scope).map_err(|untagged| match untagged {
        Untagged::Missing(_) => Reason::MissingTag,
        Untagged::TooMany => Reason::TooManyTags,
    })
}

/// The tags that a response names by the fields which its rule says.
fn of_fields(request: CacheRequestRef<'_>, stored: &Stored) -> Result<Vec<Box<str>>, Reason> {
    let names = &request.rule().policy.tag_fields;
    let tags = tag_fields::of(&stored.headers, names).map_err(|_| Reason::TooManyTags)?;
    let paths = &request.context.live.config.upstream.paths;
    Ok(tags.into_iter().map(|tag| paths.tag(tag)).collect())
}

/// The tags of the groups that a response names (RFC 9875 §2).
fn of_groups(request: CacheRequestRef<'_>, stored: &Stored) -> Vec<Box<str>> {
    // One with too many was refused (`storable`).
    let groups = groups::of(&stored.headers).unwrap_or_default();
    if groups.is_empty() {
        return Vec::new();
    }
    let origin = request.group_origin();
    let tags = groups.iter().map(|group| groups::tag(&origin, group));
    tags.collect()
}

/// The tags of `stale` as `confirmed`, which a 304 made of it and may have put into other groups.
///
/// Those it was in before are kept for once: a purge of one, while the app was being asked, covers
/// what was confirmed. So are tags that its fields named, and for good, since they cannot be told from the rule's. `Err`:
/// in time these have become too many.
pub(in crate::proxy::cache) fn of_confirmed(
    request: CacheRequestRef<'_>,
    stale: &Variant,
    confirmed: &Stored,
) -> Result<Vec<Box<str>>, Reason> {
    let named = of_fields(request, confirmed)?;
    let others = stale.tags.iter().filter(|tag| !groups::is_tag(tag));
    let mut tags: Vec<Box<str>> = others.cloned().chain(named).collect();
    tags.extend(of_groups(request, confirmed));
    tags.extend(of_groups(request, &stale.stored));
    each_once(tags)
}
