//! How much connections hold of a body that goes through, while its receiver is slow (promise I7).
//!
//! A piece that is being read, one that waits to be taken and what a connection has not written yet come to
//! `memory.per_body`: reads are short, and a body gives a connection nothing more while that has its window to
//! write. [`Uptake`] tells when a connection asks for nothing more at all.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper::rt::{Read, ReadBuf, ReadBufCursor};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The most that is read at a time. Less than 16 KiB, so that hyper offers no larger buffer the next time.
pub const READ: usize = 12 << 10;

/// The most where many bodies pass.
const READ_WHEN_TIGHT: usize = 4 << 10;

/// What hyper allocates for one read.
const BUFFER: u64 = 16 << 10;

/// The least that a body needs: a buffer to read into, a piece that waits, and two being written.
pub const LEAST: u64 = 4 * BUFFER;

/// What one connection of HTTP/1 has been given and not written yet; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Window(Arc<Unwritten>);

#[derive(Debug, Default)]
struct Unwritten {
    bytes: AtomicUsize,
    body: AtomicWaker,
}

impl Window {
    /// The connection has written all that it was given.
    pub fn open(&self) {
        if self.0.bytes.load(Ordering::Relaxed) > 0 {
            self.0.bytes.store(0, Ordering::Relaxed);
            self.0.body.wake();
        }
    }

    /// Pending while the connection has its part of `per_body` bytes to write; where many bodies pass, whatever
    /// it was given last.
    pub fn poll_open(&self, cx: &mut Context<'_>, per_body: u64, is_tight: bool) -> Poll<()> {
        let window = match is_tight {
            true => 1,
            false => per_body.saturating_sub(3 * BUFFER),
        };
        // The connection writes in the task that asks for the body, so nothing changes in between.
        if (self.0.bytes.load(Ordering::Relaxed) as u64) < window {
            return Poll::Ready(());
        }
        self.0.body.register(cx.waker());
        Poll::Pending
    }

    /// So many bytes are given to the connection.
    pub fn give(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How a connection takes the body that it sends; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Uptake(Arc<Mutex<UptakeState>>);

#[derive(Clone, Copy, Debug)]
enum UptakeState {
    /// The body was at its end, or dropped, then; or there is none.
    Over(Option<Instant>),
    /// The connection asks for a piece, and its sender has none.
    Asked,
    /// The connection was given a piece then, and has not asked for another.
    Given(Instant),
}

impl Default for UptakeState {
    fn default() -> UptakeState {
        UptakeState::Over(None)
    }
}

impl Uptake {
    /// The connection asks for a piece.
    pub fn note_asked(&self) {
        *self.0.lock() = UptakeState::Asked;
    }

    /// It was given one.
    pub fn note_given(&self) {
        *self.0.lock() = UptakeState::Given(Instant::now());
    }

    /// The body is dropped.
    pub fn note_over(&self) {
        *self.0.lock() = UptakeState::Over(Some(Instant::now()));
    }

    /// Whether nothing is left to be asked for.
    pub fn is_over(&self) -> bool {
        matches!(*self.0.lock(), UptakeState::Over(_))
    }

    /// Its request was answered: the time from now on counts.
    pub fn note_answered(&self) {
        let mut state = self.0.lock();
        if let UptakeState::Given(at) = &mut *state {
            *at = Instant::now();
        }
    }

    /// Its request was given up before there was an answer: the connection asks for nothing more, whatever it asked for.
    pub fn note_given_up(&self) {
        let mut state = self.0.lock();
        if let UptakeState::Asked = *state {
            *state = UptakeState::Given(Instant::now());
        }
    }

    /// Waits until the connection has asked for nothing for `timeout`, or until so long after the call, and after the end of
    /// the body, where none is left: its last pieces may not be written yet. While the body's sender is waited for, that has a timeout of its own.
    pub async fn stalled(&self, timeout: Duration) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let since = match *self.0.lock() {
                UptakeState::Over(at) => at.map_or(begun, |at| at.max(begun)),
                UptakeState::Asked => now,
                UptakeState::Given(at) => at,
            };
            if since + timeout <= now {
                return;
            }
            tokio::time::sleep_until(since + timeout).await;
        }
    }
}

/// How much of an answer is read at a time.
pub fn read_at_a_time(is_tight: bool) -> usize {
    if is_tight { READ_WHEN_TIGHT } else { READ }
}

/// Reads no more than `most`, at most [`READ`], however large the buffer is that hyper offers.
pub fn read_little<R: Read + ?Sized>(
    io: Pin<&mut R>,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
    most: usize,
) -> Poll<io::Result<()>> {
    if buf.remaining() <= most {
        return io.poll_read(cx, buf);
    }
    let mut space = [const { MaybeUninit::uninit() }; READ];
    let mut read = ReadBuf::uninit(&mut space[..most.min(READ)]);
    ready!(io.poll_read(cx, read.unfilled()))?;
    buf.put_slice(read.filled());
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::{Wake, Waker};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// At which second, and what.
    type Act = (u64, fn(&Uptake));

    /// Seconds until a connection that does `acts` counts as stalled.
    async fn stalls_after(acts: &[Act]) -> u64 {
        let (uptake, begun) = (Uptake::default(), Instant::now());
        let acting = async {
            for (at, act) in acts {
                tokio::time::sleep_until(begun + Duration::from_secs(*at)).await;
                act(&uptake);
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = acting => {}
            () = uptake.stalled(TIMEOUT) => {}
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_that_asks_for_nothing() {
        let rows: [(&str, &[Act], u64); 9] = [
            ("no body", &[], 30),
            ("nothing after a piece", &[(0, Uptake::note_given)], 30),
            (
                "a piece now and then",
                &[
                    (0, Uptake::note_given),
                    (20, Uptake::note_given),
                    (40, Uptake::note_given),
                ],
                70,
            ),
            (
                "its sender is slow",
                &[(0, Uptake::note_asked), (100, Uptake::note_given)],
                130,
            ),
            (
                "the last piece is asked for",
                &[
                    (0, Uptake::note_given),
                    (20, Uptake::note_asked),
                    (25, Uptake::note_over),
                ],
                55,
            ),
            (
                "the body is over late",
                &[(0, Uptake::note_asked), (100, Uptake::note_over)],
                130,
            ),
            (
                "answered meanwhile",
                &[(0, Uptake::note_given), (20, Uptake::note_answered)],
                50,
            ),
            (
                "given up while it asked",
                &[(0, Uptake::note_asked), (20, Uptake::note_given_up)],
                50,
            ),
            (
                "given up while it had a piece",
                &[(0, Uptake::note_given), (20, Uptake::note_given_up)],
                30,
            ),
        ];
        for (name, acts, expected) in rows {
            assert_eq!(stalls_after(acts).await, expected, "{name}");
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_body_waits_until_its_connection_has_written() {
        let window = Window::default();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut is_open = |is_tight| window.poll_open(&mut cx, LEAST, is_tight).is_ready();
        assert!(is_open(false) && is_open(true));
        window.give(READ);
        assert!(is_open(false) && !is_open(true));
        window.give(READ);
        assert!(!is_open(false));
        assert!(!woken.0.load(Ordering::Relaxed));
        window.open();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(is_open(true));
    }
}
