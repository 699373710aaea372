//! The rights of Pannier's user in Redis, tried without running any command that they are for.

use futures_util::future::try_join_all;

use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script};

/// Fails with all rights that are missing, so that they are granted at once and not one after another as
/// commands fail.
pub(super) async fn check(scope: &CommandScope<'_>) -> Result<(), Error> {
    let missing = find_missing(scope).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Rights(in_words_of_acl(&missing))),
    }
}

/// The commands that the user may not use, on names of the namespace: each node of a cluster has users of its own.
async fn find_missing(scope: &CommandScope<'_>) -> Result<Vec<String>, Error> {
    let shards = 0..scope.tier.keys.shards().len();
    let found = try_join_all(shards.map(|shard| find_missing_in(scope, shard))).await?;
    let mut missing: Vec<String> = Vec::new();
    for name in found.into_iter().flatten() {
        if !missing.contains(&name) {
            missing.push(name);
        }
    }
    Ok(missing)
}

async fn find_missing_in(scope: &CommandScope<'_>, number: usize) -> Result<Vec<String>, Error> {
    let shard = &scope.tier.keys.shards()[number];
    let call = || Call {
        keys: vec![shard.layouts_name()],
        args: vec![(&*shard.tag).into()],
    };
    let missing = scope.run_plain(None, Script::Rights, number, call).await?;
    let missing = missing.into_array();
    Ok(missing.iter().filter_map(|name| name.as_string()).collect())
}

/// As `ACL SETUSER` takes them.
fn in_words_of_acl(commands: &[String]) -> String {
    let granted: Vec<String> = commands.iter().map(|name| format!("+{name}")).collect();
    granted.join(" ")
}
