//! Where Redis is: a URL, or host and port, or a cluster's nodes, or sentinels.

use http::uri::Authority;

use super::url;
use crate::config::compile::upstream::with_port;
use crate::config::read::Reader;
use crate::config::{RedisLogin, RedisServer, RedisServers};

/// The keys that say where Redis is; exactly one of them is given.
const WHERE: [&str; 4] = ["url", "host", "nodes", "sentinels"];

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What one of them says.
pub(super) struct Found {
    /// The key that says it.
    pub(super) key: &'static str,
    pub(super) servers: RedisServers,
    pub(super) database: u8,
    pub(super) is_tls: bool,
    /// Of a URL.
    pub(super) login: RedisLogin,
    pub(super) sentinel_login: RedisLogin,
}

pub(super) fn read_servers(reader: &mut Reader<'_>) -> Option<Found> {
    let given: Vec<&'static str> = WHERE.into_iter().filter(|key| reader.gives(key)).collect();
    let key = given.first().copied().unwrap_or("url");
    if let [.., last] = given[..]
        && given.len() > 1
    {
        let what = format!("{} are given at once", given.join(" and "));
        let remedy = format!("give exactly one of {}", WHERE.join(", "));
        reader.reject(last, what, remedy);
    }
    refuse_what_does_not_go_with(reader, key);
    // All are read, so that all are reported.
    let port = reader.count("port");
    let database = reader.count("database").unwrap_or_default();
    let is_tls = reader.flag("tls");
    let master = reader.text("master");
    let [nodes, sentinels] = [("nodes", PORT), ("sentinels", SENTINEL_PORT)]
        .map(|(key, default)| read_list(reader, key, default));
    let servers = match key {
        "url" => return url::read_url(reader),
        "host" => RedisServers::Single(read_host(reader, port)?),
        "nodes" => RedisServers::Cluster(nodes?),
        _ => {
            if !reader.gives("master") {
                let remedy =
                    "write the name that the sentinels have for the primary, such as \"mymaster\"";
                reader.reject("master", "it is missing", remedy);
            }
            RedisServers::Sentinel {
                sentinels: sentinels?,
                master: master?,
            }
        }
    };
    Some(Found {
        key,
        servers,
        database: u8::try_from(database).unwrap_or(u8::MAX),
        is_tls,
        login: RedisLogin::default(),
        sentinel_login: RedisLogin::default(),
    })
}

/// Keys that say something only beside others.
fn refuse_what_does_not_go_with(reader: &mut Reader<'_>, given: &str) {
    const SENTINEL_KEYS: [&str; 4] = [
        "master",
        "sentinel_user",
        "sentinel_password",
        "sentinel_password_file",
    ];
    let mut refuse = |key: &str, what: &str, remedy: String| {
        if reader.gives(key) {
            reader.reject(key, what, remedy);
        }
    };
    if given == "url" {
        for key in ["port", "database", "tls"] {
            let remedy = format!("write it into url, or host = \"…\" and {key} without url");
            refuse(key, "url says that itself", remedy);
        }
    } else if given != "host" {
        let remedy = format!("write it behind each host of {given}, as in \"host:{PORT}\"");
        refuse("port", "each server has its own", remedy);
    }
    if given == "nodes" {
        let what = "a cluster has no numbered databases";
        refuse("database", what, "leave database out".to_owned());
    }
    if given != "sentinels" {
        for key in SENTINEL_KEYS {
            let remedy = format!("add sentinels = [\"host:{SENTINEL_PORT}\"], or leave {key} out");
            refuse(key, "there are no sentinels", remedy);
        }
    }
}

fn read_host(reader: &mut Reader<'_>, port: Option<u64>) -> Option<RedisServer> {
    let host = reader.text("host")?;
    let port = port.and_then(|port| u16::try_from(port).ok());
    let host = host.trim_matches(['[', ']']);
    let (what, remedy) = if host.contains("://") {
        ("it is a URL", format!("write url = \"{host}\" instead"))
    } else if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
        let remedy = "write the name or address alone, and port = 6379";
        ("it has a port", remedy.to_owned())
    } else if host.contains(['/', '@', ' ', '?', '#']) {
        let remedy = "write such as \"redis.internal\" or \"10.0.0.5\"";
        ("it is neither a name nor an address", remedy.to_owned())
    } else {
        return Some(RedisServer {
            host: host.to_owned(),
            port: port.unwrap_or(PORT),
        });
    };
    reader.reject("host", what, remedy);
    None
}

/// `None`: the key is not given, or an error has been reported.
fn read_list(reader: &mut Reader<'_>, key: &str, default: u16) -> Option<Vec<RedisServer>> {
    let is_given = reader.gives(key);
    let given = reader.texts(key);
    if is_given && given.is_empty() && reader.is_clean() {
        let remedy =
            format!("write such as {key} = [\"10.0.0.5:{default}\", \"10.0.0.6:{default}\"]");
        reader.reject(key, "it names none", remedy);
    }
    let mut servers = Vec::with_capacity(given.len());
    for (position, text) in given {
        match parse_server(&text, default) {
            Ok(server) => servers.push(server),
            Err((what, remedy)) => reader.reject_at(position, key, what, remedy),
        }
    }
    (!servers.is_empty()).then_some(servers)
}

/// `host:port`, or the host alone.
fn parse_server(text: &str, default: u16) -> Result<RedisServer, (String, String)> {
    let wrong = || {
        (
            format!("\"{text}\" is not a host and port"),
            format!(
                "write such as \"10.0.0.5:{default}\", and user and password in keys of their own"
            ),
        )
    };
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    if text.contains('@') {
        return Err(wrong());
    }
    let authority = with_port(&authority, default)?;
    Ok(RedisServer {
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority.port_u16().unwrap_or(default),
    })
}
