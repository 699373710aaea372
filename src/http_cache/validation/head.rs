//! What an answer to HEAD says of a stored answer to GET (RFC 9111 §4.3.5).

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use super::{Updated, conditions, unusable, updated_by};
use crate::http_cache::{Exchange, Policy, RequestHead, Stored};

/// What becomes of a stored response after an answer to HEAD that it could have been chosen for.
#[derive(Clone, Debug, PartialEq)]
pub enum ByHead {
    /// It still holds, with the fields and the freshness of the answer to HEAD.
    Freshened(Stored),
    /// It holds no more: to be validated before it is used again.
    Invalid(Stored),
    /// The answer says nothing about it: it is as fresh as it was.
    Nothing,
}

/// What the answer `head` to a HEAD `request` makes of `stored`, which that request selects (RFC 9111
/// §4.3.5): freshened if a validator names the same representation, invalid if it is of another.
pub fn by_head(
    stored: &Stored,
    request: &RequestHead<'_>,
    head: &Exchange<'_>,
    policy: &Policy,
) -> ByHead {
    if says_nothing(head.status) {
        return ByHead::Nothing;
    }
    if head.status != stored.status || is_another(&stored.headers, head.headers) {
        return ByHead::Invalid(unusable(stored.clone()));
    }
    match updated_by(stored, request, head, policy) {
        // What might be said of any representation vouches for none: many apps answer HEAD without a look at the page,
        // and anybody may ask so.
        Updated::Usable(_) if !names_validator(head.headers) => ByHead::Nothing,
        Updated::Usable(fresh) => ByHead::Freshened(fresh),
        // What only this requester's own fields forbid says nothing of what others may share.
        Updated::Unusable(_, Some(reason)) if reason.is_of_requester() => ByHead::Nothing,
        Updated::Unusable(stored, _) => ByHead::Invalid(stored),
    }
}

/// Answers that are not those a GET would have got: interim ones, those to conditions and ranges,
/// those to HEAD itself, those to this client or this moment, and failures of the app.
fn says_nothing(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        100..200 | 206 | 304 | 405 | 408 | 412 | 416 | 417 | 421 | 425 | 428 | 429 | 431 | 500..
    )
}

/// §4.3.5: a validator of the answer to HEAD differs, or its `Content-Length` does.
fn is_another(stored: &HeaderMap, head: &HeaderMap) -> bool {
    let other_tag = head.get(&ETAG).is_some_and(|theirs| {
        let ours = stored.get(&ETAG);
        !ours.is_some_and(|ours| conditions::names_stored(ours.as_bytes(), theirs.as_bytes()))
    });
    let modified = head.get(&LAST_MODIFIED);
    let other_date = modified.is_some_and(|theirs| stored.get(&LAST_MODIFIED) != Some(theirs));
    let other_length = match (stored.get(&CONTENT_LENGTH), head.get(&CONTENT_LENGTH)) {
        (Some(ours), Some(theirs)) => ours != theirs,
        // A body stored without a stated length: only a validator can vouch for it.
        (None, Some(_)) => !names_validator(head),
        (_, None) => false,
    };
    // Another coding is another representation, whatever its tag.
    let coding = head.get_all(CONTENT_ENCODING);
    let other_coding = head.contains_key(CONTENT_ENCODING)
        && !stored.get_all(CONTENT_ENCODING).iter().eq(coding.iter());
    other_tag || other_date || other_length || other_coding
}

fn names_validator(head: &HeaderMap) -> bool {
    head.contains_key(ETAG) || head.contains_key(LAST_MODIFIED)
}
