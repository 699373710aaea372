//! What a fill hands the client that caused it.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};

use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, validation};
use crate::proxy::cached::Quest;

/// What the client that caused a fill gets.
pub(in crate::proxy) enum Answer {
    /// The app's answer, as it comes.
    Streamed {
        /// Head and body.
        response: Response<Body>,
        /// The freshness left, in seconds, of what is being stored, or why nothing is.
        kept: Result<i64, Reason>,
        /// The app's status.
        status: StatusCode,
    },
    /// The app confirmed what is stored.
    Confirmed {
        /// Brought up to date.
        variant: Arc<Variant>,
        /// 304.
        status: StatusCode,
        /// Fields of the 304 that are for this client alone, such as cookies.
        personal: HeaderMap,
    },
    /// The app sent what a stored part lacked.
    Completed {
        /// Whole now.
        variant: Arc<Variant>,
        /// 206.
        status: StatusCode,
    },
    /// Another sidecar stored it meanwhile.
    Found {
        /// From Redis.
        variant: Arc<Variant>,
    },
    /// No answer.
    Failed(StatusCode, Reason),
}

impl Quest {
    /// The app's answer, which is being `stored`, as the client gets it: 304 if it has it already
    /// (RFC 9111 §4.3.2).
    pub(super) fn unless_held(&self, response: Response<Body>, stored: &Stored) -> Response<Body> {
        if !validation::not_modified(&self.head(), stored) {
            return response;
        }
        let policy = self.asked.live.rule(self.lookup.rule).policy;
        let mut fields = validation::not_modified_headers(&stored.headers);
        fields.extend(validation::personal(response.headers(), stored, policy));
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        *answer.headers_mut() = fields;
        answer
    }
}
