//! The `[[route]]` and `[[purge]]` tables: names, paths, templates and what follows from them.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method};

use super::Input;
use super::auth::{check_required, read_purged_identity};
use super::groups::Groups;
use super::names::read_names;
use super::reads::Reads;
use super::settings::{read_acknowledged, read_settings, read_status_list};
use super::templates::{Templates, split_message};
use super::words::read_path;
use crate::config::problem::{Position, Problems};
use crate::config::read::Reader;
use crate::config::{Defaults, PurgeRule, Refetch, Route, Settings, Upstream, show_duration};
use crate::http_cache::directives::{Reach, ResponseDirectives};
use crate::http_cache::vary::CookieNames;
use crate::rollout::Mode;
use crate::routes::matcher::param_names;
use crate::routes::template::{Site, Source};
use crate::routes::{
    Audience, CheckedCredentials, Condition, ConditionError, Conditions, CredentialSettings,
    KeyedCredentials, Matcher, PathSpelling, PurgeKind, RouteMatcher, Template, pattern_of_writes,
};

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

/// The routes in file order, and `matcher` with their paths.
pub(super) fn read_routes(
    input: &Input<'_>,
    defaults: &Defaults,
    checked: &CheckedCredentials,
    mut matcher: RouteMatcher,
    problems: &mut Problems,
) -> (Vec<Written<Route>>, RouteMatcher) {
    let groups = Groups::read(input, problems);
    let tables = input.document.list("route");
    let names = read_names(input, "route", tables, problems);
    let mut routes: Vec<Written<Route>> = Vec::new();
    for (table, name) in tables.iter().zip(names) {
        let mut reader = input.rule_reader("route", table, problems);
        let path = read_path(&mut reader, EXAMPLE_PATH);
        let mut reader = reader.inheriting(groups.above(path.as_deref().unwrap_or_default()));
        let Some(path) = path else {
            // Read anyway, so that its other errors are found too.
            let reads = Reads::of(&mut reader, None);
            read_route(&mut reader, input, defaults, checked, name, None, reads);
            continue;
        };
        let reads = Reads::of(&mut reader, Some(&path));
        if let Err(error) = matcher.insert(&path, &reads.methods, routes.len()) {
            let (what, remedy) = split_message(&error.to_string(), EXAMPLE_PATH);
            reader.reject("path", what, remedy);
        }
        let route = read_route(
            &mut reader,
            input,
            defaults,
            checked,
            name,
            Some(path),
            reads,
        );
        matcher.set_audience(routes.len(), audience(&route.rule));
        routes.push(route);
    }
    groups.warn_of_empty(
        routes.iter().map(|route| route.rule.path.as_str()),
        problems,
    );
    (routes, matcher)
}

fn audience(route: &Route) -> Audience {
    let policy = &route.settings.policy;
    let is_off = route.settings.rollout.mode == Mode::Off;
    match (policy.shared, route.credentials.name_a_person()) {
        _ if is_off => Audience::Person,
        (true, _) => Audience::Everyone,
        (false, true) => Audience::Person,
        (false, false) => Audience::Nobody,
    }
}

/// The purge rules in file order.
pub(super) fn read_purges(
    input: &Input<'_>,
    upstream: Option<&Upstream>,
    problems: &mut Problems,
) -> Vec<Written<PurgeRule>> {
    let spelling = PathSpelling {
        // Whatever the app says: purging too much is safe.
        ignore_case: true,
        ..upstream.map_or_else(PathSpelling::default, |upstream| upstream.paths.clone())
    };
    let tables = input.document.list("purge");
    let names = read_names(input, "purge", tables, problems);
    let rules = tables.iter().zip(names).map(|(table, name)| {
        let mut reader = input.rule_reader("purge", table, problems);
        read_purge(&mut reader, input, &spelling, name)
    });
    rules.collect()
}

fn read_route(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    defaults: &Defaults,
    checked: &CheckedCredentials,
    name: String,
    path: Option<String>,
    reads: Reads,
) -> Written<Route> {
    let mut templates = Templates::new(input, path.as_deref());
    let key_text = reader
        .text("key")
        .map(|text| (reader.position("key"), text));
    let key = match &key_text {
        Some(written) => templates.parse(reader, "key", written, reads.key_site()),
        None => None,
    };
    let is_readable = key.is_some() || key_text.is_none();
    let key = key.unwrap_or_else(Template::default_key);
    if is_readable {
        reads.check(
            reader,
            &key,
            key_text.as_ref().map(|(position, _)| position),
        );
    }
    let tag_texts = reader.texts("tags");
    let key = key.hashing(&defaults.credential_headers);
    let settings = read_settings(reader);
    let shared_by = shared_by(reader, &key);
    let irrelevant = CookieNames::default().with(settings.ignore_cookies.iter().cloned());
    let credentials = KeyedCredentials::new(
        &key,
        CredentialSettings {
            shared_by: &shared_by,
            irrelevant: &irrelevant,
            trusted: &defaults.trusted_identity,
            further: &defaults.credential_headers,
            checked,
        },
    );
    both_keyed_and_ignored(reader, &key);
    check_required(reader, input, settings.require);
    refuse_sharing_downstream(reader, &name, &credentials, &settings);
    let rule = Route {
        name,
        path: path.unwrap_or_default(),
        tags: templates.parse_all(reader, "tags", &tag_texts, reads.tag_site()),
        methods: reads.methods,
        when: reads.when,
        unless: reads.unless,
        key_text: key_text
            .as_ref()
            .map_or(DEFAULT_KEY.to_owned(), |(_, text)| text.clone()),
        tags_text: texts(&tag_texts),
        settings,
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

/// The most repetitions of a purge, and the latest.
const MOST_REPETITIONS: usize = 8;
const LATEST_REPETITION: Duration = Duration::from_secs(3600);

fn read_again_after(reader: &mut Reader<'_>) -> Vec<Duration> {
    const KEY: &str = "again_after";
    let written = reader.durations(KEY);
    if written.len() > MOST_REPETITIONS {
        let what = format!("it names more than {MOST_REPETITIONS} times");
        reader.reject(KEY, what, "name fewer; the last is the one that counts");
    }
    for (position, after) in &written {
        if *after > LATEST_REPETITION {
            let what = format!("{} is too late", show_duration(*after));
            let remedy =
                "write 1h at most; a ttl is the way to live with an app that is later than that";
            reader.reject_at(position.clone(), KEY, what, remedy);
        }
    }
    let mut after: Vec<Duration> = written.into_iter().map(|(_, after)| after).collect();
    after.sort_unstable();
    after.dedup();
    after
}

/// `then`, and how.
fn read_refetch(reader: &mut Reader<'_>, purges_nothing: bool) -> Option<Refetch> {
    let is_wanted = reader.word("then") == "refetch";
    let (delay, max) = (reader.duration("delay"), reader.count("refetch_max"));
    if is_wanted && purges_nothing {
        let remedy = "name what it purges in keys or tags, or leave it out";
        reader.reject("then", "there is nothing to ask for again", remedy);
    }
    if delay > LATEST_REPETITION {
        let what = format!("{} is too late", show_duration(delay));
        reader.reject("delay", what, "write 1h at most");
    }
    for key in ["delay", "refetch_max"] {
        if reader.gives(key) && !is_wanted {
            let remedy = "write then = \"refetch\" beside it, or leave it out";
            reader.warn(key, "nothing is asked for again", remedy);
        }
    }
    let max = max.and_then(|max| usize::try_from(max).ok());
    is_wanted.then(|| Refetch {
        delay,
        max: max.unwrap_or_default(),
    })
}

fn read_purge(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    spelling: &PathSpelling,
    name: String,
) -> Written<PurgeRule> {
    let path = read_path(reader, EXAMPLE_PATH);
    let mut matcher = Matcher::of(spelling.clone());
    if let Some(path) = &path
        && let Err(error) = matcher.insert(path, ())
    {
        let (what, remedy) = split_message(&error.to_string(), EXAMPLE_PATH);
        reader.reject("path", what, remedy);
    }
    if let Some(path) = &path {
        // As a path that is read leniently is spelled; one that is spelled so already is in it.
        let _ = matcher.insert(&pattern_of_writes(path), ());
    }
    let keys = reader.texts("keys");
    let tags = reader.texts("tags");
    let identity = read_purged_identity(reader, input);
    // `keys = []` says that the write changes nothing.
    let purges_nothing = keys.is_empty() && tags.is_empty() && identity.is_none();
    if purges_nothing && !reader.gives("keys") && reader.is_clean() {
        reader.reject(
            "keys",
            "it purges nothing",
            "add keys = [\"…\"], tags = [\"…\"] or identity = true; keys = [] if the write changes nothing that is cached",
        );
    }
    let params = path.as_deref().map(param_names).unwrap_or_default();
    let mut templates = Templates::new(input, path.as_deref());
    let rule = PurgeRule {
        when: read_conditions(reader, "when", &params),
        unless: read_conditions(reader, "unless", &params),
        statuses: read_status_list(reader, "no answer could match"),
        name,
        path: path.unwrap_or_default(),
        methods: read_methods(reader, "no write could match"),
        again_after: read_again_after(reader),
        refetch: read_refetch(reader, purges_nothing),
        acknowledge: read_acknowledged(reader),
        matcher,
        kind: match reader.flag("soft") {
            true => PurgeKind::Soft,
            false => PurgeKind::Hard,
        },
        keys: templates.parse_all(reader, "keys", &keys, Site::Purge),
        keys_text: texts(&keys),
        tags: templates.parse_all(reader, "tags", &tags, Site::Purge),
        tags_text: texts(&tags),
        identity,
    };
    Written {
        rule,
        position: reader.position("path"),
        keys: positions(keys),
        tags: positions(tags),
    }
}

/// `when` and `unless`.
pub(super) fn read_conditions(reader: &mut Reader<'_>, key: &str, params: &[String]) -> Conditions {
    let mut conditions = Vec::new();
    for (position, name, expected) in reader.conditions(key) {
        match Condition::parse(&name, &expected, params) {
            Ok(condition) => conditions.push(condition),
            Err(error) => {
                let remedy = match error {
                    ConditionError::UnknownName(_) => {
                        "write such as \"body.query\", \"response.ok\", \"query.id\", \"header.x-kind\", \
                         \"path.id\" or \"method\""
                    }
                    ConditionError::UnknownParam(_) => "name one of the rule's path",
                    ConditionError::BadExpression { .. } => {
                        "write such as \"\\\\bmutation\\\\b\", \"absent\" or \"present\""
                    }
                };
                reader.reject_at(position, key, error.to_string(), remedy);
            }
        }
    }
    conditions.into()
}

fn texts(written: &[(Position, String)]) -> Vec<String> {
    written.iter().map(|(_, text)| text.clone()).collect()
}

fn positions(written: Vec<(Position, String)>) -> Vec<Position> {
    written.into_iter().map(|(position, _)| position).collect()
}

/// `methods`; a list of none is an error, since then `nothing_else`.
pub(super) fn read_methods(reader: &mut Reader<'_>, nothing_else: &str) -> Vec<Method> {
    let words = reader.texts("methods");
    if words.is_empty() && reader.is_clean() {
        reader.reject("methods", nothing_else, "name one, or leave the line out");
    }
    let method = |word: &str| Method::from_bytes(word.as_bytes()).ok();
    words.iter().filter_map(|(_, word)| method(word)).collect()
}

/// `shared_by`: claims that the key has.
fn shared_by(reader: &mut Reader<'_>, key: &Template) -> Vec<String> {
    let claims: Vec<String> = key
        .sources()
        .filter_map(|source| match source {
            Source::Jwt(names) => Some(format!("jwt.{}", names.join("."))),
            Source::Auth(names) => Some(format!("auth.{}", names.join("."))),
            _ => None,
        })
        .collect();
    let mut shared_by = Vec::new();
    for (place, text) in reader.texts("shared_by") {
        if !claims.contains(&text) {
            let what = format!("the key has no {{{text}}}");
            let remedy = match claims.first() {
                Some(claim) => format!("write \"{claim}\", or put {{{text}}} into the key"),
                None => "put the claim into the key, such as {jwt.role} or {auth.role}".to_owned(),
            };
            reader.reject_at(place, "shared_by", what, remedy);
        }
        shared_by.push(text);
    }
    shared_by
}

/// A cookie in the key that is to be ignored as well: one of the two is a mistake. What the rule inherits, the
/// key overrules.
fn both_keyed_and_ignored(reader: &mut Reader<'_>, key: &Template) {
    let ignored = reader.own_texts("ignore_cookies");
    let names = key.sources().filter_map(|source| match source {
        Source::Cookie(name) => Some(name),
        _ => None,
    });
    for name in names {
        if let Some((position, _)) = ignored.iter().find(|(_, text)| text == name) {
            let what = format!("the cookie {name} is in the key");
            let remedy = "leave it out here, or there";
            reader.reject_at(position.clone(), "ignore_cookies", what, remedy);
        }
    }
}

/// What is one person's must not be kept for all by a cache that does not know the key (promise I8).
fn refuse_sharing_downstream(
    reader: &mut Reader<'_>,
    name: &str,
    credentials: &KeyedCredentials,
    settings: &Settings,
) {
    let is_for_some = credentials.name_a_person() || settings.require.is_some();
    let Some(value) = settings.downstream.as_ref().filter(|_| is_for_some) else {
        return;
    };
    let told = HeaderMap::from_iter([(CACHE_CONTROL, value.clone())]);
    let told = ResponseDirectives::of(&told);
    if !told.no_store && told.private != Reach::Whole {
        let why = match credentials.name_a_person() {
            true => format!("the key of {name} says who asks"),
            false => format!("{name} requires to know who asks"),
        };
        reader.reject(
            "downstream",
            format!("{why}, and caches between would keep its answers for everyone"),
            "write such as \"private, max-age=60\" for that route",
        );
    }
}
