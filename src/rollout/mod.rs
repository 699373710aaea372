//! How far a rule's answers come from the cache: off, compared only (shadow), for a share of its keys, or on; what the
//! switches of a fleet make of the file. Values in, values out.

mod compare;
mod dial;
mod evidence;
mod find;
mod mode;
mod order;
mod rate;
mod switches;
mod writes;

pub use compare::{Compared, Pointer, Reply, compare};
pub use dial::Dial;
pub use evidence::{Comparison, Evidence, Kind, RuleEvidence, Tally, Verdict};
pub use find::{Account, Finding, Read, account, missing_purge};
pub use mode::{Mode, Rollout, is_within};
pub use order::{Order, OrderError};
pub use rate::Rate;
pub use switches::{Subject, Switch, Switches};
pub use writes::{RecentWrites, UnderWay, Write};
