//! What a sidecar has observed, as it tells it and as those of a fleet are put together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::contrast::FieldTally;

/// Of one sidecar, or of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// For how long, in seconds: of several the longest.
    pub seconds: u64,
    /// By rule.
    pub rules: BTreeMap<String, RuleReport>,
    /// Entries that left for space since the start, by priority.
    #[serde(default)]
    pub evicted: BTreeMap<String, u64>,
}

/// Of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleReport {
    /// Requests answered from the store.
    pub hits: u64,
    /// Requests for which the app was asked.
    pub misses: u64,
    /// Fetches that were stored.
    pub fills: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What the app took for them, in milliseconds.
    pub app_ms: u64,
    /// For how long they were fresh when they came, in milliseconds.
    pub life_ms: u64,
    /// Answers that had expired, and were the same when they were fetched again.
    pub same: u64,
    /// For so long, in milliseconds, from the one fetch to the other.
    pub same_ms: u64,
    /// And that were not.
    pub changed: u64,
    /// For so long at most.
    pub changed_ms: u64,
    /// Answers that expired and were fetched again, and that nobody had read here meanwhile.
    pub unread: u64,
    /// Answers that were gone before their time: purged, or for want of space.
    pub early: u64,
    /// Those of them that were the same when they were fetched again.
    pub early_same: u64,
    /// Keys that are remembered.
    pub keys: u64,
    /// Of those, with one request each.
    pub single: u64,
    /// Those whose time has not come.
    pub held: u64,
    /// Bytes of them.
    pub held_bytes: u64,
    /// Answers over `max_body`, and the longest of them, as far as they say.
    pub too_large: u64,
    /// The longest.
    pub longest: u64,
    /// Query fields (`?name`) and header fields, by how often they changed an answer.
    pub fields: BTreeMap<String, FieldTally>,
    /// Names of the fields that answers vary on; with [`RuleReport::MORE`] they are not all.
    pub varied: BTreeSet<String>,
}

impl Report {
    /// With what another sidecar says.
    pub fn add(&mut self, other: Report) {
        self.seconds = self.seconds.max(other.seconds);
        for (name, report) in other.rules {
            self.rules.entry(name).or_default().add(&report);
        }
        for (priority, count) in other.evicted {
            *self.evicted.entry(priority).or_default() += count;
        }
    }
}

impl Report {
    /// How many entries of this priority left for space.
    pub fn evicted(&self, priority: &str) -> u64 {
        self.evicted.get(priority).copied().unwrap_or_default()
    }
}

impl RuleReport {
    /// In `varied`: and others. No field has that name.
    pub const MORE: &str = "*";

    fn add(&mut self, other: &RuleReport) {
        for (sum, more) in [
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
            (&mut self.fills, other.fills),
            (&mut self.bytes, other.bytes),
            (&mut self.app_ms, other.app_ms),
            (&mut self.life_ms, other.life_ms),
            (&mut self.same, other.same),
            (&mut self.same_ms, other.same_ms),
            (&mut self.changed, other.changed),
            (&mut self.changed_ms, other.changed_ms),
            (&mut self.unread, other.unread),
            (&mut self.early, other.early),
            (&mut self.early_same, other.early_same),
            (&mut self.keys, other.keys),
            (&mut self.single, other.single),
            (&mut self.held, other.held),
            (&mut self.held_bytes, other.held_bytes),
            (&mut self.too_large, other.too_large),
        ] {
            *sum += more;
        }
        self.longest = self.longest.max(other.longest);
        for (name, tally) in &other.fields {
            let sum = self.fields.entry(name.clone()).or_default();
            sum.same += tally.same;
            sum.other += tally.other;
            // The same ones may have been seen there.
            sum.values = sum.values.max(tally.values);
            sum.answers = sum.answers.max(tally.answers);
        }
        self.varied.extend(other.varied.iter().cloned());
    }

    /// What the app usually takes for an answer that is stored, in seconds.
    pub fn mean_app_seconds(&self) -> Option<f64> {
        (self.fills > 0).then(|| self.app_ms as f64 / 1e3 / self.fills as f64)
    }

    /// For how long answers were fresh when they came, in seconds.
    pub fn mean_life_seconds(&self) -> Option<f64> {
        (self.fills > 0).then(|| self.life_ms as f64 / 1e3 / self.fills as f64)
    }

    /// The part of the requests for the store that it answered.
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }

    /// Seconds of the app's time that hits have saved, for each megabyte held and hour.
    pub fn saved_by_megabyte_hour(&self, seconds: u64) -> Option<f64> {
        let saved = self.mean_app_seconds()? * self.hits as f64;
        let megabyte_hours = self.held_bytes as f64 / 1e6 * seconds as f64 / 3600.0;
        (megabyte_hours > 0.0).then(|| saved / megabyte_hours)
    }

    /// Answers seen again after they had expired.
    pub fn sample(&self) -> u64 {
        self.same + self.changed
    }

    /// Changes for each second that answers were followed; `None`: none was.
    pub fn change_rate(&self) -> Option<f64> {
        let seconds = (self.same_ms + self.changed_ms) as f64 / 1e3;
        (seconds > 0.0).then(|| self.changed as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_fleet_are_one() {
        let tally = |same, other, values| FieldTally {
            same,
            other,
            values,
            answers: 1,
        };
        let one = |hits, longest| Report {
            evicted: BTreeMap::from([("low".to_owned(), hits)]),
            seconds: hits,
            rules: BTreeMap::from([(
                "r".to_owned(),
                RuleReport {
                    hits,
                    misses: 5,
                    fills: 2,
                    app_ms: 3000,
                    held_bytes: 1_000_000,
                    longest,
                    fields: BTreeMap::from([("?a".to_owned(), tally(1, 2, longest))]),
                    varied: BTreeSet::from([format!("x-{longest}")]),
                    ..RuleReport::default()
                },
            )]),
        };
        let mut both = one(10, 3);
        both.add(one(20, 7));
        let rule = &both.rules["r"];
        assert_eq!(
            (both.seconds, rule.hits, rule.misses, rule.longest),
            (20, 30, 10, 7)
        );
        assert_eq!(rule.fields["?a"], tally(2, 4, 7));
        assert_eq!(rule.varied.len(), 2);
        assert_eq!(
            (rule.hit_rate(), rule.mean_app_seconds()),
            (Some(0.75), Some(1.5))
        );
        // 45 s in 2 MB and an hour.
        assert_eq!(rule.saved_by_megabyte_hour(3600), Some(22.5));
        assert_eq!(RuleReport::default().hit_rate(), None);
        // What a later version adds is left aside.
        let later: RuleReport = serde_json::from_str(r#"{"hits":1,"colour":2}"#).expect("JSON");
        assert_eq!(later.hits, 1);
    }
}
