//! Other layouts in the namespace: sidecars before and after a change of [`super::keys::LAYOUT`], side by
//! side during a rolling update.
//!
//! Neither can purge what the other stored. So each announces its layout with every beat, in names that
//! all layouts share ([`super::keys`]), and while two are in use neither reads from Redis nor stores there.
//! A layout that was in use leaves its name behind: whoever finds it knows that purges may be missing in
//! what its own layout has stored, and removes that before it is served again (`takeover`).

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a beat announces the layout: several beats may be late or lost.
pub(super) const ANNOUNCED: Duration = Duration::from_secs(5);

/// Whether a connection announces its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Presence {
    /// A sidecar: it stores and purges.
    Announced,
    /// Who only looks, and must not stop a fleet of another layout.
    Silent,
}

/// Other layouts that this process knows of, by the shards in which they were met.
#[derive(Debug)]
pub(super) struct OtherLayouts(Mutex<Vec<Option<Met>>>);

/// Another layout, as it was met last.
#[derive(Clone, Copy, Debug)]
struct Met {
    layout: u32,
    /// Until when it is announced; that is past where only its name was left.
    in_use: Instant,
}

impl OtherLayouts {
    pub(super) fn new(shards: usize) -> OtherLayouts {
        OtherLayouts(Mutex::new(vec![None; shards]))
    }

    /// A beat found sidecars of `layout` in a shard at `now`; returns whether this process knew of none in any.
    pub(super) fn appear(&self, shard: usize, layout: u32, now: Instant) -> bool {
        self.meet(shard, layout, now + ANNOUNCED)
    }

    /// A beat found none of its sidecars any more, and that it was in use; returns whether this process knew of none in
    /// any shard.
    pub(super) fn leave(&self, shard: usize, layout: u32, now: Instant) -> bool {
        self.meet(shard, layout, now)
    }

    fn meet(&self, shard: usize, layout: u32, in_use: Instant) -> bool {
        let mut met = self.0.lock();
        let is_first = met.iter().all(Option::is_none);
        met[shard] = Some(Met { layout, in_use });
        is_first
    }

    /// Whether this process knows of none.
    pub(super) fn is_none(&self) -> bool {
        self.0.lock().iter().all(Option::is_none)
    }

    /// What is announced in another shard than this one: its sidecars may not have come here yet.
    pub(super) fn in_use_beside(&self, shard: usize, now: Instant) -> Option<u32> {
        let met = self.0.lock();
        let others = met
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != shard);
        let mut in_use = others.filter_map(|(_, met)| met.filter(|met| met.in_use > now));
        in_use.next().map(|met| met.layout)
    }

    /// A session begins in this shard, so there are none any more.
    pub(super) fn disappear(&self, shard: usize) {
        self.0.lock()[shard] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_coming_and_its_going_are_news_once() {
        let now = crate::clock::monotonic();
        let other = OtherLayouts::new(1);
        other.disappear(0);
        assert!(other.is_none() && other.appear(0, 2, now) && !other.is_none());
        assert!(!other.appear(0, 2, now) && !other.leave(0, 3, now));
        other.disappear(0);
        assert!(other.is_none() && other.leave(0, 2, now));
    }

    #[test]
    fn what_one_shard_knows_holds_for_the_others_until_it_has_lapsed() {
        let now = crate::clock::monotonic();
        let other = OtherLayouts::new(3);
        assert!(other.appear(1, 2, now) && !other.appear(2, 2, now));
        assert_eq!(other.in_use_beside(0, now), Some(2));
        other.leave(2, 2, now);
        assert_eq!(
            other.in_use_beside(1, now),
            None,
            "there it is known by itself"
        );
        assert_eq!(other.in_use_beside(0, now + ANNOUNCED), None);
        other.disappear(1);
        assert!(!other.is_none());
        other.disappear(2);
        assert!(other.is_none());
    }
}
