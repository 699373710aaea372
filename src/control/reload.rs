//! The config in force: put there, and taken back.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::switchboard::Switchboard;
use crate::config::Config;
use crate::descriptors::{Descriptors, fit};
use crate::in_flight::InFlight;
use crate::live::{Live, LiveError};
use crate::metrics::Metrics;
use crate::rollout::Evidence;
use crate::store::Store;

/// Puts configs in force.
pub struct Reloader {
    live: Arc<ArcSwap<Live>>,
    store: Store,
    in_flight: InFlight,
    metrics: Arc<Metrics>,
    descriptors: Descriptors,
    switchboard: Arc<Switchboard>,
    evidence: Arc<Mutex<Evidence>>,
    /// The config that the process was started with, which goes on counting for what only a restart changes.
    started_with: Config,
    /// The config that was in force before, while one that was reloaded is.
    previous: Mutex<Option<Config>>,
}

/// The config before is in force again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The hash of the one that was taken back.
    pub from: u64,
    /// The settings that differ from those that the process runs with and only take effect at a restart.
    pub waiting: Vec<&'static str>,
}

/// Why the config before is not put in force again.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There was none.
    #[error(
        "there is no config to go back to: this process has the one that it began with, or has gone back already"
    )]
    None,
    /// It was valid, and cannot be put to work any more.
    #[error("the config before cannot be put in force: {0}")]
    Live(#[from] LiveError),
}

impl Reloader {
    /// Nothing was put in force yet but what `live` holds.
    pub fn new(
        live: Arc<ArcSwap<Live>>,
        store: Store,
        metrics: Arc<Metrics>,
        descriptors: Descriptors,
        switchboard: Arc<Switchboard>,
        evidence: Arc<Mutex<Evidence>>,
    ) -> Reloader {
        evidence.lock().rest_on(live.load().bases());
        Reloader {
            in_flight: store.in_flight().clone(),
            started_with: live.load().config.clone(),
            live,
            store,
            metrics,
            descriptors,
            switchboard,
            evidence,
            previous: Mutex::new(None),
        }
    }

    /// Puts `config` in force for all later requests. Returns the settings that differ from those that the process
    /// runs with and only take effect at a restart.
    pub fn reload(&self, config: Config) -> Result<Vec<&'static str>, LiveError> {
        let mut previous = self.previous.lock();
        let before = self.live.load().config.clone();
        let is_other = before.hash != config.hash;
        let waiting = self.put_in_force(config)?;
        // The same text with what its files say now is no config to go back from.
        if is_other {
            *previous = Some(before);
        }
        Ok(waiting)
    }

    /// Puts the config in force that was before the last reload, until the next reload.
    pub fn roll_back(&self) -> Result<RolledBack, RollbackError> {
        self.go_back(|_| true)
    }

    /// Goes back if somebody has taken the config in force back, and there is one to go back to.
    pub fn heed_rollbacks(&self) {
        let is_taken_back = |hash| self.switchboard.is_taken_back(hash);
        if !is_taken_back(self.live.load().config.hash) {
            return;
        }
        // Another one may have been put in force since.
        match self.go_back(is_taken_back) {
            Ok(RolledBack { from, waiting }) => tracing::warn!(
                config = format!("{from:012x}"),
                ?waiting,
                "this config was taken back by a rollback: the one before is in force again"
            ),
            Err(RollbackError::None) => {}
            Err(error) => tracing::error!(%error, "a rollback elsewhere is not followed"),
        }
    }

    /// Goes back from the config in force, if it is to be gone back from by its hash.
    fn go_back(&self, is_meant: impl Fn(u64) -> bool) -> Result<RolledBack, RollbackError> {
        let mut previous = self.previous.lock();
        let in_force = self.live.load_full();
        let from = in_force.config.hash;
        let mut config = match previous.as_ref() {
            Some(previous) if is_meant(from) => previous.clone(),
            _ => return Err(RollbackError::None),
        };
        config.keep_certificates_of(&in_force.config);
        let waiting = self.put_in_force(config)?;
        *previous = None;
        Ok(RolledBack { from, waiting })
    }

    fn put_in_force(&self, mut config: Config) -> Result<Vec<&'static str>, LiveError> {
        fit(&mut config, self.descriptors);
        let old = self.live.load_full();
        let waiting = self.started_with.needs_restart(&config);
        config.hold_until_restart(&self.started_with);
        let source = old.source.clone();
        let (metrics, gates) = (&self.metrics, old.gates.clone());
        let live = Live::with_gates(config, source, metrics, &self.in_flight, gates)?;
        live.gates.tune(&live.config.upstream);
        live.keep_fetched_keys(&old);
        self.store.reload(&live.config);
        self.metrics.config_hash.set(live.config.hash as f64);
        self.switchboard.prepare(&live);
        let bases = live.bases();
        self.live.store(Arc::new(live));
        self.evidence.lock().rest_on(bases);
        // Whatever was switched between the two has turned the dials of the old one.
        self.switchboard.prepare(&self.live.load());
        Ok(waiting)
    }
}
