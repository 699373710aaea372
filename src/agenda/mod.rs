//! What is to be fetched without a client, when and in which order: values only. `crate::jobs` does it.
//!
//! Times are milliseconds of fleet time.

mod backoff;
mod each;
mod graph;
mod queue;
mod run;
mod timing;
mod urls;
mod warm;

pub use backoff::pause;
pub use each::{Each, EachError, Expanded};
pub use graph::{GraphError, check_graph};
pub use queue::next_turn;
pub use run::{Counts, Fetch, Fetched, Kind, Next, Run, State, Trigger, What};
pub use timing::{Timing, TimingError};
pub use urls::{MAX_URLS, UrlError, check_path, expand};
pub use warm::{Source, Warm};
