//! Invalidations: what Redis says was changed elsewhere (client tracking, RESP3).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{KeysInterface, TrackingInterface};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::unconstrained;

use super::connection::RedisConnection;
use super::error::Error;
use super::keys::Name;
use super::lineage::{Comparison, Generation};
use crate::clock;
use crate::routes::{Pattern, Purge, identities};

/// Carries out the invalidations that `client` receives, until it is closed.
///
/// Redis sends an invalidation before any answer that it changes, and fred hands both on in that order.
/// The task is not limited by tokio's budget, so it has carried out all of them before a task that was
/// woken later looks at its answer.
pub(super) fn listen(
    connection: &Arc<RedisConnection>,
    client: &Client,
) -> impl Future<Output = ()> + use<> {
    let mut invalidations = client.invalidation_rx();
    let connection = Arc::clone(connection);
    unconstrained(async move {
        loop {
            match invalidations.recv().await {
                Ok(invalidation) => {
                    let names = invalidation.keys.iter().filter_map(|key| key.as_str());
                    names.for_each(|name| invalidate(&connection, name));
                }
                Err(RecvError::Lagged(_)) => miss_invalidations(&connection),
                Err(RecvError::Closed) => return,
            }
        }
    })
}

/// Asks for the generation: the answer shows that Redis lives, and that all it told this connection before has arrived.
/// Returns how long that took.
pub(super) async fn hear(connection: &RedisConnection) -> Result<Duration, Error> {
    let tier = &connection.tier;
    let scope = connection.for_maintenance();
    let (sent, watched) = (
        clock::monotonic(),
        connection.session.generations.before_reading(),
    );
    let shard = tier.keys.names();
    // Read to be told of them.
    let names = vec![shard.generation.clone(), shard.untold.clone()];
    let command = scope.client().mget::<Vec<Option<Bytes>>, _>(names);
    let answer = scope.send_uncounted(Box::pin(command)).await?;
    let generation = answer.into_iter().next().flatten();
    let generation = generation.as_deref().and_then(Generation::read);
    let found = generation.map(|found| tier.note_generation(found));
    if found != Some(Comparison::Same) {
        tier.sessions.wake(&connection.session);
    }
    if matches!(found, Some(Comparison::Same | Comparison::Later)) {
        connection.session.generations.note_read(watched);
    }
    tier.sessions.hear(&connection.session, sent);
    Ok(clock::monotonic().duration_since(sent))
}

/// More invalidations came than could wait, and nobody knows of which keys: memory and the fills under
/// way are distrusted, and the session is prepared again.
fn miss_invalidations(connection: &RedisConnection) {
    let tier = &connection.tier;
    tier.fence.purge(Arc::new(Purge::of_everything()));
    let empty_memory = || tier.memory.take_shard(tier.number);
    tier.sessions
        .end_having_missed(&connection.session, empty_memory);
}

fn invalidate(connection: &RedisConnection, name: &str) {
    let tier = &connection.tier;
    let purge_of = |key| {
        Arc::new(Purge {
            keys: vec![Pattern::literal(key)],
            ..Purge::default()
        })
    };
    match tier.keys.parse(name) {
        Some(Name::Entry(key)) => {
            let purge = purge_of(key);
            tier.metrics.invalidations.inc();
            tier.invalidation_fence.purge(Arc::clone(&purge));
            tier.memory.purge_key(key);
        }
        // A purge took the lease of a fill of ours, or it was not renewed in time: requests that come now must not join it.
        Some(Name::Lease(key)) => tier.fence.purge(purge_of(key)),
        Some(Name::Identity(digest)) => {
            let name = identities::name_of(digest);
            tier.drop_identities(identities::purge_of(&name));
        }
        Some(Name::Identities) => tier.drop_identities(identities::purge_of_all()),
        // Another layout has come, or gone. Until a beat shows which, nothing of Redis is used: what
        // the other one purges is still in it.
        Some(Name::Layouts) => tier.sessions.end_all_and_wake(&connection.session),
        Some(Name::Switches) => tier.switch_news.notify_one(),
        Some(Name::Untold) => tier.distrust(),
        // All that was stored before is void. A beat shows in which generation Redis is now.
        Some(Name::Generation) => {
            connection.session.generations.note_news();
            tier.distrust();
            tier.sessions.wake(&connection.session);
        }
        None => {}
    }
}
