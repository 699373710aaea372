//! What becomes of the app's answer: what is stored confirmed or completed, or a response taken.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::ask::{Arrival, take_apart};
use super::end::{Fill, FillEnd, reply};
use super::gather::{Gathering, Room};
use super::options::{Fate, FetchMode, FillAnswer};
use super::{keep, rest, tags};
use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{Reason, Stored, validation};
use crate::proxy::cache::request::{CacheRequest, CacheRequestRef};
use crate::proxy::obstacles::log;

/// A 304: what is stored holds, with new freshness (RFC 9111 §4.3.4).
pub(super) fn confirm(
    request: CacheRequestRef<'_>,
    stale: Option<Arc<Variant>>,
    arrival: &Arrival,
) -> FillEnd {
    let Some(stale) = stale else {
        return FillEnd::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError);
    };
    let policy = request.rule().policy;
    let head = request.fill_head();
    let stored = validation::freshened(&stale.stored, &head, &arrival.exchange(), policy);
    let keepable = validation::keepable(&head, &stored, policy);
    let tags = tags::of_confirmed(request, &stale, &stored);
    let storable = keepable.and(tags.as_ref().map(|_| ()).map_err(|reason| *reason));
    let mut variant = Arc::new(Variant {
        tags: tags.unwrap_or_default(),
        stored,
        ..Variant::clone(&stale)
    });
    let store = &request.cache.store;
    store.end_by_later_purge(request.key(), &mut variant);
    FillEnd::Confirmed {
        personal: validation::personal(arrival.response.headers(), &stale.stored, policy),
        storable,
        variant,
    }
}

/// A 206 with what a stored part lacks; `Err`: they are not of one piece.
pub(super) async fn complete(
    fill: &mut Fill,
    arrival: Box<Arrival>,
    part: Option<Arc<Variant>>,
    mode: &FetchMode,
) -> Result<FillEnd, Reason> {
    let (Some(part), FetchMode::MissingRange(missing)) = (part, mode) else {
        return Err(Reason::Partial);
    };
    let request = fill.request.by_ref();
    let (stored, body) = rest::join(request, *arrival, &part, missing).await?;
    let variant = Arc::new(keep::new_variant(request, stored, body.clone()));
    fill.whole = Some(FillAnswer::Completed {
        variant: variant.clone(),
        fate: Fate::Open,
    });
    Ok(tag(fill, variant, body, None))
}

/// A response: streams it on, and keeps it if it may be kept. `base`: what a part of the same
/// representation may be joined with.
pub(super) async fn take(
    fill: &mut Fill,
    arrival: Box<Arrival>,
    base: Option<Arc<Variant>>,
) -> FillEnd {
    let request = fill.request.by_ref();
    let variant = match keep::judge_storable(request, &arrival) {
        Ok(variant) => variant,
        Err(reason) => {
            let exchange = arrival.exchange();
            log::tell_refused(request.context, request.lookup, &exchange, reason);
            return FillEnd::Uncacheable(reason, pass_through(request, arrival));
        }
    };
    let fields = arrival.response.headers();
    log::tell_forgotten(request.context, request.rule(), fields);
    let room = match Room::take(request.cache.store.in_flight(), arrival.length()) {
        Ok(room) => room,
        Err(reason) => return FillEnd::Uncacheable(reason, pass_through(request, arrival)),
    };
    if let Some(leader) = &fill.leader {
        leader.begun();
    }
    let length = arrival.length();
    let status = arrival.response.status();
    let (head, body) = take_apart(request, arrival.response);
    let mut gathering = Gathering::new(
        body,
        request.rule().settings.max_body,
        room,
        &variant.stored,
    );
    let response = Response::from_parts(head, gathering.for_client().await);
    let response = unless_held(request, response, &variant.stored);
    let answer = FillAnswer::Streamed {
        response,
        fate: Fate::Open,
        ttl: keep::ttl_at_head(request, &variant),
        status,
    };
    if gathering.is_at_hand() {
        fill.whole = Some(answer);
    } else if fill.expects_to_keep(length) {
        reply(&mut fill.client, answer.known(Ok(())));
    } else {
        reply(&mut fill.client, answer);
    }
    let gathered = gathering.whole(request.context.parts.uri.path()).await;
    // The client learns now of an end that nobody told it, and the app's connection is free.
    drop(gathering);
    match gathered {
        Ok(body) => {
            let CacheRequest { cache, lookup, .. } = &fill.request;
            cache.flights.note_shareable(lookup);
            let took = fill.asked.elapsed();
            fill.request.by_ref().rule().fills.note_took(took);
            tag(fill, variant, body, base.as_deref())
        }
        Err(reason @ (Reason::TooLarge | Reason::InFlightFull)) => FillEnd::GivenUp(reason),
        Err(reason) => FillEnd::Broken(reason),
    }
}

/// The end of a fill whose body is whole.
fn tag(fill: &mut Fill, mut variant: Arc<Variant>, body: Bytes, base: Option<&Variant>) -> FillEnd {
    let request = fill.request.by_ref();
    if let Err(reason) = keep::complete(request, Arc::make_mut(&mut variant), body, base) {
        return FillEnd::Unstorable(variant, reason);
    }
    let store = &request.cache.store;
    if store.has_later_purges() {
        store.end_by_later_purge(request.key(), &mut variant);
        fill.whole = fill.whole.take().map(|answer| answer.of(&variant));
    }
    FillEnd::Stored(variant)
}

/// The app's answer as it comes, of which nothing is kept.
pub(super) fn pass_through(request: CacheRequestRef<'_>, arrival: Box<Arrival>) -> Response<Body> {
    let (head, body) = take_apart(request, arrival.response);
    Response::from_parts(head, Body::stream(body))
}

/// The app's answer, which is being `stored`, as the client gets it: 304 if it has it already
/// (RFC 9111 §4.3.2).
fn unless_held(
    request: CacheRequestRef<'_>,
    response: Response<Body>,
    stored: &Stored,
) -> Response<Body> {
    if !validation::not_modified(&request.head(), stored) {
        return response;
    }
    let policy = request.rule().policy;
    let mut fields: HeaderMap = validation::not_modified_headers(&stored.headers);
    fields.extend(validation::personal(response.headers(), stored, policy));
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    *answer.headers_mut() = fields;
    answer
}
