//! The keys of `[jobs]` and `[[warm]]`.

use super::{Field, Kind, PRIORITIES, field};

pub(super) static JOBS: &[Field] = &[
    field(
        "hot",
        Kind::Count(0, 10_000),
        "0",
        "How many of the keys that were hit most in the last hours are fetched after a flush, a deploy or a restart; 0 is off.",
    ),
    field(
        "ready_within",
        Kind::Duration,
        "30s",
        "The longest that /readyz waits for the jobs with ready = true.",
    ),
];

pub(super) static WARM: &[Field] = &[
    field(
        "name",
        Kind::Text,
        "",
        "Unique; in logs, metrics and orders. Required.",
    ),
    field(
        "urls",
        Kind::Texts,
        "",
        "Paths of the app with their queries; {1..50} is a range, {en,de} a list. Either urls or from.",
    ),
    field(
        "from",
        Kind::Text,
        "",
        "A path of the app whose JSON answer is a list; what to fetch is made of it by each.",
    ),
    field(
        "each",
        Kind::Text,
        "",
        "With from: the path of each element, such as /api/projects/{items[].id}/board.",
    ),
    field(
        "headers",
        Kind::Conditions,
        "",
        "Header fields of the requests, such as { accept-language = \"de\" }; never a credential.",
    ),
    field(
        "host",
        Kind::Text,
        "",
        "The host that clients ask for, such as shop.example or https://shop.example. Default: that of upstream.url.",
    ),
    field(
        "on_start",
        Kind::Flag,
        "false",
        "Fetch what is not stored when a sidecar starts.",
    ),
    field(
        "every",
        Kind::Wait,
        "",
        "Fetch all of it once in each such time, on one sidecar of the fleet.",
    ),
    field(
        "cron",
        Kind::Text,
        "",
        "Fetch all of it at these times: minute, hour, day, month, weekday, such as */30 7-19 * * mon-fri.",
    ),
    field(
        "timezone",
        Kind::Text,
        "UTC",
        "By whose clock cron goes, such as Europe/Berlin.",
    ),
    field(
        "priority",
        Kind::OneOf(PRIORITIES),
        "medium",
        "Which job goes first; none waits for ever.",
    ),
    field(
        "retries",
        Kind::Count(0, 20),
        "3",
        "How often a URL is tried again that could not be fetched, with growing pauses.",
    ),
    field(
        "timeout",
        Kind::Wait,
        "30s",
        "For one fetch, its body included.",
    ),
    field(
        "after",
        Kind::Texts,
        "",
        "Jobs whose runs it waits for; without a time of its own it runs when they have ended well.",
    ),
    field(
        "ready",
        Kind::Flag,
        "false",
        "Whether /readyz waits for its run at the start, for jobs.ready_within at most.",
    ),
];
