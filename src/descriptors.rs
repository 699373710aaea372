//! File descriptors: how many this process may have, and how many clients fit into them.
//!
//! Each client has one, and the app another for what it asks. Without a reserve the crowd of clients takes those
//! of the admin interface, of Redis and of the connections to the app, and the health check fails first.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Admin connections (64), standard streams, watched files, and what libraries keep.
const RESERVE: u64 = 104;
/// A worker's runtime, its listener, its connections to Redis.
const RESERVE_BY_WORKER: u64 = 8;
/// Connections that are read from after their end, at most.
const LINGERING: u64 = 256;

/// How many descriptors there may be.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    limit: u64,
}

/// Too few descriptors for what the config asks, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    limit: u64,
    needed: u64,
    asked: usize,
    allowed: usize,
    max_idle: usize,
}

impl Descriptors {
    /// More than anyone needs.
    pub const UNLIMITED: Descriptors = Descriptors { limit: u64::MAX };

    /// As many as this process may ask for.
    pub fn available() -> Descriptors {
        let limit = getrlimit(Resource::Nofile).maximum;
        Descriptors {
            limit: limit.unwrap_or(u64::MAX),
        }
    }

    /// Raises the soft limit to what `config` needs, as far as the hard one allows.
    pub fn raise_for(config: &Config) -> Descriptors {
        let limits = getrlimit(Resource::Nofile);
        let needed = count_needed(config);
        let enough = limits.current.is_none_or(|current| current >= needed);
        let wanted = limits.maximum.map_or(needed, |most| most.min(needed));
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limits.maximum,
        };
        let limit = match enough || setrlimit(Resource::Nofile, raised).is_err() {
            true => limits.current.unwrap_or(u64::MAX),
            false => wanted,
        };
        Descriptors { limit }
    }

    /// What `config` lacks, if it does.
    pub fn find_shortage(self, config: &Config) -> Option<Shortage> {
        let needed = count_needed(config);
        if needed <= self.limit {
            return None;
        }
        let workers = config.listen.workers.max(1);
        let idle = (workers * config.upstream.max_idle) as u64;
        let kept = reserve(config) + self.lingering();
        let left = self.limit.saturating_sub(kept);
        // Half as many idle connections to the app as clients where there are few, else as many as asked for.
        let allowed = (left.saturating_sub(idle) / 2).max(left * 2 / 5);
        let allowed = to_usize(allowed.max(self.limit / 8).max(1));
        let asked = config.listen.max_connections;
        Some(Shortage {
            limit: self.limit,
            needed,
            asked,
            allowed: allowed.min(asked),
            max_idle: (allowed / 2 / workers).min(config.upstream.max_idle),
        })
    }

    /// How many connections may be read from after their end.
    pub fn lingering(self) -> u64 {
        LINGERING.min(self.limit / 16)
    }
}

impl Shortage {
    /// Asks less of the process.
    pub fn lower(&self, config: &mut Config) {
        config.listen.max_connections = self.allowed;
        config.upstream.max_idle = self.max_idle;
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage {
            limit,
            needed,
            asked,
            allowed,
            ..
        } = self;
        write!(
            out,
            "[listen] max_connections is {allowed} instead of {asked}: only {limit} files may be open; raise that \
             limit to {needed} (ulimit -n {needed}; systemd: LimitNOFILE={needed}; Docker: --ulimit \
             nofile={needed}), or write max_connections = {allowed}"
        )
    }
}

/// Asks no more of the process than it has descriptors for, and says so.
pub fn fit(config: &mut Config, descriptors: Descriptors) {
    if let Some(shortage) = descriptors.find_shortage(config) {
        tracing::warn!("{shortage}");
        shortage.lower(config);
    }
}

fn count_needed(config: &Config) -> u64 {
    let clients = config.listen.max_connections as u64;
    let idle = (config.listen.workers * config.upstream.max_idle) as u64;
    reserve(config) + LINGERING + 2 * clients + idle
}

fn reserve(config: &Config) -> u64 {
    RESERVE + RESERVE_BY_WORKER * config.listen.workers as u64
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    fn config(max_connections: usize) -> Config {
        let toml = format!(
            "[listen]\nworkers = 2\nmax_connections = {max_connections}\n[upstream]\nurl = \"http://a\""
        );
        Config::parse(&toml, "test.toml", &Env::default())
            .unwrap()
            .config
    }

    #[test]
    fn clients_fit_into_what_there_is() {
        let rows = [
            ("plenty", 1_000_000, 10_000, None),
            ("just enough", 20_504, 10_000, None),
            ("one too few", 20_503, 10_000, Some((9_999, 64))),
            ("the usual soft limit", 1_024, 10_000, Some((356, 64))),
            ("a small one", 200, 10_000, Some((27, 6))),
            ("next to nothing", 80, 10_000, Some((10, 2))),
            ("few clients", 1_024, 200, None),
        ];
        for (name, limit, asked, expected) in rows {
            let shortage = Descriptors { limit }.find_shortage(&config(asked));
            let lowered = shortage.map(|shortage| {
                let mut config = config(asked);
                shortage.lower(&mut config);
                (config.listen.max_connections, config.upstream.max_idle)
            });
            assert_eq!(lowered, expected, "{name}");
        }
    }

    #[test]
    fn a_shortage_says_what_to_do() {
        let shortage = Descriptors { limit: 200 }.find_shortage(&config(10_000));
        let said = shortage.unwrap().to_string();
        for part in [
            "27 instead of 10000",
            "only 200",
            "ulimit -n 20504",
            "max_connections = 27",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
