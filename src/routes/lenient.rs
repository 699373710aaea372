//! Paths as apps may read them: decoded, in any case, trimmed, without a suffix.
//!
//! A rule is chosen by the path as it was received. Where an app that reads it more leniently would answer
//! what another rule is about (`/users/ME` or `/users/me.json` for `/users/me`), the answer must not be
//! stored under the rule of the strict reading: that rule may share what the other keeps to one person.

use super::escape::{UrlPart, decode};
use super::matcher::Matcher;

/// The rules of a config by what lenient apps take their paths for.
#[derive(Clone, Debug, Default)]
pub(super) struct LenientMatcher {
    matcher: Matcher<usize>,
    count: usize,
    /// Whether a rule's own path is one that others may be read as, such as one in upper case.
    has_odd_rule: bool,
}

impl LenientMatcher {
    /// Of the paths of all rules, in their order.
    #[cfg(test)]
    fn new<'p>(paths: impl Iterator<Item = &'p str>) -> LenientMatcher {
        let mut matcher = LenientMatcher::default();
        for (index, path) in paths.enumerate() {
            matcher.insert(path, index);
        }
        matcher
    }

    /// Adds the path of a rule.
    pub(super) fn insert(&mut self, path: &str, index: usize) {
        let folded = fold_pattern(path);
        self.has_odd_rule |= folded != path;
        self.count += 1;
        // Two that differ in case alone are one here: the first stands for both.
        let _ = self.matcher.insert(&folded, index);
    }

    /// A rule other than `strict`, the one of the path as received, that the path falls under in a more
    /// lenient reading; `None`: there is no doubt.
    pub(super) fn find_other(&self, path: &str, strict: Option<usize>) -> Option<usize> {
        // One alone is mistaken for no other, but what no rule is for may be meant for it.
        let least = if strict.is_some() { 2 } else { 1 };
        if self.count < least || !self.has_odd_rule && is_plain(path) {
            return None;
        }
        let rule = |reading: String| self.matcher.at(&reading).map(|matched| *matched.value);
        let mut others = readings(path).filter_map(rule);
        others.find(|other| Some(*other) != strict)
    }
}

/// Pairs of rules, by their indexes: other spellings of the second one's path fall under the first.
pub fn find_confusable(paths: &[(usize, &str)], strict: &Matcher<usize>) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (meant, path) in paths {
        let segments: Vec<&str> = path.split('/').collect();
        for odd in 1..segments.len() {
            if segments[odd].contains('{') {
                continue;
            }
            let spelled = segments
                .iter()
                .enumerate()
                .map(|(at, segment)| match segment {
                    segment if segment.contains('{') => "x".to_owned(),
                    segment if at == odd => format!("{}.", segment.to_uppercase()),
                    segment => (*segment).to_owned(),
                });
            let spelled = spelled.collect::<Vec<_>>().join("/");
            let taken = strict.at(&spelled).map(|matched| *matched.value);
            pairs.extend(
                taken
                    .filter(|taken| taken != meant)
                    .map(|taken| (taken, *meant)),
            );
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Whether every reading of the path is the path itself, as of most.
fn is_plain(path: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'_')
    };
    path.bytes().all(plain) && (path.len() < 2 || !path.ends_with('/'))
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
    /// All from `;`, `#`, `?` or NUL on, which some take for the end of the name.
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
        let ends = |c: char| matches!(c, ';' | '#' | '?' | '\0');
        let name = match cut {
            Cut::Parameters => segment.split(ends).next().unwrap_or_default(),
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
    for segment in &segments {
        reading.push('/');
        escape(&mut reading, segment);
    }
    reading
}

/// A name without the blanks, dots and signs at its ends that some servers and file systems drop.
fn trim(name: &str) -> &str {
    name.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || BLANKS.contains(&c) || matches!(c, '.' | '+')
    })
}

/// Blanks to some languages (the byte order mark to JavaScript), and not to Unicode.
const BLANKS: [char; 4] = ['\u{feff}', '\u{200b}', '\u{180e}', '\u{2060}'];

/// In one case, also where a character has a compatible one in another (`ſ`, `K`).
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// The path of a rule with its text folded as readings are.
fn fold_pattern(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    let mut rest = path;
    while !rest.is_empty() {
        let end = rest.find(['{', '/']).unwrap_or(rest.len());
        let bytes: Vec<u8> = decode(&rest[..end], UrlPart::Path).collect();
        escape(&mut folded, &fold(&String::from_utf8_lossy(&bytes)));
        rest = &rest[end..];
        // A parameter, a brace that stands for itself, or a slash stays as it is.
        let length = match rest.as_bytes() {
            [b'{', b'{', ..] => 2,
            [b'{', ..] => rest.find('}').map_or(rest.len(), |end| end + 1),
            [] => 0,
            _ => 1,
        };
        folded.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    folded
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

    fn other(path: &str) -> Option<&'static str> {
        let mut strict = Matcher::default();
        for (index, path) in PATHS.iter().enumerate() {
            strict.insert(path, index).expect("distinct paths");
        }
        let rule = strict.at(path).map(|matched| *matched.value);
        let lenient = LenientMatcher::new(PATHS.into_iter());
        lenient.find_other(path, rule).map(|index| PATHS[index])
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

    #[test]
    fn pairs_of_rules() {
        let mut strict = Matcher::default();
        for (index, path) in PATHS.iter().enumerate() {
            strict.insert(path, index).expect("distinct paths");
        }
        let pairs = find_confusable(&PATHS.into_iter().enumerate().collect::<Vec<_>>(), &strict);
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (PATHS[*a], PATHS[*b])).collect();
        assert_eq!(pairs, [("/api/users/{id}", "/api/users/me")]);
    }

    #[test]
    fn one_rule_is_never_mistaken() {
        let lenient = LenientMatcher::new(["/A"].into_iter());
        assert_eq!(lenient.find_other("/a%41", None), None);
        assert_eq!(lenient.find_other("/A.json", Some(0)), None);
        // But by no rule it would be stored for everyone.
        assert_eq!(lenient.find_other("/%41", None), Some(0));
    }
}
