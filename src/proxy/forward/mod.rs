//! To the app and back: the request as it goes out, the exchange, and requests that only pass through.

pub(super) mod exchange;
pub(super) mod expect;
mod headers;
pub(super) mod max_forwards;
pub(super) mod outgoing;
pub(super) mod pass;
mod trace;
pub(super) mod upgrade;
