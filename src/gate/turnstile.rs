//! The wait for a turn: at a rate, so many inside at a time, in the order of a [`Line`].
//!
//! Only who is next looks at the clock. Whoever goes, or gives up, wakes the one behind; so nothing runs while nobody
//! waits, and dropping the wait is all that cancelling takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::politeness::{Bucket, Line, Place};

/// A gate that one goes through at a time.
#[derive(Debug)]
pub(super) struct Turnstile<const CLASSES: usize>(Mutex<State<CLASSES>>);

#[derive(Debug)]
struct State<const CLASSES: usize> {
    bucket: Bucket,
    /// Of the bucket's rate, and of `room`.
    share: f64,
    /// How many may be inside at a time.
    room: usize,
    inside: usize,
    /// Nobody goes through before then.
    closed_until: Option<Instant>,
    line: Line<Arc<Notify>, CLASSES>,
}

/// What came of trying.
enum Attempt {
    Through,
    /// Not before then, or before somebody says so.
    Later(Option<Instant>),
}

impl<const CLASSES: usize> Turnstile<CLASSES> {
    pub(super) fn new(bucket: Bucket, room: usize) -> Self {
        Turnstile(Mutex::new(State {
            bucket,
            share: 1.0,
            room,
            inside: 0,
            closed_until: None,
            line: Line::default(),
        }))
    }

    /// Waits for a turn in `class`; whoever has had it owes a [`Turnstile::leave`].
    pub(super) async fn enter(&self, class: usize) {
        let (mut waiting, called) = {
            let mut state = self.0.lock();
            if state.line.is_empty()
                && let Attempt::Through = state.go(clock::monotonic())
            {
                return;
            }
            let called = Arc::new(Notify::new());
            let place = state.line.join(class, called.clone());
            let waiting = Waiting {
                turnstile: self,
                place: Some(place),
            };
            (waiting, called)
        };
        loop {
            let until = match waiting.attempt() {
                Attempt::Through => return,
                Attempt::Later(until) => until,
            };
            match until {
                None => called.notified().await,
                Some(at) => tokio::select! {
                    () = called.notified() => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                },
            }
        }
    }

    /// Goes through if nobody has to be waited for.
    pub(super) fn try_enter(&self) -> bool {
        let mut state = self.0.lock();
        state.line.is_empty() && matches!(state.go(clock::monotonic()), Attempt::Through)
    }

    /// Whoever was inside has left.
    pub(super) fn leave(&self) {
        let mut state = self.0.lock();
        state.inside = state.inside.saturating_sub(1);
        state.call_next();
    }

    /// Nobody goes through before then, or before what was said earlier. Returns whether that is later.
    pub(super) fn close_until(&self, until: Instant) -> bool {
        let mut state = self.0.lock();
        let is_later = state.closed_until.is_none_or(|closed| closed < until);
        if is_later {
            state.closed_until = Some(until);
        }
        is_later
    }

    pub(super) fn closed_until(&self) -> Option<Instant> {
        self.0.lock().closed_until
    }

    /// Goes on at this share of the rate and of the room.
    pub(super) fn slow_to(&self, share: f64) {
        let mut state = self.0.lock();
        state.share = share;
        state.call_next();
    }

    /// Goes on at another rate, with another room.
    pub(super) fn tune(&self, interval: Duration, burst: u32, room: usize) {
        let mut state = self.0.lock();
        state.bucket = state.bucket.tuned(interval, burst, clock::monotonic());
        state.room = room;
        state.call_next();
    }

    /// How many are inside, and how many wait.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.inside, state.line.len())
    }
}

impl<const CLASSES: usize> State<CLASSES> {
    /// Goes through, if it is time.
    fn go(&mut self, now: Instant) -> Attempt {
        let room = (self.room as f64 * self.share).ceil() as usize;
        if self.inside >= room.max(1) {
            return Attempt::Later(None);
        }
        if let Some(until) = self.closed_until.filter(|until| now < *until) {
            return Attempt::Later(Some(until));
        }
        match self.bucket.take(now, self.share) {
            Ok(()) => {
                self.inside += 1;
                Attempt::Through
            }
            Err(at) => Attempt::Later(Some(at)),
        }
    }

    fn call_next(&self) {
        if let Some((_, called)) = self.line.next() {
            called.notify_one();
        }
    }
}

/// A place in the line, given up when it is dropped.
struct Waiting<'t, const CLASSES: usize> {
    turnstile: &'t Turnstile<CLASSES>,
    /// `None`: the turn was taken.
    place: Option<Place>,
}

impl<const CLASSES: usize> Waiting<'_, CLASSES> {
    fn attempt(&mut self) -> Attempt {
        let mut state = self.turnstile.0.lock();
        let Some(place) = self.place else {
            return Attempt::Through;
        };
        if state.line.next().is_none_or(|(next, _)| next != place) {
            return Attempt::Later(None);
        }
        let attempt = state.go(clock::monotonic());
        if let Attempt::Through = attempt {
            self.place = None;
            state.line.take(place);
            state.call_next();
        }
        attempt
    }
}

impl<const CLASSES: usize> Drop for Waiting<'_, CLASSES> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut state = self.turnstile.0.lock();
            state.line.leave(place);
            state.call_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::pin::pin;

    use super::*;

    /// So quick that the rate stops nobody.
    fn quick(room: usize) -> Turnstile<3> {
        Turnstile::new(Bucket::new(Duration::from_nanos(1), 1000), room)
    }

    #[tokio::test]
    async fn who_waits_goes_when_somebody_leaves_the_higher_class_first() {
        let gate = quick(1);
        gate.enter(1).await;
        let (mut low, mut high) = (pin!(gate.enter(0)), pin!(gate.enter(2)));
        assert!(poll!(low.as_mut()).is_pending());
        assert!(poll!(high.as_mut()).is_pending());
        assert_eq!(gate.count(), (1, 2));
        gate.leave();
        assert!(poll!(low.as_mut()).is_pending());
        high.await;
        gate.leave();
        low.await;
        assert_eq!(gate.count(), (1, 0));
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_wakes_the_one_behind() {
        let gate = quick(1);
        gate.enter(1).await;
        let mut first = Box::pin(gate.enter(1));
        assert!(poll!(first.as_mut()).is_pending());
        let mut second = pin!(gate.enter(1));
        assert!(poll!(second.as_mut()).is_pending());
        // Called, and gone before it could go through.
        gate.leave();
        drop(first);
        second.await;
        assert_eq!(gate.count(), (1, 0));
    }

    #[tokio::test]
    async fn nobody_goes_past_those_who_wait() {
        let gate = quick(1);
        assert!(gate.try_enter());
        let mut waiting = pin!(gate.enter(0));
        assert!(poll!(waiting.as_mut()).is_pending());
        gate.leave();
        assert!(!gate.try_enter(), "it is somebody else's turn");
        waiting.await;
    }

    #[tokio::test]
    async fn closed_it_stays_until_then_and_slowed_down_there_is_room_for_one() {
        let gate = quick(4);
        let soon = clock::monotonic() + Duration::from_millis(30);
        assert!(gate.close_until(soon));
        assert!(!gate.close_until(soon - Duration::from_millis(10)));
        assert!(!gate.try_enter());
        gate.enter(0).await;
        assert!(clock::monotonic() >= soon);
        gate.slow_to(1.0 / 16.0);
        assert!(!gate.try_enter());
        gate.slow_to(0.5);
        assert!(gate.try_enter());
        assert!(!gate.try_enter());
    }

    #[tokio::test]
    async fn those_who_wait_for_the_rate_go_one_after_another() {
        let gate: Turnstile<3> = Turnstile::new(Bucket::new(Duration::from_millis(5), 1), 100);
        let start = clock::monotonic();
        tokio::join!(gate.enter(0), gate.enter(0), gate.enter(0), gate.enter(2));
        assert!(clock::monotonic() - start >= Duration::from_millis(15));
        assert_eq!(gate.count(), (4, 0));
    }
}
