//! A HEAD that the store cannot answer: the app is asked, and what it says counts for the stored GET
//! response as well (RFC 9111 §4.3.5).

use std::sync::Arc;

use super::failure::{failed, stale_if_error};
use super::fill::options::{Leasing, Stale};
use super::fill::tags;
use super::fill::verdict::is_failure;
use super::request::{CacheRequest, CacheRequestRef};
use crate::body::{Body, Progress};
use crate::entry::Variant;
use crate::http_cache::validation::{ByHead, by_head};
use crate::http_cache::{Exchange, Reason, Stored};
use crate::proxy::forward::exchange::{exchange, passed_on};
use crate::proxy::forward::expect::Expectation;
use crate::proxy::forward::{outgoing, pass};
use crate::proxy::outcome::Outcome;
use crate::store::{Mark, Tags};

/// Asks the app, and lets its answer freshen or invalidate what is stored.
pub(super) async fn answer(
    owned: &CacheRequest,
    reason: Reason,
    stale: Stale,
    leasing: Leasing,
) -> Outcome {
    let request = owned.by_ref();
    let (context, rule) = (request.context, request.lookup.rule);
    let Some(variant) = stale.variant.clone() else {
        return pass::forward_at_hand(context, rule, reason).await;
    };
    let upstream = context.upstream();
    let mut to_app = outgoing::request(context, Body::empty(), &Expectation::default());
    // As a fill asks: what is stored was chosen by that.
    let variation = &request.rule().policy.variation;
    variation.put_preferences(to_app.headers_mut());
    let request_time = request.now();
    let progress = Progress::default();
    let response = match exchange(context, rule, upstream.send_with_retry(to_app, &progress)).await
    {
        Ok(response) if stale.on_error && is_failure(response.status()) => {
            return stale_if_error(request, &variant).because(reason);
        }
        Ok(response) => response,
        Err(_) if stale.on_error => return stale_if_error(request, &variant).because(reason),
        Err(failure) => {
            let held = &stale.variant;
            return failed(request, held, failure.status, failure.reason).because(reason);
        }
    };
    let status = response.status();
    let answered = Exchange {
        status,
        headers: response.headers(),
        request_time,
        response_time: request.now(),
        clock_lead: request.cache.clock.lead(),
    };
    if let Some(stored) = changed(request, &variant, &answered) {
        // Before the answer leaves: who asks next sees what this one was told. Boxed, since it is rare.
        Box::pin(store(request, variant, stored, stale.since, leasing)).await;
    }
    let outcome = request.outcome(reason, passed_on(response, upstream));
    outcome.asked_app(status)
}

/// What the answer to a HEAD makes of the stored response, if it changes it.
fn changed(
    request: CacheRequestRef<'_>,
    variant: &Variant,
    answer: &Exchange<'_>,
) -> Option<Stored> {
    let policy = request.rule().policy;
    match by_head(&variant.stored, &request.fill_head(), answer, policy) {
        ByHead::Freshened(stored) | ByHead::Invalid(stored) => Some(stored),
        _ => None,
    }
}

/// Stores what a HEAD made of `variant`, read after `since`.
///
/// The lease is taken only now: a HEAD brings no body that anyone could wait for. A purge in between
/// has removed the variant, of which the lease then knows nothing, or has softened it.
async fn store(
    request: CacheRequestRef<'_>,
    variant: Arc<Variant>,
    stored: Stored,
    since: Mark,
    leasing: Leasing,
) {
    let store = &request.cache.store;
    let ticket = match leasing {
        Leasing::Never => store.begin_alone(request.key()),
        _ => {
            store
                .begin(request.key(), request.rule().fills.usual())
                .await
        }
    };
    let fenced = store.fenced(since, request.key(), Tags::Known(&variant.tags));
    if fenced || !ticket.confirms_by_earlier(&variant) {
        return store.give_back(ticket);
    }
    let stored = match tags::of_confirmed(request, &variant, &stored) {
        Ok(tags) => {
            let freshened = Variant {
                tags,
                stored,
                ..Variant::clone(&variant)
            };
            let outage = request.rule().settings.outage;
            store
                .commit(ticket, freshened, request.coherence(), outage)
                .await
        }
        Err(reason) => {
            store.give_back(ticket);
            Err(reason)
        }
    };
    if let Err(reason) = stored {
        // It stays as it was: stale, or fresh and soon gone.
        request.rule().metrics.not_stored(reason);
    }
}
