//! The keys of the tables that stand once.

use super::{ALGORITHMS, Field, Kind, field};

/// hyper refuses a smaller read buffer.
const LEAST_HEAD: u64 = 8192;

pub(super) static LISTEN: &[Field] = &[
    field(
        "proxy",
        Kind::Address,
        "0.0.0.0:8080",
        "Address of the proxy.",
    ),
    field(
        "admin",
        Kind::Address,
        "127.0.0.1:9180",
        "Address of health, stats, metrics and purge.",
    ),
    field(
        "workers",
        Kind::Count(1, 1024),
        "",
        "Worker threads. Default: one per core.",
    ),
    field(
        "max_connections",
        Kind::Count(1, 1_000_000),
        "10000",
        "Connections over all workers; for a further one the idlest is closed, or it waits.",
    ),
    field(
        "header_timeout",
        Kind::Wait,
        "10s",
        "Longest wait for a whole request head.",
    ),
    field(
        "body_timeout",
        Kind::Wait,
        "30s",
        "Longest wait between two reads of a request body.",
    ),
    field(
        "idle_timeout",
        Kind::Wait,
        "75s",
        "How long a connection may be idle, or a client take nothing of its answer.",
    ),
    field(
        "min_rate",
        Kind::Rate,
        "100B/s",
        "Slower clients are cut: a byte of a body or an answer buys so much of body_timeout or idle_timeout. 0B/s: all of it.",
    ),
    field(
        "max_head",
        Kind::Size(LEAST_HEAD),
        "64KiB",
        "The largest request head; at least 8KiB.",
    ),
    field(
        "drain_delay",
        Kind::Duration,
        "3s",
        "After SIGTERM, how long clients are still accepted while /readyz says 503.",
    ),
    field(
        "ready_path",
        Kind::Text,
        "",
        "A path on the proxy's own port that answers as /readyz does, such as /-/ready.",
    ),
    field(
        "drain_timeout",
        Kind::Duration,
        "30s",
        "After that, the longest wait for requests in flight.",
    ),
    field(
        "tls_cert",
        Kind::File,
        "",
        "PEM file of a certificate and its chain; with it and tls_key the proxy speaks TLS.",
    ),
    field(
        "tls_key",
        Kind::File,
        "",
        "PEM file of the certificate's private key.",
    ),
    field(
        "underscores",
        Kind::OneOf(&["drop", "pass"]),
        "drop",
        "What becomes of header fields with _ or another sign than - in their names, which CGI and WSGI apps take for -.",
    ),
    field(
        "trusted_proxies",
        Kind::Texts,
        "",
        "Gateways whose X-Forwarded-* and Forwarded are believed: addresses and networks.",
    ),
    field(
        "forwarded_host",
        Kind::Flag,
        "false",
        "Take the host from what trusted_proxies say (true) or from Host (false).",
    ),
    field(
        "untrusted_forwarded",
        Kind::OneOf(&["drop", "pass"]),
        "",
        "What becomes of X-Forwarded-* and Forwarded from others. Default: drop where there are trusted_proxies, else pass.",
    ),
    field(
        "proxy_protocol",
        Kind::Flag,
        "false",
        "Each connection begins with a header of the PROXY protocol (v1 or v2), which names the client.",
    ),
    field(
        "tls_min_version",
        Kind::OneOf(&["1.2", "1.3"]),
        "1.2",
        "The oldest version of TLS that clients may speak.",
    ),
];

pub(super) static UPSTREAM: &[Field] = &[
    field(
        "url",
        Kind::Text,
        "",
        "Where the app is: http://host:port, https://host:port or unix:/path/to.sock. Required.",
    ),
    field(
        "timeout",
        Kind::Wait,
        "30s",
        "From the request sent to the head of the answer.",
    ),
    field(
        "connect_timeout",
        Kind::Wait,
        "5s",
        "For the connection, TLS included.",
    ),
    field(
        "body_timeout",
        Kind::Wait,
        "60s",
        "Longest wait between two reads of the answer's body.",
    ),
    field(
        "idle_timeout",
        Kind::Wait,
        "60s",
        "How long an idle connection is kept.",
    ),
    field(
        "max_idle",
        Kind::Count(0, 100_000),
        "64",
        "Idle connections kept per worker.",
    ),
    field(
        "max_fills",
        Kind::Count(1, 1_000_000),
        "1024",
        "Most answers fetched for the store at a time; further misses pass.",
    ),
    field(
        "ca_file",
        Kind::File,
        "",
        "PEM file of further certificate authorities, for https.",
    ),
    field(
        "preserve_host",
        Kind::Flag,
        "true",
        "Send Host as the client did (true) or as in url (false).",
    ),
    field(
        "http2",
        Kind::Flag,
        "false",
        "Speak HTTP/2 to the app: by ALPN with https, else with prior knowledge.",
    ),
    field(
        "paths",
        Kind::Table(PATHS),
        "",
        "Spellings of a path that are one to the app. Default: each is its own.",
    ),
    field(
        "background",
        Kind::Table(BACKGROUND),
        "",
        "How often the app is asked for what no client waits for. Default: rate 20/s, concurrency 4.",
    ),
    field(
        "rate",
        Kind::Requests,
        "",
        "How often the app is asked at all: a second (200/s), minute or hour. Default: as often as need be.",
    ),
    field(
        "queue",
        Kind::Count(0, 100_000),
        "1000",
        "Requests that wait for their turn where rate is met; further ones get 503.",
    ),
    field(
        "queue_timeout",
        Kind::Wait,
        "5s",
        "The longest wait for a turn; then what is stale is served where it may be, or 503.",
    ),
];

static BACKGROUND: &[Field] = &[
    field(
        "rate",
        Kind::Requests,
        "20/s",
        "Requests a second (20/s), minute (600/m) or hour (100/h).",
    ),
    field(
        "concurrency",
        Kind::Count(1, 1000),
        "4",
        "Requests under way at a time.",
    ),
];

static PATHS: &[Field] = &[
    field(
        "ignore_case",
        Kind::Flag,
        "false",
        "/API/Products is /api/products to it, as to Express and ASP.NET; what {id} matches keeps its case.",
    ),
    field(
        "suffixes",
        Kind::Texts,
        "",
        "Suffixes that may be left out, such as .json: /products/7.json is /products/7 to it, as to Rails.",
    ),
    field(
        "trailing_slash",
        Kind::Flag,
        "false",
        "/products/7/ is /products/7 to it.",
    ),
];

pub(super) static REDIS: &[Field] = &[
    field(
        "url",
        Kind::Text,
        "",
        "redis://, rediss:// (TLS), redis-cluster:// or redis-sentinel://, with user and password. Give exactly one of url, host, nodes, sentinels.",
    ),
    field(
        "host",
        Kind::Text,
        "",
        "Name or address of a single Redis, in place of a URL.",
    ),
    field(
        "port",
        Kind::Count(1, 65_535),
        "6379",
        "Its port, with host.",
    ),
    field(
        "nodes",
        Kind::Texts,
        "",
        "Nodes of a Redis Cluster, such as 10.0.0.5:6379; they name the others.",
    ),
    field(
        "sentinels",
        Kind::Texts,
        "",
        "Sentinels, such as 10.0.0.5:26379, that know where the primary is; they name the others.",
    ),
    field(
        "master",
        Kind::Text,
        "",
        "The primary's name among the sentinels.",
    ),
    field(
        "user",
        Kind::Text,
        "",
        "Whom Pannier logs in as. Default: Redis's own user default.",
    ),
    field("password", Kind::Text, "", "That user's password."),
    field(
        "password_file",
        Kind::File,
        "",
        "File of that password, read whenever a connection is made after it has changed.",
    ),
    field(
        "sentinel_user",
        Kind::Text,
        "",
        "Whom Pannier logs in as at the sentinels.",
    ),
    field(
        "sentinel_password",
        Kind::Text,
        "",
        "The sentinels' own password, if they have one.",
    ),
    field(
        "sentinel_password_file",
        Kind::File,
        "",
        "File of the sentinels' password, read as password_file is.",
    ),
    field(
        "database",
        Kind::Count(0, 255),
        "0",
        "Number of the database, with host or sentinels.",
    ),
    field(
        "tls",
        Kind::Flag,
        "false",
        "Connect by TLS, with host, nodes or sentinels; a URL says rediss://.",
    ),
    field(
        "namespace",
        Kind::Text,
        "pannier",
        "What every key begins with; sidecars that share it share the cache.",
    ),
    field(
        "connections",
        Kind::Count(1, 1024),
        "2",
        "Most connections for requests, shared by all workers; as many as workers: one each. One more is for the rest.",
    ),
    field(
        "timeout",
        Kind::Wait,
        "50ms",
        "The longest wait for a command.",
    ),
    field(
        "reconnect_max",
        Kind::Wait,
        "1s",
        "Longest wait between two attempts to reconnect.",
    ),
    field(
        "breaker_failures",
        Kind::Count(1, 1_000_000),
        "5",
        "Failures in a row after which Redis is left alone for a while.",
    ),
    field(
        "breaker_probe",
        Kind::Wait,
        "250ms",
        "How often Redis is tried again while it is left alone.",
    ),
    field(
        "staleness",
        Kind::Wait,
        "1s",
        "How long memory answers without having heard of Redis.",
    ),
    field(
        "outage",
        Kind::OneOf(&["serve", "pass"]),
        "serve",
        "While Redis cannot be asked: serve what memory holds, or pass to the app.",
    ),
    field(
        "outage_ttl",
        Kind::Duration,
        "30s",
        "How long memory serves then, from what it last heard of Redis.",
    ),
    field(
        "ca_file",
        Kind::File,
        "",
        "PEM file of further certificate authorities, for TLS.",
    ),
    field(
        "cert_file",
        Kind::File,
        "",
        "PEM file of the certificate that Pannier shows, for a Redis that demands one (tls-auth-clients).",
    ),
    field(
        "key_file",
        Kind::File,
        "",
        "PEM file of that certificate's private key.",
    ),
    field(
        "journal",
        Kind::File,
        "",
        "File that keeps, of this sidecar alone, which purges Redis has to have; else it forgets them at its end.",
    ),
];

pub(super) static BUDGET: &[Field] = &[
    field(
        "max",
        Kind::Size(1),
        "20MB",
        "Bytes of Redis never exceeded.",
    ),
    field(
        "evict_at",
        Kind::Size(1),
        "",
        "Bytes from which on entries leave, low priority first. Default: 90 % of max.",
    ),
    field(
        "check_every",
        Kind::Wait,
        "30s",
        "How often the budget is checked, by one sidecar for all.",
    ),
    field(
        "evict_percent",
        Kind::Count(1, 90),
        "15",
        "Percentage of what is used that leaves when a check finds evict_at passed.",
    ),
    field(
        "evict_percent_on_store",
        Kind::Count(1, 90),
        "20",
        "Percentage of what is used that leaves for a store that would pass evict_at.",
    ),
    field(
        "order",
        Kind::OneOf(&["value", "expiry"]),
        "value",
        "What leaves first of one priority: what saves the fewest hits for each byte, or what expires first.",
    ),
    field(
        "compress_over",
        Kind::Size(0),
        "4KB",
        "Bodies longer than this are kept in zstd if that saves a fifth.",
    ),
    field(
        "manage_server",
        Kind::Flag,
        "false",
        "Set the server's maxmemory to max and its policy to noeviction, where it allows that.",
    ),
];

pub(super) static MEMORY: &[Field] = &[
    field("max", Kind::Size(0), "64MiB", "Bytes; 0B switches it off."),
    field(
        "in_flight",
        Kind::Size(1 << 20),
        "128MiB",
        "Bytes of bodies on their way, beside those in the tier; past it nothing large is stored.",
    ),
    field(
        "per_body",
        Kind::Size(64 << 10),
        "64KiB",
        "What connections hold of a body that only goes through, while its receiver is slow.",
    ),
];

pub(super) static DEFAULTS: &[Field] = &[
    field(
        "unmatched",
        Kind::OneOf(&["pass", "rfc9111"]),
        "pass",
        "GETs that no route matches: pass to the app, or cache by their own header fields.",
    ),
    field(
        "max_variables",
        Kind::Size(0),
        "256KiB",
        "The largest part of a JSON body read for {body.…} and {response.…}.",
    ),
    field(
        "unsafe_headers",
        Kind::Texts,
        "",
        "Header fields by which the app takes a request for another one: with one, it passes.",
    ),
    field(
        "purge_fields",
        Kind::Texts,
        "",
        "Fields by which the answer to a write names tags to purge, such as surrogate-purge; no client sees them.",
    ),
    field(
        "trusted_identity",
        Kind::Texts,
        "",
        "Header fields that a gateway sets and no client can; in a key they count as identity.",
    ),
    field(
        "credential_headers",
        Kind::Texts,
        "",
        "Header fields that say who asks, beside Authorization and those whose names show it.",
    ),
    field(
        "cache_status_key",
        Kind::Flag,
        "false",
        "Tell the key in Cache-Status. It may hold what identifies a person.",
    ),
];

pub(super) static JWT: &[Field] = &[
    field(
        "source",
        Kind::OneOf(&["authorization", "cookie", "header"]),
        "authorization",
        "Where the token is: Authorization: Bearer, a cookie, or another header field.",
    ),
    field(
        "cookie",
        Kind::Text,
        "",
        "The cookie's name, with source = \"cookie\".",
    ),
    field(
        "header",
        Kind::Text,
        "",
        "The field's name, with source = \"header\"; \"Bearer \" may stand before the token.",
    ),
    field(
        "secret",
        Kind::Text,
        "",
        "Shared secret (HS256, HS384, HS512). Give exactly one of the keys.",
    ),
    field(
        "secret_file",
        Kind::File,
        "",
        "File of a shared secret, taken anew when it changes.",
    ),
    field("public_key", Kind::Text, "", "Public key in PEM."),
    field(
        "public_key_file",
        Kind::File,
        "",
        "File of a public key in PEM, taken anew when it changes.",
    ),
    field(
        "jwks_file",
        Kind::File,
        "",
        "File of a JWKS document, taken anew when it changes.",
    ),
    field(
        "jwks_url",
        Kind::Text,
        "",
        "URL of a JWKS document (https), fetched at the start and renewed.",
    ),
    field(
        "jwks_stale",
        Kind::Duration,
        "1h",
        "How long keys of jwks_url still count that could not be renewed.",
    ),
    field(
        "jwks_ca_file",
        Kind::File,
        "",
        "PEM file of further certificate authorities, for jwks_url.",
    ),
    field(
        "algorithms",
        Kind::ManyOf(ALGORITHMS),
        "",
        "Accepted algorithms. Default: what the key is for.",
    ),
    field("issuer", Kind::Text, "", "Required iss."),
    field(
        "audience",
        Kind::TextOrTexts,
        "",
        "Required aud; of several one is enough.",
    ),
    field(
        "leeway",
        Kind::Duration,
        "0s",
        "Allowed clock difference for exp and nbf.",
    ),
];

pub(super) static AUTH: &[Field] = &[
    field(
        "url",
        Kind::Text,
        "",
        "Path of the app that says who asks, such as /api/auth/session. Required.",
    ),
    field(
        "cookies",
        Kind::Texts,
        "",
        "Cookies that it is sent and speaks of: names, sess_*. Default: all but those in defaults.ignore_cookies.",
    ),
    field(
        "forward",
        Kind::Texts,
        "",
        "Header fields that it is sent and speaks of, beside Cookie and Authorization.",
    ),
    field(
        "allow",
        Kind::Counts(200, 499),
        "200",
        "Statuses by which it says that somebody may.",
    ),
    field(
        "ttl",
        Kind::Duration,
        "30s",
        "How long what it says is kept for the same credentials.",
    ),
    field(
        "timeout",
        Kind::Wait,
        "2s",
        "The longest wait for it; then the request passes.",
    ),
    field(
        "max",
        Kind::Count(1, 10_000_000),
        "10000",
        "Decisions kept; past that the least used leave, refusals first.",
    ),
    field(
        "max_checks",
        Kind::Count(1, 1_000_000),
        "256",
        "Checks under way at a time; further requests pass.",
    ),
    field(
        "max_body",
        Kind::Size(1),
        "64KiB",
        "The largest JSON document that it may answer with.",
    ),
];

pub(super) static ADMIN: &[Field] = &[
    field(
        "token",
        Kind::Text,
        "",
        "Bearer token of whatever is asked by POST or DELETE. Default: they are refused.",
    ),
    field(
        "read_token",
        Kind::Text,
        "",
        "Bearer token of what shows figures, /metrics among it; token serves as well. Default: anybody sees them.",
    ),
    field(
        "purge_methods",
        Kind::Flag,
        "false",
        "Whether the proxy carries out PURGE and BAN with the token in Pannier-Token, and forwards neither.",
    ),
    field(
        "tls_cert",
        Kind::File,
        "",
        "PEM file of a certificate and its chain; with it and tls_key the admin interface speaks TLS.",
    ),
    field(
        "tls_key",
        Kind::File,
        "",
        "PEM file of the certificate's private key.",
    ),
    field(
        "hosts",
        Kind::Texts,
        "",
        "Hosts answered for, beside loopback names and the address asked; \"*\" is any.",
    ),
];

pub(super) static ALERTS: &[Field] = &[
    field(
        "memory_percent",
        Kind::Count(0, 100),
        "95",
        "Percent used of the budget in Redis, or of what its server has room for if that is less, above which they warn; 0 is off.",
    ),
    field(
        "evictions_per_hour",
        Kind::Count(0, u32::MAX as u64),
        "200",
        "Entries that leave for space in an hour, of all sidecars of one Redis, above which they warn; 0 is off.",
    ),
    field(
        "keys",
        Kind::Count(0, u32::MAX as u64),
        "1500",
        "Stored keys above which they warn; 0 is off.",
    ),
    field(
        "hit_rate_percent",
        Kind::Count(0, 100),
        "70",
        "Percent of the last hour's lookups that are hits, below which they warn; 0 is off.",
    ),
    field(
        "stale_per_hour",
        Kind::Count(0, u32::MAX as u64),
        "1",
        "Stale answers that audits find in an hour, from which on they warn; 0 is off.",
    ),
    field(
        "webhook",
        Kind::Text,
        "",
        "URL that each alert is posted to as JSON when it begins and when it ends.",
    ),
    field(
        "webhook_ca_file",
        Kind::File,
        "",
        "PEM file of further certificate authorities, for webhook.",
    ),
];

pub(super) static LOG: &[Field] = &[
    field(
        "level",
        Kind::Text,
        "info",
        "error, warn, info, debug, trace, or a filter such as pannier=debug.",
    ),
    field(
        "format",
        Kind::OneOf(&["text", "json"]),
        "text",
        "For people, or one JSON object a line.",
    ),
    field(
        "access",
        Kind::Flag,
        "false",
        "A line for each answer, at info; requests without X-Request-Id get one.",
    ),
    field(
        "summary_every",
        Kind::Count(0, u32::MAX as u64),
        "10000",
        "A line of hit rate every so many requests; 0 is off.",
    ),
];
