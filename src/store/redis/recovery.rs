//! From a connection to a session: what must be known and done before Redis is trusted (again).

use fred::interfaces::{ClientLike, TrackingInterface};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::beat::{Findings, VoidShard};
use super::connection::RedisConnection;
use super::error::Error;
use super::layouts::Presence;
use super::scope::CommandScope;
use super::session::Endings;
use super::{beat, lease, managed, purge, rights, takeover};

/// Prepares a session: no right is missing, client tracking is on, the layout is announced, clock and data set are compared,
/// what another layout made void is removed, every purge that Redis missed is sent. The caller begins the
/// session if the connection still stands and nothing has ended since the [`Endings`] returned.
pub(super) async fn recover(connection: &RedisConnection) -> Result<Endings, Error> {
    let tier = &connection.tier;
    let _one_at_a_time = tier.recovery.lock().await;
    let scope = connection.for_maintenance();
    tier.scripts.load(scope.client()).await;
    rights::check(&scope).await?;
    set_names(connection).await;
    if tier.config.servers.is_cluster() {
        tier.note_nodes(connection.clients().plain.active_connections());
    }
    start_tracking(connection, &scope).await?;
    let mut endings = tier.sessions.endings(&connection.session);
    let Findings { is_new, void } = beat::beat(&scope, connection.presence).await?;
    managed::look_after(connection, is_new).await;
    if !void.is_empty() {
        take_over(connection, &scope, &void).await?;
    }
    if !void.is_empty() {
        // This has ended all sessions itself; what ends them from now on counts.
        endings = tier.sessions.endings(&connection.session);
        let again = beat::beat(&scope, connection.presence).await?;
        if !again.void.is_empty() {
            return Err(Error::Void);
        }
    }
    let stands = || tier.sessions.endings(&connection.session) == endings;
    purge::resend_failed(&scope, stands).await?;
    lease::release_kept(&scope).await;
    Ok(endings)
}

async fn take_over(
    connection: &RedisConnection,
    scope: &CommandScope<'_>,
    void: &[VoidShard],
) -> Result<(), Error> {
    match connection.presence {
        Presence::Announced => takeover::take_over(scope, void).await,
        Presence::Silent => Err(Error::Void),
    }
}

/// Redis is to tell this connection of changes to what it has read, but not of its own.
async fn start_tracking(
    connection: &RedisConnection,
    scope: &CommandScope<'_>,
) -> Result<(), Error> {
    connection.session.generations.note_news();
    let no_prefixes: Vec<String> = Vec::new();
    let client = scope.plain_client();
    let command = client.start_tracking(no_prefixes, false, false, false, true);
    scope.send(None, command).await
}

/// Names the connection, at each node that it has been made to. By `HELLO`, which needs no right; nothing depends on it.
async fn set_names(connection: &RedisConnection) {
    let name = connection.name();
    for (client, _) in connection.clients().nodes(&connection.tier.keys) {
        let hello = CustomCommand::new_static("HELLO", ClusterHash::Random, false);
        let words = vec!["3", "SETNAME", name.as_str()];
        if let Err(error) = client.custom::<Value, _>(hello, words).await {
            tracing::debug!(%error, "the connection to Redis has no name");
        }
    }
}
