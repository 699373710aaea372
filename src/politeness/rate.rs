//! How many requests a time: `20/s`, `600/m`.

use std::fmt;
use std::time::Duration;

/// The most that are told apart from no limit.
const MOST: u32 = 1_000_000;

const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// At least one request in a second, a minute or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    count: u32,
    /// Its place in [`UNITS`].
    unit: usize,
}

impl RequestRate {
    /// What it looks like, as a regular expression (ECMA 262) for the schema.
    pub const PATTERN: &str = "[0-9]+/(s|m|h)";

    /// So many a second.
    pub const fn per_second(count: u32) -> RequestRate {
        RequestRate {
            count: if count == 0 { 1 } else { count },
            unit: 0,
        }
    }

    /// Of `20/s`, `600/m` or `100/h`; the error says what to write instead.
    pub fn parse(text: &str) -> Result<RequestRate, String> {
        const FORM: &str =
            "write a whole number of requests and a time, such as \"20/s\", \"600/m\" or \"100/h\"";
        let (number, unit) = text.trim().split_once('/').ok_or(FORM)?;
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let unit = UNITS.iter().position(|(name, _)| *name == unit);
        let (true, Some(unit)) = (is_plain, unit) else {
            return Err(FORM.to_owned());
        };
        match number.parse() {
            Ok(count @ 1..=MOST) => Ok(RequestRate { count, unit }),
            _ => Err(format!("write 1 to {MOST} requests, such as \"20/s\"")),
        }
    }

    /// From one to the next.
    pub fn interval(self) -> Duration {
        Duration::from_secs(UNITS[self.unit].1) / self.count
    }

    /// How many come in `time`, one at least.
    pub fn in_time(self, time: Duration) -> u32 {
        let count = time.as_nanos() / self.interval().as_nanos().max(1);
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }
}

impl fmt::Display for RequestRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, UNITS[self.unit].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let rows = [
            ("a second", "20/s", Some(50)),
            ("a minute", "600/m", Some(100)),
            ("an hour", "1/h", Some(3_600_000)),
            ("surrounding space", " 20/s ", Some(50)),
            ("nothing", "0/s", None),
            ("no time", "20", None),
            ("a time of its own", "20/5s", None),
            ("another unit", "20/d", None),
            ("a fraction", "0.5/s", None),
            ("negative", "-1/s", None),
            ("a sign", "+1/s", None),
            ("too many", "1000001/s", None),
            ("overflow", "99999999999999999999/s", None),
            ("empty", "", None),
            ("no number", "/s", None),
        ];
        for (name, text, millis) in rows {
            let rate = RequestRate::parse(text);
            let interval = rate.as_ref().ok().map(|rate| rate.interval().as_millis());
            assert_eq!(interval, millis, "{name}: {text}");
            if let Ok(rate) = rate {
                assert_eq!(rate.to_string(), text.trim(), "{name}");
            }
        }
    }

    #[test]
    fn how_many_come_in_a_time() {
        let tenth = Duration::from_millis(100);
        for (text, expected) in [
            ("200/s", 20),
            ("5/s", 1),
            ("600/m", 1),
            ("1000000/s", 100_000),
        ] {
            let rate = RequestRate::parse(text).unwrap();
            assert_eq!(rate.in_time(tenth), expected, "{text}");
        }
    }
}
