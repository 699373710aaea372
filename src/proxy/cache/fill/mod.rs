//! Asking the app for what the store lacks, to the end whatever the client that caused it does.
//!
//! The client is handed pieces as they come; the fill keeps a capped copy and stores it when it is
//! whole, when RFC 9111 and the rule allow it, and when no purge has come between. However it goes, a
//! fill comes to one [`FillEnd`] and leaves by one exit, [`Fill::finish`].

mod ask;
mod claim;
mod end;
mod enduring;
mod gather;
mod keep;
mod observed;
pub(super) mod options;
mod receive;
mod rest;
mod shared_body;
pub(super) mod tags;
pub(super) mod verdict;

use std::sync::Arc;

use http::StatusCode;
use http::response::Parts;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::coalesce::{Leader, Place, Role};
use super::request::{CacheRequest, CacheRequestRef};
use crate::body::Timed;
use crate::config::Abandoned;
use crate::gate::Turn;
use crate::http_cache::{Reason, Reuse, validation};
use crate::metrics::GaugeGuard;
use crate::politeness::FetchOrigin;
use crate::proxy::request::present::Present;
use crate::store::{Tags, Ticket, Unanswered};
use ask::{Listener, ask, may_validate};
use claim::{Claim, claim_for_all};
use end::{Fill, FillEnd};
use enduring::Enduring;
use options::{FetchMode, FillAnswer, FillOptions, Leasing, Stale};
use verdict::{Conditions, OnFailure, Question, Verdict};

/// The app's answer to the request, asked for whole and for nobody's client: it is not stored, and nobody waits for it.
pub(super) async fn asked_anew(request: CacheRequestRef<'_>) -> Option<(Parts, Timed)> {
    let asked = ask(request, None, &FetchMode::Full, Listener::Nobody).await;
    Some(ask::take_apart(request, asked.ok()?.response))
}

/// Starts a fill and waits for the head of its answer; `None`: it broke down. `place` is its place among
/// the fills under way.
pub(super) async fn start(
    request: CacheRequest,
    options: FillOptions,
    place: Place,
) -> Option<FillAnswer> {
    let (reply, answer) = oneshot::channel();
    let counted = GaugeGuard::new(&request.cache.metrics.fills);
    let abandoned = match request.context.fetch_origin.is_background() {
        // What no client waits for is cancelled by dropping it.
        true => Abandoned::End,
        false => request.by_ref().rule().settings.abandoned,
    };
    let (client, gone) = match abandoned {
        Abandoned::Finish => (None, None),
        Abandoned::End => {
            let gone = CancellationToken::new();
            (Some(gone.clone().drop_guard()), Some(gone))
        }
    };
    let turns = request.cache.turns.clone();
    let fill = Enduring::new(
        Box::pin(async move {
            run(request, Some(reply), options, gone).await;
            drop((place, counted));
        }),
        turns,
    );
    let answer = fill.until(answer).await;
    match client {
        Some(client) => answer.map(|answer| answer.guarded(client)),
        None => answer,
    }
}

/// Renews a stale response behind the client that was served it, once however many are served it: at once if it can
/// have its turn, else when that comes.
pub(super) fn refresh(request: CacheRequest, stale: Stale) {
    let Some(upcoming) = request.cache.flights.announce(&request.lookup) else {
        return;
    };
    let Role::Leader(leader) = request.enter() else {
        return;
    };
    let request = CacheRequest {
        context: Arc::new(request.context.unheard(FetchOrigin::Revalidation)),
        ..request
    };
    let gate = &request.context.live.gates.background;
    if let Some(turn) = gate.try_begin() {
        return revalidate(request, stale, leader, turn);
    }
    // Whoever comes when it must not be served any more does not wait for the turn. For long, it may be: what is stored is
    // looked up again then, and its body not kept meanwhile.
    drop((leader, stale));
    if !request.may_wait() {
        return;
    }
    let turn = gate.begin(request.urgency());
    tokio::spawn(async move {
        let turn = turn.await;
        drop(upcoming);
        let Some(stale) = look_again(request.by_ref()) else {
            return;
        };
        if let Role::Leader(leader) = request.enter() {
            revalidate(request, stale, leader, turn);
        }
    });
}

/// Renews what is stored and fresh, unless another sidecar does; or fetches what is not stored.
pub(super) async fn renew(
    request: CacheRequest,
    stale: Stale,
    leasing: Leasing,
    leader: Option<Leader>,
) {
    let places = &request.by_ref().rule().fills.places;
    let Some(_place) = request.cache.flights.place(places) else {
        return;
    };
    let _counted = GaugeGuard::new(&request.cache.metrics.fills);
    let options = FillOptions {
        stale,
        leader,
        leasing,
        mode: FetchMode::Full,
        report: None,
    };
    run(request, None, options, None).await;
}

/// What memory has that is stale; `None`: it was renewed meanwhile.
fn look_again(request: CacheRequestRef<'_>) -> Option<Stale> {
    let (since, now) = (request.cache.store.mark(), request.now());
    let entry = request.recall(now);
    let (verdict, variant) = request.decide(entry.as_deref(), now);
    let is_renewed = matches!(verdict, Reuse::Serve { .. });
    (!is_renewed).then(|| Stale {
        variant: variant.filter(|held| held.stored.part.is_none()).cloned(),
        on_error: false,
        since,
    })
}

fn revalidate(request: CacheRequest, stale: Stale, leader: Leader, turn: Turn) {
    let place = request
        .cache
        .flights
        .place(&request.by_ref().rule().fills.places);
    let Some(place) = place else {
        return;
    };
    let counted = GaugeGuard::new(&request.cache.metrics.fills);
    tokio::spawn(async move {
        // Moved in, so that a refresh that ends early is no longer counted either.
        let _counted = (counted, turn);
        let looker = request.by_ref();
        let store = &looker.cache.store;
        let since = store.mark();
        let found = tokio::select! {
            biased;
            found = store.try_fetch(looker.key(), looker.coherence()) => found,
            () = leader.redis_was_late() => Err(Unanswered::Late),
        };
        let leasing = Leasing::after(&found);
        if found == Err(Unanswered::Late) {
            looker.context.note_redis_is_late();
        }
        let found = found.ok().flatten();
        let (verdict, variant) = looker.decide(found.as_deref(), looker.now());
        if let Reuse::Serve { .. } = verdict {
            // Another sidecar has renewed it, and looking has put it into memory.
            return;
        }
        let stale = match stale.variant {
            Some(_) => stale,
            None => Stale {
                variant: variant.cloned(),
                on_error: false,
                since,
            },
        };
        let options = FillOptions {
            stale,
            leader: Some(leader),
            leasing,
            mode: FetchMode::Full,
            report: None,
        };
        run(request, None, options, None).await;
        drop(place);
    });
}

/// From the right to ask the app to the end, whatever that is. `gone` is cancelled when the client has gone, if
/// the fill is to end then.
async fn run(
    request: CacheRequest,
    client: Option<oneshot::Sender<FillAnswer>>,
    options: FillOptions,
    gone: Option<CancellationToken>,
) {
    let FillOptions {
        stale,
        leader,
        leasing,
        mode,
        report,
    } = options;
    let mut fill = Box::new(Fill {
        request,
        client,
        report,
        leader,
        ticket: None,
        whole: None,
        asked: Instant::now(),
    });
    let end = match claim_for_all(&fill.request, leasing, fill.leader.as_ref()).await {
        Claim::Granted(ticket) => {
            let stale = still_stored(&fill.request, stale, &ticket);
            fill.ticket = Some(ticket);
            match gone {
                None => fetch(&mut fill, stale, mode).await,
                // Boxed, so that the many fills that go on do not carry its size.
                Some(gone) => Box::pin(fetch_while_wanted(&mut fill, stale, mode, gone)).await,
            }
        }
        Claim::Found(variant, read_at) => FillEnd::Found(variant, read_at),
        Claim::Elsewhere => FillEnd::Elsewhere,
        Claim::LookFirst(ticket) => {
            fill.ticket = ticket;
            FillEnd::Unled
        }
    };
    fill.finish(end).await;
}

/// `stale`, without a variant that was purged since it was read: a 304 must not bring it back.
fn still_stored(request: &CacheRequest, mut stale: Stale, ticket: &Ticket) -> Stale {
    let request = request.by_ref();
    let store = &request.cache.store;
    stale.variant = stale.variant.filter(|variant| {
        let fenced = store.fenced(stale.since, request.key(), Tags::Known(&variant.tags));
        !fenced && ticket.confirms(variant)
    });
    stale
}

/// As [`fetch`], until the client has gone and nobody else waits.
async fn fetch_while_wanted(
    fill: &mut Fill,
    stale: Stale,
    mode: FetchMode,
    gone: CancellationToken,
) -> FillEnd {
    let followers = fill.leader.as_ref().map(Leader::followers);
    let unwanted = async {
        gone.cancelled().await;
        if let Some(followers) = followers {
            followers.gone().await;
        }
    };
    tokio::select! {
        biased;
        end = fetch(fill, stale, mode) => end,
        () = unwanted => FillEnd::Unwanted,
    }
}

/// Asks the app, a second time where the first answer was of no use, and reads its answer to the end.
async fn fetch(fill: &mut Fill, mut stale: Stale, mut mode: FetchMode) -> FillEnd {
    if let Some(leader) = &fill.leader {
        leader.ready_to_ask().await;
    }
    fill.asked = Instant::now();
    loop {
        let request = fill.request.by_ref();
        let listener = match fill.client {
            Some(_) => Listener::Client,
            None => Listener::Nobody,
        };
        let mut arrival = match ask(request, stale.variant.as_deref(), &mode, listener).await {
            Ok(arrival) => arrival,
            Err(failure) => return FillEnd::Failed(failure.status, failure.reason),
        };
        let variation = &request.rule().policy.variation;
        variation.say(arrival.response.headers_mut());
        let head = &arrival.response;
        match question(request, &stale, &mode).judge(head.status(), head.headers()) {
            Verdict::Confirms => return receive::confirm(request, stale.variant, &arrival),
            Verdict::ClientHasIt => {
                return FillEnd::Unmodified(receive::pass_through(request, arrival));
            }
            // Boxed, so that the many fills of a whole response do not carry its size.
            Verdict::Completes => {
                match Box::pin(receive::complete(fill, arrival, stale.variant, &mode)).await {
                    Ok(end) => return end,
                    Err(reason) => {
                        let reason = reason.as_str();
                        tracing::debug!(reason, "the rest does not fit its part");
                    }
                }
            }
            Verdict::AskForWhole => drop(arrival),
            Verdict::Unusable => {
                return FillEnd::Failed(StatusCode::BAD_GATEWAY, Reason::UpstreamError);
            }
            Verdict::Response => {
                let base = stale.variant.filter(|_| mode == FetchMode::AsClient);
                return receive::take(fill, arrival, base).await;
            }
        }
        // What is stored is of no use. An answer to this cannot come here again.
        (stale, mode) = (Stale::default(), FetchMode::Full);
    }
}

fn question<'a>(
    request: CacheRequestRef<'_>,
    stale: &'a Stale,
    mode: &'a FetchMode,
) -> Question<'a> {
    let context = request.context;
    let is_conditional = context.present.has(Present::SELECTING)
        && validation::is_conditional(&context.parts.headers);
    let validated = stale.variant.as_deref();
    let validated = validated.filter(|variant| may_validate(request, variant));
    Question {
        mode,
        stale: validated.map(|variant| &variant.stored),
        on_failure: if stale.on_error && stale.variant.is_some() {
            OnFailure::ServeStale
        } else {
            OnFailure::PassOn
        },
        conditions: if is_conditional {
            Conditions::Some
        } else {
            Conditions::None
        },
    }
}
