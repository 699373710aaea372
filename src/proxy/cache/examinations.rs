//! What comparisons of the process wait for, and how many do, whatever clients and writes do (promise I7).

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most differences that wait for their purge.
const MAX_WAITING: usize = 128;

/// How many pairs of long bodies are compared at a time, beside the threads that answer clients.
const MAX_COMPARED: usize = 2;

/// The comparisons of the process.
#[derive(Debug)]
pub struct Examinations {
    waiting: Mutex<BTreeSet<String>>,
    /// Told whenever a write has been answered, and what it purges is purged.
    written: Notify,
    places: Semaphore,
}

impl Default for Examinations {
    fn default() -> Examinations {
        Examinations {
            waiting: Mutex::default(),
            written: Notify::new(),
            places: Semaphore::new(MAX_COMPARED),
        }
    }
}

/// The right to wait with a difference of a key.
pub(super) struct Waiting {
    examinations: Arc<Examinations>,
    key: String,
}

impl Examinations {
    /// Waits with a difference of `key`; `None`: one of that key waits already, or too many do.
    pub(super) fn begin_to_wait(self: &Arc<Self>, key: &str) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        let may_wait = waiting.len() < MAX_WAITING && waiting.insert(key.to_owned());
        may_wait.then(|| Waiting {
            examinations: self.clone(),
            key: key.to_owned(),
        })
    }

    /// A write has been answered, and what it purges is purged.
    pub(in crate::proxy) fn write_has_ended(&self) {
        self.written.notify_waiters();
    }

    /// The next end of a write, from this call on.
    pub(super) fn next_end_of_a_write(&self) -> Notified<'_> {
        self.written.notified()
    }

    /// A place to compare long bodies at.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.examinations.waiting.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_key_waits_and_so_many_in_all() {
        let examinations = Arc::new(Examinations::default());
        let first = examinations.begin_to_wait("a");
        assert!(first.is_some());
        assert!(examinations.begin_to_wait("a").is_none());
        let others = (1..MAX_WAITING).map(|n| examinations.begin_to_wait(&n.to_string()));
        let others: Vec<_> = others.collect();
        assert!(others.iter().all(Option::is_some));
        assert!(examinations.begin_to_wait("b").is_none());
        drop(first);
        assert!(examinations.begin_to_wait("b").is_some());
    }
}
