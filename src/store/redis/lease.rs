//! Leases and stores (after the memcache leases of Facebook, NSDI '13): a store succeeds only while
//! the lease taken before the app was asked still stands, and a purge deletes leases too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures_util::future::join_all;
use prometheus::Histogram;

use super::batches::{APART, Batches, KeyCall};
use super::chores::{Chore, RoomRequest};
use super::connection::RedisConnection;
use super::error::{Error, Unanswered};
use super::keys::{self, Keyspace};
use super::lineage::{GENERATION_BYTES, Generation};
use super::room::Step;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
use super::tier::Tier;
use crate::clock;
use crate::entry::{Entry, Priority, codec};
use crate::http_cache::tag_fields;

/// A lease ends so long after it was taken, or renewed (`leases`).
pub(super) const LASTING: Duration = Duration::from_secs(3);

/// What lasts no longer was not renewed in time, and not when that was tried again (`leases`).
const SILENT: Duration = Duration::from_millis(700);

/// The longest that room is made for one store.
const MAKING_ROOM: Duration = Duration::from_secs(1);

/// Stands in a token before what the app usually takes, in milliseconds.
const BEFORE_USUAL: char = '~';

/// Bytes of entries that come with the leases of one command, but for the last of them.
const MOST_ENTRY_BYTES: usize = 256 << 10;

/// What a tag counts for beside the bytes that are stored together: it is written, too.
const BYTES_OF_TAG: usize = 4 << 10;

/// Leases that are given back side by side.
const RELEASED_AT_A_TIME: usize = 64;

/// A year; an expiry has six bytes in the index.
const MAX_TTL_MS: u64 = 365 * 24 * 3600 * 1000;

/// The answer to asking for a lease.
#[derive(Debug)]
pub(in crate::store) enum Lease {
    /// Ours.
    Held(HeldLease),
    /// Another fill of the fleet has it.
    Taken(Holder),
    /// The budget, or Redis, has no room.
    Full,
    /// It was wanted only if nothing is stored, and something is.
    Needless,
    /// Redis could not be asked, or did not answer in time: the lease may stand, and may have come
    /// too late to be fenced by a purge, so nothing is stored under it.
    Unknown {
        /// By which it is given back, if it may stand.
        token: Option<Box<str>>,
        /// What became of asking.
        why: Unanswered,
    },
}

/// Another fill that has a lease.
#[derive(Debug)]
pub(in crate::store) struct Holder {
    token: Box<str>,
    lasts: Duration,
}

/// A lease of ours.
#[derive(Debug)]
pub(in crate::store) struct HeldLease {
    claim: Claim,
    /// The entry that was stored when the lease was taken: the new variant joins its variants. Anything
    /// read earlier may have been purged since.
    base: Option<Entry>,
}

/// A fill's hold on a key: the lease lasts on as long as anybody has this.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) key: Box<str>,
    /// What gives the lease back.
    pub(super) token: Box<str>,
}

/// What a store needs of the lease.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    hold: Arc<Hold>,
    /// The one in which it was taken: in another it is void.
    generation: Generation,
    /// The number of the shard's last purge.
    purges: u64,
}

/// The answer to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Put {
    Stored,
    /// A purge took the lease, or it expired.
    Lost,
    /// One of the entry's tags was purged since the lease was taken.
    Purged,
    /// The budget has no room for the entry. Redis tells of purges of the key nevertheless, so memory may have it.
    Listed,
    /// The budget has no room.
    Full,
    /// It can have none: the entry is larger than it, or all else is of a higher priority.
    Unfit,
    /// With those of what memory holds under the key there are more tags than a script writes.
    TooManyTags,
}

impl Lease {
    /// Redis was not asked.
    pub(in crate::store) const UNASKED: Lease = Lease::Unknown {
        token: None,
        why: Unanswered::Failed,
    };

    /// The lease, if the session in which it was taken has ended: it may stand in Redis, but neither is
    /// anything stored under it, nor what came with it used.
    pub(super) fn distrust(self) -> Lease {
        match self {
            Lease::Held(held) => Lease::Unknown {
                token: Some(held.token().into()),
                why: Unanswered::Failed,
            },
            other => other,
        }
    }

    /// What gives it back, if it is ours or may be.
    pub(in crate::store) fn into_token(self) -> Option<Box<str>> {
        match self {
            Lease::Held(held) => Some(held.token().into()),
            Lease::Unknown { token, .. } => token,
            Lease::Taken(_) | Lease::Full | Lease::Needless => None,
        }
    }
}

impl HeldLease {
    /// The entry that was stored when the lease was taken.
    pub(in crate::store) fn base(&self) -> Option<&Entry> {
        self.base.as_ref()
    }

    /// What gives it back.
    pub(super) fn token(&self) -> &str {
        &self.claim.hold.token
    }
}

impl Hold {
    /// With a token of its own, which says what the app usually takes for whoever waits.
    pub(super) fn new(key: &str, usual: Option<Duration>) -> Hold {
        let random = format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..));
        let token = match usual {
            Some(usual) => format!("{random}{BEFORE_USUAL}{}", usual.as_millis()),
            None => random,
        };
        Hold {
            key: key.into(),
            token: token.into(),
        }
    }
}

impl Holder {
    /// Which fill it is.
    pub(in crate::store) fn token(&self) -> &str {
        &self.token
    }

    /// What the app usually takes, as its sidecar knows it.
    pub(in crate::store) fn usual(&self) -> Option<Duration> {
        let (_, usual) = self.token.split_once(BEFORE_USUAL)?;
        usual.parse().ok().map(Duration::from_millis)
    }

    /// Whether it has not been heard of for so long that its sidecar has died, or cannot reach Redis.
    pub(in crate::store) fn is_silent(&self) -> bool {
        self.lasts < SILENT
    }
}

/// When the lease of a key is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Wanted {
    /// Whatever is stored.
    Always,
    /// Only if nothing is stored: this is the look for it, too.
    UnlessStored,
}

/// The lease of a key is wanted.
pub(super) struct LeaseCall {
    hold: Arc<Hold>,
    wanted: Wanted,
}

/// What becomes of that.
pub(super) enum LeaseReply {
    Answered(Lease),
    /// The entries of others have taken the room of the answer.
    AskAgain,
}

impl LeaseCall {
    pub(super) fn new(hold: &Arc<Hold>, wanted: Wanted) -> LeaseCall {
        LeaseCall {
            hold: Arc::clone(hold),
            wanted,
        }
    }
}

impl KeyCall for LeaseCall {
    type Reply = LeaseReply;
    const SCRIPT: Script = Script::Lease;

    fn latency(tier: &Tier) -> &Histogram {
        &tier.latency.lease
    }

    fn common_args(tier: &Tier) -> Vec<Value> {
        vec![
            decimal(tier.budget.per_shard()),
            decimal(MOST_ENTRY_BYTES as u64),
            decimal(LASTING.as_millis() as u64),
        ]
    }

    fn names(&self, keys: &Keyspace) -> [String; 2] {
        let key = &self.hold.key;
        [keys.lease_name(key), keys.entry_name(key)]
    }

    fn args(&self, _tier: &Tier) -> Vec<Value> {
        let (key, token) = ((&*self.hold.key).into(), (&*self.hold.token).into());
        let wanted = match self.wanted {
            Wanted::Always => "",
            Wanted::UnlessStored => "1",
        };
        vec![key, token, wanted.into()]
    }

    fn can_wait(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        self.hold.key.len()
    }

    fn read(&self, tier: &Tier, generation: Generation, answer: Value) -> LeaseReply {
        let mut parts = answer.into_array().into_iter();
        let mut next = || parts.next().unwrap_or(Value::Null);
        LeaseReply::Answered(match parse_number(&next()) {
            0 => Lease::Taken(Holder {
                token: next().into_string().unwrap_or_default().into(),
                lasts: Duration::from_millis(parse_number(&next())),
            }),
            1 => Lease::Held(HeldLease {
                claim: Claim {
                    hold: Arc::clone(&self.hold),
                    generation,
                    purges: parse_number(&next()),
                },
                base: next().into_bytes().and_then(|bytes| {
                    let bytes = tier.in_flight.count(bytes);
                    let mut entry = codec::decode(&bytes)
                        .inspect_err(|error| tier.note_undecodable(&self.hold.key, *error))
                        .ok()?;
                    entry.count_apart(|plain| tier.in_flight.count(plain));
                    Some(entry)
                }),
            }),
            3 => return LeaseReply::AskAgain,
            4 => Lease::Needless,
            _ => Lease::Full,
        })
    }
}

/// A store, as it is sent, perhaps more than once.
pub(super) struct Store {
    claim: Claim,
    /// With the generation of the lease in front.
    bytes: Bytes,
    tags: Vec<Box<str>>,
    priority: Priority,
    ttl: Duration,
    wishes: Wishes,
}

/// How something is to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Wishes {
    /// Whether a stub is wanted where there is no room.
    pub(in crate::store) may_list: bool,
    /// Whether nobody waits for it, so that others may go with it.
    pub(in crate::store) can_wait: bool,
}

/// What is done where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfFull {
    /// The script says how much is to be made.
    MakeRoom,
    /// The entry is not stored, or a stub is.
    GiveUp,
    /// The server is full: a stub is all that is stored.
    Stub,
}

/// A store is sent.
pub(super) struct StoreCall {
    store: Arc<Store>,
    if_full: IfFull,
}

/// What the script has done.
pub(super) enum PutReply {
    Done(Put),
    NeedsRoom(u64),
}

/// Stores if the lease still stands and nothing the entry is tagged with was purged
/// since (promise I3). Others leave for it as far as their priority is no higher; where there is no room even so, a stub
/// is stored instead if one is wanted. The lease is gone afterwards, unless the answer is an error.
pub(super) async fn put(
    batches: &Arc<Batches<StoreCall>>,
    connection: &Arc<RedisConnection>,
    mut store: Store,
) -> Result<Put, Error> {
    // The wait is a part of the time that it has.
    store.wishes.can_wait &= connection.tier.timeout() >= 8 * APART;
    let store = Arc::new(store);
    let put = put_or_make_room(batches, connection, &store).await;
    let unstored = &connection.tier.unstored;
    match put {
        Ok(Put::Stored | Put::Listed) => unstored.forget(store.key()),
        _ => unstored.note(store.key()),
    }
    put
}

async fn put_or_make_room(
    batches: &Arc<Batches<StoreCall>>,
    connection: &Arc<RedisConnection>,
    store: &Arc<Store>,
) -> Result<Put, Error> {
    let send = async |if_full| {
        let store = Arc::clone(store);
        let sent = batches.send(connection, StoreCall { store, if_full });
        let answered = connection.within_timeout(sent).await;
        answered.unwrap_or(Err(Error::Timeout))
    };
    let need = match send(IfFull::MakeRoom).await {
        Ok(PutReply::Done(put)) => return Ok(put),
        Ok(PutReply::NeedsRoom(need)) => need,
        // The server's memory is full, and some of it may be ours.
        Err(Error::Full(_)) => store.size(&connection.tier, store.bytes.len()),
        Err(error) => return Err(error),
    };
    let scope = connection.for_requests();
    let room = store.make_room(&scope, need).await?;
    let refusal = match room {
        Step::Never => Put::Unfit,
        _ => Put::Full,
    };
    let sent = match room {
        Step::Taken => Err(Error::Full(String::new())),
        _ => send(IfFull::GiveUp).await,
    };
    let sent = match sent {
        Err(Error::Full(_)) => store_stub(&scope, store).await,
        sent => sent,
    };
    match sent? {
        PutReply::Done(Put::Full) => Ok(refusal),
        PutReply::Done(put) => Ok(put),
        PutReply::NeedsRoom(_) => {
            release_token(&scope, store.key(), &store.claim.hold.token).await;
            Ok(refusal)
        }
    }
}

/// Stores the stub alone, where the server refuses what needs room: so purges made elsewhere reach what memory has.
async fn store_stub(scope: &CommandScope<'_>, store: &Arc<Store>) -> Result<PutReply, Error> {
    if !store.wishes.may_list {
        release_token(scope, store.key(), &store.claim.hold.token).await;
        return Ok(PutReply::Done(Put::Full));
    }
    let tier = scope.tier;
    let call = StoreCall {
        store: Arc::clone(store),
        if_full: IfFull::Stub,
    };
    let script_call = || Call {
        keys: call.names(&tier.keys).into(),
        args: [StoreCall::common_args(tier), call.args(tier)].concat(),
    };
    let latency = StoreCall::latency(tier);
    let reply = scope.run_script(Some(latency), Script::PutStub, script_call);
    let reply = reply.await?;
    let answer = reply.value.into_array().into_iter().next();
    Ok(call.read(tier, reply.generation, answer.unwrap_or(Value::Null)))
}

impl Store {
    /// Of `entry`, useful for `ttl`.
    pub(super) fn new(lease: &HeldLease, entry: &Entry, ttl: Duration, wishes: Wishes) -> Store {
        let generation = lease.claim.generation.text();
        let bytes = [&generation, codec::encode(entry).as_slice()].concat();
        Store {
            claim: lease.claim.clone(),
            bytes: Bytes::from(bytes),
            tags: entry.tags(),
            priority: entry.priority(),
            ttl,
            wishes,
        }
    }

    fn key(&self) -> &str {
        &self.claim.hold.key
    }

    /// What it takes with its name, if the value has so many bytes.
    fn size(&self, tier: &Tier, value: usize) -> u64 {
        keys::cost(tier.keys.prefix(), self.key(), value)
    }

    /// What a stub in its place would take; 0: none is wanted.
    fn stub_size(&self, tier: &Tier) -> u64 {
        match self.wishes.may_list {
            true => self.size(tier, GENERATION_BYTES),
            false => 0,
        }
    }

    /// Has others leave until `need` more bytes fit, or nobody is left who may go; what else is to leave then does so later.
    /// Returns how the last step has ended.
    async fn make_room(&self, scope: &CommandScope<'_>, need: u64) -> Result<Step, Error> {
        let mut room = RoomRequest::for_store(scope.tier, self.priority, need);
        let until = clock::monotonic() + MAKING_ROOM;
        let mut step = Step::Short;
        while step == Step::Short && clock::monotonic() < until {
            step = room.step(scope).await?;
        }
        if matches!(step, Step::Short | Step::Fits) {
            scope.tier.chores.begin(Chore::Evict(room));
        }
        Ok(step)
    }
}

impl KeyCall for StoreCall {
    type Reply = PutReply;
    const SCRIPT: Script = Script::Put;

    fn latency(tier: &Tier) -> &Histogram {
        &tier.latency.put
    }

    fn common_args(tier: &Tier) -> Vec<Value> {
        let mut args = Vec::from(tier.budget.arguments());
        args.push(decimal(tag_fields::MAX_TAGS as u64));
        args
    }

    fn names(&self, keys: &Keyspace) -> [String; 2] {
        let key = self.store.key();
        [keys.entry_name(key), keys.lease_name(key)]
    }

    fn args(&self, tier: &Tier) -> Vec<Value> {
        let store = &*self.store;
        let ttl = u64::try_from(store.ttl.as_millis()).unwrap_or(u64::MAX);
        let mut args = vec![
            store.key().into(),
            (&*store.claim.hold.token).into(),
            decimal(store.claim.purges),
            decimal(ttl.clamp(1, MAX_TTL_MS)),
            decimal(store.size(tier, store.bytes.len())),
            decimal(store.priority as u64),
            match self.if_full {
                IfFull::MakeRoom => "0".into(),
                IfFull::GiveUp => "1".into(),
                IfFull::Stub => "2".into(),
            },
            decimal(store.stub_size(tier)),
            match self.if_full {
                IfFull::MakeRoom | IfFull::GiveUp => Value::Bytes(store.bytes.clone()),
                // Which a stub has none of.
                IfFull::Stub => "".into(),
            },
            decimal(store.tags.len() as u64),
        ];
        args.extend(store.tags.iter().map(|tag| Value::from(&**tag)));
        args
    }

    fn can_wait(&self) -> bool {
        // Others may take the room that was made.
        self.store.wishes.can_wait && self.if_full == IfFull::MakeRoom
    }

    fn bytes(&self) -> usize {
        self.store.bytes.len() + self.store.tags.len() * BYTES_OF_TAG
    }

    fn read(&self, _tier: &Tier, _generation: Generation, answer: Value) -> PutReply {
        let parts = answer.into_array();
        let at = |index: usize| parts.get(index).map_or(0, parse_number);
        PutReply::Done(match at(0) {
            1 => Put::Stored,
            2 => Put::Full,
            3 => Put::Purged,
            4 => Put::Listed,
            5 => return PutReply::NeedsRoom(at(1)),
            6 => Put::TooManyTags,
            _ => Put::Lost,
        })
    }
}

/// Gives a lease back, so that another fill need not wait for its end. Sent after the request for it on the same
/// connection, so carried out after it.
pub(super) async fn release_token(scope: &CommandScope<'_>, key: &str, token: &str) {
    if release_unless_lost(scope, key, token).await.is_err() {
        scope.tier.unreleased.keep(key, token);
    }
}

async fn release_unless_lost(
    scope: &CommandScope<'_>,
    key: &str,
    token: &str,
) -> Result<(), Error> {
    let names = &scope.tier.keys;
    let call = || Call {
        keys: vec![names.lease_name(key)],
        args: vec![key.into(), token.into()],
    };
    scope.tier.unstored.note(key);
    let released = scope.run_script(None, Script::Release, call);
    released.await.map(|_| ())
}

/// Gives back what could not be given back while Redis was away, so that nobody waits for fills that have ended.
/// Some side by side, until all are or Redis does not take them; the rest the next time.
pub(super) async fn release_kept(scope: &CommandScope<'_>) {
    loop {
        let some = scope.tier.unreleased.take(RELEASED_AT_A_TIME);
        if some.is_empty() {
            return;
        }
        let releases = some
            .iter()
            .map(|(key, token)| release_unless_lost(scope, key, token));
        let mut is_lost = false;
        for ((key, token), released) in some.iter().zip(join_all(releases).await) {
            if released.is_err() {
                scope.tier.unreleased.keep(key, token);
                is_lost = true;
            }
        }
        if is_lost {
            return;
        }
    }
}

pub(super) fn decimal(number: u64) -> Value {
    number.to_string().into()
}
