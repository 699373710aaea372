//! What is answered when the app fails: something stored, if it may take the answer's place.

use std::sync::Arc;

use http::StatusCode;

use super::request::CacheRequestRef;
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::proxy::forward::exchange::describe_failure;
use crate::proxy::outcome::Outcome;

/// `variant` in place of the app's failure (RFC 5861 §4).
pub(super) fn stale_if_error(request: CacheRequestRef<'_>, variant: &Arc<Variant>) -> Outcome {
    request.outcome_of_stored(Reason::StaleIfError, variant)
}

/// The app failed, and nothing stored may take its place: not even `held`, if it must be validated
/// (RFC 9111 §5.2.2.2 asks for 504 then).
pub(super) fn failed(
    request: CacheRequestRef<'_>,
    held: &Option<Arc<Variant>>,
    status: StatusCode,
    reason: Reason,
) -> Outcome {
    let disconnected = matches!(reason, Reason::UpstreamError | Reason::UpstreamTimeout);
    let status = match held {
        Some(held) if disconnected && held.stored.must_revalidate => StatusCode::GATEWAY_TIMEOUT,
        _ => status,
    };
    let response = describe_failure(request.context, status, reason);
    request.outcome(reason, response)
}
