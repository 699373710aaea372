//! The whole program's tests, in one binary: it links once.

mod architecture;
mod broken_answers;
mod caching;
mod coalescing;
mod examples;
mod fleet;
mod http2;
mod partial;
mod proxying;
mod purging;
mod running;
mod store;
mod support;
mod tls;
