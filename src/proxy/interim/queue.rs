//! What waits for a client: the queue of one connection, and where the app's interim answers enter it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use crate::proxy::hop_by_hop::strip_hop_by_hop;

/// The most bytes that wait for one client's connection (promise I7); more are dropped.
const MOST: usize = 64 * 1024;

/// What waits to be written on one HTTP/1 connection before the answer to its current request.
#[derive(Clone, Debug, Default)]
pub struct Interims(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Odd while a request is being answered. Set by the connection's own task only.
    turn: AtomicU64,
    /// Whether the queue holds anything: a look that needs no lock.
    waiting: AtomicBool,
    queue: Mutex<Queue>,
    transport: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    /// The request they belong to.
    of: u64,
    bytes: Vec<u8>,
}

/// A request being answered, until it is dropped.
#[derive(Debug)]
pub struct Turn<'c> {
    interims: &'c Interims,
    number: u64,
}

/// Where the interim answers to one request go.
#[derive(Clone, Debug)]
pub struct Sink {
    interims: Interims,
    number: u64,
}

impl Interims {
    /// A request begins. They do so one after the other on a connection.
    pub(in crate::proxy) fn begin(&self) -> Turn<'_> {
        let number = self.turn() | 1;
        self.0.turn.store(number, Ordering::Relaxed);
        Turn {
            interims: self,
            number,
        }
    }

    /// The number of the request being answered, which is odd; the even one after it once its answer
    /// is in hyper's hands.
    pub(super) fn turn(&self) -> u64 {
        self.0.turn.load(Ordering::Relaxed)
    }

    /// Whether anything waits, of whatever request.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire)
    }

    /// Adds to `out` what waits for request `number`, and drops what waits for another.
    pub(super) fn take(&self, number: u64, out: &mut Vec<u8>) {
        let mut queue = self.0.queue.lock();
        self.0.waiting.store(false, Ordering::Relaxed);
        let bytes = std::mem::take(&mut queue.bytes);
        if queue.of == number {
            out.extend_from_slice(&bytes);
        }
    }

    /// Who is woken when something waits.
    pub(super) fn wakes(&self, transport: &Waker) {
        self.0.transport.register(transport);
    }
}

impl Turn<'_> {
    /// Where interim answers to this request go.
    pub(in crate::proxy) fn sink(&self) -> Sink {
        Sink {
            interims: self.interims.clone(),
            number: self.number,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let ended = self.number + 1;
        self.interims.0.turn.store(ended, Ordering::Relaxed);
    }
}

impl Sink {
    /// Queues an interim answer, unless its request has been answered or too much waits already.
    pub(in crate::proxy) fn push(&self, status: StatusCode, fields: &HeaderMap) {
        let Interims(shared) = &self.interims;
        let mut queue = self.interims.0.queue.lock();
        if queue.of != self.number {
            if queue.of > self.number {
                return;
            }
            queue.of = self.number;
            queue.bytes.clear();
        }
        let before = queue.bytes.len();
        write(&mut queue.bytes, status, fields);
        if queue.bytes.len() > MOST {
            queue.bytes.truncate(before);
            tracing::debug!(%status, "interim answer dropped: the client takes none");
            return;
        }
        shared.waiting.store(true, Ordering::Release);
        drop(queue);
        shared.transport.wake();
    }
}

/// In HTTP/1.1, as hyper writes final answers.
fn write(out: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap) {
    let mut fields = fields.clone();
    strip_hop_by_hop(&mut fields);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &fields {
        // RFC 9110 §8.6, RFC 9112 §6.1: an interim answer has no content to measure.
        if name != CONTENT_LENGTH {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONNECTION, LINK, TRANSFER_ENCODING};

    use super::*;

    fn hints(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(LINK, HeaderValue::from_str(value).unwrap())])
    }

    fn taken(interims: &Interims, number: u64) -> String {
        let mut out = Vec::new();
        interims.take(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn they_wait_in_order_for_their_own_request() {
        let interims = Interims::default();
        assert!(!interims.is_waiting());
        let turn = interims.begin();
        let sink = turn.sink();
        sink.push(StatusCode::PROCESSING, &HeaderMap::new());
        sink.push(StatusCode::EARLY_HINTS, &hints("</a>"));
        assert!(interims.is_waiting());
        assert_eq!(
            taken(&interims, interims.turn()),
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        );
        assert!(!interims.is_waiting());
    }

    #[test]
    fn what_comes_late_is_for_nobody() {
        let interims = Interims::default();
        let first = interims.begin();
        let late = first.sink();
        drop(first);
        late.push(StatusCode::EARLY_HINTS, &hints("</late>"));
        let second = interims.begin();
        assert_eq!(taken(&interims, interims.turn()), "");
        second
            .sink()
            .push(StatusCode::EARLY_HINTS, &hints("</own>"));
        late.push(StatusCode::EARLY_HINTS, &hints("</later>"));
        assert_eq!(
            taken(&interims, interims.turn()),
            "HTTP/1.1 103 Early Hints\r\nlink: </own>\r\n\r\n"
        );
    }

    #[test]
    fn the_queue_is_capped_at_whole_messages() {
        let interims = Interims::default();
        let turn = interims.begin();
        let long = hints(&"x".repeat(MOST / 2));
        for _ in 0..3 {
            turn.sink().push(StatusCode::EARLY_HINTS, &long);
        }
        let text = taken(&interims, interims.turn());
        assert!(text.len() <= MOST && text.ends_with("x\r\n\r\n"));
        assert_eq!(text.matches("HTTP/1.1").count(), 1);
    }

    #[test]
    fn fields_of_the_app_s_connection_and_framing_stay_behind() {
        let mut fields = hints("</a>");
        for (name, value) in [
            (CONNECTION, "x-hop"),
            (TRANSFER_ENCODING, "chunked"),
            (CONTENT_LENGTH, "5"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        fields.insert("x-hop", HeaderValue::from_static("1"));
        let mut out = Vec::new();
        write(&mut out, StatusCode::from_u16(104).unwrap(), &fields);
        assert_eq!(out, b"HTTP/1.1 104 \r\nlink: </a>\r\n\r\n");
    }
}
