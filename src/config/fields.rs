//! Every key of the file, once: what it takes, its default and what it means.
//!
//! Unknown keys, overrides from the environment, defaults and the JSON Schema all come from this
//! list, so they cannot disagree.

mod jobs;
mod rules;
mod settings;
mod tables;

use jobs::{JOBS, WARM};
use rules::{GROUP, PURGE, ROUTE};
use settings::SETTINGS;
use tables::{ADMIN, ALERTS, AUTH, BUDGET, DEFAULTS, JWT, LISTEN, LOG, MEMORY, REDIS, UPSTREAM};

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// The table's name.
    pub(crate) name: &'static str,
    /// Whether it is an array of tables (`[[route]]`).
    pub(crate) repeated: bool,
    /// Keys of an optional table that call it into being when the environment sets them.
    pub(crate) created_by: &'static [&'static str],
    /// What it is for, in one line.
    pub(crate) doc: &'static str,
    /// Its own keys.
    pub(crate) own: &'static [Field],
    /// Whether it takes the settings that a route, its groups and the defaults have in common.
    pub(crate) has_settings: bool,
}

/// A key of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The key.
    pub(crate) key: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The default, as it would be written; empty when there is none or it is worked out.
    pub(crate) default: &'static str,
    /// What it means, in one line.
    pub(crate) doc: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// `IP:port`.
    Address,
    /// A file's path.
    File,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// `true` or `false`.
    Flag,
    /// `true`, `false` or this word.
    FlagOr(&'static str),
    /// A duration above zero.
    Wait,
    /// A duration.
    Duration,
    /// A size of at least so many bytes.
    Size(u64),
    /// Bytes a second.
    Rate,
    /// Requests a second, minute or hour.
    Requests,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A text, or a list of them.
    TextOrTexts,
    /// A list of these words.
    ManyOf(&'static [&'static str]),
    /// A list of whole numbers from the first to the second.
    Counts(u64, u64),
    /// A list of durations above zero.
    Waits,
    /// A table of texts by names of any kind.
    Conditions,
    /// A table with these keys.
    Table(&'static [Field]),
}

impl Section {
    /// Its keys.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let settings = if self.has_settings { SETTINGS } else { &[] };
        self.own.iter().chain(settings)
    }

    /// The key's field.
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.key == key)
    }
}

/// The settings that a route, its groups and the defaults have in common.
pub(crate) fn settings() -> &'static [Field] {
    SETTINGS
}

/// Whether a route that lacks the key has it from its groups or the defaults.
pub(crate) fn is_setting(key: &str) -> bool {
    SETTINGS.iter().any(|field| field.key == key)
}

/// The section of that name.
pub(crate) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

const fn field(key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field {
        key,
        kind,
        default,
        doc,
    }
}

const fn table(name: &'static str, doc: &'static str, own: &'static [Field]) -> Section {
    Section {
        name,
        repeated: false,
        created_by: &[],
        doc,
        own,
        has_settings: false,
    }
}

/// What `priority` takes.
const PRIORITIES: &[&str] = &["low", "medium", "high"];
/// What `encodings` takes (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
const CODINGS: &[&str] = &["zstd", "br", "gzip", "deflate"];
/// What `jwt.algorithms` takes.
pub(super) const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];
/// The keys of `[jwt]` of which exactly one is given.
pub(super) const JWT_KEYS: &[&str] = &[
    "secret",
    "secret_file",
    "public_key",
    "public_key_file",
    "jwks_file",
    "jwks_url",
];

/// The whole file.
pub(crate) static SECTIONS: &[Section] = &[
    table(
        "listen",
        "Where Pannier listens, and its limits on clients.",
        LISTEN,
    ),
    table("upstream", "The app.", UPSTREAM),
    Section {
        created_by: &["url", "host", "nodes", "sentinels"],
        ..table(
            "redis",
            "The shared Redis; leave the table out for memory only.",
            REDIS,
        )
    },
    table(
        "budget",
        "What Pannier may use of the shared Redis.",
        BUDGET,
    ),
    table("memory", "The cache in this process.", MEMORY),
    Section {
        has_settings: true,
        ..table(
            "defaults",
            "What routes inherit, and requests that no route matches.",
            DEFAULTS,
        )
    },
    Section {
        created_by: JWT_KEYS,
        ..table(
            "jwt",
            "How tokens are verified, for {jwt.claim} in templates.",
            JWT,
        )
    },
    Section {
        created_by: &["url"],
        ..table(
            "auth",
            "A check of the app's own that says who asks, for {auth.role} in templates and require = \"auth\".",
            AUTH,
        )
    },
    table("admin", "The admin interface.", ADMIN),
    Section {
        created_by: &[
            "memory_percent",
            "evictions_per_hour",
            "keys",
            "hit_rate_percent",
            "stale_per_hour",
            "webhook",
            "webhook_ca_file",
        ],
        ..table(
            "alerts",
            "Thresholds that /stats and the page warn of; without the table of none.",
            ALERTS,
        )
    },
    table("log", "The log.", LOG),
    Section {
        repeated: true,
        has_settings: true,
        ..table(
            "group",
            "What the routes below a path inherit, before the defaults.",
            GROUP,
        )
    },
    Section {
        repeated: true,
        has_settings: true,
        ..table("route", "A path whose answers are cached.", ROUTE)
    },
    Section {
        repeated: true,
        ..table(
            "purge",
            "What a successful write makes stale; every rule that matches is carried out.",
            PURGE,
        )
    },
    table("jobs", "What is fetched without a client.", JOBS),
    Section {
        repeated: true,
        ..table(
            "warm",
            "A job that fetches known URLs: at the start, on a schedule, by order.",
            WARM,
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        for section in SECTIONS {
            let keys: BTreeSet<_> = section.fields().map(|field| field.key).collect();
            assert_eq!(keys.len(), section.fields().count(), "{}", section.name);
        }
    }

    #[test]
    fn what_creates_a_section_is_a_key_of_it() {
        for section in SECTIONS {
            for key in section.created_by {
                assert!(section.field(key).is_some(), "{}.{key}", section.name);
            }
        }
    }
}
