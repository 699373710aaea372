//! What of an answer keeps it from being stored, or from being served once it is.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, SET_COOKIE, USER_AGENT, VARY,
};
use http::{HeaderName, StatusCode};
use serde_json::Value;

use super::lift::Lift;
use super::obstacle::Obstacle;
use super::of_request::identity;
use crate::config::Unmatched;
use crate::http_cache::tokens;
use crate::http_cache::vary::Selector;
use crate::http_cache::{self, AppHeaders, CacheControlMode, Exchange, Policy, Reason};
use crate::live::Rule;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::proxy::request::variables;
use crate::routes::template::{self, MAX_VALUES, Missing, Untagged};

/// All that stands between an answer with this head and a hit: the decision's own reason first. `body`: its JSON, if
/// it is known, for the tags that read it.
pub fn of_answer(
    context: &RequestContext,
    lookup: &Lookup,
    response: &Exchange<'_>,
    body: Option<&Value>,
) -> Vec<Obstacle> {
    let rule = context.live.rule(lookup.rule);
    let policy = policy_of(context, rule);
    let mut reasons = http_cache::obstacles(&lookup.head(context), response, &policy);
    reasons.extend(by_length(rule, response));
    if varies_by_person(context, lookup, response) {
        reasons.push(Reason::VaryMiss);
    }
    let described = reasons.into_iter().filter_map(|reason| match reason {
        Reason::Authorization | Reason::Cookie => identity(context, lookup.rule, reason),
        reason => Some(describe(rule, response, reason)),
    });
    let untagged = body.and_then(|body| missing_tag(context, rule, body));
    described.chain(untagged).collect()
}

/// The rule's; where a route is missing, that of one which has yet to be written: it will have a lifetime.
fn policy_of<'l>(context: &RequestContext, rule: Rule<'l>) -> Cow<'l, Policy> {
    let passes = context.live.config.defaults.unmatched == Unmatched::Pass;
    if rule.route.is_some() || !passes {
        return Cow::Borrowed(rule.policy);
    }
    const SOME: Duration = Duration::from_secs(300);
    Cow::Owned(Policy {
        ttl: rule.policy.ttl.or(Some(SOME)),
        ..rule.policy.clone()
    })
}

/// What the answer lacks of the rule's tags, without which no purge would find it.
fn missing_tag(context: &RequestContext, rule: Rule<'_>, body: &Value) -> Option<Obstacle> {
    let matched = variables::match_route(
        &context.live,
        &context.parts.method,
        context.parts.uri.path(),
    );
    let params = matched.map(|(_, params)| params).unwrap_or_default();
    let reads_jwt = rule.tags().iter().any(|tag| tag.reads_jwt());
    let claims = variables::verified_claims(context, reads_jwt);
    let mut scope = variables::template_scope(context, &params, claims.as_deref());
    scope.response = Some(body);
    let (reason, what) = match template::tags_of(rule.tags(), &scope) {
        Ok(_) => return None,
        Err(Untagged::TooMany) => (
            Reason::TooManyTags,
            format!(
                "the rule's tags come to more than {MAX_VALUES} for this answer; tag it by what its list belongs to"
            ),
        ),
        Err(Untagged::Missing(_)) => {
            let missing = rule.tags().iter().filter_map(|tag| match tag.tags(&scope) {
                Err(Untagged::Missing(Missing(source))) => Some(source.to_string()),
                _ => None,
            });
            let missing: Vec<String> = missing.collect();
            let what = format!(
                "the answer lacks {} of the rule's tags; give it a default, as {{response.id|none}}, or leave it out",
                missing.join(", ")
            );
            (Reason::MissingTag, what)
        }
    };
    Some(Obstacle {
        reason,
        what,
        lifts: Vec::new(),
    })
}

/// Whether each person has an answer of their own, though the key or the rule says who shares.
fn varies_by_person(context: &RequestContext, lookup: &Lookup, response: &Exchange<'_>) -> bool {
    let head = lookup.head(context);
    let Some(selector) = Selector::of(&head, response.headers) else {
        return false;
    };
    let mut fields = selector.fields.iter();
    fields.any(|(name, value)| PERSONAL.contains(name) && value.is_some())
}

const PERSONAL: [HeaderName; 3] = [COOKIE, AUTHORIZATION, USER_AGENT];

/// The fields that answers vary by, without those that say who asks.
fn impersonal(response: &Exchange<'_>) -> String {
    let lines = response.headers.get_all(VARY).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = members.filter_map(|member| HeaderName::from_bytes(member.trim_ascii()).ok());
    let names = names.filter(|name| !PERSONAL.contains(name));
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(", "))
}

/// What the head says of the body.
fn by_length(rule: Rule<'_>, response: &Exchange<'_>) -> Option<Reason> {
    let events = response.headers.get(CONTENT_TYPE);
    if events.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return Some(Reason::EventStream);
    }
    let length = content_length(response)?;
    (length > rule.settings.max_body as u64).then_some(Reason::TooLarge)
}

fn content_length(response: &Exchange<'_>) -> Option<u64> {
    let length = response.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn describe(rule: Rule<'_>, response: &Exchange<'_>, reason: Reason) -> Obstacle {
    let lifts = match reason {
        Reason::NoStore => not_meant(rule, "no-store"),
        Reason::Private => not_meant(rule, "private"),
        Reason::SetCookie | Reason::Token => not_meant(rule, "set-cookie"),
        Reason::NoCache => not_meant(rule, "no-cache"),
        Reason::Stale | Reason::NoFreshness => no_lifetime(rule),
        Reason::VaryAny => {
            let means = "no request field changes the answer but those in the key";
            vec![Lift::set(rule, "vary", "[]", means)]
        }
        Reason::VaryMiss => {
            let means = "of what Vary names these alone change the answer";
            let only = Lift::set(rule, "vary", impersonal(response), means);
            vec![ignore_app(), only]
        }
        Reason::RequestNoStore => {
            let means = "what clients say of caching makes nobody ask the app";
            vec![Lift::set(rule, "client_cache_control", "\"ignore\"", means)]
        }
        Reason::Status => listed(rule, response.status),
        Reason::TooLarge => longer(rule, response),
        _ => Vec::new(),
    };
    Obstacle {
        reason,
        what: what(response, reason),
        lifts,
    }
}

/// What the app says of everything may not be meant at all, or one word of it may not be.
fn not_meant(rule: Rule<'_>, word: &str) -> Vec<Lift> {
    let mut despite = words_of(rule.policy);
    despite.push(word.to_owned());
    let means = match word {
        "set-cookie" => {
            "it is stored without its cookies and tokens; only the client that asked gets them"
        }
        _ => "this word alone is not meant",
    };
    vec![
        ignore_app(),
        Lift::list(rule, "store_despite", despite, means),
    ]
}

/// Freshness that the app denies.
fn no_lifetime(rule: Rule<'_>) -> Vec<Lift> {
    let policy = rule.policy;
    if policy.app_headers == AppHeaders::Ignore {
        return Vec::new();
    }
    let mut lifts = vec![ignore_app()];
    if policy.cache_control == CacheControlMode::Respect {
        let means = "the rule's ttl goes before what the app says of freshness";
        lifts.push(Lift::set(rule, "cache_control", "\"override\"", means));
    }
    lifts
}

fn ignore_app() -> Lift {
    let means =
        "what the framework says of caching and cookies on everything is not meant; ttl counts";
    Lift::set_for_all("app_headers", "\"ignore\"", means)
}

/// The words that the rule lifts already: a list stands once.
fn words_of(policy: &Policy) -> Vec<String> {
    let words = policy.despite.words();
    words.into_iter().map(str::to_owned).collect()
}

fn listed(rule: Rule<'_>, status: StatusCode) -> Vec<Lift> {
    // A part and an answer about another never stand on their own.
    if [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status) {
        return Vec::new();
    }
    let listed = rule.policy.statuses.clone();
    let mut statuses = listed.unwrap_or_else(|| vec![StatusCode::OK]);
    statuses.push(status);
    let statuses: Vec<&str> = statuses.iter().map(StatusCode::as_str).collect();
    let value = format!("[{}]", statuses.join(", "));
    vec![Lift::set(
        rule,
        "statuses",
        value,
        "these are stored, and no others",
    )]
}

fn longer(rule: Rule<'_>, response: &Exchange<'_>) -> Vec<Lift> {
    let mib = content_length(response)
        .unwrap_or_default()
        .div_ceil(1 << 20);
    let means = "so much memory goes to one answer";
    vec![Lift::set(rule, "max_body", format!("\"{mib}MiB\""), means)]
}

fn what(response: &Exchange<'_>, reason: Reason) -> String {
    let text = match reason {
        Reason::Method => "only answers to GET are stored",
        Reason::Status => {
            return format!(
                "status {} is not stored without a lifetime of its own, or at all",
                response.status.as_u16()
            );
        }
        Reason::RequestNoStore => "the request says no-store",
        Reason::NoStore => "the answer says no-store",
        Reason::Private => "the answer says private",
        Reason::SetCookie => return set_cookies(response),
        Reason::Token => {
            let names: Vec<&str> = tokens::found_in(response.headers)
                .map(HeaderName::as_str)
                .collect();
            return format!("the answer hands over {}", names.join(", "));
        }
        Reason::VaryAny => "the answer says Vary: *, so that no request selects it",
        Reason::VaryMiss => {
            "the answer says Vary: Cookie, Authorization or User-Agent, so each of these has an answer of its own"
        }
        Reason::NoFreshness => "the answer is never fresh and cannot be validated",
        Reason::NoCache => {
            "the answer says no-cache: the app would be asked each time whether it holds"
        }
        Reason::Stale => {
            "the answer is stale from the beginning (max-age=0, Expires in the past, or Age): the app would be \
             asked each time"
        }
        Reason::Partial => "it is a part, and not clearly which",
        Reason::UnacceptedCoding => {
            "the answer is in a content coding that the request does not accept"
        }
        Reason::TooLarge => "its body is over max_body",
        Reason::EventStream => "it is a stream of events, which has no end",
        Reason::TooManyGroups => {
            "it names more than 128 cache groups, or one of more than 256 characters"
        }
        Reason::TooManyTags => {
            "it has more than 1,000 tags, or the fields of tag_fields name one of more than 1,024 characters"
        }
        other => other.as_str(),
    };
    text.to_owned()
}

/// The names alone: values say who somebody is.
fn set_cookies(response: &Exchange<'_>) -> String {
    let lines = response.headers.get_all(SET_COOKIE).iter();
    let names = lines.map(|line| {
        let name = line.as_bytes().split(|byte| *byte == b'=').next();
        String::from_utf8_lossy(name.unwrap_or_default())
            .trim()
            .to_owned()
    });
    format!("the answer sets {}", names.collect::<Vec<_>>().join(", "))
}
