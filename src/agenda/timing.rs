//! When a job runs: its slots, in milliseconds of fleet time. Every sidecar finds the same ones.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The schedule of a job.
#[derive(Clone, Debug)]
pub enum Timing {
    /// Once in each period of so many milliseconds, `offset` behind its beginning: jobs of one period do not all run at
    /// one time.
    Every {
        /// The period.
        period: u64,
        /// Below the period.
        offset: u64,
    },
    /// At the times of a cron pattern, by the clock of a zone.
    Cron {
        /// As written.
        text: String,
        /// The pattern.
        cron: Box<Cron>,
        /// As written.
        zone_name: String,
        /// The zone.
        zone: TimeZone,
    },
}

/// Why there is no such schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The pattern.
    #[error("\"{text}\" is no cron pattern ({why})")]
    Cron {
        /// As written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// It has a pattern, and no time follows.
    #[error("no time of \"{0}\" will ever come")]
    Never(String),
    /// The zone.
    #[error("there is no time zone \"{0}\"")]
    Zone(String),
}

impl PartialEq for Timing {
    fn eq(&self, other: &Timing) -> bool {
        self.show() == other.show()
    }
}

impl Timing {
    /// Once in each `period`; `name` says where in it.
    pub fn every(period: Duration, name: &str) -> Timing {
        let period = (period.as_millis() as u64).max(1);
        let offset = u64::from(crc32fast::hash(name.as_bytes())) % period;
        Timing::Every { period, offset }
    }

    /// Minute, hour, day, month, weekday, by the clock of `zone`; what `now` is decides whether a time is to come.
    pub fn cron(text: &str, zone_name: &str, now: u64) -> Result<Timing, TimingError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| TimingError::Cron {
            text: text.to_owned(),
            why: error.to_string(),
        })?;
        let zone = TimeZone::get(zone_name).map_err(|_| TimingError::Zone(zone_name.to_owned()))?;
        let timing = Timing::Cron {
            text: text.to_owned(),
            cron: Box::new(cron),
            zone_name: zone_name.to_owned(),
            zone,
        };
        match timing.next(now) {
            Some(_) => Ok(timing),
            None => Err(TimingError::Never(text.to_owned())),
        }
    }

    /// The last slot up to `now`.
    pub fn latest(&self, now: u64) -> Option<u64> {
        match self {
            Timing::Every { period, offset } => {
                let begin = now.checked_sub(*offset)?;
                Some(begin - begin % period + offset)
            }
            Timing::Cron { cron, zone, .. } => {
                let found = cron.find_previous_occurrence(&zoned(now, zone)?, true);
                millis(found.ok()?.timestamp())
            }
        }
    }

    /// The first slot behind `now`.
    pub fn next(&self, now: u64) -> Option<u64> {
        match self {
            Timing::Every { period, offset } => match self.latest(now) {
                Some(latest) => Some(latest + period),
                None => Some(*offset),
            },
            Timing::Cron { cron, zone, .. } => {
                let found = cron.find_next_occurrence(&zoned(now, zone)?, false);
                millis(found.ok()?.timestamp())
            }
        }
    }

    /// In words.
    pub fn show(&self) -> String {
        match self {
            Timing::Every { period, .. } => match period % 1000 {
                0 => format!("every {} s", period / 1000),
                _ => format!("every {period} ms"),
            },
            Timing::Cron {
                text, zone_name, ..
            } => format!("{text} {zone_name}"),
        }
    }
}

fn zoned(now: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
    Some(now.to_zoned(zone.clone()))
}

fn millis(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        let time: Timestamp = text.parse().expect("a time");
        time.as_millisecond() as u64
    }

    fn show(time: Option<u64>) -> String {
        let time = time.map(|time| Timestamp::from_millisecond(time as i64).expect("a time"));
        time.map_or("never".to_owned(), |time| time.to_string())
    }

    #[test]
    fn periods_have_one_slot_each() {
        let timing = Timing::every(Duration::from_secs(5), "board");
        let first = timing.next(0).expect("there is one");
        assert!(first < 5000);
        assert_eq!(timing.latest(first), Some(first));
        assert_eq!(timing.latest(first + 4999), Some(first));
        assert_eq!(timing.next(first), Some(first + 5000));
        assert_eq!(
            timing,
            Timing::every(Duration::from_secs(5), "board"),
            "on every sidecar"
        );
    }

    /// Clocks go forward at 2:00 on 29 March 2026 in Berlin, and back at 3:00 on 25 October.
    #[test]
    fn cron_goes_by_the_clock_of_its_zone() {
        let (berlin, utc) = ("Europe/Berlin", "UTC");
        let rows = [
            (
                "*/30 7-19 * * mon-fri",
                utc,
                "2026-11-27T19:30:00Z",
                "2026-11-30T07:00:00Z",
            ),
            (
                "*/30 7-19 * * mon-fri",
                berlin,
                "2026-11-27T18:30:00Z",
                "2026-11-30T06:00:00Z",
            ),
            (
                "0 3 * * *",
                berlin,
                "2026-03-28T02:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "30 2 * * *",
                berlin,
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "30 2 * * *",
                berlin,
                "2026-10-24T00:30:00Z",
                "2026-10-25T00:30:00Z",
            ),
        ];
        for (text, zone, now, next) in rows {
            let now = at(now);
            let timing = Timing::cron(text, zone, now).expect(text);
            assert_eq!(show(timing.next(now)), next, "{text} {zone}");
            assert_eq!(timing.latest(at(next)), Some(at(next)), "{text} {zone}");
        }
    }

    #[test]
    fn what_is_no_schedule() {
        let error = |text: &str, zone: &str| Timing::cron(text, zone, 0).expect_err(text);
        for text in ["", "* * * *", "61 * * * *", "0 0 0 * * *", "often"] {
            assert!(
                matches!(error(text, "UTC"), TimingError::Cron { .. }),
                "{text}"
            );
        }
        assert_eq!(
            error("0 0 * * *", "Berlin"),
            TimingError::Zone("Berlin".to_owned())
        );
        assert_eq!(
            error("0 0 30 2 *", "UTC"),
            TimingError::Never("0 0 30 2 *".to_owned())
        );
    }
}
