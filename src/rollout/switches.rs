//! What was switched at run time, as all sidecars of a fleet have it.
//!
//! A map with one switch for each subject, of which the latest holds, wherever and in which order they are heard of: so
//! two sidecars that could not reach Redis agree as soon as they can. One that was taken back stays as such, or an older
//! one that some sidecar still has would come back.

use std::collections::BTreeMap;
use std::mem::discriminant;

use serde::{Deserialize, Serialize};

use super::mode::{Mode, Rollout};

/// What a switch is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// All rules, and what no rule matches.
    Everything,
    /// The rule of that name; `-`: what no rule matches.
    Rule(String),
    /// The config with this hash, in hexadecimal digits: off is not to be in force where another one was before it.
    Config(String),
}

impl Subject {
    /// As Redis keeps it.
    pub fn to_field(&self) -> String {
        match self {
            Subject::Everything => "*".to_owned(),
            Subject::Rule(name) => format!("rule {name}"),
            Subject::Config(hash) => format!("config {hash}"),
        }
    }

    /// What the field of Redis is about.
    pub fn of_field(field: &str) -> Option<Subject> {
        match field {
            "*" => Some(Subject::Everything),
            _ => {
                let (kind, name) = field.split_once(' ')?;
                match kind {
                    "rule" => Some(Subject::Rule(name.to_owned())),
                    "config" => Some(Subject::Config(name.to_owned())),
                    _ => None,
                }
            }
        }
    }
}

/// One switch. Times are milliseconds of fleet time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// When it was thrown.
    #[serde(skip)]
    pub at: u64,
    /// The mode; `None`: as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The share; `None`: as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// From then on the file holds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why, as whoever threw it said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Switch {
    /// Whether it says anything at `now`.
    pub fn is_in_force(&self, now: u64) -> bool {
        let says_something = self.mode.is_some() || self.percent.is_some();
        says_something && self.until.is_none_or(|until| now < until)
    }

    /// As Redis keeps it: when, then the rest.
    pub fn to_text(&self) -> String {
        format!("{} {}", self.at, self.body())
    }

    /// All but when.
    pub fn body(&self) -> String {
        serde_json::to_string(self).expect("words and numbers always have a form in JSON")
    }

    /// What Redis keeps. Members that a later version added are left aside.
    pub fn parse(text: &str) -> Option<Switch> {
        let (at, body) = text.split_once(' ')?;
        let switch: Switch = serde_json::from_str(body).ok()?;
        let percent = switch.percent.filter(|percent| (1..=100).contains(percent));
        Some(Switch {
            at: at.parse().ok()?,
            percent,
            ..switch
        })
    }
}

/// All of them, those that are taken back or over too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    by_subject: BTreeMap<Subject, Switch>,
}

impl Switches {
    /// The most that are kept of rules (promise I7); one that says nothing any more gives way. There is always room for
    /// everything.
    pub const MAX: usize = 256;

    /// The most that are kept of configs; the oldest gives way.
    pub const MAX_CONFIGS: usize = 16;

    /// What is thrown so much later than now, in milliseconds, was not thrown then: it yields to any other.
    const MOST_AHEAD: u64 = 60_000;

    /// Takes one in, if it is later than what is there; `false`: it is not, or there is no room. The script chooses alike
    /// (`switch.lua`), or Redis and its sidecars would bring each other back what the other has let go.
    pub fn take(&mut self, subject: Subject, switch: Switch, now: u64) -> bool {
        if let Some(held) = self.by_subject.get_mut(&subject) {
            let is_later = switch.at > held.at || held.at > now.saturating_add(Self::MOST_AHEAD);
            if is_later {
                *held = switch;
            }
            return is_later;
        }
        let has_room = self.make_room(&subject, &switch, now);
        if has_room {
            self.by_subject.insert(subject, switch);
        }
        has_room
    }

    /// Takes all of `others` in; whether anything changed.
    pub fn merge(&mut self, others: &Switches, now: u64) -> bool {
        let mut has_changed = false;
        for (subject, switch) in &others.by_subject {
            has_changed |= self.take(subject.clone(), switch.clone(), now);
        }
        has_changed
    }

    /// Those that `others` lacks, or has an older one of.
    pub fn newer_than(&self, others: &Switches) -> Vec<(Subject, Switch)> {
        let is_newer = |(subject, switch): &(&Subject, &Switch)| {
            let other = others.by_subject.get(*subject);
            other.is_none_or(|other| switch.at > other.at)
        };
        let newer = self.by_subject.iter().filter(is_newer);
        newer
            .map(|(subject, switch)| (subject.clone(), switch.clone()))
            .collect()
    }

    /// Puts what is there in place of what was held, whenever that was thrown.
    pub fn put(&mut self, subject: Subject, switch: Switch) {
        self.by_subject.insert(subject, switch);
    }

    /// What is held about the subject.
    pub fn get(&self, subject: &Subject) -> Option<&Switch> {
        self.by_subject.get(subject)
    }

    /// Those that say something at `now`.
    pub fn in_force(&self, now: u64) -> impl Iterator<Item = (&Subject, &Switch)> {
        let all = self.by_subject.iter();
        all.filter(move |(_, switch)| switch.is_in_force(now))
    }

    /// When the next of them ends by itself.
    pub fn next_end(&self, now: u64) -> Option<u64> {
        self.in_force(now)
            .filter_map(|(_, switch)| switch.until)
            .min()
    }

    /// What holds for the rule of this name, of which the file says `file`. What everything is switched to is the most
    /// that any rule is.
    pub fn apply(&self, rule: &str, file: Rollout, ceiling: Mode, now: u64) -> Rollout {
        let in_force = |subject: &Subject| {
            let switch = self.by_subject.get(subject);
            switch.filter(|switch| switch.is_in_force(now))
        };
        let own = in_force(&Subject::Rule(rule.to_owned()));
        let all = in_force(&Subject::Everything);
        let mode = own.and_then(|switch| switch.mode).unwrap_or(file.mode);
        let percent = own.and_then(|switch| switch.percent);
        let most = all.and_then(|switch| switch.mode).unwrap_or(Mode::On);
        Rollout {
            mode: mode.min(most).min(ceiling),
            percent: percent.unwrap_or(file.percent),
        }
    }

    /// Whether there is room for one that is not there.
    fn make_room(&mut self, subject: &Subject, switch: &Switch, now: u64) -> bool {
        let most = match subject {
            Subject::Everything => return true,
            Subject::Rule(_) => Self::MAX,
            Subject::Config(_) => Self::MAX_CONFIGS,
        };
        let kind = discriminant(subject);
        let all = &self.by_subject;
        let alike = || {
            all.iter()
                .filter(move |(other, _)| discriminant(*other) == kind)
        };
        if alike().count() < most {
            return true;
        }
        let gives_way = |(_, held): &(&Subject, &Switch)| match subject {
            Subject::Config(_) => held.at < switch.at,
            _ => switch.is_in_force(now) && !held.is_in_force(now),
        };
        let oldest = alike().filter(gives_way).min_by_key(|(_, held)| held.at);
        let oldest = oldest.map(|(subject, _)| subject.clone());
        oldest.is_some_and(|oldest| self.by_subject.remove(&oldest).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(at: u64, mode: Option<Mode>, percent: Option<u8>) -> Switch {
        Switch {
            at,
            mode,
            percent,
            ..Switch::default()
        }
    }

    fn rule(name: &str) -> Subject {
        Subject::Rule(name.to_owned())
    }

    #[test]
    fn the_latest_of_a_subject_holds_in_whatever_order_they_come() {
        let thrown = [
            (rule("a"), switch(1, Some(Mode::Off), None)),
            (rule("a"), switch(3, None, None)),
            (rule("a"), switch(2, Some(Mode::Shadow), None)),
            (Subject::Everything, switch(2, Some(Mode::Off), None)),
        ];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]];
        let met = orders.map(|order| {
            let mut switches = Switches::default();
            for index in order {
                let (subject, switch) = thrown[index].clone();
                switches.take(subject, switch, 0);
            }
            switches
        });
        assert!(met.iter().all(|switches| *switches == met[0]));
        assert_eq!(met[0].get(&rule("a")).map(|switch| switch.at), Some(3));
        assert_eq!(met[0].in_force(5).count(), 1, "one was taken back");
    }

    #[test]
    fn what_holds_for_a_rule() {
        let file = |mode, percent| Rollout { mode, percent };
        let full = Rollout::FULL;
        let off = file(Mode::Off, 100);
        let none = || Switches::default();
        let of = |subject: Subject, switch: Switch| {
            let mut switches = Switches::default();
            switches.take(subject, switch, 0);
            switches
        };
        let ends = Switch {
            until: Some(10),
            ..switch(1, Some(Mode::Off), None)
        };
        #[rustfmt::skip]
        let rows = [
            ("no switch", none(), full, Mode::On, full),
            ("no switch, off in the file", none(), off, Mode::On, off),
            ("the environment", none(), full, Mode::Off, off),
            ("everything off", of(Subject::Everything, switch(1, Some(Mode::Off), None)), full, Mode::On, off),
            ("everything on turns nothing on", of(Subject::Everything, switch(1, Some(Mode::On), None)), off, Mode::On, off),
            ("everything to shadow", of(Subject::Everything, switch(1, Some(Mode::Shadow), None)), full, Mode::On, file(Mode::Shadow, 100)),
            ("everything to shadow leaves off", of(Subject::Everything, switch(1, Some(Mode::Shadow), None)), off, Mode::On, off),
            ("a rule on that the file has off", of(rule("r"), switch(1, Some(Mode::On), None)), off, Mode::On, full),
            ("a rule on, the environment off", of(rule("r"), switch(1, Some(Mode::On), None)), off, Mode::Off, off),
            ("another rule", of(rule("s"), switch(1, Some(Mode::Off), None)), full, Mode::On, full),
            ("a share", of(rule("r"), switch(1, None, Some(10))), full, Mode::On, file(Mode::On, 10)),
            ("before its end", of(rule("r"), Switch { until: Some(21), ..ends.clone() }), full, Mode::On, off),
            ("at its end", of(rule("r"), Switch { until: Some(20), ..ends }), full, Mode::On, full),
        ];
        for (case, switches, file, ceiling, expected) in rows {
            assert_eq!(switches.apply("r", file, ceiling, 20), expected, "{case}");
        }
    }

    #[test]
    fn texts() {
        let full = Switch {
            at: 1_700_000_000_000,
            mode: Some(Mode::Shadow),
            percent: Some(10),
            until: Some(1_700_000_060_000),
            reason: "a \"look\" first".to_owned(),
        };
        for switch in [full, switch(5, None, None), Switch::default()] {
            assert_eq!(Switch::parse(&switch.to_text()), Some(switch));
        }
        let later = "7 {\"mode\":\"off\",\"colour\":\"red\"}";
        assert_eq!(Switch::parse(later), Some(switch(7, Some(Mode::Off), None)));
        let odd = "7 {\"percent\":101}";
        assert_eq!(Switch::parse(odd), Some(switch(7, None, None)));
        for broken in ["", "x {}", "7", "7 {", "7 {\"mode\":\"sideways\"}"] {
            assert_eq!(Switch::parse(broken), None, "{broken}");
        }
        let config = Subject::Config("0f".to_owned());
        for subject in [Subject::Everything, rule("-"), rule("a b"), config] {
            assert_eq!(Subject::of_field(&subject.to_field()), Some(subject));
        }
        assert_eq!(Subject::of_field("else"), None);
    }

    #[test]
    fn they_are_bounded_and_what_is_over_gives_way() {
        let mut switches = Switches::default();
        for n in 0..Switches::MAX as u64 {
            let mode = (n != 7).then_some(Mode::Off);
            assert!(switches.take(rule(&n.to_string()), switch(n, mode, None), 0));
        }
        let new = |n: u64| {
            (
                rule(&format!("new {n}")),
                switch(1000 + n, Some(Mode::Off), None),
            )
        };
        let (subject, first) = new(1);
        assert!(
            switches.take(subject, first, 0),
            "the one taken back gives way"
        );
        assert_eq!(switches.get(&rule("7")), None);
        let (subject, second) = new(2);
        assert!(!switches.take(subject, second, 0), "all are in force");
        assert_eq!(switches.in_force(0).count(), Switches::MAX);
        let silent = switch(3000, None, None);
        assert!(!switches.take(rule("silent"), silent, 0), "it says nothing");
        // What stops everything is never refused, and takes no rule's place; nor does a rollback.
        let off = switch(2000, Some(Mode::Off), None);
        assert!(switches.take(Subject::Everything, off.clone(), 0));
        let config = |n: usize| Subject::Config(n.to_string());
        for n in 0..=Switches::MAX_CONFIGS {
            let off = switch(2000 + n as u64, Some(Mode::Off), None);
            assert!(switches.take(config(n), off, 0), "{n}");
        }
        assert_eq!(switches.get(&config(0)), None, "the oldest gave way");
        assert!(!switches.take(config(0), off, 0), "and stays away");
        let all = Switches::MAX + 1 + Switches::MAX_CONFIGS;
        assert_eq!(switches.in_force(0).count(), all);
    }

    #[test]
    fn what_was_thrown_in_a_far_future_yields() {
        let mut switches = Switches::default();
        let off = |at| switch(at, Some(Mode::Off), None);
        assert!(switches.take(rule("a"), off(u64::MAX), 5));
        assert!(switches.take(rule("a"), off(6), 5));
        assert!(!switches.take(rule("a"), off(6), 5));
        assert_eq!(switches.get(&rule("a")), Some(&off(6)));
    }

    #[test]
    fn what_another_lacks() {
        let (mut ours, mut theirs) = (Switches::default(), Switches::default());
        ours.take(rule("old"), switch(1, Some(Mode::Off), None), 0);
        ours.take(rule("new"), switch(9, Some(Mode::Off), None), 0);
        ours.take(rule("own"), switch(4, Some(Mode::Off), None), 0);
        theirs.take(rule("old"), switch(2, None, None), 0);
        theirs.take(rule("new"), switch(8, None, None), 0);
        let newer = ours.newer_than(&theirs);
        let names: Vec<_> = newer.iter().map(|(subject, _)| subject.clone()).collect();
        assert_eq!(names, [rule("new"), rule("own")]);
        assert!(ours.merge(&theirs, 0) && !ours.merge(&theirs, 0));
        assert_eq!(ours.get(&rule("old")).map(|switch| switch.at), Some(2));
    }
}
