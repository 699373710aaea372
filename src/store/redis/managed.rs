//! The memory of the servers themselves: bounded by Pannier where `[budget] manage_server` says so and they let it; and
//! the operator is told where they may remove what they should not.

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, InfoKind, Value};

use super::clients::Clients;
use super::connection::RedisConnection;
use super::error::Error;
use super::rights;
use super::server_limits::{Managed, Measure, POLICY, ServerLimits};
use super::tier::Tier;

/// Sees to the memory of the server that the connection leads to, while its session is prepared. Nothing depends on it.
pub(super) async fn look_after(connection: &RedisConnection, is_new: bool) {
    let tier = &connection.tier;
    if !tier.budget.manages_server {
        if is_new {
            warn_of_eviction(connection).await;
        }
        return;
    }
    if connection.is_for_upkeep() {
        manage(tier, &connection.clients()).await;
    }
}

/// Sees whether others have come to need more than the server's bound leaves them. What was refused is tried again with the next
/// session.
pub(super) async fn look_again(tier: &Tier, clients: &Clients) {
    let (server, _) = describe_server(tier, clients);
    if matches!(tier.management.of(&server), Some(Managed::Set(_))) {
        manage(tier, clients).await;
    }
}

async fn manage(tier: &Tier, clients: &Clients) {
    let (server, shards) = describe_server(tier, clients);
    // Else what Pannier has there might be taken for what others store.
    let Some(own) = tier.budget.used_by(&shards) else {
        return;
    };
    let share = tier.budget.per_shard() * shards.len() as u64;
    let before = tier.management.of(&server);
    let managed = match bound(&clients.bounded, share, own, before.as_ref()).await {
        Ok(maxmemory) => Managed::Set(maxmemory),
        Err(words) => Managed::Refused(words),
    };
    let is_news = tier.management.note(&server, managed.clone());
    match managed {
        Managed::Set(maxmemory) if is_news && maxmemory > share => tracing::warn!(
            server,
            maxmemory,
            "[budget] manage_server: maxmemory of Redis is more than its part of [budget] max ({share} bytes), so that \
             others can write there"
        ),
        Managed::Set(maxmemory) if is_news => tracing::info!(
            server,
            maxmemory,
            policy = POLICY,
            "Redis is bounded, as [budget] manage_server says"
        ),
        Managed::Refused(words) if is_news => tracing::warn!(
            server,
            "[budget] manage_server: maxmemory of Redis is left as it is, since {words}. Pannier goes on, and keeps to \
             [budget] max by itself"
        ),
        _ => {}
    }
}

/// The server that a connection leads to, and the shards that it has.
fn describe_server(tier: &Tier, clients: &Clients) -> (String, Vec<usize>) {
    match (&tier.slots, &clients.node) {
        (Some(slots), Some(node)) => (node.to_string(), slots.shards_of(node)),
        _ => (tier.overview.address.hosts.clone(), vec![tier.number]),
    }
}

/// Bounds one server, whose part of `[budget] max` is `share`; `own` bytes there are Pannier's. Returns its `maxmemory` then; the
/// words say why not.
async fn bound(
    client: &WithOptions<Client>,
    share: u64,
    own: u64,
    before: Option<&Managed>,
) -> Result<u64, String> {
    let found = read_limits(client).await.map_err(|e| e.to_string())?;
    let maxmemory = match found.measure(share, own, before) {
        Measure::Leave => return Ok(found.maxmemory),
        Measure::Occupied { others } => {
            return Err(format!(
                "others store so much there already: {others} bytes, with what Redis needs for itself, beside \
                 {share} that are Pannier's part of [budget] max there"
            ));
        }
        Measure::Set(maxmemory) => maxmemory,
    };
    let denied = ["CONFIG", "SET", "maxmemory", "0"];
    if rights::is_denied(client, &denied).await {
        return Err("the user lacks +config|set".to_owned());
    }
    let set = CustomCommand::new_static("CONFIG", ClusterHash::Random, false);
    let text = maxmemory.to_string();
    let words = vec!["SET", "maxmemory-policy", POLICY, "maxmemory", &text];
    match client.custom::<Value, _>(set, words).await {
        Ok(_) => Ok(maxmemory),
        Err(error) => Err(match Error::from(error) {
            Error::Rights(rights) => format!("the user lacks {rights}"),
            error => format!("it refuses CONFIG SET ({error})"),
        }),
    }
}

async fn read_limits(client: &WithOptions<Client>) -> Result<ServerLimits, Error> {
    let info = client.info::<String>(Some(InfoKind::Memory)).await?;
    Ok(ServerLimits::read(&info))
}

/// Where bookkeeping is evicted all that is stored becomes void; `INFO` is allowed where `CONFIG` is not.
async fn warn_of_eviction(connection: &RedisConnection) {
    let (tier, clients) = (&connection.tier, connection.clients());
    let Ok(limits) = read_limits(&clients.bounded).await else {
        return;
    };
    let (server, _) = describe_server(tier, &clients);
    if limits.evicts_all() && tier.overview.tells_of_eviction(server) {
        let policy = limits.policy;
        tracing::warn!(
            policy,
            "this Redis may evict Pannier's bookkeeping, which makes void all that is stored; \
             use noeviction or a volatile policy"
        );
    }
}
