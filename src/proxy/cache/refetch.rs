//! What a write has purged and was read is asked for again at once, so that the next reader hits.
//!
//! Each key waits for it once, however many writes come meanwhile: it is asked for after the last of them. The fill is
//! one like any other: its lease is taken after the purge, so what it stores is of the time after the write (promises I2
//! and I3), and who reads the key meanwhile waits for it as for any other.

use std::sync::Arc;
use std::time::Instant;

use super::answer;
use super::coalesce::Role;
use super::fill;
use super::fill::options::{Leasing, Stale};
use super::request::{Cache, CacheRequest};
use crate::clock;
use crate::http_cache::Reuse;
use crate::metrics::GaugeGuard;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};

/// How often it is asked for where the app says to wait.
const TRIES: usize = 3;

/// Asks for what `context` reads under `key`, at each of these times.
pub(in crate::proxy) fn refetch(
    cache: &Arc<Cache>,
    context: RequestContext,
    key: &str,
    times: &[Instant],
) {
    let Plan::Cache(lookup) = plan::plan(&context) else {
        return;
    };
    if !cache.refetches.add(key, times) {
        return;
    }
    let counted = GaugeGuard::new(&cache.metrics.refetches);
    let (key, request) = (
        key.to_owned(),
        CacheRequest {
            cache: cache.clone(),
            context: Arc::new(context),
            lookup: Arc::new(lookup),
        },
    );
    tokio::spawn(async move {
        while let Some(at) = request.cache.refetches.next(&key) {
            tokio::time::sleep_until(at.into()).await;
            ask(&request, &key).await;
        }
        drop(counted);
    });
}

/// Asks once, and again where the app says to wait: the gate opens when it may be asked.
async fn ask(request: &CacheRequest, key: &str) {
    let gate = &request.context.live.gates.background;
    for _ in 0..TRIES {
        let turn = gate.begin(request.urgency()).await;
        request.cache.refetches.begin(key, clock::monotonic());
        let leader = match request.enter() {
            Role::Leader(leader) => Some(leader),
            // What the app said of the last answer, such as to wait.
            Role::Bypass => None,
            // Somebody asks already, and after the purge: else they could not be joined.
            Role::Waiter(_) => return,
        };
        fill::renew(request.clone(), Stale::default(), Leasing::Try, leader).await;
        drop(turn);
        if gate.stopped_for().is_none() || is_fresh(request).await {
            return;
        }
    }
}

async fn is_fresh(request: &CacheRequest) -> bool {
    let look = answer::look_in_both(request).await;
    matches!(look.verdict, Reuse::Serve { .. })
}
