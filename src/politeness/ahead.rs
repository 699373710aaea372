//! When what is stored is renewed before it expires, so that nobody waits for it.

use std::fmt;
use std::time::Duration;

/// `refresh_ahead`: in the last part of its life, of so many percent, a hit has an entry renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshAhead(u8);

/// More would renew what has hardly been stored.
const MOST: u8 = 90;

/// How unlikely a draw may be: one of 9 million is longer than so many times what the app takes.
const LONGEST_DRAW: u32 = 16;

impl RefreshAhead {
    /// Nothing is.
    pub const NEVER: RefreshAhead = RefreshAhead(0);

    /// Of `20%`; the error says what to write instead.
    pub fn parse(text: &str) -> Result<RefreshAhead, &'static str> {
        const REMEDY: &str = "write a whole percentage from 0% to 90%, such as \"20%\"";
        let number = text.trim().strip_suffix('%').ok_or(REMEDY)?;
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(percent @ 0..=MOST) if is_plain => Ok(RefreshAhead(percent)),
            _ => Err(REMEDY),
        }
    }

    /// Whether a hit at this age renews what lives so long and takes the app so long: in the last part of its life, or
    /// earlier by chance, the more so the slower the app is and the nearer the end (XFetch with beta 1, after Vattani,
    /// Chierichetti and Lowenstein, VLDB 2015). `draw` gives a number above 0, at most 1, all of them alike.
    pub fn is_due(
        self,
        lifetime: Duration,
        age: Duration,
        took: Duration,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        let left = lifetime.saturating_sub(age);
        if left <= lifetime * u32::from(self.0) / 100 {
            return true;
        }
        // Drawn only where it may matter.
        left <= took.saturating_mul(LONGEST_DRAW)
            && left.as_secs_f64() <= took.as_secs_f64() * -draw().ln()
    }
}

impl fmt::Display for RefreshAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, expected) in [("20%", Some(20)), ("0%", Some(0)), (" 90% ", Some(90))] {
            assert_eq!(
                RefreshAhead::parse(text).ok(),
                expected.map(RefreshAhead),
                "{text}"
            );
        }
        for text in ["", "20", "%", "91%", "300%", "-1%", "+1%", "2.5%", "20 %"] {
            assert!(RefreshAhead::parse(text).is_err(), "{text}");
        }
        assert_eq!(RefreshAhead(20).to_string(), "20%");
    }

    #[test]
    fn when_it_is_due() {
        let seconds = Duration::from_secs;
        // Of 100 s the last 20; the draw e^-3 is three times what the app takes.
        let rows = [
            ("in its youth", 10, 1, 1.0, false),
            ("just before its last part", 79, 1, 1.0, false),
            ("in its last part", 80, 1, 1.0, true),
            ("over", 120, 1, 1.0, true),
            ("earlier, as the app is slow", 71, 10, (-3.0f64).exp(), true),
            ("earlier, and not drawn", 71, 10, (-2.0f64).exp(), false),
            ("too early for any draw", 10, 1, 1e-30, false),
        ];
        for (name, age, took, drawn, expected) in rows {
            let due = RefreshAhead(20).is_due(seconds(100), seconds(age), seconds(took), || drawn);
            assert_eq!(due, expected, "{name}");
        }
    }
}
