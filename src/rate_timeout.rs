//! A timeout that bytes buy back: how slow a client may be.
//!
//! A timeout that starts anew with every byte lets who sends one a minute hold its place for ever. Here each byte
//! gives back the time that it should have taken at a least rate, and no more than the whole timeout is ever
//! left. The clock runs only while the other side is waited for; it runs back while that is not so, since who is
//! not waited for has caught up.

use std::time::Duration;

use tokio::time::Instant;

/// How long the other side of a connection may still be waited for.
#[derive(Clone, Copy, Debug)]
pub struct RateTimeout {
    timeout: Duration,
    /// Bytes a second; 0: any byte buys all of the timeout.
    min_rate: u64,
    /// Of the timeout, when the wait under way began or the last one ended.
    left: Duration,
    waits_since: Option<Instant>,
    /// When the last wait ended; of use only if that left less than the timeout.
    waited_until: Option<Instant>,
}

impl RateTimeout {
    /// `timeout` for the first byte, and in the long run `min_rate` bytes a second.
    pub fn new(timeout: Duration, min_rate: u64) -> RateTimeout {
        RateTimeout {
            timeout,
            min_rate,
            left: timeout,
            waits_since: None,
            waited_until: None,
        }
    }

    /// The whole timeout.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The other side is waited for, now if it was not before; until when it may be.
    pub fn wait(&mut self) -> Instant {
        let since = match self.waits_since {
            Some(since) => since,
            None => {
                let now = Instant::now();
                if let Some(until) = self.waited_until.take() {
                    self.give_back(now.duration_since(until));
                }
                *self.waits_since.insert(now)
            }
        };
        since + self.left
    }

    /// Since when the other side is waited for.
    pub fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    /// The wait is over, and so many bytes moved.
    pub fn note_moved(&mut self, bytes: usize) {
        if let Some(since) = self.waits_since.take() {
            let now = Instant::now();
            self.left = self.left.saturating_sub(now.duration_since(since));
            self.waited_until = Some(now);
        }
        if self.left < self.timeout {
            self.give_back(self.worth(bytes));
        }
    }

    /// The other side owes nothing: it is waited for no longer, and has all of the timeout next time.
    pub fn reset(&mut self) {
        self.waits_since = None;
        self.left = self.timeout;
    }

    fn give_back(&mut self, time: Duration) {
        self.left = self.timeout.min(self.left.saturating_add(time));
    }

    fn worth(&self, bytes: usize) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000);
        match nanos.checked_div(self.min_rate) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Seconds until a client that sends `bytes` after each `pause` is too slow; at most a day.
    async fn lasts(min_rate: u64, pause: u32, bytes: usize) -> u64 {
        let mut timeout = RateTimeout::new(TIMEOUT, min_rate);
        let begun = Instant::now();
        while begun.elapsed() < 86_400 * SECOND {
            let deadline = timeout.wait();
            tokio::time::sleep(pause * SECOND).await;
            if Instant::now() > deadline {
                return (deadline - begun).as_secs();
            }
            timeout.note_moved(bytes);
        }
        86_400
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_buy_time_at_the_least_rate() {
        let rows = [
            ("silence", 100, 60, 0, 30),
            ("a byte a second", 100, 1, 1, 30),
            ("half the rate", 100, 1, 50, 59),
            ("the rate", 100, 1, 100, 86_400),
            ("the rate in lumps", 100, 20, 2_000, 86_400),
            ("a pause longer than the timeout", 100, 31, 1_000_000, 30),
            ("no rate", 0, 20, 1, 86_400),
            ("no rate, and silence", 0, 31, 1, 30),
        ];
        for (name, min_rate, pause, bytes, expected) in rows {
            assert_eq!(lasts(min_rate, pause, bytes).await, expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_waited_for_catches_up() {
        let mut timeout = RateTimeout::new(TIMEOUT, 100);
        timeout.wait();
        tokio::time::sleep(20 * SECOND).await;
        timeout.note_moved(1);
        for (pause, left) in [(0, 10_010), (5, 15_010), (100, 30_000)] {
            tokio::time::sleep(pause * SECOND).await;
            let left = Duration::from_millis(left);
            assert_eq!(timeout.wait() - Instant::now(), left, "{pause}");
            timeout.note_moved(0);
        }
        timeout.wait();
        tokio::time::sleep(20 * SECOND).await;
        timeout.reset();
        assert_eq!(timeout.wait() - Instant::now(), TIMEOUT);
    }
}
