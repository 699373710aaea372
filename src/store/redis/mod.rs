//! The Redis tier: shared by a fleet of sidecars, and optional at every instant (promise I4).
//!
//! What is stored is in one shard on a single server, and in several in a cluster, each at one of its nodes. A `Tier` is
//! one shard as all threads of the process share it, an `AttachedTier` what one runtime has of it: a
//! connection of its own, with the task that keeps it in session, the `supervisor`; or the connection of another runtime,
//! which does its errands (`runner`). Requests use a connection only within a session (`session`). `Tiers` and
//! `AttachedTiers` are all of them: a session, its trust and what waits for it are a shard's own, and what shards know of each
//! other is in the `overview`. Shards at one node share its client (`nodes`), which is found by the map of `slots`.
//!
//! Files use each other downwards only: `tiers` and `attached_tiers` are above `attached`, which with `supervisor` uses the commands (`lookups`, `requests`,
//! `leases` and `lease`, in `batches`, `purge`, `room`, `sweep`, `beat`, `takeover`, `recovery`, `tracking`); these are sent in a `scope` of a
//! `connection`, which knows the `tier`; the rest stands alone, but for the `recorder`, which keeps a `record` of the
//! `journal` and the `lineage` in the `journal_file`.

mod access;
mod attached;
mod attached_tiers;
mod batches;
mod beat;
mod breaker;
mod chores;
mod clients;
mod connection;
mod connector;
mod deadlines;
mod diagnosis;
mod error;
mod health;
mod hit_counts;
mod hits;
mod hot;
mod jobs;
mod journal;
mod journal_file;
mod keys;
mod later;
mod layouts;
mod lease;
mod leases;
mod lineage;
mod lookups;
mod managed;
mod nodes;
mod overview;
mod purge;
mod purpose;
mod recent_writes;
mod record;
mod recorder;
mod recovery;
mod requests;
mod rights;
mod room;
mod runner;
mod scope;
mod scripts;
mod sentinels;
mod server_limits;
mod session;
mod sidecars;
mod slots;
mod status;
mod supervisor;
mod sweep;
mod switches;
mod takeover;
mod tier;
mod tiers;
mod tracking;
mod trust;
mod unlisted;
mod unreleased;
mod unstored;
mod unwatch;
mod usage;

pub(super) use self::attached::AttachedTier;
pub(super) use self::attached_tiers::AttachedTiers;
pub use self::diagnosis::Diagnosis;
pub use self::error::Unanswered;
pub use self::hot::MAX_HOT_LIST;
pub use self::jobs::{Claimed, JobClaim, JobEnd, JobProgress, JobRecord, Renewed};
pub(super) use self::jobs::{JobQuestion, read_records};
pub(super) use self::journal::{Masked, PurgeInFlight};
pub use self::journal_file::JournalError;
pub(super) use self::journal_file::Outlives;
pub(super) use self::later::GRACE;
pub(super) use self::layouts::Presence;
pub(super) use self::lease::{HeldLease, Holder, Lease, Put, Wanted, Wishes};
pub(super) use self::purpose::Purpose;
pub use self::recent_writes::NewWrites;
pub(super) use self::requests::NotPurged;
pub use self::server_limits::{Managed, ServerConnections};
pub(super) use self::session::Session;
pub use self::sidecars::SidecarWord;
pub use self::status::RedisStatus;
pub use self::switches::SwitchToKeep;
pub(super) use self::tier::Tier;
pub(super) use self::tiers::{Surroundings, Tiers, sharding_of};
pub(super) use self::usage::Counters;
