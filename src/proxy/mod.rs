//! The life of one request. [`handle`] is the table of contents.
//!
//! # Rooms
//!
//! Each uses only those above it in this table, and no files of it go in a circle
//! (`tests/architecture.rs` keeps it so).
//!
//! | room | what it holds |
//! | --- | --- |
//! | `hop_by_hop` | fields that belong to one connection |
//! | [`interim`] | interim answers (1xx) on their way to a client |
//! | [`request`] | what a request is: checked, its context, its plan |
//! | `outcome` | how a request ended: counted, logged, named in `Cache-Status` |
//! | `forward` | to the app and back: the exchange, passing through, upgrades |
//! | `wants` | what a plan depends on, found out: the body, who asks |
//! | `cache` | answered from the store: looks, fills, those who wait |
//! | [`refresh`], [`unsent`] | a fetch for the store that no client asked for |
//! | [`write`](mod@write) | writes, and what they purge |
//! | `worker` | what one runtime needs for all of these |

mod access_log;
mod cache;
mod forward;
mod hop_by_hop;
pub mod interim;
pub mod obstacles;
mod outcome;
pub mod refresh;
pub mod request;
pub mod unsent;
mod wants;
mod worker;
pub mod write;

use std::sync::Arc;

use futures_util::future::{self, BoxFuture, Either, Ready};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Body as _;

use crate::body::{Body, Received, Upload};
use crate::config::Underscores;
use crate::http_cache::Reason;
use crate::live::Live;
use crate::politeness::FetchOrigin;
use forward::{expect, max_forwards, outgoing, pass, upgrade};
use interim::Turn;
use request::admit::{self, Admitted, Refusal};
use request::client::Client;
use request::context::RequestContext;
use request::forwarded;
use request::plan::{self, Plan, Wanting};
use request::sent_body::SentBody;

use cache::MemoryLookup;
pub use cache::{Audits, Cache, Examinations, Flights, HeadCache, Refetches};
use outcome::Outcome;
pub use outcome::Tally;
pub use wants::{Checks, Sources, recall_asker};
pub use worker::Worker;
pub use write::LateWrites;

/// An answer at hand, or on its way.
pub type Answer<'a> = Either<Ready<Response<Body>>, BoxFuture<'a, Response<Body>>>;

/// Answers one request.
///
/// What memory holds is answered at once; all else is a future of its own, so that a hit does not
/// carry its size.
pub fn handle<'a>(
    worker: &'a Arc<Worker>,
    request: Request<Upload>,
    client: &'a Client,
) -> Answer<'a> {
    let live = worker.live.load_full();
    let arrived = crate::clock::monotonic();
    let (mut parts, body) = request.into_parts();
    let (admitted, is_believed) = match check(&live, client, &mut parts) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return at_hand(outcome::refuse(
                &worker.tally,
                &live,
                &parts,
                client.peer,
                &refusal,
            ));
        }
    };
    if live.config.log.access {
        access_log::name_request(&mut parts.headers);
    }
    let turn = client.interim_turn(&parts);
    let mut context = RequestContext {
        live,
        pool: worker.index,
        parts,
        host: admitted.host,
        present: admitted.present,
        directives: admitted.directives,
        is_believed,
        peer: client.peer,
        secure: client.secure,
        has_body: !body.is_end_stream(),
        arrived,
        interim: turn.as_ref().map(Turn::sink),
        sent: SentBody::Unread,
        asker: None,
        redis_was_late: Default::default(),
        fetch_origin: FetchOrigin::Client,
        urgency: None,
    };
    if max_forwards::ends_here(&context.parts) {
        let response = max_forwards::answer(&context);
        let response = outgoing::end_if_unread(&context, response);
        let outcome = Outcome::new(None, Reason::MaxForwards, response);
        return at_hand(outcome.finish(&worker.tally, &context));
    }
    if context.live.config.listen.ready_path.as_deref() == Some(context.parts.uri.path()) {
        let response = outgoing::end_if_unread(&context, answer_readiness(worker));
        let outcome = Outcome::new(None, Reason::ReadyPath, response);
        return at_hand(outcome.finish(&worker.tally, &context));
    }
    let mut step = plan_request(worker, &context);
    if let Step::Wants(wanting) = step
        && wants::recall(&worker.cache.sources, &mut context, wanting)
    {
        step = plan_request(worker, &context);
    }
    if let Step::Answered(outcome) = step {
        return at_hand(outcome.finish(&worker.tally, &context));
    }
    let mut context = Arc::new(context);
    let mut body = Received::Unread(body);
    Either::Right(Box::pin(async move {
        let _turn = turn;
        let (plan, memory) = loop {
            match step {
                Step::Planned(plan, memory) => break (plan, memory),
                Step::Answered(outcome) => return outcome.finish(&worker.tally, &context),
                // Boxed, so that a miss does not carry its size.
                Step::Wants(wanting) => {
                    let context = Arc::get_mut(&mut context).expect("nobody else has it yet");
                    Box::pin(wants::find_out(
                        &worker.cache.sources,
                        context,
                        wanting,
                        &mut body,
                    ))
                    .await;
                    step = plan_request(worker, context);
                }
            }
        };
        let outcome = carry_out(worker, &context, plan, memory, body, client).await;
        outcome.finish(&worker.tally, &context)
    }))
}

/// How far a request has come.
enum Step {
    /// Memory has answered it.
    Answered(Outcome),
    /// It is known what to do, and what memory holds for it.
    Planned(Plan, MemoryLookup),
    /// Something has to be found out first.
    Wants(Wanting),
}

/// What to do with the request by what is known of it, or the answer that memory has at hand.
fn plan_request(worker: &Worker, context: &RequestContext) -> Step {
    let plan = plan::plan(context);
    if let Some(wanting) = plan::find_wanting(context, &plan) {
        return Step::Wants(wanting);
    }
    let Plan::Cache(lookup) = &plan else {
        return Step::Planned(plan, MemoryLookup::Miss);
    };
    if context.is_refresh() {
        return Step::Planned(plan, MemoryLookup::Unwanted);
    }
    match cache::answer_from_memory(&worker.cache, context, lookup) {
        Ok(outcome) => Step::Answered(outcome),
        Err(found) => Step::Planned(plan, found),
    }
}

/// What was found out about the request, and whether its sender's word on it is believed.
fn check(live: &Live, client: &Client, parts: &mut Parts) -> Result<(Admitted, bool), Refusal> {
    let mut admitted = admit::admit(parts)?;
    if live.config.listen.underscores == Underscores::Drop {
        admit::drop_underscores(parts, &mut admitted);
    }
    let is_believed = forwarded::settle(&live.config.listen, client.peer, parts, &mut admitted);
    expect::check(parts, admitted.present)?;
    Ok((admitted, is_believed))
}

/// As `/readyz` of the admin interface: 503 once the process is about to end, and until its first jobs have run.
fn answer_readiness(worker: &Worker) -> Response<Body> {
    match (worker.leaving.is_cancelled(), worker.warmed.is_cancelled()) {
        (true, _) => outcome::text(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => outcome::text(StatusCode::SERVICE_UNAVAILABLE, "warming"),
        (false, true) => outcome::text(StatusCode::OK, "ready"),
    }
}

fn at_hand<'a>(response: Response<Body>) -> Answer<'a> {
    Either::Left(future::ready(response))
}

/// The one way a planned request goes.
async fn carry_out(
    worker: &Arc<Worker>,
    context: &Arc<RequestContext>,
    plan: Plan,
    memory: MemoryLookup,
    body: Received,
    client: &Client,
) -> Outcome {
    match plan {
        Plan::Cache(lookup) => cache::answer(&worker.cache, context, lookup, memory).await,
        // Boxed, so that a miss does not carry its size.
        Plan::Shadow(lookup) => {
            Box::pin(cache::answer_in_shadow(&worker.cache, context, lookup)).await
        }
        Plan::Pass { rule, reason } if pass::is_unsatisfiable(context, reason) => {
            let response = outgoing::end_if_unread(context, pass::unsatisfiable());
            Outcome::new(rule, Reason::OnlyIfCached, response)
        }
        // Boxed, so that a miss does not carry its size.
        Plan::Pass { rule, reason } => {
            obstacles::log::tell_passed(context, rule, reason);
            Box::pin(pass::forward(context, rule, reason, body)).await
        }
        Plan::Write(effects) => {
            let (cache, late_writes) = (&worker.cache, &worker.late_writes);
            write::forward(cache, late_writes, context, effects, body, client).await
        }
        Plan::Purge => Box::pin(write::purge_method::answer(&worker.cache, context)).await,
        Plan::Upgrade { rule } => {
            let guard = client.connection_guard.clone();
            Box::pin(upgrade::forward(context, rule, body, guard)).await
        }
    }
}
