//! All shards of Redis as one runtime uses them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::attached::AttachedTier;
use super::connection::RedisConnection;
use super::layouts::Presence;
use super::lookups::Lookups;
use super::nodes::NodePool;
use super::purpose::Purpose;
use super::runner::{Errands, Runner};
use super::status::RedisStatus;
use super::tiers::Tiers;
use super::usage::Counters;

/// The tiers with the connections that this runtime uses.
pub(in crate::store) struct AttachedTiers {
    tiers: Arc<Tiers>,
    all: Box<[AttachedTier]>,
    /// From runtimes that use the connections of this one.
    errands: Option<Errands>,
}

impl AttachedTiers {
    /// Connects in the background; `None` if the settings allow no connection. Call it inside the
    /// runtime.
    pub(in crate::store) fn new(
        tiers: Arc<Tiers>,
        presence: Presence,
        purpose: Purpose,
    ) -> Option<AttachedTiers> {
        let shared = tiers.shared();
        let nodes = match &shared.slots {
            Some(slots) => {
                let (connector, slots) = (Arc::clone(&shared.connector), Arc::clone(slots));
                Some(Arc::new(NodePool::new(connector, slots)?))
            }
            None => None,
        };
        let all = tiers.all().iter();
        let connections = all.map(|tier| {
            let nodes = nodes.clone();
            let connection = RedisConnection::new(Arc::clone(tier), presence, purpose, nodes);
            connection.map(Arc::new)
        });
        let connections: Vec<_> = connections.collect::<Option<_>>()?;
        let lookups = Lookups::start(&connections, &Runner::Here, shared.in_flight.clone());
        let lookups = Arc::new(lookups);
        let attach = |connection| AttachedTier::new(connection, Arc::clone(&lookups));
        Some(AttachedTiers {
            all: connections.into_iter().map(attach).collect(),
            errands: Some(Errands::start()),
            tiers,
        })
    }

    /// As this runtime uses connections that are another runtime's own; `None` if `owner` has none either. Call it inside
    /// the runtime.
    pub(in crate::store) fn through(owner: &AttachedTiers) -> Option<AttachedTiers> {
        let runner = owner.errands.as_ref()?.runner();
        let connections = owner.all.iter().map(|tier| Arc::clone(&tier.connection));
        let connections: Vec<_> = connections.collect();
        let in_flight = owner.tiers.shared().in_flight.clone();
        let lookups = Arc::new(Lookups::start(&connections, &runner, in_flight));
        let attach = |tier| AttachedTier::through(tier, runner.clone(), Arc::clone(&lookups));
        Some(AttachedTiers {
            all: owner.all.iter().map(attach).collect(),
            errands: None,
            tiers: Arc::clone(&owner.tiers),
        })
    }

    /// That of the shard which has `key`.
    pub(in crate::store) fn of(&self, key: &str) -> &AttachedTier {
        &self.all[self.tiers.sharding().shard_of(key)]
    }

    /// That of the shard with this number.
    pub(in crate::store) fn numbered(&self, number: usize) -> &AttachedTier {
        &self.all[number]
    }

    /// That of the shard which has what there is once.
    pub(in crate::store) fn first(&self) -> &AttachedTier {
        &self.all[0]
    }

    /// Waits until Redis can be used or is known not to be usable, at most for `longest`.
    pub(in crate::store) async fn settle(&self, longest: Duration) {
        join_all(self.all.iter().map(|tier| tier.settle(longest))).await;
    }

    /// What is known of Redis, and what its counters say by priority, if all shards have told theirs.
    pub(in crate::store) async fn status(&self) -> (RedisStatus, Option<Counters>) {
        let counters = join_all(self.all.iter().map(AttachedTier::counters));
        // Of a cluster one node stands for all.
        let (counters, connections) = join(counters, self.first().server_connections()).await;
        let counters: Option<Vec<Counters>> = counters.into_iter().collect();
        let sum = counters.map(|counters| {
            let mut sum = Counters::default();
            counters.iter().for_each(|counters| sum.add(counters));
            sum
        });
        let status = RedisStatus {
            connections,
            ..self.tiers.status_with(sum.as_ref())
        };
        (status, sum)
    }

    /// Sends what is pending, then ends the connections and their tasks. Nothing for a runtime that uses another's.
    pub(in crate::store) async fn close(&self) {
        let Some(errands) = &self.errands else {
            return;
        };
        // One connection may be of several shards.
        join_all(self.all.iter().map(AttachedTier::flush)).await;
        join_all(self.all.iter().map(AttachedTier::close)).await;
        errands.stop();
    }
}
