//! What templates may read of a request: path parameters, the query, verified claims, JSON bodies.

use std::borrow::Cow;

use serde_json::Value;

use super::context::RequestContext;
use crate::config::Route;
use crate::live::Live;
use crate::routes::matcher::Params;
use crate::routes::{Scope, json};

/// The JSON document in `body`; `None` if it is over `cap` or no JSON, so that its variables count as
/// absent. A doubled member has all its values, and so stands for none.
pub(in crate::proxy) fn parse_json(body: &[u8], cap: usize) -> Option<Value> {
    if body.len() > cap {
        return None;
    }
    json::parse(body).map(|document| document.value)
}

/// The route of a path with its raw parameters.
pub fn match_route<'l, 'p>(live: &'l Live, path: &'p str) -> Option<(usize, Params<'l, 'p>)> {
    live.config
        .matcher
        .at(path)
        .map(|matched| (*matched.value, matched.params))
}

/// What templates may read of a request; bodies are added by who has them.
pub fn template_scope<'a>(
    context: &'a RequestContext,
    params: &'a [(&'a str, &'a str)],
    claims: Option<&'a Value>,
) -> Scope<'a> {
    Scope {
        host: &context.host,
        path: context.parts.uri.path(),
        query: context.parts.uri.query(),
        headers: &context.parts.headers,
        params,
        claims,
        body: None,
        response: None,
    }
}

/// The claims of the request's token, if a template needs them and it is valid now (reliability.md K8).
pub fn verified_claims(context: &RequestContext, needed: bool) -> Option<Value> {
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
pub fn keyed_query<'q>(route: Option<&Route>, query: Option<&'q str>) -> Option<Cow<'q, str>> {
    match route {
        Some(route) => route.ignore_query.remove_ignored(&route.key, query),
        None => query.map(Cow::Borrowed),
    }
}
