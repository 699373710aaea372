//! Which client connections are idle and since when, so that the one that has been so longest makes room for
//! a new client.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many are looked up at a time: to look at all of them for each new client would cost more than to
/// serve it.
const BATCH: usize = 64;

/// All client connections of the process.
#[derive(Debug)]
pub(super) struct Connections {
    /// From which time is counted.
    start: Instant,
    listed: Mutex<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    all: BTreeMap<u64, Arc<Idleness>>,
    /// Those that were idle longest when they were looked up, with the time since; the longest last. Who
    /// became idle later is none of them, so they stay the longest.
    idlest: Vec<(u64, Arc<Idleness>)>,
}

/// How idle one connection is. Its own task writes, once a wait; whoever needs room reads.
#[derive(Debug)]
pub(super) struct Idleness {
    start: Instant,
    /// An [`Activity`].
    activity: AtomicU8,
    /// Nanoseconds from the start; 0: not idle whatever the activity says.
    since: AtomicU64,
    must_leave: AtomicBool,
    /// Whether a body may follow the last head of HTTP/1.
    has_body: AtomicBool,
    /// Wakes the connection's task.
    waker: OnceLock<Waker>,
}

/// What an HTTP/1 connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    /// Nothing is asked: silence counts against `idle`, and the first byte starts a head.
    Waiting,
    /// A request is being answered: its own deadlines hold.
    Answering,
    /// Handed over after a 101: the two ends have their own ideas of silence.
    Relaying,
}

/// Keeps a connection among [`Connections`].
#[derive(Debug)]
pub(super) struct Listing {
    connections: Arc<Connections>,
    number: u64,
    idleness: Arc<Idleness>,
}

impl Default for Connections {
    fn default() -> Self {
        Connections {
            start: Instant::now(),
            listed: Mutex::default(),
        }
    }
}

impl Connections {
    /// Lists a new one, which has asked for nothing yet.
    pub(super) fn list(self: &Arc<Connections>) -> Listing {
        let idleness = Arc::new(Idleness {
            start: self.start,
            activity: AtomicU8::new(Activity::Waiting as u8),
            since: AtomicU64::new(0),
            must_leave: AtomicBool::new(false),
            has_body: AtomicBool::new(false),
            waker: OnceLock::new(),
        });
        idleness.note(Some(Instant::now()));
        let mut listed = self.listed.lock();
        let number = listed.next;
        listed.next += 1;
        listed.all.insert(number, idleness.clone());
        Listing {
            connections: self.clone(),
            number,
            idleness,
        }
    }

    /// Asks the one that has been idle longest to leave; false if none is idle. It may be asked for something
    /// just then, and stays.
    pub(super) fn ask_idlest_to_leave(&self) -> bool {
        let mut listed = self.listed.lock();
        if listed.idlest.is_empty() {
            listed.idlest = find_idlest(&listed.all);
        }
        while let Some((since, idleness)) = listed.idlest.pop() {
            if idleness.is_idle_since(since) {
                idleness.ask_to_leave();
                return true;
            }
            if listed.idlest.is_empty() {
                listed.idlest = find_idlest(&listed.all);
            }
        }
        false
    }
}

/// At most [`BATCH`], the longest idle last.
fn find_idlest(all: &BTreeMap<u64, Arc<Idleness>>) -> Vec<(u64, Arc<Idleness>)> {
    let with_since = |idleness: &Arc<Idleness>| {
        let since = idleness.since.load(Ordering::Relaxed);
        idleness
            .is_idle_since(since)
            .then(|| (since, idleness.clone()))
    };
    let mut idle: Vec<_> = all.values().filter_map(with_since).collect();
    if idle.len() > BATCH {
        idle.select_nth_unstable_by_key(BATCH, |(since, _)| *since);
        idle.truncate(BATCH);
    }
    idle.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
    idle
}

impl Idleness {
    pub(super) fn set(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
    }

    pub(super) fn activity(&self) -> Activity {
        const WAITING: u8 = Activity::Waiting as u8;
        const ANSWERING: u8 = Activity::Answering as u8;
        match self.activity.load(Ordering::Relaxed) {
            WAITING => Activity::Waiting,
            ANSWERING => Activity::Answering,
            _ => Activity::Relaying,
        }
    }

    pub(super) fn note_body(&self, has_body: bool) {
        self.has_body.store(has_body, Ordering::Relaxed);
    }

    /// Whether the next byte begins a head, if what was read ended with one.
    pub(super) fn awaits_head(&self) -> bool {
        self.activity() == Activity::Waiting && !self.has_body.load(Ordering::Relaxed)
    }

    /// Since when it is idle if it is waiting; `None`: it is not.
    pub(super) fn note(&self, since: Option<Instant>) {
        let nanos = since.map_or(0, |since| {
            (since.duration_since(self.start).as_nanos() as u64).max(1)
        });
        self.since.store(nanos, Ordering::Relaxed);
    }

    /// The task to wake, which is the one that calls this.
    pub(super) async fn belongs_to_this_task(&self) {
        std::future::poll_fn(|cx| {
            let _ = self.waker.set(cx.waker().clone());
            std::task::Poll::Ready(())
        })
        .await;
    }

    /// Whether it is to leave if it is idle.
    pub(super) fn must_leave(&self) -> bool {
        self.must_leave.load(Ordering::Relaxed)
    }

    /// It was asked to leave, and is not idle.
    pub(super) fn stay(&self) {
        self.must_leave.store(false, Ordering::Relaxed);
    }

    fn is_idle_since(&self, since: u64) -> bool {
        let waiting = self.activity() == Activity::Waiting && !self.must_leave();
        since > 0 && self.since.load(Ordering::Relaxed) == since && waiting
    }

    fn ask_to_leave(&self) {
        self.must_leave.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

impl Listing {
    pub(super) fn idleness(&self) -> &Arc<Idleness> {
        &self.idleness
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.connections.listed.lock().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The numbers of those who are asked, in order.
    fn ask(connections: &Connections, listings: &[Listing], times: usize) -> Vec<usize> {
        let asked = |nth: &usize| listings[*nth].idleness.must_leave();
        let mut told = Vec::new();
        for _ in 0..times {
            let before: Vec<_> = (0..listings.len()).filter(asked).collect();
            connections.ask_idlest_to_leave();
            told.extend((0..listings.len()).filter(|nth| asked(nth) && !before.contains(nth)));
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_leave_first() {
        let connections = Arc::new(Connections::default());
        let mut listings = Vec::new();
        for _ in 0..5 {
            tokio::time::advance(SECOND).await;
            listings.push(connections.list());
        }
        // One has asked again, one is being answered.
        tokio::time::advance(SECOND).await;
        listings[0].idleness.note(Some(Instant::now()));
        listings[2].idleness.set(Activity::Answering);
        assert_eq!(ask(&connections, &listings, 2), [1, 3]);
        // What was looked up before knows nothing of these.
        listings[4].idleness.note(None);
        tokio::time::advance(SECOND).await;
        listings[2].idleness.set(Activity::Waiting);
        listings[2].idleness.note(Some(Instant::now()));
        assert_eq!(ask(&connections, &listings, 9), [0, 2]);
        assert!(!connections.ask_idlest_to_leave());
        listings[1].idleness.stay();
        assert!(connections.ask_idlest_to_leave(), "it stayed, and is idle");
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_are_looked_up_at_a_time() {
        let connections = Arc::new(Connections::default());
        let mut listings = Vec::new();
        for _ in 0..3 * BATCH {
            tokio::time::advance(SECOND).await;
            listings.push(connections.list());
        }
        let left = listings.split_off(2 * BATCH);
        drop(left);
        let asked = ask(&connections, &listings, 3 * BATCH);
        assert_eq!(asked, (0..2 * BATCH).collect::<Vec<_>>());
        drop(listings);
        assert!(connections.listed.lock().all.is_empty());
    }
}
