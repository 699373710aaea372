//! The lock of one shard. Whoever panics under it may leave the table and the indexes out of step, so
//! that a purge no longer finds every entry: such a shard is emptied before the next holder sees it.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use super::shard::Shard;

/// A shard that is reached through its lock only.
#[derive(Debug)]
pub(super) struct LockedShard(Mutex<Shard>);

/// The shard, while it is locked.
pub(super) struct ShardGuard<'s>(MutexGuard<'s, Shard>);

impl LockedShard {
    pub(super) fn new(shard: Shard) -> LockedShard {
        LockedShard(Mutex::new(shard))
    }

    pub(super) fn lock(&self) -> ShardGuard<'_> {
        ShardGuard(self.0.lock())
    }
}

impl Deref for ShardGuard<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.0
    }
}

impl DerefMut for ShardGuard<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.0
    }
}

impl Drop for ShardGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.take_contents();
        }
    }
}
