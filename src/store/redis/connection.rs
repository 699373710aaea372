//! One runtime's connection, and the commands a request needs of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use fred::interfaces::ClientLike;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::clients::Clients;
use super::deadlines::Deadlines;
use super::error::Error;
use super::lookups::Lookups;
use super::scope::CommandScope;
use super::tier::{Session, Tier};
use super::{RedisStatus, supervisor};
use crate::clock;
use crate::entry::{Entry, codec};
use crate::store::Unanswered;

/// A runtime's connection.
pub(in crate::store) struct RedisConnection {
    pub(super) tier: Arc<Tier>,
    /// Replaced by the supervisor when a connection is given up.
    clients: ArcSwap<Clients>,
    pub(super) deadlines: Deadlines,
    lookups: Lookups,
    /// The number of the session; 0: none.
    session: AtomicU64,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl RedisConnection {
    /// Connects in the background; `None` if the settings allow no connection.
    pub(in crate::store) fn attach(tier: Arc<Tier>) -> Option<Arc<RedisConnection>> {
        let clients = Clients::new(tier.settings.as_ref()?, &tier.config)
            .inspect_err(|error| tracing::error!(%error, "[redis] cannot be used"))
            .ok()?;
        let (lookups, carrier) = Lookups::new();
        let connection = Arc::new(RedisConnection {
            clients: ArcSwap::from_pointee(clients),
            deadlines: Deadlines::default(),
            lookups,
            tier,
            session: AtomicU64::new(0),
            supervisor: Mutex::new(None),
        });
        *connection.supervisor.lock() = Some(supervisor::keep(&connection));
        tokio::spawn(carrier.run(Arc::downgrade(&connection)));
        connection
            .tier
            .attached
            .lock()
            .push(Arc::downgrade(&connection));
        Some(connection)
    }

    /// The session, unless the circuit breaker is open: whether requests may use Redis.
    pub(in crate::store) fn session(&self) -> Option<Session> {
        self.tracking().filter(|_| !self.tier.is_open())
    }

    /// The session in which Redis tells this connection what changes.
    pub(super) fn tracking(&self) -> Option<Session> {
        let session = Session(self.session.load(Ordering::Acquire));
        (!self.tier.is_void(session)).then_some(session)
    }

    pub(super) fn set_session(&self, session: Option<Session>) {
        let number = session.map_or(0, |session| session.0);
        self.session.store(number, Ordering::Release);
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        self.clients.load_full()
    }

    /// A client in place of the one before, and without anything of it; not connected yet.
    pub(super) fn renew(&self) -> Arc<Clients> {
        let settings = self.tier.settings.as_ref();
        match settings.map(|settings| Clients::new(settings, &self.tier.config)) {
            Some(Ok(clients)) => self.clients.store(Arc::new(clients)),
            // They made the one before.
            Some(Err(error)) => tracing::error!(%error, "[redis] cannot be used"),
            None => {}
        }
        self.clients()
    }

    /// For requests: as quick as the config says, and only within a session.
    pub(super) fn for_requests(&self) -> CommandScope<'_> {
        CommandScope {
            tier: &self.tier,
            clients: self.clients(),
            session_of: Some(self),
        }
    }

    /// For the supervisor, which makes the session.
    pub(super) fn for_maintenance(&self) -> CommandScope<'_> {
        CommandScope {
            tier: &self.tier,
            clients: self.clients(),
            session_of: None,
        }
    }

    /// The entry under `key`. What does not decode is removed.
    pub(in crate::store) async fn get(&self, key: &str) -> Result<Option<Entry>, Unanswered> {
        let Tier { keys, latency, .. } = &*self.tier;
        if self.session().is_none() {
            return Err(Unanswered);
        }
        let start = clock::monotonic();
        let found = self.lookups.find(keys.shard_number(key), keys.entry(key));
        let found = found.await;
        let took = clock::monotonic().duration_since(start);
        latency.get.observe(took.as_secs_f64());
        self.tier.note(&found);
        let decoded = match found {
            Ok(bytes) => bytes.map(|bytes| codec::decode(&bytes)),
            Err(Error::WrongType(_)) => Some(Err(codec::DecodeError::Version)),
            Err(_) => return Err(Unanswered),
        };
        match decoded {
            None => Ok(None),
            Some(Ok(entry)) => Ok(Some(entry)),
            Some(Err(error)) => {
                self.undecodable(key, error);
                // Whether it works or not, this is a miss.
                let scope = self.for_requests();
                let _ = scope.remove(keys.shard(key), vec![key.into()]).await;
                Ok(None)
            }
        }
    }

    /// Counts an entry that is none.
    pub(super) fn undecodable(&self, key: &str, error: codec::DecodeError) {
        let kind = self
            .tier
            .metrics
            .redis_errors
            .with_label_values(&["undecodable"]);
        kind.inc();
        tracing::warn!(key, %error, "removed an entry from Redis");
    }

    /// What is known of Redis, and what its counters say by priority.
    pub(in crate::store) async fn status(&self) -> (RedisStatus, Counters) {
        let counters = match self.session() {
            Some(_) => self.counters().await.unwrap_or_default(),
            None => Counters::default(),
        };
        let bytes = counters.bytes.iter().sum::<u64>() + counters.leases;
        let status = RedisStatus {
            nearly_full: bytes >= self.tier.evict_at,
            up: self
                .tier
                .links()
                .all(|connection| connection.session().is_some()),
            tracking: self
                .tier
                .links()
                .all(|connection| connection.tracking().is_some()),
            bytes,
            entries: counters.entries.iter().sum(),
            ..self.tier.status()
        };
        (status, counters)
    }

    /// Sends what is pending, then ends the connection and its tasks.
    pub(in crate::store) async fn close(&self) {
        if self.session().is_some() {
            let _ = self.send_failed(&self.for_requests()).await;
        }
        self.set_session(None);
        let clients = self.clients();
        let _ = tokio::time::timeout(self.tier.timeout(), clients.plain.quit()).await;
        if let Some(supervisor) = self.supervisor.lock().take() {
            supervisor.abort();
        }
    }
}

impl Tier {
    /// The links of all runtimes.
    fn links(&self) -> impl Iterator<Item = Arc<RedisConnection>> {
        let links: Vec<_> = self
            .attached
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        links.into_iter()
    }

    /// What is known without asking.
    pub(in crate::store) fn status(&self) -> RedisStatus {
        RedisStatus {
            max: self.budget,
            pending_purges: self.journal.failed_count(),
            last_error: self.last_error(),
            ..RedisStatus::default()
        }
    }
}

/// The counters in Redis, by [`crate::entry::Priority::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Counters {
    pub(in crate::store) bytes: [u64; 3],
    pub(in crate::store) entries: [u64; 3],
    pub(in crate::store) leases: u64,
}
