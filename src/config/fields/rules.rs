//! The keys of `[[route]]` and `[[purge]]`.

use super::{Field, Kind, PRIORITIES, field};

pub(super) static ROUTE: &[Field] = &[
    field(
        "name",
        Kind::Text,
        "",
        "Unique; in Cache-Status, logs and metrics. Default: made of the path.",
    ),
    field(
        "path",
        Kind::Text,
        "",
        "The path, such as /api/users/{id} or /files/{*rest}. Required.",
    ),
    field(
        "key",
        Kind::Text,
        "",
        "What to cache under, such as user:{path.id}. Default: {host}{uri}.",
    ),
    field(
        "ttl",
        Kind::Duration,
        "",
        "Lifetime. Default: defaults.ttl.",
    ),
    field(
        "priority",
        Kind::OneOf(PRIORITIES),
        "",
        "Worth when space runs out. Default: defaults.priority.",
    ),
    field(
        "tags",
        Kind::Texts,
        "",
        "Names to purge by, such as user:{response.id}.",
    ),
    field(
        "statuses",
        Kind::Counts(200, 599),
        "",
        "Statuses stored. Default: as RFC 9111 allows.",
    ),
    field(
        "max_body",
        Kind::Size(0),
        "",
        "The largest body stored. Default: defaults.max_body.",
    ),
    field(
        "cache_control",
        Kind::OneOf(&["respect", "override"]),
        "respect",
        "Whether the freshness stated by the answer (respect) or ttl (override) goes first.",
    ),
    field(
        "store_despite",
        Kind::ManyOf(&["private", "no-store", "set-cookie", "no-cache"]),
        "",
        "What of the answer no longer forbids storing or reusing it.",
    ),
    field(
        "shared",
        Kind::Flag,
        "false",
        "The answer is the same for everyone, whoever asks.",
    ),
    field(
        "ignore_query",
        Kind::Texts,
        "",
        "Query fields that do not change the answer: names, utm_*, or *.",
    ),
    field(
        "ignore_cookies",
        Kind::Texts,
        "",
        "Cookies that do not change the answer: names, exp_*, or *; beside defaults.ignore_cookies.",
    ),
    field(
        "shared_by",
        Kind::Texts,
        "",
        "Claims of the key that many have, such as jwt.role: those who share one share the answers.",
    ),
    field(
        "any_host",
        Kind::Flag,
        "false",
        "All hosts share the answer; http and https still differ.",
    ),
    field(
        "stale_while_revalidate",
        Kind::Duration,
        "",
        "Serve stale this long while a refresh runs. Default: defaults.stale_while_revalidate.",
    ),
    field(
        "stale_if_error",
        Kind::Duration,
        "",
        "Serve stale this long while the app fails. Default: defaults.stale_if_error.",
    ),
    field(
        "error_ttl",
        Kind::Duration,
        "",
        "The longest that errors a client can provoke are kept. Default: defaults.error_ttl.",
    ),
    field(
        "coherence",
        Kind::OneOf(&["tracked", "strict"]),
        "tracked",
        "tracked: memory may answer until Redis tells of a purge; strict: Redis answers.",
    ),
    field(
        "outage",
        Kind::OneOf(&["serve", "pass"]),
        "",
        "While Redis cannot be asked: serve what memory holds, or pass. Default: redis.outage.",
    ),
    field(
        "max_fills",
        Kind::Count(1, 1_000_000),
        "",
        "Fetches for the store at a time; more pass. Default: half of upstream.max_fills.",
    ),
    field(
        "abandoned",
        Kind::OneOf(&["finish", "end"]),
        "",
        "A fetch whose client has gone: finish stores it, end gives it up. Default: defaults.abandoned.",
    ),
    field(
        "enabled",
        Kind::Flag,
        "true",
        "false: the path is passed to the app.",
    ),
];

pub(super) static PURGE: &[Field] = &[
    field(
        "name",
        Kind::Text,
        "",
        "Unique; in logs and metrics. Default: made of the path.",
    ),
    field(
        "methods",
        Kind::ManyOf(&["POST", "PUT", "PATCH", "DELETE"]),
        "POST,PUT,PATCH,DELETE",
        "Methods of the write.",
    ),
    field("path", Kind::Text, "", "The path of the write. Required."),
    field(
        "keys",
        Kind::Texts,
        "",
        "Keys to purge; * stands for anything, as does a variable that the write lacks.",
    ),
    field("tags", Kind::Texts, "", "Tags to purge, in the same form."),
];
