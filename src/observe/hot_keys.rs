//! Which keys are hit most, with what it takes to fetch them again: a URL, and the fields that select.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The most keys that are counted (promise I7).
const MAX_KEYS: usize = 8192;

/// Bytes of URL and fields; what takes more is not worth remembering.
const MAX_REQUEST: usize = 2048;

/// After so long what was counted counts half: milliseconds.
const HALF_LIFE: u64 = 3_600_000;

/// What a request for a key has to be like.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HotRequest {
    /// The whole URL.
    pub url: String,
    /// Fields that the answer varies by, or that the key has; never a credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

impl HotRequest {
    fn length(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
        self.url.len() + fields
    }
}

/// A key that was hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotKey {
    /// How to fetch it.
    pub request: HotRequest,
    /// How often it was hit, what is long ago counting less.
    pub hits: f32,
}

/// The keys of this process.
#[derive(Debug, Default)]
pub struct HotKeys {
    keys: HashMap<String, HotKey>,
    aged: u64,
}

impl HotKeys {
    /// A key was hit at `now`. `request` is asked for once a key; `None`: only somebody who is known may read it.
    pub fn note(&mut self, key: &str, now: u64, request: impl FnOnce() -> Option<HotRequest>) {
        self.age(now);
        if let Some(seen) = self.keys.get_mut(key) {
            seen.hits += 1.0;
            return;
        }
        let Some(request) = request().filter(|request| request.length() <= MAX_REQUEST) else {
            return;
        };
        if self.keys.len() >= MAX_KEYS {
            self.halve();
        }
        if self.keys.len() < MAX_KEYS {
            self.keys
                .insert(key.to_owned(), HotKey { request, hits: 1.0 });
        }
    }

    /// The `most` that were hit most, those first.
    pub fn top(&mut self, most: usize, now: u64) -> Vec<HotKey> {
        self.age(now);
        // Many hits wait meanwhile, so only those that are wanted are copied.
        let mut keys: Vec<&HotKey> = self.keys.values().collect();
        if most < keys.len() {
            keys.select_nth_unstable_by(most, |one, other| hotter_first(one, other));
            keys.truncate(most);
        }
        hottest(keys.into_iter().cloned().collect(), most)
    }

    fn age(&mut self, now: u64) {
        if self.aged == 0 {
            self.aged = now;
        }
        while now.saturating_sub(self.aged) >= HALF_LIFE {
            self.aged += HALF_LIFE;
            self.halve();
        }
    }

    /// What is worth less than a hit goes.
    fn halve(&mut self) {
        self.keys.retain(|_, seen| {
            seen.hits /= 2.0;
            seen.hits >= 0.5
        });
    }
}

/// The `most` of them that were hit most, those first; the same request counts together.
pub fn hottest(keys: Vec<HotKey>, most: usize) -> Vec<HotKey> {
    let mut sums: HashMap<HotRequest, f32> = HashMap::new();
    for key in keys {
        *sums.entry(key.request).or_default() += key.hits;
    }
    let sums = sums.into_iter();
    let mut keys: Vec<HotKey> = sums
        .map(|(request, hits)| HotKey { request, hits })
        .collect();
    keys.sort_by(hotter_first);
    keys.truncate(most);
    keys
}

/// Of equals always the same ones, on whichever sidecar.
fn hotter_first(one: &HotKey, other: &HotKey) -> Ordering {
    let by_hits = other.hits.total_cmp(&one.hits);
    by_hits.then_with(|| one.request.cmp(&other.request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> HotRequest {
        HotRequest {
            url: url.to_owned(),
            fields: Vec::new(),
        }
    }

    fn urls(keys: &[HotKey]) -> Vec<&str> {
        keys.iter().map(|key| key.request.url.as_str()).collect()
    }

    #[test]
    fn the_most_hit_come_first_and_age() {
        let mut keys = HotKeys::default();
        for (key, hits) in [("a", 4), ("b", 9), ("c", 1)] {
            for _ in 0..hits {
                keys.note(key, 1000, || Some(request(key)));
            }
        }
        keys.note("person", 1000, || None);
        assert_eq!(urls(&keys.top(2, 1000)), ["b", "a"]);
        for _ in 0..4 {
            keys.note("c", 1000 + HALF_LIFE, || Some(request("c")));
        }
        assert_eq!(urls(&keys.top(9, 1000 + HALF_LIFE)), ["b", "c", "a"]);
        assert_eq!(
            urls(&keys.top(9, 1000 + 9 * HALF_LIFE)),
            [""; 0],
            "long ago"
        );
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_hot() {
        let mut keys = HotKeys::default();
        for n in 0..2 * MAX_KEYS {
            let key = format!("k{n}");
            keys.note(&key, 1, || Some(request(&key)));
            keys.note("hot", 1, || Some(request("hot")));
        }
        assert!(keys.keys.len() <= MAX_KEYS);
        assert_eq!(urls(&keys.top(1, 1)), ["hot"]);
        let long = "x".repeat(MAX_REQUEST + 1);
        for _ in 0..9 * MAX_KEYS {
            keys.note("long", 1, || Some(request(&long)));
        }
        assert_eq!(
            urls(&keys.top(1, 1)),
            ["hot"],
            "what is long is not remembered"
        );
    }

    #[test]
    fn the_same_request_of_several_sidecars_counts_together() {
        let key = |url: &str, hits| HotKey {
            request: request(url),
            hits,
        };
        let keys = vec![key("a", 3.0), key("b", 4.0), key("a", 2.0)];
        assert_eq!(hottest(keys, 1), [key("a", 5.0)]);
    }
}
