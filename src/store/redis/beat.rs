//! The beat: announces the layout in every shard, asks for the clock, the counters and which data it
//! holds, and lets it tidy up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fred::types::Value;

use super::data_set::{Comparison, DataSet};
use super::error::Error;
use super::keys::ShardNames;
use super::layouts::{ANNOUNCED, Presence};
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::tier::Tier;
use super::usage::Counters;
use crate::clock;
use crate::routes::Purge;
use crate::store::fence::Mark;

/// What a beat found in all shards, if no other layout is in use.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether any shard holds other data than before, or was not seen before.
    pub(super) is_new: bool,
    /// The shards whose data are void. All sessions have ended if there are any.
    pub(super) void: Vec<VoidShard>,
}

/// A shard in which other layouts were in use, so that the own data there may lack purges.
#[derive(Debug)]
pub(super) struct VoidShard {
    pub(super) number: usize,
    pub(super) data_set_id: String,
    /// The other layouts.
    pub(super) others: Vec<String>,
}

/// What one shard answers.
struct Beat {
    time: SystemTime,
    data_set: DataSet,
    counters: Counters,
    /// Other layouts in use.
    in_use: Vec<String>,
    /// Other layouts that were in use since the own one took over.
    left: Vec<String>,
}

/// Announces the layout, and compares clock and data set.
///
/// Finds other layouts: if any is in use, all sessions end and the error names it. Finds other data than
/// before: all sessions end and every purge that is remembered waits to be sent again, since a restart or
/// failover may have undone it. All shards are visited whatever is found in one, so that a sidecar of
/// another layout hears of this one on each of its connections.
pub(super) async fn beat(scope: &CommandScope<'_>, presence: Presence) -> Result<Findings, Error> {
    let tier = scope.tier;
    let mut findings = Findings::default();
    let mut counters = Counters::default();
    let mut in_use = Vec::new();
    for number in 0..tier.keys.shards().len() {
        let (mut beat, comparison) = beat_shard(scope, presence, number).await?;
        counters.add(&beat.counters);
        findings.is_new |= comparison != Comparison::Same;
        in_use.append(&mut beat.in_use);
        if !beat.left.is_empty() {
            findings.void.push(VoidShard {
                number,
                data_set_id: beat.data_set.id,
                others: beat.left,
            });
        }
    }
    tier.budget.warn_if_nearly_full(counters.total_bytes());
    if let Some(layout) = in_use.first() {
        return Err(tier.note_other_layout(layout.parse().unwrap_or_default()));
    }
    if !findings.void.is_empty() {
        tier.sessions.end_all();
    }
    Ok(findings)
}

async fn beat_shard(
    scope: &CommandScope<'_>,
    presence: Presence,
    number: usize,
) -> Result<(Beat, Comparison), Error> {
    let tier = scope.tier;
    let shard = &tier.keys.shards()[number];
    let start = clock::monotonic();
    let beat = send_beat(scope, shard, presence, false).await?;
    if number == 0 {
        let one_way = clock::monotonic().duration_since(start) / 2;
        tier.clock.agree_with(beat.time + one_way);
    }
    match compare(tier, number, &beat) {
        Comparison::Unmarked => {
            let beat = send_beat(scope, shard, presence, true).await?;
            match compare(tier, number, &beat) {
                // Who only looks leaves no marks.
                Comparison::Unmarked => Err(Error::Void),
                comparison => Ok((beat, comparison)),
            }
        }
        comparison => {
            if comparison == Comparison::Other {
                distrust_data(tier);
            }
            Ok((beat, comparison))
        }
    }
}

/// The counters of all shards.
pub(super) async fn read_counters(
    scope: &CommandScope<'_>,
    presence: Presence,
) -> Result<Counters, Error> {
    let mut sum = Counters::default();
    for shard in scope.tier.keys.shards() {
        sum.add(&send_beat(scope, shard, presence, false).await?.counters);
    }
    Ok(sum)
}

fn compare(tier: &Tier, shard: usize, beat: &Beat) -> Comparison {
    let is_void = !(beat.in_use.is_empty() && beat.left.is_empty());
    tier.data_sets
        .compare(shard, beat.data_set.clone(), is_void)
}

/// Redis may hold again what was purged: no session goes on, and recent purges are sent again.
fn distrust_data(tier: &Tier) {
    tracing::warn!("Redis has other data than before; recent purges are repeated");
    tier.sessions.end_all();
    tier.memory.clear();
    match tier.fence.since(Mark(0)) {
        Some(purges) => purges
            .into_iter()
            .for_each(|purge| tier.journal.enter_failed(purge)),
        None => tier.journal.enter_failed(Arc::new(Purge {
            everything: true,
            ..Purge::default()
        })),
    }
}

/// `is_void`: the data are known to lack purges although nothing in Redis says so.
async fn send_beat(
    scope: &CommandScope<'_>,
    shard: &ShardNames,
    presence: Presence,
    is_void: bool,
) -> Result<Beat, Error> {
    let announced = match presence {
        Presence::Announced => ANNOUNCED,
        Presence::Silent => Duration::ZERO,
    };
    let fresh_id = format!("{:016x}", fastrand::u64(..));
    let call = || Call {
        keys: vec![shard.layouts_name()],
        args: vec![
            (&*shard.prefix).into(),
            (&*shard.tag).into(),
            scope.tier.keys.layout().to_string().into(),
            announced.as_millis().to_string().into(),
            if is_void { "1" } else { "0" }.into(),
            fresh_id.as_str().into(),
        ],
    };
    let reply = scope.run_script(None, Script::Beat, call).await?;
    Ok(read_beat(&reply.into_array()))
}

fn read_beat(reply: &[Value]) -> Beat {
    let at = |index: usize| reply.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| at(index).as_string().unwrap_or_default();
    let three = |first: usize| std::array::from_fn(|i| parse_number(at(first + i)));
    let texts = |index: usize| -> Vec<String> {
        let values = at(index).clone().into_array();
        values.iter().filter_map(Value::as_string).collect()
    };
    Beat {
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
        in_use: texts(11),
        left: texts(12),
    }
}
