//! When a JWKS document is fetched, and how long what was fetched counts.

use std::time::{Duration, Instant};

/// However long a life it gives itself.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// If it says nothing.
const USUAL: Duration = Duration::from_secs(600);

/// After the first failure; each further one doubles it, up to the least wait after a success.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When to fetch next.
#[derive(Debug)]
pub(super) struct Schedule {
    /// How long keys count past their life.
    stale: Duration,
    /// Between two fetches, however many tokens name unknown keys and however short a life the document gives
    /// itself.
    least: Duration,
    asked: Option<Instant>,
    /// `None`: at once.
    due: Option<Instant>,
    /// Until when the keys count; `None`: there are none.
    good_until: Option<Instant>,
    failures: u32,
}

impl Schedule {
    pub(super) fn new(stale: Duration, least: Duration) -> Schedule {
        Schedule {
            stale,
            least,
            asked: None,
            due: None,
            good_until: None,
            failures: 0,
        }
    }

    /// Whether to fetch now; `missed`: a token has named a key that is unknown.
    pub(super) fn is_due(&self, now: Instant, missed: bool) -> bool {
        let may_ask_again = self.asked.is_none_or(|asked| now >= asked + self.least);
        self.due.is_none_or(|due| now >= due) || missed && may_ask_again
    }

    /// A fetch begins. Whether it brings anything within this time decides how long it may take.
    pub(super) fn start(&mut self, now: Instant) -> Option<Duration> {
        self.asked = Some(now);
        self.good_until
            .map(|until| until.saturating_duration_since(now))
    }

    /// Keys came that say they live for `life`; `share` of 0 to 1 keeps sidecars that started together from
    /// asking together.
    pub(super) fn succeed(&mut self, now: Instant, life: Option<Duration>, share: f64) {
        let life = life.unwrap_or(USUAL).clamp(self.least, LONGEST);
        let early = life.mul_f64(share / 10.0);
        self.due = Some(now + (life - early).max(self.least));
        self.good_until = Some(now + life + self.stale);
        self.failures = 0;
    }

    /// Nothing came that may be used.
    pub(super) fn fail(&mut self, now: Instant, share: f64) {
        let doubled = FIRST_RETRY * 2u32.pow(self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(self.least);
        self.due = Some(now + wait - wait.mul_f64(share / 10.0));
    }

    /// Whether the keys have just ceased to count.
    pub(super) fn take_expired(&mut self, now: Instant) -> bool {
        self.good_until.take_if(|until| now >= *until).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn due_after(life: Option<u32>, share: f64) -> Duration {
        let start = clock::monotonic();
        let mut schedule = Schedule::new(Duration::ZERO, 30 * SECOND);
        schedule.succeed(start, life.map(|life| life * SECOND), share);
        let due = (0..=100_000u32).find(|after| schedule.is_due(start + *after * SECOND, false));
        due.expect("some day") * SECOND
    }

    #[test]
    fn a_document_is_renewed_by_its_own_word_within_bounds() {
        for (case, life, share, expected) in [
            ("as it says", Some(300), 0.0, 300),
            ("a little early", Some(300), 1.0, 270),
            ("it says nothing", None, 0.0, 600),
            ("at once", Some(0), 0.5, 30),
            ("never early of the least", Some(31), 1.0, 30),
            ("never", Some(100 * 24 * 3600), 0.0, 24 * 3600),
        ] {
            assert_eq!(due_after(life, share), expected * SECOND, "{case}");
        }
    }

    #[test]
    fn unknown_keys_are_asked_for_at_most_every_thirty_seconds() {
        let start = clock::monotonic();
        let mut schedule = Schedule::new(Duration::ZERO, 30 * SECOND);
        assert!(schedule.is_due(start, false), "at the start");
        let mut asked = 0;
        for millisecond in 0..600_000 {
            let now = start + Duration::from_millis(millisecond);
            if schedule.is_due(now, true) {
                asked += 1;
                schedule.start(now);
                schedule.succeed(now, Some(3600 * SECOND), 0.0);
            }
        }
        assert_eq!(asked, 20, "in ten minutes");
    }

    #[test]
    fn keys_that_cannot_be_renewed_count_for_a_while() {
        let start = clock::monotonic();
        let mut schedule = Schedule::new(600 * SECOND, 30 * SECOND);
        schedule.start(start);
        schedule.succeed(start, Some(60 * SECOND), 0.0);
        let mut asked = Vec::new();
        let mut expired = Vec::new();
        for second in 1..=2_000 {
            let now = start + second * SECOND;
            if schedule.take_expired(now) {
                expired.push(second);
            }
            if schedule.is_due(now, false) {
                asked.push(second);
                schedule.start(now);
                schedule.fail(now, 0.0);
            }
        }
        assert_eq!(asked[..7], [60, 61, 63, 67, 75, 91, 121]);
        assert_eq!(asked[7] - asked[6], 30, "and so on");
        assert_eq!(expired, [660], "the life and what is allowed past it, once");
    }

    #[test]
    fn a_fetch_ends_when_the_keys_do() {
        let start = clock::monotonic();
        let mut schedule = Schedule::new(5 * SECOND, 30 * SECOND);
        assert_eq!(schedule.start(start), None, "there are none to lose");
        schedule.succeed(start, Some(30 * SECOND), 0.0);
        assert_eq!(schedule.start(start + 33 * SECOND), Some(2 * SECOND));
    }
}
