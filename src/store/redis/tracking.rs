//! Invalidations: what Redis says was changed elsewhere (client tracking, RESP3).

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::TrackingInterface;
use tokio::sync::broadcast::error::RecvError;

use super::connection::RedisConnection;
use super::keys::Name;
use super::tier::Tier;
use crate::routes::{Pattern, Purge};

/// Carries out the invalidations that `client` receives, until it is closed.
pub(super) fn listen(
    connection: &Arc<RedisConnection>,
    client: &Client,
) -> impl Future<Output = ()> + use<> {
    let mut invalidations = client.invalidation_rx();
    let connection = Arc::clone(connection);
    async move {
        let tier = &connection.tier;
        loop {
            match invalidations.recv().await {
                Ok(invalidation) => {
                    let names = invalidation.keys.iter().filter_map(|key| key.as_str());
                    names.for_each(|name| invalidate(tier, name));
                }
                // Nobody knows which keys those were.
                Err(RecvError::Lagged(_)) if connection.current_session().is_some() => {
                    tier.begin_session(&connection.session);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn invalidate(tier: &Tier, name: &str) {
    let Some(name) = tier.keys.parse(name) else {
        return;
    };
    let (Name::Entry(key) | Name::Lease(key)) = name;
    let purge = Arc::new(Purge {
        keys: vec![Pattern::literal(key)],
        ..Purge::default()
    });
    match name {
        Name::Entry(_) => {
            tier.metrics.invalidations.inc();
            tier.invalidation_fence.purge(Arc::clone(&purge));
            tier.memory.purge(&purge);
        }
        // A purge took the lease of a fill of ours: requests that come now must not join it.
        Name::Lease(_) => tier.fence.purge(purge),
    }
}
