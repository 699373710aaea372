//! How keys are spread over shards: a single server has all in one; a cluster has several, each at one of its nodes.

use crate::config::RedisServers;

/// Over how many shards they are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Sharding {
    count: usize,
}

impl Sharding {
    /// All keys in one shard.
    pub(in crate::store) const NONE: Sharding = Sharding { count: 1 };

    /// The shards of a cluster.
    pub(in crate::store) const CLUSTER: Sharding = Sharding {
        count: RedisServers::PARTS_OF_CLUSTER,
    };

    /// How many shards there are.
    pub(in crate::store) fn count(self) -> usize {
        self.count
    }

    /// The number of the shard that has `key`. The hash is part of the format: all sidecars must agree.
    pub(in crate::store) fn shard_of(self, key: &str) -> usize {
        match self.count {
            1 => 0,
            count => crc32fast::hash(key.as_bytes()) as usize % count,
        }
    }
}
