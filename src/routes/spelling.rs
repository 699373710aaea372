//! Spellings of a path that the app takes for one.
//!
//! What is stored under any of them is purged by a write to any other. Reads that are spelled differently never share
//! an answer all the same: an app may send them elsewhere, or answer `.json` and none in two formats.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Pattern, Purge, lenient, target};

/// What `[upstream] paths` says of the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSpelling {
    /// `/API/Products` is `/api/products` to it, as to Express and ASP.NET. So are ids in paths, bodies and tags: what is
    /// stored for `AB-CD` goes with a write to `ab-cd`.
    pub ignore_case: bool,
    /// `/products/7.json` is `/products/7` to it, as to Rails.
    pub suffixes: Vec<Box<str>>,
    /// `/products/7/` is `/products/7` to it.
    pub trailing_slash: bool,
}

/// Suffixes that name a format to many frameworks: a write to such a path may well be one to the path without.
const FORMATS: [&str; 3] = [".json", ".xml", ".html"];

impl PathSpelling {
    /// Whether each path has one spelling.
    pub fn is_strict(&self) -> bool {
        !self.ignore_case && self.suffixes.is_empty() && !self.trailing_slash
    }

    /// The path without what may be left out at its end.
    pub fn trimmed<'p>(&self, path: &'p str) -> &'p str {
        let path = match path.strip_suffix('/') {
            Some(rest) if self.trailing_slash && !rest.is_empty() => rest,
            _ => path,
        };
        let suffixes = self.suffixes.iter().map(|suffix| &**suffix);
        without_suffix(path, suffixes, self.ignore_case).unwrap_or(path)
    }

    /// The spelling that stands for all of them.
    pub fn usual<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let trimmed = self.trimmed(path);
        match self.ignore_case && has_upper_case(trimmed) {
            true => Cow::Owned(trimmed.to_ascii_lowercase()),
            false => Cow::Borrowed(trimmed),
        }
    }

    /// Whether the path is spelled so.
    pub fn is_usual(&self, path: &str) -> bool {
        self.trimmed(path).len() == path.len() && !(self.ignore_case && has_upper_case(path))
    }

    /// A tag in the case in which they are compared.
    pub fn tag(&self, tag: Box<str>) -> Box<str> {
        match self.ignore_case && has_upper_case(&tag) {
            true => tag.to_ascii_lowercase().into(),
            false => tag,
        }
    }

    /// The pattern in the case in which keys and tags are compared.
    pub fn pattern(&self, pattern: Pattern) -> Pattern {
        match self.ignore_case {
            true => pattern.folded(),
            false => pattern,
        }
    }

    /// What somebody wrote of keys and tags, in that case.
    pub fn purge(&self, purge: Purge) -> Purge {
        let fold = |patterns: Vec<Pattern>| {
            let patterns = patterns.into_iter();
            patterns.map(|pattern| self.pattern(pattern)).collect()
        };
        Purge {
            keys: fold(purge.keys),
            tags: fold(purge.tags),
            ..purge
        }
    }

    /// The path of a write as this app, or one that is lenient, may read it, the path itself first: reading it in
    /// one more way purges too much at worst (promise I2).
    pub fn readings_of_write<'p>(&self, path: &'p str) -> Vec<Cow<'p, str>> {
        let mut readings = vec![Cow::Borrowed(path)];
        let mut add = |reading: Cow<'p, str>| {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        };
        let normalized = target::normalized(path).map(Cow::Owned);
        for reading in std::iter::once(Cow::Borrowed(path)).chain(normalized) {
            let suffixes = self.suffixes.iter().map(|suffix| &**suffix).chain(FORMATS);
            let short = without_suffix(reading.trim_end_matches('/'), suffixes, true);
            let short = short.map(|short| Cow::Owned(short.to_owned()));
            let bare = without_blanks(&reading).map(|bare| Cow::Owned(bare.to_owned()));
            for reading in std::iter::once(reading).chain(short).chain(bare) {
                // Ids as well, such as GUIDs.
                let folded = (self.ignore_case && has_upper_case(&reading))
                    .then(|| Cow::Owned(reading.to_ascii_lowercase()));
                add(reading);
                folded.into_iter().for_each(&mut add);
            }
        }
        for reading in lenient::readings_of_write(path) {
            if self.ignore_case && has_upper_case(&reading) {
                add(Cow::Owned(reading.to_ascii_lowercase()));
            }
            add(Cow::Owned(reading));
        }
        if path.ends_with('/') {
            // Readings are without it, and paths of GETs have it as well.
            let closed = |reading: &Cow<str>| Cow::Owned(format!("{reading}/"));
            let open = readings.iter().filter(|reading| !reading.ends_with('/'));
            let closed: Vec<_> = open.map(closed).collect();
            readings.extend(closed);
            let mut seen = HashSet::new();
            readings.retain(|reading| seen.insert(reading.clone()));
        }
        readings
    }
}

/// The path without the dots and blanks at its end that some servers and file systems drop; `None`: there are none.
fn without_blanks(path: &str) -> Option<&str> {
    const DROPPED: [&str; 7] = [".", "+", "%20", "%2E", "%2e", "%2B", "%2b"];
    let mut rest = path.trim_end_matches('/');
    while let Some(shorter) = DROPPED.iter().find_map(|end| rest.strip_suffix(end)) {
        rest = shorter;
    }
    let has_name = !rest.is_empty() && !rest.ends_with('/');
    (has_name && rest.len() < path.trim_end_matches('/').len()).then_some(rest)
}

/// The path without the first of these suffixes that its last segment has behind a name.
fn without_suffix<'p, 's>(
    path: &'p str,
    mut suffixes: impl Iterator<Item = &'s str>,
    ignore_case: bool,
) -> Option<&'p str> {
    suffixes.find_map(|suffix| {
        let (rest, end) = path.split_at_checked(path.len().checked_sub(suffix.len())?)?;
        let is_suffix = match ignore_case {
            true => end.eq_ignore_ascii_case(suffix),
            false => end == suffix,
        };
        (is_suffix && !rest.ends_with('/')).then_some(rest)
    })
}

pub(super) fn has_upper_case(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lenient() -> PathSpelling {
        PathSpelling {
            ignore_case: true,
            suffixes: vec![".json".into()],
            trailing_slash: true,
        }
    }

    #[test]
    fn one_spelling_stands_for_all() {
        let rows = [
            ("/api/products/7", "/api/products/7"),
            ("/API/Products/7", "/api/products/7"),
            ("/api/products/7.json", "/api/products/7"),
            ("/api/products/7.JSON", "/api/products/7"),
            ("/api/products/7/", "/api/products/7"),
            ("/api/products/7.json/", "/api/products/7"),
            ("/api/products/7.xml", "/api/products/7.xml"),
            ("/api/.json", "/api/.json"),
            ("/", "/"),
            ("/é.json", "/é"),
        ];
        for (path, usual) in rows {
            assert_eq!(lenient().usual(path), usual, "{path}");
            assert_eq!(lenient().is_usual(path), path == usual, "{path}");
            let strict = PathSpelling::default();
            assert_eq!(strict.usual(path), path, "{path}");
            assert!(strict.is_usual(path), "{path}");
        }
    }

    #[test]
    fn writes_are_read_in_many_ways() {
        let strict = PathSpelling::default();
        let rows: [(&PathSpelling, &str, &[&str]); 17] = [
            (&strict, "/a/7", &["/a/7"]),
            (&strict, "/a/7/", &["/a/7/", "/a/7"]),
            (&strict, "/a/7.json", &["/a/7.json", "/a/7"]),
            (
                &strict,
                "/A/%37.xml",
                &["/A/%37.xml", "/A/%37", "/A/7.xml", "/A/7"],
            ),
            (&lenient(), "/A/b", &["/A/b", "/a/b"]),
            (&strict, "/a/7.", &["/a/7.", "/a/7"]),
            (
                &strict,
                "/a/7%20.+/",
                &["/a/7%20.+/", "/a/7", "/a/7%20.+", "/a/7/"],
            ),
            (&strict, "/%61/7/", &["/%61/7/", "/a/7", "/a/7/"]),
            (&strict, "//a/7/", &["//a/7/", "/a/7", "/a/7/"]),
            (&strict, "/.%61/7", &["/.%61/7", "/.a/7", "/a/7"]),
            (&strict, "/%40a/7", &["/%40a/7", "/@a/7"]),
            (&strict, "/a/..", &["/a/..", "/"]),
            (&strict, "/a%2F7", &["/a%2F7", "/a/7"]),
            (&strict, "/a/%0A7%09", &["/a/%0A7%09", "/a", "/a/7"]),
            (&strict, "/a/Ab%C2%A0", &["/a/Ab%C2%A0", "/a/Ab"]),
            (&strict, "/a%3fx", &["/a%3fx", "/a", "/a%3Fx"]),
            (&strict, "/a%252F7", &["/a%252F7", "/a/7"]),
        ];
        for (spelling, path, expected) in rows {
            assert_eq!(spelling.readings_of_write(path), expected, "{path}");
        }
    }
}
