//! One snapshot of the config with what is derived from it; a reload swaps it whole.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::auth::Digester;
use crate::config::{Config, KeyOrigin, PurgeRule, Route, Settings};
use crate::gate::Gates;
use crate::http_cache::Policy;
use crate::in_flight::InFlight;
use crate::jwt::{JwtConfigError, Verifier};
use crate::metrics::{Metrics, RuleMetrics};
use crate::politeness::Median;
use crate::rollout::{Dial, Rollout};
use crate::routes::Template;
use crate::upstream::{PoolError, Upstream};

/// What no rule matches, where rules are named.
pub const UNMATCHED: &str = "-";

/// The config in force.
#[derive(Debug)]
pub struct Live {
    /// As loaded.
    pub config: Config,
    /// Where it came from; `None`: from the command line.
    pub source: Option<PathBuf>,
    /// One connection pool a worker, and one for what no client asks for.
    pub upstreams: Vec<Upstream>,
    /// Verifies tokens, if `[jwt]` is there.
    pub jwt: Option<Verifier>,
    /// What stands for credentials that are checked, if `[auth]` is there.
    pub digester: Option<Digester>,
    /// One a route, in the order of `config.routes`.
    pub rules: Vec<RuleMetrics>,
    /// The fills of each route.
    pub fills: Vec<RuleFills>,
    /// And those of requests that no rule matches.
    pub unmatched_fills: RuleFills,
    /// What holds of each route now: the file, and what was switched since.
    pub dials: Vec<Dial>,
    /// The same of requests that no rule matches.
    pub unmatched_dial: Dial,
    /// For requests that no rule matches.
    pub unmatched: RuleMetrics,
    /// Host and URI: the key of unmatched requests.
    pub default_key: Template,
    /// What requests to the app wait at.
    pub gates: Arc<Gates>,
    /// Of each route, and of what none matches, what comparing it with the app rests on ([`Live::basis`]).
    bases: Vec<u64>,
}

/// Why a valid config cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The connection pool.
    #[error("[upstream]: {0}")]
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
        let gates = Arc::new(Gates::new(&config, metrics));
        Live::with_gates(config, source, metrics, in_flight, gates)
    }

    /// As [`Live::new`], with the gates that the config before had.
    pub fn with_gates(
        config: Config,
        source: Option<PathBuf>,
        metrics: &Metrics,
        in_flight: &InFlight,
        gates: Arc<Gates>,
    ) -> Result<Live, LiveError> {
        let upstreams = (0..=config.listen.workers)
            .map(|_| Upstream::within(&config.upstream, in_flight.clone(), &gates.places))
            .collect::<Result<Vec<_>, _>>()?;
        let share = fill_share(&config);
        let looks_by_lease = config.redis.as_ref().is_some_and(|it| it.looks_by_lease);
        let fills = |settings: &Settings| {
            RuleFills::new(settings.max_fills.unwrap_or(share), looks_by_lease)
        };
        let dial = |settings: &Settings| {
            Dial::new(Rollout {
                mode: settings.rollout.mode.min(config.ceiling),
                ..settings.rollout
            })
        };
        Ok(Live {
            dials: config
                .routes
                .iter()
                .map(|route| dial(&route.settings))
                .collect(),
            unmatched_dial: dial(&config.defaults.settings),
            fills: config
                .routes
                .iter()
                .map(|route| fills(&route.settings))
                .collect(),
            unmatched_fills: fills(&config.defaults.settings),
            jwt: config.jwt.as_ref().map(Verifier::new).transpose()?,
            digester: config.auth.as_ref().map(Digester::new),
            rules: config
                .routes
                .iter()
                .map(|route| metrics.rule(&route.name, route.settings.priority))
                .collect(),
            unmatched: metrics.rule(UNMATCHED, config.defaults.settings.priority),
            default_key: Template::default_key(),
            bases: bases_of(&config),
            gates,
            upstreams,
            source,
            config,
        })
    }

    /// Goes on with the keys that were fetched under `old` from the same URL.
    pub fn keep_fetched_keys(&self, old: &Live) {
        let origin = |live: &'_ Live| live.config.jwt.as_ref().map(|jwt| jwt.origin.clone());
        let is_same =
            matches!(origin(self), Some(KeyOrigin::Url(_))) && origin(self) == origin(old);
        if let Some((verifier, old)) = self.jwt.as_ref().zip(old.jwt.as_ref()).filter(|_| is_same) {
            verifier.take_keys_of(old);
        }
    }

    /// A digest of what comparing a rule with the app rests on: what is compared, and what is purged. Evidence of another
    /// basis says nothing of this config.
    pub fn basis(&self, index: Option<usize>) -> u64 {
        self.bases[index.unwrap_or(self.bases.len() - 1)]
    }

    /// The bases of all rules, by name.
    pub fn bases(&self) -> BTreeMap<String, u64> {
        let routes = self.config.routes.iter().map(|route| route.name.as_str());
        let names = routes.chain(std::iter::once(UNMATCHED));
        names
            .zip(&self.bases)
            .map(|(name, basis)| (name.to_owned(), *basis))
            .collect()
    }

    /// What a rule, or what stands for one where none matches, has of its own, of its groups or of the defaults.
    pub fn settings(&self, index: Option<usize>) -> &Settings {
        match index {
            Some(index) => &self.config.routes[index].settings,
            None => &self.config.defaults.settings,
        }
    }

    /// The connections to the app of the worker with this number; `usize::MAX`: of what no client asks for. A reload that changes the number of workers takes effect
    /// at a restart; the pools of a snapshot may be fewer than the threads until then.
    pub fn upstream_of(&self, worker: usize) -> &Upstream {
        let (last, pools) = (self.upstreams.len() - 1, &self.upstreams);
        match worker {
            usize::MAX => &pools[last],
            worker => &pools[worker % last],
        }
    }

    /// A rule with its counters, or what stands for one where none matches.
    pub fn rule(&self, index: Option<usize>) -> Rule<'_> {
        let route = index.map(|index| &self.config.routes[index]);
        let settings = self.settings(index);
        Rule {
            route,
            settings,
            policy: &settings.policy,
            metrics: index.map_or(&self.unmatched, |index| &self.rules[index]),
            fills: index.map_or(&self.unmatched_fills, |index| &self.fills[index]),
            dial: index.map_or(&self.unmatched_dial, |index| &self.dials[index]),
            fill_share: fill_share(&self.config),
        }
    }
}

/// Of each route, and of what none matches.
fn bases_of(config: &Config) -> Vec<u64> {
    let purges = config.purges.iter().map(|purge| {
        // Without its place in the file.
        let PurgeRule {
            path,
            methods,
            kind,
            when,
            unless,
            statuses,
            keys_text,
            tags_text,
            ..
        } = purge;
        format!("{path}{methods:?}{kind:?}{when:?}{unless:?}{statuses:?}{keys_text:?}{tags_text:?}")
    });
    let purges: Vec<String> = purges.collect();
    let digest = |settings: &Settings, reads: &[&str]| {
        let mut hasher = DefaultHasher::new();
        let compared = format!("{:?}{:?}", settings.compared, settings.policy.variation);
        (&purges, reads, compared).hash(&mut hasher);
        hasher.finish()
    };
    let routes = config.routes.iter().map(|route| {
        let tags = route.tags_text.join(" ");
        digest(&route.settings, &[&route.path, &route.key_text, &tags])
    });
    let unmatched = digest(&config.defaults.settings, &[]);
    routes.chain(std::iter::once(unmatched)).collect()
}

/// The fills that one route may have at a time: one slow route leaves places for the others.
fn fill_share(config: &Config) -> usize {
    config.upstream.max_fills.div_ceil(2)
}

/// The fills of one rule.
#[derive(Debug)]
pub struct RuleFills {
    /// How many more there may be.
    pub places: Arc<Semaphore>,
    /// What the app usually takes for a whole answer, in milliseconds and one more; 0: not known yet.
    usual: AtomicU32,
    /// Which share of the looks in Redis has found nothing of late, of [`RuleFills::ALL_LOOKS`].
    looks_in_vain: AtomicU32,
    looks_by_lease: bool,
    /// What it usually takes to an answer's head while no background work runs.
    pub left_alone: Median,
    /// What the log has told of it, a bit each.
    told: [AtomicU64; RuleFills::TOLD.div_ceil(64)],
}

impl RuleFills {
    /// How many things the log tells of once.
    pub const TOLD: usize = 128;

    const ALL_LOOKS: u32 = 1 << 16;

    fn new(places: usize, looks_by_lease: bool) -> RuleFills {
        RuleFills {
            places: Arc::new(Semaphore::new(places)),
            usual: AtomicU32::new(0),
            looks_in_vain: AtomicU32::new(0),
            looks_by_lease,
            left_alone: Median::default(),
            told: Default::default(),
        }
    }

    /// The app took so long for a whole answer. Slower ones count at once, faster ones little by little.
    pub fn note_took(&self, took: Duration) {
        let took = u32::try_from(took.as_millis()).unwrap_or(u32::MAX - 1) + 1;
        let usual = self.usual.load(Ordering::Relaxed);
        let usual = match took > usual {
            true => took,
            false => usual - (usual - took) / 8,
        };
        self.usual.store(usual, Ordering::Relaxed);
    }

    /// Redis was looked in for what memory does not have. Of some 30 looks each counts about as much.
    pub fn note_look(&self, has_found: bool) {
        let before = self.looks_in_vain.load(Ordering::Relaxed);
        let latest = if has_found { 0 } else { Self::ALL_LOOKS };
        let share = (before * 31 + latest).div_ceil(32);
        self.looks_in_vain.store(share, Ordering::Relaxed);
    }

    /// Whether hardly a look there finds anything: less than one of sixteen.
    pub fn looks_in_vain(&self) -> bool {
        let share = self.looks_in_vain.load(Ordering::Relaxed);
        self.looks_by_lease || share > Self::ALL_LOOKS / 16 * 15
    }

    /// Whether the log has not told yet what `bit` (below [`RuleFills::TOLD`]) stands for; from now on it has.
    pub fn tells_first(&self, bit: usize) -> bool {
        let (told, bit) = (&self.told[bit / 64], 1 << (bit % 64));
        told.load(Ordering::Relaxed) & bit == 0 && told.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// What the app usually takes at most; `None`: it was not asked yet.
    pub fn usual(&self) -> Option<Duration> {
        let usual = self.usual.load(Ordering::Relaxed);
        (usual > 0).then(|| Duration::from_millis(usual.into()))
    }
}

/// A rule, or what stands for one when none matches.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'l> {
    /// `None`: no rule matches.
    pub route: Option<&'l Route>,
    /// What it has of its own, of its groups or of the defaults.
    pub settings: &'l Settings,
    /// RFC 9111 settings.
    pub policy: &'l Policy,
    /// Its counters.
    pub metrics: &'l RuleMetrics,
    /// Its fills.
    pub fills: &'l RuleFills,
    /// Whether it is on, and for which share of its keys.
    pub dial: &'l Dial,
    fill_share: usize,
}

impl<'l> Rule<'l> {
    /// Its name, if a rule matched.
    pub fn name(self) -> Option<&'l str> {
        self.route.map(|route| route.name.as_str())
    }

    /// Fills at a time.
    pub fn max_fills(self) -> usize {
        self.settings.max_fills.unwrap_or(self.fill_share)
    }

    /// Whether the answer's body is read, for its tags or for whether it is stored.
    pub fn reads_answer(self) -> bool {
        !self.settings.store_when.is_empty() || self.tags().iter().any(Template::reads_response)
    }

    /// Whether its key or tags read what the check of `[auth]` says.
    pub fn reads_auth(self) -> bool {
        let mut templates = self.route.iter().map(|route| &route.key).chain(self.tags());
        templates.any(Template::reads_auth)
    }

    /// Templates of the tags of what is stored.
    pub fn tags(self) -> &'l [Template] {
        self.route.map_or(&[], |route| &route.tags)
    }
}
