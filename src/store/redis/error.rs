//! What can go wrong with a command, as far as the answer to it differs.

/// Redis did not answer a lookup in time, or with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// A command's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum Error {
    /// No connection, no session, or the circuit breaker is open: nothing was sent, or what was sent counts for
    /// nothing, since its session has ended.
    #[error("not connected")]
    Down,
    /// Not read, since it is long and nothing long fits into what may be in flight.
    #[error("no room for a long entry in [memory] in_flight")]
    NoRoom,
    /// No answer in time; the command may still be carried out.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke; the command may have been carried out.
    #[error("connection: {0}")]
    Connection(String),
    /// `maxmemory` is reached.
    #[error("full: {0}")]
    Full(String),
    /// Writes are refused: a replica, or a failed save.
    #[error("read-only: {0}")]
    ReadOnly(String),
    /// Redis runs and cannot answer: loading, no master, no login.
    #[error("not ready: {0}")]
    NotReady(String),
    /// No command's failure: sidecars of this layout use the namespace, too.
    #[error(
        "sidecars of the stored layout {0} use this namespace too; Redis is left alone until they are gone"
    )]
    OtherLayout(u32),
    /// No command's failure: another layout was in use, and what was stored before is still there.
    #[error("what is stored may lack purges of another layout")]
    Void,
    /// Another type is stored under the name.
    #[error("{0}")]
    WrongType(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The label of `pannier_redis_errors_total`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Error::Timeout => "timeout",
            Error::Down | Error::Connection(_) => "connection",
            Error::Full(_) => "full",
            Error::ReadOnly(_) => "readonly",
            Error::NotReady(_) => "loading",
            Error::WrongType(_) => "undecodable",
            Error::NoRoom | Error::OtherLayout(_) | Error::Void | Error::Other(_) => "other",
        }
    }

    /// Whether the next command would fare the same; what the circuit breaker counts.
    pub(super) fn is_outage(&self) -> bool {
        matches!(
            self,
            Error::Timeout | Error::Connection(_) | Error::NotReady(_)
        )
    }
}

impl From<fred::error::Error> for Error {
    fn from(error: fred::error::Error) -> Self {
        use fred::error::ErrorKind;
        let details = || error.details().to_owned();
        match error.kind() {
            ErrorKind::Timeout => return Error::Timeout,
            ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing => {
                return Error::Connection(details());
            }
            _ => {}
        }
        // A script's failure carries the inner error's word first, too.
        match error.details().split(' ').next().unwrap_or_default() {
            "OOM" => Error::Full(details()),
            "READONLY" | "MISCONF" | "NOREPLICAS" => Error::ReadOnly(details()),
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH" | "WRONGPASS" | "BUSY"
            | "MOVED" | "ASK" | "TRYAGAIN" => Error::NotReady(details()),
            "WRONGTYPE" => Error::WrongType(details()),
            _ => match error.kind() {
                // fred's word for a command that it could not hand to a connection.
                ErrorKind::Unknown if !is_reply(error.details()) => Error::Connection(details()),
                ErrorKind::Cluster | ErrorKind::Auth => Error::NotReady(details()),
                _ => Error::Other(details()),
            },
        }
    }
}

/// Redis's error replies begin with a word in capitals.
fn is_reply(details: &str) -> bool {
    let word = details.split(' ').next().unwrap_or_default();
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use fred::error::{Error as Fred, ErrorKind};

    use super::*;

    #[test]
    fn kinds() {
        for (case, kind, details, label, outage) in [
            (
                "timeout",
                ErrorKind::Timeout,
                "Request timed out.",
                "timeout",
                true,
            ),
            (
                "closed",
                ErrorKind::IO,
                "Connection closed.",
                "connection",
                true,
            ),
            (
                "refused early",
                ErrorKind::Canceled,
                "Connection closed unexpectedly.",
                "connection",
                true,
            ),
            (
                "no route",
                ErrorKind::Unknown,
                "Failed to route command.",
                "connection",
                true,
            ),
            (
                "full",
                ErrorKind::Unknown,
                "OOM command not allowed when used memory > 'maxmemory'.",
                "full",
                false,
            ),
            (
                "replica",
                ErrorKind::Unknown,
                "READONLY You can't write against a read only replica.",
                "readonly",
                false,
            ),
            (
                "failed save",
                ErrorKind::Unknown,
                "MISCONF Redis is configured to save RDB snapshots",
                "readonly",
                false,
            ),
            (
                "loading",
                ErrorKind::Unknown,
                "LOADING Redis is loading the dataset in memory",
                "loading",
                true,
            ),
            (
                "no login",
                ErrorKind::Auth,
                "NOAUTH Authentication required.",
                "loading",
                true,
            ),
            (
                "moved",
                ErrorKind::Cluster,
                "MOVED 3999 127.0.0.1:6381",
                "loading",
                true,
            ),
            (
                "type",
                ErrorKind::InvalidArgument,
                "WRONGTYPE Operation against a key",
                "undecodable",
                false,
            ),
            (
                "script",
                ErrorKind::Unknown,
                "ERR user_script:1: no",
                "other",
                false,
            ),
        ] {
            let error = Error::from(Fred::new(kind, details));
            assert_eq!(error.kind(), label, "{case}");
            assert_eq!(error.is_outage(), outage, "{case}");
        }
    }
}
