//! The sources as the checks see them: files, tokens, names.

use std::fs;
use std::path::{Path, PathBuf};

const CFG_TEST: &str = "#[cfg(test)]";
/// What the test modules of `src/` are called; all that they are made of stands below them.
pub(super) const TESTS: &str = "tests";

pub(super) struct Source {
    /// The path below `src/`, without `.rs` and `/mod`.
    pub(super) module: String,
    pub(super) text: String,
}

impl Source {
    /// All but the files of test modules: the module they test speaks for them.
    pub(super) fn all() -> Vec<Source> {
        let sources: Vec<_> = Source::every()
            .into_iter()
            .filter(|source| !source.module.split('/').any(|part| part == TESTS))
            .collect();
        assert!(sources.len() > 30, "only {} files found", sources.len());
        sources
    }

    /// With the files of test modules.
    pub(super) fn every() -> Vec<Source> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        collect(&src, &mut paths);
        paths.sort();
        paths.iter().map(|path| Source::read(&src, path)).collect()
    }

    fn read(src: &Path, path: &Path) -> Source {
        let below = path.strip_prefix(src).expect("it was found there");
        let module = below.with_extension("").to_string_lossy().into_owned();
        Source {
            module: module.strip_suffix("/mod").unwrap_or(&module).to_owned(),
            text: fs::read_to_string(path).expect("it was found"),
        }
    }

    /// The modules it declares as `#[cfg(test)] mod name;`.
    pub(super) fn test_modules(&self) -> impl Iterator<Item = String> {
        let items = self.text.split(CFG_TEST).skip(1);
        let names = items.filter_map(|item| {
            let (declared, _) = item.split_once(';')?;
            let (visibility, name) = declared.trim_start().split_once("mod ")?;
            let is_name = !name.is_empty() && name.chars().all(is_word);
            (is_name && (visibility.is_empty() || visibility.starts_with("pub"))).then_some(name)
        });
        names.map(|name| format!("{}/{name}", self.module))
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms named as `crate::room` or in `crate::{room, …}`.
pub(super) fn rooms_used(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut rooms = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at..].starts_with(&["crate", "::"]) {
            match tokens.get(at + 2).copied() {
                Some("{") => rooms.extend(first_level(&tokens[at + 3..])),
                Some(name) => rooms.push(name.to_owned()),
                None => {}
            }
        }
    }
    rooms.sort();
    rooms.dedup();
    rooms
}

/// The first names of a `{a::b, c::{d, e}}` group, from after its opening brace.
fn first_level(tokens: &[&str]) -> Vec<String> {
    let (mut depth, mut first, mut names) = (0, true, Vec::new());
    for token in tokens {
        match *token {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => first = true,
            name if first => {
                names.push(name.to_owned());
                first = false;
            }
            _ => {}
        }
    }
    names
}

/// Whether the path `word` (`tokio`, `std::net`) is named anywhere: as itself, or in a group of its
/// first part (`use std::{net, …}`).
pub(super) fn names(tokens: &[&str], word: &str) -> bool {
    let path: Vec<&str> = word
        .split("::")
        .flat_map(|part| ["::", part])
        .skip(1)
        .collect();
    if tokens.windows(path.len()).any(|window| window == path) {
        return true;
    }
    let [first, "::", last] = path[..] else {
        return false;
    };
    let group = [first, "::", "{"];
    (0..tokens.len())
        .filter(|at| tokens[*at..].starts_with(&group))
        .any(|at| first_level(&tokens[at + group.len()..]).contains(&last.to_owned()))
}

/// Identifiers, `::` and other marks of the code; comments and string literals are left out, and so
/// is the inline test module at the end: tests may use what they like.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = without_tests(text).trim_start();
    while let Some(first) = rest.chars().next() {
        let (length, literal) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if let Some(length) = literal_length(rest) {
            (length, true)
        } else if rest.starts_with("::") {
            (2, false)
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c));
            (end.unwrap_or(rest.len()), false)
        } else {
            (first.len_utf8(), false)
        };
        let (token, after) = rest.split_at(length);
        if !literal {
            tokens.push(token);
        }
        rest = after.trim_start();
    }
    tokens
}

/// The text up to `#[cfg(test)] mod … {`.
fn without_tests(text: &str) -> &str {
    text.match_indices(CFG_TEST)
        .map(|(at, mark)| (at, text[at + mark.len()..].trim_start()))
        .find(|(_, item)| {
            let end = item.find(['{', ';']);
            item.starts_with("mod ") && end.is_some_and(|end| item[end..].starts_with('{'))
        })
        .map_or(text, |(at, _)| &text[..at])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the string literal that `text` begins with, if it does; also of a quote as a
/// character, so that it is not taken for the start of a string.
fn literal_length(text: &str) -> Option<usize> {
    for quote in ["'\"'", "'\\\"'"] {
        if text.starts_with(quote) {
            return Some(quote.len());
        }
    }
    for (start, end) in [
        ("r#\"", "\"#"),
        ("br#\"", "\"#"),
        ("r\"", "\""),
        ("br\"", "\""),
    ] {
        if let Some(raw) = text.strip_prefix(start) {
            let length = raw.find(end).map(|at| start.len() + at + end.len());
            return Some(length.unwrap_or(text.len()));
        }
    }
    let quoted = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(text.len(), |at| at + 2))
}

#[test]
fn the_checks_can_fail() {
    let impure = [
        ("use tokio::time;", "tokio"),
        ("fn f() { let x = tokio::spawn(y); }", "tokio"),
        ("use std::{fmt, net::SocketAddr};", "std::net"),
        ("use std::net::{IpAddr};", "std::net"),
        ("let now = std::time::SystemTime::now();", "SystemTime::now"),
        ("let now = Instant :: now();", "Instant::now"),
        ("use crate::clock::Clock;", "crate::clock"),
        ("use crate::{clock, entry};", "crate::clock"),
        ("let s = \"a \\\" b\"; use hyper::body;", "hyper"),
        ("let c = '\"'; use hyper::body;", "hyper"),
        ("let s = r#\"a \" b\"#; use hyper::body;", "hyper"),
        ("#[cfg(test)] mod tests; use hyper::body;", "hyper"),
        ("#[cfg(test)] fn f() { hyper::body() }", "hyper"),
    ];
    for (code, word) in impure {
        assert!(names(&tokens(code), word), "{code}");
    }
    let pure = [
        ("/// As tokio::time does.", "tokio"),
        ("use std::time::SystemTime;", "SystemTime::now"),
        ("let s = \"tokio\";", "tokio"),
        ("fn tokio_free() {}", "tokio"),
        ("#[cfg(test)] mod tests { use tokio::test; }", "tokio"),
        ("use std::{fmt::{net}};", "std::net"),
    ];
    for (code, word) in pure {
        assert!(!names(&tokens(code), word), "{code}");
    }
}

#[test]
fn test_modules_are_told_from_others() {
    let source = Source {
        module: "entry".to_owned(),
        text: "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod samples;\nmod codec;\n\
               #[cfg(test)]\nfn mod_of() { a; }\n#[cfg(test)]\nmod inline { fn f() {} }"
            .to_owned(),
    };
    let found: Vec<_> = source.test_modules().collect();
    assert_eq!(found, ["entry/tests", "entry/samples"]);
}
