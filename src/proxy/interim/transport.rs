//! A transport that slips interim answers in between what hyper writes.
//!
//! hyper flushes its transport exactly when its own buffer is empty. From then until it next offers
//! bytes there is nothing of it half written, so what waits for the request being answered may go out.
//! The first bytes that it offers after such a moment begin that request's answer, and what waits goes
//! before them. If hyper still had bytes of an earlier answer then (a client that sends requests without
//! taking answers), no such moment comes before the answer, and what waits is dropped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::queue::Interims;

/// `io`, with the interim answers of one connection.
#[derive(Debug)]
pub struct Transport<T> {
    io: T,
    interims: Interims,
    /// Taken and not yet written, from `written` on. Goes before anything else.
    out: Vec<u8>,
    written: usize,
    /// Whether hyper has offered nothing since its buffer was empty.
    clear: bool,
    /// The turn whose final answer has begun.
    begun: u64,
    /// Whom the interims wake.
    waker: Option<Waker>,
}

impl<T: Write + Unpin> Transport<T> {
    /// Writes to `io`, and before each answer what `interims` hold for it.
    pub fn new(io: T, interims: Interims) -> Transport<T> {
        Transport {
            io,
            interims,
            out: Vec::new(),
            written: 0,
            clear: true,
            begun: 0,
            waker: None,
        }
    }

    /// hyper's buffer is empty.
    fn cleared(&mut self, cx: &mut Context<'_>) {
        self.clear = true;
        // A task's waker stays the same; registering it each time would cost every request.
        if !self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
            self.interims.wakes(cx.waker());
        }
        // Who takes no bytes is not handed more of them: they wait where they are counted.
        if self.out.is_empty() && self.interims.is_waiting() {
            // An even turn takes nothing: what waits then came after its answer.
            self.interims.take(self.interims.turn(), &mut self.out);
        }
    }

    /// hyper has bytes to write.
    fn offered(&mut self) {
        let turn = self.interims.turn();
        let answers = turn.is_multiple_of(2);
        if self.clear && self.interims.is_waiting() && !(answers && self.begun == turn) {
            // In an odd turn these bytes are the `100 Continue` of its request.
            let number = if answers {
                turn.saturating_sub(1)
            } else {
                turn
            };
            self.interims.take(number, &mut self.out);
        }
        self.clear = false;
        if answers {
            self.begun = turn;
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if self.written > 0 {
            self.out = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Read + Unpin> Read for Transport<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.offered();
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.offered();
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.cleared(cx);
            ready!(self.poll_out(cx))?;
            if !self.interims.is_waiting() {
                return Pin::new(&mut self.io).poll_flush(cx);
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
