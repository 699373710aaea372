//! Parts of one representation made into more of it (RFC 9111 §3.4, RFC 9110 §15.3.7.3).

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, EXPIRES, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::validator::Strong;
use super::{Part, StoredPositions};
use crate::http_cache::directives::{Reach, ResponseDirectives, TARGETS};
use crate::http_cache::{Stored, validation};

/// The one range that a stored part lacks to be whole, if it has a strong validator, the complete
/// length is known and one range does it.
pub fn missing(stored: &Stored) -> Option<Range<u64>> {
    let part = stored.part.filter(|part| part.is_possible())?;
    let complete = part.complete?;
    Strong::of(&stored.headers)?;
    match (part.first, part.end) {
        (0, end) if end < complete => Some(end..complete),
        (first, end) if first > 0 && end == complete => Some(0..first),
        _ => None,
    }
}

/// Makes a request for all into one for the missing rest, with the client's conditions removed.
///
/// If the app holds another representation by now, `If-Range` has it answer 200 with all of that
/// (RFC 9110 §13.1.5). Without a strong validator, or with nothing missing, it asks for all.
pub fn add_rest(upstream_request: &mut HeaderMap, stored: &Stored, missing: &Range<u64>) {
    validation::strip_conditions(upstream_request);
    let last = missing.end.checked_sub(1);
    let last = last.filter(|last| *last >= missing.start);
    if let (Some(strong), Some(last)) = (Strong::of(&stored.headers), last) {
        let range = HeaderValue::try_from(format!("bytes={}-{last}", missing.start))
            .expect("digits are visible ASCII");
        upstream_request.insert(RANGE, range);
        upstream_request.insert(IF_RANGE, strong.value().clone());
    }
}

/// Two parts (or a part and a whole) of one representation joined (§3.4), with the newer one's
/// fields; `None`: not the same strong validator, or a gap between them.
pub fn combined(old: (&Stored, &Bytes), new: (&Stored, &Bytes)) -> Option<(Stored, Bytes)> {
    let (old_span, new_span) = (span(old)?, span(new)?);
    let complete = agreed(old_span.complete, new_span.complete)?;
    if !is_same_representation(old.0, new.0) {
        return None;
    }
    // RFC 9110 §15.3.7.3: a newer 200 needs nothing of the older.
    if new.0.part.is_none() {
        return Some((new.0.clone(), new.1.clone()));
    }
    let (range, body) = joined((&old_span.positions, old.1), (&new_span.positions, new.1))?;
    let part = Part {
        first: range.start,
        end: range.end,
        complete,
    };
    if !part.is_possible() {
        return None;
    }
    let part = Some(part).filter(|part| !part.is_all());
    Some((renewed(old.0, new.0, part), body))
}

/// Where a body lies; `None` if its length belies its part.
fn span((stored, body): (&Stored, &Bytes)) -> Option<StoredPositions> {
    let length = u64::try_from(body.len()).ok()?;
    let fits = stored
        .part
        .is_none_or(|part| part.is_possible() && part.length() == length);
    fits.then(|| StoredPositions::of(stored, length))
}

/// The length that both may have, if they can be of one representation.
fn agreed(old: Option<u64>, new: Option<u64>) -> Option<Option<u64>> {
    match (old, new) {
        (Some(old), Some(new)) if old != new => None,
        _ => Some(old.or(new)),
    }
}

fn is_same_representation(old: &Stored, new: &Stored) -> bool {
    let strong = Strong::of(&old.headers);
    strong.is_some()
        && strong == Strong::of(&new.headers)
        // What is joined answers only requests that selected both.
        && old.selector.goes_with_part(&new.selector)
        && [old.status, new.status] == [StatusCode::OK; 2]
        // It may be left out after `If-Range`; another one belies the validator.
        && (!new.headers.contains_key(CONTENT_ENCODING)
            || old.headers.get_all(CONTENT_ENCODING) == new.headers.get_all(CONTENT_ENCODING))
}

/// The bytes at the positions of either; where both have one, the newer's.
fn joined(old: (&Range<u64>, &Bytes), new: (&Range<u64>, &Bytes)) -> Option<(Range<u64>, Bytes)> {
    let ((old_at, old), (new_at, new)) = (old, new);
    if old_at.end < new_at.start || new_at.end < old_at.start {
        return None;
    }
    let range = old_at.start.min(new_at.start)..old_at.end.max(new_at.end);
    if range == *new_at {
        return Some((range, new.clone()));
    }
    let before = usize::try_from(new_at.start.saturating_sub(old_at.start)).ok()?;
    let after = usize::try_from(old_at.end.saturating_sub(new_at.end)).ok()?;
    let before = old.get(..before)?;
    let after = old.get(old.len().checked_sub(after)?..)?;
    let mut body = BytesMut::with_capacity(before.len() + new.len() + after.len());
    body.put_slice(before);
    body.put_slice(new);
    body.put_slice(after);
    Some((range, body.freeze()))
}

/// `old` with the fields and the times of `new` (§3.2), as a part of this extent.
fn renewed(old: &Stored, new: &Stored, part: Option<Part>) -> Stored {
    let directives = [old, new].map(|stored| (stored, ResponseDirectives::of(&stored.headers)));
    let withheld = |name: &HeaderName| {
        directives.iter().any(|(stored, directives)| {
            // What it has of them, the rule has let it keep.
            !stored.headers.contains_key(name)
                && [&directives.private, &directives.no_cache]
                    .iter()
                    .any(|reach| matches!(reach, Reach::Fields(names) if names.contains(name)))
        })
    };
    let renewed = Stored {
        headers: validation::updated_fields(&old.headers, &new.headers, withheld),
        part,
        selector: old.selector.clone(),
        shareable: old.shareable && new.shareable,
        ..new.clone()
    };
    let mut inherited = [CACHE_CONTROL, EXPIRES].into_iter().chain(TARGETS);
    if inherited.all(|name| !old.headers.contains_key(&name) || new.headers.contains_key(&name)) {
        return renewed;
    }
    // Directives of the older one remain among the fields, so they must bind.
    Stored {
        lifetime: old.lifetime.min(new.lifetime),
        stale_while_revalidate: old.stale_while_revalidate.min(new.stale_while_revalidate),
        stale_if_error: old.stale_if_error.min(new.stale_if_error),
        must_revalidate: old.must_revalidate || new.must_revalidate,
        no_cache: old.no_cache || new.no_cache,
        ..renewed
    }
}
