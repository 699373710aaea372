//! `PURGE` and `BAN` on the proxy's own port (`[admin] purge_methods`), as those who purge Varnish or Fastly send them.
//!
//! | request | purges |
//! | --- | --- |
//! | `PURGE /url` | all that is stored for that URL, whoever asked for it |
//! | `PURGE` with `Surrogate-Key` or `xkey` | what has one of these tags, and not the URL |
//! | `BAN` with `Ban-Keys` | the keys that match one of its patterns: `*` for any text, a line a pattern |
//!
//! `Soft-Purge: 1` makes it soft. Each needs the admin token in `Pannier-Token`; without it nothing is purged, and none is ever
//! forwarded: an app or another cache behind might take it without one.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::effects;
use crate::body::Body;
use crate::http_cache::Reason;
use crate::http_cache::tag_fields::{self, NamedTags};
use crate::proxy::cache::Cache;
use crate::proxy::forward::outgoing;
use crate::proxy::outcome::{Outcome, text};
use crate::proxy::request::context::RequestContext;
use crate::routes::{Pattern, Purge};

/// Fields of a `PURGE` that name tags.
const TAGS: [HeaderName; 2] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("xkey"),
];

/// The field of a `BAN` with its patterns.
const BAN_KEYS: HeaderName = HeaderName::from_static("ban-keys");

/// The most patterns of one `BAN`: each costs every fill under way a comparison.
const MAX_PATTERNS: usize = 1000;

/// Why nothing was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("needs the field Pannier-Token, with the configured token")]
    Token,
    #[error("over {MAX_PATTERNS} tags or patterns: split the purge")]
    TooMany,
    #[error("nothing to purge: a BAN needs the field Ban-Keys with a pattern, such as user:*")]
    NoPattern,
    #[error("nothing to purge: what is asked for here is never stored")]
    NotStored,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::Token => StatusCode::FORBIDDEN,
            Refusal::TooMany | Refusal::NoPattern => StatusCode::BAD_REQUEST,
            Refusal::NotStored => StatusCode::NOT_FOUND,
        }
    }
}

/// Carries the purge out in both tiers, and says what went.
pub(in crate::proxy) async fn answer(cache: &Cache, context: &RequestContext) -> Outcome {
    let response = match read(context) {
        Ok(purge) => {
            cache.metrics.purges.with_label_values(&["admin"]).inc();
            tracing::info!(
                method = %context.parts.method,
                path = context.parts.uri.path(),
                keys = purge.keys.len(),
                tags = purge.tags.len(),
                kind = purge.kind.as_str(),
                "purge by method"
            );
            json(&cache.store.purge(purge).await.to_json())
        }
        Err(refusal) => text(refusal.status(), &refusal.to_string()),
    };
    let response = outgoing::end_if_unread(context, response);
    Outcome::new(None, Reason::PurgeMethod, response)
}

/// What is to be purged.
fn read(context: &RequestContext) -> Result<Purge, Refusal> {
    if !context.holds_token() {
        return Err(Refusal::Token);
    }
    let fields = &context.parts.headers;
    let mut purge = Purge::default();
    match context.parts.method.as_str() {
        "BAN" => purge.keys = read_patterns(fields)?,
        _ if TAGS.iter().any(|name| fields.contains_key(name)) => purge.tags = read_tags(fields)?,
        _ => purge.keys = effects::keys_for_anyone(context),
    }
    if purge.is_empty() {
        return Err(Refusal::NotStored);
    }
    let purge = context.live.config.upstream.paths.purge(purge);
    match tag_fields::asks_softly(fields) {
        true => Ok(purge.into_soft()),
        false => Ok(purge),
    }
}

fn read_tags(fields: &HeaderMap) -> Result<Vec<Pattern>, Refusal> {
    match tag_fields::purged(fields, &TAGS) {
        NamedTags::Each(tags) => Ok(tags.iter().map(|tag| Pattern::literal(tag)).collect()),
        NamedTags::All => Err(Refusal::TooMany),
    }
}

fn read_patterns(fields: &HeaderMap) -> Result<Vec<Pattern>, Refusal> {
    let lines = fields.get_all(BAN_KEYS).into_iter();
    // A key is visible ASCII (`routes`), so other text would match nothing.
    let texts = lines.filter_map(|line| line.to_str().ok());
    let patterns: Vec<Pattern> = texts
        .map(str::trim)
        .filter(|pattern| !pattern.is_empty())
        .map(Pattern::parse)
        .collect();
    match patterns.len() {
        0 => Err(Refusal::NoPattern),
        1..=MAX_PATTERNS => Ok(patterns),
        _ => Err(Refusal::TooMany),
    }
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(format!("{value}\n").into()));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
