//! Durations, sizes and rates as people write them: a number and a unit, the unit required.

use std::time::Duration;

/// The longest duration accepted: ten years, so that adding one to any date cannot overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Largest first, decimal before binary, as [`show_size`] tries them.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// What a duration looks like, as a regular expression (ECMA 262) for the schema.
pub(crate) const DURATION_PATTERN: &str = "([0-9]+(ms|s|m|h|d))+";

/// What a size looks like, as a regular expression (ECMA 262) for the schema.
pub(crate) const SIZE_PATTERN: &str = "[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)";

/// What a rate looks like, as a regular expression (ECMA 262) for the schema.
pub(crate) const RATE_PATTERN: &str = "[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)/s";

/// Parses `500ms`, `30s`, `5m`, `1h30m`; the error says what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("write a number and a unit, such as \"30s\"".into());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, unit, after) = split(rest);
        let count: u64 = number
            .parse()
            .map_err(|_| "write a whole number and a unit, such as \"30s\" or \"1h30m\"")?;
        if unit.is_empty() {
            return Err(format!(
                "write the unit: \"{text}s\" for seconds, \"{text}ms\" for milliseconds"
            ));
        }
        let (_, millis) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or("the units are ms, s, m, h and d, as in \"90s\" or \"1h30m\"")?;
        let part = Duration::from_millis(count.saturating_mul(*millis));
        total = total.saturating_add(part);
        rest = after;
    }
    if total > LONGEST {
        return Err("write at most \"3650d\"".into());
    }
    Ok(total)
}

/// Parses `20MB` (10^6) or `64MiB` (2^20); the error says what to write instead.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit, after) = split(text);
    let count: Option<u64> = number.parse().ok();
    let (Some(count), true) = (count, after.is_empty()) else {
        return Err("write a whole number and a unit, such as \"20MB\" or \"64KiB\"".into());
    };
    if unit.is_empty() {
        return Err(format!(
            "write the unit: \"{text}MB\", \"{text}KiB\", or \"{text}B\" for bytes"
        ));
    }
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or("the units are B, KB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024)")?;
    count
        .checked_mul(*bytes)
        .ok_or_else(|| "write a size below 16 EiB".to_owned())
}

/// Parses `100B/s` or `1KiB/s`, into bytes a second; the error says what to write instead.
pub(super) fn parse_rate(text: &str) -> Result<u64, String> {
    let size = text.trim().strip_suffix("/s").map(parse_size);
    match size {
        Some(Ok(bytes)) => Ok(bytes),
        _ => Err("write a whole number, a unit and /s, such as \"100B/s\" or \"1KiB/s\"".into()),
    }
}

/// A duration as the config spells it: `1h30m`.
pub fn show_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut shown = String::new();
    for (unit, length) in TIME_UNITS.iter().rev() {
        if millis >= *length {
            shown.push_str(&format!("{}{unit}", millis / length));
            millis %= length;
        }
    }
    shown
}

/// A size as the config spells it, in the largest unit that divides it: `64MiB`.
pub fn show_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || format!("{bytes}B"),
            |(name, unit)| format!("{}{name}", bytes / unit),
        )
}

/// Leading digits, the letters after them, and the rest.
fn split(text: &str) -> (&str, &str, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, tail) = text.split_at(digits);
    let letters = tail
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(tail.len());
    let (unit, rest) = tail.split_at(letters);
    (number, unit, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let cases = [
            ("milliseconds", "500ms", Some(500)),
            ("seconds", "30s", Some(30_000)),
            ("minutes", "5m", Some(300_000)),
            ("hours", "1h", Some(3_600_000)),
            ("days", "2d", Some(172_800_000)),
            ("combined", "1h30m", Some(5_400_000)),
            ("zero", "0s", Some(0)),
            ("surrounding space", " 5m ", Some(300_000)),
            ("no unit", "30", None),
            ("zero without unit", "0", None),
            ("combined, last without unit", "1h30", None),
            ("unknown unit", "5min", None),
            ("upper case", "5M", None),
            ("fraction", "1.5s", None),
            ("negative", "-5s", None),
            ("empty", "", None),
            ("unit alone", "ms", None),
            ("over ten years", "3651d", None),
            ("overflow", "99999999999999999d", None),
            ("overflow of the number", "99999999999999999999999s", None),
        ];
        for (name, text, millis) in cases {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(parse_duration(text).ok(), expected, "{name}: {text}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("decimal", "20MB", Some(20_000_000)),
            ("binary", "64MiB", Some(64 << 20)),
            ("kilo", "3KB", Some(3_000)),
            ("kibi", "3KiB", Some(3_072)),
            ("giga", "1GB", Some(1_000_000_000)),
            ("gibi", "1GiB", Some(1 << 30)),
            ("bytes", "0B", Some(0)),
            ("no unit", "20", None),
            ("unknown unit", "20M", None),
            ("lower case", "20mb", None),
            ("fraction", "1.5MB", None),
            ("combined", "1MB1KB", None),
            ("empty", "", None),
            ("overflow", "99999999999GiB", None),
        ];
        for (name, text, bytes) in cases {
            assert_eq!(parse_size(text).ok(), bytes, "{name}: {text}");
        }
    }

    #[test]
    fn rates() {
        let cases = [
            ("bytes", "100B/s", Some(100)),
            ("kibi", "1KiB/s", Some(1_024)),
            ("off", "0B/s", Some(0)),
            ("surrounding space", " 1KB/s ", Some(1_000)),
            ("no time", "100B", None),
            ("no size", "100/s", None),
            ("another time", "100B/m", None),
            ("bits", "100bps", None),
            ("empty", "", None),
        ];
        for (name, text, bytes) in cases {
            assert_eq!(parse_rate(text).ok(), bytes, "{name}: {text}");
        }
    }

    #[test]
    fn a_missing_unit_is_answered_with_the_spelling() {
        assert!(parse_duration("30").unwrap_err().contains("\"30s\""));
        assert!(parse_size("20").unwrap_err().contains("\"20MB\""));
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_back(millis in 0..=315_360_000_000u64, bytes: u64) {
            let length = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(length)), Ok(length));
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_rate(&text);
        }
    }
}
