//! The memory of the servers themselves: bounded by Pannier where `[budget] manage_server` says so and they let it; and
//! the operator is told where they may remove what they should not.

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, InfoKind, Value};

use super::connection::RedisConnection;
use super::error::Error;
use super::server_limits::{Managed, Measure, POLICY, ServerLimits};
use super::tier::Tier;

/// Sees to the memory of each server that the connection leads to, while its session is prepared. Nothing depends on it.
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
    let mut total = 0;
    for (client, shards) in connection.clients().nodes(&tier.keys) {
        let maxmemory = tier.budget.per_shard() * shards as u64;
        match bound(tier, &client, maxmemory).await {
            Ok(()) => total += maxmemory,
            Err(words) => return note_refusal(tier, words),
        }
    }
    if tier.management.note(Managed::Set(total)) {
        tracing::info!(
            maxmemory = total,
            policy = POLICY,
            "Redis is bounded, as [budget] manage_server says"
        );
    }
}

fn note_refusal(tier: &Tier, words: String) {
    if tier.management.note(Managed::Refused(words.clone())) {
        tracing::warn!(
            "[budget] manage_server: maxmemory of Redis is left as it is, since {words}. Pannier goes on, and keeps to \
             [budget] max by itself"
        );
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
    for (client, _) in connection.clients().nodes(&connection.tier.keys) {
        let Ok(limits) = read_limits(&client).await else {
            continue;
        };
        if limits.evicts_all() {
            let policy = limits.policy;
            return tracing::warn!(
                policy,
                "this Redis may evict Pannier's bookkeeping, which makes void all that is stored; \
                 use noeviction or a volatile policy"
            );
        }
    }
}
