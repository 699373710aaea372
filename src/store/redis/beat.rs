//! The beat: announces the layout in every shard, asks for the clock, the counters and which data it
//! holds, and lets it tidy up.

use std::time::{Duration, SystemTime};

use fred::types::Value;
use futures_util::future::{join_all, try_join_all};

use super::chores::{Chore, Sweep};
use super::error::Error;
use super::layouts::{ANNOUNCED, Presence};
use super::lineage::Generation;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::usage::Counters;
use crate::clock;

/// What a beat found in all shards, if no other layout is in use.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether any shard was not seen before.
    pub(super) is_new: bool,
    /// The shards whose data are void. All sessions have ended if there are any.
    pub(super) void: Vec<VoidShard>,
}

/// A shard in which other layouts were in use, so that the own data there may lack purges.
#[derive(Debug)]
pub(super) struct VoidShard {
    pub(super) number: usize,
    /// The other layouts.
    pub(super) others: Vec<String>,
}

/// What one shard answers.
struct Beat {
    time: SystemTime,
    /// Of the last purge.
    purge_number: u64,
    counters: Counters,
    /// Other layouts in use.
    in_use: Vec<String>,
    /// Other layouts that were in use since the own one took over.
    left: Vec<String>,
    /// Whether this process is to sweep.
    sweeps: bool,
    /// Whether it is to tidy.
    tidies: bool,
    /// Whether it is to check the budget.
    checks: bool,
    /// Changes when the server has forgotten what it was to tell.
    history: String,
}

/// Announces the layout, agrees on the clock, and sees to it that what Redis holds lacks no purge that this process
/// knows of (`lineage`).
///
/// Finds other layouts: if any is in use, all sessions end and the error names it. All shards are visited, side by side,
/// whatever is found in one, so that a sidecar of another layout hears of this one on each of its connections.
pub(super) async fn beat(scope: &CommandScope<'_>, presence: Presence) -> Result<Findings, Error> {
    let tier = scope.tier;
    let mut findings = Findings::default();
    let mut counters = Counters::default();
    let mut in_use = Vec::new();
    let shards = 0..tier.keys.shards().len();
    findings.is_new = shards
        .clone()
        .any(|number| !tier.lineages.has_asked(number));
    let beats = join_all(shards.map(|number| beat_shard(scope, presence, number))).await;
    for (number, beat) in beats.into_iter().enumerate() {
        let mut beat = beat?;
        counters.add(&beat.counters);
        in_use.append(&mut beat.in_use);
        if !beat.left.is_empty() {
            findings.void.push(VoidShard {
                number,
                others: beat.left,
            });
        }
    }
    tier.budget.note_used(&counters);
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
) -> Result<Beat, Error> {
    let tier = scope.tier;
    let start = clock::monotonic();
    let (generation, beat) = send_beat(scope, presence, number).await?;
    if tier.lineages.has_forgotten(number, beat.history.clone()) {
        tracing::info!("Redis was flushed, or has taken over other data: memory begins anew");
        scope.note_news();
        tier.distrust();
    }
    if number == 0 {
        let one_way = clock::monotonic().duration_since(start) / 2;
        tier.clock.agree_with(beat.time + one_way);
    }
    tier.lineages
        .note_number(number, generation, beat.purge_number);
    if !(beat.in_use.is_empty() && beat.left.is_empty()) {
        tier.lineages.note_void(number, generation);
    } else if presence == Presence::Silent && tier.lineages.known(number).is_void {
        // Who only looks begins no generation.
        return Err(Error::Void);
    }
    if beat.sweeps {
        tier.chores
            .begin(Chore::Sweep(Sweep::new(number, generation)));
    }
    if beat.tidies {
        tier.chores.begin(Chore::Tidy(number));
    }
    if beat.checks {
        tier.chores.begin(Chore::Check(number));
    }
    Ok(beat)
}

/// The counters of all shards.
pub(super) async fn read_counters(
    scope: &CommandScope<'_>,
    presence: Presence,
) -> Result<Counters, Error> {
    let shards = 0..scope.tier.keys.shards().len();
    let beats = try_join_all(shards.map(|number| beat_shard(scope, presence, number))).await?;
    let mut sum = Counters::default();
    beats.iter().for_each(|beat| sum.add(&beat.counters));
    Ok(sum)
}

async fn send_beat(
    scope: &CommandScope<'_>,
    presence: Presence,
    number: usize,
) -> Result<(Generation, Beat), Error> {
    let tier = scope.tier;
    let shard = &tier.keys.shards()[number];
    let announced = match presence {
        Presence::Announced => ANNOUNCED,
        Presence::Silent => Duration::ZERO,
    };
    let known = tier.lineages.known(number);
    let call = || Call {
        keys: vec![shard.generation_name(), shard.layouts_name()],
        args: vec![
            (&*shard.tag).into(),
            tier.keys.layout().to_string().into(),
            announced.as_millis().to_string().into(),
            (&*tier.process).into(),
            known.number.to_string().into(),
            known.own.to_string().into(),
            if known.is_void { "1" } else { "0" }.into(),
            tier.budget.check_every.as_millis().to_string().into(),
        ],
    };
    let reply = scope.run_script(None, Script::Beat, number, call).await?;
    Ok((reply.generation, read_beat(&reply.value.into_array())))
}

fn read_beat(reply: &[Value]) -> Beat {
    let at = |index: usize| reply.get(index).unwrap_or(&Value::Null);
    let three = |first: usize| std::array::from_fn(|i| parse_number(at(first + i)));
    let texts = |index: usize| -> Vec<String> {
        let values = at(index).clone().into_array();
        values.iter().filter_map(Value::as_string).collect()
    };
    Beat {
        time: SystemTime::UNIX_EPOCH
            + Duration::from_secs(parse_number(at(0)))
            + Duration::from_micros(parse_number(at(1))),
        purge_number: parse_number(at(2)),
        counters: Counters {
            bytes: three(3),
            entries: three(6),
            beside: parse_number(at(9)),
            server_limit: Some(parse_number(at(16))).filter(|limit| *limit > 0),
        },
        in_use: texts(10),
        left: texts(11),
        sweeps: parse_number(at(12)) == 1,
        tidies: parse_number(at(14)) == 1,
        checks: parse_number(at(15)) == 1,
        history: at(13).as_string().unwrap_or_default(),
    }
}
