//! The beat: announces the layout, asks for the clock, the counters and which data Redis holds, and lets it tidy up.

use std::time::{Duration, SystemTime};

use fred::types::Value;

use super::chores::{Chore, Sweep};
use super::error::Error;
use super::layouts::{ANNOUNCED, Presence};
use super::lineage::Generation;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::usage::Counters;
use crate::clock;

/// The longest that a beat may take for the clocks to be compared by it.
const PROMPT: Duration = Duration::from_secs(1);

/// What a beat found, if no other layout is in use.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether the shard was not seen before.
    pub(super) is_new: bool,
    /// Other layouts that were in use, so that the own data may lack purges. The session has ended if there are any.
    pub(super) left: Vec<String>,
}

/// What Redis answers.
struct Beat {
    time: SystemTime,
    /// Of the last purge.
    purge_number: u64,
    counters: Counters,
    /// Of the first shard, what the fleet has there beside the counters.
    fleet_bytes: u64,
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
/// Finds other layouts: if any is in use, all sessions end, of other shards too, and the error names it.
pub(super) async fn beat(scope: &CommandScope<'_>, presence: Presence) -> Result<Findings, Error> {
    let tier = scope.tier;
    let is_new = !tier.lineage.has_asked();
    let beat = ask(scope, presence).await?;
    tier.budget.note_used(tier.number, &beat.counters);
    if tier.keys.is_first() {
        tier.budget.note_fleet_bytes(beat.fleet_bytes);
    }
    if let Some(layout) = beat.in_use.first() {
        return Err(tier.note_other_layout(layout.parse().unwrap_or_default()));
    }
    if !beat.left.is_empty() {
        tier.sessions.end_all();
    }
    Ok(Findings {
        is_new,
        left: beat.left,
    })
}

async fn ask(scope: &CommandScope<'_>, presence: Presence) -> Result<Beat, Error> {
    let tier = scope.tier;
    let start = clock::monotonic();
    let (generation, beat) = send_beat(scope, presence).await?;
    if tier.lineage.has_forgotten(beat.history.clone()) {
        tracing::info!("Redis was flushed, or has taken over other data: memory begins anew");
        scope.note_news();
        tier.distrust();
    }
    let took = clock::monotonic().duration_since(start);
    // One that took long says little: the process may have been stopped.
    if tier.keys.is_first() && took <= PROMPT {
        let one_way = took / 2;
        tier.clock.agree_with(beat.time + one_way);
        tier.overview.note_clocks(&tier.clock);
    }
    tier.lineage.note_number(generation, beat.purge_number);
    if !(beat.in_use.is_empty() && beat.left.is_empty()) {
        tier.lineage.note_void(generation);
    } else if presence == Presence::Silent && tier.lineage.known().is_void {
        // Who only looks begins no generation.
        return Err(Error::Void);
    }
    if beat.sweeps {
        tier.chores.begin(Chore::Sweep(Sweep::new(generation)));
    }
    if beat.tidies {
        tier.chores.begin(Chore::Tidy);
    }
    if beat.checks {
        tier.chores.begin(Chore::Check);
    }
    Ok(beat)
}

/// The counters of the shard.
pub(super) async fn read_counters(
    scope: &CommandScope<'_>,
    presence: Presence,
) -> Result<Counters, Error> {
    Ok(ask(scope, presence).await?.counters)
}

async fn send_beat(
    scope: &CommandScope<'_>,
    presence: Presence,
) -> Result<(Generation, Beat), Error> {
    let tier = scope.tier;
    let names = tier.keys.names();
    let announced = match presence {
        Presence::Announced => ANNOUNCED,
        Presence::Silent => Duration::ZERO,
    };
    let known = tier.lineage.known();
    let own = || -> Vec<Value> {
        vec![
            (&*names.tag).into(),
            tier.keys.layout().to_string().into(),
            announced.as_millis().to_string().into(),
            tier.process().into(),
            known.number.to_string().into(),
            known.own.to_string().into(),
            if known.is_void { "1" } else { "0" }.into(),
            tier.budget.check_every.as_millis().to_string().into(),
        ]
    };
    let call = || Call {
        keys: vec![names.generation_name(), names.layouts_name()],
        args: own().into_iter().chain(tier.budget.arguments()).collect(),
    };
    let reply = scope.run_script(None, Script::Beat, call).await?;
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
        fleet_bytes: parse_number(at(17)),
        in_use: texts(10),
        left: texts(11),
        sweeps: parse_number(at(12)) == 1,
        tidies: parse_number(at(14)) == 1,
        checks: parse_number(at(15)) == 1,
        history: at(13).as_string().unwrap_or_default(),
    }
}
