//! The body of the answer to a write, read for the variables in it and handed on whole.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};

use crate::body::{Body, BoxError};

/// Reads the answer's body up to `cap` bytes; `None` past it: the variables in it count as absent. Either
/// way the answer goes on whole.
pub(super) async fn read(
    response: Response<Body>,
    cap: usize,
) -> (Response<Body>, Option<Vec<u8>>) {
    let (head, mut body) = response.into_parts();
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut trailers = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(piece)) => {
                length += piece.len();
                pieces.push(piece);
                if length > cap {
                    return (Response::from_parts(head, prefixed(pieces, body)), None);
                }
            }
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => {
                let body = prefixed(pieces, ending(Err(error)));
                return (Response::from_parts(head, body), None);
            }
        }
    }
    let whole = pieces.concat();
    let body = match trailers {
        Some(trailers) => prefixed(pieces, ending(Ok(Frame::trailers(trailers)))),
        None => Body::whole(Bytes::from(whole.clone())),
    };
    (Response::from_parts(head, body), Some(whole))
}

/// What was read already, then the rest.
fn prefixed(pieces: Vec<Bytes>, rest: Body) -> Body {
    let read = stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
    let rest = BodyStream::new(rest);
    Body::stream(StreamBody::new(read.chain(rest)))
}

/// How a body ends after what was read already.
fn ending(last: Result<Frame<Bytes>, BoxError>) -> Body {
    Body::stream(StreamBody::new(stream::iter([last])))
}
