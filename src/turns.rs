//! How much of a crowd's work is begun before a worker looks after its other clients again.
//!
//! tokio runs what is ready in the order in which it became so. Where a crowd asks at once for what is not stored, a
//! hit that comes then would wait for all that each of them has ready: a stream to begin, a connection to open, bytes to
//! read, each of which costs several hits. So few of these are done in a turn of the runtime, and the next few after all
//! that has become ready meanwhile, in the order of asking.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::task::yield_now;

/// The turns of one runtime, for work of one kind; clones share them.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places_in_a_turn: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The present turn's; from 1.
    number: u64,
    /// Places of the present turn.
    left: usize,
    waiting: VecDeque<Arc<Ticket>>,
    /// Whether a next turn is under way: it is while no place is left or anybody waits.
    is_turning: bool,
}

/// Of one who waits. It is called, and may stay away: its place lapses with the turn.
#[derive(Debug, Default)]
struct Ticket {
    /// The turn that it has a place in; 0: it has not been called.
    called_in: AtomicU64,
    waker: AtomicWaker,
}

/// One who does such work again and again, by polls.
#[derive(Debug)]
pub struct Visitor {
    turns: Turns,
    ticket: Option<Arc<Ticket>>,
}

/// A place in a turn. Dropped, it is another's, unless its owner had waited for it.
#[derive(Debug)]
pub struct Place<'a> {
    /// Where it is to be counted; `None`: it was, when it was given to one who had waited.
    uncounted: Option<&'a Turns>,
}

impl Turns {
    /// So many places in a turn; at least one.
    pub fn new(places_in_a_turn: usize) -> Turns {
        let places_in_a_turn = places_in_a_turn.max(1);
        Turns(Arc::new(Shared {
            places_in_a_turn,
            state: Mutex::new(State {
                number: 1,
                left: places_in_a_turn,
                waiting: VecDeque::new(),
                is_turning: false,
            }),
        }))
    }

    /// Returns when it has taken a place.
    pub async fn next(&self) {
        let mut visitor = self.visitor();
        poll_fn(|cx| visitor.poll_place(cx).map(Place::take)).await;
    }

    /// One who waits for its places by polls.
    pub fn visitor(&self) -> Visitor {
        Visitor {
            turns: self.clone(),
            ticket: None,
        }
    }

    fn take(&self) {
        let mut state = self.0.state.lock();
        state.left = state.left.saturating_sub(1);
        if state.left == 0 && !std::mem::replace(&mut state.is_turning, true) {
            drop(state);
            tokio::spawn(Turning(self.clone()).go_on());
        }
    }
}

/// Goes from turn to turn. Dropped with its runtime it leaves nobody waiting.
struct Turning(Turns);

impl Turning {
    async fn go_on(self) {
        loop {
            // Until sockets have been looked at.
            yield_now().await;
            if !self.call_next() {
                return;
            }
        }
    }

    /// A new turn; whether there has to be another.
    fn call_next(&self) -> bool {
        let places = self.0.0.places_in_a_turn;
        let mut state = self.0.0.state.lock();
        state.number += 1;
        let (number, mut left) = (state.number, places);
        while left > 0
            && let Some(ticket) = state.waiting.pop_front()
        {
            left -= usize::from(ticket.call(number));
        }
        state.left = left;
        state.is_turning = left == 0;
        state.is_turning
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock();
        if std::mem::take(&mut state.is_turning) {
            state.left = self.0.0.places_in_a_turn;
            let number = state.number;
            for ticket in state.waiting.drain(..) {
                ticket.call(number);
            }
        }
    }
}

impl Ticket {
    /// Whether anybody still waits with it.
    fn call(self: Arc<Ticket>, number: u64) -> bool {
        self.called_in.store(number, Ordering::Release);
        self.waker.wake();
        Arc::strong_count(&self) > 1
    }
}

impl Visitor {
    /// A place, once there is one.
    pub fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Place<'_>> {
        let mut called_in = 0;
        if let Some(ticket) = &self.ticket {
            ticket.waker.register(cx.waker());
            called_in = ticket.called_in.load(Ordering::Acquire);
            if called_in == 0 {
                return Poll::Pending;
            }
            self.ticket = None;
        }
        let mut state = self.turns.0.state.lock();
        if called_in == state.number {
            return Poll::Ready(Place { uncounted: None });
        }
        if state.left > 0 {
            return Poll::Ready(Place {
                uncounted: Some(&self.turns),
            });
        }
        let ticket = self.ticket.insert(Arc::default());
        ticket.waker.register(cx.waker());
        state.waiting.push_back(ticket.clone());
        Poll::Pending
    }
}

impl Place<'_> {
    /// The work has been done.
    pub fn take(self) {
        if let Some(turns) = self.uncounted {
            turns.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;

    use super::*;

    const IN_A_TURN: usize = 4;

    /// Runs what was spawned, and tells how much each turn added to `count`.
    async fn count_by_turn(count: &AtomicUsize, whole: usize) -> Vec<usize> {
        let (mut before, mut turns) = (0, Vec::new());
        while before < whole {
            yield_now().await;
            let now = count.load(Ordering::Relaxed);
            turns.push(now - before);
            before = now;
        }
        turns
    }

    #[tokio::test]
    async fn few_begin_before_what_else_is_ready() {
        let (turns, count) = (Turns::new(IN_A_TURN), Arc::new(AtomicUsize::new(0)));
        for number in 0..10 * IN_A_TURN {
            let (turns, count) = (turns.clone(), count.clone());
            tokio::spawn(async move {
                if number % 2 == 0 {
                    turns.next().await;
                } else {
                    let mut visitor = turns.visitor();
                    poll_fn(|cx| visitor.poll_place(cx).map(Place::take)).await;
                }
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        let by_turn = count_by_turn(&count, 10 * IN_A_TURN).await;
        assert!(
            by_turn.iter().all(|begun| *begun <= IN_A_TURN),
            "{by_turn:?}"
        );
        assert!(by_turn.len() >= 10);
    }

    #[tokio::test]
    async fn a_place_that_is_not_taken_is_another_s() {
        let turns = Turns::new(1);
        let (mut idle, mut busy) = (turns.visitor(), turns.visitor());
        for _ in 0..10 {
            let place = poll_fn(|cx| idle.poll_place(cx).map(|_| ())).now_or_never();
            place.expect("nobody was before it");
        }
        let taken = poll_fn(|cx| busy.poll_place(cx).map(Place::take)).now_or_never();
        taken.expect("nobody took one");
        let next = poll_fn(|cx| idle.poll_place(cx).map(|_| ())).now_or_never();
        assert_eq!(next, None);
    }

    #[tokio::test]
    async fn who_is_called_and_stays_away_holds_nobody_up() {
        let turns = Turns::new(IN_A_TURN);
        for _ in 0..IN_A_TURN {
            turns.next().now_or_never().expect("nobody was before it");
        }
        // More than a turn has places for; but so many go away.
        let mut waiting: Vec<_> = (0..4 * IN_A_TURN).map(|_| turns.visitor()).collect();
        for visitor in &mut waiting {
            let waits = poll_fn(|cx| visitor.poll_place(cx).map(Place::take)).now_or_never();
            assert_eq!(waits, None);
        }
        waiting.drain(..3 * IN_A_TURN);
        yield_now().await;
        yield_now().await;
        for mut visitor in waiting {
            let called = poll_fn(|cx| visitor.poll_place(cx).map(Place::take)).now_or_never();
            called.expect("it has been called in the next turn");
        }
        // Whoever was called and has not come is not waited for.
        turns.next().await;
    }

    #[tokio::test]
    async fn a_call_counts_in_its_turn_only() {
        let turns = Turns::new(1);
        let mut late = turns.visitor();
        turns.next().await;
        let waits = poll_fn(|cx| late.poll_place(cx).map(Place::take)).now_or_never();
        assert_eq!(waits, None);
        // Its turn comes and goes, and in the next one another has the place.
        for _ in 0..4 {
            yield_now().await;
        }
        turns.next().now_or_never().expect("nobody waits");
        let waits = poll_fn(|cx| late.poll_place(cx).map(Place::take)).now_or_never();
        assert_eq!(waits, None);
        poll_fn(|cx| late.poll_place(cx).map(Place::take)).await;
    }

    #[test]
    fn a_runtime_that_ends_leaves_all_places_to_the_next() {
        let turns = Turns::new(1);
        for _ in 0..3 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let next = runtime.block_on(async { turns.next().now_or_never() });
            next.expect("the turn before ended with its runtime");
        }
    }
}
