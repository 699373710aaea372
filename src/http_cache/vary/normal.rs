//! The one form that all equal spellings of a request field share (RFC 9111 §4.1).

use std::borrow::Cow;

use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName};

/// The field's lines joined by `, `, whitespace around commas made one space after, case folded where
/// the field has none, members with weights in the order of these. Quoted strings stay as they are.
/// `None`: absent. Borrowed when the request has that form already.
pub(super) fn normalised<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes().trim_ascii();
    let kind = Kind::of(name);
    let mut rest = lines.peekable();
    if rest.peek().is_none() && is_normal(first, kind) {
        return Some(Cow::Borrowed(first));
    }
    let mut value = Vec::with_capacity(first.len() + 8);
    append_normalised(&mut value, first);
    for line in rest {
        value.extend_from_slice(b", ");
        append_normalised(&mut value, line.as_bytes().trim_ascii());
    }
    if kind == Kind::Preference {
        value.make_ascii_lowercase();
    }
    if kind != Kind::Other {
        value = by_weight(&value).unwrap_or(value);
    }
    Some(Cow::Owned(value))
}

/// What is known of a field's syntax.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Members with weights, case without meaning (RFC 9110 §12.5.2 to §12.5.4).
    Preference,
    /// Members with weights, case with a meaning in parameters (RFC 9110 §12.5.1).
    MediaRanges,
    /// Nothing but that commas part it.
    Other,
}

impl Kind {
    fn of(name: &HeaderName) -> Kind {
        if [ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_CHARSET].contains(name) {
            Kind::Preference
        } else if *name == ACCEPT {
            Kind::MediaRanges
        } else {
            Kind::Other
        }
    }
}

/// Whether normalising would change nothing; `false` when that is not plain to see.
fn is_normal(value: &[u8], kind: Kind) -> bool {
    let mut before = b' ';
    for (at, &byte) in value.iter().enumerate() {
        let after = value.get(at + 1).copied();
        let spaced = after == Some(b' ') && !matches!(value.get(at + 2), Some(b' ' | b'\t' | b','));
        let odd = match byte {
            b',' => matches!(before, b' ' | b'\t') || !spaced,
            b'"' => true,
            b';' => kind != Kind::Other,
            _ => kind == Kind::Preference && byte.is_ascii_uppercase(),
        };
        if odd {
            return false;
        }
        before = byte;
    }
    true
}

fn append_normalised(out: &mut Vec<u8>, line: &[u8]) {
    let mut first = true;
    for member in split(line, b',') {
        if !first {
            out.extend_from_slice(b", ");
        }
        first = false;
        out.extend_from_slice(member);
    }
}

/// The members of a list with weights in the order of these, highest first; those of one weight keep
/// their order, which servers may read as preference. `None`: some member is not of that form, and
/// then any order may mean something.
fn by_weight(value: &[u8]) -> Option<Vec<u8>> {
    let members = split(value, b',').filter(|member| !member.is_empty());
    let mut members = members.map(weighed).collect::<Option<Vec<_>>>()?;
    members.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
    Some(members.join(&b", "[..]))
}

/// A member's weight in thousandths, and its one spelling: a weight of 1, which is the default, left
/// out, and no zeros at the end of another (RFC 9110 §12.4.2).
fn weighed(member: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut parts = split(member, b';');
    let mut text = parts.next().filter(|value| !value.is_empty())?.to_vec();
    let mut stated = None;
    for part in parts.filter(|part| !part.is_empty()) {
        if !matches!(part, [b'q' | b'Q', b'=', ..]) {
            text.push(b';');
            text.extend_from_slice(part);
            continue;
        }
        let weight = weight(&part[2..])?;
        if stated.replace(weight).is_some() {
            return None;
        }
        if weight < FULL {
            let decimals = format!("{weight:03}");
            text.extend_from_slice(b";q=0.");
            text.extend_from_slice(decimals.trim_end_matches('0').as_bytes());
        }
    }
    Some((stated.unwrap_or(FULL), text))
}

/// The weight of a member that states none, in thousandths.
const FULL: u16 = 1000;

fn weight(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = text.split_first()?;
    let decimals = match decimals {
        [] => decimals,
        [b'.', decimals @ ..] => decimals,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = decimals.iter().chain(b"000").take(3);
    let thousandths = padded.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(FULL),
        _ => None,
    }
}

/// The trimmed pieces between separators outside quoted strings.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&byte| {
            let was_escaped = std::mem::take(&mut escaped);
            match byte {
                b'\\' if quoted => escaped = !was_escaped,
                b'"' if !was_escaped => quoted = !quoted,
                _ => {}
            }
            byte == separator && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

/// A member of a list of preferences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weighed {
    /// In thousandths.
    pub(super) weight: u16,
    /// Without its weight.
    pub(super) text: Vec<u8>,
}

/// The members of a list with weights, in its order; what cannot be read is left out.
pub(super) fn weighed_members(value: &[u8]) -> Vec<Weighed> {
    let members = split(value, b',').filter(|member| !member.is_empty());
    let weighed = members.filter_map(|member| {
        let (weight, text) = weighed(member)?;
        let text = split(&text, b';').next().unwrap_or(&text).to_vec();
        Some(Weighed { weight, text })
    });
    weighed.collect()
}
