//! Keys that will be fetched for the store when it is their turn, so that each waits for it once.

use std::sync::Arc;

use ahash::AHashSet;
use parking_lot::Mutex;

use super::memo::FlightKey;
use crate::proxy::request::plan::Lookup;

/// The most that wait for their turn (promise I7): what is served meanwhile asks for more soon enough.
const MAX: usize = 4096;

/// The keys of the process that will be fetched.
#[derive(Debug, Default)]
pub(super) struct Upcoming(Mutex<AHashSet<FlightKey>>);

/// One of them, until it is dropped.
pub(super) struct Announced {
    upcoming: Arc<Upcoming>,
    key: FlightKey,
}

impl Upcoming {
    /// One more; `None`: it is among them, or there are too many.
    pub(super) fn announce(self: &Arc<Self>, lookup: &Arc<Lookup>) -> Option<Announced> {
        let key = FlightKey::of(lookup);
        let mut keys = self.0.lock();
        if keys.len() >= MAX || !keys.insert(key.clone()) {
            return None;
        }
        let upcoming = self.clone();
        Some(Announced { upcoming, key })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.upcoming.0.lock().remove(&self.key);
    }
}
