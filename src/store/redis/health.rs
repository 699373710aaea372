//! Whether Redis is up, since when, and what the operator is told of it.
//!
//! One voice for the process: each loss is told once, however many connections notice it, then once a minute
//! while it lasts, and its end once.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::diagnosis::Diagnosis;

/// What is mended before is told as over only. By then it is known why, as a rule: an attempt to connect takes
/// at most so long.
const GRACE: Duration = Duration::from_secs(1);

/// After so long it is told although nobody knows why.
const UNEXPLAINED: Duration = Duration::from_secs(3);

/// How often it is told again while it lasts.
const REMINDER: Duration = Duration::from_secs(60);

/// Whether Redis is up, as the process knows it.
#[derive(Debug)]
pub(super) struct Health(Mutex<HealthState>);

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It cannot be used, and could not for so long.
    Down {
        lasted: Duration,
        diagnosis: Diagnosis,
    },
    /// It is in use for the first time.
    Up,
    /// It is in use again. The diagnosis is there if the loss was not told.
    Again {
        lasted: Duration,
        untold: Option<Diagnosis>,
    },
}

#[derive(Debug)]
struct HealthState {
    is_up: bool,
    was_up: bool,
    since: Instant,
    /// What is wrong, as last heard.
    diagnosis: Option<Diagnosis>,
    /// When this loss was told last.
    told: Option<Instant>,
}

impl Health {
    /// Not up yet.
    pub(super) fn new(now: Instant) -> Health {
        Health(Mutex::new(HealthState {
            is_up: false,
            was_up: false,
            since: now,
            diagnosis: None,
            told: None,
        }))
    }

    /// Remembers why Redis cannot be used.
    pub(super) fn blame(&self, diagnosis: Diagnosis) {
        self.0.lock().diagnosis = Some(diagnosis);
    }

    /// As [`Health::blame`], for what says less than anything that is known already.
    pub(super) fn blame_unless_known(&self, diagnosis: Diagnosis) {
        self.0.lock().diagnosis.get_or_insert(diagnosis);
    }

    /// Takes note of whether it is up; what is to be told now.
    pub(super) fn observe(&self, is_up: bool, now: Instant) -> Option<News> {
        let mut state = self.0.lock();
        match (state.is_up, is_up) {
            (true, true) => None,
            (false, true) => state.rise(now),
            (was_up, false) => {
                if was_up {
                    state.fall(now);
                }
                state.remind(now)
            }
        }
    }

    /// How long it has been as it is, and what is wrong while it is down.
    pub(super) fn describe(&self, now: Instant) -> (Duration, Option<Diagnosis>) {
        let state = self.0.lock();
        let diagnosis = state.diagnosis.clone().filter(|_| !state.is_up);
        (now.saturating_duration_since(state.since), diagnosis)
    }
}

impl HealthState {
    fn rise(&mut self, now: Instant) -> Option<News> {
        let lasted = now.saturating_duration_since(self.since);
        let (was_up, told) = (self.was_up, self.told.take());
        let diagnosis = self.diagnosis.take();
        (self.is_up, self.was_up, self.since) = (true, true, now);
        match (was_up, told, diagnosis) {
            (false, None, _) => Some(News::Up),
            (_, Some(_), _) => Some(News::Again {
                lasted,
                untold: None,
            }),
            (true, None, Some(diagnosis)) => Some(News::Again {
                lasted,
                untold: Some(diagnosis),
            }),
            // A further connection was added.
            (true, None, None) => None,
        }
    }

    fn fall(&mut self, now: Instant) {
        (self.is_up, self.since, self.told) = (false, now, None);
    }

    fn remind(&mut self, now: Instant) -> Option<News> {
        let lasted = now.saturating_duration_since(self.since);
        let is_due = match (self.told, &self.diagnosis) {
            (Some(told), _) => now.saturating_duration_since(told) >= REMINDER,
            (None, Some(_)) => lasted >= GRACE,
            (None, None) => lasted >= UNEXPLAINED,
        };
        if !is_due {
            return None;
        }
        self.told = Some(now);
        let diagnosis = self.diagnosis.clone().unwrap_or_else(|| Diagnosis {
            cause: "there is no connection to it yet".to_owned(),
            remedy: "see whether it runs there".to_owned(),
        });
        Some(News::Down { lasted, diagnosis })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is blamed, whether it is up, after how many ms, and what is told.
    type Step = (Option<&'static str>, bool, u64, Option<News>);

    fn diagnosis(cause: &str) -> Diagnosis {
        Diagnosis {
            cause: cause.to_owned(),
            remedy: "help".to_owned(),
        }
    }

    fn down(lasted: u64, cause: &str) -> Option<News> {
        Some(News::Down {
            lasted: Duration::from_millis(lasted),
            diagnosis: diagnosis(cause),
        })
    }

    fn again(lasted: u64, untold: Option<&str>) -> Option<News> {
        Some(News::Again {
            lasted: Duration::from_millis(lasted),
            untold: untold.map(diagnosis),
        })
    }

    #[test]
    fn each_loss_is_told_once_then_each_minute_and_its_end_once() {
        let rows: [(&str, Vec<Step>); 5] = [
            (
                "well from the start",
                vec![
                    (None, false, 0, None),
                    (None, true, 20, Some(News::Up)),
                    (None, true, 90_000, None),
                ],
            ),
            (
                "wrong from the start, the last cause counts",
                vec![
                    (Some("closed"), false, 10, None),
                    (Some("refused"), false, 1_000, down(1_000, "refused")),
                    (Some("refused"), false, 60_999, None),
                    (Some("loading"), false, 61_000, down(61_000, "loading")),
                    (None, true, 61_500, again(61_500, None)),
                ],
            ),
            (
                "two connections are lost, and another loss follows",
                vec![
                    (None, true, 0, Some(News::Up)),
                    (Some("closed"), false, 5_000, None),
                    (Some("closed"), false, 5_001, None),
                    (Some("refused"), false, 6_000, down(1_000, "refused")),
                    (Some("refused"), false, 6_001, None),
                    (None, true, 8_000, again(3_000, None)),
                    (None, true, 8_001, None),
                    (Some("refused"), false, 9_000, None),
                    (None, false, 10_000, down(1_000, "refused")),
                ],
            ),
            (
                "a short loss is told as over",
                vec![
                    (None, true, 0, Some(News::Up)),
                    (Some("closed"), false, 5_000, None),
                    (None, true, 5_040, again(40, Some("closed"))),
                    (None, false, 6_000, None),
                    (None, true, 6_001, None),
                ],
            ),
            (
                "nobody knows why",
                vec![
                    (None, false, 2_999, None),
                    (None, false, 3_000, {
                        let (cause, remedy) = (
                            "there is no connection to it yet",
                            "see whether it runs there",
                        );
                        let (cause, remedy) = (cause.to_owned(), remedy.to_owned());
                        let lasted = Duration::from_millis(3_000);
                        let diagnosis = Diagnosis { cause, remedy };
                        Some(News::Down { lasted, diagnosis })
                    }),
                ],
            ),
        ];
        for (case, steps) in rows {
            let start = crate::clock::monotonic();
            let health = Health::new(start);
            for (blamed, is_up, at, told) in steps {
                if let Some(cause) = blamed {
                    health.blame(diagnosis(cause));
                }
                let now = start + Duration::from_millis(at);
                assert_eq!(health.observe(is_up, now), told, "{case}, at {at} ms");
            }
        }
    }

    #[test]
    fn how_long_it_has_been_so_and_why() {
        let start = crate::clock::monotonic();
        let at = |seconds| start + Duration::from_secs(seconds);
        let health = Health::new(start);
        health.blame_unless_known(diagnosis("closed"));
        health.blame(diagnosis("refused"));
        health.blame_unless_known(diagnosis("closed"));
        health.observe(false, at(5));
        let (since, why) = health.describe(at(7));
        assert_eq!((since.as_secs(), why), (7, Some(diagnosis("refused"))));
        health.observe(true, at(8));
        health.blame(diagnosis("one request was late"));
        let (since, why) = health.describe(at(10));
        assert_eq!((since.as_secs(), why), (2, None));
    }
}
