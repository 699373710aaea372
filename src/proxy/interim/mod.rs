//! Interim answers (1xx, RFC 9110 §15.2) on their way from the app to the client.
//!
//! hyper's server has no way to send them, so they go round it: whoever reads the app's connection puts
//! them into the client connection's [`Interims`], and its [`Transport`] takes them out when nothing else
//! is being written. Each belongs to one request by its number; what comes too late for it is dropped,
//! so it can never be taken for part of another answer. HTTP/2 clients get none: hyper's server does
//! not hand out the streams.

mod queue;
mod transport;

pub use queue::{Interims, Sink, Turn};
pub use transport::Transport;
