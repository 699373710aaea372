//! Requests that may be answered from the store.
//!
//! [`answer_from_memory`] is a hit's whole way. What it cannot answer goes on in [`answer()`]: the store is
//! looked into, and the request leads a fill, waits for another's, or asks the app alone.

mod ahead;
mod answer;
mod audit;
mod audits;
mod coalesce;
mod examinations;
mod examine;
mod failure;
mod fill;
mod follow;
mod head_cache;
mod head_request;
mod hot;
mod lead;
mod look;
mod memo;
mod refetch;
mod refetches;
mod request;
mod respond;
mod shadow;
mod upcoming;
mod witness;

pub use audits::Audits;
pub use coalesce::Flights;
pub use examinations::Examinations;
pub use head_cache::HeadCache;
pub use refetches::Refetches;
pub use request::Cache;

pub(super) use answer::{answer, answer_anew, holds_fresh};
pub(super) use examine::millis;
pub(super) use look::{MemoryLookup, answer_from_memory};
pub(super) use refetch::refetch;
pub(super) use shadow::answer as answer_in_shadow;
