//! Leases and stores (after the memcache leases of Facebook, NSDI '13): a store succeeds only while
//! the lease taken before the app was asked still stands, and a purge deletes leases too.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;

use super::connection::RedisConnection;
use super::error::Error;
use super::keys;
use super::scope::number;
use super::scripts::{Call, Script};
use crate::entry::{Entry, codec};

/// A lease outlives its fill's deadline by this, for the store that follows.
const MARGIN: Duration = Duration::from_secs(2);

/// What became of asking for a lease.
#[derive(Debug)]
pub(in crate::store) enum Lease {
    /// Ours.
    Held(HeldLease),
    /// Another fill of the fleet has it.
    Taken,
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
    /// How many purges by tag the shard had seen.
    purges: u64,
    /// What was stored when the lease was taken: the variants the new one joins. Anything read earlier
    /// may have been purged since.
    base: Option<Entry>,
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Put {
    Stored,
    /// A purge took the lease, or it expired.
    Lost,
    /// One of the entry's tags was purged since the lease was taken.
    Purged,
    /// The budget has no room.
    Full,
}

impl HeldLease {
    /// What was stored when the lease was taken.
    pub(in crate::store) fn base(&self) -> Option<&Entry> {
        self.base.as_ref()
    }
}

impl RedisConnection {
    /// Asks for the lease of `key` for a fill of at most `deadline`.
    pub(in crate::store) async fn lease(&self, key: &str, deadline: Duration) -> Lease {
        let token: Box<str> =
            format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)).into();
        let names = &self.tier.keys;
        let lasting = u64::try_from((deadline + MARGIN).as_millis()).unwrap_or(u64::MAX >> 12);
        let call = || Call {
            keys: vec![names.entry(key), names.lease(key)],
            args: vec![
                names.shard(key).into(),
                key.into(),
                (&*token).into(),
                decimal(lasting),
                decimal(self.tier.shard_budget),
            ],
        };
        let latency = &self.tier.latency.lease;
        let reply = self
            .for_requests()
            .run(Some(latency), Script::Lease, call)
            .await;
        match reply {
            Ok(reply) => self.leased(key, token, reply),
            Err(Error::Full(_)) => Lease::Full,
            Err(Error::Down) => Lease::Unknown(None),
            Err(_) => Lease::Unknown(Some(token)),
        }
    }

    fn leased(&self, key: &str, token: Box<str>, reply: Value) -> Lease {
        let mut reply = reply.into_array().into_iter();
        let mut next = || reply.next().unwrap_or(Value::Null);
        match number(&next()) {
            0 => Lease::Taken,
            1 => Lease::Held(HeldLease {
                token,
                purges: number(&next()),
                base: next().into_bytes().and_then(|bytes| {
                    codec::decode(&bytes)
                        .inspect_err(|error| self.undecodable(key, *error))
                        .ok()
                }),
            }),
            _ => Lease::Full,
        }
    }

    /// Stores `entry`, useful for `ttl`, under the lease; the lease is gone afterwards.
    pub(in crate::store) async fn put(
        &self,
        key: &str,
        held: &HeldLease,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Put, Error> {
        let names = &self.tier.keys;
        let prefix = names.shard(key);
        let bytes = Bytes::from(codec::encode(entry));
        let tags = tags(entry);
        let size = keys::cost(prefix, key, bytes.len(), &tags);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let call = || {
            let mut args = vec![
                prefix.into(),
                key.into(),
                (&*held.token).into(),
                decimal(held.purges),
                decimal(ttl.clamp(1, u64::MAX >> 12)),
                decimal(size),
                decimal(entry.priority() as u64),
                decimal(self.tier.shard_budget),
                Value::Bytes(bytes.clone()),
            ];
            args.extend(tags.iter().map(|tag| Value::from(&**tag)));
            let keys = vec![names.entry(key), names.lease(key)];
            Call { keys, args }
        };
        let latency = &self.tier.latency.put;
        let reply = self
            .for_requests()
            .run(Some(latency), Script::Put, call)
            .await;
        match reply {
            Ok(reply) => Ok(match number(&reply) {
                1 => Put::Stored,
                2 => Put::Full,
                3 => Put::Purged,
                _ => Put::Lost,
            }),
            Err(Error::Full(_)) => {
                self.release_held(key, held).await;
                Ok(Put::Full)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a lease back, so that another fill need not wait for its end.
    pub(in crate::store) async fn release(&self, key: &str, lease: Lease) {
        match lease {
            Lease::Held(held) => self.release_held(key, &held).await,
            // Sent behind the request for it on the same connection, so it comes later.
            Lease::Unknown(Some(token)) => self.release_token(key, &token).await,
            Lease::Unknown(None) | Lease::Taken | Lease::Full => {}
        }
    }

    /// Gives a lease of ours back.
    pub(in crate::store) async fn release_held(&self, key: &str, held: &HeldLease) {
        self.release_token(key, &held.token).await;
    }

    async fn release_token(&self, key: &str, token: &str) {
        let names = &self.tier.keys;
        let call = || Call {
            keys: vec![names.lease(key)],
            args: vec![names.shard(key).into(), key.into(), token.into()],
        };
        // If it fails, the lease ends by itself.
        let _ = self.for_requests().run(None, Script::Release, call).await;
    }
}

/// The tags of all variants, each once.
fn tags(entry: &Entry) -> Vec<Box<str>> {
    let all = entry.variants.iter().flat_map(|variant| &variant.tags);
    let mut tags: Vec<Box<str>> = all.cloned().collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn decimal(number: u64) -> Value {
    number.to_string().into()
}
