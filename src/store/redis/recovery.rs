//! From a connection to a session: what must be known and done before Redis is trusted (again).

use fred::interfaces::{ClientLike, TrackingInterface};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::beat::Findings;
use super::connection::RedisConnection;
use super::error::Error;
use super::layouts::Presence;
use super::scope::CommandScope;
use super::session::Endings;
use super::{beat, managed, purge, rights, takeover};

/// Prepares a session: no right is missing, client tracking is on, the layout is announced, clock and data set are compared,
/// what another layout made void is removed, every purge that Redis missed is sent. The caller begins the
/// session if the connection still stands and nothing has ended since the [`Endings`] returned.
pub(super) async fn recover(connection: &RedisConnection) -> Result<Endings, Error> {
    let tier = &connection.tier;
    let _one_at_a_time = tier.recovery.lock().await;
    let scope = connection.for_maintenance();
    let clients = connection.clients();
    let load = ["SCRIPT", "LOAD", ""];
    if tier.scripts.are_to_load() && !rights::is_denied(&clients.bounded, &load).await {
        tier.scripts.load(&clients.bounded).await;
    }
    rights::check(&scope).await?;
    set_name(connection, &scope).await;
    start_tracking(connection, &scope).await?;
    let mut endings = tier.sessions.endings(&connection.session);
    let Findings { is_new, left } = beat::beat(&scope, connection.presence).await?;
    managed::look_after(connection, is_new).await;
    if !left.is_empty() {
        take_over(connection, &scope, &left).await?;
        // This has ended all sessions itself; what ends them from now on counts.
        endings = tier.sessions.endings(&connection.session);
        let again = beat::beat(&scope, connection.presence).await?;
        if !again.left.is_empty() {
            return Err(Error::Void);
        }
    }
    if let Some(other) = tier.overview.other_layout_beside(tier.number) {
        return Err(Error::OtherLayout(other));
    }
    let stands = || tier.sessions.endings(&connection.session) == endings;
    purge::resend_failed(&scope, stands).await?;
    Ok(endings)
}

async fn take_over(
    connection: &RedisConnection,
    scope: &CommandScope<'_>,
    left: &[String],
) -> Result<(), Error> {
    match (connection.presence, left) {
        (Presence::Announced, [first, ..]) => {
            let tier = &connection.tier;
            tier.overview.note_left_layout(tier.number, first);
            takeover::take_over(scope, left).await
        }
        _ => Err(Error::Void),
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

/// Names the connection. By `HELLO`, which needs no right; nothing depends on it.
async fn set_name(connection: &RedisConnection, scope: &CommandScope<'_>) {
    let name = connection.name();
    let hello = CustomCommand::new_static("HELLO", ClusterHash::Random, false);
    let words = vec!["3", "SETNAME", name.as_str()];
    let command = scope.client().custom::<Value, _>(hello, words);
    if let Err(error) = scope.send_uncounted(Box::pin(command)).await {
        tracing::debug!(%error, "the connection to Redis has no name");
    }
}
