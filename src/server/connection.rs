//! A client's connection with its deadlines: a slow head, a long silence, an answer nobody takes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// `[listen] header_timeout` and `idle_timeout`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// Without a request, or without the client taking anything of its answer.
    pub(super) idle: Duration,
}

/// What the connection is doing, told by the service to the transport.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<AtomicU8>);

/// Nothing is asked: silence counts against `idle`, and the first byte starts a head.
const WAITING: u8 = 0;
/// A request is being worked on: its own deadlines hold.
const WORKING: u8 = 1;
/// Handed over after a 101: the two ends have their own ideas of silence.
const RELAYING: u8 = 2;

impl Phase {
    /// A head is complete.
    pub(super) fn requested(&self) {
        self.0.store(WORKING, Ordering::Relaxed);
    }

    /// The whole answer is at hand.
    pub(super) fn answered(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    /// The connection is handed over.
    pub(super) fn relaying(&self) {
        self.0.store(RELAYING, Ordering::Relaxed);
    }

    /// The answer streams; drop the guard at its end.
    pub(super) fn answering(&self) -> Answering {
        Answering(self.clone())
    }
}

/// Held while an answer streams.
#[derive(Debug)]
pub(super) struct Answering(Phase);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A TCP stream that ends when a deadline passes.
pub(super) struct Timed {
    io: TokioIo<TcpStream>,
    limits: Limits,
    phase: Phase,
    /// When a byte last went either way.
    moved: Instant,
    /// When the head under way began.
    head_since: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Timed {
    pub(super) fn new(stream: TcpStream, limits: Limits) -> Timed {
        let now = Instant::now();
        Timed {
            io: TokioIo::new(stream),
            limits,
            phase: Phase(Arc::new(AtomicU8::new(WAITING))),
            moved: now,
            // A new connection owes its first head.
            head_since: Some(now),
            sleep: Box::pin(tokio::time::sleep_until(now + limits.head.min(limits.idle))),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn is_waiting(&self) -> bool {
        self.phase.0.load(Ordering::Relaxed) == WAITING
    }

    /// Whether the deadline has passed; else arranges to be woken at it. `write`: the client is not
    /// taking its answer.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, write: bool) -> Poll<io::Error> {
        loop {
            let deadline = match self.head_since {
                Some(since) if self.is_waiting() && !write => since + self.limits.head,
                _ => self.moved + self.limits.idle,
            };
            let counts = match self.phase.0.load(Ordering::Relaxed) {
                RELAYING => false,
                WAITING => true,
                _ => write,
            };
            let now = Instant::now();
            if counts && deadline <= now {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            let wake = if counts {
                deadline
            } else {
                now + self.limits.idle
            };
            // A timer that is early only looks again; re-arming it per request would cost more.
            if self.sleep.is_elapsed() || self.sleep.deadline() > wake {
                self.sleep.as_mut().reset(wake);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn note_read(&mut self) {
        self.moved = Instant::now();
        if self.is_waiting() {
            self.head_since.get_or_insert(self.moved);
        } else {
            self.head_since = None;
        }
    }

    fn note_written(&mut self) {
        self.moved = Instant::now();
        self.head_since = None;
    }
}

impl Read for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(result) => {
                self.note_read();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, false).map(Err),
        }
    }
}

impl Write for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, buf) {
            Poll::Ready(result) => {
                self.note_written();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write_vectored(cx, bufs) {
            Poll::Ready(result) => {
                self.note_written();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
