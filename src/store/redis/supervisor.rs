//! The task that keeps a connection in session: reconnects, probes, compares, sends again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::beat::Findings;
use super::clients::{Clients, Ending};
use super::connection::RedisConnection;
use super::error::Error;
use super::layouts::Presence;
use super::scope::CommandScope;
use super::{beat, lease, purge, recovery, rights, sweep, tracking, unwatch};
use crate::clock;

/// How often the layout is announced, and Redis asked whether it still holds the data it held before.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often Redis is heard within `[redis] staleness`.
const HEARD_WITHIN: u32 = 4;

/// Recoveries that may fail in a row on one connection that answers.
const STALLED: u32 = 5;

/// Connections that may follow each other at once, each of which breaks soon after it was made; further ones wait.
const SHORT_LIVED: u32 = 5;

/// One that has stood for so long was not short-lived.
const STEADY: Duration = Duration::from_secs(2);

/// The longest of those waits, unless `[redis] reconnect_max` is shorter.
const CALMED: Duration = Duration::from_millis(250);

/// From one look at a cluster that moves to the next, at least.
const MOVING: Duration = Duration::from_millis(100);

/// Starts the supervisor of `connection`; it runs until it is aborted, or fred's client ends.
pub(super) fn start(connection: &Arc<RedisConnection>) -> JoinHandle<()> {
    let clients = connection.clients();
    let supervisor = ConnectionSupervisor {
        connection: Arc::clone(connection),
        events: ClientEvents::of(connection, &clients),
        failures: 0,
        beat_at: clock::monotonic(),
        look_again_at: clock::monotonic(),
        followed_at: None,
        connected_at: clock::monotonic(),
        server: None,
        short_lived: 0,
        has_waited: false,
    };
    if connection.nodes().is_none() {
        clients.connect();
    }
    tokio::spawn(supervisor.run())
}

struct ConnectionSupervisor {
    connection: Arc<RedisConnection>,
    events: ClientEvents,
    /// Recoveries failed since the last success.
    failures: u32,
    /// When the next beat of a session is due.
    beat_at: Instant,
    /// When to look again, if Redis answers and cannot be used.
    look_again_at: Instant,
    /// In a cluster, when another node was found to have the shard.
    followed_at: Option<Instant>,
    connected_at: Instant,
    /// To which server, as far as fred has said.
    server: Option<Server>,
    /// Connections in a row that broke soon after they were made.
    short_lived: u32,
    /// Whether the last one was waited for.
    has_waited: bool,
}

/// What fred reports of a client that connects.
struct ClientEvents {
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    reconnects: Receiver<Server>,
    ending: watch::Receiver<Option<Ending>>,
    /// The task that carries out invalidations; it ends when this is dropped.
    _invalidations: JoinSet<()>,
}

impl ClientEvents {
    /// To be taken before the client connects, or a session is prepared: so nothing is missed that concerns this connection.
    fn of(connection: &Arc<RedisConnection>, clients: &Clients) -> ClientEvents {
        let client = &clients.plain;
        let mut invalidations = JoinSet::new();
        invalidations.spawn(tracking::listen(connection, client));
        ClientEvents {
            errors: client.error_rx(),
            reconnects: client.reconnect_rx(),
            ending: clients.ending(),
            _invalidations: invalidations,
        }
    }

    /// Returns when the client has ended.
    async fn ending(ending: &mut watch::Receiver<Option<Ending>>) -> Ending {
        let ended = ending.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ending| ending.clone());
        ended.unwrap_or(Ending::GivenUp)
    }
}

impl ConnectionSupervisor {
    async fn run(mut self) {
        let config = &self.connection.tier.config;
        let pause = config.breaker_probe.min(config.staleness / HEARD_WITHIN);
        let mut tick = tokio::time::interval(pause.min(HEARTBEAT));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = self.events.errors.recv() => match event {
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(_)) => self.connection.end_session(),
                    Ok((error, _)) => self.note_loss(error.into()),
                },
                event = self.events.reconnects.recv() => match event {
                    Err(RecvError::Closed) => return,
                    event => {
                        self.connection.end_session();
                        self.server = event.ok();
                        self.calm_down().await;
                        // fred calls itself connected a moment after this event.
                        tick.reset_after(Duration::from_millis(5));
                    }
                },
                ended = ClientEvents::ending(&mut self.events.ending) => self.go_on_after(ended).await,
                () = self.connection.session.woken() => {
                    self.beat_at = clock::monotonic();
                    self.connection.tier.journal.hurry();
                    self.tick().await;
                }
                _ = tick.tick() => self.tick().await,
            }
            if self.connection.tier.keys.is_first() {
                // Of all shards, so one looks.
                self.connection.tier.overview.observe();
            }
            self.connection.tier.record_soon();
        }
    }

    /// The connection broke, or another attempt to connect failed.
    fn note_loss(&mut self, error: Error) {
        let connection = &self.connection;
        let tier = &connection.tier;
        tracing::debug!(%error, "no connection to Redis");
        connection.end_session();
        tier.overview.note_error(&error);
        self.blame(&error);
        if matches!(error, Error::Cluster(_)) {
            self.look_again_at = clock::monotonic() + MOVING;
        }
        if tier.connector.lets_in_otherwise(&connection.clients()) {
            self.renew();
            if !self.connection.clients().has_ended() {
                tracing::info!("the login for Redis has changed, and is used now");
            }
        }
    }

    /// The client has ended: by itself, as it was not let in, or another connection of this runtime has given it up.
    async fn go_on_after(&mut self, ending: Ending) {
        self.connection.end_session();
        let pause = self.connection.tier.config.reconnect_max;
        if let Ending::Broken(error) = ending {
            if let Some(error) = error {
                self.note_loss(error);
            }
            tokio::time::sleep(pause).await;
        }
        if self.connection.clients().has_ended() {
            self.renew();
        }
        if self.connection.clients().has_ended() {
            // None can be made.
            tokio::time::sleep(pause).await;
        }
    }

    /// fred connects anew at once where a connection breaks that was made, and would go on so with one that breaks each time:
    /// what cuts connections, or lets nobody do anything. In a cluster other shards use the client, too.
    async fn calm_down(&mut self) {
        let now = clock::monotonic();
        let stood = now.saturating_duration_since(self.connected_at);
        self.short_lived = match stood < STEADY {
            true => self.short_lived + 1,
            false => 0,
        };
        let is_hasty = self.short_lived > SHORT_LIVED && self.connection.nodes().is_none();
        // The one that was waited for is given its chance.
        self.has_waited = is_hasty && !self.has_waited;
        if self.has_waited {
            self.connection.clients().end();
            tokio::time::sleep(CALMED.min(self.connection.tier.config.reconnect_max)).await;
            self.renew();
        }
        self.connected_at = clock::monotonic();
    }

    async fn tick(&mut self) {
        let connection = Arc::clone(&self.connection);
        let tier = &connection.tier;
        self.follow();
        if !connection.clients().plain.is_connected() {
            return self.look_for_owner().await;
        }
        let now = clock::monotonic();
        let session = connection.current_session();
        let stands = || connection.current_session() == session;
        if session.is_none() {
            if now >= self.look_again_at && tier.sessions.breaker.may_probe(now) {
                self.recover().await;
            }
            return;
        }
        let Some(heard) = self.unless_lost(tracking::hear(&connection)).await else {
            return;
        };
        match heard {
            Err(error) => return self.note_failed_beat(&error),
            Ok(took) if tier.sessions.breaker.is_open() => self.resume_after(took).await,
            Ok(_) => {}
        }
        let here = self.server.as_ref();
        if here.is_some_and(|here| tier.connector.has_replaced(here, self.connected_at)) {
            tracing::info!("the sentinels name another primary, though this one goes on");
            return self.renew();
        }
        tier.forget_what_is_untold();
        if now >= self.beat_at {
            self.beat_at = now + HEARTBEAT;
            let scope = connection.for_maintenance();
            match self
                .unless_lost(beat_with_rights(&scope, connection.presence))
                .await
            {
                None => return,
                Some(Err(error)) => return self.note_failed_beat(&error),
                Some(Ok(_)) => {}
            }
        }
        if tier.journal.take_retry(now) {
            let scope = connection.for_maintenance();
            let sent = purge::resend_failed(&scope, stands);
            if self.unless_lost(sent).await.is_none() {
                return;
            }
        }
        tier.tell_hits_if_due(now);
        let scope = connection.for_maintenance();
        lease::release_kept(&scope).await;
        if let Err(error) = unwatch::unwatch(&scope).await {
            tracing::debug!(%error, "Redis goes on watching what is not stored");
        }
        sweep::go_on(&scope).await;
    }

    /// In a cluster, goes to the node that has the shard now.
    fn follow(&mut self) {
        let Some(clients) = self.connection.find_owner() else {
            return;
        };
        let connection = &self.connection;
        connection.end_session();
        self.events = ClientEvents::of(connection, &clients);
        connection.use_clients(&clients);
        self.failures = 0;
        let now = clock::monotonic();
        let is_busy = |at: Instant| now.saturating_duration_since(at) < MOVING;
        if self.followed_at.replace(now).is_some_and(is_busy) {
            // Nodes that do not agree yet.
            self.look_again_at = now + MOVING;
        }
    }

    /// In a cluster, asks who has the shard: the node that had it cannot be reached, or does not know.
    async fn look_for_owner(&mut self) {
        let connection = Arc::clone(&self.connection);
        let Some(nodes) = connection.nodes() else {
            return;
        };
        if let Err(error) = nodes.ask().await {
            tracing::debug!(%error, "no node says who has which slot");
            connection.tier.overview.blame_unless_known(&error);
        }
        self.follow();
    }

    /// Does `work`, whose answer may never come if the connection breaks; `None`: it has, and that is noted.
    async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            event = self.events.errors.recv() => {
                match event {
                    Ok((error, _)) => self.note_loss(error.into()),
                    Err(_) => self.connection.end_session(),
                }
                None
            }
            _ = ClientEvents::ending(&mut self.events.ending) => {
                self.connection.end_session();
                None
            }
            done = work => Some(done),
        }
    }

    /// The breaker is open, though Redis answers: it is slow. Memory and the session are kept meanwhile, since Redis
    /// goes on telling of changes.
    async fn resume_after(&self, took: Duration) {
        let (connection, tier) = (&self.connection, &self.connection.tier);
        if took > tier.timeout() || !tier.sessions.breaker.may_probe(clock::monotonic()) {
            return;
        }
        let session = connection.current_session();
        let stands = || connection.current_session() == session;
        let sent = purge::resend_failed(&connection.for_maintenance(), stands).await;
        if sent.is_ok() {
            tier.resume(&connection.session);
        }
    }

    /// A beat writes, as a purge does: a Redis that refuses it takes no purges either, and is not read.
    fn note_failed_beat(&mut self, error: &Error) {
        self.connection.end_session();
        self.blame(error);
        self.connection.tier.note_moved(error);
        match error {
            Error::Timeout => self.renew(),
            // A primary that became a replica: its address may lead to the new primary by now.
            Error::ReadOnly(_) if self.connection.nodes().is_none() => self.renew(),
            Error::Cluster(_) => self.connection.tier.sessions.wake(&self.connection.session),
            _ => {}
        }
    }

    fn blame(&self, error: &Error) {
        let node = self.connection.clients().node.clone();
        self.connection.tier.overview.blame(error, node.as_ref());
    }

    async fn recover(&mut self) {
        let connection = Arc::clone(&self.connection);
        let Some(recovered) = self.unless_lost(recovery::recover(&connection)).await else {
            return;
        };
        // An event that waits means the connection just prepared may be gone.
        let undisturbed = self.events.errors.is_empty() && self.events.reconnects.is_empty();
        let ended_before = || tracing::debug!("the session with Redis was ended before it began");
        match recovered {
            Ok(endings) if undisturbed => {
                self.failures = 0;
                let connection = &self.connection;
                let begun = connection.tier.begin_session(&connection.session, endings);
                if !begun {
                    ended_before();
                }
            }
            Ok(_) => {}
            // Which is nobody's fault: what ended it is looked at next, and purges may land with that.
            Err(Error::Down) => ended_before(),
            Err(error) => {
                tracing::debug!(%error, "no session with Redis yet");
                self.blame(&error);
                self.note_failed_recovery(&error);
            }
        }
    }

    fn note_failed_recovery(&mut self, error: &Error) {
        match error {
            Error::Timeout => self.renew(),
            // The address may lead to another Redis by now.
            Error::ReadOnly(_) if self.connection.nodes().is_none() => {
                self.look_again_after_a_beat();
                self.renew();
            }
            Error::ReadOnly(_) => self.look_again_after_a_beat(),
            // Another node has the shard, or it is on its way there; the others of this node go on.
            Error::Cluster(_) | Error::NotReady(_) if self.connection.nodes().is_some() => {
                self.look_again_at = clock::monotonic() + MOVING;
                self.follow();
            }
            // Redis answers well; the connection is worth keeping.
            Error::OtherLayout(_) | Error::Void | Error::Rights(_) => {
                self.failures = 0;
                self.look_again_after_a_beat();
            }
            _ => {
                self.failures += 1;
                if self.failures >= STALLED {
                    self.renew();
                }
            }
        }
    }

    fn look_again_after_a_beat(&mut self) {
        self.look_again_at = clock::monotonic() + HEARTBEAT;
    }

    /// Connects anew, since what has not answered for so long may never do so (a partition, a write into a
    /// full socket that holds up fred's task), and does not tell what others purge.
    ///
    /// With a new client: one whose task is aborted goes on counting the commands that were queued, and
    /// holds each later one back to send it along with them.
    fn renew(&mut self) {
        tracing::debug!("connecting to Redis anew");
        self.connection.end_session();
        self.failures = 0;
        let clients = self.connection.renew_clients();
        self.events = ClientEvents::of(&self.connection, &clients);
        clients.connect();
    }
}

/// A beat, if no right is missing: one that only a purge needs would show no sooner than with the next one.
async fn beat_with_rights(scope: &CommandScope<'_>, presence: Presence) -> Result<Findings, Error> {
    rights::check(scope).await?;
    beat::beat(scope, presence).await
}
