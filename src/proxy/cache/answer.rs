//! What memory could not answer: look in the store, then lead a fill, wait for another's, or ask alone.

use std::sync::Arc;
use std::time::SystemTime;

use http::Method;
use http::header::{IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};

use super::ahead;
use super::audit;
use super::coalesce::Role;
use super::fill;
use super::fill::options::{FetchMode, FillOptions, Leasing, LookFirst, Report, Stale};
use super::follow::{Next, follow};
use super::head_request;
use super::hot;
use super::lead::{ask_alone, lead, lead_unlooked};
use super::look::{MemoryLookup, serve_variant};
use super::memo::Memo;
use super::request::{Cache, CacheRequest, CacheRequestRef};
use crate::clock;
use crate::entry::{Entry, Variant};
use crate::http_cache::{Reason, Reuse, ranges, reuse};
use crate::proxy::forward::pass;
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;
use crate::proxy::request::present::Present;
use crate::store::{Mark, Unanswered};

/// Answers what memory could not; `memory` is what it holds instead.
pub(in crate::proxy) async fn answer(
    cache: &Arc<Cache>,
    context: &Arc<RequestContext>,
    lookup: Lookup,
    memory: MemoryLookup,
) -> Outcome {
    let request = CacheRequest {
        cache: cache.clone(),
        context: context.clone(),
        lookup: Arc::new(lookup),
    };
    if memory == MemoryLookup::Unwanted && shape(request.by_ref()) == Shape::Plain {
        return refresh(&request, None).await;
    }
    if memory == MemoryLookup::Stale
        && let Some(outcome) = serve_from_memory(&request, cache.store.mark())
    {
        return outcome;
    }
    answer_beyond_memory(request, memory).await
}

/// Fetches it for the store, whatever that has: until it is stored, what was there answers others. Nobody waits for it,
/// and it waits for nobody, since what is under way may have asked before.
/// Where `report` is all that is wanted, the app is not asked for what could not be stored.
async fn refresh(request: &CacheRequest, report: Option<Report>) -> Outcome {
    let options = FillOptions {
        stale: Stale::default(),
        leader: None,
        leasing: match report {
            Some(_) => Leasing::Only,
            None => Leasing::Try,
        },
        mode: FetchMode::Full,
        report,
    };
    lead(request, Reason::Refresh, options).await
}

/// As [`refresh`], of a request that was looked up by nobody yet; `report` hears whether it is stored.
pub(in crate::proxy) async fn answer_anew(
    cache: &Arc<Cache>,
    context: &Arc<RequestContext>,
    lookup: Lookup,
    report: Option<Report>,
) -> Outcome {
    let request = CacheRequest {
        cache: cache.clone(),
        context: context.clone(),
        lookup: Arc::new(lookup),
    };
    refresh(&request, report).await
}

/// Whether a request that was looked up by nobody yet would be a hit.
pub(in crate::proxy) async fn holds_fresh(
    cache: &Arc<Cache>,
    context: &Arc<RequestContext>,
    lookup: Lookup,
) -> bool {
    let request = CacheRequest {
        cache: cache.clone(),
        context: context.clone(),
        lookup: Arc::new(lookup),
    };
    let look = look_in_both(&request).await;
    matches!(
        look.verdict,
        Reuse::Serve {
            reason: Reason::Hit,
            ..
        }
    )
}

/// Kinds of GET and HEAD, as far as asking the app differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The whole response.
    Plain,
    /// A part of it.
    Ranged,
    /// The head alone.
    Head,
    /// With a condition that only the app may judge (RFC 9110 §13.1.1, §13.1.4).
    Preconditioned,
}

/// What the store had for a request, and what follows from it.
pub(super) struct Look {
    pub(super) verdict: Reuse,
    pub(super) variant: Option<Arc<Variant>>,
    /// A moment before the look.
    pub(super) since: Mark,
    pub(super) leasing: Leasing,
}

/// Looks in memory, and in Redis where that cannot answer, as a request does.
pub(super) async fn look_in_both(owned: &CacheRequest) -> Look {
    let request = owned.by_ref();
    let (since, now) = (request.cache.store.mark(), request.now());
    if let Some(entry) = request.recall(now) {
        let (verdict, variant) = judge(request, Some(entry), now);
        if matches!(verdict, Reuse::Serve { .. }) {
            return Look {
                verdict,
                variant,
                since,
                leasing: Leasing::Try,
            };
        }
    }
    look(owned).await
}

async fn answer_beyond_memory(request: CacheRequest, memory: MemoryLookup) -> Outcome {
    let deadline = request.context.arrived + request.by_ref().app_timeout();
    let (mut failed, mut mismatched) = (false, false);
    // A crowd with conditions costs the app one short answer and one whole one, not one each.
    let memo = request.cache.flights.memo(&request.lookup);
    let mut mode = match memo {
        Some(Memo::Unmodified) => FetchMode::Full,
        _ => FetchMode::Conditional,
    };
    let is_unknown = memory == MemoryLookup::Miss && memo.is_none();
    let may_ask = !request.context.redis_is_late();
    if is_unknown && may_ask && request.by_ref().rule().fills.looks_in_vain() {
        // Boxed, so that others do not carry its size.
        if let Ok(outcome) = Box::pin(answer_unlooked(&request)).await {
            return outcome;
        }
    }
    // Each turn but the last waits for a fill that began after the turn before; who has waited as
    // long as for an answer asks alone.
    while clock::monotonic() < deadline {
        let mut look = look(&request).await;
        if let Some(outcome) = serve(&request, look.verdict, &mut look.variant, look.since) {
            return outcome;
        }
        let (since, leasing) = (look.since, look.leasing);
        let (reason, stale) = match to_be_asked(&request, look).await {
            Ok(asks) => asks,
            Err(outcome) => return outcome,
        };
        match request.enter() {
            Role::Bypass => return ask_alone(&request, reason, stale).await,
            Role::Leader(leader) => {
                // The fill before may have landed between the look and the lead.
                if let Some(outcome) = serve_from_memory(&request, since) {
                    return outcome;
                }
                let options = FillOptions {
                    mode: missing_range(request.by_ref(), &stale).unwrap_or(mode),
                    stale,
                    leader: Some(leader),
                    leasing,
                    report: None,
                };
                return lead(&request, reason, options).await;
            }
            Role::Waiter(waiter) => match follow(&request, waiter, reason, stale).await {
                Next::Done(outcome) => return outcome,
                Next::AfterFailure(outcome) if failed => return outcome,
                Next::AfterFailure(_) => failed = true,
                // Of two kinds each is fetched once; of many, waiting for one after another is slow.
                Next::OfAnotherKind if mismatched => break,
                Next::OfAnotherKind => mismatched = true,
                Next::AskUnconditionally => mode = FetchMode::Full,
                Next::LookAgain => {}
            },
        }
    }
    ask_alone(&request, Reason::Miss, Stale::default()).await
}

/// Asks the app without a look in Redis, for a rule whose looks hardly ever find anything: the lease is the look, too.
/// `Err`: it is to be looked for.
async fn answer_unlooked(owned: &CacheRequest) -> Result<Outcome, LookFirst> {
    let request = owned.by_ref();
    let store = &request.cache.store;
    let since = store.mark();
    if shape(request) != Shape::Plain || !store.can_ask(request.key()) {
        return Err(LookFirst);
    }
    let Reuse::Fetch(reason) = request.decide(None, request.now()).0 else {
        return Err(LookFirst);
    };
    // Who would wait for another's looks first.
    let Role::Leader(leader) = owned.enter() else {
        return Err(LookFirst);
    };
    // The fill before may have landed since the look into memory.
    if let Some(outcome) = serve_from_memory(owned, since) {
        return Ok(outcome);
    }
    lead_unlooked(owned, reason, leader, FetchMode::Conditional).await
}

/// Looks in Redis, and in memory where that has nothing, or where Redis has not answered this request before (promise I4).
async fn look(owned: &CacheRequest) -> Look {
    let request = owned.by_ref();
    let store = &request.cache.store;
    let since = store.mark();
    if request.context.redis_is_late() {
        return look_after(request, since, Err(Unanswered::Late));
    }
    let can_ask = store.can_ask(request.key());
    let found = store.try_fetch(request.key(), request.coherence()).await;
    if can_ask && let Ok(found) = &found {
        request.rule().fills.note_look(found.is_some());
    }
    look_after(request, since, found)
}

/// What follows from what Redis has answered, or from its giving no answer.
fn look_after(
    request: CacheRequestRef<'_>,
    since: Mark,
    found: Result<Option<Arc<Entry>>, Unanswered>,
) -> Look {
    let store = &request.cache.store;
    if found == Err(Unanswered::Late) {
        request.context.note_redis_is_late();
    }
    let leasing = Leasing::after(&found);
    let now = request.now();
    let has_answered = found.is_ok();
    let entry = match found {
        Ok(found) => found.or_else(|| request.recall(now)),
        Err(_) => request.recall_unanswered(now),
    };
    let unconfirmed = match &entry {
        None => store.unconfirmed(request.key(), request.coherence(), has_answered, now),
        Some(_) => None,
    };
    let is_unconfirmed = unconfirmed.is_some();
    let (mut verdict, variant) = judge(request, entry.or(unconfirmed), now);
    if is_unconfirmed && let Some(variant) = &variant {
        verdict = reuse::until_confirmed(verdict, &variant.stored, now);
    }
    Look {
        verdict,
        variant,
        since,
        leasing,
    }
}

/// Serves from what memory holds, fresh or stale while a refresh runs; `None`: look further.
fn serve_from_memory(owned: &CacheRequest, since: Mark) -> Option<Outcome> {
    let request = owned.by_ref();
    let now = request.now();
    let (verdict, mut variant) = judge(request, Some(request.recall(now)?), now);
    serve(owned, verdict, &mut variant, since)
}

/// The verdict on `entry`, which is let go but for the variant it is about.
fn judge(
    request: CacheRequestRef<'_>,
    entry: Option<Arc<Entry>>,
    now: SystemTime,
) -> (Reuse, Option<Arc<Variant>>) {
    let (verdict, variant) = request.decide(entry.as_deref(), now);
    (verdict, variant.cloned())
}

/// Serves the variant, and takes it, if the verdict is to; stale while a refresh runs.
fn serve(
    owned: &CacheRequest,
    verdict: Reuse,
    variant: &mut Option<Arc<Variant>>,
    since: Mark,
) -> Option<Outcome> {
    let (age, ttl, reason) = match verdict {
        Reuse::Serve { age, ttl, reason } => (age, ttl, reason),
        Reuse::ServeAndRefresh { age, ttl } => {
            let stale = Stale {
                variant: variant.clone(),
                on_error: false,
                since,
            };
            fill::refresh(owned.clone(), stale);
            (age, ttl, Reason::StaleWhileRevalidate)
        }
        _ => return None,
    };
    let request = owned.by_ref();
    let variant = variant.take()?;
    request.cache.read_marks.set(request.key());
    hot::note_hit(request, &variant);
    let mut is_renewed = false;
    if reason == Reason::Hit {
        audit::maybe(request.cache, request.context, request.lookup, &variant);
        is_renewed = ahead::maybe(request, &variant, age);
    }
    let response = serve_variant(request, variant, age);
    let outcome = request.outcome(reason, response).ttl(ttl);
    Some(outcome.renewed(is_renewed))
}

/// Why the app is to be asked for what others may wait for as well, and what is stored and stale; `Err`:
/// the outcome of a request that is of nobody else's use.
async fn to_be_asked(owned: &CacheRequest, look: Look) -> Result<(Reason, Stale), Outcome> {
    let request = owned.by_ref();
    let (reason, on_error) = match look.verdict {
        Reuse::Unsatisfiable => {
            return Err(request.outcome(Reason::OnlyIfCached, pass::unsatisfiable()));
        }
        Reuse::Pass(reason) => return Err(ask_for_one(owned, reason, look.leasing).await),
        Reuse::Fetch(reason) => (reason, false),
        Reuse::Validate {
            reason,
            stale_on_error,
        } => (reason, stale_on_error),
        Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. } => (Reason::Stale, false),
    };
    let can_be = |variant: &Arc<Variant>| variant.stored.can_be_validated();
    let validates =
        matches!(look.verdict, Reuse::Validate { .. }) && look.variant.as_ref().is_some_and(can_be);
    let stale = Stale {
        variant: look.variant,
        on_error,
        since: look.since,
    };
    match shape(request) {
        // Boxed, like all that is rare, so that a miss does not carry its size.
        Shape::Head => {
            let answering = head_request::answer(owned, reason, stale, look.leasing);
            Err(Box::pin(answering).await)
        }
        Shape::Preconditioned => Err(Box::pin(forward(request, Reason::RequestDirective)).await),
        Shape::Ranged if !validates => Err(ask_for_range(owned, reason, stale, look.leasing).await),
        // What is stored whole is validated, and then cut.
        Shape::Ranged | Shape::Plain => Ok((reason, stale)),
    }
}

/// Asks the app for a requester whose identity the key lacks; only what says so itself is stored.
async fn ask_for_one(owned: &CacheRequest, reason: Reason, leasing: Leasing) -> Outcome {
    if shape(owned.by_ref()) != Shape::Plain {
        return Box::pin(forward(owned.by_ref(), reason)).await;
    }
    let memo = owned.cache.flights.memo(&owned.lookup);
    let is_never_shared = matches!(memo, Some(Memo::Uncacheable | Memo::Personal));
    let options = FillOptions {
        stale: Stale::default(),
        leader: None,
        leasing: match leasing {
            Leasing::Wait if !is_never_shared => Leasing::Try,
            _ => Leasing::Never,
        },
        mode: FetchMode::Conditional,
        report: None,
    };
    lead(owned, reason, options).await
}

/// Asks the app for the client's range. Nobody waits for it: it may answer nobody else.
async fn ask_for_range(
    owned: &CacheRequest,
    reason: Reason,
    stale: Stale,
    leasing: Leasing,
) -> Outcome {
    let options = FillOptions {
        stale,
        leader: None,
        leasing: leasing.without_waiting(),
        mode: FetchMode::AsClient,
        report: None,
    };
    lead(owned, reason, options).await
}

/// What to ask for where a stored part needs only the rest, and the whole may be stored.
fn missing_range(request: CacheRequestRef<'_>, stale: &Stale) -> Option<FetchMode> {
    let part = &stale.variant.as_ref()?.stored;
    let rest = ranges::missing(part)?;
    let complete = part.part?.complete?;
    let max = request.rule().settings.max_body;
    (complete <= max as u64).then_some(FetchMode::MissingRange(rest))
}

/// Hands the request to the app as it is.
async fn forward(request: CacheRequestRef<'_>, reason: Reason) -> Outcome {
    pass::forward_at_hand(request.context, request.lookup.rule, reason).await
}

/// What a request needs beyond the whole response, if the store cannot answer it.
pub(super) fn shape(request: CacheRequestRef<'_>) -> Shape {
    let RequestContext { parts, present, .. } = request.context;
    if parts.method == Method::HEAD {
        Shape::Head
    } else if !present.has(Present::SELECTING) {
        Shape::Plain
    } else if parts.headers.contains_key(IF_MATCH)
        || parts.headers.contains_key(IF_UNMODIFIED_SINCE)
    {
        Shape::Preconditioned
    } else if parts.headers.contains_key(RANGE) {
        Shape::Ranged
    } else {
        Shape::Plain
    }
}
