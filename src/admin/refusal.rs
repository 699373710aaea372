//! Why the admin interface refuses a request, and with which status.

use http::StatusCode;

use crate::jobs::OrderError;

/// Bytes of a body.
pub const MAX_BODY: usize = 64 * 1024;

/// Keys, patterns and tags of one purge: each costs every fill under way a comparison.
pub const MAX_SELECTORS: usize = 1000;

/// A refused request; its text is what the client reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such path.
    #[error("there are: {endpoints}")]
    NotFound {
        /// The paths there are.
        endpoints: String,
    },
    /// The path does not take this method.
    #[error("this path takes {allow}")]
    Method {
        /// The methods it takes, as in `Allow`.
        allow: &'static str,
    },
    /// The request is for a host that is not known.
    #[error("this Host is not known: ask by address, or add its name to [admin] hosts")]
    Host,
    /// The request comes from a web page of another origin; none has business here.
    #[error("requests of other pages are refused: Origin has another host or port than Host")]
    Origin,
    /// No token is configured, so nobody may purge or see what is stored.
    #[error("purging, switching and explaining are off: set [admin] token, or PANNIER_ADMIN_TOKEN")]
    NoToken,
    /// The token is absent or wrong.
    #[error("needs the field Authorization: Bearer TOKEN, with the configured token")]
    Unauthorized,
    /// The body is not declared to be JSON.
    #[error("needs Content-Type: application/json")]
    MediaType,
    /// The body is over [`MAX_BODY`].
    #[error("the body is over {MAX_BODY} bytes")]
    TooLarge,
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The body is not what the endpoint takes.
    #[error("{0}")]
    Malformed(String),
    /// There is no config to go back to.
    #[error("{0}")]
    NoRollback(String),
    /// What is ordered of jobs cannot be done.
    #[error(transparent)]
    Job(#[from] OrderError),
    /// The body names nothing to fetch.
    #[error("nothing to refresh: give urls, keys or tags")]
    NothingToRefresh,
    /// The body names nothing.
    #[error("nothing to purge: give keys, patterns or tags, or \"everything\": true")]
    Empty,
    /// A key, pattern or tag is the empty string.
    #[error("an empty string is no key, pattern or tag")]
    EmptySelector,
    /// More keys, patterns and tags than one purge may have.
    #[error("over {MAX_SELECTORS} keys, patterns and tags: split the purge")]
    TooMany,
}

impl Refusal {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Origin | Refusal::NoToken => StatusCode::FORBIDDEN,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Refusal::NoRollback(_) => StatusCode::CONFLICT,
            Refusal::Job(OrderError::Unknown(_)) => StatusCode::NOT_FOUND,
            Refusal::Job(OrderError::UnderWay(..)) => StatusCode::CONFLICT,
            Refusal::Job(OrderError::Unreachable(_) | OrderError::Leaving) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::BodyBroken
            | Refusal::Malformed(_)
            | Refusal::NothingToRefresh
            | Refusal::Empty
            | Refusal::EmptySelector
            | Refusal::TooMany => StatusCode::BAD_REQUEST,
        }
    }
}
