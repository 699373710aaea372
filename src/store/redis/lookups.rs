//! Lookups of entries, those of one moment in one command.
//!
//! A command costs more in this process than what it carries: a runtime that has requests of many clients
//! at hand asks for all of their entries at once. It waits for nobody to come, nor for the answer to what
//! it asked before.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use fred::interfaces::KeysInterface;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::connection::RedisConnection;
use super::error::Error;

/// The most entries of one command.
const MOST: usize = 16;

/// What the answer to several should come to at most, in bytes: it is handed out when all of it is there,
/// and is due in the time of one.
const LARGE: usize = 256 << 10;

/// What an entry's name holds.
type LookupResult = Result<Option<Bytes>, Error>;

/// Where lookups wait for the runtime to come to them; no more of them than requests under way.
#[derive(Debug)]
pub(super) struct Lookups(mpsc::UnboundedSender<Lookup>);

/// A lookup, and who waits for it.
#[derive(Debug)]
struct Lookup {
    shard: usize,
    name: String,
    reply: oneshot::Sender<LookupResult>,
}

/// Carries lookups out.
pub(super) struct Carrier(mpsc::UnboundedReceiver<Lookup>);

impl Lookups {
    pub(super) fn new() -> (Lookups, Carrier) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Lookups(sender), Carrier(receiver))
    }

    /// What is under `name`, which is in `shard`, as soon as the command with it is answered.
    pub(super) async fn find(&self, shard: usize, name: String) -> LookupResult {
        let (reply, found) = oneshot::channel();
        let wanted = Lookup { shard, name, reply };
        self.0.send(wanted).map_err(|_| Error::Down)?;
        // The connection has ended.
        found.await.unwrap_or(Err(Error::Down))
    }
}

impl Carrier {
    /// Runs until the connection is gone.
    pub(super) async fn run(mut self, connection: Weak<RedisConnection>) {
        let mut under_way = FuturesUnordered::<BoxFuture<'static, Option<usize>>>::new();
        let mut wanted = Vec::with_capacity(MOST);
        let mut usual = 0;
        loop {
            tokio::select! {
                biased;
                Some(largest) = under_way.next() => usual = usual_after(usual, largest),
                count = self.0.recv_many(&mut wanted, together(usual)) => {
                    let Some(connection) = connection.upgrade().filter(|_| count > 0) else { return };
                    wanted.sort_by_key(|wanted| wanted.shard);
                    while let Some(last) = wanted.last() {
                        let first = wanted.partition_point(|wanted| wanted.shard < last.shard);
                        let of_shard = wanted.split_off(first);
                        under_way.push(Box::pin(carry_out(Arc::clone(&connection), of_shard)));
                    }
                }
            }
        }
    }
}

/// How many entries go with one command where they are usually of this size.
fn together(usual: usize) -> usize {
    (LARGE / usual.max(1)).clamp(1, MOST)
}

/// The usual size after an answer with this largest entry.
fn usual_after(usual: usize, largest: Option<usize>) -> usize {
    (usual * 7 + largest.unwrap_or(usual)) / 8
}

/// Looks up what is in one shard; tells the size of the largest entry, if there was any.
async fn carry_out(connection: Arc<RedisConnection>, mut wanted: Vec<Lookup>) -> Option<usize> {
    // Who went meanwhile wants nothing.
    wanted.retain(|wanted| !wanted.reply.is_closed());
    let scope = connection.for_requests();
    let client = scope.client();
    let found = match wanted.as_mut_slice() {
        [] => return None,
        [only] => {
            let name = std::mem::take(&mut only.name);
            let found = scope.carry(Box::pin(client.get(name))).await;
            found.map(|found| vec![found])
        }
        several => {
            let names = several
                .iter_mut()
                .map(|wanted| std::mem::take(&mut wanted.name));
            let names: Vec<String> = names.collect();
            // What is of another type counts as absent here: the lease that follows removes it.
            scope
                .carry(Box::pin(client.mget::<Vec<Option<Bytes>>, _>(names)))
                .await
        }
    };
    // Whoever is not answered here is told that there is no connection.
    match found {
        Ok(found) => {
            let largest = found.iter().flatten().map(Bytes::len).max();
            for (wanted, found) in wanted.into_iter().zip(found) {
                let _ = wanted.reply.send(Ok(found));
            }
            largest
        }
        Err(error) => {
            for wanted in wanted {
                let _ = wanted.reply.send(Err(error.clone()));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_entries_are_not_asked_for_together() {
        let rows = [
            ("nothing known", None, MOST),
            ("a kilobyte", Some(1 << 10), MOST),
            ("as many as fit", Some(64 << 10), 4),
            ("one that is larger by itself", Some(8 << 20), 1),
        ];
        for (name, largest, expected) in rows {
            let usual = (0..100).fold(0, |usual, _| usual_after(usual, largest));
            assert_eq!(together(usual), expected, "{name}");
        }
        assert_eq!(
            together(usual_after(0, Some(8 << 20))),
            1,
            "after the first"
        );
        let forgotten = (0..100).fold(8 << 20, |usual, _| usual_after(usual, Some(1)));
        assert_eq!(together(forgotten), MOST, "when they are small again");
    }
}
