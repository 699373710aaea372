//! What one runtime needs to answer requests.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::outcome::Tally;
use super::write::LateWrites;
use crate::live::Live;
use crate::metrics::Metrics;

/// What one runtime needs to answer requests.
pub struct Worker {
    /// Which of the workers this is.
    pub index: usize,
    /// The config in force.
    pub live: Arc<ArcSwap<Live>>,
    /// The store and the fills under way, for requests that may be answered from there.
    pub cache: Arc<Cache>,
    /// Writes of the process that are watched after their timeout.
    pub late_writes: LateWrites,
    /// Cancelled when the process is about to end: it is not ready any more, and still answers.
    pub leaving: CancellationToken,
    /// Cancelled once the jobs have run that it is not ready without.
    pub warmed: CancellationToken,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Counts for the summary line of the log.
    pub tally: Arc<Tally>,
}
