//! The mode of a rule as requests read it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::mode::{Mode, Rollout};

/// What holds for a rule now: one word that every request of the rule reads, and that a switch turns at any time.
#[derive(Debug)]
pub struct Dial(AtomicU32);

const FULL: u32 = pack(Rollout::FULL);

impl Dial {
    /// Set so.
    pub fn new(rollout: Rollout) -> Dial {
        Dial(AtomicU32::new(pack(rollout)))
    }

    /// Turns it; whether that changed anything.
    pub fn turn(&self, rollout: Rollout) -> bool {
        let packed = pack(rollout);
        self.0.swap(packed, Ordering::Relaxed) != packed
    }

    /// Whether the rule is on for all keys: all that most requests ask.
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FULL
    }

    /// As it is set.
    pub fn read(&self) -> Rollout {
        let packed = self.0.load(Ordering::Relaxed);
        Rollout {
            mode: Mode::ALL[(packed >> 8) as usize % Mode::ALL.len()],
            percent: packed as u8,
        }
    }
}

const fn pack(rollout: Rollout) -> u32 {
    (rollout.mode as u32) << 8 | rollout.percent as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_set() {
        let dial = Dial::new(Rollout::FULL);
        assert!(dial.is_full() && !dial.turn(Rollout::FULL));
        for mode in Mode::ALL {
            for percent in [1, 50, 99, 100] {
                let rollout = Rollout { mode, percent };
                dial.turn(rollout);
                assert_eq!(dial.read(), rollout);
                assert_eq!(dial.is_full(), rollout == Rollout::FULL);
            }
        }
    }
}
