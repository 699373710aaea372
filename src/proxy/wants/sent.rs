//! The body of a request whose rule answers by it: read whole, up to `[defaults] max_variables`, within the time and
//! the rate that every client has. What is longer, or breaks, or has no room goes on as if nothing had been read.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use super::sources::Sources;
use crate::body::{Begun, Received};
use crate::in_flight::SHORT;
use crate::proxy::forward::outgoing;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::sent_body::SentBody;
use crate::proxy::request::whole_body;

/// Reads the body, which is then at hand for whoever sends the request on.
pub(super) async fn read(sources: &Sources, context: &mut RequestContext, body: &mut Received) {
    let cap = context.live.config.defaults.max_variables;
    context.sent = SentBody::Unreadable;
    if announced(context).is_some_and(|length| length > cap as u64) {
        return;
    }
    let incoming = match std::mem::replace(body, Received::Whole(Bytes::new())) {
        Received::Unread(incoming) => incoming,
        read => {
            *body = read;
            return;
        }
    };
    let mut share = sources.store.in_flight().take(0);
    let fits = |length: usize| {
        let more = (length as u64).saturating_sub(share.bytes());
        length <= cap && (length <= SHORT || share.try_grow(more))
    };
    *body = match Begun::read_whole(outgoing::timed(context, incoming), fits).await {
        Ok(bytes) => {
            let bytes = share.hold(bytes);
            whole_body::note(context, bytes.clone());
            Received::Whole(bytes)
        }
        Err(begun) => Received::Begun(begun),
    };
}

/// The length that the request states.
fn announced(context: &RequestContext) -> Option<u64> {
    let length = context.parts.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}
