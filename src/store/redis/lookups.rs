//! Lookups of entries, those of one moment in one command.
//!
//! A command costs this process more than the entry it brings, so a runtime that has requests of many
//! clients at hand asks for all of their entries at once. It waits neither for further requests nor for
//! the answer to the command before, unless the entries that are usual here would not fit beside what else is
//! in flight (promise I7): then those under way come first. Where nothing fits, short entries alone are read.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use fred::interfaces::KeysInterface;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::connection::RedisConnection;
use super::error::Error;
use crate::in_flight::{self, InFlight};

/// The most entries of one command.
const MAX_ENTRIES: usize = 16;

/// How many commands for short entries may be under way where there is no room for others.
const MAX_SHORT_ENTRIES: usize = 256;

/// The bytes that an answer with several entries should not exceed: it is handed out when all of it has
/// arrived, and has no more time than one with a single entry.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// The bytes under an entry's name, if there are any.
type LookupResult = Result<Option<Bytes>, Error>;

/// Where lookups wait for the runtime to come to them; no more of them than requests under way.
#[derive(Debug)]
pub(super) struct Lookups(mpsc::UnboundedSender<Lookup>);

/// One lookup, and the request that waits for it.
#[derive(Debug)]
struct Lookup {
    shard: usize,
    name: String,
    reply: oneshot::Sender<LookupResult>,
}

impl Lookups {
    /// Starts the task that sends lookups over `connection`; it ends with the value returned
    /// or with the connection.
    pub(super) fn start(connection: &Arc<RedisConnection>) -> Lookups {
        let (sender, receiver) = mpsc::unbounded_channel();
        let in_flight = connection.tier.in_flight.clone();
        tokio::spawn(send_all(receiver, Arc::downgrade(connection), in_flight));
        Lookups(sender)
    }

    /// The bytes under `name`, which is in `shard`, as soon as the command with it is answered.
    pub(super) async fn find(&self, shard: usize, name: String) -> LookupResult {
        let (reply, found) = oneshot::channel();
        let lookup = Lookup { shard, name, reply };
        self.0.send(lookup).map_err(|_| Error::Down)?;
        // The connection has ended.
        found.await.unwrap_or(Err(Error::Down))
    }
}

async fn send_all(
    mut lookups: mpsc::UnboundedReceiver<Lookup>,
    connection: Weak<RedisConnection>,
    in_flight: InFlight,
) {
    let mut under_way = FuturesUnordered::<BoxFuture<'static, Option<usize>>>::new();
    let mut waiting = Vec::with_capacity(MAX_ENTRIES);
    let mut usual_size = 0;
    loop {
        let may_ask =
            under_way.is_empty() || under_way.len() < commands_at_a_time(usual_size, &in_flight);
        let most = match in_flight.room() {
            0 => 1,
            _ => entries_per_command(usual_size),
        };
        tokio::select! {
            biased;
            Some(largest) = under_way.next() => usual_size = usual_size_after(usual_size, largest),
            count = lookups.recv_many(&mut waiting, most), if may_ask => {
                let Some(connection) = connection.upgrade().filter(|_| count > 0) else { return };
                waiting.sort_by_key(|lookup| lookup.shard);
                while let Some(last) = waiting.last() {
                    let first = waiting.partition_point(|lookup| lookup.shard < last.shard);
                    let of_shard = waiting.split_off(first);
                    under_way.push(Box::pin(send_together(Arc::clone(&connection), of_shard)));
                }
            }
        }
    }
}

/// How many commands may be under way where entries are usually of this size: as many as there is room for.
/// Those of short entries are not counted, since their number is that of the requests.
fn commands_at_a_time(usual_size: usize, in_flight: &InFlight) -> usize {
    if !in_flight::is_counted(usual_size) {
        return usize::MAX;
    }
    let room = in_flight.room();
    if room == 0 {
        return MAX_SHORT_ENTRIES;
    }
    let entries = usize::try_from(room / usual_size as u64).unwrap_or(usize::MAX);
    entries.div_ceil(entries_per_command(usual_size))
}

/// How many entries go with one command where they are usually of this size.
fn entries_per_command(usual_size: usize) -> usize {
    (MAX_ANSWER_BYTES / usual_size.max(1)).clamp(1, MAX_ENTRIES)
}

/// The usual size after an answer with this largest entry.
fn usual_size_after(usual_size: usize, largest: Option<usize>) -> usize {
    (usual_size * 7 + largest.unwrap_or(usual_size)) / 8
}

/// Looks up, by one command, what is in one shard; returns the size of the largest entry, if there was any.
async fn send_together(
    connection: Arc<RedisConnection>,
    mut lookups: Vec<Lookup>,
) -> Option<usize> {
    // Requests that were dropped meanwhile want nothing.
    lookups.retain(|lookup| !lookup.reply.is_closed());
    let scope = connection.for_requests();
    let client = scope.client();
    let found = match lookups.as_mut_slice() {
        [] => return None,
        [only] if connection.tier.in_flight.room() == 0 => {
            let name = std::mem::take(&mut only.name);
            let head = client.getrange::<Bytes, _>(name, 0, in_flight::SHORT);
            let found = scope.send_uncounted(Box::pin(head)).await;
            found.and_then(whole_if_short).map(|found| vec![found])
        }
        [only] => {
            let name = std::mem::take(&mut only.name);
            let found = scope.send_uncounted(Box::pin(client.get(name))).await;
            found.map(|found| vec![found])
        }
        several => {
            let names = several
                .iter_mut()
                .map(|lookup| std::mem::take(&mut lookup.name));
            let names: Vec<String> = names.collect();
            // A value of another type counts as absent here: the lease that follows removes it.
            let command = client.mget::<Vec<Option<Bytes>>, _>(names);
            scope.send_uncounted(Box::pin(command)).await
        }
    };
    let in_flight = &connection.tier.in_flight;
    let count = |entry: Option<Bytes>| entry.map(|entry| in_flight.count(entry));
    let found = found.map(|found| found.into_iter().map(count).collect());
    reply_to(lookups, found)
}

/// An entry of which at most one byte more than a short one has was read; an empty one is none.
fn whole_if_short(read: Bytes) -> Result<Option<Bytes>, Error> {
    match read.len() {
        0 => Ok(None),
        length if in_flight::is_counted(length) => Err(Error::NoRoom),
        _ => Ok(Some(read)),
    }
}

/// Hands out what was found, in the order of the lookups; a lookup that gets no reply here ends as not
/// connected. Returns the size of the largest entry.
fn reply_to(lookups: Vec<Lookup>, found: Result<Vec<Option<Bytes>>, Error>) -> Option<usize> {
    match found {
        Ok(found) => {
            let largest = found.iter().flatten().map(Bytes::len).max();
            for (lookup, found) in lookups.into_iter().zip(found) {
                let _ = lookup.reply.send(Ok(found));
            }
            largest
        }
        Err(error) => {
            for lookup in lookups {
                let _ = lookup.reply.send(Err(error.clone()));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_entries_are_not_asked_for_entries_per_command() {
        let rows = [
            ("nothing known", None, MAX_ENTRIES),
            ("a kilobyte", Some(1 << 10), MAX_ENTRIES),
            ("as many as fit", Some(64 << 10), 4),
            ("one that is larger by itself", Some(8 << 20), 1),
        ];
        for (name, largest, expected) in rows {
            let usual = (0..100).fold(0, |usual, _| usual_size_after(usual, largest));
            assert_eq!(entries_per_command(usual), expected, "{name}");
        }
        assert_eq!(
            entries_per_command(usual_size_after(0, Some(8 << 20))),
            1,
            "after the first"
        );
        let forgotten = (0..100).fold(8 << 20, |usual, _| usual_size_after(usual, Some(1)));
        assert_eq!(
            entries_per_command(forgotten),
            MAX_ENTRIES,
            "when they are small again"
        );
    }
}
