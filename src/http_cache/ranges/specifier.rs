//! The `Range` field (RFC 9110 §14.1.1, §14.2).

use std::cmp::Ordering;
use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// The most members of a range set that are looked at, empty ones included; longer sets are ignored.
const MAX_MEMBERS: usize = 64;

/// One member of a range set, in bytes; numbers past 2⁶⁴ count as the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spec {
    /// `first-last` or `first-`.
    From { first: u64, last: Option<u64> },
    /// `-length`.
    Suffix(u64),
}

/// Where a member of a range set lies in a representation.
pub(super) enum Location {
    /// At these positions, which are not empty.
    At(Range<u64>),
    /// Past its end.
    Outside,
    /// It depends on the length, which is not known.
    Unknown,
    /// At the end of an empty representation.
    Empty,
}

impl Spec {
    /// §14.1.2: its place in a representation of `complete` bytes.
    pub(super) fn locate(self, complete: Option<u64>) -> Location {
        match (self, complete) {
            (Spec::Suffix(0), _) => Location::Outside,
            (Spec::Suffix(_), Some(0)) => Location::Empty,
            (Spec::Suffix(length), Some(complete)) => {
                Location::At(complete.saturating_sub(length)..complete)
            }
            (Spec::From { first, .. }, Some(complete)) if first >= complete => Location::Outside,
            (Spec::From { first, last }, Some(complete)) => {
                let end = last.and_then(|last| last.checked_add(1));
                Location::At(first..end.map_or(complete, |end| end.min(complete)))
            }
            (Spec::From { first, last }, None) => match last.and_then(|last| last.checked_add(1)) {
                Some(end) => Location::At(first..end),
                None => Location::Unknown,
            },
            (Spec::Suffix(_), None) => Location::Unknown,
        }
    }
}

/// The members of the byte range set that is asked for; `None`: no `Range`, or one to ignore because
/// its unit is unknown, its syntax is wrong or it is too long.
pub(super) fn parse_ranges(headers: &HeaderMap) -> Option<Vec<Spec>> {
    let mut lines = headers.get_all(RANGE).iter();
    let line = lines.next()?.as_bytes();
    // §5.3: the field is no list, so that several lines are an error.
    if lines.next().is_some() {
        return None;
    }
    let set = after_unit(line)?;
    let mut specs = Vec::new();
    for (count, member) in set.split(|&byte| byte == b',').enumerate() {
        if count == MAX_MEMBERS {
            return None;
        }
        match member.trim_ascii() {
            // §5.6.1.2: empty members are ignored.
            [] => {}
            member => specs.push(parse_spec(member)?),
        }
    }
    (!specs.is_empty()).then_some(specs)
}

/// §14.1: units compare without regard to case; no whitespace stands around the `=`.
fn after_unit(line: &[u8]) -> Option<&[u8]> {
    let (unit, set) = line.split_at_checked(b"bytes=".len())?;
    let spaced = set.first().is_some_and(u8::is_ascii_whitespace);
    (unit.eq_ignore_ascii_case(b"bytes=") && !spaced).then_some(set)
}

fn parse_spec(member: &[u8]) -> Option<Spec> {
    let dash = member.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    match (first, last) {
        ([], length) => Some(Spec::Suffix(to_number(parse_digits(length)?))),
        (first, []) => Some(Spec::From {
            first: to_number(parse_digits(first)?),
            last: None,
        }),
        (first, last) => {
            let (first, last) = (parse_digits(first)?, parse_digits(last)?);
            // §14.1.1: invalid, and with it the whole set.
            (compare(first, last) != Ordering::Greater).then(|| Spec::From {
                first: to_number(first),
                last: Some(to_number(last)),
            })
        }
    }
}

/// The digits of a number without leading zeros.
fn parse_digits(text: &[u8]) -> Option<&[u8]> {
    let numeric = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let zeros = text.iter().take_while(|&&digit| digit == b'0').count();
    numeric.then(|| &text[zeros..])
}

/// Numbers of any length, since 2⁶⁴ is no limit of the syntax.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn to_number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value: u64, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}
