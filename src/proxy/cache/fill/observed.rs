//! What the exit of a fill tells of it, for tuning and for refreshes.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, VARY};

use crate::entry::Variant;
use crate::observe::{FillSeen, Target};
use crate::proxy::cache::examine::millis;
use crate::proxy::cache::request::CacheRequestRef;
use crate::proxy::request::present::Present;
use crate::proxy::request::sent_body::SentBody;
use crate::routes::template::Source;

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
        tags: variant
            .tags
            .iter()
            .map(|tag| digest(tag.as_bytes()))
            .collect(),
        answer: digest(&variant.body),
        length: variant.body.len() as u64,
        took_ms: took.as_millis() as u64,
        at,
        until: at.saturating_add(fresh.saturating_mul(1000)),
        was_read: Some(is_read),
    }
}

/// Where it is read, unless only somebody who brings credentials, or a body, may.
fn target(request: CacheRequestRef<'_>) -> Option<Target> {
    let context = request.context;
    let known_by = Present::CREDENTIALS.or(Present::COOKIE);
    let is_anyones = !context.present.has(known_by)
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
    let uri = context.parts.uri.path_and_query()?.to_string();
    (is_anyones && !is_keyed_by_person).then(|| Target {
        origin: format!("{}://{}", context.scheme(), context.host),
        uri,
    })
}

/// What of the request may change the answer: the query, and the fields that the answer varies on.
fn fields(query: Option<&str>, answer: &HeaderMap, asked: &HeaderMap) -> Vec<(String, u32)> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (format!("?{name}"), digest(value.as_bytes()))
    });
    let vary = answer.get_all(VARY).iter();
    let names = vary.filter_map(|line| line.to_str().ok());
    let names = names.flat_map(|line| line.split(',')).map(str::trim);
    let varied = names.filter_map(|name| {
        let value = asked.get(name)?.as_bytes();
        Some((name.to_ascii_lowercase(), digest(value)))
    });
    pairs.chain(varied).collect()
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn digest(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
