//! How a command is sent: within which time, and whether only in a session.

use std::pin::Pin;
use std::sync::Arc;

use fred::clients::{Client, WithOptions};
use fred::types::Value;
use prometheus::Histogram;

use super::clients::{Clients, MAINTENANCE_TIMEOUT};
use super::deadlines::Deadlines;
use super::error::{EVAL, Error};
use super::lineage::Watch;
use super::scripts::{Call, Head, Reply, Script};
use super::session::SessionSlot;
use super::tier::Tier;
use crate::clock;

/// Boxed: fred's futures nest so deep that the compiler gives up on what nests them further.
type Command<'a, T> = Pin<Box<dyn Future<Output = Result<T, fred::error::Error>> + Send + 'a>>;

/// A connection's client with the limits for some commands.
pub(super) struct CommandScope<'c> {
    pub(super) tier: &'c Tier,
    session: &'c SessionSlot,
    deadlines: &'c Deadlines,
    clients: Arc<Clients>,
    limits: Limits,
}

/// What holds for the commands of a scope.
#[derive(Clone, Copy)]
pub(super) enum Limits {
    /// For requests: nothing is sent while this session is not usable, nor waited for longer than
    /// `[redis] timeout`.
    Requests,
    /// For the supervisor, which prepares the session: within [`MAINTENANCE_TIMEOUT`].
    Maintenance,
    /// For what nobody waits for: only in a session, be the breaker open or not, and nothing is made of how it ends; within
    /// [`MAINTENANCE_TIMEOUT`].
    Unawaited,
}

/// A script that may have begun a generation, as far as is known.
struct NewsUnlessAnswered<'w>(Option<&'w Watch>);

impl NewsUnlessAnswered<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for NewsUnlessAnswered<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.0 {
            watch.note_news();
        }
    }
}

impl<'c> CommandScope<'c> {
    pub(super) fn new(
        tier: &'c Tier,
        session: &'c SessionSlot,
        deadlines: &'c Deadlines,
        clients: Arc<Clients>,
        limits: Limits,
    ) -> Self {
        CommandScope {
            tier,
            session,
            deadlines,
            clients,
            limits,
        }
    }

    /// What the commands are sent by.
    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The client for commands that this scope sends.
    pub(super) fn client(&self) -> &WithOptions<Client> {
        &self.clients.unbounded
    }

    /// The client for commands that take no options.
    pub(super) fn plain_client(&self) -> &Client {
        &self.clients.plain
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
        if self.is_down() {
            return Err(Error::Down);
        }
        let start = clock::monotonic();
        let result = self.send_uncounted(command).await;
        if let Some(latency) = latency {
            latency.observe(clock::monotonic().duration_since(start).as_secs_f64());
        }
        match self.limits {
            Limits::Requests => self.tier.note_in(self.session, &result),
            Limits::Maintenance => self.tier.note(&result),
            Limits::Unawaited => {}
        }
        result
    }

    /// Sends `command` and leaves it to the caller to count its result.
    pub(super) async fn send_uncounted<T>(&self, command: Command<'_, T>) -> Result<T, Error> {
        if self.is_down() {
            return Err(Error::Down);
        }
        let timeout = self.tier.timeout();
        let longest = match self.limits {
            Limits::Requests => timeout,
            Limits::Maintenance | Limits::Unawaited => timeout.max(MAINTENANCE_TIMEOUT),
        };
        let answered = self.deadlines.within(longest, command).await;
        answered.map_or(Err(Error::Timeout), |reply| reply.map_err(Error::from))
    }

    /// Runs a script on the shard's bookkeeping, and notes the generation of it.
    pub(super) async fn run_script(
        &self,
        latency: Option<&Histogram>,
        script: Script,
        call: impl Fn() -> Call + Send,
    ) -> Result<Reply, Error> {
        // Redis tells a connection nothing of what it does itself, and watches for it no longer.
        let unanswered = NewsUnlessAnswered(Some(&self.session.generations));
        let generation = self.tier.lineage.generation();
        let reply = self.run_plain(latency, script, call).await;
        let has_broken_off = match &reply {
            Err(Error::Rights(right)) => right != EVAL,
            Err(Error::Other(_)) => script.changes_entries(),
            _ => false,
        };
        if has_broken_off {
            // It may have ended in the middle, so that what it has stored is in no index.
            self.tier.lineage.note_void(generation);
        }
        let reply = reply?;
        let reply = Reply::read(reply)
            .ok_or_else(|| Error::Other("a script's reply without a generation".to_owned()))?;
        unanswered.disarm();
        if !reply.begun.is_empty() {
            self.session.generations.note_news();
            self.tier.sessions.wake(self.session);
            self.tier.note_begun(&reply.begun);
        }
        self.tier.note_generation(reply.generation);
        Ok(reply)
    }

    /// Runs a script that looks at no bookkeeping.
    pub(super) async fn run_plain(
        &self,
        latency: Option<&Histogram>,
        script: Script,
        call: impl Fn() -> Call + Send,
    ) -> Result<Value, Error> {
        let names = self.tier.keys.names();
        let head = Head {
            prefix: &names.prefix,
            beside: &names.beside,
            generation: self.tier.lineage.generation(),
        };
        let reply = self.tier.scripts.run(self.client(), script, head, call);
        self.send(latency, reply).await
    }

    /// Redis may have forgotten what it was to tell this connection.
    pub(super) fn note_news(&self) {
        self.session.generations.note_news();
    }

    /// Whether requests may not use the connection now.
    fn is_down(&self) -> bool {
        match self.limits {
            Limits::Requests => self.tier.sessions.usable(self.session).is_none(),
            Limits::Maintenance => false,
            Limits::Unawaited => self.tier.sessions.current(self.session).is_none(),
        }
    }
}
