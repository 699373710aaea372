//! The beat: asks every shard for its clock, its counters and which data it holds, and lets it tidy up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fred::types::Value;

use super::data_set::{Comparison, DataSet};
use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::tier::Tier;
use super::usage::Counters;
use crate::clock;
use crate::routes::Purge;
use crate::store::fence::Mark;

/// What one shard answers.
struct Beat {
    time: SystemTime,
    data_set: DataSet,
    counters: Counters,
}

/// Compares clock and data set. Returns whether any shard holds other data than before, or was not seen
/// before. If it holds other data, all sessions have ended and every purge that is remembered waits to
/// be sent again, since a restart or failover may have undone it.
pub(super) async fn beat(scope: &CommandScope<'_>) -> Result<bool, Error> {
    let tier = scope.tier;
    let mut is_new = false;
    let mut counters = Counters::default();
    for (number, shard) in tier.keys.shards().iter().enumerate() {
        let start = clock::monotonic();
        let beat = send_beat(scope, shard).await?;
        if number == 0 {
            let one_way = clock::monotonic().duration_since(start) / 2;
            tier.clock.agree_with(beat.time + one_way);
        }
        counters.add(&beat.counters);
        let comparison = tier.data_sets.compare(number, beat.data_set);
        is_new |= comparison != Comparison::Same;
        if comparison == Comparison::Other {
            distrust_data(tier);
        }
    }
    tier.budget.warn_if_nearly_full(counters.total_bytes());
    Ok(is_new)
}

/// The counters of all shards.
pub(super) async fn read_counters(scope: &CommandScope<'_>) -> Result<Counters, Error> {
    let mut sum = Counters::default();
    for shard in scope.tier.keys.shards() {
        sum.add(&send_beat(scope, shard).await?.counters);
    }
    Ok(sum)
}

/// Redis may hold again what was purged: no session goes on, and recent purges are sent again.
fn distrust_data(tier: &Tier) {
    tracing::warn!("Redis has other data than before; recent purges are repeated");
    tier.sessions.end_all();
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

async fn send_beat(scope: &CommandScope<'_>, shard: &str) -> Result<Beat, Error> {
    let fresh_id = format!("{:016x}", fastrand::u64(..));
    let call = || Call::about_shard(shard, vec![shard.into(), fresh_id.as_str().into()]);
    let reply = scope.run_script(None, Script::Beat, call).await?;
    let reply = reply.into_array();
    let at = |index: usize| reply.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| at(index).as_string().unwrap_or_default();
    let three = |first: usize| std::array::from_fn(|i| parse_number(at(first + i)));
    Ok(Beat {
        time: SystemTime::UNIX_EPOCH
            + Duration::from_secs(parse_number(at(0)))
            + Duration::from_micros(parse_number(at(1))),
        data_set: DataSet {
            run: text(2),
            id: text(3),
        },
        counters: Counters {
            bytes: three(4),
            entries: three(7),
            leases: parse_number(at(10)),
        },
    })
}
