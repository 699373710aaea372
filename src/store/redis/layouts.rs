//! Other layouts in the namespace: sidecars before and after a change of [`super::keys::LAYOUT`], side by
//! side during a rolling update.
//!
//! Neither can purge what the other stored. So each announces its layout with every beat, in names that
//! all layouts share ([`super::keys`]), and while two are in use neither reads from Redis nor stores there.
//! A layout that was in use leaves its name behind: whoever finds it knows that purges may be missing in
//! what its own layout has stored, and removes that before it is served again (`takeover`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

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

/// Another layout that this process knows to be in use; 0: none.
#[derive(Debug, Default)]
pub(super) struct OtherLayout(AtomicU32);

impl OtherLayout {
    /// A beat found sidecars of `layout`; returns whether this process knew of none before.
    pub(super) fn appear(&self, layout: u32) -> bool {
        self.0.swap(layout, Ordering::AcqRel) == 0
    }

    /// Whether this process knows of none.
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// A session begins, so there are none any more; returns the layout there was.
    pub(super) fn disappear(&self) -> Option<u32> {
        let layout = self.0.swap(0, Ordering::AcqRel);
        (layout != 0).then_some(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_coming_and_its_going_are_news_once() {
        let other = OtherLayout::default();
        assert_eq!(other.disappear(), None);
        assert!(other.is_none() && other.appear(2) && !other.is_none());
        assert!(!other.appear(2) && !other.appear(3));
        assert_eq!((other.disappear(), other.disappear()), (Some(3), None));
        assert!(other.appear(2));
    }
}
