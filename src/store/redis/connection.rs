//! One connection, on the runtime that has it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::clients::Clients;
use super::deadlines::Deadlines;
use super::layouts::Presence;
use super::nodes::NodePool;
use super::purpose::{self, Purpose};
use super::scope::{CommandScope, Limits};
use super::session::{Session, SessionSlot};
use super::tier::Tier;

/// A connection: fred's client, and the session it has with Redis.
pub(super) struct RedisConnection {
    pub(super) tier: Arc<Tier>,
    /// Replaced by the supervisor when a connection is given up.
    clients: ArcSwap<Clients>,
    /// Of a cluster, as the runtime is connected to it.
    nodes: Option<Arc<NodePool>>,
    deadlines: Deadlines,
    pub(super) session: Arc<SessionSlot>,
    pub(super) presence: Presence,
    purpose: Purpose,
}

impl RedisConnection {
    /// Not connected yet; `None` if the settings allow no connection.
    pub(super) fn new(
        tier: Arc<Tier>,
        presence: Presence,
        purpose: Purpose,
        nodes: Option<Arc<NodePool>>,
    ) -> Option<RedisConnection> {
        let clients = match &nodes {
            Some(nodes) => nodes.unconnected(),
            None => Arc::new(tier.connector.make_clients(None)?),
        };
        Some(RedisConnection {
            clients: ArcSwap::new(clients),
            nodes,
            deadlines: Deadlines::default(),
            session: tier.sessions.add_slot(),
            tier,
            presence,
            purpose,
        })
    }

    /// The session, unless the circuit breaker is open: whether requests may use Redis.
    pub(super) fn usable_session(&self) -> Option<Session> {
        self.tier.sessions.usable(&self.session)
    }

    /// The session in which Redis tells this connection what changes.
    pub(super) fn current_session(&self) -> Option<Session> {
        self.tier.sessions.current(&self.session)
    }

    /// Whether `session` has not ended; an open breaker does not end it.
    pub(super) fn stands(&self, session: Session) -> bool {
        self.current_session() == Some(session)
    }

    pub(super) fn end_session(&self) {
        self.tier.sessions.end(&self.session);
    }

    /// Whether it is the one that does what one connection of a process is to do.
    pub(super) fn is_for_upkeep(&self) -> bool {
        self.purpose == Purpose::Upkeep
    }

    /// How Redis's operator sees it.
    pub(super) fn name(&self) -> String {
        purpose::client_name(self.purpose)
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        self.clients.load_full()
    }

    /// Of a cluster, the nodes.
    pub(super) fn nodes(&self) -> Option<&NodePool> {
        self.nodes.as_deref()
    }

    /// Replaces the client by a new one, which has nothing of the old one's state, and may not be connected yet. In a cluster
    /// it is that of the node that has the shard, and the old one is given up by all that use it. The session has ended.
    pub(super) fn renew_clients(&self) -> Arc<Clients> {
        self.clients.load().end();
        let renewed = match &self.nodes {
            Some(nodes) => nodes.connect_to(self.tier.number),
            None => self.tier.connector.make_clients(None).map(Arc::new),
        };
        if let Some(clients) = renewed {
            self.clients.store(clients);
        }
        self.clients()
    }

    /// In a cluster, the client of the node that has the shard now, if that is another one than this connection has.
    pub(super) fn find_owner(&self) -> Option<Arc<Clients>> {
        let clients = self.nodes.as_ref()?.connect_to(self.tier.number)?;
        (!Arc::ptr_eq(&clients, &self.clients.load())).then_some(clients)
    }

    /// Leads to another node from now on. The session has ended.
    pub(super) fn use_clients(&self, clients: &Arc<Clients>) {
        self.clients.store(Arc::clone(clients));
    }

    /// What comes of `work` within the time that a command has.
    pub(super) async fn within_timeout<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.deadlines.within(self.tier.timeout(), work).await
    }

    /// For the commands of requests: within `[redis] timeout`, and only while a session is usable.
    pub(super) fn for_requests(&self) -> CommandScope<'_> {
        self.scope(Limits::Requests)
    }

    /// For the commands that nobody waits for.
    pub(super) fn for_unawaited(&self) -> CommandScope<'_> {
        self.scope(Limits::Unawaited)
    }

    /// For the supervisor's own commands, which need no session.
    pub(super) fn for_maintenance(&self) -> CommandScope<'_> {
        self.scope(Limits::Maintenance)
    }

    fn scope(&self, limits: Limits) -> CommandScope<'_> {
        CommandScope::new(
            &self.tier,
            &self.session,
            &self.deadlines,
            self.clients(),
            limits,
        )
    }
}
