//! What this process has read in Redis, and nothing is stored under. Redis goes on watching each such name for whoever has
//! read it until it is written: of what never is that would be for good, in a table that no budget knows of.

use fred::types::Value;

use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use crate::clock;
use crate::routes::{Pattern, Purge, identities};

/// The names of one command.
const NAMES_AT_A_TIME: usize = 256;

/// Has Redis forget who has read the names of keys, as far as there is still nothing, and those of credentials that nothing is
/// known of any more.
pub(super) async fn unwatch(scope: &CommandScope<'_>) -> Result<(), Error> {
    let tier = scope.tier;
    let keys = tier.unstored.take().into_iter();
    let names = keys.flat_map(|key| ["e:", "l:"].map(|kind| [kind, &key].concat()));
    for some in names.collect::<Vec<_>>().chunks(NAMES_AT_A_TIME) {
        forget(scope, some).await?;
    }
    let decisions = tier.memory.decisions();
    let is_known = |name: &str| decisions.knows(name);
    let unknown = tier.identities.take_unknown(clock::monotonic(), is_known);
    for some in unknown.chunks(NAMES_AT_A_TIME) {
        let digests = some.iter().filter_map(|name| identities::digest_in(name));
        let names: Vec<String> = digests.map(|digest| ["a:", digest].concat()).collect();
        let forgotten = forget(scope, &names).await;
        // Redis tells a connection nothing of what it does itself: who is being asked about just now is watched no longer.
        let keys = some.iter().map(|name| Pattern::literal(name)).collect();
        let purge = Purge {
            keys,
            ..Purge::default()
        };
        tier.drop_identities(purge);
        forgotten?;
    }
    Ok(())
}

/// By names without the shard's prefix.
async fn forget(scope: &CommandScope<'_>, names: &[String]) -> Result<(), Error> {
    let words = || {
        names
            .iter()
            .map(|name| Value::from(name.as_str()))
            .collect()
    };
    let call = || Call::about_shard(scope.tier.keys.prefix(), words());
    let forgotten = scope.run_plain(None, Script::Unwatch, call).await;
    forgotten.map(|_| ())
}
