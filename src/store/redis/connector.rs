//! What connections are made with: the settings, and how new ones are let in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fred::types::config::Server;
use parking_lot::Mutex;

use super::clients::{Clients, Probe};
use super::overview::Overview;
use super::sentinels::Sentinels;
use crate::clock;
use crate::config::{self, RedisAccess};

/// Shared by the tiers of all shards.
pub(super) struct Connector {
    config: Arc<config::Redis>,
    /// How new connections are let in.
    access: ArcSwap<RedisAccess>,
    overview: Arc<Overview>,
    sentinels: Arc<Sentinels>,
    complaint: Complaint,
}

/// What the operator was told last of why no client can be made, and when: each attempt finds the same.
#[derive(Default)]
struct Complaint(Mutex<Option<(String, Instant)>>);

impl Complaint {
    /// From one to the next of the same words, at least.
    const REMINDER: Duration = Duration::from_secs(60);

    /// Whether it is to be told; then it counts as told.
    fn is_due(&self, words: String, now: Instant) -> bool {
        let mut told = self.0.lock();
        let is_told = told.as_ref().is_some_and(|(last, at)| {
            *last == words && now.saturating_duration_since(*at) < Complaint::REMINDER
        });
        if !is_told {
            *told = Some((words, now));
        }
        !is_told
    }
}

impl Connector {
    pub(super) fn new(config: Arc<config::Redis>, overview: Arc<Overview>) -> Connector {
        Connector {
            access: ArcSwap::from_pointee(config.access.clone()),
            config,
            overview,
            sentinels: Arc::default(),
            complaint: Complaint::default(),
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
            if self.complaint.is_due(error.to_string(), clock::monotonic()) {
                tracing::error!(%error, "[redis] cannot be used");
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_told_once_then_each_minute() {
        let (complaint, start) = (Complaint::default(), clock::monotonic());
        for (after, words, is_due) in [
            (0, "gone", true),
            (1, "gone", false),
            (59, "gone", false),
            (60, "gone", true),
            (61, "gone", false),
            (62, "another", true),
            (63, "another", false),
        ] {
            let now = start + Duration::from_secs(after);
            assert_eq!(complaint.is_due(words.to_owned(), now), is_due, "{after}");
        }
    }
}
