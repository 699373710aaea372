//! A shard of Redis as one runtime uses it: a connection of its own, or another runtime's.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::ClientLike;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::batches::Batches;
use super::connection::RedisConnection;
use super::error::{Error, Unanswered};
use super::lease::{self, HeldLease, Lease, Put, StoreCall, Wanted, Wishes};
use super::leases::Leases;
use super::lookups::Lookups;
use super::requests::NotPurged;
use super::runner::Runner;
use super::server_limits::ServerConnections;
use super::session::Session;
use super::supervisor;
use super::usage::Counters;
use crate::clock;
use crate::entry::{Entry, codec};
use crate::in_flight;
use crate::routes::Purge;

/// The tier of a shard with the connection that this runtime uses for it.
pub(in crate::store) struct AttachedTier {
    pub(super) connection: Arc<RedisConnection>,
    pub(super) runner: Runner,
    /// Of all shards.
    lookups: Arc<Lookups>,
    /// Over the connection, from all runtimes that use it.
    leases: Arc<Leases>,
    stores: Arc<Batches<StoreCall>>,
    /// Keeps the connection in session, if it is this runtime's own.
    supervisor: Option<Mutex<Option<JoinHandle<()>>>>,
}

impl AttachedTier {
    /// By a connection of this runtime, which is made in the background. Call it inside the runtime.
    pub(super) fn new(connection: Arc<RedisConnection>, lookups: Arc<Lookups>) -> AttachedTier {
        let supervisor = supervisor::start(&connection);
        AttachedTier {
            lookups,
            leases: Arc::default(),
            stores: Arc::default(),
            runner: Runner::Here,
            supervisor: Some(Mutex::new(Some(supervisor))),
            connection,
        }
    }

    /// As this runtime uses a connection that is another runtime's own.
    pub(super) fn through(
        owner: &AttachedTier,
        runner: Runner,
        lookups: Arc<Lookups>,
    ) -> AttachedTier {
        AttachedTier {
            connection: Arc::clone(&owner.connection),
            runner,
            lookups,
            leases: Arc::clone(&owner.leases),
            stores: Arc::clone(&owner.stores),
            supervisor: None,
        }
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
    pub(super) async fn settle(&self, longest: Duration) {
        const PAUSE: Duration = Duration::from_millis(10);
        let tier = &self.connection.tier;
        let until = tokio::time::Instant::now() + longest;
        while self.session().is_none() && !tier.overview.is_diagnosed() {
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
        let tier = &self.connection.tier;
        let session = self.session().ok_or(Unanswered::Failed)?;
        let start = clock::monotonic();
        let name = tier.keys.entry_name(key);
        let found = self.lookups.find(tier.number, name, tier.timeout()).await;
        let took = clock::monotonic().duration_since(start);
        tier.latency.get.observe(took.as_secs_f64());
        let connection = &self.connection;
        connection.tier.note_in(&connection.session, &found);
        if found == Err(Error::Void) {
            // A beat sees to it that what is void is so for all.
            connection.tier.sessions.wake(&connection.session);
        }
        if !connection.stands(session) {
            return Err(found.err().map_or(Unanswered::Failed, Unanswered::from));
        }
        let decoded = match found {
            Ok(None) => {
                tier.unstored.note(key);
                return Ok(None);
            }
            Ok(Some(ref bytes)) => codec::decode(bytes),
            Err(Error::WrongType(_)) => Err(codec::DecodeError::Version),
            Err(error) => return Err(error.into()),
        };
        match decoded {
            // Short as Redis keeps it, and long as it is.
            Ok(entry) if self.has_no_room_for(&entry) => Err(Error::NoRoom.into()),
            Ok(mut entry) => {
                entry.count_apart(|plain| self.connection.tier.in_flight.count(plain));
                Ok(Some(entry))
            }
            Err(error) => {
                // Whether it works or not, the lookup is a miss; but Redis is not to be waited for again.
                match self.remove_undecodable(key, error).await {
                    Err(Unanswered::Late) => Err(Unanswered::Late),
                    _ => Ok(None),
                }
            }
        }
    }

    fn has_no_room_for(&self, entry: &Entry) -> bool {
        self.connection.tier.in_flight.room() == 0 && in_flight::is_counted(entry.bytes_apart())
    }

    async fn remove_undecodable(
        &self,
        key: &str,
        error: codec::DecodeError,
    ) -> Result<(), Unanswered> {
        self.connection.tier.note_undecodable(key, error);
        let (connection, key) = (Arc::clone(&self.connection), Box::<str>::from(key));
        let removed = self
            .runner
            .run(async move { connection.remove(&key).await });
        Ok(removed.await.unwrap_or(Err(Error::Down))?)
    }

    /// Has Redis tell this connection when what is known under `name` is purged, by others.
    pub(in crate::store) async fn watch_identity(&self, name: &str) -> Result<(), Unanswered> {
        let connection = Arc::clone(&self.connection);
        let tier = &connection.tier;
        tier.identities.note(name, clock::monotonic());
        let names = tier.keys.identity_names(name);
        let watched = self
            .runner
            .run(async move { connection.watch(names).await });
        Ok(watched.await.unwrap_or(Err(Error::Down))?)
    }

    /// Asks for the lease of `key` for a fill that usually takes so long.
    pub(in crate::store) async fn lease(
        &self,
        key: &str,
        usual: Option<Duration>,
        wanted: Wanted,
    ) -> Lease {
        let (connection, key) = (Arc::clone(&self.connection), Box::<str>::from(key));
        let leases = Arc::clone(&self.leases);
        let (timeout, unwanted) = (
            connection.tier.timeout(),
            (Arc::clone(&connection), key.clone()),
        );
        let taking = async move { connection.lease(&leases, &key, usual, wanted).await };
        let lease = self.runner.run_or_undo(taking, |lease: Lease| async move {
            let (connection, key) = unwanted;
            if let Some(token) = lease.into_token() {
                connection.release(&key, &token).await;
            }
        });
        let lease = match (wanted, &self.runner) {
            // A look before would have shown that the other runtime does not come to it (promise I4).
            (Wanted::UnlessStored, Runner::Elsewhere(_)) => {
                let in_time = self.lookups.within(timeout, lease).await;
                in_time.unwrap_or(Some(Lease::Unknown {
                    token: None,
                    why: Unanswered::Late,
                }))
            }
            _ => lease.await,
        };
        lease.unwrap_or(Lease::UNASKED)
    }

    /// Stores `entry`, useful for `ttl`, if the lease still stands and nothing it is tagged with was
    /// purged since; where there is no room for it, lists its key if `wishes` say so, so that memory may have it.
    pub(in crate::store) async fn put(
        &self,
        lease: &HeldLease,
        entry: &Entry,
        ttl: Duration,
        wishes: Wishes,
    ) -> Result<Put, Unanswered> {
        let (connection, stores) = (Arc::clone(&self.connection), Arc::clone(&self.stores));
        let store = lease::Store::new(lease, entry, ttl, wishes);
        let put = self
            .runner
            .run(async move { lease::put(&stores, &connection, store).await });
        Ok(put.await.unwrap_or(Err(Error::Down))?)
    }

    /// Gives a lease back, ours by this token or perhaps ours, so that another fill need not wait for its end.
    pub(in crate::store) async fn release(&self, key: &str, token: Box<str>) {
        let (connection, key) = (Arc::clone(&self.connection), Box::<str>::from(key));
        self.runner
            .run(async move { connection.release(&key, &token).await })
            .await;
    }

    /// Carries out `purge`; returns how many entries it removed or made stale.
    pub(in crate::store) async fn purge(&self, purge: &Arc<Purge>) -> Result<usize, NotPurged> {
        let (connection, purge) = (Arc::clone(&self.connection), Arc::clone(purge));
        let purged = self
            .runner
            .run(async move { connection.purge(&purge).await });
        purged.await.unwrap_or(Err(NotPurged::NotSent))
    }

    /// What its counters say; `None`: Redis cannot be asked, or does not answer.
    pub(super) async fn counters(&self) -> Option<Counters> {
        self.session()?;
        let connection = Arc::clone(&self.connection);
        let counters = self.runner.run(async move { connection.counters().await });
        counters.await?.ok()
    }

    /// How many connections its server has, and lets in; `None`: it does not say.
    pub(super) async fn server_connections(&self) -> Option<ServerConnections> {
        self.session()?;
        let connection = Arc::clone(&self.connection);
        let asking = self
            .runner
            .run(async move { connection.server_connections().await });
        asking.await?
    }

    /// Whether the connection is this runtime's own.
    fn is_own(&self) -> bool {
        self.supervisor.is_some()
    }

    /// Sends what is pending, by a connection that is this runtime's own.
    pub(super) async fn flush(&self) {
        if self.is_own() {
            let timeout = self.connection.tier.timeout();
            let _ = tokio::time::timeout(timeout, self.stores.flush()).await;
            self.connection.flush().await;
        }
    }

    /// Ends the connection, if it is this runtime's own, and its tasks.
    pub(super) async fn close(&self) {
        let Some(supervisor) = &self.supervisor else {
            return;
        };
        let connection = &self.connection;
        connection.end_session();
        let clients = connection.clients();
        let _ = tokio::time::timeout(connection.tier.timeout(), clients.plain.quit()).await;
        if let Some(supervisor) = supervisor.lock().take() {
            supervisor.abort();
        }
    }
}
