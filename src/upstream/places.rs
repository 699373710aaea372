//! How many connections to the app there may be: each is an open file, and over HTTP/2 one client can cause a hundred.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::BoxError;
use crate::config::Config;

/// The places for connections to the app, of all workers and all configs in force; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Places(Option<Arc<Semaphore>>);

/// One of them, until the connection is closed.
#[derive(Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "kept until it is dropped")] Option<OwnedSemaphorePermit>,
);

/// All of them were taken for too long.
#[derive(Debug, thiserror::Error)]
#[error("all connections to the app that there may be are busy")]
pub(super) struct NoPlace;

impl Places {
    /// As many as open files are counted for: one for each client, and those that are idle.
    pub fn of(config: &Config) -> Places {
        let idle = config.listen.workers * config.upstream.max_idle;
        Places::new(config.listen.max_connections.saturating_add(idle))
    }

    /// So many.
    pub fn new(count: usize) -> Places {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Places(Some(Arc::new(Semaphore::new(count))))
    }

    /// How many are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0
            .as_ref()
            .map_or(usize::MAX, |it| it.available_permits())
    }

    /// Waits for one, at most for `longest`.
    pub(super) async fn take(&self, longest: Duration) -> Result<Place, BoxError> {
        let Some(places) = &self.0 else {
            return Ok(Place(None));
        };
        // Without a timer, since there mostly is one.
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(Place(Some(place)));
        }
        let place = tokio::time::timeout(longest, Arc::clone(places).acquire_owned()).await;
        match place {
            Ok(Ok(place)) => Ok(Place(Some(place))),
            _ => Err(NoPlace.into()),
        }
    }
}
