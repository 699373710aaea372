//! Purges that somebody has asked for here and that are being carried out.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use super::purge::PurgeRequest;
use super::stats::tally::round;

/// All of them; no more than there are connections to the interface.
#[derive(Debug, Default)]
pub(super) struct PurgesUnderWay(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    purges: BTreeMap<u64, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    what: String,
    began: Instant,
    keys: u64,
}

/// One of them, as `/stats` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PurgeUnderWay {
    /// In words.
    pub what: String,
    /// For how long.
    pub seconds: f64,
    /// How many keys there are less than when it began, of Redis or of memory without it.
    pub keys_less: u64,
}

/// Until it is dropped it is under way.
pub(super) struct Guard<'p> {
    purges: &'p PurgesUnderWay,
    number: u64,
}

impl PurgesUnderWay {
    /// `keys`: how many there are.
    pub(super) fn begin(&self, request: &PurgeRequest, keys: u64, now: Instant) -> Guard<'_> {
        let mut all = self.0.lock();
        all.last += 1;
        let number = all.last;
        let purge = UnderWay {
            what: describe(request),
            began: now,
            keys,
        };
        all.purges.insert(number, purge);
        Guard {
            purges: self,
            number,
        }
    }

    /// The oldest first.
    pub(super) fn list(&self, keys: u64, now: Instant) -> Vec<PurgeUnderWay> {
        let all = self.0.lock();
        let listed = all.purges.values().map(|purge| PurgeUnderWay {
            what: purge.what.clone(),
            seconds: round(now.saturating_duration_since(purge.began).as_secs_f64(), 1),
            keys_less: purge.keys.saturating_sub(keys),
        });
        listed.collect()
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.purges.0.lock().purges.remove(&self.number);
    }
}

fn describe(request: &PurgeRequest) -> String {
    if request.everything {
        return "everything".to_owned();
    }
    let kinds = [
        ("key", &request.keys),
        ("pattern", &request.patterns),
        ("tag", &request.tags),
    ];
    let told = kinds
        .into_iter()
        .filter_map(|(kind, named)| match &**named {
            [] => None,
            [one] => Some(format!("{kind} {one}")),
            several => Some(format!("{} {kind}s", several.len())),
        });
    let told: Vec<String> = told.collect();
    match told.is_empty() {
        true => "identities".to_owned(),
        false => told.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn each_is_told_until_it_is_over() {
        let (purges, start) = (PurgesUnderWay::default(), clock::monotonic());
        let one = PurgeRequest {
            patterns: vec!["kanban:*".into()],
            tags: vec!["a".into(), "b".into()],
            ..PurgeRequest::default()
        };
        let all = PurgeRequest {
            everything: true,
            ..PurgeRequest::default()
        };
        let first = purges.begin(&one, 900, start);
        let second = purges.begin(&all, 500, start + Duration::from_secs(2));
        let later = start + Duration::from_millis(3_250);
        let told = |keys| {
            let listed = purges.list(keys, later).into_iter();
            let told = listed.map(|one| (one.what, one.seconds, one.keys_less));
            told.collect::<Vec<_>>()
        };
        assert_eq!(
            told(600),
            [
                ("pattern kanban:*, 2 tags".to_owned(), 3.3, 300),
                ("everything".to_owned(), 1.3, 0)
            ]
        );
        drop(first);
        assert_eq!(told(400), [("everything".to_owned(), 1.3, 100)]);
        drop(second);
        assert!(told(0).is_empty());
    }
}
