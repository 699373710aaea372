//! The right to ask the app for a key, which one sidecar of the fleet has at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::options::Leasing;
use crate::entry::Variant;
use crate::http_cache::Reuse;
use crate::proxy::cache::coalesce::Leader;
use crate::proxy::cache::memo::Memo;
use crate::proxy::cache::request::{CacheRequest, CacheRequestRef};
use crate::store::{Ticket, Unanswered};

/// Whether a fill asks the app.
pub(super) enum Claim {
    /// It does, with this.
    Granted(Ticket),
    /// It need not: stored by another sidecar, and read after this moment.
    Found(Arc<Variant>, Instant),
    /// It need not: another sidecar fetches it, or has renewed it.
    Elsewhere,
    /// It is to be looked for first. With what is to be given back, if there is anything.
    LookFirst(Option<Ticket>),
}

/// The longest wait for another sidecar's fill; slower apps are asked twice rather than not at all.
const FLEET_WAIT: Duration = Duration::from_secs(5);

/// How much longer than the app usually takes another sidecar's fill may take: its sidecar may be gone.
const MARGIN: Duration = Duration::from_millis(50);

/// As [`claim`], until somebody joins the fill of `leader` who has waited for Redis in vain.
pub(super) async fn claim_for_all(
    owned: &CacheRequest,
    leasing: Leasing,
    leader: Option<&Leader>,
) -> Claim {
    let Some(leader) = leader.filter(|_| leasing != Leasing::Never) else {
        return claim(owned, leasing).await;
    };
    let claimer = owned.clone();
    let mut claiming = Box::pin(async move { claim(&claimer, leasing).await });
    tokio::select! {
        biased;
        claim = &mut claiming => return claim,
        () = leader.redis_was_late() => owned.context.note_redis_is_late(),
    }
    let cache = owned.cache.clone();
    // The lease may come yet, and would be waited for by other sidecars.
    tokio::spawn(async move {
        if let Claim::Granted(ticket) | Claim::LookFirst(Some(ticket)) = claiming.await {
            cache.store.give_back(ticket);
        }
    });
    Claim::Granted(owned.cache.store.begin_alone(owned.by_ref().key()))
}

/// The right to fill the request's key. If another sidecar has it, its answer is waited for, briefly,
/// rather than asked for a second time.
async fn claim(owned: &CacheRequest, leasing: Leasing) -> Claim {
    let request = owned.by_ref();
    let (store, flights) = (&request.cache.store, &request.cache.flights);
    if leasing == Leasing::Never || request.context.redis_is_late() {
        return Claim::Granted(store.begin_alone(request.key()));
    }
    if let Leasing::Renew(since) = leasing {
        return claim_to_renew(request, since).await;
    }
    let in_vain = matches!(
        flights.memo(&owned.lookup),
        Some(Memo::Unwaited | Memo::Overtaken)
    );
    let may_wait = matches!(leasing, Leasing::Wait | Leasing::UnlessStored) && !in_vain;
    let mut waits_since = None;
    let mut pause = Duration::from_millis(5);
    let mut awaited: Option<Box<str>> = None;
    let mut unlooked = match leasing {
        Leasing::UnlessStored => match claim_unless_stored(request).await {
            Ok(ticket) => Some(ticket),
            Err(unclaimed) => return unclaimed,
        },
        _ => None,
    };
    loop {
        let ticket = match unlooked.take() {
            Some(ticket) => ticket,
            None => begin(request).await,
        };
        if leasing == Leasing::Only && ticket.taken_by().is_some() {
            return Claim::Elsewhere;
        }
        if !may_wait {
            return Claim::Granted(ticket);
        }
        if ticket.taken_by().is_none() {
            return claim_unless_stored_meanwhile(request, ticket).await;
        }
        let holder = ticket.taken_by();
        let waited = waits_since.get_or_insert_with(Instant::now).elapsed();
        let left = longest_wait(request, &ticket).saturating_sub(waited);
        let is_anothers = awaited.is_some() && awaited.as_deref() != holder;
        if is_anothers {
            // A purge took the lease that was waited for, and the next one may fare no better.
            flights.note(&owned.lookup, Memo::Overtaken);
            return Claim::Granted(ticket);
        }
        if left.is_zero() || ticket.is_holder_silent() {
            // Its holder may be dead; the next ones do not wait for it again.
            flights.note(&owned.lookup, Memo::Unwaited);
            return Claim::Granted(ticket);
        }
        awaited = holder.map(Box::from);
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_millis(100));
        if let Some((variant, at)) = read_by_now(request).await {
            return Claim::Found(variant, at);
        }
        if request.context.redis_is_late() {
            return Claim::Granted(store.begin_alone(request.key()));
        }
    }
}

/// A ticket, with the lease if nobody has it.
async fn begin(request: CacheRequestRef<'_>) -> Ticket {
    let usual = request.rule().fills.usual();
    let ticket = request.cache.store.begin(request.key(), usual).await;
    if ticket.is_redis_late() {
        request.context.note_redis_is_late();
    }
    ticket
}

/// What Redis has by now, if it serves, and a moment before that was read.
async fn read_by_now(request: CacheRequestRef<'_>) -> Option<(Arc<Variant>, Instant)> {
    let at = Instant::now();
    let store = &request.cache.store;
    let found = store.try_fetch(request.key(), request.coherence()).await;
    if matches!(found, Err(Unanswered::Late)) {
        request.context.note_redis_is_late();
    }
    match request.decide(found.ok().flatten().as_deref(), request.now()) {
        (Reuse::Serve { .. }, Some(variant)) => Some((variant.clone(), at)),
        _ => None,
    }
}

/// A lease that was free: who had it before may have stored between the look and this.
async fn claim_unless_stored_meanwhile(request: CacheRequestRef<'_>, ticket: Ticket) -> Claim {
    let serves = |entry| {
        let (verdict, _) = request.decide(Some(entry), request.now());
        matches!(verdict, Reuse::Serve { .. })
    };
    if !ticket.found().is_some_and(serves) {
        return Claim::Granted(ticket);
    }
    let store = &request.cache.store;
    if let Some((variant, at)) = read_by_now(request).await {
        store.give_back(ticket);
        return Claim::Found(variant, at);
    }
    if request.context.redis_is_late() {
        store.give_back(ticket);
        return Claim::Granted(store.begin_alone(request.key()));
    }
    // Purged meanwhile, and the lease with it.
    store.abandon(ticket).await;
    Claim::Granted(begin(request).await)
}

/// How long the request waits for the fill that has the lease `ticket` was refused: what the app usually takes, as far as
/// anybody knows by now.
fn longest_wait(request: CacheRequestRef<'_>, ticket: &Ticket) -> Duration {
    let known_here = request.rule().fills.usual();
    let usual = known_here.or_else(|| ticket.usual_of_holder());
    let longest = usual.map_or(FLEET_WAIT, |usual| (usual + MARGIN).min(FLEET_WAIT));
    longest.min(request.app_timeout())
}

/// The first ticket of a request that did not look in Redis.
async fn claim_unless_stored(request: CacheRequestRef<'_>) -> Result<Ticket, Claim> {
    let (store, fills) = (&request.cache.store, request.rule().fills);
    let begun = store.begin_unless_stored(request.key(), fills.usual());
    let Some(ticket) = begun.await else {
        return Err(Claim::LookFirst(None));
    };
    // A look may be answered where a lease is not.
    fills.note_look(ticket.is_unanswered());
    if ticket.is_redis_late() {
        request.context.note_redis_is_late();
    }
    let may_serve = || store.peek(request.key(), request.now()).is_some();
    if ticket.is_unanswered() && may_serve() {
        return Err(Claim::LookFirst(Some(ticket)));
    }
    Ok(ticket)
}

/// The right to renew what came at `since`, unless another sidecar has it, or has done so.
async fn claim_to_renew(request: CacheRequestRef<'_>, since: SystemTime) -> Claim {
    let store = &request.cache.store;
    let ticket = begin(request).await;
    let (_, stored) = request.decide(ticket.found(), request.now());
    let is_newer = stored.is_some_and(|stored| stored.stored.response_time > since);
    if ticket.taken_by().is_none() && !is_newer {
        return Claim::Granted(ticket);
    }
    store.give_back(ticket);
    if is_newer {
        // Into memory.
        store.fetch(request.key(), request.coherence()).await;
    }
    Claim::Elsewhere
}
