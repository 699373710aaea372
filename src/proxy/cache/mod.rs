//! Requests that may be answered from the store.
//!
//! [`answer_from_memory`] is a hit's whole way. What it cannot answer goes on in [`answer()`]: the store is
//! looked into, and the request leads a fill, waits for another's, or asks the app alone.

mod answer;
mod coalesce;
mod failure;
mod fill;
mod follow;
mod head_cache;
mod head_request;
mod lead;
mod look;
mod memo;
mod request;
mod respond;

pub use coalesce::Flights;
pub use head_cache::HeadCache;
pub use request::Cache;

pub(super) use answer::answer;
pub(super) use look::{MemoryLookup, answer_from_memory};
