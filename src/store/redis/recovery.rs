//! From a connection to a session: what must be known and done before Redis is trusted (again).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fred::interfaces::{ClientLike, TrackingInterface};
use fred::types::{InfoKind, Value};

use super::connection::{Counters, RedisConnection};
use super::error::Error;
use super::scope::{CommandScope, number};
use super::scripts::{Call, Script};
use crate::clock;
use crate::routes::Purge;
use crate::store::Mark;

/// What tells one state of a shard's data from another: the run of the server, and an id stored in
/// the data themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataSet {
    run: String,
    id: String,
}

struct Beat {
    time: SystemTime,
    data: DataSet,
    counters: Counters,
}

impl RedisConnection {
    /// Prepares a session; the caller begins it if the connection still stands.
    pub(super) async fn recover(&self) -> Result<(), Error> {
        let _one_at_a_time = self.tier.recovery.lock().await;
        let scope = self.for_maintenance();
        let none: Vec<String> = Vec::new();
        let client = &scope.clients.plain;
        let tracking = client.start_tracking(none, false, false, false, true);
        scope.send(None, tracking).await?;
        self.tier.scripts.load(scope.client()).await;
        if self.beat(&scope).await? {
            self.warn_of_eviction(&scope).await;
        }
        self.send_failed(&scope).await
    }

    /// Compares clock and data set, and lets Redis tidy up. Whether the data set is another than
    /// before: then all sessions have ended and every purge that is remembered waits to be repeated,
    /// since a restart or failover may have undone it.
    pub(super) async fn beat(&self, scope: &CommandScope<'_>) -> Result<bool, Error> {
        let mut changed = false;
        let mut bytes = 0;
        for (number, shard) in self.tier.keys.shards().iter().enumerate() {
            let start = clock::monotonic();
            let beat = ask(scope, shard).await?;
            if number == 0 {
                let one_way = clock::monotonic().duration_since(start) / 2;
                self.tier.clock.agree_with(beat.time + one_way);
            }
            bytes += beat.counters.bytes.iter().sum::<u64>() + beat.counters.leases;
            let known = self.tier.data.lock()[number].replace(beat.data.clone());
            if known.as_ref() != Some(&beat.data) {
                changed = true;
                if known.is_some() {
                    self.repeat_purges();
                }
            }
        }
        self.tier.note_bytes(bytes);
        Ok(changed)
    }

    /// The counters of all shards.
    pub(super) async fn counters(&self) -> Result<Counters, Error> {
        let scope = self.for_requests();
        let mut sum = Counters::default();
        for shard in self.tier.keys.shards() {
            let counters = ask(&scope, shard).await?.counters;
            for priority in 0..3 {
                sum.bytes[priority] += counters.bytes[priority];
                sum.entries[priority] += counters.entries[priority];
            }
            sum.leases += counters.leases;
        }
        Ok(sum)
    }

    fn repeat_purges(&self) {
        let tier = &self.tier;
        tracing::warn!("Redis has other data than before; recent purges are repeated");
        tier.end_sessions();
        tier.memory.clear();
        match tier.fence.since(Mark(0)) {
            Some(purges) => purges
                .into_iter()
                .for_each(|purge| tier.journal.keep(purge)),
            None => tier.journal.keep(Arc::new(Purge {
                everything: true,
                ..Purge::default()
            })),
        }
    }

    /// An index evicted under us would hide entries from purges; `INFO` is allowed where `CONFIG` is
    /// not.
    async fn warn_of_eviction(&self, scope: &CommandScope<'_>) {
        let info = scope.client().info::<String>(Some(InfoKind::Memory));
        let Ok(info) = scope.send(None, info).await else {
            return;
        };
        let policy = info
            .lines()
            .find_map(|line| line.strip_prefix("maxmemory_policy:"));
        if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys")) {
            tracing::warn!(
                policy,
                "this Redis may evict the indexes that purges need; use noeviction or a volatile policy"
            );
        }
    }
}

async fn ask(scope: &CommandScope<'_>, shard: &str) -> Result<Beat, Error> {
    let fresh_id = format!("{:016x}", fastrand::u64(..));
    let call = || Call {
        keys: vec![format!("{shard}:by")],
        args: vec![shard.into(), fresh_id.as_str().into()],
    };
    let reply = scope.run(None, Script::Beat, call).await?;
    let reply = reply.into_array();
    let at = |index: usize| reply.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| at(index).as_string().unwrap_or_default();
    let three = |first: usize| std::array::from_fn(|i| number(at(first + i)));
    Ok(Beat {
        time: SystemTime::UNIX_EPOCH
            + Duration::from_secs(number(at(0)))
            + Duration::from_micros(number(at(1))),
        data: DataSet {
            run: text(2),
            id: text(3),
        },
        counters: Counters {
            bytes: three(4),
            entries: three(7),
            leases: number(at(10)),
        },
    })
}
