//! How many frames a client may send that ask for nothing: a flood of them costs it little and us much
//! (RFC 9113 §10.5).
//!
//! Each takes one from a budget. Time gives some back, and so does what such frames follow in ordinary use: a
//! request (priorities, a reset), and a piece of an answer (its windows, a ping to measure the line). A piece
//! counts when it is made and not when it is sent, so that windows opened by a byte at a time earn nothing.

use tokio::time::Instant;

/// What a connection begins with: some clients announce whole trees of priorities.
const FIRST: usize = 1_000;
/// What can be saved up: a client may take megabytes before it opens its windows again.
const MOST: usize = 10_000;
/// Given by a second.
const BY_SECOND: usize = 100;
/// Given by a request.
const BY_HEAD: usize = 8;
/// Given by a piece of an answer: two windows, a ping, one to spare.
const BY_PIECE: usize = 4;
/// Bytes of a piece that give one more: clients with small windows open them more often.
const BYTES: usize = 512;

/// What a client has left for frames that ask for nothing.
#[derive(Debug)]
pub(in crate::server) struct FrameBudget {
    left: usize,
    /// Until when time has been counted.
    counted: Instant,
}

impl FrameBudget {
    pub(in crate::server) fn new(now: Instant) -> FrameBudget {
        FrameBudget {
            left: FIRST,
            counted: now,
        }
    }

    /// Takes `frames` that ask for nothing; false if that is more than is left. `heads` came beside them,
    /// and pieces of answers have earned `earned` since the last call.
    pub(in crate::server) fn take(
        &mut self,
        frames: usize,
        heads: usize,
        earned: usize,
        now: Instant,
    ) -> bool {
        let passed = now.duration_since(self.counted);
        let by_time = passed.as_millis() as usize * BY_SECOND / 1_000;
        if by_time > 0 {
            self.counted = now;
        }
        let given = by_time
            .saturating_add(heads * BY_HEAD)
            .saturating_add(earned);
        self.left = self.left.saturating_add(given).min(MOST);
        let enough = frames <= self.left;
        self.left = self.left.saturating_sub(frames);
        enough
    }
}

/// What a piece of an answer gives.
pub(super) fn earned_by_piece(bytes: usize) -> usize {
    BY_PIECE + bytes / BYTES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// In which time gives one.
    const ONE: Duration = Duration::from_millis(1_000 / BY_SECOND as u64);

    /// Calls of `take` that succeed, of at most 100,000.
    fn lasts(frames: usize, heads: usize, earned: usize, pause: Duration) -> usize {
        let mut now = Instant::now();
        let mut budget = FrameBudget::new(now);
        let mut takes = 0;
        while takes < 100_000 && budget.take(frames, heads, earned, now) {
            takes += 1;
            now += pause;
        }
        takes
    }

    #[test]
    fn floods_end_and_ordinary_use_does_not() {
        const FOR_EVER: usize = 100_000;
        let piece = earned_by_piece(16 << 10);
        let rows = [
            ("at once", lasts(1, 0, 0, Duration::ZERO), FIRST),
            ("all in one", lasts(FIRST + 1, 0, 0, Duration::ZERO), 0),
            ("now and then", lasts(1, 0, 0, ONE), FOR_EVER),
            ("too often", lasts(2, 0, 0, ONE), FIRST - 1),
            (
                "windows and a ping for each piece",
                lasts(3, 0, piece, Duration::ZERO),
                FOR_EVER,
            ),
            (
                "the same for small pieces",
                lasts(3, 0, earned_by_piece(10), Duration::ZERO),
                FOR_EVER,
            ),
            (
                "windows of a kilobyte",
                lasts(32, 0, piece, Duration::ZERO),
                FOR_EVER,
            ),
            (
                "windows of a byte",
                lasts(16 << 10, 0, piece, Duration::ZERO),
                0,
            ),
            (
                "priority and reset for each request",
                lasts(4, 1, 0, Duration::ZERO),
                FOR_EVER,
            ),
        ];
        for (name, lasted, expected) in rows {
            assert_eq!(lasted, expected, "{name}");
        }
    }

    #[test]
    fn what_is_saved_up_has_an_end() {
        let now = Instant::now();
        let mut budget = FrameBudget::new(now);
        let later = now + Duration::from_secs(86_400);
        assert!(budget.take(MOST, 0, 0, later));
        assert!(!budget.take(1, 0, 0, later));
    }
}
