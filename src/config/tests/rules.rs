//! Routes and purge rules, and the example files.

use super::*;
use crate::http_cache::{CacheControlMode, Despite};
use crate::rollout::Rollout;
use crate::routes::{IgnoreQuery, Template};

/// The sample that users are shown first.
const SAMPLE: &str = r#"
[listen]
proxy = "0.0.0.0:8080"
admin = "127.0.0.1:9180"

[upstream]
url = "http://127.0.0.1:3000"
timeout = "30s"

[redis]                      # leave the table out: memory only
url = "${REDIS_URL}"         # redis://, rediss://, with user and password
namespace = "pannier"
timeout = "50ms"

[budget]                     # what Pannier may use of that Redis
max = "20MB"
evict_at = "18MB"

[memory]                     # the tier in this process
max = "64MiB"

[defaults]
ttl = "5m"
priority = "medium"

[[route]]
name = "board"
path = "/api/kanban/board"
key = "kanban:board:{query.projectId}:{query.teamId}"
ttl = "5m"
priority = "high"

[[route]]
name = "user"
path = "/api/users/{id}"
key = "user:{path.id}"
ttl = "1h"
tags = ["user:{path.id}"]
shared = true

[[route]]
name = "me"
path = "/api/users/me"
key = "user:me:{cookie.session}"
tags = ["user:{response.id}"]   # from the JSON body of the answer

[[purge]]
name = "task-written"
methods = ["POST", "PUT", "PATCH", "DELETE"]
path = "/api/kanban/tasks/{id}"
keys = ["kanban:board:{body.projectId}:*", "kanban:columns:{body.projectId}"]

[[purge]]
name = "user-written"
path = "/api/users/{id}"
keys = ["user:{path.id}", "users:*"]
tags = ["user:{path.id}"]
"#;

const REDIS: &[(&str, &str)] = &[("REDIS_URL", "redis://127.0.0.1:6379")];

fn with(rules: &str) -> String {
    format!("{LEAST}{rules}")
}

fn route(keys: &str) -> Route {
    let text = with(&format!("[[route]]\npath = \"/a/{{id}}\"\n{keys}"));
    config(&text, &[]).routes.remove(0)
}

#[test]
fn the_sample_loads() {
    let config = config(SAMPLE, REDIS);
    let named = config.redis.expect("given").servers.named().to_vec();
    assert_eq!(named[0].to_string(), "127.0.0.1:6379");
    let names: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["board", "user", "me"]);
    assert_eq!(config.routes[0].settings.priority, Priority::High);
    assert_eq!(
        config.routes[1].settings.policy.ttl,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(
        config.routes[2].settings.policy.ttl,
        Some(Duration::from_secs(300))
    );
    let found = config
        .matcher
        .of_get()
        .at("/api/users/me")
        .expect("a route");
    assert_eq!(config.routes[*found.value].name, "me");
    assert_eq!(config.purges[1].methods, ["POST", "PUT", "PATCH", "DELETE"]);
    assert!(config.purges[0].matcher.at("/api/kanban/tasks/7").is_some());
}

#[test]
fn a_route_takes_what_it_does_not_say_from_the_defaults() {
    let defaults = "[defaults]\nttl = \"7s\"\npriority = \"low\"\nmax_body = \"1KB\"\n\
                    stale_while_revalidate = \"8s\"\nstale_if_error = \"9s\"\n";
    let plain = config(&with(&format!("{defaults}[[route]]\npath = \"/a\"\n")), &[]);
    let route = &plain.routes[0];
    assert_eq!(route.key, Template::default_key());
    assert_eq!(route.key_text, "{host}{uri}");
    assert_eq!(route.settings.policy.ttl, Some(Duration::from_secs(7)));
    assert_eq!(
        route.settings.policy.stale_while_revalidate,
        Some(Duration::from_secs(8))
    );
    assert_eq!(
        route.settings.policy.stale_if_error,
        Some(Duration::from_secs(9))
    );
    assert_eq!(
        route.settings.policy.cache_control,
        CacheControlMode::Respect
    );
    assert_eq!(route.settings.policy.statuses, None);
    assert_eq!(route.settings.policy.despite, Despite::default());
    assert_eq!(
        (route.settings.priority, route.settings.max_body),
        (Priority::Low, 1000)
    );
    assert_eq!(route.settings.coherence, Coherence::Tracked);
    assert!(
        route.settings.rollout == Rollout::FULL
            && !route.settings.any_host
            && !route.settings.policy.shared
    );
    // What no route matches keeps to its own header fields.
    assert_eq!(plain.defaults.settings.policy.ttl, None);
    assert_eq!(
        plain.defaults.settings.policy.stale_if_error,
        Some(Duration::from_secs(9))
    );
}

#[test]
fn a_route_says_everything_itself() {
    let route = route(
        "key = \"k:{path.id}\"\nttl = \"1s\"\npriority = \"high\"\ntags = [\"t\"]\n\
         statuses = [200, 404]\nmax_body = \"2KB\"\ncache_control = \"override\"\n\
         store_despite = [\"private\", \"no-store\", \"set-cookie\", \"no-cache\"]\n\
         shared = true\nignore_query = [\"utm_*\"]\nany_host = true\n\
         stale_while_revalidate = \"2s\"\nstale_if_error = \"3s\"\n\
         coherence = \"strict\"\nenabled = false\n",
    );
    let all = Despite {
        private: true,
        no_store: true,
        set_cookie: true,
        no_cache: true,
        ..Despite::default()
    };
    assert_eq!(route.settings.policy.despite, all);
    assert_eq!(
        route.settings.policy.cache_control,
        CacheControlMode::Override
    );
    assert_eq!(route.settings.policy.ttl, Some(Duration::from_secs(1)));
    assert_eq!(
        route.settings.policy.stale_while_revalidate,
        Some(Duration::from_secs(2))
    );
    assert_eq!(
        route.settings.policy.stale_if_error,
        Some(Duration::from_secs(3))
    );
    let statuses = route.settings.policy.statuses.expect("given");
    assert_eq!(
        statuses,
        [http::StatusCode::OK, http::StatusCode::NOT_FOUND]
    );
    assert_eq!(
        route.settings.ignore_query,
        IgnoreQuery::parse(&["utm_*".to_owned()])
    );
    assert_eq!(route.settings.coherence, Coherence::Strict);
    assert_eq!(
        (route.tags.len(), route.tags_text),
        (1, vec!["t".to_owned()])
    );
    assert_eq!(
        (route.settings.priority, route.settings.max_body),
        (Priority::High, 2000)
    );
    assert!(
        route.settings.policy.shared
            && route.settings.any_host
            && route.settings.rollout.mode == Mode::Off
    );
}

#[test]
fn among_whom_answers_are_shared() {
    let tables = "[jwt]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
                  [defaults]\ntrusted_identity = [\"X-User-Id\"]\n\
                  credential_headers = [\"x-company\"]\n";
    // name, key, more of the route, among whom
    let cases = [
        ("nothing", "a:{path.id}", "", "without credentials"),
        (
            "authorization",
            "a:{header.authorization}",
            "",
            "with the same {header.authorization}",
        ),
        (
            "cookie",
            "a:{cookie.session}",
            "",
            "with the same {cookie.session}",
        ),
        ("person", "a:{jwt.sub}", "", "with the same {jwt.sub}"),
        ("role", "a:{jwt.role}", "", "without credentials"),
        (
            "role by word",
            "a:{jwt.role}",
            "shared_by = [\"jwt.role\"]\n",
            "with the same {jwt.role}",
        ),
        (
            "role by the check",
            "a:{auth.role}",
            "shared_by = [\"auth.role\"]\n[auth]\nurl = \"/session\"\n",
            "with the same {auth.role} and without cookies (those that say who asks belong into [auth] cookies)",
        ),
        (
            "role by the check of a cookie",
            "a:{auth.role}",
            "shared_by = [\"auth.role\"]\n[auth]\nurl = \"/session\"\ncookies = [\"sid\"]\n",
            "with the same {auth.role}",
        ),
        (
            "person by the check",
            "a:{auth.role}:{auth.user.id}",
            "shared_by = [\"auth.role\"]\n[auth]\nurl = \"/session\"\n",
            "with the same {auth.role}, {auth.user.id}",
        ),
        (
            "trusted field",
            "a:{header.x-user-id}",
            "",
            "with the same {header.x-user-id}",
        ),
        (
            "named field",
            "a:{header.x-company}",
            "",
            "with the same {header.x-company}",
        ),
        (
            "other field",
            "a:{header.x-other}",
            "",
            "without credentials",
        ),
    ];
    for (name, key, more, audience) in cases {
        let text = format!("[[route]]\npath = \"/a/{{id}}\"\nkey = \"{key}\"\n{more}");
        let config = config(&with(&format!("{tables}{text}")), &[]);
        let found = config.routes[0].credentials.audience();
        assert_eq!(found, format!("requests {audience}"), "{name}");
    }
}

#[test]
fn names_are_made_of_paths_and_told_apart() {
    let text = with(
        "[[route]]\npath = \"/a/{id}\"\n[[route]]\npath = \"/a-id\"\n\
         [[route]]\npath = \"/b\"\nname = \"a-id\"\n[[purge]]\npath = \"/a/{id}\"\nkeys = [\"*\"]\n",
    );
    let config = config(&text, &[]);
    let names: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["a-id-2", "a-id-3", "a-id"]);
    assert_eq!(config.purges[0].name, "a-id");
}

#[test]
fn wrong_rules_say_what_to_write() {
    let cases = [
        (
            "no path",
            "[[route]]\nkey = \"a\"\n",
            "route.path: it is missing",
        ),
        ("relative path", "[[route]]\npath = \"a\"\n", "write \"/a\""),
        (
            "query in path",
            "[[route]]\npath = \"/a?b={c}\"\n",
            "put {query.name} into the key",
        ),
        (
            "same path",
            "[[route]]\npath = \"/a/{b}\"\n[[route]]\npath = \"/a/{c}\"\n",
            "toml:6: route.path",
        ),
        (
            "same name",
            "[[route]]\nname = \"n\"\npath = \"/a\"\n[[route]]\nname = \"n\"\npath = \"/b\"\n",
            "toml:7: route.name: another rule is named \"n\"",
        ),
        (
            "bad name",
            "[[route]]\nname = \"a b\"\npath = \"/a\"\n",
            "cannot be a name",
        ),
        (
            "bad key",
            "[[route]]\npath = \"/a\"\nkey = \"a:{nope.x}\"\n",
            "toml:5: route.key",
        ),
        (
            "bad tag",
            "[[route]]\npath = \"/a\"\ntags = [\n  \"a\",\n  \"{\",\n]\n",
            "toml:7: route.tags",
        ),
        (
            "other path's variable",
            "[[route]]\npath = \"/a\"\nkey = \"{path.id}\"\n",
            "toml:5: route.key",
        ),
        (
            "response in a key",
            "[[route]]\npath = \"/a\"\nkey = \"{response.id}\"\n",
            "toml:5: route.key",
        ),
        (
            "claim without [jwt]",
            "[[route]]\npath = \"/a\"\nkey = \"{jwt.sub}\"\n",
            "add a [jwt] table",
        ),
        (
            "claim in a purge",
            "[[purge]]\npath = \"/a\"\nkeys = [\"{jwt.sub}\"]\n",
            "add a [jwt] table",
        ),
        (
            "dollar before a variable",
            "[[route]]\npath = \"/a/{id}\"\nkey = \"$${path.id}${path.id}\"\n",
            "or $${path.id}",
        ),
        (
            "no lifetime",
            "[[route]]\npath = \"/a\"\nttl = \"0s\"\ncache_control = \"override\"\n",
            "route.ttl",
        ),
        (
            "status",
            "[[route]]\npath = \"/a\"\nstatuses = [600]\n",
            "from 200 to 599",
        ),
        (
            "part",
            "[[route]]\npath = \"/a\"\nstatuses = [206]\n",
            "206 cannot be stored",
        ),
        (
            "no status",
            "[[route]]\npath = \"/a\"\nstatuses = []\n",
            "nothing could be stored",
        ),
        (
            "a body not in the key",
            "[[route]]\npath = \"/a\"\nmethods = [\"POST\"]\nkey = \"a:{uri}\"\nttl = \"1s\"\n",
            "toml:6: route.key: it lacks {body}, and requests that differ in their bodies would share an answer; \
             write such as key = \"search:{body}\"",
        ),
        (
            "a body and the usual key",
            "[[route]]\npath = \"/a\"\nmethods = [\"GET\", \"QUERY\"]\nttl = \"1s\"\n",
            "toml:5: route.key: it lacks {body}",
        ),
        (
            "an answer to a body for as long as nobody says",
            "[[route]]\npath = \"/a\"\nmethods = [\"POST\"]\nkey = \"a:{body}\"\n",
            "route.ttl: it is missing, and an answer to POST or QUERY is kept for no longer than the route says; \
             write such as ttl = \"30s\"",
        ),
        (
            "the body of a GET",
            "[[route]]\npath = \"/a\"\nkey = \"a:{body}\"\n",
            "for routes with methods = [\"POST\"] or [\"QUERY\"]",
        ),
        (
            "a condition on the body of a GET",
            "[[route]]\npath = \"/a\"\nwhen = { \"body.a\" = \"b\" }\n",
            "toml:5: route.when: a GET has no body",
        ),
        (
            "a condition on the answer",
            "[[route]]\npath = \"/a\"\nunless = { \"response.a\" = \"b\" }\n",
            "toml:5: route.unless: a request is judged before there is an answer",
        ),
        (
            "two routes of one path and method",
            "[[route]]\npath = \"/a\"\nmethods = [\"POST\", \"GET\"]\nkey = \"a:{body}\"\nttl = \"1s\"\n\
             [[route]]\npath = \"/a\"\n",
            "toml:9: route.path",
        ),
        (
            "no method",
            "[[route]]\npath = \"/a\"\nmethods = []\n",
            "toml:5: route.methods: no request could match",
        ),
        (
            "the body of a read in a purge",
            "[[purge]]\npath = \"/a\"\nkeys = [\"a:{body}\"]\n",
            "no write has the body of a read",
        ),
        (
            "condition of nothing",
            "[[purge]]\npath = \"/a\"\nkeys = [\"k\"]\nwhen = { \"bod.y\" = \"a\" }\n",
            "toml:6: purge.when: \"bod.y\" names nothing of a request or its answer; write such as \"body.query\"",
        ),
        (
            "condition on a parameter",
            "[[purge]]\npath = \"/a/{id}\"\nkeys = [\"k\"]\nunless = { \"path.no\" = \"a\" }\n",
            "toml:6: purge.unless: the path has no parameter no",
        ),
        (
            "bad expression",
            "[[purge]]\npath = \"/a\"\nkeys = [\"k\"]\nwhen = { \"body.a\" = \"(a\" }\n",
            "is no regular expression: unclosed group; write such as \"\\\\bmutation\\\\b\"",
        ),
        (
            "no answer",
            "[[purge]]\npath = \"/a\"\nkeys = [\"k\"]\nstatuses = []\n",
            "toml:6: purge.statuses: no answer could match",
        ),
        (
            "star",
            "[[route]]\npath = \"/a\"\nignore_query = [\"a*b\"]\n",
            "not at its end",
        ),
        (
            "despite",
            "[[route]]\npath = \"/a\"\nstore_despite = [\"nostore\"]\n",
            "did you mean \"no-store\"?",
        ),
        (
            "empty purge",
            "[[purge]]\npath = \"/a\"\n",
            "it purges nothing",
        ),
        (
            "method",
            "[[purge]]\npath = \"/a\"\nkeys = [\"a\"]\nmethods = [\"post\"]\n",
            "did you mean \"POST\"?",
        ),
        (
            "safe method",
            "[[purge]]\npath = \"/a\"\nkeys = [\"a\"]\nmethods = [\"OPTIONS\"]\n",
            "purge.methods: \"OPTIONS\" is not known here; write one of \"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"GET\", \"HEAD\"",
        ),
        (
            "no method",
            "[[purge]]\npath = \"/a\"\nkeys = [\"a\"]\nmethods = []\n",
            "no write could match",
        ),
        (
            "purge path",
            "[[purge]]\npath = \"/a/{*b}/c\"\nkeys = [\"a\"]\n",
            "toml:4: purge.path",
        ),
    ];
    for (name, text, expected) in cases {
        let shown = errors(&with(text));
        assert!(shown.contains(expected), "{name}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{name}: {shown}");
    }
}

#[test]
fn unwise_rules() {
    let route = "[[route]]\npath = \"/a/{id}\"\n";
    let cases = [
        ("nothing", "key = \"a:{path.id}\"\n", ""),
        (
            "one answer",
            "key = \"a\"\n",
            "all of /a/{id} share one answer",
        ),
        (
            "shared private",
            "shared = true\nstore_despite = [\"private\"]\n",
            "go to everyone",
        ),
        (
            "shared set-cookie",
            "shared = true\nstore_despite = [\"set-cookie\"]\n",
            "go to everyone",
        ),
        ("private", "store_despite = [\"private\"]\n", ""),
        ("long", "ttl = \"2h\"\n", "no write purges a-id"),
        ("very long", "ttl = \"25h\"\n", "longer than a day"),
        ("beyond the room", "max_body = \"40MB\"\n", "never stored"),
        ("in the room", "max_body = \"30MB\"\n", ""),
        (
            "beyond a part",
            "max_body = \"1200KB\"\n[redis]\nurl = \"redis-cluster://cache\"\n",
            "in 16 parts",
        ),
        (
            "in a part",
            "max_body = \"1100KB\"\n[redis]\nurl = \"redis-cluster://cache\"\n",
            "",
        ),
        (
            "in a server's whole",
            "max_body = \"1200KB\"\n[redis]\nurl = \"redis://cache\"\n",
            "",
        ),
        (
            "long and purged by tag",
            "ttl = \"2h\"\ntags = [\"t\"]\n[[purge]]\npath = \"/\"\ntags = [\"t\"]\n",
            "",
        ),
        (
            "long and purged by key",
            "ttl = \"2h\"\n[[purge]]\npath = \"/\"\nkeys = [\"{host}/*\"]\n",
            "",
        ),
        (
            "idle key",
            "key = \"a:{path.id}\"\n[[purge]]\npath = \"/\"\nkeys = [\"b:*\"]\n",
            "\"b:*\" purges nothing",
        ),
        (
            "idle tag",
            "tags = [\"t\"]\n[[purge]]\npath = \"/\"\ntags = [\"a\"]\n",
            "\"a\" purges nothing",
        ),
    ];
    for (name, keys, expected) in cases {
        let shown = warnings(&with(&format!("{route}{keys}")), &[]);
        let right = if expected.is_empty() {
            shown.is_empty()
        } else {
            shown.contains(expected)
        };
        assert!(right, "{name}: {shown}");
    }
}

#[test]
fn the_example_files_load_without_warnings() {
    let files = [
        ("minimal", include_str!("../../../config/minimal.toml"), 1),
        ("full", include_str!("../../../config/full.toml"), 1),
        ("kanban", include_str!("../../../config/kanban.toml"), 5),
        ("desk", include_str!("../../../config/desk.toml"), 7),
        ("portal", include_str!("../../../config/portal.toml"), 4),
    ];
    for (name, text, routes) in files {
        assert_eq!(warnings(text, &[]), "", "{name}");
        assert_eq!(config(text, &[]).routes.len(), routes, "{name}");
    }
}

proptest! {
    #[test]
    fn no_change_of_the_sample_panics(
        at in 0..SAMPLE.len(),
        cut in 0..40usize,
        put in "[\\[\\]{}=\"'$0-9a-z\n,.*/-]{0,6}",
    ) {
        let end = (at + cut).min(SAMPLE.len());
        let changed = format!("{}{put}{}", &SAMPLE[..at], &SAMPLE[end..]);
        let _ = parse_with(&changed, REDIS);
    }
}

const LAYERS: &str = r#"
[defaults]
ttl = "1m"
priority = "low"
ignore_query = ["utm_*"]
ignore_cookies = ["theme", "lang"]
[[group]]
path = "/api/{*rest}"
ttl = "2m"
shared = true
ignore_query = ["ref"]
[[group]]
path = "/api/users/{id}"
ttl = "3m"
[[route]]
path = "/elsewhere"
[[route]]
path = "/api/projects"
key = "projects:{cookie.lang}"
shared = false
[[route]]
path = "/api/users/{id}"
[[route]]
path = "/api/users/me"
ttl = "4m"
"#;

#[test]
fn the_nearest_setting_counts() {
    let config = config(&format!("{LEAST}{LAYERS}"), &[]);
    let minutes = |route: &Route| route.settings.policy.ttl.map(|ttl| ttl.as_secs() / 60);
    let lives: Vec<_> = config.routes.iter().map(minutes).collect();
    assert_eq!(lives, [Some(1), Some(2), Some(3), Some(4)]);
    let shared = |route: &Route| route.settings.policy.shared;
    let shared: Vec<_> = config.routes.iter().map(shared).collect();
    assert_eq!(shared, [false, false, true, true]);
    let low = |route: &Route| route.settings.priority == Priority::Low;
    assert!(config.routes.iter().all(low));
    let names = |names: &[&str]| {
        IgnoreQuery::parse(
            &names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(config.routes[0].settings.ignore_query, names(&["utm_*"]));
    assert_eq!(
        config.routes[3].settings.ignore_query,
        names(&["ref", "utm_*"])
    );
}

#[test]
fn what_a_route_inherits_is_known_with_its_table() {
    let config = config(&format!("{LEAST}{LAYERS}"), &[]);
    let expected = [
        ("ttl", "[[group]] /api/users/{id}"),
        ("shared", "[[group]] /api/{*rest}"),
        ("ignore_query", "[[group]] /api/{*rest}"),
        ("ignore_cookies", "[defaults]"),
        ("priority", "[defaults]"),
    ];
    let origins = config.routes[2].settings.origins.iter();
    let origins: Vec<_> = origins.map(|(key, table)| (*key, table.as_str())).collect();
    assert_eq!(origins, expected);
}

#[test]
fn an_unmatched_answer_lives_as_long_as_it_says() {
    let ttl = |mode: &str| {
        let text = format!("{LEAST}[defaults]\nttl = \"1m\"\ncache_control = \"{mode}\"\n");
        config(&text, &[]).defaults.settings.policy.ttl
    };
    assert_eq!(ttl("respect"), None);
    assert_eq!(ttl("override"), Some(Duration::from_secs(60)));
}

#[test]
fn what_many_inherit_is_told_once_and_where_it_stands() {
    let routes = "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b\"\n";
    let wrong = [
        (
            "[defaults]\nttl = 5\n",
            "pannier.toml:4: defaults.ttl: 5 has no unit",
        ),
        (
            "[defaults]\nignore_query = [\"a*b\"]\n",
            "pannier.toml:4: defaults.ignore_query: \"a*b\" has",
        ),
        (
            "[[group]]\npath = \"/{id}\"\nignore_cookies = [\"a b\"]\n",
            "pannier.toml:5: group.ignore_cookies: \"a b\"",
        ),
        (
            "[[group]]\npath = \"a\"\n",
            "pannier.toml:4: group.path: \"a\" does not begin",
        ),
        (
            "[[group]]\nttl = \"1s\"\n",
            "pannier.toml:3: group.path: it is missing",
        ),
        (
            "[[group]]\npath = \"/{a}\"\n[[group]]\npath = \"/{b}\"\n",
            "pannier.toml:6: group.path: /{a} has the same routes",
        ),
        (
            "[[group]]\npath = \"/{id}\"\nkey = \"a\"\n",
            "pannier.toml:5: group.key: [[group]] has no such key",
        ),
    ];
    for (table, expected) in wrong {
        let shown = errors(&format!("{LEAST}{table}{routes}"));
        assert!(shown.starts_with(expected), "{expected}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }
}

#[test]
fn a_group_without_routes_is_warned_of() {
    let text = format!("{LEAST}[[group]]\npath = \"/b/{{*rest}}\"\n[[route]]\npath = \"/a\"\n");
    let warnings = warnings(&text, &[]);
    assert!(
        warnings.contains("group.path: no route lies below /b/{*rest}"),
        "{warnings}"
    );
}

/// Promise I8, in the caches between: they do not know the key.
#[test]
fn what_is_one_persons_is_not_told_to_be_everyones() {
    let route = |key: &str, downstream: &str| {
        format!(
            "{LEAST}[[route]]\npath = \"/a\"\nkey = \"{key}\"\n\
             [[route]]\npath = \"/b\"\n[defaults]\ndownstream = \"{downstream}\"\n"
        )
    };
    for key in [
        "a:{cookie.session}",
        "a:{cookie.session|none}",
        "a:{header.authorization}",
        "a:{header.x-api-key|}",
    ] {
        let shown = errors(&route(key, "public, max-age=600"));
        assert!(
            shown.contains("pannier.toml:9: defaults.downstream: the key of a says who asks"),
            "{key}: {shown}"
        );
        for told in ["private, max-age=5", "no-store"] {
            config(&route(key, told), &[]);
        }
    }
    config(
        &route("a:{header.accept-language}", "public, max-age=600"),
        &[],
    );
}

#[test]
fn no_lifetime_is_warned_of_in_groups_too() {
    let group =
        format!("{LEAST}[[group]]\npath = \"/{{id}}\"\nttl = \"0s\"\n[[route]]\npath = \"/a\"\n");
    let told = warnings(&group, &[]);
    assert!(
        told.starts_with("pannier.toml:5: group.ttl: an answer that states no lifetime"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let off = group.replace("ttl", "enabled = false\nttl");
    assert_eq!(warnings(&off, &[]), "");
    let ignored = group.replace("ttl", "app_headers = \"ignore\"\nttl");
    assert!(errors(&ignored).contains("with app_headers = \"ignore\" and no lifetime"));
}

/// Of `mode` and `enabled` the nearest counts.
#[test]
fn the_nearest_mode_counts_by_whichever_key() {
    let route = "[[route]]\npath = \"/api/a\"\nkey = \"a\"\n";
    #[rustfmt::skip]
    let rows = [
        ("nothing", "", "", "", Mode::On),
        ("its own", "", "", "mode = \"shadow\"\n", Mode::Shadow),
        ("the older word", "", "", "enabled = false\n", Mode::Off),
        ("the defaults'", "mode = \"shadow\"\n", "", "", Mode::Shadow),
        ("the defaults' older word", "enabled = false\n", "", "", Mode::Off),
        ("its older word before the defaults'", "mode = \"off\"\n", "", "enabled = true\n", Mode::On),
        ("its word before the defaults' older one", "enabled = false\n", "", "mode = \"on\"\n", Mode::On),
        ("a group's before the defaults'", "mode = \"off\"\n", "enabled = true\n", "", Mode::On),
    ];
    for (case, defaults, group, own, expected) in rows {
        let text = format!(
            "{LEAST}[defaults]\n{defaults}[[group]]\npath = \"/api/{{*rest}}\"\n{group}{route}{own}"
        );
        let loaded = parse(&text).unwrap_or_else(|errors| panic!("{case}: {errors}"));
        assert_eq!(
            loaded.config.routes[0].settings.rollout.mode, expected,
            "{case}"
        );
    }
    let both = errors(&format!("{LEAST}{route}mode = \"on\"\nenabled = true\n"));
    assert!(
        both.contains("route.enabled: mode stands beside it and says it too"),
        "{both}"
    );
    let bad = errors(&format!("{LEAST}{route}mode = \"of\"\n"));
    assert!(bad.contains("route.mode") && bad.contains("off"), "{bad}");
    let none = errors(&format!("{LEAST}{route}percent = 0\n"));
    assert!(none.contains("from 1 to 100"), "{none}");
    let idle = warnings(&format!("{LEAST}{route}mode = \"off\"\npercent = 5\n"), &[]);
    assert!(
        idle.contains("route.percent: it changes nothing where the mode is off"),
        "{idle}"
    );
}

#[test]
fn the_environment_is_the_most_that_any_rule_is() {
    for (word, expected) in [
        ("", Mode::On),
        ("off", Mode::Off),
        ("shadow", Mode::Shadow),
        ("on", Mode::On),
    ] {
        let loaded = parse_with(LEAST, &[("PANNIER_MODE", word)]).expect("it is right");
        assert_eq!(loaded.config.ceiling, expected, "{word}");
        assert!(loaded.warnings.is_empty(), "{word}: {:?}", loaded.warnings);
    }
    let wrong = parse_with(LEAST, &[("PANNIER_MODE", "false")]).expect_err("no mode");
    assert!(
        wrong
            .to_string()
            .contains("PANNIER_MODE: \"false\" is no mode"),
        "{wrong}"
    );
}

/// What can never be stored is no rule for storing.
#[test]
fn paths_and_keys_have_a_limit() {
    let route = |path: &str, key: &str| {
        format!("{LEAST}[[route]]\nname = \"a\"\npath = \"{path}\"\nkey = \"{key}\"\n")
    };
    let (longest, longer) = ("a".repeat(4_096), "a".repeat(4_097));
    let longest_path = format!("/{}", &longest[1..]);
    assert!(parse(&route(&longest_path, "k")).is_ok());
    assert!(parse(&route("/a", &longest)).is_ok());
    let path = errors(&route(&format!("/{longest}"), "k"));
    assert_eq!(
        path,
        "pannier.toml:5: route.path: it has 4097 bytes, and no more than 4096 are taken; \
         write such as \"/api/users/{id}\""
    );
    let purge = format!("{LEAST}[[purge]]\npath = \"/{longest}\"\nkeys = [\"k\"]\n");
    assert!(errors(&purge).contains("purge.path: it has 4097 bytes"));
    let key = errors(&route("/a", &longer));
    assert_eq!(
        key,
        "pannier.toml:6: route.key: what is not in braces has 4097 bytes, and keys of more than 4096 are never \
         stored; write a shorter one"
    );
    let key = errors(&route("/{id}", &format!("{longer}:{{path.id}}")));
    assert!(key.contains("has 4098 bytes"), "{key}");
    assert!(key.len() < 400, "it is not shown whole: {key}");
}
