//! Background work on what Redis holds: what is void goes, and the bookkeeping of what has expired, and what the budget
//! has no room for.
//!
//! What is void are entries and leases of generations that have ended, which nobody finds any more; until they are gone
//! their bytes count against the budget. One process does each of it (a beat says which), some pages at a time, so that beats
//! go on; where it ends half-way, another goes on after some seconds.

use std::time::Duration;

use fred::types::Value;

use super::chores::{Chore, RoomRequest, Sweep};
use super::error::Error;
use super::keys::escape_glob;
use super::managed;
use super::room::Step;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use crate::clock;

/// How long a supervisor goes on at a time; it is woken a few times a second.
const TURN: Duration = Duration::from_millis(50);

/// Works for a short time, if there is anything to do.
pub(super) async fn go_on(scope: &CommandScope<'_>) {
    let until = clock::monotonic() + TURN;
    while clock::monotonic() < until {
        let Some(chore) = scope.tier.chores.take() else {
            return;
        };
        match do_some(scope, chore).await {
            Ok(Some(rest)) => scope.tier.chores.begin(rest),
            Ok(None) => {}
            // A later beat begins it anew.
            Err(error) => return tracing::debug!(%error, "background work has broken off"),
        }
    }
}

/// Returns what is left to do of it.
async fn do_some(scope: &CommandScope<'_>, chore: Chore) -> Result<Option<Chore>, Error> {
    match chore {
        Chore::Sweep(mut sweep) => {
            sweep.cursor = sweep_page(scope, &sweep).await?;
            let is_done = sweep.cursor.as_bytes() == Some(b"0");
            Ok((!is_done).then_some(Chore::Sweep(sweep)))
        }
        Chore::Tidy => {
            let is_more = run(scope, Script::Tidy, Vec::new).await?;
            Ok((parse_number(&is_more) == 1).then_some(Chore::Tidy))
        }
        Chore::Check => {
            let budget = || scope.tier.budget.sample_arguments();
            run(scope, Script::Sample, budget).await?;
            managed::look_again(scope.tier, scope.clients()).await;
            let room = RoomRequest::for_check(scope.tier);
            Ok(Some(Chore::Evict(room)))
        }
        Chore::Evict(mut room) => match room.step(scope).await? {
            Step::Short | Step::Fits => Ok(Some(Chore::Evict(room))),
            Step::Done | Step::Never | Step::Taken => Ok(None),
        },
        Chore::TellHits(report) => Ok(report.tell_some(scope).await?.map(Chore::TellHits)),
    }
}

/// Returns where to go on; 0: done.
async fn sweep_page(scope: &CommandScope<'_>, sweep: &Sweep) -> Result<Value, Error> {
    let prefix = scope.tier.keys.prefix();
    let args = || {
        vec![
            escape_glob(prefix).into(),
            sweep.cursor.clone(),
            sweep.generation.to_string().into(),
        ]
    };
    run(scope, Script::Sweep, args).await
}

/// Runs a script about a whole shard.
async fn run(
    scope: &CommandScope<'_>,
    script: Script,
    args: impl Fn() -> Vec<Value> + Send + Sync,
) -> Result<Value, Error> {
    let prefix = scope.tier.keys.prefix();
    let call = || Call::about_shard(prefix, args());
    let reply = scope.run_script(None, script, call);
    Ok(reply.await?.value)
}
