//! Ranges and partial content (RFC 9110 §14, RFC 9111 §3.3 and §3.4).
//!
//! [`cut`] decides what of a stored response answers a `Range`, [`response`] makes the 206 or 416 of
//! it. What is stored may itself be a [`Part`]: it answers what it covers, and grows with each further
//! part of the same representation ([`combined`]) until it is whole.
//!
//! A `Range` may always be ignored (§14.2), so whatever is odd about it costs the client no more than
//! a whole answer.

mod answer;
mod combine;
mod part;
mod specifier;
mod validator;

use std::ops::Range;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, StatusCode};

use super::{RequestHead, Stored, validation};
use specifier::{Location, Spec};

pub use answer::response;
pub use combine::{add_rest, combined, missing};
pub use part::Part;
pub use validator::{another_representation, has_strong_validator};

/// What of a stored response answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All of it, as stored: no `Range`, or one that is to be ignored (other method, unknown unit,
    /// malformed, `If-Range` that does not hold, status other than 200, too many or abusive ranges).
    Whole,
    /// One range, in positions of the representation: 206.
    One(Range<u64>),
    /// Several, of which no two overlap or touch: 206 `multipart/byteranges`, in the order asked.
    Many(Vec<Range<u64>>),
    /// None of the ranges lies within: 416.
    Unsatisfiable,
    /// What is stored lacks some of what is asked (only for parts).
    Lacking,
}

/// What of `stored`, whose body has `body` bytes, answers `request` (RFC 9110 §14.2, RFC 9111 §3.3): never
/// more than is stored, nor a range of another representation than `If-Range` names.
///
/// To be called where no 304 applies: preconditions come before `Range` (RFC 9110 §13.2.2).
pub fn cut(request: &RequestHead<'_>, stored: &Stored, body: u64) -> Cut {
    let held = StoredPositions::of(stored, body);
    let cut = match read_ranges(request, stored) {
        Some(specs) => cut_ranges(&specs, &held, stored),
        None => Cut::Whole,
    };
    match cut {
        // RFC 9111 §3.3: a part answers no request for all.
        Cut::Whole if !held.is_all() => Cut::Lacking,
        cut => cut,
    }
}

/// Whether `stored` is a part that cannot answer `request`, not even with 304.
pub(super) fn lacks(request: &RequestHead<'_>, stored: &Stored) -> bool {
    stored.part.is_some_and(|part| {
        cut(request, stored, part.length()) == Cut::Lacking
            && !validation::not_modified(request, stored)
    })
}

/// Which positions of a representation a stored body has.
struct StoredPositions {
    positions: Range<u64>,
    /// The representation's length, if known.
    complete: Option<u64>,
}

impl StoredPositions {
    fn of(stored: &Stored, body: u64) -> StoredPositions {
        match stored.part {
            None => StoredPositions {
                positions: 0..body,
                complete: Some(body),
            },
            Some(part) => StoredPositions {
                positions: part.first..part.end.min(part.first.saturating_add(body)),
                complete: part.complete,
            },
        }
    }

    fn is_all(&self) -> bool {
        self.positions.start == 0 && self.complete == Some(self.positions.end)
    }

    fn covers(&self, range: &Range<u64>) -> bool {
        self.positions.start <= range.start && range.end <= self.positions.end
    }
}

/// The ranges asked for, if there are any and nothing says to ignore them.
fn read_ranges(request: &RequestHead<'_>, stored: &Stored) -> Option<Vec<Spec>> {
    // RFC 9110 §14.2: for GET alone, and in place of a 200 alone.
    if request.method != Method::GET || stored.status != StatusCode::OK {
        return None;
    }
    let specs = specifier::parse_ranges(request.headers)?;
    // RFC 9110 §13.1.5
    validator::if_range_holds(request.headers, stored).then_some(specs)
}

fn cut_ranges(specs: &[Spec], held: &StoredPositions, stored: &Stored) -> Cut {
    let mut ranges = Vec::with_capacity(specs.len());
    for spec in specs {
        match spec.locate(held.complete) {
            Location::At(range) => join(&mut ranges, range),
            Location::Outside => {}
            Location::Unknown => return Cut::Lacking,
            // §14.1.2 calls a suffix of nothing satisfiable, and no `Content-Range` can say it.
            Location::Empty => return Cut::Whole,
        }
    }
    if !ranges.iter().all(|range| held.covers(range)) {
        return Cut::Lacking;
    }
    match (ranges.as_slice(), held.complete) {
        // §14.4: a 416 names the length.
        ([], None) => Cut::Lacking,
        ([], Some(_)) => Cut::Unsatisfiable,
        ([one], _) => Cut::One(one.clone()),
        _ if is_fit_for_parts(&ranges, held, stored) => Cut::Many(ranges),
        _ => Cut::Whole,
    }
}

/// §15.3.7.2: ranges that overlap or touch become one, at the place of the first. So no byte is sent
/// twice, whatever is asked.
fn join(ranges: &mut Vec<Range<u64>>, mut new: Range<u64>) {
    let mut place = ranges.len();
    let meets =
        |new: &Range<u64>, held: &Range<u64>| held.start <= new.end && new.start <= held.end;
    while let Some(at) = ranges.iter().position(|held| meets(&new, held)) {
        let held = ranges.remove(at);
        new = held.start.min(new.start)..held.end.max(new.end);
        place = place.min(at);
    }
    ranges.insert(place, new);
}

/// Whether several ranges are worth a multipart body.
fn is_fit_for_parts(ranges: &[Range<u64>], held: &StoredPositions, stored: &Stored) -> bool {
    // A content coding would have to apply to the multipart body as a whole, which it does not.
    if stored.headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    // §14.2: many small ranges must not cost more than the whole, but for a little.
    const SLACK: u64 = 4096;
    const PART_HEAD: u64 = 200;
    let kind = stored
        .headers
        .get(CONTENT_TYPE)
        .map_or(0, |kind| kind.len());
    let heads = (PART_HEAD + kind as u64).saturating_mul(ranges.len() as u64);
    let bodies: u64 = ranges
        .iter()
        .fold(0, |sum, range| sum.saturating_add(range.end - range.start));
    let whole = held.complete.unwrap_or(held.positions.end);
    bodies.saturating_add(heads) <= whole.saturating_add(SLACK)
}

#[cfg(test)]
mod tests;
