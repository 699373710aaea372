//! Removes what is void: entries and leases of generations that have ended, which nobody finds any more.
//!
//! Until that is done their bytes count against the budget. One process does it (a beat says which), some pages at
//! a time, so that beats go on; where it ends half-way, another goes on after some seconds. What nobody removes
//! expires.

use std::time::Duration;

use fred::types::Value;
use parking_lot::Mutex;

use super::error::Error;
use super::keys::escape_glob;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use crate::clock;

/// How long a supervisor goes on at a time; it is woken a few times a second.
const TURN: Duration = Duration::from_millis(50);

/// The shards that this process is to sweep.
#[derive(Debug, Default)]
pub(super) struct Sweeps(Mutex<Vec<Sweep>>);

/// How far one shard has been swept.
#[derive(Debug)]
struct Sweep {
    shard: usize,
    cursor: Value,
}

impl Sweeps {
    /// A beat says that this process is to sweep `shard`, from the beginning.
    pub(super) fn begin(&self, shard: usize) {
        let mut sweeps = self.0.lock();
        sweeps.retain(|sweep| sweep.shard != shard);
        let cursor = Value::from("0");
        sweeps.push(Sweep { shard, cursor });
    }
}

/// Sweeps for a short time, if there is anything to sweep.
pub(super) async fn go_on(scope: &CommandScope<'_>) {
    let until = clock::monotonic() + TURN;
    while clock::monotonic() < until {
        // Taken out, so that two connections do not sweep the same page.
        let Some(mut sweep) = scope.tier.sweeps.0.lock().pop() else {
            return;
        };
        match sweep_page(scope, &sweep).await {
            Ok(cursor) if cursor.as_bytes() == Some(b"0") => {}
            Ok(cursor) => {
                sweep.cursor = cursor;
                scope.tier.sweeps.0.lock().push(sweep);
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
        Call::about_shard(prefix, vec![glob, sweep.cursor.clone()])
    };
    let reply = scope.run_script(None, Script::Sweep, sweep.shard, call);
    Ok(reply.await?.value)
}
