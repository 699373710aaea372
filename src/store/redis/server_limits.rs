//! What bounds a server's memory, as `INFO` says, and what `[budget] manage_server` makes of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What has become of `[budget] manage_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// Every server has a `maxmemory`, so many bytes in all, and evicts nothing by itself.
    Set(u64),
    /// A server is as it was, for this reason.
    Refused(String),
}

/// What is known of it, server by server.
#[derive(Debug, Default)]
pub(super) struct Management(Mutex<BTreeMap<String, Managed>>);

impl Management {
    /// `None`: not asked for, or not tried yet.
    pub(super) fn describe(&self) -> Option<Managed> {
        let known = self.0.lock();
        let refused = |managed: &&Managed| matches!(managed, Managed::Refused(_));
        if let Some(refused) = known.values().find(refused) {
            return Some(refused.clone());
        }
        let set = known.values().map(|managed| match managed {
            Managed::Set(maxmemory) => *maxmemory,
            Managed::Refused(_) => 0,
        });
        set.reduce(u64::saturating_add).map(Managed::Set)
    }

    /// Returns whether this is news.
    pub(super) fn note(&self, server: String, managed: Managed) -> bool {
        let before = self.0.lock().insert(server, managed.clone());
        let is_refused = |managed: &Managed| matches!(managed, Managed::Refused(_));
        before.is_none_or(|before| is_refused(&before) != is_refused(&managed))
    }
}

/// Of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerLimits {
    /// Bytes in use, by all who store there.
    pub(super) used: u64,
    /// Bytes that may be; 0: no bound.
    pub(super) maxmemory: u64,
    /// What happens then.
    pub(super) policy: String,
}

/// Connections of one server, of all who use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerConnections {
    /// Those there are.
    pub used: u64,
    /// Those it lets in.
    pub max: u64,
}

impl ServerConnections {
    /// Reads `INFO clients`; `None`: an older server does not say how many it lets in.
    pub(super) fn read(info: &str) -> Option<ServerConnections> {
        let number = |name| find_field(info, name).parse().ok();
        Some(ServerConnections {
            used: number("connected_clients")?,
            max: number("maxclients")?,
        })
    }
}

/// A field of `INFO`; empty if there is none.
fn find_field<'i>(info: &'i str, name: &str) -> &'i str {
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(field, _)| *field == name);
    values.next().map_or("", |(_, value)| value.trim())
}

/// What is to be done with a server that Pannier may manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// It is as it should be.
    Leave,
    /// Both are to be set, at once: under the policy that is there now, a lower bound might evict what others store.
    Set,
    /// Others have so much there that they could no longer write.
    Occupied,
}

/// Under which Redis refuses writes and removes nothing by itself: who leaves is Pannier's to say, and what others
/// store there stays.
pub(super) const POLICY: &str = "noeviction";

impl ServerLimits {
    /// Reads `INFO memory`.
    pub(super) fn read(info: &str) -> ServerLimits {
        let number = |name: &str| find_field(info, name).parse().unwrap_or_default();
        ServerLimits {
            used: number("used_memory"),
            maxmemory: number("maxmemory"),
            policy: find_field(info, "maxmemory_policy").to_owned(),
        }
    }

    /// Whether Redis may remove what has no expiry, such as bookkeeping.
    pub(super) fn evicts_all(&self) -> bool {
        self.policy.starts_with("allkeys")
    }

    /// What makes it a server of `maxmemory` bytes, `own` of which are Pannier's now.
    pub(super) fn measure(&self, maxmemory: u64, own: u64) -> Measure {
        if self.maxmemory == maxmemory && self.policy == POLICY {
            return Measure::Leave;
        }
        match self.used.saturating_sub(own) >= maxmemory {
            true => Measure::Occupied,
            false => Measure::Set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(used: u64, maxmemory: u64, policy: &str) -> ServerLimits {
        ServerLimits {
            used,
            maxmemory,
            policy: policy.to_owned(),
        }
    }

    #[test]
    fn both_are_read_among_other_lines() {
        let info = "# Memory\r\nused_memory:904136\r\nused_memory_human:882.95K\r\nmaxmemory:20000000\r\n\
                    maxmemory_policy:volatile-ttl\r\n";
        let read = ServerLimits::read(info);
        assert_eq!(read, limits(904_136, 20_000_000, "volatile-ttl"));
        assert_eq!(ServerLimits::read(""), ServerLimits::default());
    }

    #[test]
    fn connections_are_known_where_both_are_said() {
        let info = "# Clients\r\nconnected_clients:3\r\ncluster_connections:0\r\nmaxclients:30\r\n";
        let expected = ServerConnections { used: 3, max: 30 };
        assert_eq!(ServerConnections::read(info), Some(expected));
        assert_eq!(ServerConnections::read("connected_clients:3\r\n"), None);
    }

    #[test]
    fn a_server_is_bounded_unless_others_would_suffer() {
        const MB: u64 = 1_000_000;
        for (case, limits, own, expected) in [
            ("unbounded", limits(MB, 0, "noeviction"), 0, Measure::Set),
            (
                "evicting",
                limits(MB, 20 * MB, "allkeys-lru"),
                0,
                Measure::Set,
            ),
            ("as wanted", limits(MB, 20 * MB, POLICY), 0, Measure::Leave),
            ("raised", limits(MB, 10 * MB, POLICY), 0, Measure::Set),
            (
                "filled by Pannier",
                limits(30 * MB, 0, POLICY),
                28 * MB,
                Measure::Set,
            ),
            (
                "filled by others",
                limits(30 * MB, 0, POLICY),
                9 * MB,
                Measure::Occupied,
            ),
        ] {
            assert_eq!(limits.measure(20 * MB, own), expected, "{case}");
        }
    }
}
