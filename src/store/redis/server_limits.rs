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
    /// Of the servers that are in use, which a former primary is not. `None`: not asked for, or not tried yet.
    pub(super) fn describe(&self, is_in_use: impl Fn(&str) -> bool) -> Option<Managed> {
        let known = self.0.lock();
        let used = known.iter().filter(|(server, _)| is_in_use(server));
        let used = used.map(|(_, managed)| managed);
        let refused = |managed: &&Managed| matches!(managed, Managed::Refused(_));
        if let Some(refused) = used.clone().find(refused) {
            return Some(refused.clone());
        }
        let set = used.filter_map(|managed| match managed {
            Managed::Set(maxmemory) => Some(*maxmemory),
            Managed::Refused(_) => None,
        });
        set.reduce(u64::saturating_add).map(Managed::Set)
    }

    /// What has become of it at one server.
    pub(super) fn of(&self, server: &str) -> Option<Managed> {
        self.0.lock().get(server).cloned()
    }

    /// Returns whether this is news.
    pub(super) fn note(&self, server: &str, managed: Managed) -> bool {
        let before = self.0.lock().insert(server.to_owned(), managed.clone());
        match (before, managed) {
            (Some(Managed::Set(before)), Managed::Set(now)) => before != now,
            (Some(Managed::Refused(_)), Managed::Refused(_)) => false,
            _ => true,
        }
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
    /// `maxmemory` is to be this, and the policy [`POLICY`], at once: under the policy that is there now, a lower bound might
    /// evict what others store.
    Set(u64),
    /// Others, with Redis itself, have so much there that they could no longer write.
    Occupied {
        /// Bytes.
        others: u64,
    },
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

    /// What makes it a server of `share` bytes, `own` of which are Pannier's now; `before`: what was made of it last.
    ///
    /// Whoever else writes there is not to be refused for it: a bound that is set leaves room beside all that is used, and one of
    /// Pannier's is raised where others come to need more.
    pub(super) fn measure(&self, share: u64, own: u64, before: Option<&Managed>) -> Measure {
        let room = share / 16;
        let others = self.used.saturating_sub(own);
        let is_crowded = others.saturating_add(room) > share;
        let with_room = self.used.saturating_add(room);
        let is_ours = self.policy == POLICY
            && (self.maxmemory == share || before == Some(&Managed::Set(self.maxmemory)));
        match (is_crowded, is_ours) {
            (true, false) => Measure::Occupied { others },
            (true, true) if self.maxmemory < with_room - room / 2 => Measure::Set(with_room),
            (true, true) => Measure::Leave,
            // Pannier's own entries leave for others here.
            (false, true) if self.maxmemory == share => Measure::Leave,
            (false, _) => Measure::Set(share.max(with_room)),
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
        const KB: u64 = 1_000;
        const MB: u64 = 1_000 * KB;
        let occupied = |others| Measure::Occupied { others };
        let set = |maxmemory| Some(Managed::Set(maxmemory));
        for (case, limits, own, before, expected) in [
            (
                "unbounded",
                limits(MB, 0, "noeviction"),
                0,
                None,
                Measure::Set(20 * MB),
            ),
            (
                "evicting",
                limits(MB, 20 * MB, "allkeys-lru"),
                0,
                None,
                Measure::Set(20 * MB),
            ),
            (
                "as wanted",
                limits(MB, 20 * MB, POLICY),
                0,
                None,
                Measure::Leave,
            ),
            (
                "as wanted, and full of Pannier's",
                limits(20 * MB, 20 * MB, POLICY),
                18 * MB,
                None,
                Measure::Leave,
            ),
            (
                "less",
                limits(MB, 10 * MB, POLICY),
                0,
                None,
                Measure::Set(20 * MB),
            ),
            (
                "filled by Pannier",
                limits(30 * MB, 0, POLICY),
                28 * MB,
                None,
                Measure::Set(31_250 * KB),
            ),
            (
                "which has begun to leave",
                limits(25 * MB, 31_250 * KB, POLICY),
                23 * MB,
                set(31_250 * KB),
                Measure::Set(26_250 * KB),
            ),
            (
                "which has left",
                limits(18 * MB, 26_250 * KB, POLICY),
                16 * MB,
                set(26_250 * KB),
                Measure::Set(20 * MB),
            ),
            (
                "filled by others",
                limits(30 * MB, 0, POLICY),
                9 * MB,
                None,
                occupied(21 * MB),
            ),
            (
                "filled by others but for less than is left to them",
                limits(19 * MB, 0, POLICY),
                0,
                None,
                occupied(19 * MB),
            ),
            (
                "bounded by others, who fill it",
                limits(30 * MB, 31 * MB, POLICY),
                9 * MB,
                None,
                occupied(21 * MB),
            ),
            (
                "bounded by Pannier, and filled by others since",
                limits(20 * MB, 20 * MB, POLICY),
                MB,
                set(20 * MB),
                Measure::Set(21_250 * KB),
            ),
            (
                "raised for them already",
                limits(20_100 * KB, 21_250 * KB, POLICY),
                MB,
                set(21_250 * KB),
                Measure::Leave,
            ),
            (
                "and left by them",
                limits(3 * MB, 21_250 * KB, POLICY),
                MB,
                set(21_250 * KB),
                Measure::Set(20 * MB),
            ),
        ] {
            let measure = limits.measure(20 * MB, own, before.as_ref());
            assert_eq!(measure, expected, "{case}");
        }
    }

    #[test]
    fn servers_that_are_in_use_count() {
        let management = Management::default();
        assert_eq!(management.describe(|_| true), None);
        for server in ["a", "b", "former"] {
            assert!(management.note(server, Managed::Set(7)), "new");
            assert!(!management.note(server, Managed::Set(7)), "as before");
        }
        let in_use = |server: &str| server != "former";
        assert_eq!(management.describe(in_use), Some(Managed::Set(14)));
        let refused = Managed::Refused("no".to_owned());
        assert!(management.note("former", refused.clone()));
        assert_eq!(management.describe(in_use), Some(Managed::Set(14)));
        assert!(management.note("b", refused.clone()));
        assert!(!management.note("b", refused.clone()), "told already");
        assert_eq!(management.describe(in_use), Some(refused));
        assert_eq!(management.describe(|_| false), None);
    }
}
