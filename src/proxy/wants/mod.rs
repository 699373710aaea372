//! What a plan depends on and is not known yet, found out: at once where it is at hand, else by asking.
//!
//! The plan is then made again, by what is known now.

mod asker;
mod check;
mod checks;

pub use checks::Checks;

use std::sync::Arc;

use super::request::context::RequestContext;
use super::request::plan::Wanting;
use crate::metrics::Metrics;
use crate::store::Store;

/// What finding out takes: one for each worker.
pub struct Sources {
    /// Keeps what was found out.
    pub store: Store,
    /// Checks of who asks that are under way in the process.
    pub checks: Arc<Checks>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
}

/// Finds out what is at hand; whether that was all.
pub(super) fn recall(sources: &Sources, context: &mut RequestContext, wanting: Wanting) -> bool {
    match wanting {
        Wanting::Asker => {
            context.asker = asker::recall(sources, context);
            context.asker.is_some()
        }
    }
}

/// Finds out the rest. Afterwards the context has it, if only that it could not be found out.
pub(super) async fn find_out(
    sources: &Arc<Sources>,
    context: &mut RequestContext,
    wanting: Wanting,
) {
    match wanting {
        Wanting::Asker => {
            context.asker = Some(asker::find_out(sources, context).await);
        }
    }
}
