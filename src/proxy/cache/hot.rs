//! Hits noted for the job of `[jobs] hot`, with what it takes to fetch them again.

use http::HeaderName;
use http::header::{COOKIE, HOST, VARY};

use super::examine::millis;
use super::request::CacheRequestRef;
use crate::entry::Variant;
use crate::observe::HotRequest;
use crate::proxy::request::present::Present;
use crate::proxy::request::sent_body::SentBody;
use crate::routes::template::Source;

/// The request was answered by `variant`. Where the same head goes out again within a second this is not asked for, so that
/// what is hit all the time costs nothing more.
pub(super) fn note_hit(request: CacheRequestRef<'_>, variant: &Variant) {
    if request.context.live.config.jobs.hot == 0 {
        return;
    }
    let now = millis(request.now());
    let mut keys = request.cache.hot_keys.lock();
    keys.note(request.key(), now, || hot_request(request, variant));
}

/// `None`: it was the request of somebody whose answer may be another than nobody's.
fn hot_request(request: CacheRequestRef<'_>, variant: &Variant) -> Option<HotRequest> {
    let (context, rule) = (request.context, request.rule());
    let is_known = context.brings_credential()
        || context.asker.is_some()
        || matches!(context.sent, SentBody::Whole(_))
        || context.present.has(Present::COOKIE) && rule.policy.shared
        || rule.settings.require.is_some();
    let names_person = rule
        .route
        .is_some_and(|route| route.credentials.name_a_person());
    if is_known || names_person {
        return None;
    }
    let uri = context.parts.uri.path_and_query()?;
    Some(HotRequest {
        url: format!("{}://{}{uri}", context.scheme(), context.host),
        fields: selecting(request, variant)?,
    })
}

/// The fields that select among the answers; `None`: one of them is a credential.
fn selecting(request: CacheRequestRef<'_>, variant: &Variant) -> Option<Vec<(String, String)>> {
    let vary = variant.stored.headers.get_all(VARY).iter();
    let varied = vary.filter_map(|line| line.to_str().ok());
    let varied = varied.flat_map(|line| line.split(','));
    let keyed = request
        .rule()
        .route
        .into_iter()
        .flat_map(|route| route.key.sources());
    let keyed = keyed.filter_map(|source| match source {
        Source::Header(name) => Some(name.as_str()),
        _ => None,
    });
    let defaults = &request.context.live.config.defaults;
    let mut fields: Vec<(String, String)> = Vec::new();
    for name in varied.chain(keyed) {
        let Ok(name) = name.trim().parse::<HeaderName>() else {
            continue;
        };
        let is_there = fields.iter().any(|(other, _)| *other == name.as_str());
        // A cookie that counts would be in the key.
        if name == HOST || name == COOKIE || is_there {
            continue;
        }
        let value = request.context.parts.headers.get(&name);
        if defaults.says_who_asks(&name) {
            return None;
        }
        if let Some(value) = value.and_then(|value| value.to_str().ok()) {
            fields.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    Some(fields)
}
