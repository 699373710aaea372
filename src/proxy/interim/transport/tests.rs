//! What hyper writes and what slips in between, step by step.

use std::collections::VecDeque;

use futures_util::task::noop_waker;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::proxy::interim::Sink;

/// Takes as many bytes as each `room` says; nothing while there is none.
#[derive(Default)]
struct Socket {
    room: VecDeque<usize>,
    taken: Vec<u8>,
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(room) = self.room.pop_front() else {
            return Poll::Pending;
        };
        let length = room.min(buf.len());
        self.taken.extend_from_slice(&buf[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// hyper's side of a connection: what it has buffered is offered until it is gone, then flushed.
struct Wire {
    transport: Transport<Socket>,
    buffered: Vec<u8>,
}

impl Wire {
    fn new(room: &[usize]) -> (Wire, Interims) {
        let interims = Interims::default();
        let socket = Socket {
            room: room.iter().copied().collect(),
            ..Socket::default()
        };
        let transport = Transport::new(socket, interims.clone());
        let buffered = Vec::new();
        (
            Wire {
                transport,
                buffered,
            },
            interims,
        )
    }

    /// One turn of hyper's loop that ends in a flush.
    fn flush(&mut self) -> bool {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut transport = Pin::new(&mut self.transport);
        while !self.buffered.is_empty() {
            match transport.as_mut().poll_write(&mut cx, &self.buffered) {
                Poll::Ready(written) => drop(self.buffered.drain(..written.unwrap())),
                Poll::Pending => return false,
            }
        }
        transport.poll_flush(&mut cx).is_ready()
    }

    fn buffer(&mut self, bytes: &str) {
        self.buffered.extend_from_slice(bytes.as_bytes());
    }

    fn taken(&self) -> String {
        let text = String::from_utf8(self.transport.io.taken.clone()).unwrap();
        text.replace("HTTP/1.1 103 Early Hints\r\n\r\n", "<103>")
            .replace("HTTP/1.1 102 Processing\r\n\r\n", "<102>")
    }
}

fn hint(sink: &Sink) {
    sink.push(StatusCode::EARLY_HINTS, &HeaderMap::new());
}

const FREE: [usize; 32] = [usize::MAX; 32];

#[test]
fn one_goes_out_at_once_and_one_just_before_the_answer() {
    let (mut wire, interims) = Wire::new(&FREE);
    let turn = interims.begin();
    assert!(wire.flush());
    hint(&turn.sink());
    assert!(wire.flush());
    assert_eq!(wire.taken(), "<103>");
    turn.sink().push(StatusCode::PROCESSING, &HeaderMap::new());
    drop(turn);
    wire.buffer("answer");
    wire.flush();
    assert_eq!(wire.taken(), "<103><102>answer");
}

#[test]
fn none_comes_between_the_pieces_of_an_answer_nor_before_the_next() {
    let (mut wire, interims) = Wire::new(&FREE);
    let turn = interims.begin();
    let late = turn.sink();
    drop(turn);
    for piece in ["head ", "body ", "end "] {
        wire.buffer(piece);
        wire.flush();
        hint(&late);
    }
    let second = interims.begin();
    hint(&late);
    drop(second);
    wire.buffer("second");
    wire.flush();
    assert_eq!(wire.taken(), "head body end second");
}

#[test]
fn late_between_two_pieces_without_a_flush_between() {
    let (mut wire, interims) = Wire::new(&[3, usize::MAX, usize::MAX]);
    let turn = interims.begin();
    let sink = turn.sink();
    drop(turn);
    wire.buffer("answer");
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let mut transport = Pin::new(&mut wire.transport);
    assert!(transport.as_mut().poll_write(&mut cx, b"answer").is_ready());
    hint(&sink);
    assert!(transport.as_mut().poll_write(&mut cx, b"wer").is_ready());
    assert_eq!(wire.taken(), "answer");
}

#[test]
fn what_is_half_written_is_finished_before_the_answer() {
    let (mut wire, interims) = Wire::new(&[7, 1]);
    let turn = interims.begin();
    hint(&turn.sink());
    assert!(!wire.flush());
    drop(turn);
    wire.buffer("answer");
    assert!(!wire.flush());
    wire.transport.io.room.extend(FREE);
    assert!(wire.flush());
    assert_eq!(wire.taken(), "<103>answer");
}

/// A client that pipelines and takes nothing: the second request begins while bytes of the first
/// answer are still in hyper's buffer.
#[test]
fn an_answer_not_taken_yet_is_not_interrupted() {
    let (mut wire, interims) = Wire::new(&[2]);
    drop(interims.begin());
    wire.buffer("first ");
    assert!(!wire.flush());
    let second = interims.begin();
    hint(&second.sink());
    assert!(!wire.flush());
    wire.transport.io.room.extend(FREE);
    assert!(wire.flush());
    assert_eq!(wire.taken(), "first <103>", "once the first is out");
    drop(second);
    wire.buffer("second");
    wire.flush();
    assert_eq!(wire.taken(), "first <103>second");
}

#[test]
fn without_a_moment_before_the_answer_it_is_dropped() {
    let (mut wire, interims) = Wire::new(&[2]);
    drop(interims.begin());
    wire.buffer("first ");
    assert!(!wire.flush());
    let second = interims.begin();
    hint(&second.sink());
    drop(second);
    wire.buffer("second");
    wire.transport.io.room.extend(FREE);
    assert!(wire.flush());
    assert_eq!(wire.taken(), "first second");
}

#[test]
fn a_client_that_takes_nothing_is_kept_little() {
    let (mut wire, interims) = Wire::new(&[]);
    let turn = interims.begin();
    for _ in 0..100_000 {
        hint(&turn.sink());
        assert!(!wire.flush());
    }
    assert!(wire.transport.out.len() <= 64 * 1024);
}
