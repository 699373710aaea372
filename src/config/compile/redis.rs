//! `[redis]`: the shared store.

mod access;
mod servers;
mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::Input;
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{Outage, Redis};

const LONGEST_NAMESPACE: usize = 64;
const SHORTEST_STALENESS: Duration = Duration::from_millis(100);

pub(super) fn read_redis(input: &Input<'_>, problems: &mut Problems) -> Option<Redis> {
    input.document.table("redis")?;
    let mut reader = input.reader("redis", problems);
    let found = servers::read_servers(&mut reader);
    let access = access::read_access(&mut reader, input, found.as_ref());
    let breaker_failures = reader.count("breaker_failures").unwrap_or_default();
    Some(Redis {
        namespace: read_namespace(&mut reader),
        connections: reader.count("connections").unwrap_or(1) as usize,
        timeout: reader.duration("timeout"),
        reconnect_max: reader.duration("reconnect_max"),
        breaker_failures: u32::try_from(breaker_failures).unwrap_or(u32::MAX),
        breaker_probe: reader.duration("breaker_probe"),
        staleness: read_staleness(&mut reader),
        outage: parse_outage(&reader.word("outage")),
        outage_ttl: reader.duration("outage_ttl"),
        journal: read_journal(&mut reader, input),
        looks_by_lease: false,
        layout: None,
        database: found.as_ref().map_or(0, |found| found.database),
        servers: found?.servers,
        access,
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
