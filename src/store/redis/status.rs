//! What is known of Redis, for `/stats`, `/readyz` and metrics.

use std::time::Duration;

use super::diagnosis::Diagnosis;
use super::server_limits::{Managed, ServerConnections};

/// The state of the Redis tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisStatus {
    /// Every runtime is connected, and the circuit breaker is closed.
    pub up: bool,
    /// How many of its shards can be used; each is at one node of a cluster, a single server has one.
    pub shards_up: usize,
    /// How many there are.
    pub shards: usize,
    /// How long it has been so.
    pub since: Duration,
    /// Why it is not up, as far as that is known.
    pub diagnosis: Option<Diagnosis>,
    /// Whether invalidations arrive, so that memory may remember what Redis holds.
    pub tracking: bool,
    /// Where it is: host and port.
    pub hosts: String,
    /// Pannier's keys, bytes accounted by the scripts (entries, leases and indexes).
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// `[budget] max`.
    pub max: u64,
    /// The most that the server's memory leaves for `bytes`, if it is bounded.
    pub server_limit: Option<u64>,
    /// Of the server, or of one node of a cluster: connections, of all who use it.
    pub connections: Option<ServerConnections>,
    /// `[budget] manage_server`.
    pub manages_server: bool,
    /// What has become of that; `None`: nothing yet.
    pub managed: Option<Managed>,
    /// Whether `bytes` is past `[budget] evict_at`.
    pub nearly_full: bool,
    /// Whether others have filled the server's memory, so that hardly anything is stored there.
    pub taken_by_others: bool,
    /// Purges kept until Redis can be reached.
    pub pending_purges: usize,
    /// The last error, in words.
    pub last_error: Option<String>,
}

impl RedisStatus {
    /// Bytes that Pannier may hold there: of the budget and of what the server's memory leaves, whichever is less.
    pub fn limit(&self) -> u64 {
        self.server_limit
            .map_or(self.max, |server| server.min(self.max))
    }
}
