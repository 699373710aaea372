//! The walls between the rooms of `src/`, kept by reading the sources.

mod circles;
mod source;

use std::collections::BTreeMap;

use source::{Source, TESTS, names, rooms_used, tokens};

/// Rooms that know values only: no runtime, no socket, no log, no clock.
const PURE: &[&str] = &[
    "routes",
    "http_cache",
    "entry",
    "budget",
    "rollout",
    "observe",
    "agenda",
    "politeness",
    "store/fence",
];

/// What pure rooms do not name.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "fred",
    "tracing",
    "std::net",
    "std::fs",
    "std::env",
    "std::thread",
    "crate::clock",
    "clock",
    "SystemTime::now",
    "Instant::now",
];

/// Which rooms each room may name with `crate::…`; arrows point down this table only. `main` and
/// `lib` are the house itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("pacing", &[]),
    ("turns", &[]),
    ("rate_timeout", &[]),
    ("in_flight", &[]),
    ("body", &["in_flight", "pacing", "rate_timeout"]),
    ("drain", &[]),
    ("keep_running", &[]),
    ("http_cache", &[]),
    ("secret", &[]),
    ("content_coding", &[]),
    ("routes", &["http_cache"]),
    ("entry", &["content_coding", "http_cache"]),
    ("budget", &["entry"]),
    ("rollout", &["routes"]),
    ("metrics", &["entry", "http_cache", "rollout"]),
    ("observe", &["routes"]),
    ("agenda", &["entry"]),
    ("politeness", &[]),
    (
        "config",
        &[
            "agenda",
            "entry",
            "http_cache",
            "in_flight",
            "politeness",
            "rollout",
            "routes",
        ],
    ),
    ("descriptors", &["config"]),
    ("auth", &["clock", "config", "routes"]),
    ("jwt", &["clock", "config", "routes"]),
    (
        "store",
        &[
            "auth",
            "budget",
            "clock",
            "config",
            "entry",
            "http_cache",
            "in_flight",
            "metrics",
            "rollout",
            "routes",
        ],
    ),
    (
        "upstream",
        &[
            "body",
            "clock",
            "config",
            "http_cache",
            "in_flight",
            "pacing",
            "turns",
        ],
    ),
    (
        "gate",
        &[
            "clock",
            "config",
            "entry",
            "metrics",
            "politeness",
            "upstream",
        ],
    ),
    (
        "live",
        &[
            "auth",
            "config",
            "entry",
            "gate",
            "http_cache",
            "in_flight",
            "jwt",
            "metrics",
            "politeness",
            "rollout",
            "routes",
            "upstream",
        ],
    ),
    (
        "control",
        &[
            "clock",
            "config",
            "descriptors",
            "in_flight",
            "live",
            "metrics",
            "rollout",
            "store",
        ],
    ),
    ("remote", &["body", "config", "in_flight", "upstream"]),
    (
        "key_refresh",
        &[
            "body",
            "clock",
            "config",
            "http_cache",
            "in_flight",
            "jwt",
            "live",
            "metrics",
            "remote",
        ],
    ),
    (
        "proxy",
        &[
            "auth",
            "body",
            "clock",
            "config",
            "content_coding",
            "drain",
            "entry",
            "gate",
            "http_cache",
            "in_flight",
            "jwt",
            "live",
            "metrics",
            "observe",
            "politeness",
            "rollout",
            "routes",
            "secret",
            "store",
            "turns",
            "upstream",
        ],
    ),
    (
        "server",
        &[
            "body",
            "clock",
            "config",
            "drain",
            "in_flight",
            "live",
            "metrics",
            "pacing",
            "proxy",
            "rate_timeout",
            "turns",
        ],
    ),
    (
        "jobs",
        &[
            "agenda",
            "clock",
            "content_coding",
            "entry",
            "http_cache",
            "live",
            "metrics",
            "observe",
            "politeness",
            "proxy",
            "store",
        ],
    ),
    (
        "admin",
        &[
            "auth",
            "clock",
            "config",
            "control",
            "entry",
            "gate",
            "http_cache",
            "jobs",
            "jwt",
            "keep_running",
            "live",
            "metrics",
            "politeness",
            "proxy",
            "observe",
            "remote",
            "rollout",
            "routes",
            "secret",
            "store",
        ],
    ),
];

/// Rooms on top, lowest first: each may use all others but those above it.
const TOP: &[&str] = &["app", "cli", "commands", "main"];

#[test]
fn pure_rooms_are_pure() {
    let mut faults = Vec::new();
    for source in Source::all()
        .iter()
        .filter(|source| is_pure(&source.module))
    {
        let tokens = tokens(&source.text);
        let named = IMPURE.iter().filter(|word| names(&tokens, word));
        faults.extend(named.map(|word| format!("src/{}.rs names {word}", source.module)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for source in Source::all() {
        let room = room(&source.module);
        for used in rooms_used(&source.text) {
            if !allowed(&table, room, &used) {
                faults.push(format!("src/{}.rs uses crate::{used}", source.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_way_back() {
    for (above, (room, used)) in MAY_USE.iter().enumerate() {
        for name in *used {
            let below = MAY_USE.iter().position(|(other, _)| other == name);
            let below = below.unwrap_or_else(|| panic!("{room} uses {name}, which is no room"));
            assert!(below < above, "{room} stands above {name} and uses it");
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> = Source::all()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("src/{}.rs", source.module))
        .collect();
    assert!(silent.is_empty(), "no //! line at the top: {silent:?}");
}

#[test]
fn tests_stand_under_tests() {
    let declared = Source::every();
    let elsewhere: Vec<_> = declared
        .iter()
        .flat_map(Source::test_modules)
        .filter(|module| module.rsplit('/').next() != Some(TESTS))
        .collect();
    assert!(elsewhere.is_empty(), "for tests alone: {elsewhere:?}");
}

fn is_pure(module: &str) -> bool {
    PURE.iter().any(|room| {
        let rest = module.strip_prefix(room);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn room(module: &str) -> &str {
    module.split('/').next().unwrap_or(module)
}

fn allowed(table: &BTreeMap<&str, &[&str]>, room: &str, used: &str) -> bool {
    if room == used || room == "lib" {
        return true;
    }
    match TOP.iter().position(|top| *top == room) {
        Some(place) => match TOP.iter().position(|top| *top == used) {
            Some(other) => other < place,
            None => true,
        },
        None => table.get(room).is_some_and(|rooms| rooms.contains(&used)),
    }
}

#[test]
fn the_rooms_used_are_found() {
    let code = "use crate::store::{Store, memory};\nuse crate::{entry::Entry, routes::{self, Key}};\n\
                // use crate::proxy;\nfn f(x: crate::config::Config) {}";
    assert_eq!(rooms_used(code), ["config", "entry", "routes", "store"]);
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let cases = [
        ("store", "entry", true),
        ("entry", "store", false),
        ("proxy", "admin", false),
        ("admin", "server", false),
        ("commands", "app", true),
        ("app", "commands", false),
        ("app", "proxy", true),
        ("a-new-room", "entry", false),
    ];
    for (room, used, expected) in cases {
        assert_eq!(allowed(&table, room, used), expected, "{room} uses {used}");
    }
    assert!(is_pure("routes/template/parse") && is_pure("store/fence") && is_pure("budget"));
    assert!(!is_pure("store/memory") && !is_pure("routes_of_app"));
}
