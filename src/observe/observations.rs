//! What the fills of this process show, as they come.

use std::collections::{BTreeMap, BTreeSet};

use super::contrast::Contrast;
use super::report::{Report, RuleReport};

/// The most keys that are remembered (promise I7).
const MAX_KEYS: usize = 4096;

/// The longest key that is remembered, in bytes.
const MAX_KEY: usize = 2048;

/// The most fields that the answers of a rule vary on, by name.
const MAX_VARIED: usize = 32;

/// After so long what was counted counts half: milliseconds.
const HALF_LIFE: u64 = 3_600_000;

/// Where a key is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Scheme and host, such as `http://app.example`.
    pub origin: String,
    /// Path and query.
    pub uri: String,
}

/// A fill that was stored. Times are milliseconds of fleet time.
#[derive(Clone, Debug)]
pub struct FillSeen<'f> {
    /// The rule; `-`: none.
    pub rule: &'f str,
    /// The key.
    pub key: &'f str,
    /// Where it was read; `Err`: nobody else may ask for it.
    pub target: Result<Target, Unknown>,
    /// Digest of the path.
    pub path: u32,
    /// Fields of the request that may matter, with digests of their values.
    pub fields: Vec<(String, u32)>,
    /// Names of the fields that the answer varies on, in lower case.
    pub varied: Vec<String>,
    /// Digests of its tags.
    pub tags: Vec<u32>,
    /// Digest of the answer.
    pub answer: u32,
    /// Its length.
    pub length: u64,
    /// What the app took.
    pub took_ms: u64,
    /// When it came.
    pub at: u64,
    /// Until then it is fresh.
    pub until: u64,
    /// Whether what was held under the key here was read since it was stored; `None`: nothing was held.
    pub was_read: Option<bool>,
}

#[derive(Clone, Debug)]
struct KeySeen {
    rule: String,
    target: Result<Target, Unknown>,
    tags: Vec<u32>,
    answer: u32,
    length: u64,
    at: u64,
    until: u64,
    fills: u64,
    was_read: bool,
}

/// Of all rules.
#[derive(Debug, Default)]
pub struct Observations {
    rules: BTreeMap<String, RuleSeen>,
    keys: BTreeMap<String, KeySeen>,
    began: u64,
    aged: u64,
}

#[derive(Clone, Debug, Default)]
struct RuleSeen {
    report: RuleReport,
    contrast: Contrast,
    /// Names of fields that answers varied on; [`RuleReport::MORE`]: and others.
    varied: BTreeSet<String>,
}

impl Observations {
    /// Takes a fill in.
    pub fn note(&mut self, seen: FillSeen<'_>) {
        self.age(seen.at);
        let rule = self.rules.entry(seen.rule.to_owned()).or_default();
        rule.note_varied(seen.varied);
        rule.contrast.note(seen.path, seen.fields, seen.answer);
        let report = &mut rule.report;
        report.fills += 1;
        report.bytes += seen.length;
        report.app_ms += seen.took_ms;
        report.life_ms += seen.until.saturating_sub(seen.at);
        if seen.key.len() > MAX_KEY {
            return;
        }
        let before = self.keys.get(seen.key);
        if let Some(before) = before {
            follow(report, before, seen.answer, seen.at, seen.was_read);
        }
        let fills = before.map_or(0, |before| before.fills) + 1;
        let was_read = before.is_some_and(|before| before.was_read) || seen.was_read == Some(true);
        if before.is_none() && self.keys.len() >= MAX_KEYS {
            self.make_room(seen.key);
        }
        let key = KeySeen {
            rule: seen.rule.to_owned(),
            target: seen.target.and_then(Target::within_bounds),
            tags: seen.tags,
            answer: seen.answer,
            length: seen.length,
            at: seen.at,
            until: seen.until,
            fills,
            was_read,
        };
        self.keys.insert(seen.key.to_owned(), key);
    }

    /// So many requests more were answered from the store, and by the app.
    pub fn note_requests(&mut self, rule: &str, hits: u64, misses: u64) {
        if hits + misses > 0 {
            let report = &mut self.rules.entry(rule.to_owned()).or_default().report;
            report.hits += hits;
            report.misses += misses;
        }
    }

    /// An answer was over `max_body`; `length`, if it said so.
    pub fn note_too_large(&mut self, rule: &str, length: Option<u64>) {
        let report = &mut self.rules.entry(rule.to_owned()).or_default().report;
        report.too_large += 1;
        report.longest = report.longest.max(length.unwrap_or_default());
    }

    /// What is known at `now`. `is_read` says of a key whether what is held under it was read.
    pub fn report(&self, now: u64, is_read: impl Fn(&str) -> bool) -> Report {
        let mut report = Report {
            seconds: now.saturating_sub(self.began) / 1000,
            rules: BTreeMap::new(),
            evicted: BTreeMap::new(),
        };
        for (name, seen) in &self.rules {
            let rule = RuleReport {
                fields: seen.contrast.fields(),
                varied: seen.varied.clone(),
                ..seen.report.clone()
            };
            report.rules.insert(name.clone(), rule);
        }
        for (key, seen) in &self.keys {
            let rule = report.rules.entry(seen.rule.clone()).or_default();
            rule.keys += 1;
            let is_single = seen.fills == 1 && !seen.was_read && !is_read(key);
            rule.single += u64::from(is_single);
            if now < seen.until {
                rule.held += 1;
                rule.held_bytes += seen.length;
            }
        }
        report
    }

    /// Where the key is read; `Err`: not known, or by a person alone.
    pub fn target(&self, key: &str) -> Result<&Target, Unknown> {
        let seen = self.keys.get(key).ok_or(Unknown::Key)?;
        seen.target.as_ref().map_err(|unknown| *unknown)
    }

    /// Where those keys are read that anybody may read and `is_wanted` of the key and the digests of its tags; what was
    /// fetched most often first.
    pub fn targets(&self, is_wanted: impl Fn(&str, &[u32]) -> bool) -> Vec<(String, Target)> {
        let wanted = self.keys.iter().filter_map(|(key, seen)| {
            let target = seen.target.as_ref().ok()?;
            is_wanted(key, &seen.tags).then_some((seen.fills, key, target))
        });
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_by_key(|(fills, _, _)| std::cmp::Reverse(*fills));
        let wanted = wanted.into_iter();
        wanted
            .map(|(_, key, target)| (key.clone(), target.clone()))
            .collect()
    }

    /// The keys of answers with a tag of this digest.
    pub fn tagged(&self, tag: u32) -> Vec<String> {
        let keys = self.keys.iter();
        let tagged = keys.filter(|(_, seen)| seen.tags.contains(&tag));
        tagged.map(|(key, _)| key.clone()).collect()
    }

    fn age(&mut self, now: u64) {
        if self.began == 0 {
            (self.began, self.aged) = (now, now);
        }
        if now.saturating_sub(self.aged) < HALF_LIFE {
            return;
        }
        self.aged = now;
        for rule in self.rules.values_mut() {
            rule.contrast.age();
            let report = &mut rule.report;
            for count in [
                &mut report.fills,
                &mut report.bytes,
                &mut report.app_ms,
                &mut report.life_ms,
                &mut report.same,
                &mut report.same_ms,
                &mut report.changed,
                &mut report.changed_ms,
                &mut report.unread,
                &mut report.early,
                &mut report.early_same,
                &mut report.hits,
                &mut report.misses,
                &mut report.too_large,
            ] {
                *count /= 2;
            }
        }
        // What was long over is not asked for again soon.
        self.keys
            .retain(|_, seen| now < seen.until.saturating_add(HALF_LIFE));
    }

    /// A neighbour of `key` goes: any will do, so that none stays for ever.
    fn make_room(&mut self, key: &str) {
        let after = self.keys.range(key.to_owned()..).next();
        let other = after.or_else(|| self.keys.iter().next());
        if let Some(other) = other.map(|(other, _)| other.clone()) {
            self.keys.remove(&other);
        }
    }
}

/// Why a key cannot be fetched without its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Not seen here.
    #[error("this sidecar has not seen it fetched: give its URL")]
    Key,
    /// Only somebody who brings credentials may read it.
    #[error("it was read with somebody's credentials, which nobody else brings")]
    Person,
    /// Longer than what is remembered.
    #[error(
        "its URL is over {} bytes, which is not remembered: give it",
        Target::MAX_LENGTH
    )]
    Long,
}

impl Target {
    /// The longest path and query that are remembered, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    fn within_bounds(self) -> Result<Target, Unknown> {
        match self.uri.len() <= Self::MAX_LENGTH {
            true => Ok(self),
            false => Err(Unknown::Long),
        }
    }
}

impl RuleSeen {
    fn note_varied(&mut self, names: Vec<String>) {
        for name in names {
            let has_room = self.varied.len() < MAX_VARIED || self.varied.contains(&name);
            let kept = if has_room {
                name
            } else {
                RuleReport::MORE.to_owned()
            };
            self.varied.insert(kept);
        }
    }
}

/// What a fill shows of the one of the same key before.
fn follow(report: &mut RuleReport, before: &KeySeen, answer: u32, at: u64, was_read: Option<bool>) {
    let span = at.saturating_sub(before.at);
    if at < before.until {
        report.early += 1;
        report.early_same += u64::from(before.answer == answer);
        return;
    }
    match before.answer == answer {
        true => {
            report.same += 1;
            report.same_ms += span;
        }
        false => {
            report.changed += 1;
            report.changed_ms += span;
        }
    }
    report.unread += u64::from(was_read == Some(false));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(key: &str, at: u64, answer: u32) -> FillSeen<'_> {
        FillSeen {
            rule: "r",
            key,
            target: Ok(Target {
                origin: "http://h".to_owned(),
                uri: format!("/{key}"),
            }),
            path: 0,
            fields: Vec::new(),
            varied: Vec::new(),
            tags: vec![5],
            answer,
            length: 100,
            took_ms: 20,
            at,
            until: at + 1000,
            was_read: None,
        }
    }

    #[test]
    fn how_long_answers_stay_the_same() {
        let mut seen = Observations::default();
        seen.note(fill("a", 1000, 1));
        seen.note(FillSeen {
            was_read: Some(true),
            ..fill("a", 3000, 1)
        });
        seen.note(FillSeen {
            was_read: Some(false),
            ..fill("a", 6000, 2)
        });
        seen.note(fill("a", 6500, 3));
        seen.note(fill("b", 6500, 3));
        let report = seen.report(7000, |key| key == "a");
        let rule = &report.rules["r"];
        assert_eq!(
            (rule.same, rule.same_ms, rule.changed, rule.changed_ms),
            (1, 2000, 1, 3000)
        );
        assert_eq!((rule.unread, rule.early, rule.early_same), (1, 1, 0));
        assert_eq!((rule.fills, rule.bytes, rule.app_ms), (5, 500, 100));
        assert_eq!((rule.keys, rule.single, rule.held_bytes), (2, 1, 200));
        assert_eq!(report.seconds, 6);
    }

    #[test]
    fn what_is_known_of_a_key() {
        let mut seen = Observations::default();
        seen.note(fill("a", 1000, 1));
        seen.note(FillSeen {
            target: Err(Unknown::Person),
            ..fill("p", 1000, 1)
        });
        assert_eq!(seen.target("a").map(|target| target.uri.as_str()), Ok("/a"));
        assert_eq!(seen.target("p"), Err(Unknown::Person));
        assert_eq!(seen.target("x"), Err(Unknown::Key));
        let long = "x".repeat(MAX_KEY);
        seen.note(FillSeen {
            key: "long",
            ..fill(&long, 1000, 1)
        });
        assert_eq!(seen.target("long"), Err(Unknown::Long));
        seen.note(fill(&format!("{long}x"), 1000, 1));
        assert_eq!(seen.keys.len(), 3, "nor is a long key");
        seen.keys.remove("long");
        assert_eq!(seen.tagged(5), ["a", "p"]);
        assert!(seen.tagged(6).is_empty());
        seen.note(fill("b", 1000, 1));
        seen.note(fill("b", 2000, 1));
        let wanted = |key: &str, tags: &[u32]| key != "x" && tags == [5];
        let keys: Vec<String> = seen
            .targets(wanted)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            keys,
            ["b", "a"],
            "the most often fetched first, and nobody's own"
        );
    }

    #[test]
    fn it_is_bounded_and_aged() {
        let mut seen = Observations::default();
        for n in 0..2 * MAX_KEYS {
            seen.note(fill(&format!("k{n}"), 1000, 1));
        }
        assert_eq!(seen.keys.len(), MAX_KEYS);
        for n in 0..2 * MAX_VARIED {
            seen.note(FillSeen {
                varied: vec![format!("x-{n}")],
                ..fill("k0", 1000, 1)
            });
        }
        let varied = &seen.report(1000, |_| false).rules["r"].varied;
        assert_eq!(varied.len(), MAX_VARIED + 1);
        assert!(varied.contains(RuleReport::MORE));
        seen.note(fill("late", 1000 + 2 * HALF_LIFE, 1));
        let report = seen.report(1000 + 2 * HALF_LIFE, |_| false);
        let rule = &report.rules["r"];
        assert_eq!(
            (rule.fills, rule.keys),
            ((MAX_KEYS + MAX_VARIED) as u64 + 1, 1)
        );
    }
}
