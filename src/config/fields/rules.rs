//! The keys of `[[route]]`, `[[group]]` and `[[purge]]` alone.

use super::{Field, Kind, field};
use crate::config::Advice;

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
        "methods",
        Kind::ManyOf(&["GET", "POST", "QUERY"]),
        "GET",
        "Methods of the reads that it answers; GET is HEAD as well. POST and QUERY need {body} in the key, and a ttl.",
    ),
    field(
        "when",
        Kind::Conditions,
        "",
        "What a request must surely be, such as { \"body.query\" = \"^\\\\s*(query|\\\\{)\" }; any other passes.",
    ),
    field(
        "unless",
        Kind::Conditions,
        "",
        "What a request must surely not be, all of it, in the same form.",
    ),
    field(
        "key",
        Kind::Text,
        "",
        "What to cache under, such as user:{path.id}. Default: {host}{uri}.",
    ),
    field(
        "tags",
        Kind::Texts,
        "",
        "Names to purge by, such as user:{response.id}.",
    ),
    field(
        "shared_by",
        Kind::Texts,
        "",
        "Claims of the key that many have, such as jwt.role or auth.role: those who share one share the answers.",
    ),
];

pub(super) static GROUP: &[Field] = &[field(
    "path",
    Kind::Text,
    "",
    "The paths of its routes, such as /api/{*rest}. Required.",
)];

pub(super) static PURGE: &[Field] = &[
    field(
        "name",
        Kind::Text,
        "",
        "Unique; in logs and metrics. Default: made of the path.",
    ),
    field(
        "methods",
        Kind::ManyOf(&["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"]),
        "POST,PUT,PATCH,DELETE",
        "Methods of the write; GET (and HEAD with it) of what changes something all the same, such as /logout.",
    ),
    field("path", Kind::Text, "", "The path of the write. Required."),
    field(
        "when",
        Kind::Conditions,
        "",
        "What the write and its answer must be, such as { \"body.query\" = \"\\\\bmutation\\\\b\" }.",
    ),
    field(
        "unless",
        Kind::Conditions,
        "",
        "What they must not be, all of it, in the same form.",
    ),
    field(
        "statuses",
        Kind::Counts(200, 599),
        "",
        "Statuses of the answer for which it holds. Default: 2xx and 3xx.",
    ),
    field(
        "keys",
        Kind::Texts,
        "",
        "Keys to purge; * stands for anything, as does a variable that the write lacks.",
    ),
    field("tags", Kind::Texts, "", "Tags to purge, in the same form."),
    field(
        "identity",
        Kind::FlagOr("own"),
        "false",
        "Drop what [auth] said: of everyone (true), or of the writer's own credentials (own).",
    ),
    field(
        "soft",
        Kind::Flag,
        "false",
        "Whether what it purges stays, and is stale from then on: served while it refreshes, where the route allows that.",
    ),
    field(
        "again_after",
        Kind::Waits,
        "",
        "When to purge again, for an app that acts later than it answers, such as 500ms and 2s.",
    ),
    field(
        "then",
        Kind::OneOf(&["nothing", "refetch"]),
        "nothing",
        "refetch: what it purged and was read is asked for again in the background, so that the next reader hits.",
    ),
    field(
        "delay",
        Kind::Duration,
        "0s",
        "How long after the write it is asked for again, for an app that acts later than it answers.",
    ),
    field(
        "refetch_max",
        Kind::Count(1, 1000),
        "50",
        "The most keys that one write has asked for again; those fetched most often go first.",
    ),
    field(
        "acknowledge",
        Kind::ManyOf(Advice::WORDS),
        "",
        "Advice of pannier check that is known and meant, by its code.",
    ),
];
