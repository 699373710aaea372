//! The places for connections: a newcomer always gets one, and whoever has waited longest goes for it.
//!
//! A liveness probe that finds no place has its pod killed, so nobody may hold one by being slow: not by
//! sending a head letter by letter, nor by sending nothing, nor by not reading answers.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// All places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    taken: HashMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    /// When it connected, or was last given an answer.
    served: Instant,
    /// Whether it has shown the token, and is being answered.
    trusted: bool,
    /// Cancelled when it is to go.
    leave: CancellationToken,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    leave: CancellationToken,
    places: Places,
}

/// Held while one who has shown the token is being answered.
#[derive(Debug)]
pub(super) struct Trusted<'p>(&'p Place);

impl Places {
    /// At most `most` at a time.
    pub(super) fn new(most: usize) -> Places {
        Places(Arc::new(Shared {
            most,
            state: Mutex::default(),
        }))
    }

    /// A place for who comes now.
    pub(super) fn take(&self) -> Place {
        let mut state = self.0.state.lock();
        while state.taken.len() >= self.0.most {
            state.send_idlest_away();
        }
        state.last += 1;
        let (number, leave) = (state.last, CancellationToken::new());
        let taken = Taken {
            served: Instant::now(),
            trusted: false,
            leave: leave.clone(),
        };
        state.taken.insert(number, taken);
        Place {
            number,
            leave,
            places: self.clone(),
        }
    }
}

impl State {
    /// Those who have shown the token go last.
    fn send_idlest_away(&mut self) {
        let order = |number: u64, taken: &Taken| (taken.trusted, taken.served, number);
        let idlest = self
            .taken
            .iter()
            .min_by_key(|(number, taken)| order(**number, taken))
            .map(|(number, _)| *number);
        if let Some(taken) = idlest.and_then(|number| self.taken.remove(&number)) {
            taken.leave.cancel();
        }
    }
}

impl Place {
    /// Returns when another needs the place.
    pub(super) async fn is_needed(&self) {
        self.leave.cancelled().await;
    }

    /// An answer is made.
    pub(super) fn was_served(&self) {
        self.change(|taken| taken.served = Instant::now());
    }

    /// Who holds it has shown the token.
    pub(super) fn trust(&self) -> Trusted<'_> {
        self.change(|taken| taken.trusted = true);
        Trusted(self)
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        let mut state = self.places.0.state.lock();
        if let Some(taken) = state.taken.get_mut(&self.number) {
            change(taken);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.state.lock().taken.remove(&self.number);
    }
}

impl Drop for Trusted<'_> {
    fn drop(&mut self) {
        self.0.change(|taken| taken.trusted = false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn left(places: &[Place]) -> Vec<usize> {
        let left = |place: &Place| place.leave.is_cancelled();
        (0..places.len()).filter(|at| left(&places[*at])).collect()
    }

    async fn a_moment() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_served_least_recently_makes_room() {
        let places = Places::new(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.take());
            a_moment().await;
        }
        assert!(left(&held).is_empty());
        held[0].was_served();
        held.push(places.take());
        assert_eq!(left(&held), [1]);
        a_moment().await;
        held.push(places.take());
        assert_eq!(left(&held), [1, 2]);
        // Who left by itself leaves its place.
        drop(held.pop());
        held.push(places.take());
        assert_eq!(left(&held), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_trusted_go_last_and_even_they_make_room() {
        let places = Places::new(2);
        let held = [places.take(), places.take()];
        let first = held[0].trust();
        let third = places.take();
        assert_eq!(left(&held), [1]);
        let _third = third.trust();
        let _fourth = places.take();
        assert_eq!(left(&held), [0, 1]);
        drop(first);
    }
}
