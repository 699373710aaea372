//! The Redis tier as one runtime uses it: its connection, and the tasks that serve it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike, KeysInterface};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::connection::RedisConnection;
use super::error::{Error, Unanswered};
use super::journal_file::Outlives;
use super::layouts::Presence;
use super::lease::{self, HeldLease, Lease, Put};
use super::lookups::Lookups;
use super::session::Session;
use super::status::RedisStatus;
use super::tier::Tier;
use super::usage::Counters;
use super::{beat, purge, supervisor};
use crate::clock;
use crate::entry::{Entry, codec};
use crate::in_flight;
use crate::routes::Purge;

/// Why a purge is not known to have landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum NotPurged {
    /// There was no session, or it has ended: the next one may be there soon.
    NotSent,
    /// Redis refused it, or did not answer in time.
    Refused,
}

/// The tier with this runtime's own connection.
pub(in crate::store) struct AttachedTier {
    pub(super) connection: Arc<RedisConnection>,
    lookups: Lookups,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl AttachedTier {
    /// Connects in the background; `None` if the settings allow no connection. Call it inside the
    /// runtime.
    pub(in crate::store) fn new(tier: Arc<Tier>, presence: Presence) -> Option<AttachedTier> {
        let connection = Arc::new(RedisConnection::new(tier, presence)?);
        Some(AttachedTier {
            lookups: Lookups::start(&connection),
            supervisor: Mutex::new(Some(supervisor::start(&connection))),
            connection,
        })
    }

    /// The session in which requests may use Redis now.
    pub(in crate::store) fn session(&self) -> Option<Session> {
        self.connection.usable_session()
    }

    /// Runs `put`, which puts into memory what was read or written in `session`, if that still stands.
    pub(in crate::store) fn put_within<T>(
        &self,
        session: Session,
        put: impl FnOnce() -> T,
    ) -> Option<T> {
        let connection = &self.connection;
        let sessions = &connection.tier.sessions;
        sessions.put_within(&connection.session, session, put)
    }

    /// Waits until Redis can be used or is known not to be usable, at most for `longest`.
    pub(in crate::store) async fn settle(&self, longest: Duration) {
        const PAUSE: Duration = Duration::from_millis(10);
        let tier = &self.connection.tier;
        let until = tokio::time::Instant::now() + longest;
        while self.session().is_none() && !tier.is_diagnosed() {
            let now = tokio::time::Instant::now();
            if now >= until {
                return;
            }
            tier.sessions.next(until.min(now + PAUSE)).await;
        }
    }

    /// The entry under `key`. One that does not decode is removed, and counts as none. An answer that comes
    /// after the end of its session is not used: a purge may be missing in it (promise I2).
    pub(in crate::store) async fn get(&self, key: &str) -> Result<Option<Entry>, Unanswered> {
        let Tier { keys, latency, .. } = &*self.connection.tier;
        let session = self.session().ok_or(Unanswered::Failed)?;
        let start = clock::monotonic();
        let found = self
            .lookups
            .find(keys.shard_number(key), keys.entry_name(key));
        let found = found.await;
        let took = clock::monotonic().duration_since(start);
        latency.get.observe(took.as_secs_f64());
        let connection = &self.connection;
        connection.tier.note_in(&connection.session, &found);
        if found == Err(Error::Void) {
            // A beat sees to it that what is void is so for all.
            connection.tier.sessions.wake(&connection.session);
        }
        if !self.stands(session) {
            return Err(unanswered(&found));
        }
        let decoded = match found {
            Ok(None) => return Ok(None),
            Ok(Some(ref bytes)) => codec::decode(bytes),
            Err(Error::WrongType(_)) => Err(codec::DecodeError::Version),
            Err(_) => return Err(unanswered(&found)),
        };
        match decoded {
            // Short as Redis keeps it, and long as it is.
            Ok(entry) if self.has_no_room_for(&entry) => {
                Err(unanswered(&Err::<(), _>(Error::NoRoom)))
            }
            Ok(mut entry) => {
                entry.count_apart(|plain| self.connection.tier.in_flight.count(plain));
                Ok(Some(entry))
            }
            Err(error) => {
                self.remove_undecodable(key, error).await;
                Ok(None)
            }
        }
    }

    fn has_no_room_for(&self, entry: &Entry) -> bool {
        self.connection.tier.in_flight.room() == 0 && in_flight::is_counted(entry.bytes_apart())
    }

    /// Has Redis tell this connection when what is known under `name` is purged, by others.
    pub(in crate::store) async fn watch_identity(&self, name: &str) -> Result<(), Error> {
        let names = self.connection.tier.keys.identity_names(name);
        let scope = self.connection.for_requests();
        let command = scope.client().mget::<Vec<Option<Bytes>>, _>(names);
        scope.send(None, command).await.map(|_| ())
    }

    /// Whether `session` has not ended; an open breaker does not end it.
    fn stands(&self, session: Session) -> bool {
        self.connection.current_session() == Some(session)
    }

    async fn remove_undecodable(&self, key: &str, error: codec::DecodeError) {
        let tier = &self.connection.tier;
        tier.note_undecodable(key, error);
        let scope = self.connection.for_requests();
        // Whether it works or not, the lookup is a miss.
        let _ = purge::remove_keys(&scope, tier.keys.shard_number(key), vec![key.into()]).await;
    }

    /// Asks for the lease of `key` for a fill of at most `deadline`. Neither the lease nor the entry that
    /// came with it is used if the session has ended meanwhile.
    pub(in crate::store) async fn lease(&self, key: &str, deadline: Duration) -> Lease {
        let Some(session) = self.session() else {
            return Lease::Unknown(None);
        };
        let lease = lease::take(&self.connection.for_requests(), key, deadline).await;
        match self.stands(session) {
            true => lease,
            false => lease.distrust(),
        }
    }

    /// Stores `entry`, useful for `ttl`, if the lease still stands and nothing it is tagged with was
    /// purged since; where there is no room for it, lists its key if `may_list`, so that memory may have it.
    pub(in crate::store) async fn put(
        &self,
        key: &str,
        lease: &HeldLease,
        entry: &Entry,
        ttl: Duration,
        may_list: bool,
    ) -> Result<Put, Error> {
        let scope = self.connection.for_requests();
        lease::put(&scope, key, lease, entry, ttl, may_list).await
    }

    /// Gives a lease back, so that another fill need not wait for its end.
    pub(in crate::store) async fn release(&self, key: &str, lease: Lease) {
        lease::release(&self.connection.for_requests(), key, lease).await;
    }

    /// Gives a lease of ours back, so that another fill need not wait for its end.
    pub(in crate::store) async fn release_held(&self, key: &str, lease: &HeldLease) {
        lease::release_held(&self.connection.for_requests(), key, lease).await;
    }

    /// Carries out `purge`; returns how many entries it removed or made stale. A purge whose session has
    /// ended meanwhile fails: it has to be sent again in the next one.
    pub(in crate::store) async fn purge(&self, purge: &Purge) -> Result<usize, NotPurged> {
        let session = self.session().ok_or(NotPurged::NotSent)?;
        let removed = purge::purge(&self.connection.for_requests(), purge).await;
        match removed {
            Ok(removed) if self.stands(session) => Ok(removed),
            Ok(_) | Err(Error::Down | Error::Connection(_)) => Err(NotPurged::NotSent),
            Err(_) => Err(NotPurged::Refused),
        }
    }

    /// What is known of Redis, and what its counters say by priority.
    pub(in crate::store) async fn status(&self) -> (RedisStatus, Counters) {
        let tier = &self.connection.tier;
        let counters = match self.session() {
            Some(_) => {
                let scope = self.connection.for_requests();
                beat::read_counters(&scope, self.connection.presence).await
            }
            None => Ok(Counters::default()),
        };
        let counters = counters.unwrap_or_default();
        let bytes = counters.total_bytes();
        let status = RedisStatus {
            server_limit: counters.server_limit,
            nearly_full: tier.budget.is_nearly_full(bytes),
            tracking: tier.sessions.all_current(),
            bytes,
            entries: counters.entries.iter().sum(),
            ..tier.status()
        };
        (status, counters)
    }

    /// Sends what is pending, then ends the connection and its tasks.
    pub(in crate::store) async fn close(&self) {
        let connection = &self.connection;
        if let Some(session) = self.session() {
            let stands = || self.stands(session);
            let _ = purge::resend_failed(&connection.for_requests(), stands).await;
        }
        connection.tier.record(Outlives::Machine).await;
        connection.end_session();
        let clients = connection.clients();
        let _ = tokio::time::timeout(connection.tier.timeout(), clients.plain.quit()).await;
        if let Some(supervisor) = self.supervisor.lock().take() {
            supervisor.abort();
        }
    }
}

fn unanswered<T>(found: &Result<T, Error>) -> Unanswered {
    match found {
        Err(Error::Timeout) => Unanswered::Late,
        _ => Unanswered::Failed,
    }
}
