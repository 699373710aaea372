//! Room in Redis: who leaves, so that what arrives fits, or so that what others store there does.

use std::sync::Arc;

use fred::types::Value;

use super::chores::RoomRequest;
use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::tier::Tier;
use crate::config::EvictionOrder;
use crate::entry::Priority;
use crate::routes::{Pattern, Purge};

/// How a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// More has to go before the bytes fit.
    Short,
    /// The bytes fit; more is to go.
    Fits,
    /// The bytes cannot fit, and nothing went.
    Never,
    /// Others have filled the server, and nothing went.
    Taken,
}

/// Entries may be gone of which Redis has not told this connection.
struct DistrustUnlessAnswered<'t>(Option<&'t Tier>);

impl Drop for DistrustUnlessAnswered<'_> {
    fn drop(&mut self) {
        if let Some(tier) = self.0 {
            tier.distrust();
        }
    }
}

impl RoomRequest {
    /// For a store of `need` bytes.
    pub(super) fn for_store(tier: &Tier, ceiling: Priority, need: u64) -> Self {
        RoomRequest {
            ceiling,
            need,
            percent: tier.budget.evict_percent_on_store,
            goal: None,
        }
    }

    /// If a check finds that eviction is due.
    pub(super) fn for_check(tier: &Tier) -> Self {
        RoomRequest {
            ceiling: Priority::High,
            need: 0,
            percent: tier.budget.evict_percent,
            goal: None,
        }
    }

    /// Removes some hundred entries at most.
    pub(super) async fn step(&mut self, scope: &CommandScope<'_>) -> Result<Step, Error> {
        let tier = scope.tier;
        let prefix = tier.keys.prefix();
        let call = || {
            let mut args: Vec<Value> = vec![
                self.ceiling.index().to_string().into(),
                self.need.to_string().into(),
                self.goal.as_deref().unwrap_or_default().into(),
                self.percent.to_string().into(),
            ];
            args.extend(tier.budget.arguments());
            args.push(match tier.budget.order {
                EvictionOrder::Value => "value".into(),
                EvictionOrder::Expiry => "expiry".into(),
            });
            Call::about_shard(prefix, args)
        };
        let mut unanswered = DistrustUnlessAnswered(Some(tier));
        let reply = scope.run_script(None, Script::Evict, call).await;
        if matches!(reply, Ok(_) | Err(Error::Down)) {
            unanswered.0 = None;
        }
        let mut parts = reply?.value.into_array().into_iter();
        let mut next = || parts.next().unwrap_or(Value::Null);
        let step = match parse_number(&next()) {
            0 => Step::Done,
            1 => Step::Short,
            2 => Step::Never,
            4 => Step::Taken,
            _ => Step::Fits,
        };
        self.goal = next().into_string();
        let evicted = [(); 3].map(|()| parse_number(&next()));
        note_evicted(tier, evicted, &next().into_array());
        Ok(step)
    }
}

/// Counts what has left Redis, and has memory let go of it: nobody would be told of its purges.
fn note_evicted(tier: &Tier, by_priority: [u64; 3], keys: &[Value]) {
    for (priority, count) in Priority::ALL.into_iter().zip(by_priority) {
        let labels = ["redis", priority.as_str()];
        let counter = tier.metrics.evictions.with_label_values(&labels);
        counter.inc_by(count);
    }
    let keys: Vec<String> = keys.iter().filter_map(Value::as_string).collect();
    if keys.is_empty() {
        return;
    }
    let purge = Purge {
        keys: keys.iter().map(|key| Pattern::literal(key)).collect(),
        ..Purge::default()
    };
    tier.invalidation_fence.purge(Arc::new(purge));
    for key in keys {
        tier.memory.purge_key(&key);
    }
}
