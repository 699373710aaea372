//! After another layout was in use: what this one stored before lacks the other's purges, so it goes
//! before any of it is served, and with it what the other one left.

use fred::types::Value;

use super::error::Error;
use super::keys::{UNKNOWN_LAYOUT, escape_glob};
use super::purge;
use super::scope::CommandScope;
use super::scripts::{Call, Script};

/// Makes void what the own layout has stored, then removes what the layouts in `others` have left here, and then their
/// names.
///
/// Sidecars of one layout may do this side by side: who finds that another has begun a generation since its
/// beat leaves the names alone, since what they stand for may be news, and looks again. The caller, too, looks
/// again, by a beat, before it begins a session.
pub(super) async fn take_over(scope: &CommandScope<'_>, others: &[String]) -> Result<(), Error> {
    let found = scope.tier.lineage.generation();
    let is_renewed = purge::renew(scope, "layout", found).await?;
    for layout in others.iter().filter(|it| *it != UNKNOWN_LAYOUT) {
        clear_layout(scope, layout).await?;
    }
    if !is_renewed {
        tracing::debug!("another sidecar of this layout was faster");
        return Err(Error::Void);
    }
    forget_layouts(scope, others).await
}

/// Removes all that another layout has stored, page by page: nobody else would remove its indexes, or count them.
async fn clear_layout(scope: &CommandScope<'_>, layout: &str) -> Result<(), Error> {
    let names = scope.tier.keys.names();
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
        let reply = scope.run_script(None, Script::Clear, call);
        cursor = reply.await?.value;
        if cursor.as_bytes() == Some(b"0") {
            return Ok(());
        }
    }
}

async fn forget_layouts(scope: &CommandScope<'_>, others: &[String]) -> Result<(), Error> {
    let names = scope.tier.keys.names();
    let call = || {
        let mut args: Vec<Value> = vec![(&*names.tag).into()];
        args.extend(others.iter().map(|layout| layout.as_str().into()));
        Call {
            keys: vec![names.layouts_name()],
            args,
        }
    };
    let forgotten = scope.run_script(None, Script::ForgetLayouts, call);
    forgotten.await.map(|_| ())
}
