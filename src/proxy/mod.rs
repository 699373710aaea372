//! The life of one request. [`handle`] is the table of contents.

pub mod admit;
mod cached;
mod coalesce;
pub mod effects;
mod expect;
mod fill;
mod head;
mod headers;
mod heads;
mod hops;
pub mod interim;
mod outcome;
mod pass;
pub mod plan;
pub mod present;
mod respond;
mod upgrade;
mod variables;
mod write;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::{self, BoxFuture, Either, Ready};
use http::request::Parts;
use http::{Request, Response, Version};
use hyper::body::{Body as _, Incoming};

use crate::body::{Body, Copy, Droppable, Progress, Timed, Watched};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::http_cache::Reason;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::origin::Origin;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::upstream::Upstream;
use admit::Admitted;
use cached::Holds;
pub use coalesce::Flights;
pub use heads::Heads;
use interim::Interims;
pub use outcome::{Outcome, Tally};
use plan::Plan;
use present::Present;

/// What one runtime needs to answer requests.
pub struct Worker {
    /// Which of the workers this is.
    pub index: usize,
    /// The config in force.
    pub live: Arc<ArcSwap<Live>>,
    /// Both tiers, Redis through this runtime's own connection.
    pub store: Store,
    /// Fills under way in the process.
    pub flights: Arc<Flights>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Fleet time.
    pub clock: Clock,
    /// Counts for the summary line of the log.
    pub tally: Arc<Tally>,
    /// Heads of its popular hits.
    pub heads: Heads,
}

/// Who asks.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub peer: IpAddr,
    /// Whether its connection to Pannier is TLS.
    pub secure: bool,
    /// What its connection occupies; a relay after an upgrade keeps it.
    pub connection_guard: Arc<dyn Droppable>,
    /// Ties a write to the server's drain.
    pub drain: Drain,
    /// Takes interim answers; `None` in HTTP/2.
    pub interims: Option<Interims>,
}

/// A request with what was found out about it once.
#[derive(Debug)]
pub struct Asked {
    /// The config this request lives under from beginning to end.
    pub live: Arc<Live>,
    /// Head as received.
    pub parts: Parts,
    /// `Host`, checked and lower-cased.
    pub host: String,
    /// Which of the fields that decide something there are.
    pub present: Present,
    /// What it says by `Cache-Control` or `Pragma`.
    pub directives: RequestDirectives,
    /// The client's address.
    pub peer: IpAddr,
    /// Whether the client's connection is TLS.
    pub secure: bool,
    /// Whether there is a body, which HTTP/2 need not announce in a field.
    pub has_body: bool,
    /// When the head had arrived.
    pub arrived: std::time::Instant,
    /// Where interim answers go; `None`: nowhere.
    pub interim: Option<interim::Sink>,
}

/// An answer at hand, or on its way.
pub type Answer<'a> = Either<Ready<Response<Body>>, BoxFuture<'a, Response<Body>>>;

/// Answers one request.
///
/// What memory holds is answered at once; all else is a future of its own, so that a hit does not
/// carry its size.
pub fn handle<'a>(
    worker: &'a Arc<Worker>,
    request: Request<Incoming>,
    client: &'a Client,
) -> Answer<'a> {
    let live = worker.live.load_full();
    let arrived = crate::clock::monotonic();
    let (mut parts, body) = request.into_parts();
    let admitted = admit::admit(&mut parts).and_then(|admitted| {
        expect::check(&parts, admitted.present)?;
        Ok(admitted)
    });
    let Admitted {
        host,
        present,
        directives,
    } = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return at_hand(outcome::refuse(worker, &live, &parts, &refusal)),
    };
    let turn = client.turn(&parts);
    let asked = Asked {
        live,
        parts,
        host,
        present,
        directives,
        peer: client.peer,
        secure: client.secure,
        has_body: !body.is_end_stream(),
        arrived,
        interim: turn.as_ref().map(interim::Turn::sink),
    };
    if hops::ends_here(&asked.parts) {
        let response = hops::answer(&asked.parts);
        let outcome = Outcome::new(None, Reason::MaxForwards, response);
        return at_hand(outcome.finish(worker, &asked));
    }
    let plan = plan::plan(&asked);
    let mut memory = Holds::Nothing;
    if let Plan::Cache(lookup) = &plan {
        match cached::at_once(worker, &asked, lookup) {
            Ok(outcome) => return at_hand(outcome.finish(worker, &asked)),
            Err(holds) => memory = holds,
        }
    }
    let asked = Arc::new(asked);
    Either::Right(Box::pin(async move {
        let _turn = turn;
        let outcome = carry_out(worker, &asked, plan, memory, body, client).await;
        outcome.finish(worker, &asked)
    }))
}

fn at_hand<'a>(response: Response<Body>) -> Answer<'a> {
    Either::Left(future::ready(response))
}

async fn carry_out(
    worker: &Arc<Worker>,
    asked: &Arc<Asked>,
    plan: Plan,
    memory: Holds,
    body: Incoming,
    client: &Client,
) -> Outcome {
    match plan {
        Plan::Cache(lookup) => cached::answer(worker, asked, lookup, memory).await,
        Plan::Pass { rule, reason } if pass::is_unsatisfiable(asked, reason) => {
            Outcome::new(rule, Reason::OnlyIfCached, pass::unsatisfiable())
        }
        // Boxed, so that a miss does not carry its size.
        Plan::Pass { rule, reason } => {
            Box::pin(pass::forward(worker, asked, rule, reason, body)).await
        }
        Plan::Write(effects) => {
            write::forward(worker, asked, effects, body, client.drain.clone()).await
        }
        Plan::Upgrade { rule } => {
            Box::pin(upgrade::forward(
                worker,
                asked,
                rule,
                body,
                client.connection_guard.clone(),
            ))
            .await
        }
    }
}

impl Client {
    /// RFC 9110 §15.2: HTTP/1.0 knows no interim answers.
    fn turn(&self, parts: &Parts) -> Option<interim::Turn<'_>> {
        let interims = self.interims.as_ref();
        let told = interims.filter(|_| parts.version == Version::HTTP_11);
        told.map(Interims::begin)
    }
}

impl Worker {
    /// This runtime's pool, as of `live`.
    fn upstream<'l>(&self, live: &'l Live) -> &'l Upstream {
        // A reload that changes the number of workers takes effect at a restart; the pools of the
        // snapshot may be fewer than the threads until then.
        &live.upstreams[self.index % live.upstreams.len()]
    }
}

impl Asked {
    /// `https` or `http`: what the gateway in front says, or else the client's connection.
    pub fn scheme(&self) -> &str {
        let own = if self.secure { "https" } else { "http" };
        if !self.present.has(Present::SCHEME) {
            return own;
        }
        let said = self.parts.headers.get("x-forwarded-proto");
        said.and_then(|scheme| scheme.to_str().ok()).unwrap_or(own)
    }

    /// The origin of the target (RFC 9110 §4.3.1), as text.
    fn origin(&self) -> String {
        match Origin::of(self.scheme(), &self.host) {
            Some(origin) => origin.to_string(),
            // HTTP/1.0 need not name a host.
            None => format!("{}://{}", self.scheme(), self.host),
        }
    }

    /// The client's body on its way to the app, with the deadline of `[listen] body_timeout`.
    fn body(&self, body: Incoming, progress: &Progress, copy: Option<Copy>) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let timed = Timed::new(body, Some(self.live.config.listen.body_timeout));
        let timed = timed.of(self.parts.version);
        Body::stream(Watched::new(timed, progress.clone(), copy))
    }
}
