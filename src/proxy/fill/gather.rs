//! The body of an answer on its way to the client and into the copy.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::body::{Piece, Timed};
use crate::http_cache::Reason;
use crate::proxy::pass;

/// What the head already tells of the body: endless, too long, or without a sure end (A2).
pub(super) fn check_body(response: &Response<Incoming>, max_body: usize) -> Result<(), Reason> {
    let fields = response.headers();
    if pass::is_event_stream(fields) {
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

/// Reads the whole body, handing every piece to the client as well. Over `max`, the client is handed
/// the body itself and goes on without the fill.
pub(super) async fn gather(
    mut body: Timed,
    max: usize,
    length: Option<u64>,
    tap: &mpsc::UnboundedSender<Piece>,
) -> Result<Bytes, Reason> {
    let mut whole = BytesMut::with_capacity(length.map_or(0, |length| length as usize));
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let fits = match frame.data_ref() {
                    Some(piece) if whole.len() + piece.len() > max => false,
                    Some(piece) => {
                        whole.extend_from_slice(piece);
                        true
                    }
                    None => true,
                };
                let _ = tap.send(Piece::Frame(frame));
                if !fits {
                    let _ = tap.send(Piece::Rest(body));
                    return Err(Reason::TooLarge);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the app's answer broke off");
                let _ = tap.send(Piece::Broken(error));
                return Err(Reason::Incomplete);
            }
        }
    }
    Ok(whole.freeze())
}
