//! The settings that a route has of its own, of its groups or of the defaults: the nearest counts.

use super::{CODINGS, Field, Kind, PRIORITIES, field};
use crate::config::Advice;

pub(super) static SETTINGS: &[Field] = &[
    field(
        "ttl",
        Kind::Duration,
        "5m",
        "Lifetime of what routes store.",
    ),
    field(
        "app_headers",
        Kind::OneOf(&["respect", "ignore"]),
        "respect",
        "ignore: what the app says of caching and cookies on everything is not meant; only the rule counts.",
    ),
    field(
        "cache_control",
        Kind::OneOf(&["respect", "override"]),
        "respect",
        "Whether the freshness stated by the answer (respect) or ttl (override) goes first.",
    ),
    field(
        "store_despite",
        Kind::ManyOf(&[
            "private",
            "no-store",
            "set-cookie",
            "no-cache",
            "must-revalidate",
            "proxy-revalidate",
        ]),
        "",
        "What of the answer no longer forbids storing it, reusing it or serving it stale.",
    ),
    field(
        "statuses",
        Kind::Counts(200, 599),
        "",
        "Statuses stored. Default: as RFC 9111 allows.",
    ),
    field(
        "error_ttl",
        Kind::Duration,
        "1s",
        "The longest that errors a client can provoke (400 to 431, 500 to 504) are kept.",
    ),
    field(
        "max_body",
        Kind::Size(0),
        "1MiB",
        "The largest body stored.",
    ),
    field(
        "shared",
        Kind::Flag,
        "false",
        "The answer is the same for everyone, whoever asks.",
    ),
    field(
        "any_host",
        Kind::Flag,
        "false",
        "All hosts share the answer; http and https still differ.",
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
        "Cookies that change no answer: names, exp_*, or *. Those of analytics and consent are known.",
    ),
    field(
        "vary",
        Kind::Texts,
        "",
        "Of the fields that Vary names only these count; [] is none. Default: all.",
    ),
    field(
        "languages",
        Kind::Texts,
        "",
        "Languages that the app serves, the default first; what clients prefer is made one of them.",
    ),
    field(
        "encodings",
        Kind::ManyOf(CODINGS),
        "",
        "Content codings to ask the app for, the best first; what clients accept is made one of them.",
    ),
    field(
        "cors",
        Kind::OneOf(&["app", "vary"]),
        "app",
        "vary: Origin changes the answer even where the app does not say so.",
    ),
    field(
        "max_variants",
        Kind::Count(1, 64),
        "8",
        "Answers kept under one key, by what they vary; one more replaces the oldest.",
    ),
    field(
        "client_cache_control",
        Kind::OneOf(&["obey", "ignore", "token"]),
        "obey",
        "A client's no-cache, no-store, max-age or min-fresh: obey, ignore, or obey with Pannier-Token alone.",
    ),
    field(
        "downstream",
        Kind::Text,
        "",
        "What clients and the caches before them are told by Cache-Control. Default: what the app says.",
    ),
    field(
        "store_when",
        Kind::Conditions,
        "",
        "What the JSON body must be for storing, such as { \"response.error\" = \"absent\" }.",
    ),
    field(
        "close_delimited",
        Kind::Flag,
        "false",
        "Store what only the end of its connection ends; the app must end only what is whole.",
    ),
    field(
        "encoded_slash",
        Kind::OneOf(&["pass", "data"]),
        "pass",
        "A path with %2F: pass it, or take it as a part of a value (data), as the app must too.",
    ),
    field(
        "stale_while_revalidate",
        Kind::Duration,
        "",
        "Serve stale this long while a refresh runs. Default: as the answer says.",
    ),
    field(
        "stale_if_error",
        Kind::Duration,
        "",
        "Serve stale this long while the app fails. Default: as the answer says.",
    ),
    field(
        "priority",
        Kind::OneOf(PRIORITIES),
        "medium",
        "Worth when space runs out; low goes first.",
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
        "finish",
        "A fetch for the store that nobody waits for any more: finish it, or end it.",
    ),
    field(
        "acknowledge",
        Kind::ManyOf(Advice::WORDS),
        "",
        "Advice of pannier check that is known and meant, by its code; say why in a comment beside it.",
    ),
    field(
        "enabled",
        Kind::Flag,
        "true",
        "false: the path is passed to the app.",
    ),
];
