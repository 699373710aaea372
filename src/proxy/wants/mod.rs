//! What a plan depends on and is not known yet, found out: at once where it is at hand, else by asking.
//!
//! The plan is then made again, by what is known now.

mod asker;
mod check;
mod checks;
mod sent;
mod sources;

pub(super) use asker::is_confirmed;
pub use asker::recall as recall_asker;
pub use checks::Checks;
pub use sources::Sources;

use std::sync::Arc;

use super::request::context::RequestContext;
use super::request::plan::Wanting;
use crate::body::Received;

/// Finds out what is at hand; whether that was all.
pub(super) fn recall(sources: &Sources, context: &mut RequestContext, wanting: Wanting) -> bool {
    match wanting {
        Wanting::Body => false,
        Wanting::Asker => {
            context.asker = asker::recall(&sources.store, context);
            let is_known = context.asker.is_some();
            if is_known {
                sources.metrics.auth_used.inc();
            }
            is_known
        }
    }
}

/// Finds out the rest. Afterwards the context has it, if only that it could not be found out.
pub(super) async fn find_out(
    sources: &Arc<Sources>,
    context: &mut RequestContext,
    wanting: Wanting,
    body: &mut Received,
) {
    match wanting {
        Wanting::Body => sent::read(sources, context, body).await,
        Wanting::Asker => {
            context.asker = Some(asker::find_out(sources, context).await);
        }
    }
}
