//! After another layout was in use: what this one stored before lacks the other's purges, so it goes
//! before any of it is served, and with it what the other one left.

use fred::types::Value;

use super::beat::VoidShard;
use super::error::Error;
use super::keys::UNKNOWN_LAYOUT;
use super::purge;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use crate::routes::Purge;

/// Removes everything of the own layout in all shards, then what the layouts found in `void` have left
/// there, and then their names. Everything: a shard may not have been reached by the other layout's beats,
/// and yet lack a purge.
///
/// Sidecars of one layout may do this side by side. Each takes the data for good again only if no other has
/// done so since its beat, so nothing that was stored before can come through; removing twice is harmless.
/// The caller looks again, by a beat, before it begins a session.
pub(super) async fn take_over(scope: &CommandScope<'_>, void: &[VoidShard]) -> Result<(), Error> {
    if scope.tier.other_layout.is_none() {
        // None of its sidecars was met, so nothing was logged yet.
        tracing::info!("another stored layout was in use: what this one had stored is removed");
    }
    let everything = Purge {
        everything: true,
        ..Purge::default()
    };
    purge::purge(scope, &everything).await?;
    for shard in void {
        let known = shard.others.iter().filter(|it| *it != UNKNOWN_LAYOUT);
        for layout in known {
            clear_layout(scope, shard, layout).await?;
        }
    }
    for shard in void {
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
    let glob = purge::escape_glob(&names.prefix_of_layout(layout));
    let mut cursor = Value::from("0");
    loop {
        let call = || Call {
            keys: vec![names.layouts_name()],
            args: vec![
                (&*names.prefix).into(),
                (&*names.tag).into(),
                layout.into(),
                glob.as_str().into(),
                cursor.clone(),
            ],
        };
        cursor = scope.run_script(None, Script::Clear, call).await?;
        if cursor.as_bytes() == Some(b"0") {
            return Ok(());
        }
    }
}

async fn forget_layouts(scope: &CommandScope<'_>, shard: &VoidShard) -> Result<(), Error> {
    let names = &scope.tier.keys.shards()[shard.number];
    let fresh_id = format!("{:016x}", fastrand::u64(..));
    let call = || {
        let mut args: Vec<Value> = vec![
            (&*names.prefix).into(),
            (&*names.tag).into(),
            shard.data_set_id.as_str().into(),
            fresh_id.as_str().into(),
        ];
        args.extend(shard.others.iter().map(|layout| layout.as_str().into()));
        Call {
            keys: vec![names.layouts_name()],
            args,
        }
    };
    let done = scope.run_script(None, Script::Takeover, call).await?;
    if parse_number(&done) == 0 {
        tracing::debug!("another sidecar of this layout was faster");
    }
    Ok(())
}
