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
    /// The answer says nothing about it.
    Nothing,
}

/// What the answer `head` to a HEAD `request` makes of `stored`, which that request selects (RFC 9111
/// §4.3.5): freshened if it names the same representation, invalid if it names another.
pub fn by_head(
    stored: &Stored,
    request: &RequestHead<'_>,
    head: &Exchange<'_>,
    policy: &Policy,
) -> ByHead {
    if says_nothing(head.status) {
        return ByHead::Nothing;
    }
    if head.status != stored.status || !is_same(&stored.headers, head.headers) {
        return ByHead::Invalid(unusable(stored.clone()));
    }
    match updated_by(stored, request, head, policy) {
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

/// §4.3.5: every validator of the answer to HEAD matches, and so does its `Content-Length`.
fn is_same(stored: &HeaderMap, head: &HeaderMap) -> bool {
    let etag = head.get(&ETAG).map(|theirs| {
        let ours = stored.get(&ETAG);
        ours.is_some_and(|ours| conditions::names_stored(ours.as_bytes(), theirs.as_bytes()))
    });
    let modified = head
        .get(&LAST_MODIFIED)
        .map(|theirs| stored.get(&LAST_MODIFIED) == Some(theirs));
    let length = match (stored.get(&CONTENT_LENGTH), head.get(&CONTENT_LENGTH)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        // A body stored without a stated length: only a validator can vouch for it.
        (None, Some(_)) => etag.is_some() || modified.is_some(),
        (_, None) => true,
    };
    // Another coding is another representation, whatever its tag.
    let coding: Vec<_> = head.get_all(CONTENT_ENCODING).iter().collect();
    let same_coding = coding.is_empty()
        || stored
            .get_all(CONTENT_ENCODING)
            .iter()
            .eq(coding.iter().copied());
    same_coding && etag.unwrap_or(true) && modified.unwrap_or(true) && length
}
