//! The whole program's tests, in one binary: it links once.

mod architecture;
mod broken_answers;
mod cache_groups;
mod cache_status;
mod caching;
mod coalescing;
mod conformance;
mod examples;
mod explain;
mod fidelity;
mod fleet;
mod fuzzing;
mod http2;
mod interop;
mod invalidation;
mod partial;
mod privacy;
mod proxying;
mod purging;
mod reliability;
mod requirements;
mod rfc9111;
mod running;
mod store;
mod support;
mod tls;
