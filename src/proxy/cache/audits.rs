//! Whose turn it is to ask the app for an audit: one at a time, with a pause after each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;
use crate::gate::{self, Background};

/// The pause after an audit, in multiples of what it took.
const PAUSE_BY_WORK: u32 = 10;

/// The audits of the process.
#[derive(Debug, Default)]
pub struct Audits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_busy: bool,
    /// Not before then.
    next: Option<Instant>,
}

/// The right to ask.
pub(super) struct Turn {
    audits: Arc<Audits>,
    began: Instant,
    /// Instead of the usual one.
    pub(super) pause: Option<Duration>,
    _among_all: gate::Turn,
}

impl Audits {
    /// The right to ask, if nobody has it, it is time, and no other background work is waited for.
    pub(super) fn begin(self: &Arc<Self>, all: &Arc<Background>) -> Option<Turn> {
        let mut state = self.0.lock();
        let began = clock::monotonic();
        if state.is_busy || state.next.is_some_and(|next| began < next) {
            return None;
        }
        let among_all = all.try_begin()?;
        state.is_busy = true;
        drop(state);
        Some(Turn {
            audits: self.clone(),
            began,
            pause: None,
            _among_all: among_all,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = clock::monotonic();
        let usual = (now - self.began) * PAUSE_BY_WORK;
        let mut state = self.audits.0.lock();
        state.is_busy = false;
        state.next = Some(now + self.pause.unwrap_or(usual));
    }
}
