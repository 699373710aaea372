//! The body of an answer on its way to the client and into the copy.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;

use crate::body::{Body, Piece, Tapped, Timed};
use crate::http_cache::{Reason, Stored};
use crate::proxy::forward::exchange::is_event_stream;
use crate::upstream::Arriving;

/// What the head already tells of the body: endless, too long, or without a sure end (A2).
pub(super) fn check_body(response: &Response<Arriving>, max_body: usize) -> Result<(), Reason> {
    let fields = response.headers();
    if is_event_stream(fields) {
        return Err(Reason::EventStream);
    }
    if let Some(length) = fields.get(CONTENT_LENGTH) {
        let length = length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok());
        return if length.is_some_and(|length| length <= max_body as u64) {
            Ok(())
        } else {
            Err(Reason::TooLarge)
        };
    }
    let bodiless = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    // RFC 9113 §8.1: every message of HTTP/2 has a marked end.
    let ends = response.version() == Version::HTTP_2 || fields.contains_key(TRANSFER_ENCODING);
    if bodiless || ends {
        Ok(())
    } else {
        Err(Reason::CloseDelimited)
    }
}

/// A body that is read whole. Its client is handed each piece as well, and never waited for.
pub(super) struct Gathering {
    /// `None`: at its end, or handed on.
    body: Option<Timed>,
    max: usize,
    /// The length that the message states, and that of its range.
    stated: [Option<u64>; 2],
    whole: Whole,
    tap: Tap,
    gathered: Option<Result<Bytes, Reason>>,
}

/// The pieces put together; one that comes alone is not copied.
#[derive(Default)]
struct Whole {
    first: Bytes,
    /// All of them, where there are several.
    joined: BytesMut,
}

/// Where the pieces for the client go.
enum Tap {
    /// Nowhere: there is no client.
    Closed,
    /// They are kept until it is known how it gets them.
    Kept(Vec<Piece>),
    /// To it.
    Open(mpsc::UnboundedSender<Piece>),
}

impl Gathering {
    /// Of a message that states `length`, if it does. Over `max`, the client is handed the body itself
    /// and goes on without the fill.
    pub(super) fn new(body: Timed, max: usize, length: Option<u64>, stored: &Stored) -> Gathering {
        Gathering {
            body: Some(body),
            max,
            stated: [length, stored.part.map(|part| part.end - part.first)],
            whole: Whole::default(),
            tap: Tap::Closed,
            gathered: None,
        }
    }

    /// The body as the client gets it: at once if all of it came with the head, as short ones do, and
    /// otherwise as it comes.
    pub(super) async fn for_client(&mut self) -> Body {
        self.tap = Tap::Kept(Vec::new());
        let at_hand = poll_fn(|cx| Poll::Ready(self.poll(cx))).await;
        let kept = match std::mem::replace(&mut self.tap, Tap::Closed) {
            Tap::Kept(pieces) => pieces,
            Tap::Closed | Tap::Open(_) => Vec::new(),
        };
        if let Poll::Ready(gathered) = at_hand {
            let whole = gathered
                .clone()
                .ok()
                .filter(|_| !kept.iter().any(is_trailers));
            self.gathered = Some(gathered);
            if let Some(whole) = whole {
                return Body::whole(whole);
            }
        }
        let (tap, pieces) = mpsc::unbounded_channel();
        self.tap = Tap::Open(tap);
        kept.into_iter().for_each(|piece| self.hand_on(piece));
        Body::stream(Tapped::new(pieces, self.stated[0]))
    }

    /// The whole body, which is as long as its message says (RFC 9110 §8.6), and a part as its range
    /// (§14.4).
    pub(super) async fn whole(&mut self) -> Result<Bytes, Reason> {
        match self.gathered.take() {
            Some(gathered) => gathered,
            None => poll_fn(|cx| self.poll(cx)).await,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Reason>> {
        while let Some(body) = &mut self.body {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame)?,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the app's answer broke off");
                    self.hand_on(Piece::Broken(error));
                    return Poll::Ready(Err(Reason::Incomplete));
                }
                None => self.body = None,
            }
        }
        let whole = self.whole.take();
        let mut stated = self.stated.iter().flatten();
        if !stated.all(|stated| *stated == whole.len() as u64) {
            return Poll::Ready(Err(Reason::Incomplete));
        }
        self.hand_on(Piece::End);
        Poll::Ready(Ok(whole))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Reason> {
        let fits = match frame.data_ref() {
            Some(piece) if self.whole.len() + piece.len() > self.max => false,
            Some(piece) => {
                self.whole.push(piece, self.stated[0]);
                true
            }
            None => true,
        };
        self.hand_on(Piece::Frame(frame));
        match self.body.take_if(|_| !fits) {
            Some(body) => {
                self.hand_on(Piece::Rest(body));
                Err(Reason::TooLarge)
            }
            None => Ok(()),
        }
    }

    /// A client that has gone does not matter.
    fn hand_on(&mut self, piece: Piece) {
        match &mut self.tap {
            Tap::Closed => {}
            Tap::Kept(pieces) => pieces.push(piece),
            Tap::Open(client) => {
                let _ = client.send(piece);
            }
        }
    }
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    /// `length`: what all of them will come to, as far as it is known.
    fn push(&mut self, piece: &Bytes, length: Option<u64>) {
        if self.len() == 0 {
            self.first = piece.clone();
            return;
        }
        if self.joined.is_empty() {
            let length = length.map_or(0, |length| length as usize);
            self.joined
                .reserve(length.max(self.first.len() + piece.len()));
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(piece);
    }

    fn take(&mut self) -> Bytes {
        let Whole { first, joined } = std::mem::take(self);
        if joined.is_empty() {
            first
        } else {
            joined.freeze()
        }
    }
}

fn is_trailers(piece: &Piece) -> bool {
    matches!(piece, Piece::Frame(frame) if frame.is_trailers())
}
