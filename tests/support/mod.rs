//! What the tests share: an app to script, a client, waiting without sleeping.

#![allow(
    dead_code,
    reason = "a toolbox: not every part is in use at every time"
)]

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod http2;
pub(crate) mod ports;
pub(crate) mod raw_app;
pub(crate) mod raw_client;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinels;
pub(crate) mod relay;
pub(crate) mod sidecar;
pub(crate) mod slow_line;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::future::Future;
use std::time::Duration;

use pannier::clock;
use tokio::sync::watch;

/// Waits until `check` is true; fails the test after `timeout`.
pub(crate) async fn eventually<F, T>(what: &str, timeout: Duration, mut check: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let started = clock::monotonic();
    while !check().await {
        let waited = clock::monotonic().duration_since(started);
        assert!(waited < timeout, "not within {timeout:?}: {what}");
        // Checks cost something too: of a long wait a tenth more.
        let pause = (waited / 10).clamp(Duration::from_millis(5), Duration::from_millis(50));
        tokio::time::sleep(pause).await;
    }
}

/// Holds an answer back until the test lets it go; clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// Shut.
    pub(crate) fn new() -> Gate {
        Gate {
            open: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }

    /// Lets all through, now and later.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Holds back who comes from now on.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Waits until `count` have come to the gate since it was made.
    pub(crate) async fn reached(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let arrived = waiting.wait_for(|arrived| *arrived >= count);
        tokio::time::timeout(Duration::from_secs(30), arrived)
            .await
            .unwrap_or_else(|_| panic!("{count} did not come to the gate"))
            .expect("the sender is ours");
    }

    /// What the app does: comes to the gate and waits until it is open.
    pub(crate) async fn pass(&self) {
        self.waiting.send_modify(|arrived| *arrived += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open)
            .await
            .expect("the sender is ours");
    }
}
