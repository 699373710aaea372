//! What the app's answer is, for what it was asked. Values in, a decision out.

use http::{HeaderMap, StatusCode};

use super::options::FetchMode;
use crate::http_cache::{Stored, validation};

/// What an answer is for the fill that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A 304 about what is stored: it holds (RFC 9111 §4.3.3).
    Confirms,
    /// A 304 to the client's own conditions: the client has it.
    ClientHasIt,
    /// A 206 with what a stored part lacks (RFC 9111 §3.4).
    Completes,
    /// What is stored is of no use: the whole is to be asked for, without conditions.
    AskForWhole,
    /// Never asked for, or a failure that something stored takes the place of.
    Unusable,
    /// To be passed on, and stored if it may be.
    Response,
}

/// What the app was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) mode: &'a FetchMode,
    /// What the request asked about, if it can be validated.
    pub(super) stale: Option<&'a Stored>,
    /// What becomes of a failure.
    pub(super) on_failure: OnFailure,
    /// Whose conditions the request had, where it had none of what is stored.
    pub(super) conditions: Conditions,
}

/// What a failure of the app (RFC 5861 §4) comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// The client gets it.
    PassOn,
    /// What is stored is served instead.
    ServeStale,
}

/// The conditions of the client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conditions {
    /// It had some, which a request `AsClient` or `Conditional` hands on.
    Some,
    /// It had none.
    None,
}

impl Question<'_> {
    /// What an answer with `status` and `fields` is.
    pub(super) fn judge(self, status: StatusCode, fields: &HeaderMap) -> Verdict {
        match (self.mode, status) {
            (FetchMode::MissingRange(_), StatusCode::PARTIAL_CONTENT) => Verdict::Completes,
            // Shorter than it was.
            (FetchMode::MissingRange(_), StatusCode::RANGE_NOT_SATISFIABLE) => Verdict::AskForWhole,
            (_, StatusCode::NOT_MODIFIED) => self.judge_not_modified(fields),
            (FetchMode::AsClient, StatusCode::PARTIAL_CONTENT) => Verdict::Response,
            // Never asked for (reliability.md A3).
            (_, StatusCode::PARTIAL_CONTENT) => Verdict::Unusable,
            (_, status) if self.on_failure == OnFailure::ServeStale && is_failure(status) => {
                Verdict::Unusable
            }
            _ => Verdict::Response,
        }
    }

    fn judge_not_modified(self, fields: &HeaderMap) -> Verdict {
        match (self.mode, self.stale, self.conditions) {
            (FetchMode::Full | FetchMode::Conditional, Some(stale), _) => {
                // RFC 9111 §4.3.4: what is stored is not what the app says is unchanged.
                if validation::is_about(stale, fields) {
                    Verdict::Confirms
                } else {
                    Verdict::AskForWhole
                }
            }
            (FetchMode::Conditional | FetchMode::AsClient, _, Conditions::Some) => {
                Verdict::ClientHasIt
            }
            // Never asked for (reliability.md A3).
            _ => Verdict::Unusable,
        }
    }
}

/// RFC 5861 §4 names these.
pub(in crate::proxy::cache) fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
