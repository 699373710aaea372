//! How much connections hold of a body that goes through, while its receiver is slow (promise I7).
//!
//! A piece that is being read, one that waits to be taken and what a connection has not written yet come to
//! `memory.per_body`: reads are short, and a body gives a connection nothing more while that has its window to
//! write.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use hyper::rt::{Read, ReadBuf, ReadBufCursor};

/// The most that is read at a time. Less than 16 KiB, so that hyper offers no larger buffer the next time.
pub const READ: usize = 12 << 10;

/// The most where there is no room left.
const READ_WHEN_FULL: usize = 4 << 10;

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

    /// Pending while the connection has its part of `per_body` bytes to write.
    pub fn poll_open(&self, cx: &mut Context<'_>, per_body: u64) -> Poll<()> {
        let window = per_body.saturating_sub(3 * BUFFER);
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

/// How much of an answer is read at a time.
pub fn read_at_a_time(is_full: bool) -> usize {
    if is_full { READ_WHEN_FULL } else { READ }
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
        let mut is_open = || window.poll_open(&mut cx, LEAST).is_ready();
        assert!(is_open());
        window.give(READ);
        assert!(is_open());
        window.give(READ);
        assert!(!is_open());
        assert!(!woken.0.load(Ordering::Relaxed));
        window.open();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(is_open());
    }
}
