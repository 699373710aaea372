//! A stored part made whole by asking for what it lacks (RFC 9111 §3.4).

use std::ops::Range;

use bytes::Bytes;

use super::ask::{Arrival, take_apart};
use super::gather::{Gathering, Room, check_body};
use crate::entry::Variant;
use crate::http_cache::{Reason, RequestHead, Stored, ranges, storable};
use crate::proxy::cache::request::CacheRequestRef;

/// The whole that `part` and the answer to a request for `rest` make; `Err` if they are not of one piece.
pub(super) async fn join(
    request: CacheRequestRef<'_>,
    arrival: Arrival,
    part: &Variant,
    rest: &Range<u64>,
) -> Result<(Stored, Bytes), Reason> {
    let rule = request.rule();
    let mut fields = request.context.parts.headers.clone();
    ranges::add_rest(&mut fields, &part.stored, rest);
    let head = RequestHead {
        headers: &fields,
        ..request.fill_head()
    };
    let stored = storable(&head, &arrival.exchange(), rule.policy)?;
    check_body(&arrival.response, rule.settings)?;
    let room = Room::take(request.cache.store.in_flight(), arrival.length())?;
    let (_, body) = take_apart(request, arrival.response);
    // Nobody is sent the rest alone.
    let mut gathering = Gathering::new(body, rule.settings.max_body, room, &stored);
    let bytes = gathering.whole(request.context.parts.uri.path()).await?;
    let whole = ranges::combined((&part.stored, &part.body), (&stored, &bytes));
    whole
        .filter(|(stored, _)| stored.part.is_none())
        .ok_or(Reason::Partial)
}
