//! What connections are made with: the settings, and how new ones are let in.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use fred::types::config::Server;

use super::clients::{Clients, Probe};
use super::overview::Overview;
use super::sentinels::Sentinels;
use crate::config::{self, RedisAccess};

/// Shared by the tiers of all shards.
pub(super) struct Connector {
    config: Arc<config::Redis>,
    /// How new connections are let in.
    access: ArcSwap<RedisAccess>,
    overview: Arc<Overview>,
    sentinels: Arc<Sentinels>,
}

impl Connector {
    pub(super) fn new(config: Arc<config::Redis>, overview: Arc<Overview>) -> Connector {
        Connector {
            access: ArcSwap::from_pointee(config.access.clone()),
            config,
            overview,
            sentinels: Arc::default(),
        }
    }

    /// fred's client, let in as it is said now, of a node of the cluster if there is one; `None` if that cannot be, which
    /// the operator is told.
    pub(super) fn make_clients(&self, node: Option<&Server>) -> Option<Clients> {
        let made = Clients::new(
            &self.config,
            self.access.load_full(),
            node,
            self.sentinels.best(),
        );
        made.inspect_err(|error| {
            tracing::error!(%error, "[redis] cannot be used");
            self.overview.blame_settings(error.diagnose());
        })
        .ok()
    }

    /// A client for one question to a node.
    pub(super) fn make_probe(&self, node: &Server) -> Option<Probe> {
        Probe::new(&self.config, &self.access.load(), node).ok()
    }

    /// Whether a new client would be let in otherwise than this one was.
    pub(super) fn lets_in_otherwise(&self, clients: &Clients) -> bool {
        clients.is_let_in_otherwise(self.access.load_full())
    }

    /// Whether the sentinels name another primary than the one that a connection leads to since then, as far as is known; they
    /// are asked again and again.
    pub(super) fn has_replaced(&self, here: &Server, since: Instant) -> bool {
        self.sentinels
            .ask_if_due(&self.config, self.access.load_full());
        self.sentinels.name_another(here, since)
    }

    /// New connections are let in as `access` says; those that stand have been let in.
    pub(super) fn take_access(&self, access: &RedisAccess) {
        self.access.store(Arc::new(access.clone()));
    }
}
