//! The whole program's tests, in one binary: it links once.

mod architecture;
mod caching;
mod examples;
mod fleet;
mod proxying;
mod purging;
mod running;
mod store;
mod support;
