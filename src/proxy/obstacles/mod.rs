//! All that stands between a request, or an answer to it, and a hit: each with the line of the config that lifts
//! it.
//!
//! What stands in the way is [`plan::obstacles`]' and [`http_cache::obstacles`]' to say, which are made of the very
//! conditions that decide; here it is put into words. Values of credentials are never shown.

mod lift;
pub(super) mod log;
mod obstacle;
mod of_answer;
mod of_request;

#[cfg(doc)]
use crate::{http_cache, proxy::request::plan};

pub use lift::Edit;
pub use obstacle::{Obstacle, Told, edits};
pub use of_answer::of_answer;
pub use of_request::of_request;

#[cfg(test)]
mod tests;
