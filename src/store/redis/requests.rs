//! What requests ask of Redis beside lookups, on the runtime that has the connection: sent, and believed only if the
//! session in which it was asked still stands.

use bytes::Bytes;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{InfoKind, Value};
use std::sync::Arc;
use std::time::Duration;

use super::connection::RedisConnection;
use super::error::Error;
use super::journal_file::Outlives;
use super::lease::{self, Lease, Wanted};
use super::leases::Leases;
use super::server_limits::ServerConnections;
use super::usage::Counters;
use super::{beat, purge};
use crate::routes::Purge;

/// Why a purge is not known to have landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum NotPurged {
    /// There was no session, or it has ended: the next one may be there soon.
    NotSent,
    /// Redis refused it, or did not answer in time.
    Refused,
}

impl RedisConnection {
    /// Asks for the lease of `key` for a fill that usually takes so long. Neither the lease nor the entry that
    /// came with it is used if the session has ended meanwhile.
    pub(super) async fn lease(
        self: &Arc<Self>,
        leases: &Arc<Leases>,
        key: &str,
        usual: Option<Duration>,
        wanted: Wanted,
    ) -> Lease {
        let Some(session) = self.usable_session() else {
            return Lease::UNASKED;
        };
        let lease = leases.take(self, key, usual, wanted).await;
        if wanted == Wanted::UnlessStored && matches!(lease, Lease::Taken(_) | Lease::Full) {
            // As after a look that found nothing: Redis tells of the key as long as nobody says otherwise.
            self.tier.unstored.note(key);
        }
        match self.stands(session) {
            true => lease,
            false => lease.distrust(),
        }
    }

    /// Gives a lease back.
    pub(super) async fn release(&self, key: &str, token: &str) {
        lease::release_token(&self.for_requests(), key, token).await;
    }

    /// Carries out `purge`; returns how many entries it removed or made stale. A purge whose session has
    /// ended meanwhile fails: it has to be sent again in the next one.
    pub(super) async fn purge(&self, purge: &Purge) -> Result<usize, NotPurged> {
        let session = self.usable_session().ok_or(NotPurged::NotSent)?;
        let removed = purge::purge(&self.for_requests(), purge).await;
        match removed {
            Ok(removed) if self.stands(session) => Ok(removed),
            Ok(_) | Err(Error::Down | Error::Connection(_)) => Err(NotPurged::NotSent),
            Err(_) => Err(NotPurged::Refused),
        }
    }

    /// Removes what is stored under `key`, which does not decode.
    pub(super) async fn remove(&self, key: &str) -> Result<(), Error> {
        let scope = self.for_requests();
        let removed = purge::remove_keys(&scope, vec![key.into()]);
        removed.await.map(|_| ())
    }

    /// Has Redis tell this connection when any of these is written, by others.
    pub(super) async fn watch(&self, names: Vec<String>) -> Result<(), Error> {
        let scope = self.for_requests();
        let command = scope.client().mget::<Vec<Option<Bytes>>, _>(names);
        scope.send(None, command).await.map(|_| ())
    }

    /// Sends a command about `name`, and leaves it to the caller to count its result.
    pub(super) async fn send(
        &self,
        command: fred::types::CustomCommand,
        words: Vec<Value>,
    ) -> Result<Value, Error> {
        use fred::interfaces::ClientLike;
        let scope = self.for_requests();
        let sent = scope.client().custom(command, words);
        scope.send_uncounted(Box::pin(sent)).await
    }

    /// The counters of the shard.
    pub(super) async fn counters(&self) -> Result<Counters, Error> {
        beat::read_counters(&self.for_requests(), self.presence).await
    }

    /// How many connections the server has, and lets in.
    pub(super) async fn server_connections(&self) -> Option<ServerConnections> {
        let clients = self.clients();
        let asking = clients.bounded.info(Some(InfoKind::Clients));
        let answer = tokio::time::timeout(self.tier.timeout(), asking).await;
        let info: String = answer.ok()?.ok()?;
        ServerConnections::read(&info)
    }

    /// Sends what is pending.
    pub(super) async fn flush(&self) {
        if let Some(session) = self.usable_session() {
            let stands = || self.stands(session);
            let _ = purge::resend_failed(&self.for_requests(), stands).await;
        }
        self.tier.record(Outlives::Machine).await;
    }
}
