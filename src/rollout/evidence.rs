//! What comparing the cache with the app has shown, by rule: how often it would have been right, how long it was not, in
//! what, and after which writes. Bounded, and without a value of any answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::writes::{RecentWrites, UnderWay, Write, ids_of_read};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The cache would have answered, or has, as the app does.
    Same,
    /// It would have answered, or has, otherwise.
    Stale,
    /// Nothing that could answer was stored.
    Miss,
    /// What the cache had could not be compared: the app failed, the answer was cut, is too long or for a range, or a
    /// purge came in between.
    Uncompared,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 4] = [
        Verdict::Same,
        Verdict::Stale,
        Verdict::Miss,
        Verdict::Uncompared,
    ];

    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Stale => "stale",
            Verdict::Miss => "miss",
            Verdict::Uncompared => "uncompared",
        }
    }
}

/// One comparison of what was stored with what the app says now. Times are milliseconds of fleet time.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'c> {
    /// The key.
    pub key: &'c str,
    /// What the config says that it rests on ([`Evidence::rest_on`]).
    pub basis: u64,
    /// The read's target.
    pub path: &'c str,
    /// Its query.
    pub query: Option<&'c str>,
    /// When the stored answer came.
    pub stored: u64,
    /// When the app was asked now.
    pub asked: u64,
    /// When its answer came.
    pub answered: u64,
    /// What differs; empty: nothing.
    pub differences: &'c [String],
}

/// The most keys of which it is remembered when they were right last (promise I7).
const MAX_KEYS: usize = 4096;
/// The most pointers told of a rule.
const MAX_POINTERS: usize = 64;
/// The most kinds of writes counted for a rule.
const MAX_KINDS: usize = 128;
/// The most writes that are weighed for one comparison: the latest.
const MAX_WEIGHED: usize = 256;
/// After so long what was counted counts half: milliseconds. A day, since a rule in shadow may be read seldom.
const HALF_LIFE: u64 = 24 * 3_600_000;

/// A kind of writes, as seen from a read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The method.
    pub method: String,
    /// The path with `{id}` for ids.
    pub shape: String,
    /// Those with an id that the read has too, alone.
    pub shares_id: bool,
}

/// How often such writes came between two looks at a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// And the answer had changed.
    pub changed: u64,
    /// And it had not.
    pub unchanged: u64,
}

/// What is known of one rule.
#[derive(Clone, Debug, Default)]
pub struct RuleEvidence {
    counts: [u64; Verdict::ALL.len()],
    /// How long stale answers may have been so, in all and at most: milliseconds.
    pub stale_ms: u64,
    /// The longest.
    pub longest_ms: u64,
    /// What differed, how often.
    pub pointers: BTreeMap<String, u64>,
    /// Changes found.
    pub changes: u64,
    /// Of those, without any write in between.
    pub unexplained: u64,
    kinds: BTreeMap<Kind, Tally>,
}

/// When a key was looked at last.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// Of which stored answer.
    stored: u64,
    /// Until then it was as the app says.
    right_at: u64,
    /// It was found to be stale.
    is_stale: bool,
}

/// Of all rules.
#[derive(Debug, Default)]
pub struct Evidence {
    rules: BTreeMap<String, RuleEvidence>,
    /// By the rule's name, what the config says that its evidence rests on.
    bases: BTreeMap<String, u64>,
    /// By a digest of the key: keys can be long.
    sightings: BTreeMap<u64, Sighting>,
    /// When counts were halved last.
    aged: u64,
    /// Writes of late.
    pub writes: RecentWrites,
    /// Writes that the app has not answered.
    pub under_way: UnderWay,
    /// What the log has told.
    told: BTreeSet<(String, Kind)>,
}

/// The most that the log tells of.
const MAX_TOLD: usize = 256;

/// After so many changes the log tells of the likeliest cause.
const ENOUGH: u64 = 2;

impl Evidence {
    /// From now on the evidence of each rule rests on this, a digest of what is compared and of what is purged. What was
    /// found while that was otherwise says nothing any more.
    pub fn rest_on(&mut self, bases: BTreeMap<String, u64>) {
        let is_same = |rule: &String| self.bases.get(rule) == bases.get(rule);
        self.rules.retain(|rule, _| is_same(rule));
        self.told.retain(|(rule, _)| is_same(rule));
        self.bases = bases;
    }

    /// Counts what needs no comparison, at `now`.
    pub fn count(&mut self, rule: &str, verdict: Verdict, now: u64) {
        self.age(now);
        self.rule(rule).counts[verdict as usize] += 1;
    }

    /// Whether the answer of the key that came at `stored` was found to be stale.
    pub fn is_known_to_be_stale(&self, key: &str, stored: u64) -> bool {
        let held = self.sightings.get(&digest(key));
        held.is_some_and(|held| held.stored == stored && held.is_stale)
    }

    /// Takes a comparison in; returns its verdict, and for how long the stored answer may have been stale.
    pub fn note(&mut self, rule: &str, comparison: &Comparison<'_>) -> (Verdict, u64) {
        self.age(comparison.asked);
        let basis = self.bases.get(rule);
        if basis.is_some_and(|basis| *basis != comparison.basis) {
            // It began under another config.
            self.rule(rule).counts[Verdict::Uncompared as usize] += 1;
            return (Verdict::Uncompared, 0);
        }
        let key = digest(comparison.key);
        let held = self.sightings.get(&key).copied();
        let held = held.filter(|held| held.stored == comparison.stored);
        let right_at = held.map_or(comparison.stored, |held| held.right_at);
        let is_stale = !comparison.differences.is_empty();
        let is_new = !held.is_some_and(|held| held.is_stale);
        if is_new {
            self.weigh_writes(rule, comparison, right_at, is_stale);
        }
        let sighting = Sighting {
            stored: comparison.stored,
            right_at: if is_stale { right_at } else { comparison.asked },
            is_stale,
        };
        self.remember(key, sighting);
        let evidence = self.rule(rule);
        if !is_stale {
            evidence.counts[Verdict::Same as usize] += 1;
            return (Verdict::Same, 0);
        }
        let stale_ms = comparison.asked.saturating_sub(right_at);
        evidence.counts[Verdict::Stale as usize] += 1;
        evidence.stale_ms += stale_ms;
        evidence.longest_ms = evidence.longest_ms.max(stale_ms);
        for pointer in comparison.differences {
            let has_room = evidence.pointers.len() < MAX_POINTERS;
            match evidence.pointers.get_mut(pointer) {
                Some(count) => *count += 1,
                None if has_room => drop(evidence.pointers.insert(pointer.clone(), 1)),
                None => {}
            }
        }
        (Verdict::Stale, stale_ms)
    }

    /// All rules that anything is known of, by name.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &RuleEvidence)> {
        self.rules
            .iter()
            .map(|(name, evidence)| (name.as_str(), evidence))
    }

    /// The likeliest cause of the changes of a rule, once it is likely enough and only once.
    pub fn take_news(&mut self, rule: &str) -> Option<(Kind, Tally)> {
        let evidence = self.rules.get(rule)?;
        let (kind, tally) = *evidence.suspects(1).first()?;
        if tally.changed < ENOUGH || self.told.len() >= MAX_TOLD {
            return None;
        }
        let news = (kind.clone(), tally);
        let is_new = self.told.insert((rule.to_owned(), news.0.clone()));
        is_new.then_some(news)
    }

    fn rule(&mut self, name: &str) -> &mut RuleEvidence {
        // As many as there are rules, of which the config has its own bound.
        self.rules.entry(name.to_owned()).or_default()
    }

    /// Each kind of write that came since the answer was right counts for or against being the cause.
    fn weigh_writes(
        &mut self,
        rule: &str,
        comparison: &Comparison<'_>,
        right_at: u64,
        is_stale: bool,
    ) {
        let ids = ids_of_read(comparison.path, comparison.query);
        // It had not changed yet when the app was asked, or it had when its answer came: no later.
        let until = match is_stale {
            true => comparison.answered,
            false => comparison.asked,
        };
        let between = self.writes.between(right_at, until);
        let kinds: BTreeSet<KindRef<'_>> = between
            .rev()
            .take(MAX_WEIGHED)
            .flat_map(|write| kinds_of(write, &ids))
            .collect();
        let kinds: Vec<Kind> = kinds.into_iter().map(KindRef::to_kind).collect();
        let evidence = self.rule(rule);
        if is_stale {
            evidence.changes += 1;
            evidence.unexplained += u64::from(kinds.is_empty());
        }
        for kind in kinds {
            if let Some(tally) = evidence.tally(kind, is_stale) {
                match is_stale {
                    true => tally.changed += 1,
                    false => tally.unchanged += 1,
                }
            }
        }
    }

    fn remember(&mut self, key: u64, sighting: Sighting) {
        if self.sightings.len() >= MAX_KEYS && !self.sightings.contains_key(&key) {
            // The neighbour goes, so that none is kept for ever: what is not remembered was right when it was stored.
            let after = self.sightings.range(key..).next();
            let other = after.or_else(|| self.sightings.iter().next());
            if let Some(other) = other.map(|(other, _)| *other) {
                self.sightings.remove(&other);
            }
        }
        self.sightings.insert(key, sighting);
    }

    fn age(&mut self, now: u64) {
        if self.aged == 0 {
            self.aged = now;
        }
        if now.saturating_sub(self.aged) < HALF_LIFE {
            return;
        }
        self.aged = now;
        let rules = &mut self.rules;
        rules.values_mut().for_each(RuleEvidence::age);
        // What is found again is news.
        self.told.retain(|(rule, kind)| {
            let evidence = rules.get(rule);
            evidence.is_some_and(|evidence| evidence.kinds.contains_key(kind))
        });
    }
}

/// The same in every look of this process.
fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A [`Kind`], as far as it is looked at only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct KindRef<'w> {
    method: &'w str,
    shape: &'w str,
    shares_id: bool,
}

impl KindRef<'_> {
    fn to_kind(self) -> Kind {
        Kind {
            method: self.method.to_owned(),
            shape: self.shape.to_owned(),
            shares_id: self.shares_id,
        }
    }
}

fn kinds_of<'w>(write: &'w Write, ids: &[u32]) -> impl Iterator<Item = KindRef<'w>> {
    let kind = |shares_id| KindRef {
        method: &write.method,
        shape: &write.shape,
        shares_id,
    };
    let narrow = write.shares_id(ids).then(|| kind(true));
    std::iter::once(kind(false)).chain(narrow)
}

impl RuleEvidence {
    /// What is counted of a kind. Where there is no room a change takes the place of what has explained the fewest.
    fn tally(&mut self, kind: Kind, is_change: bool) -> Option<&mut Tally> {
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            let kinds = self.kinds.iter();
            let least = kinds.min_by_key(|(_, tally)| (tally.changed, Reverse(tally.unchanged)));
            let least = least.map(|(least, _)| least.clone());
            self.kinds.remove(&least.filter(|_| is_change)?);
        }
        Some(self.kinds.entry(kind).or_default())
    }

    fn age(&mut self) {
        let counts = self.counts.iter_mut();
        let sums = [&mut self.stale_ms, &mut self.changes, &mut self.unexplained];
        for count in counts.chain(sums).chain(self.pointers.values_mut()) {
            *count /= 2;
        }
        self.pointers.retain(|_, count| *count > 0);
        for tally in self.kinds.values_mut() {
            tally.changed /= 2;
            tally.unchanged /= 2;
        }
        self.kinds.retain(|_, tally| *tally != Tally::default());
        if self.count(Verdict::Stale) == 0 {
            self.longest_ms = 0;
        }
    }

    /// How many requests came to this.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counts[verdict as usize]
    }

    /// The kinds of writes that explain the changes best, at most `most`: the likeliest first. Only those after which
    /// the answer had changed more often than not.
    pub fn suspects(&self, most: usize) -> Vec<(&Kind, Tally)> {
        let mut suspects: Vec<(&Kind, Tally)> = self
            .kinds
            .iter()
            .filter(|(_, tally)| tally.changed > tally.unchanged)
            .map(|(kind, tally)| (kind, *tally))
            .collect();
        // Of how many looks with it in between, or changes, it is the cause that fits: the harmonic mean of both shares.
        let fit = |tally: Tally| {
            let looks = tally.changed + tally.unchanged + self.changes;
            2_000_000 * tally.changed / looks.max(1)
        };
        suspects.sort_by(|(one, a), (other, b)| {
            let by_fit = fit(*b).cmp(&fit(*a));
            // Of two that fit alike the narrower says more.
            by_fit.then(other.shares_id.cmp(&one.shares_id))
        });
        let mut told: Vec<(&Kind, Tally)> = Vec::new();
        for (kind, tally) in suspects {
            let is_told = |(other, _): &(&Kind, Tally)| {
                (&other.method, &other.shape) == (&kind.method, &kind.shape)
            };
            if told.len() < most && !told.iter().any(is_told) {
                told.push((kind, tally));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(
        evidence: &mut Evidence,
        path: &str,
        stored: u64,
        asked: u64,
        differences: &[&str],
    ) -> (Verdict, u64) {
        let differences: Vec<String> = differences.iter().map(|&text| text.to_owned()).collect();
        let comparison = Comparison {
            key: path,
            basis: 1,
            path,
            query: None,
            stored,
            asked,
            answered: asked,
            differences: &differences,
        };
        evidence.note("r", &comparison)
    }

    fn write(evidence: &mut Evidence, path: &str, at: u64) {
        evidence.writes.note(Write::new("PUT", path, at, at));
    }

    #[test]
    fn how_long_an_answer_was_stale() {
        let mut evidence = Evidence::default();
        assert_eq!(note(&mut evidence, "/a", 0, 100, &[]), (Verdict::Same, 0));
        assert_eq!(
            note(&mut evidence, "/a", 0, 300, &["/x"]),
            (Verdict::Stale, 200)
        );
        assert_eq!(
            note(&mut evidence, "/a", 0, 700, &["/x"]),
            (Verdict::Stale, 600)
        );
        assert_eq!(
            note(&mut evidence, "/a", 800, 900, &["/x"]),
            (Verdict::Stale, 100),
            "another answer"
        );
        let (_, rule) = evidence.rules().next().expect("one");
        assert_eq!(
            (rule.stale_ms, rule.longest_ms, rule.changes),
            (900, 600, 2)
        );
        assert_eq!(rule.pointers["/x"], 3);
        assert_eq!(
            (rule.count(Verdict::Same), rule.count(Verdict::Stale)),
            (1, 3)
        );
        assert_eq!(rule.unexplained, 2, "no write was seen");
    }

    /// Each user's own write changes what is read of him; another write comes as often and changes nothing.
    #[test]
    fn the_write_that_did_it_is_told_from_those_that_did_not() {
        let mut evidence = Evidence::default();
        for user in 0..14u64 {
            let (path, base) = (format!("/api/users/{user}"), 1000 * user);
            evidence
                .writes
                .note(Write::new("POST", "/api/logs", base + 1, base + 2));
            note(&mut evidence, &path, base, base + 5, &[]);
            evidence
                .writes
                .note(Write::new("POST", "/api/logs", base + 6, base + 7));
            evidence.writes.note(Write::new(
                "PUT",
                &format!("/api/profiles/{user}"),
                base + 8,
                base + 9,
            ));
            note(&mut evidence, &path, base, base + 20, &["/name"]);
            // It is stale still, which is no news.
            note(&mut evidence, &path, base, base + 30, &["/name"]);
        }
        let (_, rule) = evidence.rules().next().expect("one");
        let suspects = rule.suspects(3);
        let (kind, tally) = suspects[0];
        assert_eq!(
            (kind.method.as_str(), kind.shape.as_str()),
            ("PUT", "/api/profiles/{id}")
        );
        assert!(kind.shares_id);
        assert_eq!(
            tally,
            Tally {
                changed: 14,
                unchanged: 0
            }
        );
        assert_eq!(
            suspects.len(),
            1,
            "the other changed nothing as often: {suspects:?}"
        );
        assert_eq!((rule.changes, rule.unexplained), (14, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut evidence = Evidence::default();
        for n in 0..2 * MAX_KEYS {
            let pointer = format!("/p{n}");
            evidence
                .writes
                .note(Write::new(&format!("M{n}"), "/w", n as u64, n as u64));
            note(
                &mut evidence,
                &format!("/a/{n}"),
                n as u64,
                n as u64,
                &[&pointer],
            );
        }
        assert_eq!(evidence.sightings.len(), MAX_KEYS);
        let (_, rule) = evidence.rules().next().expect("one");
        assert_eq!(
            (rule.pointers.len(), rule.kinds.len()),
            (MAX_POINTERS, MAX_KINDS)
        );
    }

    /// Of what was found before the rule was there, or before something else is compared, nothing is left; what was judged
    /// by the config before comes too late.
    #[test]
    fn evidence_ends_with_what_it_rests_on() {
        let on = |basis| BTreeMap::from([("r".to_owned(), basis), ("other".to_owned(), 1)]);
        let mut evidence = Evidence::default();
        evidence.rest_on(on(1));
        evidence.count("other", Verdict::Miss, 1);
        for key in ["/a", "/b"] {
            write(&mut evidence, "/w", 5);
            note(&mut evidence, key, 1, 10, &["/x"]);
        }
        assert!(evidence.take_news("r").is_some());
        evidence.rest_on(on(1));
        assert_eq!(evidence.rules().count(), 2, "a reload that changes neither");
        evidence.rest_on(on(2));
        let left: Vec<&str> = evidence.rules().map(|(name, _)| name).collect();
        assert_eq!(left, ["other"]);
        let late = note(&mut evidence, "/c", 1, 10, &["/x"]);
        assert_eq!(late, (Verdict::Uncompared, 0));
        evidence.rest_on(on(1));
        for key in ["/d", "/e"] {
            note(&mut evidence, key, 1, 10, &["/x"]);
        }
        assert!(evidence.take_news("r").is_some(), "it is told again");
    }

    #[test]
    fn evidence_counts_half_after_a_day() {
        let mut evidence = Evidence::default();
        for key in ["/a", "/b", "/c"] {
            write(&mut evidence, "/w", 5);
            note(&mut evidence, key, 1, 10, &["/x"]);
        }
        assert!(evidence.take_news("r").is_some() && evidence.take_news("r").is_none());
        let (day, mut counts) = (HALF_LIFE, Vec::new());
        for n in 1..=2 {
            evidence.count("r", Verdict::Miss, n * day + 10);
            let rule = &evidence.rules["r"];
            counts.push((
                rule.changes,
                rule.count(Verdict::Stale),
                rule.suspects(1).len(),
            ));
        }
        assert_eq!(counts, [(1, 1, 1), (0, 0, 0)]);
        assert_eq!(
            (evidence.rules["r"].longest_ms, evidence.told.len()),
            (0, 0)
        );
    }

    /// A crowd of other writes does not keep out the one that did it.
    #[test]
    fn what_explains_the_fewest_changes_gives_way() {
        let mut evidence = Evidence::default();
        for n in 0..MAX_KINDS as u64 {
            let method = format!("M{n}");
            evidence.writes.note(Write::new(&method, "/w", n, n));
            note(&mut evidence, "/a", n, n, &[]);
        }
        for n in [1000, 2000] {
            write(&mut evidence, "/profile", n);
            note(&mut evidence, "/a", n, n, &["/x"]);
        }
        let rule = &evidence.rules["r"];
        assert_eq!(rule.kinds.len(), MAX_KINDS);
        assert_eq!(rule.suspects(1)[0].0.shape, "/profile");
    }

    #[test]
    fn what_was_found_to_be_stale_is_known() {
        let mut evidence = Evidence::default();
        note(&mut evidence, "/a", 1, 10, &[]);
        assert!(!evidence.is_known_to_be_stale("/a", 1));
        note(&mut evidence, "/a", 1, 20, &["/x"]);
        assert!(evidence.is_known_to_be_stale("/a", 1));
        assert!(!evidence.is_known_to_be_stale("/a", 2), "another answer");
        assert!(!evidence.is_known_to_be_stale("/b", 1));
    }

    /// A slow app has changed it by the time at which it answers; what has not changed by then had not when it was asked.
    #[test]
    fn a_write_while_the_app_answers_counts_for_a_change_alone() {
        let changed = ["/x".to_owned()];
        for (differences, expected) in [(&changed[..], 1), (&[][..], 0)] {
            let mut evidence = Evidence::default();
            write(&mut evidence, "/w", 15);
            let comparison = Comparison {
                key: "/a",
                basis: 0,
                path: "/a",
                query: None,
                stored: 1,
                asked: 10,
                answered: 20,
                differences,
            };
            evidence.note("r", &comparison);
            assert_eq!(evidence.rules["r"].kinds.len(), expected);
        }
    }
}
