//! Connections to Redis that workers share: where there are more workers than `[redis] connections`, each connection has a
//! thread of its own, and a worker sends its errands there. Otherwise each worker has one on its own runtime, which spares a
//! lookup the way to another thread and back.

use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::thread::spawn;
use crate::config::Redis;
use crate::store::Store;

/// The threads, and the store as each has it.
pub(super) struct RedisThreads {
    owners: Vec<Store>,
    threads: Vec<JoinHandle<()>>,
    /// Ends the threads when it is dropped.
    stop: DropGuard,
}

impl RedisThreads {
    /// None, where each of `workers` is to have a connection of its own.
    pub(super) fn start(
        store: &Store,
        redis: Option<&Redis>,
        workers: usize,
    ) -> anyhow::Result<RedisThreads> {
        let count = count_threads(redis.map(|redis| redis.connections), workers);
        let stop = CancellationToken::new();
        let mut started = RedisThreads {
            owners: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            stop: stop.clone().drop_guard(),
        };
        for index in 0..count {
            let (attached, owner) = mpsc::channel();
            let (store, stop) = (store.clone(), stop.clone());
            let thread = spawn(&format!("pannier-redis-{index}"), move |runtime| {
                let owner = store.attach();
                let _ = attached.send(owner.clone());
                runtime.block_on(async {
                    stop.cancelled().await;
                    owner.close().await;
                });
            })?;
            started.threads.push(thread);
            let owner = owner.recv().context("a thread for Redis did not start")?;
            started.owners.push(owner);
        }
        Ok(started)
    }

    /// How worker `index` gets its store, on its own thread.
    pub(super) fn attachment(&self, store: &Store, index: usize) -> Attachment {
        Attachment {
            store: store.clone(),
            owner: match self.owners.len() {
                0 => None,
                count => Some(self.owners[index % count].clone()),
            },
        }
    }

    /// Sends what is pending, and ends the connections. The workers have ended.
    pub(super) fn end(self) {
        drop(self.stop);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A store that is not attached to its worker yet.
pub(super) struct Attachment {
    store: Store,
    owner: Option<Store>,
}

impl Attachment {
    /// Call it inside the worker's runtime.
    pub(super) fn attach(&self) -> Store {
        match &self.owner {
            Some(owner) => self.store.attach_through(owner),
            None => self.store.attach(),
        }
    }
}

/// How many connections need a thread of their own.
fn count_threads(connections: Option<usize>, workers: usize) -> usize {
    connections
        .filter(|connections| *connections < workers)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_for_connections_that_are_shared() {
        for (case, connections, workers, threads) in [
            ("no Redis", None, 16, 0),
            ("shared", Some(2), 16, 2),
            ("one each", Some(16), 16, 0),
            ("no more than one each", Some(32), 16, 0),
            ("a small machine", Some(2), 2, 0),
            ("a single one", Some(1), 2, 1),
        ] {
            assert_eq!(count_threads(connections, workers), threads, "{case}");
        }
    }
}
