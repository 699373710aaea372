//! `[redis] url`, read as fred reads it.

use std::borrow::Cow;

use fred::types::config::{Config as Fred, Server, ServerConfig};

use super::servers::Found;
use crate::config::read::Reader;
use crate::config::{RedisLogin, RedisPassword, RedisServer, RedisServers};

const SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
];

/// What the URL says, if fred takes it. Messages never show it: it may hold a password.
pub(super) fn read_url(reader: &mut Reader<'_>) -> Option<Found> {
    let url = reader.required(
        "url",
        "write redis://host:6379 (or host, nodes or sentinels), or leave out [redis] for memory only",
    )?;
    if has_plain_at(&url) {
        let what = "its password has an @, which other programs take for the end of the password";
        let remedy = format!("percent-encode the password: {}", encoded('@'));
        reader.warn("url", what, remedy);
    }
    let (what, remedy) = match parse_url(&url) {
        Ok(found) => {
            if let Some(name) = find_unread(&url) {
                let what = format!("it says {name:?}, which nobody reads");
                let remedy =
                    "leave it out: what there is to set stands in [redis], such as ca_file for TLS";
                reader.warn("url", what, remedy);
            }
            return Some(found);
        }
        Err(wrong) => wrong,
    };
    reader.reject("url", what, remedy);
    None
}

/// What the URL says, or what is wrong and what to write.
pub(super) fn parse_url(url: &str) -> Result<Found, (String, String)> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !SCHEMES.contains(&scheme) {
        let remedy = "write redis://, rediss://, redis-cluster:// or redis-sentinel://, \
                      then user:password@host:port";
        return Err(("it is not a Redis URL".to_owned(), remedy.to_owned()));
    }
    if let Some(character) = unescaped(url) {
        let what = format!("its password has a {character}, at which the address would end");
        let remedy = format!("percent-encode the password: {}", encoded(character));
        return Err((what, remedy));
    }
    if let Some(wrong) = find_mistake(scheme, url) {
        return Err(wrong);
    }
    // Without TLS: for that fred would insist on the system's authorities.
    let is_tls = scheme.starts_with("rediss");
    let plain = match is_tls {
        true => url.replacen("rediss", "redis", 1),
        false => url.to_owned(),
    };
    let read = Fred::from_url(&plain).map_err(|error| {
        let what = format!("it cannot be read ({})", error.details());
        let remedy = "write redis://user:password@host:port/database, special characters of the \
                      password percent-encoded";
        (what, remedy.to_owned())
    })?;
    let mut sentinel_login = RedisLogin::default();
    let servers = match read.server {
        ServerConfig::Centralized { server } => RedisServers::Single(own_form(&server)),
        ServerConfig::Clustered { hosts, .. } => {
            RedisServers::Cluster(hosts.iter().map(own_form).collect())
        }
        ServerConfig::Sentinel {
            hosts,
            service_name: master,
            username,
            password,
        } => {
            sentinel_login = login(username, password);
            let sentinels = hosts.iter().map(own_form).collect();
            RedisServers::Sentinel { sentinels, master }
        }
    };
    Ok(Found {
        key: "url",
        servers,
        database: read.database.unwrap_or_default(),
        is_tls,
        login: login(read.username, read.password),
        sentinel_login,
    })
}

/// What fred reads of the query.
fn known_names(scheme: &str) -> &'static [&'static str] {
    match scheme.split_once('-') {
        Some((_, "cluster")) => &["node"],
        Some(_) => &[
            "node",
            "sentinelServiceName",
            "sentinelUsername",
            "sentinelPassword",
        ],
        None => &[],
    }
}

fn names_in(query: &str) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name)
}

/// What of the query nobody reads.
fn find_unread(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    let (_, query) = url.split_once('?')?;
    let known = known_names(scheme);
    let unread = names_in(query).find(|name| !known.contains(&&**name))?;
    Some(unread.into_owned())
}

/// What fred would ignore, or say in words of its own.
fn find_mistake(scheme: &str, url: &str) -> Option<(String, String)> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let is_of_sentinels = scheme.ends_with("-sentinel");
    let known = known_names(scheme);
    let mut names = names_in(query);
    if names.clone().any(|name| !known.contains(&&*name)) && query.contains('@') {
        let what = "its password has a ?, at which the address would end".to_owned();
        let remedy = format!("percent-encode the password: {}", encoded('?'));
        return Some((what, remedy));
    }
    if let Some(name) = names
        .clone()
        .find(|name| matches!(&**name, "db" | "database"))
    {
        let what = format!("it says {name:?}, which Pannier does not know");
        let remedy = "write the number behind the host: redis://host:6379/1";
        return Some((what, remedy.to_owned()));
    }
    let hosts = address.rsplit_once('@').map_or(address, |(_, hosts)| hosts);
    let database = hosts
        .trim_start_matches(scheme)
        .trim_start_matches("://")
        .split_once('/');
    if let Some((_, database)) = database
        .filter(|(_, database)| scheme.ends_with("-cluster") && !["", "0"].contains(database))
    {
        let what = format!("it names the database {database}, and a cluster has none but 0");
        return Some((what, "leave out the number behind the host".to_owned()));
    }
    if hosts.contains(',') {
        let remedy = match is_of_sentinels {
            true => "write sentinels = [\"host:port\", \"host:port\"] and master in place of url",
            false => "write nodes = [\"host:port\", \"host:port\"] in place of url",
        };
        return Some(("it has several hosts".to_owned(), remedy.to_owned()));
    }
    if is_of_sentinels && !names.any(|name| name == "sentinelServiceName") {
        let what = "it does not say which primary the sentinels are asked for".to_owned();
        let remedy = "write its name behind it, as ?sentinelServiceName=mymaster, or sentinels and master in place of url";
        return Some((what, remedy.to_owned()));
    }
    None
}

fn own_form(server: &Server) -> RedisServer {
    RedisServer {
        host: server.host.trim_matches(['[', ']']).to_owned(),
        port: server.port,
    }
}

fn login(user: Option<String>, password: Option<String>) -> RedisLogin {
    RedisLogin {
        user,
        password: password.map(RedisPassword::Text),
    }
}

fn has_plain_at(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.matches('@').count() > 1
}

/// The character of the password that ends the authority (RFC 3986 §3.2): what the user took for the host then stands
/// behind it, after an `@`.
fn unescaped(url: &str) -> Option<char> {
    let (_, rest) = url.split_once("://")?;
    let at = rest.find(['/', '?', '#'])?;
    let (authority, behind) = rest.split_at(at);
    let end = behind.chars().next()?;
    let behind = &behind[1..];
    // A query may have an `@`, in its values (`sentinelPassword`).
    let path = match end {
        '/' => behind.split('?').next()?,
        '?' => behind.split('=').next()?,
        _ => behind,
    };
    let is_cut = path.contains('@') && (end == '#' || !authority.contains('@'));
    is_cut.then_some(end)
}

/// The most likely characters, the found one first.
fn encoded(found: char) -> String {
    let known = [
        ('#', "%23"),
        ('@', "%40"),
        ('/', "%2F"),
        ('?', "%3F"),
        ('%', "%25"),
    ];
    let others = known.iter().filter(|(character, _)| *character != found);
    let own = known.iter().filter(|(character, _)| *character == found);
    let words: Vec<String> = own
        .chain(others)
        .map(|(character, code)| format!("{character} as {code}"))
        .collect();
    words.join(", ")
}
