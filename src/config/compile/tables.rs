//! The plain tables: listen, budget, memory, defaults, admin and log.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::gateways::{
    read_forwarded_host, read_proxy_protocol, read_trusted_proxies, read_untrusted_forwarded,
};
use super::readable::warn_of_readable_config;
use super::remote_url::parse_url;
use super::settings::read_settings;
use super::upstream::read_ca_file;
use super::words::read_header_names;
use super::{Input, tls};
use crate::config::problem::{Problems, did_you_mean};
use crate::config::read::Reader;
use crate::config::{
    Admin, Alerts, Budget, Defaults, EvictionOrder, Jwt, JwtSource, Listen, Log, LogFormat, Memory,
    RemoteUrl, Underscores, Unmatched,
};
use crate::http_cache::CacheControlMode;
use crate::http_cache::vary::CookieNames;
use crate::routes::{CheckedCredentials, CredentialSettings, KeyedCredentials, Template};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Shorter tokens can be guessed.
const LEAST_TOKEN: usize = 16;

pub(super) fn read_listen(input: &Input<'_>, problems: &mut Problems) -> Listen {
    let reader = &mut input.reader("listen", problems);
    let trusted_proxies = read_trusted_proxies(reader);
    let listen = Listen {
        forwarded_host: read_forwarded_host(reader, &trusted_proxies),
        proxy_protocol: read_proxy_protocol(reader, &trusted_proxies),
        untrusted_forwarded: read_untrusted_forwarded(reader, &trusted_proxies),
        trusted_proxies,
        proxy: reader.address("proxy"),
        admin: reader.address("admin"),
        workers: to_usize(reader.count("workers")).unwrap_or_else(count_cores),
        max_connections: to_usize(reader.count("max_connections")).unwrap_or(1),
        header_timeout: reader.duration("header_timeout"),
        body_timeout: reader.duration("body_timeout"),
        idle_timeout: reader.duration("idle_timeout"),
        min_rate: reader.size("min_rate").unwrap_or_default(),
        max_head: reader.length("max_head").unwrap_or_default(),
        underscores: match reader.word("underscores").as_str() {
            "pass" => Underscores::Pass,
            _ => Underscores::Drop,
        },
        drain_delay: reader.duration("drain_delay"),
        ready_path: read_ready_path(reader),
        drain_timeout: reader.duration("drain_timeout"),
        tls: tls::read_tls(reader, input),
    };
    if reader.is_clean() && collide(listen.proxy, listen.admin) {
        reader.reject(
            "admin",
            format!("{} is also the proxy's address", listen.admin),
            "write another port",
        );
    }
    listen
}

pub(super) fn read_budget(reader: &mut Reader<'_>) -> Budget {
    let max = reader.size("max").unwrap_or_default();
    let evict_at = reader
        .size("evict_at")
        .unwrap_or_else(|| take_percent(max, 90));
    if reader.is_clean() && evict_at > max {
        reader.reject("evict_at", "it is above max", "write about 90 % of max");
    } else if reader.is_clean() && reader.gives("evict_at") && evict_at >= take_percent(max, 95) {
        reader.warn(
            "evict_at",
            "it leaves under 5 % of max for what arrives in the meantime",
            "write about 90 % of max",
        );
    }
    Budget {
        max,
        evict_at,
        check_every: reader.duration("check_every"),
        evict_percent: reader.count("evict_percent").unwrap_or(1),
        evict_percent_on_store: reader.count("evict_percent_on_store").unwrap_or(1),
        order: match reader.word("order").as_str() {
            "expiry" => EvictionOrder::Expiry,
            _ => EvictionOrder::Value,
        },
        compress_over: reader.length("compress_over").unwrap_or_default(),
        manage_server: reader.flag("manage_server"),
    }
}

fn take_percent(bytes: u64, percent: u64) -> u64 {
    // Divided first, so that no size overflows.
    bytes / 100 * percent + bytes % 100 * percent / 100
}

pub(super) fn read_memory(reader: &mut Reader<'_>) -> Memory {
    Memory {
        max: reader.size("max").unwrap_or_default(),
        in_flight: reader.size("in_flight").unwrap_or_default(),
        per_body: reader.size("per_body").unwrap_or_default(),
    }
}

/// `jwt`: where its token is, a credential is.
pub(super) fn read_defaults(reader: &mut Reader<'_>, jwt: Option<&Jwt>) -> Defaults {
    let mut settings = read_settings(reader);
    // An unmatched answer is kept for as long as it says itself, unless what it says does not count.
    if settings.policy.cache_control == CacheControlMode::Respect {
        settings.policy.ttl = None;
    }
    let trusted_identity = read_trusted_identity(reader);
    let mut credential_headers = read_header_names(reader, "credential_headers");
    if let Some(JwtSource::Header(name)) = jwt.map(|jwt| &jwt.source) {
        credential_headers.push(name.clone());
    }
    let irrelevant = CookieNames::default().with(settings.ignore_cookies.iter().cloned());
    let identity = CredentialSettings {
        shared_by: &[],
        irrelevant: &irrelevant,
        trusted: &trusted_identity,
        further: &credential_headers,
        checked: &CheckedCredentials::default(),
    };
    Defaults {
        credentials: KeyedCredentials::new(&Template::default_key(), identity),
        unmatched: match reader.word("unmatched").as_str() {
            "rfc9111" => Unmatched::Rfc9111,
            _ => Unmatched::Pass,
        },
        settings,
        max_variables: reader.length("max_variables").unwrap_or_default(),
        unsafe_headers: read_header_names(reader, "unsafe_headers"),
        purge_fields: read_header_names(reader, "purge_fields"),
        trusted_identity,
        credential_headers,
        cache_status_key: reader.flag("cache_status_key"),
    }
}

pub(super) fn read_admin(input: &Input<'_>, listen: &Listen, problems: &mut Problems) -> Admin {
    let reader = &mut input.reader("admin", problems);
    let token = read_token(reader, "token", input);
    if token.is_none() && !listen.admin.ip().is_loopback() {
        let what = format!(
            "listen.admin {} can be reached from outside and no token is set",
            listen.admin
        );
        reader.warn("token", what, "set a token, or listen on 127.0.0.1");
    }
    let shown_by = read_token(reader, "read_token", input);
    let purge_methods = reader.flag("purge_methods");
    if purge_methods && token.is_none() {
        reader.reject(
            "purge_methods",
            "no token is set, so that nobody may purge",
            "set [admin] token, or PANNIER_ADMIN_TOKEN, or leave this out",
        );
    }
    Admin {
        purge_methods,
        token,
        read_token: shown_by,
        tls: tls::read_admin_tls(reader, input),
        hosts: read_hosts(reader),
    }
}

/// Names and addresses for which the admin interface answers, without ports.
fn read_hosts(reader: &mut Reader<'_>) -> Vec<String> {
    let hosts = reader.texts("hosts");
    for (position, host) in &hosts {
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if host != "*" && !is_name && host.parse::<IpAddr>().is_err() {
            let remedy =
                "write such as \"pannier.internal\" or \"10.0.0.7\", without scheme and port";
            let what = format!("\"{host}\" is not a host");
            reader.reject_at(position.clone(), "hosts", what, remedy);
        }
    }
    hosts.into_iter().map(|(_, host)| host).collect()
}

fn read_token(reader: &mut Reader<'_>, key: &'static str, input: &Input<'_>) -> Option<String> {
    let token = reader.text(key);
    warn_of_readable_config(reader, key, input.file());
    match &token {
        // RFC 6750 §2.1: what a Bearer token may hold; any other could never be sent.
        Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            reader.reject(
                key,
                "it has spaces or control characters",
                "write letters and digits only",
            );
        }
        Some(token) if token.len() < LEAST_TOKEN => {
            let remedy = format!("write at least {LEAST_TOKEN} random characters");
            reader.reject(key, "it is short enough to be guessed", remedy);
        }
        _ => {}
    }
    token
}

/// Without the table there are none: no user has asked for these.
pub(super) fn read_alerts(input: &Input<'_>, problems: &mut Problems) -> Alerts {
    if input.document.table("alerts").is_none() {
        return Alerts::default();
    }
    let reader = &mut input.reader("alerts", problems);
    let mut threshold = |key| reader.count(key).filter(|threshold| *threshold > 0);
    Alerts {
        memory_percent: threshold("memory_percent"),
        evictions_per_hour: threshold("evictions_per_hour"),
        keys: threshold("keys"),
        hit_rate_percent: threshold("hit_rate_percent"),
        stale_per_hour: threshold("stale_per_hour"),
        webhook: read_webhook(reader, input),
    }
}

/// Where alerts are posted.
fn read_webhook(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<RemoteUrl> {
    let text = reader.text("webhook");
    warn_of_readable_config(reader, "webhook", input.file());
    let ca_file = read_ca_file(reader, input, "webhook_ca_file");
    let Some(text) = text else {
        if ca_file.is_some() {
            reader.reject(
                "webhook_ca_file",
                "no alerts are posted",
                "add webhook, or leave webhook_ca_file out",
            );
        }
        return None;
    };
    let url = parse_url(&text, "https://hooks.example.com/services/…");
    let url = url.map_err(|(what, remedy)| reader.reject("webhook", what, remedy));
    Some(RemoteUrl {
        ca_file,
        ..url.ok()?
    })
}

pub(super) fn read_log(reader: &mut Reader<'_>) -> Log {
    let level = reader.word("level");
    let plain = level.chars().all(|c| c.is_ascii_alphabetic());
    // `EnvFilter` takes a lone unknown word for the name of a module, and would log nothing.
    let is_level = LEVELS.contains(&level.to_ascii_lowercase().as_str());
    if (plain && !is_level) || EnvFilter::try_new(&level).is_err() {
        let remedy = match did_you_mean(&level, LEVELS) {
            Some(near) if plain => format!("did you mean \"{near}\"?"),
            _ => "write such as \"info\" or \"warn,pannier=debug\"".to_owned(),
        };
        reader.reject("level", format!("\"{level}\" is not a log filter"), remedy);
    }
    let format = match reader.word("format").as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let access = reader.flag("access");
    if access && reader.is_clean() && is_silent_at_info(&level) {
        reader.warn(
            "access",
            format!(
                "lines of answers are of level info, and level = \"{level}\" lets none through"
            ),
            format!("write level = \"{level},pannier::access=info\""),
        );
    }
    Log {
        level,
        format,
        access,
        summary_every: reader.count("summary_every").unwrap_or_default(),
    }
}

fn is_silent_at_info(level: &str) -> bool {
    let filter = EnvFilter::try_new(level).ok();
    let most = filter.and_then(|filter| filter.max_level_hint());
    most.is_some_and(|most| most < LevelFilter::INFO)
}

fn read_trusted_identity(reader: &mut Reader<'_>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (position, text) in reader.texts("trusted_identity") {
        match text.parse::<HeaderName>() {
            Ok(name) if name == http::header::COOKIE || name == http::header::AUTHORIZATION => {
                reader.reject_at(
                    position,
                    "trusted_identity",
                    format!("clients themselves send {name}"),
                    "leave it out, and put {header.authorization}, {cookie.name} or {jwt.sub} into the keys",
                );
            }
            Ok(name) => names.push(name),
            Err(_) => reader.reject_at(
                position,
                "trusted_identity",
                format!("\"{text}\" is not the name of a header field"),
                "write such as \"x-user-id\"",
            ),
        }
    }
    names
}

fn read_ready_path(reader: &mut Reader<'_>) -> Option<String> {
    let path = reader.text("ready_path")?;
    if !path.starts_with('/') || path.contains(['{', '?', '#']) {
        let what = format!("\"{path}\" is not the path of a request");
        reader.reject("ready_path", what, "write such as \"/-/ready\"");
    }
    Some(path)
}

fn to_usize(count: Option<u64>) -> Option<usize> {
    count.and_then(|count| usize::try_from(count).ok())
}

fn count_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether one listener would take the other's connections. Port 0 is any free port.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}
