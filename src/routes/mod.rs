//! Rules as pure values: which one a request falls under, the key it renders, what a write purges.

pub mod body_digest;
mod checked;
mod condition;
mod credentials;
mod escape;
mod expected;
mod form;
pub mod identities;
mod ignore_query;
pub mod json;
mod lenient;
pub mod matcher;
mod multipart;
pub mod operation;
pub mod pattern;
mod query;
mod requester;
mod route_matcher;
mod shape;
mod spelling;
mod store_when;
pub mod target;
pub mod template;

pub use checked::CheckedCredentials;
pub use condition::{Condition, ConditionError, Conditions};
pub use credentials::is_credential;
pub use form::Form;
pub use ignore_query::{IgnoreQuery, plain_fields};
pub use lenient::{Audience, Confusable, ConfusablePaths, pattern_of_writes};
pub use matcher::{Matched, Matcher, PathGroup};
pub use pattern::{Pattern, Purge, PurgeKind, Purges};
pub use requester::{CredentialSettings, KeyedCredentials, TokenField, Unkeyed, Verified};
pub use route_matcher::RouteMatcher;
pub use shape::{is_near, is_word, shape_of};
pub use spelling::PathSpelling;
pub use store_when::{StoreCondition, StoreWhen};
pub use template::{Key, Template};

use http::HeaderMap;
use serde_json::Value;

/// What a template may read of one request and, for purges and tags, its answer.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `Host`, lower-cased.
    pub host: &'a str,
    /// The path as received, without the query.
    pub path: &'a str,
    /// Which other spellings of the path mean the same to the app; `None`: none.
    pub spelling: Option<&'a PathSpelling>,
    /// The query as received, without `?`; `None` when there is no `?`.
    pub query: Option<&'a str>,
    /// All fields as received.
    pub headers: &'a HeaderMap,
    /// Path parameters as received (not percent-decoded), in the order of the rule's path.
    pub params: &'a [(&'a str, &'a str)],
    /// Claims of a verified JWT.
    pub claims: Option<&'a Value>,
    /// What the check of `[auth]` says of whoever asks: null of who brings nothing to be known by; `None`: not known.
    pub auth: Option<&'a Value>,
    /// What stands for the request's whole body; `None`: it was not read.
    pub body_digest: Option<&'a str>,
    /// The request's JSON body.
    pub body: Option<&'a Value>,
    /// The response's JSON body.
    pub response: Option<&'a Value>,
    /// What was stored for the URL of a write before it.
    pub before: Option<&'a Value>,
}

impl Scope<'_> {
    /// Whether the texts of keys, tags and purges have one case: an id is in the case that the app stored it in, and in
    /// whichever the one or the other request has.
    fn ignores_case(&self) -> bool {
        self.spelling.is_some_and(|spelling| spelling.ignore_case)
    }
}
