//! Modes and shares.

use serde::{Deserialize, Serialize};

/// What the cache does for a rule. A later one does more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing: no look, no store. Purges are carried out all the same, so that what is stored stays right.
    Off,
    /// Every request goes to the app; what the cache would have served is compared with the app's answer.
    Shadow,
    /// It answers.
    #[default]
    On,
}

impl Mode {
    /// All, the least first.
    pub const ALL: [Mode; 3] = [Mode::Off, Mode::Shadow, Mode::On];

    /// The words in the config.
    pub const WORDS: &[&str] = &["off", "shadow", "on"];

    /// The word in the config, in switches and in stats.
    pub fn as_str(self) -> &'static str {
        Mode::WORDS[self as usize]
    }

    /// What the word stands for.
    pub fn parse(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// The mode of a rule, and for which share of its keys. The rest of them passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The mode.
    pub mode: Mode,
    /// Percent of the keys, 1 to 100.
    pub percent: u8,
}

impl Rollout {
    /// On for all keys.
    pub const FULL: Rollout = Rollout {
        mode: Mode::On,
        percent: 100,
    };
}

impl Default for Rollout {
    fn default() -> Rollout {
        Rollout::FULL
    }
}

/// Whether `key` is in the first `percent` of all keys. The same on every sidecar, whatever its version, and what is
/// in stays in as the share grows.
pub fn is_within(key: &str, percent: u8) -> bool {
    let hash = scatter(crc32fast::hash(key.as_bytes()));
    let place = (u64::from(hash) * 100) >> 32;
    place < u64::from(percent)
}

/// The finalizer of MurmurHash3: each bit of a checksum comes to bear on the high ones, so that keys that are nearly
/// alike lie far apart.
fn scatter(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (mode, word) in Mode::ALL.into_iter().zip(Mode::WORDS) {
            assert_eq!((mode.as_str(), Mode::parse(word)), (*word, Some(mode)));
        }
        assert_eq!(Mode::parse("On"), None);
        assert!(Mode::Off < Mode::Shadow && Mode::Shadow < Mode::On);
    }

    #[test]
    fn a_share_is_as_large_as_asked_and_grows_by_keeping_what_it_has() {
        for template in ["user:{}", "{}", "kanban:board:{}:7", "/api/items/{}?page=1"] {
            let keys: Vec<String> = (0..10_000)
                .map(|n| template.replace("{}", &n.to_string()))
                .collect();
            let mut before: Vec<bool> = vec![false; keys.len()];
            for percent in 1..=100 {
                let now: Vec<bool> = keys.iter().map(|key| is_within(key, percent)).collect();
                let left = before.iter().zip(&now).any(|(before, now)| *before && !now);
                assert!(!left, "{template}: a key left at {percent} %");
                let share = now.iter().filter(|within| **within).count() as f64 / 100.0;
                let off = (share - f64::from(percent)).abs();
                assert!(
                    off < 2.0,
                    "{template}: {share} % where {percent} % was asked for"
                );
                before = now;
            }
            assert!(before.iter().all(|within| *within), "100 % is all");
        }
    }

    /// Part of the format: sidecars of all versions in a fleet agree.
    #[test]
    fn the_place_of_a_key_is_for_ever() {
        let first = |key: &str| (1..=100).find(|percent| is_within(key, *percent));
        let places = ["user:1", "user:2", "a", ""].map(|key| first(key).expect("all are in"));
        assert_eq!(places, [15, 80, 78, 1]);
    }
}
