//! The shards that this process is to sweep (`sweep`).

use fred::types::Value;
use parking_lot::Mutex;

use super::lineage::Generation;

#[derive(Debug, Default)]
pub(super) struct Sweeps(Mutex<Vec<Sweep>>);

/// How far one shard has been swept.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) shard: usize,
    /// In which it began.
    pub(super) generation: Generation,
    pub(super) cursor: Value,
}

impl Sweeps {
    /// A beat says that this process is to sweep `shard`, from the beginning.
    pub(super) fn begin(&self, shard: usize, generation: Generation) {
        let mut sweeps = self.0.lock();
        sweeps.retain(|sweep| sweep.shard != shard);
        let cursor = Value::from("0");
        sweeps.push(Sweep {
            shard,
            generation,
            cursor,
        });
    }

    /// Taken out, so that two connections do not sweep the same page.
    pub(super) fn take(&self) -> Option<Sweep> {
        self.0.lock().pop()
    }

    /// To go on with later.
    pub(super) fn put_back(&self, sweep: Sweep) {
        self.0.lock().push(sweep);
    }
}
