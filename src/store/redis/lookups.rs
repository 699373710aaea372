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

use super::error::Error;
use super::link::Link;

/// The most entries of one command: its answer is handed out when all of it is there, and is due in the
/// time of one.
const MOST: usize = 16;

/// What an entry's name holds.
type Found = Result<Option<Bytes>, Error>;

/// Where lookups wait for the runtime to come to them; no more of them than requests under way.
#[derive(Debug)]
pub(super) struct Lookups(mpsc::UnboundedSender<Wanted>);

/// A lookup, and who waits for it.
#[derive(Debug)]
struct Wanted {
    shard: usize,
    name: String,
    reply: oneshot::Sender<Found>,
}

/// Carries lookups out.
pub(super) struct Carrier(mpsc::UnboundedReceiver<Wanted>);

impl Lookups {
    pub(super) fn new() -> (Lookups, Carrier) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Lookups(sender), Carrier(receiver))
    }

    /// What is under `name`, which is in `shard`, as soon as the command with it is answered.
    pub(super) async fn find(&self, shard: usize, name: String) -> Found {
        let (reply, found) = oneshot::channel();
        let wanted = Wanted { shard, name, reply };
        self.0.send(wanted).map_err(|_| Error::Down)?;
        // The link has ended.
        found.await.unwrap_or(Err(Error::Down))
    }
}

impl Carrier {
    /// Runs until the link is gone.
    pub(super) async fn run(mut self, link: Weak<Link>) {
        let mut under_way = FuturesUnordered::<BoxFuture<'static, ()>>::new();
        let mut wanted = Vec::with_capacity(MOST);
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                count = self.0.recv_many(&mut wanted, MOST) => {
                    let Some(link) = link.upgrade().filter(|_| count > 0) else { return };
                    wanted.sort_by_key(|wanted| wanted.shard);
                    while let Some(last) = wanted.last() {
                        let first = wanted.partition_point(|wanted| wanted.shard < last.shard);
                        let together = wanted.split_off(first);
                        under_way.push(Box::pin(carry_out(Arc::clone(&link), together)));
                    }
                }
            }
        }
    }
}

/// Looks up what is in one shard.
async fn carry_out(link: Arc<Link>, mut wanted: Vec<Wanted>) {
    // Who went meanwhile wants nothing.
    wanted.retain(|wanted| !wanted.reply.is_closed());
    let lane = link.quick();
    let client = lane.client();
    let found = match wanted.as_mut_slice() {
        [] => return,
        [only] => {
            let name = std::mem::take(&mut only.name);
            let found = lane.carry(Box::pin(client.get(name))).await;
            found.map(|found| vec![found])
        }
        several => {
            let names = several
                .iter_mut()
                .map(|wanted| std::mem::take(&mut wanted.name));
            let names: Vec<String> = names.collect();
            // What is of another type counts as absent here: the lease that follows removes it.
            lane.carry(Box::pin(client.mget::<Vec<Option<Bytes>>, _>(names)))
                .await
        }
    };
    // Whoever is not answered here is told that there is no connection.
    match found {
        Ok(found) => {
            for (wanted, found) in wanted.into_iter().zip(found) {
                let _ = wanted.reply.send(Ok(found));
            }
        }
        Err(error) => {
            for wanted in wanted {
                let _ = wanted.reply.send(Err(error.clone()));
            }
        }
    }
}
