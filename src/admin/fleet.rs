//! All sidecars of a namespace: each says in Redis how it is, every few seconds, and with that hears of the others.
//!
//! A sidecar's word is some 400 bytes and counts for 16 s (`store/redis/sidecars`). Counters are each sidecar's since its
//! start, so that sums fall when one ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::state::Word;
use super::stats::tally::{divide, round};
use crate::clock;
use crate::store::SidecarWord;

/// From one word to the next.
const EVERY: Duration = Duration::from_secs(5);

/// However often anybody asks, each time costs a write in Redis.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// What this sidecar is called, and what is known of all.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Of this process alone.
    id: String,
    /// Host and port, for people.
    pub(super) name: String,
    /// What the others said when Redis told it last; `None`: it has not for as long as a word counts.
    heard: Mutex<Option<Heard>>,
    /// When it was asked last.
    met: tokio::sync::Mutex<Option<Instant>>,
}

/// What was heard of all.
#[derive(Clone, Debug)]
struct Heard {
    at: Instant,
    sidecars: Vec<Line>,
    /// How many say what this version cannot read.
    unread: usize,
}

/// What a sidecar says of itself. What another version does not say is 0 or absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Host and port of its proxy.
    pub name: String,
    /// Of Pannier.
    pub version: String,
    /// As in `pannier_config_hash`.
    pub config_hash: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// healthy, warning or down.
    pub state: Word,
    /// In the last ten seconds.
    pub requests_per_second: f64,
    /// Counts since its start.
    #[serde(flatten)]
    pub counts: Counts,
    /// Entries that it had leave Redis for space in the last hour.
    pub evicted_in_hour: u64,
    /// Millions of bytes in its memory.
    pub memory_used_mb: f64,
    /// Millions of bytes that may be there.
    pub memory_limit_mb: f64,
}

/// What can be summed, as [`super::stats::Traffic`] counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All requests.
    pub requests: u64,
    /// Answered fresh from the store.
    pub hits: u64,
    /// Looked up and asked of the app.
    pub misses: u64,
    /// Never looked up.
    pub passes: u64,
    /// Not answered properly.
    pub failures: u64,
    /// Seconds that the app would have taken for the hits.
    pub saved_seconds: f64,
}

/// One sidecar of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Whether it is the one that answers.
    pub this: bool,
    /// Seconds since it said so.
    pub age: f64,
    /// Of all but passes and failures the part that are hits, 0 to 1.
    pub hit_rate: Option<f64>,
    /// What it said.
    #[serde(flatten)]
    pub report: Report,
}

/// All sidecars, and their sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Whether Redis was asked; else this sidecar alone is known.
    pub shared: bool,
    /// Each, by name.
    pub sidecars: Vec<Line>,
    /// Over all of them.
    pub total: Total,
    /// What is not as it should be between them.
    pub warnings: Vec<String>,
}

/// The fleet's sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Total {
    /// Counts since the start of each.
    #[serde(flatten)]
    pub counts: Counts,
    /// As in [`Line`].
    pub hit_rate: Option<f64>,
    /// In the last ten seconds.
    pub requests_per_second: f64,
    /// Entries that left Redis for space in the last hour.
    pub evicted_in_hour: u64,
    /// Millions of bytes in the memory of all.
    pub memory_used_mb: f64,
}

impl Fleet {
    pub(super) fn new(name: String) -> Fleet {
        Fleet {
            id: format!("{:016x}", fastrand::u64(..)),
            name,
            heard: Mutex::default(),
            met: tokio::sync::Mutex::default(),
        }
    }

    /// What is not as it should be between the sidecars that were heard last.
    pub(super) fn warnings(&self) -> Vec<String> {
        let heard = self.heard.lock();
        heard.as_ref().map(Heard::warnings).unwrap_or_default()
    }

    /// Entries that the others had leave Redis for space in the last hour.
    pub(super) fn evicted_by_others(&self) -> u64 {
        let heard = self.heard.lock();
        let sidecars = heard.iter().flat_map(|heard| &heard.sidecars);
        let others = sidecars.filter(|line| !line.this);
        others.map(|line| line.report.evicted_in_hour).sum()
    }

    /// All that is known, with this one as it says itself.
    pub(super) fn summarize(&self, own: Report, now: Instant) -> Summary {
        let heard = self.heard.lock().clone();
        let (shared, warnings) = (heard.is_some(), heard.as_ref().map(Heard::warnings));
        let mut sidecars = heard.map_or_else(Vec::new, |heard| heard.others(now));
        sidecars.push(Line::new(true, Duration::ZERO, own));
        sidecars.sort_by(|one, other| one.report.name.cmp(&other.report.name));
        Summary {
            shared,
            total: Total::of(&sidecars),
            warnings: warnings.unwrap_or_default(),
            sidecars,
        }
    }

    /// `words`: `None` if Redis did not tell them. What it told last stands for as long as a word counts: one command that
    /// times out makes nobody alone.
    fn hear(&self, words: Option<Vec<SidecarWord>>, now: Instant) {
        let mut heard = self.heard.lock();
        let Some(words) = words else {
            heard.take_if(|heard| heard.age(now) >= SidecarWord::LIFETIME);
            return;
        };
        let mut all = Heard {
            at: now,
            sidecars: Vec::new(),
            unread: 0,
        };
        for word in words {
            match serde_json::from_str(&word.text) {
                Ok(report) => {
                    let line = Line::new(word.id == self.id, word.age, report);
                    all.sidecars.push(line);
                }
                Err(_) => all.unread += 1,
            }
        }
        *heard = Some(all);
    }
}

/// Says how this sidecar is, and hears of the others; whoever asks again within a second has what was heard then.
pub(super) async fn meet(admin: &Admin) {
    let mut last = admin.fleet.met.lock().await;
    let now = clock::monotonic();
    if last.is_some_and(|last| now.saturating_duration_since(last) < AT_MOST_EVERY) {
        return;
    }
    *last = Some(now);
    let own = admin.overview().await;
    let own = own.report(&admin.fleet.name, &admin.history);
    // It has no value that JSON has not.
    let word = serde_json::to_string(&own).ok();
    let words = admin.store.meet_sidecars(&admin.fleet.id, word).await;
    admin.fleet.hear(words, clock::monotonic());
}

/// Meets again and again; ends with the interface, and says so.
pub(super) async fn follow(admin: Arc<Admin>) {
    if !admin.store.is_shared() {
        return;
    }
    loop {
        meet(&admin).await;
        // Right after the start Redis is not connected yet.
        let pause = match admin.fleet.heard.lock().is_some() {
            true => EVERY,
            false => AT_MOST_EVERY,
        };
        tokio::select! {
            () = admin.ending.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    admin.store.meet_sidecars(&admin.fleet.id, None).await;
}

impl Heard {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    /// Those whose words still count, and are older than when they were heard.
    fn others(self, now: Instant) -> Vec<Line> {
        let since = self.age(now).as_secs_f64();
        let lines = self.sidecars.into_iter().filter(|line| !line.this);
        let aged = lines.map(|line| Line {
            age: round(line.age + since, 1),
            ..line
        });
        aged.filter(|line| line.age < SidecarWord::LIFETIME.as_secs_f64())
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let mut by_config: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &self.sidecars {
            let names = by_config.entry(&line.report.config_hash).or_default();
            names.push(&line.report.name);
        }
        let mut warnings = Vec::new();
        if by_config.len() > 1 {
            let each = by_config.iter().map(|(hash, names)| {
                let (first, more) = (names.first().copied().unwrap_or("?"), names.len() - 1);
                match more {
                    0 => format!("{hash} on {first}"),
                    _ => format!("{hash} on {first} and {more} more"),
                }
            });
            let each: Vec<String> = each.collect();
            let (count, each) = (by_config.len(), each.join(", "));
            warnings.push(format!(
                "{count} configs are in force in one [redis] namespace: {each}"
            ));
        }
        if self.unread > 0 {
            let count = self.unread;
            warnings.push(format!(
                "{count} sidecars speak in a way that this version cannot read"
            ));
        }
        warnings
    }
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.requests += more.requests;
        self.hits += more.hits;
        self.misses += more.misses;
        self.passes += more.passes;
        self.failures += more.failures;
        self.saved_seconds = round(self.saved_seconds + more.saved_seconds, 1);
    }

    fn hit_rate(&self) -> Option<f64> {
        let aside = self.passes + self.failures;
        let looked_up = self.requests.saturating_sub(aside);
        divide(self.hits as f64, looked_up as f64, 4)
    }
}

impl Line {
    fn new(this: bool, age: Duration, report: Report) -> Line {
        Line {
            this,
            age: round(age.as_secs_f64(), 1),
            hit_rate: report.counts.hit_rate(),
            report,
        }
    }
}

impl Total {
    fn of(lines: &[Line]) -> Total {
        let mut total = Total::default();
        for line in lines {
            let report = &line.report;
            total.counts.add(report.counts);
            total.requests_per_second += report.requests_per_second;
            total.evicted_in_hour += report.evicted_in_hour;
            total.memory_used_mb += report.memory_used_mb;
        }
        total.requests_per_second = round(total.requests_per_second, 1);
        total.memory_used_mb = round(total.memory_used_mb, 3);
        total.hit_rate = total.counts.hit_rate();
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(id: &str, config: &str, hits: u64, passes: u64) -> SidecarWord {
        let text = serde_json::json!({
            "name": format!("{id}.internal:8080"), "config_hash": config, "state": "healthy",
            "requests": hits * 2 + passes, "hits": hits, "passes": passes, "requests_per_second": 1.5,
            "memory_used_mb": 2.5, "evicted_in_hour": 7, "what a later version says": true,
        });
        SidecarWord {
            id: id.into(),
            age: Duration::from_millis(1234),
            text: text.to_string(),
        }
    }

    #[test]
    fn sums_are_of_all_and_the_hit_rate_is_of_the_sums() {
        let fleet = Fleet::new("own:1".into());
        let now = clock::monotonic();
        let words = vec![word("b", "1", 10, 5), word("a", "1", 30, 0)];
        fleet.hear(Some(words), now);
        let heard = fleet.heard.lock().clone().unwrap();
        let total = Total::of(&heard.sidecars);
        assert_eq!(total.counts.requests, 85);
        assert_eq!(total.counts.hits, 40);
        assert_eq!(total.hit_rate, Some(0.5));
        assert_eq!(
            (total.requests_per_second, total.memory_used_mb),
            (3.0, 5.0)
        );
        assert_eq!(heard.sidecars[0].age, 1.2);
        assert_eq!(fleet.warnings(), Vec::<String>::new());
        assert_eq!((fleet.evicted_by_others(), total.evicted_in_hour), (14, 14));
    }

    /// A command that Redis does not answer in time is no end of a fleet.
    #[test]
    fn what_was_heard_counts_for_as_long_as_a_word_does() {
        let (fleet, start) = (Fleet::new("own:1".into()), clock::monotonic());
        let second = |second| start + Duration::from_secs(second);
        fleet.hear(Some(vec![word("a", "1", 1, 0)]), start);
        for (at, expected) in [(5, Some(6.2)), (14, Some(15.2)), (15, None)] {
            fleet.hear(None, second(at));
            let summary = fleet.summarize(Report::default(), second(at));
            let other = summary.sidecars.iter().find(|line| !line.this);
            assert_eq!(other.map(|line| line.age), expected, "{at}");
            assert!(summary.shared, "{at}");
        }
        fleet.hear(None, second(16));
        let summary = fleet.summarize(Report::default(), second(16));
        assert!(!summary.shared && summary.sidecars.len() == 1);
    }

    #[test]
    fn two_configs_and_words_of_others_are_told() {
        let fleet = Fleet::new("own:1".into());
        let foreign = SidecarWord {
            id: "c".into(),
            age: Duration::ZERO,
            text: "<xml/>".into(),
        };
        let words = ["a", "b"].map(|id| word(id, "91", 1, 0));
        let other = word("d", "3a", 1, 0);
        let words = [vec![foreign, other], words.to_vec()].concat();
        let now = clock::monotonic();
        fleet.hear(Some(words), now);
        assert_eq!(
            fleet.warnings(),
            [
                "2 configs are in force in one [redis] namespace: 3a on d.internal:8080, 91 on a.internal:8080 and 1 more",
                "1 sidecars speak in a way that this version cannot read",
            ]
        );
        fleet.hear(None, now + SidecarWord::LIFETIME);
        assert_eq!(fleet.warnings(), Vec::<String>::new());
    }
}
