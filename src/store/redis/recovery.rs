//! From a connection to a session: what must be known and done before Redis is trusted (again).

use fred::interfaces::{ClientLike, TrackingInterface};
use fred::types::InfoKind;

use super::connection::RedisConnection;
use super::error::Error;
use super::scope::CommandScope;
use super::session::Endings;
use super::{beat, purge};

/// Prepares a session: client tracking is on, clock and data set are compared, every purge that Redis
/// missed is sent. The caller begins the session if the connection still stands and nothing has ended
/// since the [`Endings`] returned.
pub(super) async fn recover(connection: &RedisConnection) -> Result<Endings, Error> {
    let tier = &connection.tier;
    let _one_at_a_time = tier.recovery.lock().await;
    let scope = connection.for_maintenance();
    start_tracking(&scope).await?;
    tier.scripts.load(scope.client()).await;
    let mut endings = tier.sessions.endings(&connection.session);
    if beat::beat(&scope).await? {
        warn_of_eviction(&scope).await;
        // That beat may have ended all sessions itself; what ends them from now on counts.
        endings = tier.sessions.endings(&connection.session);
        beat::beat(&scope).await?;
    }
    purge::resend_failed(&scope).await?;
    Ok(endings)
}

/// Redis is to tell this connection of changes to what it has read, but not of its own.
async fn start_tracking(scope: &CommandScope<'_>) -> Result<(), Error> {
    let no_prefixes: Vec<String> = Vec::new();
    let client = scope.plain_client();
    let command = client.start_tracking(no_prefixes, false, false, false, true);
    scope.send(None, command).await
}

/// An index evicted under us would hide entries from purges; `INFO` is allowed where `CONFIG` is not.
async fn warn_of_eviction(scope: &CommandScope<'_>) {
    let info = scope.client().info::<String>(Some(InfoKind::Memory));
    let Ok(info) = scope.send(None, info).await else {
        return;
    };
    let policy = info
        .lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"));
    if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys")) {
        tracing::warn!(
            policy,
            "this Redis may evict the indexes that purges need; use noeviction or a volatile policy"
        );
    }
}
