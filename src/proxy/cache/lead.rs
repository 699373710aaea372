//! The request that causes a fill: its place among the fills, and its answer.

use http::StatusCode;

use super::coalesce::Leader;
use super::failure::{failed, stale_if_error};
use super::fill;
use super::fill::options::{Fate, FetchMode, FillAnswer, FillOptions, Leasing, LookFirst, Stale};
use super::fill::verdict::is_failure;
use super::request::{CacheRequest, CacheRequestRef};
use super::respond;
use crate::http_cache::Reason;
use crate::proxy::forward::exchange::describe_failure;
use crate::proxy::forward::pass;
use crate::proxy::outcome::Outcome;

/// Asks the app by `options`, because of `reason`.
pub(super) async fn lead(owned: &CacheRequest, reason: Reason, options: FillOptions) -> Outcome {
    let request = owned.by_ref();
    let stale = options.stale.clone();
    let Some(place) = request.cache.flights.place(&request.rule().fills.places) else {
        let leasing = options.leasing;
        // Those who wait need not wait for this one.
        drop(options);
        return match leasing {
            Leasing::Only => not_asked(request, reason, Reason::FillsFull),
            _ => Box::pin(without_place(request, reason, &stale)).await,
        };
    };
    let answer = fill::start(owned.clone(), options, place).await;
    answered(request, reason, answer.unwrap_or(BROKEN_DOWN), &stale)
}

/// Asks the app for what was not looked for in Redis, unless the lease says that it is stored there; `Err`: it is to be
/// looked for after all.
pub(super) async fn lead_unlooked(
    owned: &CacheRequest,
    reason: Reason,
    leader: Leader,
    mode: FetchMode,
) -> Result<Outcome, LookFirst> {
    let request = owned.by_ref();
    let place = request.cache.flights.place(&request.rule().fills.places);
    let place = place.ok_or(LookFirst)?;
    let options = FillOptions {
        stale: Stale::default(),
        leader: Some(leader),
        leasing: Leasing::UnlessStored,
        mode,
        report: None,
    };
    match fill::start(owned.clone(), options, place).await {
        Some(FillAnswer::Unled) => Err(LookFirst),
        answer => Ok(answered(
            request,
            reason,
            answer.unwrap_or(BROKEN_DOWN),
            &Stale::default(),
        )),
    }
}

/// Of a fill that gave no answer at all.
const BROKEN_DOWN: FillAnswer = FillAnswer::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError);

/// Asks the app without others waiting for it, nor a lease that others would wait for.
pub(super) async fn ask_alone(owned: &CacheRequest, reason: Reason, stale: Stale) -> Outcome {
    let options = FillOptions {
        stale,
        leader: None,
        leasing: Leasing::Never,
        mode: FetchMode::Full,
        report: None,
    };
    lead(owned, reason, options).await
}

/// Hands the request to the app, since no more may be fetched for the store.
async fn without_place(request: CacheRequestRef<'_>, reason: Reason, stale: &Stale) -> Outcome {
    request.rule().metrics.not_stored(Reason::FillsFull);
    let rule = request.lookup.rule;
    let outcome = pass::forward_at_hand(request.context, rule, reason).await;
    match &stale.variant {
        Some(variant) if stale.on_error && is_failure(outcome.response().status()) => {
            stale_if_error(request, variant).because(reason)
        }
        _ => outcome.stored(Err(Reason::FillsFull)),
    }
}

/// The app is not asked for what could not be stored, since nobody wants the answer itself.
fn not_asked(request: CacheRequestRef<'_>, reason: Reason, why: Reason) -> Outcome {
    request.rule().metrics.not_stored(why);
    let response = describe_failure(request.context, StatusCode::GATEWAY_TIMEOUT, why);
    request.outcome(reason, response).stored(Err(why))
}

/// `stored` is said of what is stored, `stored=?0` of what is not, and neither of what is yet to be seen.
fn tell_fate(outcome: Outcome, fate: Fate) -> Outcome {
    match fate {
        Fate::Open => outcome,
        Fate::Known(stored) => outcome.stored(stored),
    }
}

fn answered(
    request: CacheRequestRef<'_>,
    reason: Reason,
    answer: FillAnswer,
    stale: &Stale,
) -> Outcome {
    match answer {
        FillAnswer::Streamed {
            response,
            fate,
            ttl,
            status,
        } => {
            let outcome = request.outcome(reason, response).asked_app(status);
            let outcome = tell_fate(outcome, fate);
            match ttl {
                Some(ttl) if !matches!(fate, Fate::Known(Err(_))) => outcome.ttl(ttl),
                _ => outcome,
            }
        }
        FillAnswer::Confirmed { variant, personal } => {
            let confirmed = request.outcome_of_stored(Reason::Revalidated, &variant);
            let confirmed = confirmed
                .asked_app(StatusCode::NOT_MODIFIED)
                .because(reason);
            confirmed.with_fields(personal)
        }
        FillAnswer::Completed { variant, fate } => {
            let now = request.now();
            let age = variant.stored.age(now);
            let response = respond::stored(&request.head(), variant, age);
            let outcome = request.outcome(reason, response);
            tell_fate(outcome.asked_app(StatusCode::PARTIAL_CONTENT), fate)
        }
        // Another sidecar filled the key while this one waited for its lease.
        FillAnswer::Found { variant } => {
            let found = request.outcome_of_stored(Reason::Collapsed, &variant);
            found.collapsed().because(reason)
        }
        FillAnswer::Elsewhere => not_asked(request, reason, Reason::LeaseLost),
        // Whoever begins a fill without a look looks then.
        FillAnswer::Unled => not_asked(request, reason, Reason::LeaseLost),
        FillAnswer::Failed(status, failure) => match &stale.variant {
            Some(variant) if stale.on_error => stale_if_error(request, variant).because(reason),
            held => failed(request, held, status, failure).because(reason),
        },
    }
}
