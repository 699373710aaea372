//! The `[[route]]` and `[[purge]]` tables: names, paths, templates and what follows from them.

use std::time::Duration;

use http::{Method, StatusCode};

use super::Input;
use super::mistakes;
use super::names::read_names;
use super::redis::parse_outage;
use super::tables::{Inherited, parse_abandoned, parse_priority, read_cookie_names};
use super::templates::{Templates, split_message};
use crate::config::problem::{Position, Problems};
use crate::config::read::Reader;
use crate::config::{Coherence, PurgeRule, Route};
use crate::http_cache::{CacheControlMode, Despite, Policy};
use crate::routes::template::{Site, Source};
use crate::routes::{CredentialSettings, IgnoreQuery, KeyedCredentials, Matcher, Template};

const EXAMPLE_PATH: &str = "write such as \"/api/users/{id}\"";
/// How [`Template::default_key`] would be written.
const DEFAULT_KEY: &str = "{host}{uri}";

/// A rule and where it stands, for the advice that compares rules.
pub(super) struct Written<T> {
    pub(super) rule: T,
    /// Its path's position.
    pub(super) position: Position,
    /// Where its keys stand: none or one of a route, any number of a purge rule.
    pub(super) keys: Vec<Position>,
    /// Where its tags stand.
    pub(super) tags: Vec<Position>,
}

/// The routes in file order, and the matcher of their paths.
pub(super) fn read_routes(
    input: &Input<'_>,
    inherited: &Inherited,
    problems: &mut Problems,
) -> (Vec<Written<Route>>, Matcher<usize>) {
    let tables = input.document.list("route");
    let names = read_names(input, "route", tables, problems);
    let mut matcher = Matcher::default();
    let mut routes = Vec::new();
    for (table, name) in tables.iter().zip(names) {
        let mut reader = input.rule_reader("route", table, problems);
        let Some(path) = read_path(&mut reader) else {
            // Read anyway, so that its other errors are found too.
            read_route(&mut reader, input, inherited, name, None);
            continue;
        };
        if let Err(error) = matcher.insert(&path, routes.len()) {
            let (what, remedy) = split_message(&error.to_string(), EXAMPLE_PATH);
            reader.reject("path", what, remedy);
        }
        routes.push(read_route(&mut reader, input, inherited, name, Some(path)));
    }
    (routes, matcher)
}

/// The purge rules in file order.
pub(super) fn read_purges(input: &Input<'_>, problems: &mut Problems) -> Vec<Written<PurgeRule>> {
    let tables = input.document.list("purge");
    let names = read_names(input, "purge", tables, problems);
    let rules = tables.iter().zip(names).map(|(table, name)| {
        let mut reader = input.rule_reader("purge", table, problems);
        read_purge(&mut reader, input, name)
    });
    rules.collect()
}

fn read_route(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    inherited: &Inherited,
    name: String,
    path: Option<String>,
) -> Written<Route> {
    let defaults = &inherited.defaults;
    let mut templates = Templates::new(input, path.as_deref());
    let key_text = reader
        .text("key")
        .map(|text| (reader.position("key"), text));
    let key = match &key_text {
        Some(written) => templates.parse(reader, "key", written, Site::RouteKey),
        None => None,
    };
    let key = key.unwrap_or_else(Template::default_key);
    let tag_texts = reader.texts("tags");
    let key = key.hashing(&defaults.credential_headers);
    let ignore_cookies = read_cookie_names(reader);
    let shared_by = shared_by(reader, &key);
    let irrelevant = defaults.ignore_cookies.with(ignore_cookies.iter().cloned());
    let credentials = KeyedCredentials::new(
        &key,
        CredentialSettings {
            shared_by: &shared_by,
            irrelevant: &irrelevant,
            trusted: &defaults.trusted_identity,
            further: &defaults.credential_headers,
        },
    );
    both_keyed_and_ignored(reader, &key, &ignore_cookies);
    let rule = Route {
        name,
        path: path.unwrap_or_default(),
        key_text: key_text
            .as_ref()
            .map_or(DEFAULT_KEY.to_owned(), |(_, text)| text.clone()),
        tags_text: texts(&tag_texts),
        tags: templates.parse_all(reader, "tags", &tag_texts, Site::RouteTag),
        policy: read_policy(reader, inherited),
        priority: reader
            .text("priority")
            .map_or(defaults.priority, |word| parse_priority(&word)),
        max_body: reader.length("max_body").unwrap_or(defaults.max_body),
        ignore_query: read_ignore_query(reader),
        any_host: reader.flag("any_host"),
        coherence: match reader.word("coherence").as_str() {
            "strict" => Coherence::Strict,
            _ => Coherence::Tracked,
        },
        outage: reader.text("outage").map(|word| parse_outage(&word)),
        max_fills: reader
            .count("max_fills")
            .and_then(|count| usize::try_from(count).ok()),
        abandoned: reader
            .text("abandoned")
            .map_or(defaults.abandoned, |word| parse_abandoned(&word)),
        enabled: reader.flag("enabled"),
        ignore_cookies,
        shared_by,
        credentials,
        key,
    };
    Written {
        rule,
        position: reader.position("path"),
        keys: key_text.into_iter().map(|(position, _)| position).collect(),
        tags: positions(tag_texts),
    }
}

fn read_policy(reader: &mut Reader<'_>, inherited: &Inherited) -> Policy {
    let default = &inherited.defaults.policy;
    let ttl = reader.maybe_duration("ttl").unwrap_or(inherited.ttl);
    let cache_control = match reader.word("cache_control").as_str() {
        "override" => CacheControlMode::Override,
        _ => CacheControlMode::Respect,
    };
    if cache_control == CacheControlMode::Override && ttl == Duration::ZERO {
        reader.reject(
            "ttl",
            "with cache_control = \"override\" and no lifetime, nothing would be served",
            "write a longer ttl, or enabled = false to pass the path to the app",
        );
    }
    Policy {
        cache_control,
        ttl: Some(ttl),
        statuses: read_statuses(reader),
        despite: read_despite(reader),
        shared: reader.flag("shared"),
        stale_while_revalidate: reader
            .maybe_duration("stale_while_revalidate")
            .or(default.stale_while_revalidate),
        stale_if_error: reader
            .maybe_duration("stale_if_error")
            .or(default.stale_if_error),
        error_ttl: reader
            .maybe_duration("error_ttl")
            .unwrap_or(default.error_ttl),
    }
}

fn read_statuses(reader: &mut Reader<'_>) -> Option<Vec<StatusCode>> {
    let counts = reader.counts("statuses")?;
    // A part of an answer (206) and an answer about another (304) do not stand on their own.
    if let Some(bad) = counts.iter().find(|status| [206, 304].contains(*status)) {
        reader.reject(
            "statuses",
            format!("{bad} cannot be stored"),
            "leave it out",
        );
    } else if counts.is_empty() {
        reader.reject(
            "statuses",
            "nothing could be stored",
            "name one, such as [200], or leave the line out",
        );
    }
    let status = |count: u64| StatusCode::from_u16(u16::try_from(count).ok()?).ok();
    Some(counts.into_iter().filter_map(status).collect())
}

fn read_despite(reader: &mut Reader<'_>) -> Despite {
    let words = reader.texts("store_despite");
    let lifted = |word: &str| words.iter().any(|(_, text)| text == word);
    Despite {
        private: lifted("private"),
        no_store: lifted("no-store"),
        set_cookie: lifted("set-cookie"),
        no_cache: lifted("no-cache"),
    }
}

fn read_ignore_query(reader: &mut Reader<'_>) -> IgnoreQuery {
    let mut names = Vec::new();
    for (position, name) in reader.texts("ignore_query") {
        // A star elsewhere than at the end would be taken for a letter of the name.
        if name.find('*').is_some_and(|star| star + 1 < name.len()) {
            let what = format!("\"{name}\" has a * that is not at its end");
            reader.reject_at(
                position,
                "ignore_query",
                what,
                "write whole names, \"utm_*\" or \"*\"",
            );
        }
        names.push(name);
    }
    IgnoreQuery::parse(&names)
}

fn read_purge(reader: &mut Reader<'_>, input: &Input<'_>, name: String) -> Written<PurgeRule> {
    let path = read_path(reader);
    let mut matcher = Matcher::default();
    if let Some(path) = &path
        && let Err(error) = matcher.insert(path, ())
    {
        let (what, remedy) = split_message(&error.to_string(), EXAMPLE_PATH);
        reader.reject("path", what, remedy);
    }
    let keys = reader.texts("keys");
    let tags = reader.texts("tags");
    if keys.is_empty() && tags.is_empty() && reader.is_clean() {
        reader.reject(
            "keys",
            "it purges nothing",
            "add keys = [\"…\"] or tags = [\"…\"]",
        );
    }
    let mut templates = Templates::new(input, path.as_deref());
    let rule = PurgeRule {
        name,
        path: path.unwrap_or_default(),
        methods: read_methods(reader),
        matcher,
        keys: templates.parse_all(reader, "keys", &keys, Site::Purge),
        keys_text: texts(&keys),
        tags: templates.parse_all(reader, "tags", &tags, Site::Purge),
        tags_text: texts(&tags),
    };
    Written {
        rule,
        position: reader.position("path"),
        keys: positions(keys),
        tags: positions(tags),
    }
}

fn texts(written: &[(Position, String)]) -> Vec<String> {
    written.iter().map(|(_, text)| text.clone()).collect()
}

fn positions(written: Vec<(Position, String)>) -> Vec<Position> {
    written.into_iter().map(|(position, _)| position).collect()
}

fn read_methods(reader: &mut Reader<'_>) -> Vec<Method> {
    let words = reader.texts("methods");
    if words.is_empty() && reader.is_clean() {
        reader.reject(
            "methods",
            "no write could match",
            "name one, or leave the line out",
        );
    }
    let method = |word: &str| Method::from_bytes(word.as_bytes()).ok();
    words.iter().filter_map(|(_, word)| method(word)).collect()
}

fn read_path(reader: &mut Reader<'_>) -> Option<String> {
    let path = reader.required("path", EXAMPLE_PATH)?;
    if !path.starts_with('/') {
        reader.reject(
            "path",
            format!("\"{path}\" does not begin with /"),
            format!("write \"/{path}\""),
        );
        return None;
    }
    if let Some((before, _)) = path.split_once('?') {
        let what = "a path has no query";
        reader.reject(
            "path",
            what,
            format!("write \"{before}\" and put {{query.name}} into the key"),
        );
        return None;
    }
    if let Some(remedy) = mistakes::without_star(&path) {
        let what = format!("the * in \"{path}\" is no wildcard");
        reader.reject("path", what, remedy);
        return None;
    }
    Some(path)
}

/// `shared_by`: claims that the key has.
fn shared_by(reader: &mut Reader<'_>, key: &Template) -> Vec<String> {
    let claims: Vec<String> = key
        .sources()
        .filter_map(|source| match source {
            Source::Jwt(names) => Some(format!("jwt.{}", names.join("."))),
            _ => None,
        })
        .collect();
    let mut shared_by = Vec::new();
    for (place, text) in reader.texts("shared_by") {
        if !claims.contains(&text) {
            let what = format!("the key has no {{{text}}}");
            let remedy = match claims.first() {
                Some(claim) => format!("write \"{claim}\", or put {{{text}}} into the key"),
                None => "put the claim into the key, such as {jwt.role}".to_owned(),
            };
            reader.reject_at(place, "shared_by", what, remedy);
        }
        shared_by.push(text);
    }
    shared_by
}

/// A cookie in the key that is to be ignored as well: one of the two is a mistake.
fn both_keyed_and_ignored(reader: &mut Reader<'_>, key: &Template, ignored: &[String]) {
    let names = key.sources().filter_map(|source| match source {
        Source::Cookie(name) => Some(name),
        _ => None,
    });
    for name in names.filter(|name| ignored.contains(name)) {
        let what = format!("the cookie {name} is in the key");
        reader.reject("ignore_cookies", what, "leave it out here, or there");
    }
}
