//! The two tiers behind one interface: memory in front, Redis behind it and shared by the fleet.
//!
//! A fill takes a [`Ticket`] before it asks the app and hands it back with what it fetched. The store
//! refuses it if anything that covers the key was purged in between: in this process by the
//! [`Fence`], in the fleet by the key's lease in Redis, which a purge deletes.

pub mod fence;
pub mod memory;
pub mod redis;

mod compression;
mod decisions;
mod fills;
mod gauges;
mod handle;
mod inspect;
mod jobs;
mod later;
mod purges;
mod reads;
mod sharding;
mod ticket;

pub use self::decisions::CheckTicket;
pub use self::fence::{Fence, Mark, Tags};
pub use self::fills::NotStored;
pub use self::handle::{Status, Store};
pub use self::inspect::{Holding, Inspection};
pub use self::jobs::FleetJobs;
pub use self::memory::Memory;
pub use self::purges::Purged;
pub use self::redis::{
    Claimed, JobClaim, JobEnd, JobProgress, JobRecord, JournalError, MAX_HOT_LIST, NewWrites,
    Renewed, SidecarWord, SwitchToKeep, Unanswered,
};
pub use self::ticket::Ticket;
