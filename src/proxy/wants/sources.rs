//! What finding out takes.

use std::sync::Arc;

use super::checks::Checks;
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
