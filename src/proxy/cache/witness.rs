//! A body on its way to the client, of which a copy is kept for a comparison, if it comes whole and is short enough.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::body::{Body, BoxError};
use crate::in_flight::{InFlight, Share};

/// The body, and who waits for the copy.
#[derive(Debug)]
pub(super) struct Witness {
    body: Body,
    copy: Option<Copy>,
}

#[derive(Debug)]
struct Copy {
    bytes: Vec<u8>,
    share: Share,
    cap: usize,
    /// The length that is stated, if it is.
    length: Option<u64>,
    done: oneshot::Sender<Bytes>,
}

impl Witness {
    /// `body`, and the copy: nothing comes of it if the body breaks off, is over `cap`, or there is no room.
    pub(super) fn of(
        body: Body,
        cap: usize,
        in_flight: &InFlight,
    ) -> (Witness, oneshot::Receiver<Bytes>) {
        let (done, copied) = oneshot::channel();
        let mut witness = Witness {
            copy: Some(Copy {
                bytes: Vec::new(),
                share: in_flight.take(0),
                cap,
                length: body.size_hint().exact(),
                done,
            }),
            body,
        };
        witness.end_if_whole();
        (witness, copied)
    }

    /// Who knows the length does not ask for the end.
    fn end_if_whole(&mut self) {
        let is_whole = |copy: &Copy| copy.length == Some(copy.bytes.len() as u64);
        if self.body.is_end_stream() || self.copy.as_ref().is_some_and(is_whole) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(copy) = self.copy.take() {
            let _ = copy.done.send(copy.share.hold(copy.bytes.into()));
        }
    }
}

impl Copy {
    /// `false`: it is given up.
    fn push(&mut self, piece: &[u8]) -> bool {
        let fits =
            self.bytes.len() + piece.len() <= self.cap && self.share.try_grow(piece.len() as u64);
        if fits {
            self.bytes.extend_from_slice(piece);
        }
        fits
    }
}

impl HttpBody for Witness {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let piece = frame.data_ref();
                let is_kept = match (&mut self.copy, piece) {
                    (Some(copy), Some(piece)) => copy.push(piece),
                    _ => true,
                };
                if is_kept {
                    self.end_if_whole();
                } else {
                    self.copy = None;
                }
            }
            Some(Err(_)) => self.copy = None,
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
