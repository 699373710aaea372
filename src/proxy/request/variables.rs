//! What templates may read of a request: path parameters, the query, verified claims, JSON bodies.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::context::RequestContext;
use crate::content_coding;
use crate::http_cache::Stored;
use crate::http_cache::vary::is_coded;
use crate::live::Live;
use crate::routes::matcher::Params;
use crate::routes::{Form, Scope, body_digest, json};

/// The JSON document of an answer for its tags; `None` if it is none, so that its variables are absent. Of one
/// that is not here, or over `cap`, nothing is known.
fn read_tagged_json(body: Option<&[u8]>, cap: usize) -> Option<Value> {
    match body.filter(|body| body.len() <= cap) {
        Some(body) => json::parse(body).map(|document| document.value),
        None => Some(json::unknown()),
    }
}

/// The JSON document of something stored, of which a part, or what cannot be read, is nothing known; `None`: it is
/// none.
pub(in crate::proxy) fn read_stored(stored: &Stored, body: &Bytes, cap: usize) -> Option<Value> {
    let is_whole = stored.part.is_none();
    if is_whole && is_coded(&stored.headers) {
        let decoded = content_coding::decode(&stored.headers, body, cap);
        return read_tagged_json(decoded.as_deref(), cap);
    }
    read_tagged_json(is_whole.then_some(body), cap)
}

/// The document in the body of a write: the fields of a form, or JSON as [`read_json`] has it.
pub(in crate::proxy) fn read_body(
    headers: &HeaderMap,
    body: Option<&[u8]>,
    cap: usize,
) -> Option<Value> {
    // Out of a coded one some form may be read, and not that of the app.
    let body = body.filter(|body| body.len() <= cap && !is_coded(headers));
    match (Form::of(headers), body.filter(|body| !body.is_empty())) {
        (Some(form), Some(body)) => Some(form.read(body)),
        _ => read_json(body, cap),
    }
}

/// The JSON document in the body of a write or of its answer; `None` if it is empty, so that its variables are absent. A doubled member has
/// all its values, and so stands for none. Of a body that is not here, over `cap` or no JSON nothing is known:
/// it may have any variable, and no default stands for one.
pub(in crate::proxy) fn read_json(body: Option<&[u8]>, cap: usize) -> Option<Value> {
    if body.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    let document = body.filter(|body| body.len() <= cap).and_then(json::parse);
    Some(document.map_or_else(json::unknown, |document| document.value))
}

/// The route of a method and a path with its raw parameters.
pub fn match_route<'l, 'p>(
    live: &'l Live,
    method: &Method,
    path: &'p str,
) -> Option<(usize, Params<'l, 'p>)> {
    live.config
        .matcher
        .at(method, path)
        .map(|matched| (*matched.value, matched.params))
}

/// What templates may read of a request; the bodies of writes and answers are added by who has them.
pub fn template_scope<'a>(
    context: &'a RequestContext,
    params: &'a [(&'a str, &'a str)],
    claims: Option<&'a Value>,
) -> Scope<'a> {
    let is_bodiless = [Method::GET, Method::HEAD].contains(&context.parts.method);
    Scope {
        host: &context.host,
        path: context.parts.uri.path(),
        spelling: context.live.config.upstream.spelling(),
        query: context.parts.uri.query(),
        headers: &context.parts.headers,
        params,
        claims,
        auth: context.auth_document(),
        body_digest: match &context.sent {
            _ if is_bodiless => Some(body_digest::NONE),
            sent => sent.as_whole().map(|body| body.digest.as_str()),
        },
        body: context.sent.document().filter(|_| !is_bodiless),
        response: None,
        before: None,
    }
}

/// The claims of the request's token, if a template needs them and it is valid now (reliability.md K8).
pub fn verified_claims(context: &RequestContext, needed: bool) -> Option<Arc<Value>> {
    if !needed {
        return None;
    }
    context
        .live
        .jwt
        .as_ref()?
        .verify(&context.parts.headers, crate::clock::wall())
}

/// The query without the fields that the rule ignores: what a key is rendered from.
pub fn keyed_query<'q>(
    live: &Live,
    rule: Option<usize>,
    query: Option<&'q str>,
) -> Option<Cow<'q, str>> {
    let rule = live.rule(rule);
    let key = rule.route.map_or(&live.default_key, |route| &route.key);
    rule.settings.ignore_query.remove_ignored(key, query)
}
