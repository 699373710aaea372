//! Paths as apps may read them: decoded, in any case, trimmed, without a suffix.
//!
//! A rule is chosen by the path as it was received. Where an app that reads it more leniently would answer
//! what another rule is about (`/users/ME` or `/users/me.json` for `/users/me`), the answer must not be
//! stored under the rule of the strict reading: that rule may share what the other keeps to one person.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::escape::{UrlPart, decode};
use super::matcher::{Matcher, Rank, ranks_of};

/// Among whom the answers of a rule are shared; the narrowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Its key names a person, or its answers are never kept.
    Person,
    /// Requests without credentials.
    #[default]
    Nobody,
    /// `shared = true`
    Everyone,
}

/// The rules of a config by what lenient apps take their paths for.
#[derive(Clone, Debug, Default)]
pub(super) struct LenientMatcher {
    rules: Vec<Rule>,
    /// Positions in `rules`. Two rules whose paths are one when folded are in two of these.
    layers: Vec<Matcher<usize>>,
    /// Whether a rule's own path is one that others may be read as, such as one in upper case.
    has_odd_rule: bool,
    /// Whether a rule is for one person.
    has_person: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    /// In the config.
    index: usize,
    /// The path as [`fold_pattern`] has it.
    path: String,
    /// Of its segments.
    ranks: Vec<Rank>,
    audience: Audience,
    /// Whether it [has paths below](Rule::has_paths_below) a rule for one person.
    is_below_person: bool,
}

impl LenientMatcher {
    /// Of the paths of all rules, in their order.
    #[cfg(test)]
    fn new<'p>(paths: impl Iterator<Item = (&'p str, Audience)>) -> LenientMatcher {
        let mut matcher = LenientMatcher::default();
        for (index, (path, audience)) in paths.enumerate() {
            matcher.insert(path, index);
            matcher.set_audience(index, audience);
        }
        matcher
    }

    /// Adds the path of a rule.
    pub(super) fn insert(&mut self, path: &str, index: usize) {
        let folded = fold_pattern(path);
        self.has_odd_rule |= folded != path;
        let position = self.rules.len();
        let is_in = |layer: &mut Matcher<usize>| layer.insert(&folded, position).is_ok();
        if !self.layers.iter_mut().any(is_in) {
            let mut layer = Matcher::default();
            let _ = layer.insert(&folded, position);
            self.layers.push(layer);
        }
        self.rules.push(Rule {
            index,
            ranks: ranks_of(&folded),
            path: folded,
            audience: Audience::default(),
            is_below_person: false,
        });
    }

    /// Says among whom the answers of rule `index` are shared, if it is one of these.
    pub(super) fn set_audience(&mut self, index: usize, audience: Audience) {
        let Ok(position) = self.position(index) else {
            return;
        };
        self.rules[position].audience = audience;
        self.has_person |= audience == Audience::Person;
        for other in 0..self.rules.len() {
            for (lower, upper) in [(position, other), (other, position)] {
                let is_below = self.rules[lower].has_paths_below(&self.rules[upper]);
                self.rules[lower].is_below_person |= is_below;
            }
        }
    }

    /// A rule other than `strict`, the one of the path as received, that the path falls under in a more lenient
    /// reading, or one for a person that is for the beginning of the path; `None`: there is no doubt.
    pub(super) fn find_other(&self, path: &str, strict: Option<usize>) -> Option<usize> {
        // One alone is mistaken for no other, but what no rule is for may be meant for it.
        let least = if strict.is_some() { 2 } else { 1 };
        if self.rules.len() < least {
            return None;
        }
        let strict = strict.and_then(|index| self.position(index).ok());
        let strict = strict.map(|position| &self.rules[position]);
        let Some(reading) = plain_reading(path) else {
            return readings(path).find_map(|reading| {
                let other = self.find_read(&reading, strict);
                other.or_else(|| self.find_above(&reading, strict))
            });
        };
        let is_itself = reading.len() == path.len() && !self.has_odd_rule;
        let other = if is_itself {
            None
        } else {
            self.find_read(reading, strict)
        };
        let may_be_below = strict.map_or(self.has_person, |strict| strict.is_below_person);
        other.or_else(|| may_be_below.then(|| self.find_above(reading, strict))?)
    }

    fn position(&self, index: usize) -> Result<usize, usize> {
        // They come in the order of the file.
        self.rules.binary_search_by_key(&index, |rule| rule.index)
    }

    /// The most specific rules of a reading; more than one where their paths are one when folded.
    fn at(&self, reading: &str) -> SmallVec<[&Rule; 2]> {
        let mut best = SmallVec::new();
        for matched in self.layers.iter().filter_map(|layer| layer.at(reading)) {
            let rule = &self.rules[*matched.value];
            match best.first().map(|best: &&Rule| rule.ranks.cmp(&best.ranks)) {
                Some(Ordering::Less) => continue,
                Some(Ordering::Greater) => best.clear(),
                Some(Ordering::Equal) | None => {}
            }
            best.push(rule);
        }
        best
    }

    /// The rule that the whole reading falls under, if it is not `strict`. Of rules that are one in this reading
    /// the strict one is meant, unless another keeps its answers among fewer people.
    fn find_read(&self, reading: &str, strict: Option<&Rule>) -> Option<usize> {
        let rules = self.at(reading);
        let meant = strict.filter(|strict| rules.iter().any(|rule| rule.index == strict.index));
        let mut others = rules
            .iter()
            .filter(|rule| meant.is_none_or(|meant| rule.audience < meant.audience));
        others.next().map(|rule| rule.index)
    }

    /// A rule for one person that is for the beginning of the reading, which an app may take for the whole: it
    /// answers `/me/x.css` as it does `/me`.
    fn find_above(&self, reading: &str, strict: Option<&Rule>) -> Option<usize> {
        if !self.has_person {
            return None;
        }
        let ends = reading.match_indices('/').skip(1).map(|(end, _)| end);
        let above = |upper: &&Rule| match strict {
            Some(strict) => strict.may_be_taken_for(upper),
            None => upper.is_person_alone(),
        };
        let mut rules = ends.flat_map(|end| self.at(&reading[..end]));
        rules.find(above).map(|rule| rule.index)
    }

    /// Pairs of rules, by their indexes: what is below the path of the second, which is for one person, falls under
    /// the first.
    fn below_persons(&self) -> impl Iterator<Item = (usize, usize)> {
        let lowers = self.rules.iter().filter(|rule| rule.is_below_person);
        lowers.flat_map(|lower| {
            let uppers = self.rules.iter();
            let uppers = uppers.filter(|upper| lower.has_paths_below(upper));
            uppers.map(|upper| (lower.index, upper.index))
        })
    }
}

impl Rule {
    /// Whether it is for one person and does not name by itself what is below its path.
    fn is_person_alone(&self) -> bool {
        self.audience == Audience::Person && self.ranks.last() != Some(&Rank::CatchAll)
    }

    /// Whether an app may answer what is `upper`'s, of one person, for a path of this rule that begins as `upper`'s do. Not
    /// if it is for one person, too, or if the config names what is below: `/me/{*rest}` and `/{id}/{part}` do not,
    /// `/me/avatar` does.
    fn may_be_taken_for(&self, upper: &Rule) -> bool {
        if self.audience == Audience::Person || !upper.is_person_alone() {
            return false;
        }
        let length = upper.ranks.len();
        let own = &self.ranks[..length.min(self.ranks.len())];
        match own.cmp(&upper.ranks) {
            Ordering::Less => true,
            Ordering::Equal => self.ranks.get(length) != Some(&Rank::Static),
            Ordering::Greater => false,
        }
    }

    /// Whether some of its paths begin as paths of `upper` do, and may be taken for those.
    fn has_paths_below(&self, upper: &Rule) -> bool {
        let own: Vec<&str> = segments(&self.path).collect();
        let uppers: Vec<&str> = segments(&upper.path).collect();
        let (own, is_long) = match own.split_last() {
            Some((last, own)) if last.starts_with("{*") => (own, true),
            _ => (&own[..], own.len() > uppers.len()),
        };
        let overlap = |(a, b): (&&str, &&str)| a == b || a.contains('{') || b.contains('{');
        is_long && own.iter().zip(&uppers).all(overlap) && self.may_be_taken_for(upper)
    }
}

/// Two rules that an app may take for one where Pannier does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confusable {
    /// The rule that paths fall under as they are received, as an index.
    pub taken: usize,
    /// The one that they may be meant for.
    pub meant: usize,
    /// Which paths.
    pub paths: ConfusablePaths,
}

/// Paths that may be meant for another rule than the one that they fall under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfusablePaths {
    /// Other spellings of that rule's path.
    Spellings,
    /// What is below that rule's path.
    Below,
}

/// The pairs of rules that `lenient` and `strict` are of; with the paths as the config has them.
pub(super) fn find_confusable(
    paths: &[(usize, &str)],
    strict: &Matcher<usize>,
    lenient: &LenientMatcher,
) -> Vec<Confusable> {
    let mut pairs = Vec::new();
    let mut add = |spelled: &str, meant: usize, paths| {
        let taken = strict.at(spelled).map(|matched| *matched.value);
        let taken = taken.filter(|_| lenient.find_other(spelled, taken) == Some(meant));
        let pair = taken.map(|taken| Confusable {
            taken,
            meant,
            paths,
        });
        pairs.extend(pair);
    };
    for (meant, path) in paths {
        let fixed: Vec<String> = segments(path).map(fix).collect();
        let texts = segments(path).enumerate();
        let odd = texts.filter(|(_, text)| !text.is_empty() && !text.contains('{'));
        for (at, text) in odd {
            let mut spelled = fixed.clone();
            spelled[at] = format!("{}.", text.to_uppercase());
            let spelled = format!("/{}", spelled.join("/"));
            add(&spelled, *meant, ConfusablePaths::Spellings);
        }
        let path = format!("/{}", fixed.join("/"));
        let toggled = path.strip_suffix('/').map(str::to_owned);
        let toggled = toggled.unwrap_or_else(|| format!("{path}/"));
        add(&toggled, *meant, ConfusablePaths::Spellings);
    }
    let path_of = |index| paths.iter().find(|(of, _)| *of == index);
    for (lower, upper) in lenient.below_persons() {
        if let (Some((_, lower)), Some((meant, upper))) = (path_of(lower), path_of(upper)) {
            let below = path_below(lower, upper.trim_end_matches('/'));
            // Rules of longer paths may be for the first of these.
            let longer = std::iter::successors(Some(below), |path| Some(format!("{path}/x")));
            longer
                .take(4)
                .for_each(|path| add(&path, *meant, ConfusablePaths::Below));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The segments of a rule's path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// A text that the segment of a rule is for.
fn fix(segment: &str) -> String {
    match segment.contains('{') {
        true => "x".to_owned(),
        false => segment.to_owned(),
    }
}

/// A path of the rule `lower` that begins as those of `upper` do.
fn path_below(lower: &str, upper: &str) -> String {
    let mut lower = segments(lower);
    let begin = segments(upper).map(|upper| match (lower.next(), upper.contains('{')) {
        (Some(lower), true) => fix(lower),
        _ => fix(upper),
    });
    let mut path: Vec<String> = begin.collect();
    path.extend(lower.map(fix));
    if path.len() == segments(upper).count() {
        path.push("x".to_owned());
    }
    format!("/{}", path.join("/"))
}

/// The only reading of a path, as most have one: it itself, or what is before the slash at its end; `None`: it has more.
fn plain_reading(path: &str) -> Option<&str> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'_')
    };
    let is_plain = path.bytes().all(plain) && !path.contains("//");
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
    is_plain.then_some(bare.unwrap_or(path))
}

/// The ways in which lenient apps read a path; each escaped alike, and as [`fold_pattern`] does.
fn readings(path: &str) -> impl Iterator<Item = String> + '_ {
    let cuts = [Cut::Parameters, Cut::Nothing];
    let suffixes = [Suffix::Stays, Suffix::Goes];
    // Some decode twice, as one behind another that has decoded already.
    [1, 2].into_iter().flat_map(move |times| {
        cuts.into_iter().flat_map(move |cut| {
            let read = move |suffix| read(path, times, cut, suffix, fold);
            suffixes.into_iter().map(read)
        })
    })
}

/// The ways in which lenient apps read the path of a write; what it names stays in the case in which it is written.
pub(super) fn readings_of_write(path: &str) -> impl Iterator<Item = String> + '_ {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    // Dot segments are resolved by another reading.
    let has_dots = |path: &str| {
        path.split(['/', '\\'])
            .any(|segment| matches!(segment, "." | ".."))
    };
    let is_read = !path.bytes().all(plain) && !has_dots(&decoded(path, 2)) && !has_dots(path);
    let times = [1, 2].into_iter().filter(move |_| is_read);
    times.flat_map(move |times| {
        let cuts = [Cut::Parameters, Cut::Nothing].into_iter();
        cuts.map(move |cut| read(path, times, cut, Suffix::Stays, str::to_owned))
    })
}

fn decoded(path: &str, times: usize) -> String {
    let mut decoded = path.to_owned();
    for _ in 0..times {
        let bytes: Vec<u8> = decode(&decoded, UrlPart::Path).collect();
        decoded = String::from_utf8_lossy(&bytes).into_owned();
    }
    decoded
}

/// What is cut off each segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// All from `;`, `#`, `?`, NUL or the end of a line on, which some take for the end of the name.
    Parameters,
    Nothing,
}

/// What becomes of `.json` and the like behind the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffix {
    Stays,
    Goes,
}

/// `fold` has the last word on each segment.
fn read(path: &str, times: usize, cut: Cut, suffix: Suffix, fold: fn(&str) -> String) -> String {
    let decoded = decoded(path, times);
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        let name = match cut {
            Cut::Parameters => segment.split(ends_name).next().unwrap_or_default(),
            Cut::Nothing => segment,
        };
        match fold(trim(name)).as_str() {
            "" => {}
            folded => segments.push(folded.to_owned()),
        }
    }
    if suffix == Suffix::Goes
        && let Some(last) = segments.last_mut()
        && let Some((name, _)) = last.split_once('.').filter(|(name, _)| !name.is_empty())
    {
        *last = trim(name).to_owned();
    }
    let mut reading = String::with_capacity(path.len());
    push_names(&mut reading, segments.into_iter());
    or_root(reading)
}

/// Control characters with those that end a line: `.` of a pattern, such as one that rewrites paths, matches none
/// of them.
fn ends_name(c: char) -> bool {
    c.is_control() || matches!(c, ';' | '#' | '?' | '\u{2028}' | '\u{2029}')
}

/// Adds segments as they are compared.
fn push_names(out: &mut String, names: impl Iterator<Item = String>) {
    for name in names {
        out.push('/');
        escape(out, &name);
    }
}

fn or_root(path: String) -> String {
    match path.is_empty() {
        true => "/".to_owned(),
        false => path,
    }
}

/// A name without the blanks, dots and signs at its ends that some servers and file systems drop.
fn trim(name: &str) -> &str {
    name.trim_matches(is_dropped)
}

fn is_dropped(c: char) -> bool {
    c.is_whitespace() || c.is_control() || BLANKS.contains(&c) || matches!(c, '.' | '+')
}

/// Blanks to some languages (the byte order mark to JavaScript), and not to Unicode.
const BLANKS: [char; 4] = ['\u{feff}', '\u{200b}', '\u{180e}', '\u{2060}'];

/// In one case, also where a character has a compatible one in another (`ſ`, `K`).
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// The path of a rule with its text as [`readings`] have it.
fn fold_pattern(path: &str) -> String {
    read_pattern(path, fold)
}

/// The path of a purge rule with its text as lenient readings of writes have theirs.
pub fn pattern_of_writes(path: &str) -> String {
    read_pattern(path, str::to_owned)
}

fn read_pattern(path: &str, fold: fn(&str) -> String) -> String {
    let mut folded = String::with_capacity(path.len());
    for segment in segments(path) {
        match find_parameter(segment) {
            Some((before, parameter, behind)) => {
                folded.push('/');
                let before = decode_pattern(before);
                escape(&mut folded, &fold(before.trim_start_matches(is_dropped)));
                folded.push_str(parameter);
                let behind = decode_pattern(behind);
                escape(&mut folded, &fold(behind.trim_end_matches(is_dropped)));
            }
            None => {
                let decoded = decode_pattern(segment);
                let names = decoded.split(['/', '\\']);
                let names = names.map(|name| fold(trim(name)));
                push_names(&mut folded, names.filter(|name| !name.is_empty()));
            }
        }
    }
    or_root(folded)
}

/// What a segment of a rule's path has before its parameter, that in its braces, and what is behind.
fn find_parameter(segment: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + segment[from..].find('{')?;
        if !segment[open..].starts_with("{{") {
            let close = open + segment[open..].find('}')? + 1;
            return Some((&segment[..open], &segment[open..close], &segment[close..]));
        }
        // A brace that stands for itself.
        from = open + 2;
    }
}

/// The text of a rule's path as an app reads it.
fn decode_pattern(text: &str) -> String {
    let text = text.replace("{{", "{").replace("}}", "}");
    let bytes: Vec<u8> = decode(&text, UrlPart::Path).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Adds `text` in the one spelling in which readings and rules are compared.
fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 7] = [
        "/api/users/me",
        "/api/users/{id}",
        "/api/users/by-email/{email}",
        "/API/Reports/Q1.json",
        "/api/reports/{name}",
        "/files/{*rest}",
        "/caf%C3%A9/{id}",
    ];

    const PEOPLE: Audience = Audience::Nobody;

    fn strict_of(rules: &[(&'static str, Audience)]) -> Matcher<usize> {
        let mut strict = Matcher::default();
        for (index, (path, _)) in rules.iter().enumerate() {
            strict.insert(path, index).expect("distinct paths");
        }
        strict
    }

    fn other_of(rules: &[(&'static str, Audience)], path: &str) -> Option<&'static str> {
        let strict = strict_of(rules);
        let rule = strict.at(path).map(|matched| *matched.value);
        let lenient = LenientMatcher::new(rules.iter().copied());
        lenient.find_other(path, rule).map(|index| rules[index].0)
    }

    fn other(path: &str) -> Option<&'static str> {
        other_of(&PATHS.map(|path| (path, PEOPLE)), path)
    }

    fn confusable_of(
        rules: &[(&'static str, Audience)],
    ) -> Vec<(&'static str, &'static str, ConfusablePaths)> {
        let lenient = LenientMatcher::new(rules.iter().copied());
        let paths: Vec<(usize, &str)> = rules.iter().map(|(path, _)| *path).enumerate().collect();
        let pairs = find_confusable(&paths, &strict_of(rules), &lenient);
        let of = |pair: &Confusable| (rules[pair.taken].0, rules[pair.meant].0, pair.paths);
        pairs.iter().map(of).collect()
    }

    #[test]
    fn spellings_of_another_rule() {
        let me = Some("/api/users/me");
        for path in [
            "/api/users/m%65",
            "/api/users/m%2565",
            "/api/users/ME",
            "/api/users/Me.json",
            "/api/users/me.json",
            "/api/users/me.tar.gz",
            "/api/users/me.",
            "/api/users/me%2e",
            "/api/users/me%20",
            "/api/users/%20me",
            "/api/users/me%09",
            "/api/users/me+",
            "/api/users/me%EF%BB%BF",
            "/api/users/%EF%BB%BFme",
            "/api/users/me%E2%80%8B",
            "/api/users/me%00",
            "/api/users/me%00.css",
            "/api/users/me%3Bx",
            "/api/users/me;x",
            "/api/users/me%23x",
            "/api/users/me%3fx",
            "/api/users/me%0Ax",
            "/api/users/me%0Dx.css",
            "/api/users/me%0d%0ax",
            "/api/users/me%250Ax",
            "/api/users/me%7Fx",
            "/api/users/me%C2%85x",
            "/api/users/me%E2%80%A8x",
            "/api/users/me/",
            "/api/users%2fme",
            "/api/users%5Cme",
            "/api/users//me",
            "/API/users/m%45",
            "/api;v=1/users/x%3b/../me",
        ] {
            let expected = match path.contains("..") {
                // Dot segments are ambiguous by themselves.
                true => continue,
                false => me,
            };
            assert_eq!(other(path), expected, "{path}");
        }
        // Characters that upper-case to those of the name.
        assert_eq!(other("/api/u%C5%BFers/me"), me);
        let report = Some("/API/Reports/Q1.json");
        assert_eq!(other("/api/reports/q1.json"), report);
        assert_eq!(other("/api/reports/Q1.json"), report);
        assert_eq!(other("/caf%c3%a9/1"), Some("/caf%C3%A9/{id}"));
    }

    #[test]
    fn spellings_of_the_same_rule() {
        for path in [
            "/api/users/42",
            "/api/users/ABC",
            "/api/users/a.b",
            "/api/users/me2",
            "/api/users/a%20b",
            "/api/users/by-email/ME@example.com",
            "/files/a/B.txt",
            "/caf%C3%A9/1",
            "/",
            "/nowhere.html",
        ] {
            assert_eq!(other(path), None, "{path}");
        }
    }

    /// Whatever edges a rule's path has that readings lack, it is found as it is without them.
    #[test]
    fn spellings_of_rules_with_odd_edges() {
        for (me, others) in [
            ("/api/users/me/", "/api/users/{id}/"),
            ("/api/users/me/", "/api/users/{id}"),
            ("/api/users/me", "/api/users/{id}/"),
            ("/api/users/me.", "/api/users/{id}"),
            ("/api/users/%2Eme", "/api/users/{id}"),
            ("/api/users/+me", "/api/users/{id}"),
            ("/api/users/me%20", "/api/users/{id}"),
            ("/api//users/me", "/api//users/{id}"),
            ("/.api/users/me", "/{any}/users/{id}"),
            ("/api%2Fusers/me", "/{any}/{id}"),
            ("/{{api}}/users/me", "/{any}/users/{id}"),
            ("/.api-{version}/users/me", "/{any}/users/{id}"),
        ] {
            let rules = [(others, Audience::Everyone), (me, Audience::Person)];
            let own = me.replace("{{", "{").replace("}}", "}");
            let own = own.replace("{version}", "1");
            assert_eq!(other_of(&rules, &own), None, "{own} of {me}");
            let upper = own.to_uppercase().replace("/API-1", "/api-1");
            let toggled = match own.strip_suffix('/') {
                Some(bare) => bare.to_owned(),
                None => format!("{own}/"),
            };
            for spelled in [
                upper,
                own.replace("me", "m%65"),
                own.replace("me", "%6d%65"),
                own.replace("me", "m%2565"),
                toggled,
            ] {
                // No rule may be for it as received: then it is doubtful by the other one, too.
                assert!(other_of(&rules, &spelled).is_some(), "{spelled} of {me}");
            }
        }
    }

    /// Of rules that are one to a lenient app each is found, and the one that was named keeps its requests unless another
    /// shares among fewer.
    #[test]
    fn rules_that_are_one_when_folded() {
        use Audience::{Everyone, Nobody, Person};
        for (first, second, expected) in [
            (Everyone, Everyone, [None, None]),
            (Person, Person, [None, None]),
            (Person, Everyone, [None, Some("/me")]),
            (Everyone, Person, [Some("/me/"), None]),
            (Nobody, Everyone, [None, Some("/me")]),
            (Person, Nobody, [None, Some("/me")]),
        ] {
            let rules = [("/me", first), ("/me/", second), ("/{page}", Everyone)];
            let found = ["/me", "/me/"].map(|path| other_of(&rules, path));
            assert_eq!(found, expected, "{first:?} {second:?}");
            assert_eq!(other_of(&rules, "/ME"), Some("/me"));
        }
    }

    #[test]
    fn what_is_below_the_path_of_one_person() {
        use Audience::{Everyone, Nobody, Person};
        let rules = [
            ("/api/users/me", Person),
            ("/api/users/{id}/{part}", Everyone),
            ("/api/users/me/avatar", Everyone),
            ("/api/users/me/{tab}/own", Person),
            ("/api/{*rest}", Nobody),
            ("/api/users/public", Everyone),
            ("/teams/{team}/", Person),
            ("/teams/{team}/logo", Everyone),
            ("/teams/{team}/{part}", Everyone),
            ("/teams/all/{part}", Everyone),
            ("/files/{*rest}", Person),
            ("/files/public/{*rest}", Everyone),
            ("/", Person),
        ];
        let me = Some("/api/users/me");
        for (path, expected) in [
            ("/api/users/me/x.css", me),
            ("/api/users/me/x", me),
            ("/api/users/ME/x", me),
            ("/api/users/m%65/x", me),
            ("/api/users/me%0A/x", me),
            ("/api/users/me/a/b.css", me),
            ("/api/users/me/own/x/y", me),
            ("/api/users/me/avatar", None),
            ("/api/users/me/x/own", None),
            ("/api/users/7/x.css", None),
            ("/api/users/public/x", None),
            ("/api/other", None),
            ("/teams/7/logo", None),
            ("/teams/7/x.css", Some("/teams/{team}/")),
            ("/teams/all/x.css", None),
            ("/teams/7/a/b", Some("/teams/{team}/")),
            ("/files/public/a/b", None),
            ("/elsewhere/x", None),
        ] {
            assert_eq!(other_of(&rules, path), expected, "{path}");
        }
    }

    #[test]
    fn pairs_of_rules() {
        use Audience::{Everyone, Person};
        use ConfusablePaths::{Below, Spellings};
        assert_eq!(
            confusable_of(&PATHS.map(|path| (path, PEOPLE))),
            [("/api/users/{id}", "/api/users/me", Spellings)]
        );
        let rules = [
            ("/Users/me/", Person),
            ("/Users/{id}", Everyone),
            ("/Users/{id}/{part}", Everyone),
            ("/{*rest}", Everyone),
            ("/Users/{id}/posts/{post}", Everyone),
            ("/other/{part}", Everyone),
        ];
        let of_me = confusable_of(&rules).into_iter();
        let of_me = of_me.filter(|(_, meant, _)| *meant == "/Users/me/");
        let of_me: Vec<_> = of_me.map(|(taken, _, paths)| (taken, paths)).collect();
        assert_eq!(
            of_me,
            [
                ("/Users/{id}", Spellings),
                ("/Users/{id}/{part}", Below),
                ("/{*rest}", Spellings),
                ("/{*rest}", Below),
                ("/Users/{id}/posts/{post}", Below),
            ]
        );
    }

    #[test]
    fn one_rule_is_never_mistaken() {
        let lenient = LenientMatcher::new([("/A", PEOPLE)].into_iter());
        assert_eq!(lenient.find_other("/a%41", None), None);
        assert_eq!(lenient.find_other("/A.json", Some(0)), None);
        // But by no rule it would be stored for everyone.
        assert_eq!(lenient.find_other("/%41", None), Some(0));
    }
}
