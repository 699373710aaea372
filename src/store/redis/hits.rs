//! Which entries are hit: counted here and in memory, and told to Redis some at a time, never one write a hit, so that what
//! is worth least leaves it first (`[budget] order = "value"`). While there is room for all, nothing is told.

use std::time::Instant;

use fred::types::Value;

use super::chores::HitReport;
use super::error::Error;
use super::hit_counts::MAX_KEYS;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use super::tier::Tier;

/// The keys of one call.
const KEYS_PER_CALL: usize = 64;

impl Tier {
    /// Redis has answered for `key`.
    pub(in crate::store) fn note_hit(&self, key: &str) {
        if self.budget.wants_hits() {
            self.hits.note(key);
        }
    }

    /// Has hits told, if it is time.
    pub(super) fn tell_hits_if_due(&self, now: Instant) {
        if !self.budget.wants_hits() {
            return;
        }
        let Some(mut hits) = self.hits.take_due(now) else {
            return;
        };
        for (key, count) in self.memory.take_hits(MAX_KEYS) {
            *hits.entry(key).or_default() += u32::from(count);
        }
        self.overview.begin_hit_reports(hits);
    }
}

impl HitReport {
    /// Tells some; returns the rest.
    pub(super) async fn tell_some(
        mut self,
        scope: &CommandScope<'_>,
    ) -> Result<Option<HitReport>, Error> {
        let rest = self.hits.len().saturating_sub(KEYS_PER_CALL);
        let some = self.hits.split_off(rest);
        let prefix = scope.tier.keys.prefix();
        let call = || {
            let pairs = some.iter().flat_map(|(key, count)| {
                let key = Value::from(key.as_str());
                [key, count.to_string().into()]
            });
            Call::about_shard(prefix, pairs.collect())
        };
        let told = scope.run_script(None, Script::Hits, call);
        told.await?;
        Ok((!self.hits.is_empty()).then_some(self))
    }
}
