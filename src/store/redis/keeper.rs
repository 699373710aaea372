//! The task that keeps a link in session: reconnects, probes, compares, sends again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, EventInterface};
use fred::types::ConnectHandle;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::link::Link;
use crate::clock;

/// How often a session asks whether Redis still holds the data it knew.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Recoveries that may fail in a row on one connection.
const STALLED: u32 = 5;

/// Runs until the link is closed.
pub(super) fn keep(link: &Arc<Link>) -> JoinHandle<()> {
    let errors = link.client.error_rx();
    let reconnects = link.client.reconnect_rx();
    let keeper = Keeper {
        link: Arc::clone(link),
        errors,
        reconnects,
        connection: link.client.connect(),
        failures: 0,
        beat_at: clock::monotonic(),
    };
    tokio::spawn(keeper.run())
}

struct Keeper {
    link: Arc<Link>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    reconnects: Receiver<Server>,
    connection: ConnectHandle,
    /// Recoveries failed since the last success.
    failures: u32,
    beat_at: Instant,
}

impl Keeper {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(self.link.tier.config.breaker_probe);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = self.errors.recv() => match event {
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(_)) => self.link.set_session(None),
                    Ok((error, _)) => self.lost(error),
                },
                event = self.reconnects.recv() => match event {
                    Err(RecvError::Closed) => return,
                    _ => {
                        self.link.set_session(None);
                        // fred calls itself connected a moment after this event.
                        tick.reset_after(Duration::from_millis(5));
                    }
                },
                ended = &mut self.connection => {
                    self.link.set_session(None);
                    if let Ok(Err(error)) = ended {
                        self.link.tier.count(&error.into());
                    }
                    tokio::time::sleep(self.link.tier.config.reconnect_max).await;
                    self.connection = self.link.client.connect();
                },
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    /// The connection broke, or another attempt to connect failed.
    fn lost(&self, error: fred::error::Error) {
        if self.link.tracking().is_some() {
            tracing::warn!(%error, "lost the connection to Redis");
        }
        self.link.set_session(None);
        self.link.tier.count(&error.into());
    }

    async fn tick(&mut self) {
        let link = Arc::clone(&self.link);
        let tier = &link.tier;
        tier.metrics
            .redis_pending_purges
            .set(tier.journal.failed_count() as i64);
        if !link.client.is_connected() {
            return;
        }
        if link.session().is_none() {
            if tier.may_probe() {
                self.recover().await;
            }
            return;
        }
        let now = clock::monotonic();
        if now >= self.beat_at {
            self.beat_at = now + HEARTBEAT;
            // An error is counted; whether it ends the session is the breaker's or fred's decision.
            let _ = link.beat(&link.patient()).await;
        }
        if tier.journal.retry_due(now) {
            let _ = link.send_failed(&link.patient()).await;
        }
    }

    async fn recover(&mut self) {
        let recovered = self.link.recover().await;
        // An event that waits means the connection just prepared may be gone.
        let undisturbed = self.errors.is_empty() && self.reconnects.is_empty();
        match recovered {
            Ok(()) if undisturbed => {
                self.failures = 0;
                self.link.tier.begin_session(&self.link);
            }
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "no session with Redis yet");
                self.failures += 1;
            }
        }
        // A write into a full socket can hold up fred's task for ever.
        if self.failures >= STALLED {
            self.failures = 0;
            self.connection.abort();
            self.connection = self.link.client.connect();
        }
    }
}
