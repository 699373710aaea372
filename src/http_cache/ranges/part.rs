//! Which part of a representation a 206 holds (RFC 9110 §14.4, §15.3.7).

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName};

/// Where a stored part lies within its representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Position of its first byte.
    pub first: u64,
    /// Position after its last byte; greater than `first`.
    pub end: u64,
    /// Length of the representation, if `Content-Range` has it; not less than `end`.
    pub complete: Option<u64>,
}

impl Part {
    /// How many bytes it has.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    /// Whether it is all of the representation.
    pub fn is_all(self) -> bool {
        self.first == 0 && self.complete == Some(self.end)
    }

    /// Whether the three numbers can be true together.
    pub fn is_possible(self) -> bool {
        self.first < self.end && self.complete.is_none_or(|complete| self.end <= complete)
    }

    /// The one part that a 206 to a request with `Range` holds; `None`: it was not asked for, has
    /// several parts, or does not say clearly which it is.
    pub(in crate::http_cache) fn of(request: &HeaderMap, response: &HeaderMap) -> Option<Part> {
        let asked = request.contains_key(RANGE);
        let part = content_range(only(response, &CONTENT_RANGE)?)?;
        // §15.3.7.2: several parts name their ranges inside.
        (asked && !is_multipart(response) && length_agrees(part, response)).then_some(part)
    }
}

/// The field's value, if it has just one line.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line.as_bytes())
}

/// §14.4, without the form of a 416.
fn content_range(line: &[u8]) -> Option<Part> {
    let line = std::str::from_utf8(line).ok()?;
    let (unit, range) = line.split_once(' ')?;
    let (positions, complete) = range.split_once('/')?;
    let (first, last) = positions.split_once('-')?;
    let part = Part {
        first: number(first)?,
        end: number(last)?.checked_add(1)?,
        complete: match complete {
            "*" => None,
            complete => Some(number(complete)?),
        },
    };
    (unit.eq_ignore_ascii_case("bytes") && part.is_possible()).then_some(part)
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone takes a sign.
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| numeric)
}

fn is_multipart(response: &HeaderMap) -> bool {
    const PREFIX: &[u8] = b"multipart/byteranges";
    response.get_all(CONTENT_TYPE).iter().any(|kind| {
        let kind = kind.as_bytes().trim_ascii().get(..PREFIX.len());
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(PREFIX))
    })
}

/// A length that is stated must be the range's.
fn length_agrees(part: Part, response: &HeaderMap) -> bool {
    if !response.contains_key(CONTENT_LENGTH) {
        return true;
    }
    only(response, &CONTENT_LENGTH)
        .and_then(|line| number(std::str::from_utf8(line).ok()?))
        .is_some_and(|length| length == part.length())
}
