//! The rights of Pannier's user in Redis, tried without running any command that they are for.

use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script};

/// Fails with all rights that are missing, so that they are granted at once and not one after another as
/// commands fail.
pub(super) async fn check(scope: &CommandScope<'_>) -> Result<(), Error> {
    let missing = find_missing(scope).await?;
    let unknown = missing.iter().filter_map(|name| name.strip_prefix('!'));
    let unknown: Vec<String> = unknown
        .map(|name| name.to_uppercase().replace('|', " "))
        .collect();
    if !unknown.is_empty() {
        let words = format!("unknown command: {}", unknown.join(", "));
        return Err(Error::Other(words));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Rights(in_words_of_acl(&missing))),
    }
}

/// The commands that the user may not use, on names of the shard: each node of a cluster has users of its own.
async fn find_missing(scope: &CommandScope<'_>) -> Result<Vec<String>, Error> {
    let names = scope.tier.keys.names();
    let call = || Call {
        keys: vec![names.layouts_name()],
        args: vec![(&*names.tag).into()],
    };
    let missing = scope.run_plain(None, Script::Rights, call).await?;
    let missing = missing.into_array();
    Ok(missing.iter().filter_map(|name| name.as_string()).collect())
}

/// As `ACL SETUSER` takes them.
fn in_words_of_acl(commands: &[String]) -> String {
    let granted: Vec<String> = commands.iter().map(|name| format!("+{name}")).collect();
    granted.join(" ")
}
