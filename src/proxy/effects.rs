//! What a write makes stale: its purge rules bound to it, and its target (RFC 9111 §4.4). Pure.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Asked, plan};
use crate::config::Unmatched;
use crate::http_cache::invalidation;
use crate::routes::{Pattern, Purge, Template, target};

/// The JSON of both sides, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// The request's.
    pub body: Option<&'a Value>,
    /// The response's.
    pub answer: Option<&'a Value>,
}

/// What a template with an absent variable covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Any value there.
    Any,
    /// Nothing: only what is named is purged.
    Named,
}

/// Binds purge rule `index` to a write; also says how many variables were absent.
pub fn bind(asked: &Asked, index: usize, said: Said<'_>, extent: Extent) -> (Purge, usize) {
    let rule = &asked.live.config.purges[index];
    let other = target::normalized(asked.parts.uri.path());
    let matched = rule.matcher.at(asked.parts.uri.path());
    let matched = matched.or_else(|| rule.matcher.at(other.as_deref()?));
    let params = matched.map(|matched| matched.params).unwrap_or_default();
    let mut templates = rule.keys.iter().chain(&rule.tags);
    let claims = plan::claims(asked, templates.any(Template::reads_jwt));
    let mut scope = plan::scope(asked, &params, claims.as_ref());
    scope.body = said.body;
    scope.response = said.answer;
    let mut absent = 0;
    let mut bind = |templates: &[Template]| -> Vec<Pattern> {
        let mut patterns = Vec::with_capacity(templates.len());
        for template in templates {
            let (pattern, missing) = template.bind(&scope);
            absent += missing;
            if missing == 0 || extent == Extent::Any {
                patterns.push(pattern);
            }
        }
        patterns
    };
    let purge = Purge {
        everything: false,
        keys: bind(&rule.keys),
        tags: bind(&rule.tags),
    };
    (purge, absent)
}

/// The keys that RFC 9111 §4.4 invalidates: of the target, and of `Location` and `Content-Location`
/// on the same origin.
pub fn invalidated(asked: &Asked, status: StatusCode, answer: Option<&HeaderMap>) -> Vec<Pattern> {
    if !invalidation::invalidates(&asked.parts.method, status) {
        return Vec::new();
    }
    let target = asked.parts.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let further = answer.map_or_else(Vec::new, |answer| {
        invalidation::further_targets(asked.scheme(), &asked.host, target, answer)
    });
    let other = lenient(target);
    std::iter::once(target)
        .chain(other.as_deref())
        .chain(further.iter().map(String::as_str))
        .filter_map(|target| key_of_target(asked, target))
        .map(|key| Pattern::literal(&key))
        .collect()
}

/// The key under which a GET of `target` (path and query) by the same requester would be stored, for
/// invalidation (RFC 9111 §4.4).
fn key_of_target(asked: &Asked, target: &str) -> Option<String> {
    let uri: http::Uri = target.parse().ok()?;
    let live = &asked.live;
    let matched = plan::matched(live, uri.path());
    if matched.is_none() && live.config.defaults.unmatched == Unmatched::Pass {
        return None;
    }
    let (index, params) = matched.unzip();
    let template = index.map_or(&live.default_key, |index| &live.config.routes[index].key);
    let claims = plan::claims(asked, template.reads_jwt());
    let params = params.unwrap_or_default();
    let mut scope = plan::scope(asked, &params, claims.as_ref());
    let query = plan::kept(index.map(|index| &live.config.routes[index]), uri.query());
    scope.path = uri.path();
    scope.query = query.as_deref();
    template.render(&scope).ok().map(|key| key.text)
}

/// The target as a lenient app might read it.
fn lenient(target: &str) -> Option<String> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let path = target::normalized(path)?;
    Some(query.map_or(path.clone(), |query| format!("{path}?{query}")))
}
