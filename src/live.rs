//! One snapshot of the config with what is derived from it; a reload swaps it whole.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::{Abandoned, Coherence, Config, Route};
use crate::entry::Priority;
use crate::http_cache::Policy;
use crate::in_flight::InFlight;
use crate::jwt::{JwtConfigError, Verifier};
use crate::metrics::{Metrics, RuleMetrics};
use crate::routes::Template;
use crate::upstream::{PoolError, Upstream};

/// The config in force.
#[derive(Debug)]
pub struct Live {
    /// As loaded.
    pub config: Config,
    /// Where it came from; `None`: from the command line.
    pub source: Option<PathBuf>,
    /// One connection pool a worker.
    pub upstreams: Vec<Upstream>,
    /// Verifies tokens, if `[jwt]` is there.
    pub jwt: Option<Verifier>,
    /// One a route, in the order of `config.routes`.
    pub rules: Vec<RuleMetrics>,
    /// How many more fills there may be of each route.
    pub fill_places: Vec<Arc<Semaphore>>,
    /// And of requests that no rule matches.
    pub unmatched_fill_places: Arc<Semaphore>,
    /// For requests that no rule matches.
    pub unmatched: RuleMetrics,
    /// Host and URI: the key of unmatched requests.
    pub default_key: Template,
}

/// Why a valid config cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The connection pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The token verifier.
    #[error("[jwt]: {0}")]
    Jwt(#[from] JwtConfigError),
}

impl Live {
    /// What `config` needs at run time.
    pub fn new(
        config: Config,
        source: Option<PathBuf>,
        metrics: &Metrics,
        in_flight: &InFlight,
    ) -> Result<Live, LiveError> {
        let pool = Upstream::new(&config.upstream, in_flight.clone())?;
        let upstreams = (1..config.listen.workers)
            .map(|_| Upstream::new(&config.upstream, in_flight.clone()))
            .chain(std::iter::once(Ok(pool)))
            .collect::<Result<Vec<_>, _>>()?;
        let share = fill_share(&config);
        let places = |route: &Route| Arc::new(Semaphore::new(route.max_fills.unwrap_or(share)));
        Ok(Live {
            fill_places: config.routes.iter().map(places).collect(),
            unmatched_fill_places: Arc::new(Semaphore::new(share)),
            jwt: config.jwt.as_ref().map(Verifier::new).transpose()?,
            rules: config
                .routes
                .iter()
                .map(|route| metrics.rule(&route.name, route.priority))
                .collect(),
            unmatched: metrics.rule("-", config.defaults.priority),
            default_key: Template::default_key(),
            upstreams,
            source,
            config,
        })
    }

    /// The settings of a rule, or of unmatched requests.
    pub fn rule(&self, index: Option<usize>) -> Rule<'_> {
        match index {
            Some(index) => Rule {
                route: Some(&self.config.routes[index]),
                policy: &self.config.routes[index].policy,
                metrics: &self.rules[index],
                fill_places: &self.fill_places[index],
                fill_share: fill_share(&self.config),
                defaults: &self.config.defaults,
            },
            None => Rule {
                route: None,
                policy: &self.config.defaults.policy,
                metrics: &self.unmatched,
                fill_places: &self.unmatched_fill_places,
                fill_share: fill_share(&self.config),
                defaults: &self.config.defaults,
            },
        }
    }
}

/// The fills that one route may have at a time: one slow route leaves places for the others.
fn fill_share(config: &Config) -> usize {
    config.upstream.max_fills.div_ceil(2)
}

/// A rule, or what stands for one when none matches.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'l> {
    /// `None`: no rule matches.
    pub route: Option<&'l Route>,
    /// RFC 9111 settings.
    pub policy: &'l Policy,
    /// Its counters.
    pub metrics: &'l RuleMetrics,
    /// How many more fills there may be of it.
    pub fill_places: &'l Arc<Semaphore>,
    fill_share: usize,
    defaults: &'l crate::config::Defaults,
}

impl<'l> Rule<'l> {
    /// Its name, if a rule matched.
    pub fn name(self) -> Option<&'l str> {
        self.route.map(|route| route.name.as_str())
    }

    /// How soon purges made elsewhere are seen.
    pub fn coherence(self) -> Coherence {
        self.route
            .map_or(Coherence::Tracked, |route| route.coherence)
    }

    /// The largest body stored.
    pub fn max_body(self) -> usize {
        self.route
            .map_or(self.defaults.max_body, |route| route.max_body)
    }

    /// Fills at a time.
    pub fn max_fills(self) -> usize {
        let of_route = self.route.and_then(|route| route.max_fills);
        of_route.unwrap_or(self.fill_share)
    }

    /// What becomes of a fill that nobody waits for.
    pub fn abandoned(self) -> Abandoned {
        self.route
            .map_or(self.defaults.abandoned, |route| route.abandoned)
    }

    /// Worth in the budget.
    pub fn priority(self) -> Priority {
        self.route
            .map_or(self.defaults.priority, |route| route.priority)
    }

    /// Templates of the tags of what is stored.
    pub fn tags(self) -> &'l [Template] {
        self.route.map_or(&[], |route| &route.tags)
    }
}
