//! Leases and stores (after the memcache leases of Facebook, NSDI '13): a store succeeds only while
//! the lease taken before the app was asked still stands, and a purge deletes leases too.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;

use super::error::Error;
use super::keys;
use super::lineage::{GENERATION_BYTES, Generation};
use super::scope::CommandScope;
use super::scripts::{Call, Reply, Script, parse_number};
use super::tier::Tier;
use crate::entry::{Entry, codec};

/// A lease outlives its fill's deadline by this, for the store that follows.
const MARGIN: Duration = Duration::from_secs(2);

/// The answer to asking for a lease.
#[derive(Debug)]
pub(in crate::store) enum Lease {
    /// Ours.
    Held(HeldLease),
    /// Another fill of the fleet has it, by this token.
    Taken(Box<str>),
    /// The budget, or Redis, has no room.
    Full,
    /// Redis could not be asked, or did not answer in time: the lease may stand, and may have come
    /// too late to be fenced by a purge, so nothing is stored under it.
    Unknown(Option<Box<str>>),
}

/// A lease of ours.
#[derive(Debug)]
pub(in crate::store) struct HeldLease {
    token: Box<str>,
    /// The one in which it was taken: in another it is void.
    generation: Generation,
    /// The number of the shard's last purge.
    purges: u64,
    /// The entry that was stored when the lease was taken: the new variant joins its variants. Anything
    /// read earlier may have been purged since.
    base: Option<Entry>,
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
}

impl Lease {
    /// The lease, if the session in which it was taken has ended: it may stand in Redis, but neither is
    /// anything stored under it, nor what came with it used.
    pub(super) fn distrust(self) -> Lease {
        match self {
            Lease::Held(held) => Lease::Unknown(Some(held.token)),
            other => other,
        }
    }
}

impl HeldLease {
    /// The entry that was stored when the lease was taken.
    pub(in crate::store) fn base(&self) -> Option<&Entry> {
        self.base.as_ref()
    }
}

/// Asks for the lease of `key` for a fill of at most `deadline`. With it comes what is stored under the
/// key at that moment (promise I3: anything read earlier may have been purged since).
pub(super) async fn take(scope: &CommandScope<'_>, key: &str, deadline: Duration) -> Lease {
    let token: Box<str> = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)).into();
    let names = &scope.tier.keys;
    let millis = u64::try_from((deadline + MARGIN).as_millis()).unwrap_or(u64::MAX >> 12);
    let call = || Call {
        keys: vec![names.entry_name(key), names.lease_name(key)],
        args: vec![
            key.into(),
            (&*token).into(),
            decimal(millis),
            decimal(scope.tier.budget.per_shard),
        ],
    };
    let latency = &scope.tier.latency.lease;
    let shard = names.shard_number(key);
    let reply = scope.run_script(Some(latency), Script::Lease, shard, call);
    match reply.await {
        Ok(reply) => read_lease_reply(scope.tier, key, token, reply),
        Err(Error::Full(_)) => Lease::Full,
        Err(Error::Down) => Lease::Unknown(None),
        Err(_) => Lease::Unknown(Some(token)),
    }
}

fn read_lease_reply(tier: &Tier, key: &str, token: Box<str>, reply: Reply) -> Lease {
    let mut parts = reply.value.into_array().into_iter();
    let mut next = || parts.next().unwrap_or(Value::Null);
    match parse_number(&next()) {
        0 => Lease::Taken(next().into_string().unwrap_or_default().into()),
        1 => Lease::Held(HeldLease {
            token,
            generation: reply.generation,
            purges: parse_number(&next()),
            base: next().into_bytes().and_then(|bytes| {
                let bytes = tier.in_flight.count(bytes);
                let mut entry = codec::decode(&bytes)
                    .inspect_err(|error| tier.note_undecodable(key, *error))
                    .ok()?;
                entry.count_apart(|plain| tier.in_flight.count(plain));
                Some(entry)
            }),
        }),
        _ => Lease::Full,
    }
}

/// Stores `entry`, useful for `ttl`, if the lease still stands and nothing it is tagged with was purged
/// since (promise I3); where there is no room for it, a stub instead if `may_list`. The lease is gone afterwards,
/// unless the answer is an error.
pub(super) async fn put(
    scope: &CommandScope<'_>,
    key: &str,
    lease: &HeldLease,
    entry: &Entry,
    ttl: Duration,
    may_list: bool,
) -> Result<Put, Error> {
    let names = &scope.tier.keys;
    let prefix = names.prefix_of(key);
    let bytes = [&lease.generation.text(), codec::encode(entry).as_slice()].concat();
    let bytes = Bytes::from(bytes);
    let tags = entry.tags();
    let size = keys::cost(prefix, key, bytes.len(), &tags);
    let stub = match may_list {
        true => keys::cost(prefix, key, GENERATION_BYTES, &tags),
        false => 0,
    };
    let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let call = || {
        let mut args = vec![
            key.into(),
            (&*lease.token).into(),
            decimal(lease.purges),
            decimal(ttl.clamp(1, u64::MAX >> 12)),
            decimal(size),
            decimal(entry.priority() as u64),
            decimal(scope.tier.budget.per_shard),
            decimal(stub),
            Value::Bytes(bytes.clone()),
        ];
        args.extend(tags.iter().map(|tag| Value::from(&**tag)));
        let keys = vec![names.entry_name(key), names.lease_name(key)];
        Call { keys, args }
    };
    let latency = &scope.tier.latency.put;
    let shard = names.shard_number(key);
    let reply = scope.run_script(Some(latency), Script::Put, shard, call);
    match reply.await {
        Ok(reply) => Ok(read_put_reply(&reply.value)),
        Err(Error::Full(_)) => {
            release_held(scope, key, lease).await;
            Ok(Put::Full)
        }
        Err(error) => Err(error),
    }
}

fn read_put_reply(reply: &Value) -> Put {
    match parse_number(reply) {
        1 => Put::Stored,
        2 => Put::Full,
        3 => Put::Purged,
        4 => Put::Listed,
        _ => Put::Lost,
    }
}

/// Gives a lease back, so that another fill need not wait for its end.
pub(super) async fn release(scope: &CommandScope<'_>, key: &str, lease: Lease) {
    match lease {
        Lease::Held(held) => release_held(scope, key, &held).await,
        // Sent after the request for it on the same connection, so carried out after it.
        Lease::Unknown(Some(token)) => release_token(scope, key, &token).await,
        Lease::Unknown(None) | Lease::Taken(_) | Lease::Full => {}
    }
}

/// Gives a lease of ours back, so that another fill need not wait for its end.
pub(super) async fn release_held(scope: &CommandScope<'_>, key: &str, lease: &HeldLease) {
    release_token(scope, key, &lease.token).await;
}

async fn release_token(scope: &CommandScope<'_>, key: &str, token: &str) {
    let names = &scope.tier.keys;
    let call = || Call {
        keys: vec![names.lease_name(key)],
        args: vec![key.into(), token.into()],
    };
    let shard = names.shard_number(key);
    let released = scope.run_script(None, Script::Release, shard, call);
    if released.await.is_err() {
        scope.tier.unreleased.keep(key, token);
    }
}

/// Gives back what could not be given back while Redis was away, so that nobody waits for fills that have ended.
pub(super) async fn release_kept(scope: &CommandScope<'_>) {
    for (key, token) in scope.tier.unreleased.take() {
        release_token(scope, &key, &token).await;
    }
}

fn decimal(number: u64) -> Value {
    number.to_string().into()
}
