//! Leases that could not be given back when their fills ended.

use parking_lot::Mutex;

/// The most leases kept to be given back; further ones end by themselves.
const MAX_UNRELEASED: usize = 10_000;

/// Leases that stand in Redis for fills that have ended.
#[derive(Debug, Default)]
pub(super) struct Unreleased(Mutex<Vec<(Box<str>, Box<str>)>>);

impl Unreleased {
    pub(super) fn keep(&self, key: &str, token: &str) {
        let mut kept = self.0.lock();
        if kept.len() < MAX_UNRELEASED {
            kept.push((key.into(), token.into()));
        }
    }

    /// Some, oldest first, at most so many.
    pub(super) fn take(&self, most: usize) -> Vec<(Box<str>, Box<str>)> {
        let mut kept = self.0.lock();
        let some = kept.len().min(most);
        kept.drain(..some).collect()
    }
}
