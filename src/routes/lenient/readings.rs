//! The readings of a path, and rules' paths as readings are spelled.

use crate::routes::escape::{UrlPart, decode};

/// The only reading of a path, as most have one: it itself, or what is before the slash at its end; `None`: it has more.
pub(super) fn plain_reading(path: &str) -> Option<&str> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'_')
    };
    let is_plain = path.bytes().all(plain) && !path.contains("//");
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
    is_plain.then_some(bare.unwrap_or(path))
}

/// The ways in which lenient apps read a path; each escaped alike, and as [`fold_pattern`] does.
pub(super) fn readings(path: &str) -> impl Iterator<Item = String> + '_ {
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
pub(in crate::routes) fn readings_of_write(path: &str) -> impl Iterator<Item = String> + '_ {
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
pub(super) fn fold_pattern(path: &str) -> String {
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

/// The segments of a rule's path.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}
