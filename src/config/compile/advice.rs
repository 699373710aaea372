//! What is legal but unwise about the rules, alone and beside each other.

use std::time::Duration;

use super::Input;
use super::rules::Written;
use crate::config::problem::{Position, Problems};
use crate::config::{
    Admin, Advice, Budget, ClientCacheControl, Defaults, Memory, PurgeRule, Redis, RedisServers,
    Route,
};
use crate::http_cache::AppHeaders;
use crate::in_flight::InFlight;

const PARTS: usize = RedisServers::PARTS_OF_CLUSTER;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Warns of what is unwise, and of what is acknowledged and is not there.
pub(super) fn advise(
    input: &Input<'_>,
    defaults: &Defaults,
    routes: &[Written<Route>],
    purges: &[Written<PurgeRule>],
    room: &BodyRoom,
    admin: &Admin,
    problems: &mut Problems,
) {
    let mut adviser = Adviser {
        problems,
        used: Vec::new(),
    };
    warn_of_all_shared(input, defaults, &mut adviser);
    for route in routes {
        refuse_token_of_nobody(route, admin, adviser.problems);
        let advice = &mut adviser.heeding(&route.rule.settings.acknowledge);
        warn_of_bodies_beyond_room(route, room, advice);
        warn_of_shared_private(route, advice);
        warn_of_one_answer_for_all(route, advice);
        warn_of_long_life(route, purges, advice);
    }
    for purge in purges {
        let advice = &mut adviser.heeding(&purge.rule.acknowledge);
        warn_of_empty_purge(purge, routes, advice);
    }
    let of_routes = routes.iter().map(|route| &route.rule.settings.acknowledge);
    let of_purges = purges.iter().map(|purge| &purge.rule.acknowledge);
    let written = [&defaults.settings.acknowledge].into_iter();
    adviser.warn_of_idle(written.chain(of_routes).chain(of_purges));
}

/// Where advice is written that is known and meant.
type Acknowledged = [(Position, Advice)];

/// Tells what is not acknowledged, and remembers what was of use.
struct Adviser<'p> {
    problems: &'p mut Problems,
    used: Vec<(Position, Advice)>,
}

fn refuse_token_of_nobody(route: &Written<Route>, admin: &Admin, problems: &mut Problems) {
    let asks = route.rule.settings.client_cache_control == ClientCacheControl::Token;
    if asks && admin.token.is_none() {
        problems.error(
            route.position.clone(),
            "route.client_cache_control",
            format!(
                "{} wants the admin token, and there is none",
                route.rule.name
            ),
            "set [admin] token, or write \"ignore\"",
        );
    }
}

/// The longest bodies that are stored.
pub(super) struct BodyRoom {
    in_flight: u64,
    /// Of a cluster, in Redis.
    part_of_cluster: Option<u64>,
}

impl BodyRoom {
    pub(super) fn new(memory: &Memory, budget: &Budget, redis: Option<&Redis>) -> BodyRoom {
        let is_cluster = redis.is_some_and(|redis| redis.servers.is_cluster());
        // A sixteenth is for leases and stubs.
        let part = budget.max / PARTS as u64;
        BodyRoom {
            in_flight: memory.in_flight / InFlight::GATHERED,
            part_of_cluster: is_cluster.then(|| part - part / 16),
        }
    }
}

/// The adviser of one rule.
struct Heeding<'h, 'p> {
    adviser: &'h mut Adviser<'p>,
    acknowledged: &'h Acknowledged,
}

impl<'p> Adviser<'p> {
    fn heeding<'h>(&'h mut self, acknowledged: &'h Acknowledged) -> Heeding<'h, 'p> {
        Heeding {
            adviser: self,
            acknowledged,
        }
    }

    /// Warns of each word that acknowledges nothing: it is left over, or stands in the wrong place.
    fn warn_of_idle<'w>(self, written: impl Iterator<Item = &'w Vec<(Position, Advice)>>) {
        for word in written.flatten().filter(|word| !self.used.contains(word)) {
            let (position, advice) = word;
            self.problems.warning(
                position.clone(),
                "acknowledge",
                format!("\"{}\" acknowledges nothing", advice.as_str()),
                "leave it out",
            );
        }
    }
}

impl Heeding<'_, '_> {
    fn tell(
        &mut self,
        advice: Advice,
        position: Position,
        key: &str,
        what: impl Into<String>,
        remedy: &str,
    ) {
        let known = self
            .acknowledged
            .iter()
            .filter(|(_, known)| *known == advice);
        let mut known = known.cloned().peekable();
        let adviser = &mut *self.adviser;
        if known.peek().is_none() {
            adviser.problems.advice(advice, position, key, what, remedy);
            return;
        }
        adviser.problems.count_acknowledged(1);
        adviser.used.extend(known);
    }
}

/// What is said of everything is easily said of what is one person's as well.
fn warn_of_all_shared(input: &Input<'_>, defaults: &Defaults, adviser: &mut Adviser<'_>) {
    if !defaults.settings.policy.shared {
        return;
    }
    let position = input
        .reader("defaults", adviser.problems)
        .position("shared");
    adviser.heeding(&defaults.settings.acknowledge).tell(
        Advice::AllShared,
        position,
        "defaults.shared",
        "every answer of every route goes to everyone",
        "write shared = true in the routes, or the [[group]], of which that is true",
    );
}

fn warn_of_bodies_beyond_room(
    route: &Written<Route>,
    room: &BodyRoom,
    advice: &mut Heeding<'_, '_>,
) {
    let most = route.rule.settings.max_body as u64;
    let in_flight = room.in_flight;
    if most > in_flight {
        advice.tell(
            Advice::LargeBody,
            route.position.clone(),
            "route.max_body",
            format!(
                "what is longer than a quarter of memory.in_flight ({in_flight} bytes) is never stored, and max_body \
                 of {} is",
                route.rule.name
            ),
            "write a smaller max_body, or a larger memory.in_flight",
        );
    } else if let Some(part) = room.part_of_cluster.filter(|part| most > *part) {
        advice.tell(
            Advice::LargeBody,
            route.position.clone(),
            "route.max_body",
            format!(
                "over a cluster budget.max is in {PARTS} parts, so that what takes more than {part} bytes when it is stored is \
                 kept in memory alone, and max_body of {} is more",
                route.rule.name
            ),
            "write a smaller max_body, or a larger budget.max",
        );
    }
}

fn warn_of_shared_private(route: &Written<Route>, advice: &mut Heeding<'_, '_>) {
    let policy = &route.rule.settings.policy;
    // Whoever says that nothing of it is meant has said so of this too.
    if policy.app_headers == AppHeaders::Ignore {
        return;
    }
    let lifted = match (policy.despite.private, policy.despite.set_cookie) {
        (true, _) => "private",
        (false, true) => "set-cookie",
        (false, false) => return,
    };
    if policy.shared {
        advice.tell(
            Advice::PrivateShared,
            route.position.clone(),
            "route.shared",
            format!("answers marked {lifted} go to everyone"),
            "put the requester into the key instead of shared = true",
        );
    }
}

fn warn_of_one_answer_for_all(route: &Written<Route>, advice: &mut Heeding<'_, '_>) {
    let Some(position) = route.keys.first() else {
        return;
    };
    if route.rule.path.contains('{') && !route.rule.key_text.contains('{') {
        advice.tell(
            Advice::OneAnswer,
            position.clone(),
            "route.key",
            format!("all of {} share one answer", route.rule.path),
            "put its parameters into the key, such as {path.id}",
        );
    }
}

fn warn_of_long_life(
    route: &Written<Route>,
    purges: &[Written<PurgeRule>],
    advice: &mut Heeding<'_, '_>,
) {
    let ttl = route.rule.settings.policy.ttl.unwrap_or_default();
    if ttl > DAY {
        advice.tell(
            Advice::LongLife,
            route.position.clone(),
            "route.ttl",
            format!("{} lives longer than a day", route.rule.name),
            "write at most \"1d\": what is asked for stays fresh, the rest leaves",
        );
    }
    if ttl > HOUR && !purges.iter().any(|purge| reaches(purge, route)) {
        advice.tell(
            Advice::NeverPurged,
            route.position.clone(),
            "route.ttl",
            format!(
                "no write purges {}, which lives longer than an hour",
                route.rule.name
            ),
            "add a [[purge]] rule for it, or shorten ttl",
        );
    }
}

fn warn_of_empty_purge(
    purge: &Written<PurgeRule>,
    routes: &[Written<Route>],
    advice: &mut Heeding<'_, '_>,
) {
    let warn_of_idle =
        |position: &Position, name: &str, text: &str, advice: &mut Heeding<'_, '_>| {
            advice.tell(
                Advice::IdlePurge,
                position.clone(),
                name,
                format!("\"{text}\" purges nothing that any route stores"),
                "compare it with the key and tags of the routes",
            );
        };
    for (position, text) in purge.keys.iter().zip(&purge.rule.keys_text) {
        if !routes.iter().any(|route| reaches_key(text, route)) {
            warn_of_idle(position, "purge.keys", text, advice);
        }
    }
    for (position, text) in purge.tags.iter().zip(&purge.rule.tags_text) {
        if !routes.iter().any(|route| reaches_tag(text, route)) {
            warn_of_idle(position, "purge.tags", text, advice);
        }
    }
}

fn reaches(purge: &Written<PurgeRule>, route: &Written<Route>) -> bool {
    let (keys, tags) = (&purge.rule.keys_text, &purge.rule.tags_text);
    keys.iter().any(|text| reaches_key(text, route))
        || tags.iter().any(|text| reaches_tag(text, route))
}

fn reaches_key(text: &str, route: &Written<Route>) -> bool {
    may_meet(text, &route.rule.key_text)
}

fn reaches_tag(text: &str, route: &Written<Route>) -> bool {
    route.rule.tags_text.iter().any(|tag| may_meet(text, tag))
}

/// Whether a purge template can match what a route's template renders, judged by what stands before
/// the first variable or wildcard of each.
fn may_meet(purge: &str, stored: &str) -> bool {
    let (purge, purge_open) = literal_start(purge);
    let (start, stored_open) = literal_start(stored);
    // `{host}` and `{uri}` first: what is stored begins with a host name, not with a word of ours.
    if start.is_empty() && (stored.starts_with("{host}") || stored.starts_with("{uri}")) {
        return purge.is_empty();
    }
    match (purge_open, stored_open) {
        (true, true) => purge.starts_with(start) || start.starts_with(purge),
        (true, false) => start.starts_with(purge),
        (false, true) => purge.starts_with(start),
        (false, false) => purge == start,
    }
}

/// The text before the first variable or wildcard, and whether there is one.
fn literal_start(template: &str) -> (&str, bool) {
    match template.find(['{', '*']) {
        Some(end) => (&template[..end], true),
        None => (template, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_may_meet() {
        let cases = [
            ("same variable", "user:{path.id}", "user:{path.id}", true),
            ("wildcard", "users:*", "users:role:{query.role}", true),
            ("everything", "*", "users:all", true),
            ("literal", "users:all", "users:all", true),
            ("literal within", "user:42", "user:{path.id}", true),
            ("other literal", "users", "users:all", false),
            ("other prefix", "inquiry:*", "user:{path.id}", false),
            ("shorter variable", "u{path.id}", "user:{path.id}", true),
            ("default key", "users:*", "{host}{uri}", false),
            ("default key, by host", "{host}/api/*", "{host}{uri}", true),
        ];
        for (name, purge, stored, expected) in cases {
            assert_eq!(may_meet(purge, stored), expected, "{name}");
        }
    }
}
