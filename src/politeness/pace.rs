//! How much of its rate background work may use, by how the app fares: halved at each trouble, and an eighth more for
//! each second without (additive increase, multiplicative decrease, as of TCP: RFC 5681); near the share at which the
//! last trouble came, slowly (as CUBIC does: RFC 9438), since there the app has most likely its limit.

use std::time::{Duration, Instant};

/// Never less, so that it is seen when the app is well again.
const LEAST: f64 = 1.0 / 16.0;

/// What a second without trouble adds.
const STEP: f64 = 1.0 / 8.0;

/// What it adds near the share at which the last trouble came.
const CAREFUL_STEP: f64 = 1.0 / 256.0;

/// Near: from this part of it on.
const NEAR: f64 = 0.75;

/// So long after a change the answers to what was asked before it say nothing new.
const SETTLING: Duration = Duration::from_secs(1);

/// Errors in a row that are trouble.
const ERRORS: u32 = 5;

/// Answers that are looked at together.
const WINDOW: usize = 16;

/// By how much the app has to be slower than usual.
const SLOWER: f64 = 2.0;

/// Shorter times differ by chance.
const NOISE: Duration = Duration::from_millis(5);

/// Why background work is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Several errors in a row.
    Errors,
    /// The app takes twice as long as without it.
    Slow,
    /// The app said 429.
    TooMany,
}

impl Trouble {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::Errors => "five errors in a row",
            Trouble::Slow => "it takes twice as long as without",
            Trouble::TooMany => "it says 429",
        }
    }
}

/// The share of its rate that background work may use now.
#[derive(Clone, Debug)]
pub struct Pace {
    share: f64,
    /// At which the last trouble came; `None` once that share has been passed.
    ceiling: Option<f64>,
    /// When the share changed.
    changed: Option<Instant>,
    /// When it was halved.
    halved: Option<Instant>,
    /// In a row.
    errors: u32,
    /// How much slower than usual each of the last answers was.
    ratios: Vec<f64>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            share: 1.0,
            ceiling: None,
            changed: None,
            halved: None,
            errors: 0,
            ratios: Vec::with_capacity(WINDOW),
        }
    }
}

impl Pace {
    /// More than 0, and at most 1.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Whether it is slowed down.
    pub fn is_slowed(&self) -> bool {
        self.share < 1.0
    }

    /// The app answered background work properly.
    pub fn note_success(&mut self, now: Instant) {
        self.errors = 0;
        let since = self
            .changed
            .map(|changed| now.saturating_duration_since(changed));
        if self.is_slowed() && since.is_none_or(|since| since >= SETTLING) {
            self.grow();
            self.changed = Some(now);
        }
    }

    fn grow(&mut self) {
        self.ceiling = self.ceiling.filter(|ceiling| self.share <= *ceiling);
        let grown = match self.ceiling.map(|ceiling| ceiling * NEAR) {
            Some(near) if self.share < near => (self.share + STEP).min(near),
            Some(_) => self.share + CAREFUL_STEP,
            None => self.share + STEP,
        };
        self.share = grown.min(1.0);
    }

    /// The app failed at background work. Returns what slows it down, if this does.
    pub fn note_error(&mut self, now: Instant) -> Option<Trouble> {
        self.errors += 1;
        if self.errors < ERRORS {
            return None;
        }
        self.errors = 0;
        self.slow_down(now, Trouble::Errors)
    }

    /// The app said that there are too many requests.
    pub fn note_too_many(&mut self, now: Instant) -> Option<Trouble> {
        self.slow_down(now, Trouble::TooMany)
    }

    /// The app took so long beside background work, for what it usually takes `usual` for.
    pub fn note_took(&mut self, now: Instant, took: Duration, usual: Duration) -> Option<Trouble> {
        let is_told = took.abs_diff(usual) > NOISE;
        let ratio = took.as_secs_f64() / usual.as_secs_f64().max(1e-6);
        self.ratios.push(if is_told { ratio } else { 1.0 });
        if self.ratios.len() < WINDOW {
            return None;
        }
        self.ratios.sort_unstable_by(f64::total_cmp);
        let median = self.ratios[WINDOW / 2];
        self.ratios.clear();
        if median < SLOWER {
            return None;
        }
        self.slow_down(now, Trouble::Slow)
    }

    fn slow_down(&mut self, now: Instant, trouble: Trouble) -> Option<Trouble> {
        let since = self
            .halved
            .map(|halved| now.saturating_duration_since(halved));
        if self.is_slowed() && since.is_some_and(|since| since < SETTLING) {
            return None;
        }
        self.ceiling = Some(self.share);
        self.share = (self.share / 2.0).max(LEAST);
        self.halved = Some(now);
        self.changed = Some(now);
        self.ratios.clear();
        Some(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At this millisecond.
    #[derive(Clone)]
    enum Step {
        Success(u64),
        Error(u64),
        TooMany(u64),
        /// So many answers that took so many milliseconds instead of ten.
        Took(u64, usize, u64),
    }
    use Step::{Error, Success, TooMany, Took};

    fn share_after(steps: &[Step]) -> f64 {
        let (mut pace, start) = (Pace::default(), crate::clock::monotonic());
        let at = |millis: &u64| start + Duration::from_millis(*millis);
        for step in steps {
            match step {
                Success(time) => pace.note_success(at(time)),
                Error(time) => drop(pace.note_error(at(time))),
                TooMany(time) => drop(pace.note_too_many(at(time))),
                Took(time, count, took) => {
                    for _ in 0..*count {
                        let took = Duration::from_millis(*took);
                        let _ = pace.note_took(at(time), took, Duration::from_millis(10));
                    }
                }
            }
        }
        pace.share()
    }

    #[test]
    fn how_it_follows_the_app() {
        let errors = |from: u64, count: u64| (from..from + count).map(Error).collect::<Vec<_>>();
        let well_after_trouble = |seconds: std::ops::Range<u64>| {
            std::iter::once(TooMany(0))
                .chain(seconds.map(|n| Success(n * 1000)))
                .collect::<Vec<_>>()
        };
        let many = |seconds: u64| (0..seconds).map(|n| TooMany(n * 1000)).collect::<Vec<_>>();
        let rows: Vec<(&str, Vec<Step>, f64)> = vec![
            ("well", vec![Success(0), Success(1)], 1.0),
            ("four errors", errors(0, 4), 1.0),
            ("five errors", errors(0, 5), 0.5),
            (
                "five errors, not in a row",
                [errors(0, 4), vec![Success(4)], errors(5, 1)]
                    .into_iter()
                    .flatten()
                    .collect(),
                1.0,
            ),
            ("ten errors at once are one trouble", errors(0, 10), 0.5),
            (
                "ten errors in two seconds are two",
                [errors(0, 5), errors(2000, 5)]
                    .into_iter()
                    .flatten()
                    .collect(),
                0.25,
            ),
            ("one 429", vec![TooMany(0)], 0.5),
            ("never nothing", many(20), 1.0 / 16.0),
            (
                "at once after it nothing is better",
                vec![TooMany(0), Success(999)],
                0.5,
            ),
            (
                "an eighth a second",
                vec![TooMany(0), Success(1000), Success(1001), Success(2000)],
                0.75,
            ),
            (
                "near the trouble carefully",
                well_after_trouble(1..4),
                0.75 + 1.0 / 256.0,
            ),
            ("up to all of it", well_after_trouble(1..70), 1.0),
            (
                "the last trouble counts",
                [
                    vec![TooMany(0), TooMany(2000)],
                    (3..7).map(|n| Success(n * 1000)).collect(),
                ]
                .concat(),
                0.375 + 3.0 / 256.0,
            ),
            (
                "trouble right after it was given more",
                vec![TooMany(0), Success(3000), TooMany(3100)],
                0.3125,
            ),
            (
                "what was passed is no trouble any more",
                [
                    vec![TooMany(0), TooMany(2000)],
                    (3..39).map(|n| Success(n * 1000)).collect(),
                ]
                .concat(),
                0.5 + 1.0 / 256.0 + 2.0 / 8.0,
            ),
            ("too few slow ones", vec![Took(0, WINDOW - 1, 50)], 1.0),
            ("twice as slow", vec![Took(0, WINDOW, 20)], 0.5),
            ("not twice as slow", vec![Took(0, WINDOW, 19)], 1.0),
            ("slower by chance", vec![Took(0, WINDOW, 15)], 1.0),
            (
                "half of them slow is not most",
                vec![
                    Took(0, WINDOW / 2, 10),
                    Took(0, WINDOW / 2 - 1, 90),
                    Took(0, 1, 10),
                ],
                1.0,
            ),
        ];
        for (name, steps, expected) in rows {
            assert_eq!(share_after(&steps), expected, "{name}");
        }
    }
}
