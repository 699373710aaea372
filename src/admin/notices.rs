//! Which alerts are to be told now: each when it begins, and when it has been over for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::alerts::Alert;

/// An alert that comes again within this time has not ended, so that nobody is told of it again and again.
const CALM: Duration = Duration::from_secs(60);

/// What has become of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has begun.
    Firing,
    /// It is over.
    Resolved,
}

/// What is to be told of one alert.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) change: Change,
    /// As it was when it was exceeded last.
    pub(super) alert: Alert,
}

/// What is, and what has been told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    alerts: BTreeMap<&'static str, Known>,
}

#[derive(Debug)]
struct Known {
    alert: Alert,
    /// Since when it has not been exceeded; `None`: it is.
    calm_since: Option<Instant>,
    /// Whether anybody was told that it fires.
    is_told: bool,
}

impl Notices {
    /// Takes in how things are.
    pub(super) fn note(&mut self, alerts: &[Alert], now: Instant) {
        for alert in alerts.iter().filter(|alert| alert.exceeded) {
            let known = self.alerts.entry(alert.name).or_insert_with(|| Known {
                alert: alert.clone(),
                calm_since: None,
                is_told: false,
            });
            known.alert = alert.clone();
            known.calm_since = None;
        }
        for known in self.alerts.values_mut() {
            let now_is = alerts.iter().find(|alert| alert.name == known.alert.name);
            match now_is {
                Some(alert) if alert.exceeded => {}
                Some(_) => {
                    known.calm_since.get_or_insert(now);
                }
                // Nobody asks for it any more.
                None => known.calm_since = Some(now.checked_sub(CALM).unwrap_or(now)),
            }
        }
        // Who was told of nothing need not be told that it is over.
        self.alerts
            .retain(|_, known| known.is_told || !known.is_over(now));
    }

    /// What is to be told next.
    pub(super) fn next(&self, now: Instant) -> Option<Notice> {
        let notice = |known: &Known| {
            let change = match (known.is_told, known.is_over(now)) {
                (false, false) => Change::Firing,
                (true, true) => Change::Resolved,
                _ => return None,
            };
            Some(Notice {
                change,
                alert: known.alert.clone(),
            })
        };
        self.alerts.values().find_map(notice)
    }

    /// It was told.
    pub(super) fn was_told(&mut self, notice: &Notice) {
        match notice.change {
            Change::Firing => {
                if let Some(known) = self.alerts.get_mut(notice.alert.name) {
                    known.is_told = true;
                }
            }
            Change::Resolved => {
                self.alerts.remove(notice.alert.name);
            }
        }
    }
}

impl Known {
    fn is_over(&self, now: Instant) -> bool {
        self.calm_since
            .is_some_and(|since| now.saturating_duration_since(since) >= CALM)
    }
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Change::Firing => "firing",
            Change::Resolved => "resolved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn alert(name: &'static str, exceeded: bool) -> Alert {
        Alert {
            name,
            value: Some(1.0),
            threshold: 1,
            exceeded,
            words: exceeded.then(|| "it is too much".to_owned()),
        }
    }

    /// Tells all there is to tell at a second; the words for it.
    fn tell(notices: &mut Notices, alerts: &[Alert], at: Instant) -> Vec<String> {
        notices.note(alerts, at);
        let mut told = Vec::new();
        while let Some(notice) = notices.next(at) {
            notices.was_told(&notice);
            told.push(format!("{} {}", notice.alert.name, notice.change.as_str()));
        }
        told
    }

    #[test]
    fn each_is_told_once_and_again_when_it_is_over() {
        let (start, mut notices) = (clock::monotonic(), Notices::default());
        let second = |second| start + Duration::from_secs(second);
        let (yes, no) = ([alert("keys", true)], [alert("keys", false)]);
        for (at, alerts, expected) in [
            (0, &no, vec![]),
            (5, &yes, vec!["keys firing"]),
            (10, &yes, vec![]),
            (15, &no, vec![]),
            // It flutters.
            (70, &yes, vec![]),
            (75, &no, vec![]),
            (134, &no, vec![]),
            (135, &no, vec!["keys resolved"]),
            (140, &no, vec![]),
            (145, &yes, vec!["keys firing"]),
        ] {
            assert_eq!(tell(&mut notices, alerts, second(at)), expected, "{at}");
        }
        let gone: [Alert; 0] = [];
        assert_eq!(tell(&mut notices, &gone, second(150)), ["keys resolved"]);
    }

    #[test]
    fn what_was_never_told_has_no_end_and_what_lasts_is_not_forgotten() {
        let (start, mut notices) = (clock::monotonic(), Notices::default());
        let later = start + CALM;
        notices.note(&[alert("keys", true), alert("memory_percent", true)], start);
        assert_eq!(notices.next(start).unwrap().alert.name, "keys");
        // Nobody could be told meanwhile.
        notices.note(
            &[alert("keys", false), alert("memory_percent", true)],
            start,
        );
        let told = tell(
            &mut notices,
            &[alert("keys", false), alert("memory_percent", true)],
            later,
        );
        assert_eq!(told, ["memory_percent firing"]);
    }
}
