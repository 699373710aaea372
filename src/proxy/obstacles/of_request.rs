//! What of a request keeps it from being looked up, or from what others are answered.

use http::header::CONNECTION;
use http::{HeaderName, Method};

use super::lift::{KeyStep, Lift};
use super::obstacle::Obstacle;
use crate::auth::Verdict;
use crate::config::Require;
use crate::config::show_size;
use crate::http_cache::Reason;
use crate::live::{Live, Rule};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};
use crate::proxy::request::{overrides, reads, variables};
use crate::rollout::Mode;
use crate::routes::target;

/// All that stands between the request and an answer from the store, whatever the app answers: the plan's own
/// reason first.
pub fn of_request(context: &RequestContext) -> Vec<Obstacle> {
    let matched = variables::match_route(
        &context.live,
        &context.parts.method,
        context.parts.uri.path(),
    );
    let rule = matched.map(|(index, _)| index);
    let mut all: Vec<Obstacle> = plan::obstacles(context)
        .into_iter()
        .map(|reason| describe(context, rule, reason))
        .collect();
    let settings = context.live.rule(rule);
    let is_covered = match plan::plan(context) {
        Plan::Cache(lookup) | Plan::Shadow(lookup) => lookup.identity.covered(),
        // Said all the same: it would stand in the way next.
        Plan::Pass { .. } => all_unkeyed(context, rule).is_none(),
        Plan::Write(_) | Plan::Purge | Plan::Upgrade { .. } => true,
    };
    if !is_covered && !settings.policy.shared {
        all.extend(identity(context, rule, Reason::Identity));
    }
    all.extend(demands(context, rule));
    all.extend(no_tier(context));
    all
}

/// What the client says of caching makes the app be asked, whatever is stored.
fn demands(context: &RequestContext, index: Option<usize>) -> Option<Obstacle> {
    let rule = context.live.rule(index);
    let obeyed = plan::directives_under(rule.settings.client_cache_control, context);
    let means = "a client's reload is answered from the store as well";
    (obeyed != obeyed.undemanding()).then(|| Obstacle {
        reason: Reason::RequestDirective,
        what: "the request says no-cache, no-store, max-age or min-fresh".to_owned(),
        lifts: vec![Lift::set(rule, "client_cache_control", "\"ignore\"", means)],
    })
}

/// Nothing can be stored anywhere.
fn no_tier(context: &RequestContext) -> Option<Obstacle> {
    let config = &context.live.config;
    let has_none = config.memory.max == 0 && config.redis.is_none();
    has_none.then(|| Obstacle {
        reason: Reason::BudgetFull,
        what: "memory.max is 0B and there is no [redis], so nothing is stored".to_owned(),
        lifts: vec![Lift::set_in(
            "[memory]",
            "max",
            "\"64MiB\"",
            "so much is held in this process",
        )],
    })
}

fn describe(context: &RequestContext, index: Option<usize>, reason: Reason) -> Obstacle {
    let rule = context.live.rule(index);
    let (what, lifts) = match reason {
        Reason::NoRule if rule.route.is_some() => (NOT_MET.to_owned(), Vec::new()),
        Reason::NoRule => no_rule(context),
        Reason::Method if reads::is_by_body(context, index) => (MAY_WRITE.to_owned(), Vec::new()),
        Reason::Method if [Method::GET, Method::HEAD].contains(&context.parts.method) => {
            (WRITES.to_owned(), Vec::new())
        }
        Reason::RequestBody if reads::is_by_body(context, index) => unread_body(context),
        Reason::Disabled => disabled(context, rule),
        Reason::NotInShare => not_in_share(rule),
        Reason::Shadow => shadow(rule),
        Reason::UnkeyedQuery => unkeyed_query(context, rule),
        Reason::MissingVariable => missing_variable(context, index),
        Reason::Unauthenticated => (unauthenticated(context, rule).to_owned(), Vec::new()),
        Reason::UnkeyedHeader => unkeyed_header(context, rule),
        Reason::AmbiguousRule => (other_rule(context, index), Vec::new()),
        Reason::AmbiguousPath => (fixed(reason).to_owned(), encoded_slash(context, rule)),
        other => (fixed(other).to_owned(), Vec::new()),
    };
    Obstacle {
        reason,
        what,
        lifts,
    }
}

/// Off in the file, in the environment, or by a switch.
fn disabled(context: &RequestContext, rule: Rule<'_>) -> (String, Vec<Lift>) {
    let settings = rule.settings;
    if context.live.config.ceiling == Mode::Off {
        return (
            "PANNIER_MODE=off switches everything off".to_owned(),
            Vec::new(),
        );
    }
    if settings.rollout.mode != Mode::Off {
        let what = "it was switched off at run time: GET /switch says since when and why";
        return (what.to_owned(), Vec::new());
    }
    let (off, on) = match settings.switched_by {
        "enabled" => ("false", "true"),
        _ => ("\"off\"", "\"on\""),
    };
    let key = settings.switched_by;
    let lift = Lift::set(rule, key, on, "the path is cached");
    (format!("the rule says {key} = {off}"), vec![lift])
}

/// Compared only, by the file or by a switch.
fn shadow(rule: Rule<'_>) -> (String, Vec<Lift>) {
    let what = "the rule is in shadow: the app answers, and the cache is compared with it";
    let lifts = match rule.settings.rollout.mode {
        Mode::Shadow => vec![Lift::set(rule, "mode", "\"on\"", "the cache answers")],
        _ => Vec::new(),
    };
    (what.to_owned(), lifts)
}

/// Outside of the share for which the rule is on, by the file or by a switch.
fn not_in_share(rule: Rule<'_>) -> (String, Vec<Lift>) {
    let (percent, of_file) = (rule.dial.read().percent, rule.settings.rollout.percent);
    let what =
        format!("the rule is on for {percent} % of its keys, and this one is not among them");
    let lifts = match of_file == percent {
        true => vec![Lift::set(rule, "percent", "100", "it is on for all keys")],
        false => Vec::new(),
    };
    (what, lifts)
}

/// What no line of the config lifts.
fn fixed(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestBody => "a GET with a body",
        Reason::AmbiguousPath => {
            "the path can be read in two ways (%2F, %2E, //, ; or a broken escape)"
        }
        Reason::AuthFailed => "the check of [auth] failed, or what it says cannot be read",
        Reason::KeyTooLong => "the path, or the key, is longer than 4096 bytes",
        Reason::Method => {
            "the method is neither GET nor HEAD, and what it answers is nobody else's"
        }
        Reason::Range | Reason::RequestDirective => {
            "a POST or QUERY with a condition or a Range is the app's to answer"
        }
        Reason::Upgrade => "the connection is handed over after the app's 101",
        other => other.as_str(),
    }
}

/// What no line of the config lifts: the rule means it so.
fn unauthenticated(context: &RequestContext, rule: Rule<'_>) -> &'static str {
    if rule.settings.require == Some(Require::Jwt) {
        return "the rule requires a valid token, and the request has none";
    }
    match context.asker.as_ref().map(|asker| &asker.verdict) {
        Some(Verdict::Nobody) => {
            "the rule needs to know who asks, and the request brings nothing that the check of [auth] could be asked about"
        }
        Some(_) => "the check of [auth] says no to what the request brings",
        None => {
            "the rule needs to know who asks, and the check of [auth] has not said so yet: the app is asked then"
        }
    }
}

const NOT_MET: &str = "the rule's when does not surely hold, or its unless may";
const WRITES: &str = "a purge rule is for it, or it names another method: it is a write";
const MAY_WRITE: &str = "it may be a write: a purge rule may be for it, it names another method, the rule's when and \
                         unless are not sure, or it may be a mutation (by its text, or sent by a hash) and they do \
                         not say which operations are reads";

/// Of a rule that answers by the body.
fn unread_body(context: &RequestContext) -> (String, Vec<Lift>) {
    let most = show_size(context.live.config.defaults.max_variables as u64);
    let what = format!(
        "its body is longer than defaults.max_variables ({most}), is not whole, has trailers, or is a form that may be \
         read in two ways"
    );
    (what, Vec::new())
}

fn no_rule(context: &RequestContext) -> (String, Vec<Lift>) {
    let path = context.parts.uri.path();
    let lifts = vec![
        Lift::route(
            path,
            "this path is cached; write {id} for what changes in it",
        ),
        Lift::set_for_all(
            "unmatched",
            "\"rfc9111\"",
            "what no route matches is cached by its own header fields",
        ),
    ];
    ("no [[route]] matches the path".to_owned(), lifts)
}

fn unkeyed_query(context: &RequestContext, rule: Rule<'_>) -> (String, Vec<Lift>) {
    let key = rule
        .route
        .map_or(&context.live.default_key, |route| &route.key);
    let fields = rule
        .settings
        .ignore_query
        .unkeyed(key, context.parts.uri.query());
    let mut names: Vec<String> = Vec::new();
    for name in fields.map(str::to_owned) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let what = format!(
        "the key does not name {} {}",
        counted(names.len(), "the query field", "the query fields"),
        quoted(&names)
    );
    let is_plain = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !name.is_empty() && name.bytes().all(plain)
    };
    let in_key = names.iter().all(is_plain).then(|| {
        let steps = names
            .iter()
            .map(|name| KeyStep::Append(format!("{{query.{name}|}}")));
        Lift::key(rule, steps.collect(), "each value has an answer of its own")
    });
    let ignored = Lift::list(rule, "ignore_query", names, "it changes no answer");
    let lifts = std::iter::once(ignored).chain(in_key.flatten());
    (what, lifts.collect())
}

fn missing_variable(context: &RequestContext, index: Option<usize>) -> (String, Vec<Lift>) {
    let live = &context.live;
    let rule = live.rule(index);
    let matched = variables::match_route(live, &context.parts.method, context.parts.uri.path());
    let params = matched.map(|(_, params)| params).unwrap_or_default();
    let template = rule.route.map_or(&live.default_key, |route| &route.key);
    let claims = variables::verified_claims(context, template.reads_jwt());
    let query = variables::keyed_query(live, index, context.parts.uri.query());
    let mut scope = variables::template_scope(context, &params, claims.as_deref());
    scope.query = query.as_deref();
    let missing = template.missing(&scope);
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let mut what = format!("the request lacks {} of the key", missing.join(", "));
    if template.reads_jwt() && claims.is_none() {
        what.extend(unverified(live));
    }
    let steps = missing.into_iter().map(KeyStep::Default).collect();
    let lift = Lift::key(
        rule,
        steps,
        "requests without it share an answer of their own",
    );
    (what, lift.into_iter().collect())
}

/// Whose keys verify no token of the request; `pannier explain` fetches none.
fn unverified(live: &Live) -> Option<String> {
    let (jwt, verifier) = live.config.jwt.as_ref().zip(live.jwt.as_ref())?;
    let origin = &jwt.origin;
    Some(match verifier.count_keys() {
        0 => format!(": no token is verified, since no key from {origin} is here"),
        keys => format!(": no token of it is valid now by the keys from {origin} ({keys})"),
    })
}

fn unkeyed_header(context: &RequestContext, rule: Rule<'_>) -> (String, Vec<Lift>) {
    let keyed = plan::keyed_credentials(context, rule.route);
    let names = overrides::all_unkeyed(context, keyed);
    let shown: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    let what = format!(
        "{} may make the app answer something else than the request line says",
        shown.join(", ")
    );
    // No key can have what `Connection` takes away.
    if names.contains(&CONNECTION) {
        return (what, Vec::new());
    }
    let believed = shown.iter().all(|name| is_of_gateways(name)).then(|| {
        let gateway = format!("[\"{}\"]", context.peer);
        let means =
            "the gateway at this address is believed; what it says selects among the answers";
        Lift::set_in("[listen]", "trusted_proxies", &gateway, means)
    });
    let steps = shown
        .iter()
        .map(|name| KeyStep::Append(format!("{{header.{name}|}}")));
    let means = "each value has an answer of its own";
    let in_key = Lift::key(rule, steps.collect(), means);
    (what, believed.into_iter().chain(in_key).collect())
}

fn is_of_gateways(name: &str) -> bool {
    name == "forwarded" || name.starts_with("x-forwarded-")
}

/// Where nothing but `%2F` makes the path odd.
fn encoded_slash(context: &RequestContext, rule: Rule<'_>) -> Vec<Lift> {
    let as_slash = target::replace_encoded_slashes(context.parts.uri.path(), "/");
    let lifted = as_slash.filter(|path| rule.route.is_some() && !target::is_ambiguous(path));
    let means = "%2F is a part of a value, for the app as well";
    let lift = lifted.map(|_| Lift::set(rule, "encoded_slash", "\"data\"", means));
    lift.into_iter().collect()
}

fn other_rule(context: &RequestContext, index: Option<usize>) -> String {
    let live = &context.live;
    let other =
        live.config
            .matcher
            .find_other(&context.parts.method, context.parts.uri.path(), index);
    let other = live.rule(other).name().unwrap_or_default();
    format!(
        "an app that decodes, trims or folds the path, or takes a suffix off it, would answer what rule {other} \
         is about; write the path as that rule has it"
    )
}

/// The fields and cookies that say who asks and that the key lacks.
fn all_unkeyed(
    context: &RequestContext,
    index: Option<usize>,
) -> Option<(Vec<String>, Vec<String>)> {
    let route = context.live.rule(index).route;
    let (headers, cookies) = plan::all_unkeyed(context, route);
    (!headers.is_empty() || !cookies.is_empty()).then_some((headers, cookies))
}

/// What says who asks, and how its answers may be kept; `reason` is who finds it in the way.
pub(super) fn identity(
    context: &RequestContext,
    index: Option<usize>,
    reason: Reason,
) -> Option<Obstacle> {
    let rule = context.live.rule(index);
    let (headers, cookies) = all_unkeyed(context, index)?;
    let fields = headers.iter().cloned();
    let named = cookies.iter().map(|name| format!("the cookie {name}"));
    let named: Vec<String> = fields.chain(named).collect();
    let what = format!(
        "the request has {}, which the key does not carry, so only what says public or s-maxage, with a lifetime, is shared",
        named.join(", ")
    );
    let headers = headers.iter().map(|name| format!("{{header.{name}}}"));
    let of_cookies = cookies.iter().map(|name| format!("{{cookie.{name}}}"));
    let only_cookies = headers.len() == 0;
    let steps = headers.chain(of_cookies).map(KeyStep::Append).collect();
    let in_key = Lift::key(
        rule,
        steps,
        "each person has an answer of their own; purge rules for the key need :* at its end",
    );
    let shared = Lift::set(
        rule,
        "shared",
        "true",
        "the answer is the same for everyone",
    );
    let ignored = only_cookies.then(|| {
        let means = "they change no answer";
        Lift::list(rule, "ignore_cookies", cookies, means)
    });
    let lifts = in_key.into_iter().chain([shared]).chain(ignored);
    Some(Obstacle {
        reason,
        what,
        lifts: lifts.collect(),
    })
}

fn counted<'w>(count: usize, one: &'w str, many: &'w str) -> &'w str {
    if count == 1 { one } else { many }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}
