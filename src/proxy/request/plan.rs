//! What a request is: something to look up, to pass on, or a write with effects.
//!
//! Values in, a decision out; only the check of a token reads the clock (`variables`).

use std::ops::ControlFlow;

use http::header::{CONTENT_LENGTH, RANGE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use serde_json::Value;

use super::context::RequestContext;
use super::present::Present;
use super::sent_body::SentBody;
use super::{methods, overrides, purge_rules, reads, switches, variables};
use crate::auth::Verdict;
use crate::config::{
    ClientCacheControl, EncodedSlash, JwtSource, PurgeRule, Require, Route, Settings, Unmatched,
};
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::{Identity, Reason, RequestHead};
use crate::live::Rule;
use crate::proxy::hop_by_hop::connection_options;
use crate::rollout::{Mode, Rollout, is_within};
use crate::routes::template::{Missing, Source};
use crate::routes::{Key, KeyedCredentials, TokenField, Unkeyed, Verified, json, target};

/// What to do with a request before anything is looked up.
#[derive(Debug)]
pub enum Plan {
    /// Look it up under a key.
    Cache(Lookup),
    /// Send it to the app, and compare its answer with what the cache would have served.
    Shadow(Lookup),
    /// Send it to the app and store nothing.
    Pass {
        /// The route, if one matched.
        rule: Option<usize>,
        /// Why.
        reason: Reason,
    },
    /// Send it to the app, then purge.
    Write(Effects),
    /// A `PURGE` or `BAN`: carry it out, if it has the token.
    Purge,
    /// Send it to the app, then hand over the connection.
    Upgrade {
        /// The route, if one matched.
        rule: Option<usize>,
    },
}

/// What has to be known of a request before its plan can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanting {
    /// The body.
    Body,
    /// Who asks, by the check of `[auth]`.
    Asker,
}

/// Where to look a read up, and as whom.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The route; `None`: unmatched, by RFC 9111.
    pub rule: Option<usize>,
    /// The key.
    pub key: Key,
    /// What the key carries of the requester.
    pub identity: Identity,
    /// What selects among the key's answers: host (unless `any_host`), scheme, the rule's path, the method if it has a
    /// body, and what gateways say beside.
    pub selector: String,
}

impl Lookup {
    /// What selects among the key's answers, in one line.
    pub fn selects(&self) -> String {
        self.selector.trim().replace('\n', ", ")
    }

    /// The request as RFC 9111 sees it: one that is answered by its body is as a GET of the key and the selector, which
    /// have all that it is more than that.
    pub fn head<'a>(&'a self, context: &'a RequestContext) -> RequestHead<'a> {
        static GET: Method = Method::GET;
        let settings = context.live.settings(self.rule);
        RequestHead {
            method: match context.sent {
                SentBody::Whole(_) => &GET,
                SentBody::Unread | SentBody::Unreadable => &context.parts.method,
            },
            headers: &context.parts.headers,
            directives: directives_under(settings.client_cache_control, context),
            identity: self.identity,
            host: &self.selector,
            form: &self.key.form,
            variation: &settings.policy.variation,
        }
    }
}

/// What the client says of caching, as far as its rule lets that count.
pub fn directives_under(
    setting: ClientCacheControl,
    context: &RequestContext,
) -> RequestDirectives {
    let obeyed = !context.present.has(Present::DIRECTIVES)
        || match setting {
            ClientCacheControl::Obey => true,
            ClientCacheControl::Ignore => false,
            ClientCacheControl::Token => context.holds_token(),
        };
    match obeyed {
        true => context.directives,
        false => context.directives.undemanding(),
    }
}

/// What a write changes, if it succeeds.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// The route of the same path, for the log.
    pub rule: Option<usize>,
    /// The rules that name its path, and its method or one that a form in its body may put in its place, as
    /// indexes into `config.purges`.
    pub purges: Vec<usize>,
    /// Whether any of them reads the request's body.
    pub reads_body: bool,
    /// Whether any of them reads what is stored for its own URL.
    pub reads_before: bool,
    /// Whether any of them reads the answer's body.
    pub reads_response: bool,
    /// Whether a template reads who asks, by the check of `[auth]`.
    pub reads_auth: bool,
}

/// Decides for one admitted request, by what is known of it.
pub fn plan(context: &RequestContext) -> Plan {
    let parts = &context.parts;
    let matched = variables::match_route(&context.live, &parts.method, parts.uri.path());
    let rule = matched.as_ref().map(|(index, _)| *index);
    let has_body_by_method = parts.method != Method::GET && parts.method != Method::HEAD;
    // Before the offer of an upgrade, which the app may decline.
    if !has_body_by_method && methods::is_disguised(context) {
        return plan_disguised(context, rule);
    }
    if !has_body_by_method && purge_rules::may_be_for_read(context) {
        return plan_write(context, rule);
    }
    if context.present.has(Present::UPGRADE) && is_upgrade(parts) {
        return Plan::Upgrade { rule };
    }
    if context.live.config.admin.purge_methods && is_purge(&parts.method) {
        return Plan::Purge;
    }
    let params = matched.map(|(_, params)| params).unwrap_or_default();
    if has_body_by_method
        && (!reads::is_by_body(context, rule) || reads::may_be_write(context, rule, &params))
    {
        return plan_write(context, rule);
    }
    let lookup = match find_obstacle(context, rule) {
        Some(reason) => Err(reason),
        None => look_up(context, rule, &params),
    };
    match lookup {
        Ok(lookup) if context.live.rule(rule).dial.is_full() => Plan::Cache(lookup),
        Ok(lookup) => plan_by_dial(context, lookup),
        Err(reason) => Plan::Pass { rule, reason },
    }
}

/// What becomes of a read that could be looked up, under a rule that is not on for all keys.
fn plan_by_dial(context: &RequestContext, lookup: Lookup) -> Plan {
    let Rollout { mode, percent } = context.live.rule(lookup.rule).dial.read();
    let pass = |reason| Plan::Pass {
        rule: lookup.rule,
        reason,
    };
    match mode {
        Mode::Off => pass(Reason::Disabled),
        _ if !is_within(&lookup.key.text, percent) => pass(Reason::NotInShare),
        Mode::Shadow => Plan::Shadow(lookup),
        Mode::On => Plan::Cache(lookup),
    }
}

/// What is not known of the request and may change `plan`.
pub fn find_wanting(context: &RequestContext, plan: &Plan) -> Option<Wanting> {
    if matches!(context.sent, SentBody::Unread) && wants_body(context) {
        return Some(Wanting::Body);
    }
    if context.asker.is_some() || context.live.config.auth.is_none() {
        return None;
    }
    let wants_asker = match plan {
        Plan::Pass { rule, reason } => {
            *reason == Reason::Unauthenticated && is_about_asker(context.live.rule(*rule))
        }
        Plan::Write(effects) => effects.reads_auth,
        Plan::Cache(_) | Plan::Shadow(_) | Plan::Upgrade { .. } | Plan::Purge => false,
    };
    wants_asker.then_some(Wanting::Asker)
}

/// Whether nothing but its body, which was not read, keeps the request from being looked up.
fn wants_body(context: &RequestContext) -> bool {
    let (method, path) = (&context.parts.method, context.parts.uri.path());
    if ![Method::POST, Method::QUERY].contains(method) {
        return false;
    }
    let matched = variables::match_route(&context.live, method, path);
    let rule = matched.map(|(index, _)| index);
    reads::is_by_body(context, rule)
        && methods::methods_of(&context.parts).len() == 1
        && find_obstacle(context, rule) == Some(Reason::RequestBody)
}

/// Every reason why a request is not looked up, the plan's own first; none of one that is.
pub fn obstacles(context: &RequestContext) -> Vec<Reason> {
    let plan = plan(context);
    let mut all = match plan {
        Plan::Upgrade { .. } => vec![Reason::Upgrade],
        Plan::Write(_) => vec![Reason::Method],
        Plan::Purge => vec![Reason::PurgeMethod],
        Plan::Pass {
            reason: Reason::Method,
            ..
        } => vec![Reason::Method],
        Plan::Shadow(_) => vec![Reason::Shadow],
        Plan::Pass {
            reason: Reason::NotInShare,
            ..
        } => vec![Reason::NotInShare],
        Plan::Cache(_) | Plan::Pass { .. } => Vec::new(),
    };
    let matched = variables::match_route(
        &context.live,
        &context.parts.method,
        context.parts.uri.path(),
    );
    let rule = matched.as_ref().map(|(index, _)| *index);
    let _ = each_obstacle(context, rule, |reason| {
        all.push(reason);
        ControlFlow::Continue(())
    });
    let params = matched.map(|(_, params)| params).unwrap_or_default();
    all.extend(look_up(context, rule, &params).err());
    all
}

/// Why a GET or HEAD passes whatever its key would be.
fn find_obstacle(context: &RequestContext, rule: Option<usize>) -> Option<Reason> {
    match each_obstacle(context, rule, ControlFlow::Break) {
        ControlFlow::Break(reason) => Some(reason),
        ControlFlow::Continue(()) => None,
    }
}

/// Gives `found` each reason why a GET or HEAD passes whatever its key would be, as long as it wants to go on.
fn each_obstacle(
    context: &RequestContext,
    rule: Option<usize>,
    mut found: impl FnMut(Reason) -> ControlFlow<Reason>,
) -> ControlFlow<Reason> {
    let RequestContext {
        live,
        parts,
        present,
        ..
    } = context;
    let (path, query) = (parts.uri.path(), parts.uri.query());
    // Nearly every key has all of it, and all that is asked below would read it again and again.
    if path.len() > Key::MAX {
        return found(Reason::KeyTooLong);
    }
    let announced = || present.has(Present::FRAMING) && has_body(&parts.headers);
    let Rule {
        route,
        settings,
        dial,
        ..
    } = live.rule(rule);
    let is_by_body = reads::is_by_body_of(context, route);
    if !is_by_body && (context.has_body || announced()) {
        found(Reason::RequestBody)?;
    }
    // To such an app `%2F` is a letter of a value. What is odd even then, such as `a%2F..`, passes as ever.
    let replaced = |letter| {
        let is_data = settings.encoded_slash == EncodedSlash::Data;
        is_data.then(|| target::replace_encoded_slashes(path, letter))?
    };
    let (as_slash, as_letter) = (replaced("/"), replaced("-"));
    if target::is_ambiguous(as_slash.as_deref().unwrap_or(path)) {
        found(Reason::AmbiguousPath)?;
    }
    let path = as_letter.as_deref().unwrap_or(path);
    if route.is_none() && live.config.defaults.unmatched == Unmatched::Pass {
        found(Reason::NoRule)?;
    }
    if !dial.is_full() && dial.read().mode == Mode::Off {
        found(Reason::Disabled)?;
    }
    let key = route.map_or(&live.default_key, |route| &route.key);
    if settings.ignore_query.find_unkeyed(key, query).is_some() {
        found(Reason::UnkeyedQuery)?;
    }
    let matcher = &live.config.matcher;
    if matcher.find_other(&parts.method, path, rule).is_some() {
        found(Reason::AmbiguousRule)?;
    }
    let keyed = keyed_credentials(context, route);
    if overrides::find_unkeyed(context, keyed).is_some() {
        found(Reason::UnkeyedHeader)?;
    }
    if is_by_body {
        // Conditions and ranges are of GET (RFC 9110 §13.1, §14.2).
        if present.has(Present::SELECTING) {
            let is_ranged = parts.headers.contains_key(RANGE);
            found(match is_ranged {
                true => Reason::Range,
                false => Reason::RequestDirective,
            })?;
        }
        // The last, so that no body is read for what would pass anyway. One that could not be read may name another
        // method.
        let body = context.sent.as_whole();
        if body.is_none_or(|body| methods::of_body_of_read(parts, body.document.as_ref()).is_none())
        {
            found(Reason::RequestBody)?;
        }
    }
    ControlFlow::Continue(())
}

/// The key of a read, or what it lacks.
fn look_up(
    context: &RequestContext,
    rule: Option<usize>,
    params: &[(&str, &str)],
) -> Result<Lookup, Reason> {
    let Rule {
        route, settings, ..
    } = context.live.rule(rule);
    if !reads::meets_conditions(context, rule, params) {
        return Err(Reason::NoRule);
    }
    let template = route.map_or(&context.live.default_key, |route| &route.key);
    let requires_jwt = settings.require == Some(Require::Jwt);
    let claims = variables::verified_claims(context, template.reads_jwt() || requires_jwt);
    if let Some(reason) = find_unauthenticated(context, rule, claims.as_deref()) {
        return Err(reason);
    }
    let query = variables::keyed_query(&context.live, rule, context.parts.uri.query());
    let mut scope = variables::template_scope(context, params, claims.as_deref());
    scope.query = query.as_deref();
    let key = template
        .render(&scope)
        .map_err(|Missing(variable)| reason_for_missing(context, &variable))?;
    if key.text.len() > Key::MAX {
        return Err(Reason::KeyTooLong);
    }
    let identity = unkeyed_identity(context, route, claims.as_deref());
    Ok(Lookup {
        rule,
        key,
        identity,
        selector: selector_of(route, settings, context),
    })
}

/// Why nothing that the store has is for whoever asks, as far as their rule has to know who that is.
fn find_unauthenticated(
    context: &RequestContext,
    index: Option<usize>,
    claims: Option<&Value>,
) -> Option<Reason> {
    let rule = context.live.rule(index);
    let require = rule.settings.require;
    if require == Some(Require::Jwt) && claims.is_none() {
        return Some(Reason::Unauthenticated);
    }
    if !is_about_asker(rule) {
        return None;
    }
    match context.asker.as_ref().map(|asker| &asker.verdict) {
        Some(Verdict::Allowed(document)) => {
            // No document that could be read, where something of it is wanted.
            let is_unread = **document == json::unknown();
            (is_unread && rule.reads_auth()).then_some(Reason::AuthFailed)
        }
        Some(Verdict::Failed) => Some(Reason::AuthFailed),
        // Whether templates have a default for nobody is theirs to say.
        Some(Verdict::Nobody) if require != Some(Require::Auth) => None,
        Some(Verdict::Nobody | Verdict::Denied) | None => Some(Reason::Unauthenticated),
    }
}

/// Whether a rule depends on who asks, by the check of `[auth]`.
fn is_about_asker(rule: Rule<'_>) -> bool {
    rule.settings.require == Some(Require::Auth) || rule.reads_auth()
}

fn reason_for_missing(context: &RequestContext, variable: &Source) -> Reason {
    let asker = context.asker.as_ref().map(|asker| &asker.verdict);
    match (variable, asker) {
        (Source::Auth(_), Some(Verdict::Nobody)) => Reason::Unauthenticated,
        _ => Reason::MissingVariable,
    }
}

/// The key under which a GET with the fields of this request would be looked up.
pub fn key_of_read(context: &RequestContext) -> Option<String> {
    let matched = variables::match_route(&context.live, &Method::GET, context.parts.uri.path());
    let (rule, params) = matched.unzip();
    let lookup = look_up(context, rule, &params.unwrap_or_default());
    lookup.ok().map(|lookup| lookup.key.text)
}

/// For what is said of an answer though its request is not looked up: as the rule would, under no key.
pub fn look_up_anyway(context: &RequestContext, rule: Option<usize>) -> Lookup {
    let Rule {
        route, settings, ..
    } = context.live.rule(rule);
    let (headers, cookies) = all_unkeyed(context, route);
    Lookup {
        rule,
        key: Key {
            text: String::new(),
            form: String::new(),
        },
        identity: Identity {
            unkeyed_authorization: !headers.is_empty(),
            unkeyed_cookie: !cookies.is_empty(),
        },
        selector: selector_of(route, settings, context),
    }
}

/// What says GET and may be another method to the app: never answered from the store, and purging as that would.
fn plan_disguised(context: &RequestContext, rule: Option<usize>) -> Plan {
    match (plan_write(context, rule), find_obstacle(context, rule)) {
        (Plan::Pass { rule, .. }, Some(reason)) => Plan::Pass { rule, reason },
        (plan, _) => plan,
    }
}

fn plan_write(context: &RequestContext, rule: Option<usize>) -> Plan {
    let methods = methods::methods_of(&context.parts);
    let by_body = methods::may_be_in_body(&context.parts);
    let purges = purge_rules::matching(context, &methods, by_body);
    if purges.is_empty() && methods::acting_method(&context.parts).is_safe() {
        return Plan::Pass {
            rule,
            reason: Reason::Method,
        };
    }
    let rules: Vec<&PurgeRule> = purges
        .iter()
        .map(|index| &context.live.config.purges[*index])
        .collect();
    Plan::Write(Effects {
        rule,
        // Also of a rule that does not: where its conditions fail, the body tells whether the write is one for all that.
        reads_body: rules
            .iter()
            .any(|rule| by_body || rule.reads_body() || rule.has_conditions()),
        reads_before: rules.iter().any(|rule| rule.reads_before()),
        reads_response: rules.iter().any(|rule| rule.reads_response()),
        reads_auth: rules
            .iter()
            .any(|rule| rule.templates().any(|template| template.reads_auth())),
        purges,
    })
}

/// Varnish's methods, by which no resource is changed but what caches have of it.
fn is_purge(method: &Method) -> bool {
    matches!(method.as_str(), "PURGE" | "BAN")
}

/// Which credentials the request brings and the key does not carry (promise I8).
fn unkeyed_identity(
    context: &RequestContext,
    route: Option<&Route>,
    claims: Option<&Value>,
) -> Identity {
    let keyed = keyed_credentials(context, route);
    let may_say_who = Present::CREDENTIALS.or(Present::COOKIE);
    if !context.present.has(may_say_who) && !keyed.has_further() {
        return Identity::COVERED;
    }
    let unkeyed = find_unkeyed(context, route, claims);
    Identity {
        unkeyed_authorization: unkeyed.header.is_some(),
        unkeyed_cookie: unkeyed.cookie.is_some(),
    }
}

/// The first credentials that the request brings and the key of its rule does not carry.
pub fn find_unkeyed<'c>(
    context: &'c RequestContext,
    route: Option<&Route>,
    claims: Option<&Value>,
) -> Unkeyed<'c> {
    let verified = verified(context, claims);
    keyed_credentials(context, route).find_unkeyed(&context.parts.headers, verified)
}

fn verified<'v>(context: &'v RequestContext, claims: Option<&'v Value>) -> Verified<'v> {
    Verified {
        claims,
        token: token_field(context),
        auth: context.auth_document(),
    }
}

/// Where the config looks for a token.
fn token_field(context: &RequestContext) -> Option<TokenField<'_>> {
    let jwt = context.live.config.jwt.as_ref();
    jwt.map(|jwt| match &jwt.source {
        JwtSource::Authorization => TokenField::Authorization,
        JwtSource::Cookie(name) => TokenField::Cookie(name),
        JwtSource::Header(name) => TokenField::Header(name),
    })
}

/// All credentials that the request brings and the key of its rule does not carry: header fields, and cookies.
pub fn all_unkeyed(context: &RequestContext, route: Option<&Route>) -> (Vec<String>, Vec<String>) {
    let template = route.map_or(&context.live.default_key, |route| &route.key);
    let claims = variables::verified_claims(context, template.reads_jwt());
    let keyed = keyed_credentials(context, route);
    let headers = &context.parts.headers;
    let (fields, cookies) = keyed.all_unkeyed(headers, verified(context, claims.as_deref()));
    let fields = fields.into_iter().map(ToString::to_string);
    let cookies = cookies
        .into_iter()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    (fields.collect(), cookies.collect())
}

/// What the key of a rule, or of unmatched requests, carries of a requester.
pub fn keyed_credentials<'c>(
    context: &'c RequestContext,
    route: Option<&'c Route>,
) -> &'c KeyedCredentials {
    let of_defaults = &context.live.config.defaults.credentials;
    route.map_or(of_defaults, |route| &route.credentials)
}

/// What selects among the stored responses of one key: scheme, host (unless `any_host`), the rule's path and the
/// method, if it is one with a body.
///
/// An app behind a TLS gateway may answer `https` and `http` differently (redirects, links). Two rules
/// may render the same key, so that one purge covers both, but their answers differ. What gateways say beside
/// these has a line each.
fn selector_of(route: Option<&Route>, settings: &Settings, context: &RequestContext) -> String {
    let path = route.map_or("", |route| &route.path);
    let mut selector =
        String::with_capacity("https://".len() + context.host.len() + 1 + path.len());
    // Also where all hosts share: a redirect to https, served to those who come by https, never ends.
    if context.scheme() == "https" {
        selector.push_str("https://");
    }
    if !settings.any_host {
        selector.push_str(&context.host);
    }
    if route.is_some() {
        selector.push(' ');
        selector.push_str(path);
    }
    if reads::is_by_body_of(context, route) {
        selector.push('\n');
        selector.push_str(context.parts.method.as_str());
    }
    let by_gateways = Present::TARGET.or(Present::SCHEME);
    if context.is_believed || context.present.has(by_gateways) {
        let keyed = keyed_credentials(context, route);
        let selecting = overrides::selecting(context, keyed, settings.any_host);
        selector.push_str(&selecting);
    }
    if context.present.has(Present::SWITCHES) {
        let keyed = keyed_credentials(context, route);
        let only = settings.policy.variation.only.as_deref();
        switches::push_switches(&mut selector, &context.parts.headers, keyed, only);
    }
    selector
}

/// What the fields say; `explain` has nothing else to go by.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}

/// A request to hand the connection over. Only a GET may: an offer to go on in HTTP/2 (`h2c`) is
/// declined by not passing it on, and any other method is answered by its own rules.
fn is_upgrade(parts: &Parts) -> bool {
    let offers_h2c = || {
        let offers = parts.headers.get_all(UPGRADE).iter();
        offers
            .filter_map(|line| line.to_str().ok())
            .any(|line| line.to_ascii_lowercase().contains("h2c"))
    };
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(UPGRADE)
        && connection_options(&parts.headers).any(|option| option == UPGRADE)
        && !offers_h2c()
}
