//! The task that keeps a connection in session: reconnects, probes, compares, sends again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, EventInterface};
use fred::types::ConnectHandle;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::clients::Clients;
use super::connection::RedisConnection;
use super::error::Error;
use super::{beat, purge, recovery, sweep, tracking};
use crate::clock;

/// How often the layout is announced, and Redis asked whether it still holds the data it held before.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often Redis is heard within `[redis] staleness`.
const HEARD_WITHIN: u32 = 4;

/// Recoveries that may fail in a row on one connection that answers.
const STALLED: u32 = 5;

/// Starts the supervisor of `connection`; it runs until it is aborted, or fred's client ends.
pub(super) fn start(connection: &Arc<RedisConnection>) -> JoinHandle<()> {
    let supervisor = ConnectionSupervisor {
        connection: Arc::clone(connection),
        events: ClientEvents::connect(connection, &connection.clients()),
        failures: 0,
        beat_at: clock::monotonic(),
        look_again_at: clock::monotonic(),
    };
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
}

/// What fred reports of a client that connects.
struct ClientEvents {
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    reconnects: Receiver<Server>,
    /// The client's own task.
    client: ConnectHandle,
    /// The task that carries out invalidations; it ends when this is dropped.
    _invalidations: JoinSet<()>,
}

impl ClientEvents {
    fn connect(connection: &Arc<RedisConnection>, clients: &Clients) -> ClientEvents {
        let client = &clients.plain;
        // All subscribe before the connection begins, so that they miss nothing.
        let mut invalidations = JoinSet::new();
        invalidations.spawn(tracking::listen(connection, client));
        ClientEvents {
            errors: client.error_rx(),
            reconnects: client.reconnect_rx(),
            client: client.connect(),
            _invalidations: invalidations,
        }
    }
}

impl Drop for ClientEvents {
    fn drop(&mut self) {
        self.client.abort();
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
                    Ok((error, _)) => self.note_loss(error),
                },
                event = self.events.reconnects.recv() => match event {
                    Err(RecvError::Closed) => return,
                    _ => {
                        self.connection.end_session();
                        // fred calls itself connected a moment after this event.
                        tick.reset_after(Duration::from_millis(5));
                    }
                },
                ended = &mut self.events.client => {
                    self.connection.end_session();
                    if let Ok(Err(error)) = ended {
                        self.note_loss(error);
                    }
                    tokio::time::sleep(self.connection.tier.config.reconnect_max).await;
                    self.renew();
                },
                () = self.connection.session.woken() => {
                    self.beat_at = clock::monotonic();
                    self.connection.tier.journal.hurry();
                    self.tick().await;
                }
                _ = tick.tick() => self.tick().await,
            }
            self.connection.tier.observe();
            self.connection.tier.record_soon();
        }
    }

    /// The connection broke, or another attempt to connect failed.
    fn note_loss(&mut self, error: fred::error::Error) {
        let (connection, error) = (&self.connection, error.into());
        tracing::debug!(%error, "no connection to Redis");
        connection.end_session();
        connection.tier.note_error(&error);
        connection.tier.blame(&error);
        if connection.tier.lets_in_otherwise(&connection.clients()) {
            tracing::info!("the login for Redis has changed, and is used now");
            self.renew();
        }
    }

    async fn tick(&mut self) {
        let connection = Arc::clone(&self.connection);
        let tier = &connection.tier;
        tier.metrics
            .redis_pending_purges
            .set(tier.journal.failed_count() as i64);
        if !connection.clients().plain.is_connected() {
            return;
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
        tier.forget_what_is_untold();
        if now >= self.beat_at {
            self.beat_at = now + HEARTBEAT;
            let scope = connection.for_maintenance();
            match self
                .unless_lost(beat::beat(&scope, connection.presence))
                .await
            {
                None => return,
                Some(Err(error)) => return self.note_failed_beat(&error),
                Some(Ok(_)) => {}
            }
        }
        if tier.journal.take_retry(now) {
            let _ = purge::resend_failed(&connection.for_maintenance(), stands).await;
        }
        tier.tell_hits_if_due(now);
        sweep::go_on(&connection.for_maintenance()).await;
    }

    /// Does `work`, whose answer may never come if the connection breaks; `None`: it has, and that is noted.
    async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            event = self.events.errors.recv() => {
                match event {
                    Ok((error, _)) => self.note_loss(error),
                    Err(_) => self.connection.end_session(),
                }
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
        self.connection.tier.blame(error);
        match error {
            // A primary that became a replica: its address may lead to the new primary by now.
            Error::Timeout | Error::ReadOnly(_) => self.renew(),
            _ => {}
        }
    }

    async fn recover(&mut self) {
        let connection = Arc::clone(&self.connection);
        let Some(recovered) = self.unless_lost(recovery::recover(&connection)).await else {
            return;
        };
        // An event that waits means the connection just prepared may be gone.
        let undisturbed = self.events.errors.is_empty() && self.events.reconnects.is_empty();
        match recovered {
            Ok(endings) if undisturbed => {
                self.failures = 0;
                let connection = &self.connection;
                let begun = connection.tier.begin_session(&connection.session, endings);
                if !begun {
                    tracing::debug!("the session with Redis was ended before it began");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "no session with Redis yet");
                self.connection.tier.blame(&error);
                self.note_failed_recovery(&error);
            }
        }
    }

    fn note_failed_recovery(&mut self, error: &Error) {
        match error {
            Error::Timeout => self.renew(),
            // The address may lead to another Redis by now.
            Error::ReadOnly(_) => {
                self.look_again_after_a_beat();
                self.renew();
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
        self.events = ClientEvents::connect(&self.connection, &self.connection.renew_clients());
    }
}
