//! What a write makes stale: its purge rules bound to it, its target (RFC 9111 §4.4), and the cache
//! groups its answer names (RFC 9875 §3). Values in, patterns out; only the check of a token reads the clock.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::config::{PurgedIdentity, Unmatched};
use crate::http_cache::groups::{self, ANY_ORIGIN, Invalidated};
use crate::http_cache::invalidation;
use crate::http_cache::origin::Origin;
use crate::http_cache::tag_fields::{self, NamedTags};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::methods::{acting_method, query_without_method};
use crate::proxy::request::variables::{keyed_query, match_route, template_scope, verified_claims};
use crate::routes::body_digest::NONE;
use crate::routes::{Pattern, Purge, Scope, Template, identities};

/// The JSON of both sides, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateBodies<'a> {
    /// The request's.
    pub body: Option<&'a Value>,
    /// The response's.
    pub answer: Option<&'a Value>,
    /// What was stored for the target before.
    pub before: Option<&'a Value>,
}

/// What a template with an absent variable covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingVariable {
    /// Any value there.
    MatchesAny,
    /// Nothing: only what is named is purged.
    Skipped,
}

/// What a purge rule makes of a write.
#[derive(Debug, Default)]
pub struct BoundRule {
    /// What it purges.
    pub purge: Purge,
    /// Variables that were absent.
    pub absent: usize,
    /// Of those, lists that were too long.
    pub too_many: usize,
}

/// Binds purge rule `index` to a write.
pub fn bind(
    context: &RequestContext,
    index: usize,
    bodies: TemplateBodies<'_>,
    absent_means: MissingVariable,
) -> BoundRule {
    let rule = &context.live.config.purges[index];
    let paths = &context.live.config.upstream.paths;
    let readings = paths.readings_of_write(context.parts.uri.path());
    let mut templates = rule.keys.iter().chain(&rule.tags);
    let claims = verified_claims(context, templates.any(Template::reads_jwt));
    let (mut purges, mut all) = (Vec::new(), BoundRule::default());
    for matched in readings.iter().filter_map(|path| rule.matcher.at(path)) {
        let mut scope = template_scope(context, &matched.params, claims.as_deref());
        scope.body = bodies.body;
        scope.response = bodies.answer;
        scope.before = bodies.before;
        let mut read = BoundRule::default();
        purges.push(Purge {
            kind: rule.kind,
            everything: false,
            keys: bind_all(&rule.keys, &scope, absent_means, &mut read),
            tags: bind_all(&rule.tags, &scope, absent_means, &mut read),
        });
        all.absent = all.absent.max(read.absent);
        all.too_many = all.too_many.max(read.too_many);
    }
    if let Some(identity) = rule.identity {
        purges.push(Purge {
            kind: rule.kind,
            ..purge_identity(context, identity, absent_means)
        });
    }
    all.purge = Purge::joined(rule.kind, purges.iter());
    all
}

/// What the check of `[auth]` has said and may be so no longer.
fn purge_identity(
    context: &RequestContext,
    identity: PurgedIdentity,
    absent_means: MissingVariable,
) -> Purge {
    let names_more = absent_means == MissingVariable::MatchesAny;
    if identity == PurgedIdentity::All && names_more {
        return identities::purge_of_all();
    }
    let own = context.credentials_digest();
    own.map_or_else(Purge::default, |digest| {
        identities::purge_of(&digest.name())
    })
}

/// The patterns of a write; what it lacks is counted in `read`.
fn bind_all(
    templates: &[Template],
    scope: &Scope<'_>,
    absent_means: MissingVariable,
    read: &mut BoundRule,
) -> Vec<Pattern> {
    let bound = templates.iter().map(|template| template.bind(scope));
    let bound = bound.inspect(|bound| {
        read.absent += bound.absent;
        read.too_many += bound.too_many;
    });
    let named =
        bound.filter(|bound| bound.absent == 0 || absent_means == MissingVariable::MatchesAny);
    named.flat_map(|bound| bound.patterns).collect()
}

/// Adds those that are not there yet.
fn extend(patterns: &mut Vec<Pattern>, more: impl IntoIterator<Item = Pattern>) {
    for pattern in more {
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
}

/// Which of the answers of a target a write makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Those to GET.
    OfGet,
    /// Those to POST and QUERY as well.
    All,
}

impl Answers {
    /// Of a write that `rules` are for. Where reads and writes are POSTs to one URL, as in GraphQL, rules say what each
    /// write changes, and all answers would be too many; where none does, all of them may be stale.
    pub fn of_write(context: &RequestContext, rules: &[usize]) -> Answers {
        match context.parts.method == Method::POST && !rules.is_empty() {
            true => Answers::OfGet,
            false => Answers::All,
        }
    }
}

/// The keys that RFC 9111 §4.4 invalidates: of the target, and of `Location` and `Content-Location`
/// on the same origin.
pub fn invalidated(
    context: &RequestContext,
    status: StatusCode,
    answer: Option<&HeaderMap>,
    answers: Answers,
) -> Vec<Pattern> {
    if !invalidation::invalidates(&acting_method(&context.parts), status) {
        return Vec::new();
    }
    let sought = Sought {
        asker: Asker::Writer,
        answers,
    };
    let mut keys = keys_of_own(context, sought);
    let further = answer.map_or_else(Vec::new, |answer| {
        invalidation::further_targets(context.scheme(), &context.host, own_target(context), answer)
    });
    for target in &further {
        extend(&mut keys, keys_of_readings(context, target, sought));
    }
    keys
}

/// The keys under which GETs of the request's target are stored, whoever asks: who sends a `PURGE` is not whom it is about.
pub fn keys_for_anyone(context: &RequestContext) -> Vec<Pattern> {
    let sought = Sought {
        asker: Asker::Anyone,
        answers: Answers::All,
    };
    keys_of_readings(context, own_target(context), sought)
}

/// The keys of the request's own target, however the app may read it.
pub fn own_keys(context: &RequestContext) -> Vec<Pattern> {
    keys_of_own(context, Sought::ALL_OF_WRITER)
}

/// Where the query says the method, the target is what the rest of it names.
fn keys_of_own(context: &RequestContext, sought: Sought) -> Vec<Pattern> {
    let mut keys = keys_of_readings(context, own_target(context), sought);
    let uri = &context.parts.uri;
    if let Some(query) = uri.query().and_then(query_without_method) {
        let target = match query.is_empty() {
            true => uri.path().to_owned(),
            false => format!("{}?{query}", uri.path()),
        };
        extend(&mut keys, keys_of_readings(context, &target, sought));
    }
    keys
}

/// The tags of the groups that the answer to a write invalidates, whatever its status (RFC 9875 §3).
pub fn groups_invalidated(context: &RequestContext, answer: &HeaderMap) -> Vec<Pattern> {
    let origin = context.origin();
    // What a rule with `any_host` stored is of this origin too.
    let origins = [origin.as_str(), ANY_ORIGIN];
    match groups::invalidated(&acting_method(&context.parts), answer) {
        Invalidated::Named(groups) => groups
            .iter()
            .flat_map(|group| origins.map(|origin| groups::tag(origin, group)))
            .map(|tag| Pattern::literal(&tag))
            .collect(),
        Invalidated::All => origins
            .iter()
            .map(|origin| Pattern::parse(&format!("{}*", groups::tags_of(origin))))
            .collect(),
    }
}

/// What the answer to a write names by the fields of `[defaults] purge_fields`, whatever its status; softly, if it says so.
pub fn named(context: &RequestContext, answer: &HeaderMap) -> Purge {
    let names = &context.live.config.defaults.purge_fields;
    if names.is_empty() || invalidation::is_safe(&acting_method(&context.parts)) {
        return Purge::default();
    }
    let tags = match tag_fields::purged(answer, names) {
        NamedTags::Each(tags) => tags.iter().map(|tag| Pattern::literal(tag)).collect(),
        NamedTags::All => vec![Pattern::parse("*")],
    };
    let purge = context.live.config.upstream.paths.purge(Purge {
        tags,
        ..Purge::default()
    });
    match tag_fields::asks_softly(answer) {
        true => purge.into_soft(),
        false => purge,
    }
}

/// Of the tags of something stored under the write's own target, those of groups that go with it
/// (RFC 9875 §2.2.1).
pub fn companions<'t>(
    context: &RequestContext,
    tags: impl Iterator<Item = &'t str>,
) -> Vec<Pattern> {
    let ours = [context.origin().as_str(), ANY_ORIGIN].map(groups::tags_of);
    let mut found: Vec<Pattern> = Vec::new();
    for tag in tags.filter(|tag| ours.iter().any(|ours| tag.starts_with(ours))) {
        let tag = Pattern::literal(tag);
        if !found.contains(&tag) {
            found.push(tag);
        }
    }
    found
}

fn own_target(context: &RequestContext) -> &str {
    let target = context.parts.uri.path_and_query();
    target.map_or("/", |target| target.as_str())
}

/// Which stored answers of a target are sought.
#[derive(Clone, Copy, Debug)]
struct Sought {
    asker: Asker,
    answers: Answers,
}

impl Sought {
    const ALL_OF_WRITER: Sought = Sought {
        asker: Asker::Writer,
        answers: Answers::All,
    };
}

/// Who asked for what is stored, as far as keys say who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// Who sends the request, if it says who that is; else anyone.
    Writer,
    Anyone,
}

/// The keys under which answers of `target` (path and query) are stored.
fn keys_of_target(context: &RequestContext, target: &str, sought: Sought) -> Vec<Pattern> {
    let Ok(uri) = target.parse::<http::Uri>() else {
        return Vec::new();
    };
    let live = &context.live;
    let mut keys = Vec::new();
    let of_get = match_route(live, &Method::GET, uri.path());
    if of_get.is_some() || live.config.defaults.unmatched != Unmatched::Pass {
        let (index, params) = of_get.unzip();
        let params = params.unwrap_or_default();
        keys = keys_of_route(context, &uri, index, &params, Some(NONE), sought.asker);
    }
    if sought.answers == Answers::All {
        for matched in live.config.matcher.reading_bodies(uri.path()) {
            let (index, params) = (Some(*matched.value), matched.params);
            extend(
                &mut keys,
                keys_of_route(context, &uri, index, &params, None, sought.asker),
            );
        }
    }
    keys
}

/// The keys of a URI under one route: §4.4 invalidates every response of a URI, so what a key takes from elsewhere
/// is left open, but for the writer's own identity.
fn keys_of_route(
    context: &RequestContext,
    uri: &http::Uri,
    index: Option<usize>,
    params: &[(&str, &str)],
    body_digest: Option<&str>,
    asker: Asker,
) -> Vec<Pattern> {
    let live = &context.live;
    let route = index.map(|index| &live.config.routes[index]);
    let template = route.map_or(&live.default_key, |route| &route.key);
    let reads_jwt = template.reads_jwt() && asker == Asker::Writer;
    let claims = verified_claims(context, reads_jwt);
    let query = keyed_query(live, index, uri.query());
    let identity = identity_fields(context);
    let nobody = HeaderMap::new();
    let mut keys = Vec::new();
    for host in hosts(context) {
        let mut scope = template_scope(context, params, claims.as_deref());
        scope.host = &host;
        scope.path = uri.path();
        scope.query = query.as_deref();
        scope.body_digest = body_digest;
        if asker == Asker::Anyone {
            scope.headers = &nobody;
            scope.auth = None;
        }
        extend(&mut keys, template.of_uri(&scope, &identity));
    }
    keys
}

/// Header fields that tell persons apart in a key.
fn identity_fields(context: &RequestContext) -> Vec<HeaderName> {
    let trusted = &context.live.config.defaults.trusted_identity;
    let credentials = [AUTHORIZATION, COOKIE];
    trusted.iter().cloned().chain(credentials).collect()
}

/// The request's host as GETs of the same origin may spell it: a URI with the scheme's own port and
/// one without are the same (RFC 9110 §4.2.3).
fn hosts(context: &RequestContext) -> Vec<String> {
    let origin = Origin::of(context.scheme(), &context.host);
    let mut hosts = origin.map_or_else(Vec::new, |origin| origin.authorities());
    if !hosts.contains(&context.host) {
        hosts.push(context.host.clone());
    }
    hosts
}

/// The keys of a target (path and query), however the app may read its path.
fn keys_of_readings(context: &RequestContext, target: &str, sought: Sought) -> Vec<Pattern> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let paths = &context.live.config.upstream.paths;
    let mut readings = paths.readings_of_write(path);
    // Where the rules are, to an app that ignores case.
    let folded: Vec<String> = readings
        .iter()
        .map(|path| path.to_ascii_lowercase())
        .collect();
    readings.extend(folded.into_iter().map(Cow::Owned));
    let mut keys = Vec::new();
    for path in readings {
        let target = query.map_or_else(|| path.to_string(), |query| format!("{path}?{query}"));
        extend(&mut keys, keys_of_target(context, &target, sought));
    }
    keys
}
