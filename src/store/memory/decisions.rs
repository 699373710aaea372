//! What checks said of those who ask: bounded in number, and purged as entries are.
//!
//! Whoever has many credentials, or invents them, turns out what was not asked for again: SIEVE keeps what is in use,
//! and refusals go before what was allowed.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

use super::sieve::Sieve;
use crate::auth::{Credentials, Decision, Digest, Verdict};
use crate::entry::Priority;
use crate::routes::{Purge, identities};

/// Shards with a lock each, where there are that many decisions.
const SHARDS: usize = 16;

/// The decisions of the process.
#[derive(Debug)]
pub(in crate::store) struct Decisions {
    /// Of each shard.
    max: usize,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Those of the same credentials beside each other.
    slots: BTreeMap<Digest, u32>,
    sieve: Sieve<(Digest, Decision)>,
}

impl Decisions {
    /// At most `max` of them.
    pub(super) fn new(max: usize) -> Decisions {
        let shards = if max < 64 * SHARDS { 1 } else { SHARDS };
        Decisions {
            max: max / shards,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// What is known under `digest` at `now`, with the time at which the app was asked.
    pub(in crate::store) fn get(
        &self,
        digest: &Digest,
        now: Instant,
    ) -> Option<(Verdict, Instant)> {
        let mut shard = self.shard(digest).lock();
        let slot = *shard.slots.get(digest)?;
        let (_, decision) = shard.sieve.get(slot)?;
        if decision.until <= now {
            shard.remove(digest);
            return None;
        }
        let found = (decision.verdict.clone(), decision.asked);
        shard.sieve.hit(slot);
        Some(found)
    }

    /// Whether anything is known of the credentials of this name.
    pub(in crate::store) fn knows(&self, name: &str) -> bool {
        Credentials::of_name(name).is_some_and(|credentials| {
            let shard = self.shards[credentials.part_of(self.shards.len())].lock();
            shard.slots.range(credentials.digests()).next().is_some()
        })
    }

    /// Keeps a decision, unless `is_fenced`: a purge since the app was asked covers it. Returns whether it did.
    pub(in crate::store) fn put(
        &self,
        digest: Digest,
        decision: Decision,
        is_fenced: impl FnOnce() -> bool,
    ) -> bool {
        let mut shard = self.shard(&digest).lock();
        // Under the lock: a purge that comes now finds it here.
        if is_fenced() {
            return false;
        }
        shard.remove(&digest);
        let priority = priority_of(&decision.verdict);
        if shard.slots.len() >= self.max && !shard.make_room(priority) {
            return false;
        }
        let Some(slot) = shard.sieve.push((digest, decision), priority) else {
            return false;
        };
        shard.slots.insert(digest, slot);
        true
    }

    /// Drops those that `purge` covers by name.
    pub(in crate::store) fn purge(&self, purge: &Purge) {
        if purge.everything {
            return self.clear();
        }
        for pattern in purge
            .keys
            .iter()
            .filter(|key| identities::is_of_identities(key))
        {
            match pattern.exact() {
                Some(name) => self.remove(name),
                None => self.clear(),
            }
        }
    }

    /// Drops those of this name, if it is that of credentials.
    pub(super) fn remove(&self, name: &str) {
        if let Some(credentials) = Credentials::of_name(name) {
            let shard = credentials.part_of(self.shards.len());
            self.shards[shard].lock().remove_all(credentials);
        }
    }

    /// Drops all.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            // Dropped after the lock.
            let _all = std::mem::take(&mut *shard.lock());
        }
    }

    /// How many there are, those that no longer hold among them.
    pub(in crate::store) fn count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().slots.len())
            .sum()
    }

    fn shard(&self, digest: &Digest) -> &Mutex<Shard> {
        &self.shards[digest.part_of(self.shards.len())]
    }
}

impl Shard {
    fn remove(&mut self, digest: &Digest) {
        if let Some(slot) = self.slots.remove(digest) {
            self.sieve.remove(slot);
        }
    }

    fn remove_all(&mut self, credentials: Credentials) {
        let digests = self.slots.range(credentials.digests());
        let digests: Vec<Digest> = digests.map(|(digest, _)| *digest).collect();
        for digest in digests {
            self.remove(&digest);
        }
    }

    /// Lets one go that is worth no more than `priority`; whether there was one.
    fn make_room(&mut self, priority: Priority) -> bool {
        let of = |at: Priority| at.index() <= priority.index();
        let victim = [Priority::Low, Priority::Medium]
            .into_iter()
            .filter(|at| of(*at))
            .find_map(|at| self.sieve.next_victim(at));
        let Some(((digest, _), _)) = victim.and_then(|slot| self.sieve.remove(slot)) else {
            return false;
        };
        self.slots.remove(&digest);
        true
    }
}

fn priority_of(verdict: &Verdict) -> Priority {
    match verdict {
        Verdict::Allowed(_) => Priority::Medium,
        Verdict::Nobody | Verdict::Denied | Verdict::Failed => Priority::Low,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::clock;

    fn credentials(number: usize) -> Credentials {
        Credentials::of_name(&identities::name_of(&format!("{number:032x}"))).expect("a name")
    }

    fn digest(number: usize) -> Digest {
        *credentials(number).digests().start()
    }

    fn decision(verdict: Verdict) -> Decision {
        let asked = clock::monotonic();
        Decision {
            verdict,
            asked,
            until: asked + Duration::from_secs(30),
        }
    }

    fn allowed(number: usize) -> Verdict {
        Verdict::Allowed(Arc::new(json!({ "id": number })))
    }

    fn holds(decisions: &Decisions, number: usize) -> bool {
        decisions.get(&digest(number), clock::monotonic()).is_some()
    }

    #[test]
    fn what_is_in_use_stays_whatever_else_comes() {
        let decisions = Decisions::new(100);
        for number in 0..10 {
            assert!(decisions.put(digest(number), decision(allowed(number)), || false));
        }
        for number in 10..10_000 {
            if number % 50 == 0 {
                assert!((0..10).all(|used| holds(&decisions, used)), "{number}");
            }
            let verdict = if number % 2 == 0 {
                Verdict::Denied
            } else {
                allowed(number)
            };
            decisions.put(digest(number), decision(verdict), || false);
            assert!(decisions.count() <= 100);
        }
    }

    #[test]
    fn refusals_go_first_and_turn_out_nobody() {
        let decisions = Decisions::new(4);
        for number in 0..3 {
            assert!(decisions.put(digest(number), decision(allowed(number)), || false));
        }
        for number in 3..100 {
            assert!(decisions.put(digest(number), decision(Verdict::Denied), || false));
            assert!((0..3).all(|used| holds(&decisions, used)));
        }
        assert!(decisions.put(digest(100), decision(allowed(100)), || false));
        assert!(!holds(&decisions, 99));
        assert!(!decisions.put(digest(101), decision(Verdict::Failed), || false));
        assert_eq!(decisions.count(), 4);
    }

    #[test]
    fn what_is_over_or_purged_is_gone() {
        let decisions = Decisions::new(10_000);
        let fill = || {
            for number in 0..3 {
                decisions.put(digest(number), decision(allowed(number)), || false);
            }
        };
        let held = || {
            (0..3)
                .map(|number| holds(&decisions, number))
                .collect::<Vec<_>>()
        };
        fill();
        // At another host.
        let elsewhere = *credentials(1).digests().end();
        decisions.put(elsewhere, decision(allowed(1)), || false);
        decisions.purge(&identities::purge_of(&digest(1).name()));
        assert_eq!(held(), [true, false, true]);
        assert_eq!((decisions.count(), elsewhere == digest(1)), (2, false));
        decisions.purge(&identities::purge_of_all());
        assert_eq!(held(), [false; 3]);
        fill();
        decisions.purge(&Purge::of_everything());
        assert_eq!((held(), decisions.count()), (vec![false; 3], 0));
        assert!(
            !decisions.put(digest(1), decision(allowed(1)), || true),
            "fenced"
        );
        let over = Decision {
            until: clock::monotonic(),
            ..decision(allowed(1))
        };
        decisions.put(digest(1), over, || false);
        assert_eq!(held(), [false; 3]);
        assert_eq!(decisions.count(), 0);
    }
}
