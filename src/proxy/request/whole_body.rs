//! A request with its whole body, for a rule that answers by it.

use std::sync::Arc;

use bytes::Bytes;

use super::context::RequestContext;
use super::sent_body::{SentBody, WholeBody};
use super::variables::read_body;
use crate::routes::body_digest::digest;

/// Says what the body is; one over `[defaults] max_variables` is of no use.
pub fn note(context: &mut RequestContext, bytes: Bytes) {
    let (fields, cap) = (
        &context.parts.headers,
        context.live.config.defaults.max_variables,
    );
    if bytes.len() > cap {
        context.sent = SentBody::Unreadable;
        return;
    }
    context.sent = SentBody::Whole(Arc::new(WholeBody {
        digest: digest(fields, &bytes),
        document: read_body(fields, Some(&bytes), cap),
        bytes,
    }));
}
