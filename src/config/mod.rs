//! The config file, and the valid [`Config`] made of it: nothing behind this module checks again.
//!
//! `fields` lists every key once. `document` makes a tree of the TOML text, `overrides` lays the
//! environment over it, `read` and `value` take typed values out of it, `compile` makes the
//! [`Config`]. All of them collect what is wrong, so that a user corrects a file in one go.

mod advice;
mod certificates;
mod compile;
mod document;
mod env;
pub(crate) mod fields;
mod interpolate;
pub mod jwt_key;
mod load;
mod networks;
mod overrides;
mod problem;
mod read;
mod redacted;
mod redis;
mod remote_url;
mod restart;
mod rules;
pub(crate) mod units;
mod usual_redis;
mod value;

#[cfg(test)]
mod tests;

pub use advice::Advice;
pub use certificates::Shown;
pub use env::Env;
pub use load::Loaded;
pub use networks::{Network, Networks};
pub use problem::{ConfigErrors, Position, Problem, Warning};
pub use redis::{
    ClientCertificate, Redis, RedisAccess, RedisLogin, RedisPassword, RedisServer, RedisServers,
    RedisTls,
};
pub use remote_url::RemoteUrl;
pub use rules::{
    Abandoned, ClientCacheControl, Coherence, EncodedSlash, Outage, PurgeRule, PurgedIdentity,
    Refetch, Route, Settings,
};
pub use units::{parse_duration, show_duration, show_size};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderName, StatusCode};

use crate::agenda::Warm;
use crate::politeness::RequestRate;
use crate::rollout::Mode;
use crate::routes::{
    CheckedCredentials, KeyedCredentials, PathSpelling, RouteMatcher, is_credential,
};

/// A config that cannot be wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[redis]`; `None`: memory only.
    pub redis: Option<Redis>,
    /// `[budget]`
    pub budget: Budget,
    /// `[memory]`
    pub memory: Memory,
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[jwt]`
    pub jwt: Option<Jwt>,
    /// `[auth]`
    pub auth: Option<Auth>,
    /// `[admin]`
    pub admin: Admin,
    /// `[alerts]`
    pub alerts: Alerts,
    /// Of the file's text, or of the address without one: 48 bits, so that a float holds it. Equal files have equal ones.
    pub hash: u64,
    /// `[log]`
    pub log: Log,
    /// `[jobs]`
    pub jobs: Jobs,
    /// The `[[warm]]` tables, in file order.
    pub warms: Vec<Warm>,
    /// The `[[route]]` tables, in file order.
    pub routes: Vec<Route>,
    /// Method and path to index into `routes`.
    pub matcher: RouteMatcher,
    /// The `[[purge]]` tables, in file order. Every one that matches a write is carried out.
    pub purges: Vec<PurgeRule>,
    /// Whether any of them is for GET or HEAD.
    pub has_purges_of_reads: bool,
    /// `PANNIER_MODE`: the most that any rule is, whatever the file and switches say.
    pub ceiling: Mode,
}

/// Where the proxy and the admin interface listen, and the limits on clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Default `0.0.0.0:8080`.
    pub proxy: SocketAddr,
    /// Default `127.0.0.1:9180`.
    pub admin: SocketAddr,
    /// Worker threads; default: one per core.
    pub workers: usize,
    /// Connections over all workers; for a further one the idlest is closed, or it waits in the backlog. Default
    /// 10,000.
    pub max_connections: usize,
    /// From a connection's (or the previous answer's) end to a whole request head. Default 10 s.
    pub header_timeout: Duration,
    /// Between two reads of a request body. Default 30 s.
    pub body_timeout: Duration,
    /// A connection without a request, or a client that takes nothing of its answer. Default 75 s.
    pub idle_timeout: Duration,
    /// Bytes a second: one that moves gives a client so much of `body_timeout` or `idle_timeout` back; 0: all of
    /// it. Default 100 B/s.
    pub min_rate: u64,
    /// Bytes of a request head. Default 64 KiB.
    pub max_head: usize,
    /// After SIGTERM, how long clients are still accepted. Default 3 s.
    pub drain_delay: Duration,
    /// A path that says whether the sidecar is ready.
    pub ready_path: Option<String>,
    /// After that, the longest wait for requests in flight. Default 30 s.
    pub drain_timeout: Duration,
    /// What becomes of header fields with `_` in their names. Default: dropped.
    pub underscores: Underscores,
    /// Whose `X-Forwarded-*` and `Forwarded` are believed. Default: nobody's.
    pub trusted_proxies: Networks,
    /// Whether the host is the one that these say. Default: it is that of `Host`.
    pub forwarded_host: bool,
    /// What becomes of those fields from anybody else. Default: dropped where there are trusted proxies.
    pub untrusted_forwarded: UntrustedForwarded,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// `None`: the proxy speaks plain HTTP.
    pub tls: Option<Tls>,
}

/// What becomes of header fields with `_` in their names: CGI and WSGI apps read them as those with `-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are taken out of the request.
    #[default]
    Drop,
    /// The app gets them.
    Pass,
}

/// What becomes of `X-Forwarded-*` and `Forwarded` from whom nobody says that it is a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UntrustedForwarded {
    /// They are taken out of the request.
    Drop,
    /// The app gets them; a GET passes if they say something else than the request.
    #[default]
    Pass,
}

/// TLS towards clients.
#[derive(Clone)]
pub struct Tls {
    /// PEM file of the certificate and its chain.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// When the certificate ends; `None`: it does not say so in a way that is understood.
    pub ends: Option<SystemTime>,
    /// Made of both: what the handshake needs.
    pub server: Arc<rustls::ServerConfig>,
}

impl PartialEq for Tls {
    /// The same files, read at the same time.
    fn eq(&self, other: &Tls) -> bool {
        Arc::ptr_eq(&self.server, &other.server)
    }
}

/// The app.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// `http://host:port`, `https://host:port` or `unix:/path/to.sock`.
    pub target: Target,
    /// From the request sent to the answer's head. Default 30 s.
    pub timeout: Duration,
    /// For TCP and TLS. Default 5 s.
    pub connect_timeout: Duration,
    /// Between two reads of the answer's body. Default 60 s.
    pub body_timeout: Duration,
    /// How long an idle connection is kept. Default 60 s.
    pub idle_timeout: Duration,
    /// Idle connections kept per worker. Default 64.
    pub max_idle: usize,
    /// Most fills at a time in the process; further misses wait. Default 1,024.
    pub max_fills: usize,
    /// A PEM file of further certificate authorities for `https://`.
    pub ca_file: Option<PathBuf>,
    /// Whether `Host` goes to the app as the client sent it (default) or as in `url`.
    pub preserve_host: bool,
    /// Whether the app is spoken to in HTTP/2.
    pub http2: bool,
    /// Which spellings of a path are one to the app. Default: each is its own.
    pub paths: PathSpelling,
    /// How often it is asked for what no client waits for.
    pub background: BackgroundLimits,
    /// How often it is asked at all; `None`: as often as need be.
    pub limit: Option<AppLimit>,
}

/// `[upstream] rate` with what belongs to it: how often the app is asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppLimit {
    /// Requests in a time.
    pub rate: RequestRate,
    /// The most that wait for their turn. Default 1,000.
    pub queue: usize,
    /// And for how long. Default 5 s.
    pub queue_timeout: Duration,
}

/// `[upstream] background`: how often the app is asked for what no client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackgroundLimits {
    /// Default 20 a second.
    pub rate: RequestRate,
    /// Requests under way at a time. Default 4.
    pub concurrency: usize,
}

impl Default for BackgroundLimits {
    fn default() -> BackgroundLimits {
        BackgroundLimits {
            rate: RequestRate::per_second(20),
            concurrency: 4,
        }
    }
}

impl Upstream {
    /// Which spellings of a path are one to the app; `None`: each is its own.
    pub fn spelling(&self) -> Option<&PathSpelling> {
        Some(&self.paths).filter(|paths| !paths.is_strict())
    }
}

/// The app's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Plain TCP; `host:port`.
    Http(http::uri::Authority),
    /// TLS; `host:port`.
    Https(http::uri::Authority),
    /// A unix socket.
    Unix(PathBuf),
}

/// What Pannier may use of the shared Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Bytes never exceeded. Default 20 MB.
    pub max: u64,
    /// Bytes from which on entries are evicted. Default 90 % of `max`.
    pub evict_at: u64,
    /// How often the budget is checked. Default 30 s.
    pub check_every: Duration,
    /// The percentage of what is used that a check evicts. Default 15.
    pub evict_percent: u64,
    /// The same of a store that would pass `evict_at`. Default 20.
    pub evict_percent_on_store: u64,
    /// Who leaves first of one priority.
    pub order: EvictionOrder,
    /// Longer bodies are kept compressed. Default 4 KB.
    pub compress_over: usize,
    /// Whether Pannier sets the server's `maxmemory` and policy.
    pub manage_server: bool,
}

/// `[budget] order`: who leaves Redis first, of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionOrder {
    /// What has saved the fewest hits for each byte, those of long ago counting less.
    #[default]
    Value,
    /// What expires first.
    Expiry,
}

/// The tier in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Bytes; 0 switches the tier off. Default 64 MiB.
    pub max: u64,
    /// Bytes of bodies outside of both tiers. Default 128 MiB.
    pub in_flight: u64,
    /// Bytes that connections hold of a body that goes through. Default 64 KiB.
    pub per_body: u64,
}

/// What requests are that no route matches, and what all requests have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// What happens to a GET that no rule matches.
    pub unmatched: Unmatched,
    /// Of unmatched requests under `rfc9111`.
    pub settings: Settings,
    /// The largest part of a JSON body read for variables. Default 256 KiB.
    pub max_variables: usize,
    /// Fields that a gateway in front of Pannier sets and no client can: they count as identity.
    pub trusted_identity: Vec<HeaderName>,
    /// Fields that make the app take a request for another one.
    pub unsafe_headers: Vec<HeaderName>,
    /// Fields by which the answer to a write names tags to purge.
    pub purge_fields: Vec<HeaderName>,
    /// Fields that say who asks as `Authorization` does, beside those that do by their name.
    pub credential_headers: Vec<HeaderName>,
    /// What the key of unmatched requests carries of a requester.
    pub credentials: KeyedCredentials,
    /// Whether `Cache-Status` tells the key (RFC 9211 §2.7). Default false.
    pub cache_status_key: bool,
}

impl Defaults {
    /// Whether this field says who asks: by its name, or by what the file says of it. The field of `[jwt] header` is one
    /// of `credential_headers`.
    pub fn says_who_asks(&self, name: &HeaderName) -> bool {
        is_credential(name.as_str()) || self.named_credentials().any(|field| field == name)
    }

    /// The fields that say who asks by what the file says of them.
    pub fn named_credentials(&self) -> impl Iterator<Item = &HeaderName> {
        self.credential_headers.iter().chain(&self.trusted_identity)
    }
}

/// `[defaults] unmatched`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Passed to the app.
    Pass,
    /// Cached by its own header fields, under host and URI.
    Rfc9111,
}

/// How tokens are verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// The field that carries the token. Default `authorization` (scheme `Bearer`).
    pub source: JwtSource,
    /// What verifies it, as it was when the config was read.
    pub key: JwtKey,
    /// Where that is from, and may have changed.
    pub origin: KeyOrigin,
    /// Accepted algorithms, by JWA name; never `none`.
    pub algorithms: Vec<String>,
    /// Required `iss`.
    pub issuer: Option<String>,
    /// `aud` has to have one of these; none: any.
    pub audience: Vec<String>,
    /// Allowed clock difference for `exp` and `nbf`. Default 0 s.
    pub leeway: Duration,
}

/// Where the token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtSource {
    /// `Authorization: Bearer …`
    Authorization,
    /// A cookie's value.
    Cookie(String),
    /// Another header field; the scheme `Bearer` may stand before the token.
    Header(HeaderName),
}

/// The verifying key.
#[derive(Clone, PartialEq)]
pub enum JwtKey {
    /// A shared secret (HS256, HS384, HS512).
    Secret(Vec<u8>),
    /// A public key in PEM.
    Pem(Vec<u8>),
    /// A JWKS document.
    Jwks(String),
}

/// The check of the app's own that says who asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// Its path and query.
    pub url: PathAndQuery,
    /// What it is sent of a request's credentials.
    pub credentials: CheckedCredentials,
    /// Statuses by which it says that somebody may. Default 200.
    pub allow: Vec<StatusCode>,
    /// How long what it says is kept. Default 30 s.
    pub ttl: Duration,
    /// The longest wait for it. Default 2 s.
    pub timeout: Duration,
    /// Decisions kept. Default 10,000.
    pub max: usize,
    /// Checks under way at a time. Default 256.
    pub max_checks: usize,
    /// The largest document. Default 64 KiB.
    pub max_body: usize,
    /// The names that templates read of the document, sorted.
    pub names: Vec<Vec<String>>,
}

impl Auth {
    /// `[auth] max` where there is no such table.
    pub const DEFAULT_MAX: usize = 10_000;
}

/// `require` of a rule: who alone is answered from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// Whom the check of `[auth]` allows.
    Auth,
    /// Whoever has a valid token.
    Jwt,
}

impl Require {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Require::Auth => "auth",
            Require::Jwt => "jwt",
        }
    }
}

/// How a verifying key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// A shared secret.
    Secret,
    /// A public key in PEM.
    Pem,
    /// A JWKS document (RFC 7517 §5).
    Jwks,
}

/// Where the verifying key is from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyOrigin {
    /// Written in the config.
    Config,
    /// This file, which may be replaced at any time.
    File(PathBuf),
    /// This URL; until it has been fetched there is no key.
    Url(JwksUrl),
}

/// Where a JWKS document is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl {
    /// `https://…`, or `http://…` of this machine.
    pub url: RemoteUrl,
    /// How long keys still count that could not be renewed in time. Default 1 h.
    pub stale: Duration,
    /// The least time between two fetches. No key of the file: 30 s, unless a test has less time.
    pub least: Duration,
}

/// The admin interface.
#[derive(Clone, PartialEq)]
pub struct Admin {
    /// Whether the proxy carries out `PURGE` and `BAN` with the token itself. Default false.
    pub purge_methods: bool,
    /// The bearer token of `POST /purge` and `POST /explain`; `None`: refused.
    pub token: Option<String>,
    /// The bearer token of whatever shows figures; `None`: anybody may see them.
    pub read_token: Option<String>,
    /// What it speaks TLS with; `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Hosts that it answers for, beside loopback names and its own address; `*` is any. Default none.
    pub hosts: Vec<String>,
}

/// `[alerts]`: what `/stats` and the page warn of; without the table of none of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Percent of the budget in Redis that may be used. Default 95.
    pub memory_percent: Option<u64>,
    /// Entries that may leave for space in an hour. Default 200.
    pub evictions_per_hour: Option<u64>,
    /// Keys that may be stored. Default 1,500.
    pub keys: Option<u64>,
    /// Percent that the hit rate of the last hour has to have. Default 70.
    pub hit_rate_percent: Option<u64>,
    /// Stale answers that audits find in an hour, from which on they warn. Default 1.
    pub stale_per_hour: Option<u64>,
    /// Where each change is posted; `None`: nowhere.
    pub webhook: Option<RemoteUrl>,
}

/// What is fetched without a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// How many of the keys hit most are fetched after a flush or a start; 0: none. Default 0.
    pub hot: usize,
    /// The longest that readiness waits for jobs. Default 30 s.
    pub ready_within: Duration,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A `tracing` filter, such as `info` or `pannier=debug`. Default `info`.
    pub level: String,
    /// Default text.
    pub format: LogFormat,
    /// Whether each answer has a line. Default false.
    pub access: bool,
    /// A summary line every so many requests; 0 is off. Default 10,000.
    pub summary_every: u64,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
