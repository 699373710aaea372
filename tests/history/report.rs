//! A line for each fault: what was measured, beside what is promised.
//!
//! Of stale reads, inside their bound or not: how many, the 99th percentile of how stale these were, the maximum and
//! the bound, in ms; once for reads through the sidecar that had acknowledged the write, and once for others by either
//! kind of route. `outside` counts reads beyond their bound and the machine's `lag`, which a bound of 0 does not have.
//! `cut` are requests whose sidecar was killed, `added` is what reads took beyond what the app may take, and `back` the
//! time from the end of the fault until Redis had answered for every sidecar.

use std::io::Write as _;
use std::time::Duration;

use super::checker::{Moment, Promise, Verdict, Violation, check, p99};
use super::faults::{Fault, Promised};
use super::recorder::{Recorded, Recorder, Slow};

/// What a history came to.
pub(crate) struct Outcome {
    pub(crate) promised: &'static Promised,
    pub(crate) recorded: Recorded,
    pub(crate) verdict: Verdict,
    /// From the end of the fault until every sidecar had an answer of Redis.
    pub(crate) back: Option<Duration>,
    pub(crate) lag: Duration,
}

/// Violations of a promise, and failures, that are told in full.
const TOLD: usize = 3;

/// What a busy machine adds to a read.
const QUICK: Duration = Duration::from_millis(100);

pub(crate) fn header() -> String {
    let promises = ["own writes", "strict", "tracked"];
    let [own, strict, tracked] = promises.map(|promise| format!("{promise}: stale p99 max ≤bound"));
    format!(
        "{:<32}|{:>8} reads|{:>6} writes|outside| {own:^32} | {strict:^32} | {tracked:^32} |torn|failed| app| cut|added p99 max ms|back ms|lag ms| why these bounds",
        "fault", "", ""
    )
}

impl Outcome {
    /// Of a history that has ended.
    pub(crate) fn of(fault: Fault, recorder: &Recorder, lag: Duration) -> Outcome {
        let promised = fault.promised();
        let back = recorder.redis_is_back();
        let recorded = std::mem::take(&mut *recorder.lock());
        let verdict = check(&recorded.writes, &recorded.reads, &promised.bounds(lag));
        Outcome {
            promised,
            recorded,
            verdict,
            back,
            lag,
        }
    }

    pub(crate) fn line(&self) -> String {
        let recorded = &self.recorded;
        let [own, strict, tracked] = Promise::ALL.map(|promise| self.staleness(promise));
        let mut added = recorded.added.clone();
        added.sort_unstable();
        let slowest = added.last().copied().unwrap_or_default();
        format!(
            "{:<32}|{:>14}|{:>13}|{:>7}| {own:>32} | {strict:>32} | {tracked:>32} |{:>4}|{:>6}|{:>4}|{:>4}|{:>10} {:>5}|{:>7}|{:>6}| {}",
            self.promised.name,
            recorded.reads.len(),
            recorded.writes.len(),
            self.verdict.violations.len(),
            recorded.torn.len(),
            recorded.failed.len(),
            recorded.app_failed,
            recorded.cut,
            p99(&added).as_millis(),
            slowest.as_millis(),
            self.back
                .map_or("never".to_owned(), |back| back.as_millis().to_string()),
            self.lag.as_millis(),
            self.promised.why,
        )
    }

    /// What is not as it is promised.
    pub(crate) fn faults(&self) -> Vec<String> {
        let recorded = &self.recorded;
        let outside = self.verdict.violations.len();
        let checks = [
            (!recorded.torn.is_empty(), "torn or wrong answers"),
            (!recorded.failed.is_empty(), "failed requests"),
            (outside > 0, "stale outside the bounds"),
            (self.back.is_none(), "Redis is not found again"),
        ];
        let found = checks.into_iter().filter(|(found, _)| *found);
        found.map(|(_, what)| what.to_owned()).collect()
    }

    fn staleness(&self, promise: Promise) -> String {
        let stale = self.verdict.staleness(promise);
        let longest = stale.last().copied().unwrap_or_default();
        format!(
            "{} {} {} ≤{}",
            stale.len(),
            tell(p99(stale)),
            tell(longest),
            self.promised.milliseconds(promise)
        )
    }

    /// The worst of what went wrong, with what was done before.
    pub(crate) fn details(&self) -> String {
        let mut worst: Vec<&Violation> = self.verdict.violations.iter().collect();
        worst.sort_by_key(|violation| std::cmp::Reverse(violation.staleness));
        let stale = Promise::ALL.into_iter().flat_map(|promise| {
            let broken = worst.iter().filter(move |worst| worst.promise == promise);
            broken
                .take(TOLD)
                .map(|violation| self.tell_violation(violation))
        });
        let torn = self.recorded.torn.iter().take(TOLD).cloned();
        let failed = self.recorded.failed.iter().take(TOLD).cloned();
        let lines: Vec<String> = stale.chain(torn).chain(failed).collect();
        lines.join("\n")
    }

    /// The slowest read, with what was done before, where it is worth a look.
    pub(crate) fn slowest(&self) -> Option<String> {
        let slowest = self.recorded.slowest.as_ref();
        let slowest = slowest.filter(|slowest| slowest.added > QUICK);
        slowest.map(|Slow { added, begun, told }| {
            let before = self.note_before(*begun);
            format!(
                "  slowest: {} more for {told}; asked at {} ms{before}",
                tell(*added),
                begun.as_millis()
            )
        })
    }

    /// What was done last.
    fn note_before(&self, at: Moment) -> String {
        let notes = &self.recorded.notes;
        let last = notes.iter().rev().find(|(noted, _)| *noted <= at);
        last.map_or(String::new(), |(noted, what)| {
            format!(" ({what}, {} ms before)", (at - *noted).as_millis())
        })
    }

    fn tell_violation(&self, violation: &Violation) -> String {
        let Violation {
            promise,
            staleness,
            read,
            saw,
            missed,
        } = violation;
        let told = self.recorded.told.get(&(missed.item, missed.version));
        format!(
            "  {promise:?}: {} through {}.{} saw {saw} of item {} {} after {} was acknowledged through {}.{} ({}); {}; written at {} ms{}, read at {} ms{}",
            read.target,
            read.by.sidecar,
            read.by.life,
            missed.item,
            tell(*staleness),
            missed.version,
            missed.by.sidecar,
            missed.by.life,
            told.map_or("", String::as_str),
            read.status,
            missed.acknowledged.as_millis(),
            self.note_before(missed.acknowledged),
            read.begun.as_millis(),
            self.note_before(read.begun),
        )
    }
}

/// Below ten milliseconds with a digit more.
fn tell(duration: Duration) -> String {
    match duration.as_secs_f64() * 1000.0 {
        0.0 => "0".to_owned(),
        ms @ ..10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// Prints it, and adds it to the file that `PANNIER_HISTORY_REPORT` names.
pub(crate) fn publish(text: &str) {
    println!("{text}");
    if let Ok(path) = std::env::var("PANNIER_HISTORY_REPORT") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path);
        let mut file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
        // In one piece: tests run side by side.
        file.write_all(format!("{text}\n").as_bytes())
            .expect("a writable file");
    }
}
