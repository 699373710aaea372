//! The memory of the servers themselves: bounded by Pannier where `[budget] manage_server` says so and they let it; and
//! the operator is told where they may remove what they should not.

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, InfoKind, Value};

use super::clients::Clients;
use super::connection::RedisConnection;
use super::error::Error;
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
    if !connection.is_for_upkeep() {
        return;
    }
    let clients = connection.clients();
    let (server, shards) = describe_server(tier, &clients);
    let maxmemory = tier.budget.per_shard() * shards as u64;
    let managed = match bound(tier, &clients.bounded, maxmemory).await {
        Ok(()) => Managed::Set(maxmemory),
        Err(words) => Managed::Refused(words),
    };
    let is_news = tier.management.note(server, managed.clone());
    match managed {
        Managed::Set(_) if is_news => tracing::info!(
            maxmemory,
            policy = POLICY,
            "Redis is bounded, as [budget] manage_server says"
        ),
        Managed::Refused(words) if is_news => tracing::warn!(
            "[budget] manage_server: maxmemory of Redis is left as it is, since {words}. Pannier goes on, and keeps to \
             [budget] max by itself"
        ),
        _ => {}
    }
}

/// The server that a connection leads to, and how many of the shards it has.
fn describe_server(tier: &Tier, clients: &Clients) -> (String, usize) {
    match (&tier.slots, &clients.node) {
        (Some(slots), Some(node)) => (node.to_string(), slots.count_of(node)),
        _ => (tier.overview.address.hosts.clone(), 1),
    }
}

/// Bounds one server; the words say why not.
async fn bound(tier: &Tier, client: &WithOptions<Client>, maxmemory: u64) -> Result<(), String> {
    let found = read_limits(client).await.map_err(|e| e.to_string())?;
    match found.measure(maxmemory, tier.budget.used()) {
        Measure::Leave => return Ok(()),
        Measure::Occupied => {
            let used = found.used;
            return Err(format!(
                "others store so much there already ({used} bytes in use)"
            ));
        }
        Measure::Set => {}
    }
    let set = CustomCommand::new_static("CONFIG", ClusterHash::Random, false);
    let maxmemory = maxmemory.to_string();
    let words = vec!["SET", "maxmemory-policy", POLICY, "maxmemory", &maxmemory];
    match client.custom::<Value, _>(set, words).await {
        Ok(_) => Ok(()),
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
