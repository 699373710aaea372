//! What is read in the last part of its life is renewed in the background before it expires (`refresh_ahead`): nobody waits
//! for the app, however often it is read. The fleet does so once, by the key's lease.
//!
//! The request is the one that hit, with its own credentials and no other's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::coalesce::Role;
use super::fill;
use super::fill::options::{Leasing, Stale};
use super::request::{CacheRequest, CacheRequestRef};
use crate::entry::Variant;
use crate::politeness::{FetchOrigin, RefreshAhead};
use crate::store::Mark;

/// The longest pause after a renewal that came to nothing; of what lives shortly a tenth of its life.
const PAUSE: Duration = Duration::from_secs(1);

/// Has what this hit was served renewed, if that is due and not under way; whether it has.
#[inline]
pub(super) fn maybe(request: CacheRequestRef<'_>, variant: &Arc<Variant>, age: Duration) -> bool {
    let ahead = request
        .context
        .live
        .settings(request.lookup.rule)
        .refresh_ahead;
    ahead != RefreshAhead::NEVER && look(request, ahead, variant, age)
}

/// Not inlined: most rules have none.
#[inline(never)]
fn look(
    request: CacheRequestRef<'_>,
    ahead: RefreshAhead,
    variant: &Arc<Variant>,
    age: Duration,
) -> bool {
    let took = request.rule().fills.usual().unwrap_or_default();
    let draw = || 1.0 - fastrand::f64();
    let is_due = ahead.is_due(variant.stored.lifetime, age, took, draw);
    is_due && variant.stored.part.is_none() && begin(request, variant)
}

/// Not inlined: of many hits in that part of a life one comes further than the mark.
#[cold]
fn begin(request: CacheRequestRef<'_>, variant: &Arc<Variant>) -> bool {
    let marks = &request.cache.renewal_marks;
    if !marks.set(request.key()) {
        return false;
    }
    let lookup = Arc::new(request.lookup.clone());
    let Some(announced) = request.cache.flights.announce(&lookup) else {
        marks.take(request.key());
        return false;
    };
    let owned = CacheRequest {
        cache: request.cache.clone(),
        context: Arc::new(request.context.unheard(FetchOrigin::RefreshAhead)),
        lookup,
    };
    let gate = &owned.context.live.gates.background;
    let turn = match gate.try_begin() {
        Some(turn) => {
            let since = request.cache.store.mark();
            Ok((turn, renewing(variant, since)))
        }
        None if !owned.may_wait() => {
            marks.take(request.key());
            return false;
        }
        // For long, it may be: what is stored is looked up again then, and its body not kept meanwhile.
        None => Err(gate.begin(owned.urgency())),
    };
    let came = variant.stored.response_time;
    let pause = (variant.stored.lifetime / 10).min(PAUSE);
    tokio::spawn(async move {
        let (turn, stale) = match turn {
            Ok((turn, stale)) => (turn, Some(stale)),
            Err(turn) => (turn.await, look_again(owned.by_ref(), came)),
        };
        drop(announced);
        if let Some(stale) = stale {
            renew(&owned, stale, came).await;
        }
        drop(turn);
        tokio::time::sleep(pause).await;
        owned.cache.renewal_marks.take(owned.by_ref().key());
    });
    true
}

fn renewing(variant: &Arc<Variant>, since: Mark) -> Stale {
    Stale {
        variant: Some(variant.clone()),
        on_error: false,
        since,
    }
}

/// What memory has, to be renewed if it is no newer than what came then; `None`: it is, and so was renewed.
fn look_again(request: CacheRequestRef<'_>, came: SystemTime) -> Option<Stale> {
    let (since, now) = (request.cache.store.mark(), request.now());
    let entry = request.recall(now);
    let (_, variant) = request.decide(entry.as_deref(), now);
    match variant {
        Some(variant) if variant.stored.response_time > came => None,
        Some(variant) if variant.stored.part.is_none() => Some(renewing(variant, since)),
        _ => Some(Stale::default()),
    }
}

async fn renew(request: &CacheRequest, stale: Stale, came: SystemTime) {
    let leader = match request.enter() {
        Role::Leader(leader) => Some(leader),
        // What the app said when it was asked last: it may have failed.
        Role::Bypass => None,
        Role::Waiter(_) => return,
    };
    fill::renew(request.clone(), stale, Leasing::Renew(came), leader).await;
}
