//! How long to wait before a failed fetch is tried again.

use std::time::Duration;

/// Before the first repetition.
const FIRST: Duration = Duration::from_millis(500);

/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// After `tries` failures: doubled each time, of which at least half is waited for and the rest by `share` (0 to 1), so
/// that what failed together is not tried together.
pub fn pause(tries: u32, share: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled
        .min(LONGEST)
        .mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_minute() {
        let rows = [
            (1, 250, 500),
            (2, 500, 1000),
            (5, 4000, 8000),
            (8, 30_000, 60_000),
            (90, 30_000, 60_000),
        ];
        for (tries, least, most) in rows {
            assert_eq!(pause(tries, 0.0).as_millis(), least, "{tries}");
            assert_eq!(pause(tries, 1.0).as_millis(), most, "{tries}");
        }
    }
}
