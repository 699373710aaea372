//! After another layout was in use: what this one stored before lacks the other's purges, so it goes
//! before any of it is served, and with it what the other one left.

use fred::types::Value;
use futures_util::future::try_join_all;

use super::beat::VoidShard;
use super::error::Error;
use super::keys::{UNKNOWN_LAYOUT, escape_glob};
use super::purge;
use super::scope::CommandScope;
use super::scripts::{Call, Script};

/// Makes void what the own layout has stored in all shards, then removes what the layouts found in `void` have left
/// there, and then their names. In all shards: one may not have been reached by the other layout's beats, and
/// yet lack a purge.
///
/// Sidecars of one layout may do this side by side: who finds that another has begun a generation since its
/// beat leaves the names alone, since what they stand for may be news, and looks again. The caller, too, looks
/// again, by a beat, before it begins a session.
pub(super) async fn take_over(scope: &CommandScope<'_>, void: &[VoidShard]) -> Result<(), Error> {
    if scope.tier.other_layout.is_none() {
        // None of its sidecars was met, so nothing was logged yet.
        tracing::info!("another stored layout was in use: what this one had stored is void");
    }
    let shards = 0..scope.tier.keys.shards().len();
    let renewals = shards.map(|shard| {
        let found = scope.tier.lineages.generation(shard);
        purge::renew(scope, shard, "layout", found)
    });
    let renewed = try_join_all(renewals).await?;
    for shard in void {
        let known = shard.others.iter().filter(|it| *it != UNKNOWN_LAYOUT);
        for layout in known {
            clear_layout(scope, shard, layout).await?;
        }
    }
    for shard in void {
        if !renewed[shard.number] {
            tracing::debug!("another sidecar of this layout was faster");
            return Err(Error::Void);
        }
        forget_layouts(scope, shard).await?;
    }
    Ok(())
}

/// Removes all that another layout has stored in a shard, page by page: nobody else would remove its
/// indexes, or count them.
async fn clear_layout(
    scope: &CommandScope<'_>,
    shard: &VoidShard,
    layout: &str,
) -> Result<(), Error> {
    let names = &scope.tier.keys.shards()[shard.number];
    let glob = escape_glob(&names.prefix_of_layout(layout));
    let mut cursor = Value::from("0");
    loop {
        let call = || Call {
            keys: vec![names.layouts_name()],
            args: vec![
                (&*names.tag).into(),
                layout.into(),
                glob.as_str().into(),
                cursor.clone(),
            ],
        };
        let reply = scope.run_script(None, Script::Clear, shard.number, call);
        cursor = reply.await?.value;
        if cursor.as_bytes() == Some(b"0") {
            return Ok(());
        }
    }
}

async fn forget_layouts(scope: &CommandScope<'_>, shard: &VoidShard) -> Result<(), Error> {
    let names = &scope.tier.keys.shards()[shard.number];
    let call = || {
        let mut args: Vec<Value> = vec![(&*names.tag).into()];
        args.extend(shard.others.iter().map(|layout| layout.as_str().into()));
        Call {
            keys: vec![names.layouts_name()],
            args,
        }
    };
    scope
        .run_script(None, Script::ForgetLayouts, shard.number, call)
        .await?;
    Ok(())
}
