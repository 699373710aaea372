//! The right to ask the app for a key, which one sidecar of the fleet has at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::options::{Leasing, LookFirst};
use crate::entry::Variant;
use crate::http_cache::Reuse;
use crate::proxy::cache::memo::Memo;
use crate::proxy::cache::request::{CacheRequest, CacheRequestRef};
use crate::store::Ticket;

/// Whether a fill asks the app.
pub(super) enum Claim {
    /// It does, with this.
    Granted(Ticket),
    /// It need not: stored by another sidecar, and read after this moment.
    Found(Arc<Variant>, Instant),
    /// It need not: another sidecar fetches it, or has renewed it.
    Elsewhere,
    /// It is not known yet. With what is to be given back, if there is anything.
    LookFirst(LookFirst, Option<Ticket>),
}

/// The longest wait for another sidecar's fill; slower apps are asked twice rather than not at all.
const FLEET_WAIT: Duration = Duration::from_secs(5);

/// How much longer than the app usually takes another sidecar's fill may take: its sidecar may be gone.
const MARGIN: Duration = Duration::from_millis(50);

/// The right to fill the request's key. If another sidecar has it, its answer is waited for, briefly,
/// rather than asked for a second time.
pub(super) async fn claim(owned: &CacheRequest, leasing: Leasing) -> Claim {
    let request = owned.by_ref();
    let (store, flights) = (&request.cache.store, &request.cache.flights);
    if leasing == Leasing::Never {
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
    let fills = request.rule().fills;
    let mut waits_since = None;
    let mut pause = Duration::from_millis(5);
    let mut missed = false;
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
            None => store.begin(request.key(), fills.usual()).await,
        };
        if leasing == Leasing::Only && ticket.taken_by().is_some() {
            store.abandon(ticket).await;
            return Claim::Elsewhere;
        }
        if !may_wait {
            return Claim::Granted(ticket);
        }
        let holder = ticket.taken_by();
        if holder.is_none() {
            // Its holder may have stored between the look before and this lease.
            let serves = |entry| {
                let (verdict, _) = request.decide(Some(entry), request.now());
                matches!(verdict, Reuse::Serve { .. })
            };
            let stored = ticket.found().is_some_and(serves);
            if !stored || missed {
                return Claim::Granted(ticket);
            }
            missed = true;
            store.abandon(ticket).await;
        } else {
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
        }
        let at = Instant::now();
        let found = store.fetch(request.key(), request.coherence()).await;
        if let (Reuse::Serve { .. }, Some(variant)) =
            request.decide(found.as_deref(), request.now())
        {
            return Claim::Found(variant.clone(), at);
        }
    }
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
        return Err(Claim::LookFirst(LookFirst::Stored, None));
    };
    // A look may be answered where a lease is not.
    fills.note_look(ticket.is_unanswered());
    let may_serve = || store.peek(request.key(), request.now()).is_some();
    if ticket.is_unanswered() && may_serve() {
        return Err(Claim::LookFirst(LookFirst::Unanswered, Some(ticket)));
    }
    Ok(ticket)
}

/// The right to renew what came at `since`, unless another sidecar has it, or has done so.
async fn claim_to_renew(request: CacheRequestRef<'_>, since: SystemTime) -> Claim {
    let store = &request.cache.store;
    let ticket = store
        .begin(request.key(), request.rule().fills.usual())
        .await;
    let (_, stored) = request.decide(ticket.found(), request.now());
    let is_newer = stored.is_some_and(|stored| stored.stored.response_time > since);
    if ticket.taken_by().is_none() && !is_newer {
        return Claim::Granted(ticket);
    }
    store.abandon(ticket).await;
    if is_newer {
        // Into memory.
        store.fetch(request.key(), request.coherence()).await;
    }
    Claim::Elsewhere
}
