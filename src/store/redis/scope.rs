//! A way to send commands: how long they may take, and whether they need a session.

use std::pin::Pin;
use std::sync::Arc;

use fred::clients::{Client, WithOptions};
use fred::types::Value;
use prometheus::Histogram;

use super::clients::Clients;
use super::connection::RedisConnection;
use super::error::Error;
use super::scripts::{Call, Script};
use super::tier::Tier;
use crate::clock;

/// Boxed: fred's futures nest so deep that the compiler gives up on what nests them further.
type Command<'a, T> = Pin<Box<dyn Future<Output = Result<T, fred::error::Error>> + Send + 'a>>;

/// A client with its limits.
pub(super) struct CommandScope<'l> {
    pub(super) tier: &'l Tier,
    pub(super) clients: Arc<Clients>,
    /// Nothing is sent while this connection has no session, nor waited for longer than `[redis] timeout`.
    pub(super) session_of: Option<&'l RedisConnection>,
}

impl CommandScope<'_> {
    /// For a command that this scope sends.
    pub(super) fn client(&self) -> &WithOptions<Client> {
        match self.session_of {
            Some(_) => &self.clients.for_requests,
            None => &self.clients.for_maintenance,
        }
    }

    /// Sends `command` (futures send nothing until awaited) and counts its result.
    pub(super) fn send<'a, T: 'a>(
        &'a self,
        latency: Option<&'a Histogram>,
        command: impl Future<Output = Result<T, fred::error::Error>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Error>> + Send {
        self.send_boxed(latency, Box::pin(command))
    }

    async fn send_boxed<T>(
        &self,
        latency: Option<&Histogram>,
        command: Command<'_, T>,
    ) -> Result<T, Error> {
        if self
            .session_of
            .is_some_and(|connection| connection.session().is_none())
        {
            return Err(Error::Down);
        }
        let start = clock::monotonic();
        let result = self.carry(command).await;
        if let Some(latency) = latency {
            latency.observe(clock::monotonic().duration_since(start).as_secs_f64());
        }
        self.tier.note(&result);
        result
    }

    /// Sends `command` and leaves it to the caller to count its result.
    pub(super) async fn carry<T>(&self, command: Command<'_, T>) -> Result<T, Error> {
        match self.session_of {
            None => command.await.map_err(Error::from),
            Some(connection) if connection.session().is_none() => Err(Error::Down),
            Some(connection) => {
                let answered = connection
                    .deadlines
                    .within(self.tier.timeout(), command)
                    .await;
                answered.map_or(Err(Error::Timeout), |reply| reply.map_err(Error::from))
            }
        }
    }

    /// Runs a script on a shard.
    pub(super) async fn run(
        &self,
        latency: Option<&Histogram>,
        script: Script,
        call: impl Fn() -> Call + Send,
    ) -> Result<Value, Error> {
        let reply = self.tier.scripts.run(self.client(), script, call);
        self.send(latency, reply).await
    }
}

/// A number in a script's reply; 0 for what is none.
pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
