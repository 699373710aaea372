//! What the exit of a fill tells of it, for tuning and for refreshes.

use std::time::Duration;

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderName, LINK, LOCATION, VARY,
};
use http::uri::PathAndQuery;

use crate::entry::Variant;
use crate::observe::{FillSeen, RuleReport, Target, Unknown};
use crate::proxy::cache::examine::millis;
use crate::proxy::cache::request::CacheRequestRef;
use crate::proxy::request::present::Present;
use crate::proxy::request::sent_body::SentBody;
use crate::routes::plain_fields;
use crate::routes::template::Source;

/// The longest name of a field that is told apart, in bytes.
const MAX_NAME: usize = 64;

/// What an answer says beside its body, of which some answers have none.
const TELLING: [HeaderName; 6] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    LOCATION,
    LINK,
    ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// An answer is stored for the request, for which the app took so long.
pub(super) fn note_stored(request: CacheRequestRef<'_>, variant: &Variant, took: Duration) {
    let rule = request.rule().name().unwrap_or("-");
    let seen = seen(request, rule, variant, took);
    request.cache.observations.lock().note(seen);
}

/// An answer with these fields is over `max_body`; `None`: its head did not say so.
pub(super) fn note_too_large(request: CacheRequestRef<'_>, fields: Option<&HeaderMap>) {
    let rule = request.rule().name().unwrap_or("-");
    let length = fields.and_then(length);
    let observations = &request.cache.observations;
    observations.lock().note_too_large(rule, length);
}

fn seen<'f>(
    request: CacheRequestRef<'f>,
    rule: &'f str,
    variant: &Variant,
    took: Duration,
) -> FillSeen<'f> {
    let context = request.context;
    let (stored, uri) = (&variant.stored, &context.parts.uri);
    let at = millis(stored.response_time);
    let fresh = u64::try_from(stored.ttl(stored.response_time)).unwrap_or_default();
    let is_read = request.cache.read_marks.take(request.key());
    FillSeen {
        rule,
        key: request.key(),
        target: target(request),
        path: digest(uri.path().as_bytes()),
        fields: fields(uri.query(), &stored.headers, &context.parts.headers),
        varied: varied(&stored.headers).collect(),
        tags: variant
            .tags
            .iter()
            .map(|tag| digest(tag.as_bytes()))
            .collect(),
        answer: digest_of_answer(variant),
        length: variant.body.len() as u64,
        took_ms: took.as_millis() as u64,
        at,
        until: at.saturating_add(fresh.saturating_mul(1000)),
        was_read: Some(is_read),
    }
}

/// Where it is read, unless only somebody who brings credentials, or a body, may. What is too long may be short enough
/// without what its rule ignores.
fn target(request: CacheRequestRef<'_>) -> Result<Target, Unknown> {
    let context = request.context;
    let is_anyones = !context.brings_credential()
        && !context.present.has(Present::COOKIE)
        && context.asker.is_none()
        && !matches!(context.sent, SentBody::Whole(_));
    let by_person = |source: &Source| {
        matches!(
            source,
            Source::Header(_) | Source::Cookie(_) | Source::Jwt(_) | Source::Auth(_)
        )
    };
    let route = request.rule().route;
    let is_keyed_by_person = route.is_some_and(|route| route.key.sources().any(by_person));
    if !is_anyones || is_keyed_by_person {
        return Err(Unknown::Person);
    }
    let parts = &context.parts.uri;
    let mut uri = parts
        .path_and_query()
        .map_or("/", PathAndQuery::as_str)
        .to_owned();
    if uri.len() > Target::MAX_LENGTH
        && let Some(route) = route
    {
        let ignored = &route.settings.ignore_query;
        uri = match ignored.without_ignored(&route.key, parts.query()) {
            Some(query) => format!("{}?{query}", parts.path()),
            None => parts.path().to_owned(),
        };
    }
    Ok(Target {
        origin: format!("{}://{}", context.scheme(), context.host),
        uri,
    })
}

/// What of the request may change the answer: the query, and the fields that the answer varies on.
fn fields(query: Option<&str>, answer: &HeaderMap, asked: &HeaderMap) -> Vec<(String, u32)> {
    let pairs = plain_fields(query.unwrap_or_default());
    let pairs = pairs.map(|(name, value)| (format!("?{name}"), digest(value.as_bytes())));
    let varied = varied(answer).filter_map(|name| {
        let value = asked.get(&name)?.as_bytes();
        let value = digest(value);
        Some((name, value))
    });
    pairs.chain(varied).collect()
}

/// The names in `Vary`, in lower case; [`RuleReport::MORE`] for what is too long to be one.
fn varied(answer: &HeaderMap) -> impl Iterator<Item = String> {
    let lines = answer.get_all(VARY).into_iter();
    let lines = lines.map(|line| line.to_str().unwrap_or(RuleReport::MORE));
    let names = lines.flat_map(|line| line.split(',')).map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names.map(|name| match name.len() {
        ..=MAX_NAME => name.to_ascii_lowercase(),
        _ => RuleReport::MORE.to_owned(),
    })
}

/// Two answers that differ in what their clients do with them have two.
fn digest_of_answer(variant: &Variant) -> u32 {
    let stored = &variant.stored;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(stored.status.as_str().as_bytes());
    for name in &TELLING {
        for value in stored.headers.get_all(name) {
            hasher.update(name.as_str().as_bytes());
            hasher.update(value.as_bytes());
        }
        hasher.update(b"\n");
    }
    hasher.update(&variant.body);
    hasher.finalize()
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn digest(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
