//! What the observations speak for: a value for a key of a rule, why, and what is to be gained. Only what a sample shows.

use serde::Serialize;

use super::contrast::FieldTally;
use super::report::{Report, RuleReport};
use crate::routes::{IgnoreQuery, Template};

/// Fewer answers seen again say nothing of a lifetime.
const LEAST_SAMPLE: u64 = 20;
/// Fewer requests say nothing of a hit rate.
const LEAST_REQUESTS: u64 = 200;
/// Fewer pairs of requests say nothing of a field.
const LEAST_PAIRS: u64 = 20;
/// Nor do fewer of its values.
const LEAST_VALUES: u64 = 8;
/// Nor fewer answers beside them, which differ by something else: where nothing is found, all are the same.
const LEAST_ANSWERS: u64 = 3;
/// What clients prefer, which an app may well ignore. What else `Vary` names says who asks, or is of the app's own making.
const PREFERENCES: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "save-data",
    "user-agent",
];
/// The most that a lifetime grows by at a time: longer than was seen, nothing is known.
const MOST_GROWTH: f64 = 4.0;
/// Of answers at the end of their lifetime so many may have changed.
const STALE_AT_END: f64 = 0.05;
/// The longest lifetime that is suggested, in seconds.
const LONGEST: f64 = 86_400.0;
/// The largest body that is suggested to be stored.
const LARGEST: u64 = 16 << 20;

/// What the config says of a rule.
#[derive(Clone, Debug)]
pub struct RuleFacts {
    /// Its name.
    pub name: String,
    /// `ttl`, in seconds.
    pub ttl: f64,
    /// `max_body`
    pub max_body: u64,
    /// `priority`
    pub priority: &'static str,
    /// `vary`, if it is written.
    pub vary: Option<Vec<String>>,
    /// `key`
    pub route_key: Template,
    /// `ignore_query`
    pub ignore_query: IgnoreQuery,
    /// Whether it is off.
    pub is_off: bool,
}

/// A change of the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: EditValue,
}

impl Edit {
    /// Whether it has requests share an answer that have one each now: a mistake shows one client what is another's.
    pub fn is_of_sharing(&self) -> bool {
        self.key == "ignore_query"
    }
}

/// The new value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EditValue {
    /// In place of the old one.
    Text(String),
    /// Beside what is there, if the list is one to add to, or in its place.
    Texts(Vec<String>),
}

/// Something to change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// The rule.
    pub rule: String,
    /// The change of its table; null if it is to be made elsewhere, by hand.
    pub edit: Option<Edit>,
    /// What was seen.
    pub why: String,
    /// What to expect.
    pub gain: String,
    /// How often it was seen.
    pub sample: u64,
}

/// What speaks for a change, rule by rule.
pub fn suggest(report: &Report, rules: &[RuleFacts]) -> Vec<Suggestion> {
    let mut all = Vec::new();
    for facts in rules.iter().filter(|facts| !facts.is_off) {
        let Some(seen) = report.rules.get(&facts.name) else {
            continue;
        };
        if let Some(off) = off(facts, seen) {
            all.push(off);
            continue;
        }
        all.extend(lifetime(facts, seen));
        all.extend(priority(facts, seen, report));
        all.extend(queries(facts, seen));
        all.extend(varying(facts, seen));
        all.extend(max_body(facts, seen));
        all.extend(purges(facts, seen, report));
    }
    all
}

fn suggestion(
    facts: &RuleFacts,
    (key, value): (&'static str, EditValue),
    why: String,
    gain: String,
    sample: u64,
) -> Suggestion {
    Suggestion {
        rule: facts.name.clone(),
        edit: Some(Edit { key, value }),
        why,
        gain,
        sample,
    }
}

/// It keeps what nobody reads again.
fn off(facts: &RuleFacts, seen: &RuleReport) -> Option<Suggestion> {
    let rate = seen.hit_rate()?;
    let is_read_once = seen.keys > 0 && seen.single * 10 >= seen.keys * 9;
    if seen.hits + seen.misses < LEAST_REQUESTS || rate >= 0.02 || !is_read_once {
        return None;
    }
    let why = format!(
        "{} of {} requests were hits, and {} of {} keys were asked for once",
        seen.hits,
        seen.hits + seen.misses,
        seen.single,
        seen.keys
    );
    let gain = format!("{} for other rules", show_bytes(seen.held_bytes));
    let edit = ("mode", EditValue::Text("off".to_owned()));
    Some(suggestion(facts, edit, why, gain, seen.hits + seen.misses))
}

/// As long as answers stay the same, as far as that was seen. Changes that a purge tells of are none here.
fn lifetime(facts: &RuleFacts, seen: &RuleReport) -> Option<Suggestion> {
    let (ttl, sample) = (facts.ttl, seen.sample());
    // Where the app says itself how long its answers live, ttl says nothing.
    let is_by_rule = (seen.mean_life_seconds()? - ttl).abs() <= ttl * 0.1 + 1.0;
    if sample < LEAST_SAMPLE || ttl <= 0.0 || !is_by_rule {
        return None;
    }
    let best = match seen.changed {
        0 => ttl * MOST_GROWTH,
        _ => -(1.0 - STALE_AT_END).ln() / seen.change_rate()?,
    };
    let seconds = round(best.clamp(1.0, (ttl * MOST_GROWTH).clamp(1.0, LONGEST)));
    let best = seconds as f64;
    let edit = ("ttl", EditValue::Text(format!("{seconds}s")));
    let of_sample = format!("of {sample} answers that had expired {}", seen.same);
    if best >= ttl * 1.5 {
        let fewer = (seen.same as f64 * (1.0 - ttl / best)).round() as u64;
        let why = format!("{of_sample} were the same when they were fetched again");
        let gain = format!("about {fewer} of {} requests to the app less", seen.misses);
        return Some(suggestion(facts, edit, why, gain, sample));
    }
    if best <= ttl / 1.5 && seen.changed * 5 >= sample {
        let why = format!(
            "{of_sample} were the same when they were fetched again, and {} were not",
            seen.changed
        );
        let stale = (1.0 - (-seen.change_rate()? * ttl).exp()) * 100.0;
        let gain = format!(
            "at the end of their life {stale:.0} % of the answers are old now, 5 % then; a purge rule for what changes \
             them would be better still"
        );
        return Some(suggestion(facts, edit, why, gain, sample));
    }
    None
}

/// What saves most is to stay, and what nobody reads is to go.
fn priority(facts: &RuleFacts, seen: &RuleReport, report: &Report) -> Option<Suggestion> {
    let sample = seen.sample();
    if facts.priority != "low" && sample >= LEAST_SAMPLE && seen.unread * 2 >= sample {
        let why = format!(
            "of {sample} answers that expired {} had not been read here",
            seen.unread
        );
        let gain = "others stay longer where space runs out".to_owned();
        let edit = ("priority", EditValue::Text("low".to_owned()));
        return Some(suggestion(facts, edit, why, gain, sample));
    }
    let value = |seen: &RuleReport| seen.saved_by_megabyte_hour(report.seconds);
    let own = value(seen)?;
    let is_best = report.rules.len() > 1
        && report
            .rules
            .values()
            .all(|other| value(other).is_none_or(|other| other <= own));
    let evicted = report.evicted(facts.priority);
    if facts.priority == "high" || !is_best || seen.early < LEAST_SAMPLE || evicted == 0 {
        return None;
    }
    let why = format!(
        "it saves most, {own:.0} s of the app's time for each MB and hour, {} answers were gone before their time, and \
         {evicted} of {} priority left for space",
        seen.early, facts.priority
    );
    let gain = "they stay where space runs out".to_owned();
    let edit = ("priority", EditValue::Text("high".to_owned()));
    Some(suggestion(facts, edit, why, gain, seen.early))
}

/// Query fields that never changed an answer, as far as the key holds them. Clients choose names: none that the setting
/// would take for more than itself.
fn queries(facts: &RuleFacts, seen: &RuleReport) -> Option<Suggestion> {
    let idle = idle_fields(seen).filter_map(|(name, tally)| {
        let name = name.strip_prefix('?')?;
        let is_held = facts.ignore_query.would_leave_out(&facts.route_key, name);
        is_held.then_some((name, tally))
    });
    let (names, tallies): (Vec<_>, Vec<_>) = idle.unzip();
    if names.is_empty() {
        return None;
    }
    let sample = sample(&tallies);
    let gain = "one answer for all of them".to_owned();
    let edit = ("ignore_query", EditValue::Texts(owned(&names)));
    Some(suggestion(
        facts,
        edit,
        same_but(&names, sample),
        gain,
        sample,
    ))
}

/// Preferences in `Vary` that never changed an answer. It is written by hand: the list is all that counts then, also of what
/// `Vary` did not name yet.
fn varying(facts: &RuleFacts, seen: &RuleReport) -> Option<Suggestion> {
    let is_written = |name: &str| {
        let vary = facts.vary.as_ref();
        vary.is_none_or(|vary| vary.iter().any(|written| written == name))
    };
    let idle = idle_fields(seen).filter(|(name, _)| PREFERENCES.contains(name) && is_written(name));
    let (names, tallies): (Vec<_>, Vec<_>) = idle.unzip();
    if names.is_empty() {
        return None;
    }
    let counted: Vec<&str> = match &facts.vary {
        Some(vary) => vary.iter().map(String::as_str).collect(),
        None => seen.varied.iter().map(String::as_str).collect(),
    };
    let left = counted.into_iter().filter(|name| !names.contains(name));
    let left: Vec<String> = left.map(|name| format!("\"{name}\"")).collect();
    // Of what is not known the list would leave something out.
    let is_known = |name: &String| name.starts_with('?') || seen.varied.contains(name);
    let knows_all = facts.vary.is_some()
        || !seen.varied.contains(RuleReport::MORE) && seen.fields.keys().all(is_known);
    let list = match knows_all {
        true => format!("vary = [{}]", left.join(", ")),
        false => format!(
            "vary with all that the app's Vary names but {}",
            names.join(", ")
        ),
    };
    let sample = sample(&tallies);
    Some(Suggestion {
        rule: facts.name.clone(),
        edit: None,
        why: same_but(&names, sample),
        gain: format!("one answer for all of them: {list}, if nothing else ever changes an answer"),
        sample,
    })
}

/// Fields that were seen to change nothing often enough.
fn idle_fields(seen: &RuleReport) -> impl Iterator<Item = (&str, FieldTally)> {
    let fields = seen
        .fields
        .iter()
        .map(|(name, tally)| (name.as_str(), *tally));
    fields.filter(|(_, tally)| {
        tally.other == 0
            && tally.same >= LEAST_PAIRS
            && tally.values >= LEAST_VALUES
            && tally.answers >= LEAST_ANSWERS
    })
}

fn sample(tallies: &[FieldTally]) -> u64 {
    tallies.iter().map(|tally| tally.same).sum()
}

fn same_but(names: &[&str], sample: u64) -> String {
    let names = names.join(" or ");
    format!("{sample} pairs of requests that differed in {names} alone got the same answer")
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Purges that remove what has not changed. Where nothing left for space, it was purges that took what was gone early.
fn purges(facts: &RuleFacts, seen: &RuleReport, report: &Report) -> Option<Suggestion> {
    let needless = seen.early_same;
    if needless < LEAST_SAMPLE || needless * 2 < seen.early || report.evicted(facts.priority) > 0 {
        return None;
    }
    let why = format!(
        "{needless} of {} answers that were purged were the same when they were fetched again",
        seen.early
    );
    let gain = format!(
        "up to {needless} of {} requests to the app less: give the route tags of what its answers hold (tags, tag_fields), and \
         purge by tag or by a key with the ids of the write instead of by a pattern for all",
        seen.misses
    );
    Some(Suggestion {
        rule: facts.name.clone(),
        edit: None,
        why,
        gain,
        sample: seen.early,
    })
}

fn max_body(facts: &RuleFacts, seen: &RuleReport) -> Option<Suggestion> {
    let all = seen.fills + seen.too_large;
    let is_known = seen.longest > facts.max_body && seen.longest <= LARGEST;
    if seen.too_large < LEAST_SAMPLE || seen.too_large * 10 < all || !is_known {
        return None;
    }
    let mebibytes = seen.longest.div_ceil(1 << 20);
    let why = format!(
        "{} of {all} answers were over max_body, the longest of {}",
        seen.too_large,
        show_bytes(seen.longest)
    );
    let gain = "they are stored; mind the budget".to_owned();
    let edit = ("max_body", EditValue::Text(format!("{mebibytes}MiB")));
    Some(suggestion(facts, edit, why, gain, seen.too_large))
}

/// Two figures are more than is known.
fn round(seconds: f64) -> u64 {
    let digits = 10f64.powf((seconds.log10().floor() - 1.0).max(0.0));
    ((seconds / digits).floor() * digits) as u64
}

/// In words.
pub fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::routes::template::Site;

    fn facts(ttl: f64) -> RuleFacts {
        RuleFacts {
            name: "r".to_owned(),
            ttl,
            max_body: 1 << 20,
            priority: "medium",
            vary: None,
            route_key: Template::parse("{host}{uri}", Site::RouteKey, &[]).expect("a template"),
            ignore_query: IgnoreQuery::default(),
            is_off: false,
        }
    }

    fn suggested(seen: RuleReport, facts: RuleFacts) -> Vec<(&'static str, EditValue)> {
        let report = Report {
            seconds: 3600,
            rules: BTreeMap::from([("r".to_owned(), seen)]),
            ..Report::default()
        };
        let all = suggest(&report, &[facts]).into_iter();
        all.filter_map(|one| one.edit.map(|edit| (edit.key, edit.value)))
            .collect()
    }

    fn text(key: &'static str, value: &str) -> Vec<(&'static str, EditValue)> {
        vec![(key, EditValue::Text(value.to_owned()))]
    }

    /// So many answers that lived for `ttl` seconds each and were looked at again at its end.
    fn lived(ttl: u64, same: u64, changed: u64) -> RuleReport {
        RuleReport {
            hits: 1000,
            misses: same + changed,
            fills: 100,
            life_ms: 100 * ttl * 1000,
            same,
            same_ms: same * ttl * 1000,
            changed,
            changed_ms: changed * ttl * 1000,
            ..RuleReport::default()
        }
    }

    #[test]
    fn lifetimes() {
        #[rustfmt::skip]
        let rows = [
            ("never seen to change", lived(30, 40, 0), 30.0, text("ttl", "120s")),
            ("too few", lived(30, 19, 0), 30.0, vec![]),
            ("changes now and then", lived(10, 999, 1), 10.0, text("ttl", "40s")),
            ("as long as it may be", lived(100, 95, 5), 100.0, vec![]),
            ("changes most of the times", lived(100, 20, 80), 100.0, text("ttl", "6s")),
            ("no longer than a day", lived(50_000, 40, 0), 50_000.0, text("ttl", "86000s")),
            ("the app says how long", lived(30, 40, 0), 300.0, vec![]),
        ];
        for (case, seen, ttl, expected) in rows {
            assert_eq!(suggested(seen, facts(ttl)), expected, "{case}");
        }
    }

    /// A field of so many values, which never changed one of so many answers.
    fn idle(values: u64, answers: u64) -> FieldTally {
        FieldTally {
            same: 30,
            other: 0,
            values,
            answers,
        }
    }

    fn seen_fields(fields: &[(&str, FieldTally)], varied: &[&str]) -> RuleReport {
        let fields = fields
            .iter()
            .map(|(name, tally)| ((*name).to_owned(), *tally));
        RuleReport {
            fields: fields.collect(),
            varied: varied.iter().map(|&name| name.to_owned()).collect(),
            ..RuleReport::default()
        }
    }

    #[test]
    fn query_fields_that_change_nothing() {
        let changed = FieldTally {
            other: 1,
            ..idle(9, 9)
        };
        let few = FieldTally {
            same: 19,
            ..idle(9, 9)
        };
        let seen = seen_fields(
            &[
                ("?utm", idle(8, 3)),
                ("?page", changed),
                ("?few", few),
                ("?two", idle(2, 3)),
                ("?nothing-found", idle(9, 2)),
                ("?*", idle(9, 9)),
                ("?u*", idle(9, 9)),
                ("?%2A", idle(9, 9)),
            ],
            &[],
        );
        let utm = EditValue::Texts(vec!["utm".to_owned()]);
        assert_eq!(
            suggested(seen.clone(), facts(30.0)),
            [("ignore_query", utm)]
        );
        let ignores = RuleFacts {
            ignore_query: IgnoreQuery::parse(&["u*".to_owned()]),
            ..facts(30.0)
        };
        assert_eq!(suggested(seen.clone(), ignores), [], "it has it");
        let names = "k:{query.utm}:{query.page}";
        let names = RuleFacts {
            route_key: Template::parse(names, Site::RouteKey, &[]).expect("a template"),
            ..facts(30.0)
        };
        assert_eq!(suggested(seen, names), [], "the key names it");
    }

    #[test]
    fn header_fields_that_change_nothing() {
        let language = ("accept-language", idle(9, 9));
        let tenant = ("x-tenant", idle(9, 9));
        let written = |names: &[&str]| RuleFacts {
            vary: Some(owned(names)),
            ..facts(30.0)
        };
        let file = || facts(30.0);
        let all_but = "vary with all that the app's Vary names but accept-language";
        #[rustfmt::skip]
        let rows = [
            ("alone", seen_fields(&[language], &["accept-language"]), file(), Some("vary = []")),
            ("beside one that never differed", seen_fields(&[language], &["accept-language", "x-tenant"]), file(), Some("vary = [\"x-tenant\"]")),
            ("who asks stays, idle or not", seen_fields(&[tenant], &["x-tenant"]), file(), None),
            ("both", seen_fields(&[language, tenant], &["accept-language", "x-tenant"]), file(), Some("vary = [\"x-tenant\"]")),
            ("there are more", seen_fields(&[language], &["*", "accept-language"]), file(), Some(all_but)),
            ("a sidecar that does not say what Vary names", seen_fields(&[language], &[]), file(), Some(all_but)),
            ("few answers", seen_fields(&[("accept-language", idle(9, 1))], &["accept-language"]), file(), None),
            ("written", seen_fields(&[language], &["accept-language", "x-tenant"]), written(&["accept-language", "x-role"]), Some("vary = [\"x-role\"]")),
            ("left out already", seen_fields(&[language], &["accept-language", "x-tenant"]), written(&["x-role"]), None),
        ];
        for (case, seen, facts, expected) in rows {
            let report = Report {
                rules: BTreeMap::from([("r".to_owned(), seen)]),
                ..Report::default()
            };
            let suggestions = suggest(&report, &[facts]);
            assert!(
                suggestions.iter().all(|one| one.edit.is_none()),
                "by hand: {case}"
            );
            let gain = suggestions.first().map(|one| one.gain.as_str());
            assert_eq!(gain.is_some(), expected.is_some(), "{case}: {gain:?}");
            if let (Some(gain), Some(expected)) = (gain, expected) {
                assert!(gain.contains(&format!(": {expected}, ")), "{case}: {gain}");
            }
        }
    }

    #[test]
    fn what_else_is_seen() {
        let read_once = RuleReport {
            hits: 3,
            misses: 400,
            keys: 400,
            single: 397,
            ..RuleReport::default()
        };
        assert_eq!(suggested(read_once, facts(30.0)), text("mode", "off"));
        let large = RuleReport {
            fills: 10,
            too_large: 30,
            longest: 2_500_000,
            ..RuleReport::default()
        };
        assert_eq!(suggested(large, facts(30.0)), text("max_body", "3MiB"));
        let unread = RuleReport {
            unread: 30,
            ..lived(100, 40, 5)
        };
        assert_eq!(suggested(unread, facts(100.0)), text("priority", "low"));
    }

    /// Answers that were gone before their time are purges' doing, unless some left for space.
    #[test]
    fn what_was_gone_early_was_purged_or_evicted() {
        let all_of = |early_same, evicted| {
            let early = RuleReport {
                early: 40,
                early_same,
                fills: 100,
                app_ms: 10_000,
                hits: 1000,
                held_bytes: 1000,
                ..RuleReport::default()
            };
            let report = Report {
                seconds: 3600,
                rules: BTreeMap::from([
                    ("r".to_owned(), early),
                    ("other".to_owned(), RuleReport::default()),
                ]),
                evicted: BTreeMap::from([("medium".to_owned(), evicted)]),
            };
            let all = suggest(&report, &[facts(30.0)]).into_iter();
            all.map(|one| one.edit.map(|edit| edit.key))
                .collect::<Vec<_>>()
        };
        assert_eq!(all_of(20, 0), [None], "narrow the purges");
        assert_eq!(all_of(19, 0), [], "most had changed");
        assert_eq!(all_of(40, 1), [Some("priority")], "there is no room");
    }

    #[test]
    fn nothing_is_suggested_of_nothing() {
        assert!(suggested(RuleReport::default(), facts(30.0)).is_empty());
        let off = RuleFacts {
            is_off: true,
            ..facts(30.0)
        };
        assert!(suggested(lived(30, 40, 0), off).is_empty());
    }

    #[test]
    fn two_figures() {
        for (seconds, expected) in [
            (1.0, 1),
            (9.9, 9),
            (59.0, 59),
            (128.0, 120),
            (86_400.0, 86_000),
        ] {
            assert_eq!(round(seconds), expected);
        }
    }
}
