//! Removes what is void: entries and leases of generations that have ended, which nobody finds any more.
//!
//! Until that is done their bytes count against the budget. One process does it (a beat says which), some pages at
//! a time, so that beats go on; where it ends half-way, another goes on after some seconds. What nobody removes
//! expires.

use std::time::Duration;

use fred::types::Value;

use super::error::Error;
use super::keys::escape_glob;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use super::void::Sweep;
use crate::clock;

/// How long a supervisor goes on at a time; it is woken a few times a second.
const TURN: Duration = Duration::from_millis(50);

/// Sweeps for a short time, if there is anything to sweep.
pub(super) async fn go_on(scope: &CommandScope<'_>) {
    let until = clock::monotonic() + TURN;
    while clock::monotonic() < until {
        let Some(mut sweep) = scope.tier.sweeps.take() else {
            return;
        };
        match sweep_page(scope, &sweep).await {
            Ok(cursor) if cursor.as_bytes() == Some(b"0") => {}
            Ok(cursor) => {
                sweep.cursor = cursor;
                scope.tier.sweeps.put_back(sweep);
            }
            // A later beat begins it anew.
            Err(error) => return tracing::debug!(%error, "a sweep has broken off"),
        }
    }
}

/// Returns where to go on; 0: done.
async fn sweep_page(scope: &CommandScope<'_>, sweep: &Sweep) -> Result<Value, Error> {
    let prefix = &*scope.tier.keys.shards()[sweep.shard].prefix;
    let call = || {
        let glob = escape_glob(prefix).into();
        Call::about_shard(
            prefix,
            vec![
                glob,
                sweep.cursor.clone(),
                sweep.generation.to_string().into(),
            ],
        )
    };
    let reply = scope.run_script(None, Script::Sweep, sweep.shard, call);
    Ok(reply.await?.value)
}
