//! One `[[warm]]` table.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::each::Each;
use super::timing::Timing;
use crate::entry::Priority;

/// A job that fetches known URLs.
#[derive(Clone, Debug, PartialEq)]
pub struct Warm {
    /// Unique among jobs.
    pub name: String,
    /// What it fetches.
    pub source: Source,
    /// Scheme and host under which it is stored, such as `https://shop.example`.
    pub origin: String,
    /// Fields of each request; never a credential.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether it runs when a sidecar starts.
    pub on_start: bool,
    /// When it runs beside; `None`: never by itself.
    pub timing: Option<Timing>,
    /// Who goes first.
    pub priority: Priority,
    /// How often a URL is tried again.
    pub retries: u32,
    /// For one fetch, its body included.
    pub timeout: Duration,
    /// Jobs whose runs it waits for.
    pub after: Vec<String>,
    /// Whether `/readyz` waits for its run at the start.
    pub ready: bool,
}

/// Where a job's URLs come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Paths with their queries.
    Listed(Vec<String>),
    /// A path whose JSON answer names them.
    From {
        /// Of the list.
        list: String,
        /// Made of each element.
        each: Each,
    },
}

impl Warm {
    /// Whether it runs when the jobs that it comes after have ended well: nothing else makes it run.
    pub fn follows(&self) -> bool {
        !self.on_start && self.timing.is_none() && !self.after.is_empty()
    }

    /// Whether nothing but an order makes it run.
    pub fn waits_for_orders(&self) -> bool {
        !self.on_start && self.timing.is_none() && self.after.is_empty()
    }
}
