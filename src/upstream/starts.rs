//! How many requests to the app a worker starts before it looks after its clients again.
//!
//! tokio runs what is ready in the order in which it became so. Where a crowd asks at once for what is not stored, a
//! hit that comes then would wait until each of them has been started, and to start one costs ten times a
//! hit if a connection has to be opened for it. So few are started in a turn, and the next few after all that has
//! become ready meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Starts in one turn of the runtime.
const IN_A_TURN: usize = 4;

/// The starts of one worker; clones share the turn.
#[derive(Clone, Debug)]
pub(super) struct Starts(Arc<Turn>);

#[derive(Debug)]
struct Turn {
    /// What may still be started.
    places: Semaphore,
    started: AtomicUsize,
}

impl Default for Starts {
    fn default() -> Starts {
        Starts(Arc::new(Turn {
            places: Semaphore::new(IN_A_TURN),
            started: AtomicUsize::new(0),
        }))
    }
}

impl Starts {
    /// Returns when a request may be started, in the order of asking.
    pub(super) async fn next(&self) {
        // It is never closed.
        if let Ok(place) = self.0.places.acquire().await {
            place.forget();
        }
        let started = self.0.started.fetch_add(1, Ordering::Relaxed) + 1;
        if started.is_multiple_of(IN_A_TURN) {
            let turn = self.0.clone();
            tokio::spawn(async move {
                // Until sockets have been looked at.
                yield_now().await;
                turn.places.add_permits(IN_A_TURN);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn few_start_before_what_else_is_ready() {
        let (starts, count) = (Starts::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 * IN_A_TURN {
            let (starts, count) = (starts.clone(), count.clone());
            tokio::spawn(async move {
                starts.next().await;
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        let (mut before, mut turns) = (0, 0);
        while before < 10 * IN_A_TURN {
            yield_now().await;
            let now = count.load(Ordering::Relaxed);
            assert!(now - before <= IN_A_TURN, "{before}, then {now}");
            (before, turns) = (now, turns + 1);
        }
        assert!(turns >= 10);
    }

    #[tokio::test]
    async fn who_waits_no_longer_leaves_its_place_to_the_next() {
        let starts = Starts::default();
        for _ in 0..IN_A_TURN {
            starts.next().now_or_never().expect("nobody was before it");
        }
        let mut gone = Box::pin(starts.next());
        assert!(gone.as_mut().now_or_never().is_none());
        yield_now().await;
        yield_now().await;
        // It has been given a place, and does not take it.
        drop(gone);
        for _ in 0..IN_A_TURN {
            starts.next().now_or_never().expect("a new turn");
        }
    }
}
