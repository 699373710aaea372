//! `[redis]`: the shared store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::Input;
use super::readable::warn_of_readable_config;
use super::upstream::read_ca_file;
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{Outage, Redis};

const SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
];
const LONGEST_NAMESPACE: usize = 64;
const SHORTEST_STALENESS: Duration = Duration::from_millis(100);

pub(super) fn read_redis(input: &Input<'_>, problems: &mut Problems) -> Option<Redis> {
    input.document.table("redis")?;
    let mut reader = input.reader("redis", problems);
    let url = read_url(&mut reader);
    // `user:password@host`
    if url.as_ref().is_some_and(|url| url.contains('@')) {
        warn_of_readable_config(&mut reader, "url", input.file());
    }
    if url.as_deref().is_some_and(has_plain_at) {
        let what = "its password has an @, which other programs take for the end of the password";
        let remedy = format!("percent-encode the password: {}", encoded('@'));
        reader.warn("url", what, remedy);
    }
    let ca_file = read_ca_file(&mut reader, input, "ca_file");
    let is_tls = url.as_ref().is_none_or(|url| url.starts_with("rediss"));
    if ca_file.is_some() && !is_tls {
        reader.reject(
            "ca_file",
            "url does not use TLS",
            "write rediss:// in url, or leave ca_file out",
        );
    }
    let breaker_failures = reader.count("breaker_failures").unwrap_or_default();
    Some(Redis {
        namespace: read_namespace(&mut reader),
        timeout: reader.duration("timeout"),
        reconnect_max: reader.duration("reconnect_max"),
        breaker_failures: u32::try_from(breaker_failures).unwrap_or(u32::MAX),
        breaker_probe: reader.duration("breaker_probe"),
        staleness: read_staleness(&mut reader),
        outage: parse_outage(&reader.word("outage")),
        outage_ttl: reader.duration("outage_ttl"),
        ca_file,
        journal: read_journal(&mut reader, input),
        layout: None,
        url: url?,
    })
}

/// The path, whose file is made at the start. A failed write is too late to say that there may be none.
fn read_journal(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<PathBuf> {
    let path = input.path(&reader.text("journal")?);
    if let Err(error) = may_write(&path) {
        let what = format!("{} cannot be written ({error})", path.display());
        let remedy = "write the path of a file in a folder that is there, and in which this user may make files";
        reader.reject("journal", what, remedy);
    }
    Some(path)
}

/// Whether the file may be written, or made where there is none.
fn may_write(path: &Path) -> rustix::io::Result<()> {
    let read_and_write = Access::READ_OK | Access::WRITE_OK;
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(rustix::io::Errno::ISDIR),
        Ok(_) => access(path, read_and_write),
        Err(_) => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            access(
                folder.unwrap_or(Path::new(".")),
                Access::WRITE_OK | Access::EXEC_OK,
            )
        }
    }
}

/// Redis is asked a few times within it, and has to answer one of them on a bad day.
fn read_staleness(reader: &mut Reader<'_>) -> Duration {
    let staleness = reader.duration("staleness");
    if staleness < SHORTEST_STALENESS {
        let what = "memory would be distrusted whenever Redis is a little late";
        reader.reject("staleness", what, "write 100ms or more");
    }
    staleness
}

/// `outage`, here or in a rule; the reader has checked the word.
pub(super) fn parse_outage(word: &str) -> Outage {
    match word {
        "pass" => Outage::Pass,
        _ => Outage::Serve,
    }
}

/// The URL, if fred takes it. Messages never show it: it may hold a password.
fn read_url(reader: &mut Reader<'_>) -> Option<String> {
    let url = reader.required(
        "url",
        "write redis://host:6379, or leave out [redis] for memory only",
    )?;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !SCHEMES.contains(&scheme) {
        let remedy = "write redis://, rediss://, redis-cluster:// or redis-sentinel://, \
                      then user:password@host:port";
        reader.reject("url", "it is not a Redis URL", remedy);
    } else if let Some(character) = unescaped(&url) {
        let what = format!("its password has a {character}, at which the address would end");
        let remedy = format!("percent-encode the password: {}", encoded(character));
        reader.reject("url", what, remedy);
    } else if let Err(error) = fred::types::config::Config::from_url(&url) {
        let what = format!("it cannot be read ({})", error.details());
        let remedy = "write redis://user:password@host:port/database, special characters of the \
                      password percent-encoded";
        reader.reject("url", what, remedy);
    }
    Some(url)
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

/// Part of every key and pattern in Redis: nothing in it may be a wildcard or a hash tag, and no
/// namespace may be the beginning of another (`:` ends it).
fn read_namespace(reader: &mut Reader<'_>) -> String {
    let namespace = reader.word("namespace");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !namespace.chars().all(allowed) || namespace.len() > LONGEST_NAMESPACE {
        let what = format!("\"{namespace}\" cannot be a namespace");
        let remedy =
            format!("write up to {LONGEST_NAMESPACE} of a-z, A-Z, 0-9, \".\", \"_\" and \"-\"");
        reader.reject("namespace", what, remedy);
    }
    namespace
}
