//! Lookups of entries, those of one moment in one command.
//!
//! A command costs this process more than the entry it brings, so a runtime that has requests of many
//! clients at hand asks for all of their entries at once. It waits neither for further requests nor for
//! the answer to the command before, unless the entries that are usual here would not fit beside what else is
//! in flight (promise I7): then those under way come first. Where nothing fits, short entries alone are read.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::KeysInterface;
use fred::types::{Key, Value};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::connection::RedisConnection;
use super::deadlines::Deadlines;
use super::error::Error;
use super::lineage::{Comparison, GENERATION_BYTES, Generation};
use super::runner::Runner;
use super::scope::CommandScope;
use super::scripts::{Call, Script};
use super::tier::Tier;
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
pub(super) struct Lookups {
    sender: mpsc::UnboundedSender<Lookup>,
    /// Of those that wait, whatever they wait for: their turn, or what is done elsewhere (promise I4).
    deadlines: Arc<Deadlines>,
}

/// One lookup, and the request that waits for it.
#[derive(Debug)]
struct Lookup {
    shard: usize,
    name: String,
    reply: oneshot::Sender<LookupResult>,
}

impl Lookups {
    /// Starts the task that sends this runtime's lookups over the connection of each shard, by `runner`; it ends with the
    /// value returned or with the connections.
    pub(super) fn start(
        connections: &[Arc<RedisConnection>],
        runner: &Runner,
        in_flight: InFlight,
    ) -> Lookups {
        let (sender, receiver) = mpsc::unbounded_channel();
        let deadlines = Arc::<Deadlines>::default();
        let sending = Sending {
            connections: connections.iter().map(Arc::downgrade).collect(),
            runner: Arc::new(runner.clone()),
            deadlines: Arc::clone(&deadlines),
        };
        tokio::spawn(send_all(receiver, sending, in_flight));
        Lookups { sender, deadlines }
    }

    /// The bytes under `name`, which is in `shard`, as soon as the command with it is answered, and within `timeout`.
    pub(super) async fn find(&self, shard: usize, name: String, timeout: Duration) -> LookupResult {
        let (reply, found) = oneshot::channel();
        let lookup = Lookup { shard, name, reply };
        self.sender.send(lookup).map_err(|_| Error::Down)?;
        match self.deadlines.within(timeout, found).await {
            // Else the connection has ended.
            Some(found) => found.unwrap_or(Err(Error::Down)),
            None => Err(Error::Timeout),
        }
    }

    /// What comes of `work` in another runtime; `None`: not within `timeout`.
    pub(super) async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.deadlines.within(timeout, work).await
    }
}

/// How this runtime has lookups sent.
struct Sending {
    /// By shard.
    connections: Vec<Weak<RedisConnection>>,
    runner: Arc<Runner>,
    /// Of what is done elsewhere: nobody waits for long even if that runtime does not come to it (promise I4).
    deadlines: Arc<Deadlines>,
}

async fn send_all(
    mut lookups: mpsc::UnboundedReceiver<Lookup>,
    sending: Sending,
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
                if count == 0 { return }
                waiting.sort_by_key(|lookup| lookup.shard);
                while let Some(last) = waiting.last() {
                    let first = waiting.partition_point(|lookup| lookup.shard < last.shard);
                    let shard = last.shard;
                    let of_shard = waiting.split_off(first);
                    let Some(connection) = sending.connections[shard].upgrade() else { return };
                    let (runner, deadlines) = (Arc::clone(&sending.runner), Arc::clone(&sending.deadlines));
                    let sent = send_together(connection, runner, deadlines, of_shard);
                    under_way.push(Box::pin(sent));
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
    runner: Arc<Runner>,
    deadlines: Arc<Deadlines>,
    mut lookups: Vec<Lookup>,
) -> Option<usize> {
    // Requests that were dropped meanwhile want nothing.
    lookups.retain(|lookup| !lookup.reply.is_closed());
    if lookups.is_empty() {
        return None;
    }
    let take_name = |lookup: &mut Lookup| std::mem::take(&mut lookup.name);
    let names = lookups.iter_mut().map(take_name).collect();
    let timeout = connection.tier.timeout();
    let found = match *runner {
        Runner::Here => find(connection, names).await,
        Runner::Elsewhere(_) => {
            let found = runner.run(find(connection, names));
            let found = deadlines.within(timeout, found).await;
            found.map_or(Err(Error::Timeout), |found| {
                found.unwrap_or(Err(Error::Down))
            })
        }
    };
    reply_to(lookups, found)
}

/// What is under `names`, if the session in which it was asked for still stands when it is there.
async fn find(
    connection: Arc<RedisConnection>,
    mut names: Vec<String>,
) -> Result<Vec<Option<Bytes>>, Error> {
    let session = connection.usable_session().ok_or(Error::Down)?;
    let found = match names.len() {
        1 => find_one(&connection, names.pop().unwrap_or_default()).await,
        _ => find_several(&connection, names).await,
    };
    match connection.stands(session) {
        true => found,
        false => found.and(Err(Error::Down)),
    }
}

/// While Redis is to tell this connection of another generation, an entry is valid if it is of the one that is
/// known: such word comes before any answer that it concerns.
async fn find_one(connection: &RedisConnection, name: String) -> Result<Vec<Option<Bytes>>, Error> {
    let scope = connection.for_requests();
    if connection.tier.in_flight.room() == 0 {
        let found = read_short(&scope, name).await?;
        return keep_what_is_valid(&connection.tier, found);
    }
    let Some(watched) = connection.session.generations.watched() else {
        return find_several(connection, vec![name]).await;
    };
    let found = scope.send_uncounted(Box::pin(scope.client().get::<Option<Bytes>, _>(name)));
    let found = found.await?;
    if connection.session.generations.watched() != Some(watched) {
        return Err(Error::Void);
    }
    Ok(vec![
        found.and_then(|found| keep_if_valid(&connection.tier, found)),
    ])
}

async fn find_several(
    connection: &RedisConnection,
    names: Vec<String>,
) -> Result<Vec<Option<Bytes>>, Error> {
    let scope = connection.for_requests();
    let mut names: Vec<Key> = names.into_iter().map(Key::from).collect();
    names.push(connection.tier.keys.names().generation.clone());
    // A value of another type counts as absent here: the lease that follows removes it.
    let command = scope.client().mget::<Vec<Option<Bytes>>, _>(names);
    let found = scope.send_uncounted(Box::pin(command)).await?;
    keep_what_is_valid(&connection.tier, found)
}

/// Reads the entry under `name` if it is a short one, and the generation.
async fn read_short(scope: &CommandScope<'_>, name: String) -> Result<Vec<Option<Bytes>>, Error> {
    let generation = scope.tier.keys.names().generation_name();
    let call = || Call {
        keys: vec![name.clone(), generation.clone()],
        args: vec![(in_flight::SHORT as i64).into()],
    };
    let reply = scope.run_plain(None, Script::Short, call).await?;
    let mut parts = reply.into_array().into_iter().map(Value::into_bytes);
    match parts.next().flatten() {
        Some(entry) if in_flight::is_counted(entry.len()) => Err(Error::NoRoom),
        entry => {
            let entry = entry.filter(|entry| !entry.is_empty());
            Ok(vec![entry, parts.next().flatten()])
        }
    }
}

/// The valid ones of several entries; `found` has the generation behind them.
fn keep_what_is_valid(
    tier: &Tier,
    mut found: Vec<Option<Bytes>>,
) -> Result<Vec<Option<Bytes>>, Error> {
    let generation = found.pop().flatten();
    let Some(generation) = generation.as_deref().and_then(Generation::read) else {
        // It was lost, and all with it; the lease that follows begins another one.
        return Ok(found.into_iter().map(|_| None).collect());
    };
    if tier.note_generation(generation) == Comparison::Earlier {
        return Err(Error::Void);
    }
    let keep = |bytes| keep_if_valid(tier, bytes);
    Ok(found
        .into_iter()
        .map(|entry| entry.and_then(keep))
        .collect())
}

/// An entry of the latest generation, without the mark of it.
fn keep_if_valid(tier: &Tier, bytes: Bytes) -> Option<Bytes> {
    let Some(generation) = Generation::read(&bytes) else {
        // No entry at all: handed on, to be told as undecodable.
        return Some(bytes);
    };
    if tier.note_generation(generation) == Comparison::Earlier {
        return None;
    }
    let bytes = tier.in_flight.count(bytes);
    let entry = bytes.slice(GENERATION_BYTES..);
    // Else it is a stub.
    (!entry.is_empty()).then_some(entry)
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

    #[tokio::test(start_paused = true)]
    async fn one_whose_turn_does_not_come_ends_in_time() {
        let (sender, _queue) = mpsc::unbounded_channel();
        let deadlines = Arc::default();
        let lookups = Lookups { sender, deadlines };
        let (began, timeout) = (tokio::time::Instant::now(), Duration::from_millis(50));
        let found = lookups.find(0, "name".to_owned(), timeout);
        assert_eq!(found.await, Err(Error::Timeout));
        assert!(began.elapsed() <= timeout + Duration::from_millis(1));
    }

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
