//! How the app is spared, as decisions: how often it may be asked, who goes first, when to slow down.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `rate` | how many requests a time, as the config has it |
//! | `bucket` | when the next request may go |
//! | `line` | who of those who wait goes next |
//! | `ahead` | when what is stored is renewed before it expires |
//! | `pace` | how much of its rate background work may use, by how the app fares |
//! | `median` | what the app usually takes |
//! | `retry_after` | how long the app wants to be left alone |

mod ahead;
mod bucket;
mod fetch_origin;
mod line;
mod median;
mod pace;
mod rate;
mod retry_after;

pub use ahead::RefreshAhead;
pub use bucket::Bucket;
pub use fetch_origin::FetchOrigin;
pub use line::{Line, Place};
pub use median::Median;
pub use pace::{Pace, Trouble};
pub use rate::RequestRate;
pub use retry_after::{LONGEST, retry_after};
