//! Bodies made shorter for Redis, on their way there.

use std::sync::Arc;

use crate::entry::Variant;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;

/// Up to this length a body is compressed by the worker that stores it, in about half a millisecond; longer ones are by
/// a thread that nothing waits for.
const SHORT: usize = 128 << 10;

/// `variant` with its body compressed, if it is long and that is worth it.
pub(super) async fn compressed(
    variant: Arc<Variant>,
    in_flight: &InFlight,
    metrics: &Metrics,
) -> Arc<Variant> {
    if !variant.wants_compression() {
        return variant;
    }
    let length = variant.body.len();
    let in_flight = in_flight.clone();
    let work = Arc::clone(&variant);
    let compress = move || {
        let mut variant = Arc::unwrap_or_clone(work);
        variant.body.compress(|bytes| in_flight.count(bytes));
        Arc::new(variant)
    };
    let variant = match length {
        ..=SHORT => compress(),
        // It fails only where the process is about to end.
        _ => tokio::task::spawn_blocking(compress)
            .await
            .unwrap_or(variant),
    };
    metrics.compressed(length, variant.body.stored_length());
    variant
}
