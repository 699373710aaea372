//! How far a rule's answers come from the cache: off, compared only (shadow), for a share of its keys, or on; what the
//! switches of a fleet make of the file. Values in, values out.

mod dial;
mod mode;
mod order;
mod switches;

pub use dial::Dial;
pub use mode::{Mode, Rollout, is_within};
pub use order::{Order, OrderError};
pub use switches::{Subject, Switch, Switches};
