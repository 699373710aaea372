//! What `[[route]]` and `[[purge]]` say, and the settings that routes, groups and defaults have in common.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};

use super::Require;
use super::advice::Advice;
use super::problem::Position;
use crate::entry::Priority;
use crate::http_cache::Policy;
use crate::politeness::RefreshAhead;
use crate::rollout::{Compared, Rate, Rollout};
use crate::routes::{
    Conditions, IgnoreQuery, KeyedCredentials, Matcher, PurgeKind, StoreWhen, Template,
};

/// What a route has of its own, of its groups or of the defaults; the nearest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// RFC 9111 settings.
    pub policy: Policy,
    /// Worth in the budget.
    pub priority: Priority,
    /// The largest body stored. Default 1 MiB.
    pub max_body: usize,
    /// Whether Redis keeps long bodies compressed.
    pub compress: bool,
    /// Query fields that do not change the answer, of all that it inherits.
    pub ignore_query: IgnoreQuery,
    /// Cookies that do not change the answer, of all that it inherits, as written.
    pub ignore_cookies: Vec<String>,
    /// Who alone is answered from the store; `None`: whoever the key carries whole.
    pub require: Option<Require>,
    /// Whether all hosts share the answer.
    pub any_host: bool,
    /// How soon purges made by other sidecars are seen.
    pub coherence: Coherence,
    /// What memory does while Redis cannot be asked; `None`: as `[redis] outage` says.
    pub outage: Option<Outage>,
    /// Fetches for the store at a time; `None`: half of `upstream.max_fills`.
    pub max_fills: Option<usize>,
    /// What becomes of a fetch for the store whose client has gone.
    pub abandoned: Abandoned,
    /// What the cache does for it, as the file says.
    pub rollout: Rollout,
    /// Which key says so: `mode`, or `enabled`.
    pub switched_by: &'static str,
    /// The share of its hits that are audited.
    pub audit: Rate,
    /// In which last part of its life a hit has an entry renewed.
    pub refresh_ahead: RefreshAhead,
    /// What answers are compared by, in shadow and by audits.
    pub compared: Compared,
    /// Answers under one key. Default 8.
    pub max_variants: u8,
    /// Whether what a client says of caching reaches the app.
    pub client_cache_control: ClientCacheControl,
    /// What clients are told by `Cache-Control`; `None`: what the app says.
    pub downstream: Option<HeaderValue>,
    /// What the body must be for storing.
    pub store_when: StoreWhen,
    /// Whether clients do not see the fields that name tags.
    pub strips_tag_fields: bool,
    /// Whether what only the end of its connection ends may be stored.
    pub close_delimited: bool,
    /// What `%2F` in a path is.
    pub encoded_slash: EncodedSlash,
    /// Advice that does not hold here, of all that it inherits, and where that is written.
    pub acknowledge: Vec<(Position, Advice)>,
    /// Keys that it does not give itself, and the table that does.
    pub origins: Vec<(&'static str, String)>,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique; appears in `Cache-Status`, logs and labels.
    pub name: String,
    /// The path as written.
    pub path: String,
    /// What it answers of GET (HEAD with it), POST and QUERY.
    pub methods: Vec<Method>,
    /// What a request must surely be, to be answered by it.
    pub when: Conditions,
    /// What a request must surely not be.
    pub unless: Conditions,
    /// What to cache under.
    pub key: Template,
    /// `key` as written, or as the default is.
    pub key_text: String,
    /// Tags of what is stored.
    pub tags: Vec<Template>,
    /// `tags` as written.
    pub tags_text: Vec<String>,
    /// How its answers are stored and served.
    pub settings: Settings,
    /// Claims among whose bearers the answers are shared, as written.
    pub shared_by: Vec<String>,
    /// Which of a requester's credentials `key` carries.
    pub credentials: KeyedCredentials,
}

impl Route {
    /// Whether it answers requests of `method` by their bodies.
    pub fn reads_body_of(&self, method: &Method) -> bool {
        [Method::POST, Method::QUERY].contains(method) && self.methods.contains(method)
    }

    /// Whether it answers any requests by their bodies.
    pub fn reads_bodies(&self) -> bool {
        self.methods.iter().any(|method| self.reads_body_of(method))
    }
}

/// `client_cache_control` of a rule: whether what a client says by `Cache-Control` or `Pragma` can make the app be
/// asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCacheControl {
    /// As RFC 9111 §5.2.1 has it.
    #[default]
    Obey,
    /// It cannot.
    Ignore,
    /// Only with the admin token in `Pannier-Token`.
    Token,
}

impl ClientCacheControl {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            ClientCacheControl::Obey => "obey",
            ClientCacheControl::Ignore => "ignore",
            ClientCacheControl::Token => "token",
        }
    }
}

/// `encoded_slash` of a rule: what `%2F` in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Some apps take it for a slash: the request passes.
    #[default]
    Pass,
    /// A part of a value, for this app as well.
    Data,
}

/// `abandoned` of a rule: what becomes of a fetch for the store that nobody waits for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Abandoned {
    /// It is stored when it is whole.
    #[default]
    Finish,
    /// It is given up, and the app's connection closed.
    End,
}

impl Abandoned {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Abandoned::Finish => "finish",
            Abandoned::End => "end",
        }
    }
}

/// `outage` of `[redis]` and of a rule: what memory does while Redis cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// It answers, for `[redis] outage_ttl`.
    #[default]
    Serve,
    /// Nothing: the app answers.
    Pass,
}

/// `coherence` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coherence {
    /// Memory may answer until Redis's invalidation arrives (p99 5 ms).
    #[default]
    Tracked,
    /// Redis answers, never memory.
    Strict,
}

/// One `[[purge]]`.
#[derive(Clone, Debug)]
pub struct PurgeRule {
    /// Advice that does not hold here, and where that is written.
    pub acknowledge: Vec<(Position, Advice)>,
    /// Unique; appears in logs and labels.
    pub name: String,
    /// The path as written.
    pub path: String,
    /// Default POST, PUT, PATCH, DELETE.
    pub methods: Vec<Method>,
    /// This rule's path alone.
    pub matcher: Matcher<()>,
    /// Whether what it covers is removed, or stays and is stale.
    pub kind: PurgeKind,
    /// What the write and its answer must be.
    pub when: Conditions,
    /// What they must not be.
    pub unless: Conditions,
    /// Of the answer; `None`: 2xx and 3xx.
    pub statuses: Option<Vec<StatusCode>>,
    /// Keys and patterns.
    pub keys: Vec<Template>,
    /// `keys` as written.
    pub keys_text: Vec<String>,
    /// Tags.
    pub tags: Vec<Template>,
    /// `tags` as written.
    pub tags_text: Vec<String>,
    /// When the purge is carried out again, after the first time; the soonest first.
    pub again_after: Vec<Duration>,
    /// Whether what it purged and was read is asked for again, and how.
    pub refetch: Option<Refetch>,
    /// Whose decisions of `[auth]` it drops.
    pub identity: Option<PurgedIdentity>,
}

/// `then = "refetch"` of a `[[purge]]`: what it purged and was read is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refetch {
    /// So long after the write. Default: at once.
    pub delay: Duration,
    /// The most keys for one write. Default 50.
    pub max: usize,
}

/// `identity` of a `[[purge]]`: whose decisions of `[auth]` are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgedIdentity {
    /// Everyone's.
    All,
    /// Those of the very credentials that the write brings.
    Own,
}

impl PurgeRule {
    /// Whether it is for requests of this method; to apps a HEAD is a GET.
    pub fn is_for(&self, method: &Method) -> bool {
        let is_as_get = *method == Method::HEAD && self.methods.contains(&Method::GET);
        is_as_get || self.methods.contains(method)
    }

    /// Whether anything of it reads the request's body.
    pub fn reads_body(&self) -> bool {
        let by_template = self.templates().any(Template::reads_body);
        by_template || self.when.read_body() || self.unless.read_body()
    }

    /// Whether anything of it reads the answer's body.
    pub fn reads_response(&self) -> bool {
        let by_template = self.templates().any(Template::reads_response);
        by_template || self.when.read_response() || self.unless.read_response()
    }

    /// Whether it is for some of the writes of its methods and path only.
    pub fn has_conditions(&self) -> bool {
        !self.when.is_empty() || !self.unless.is_empty()
    }

    /// Whether anything of it reads what was stored before the write.
    pub fn reads_before(&self) -> bool {
        self.templates().any(Template::reads_before)
    }

    /// Of keys, then of tags.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.keys.iter().chain(&self.tags)
    }
}
