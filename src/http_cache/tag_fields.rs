//! Fields by which an app itself names the tags of what it answers, and what a write of it makes stale:
//! `Surrogate-Key` (Fastly), `xkey` (Varnish), `Cache-Tag` (Cloudflare) and the like. A config names those that count.
//!
//! `Surrogate-Key` separates its tags by white space alone, the others by commas and white space. A tag stands in the
//! store as it is written, but that what is no visible ASCII, and a star, is percent-encoded: so it is the very tag
//! that a rule's `tags` renders, is never a wildcard, and never one of a cache group ([`super::groups`]), which has spaces.

use std::fmt::Write;

use http::{HeaderMap, HeaderName};

/// By which an answer or a request says that its purge is a soft one.
pub static SOFT_PURGE: [HeaderName; 2] = [
    HeaderName::from_static("soft-purge"),
    HeaderName::from_static("fastly-soft-purge"),
];

/// The most tags of one response, and of all that are stored under one key: Redis writes and removes each by itself, in one
/// script.
pub const MAX_TAGS: usize = 1000;

/// The longest tag in bytes.
pub const MAX_LENGTH: usize = 1024;

/// The most tags purged one by one: each costs every fill under way a comparison.
const MAX_PURGED: usize = 1000;

/// More tags than can be kept, or a longer one: a purge by it could not find the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// What the fields of an answer purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedTags {
    /// These; often none.
    Each(Vec<Box<str>>),
    /// More than the limit: all tags there are.
    All,
}

/// The tags that `fields` of these names give a response, each once.
pub fn of(fields: &HeaderMap, names: &[HeaderName]) -> Result<Vec<Box<str>>, TooMany> {
    let mut tags = Vec::new();
    for (name, line) in lines(fields, names) {
        for text in split(line, separators(name)) {
            if text.len() > MAX_LENGTH || tags.len() > 4 * MAX_TAGS {
                return Err(TooMany);
            }
            tags.push(tag(text));
        }
    }
    let tags = each_once(tags);
    match tags.iter().any(|tag| tag.len() > MAX_LENGTH) || tags.len() > MAX_TAGS {
        true => Err(TooMany),
        false => Ok(tags),
    }
}

/// The tags that `fields` of these names purge. By which separators they were given their responses is not known, so
/// text with a comma is taken as one tag and as several.
pub fn purged(fields: &HeaderMap, names: &[HeaderName]) -> NamedTags {
    let mut tags = Vec::new();
    for (_, line) in lines(fields, names) {
        for text in split(line, Separators::Spaces) {
            if tags.len() > MAX_PURGED {
                return NamedTags::All;
            }
            tags.push(tag(text));
            if text.contains(&b',') {
                tags.extend(split(text, Separators::CommasToo).take(MAX_PURGED).map(tag));
            }
        }
    }
    let tags = each_once(tags);
    match tags.len() > MAX_PURGED {
        true => NamedTags::All,
        false => NamedTags::Each(tags),
    }
}

/// Whether what these fields purge is to stay and be stale: `Soft-Purge: 1`, or Fastly's name for it.
pub fn asks_softly(fields: &HeaderMap) -> bool {
    SOFT_PURGE
        .iter()
        .any(|name| fields.get(name).is_some_and(|value| value == "1"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separators {
    Spaces,
    CommasToo,
}

fn separators(name: &HeaderName) -> Separators {
    match name.as_str() {
        "surrogate-key" => Separators::Spaces,
        _ => Separators::CommasToo,
    }
}

fn lines<'f>(
    fields: &'f HeaderMap,
    names: &'f [HeaderName],
) -> impl Iterator<Item = (&'f HeaderName, &'f [u8])> {
    names.iter().flat_map(|name| {
        let lines = fields.get_all(name).into_iter();
        lines.map(move |line| (name, line.as_bytes()))
    })
}

fn split(line: &[u8], separators: Separators) -> impl Iterator<Item = &[u8]> {
    let separates = move |byte: &u8| {
        byte.is_ascii_whitespace() || (*byte == b',' && separators == Separators::CommasToo)
    };
    line.split(separates).filter(|text| !text.is_empty())
}

fn tag(text: &[u8]) -> Box<str> {
    let mut tag = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'*' => tag.push_str("%2A"),
            byte if byte.is_ascii_graphic() => tag.push(char::from(*byte)),
            byte => write!(tag, "%{byte:02X}").expect("a String takes all"),
        }
    }
    tag.into()
}

fn each_once(mut tags: Vec<Box<str>>) -> Vec<Box<str>> {
    tags.sort_unstable();
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::tests::fixtures::headers;

    /// A name, fields, and the tags they name.
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    );

    fn names() -> Vec<HeaderName> {
        ["surrogate-key", "xkey", "cache-tag"]
            .map(HeaderName::from_static)
            .into()
    }

    fn texts(tags: &[Box<str>]) -> Vec<&str> {
        tags.iter().map(|tag| &**tag).collect()
    }

    /// RFC 9110 §5.6.1 separates by commas; these fields, which no RFC defines, by blanks as well or alone.
    #[test]
    fn each_field_has_its_separators() {
        #[rustfmt::skip]
        let rows: &[Row] = &[
            ("none", &[], &[]),
            ("empty", &[("xkey", " , ")], &[]),
            ("surrogate-key, by spaces", &[("surrogate-key", "b  a\tb a,c")], &["a", "a,c", "b"]),
            ("xkey, by both", &[("xkey", "a b,c")], &["a", "b", "c"]),
            ("xkey, several lines", &[("xkey", "a"), ("xkey", "b a")], &["a", "b"]),
            ("cache-tag, by commas", &[("cache-tag", "a, b,c,")], &["a", "b", "c"]),
            ("several fields", &[("cache-tag", "a"), ("surrogate-key", "user:7")], &["a", "user:7"]),
            ("another field", &[("x-key", "a")], &[]),
            ("as a rule renders it", &[("xkey", "user:a%3Ab")], &["user:a%3Ab"]),
            ("no wildcard", &[("xkey", "user:*")], &["user:%2A"]),
            ("no group", &[("cache-tag", "group http://a b")], &["b", "group", "http://a"]),
            ("case counts", &[("xkey", "A a")], &["A", "a"]),
        ];
        for (name, fields, expected) in rows {
            let tags = of(&headers(fields), &names()).expect("not too many");
            assert_eq!(texts(&tags), *expected, "{name}");
        }
        let mut fields = HeaderMap::new();
        let odd = http::HeaderValue::from_bytes(b"\xc3\xa9").expect("obs-text");
        fields.insert("xkey", odd);
        assert_eq!(texts(&of(&fields, &names()).expect("one")), ["%C3%A9"]);
    }

    #[test]
    fn at_the_caps() {
        let list = |count: usize| {
            let all: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
            headers(&[("xkey", &all.join(" "))])
        };
        let count = |count| of(&list(count), &names()).map(|tags| tags.len());
        assert_eq!(count(MAX_TAGS), Ok(MAX_TAGS));
        assert_eq!(count(MAX_TAGS + 1), Err(TooMany));
        let again = headers(&[("xkey", &"same ".repeat(3 * MAX_TAGS))]);
        assert_eq!(of(&again, &names()).map(|tags| tags.len()), Ok(1));
        let long = |length| headers(&[("xkey", &"t".repeat(length))]);
        assert!(of(&long(MAX_LENGTH), &names()).is_ok());
        assert_eq!(of(&long(MAX_LENGTH + 1), &names()), Err(TooMany));
        let escaped = headers(&[("xkey", &"*".repeat(MAX_LENGTH))]);
        assert_eq!(
            of(&escaped, &names()),
            Err(TooMany),
            "as it stands in the store"
        );
        assert_eq!(purged(&list(MAX_PURGED + 1), &names()), NamedTags::All);
        let last = "same ".repeat(MAX_PURGED + 1) + "other";
        let named = purged(&headers(&[("xkey", &last)]), &names());
        assert_eq!(named, NamedTags::All, "none is left out");
    }

    #[test]
    fn what_is_purged_is_found_however_it_was_separated() {
        let fields = headers(&[("xkey", "a b,c user:*")]);
        let NamedTags::Each(tags) = purged(&fields, &names()) else {
            panic!("not too many");
        };
        assert_eq!(texts(&tags), ["a", "b", "b,c", "c", "user:%2A"]);
    }
}
