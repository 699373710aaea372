//! The drain: what it waits for, and how that hears of it.
//!
//! Each worker has one. What must not be cut short (a connection, a relay, a write) keeps a guard; the
//! drain has ended when all guards are gone.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// After the drain timeout, the longest wait for the purges of writes that it cut.
const LAST_PURGES: Duration = Duration::from_secs(2);

/// A part in one worker's drain: the drain waits until all clones are gone.
#[derive(Clone, Debug)]
pub struct Drain {
    guard: TaskTrackerToken,
    started: CancellationToken,
    forced: CancellationToken,
}

impl Default for Drain {
    fn default() -> Self {
        Drain {
            guard: TaskTracker::new().token(),
            started: CancellationToken::new(),
            forced: CancellationToken::new(),
        }
    }
}

impl Drain {
    /// Makes the drain wait, and hears nothing of it.
    pub fn guard(&self) -> TaskTrackerToken {
        self.guard.clone()
    }

    /// Whether the drain has begun. One load, since each poll of a connection asks; a
    /// [`CancellationToken`] would take its lock.
    pub fn has_started(&self) -> bool {
        self.guard.task_tracker().is_closed()
    }

    /// Returns when the drain begins.
    pub async fn started(&self) {
        self.started.cancelled().await;
    }

    /// Returns when the drain waits no longer for what takes its time.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// Begins the drain and waits for all other parts in it: at most `limit`, then, once it is forced,
    /// for the last purges.
    pub async fn finish(self, limit: Duration) {
        let Drain {
            guard,
            started,
            forced,
        } = self;
        let guards = guard.task_tracker().clone();
        drop(guard);
        // Before anyone is woken: `has_started` is what they ask.
        guards.close();
        started.cancel();
        if timeout(limit, guards.wait()).await.is_err() {
            tracing::warn!(after = ?limit, "drain timeout: requests in flight are cut");
            // Writes whose answer is not there purge before they end.
            forced.cancel();
            let _ = timeout(LAST_PURGES, guards.wait()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_guards_up_to_its_limit_and_for_the_last_purges() {
        let rows = [
            ("no guard", 0, 0),
            ("within the limit", 3, 3),
            ("cut, and purging", 11, 11),
            ("cut, and stuck", 60, 12),
        ];
        for (name, held, expected) in rows {
            let drain = Drain::default();
            let guard = drain.guard();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(held)).await;
                drop(guard);
            });
            let begun = Instant::now();
            drain.finish(LIMIT).await;
            assert_eq!(begun.elapsed().as_secs(), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_a_part_hear_of_it_and_of_its_force() {
        let drain = Drain::default();
        let part = drain.clone();
        assert!(!part.has_started());
        let heard = tokio::spawn(async move {
            part.started().await;
            assert!(part.has_started());
            let forced = timeout(LIMIT / 2, part.forced()).await;
            assert!(forced.is_err(), "not before the limit");
            part.forced().await;
        });
        let begun = Instant::now();
        drain.finish(LIMIT).await;
        assert_eq!(begun.elapsed(), LIMIT);
        heard.await.unwrap();
    }
}
