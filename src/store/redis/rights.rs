//! The rights of Pannier's user in Redis, tried without running any command that they are for.

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand};

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

/// Whether the user may not use this command, as far as Redis tells: to try it would leave a line in `ACL LOG`. For what Pannier
/// does without.
pub(super) async fn is_denied(client: &WithOptions<Client>, command: &[&str]) -> bool {
    // Where it cannot be told, nothing is kept from trying.
    const SCRIPT: &str = "#!lua flags=no-writes,allow-stale\n\
        local is_known, may = pcall(redis.acl_check_cmd, unpack(ARGV)) return is_known and not may";
    let eval = CustomCommand::new_static("EVAL", ClusterHash::Random, false);
    let words = [&[SCRIPT, "0"], command].concat();
    let denied = client.custom::<Option<i64>, _>(eval, words).await;
    denied.is_ok_and(|denied| denied == Some(1))
}

/// As `ACL SETUSER` takes them.
fn in_words_of_acl(commands: &[String]) -> String {
    let granted: Vec<String> = commands.iter().map(|name| format!("+{name}")).collect();
    granted.join(" ")
}
