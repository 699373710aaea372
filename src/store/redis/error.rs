//! What can go wrong with a command, as far as the answer to it differs.

/// Why Redis gave no answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It was waited for as long as `[redis] timeout` allows.
    Late,
    /// It could not be asked, or answered with an error.
    Failed,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        match error {
            Error::Timeout => Unanswered::Late,
            _ => Unanswered::Failed,
        }
    }
}

/// The right without which no script begins.
pub(super) const EVAL: &str = "+eval +evalsha";

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
    /// Redis runs and cannot answer: loading, no master, a script that does not end.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Redis demands a login, or refuses this one.
    #[error("login: {0}")]
    Login(String),
    /// The user lacks rights, in the words of `ACL SETUSER`: `+mget`, and `~` for the keys; empty if Redis
    /// does not say which.
    #[error("no rights: {0}")]
    Rights(String),
    /// A node of a cluster that is asked as a single Redis, a cluster that is not whole, or none.
    #[error("cluster: {0}")]
    Cluster(String),
    /// Redis has as many clients as it takes.
    #[error("too many clients: {0}")]
    Crowded(String),
    /// No command's failure: sidecars of this layout use the namespace, too.
    #[error(
        "sidecars of the stored layout {0} use this namespace too; Redis is left alone until they are gone"
    )]
    OtherLayout(u32),
    /// No command's failure: what is stored lacks purges, of another layout or by going back to older data.
    #[error("what is stored is void")]
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
            Error::Login(_) => "login",
            Error::Rights(_) => "rights",
            Error::Cluster(_) => "cluster",
            Error::Crowded(_) => "clients",
            Error::WrongType(_) => "undecodable",
            Error::NoRoom | Error::OtherLayout(_) | Error::Void | Error::Other(_) => "other",
        }
    }

    /// Whether the next command would fare the same; what the circuit breaker counts.
    pub(super) fn is_outage(&self) -> bool {
        matches!(
            self,
            Error::Timeout
                | Error::Connection(_)
                | Error::NotReady(_)
                | Error::Login(_)
                | Error::Rights(_)
                | Error::Cluster(_)
                | Error::Crowded(_)
        )
    }

    /// Whether Redis answers and takes no purge, so that what it holds is not to be trusted.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Error::ReadOnly(_) | Error::Rights(_) => true,
            // Another node of the cluster takes them.
            Error::Cluster(words) => words.starts_with("MOVED"),
            _ => false,
        }
    }
}

impl From<fred::error::Error> for Error {
    fn from(error: fred::error::Error) -> Self {
        use fred::error::ErrorKind;
        let details = || error.details().to_owned();
        match error.kind() {
            ErrorKind::Timeout => return Error::Timeout,
            ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing => {
                return Error::Connection(plain_words(error.details()));
            }
            _ => {}
        }
        if let Some(error) = tell_by_words(error.details()) {
            return error;
        }
        // A script's failure carries the inner error's word first, too.
        match error.details().split(' ').next().unwrap_or_default() {
            "OOM" => Error::Full(details()),
            "READONLY" | "MISCONF" | "NOREPLICAS" => Error::ReadOnly(details()),
            "LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN" => Error::NotReady(details()),
            "NOAUTH" | "WRONGPASS" => Error::Login(details()),
            "NOPERM" => Error::Rights(read_right(error.details())),
            "CLUSTERDOWN" | "MOVED" | "ASK" => Error::Cluster(details()),
            "WRONGTYPE" => Error::WrongType(details()),
            _ => match error.kind() {
                // fred's word for a command that it could not hand to a connection.
                ErrorKind::Unknown if !is_reply(error.details()) => {
                    Error::Connection(plain_words(error.details()))
                }
                ErrorKind::Tls => Error::Connection(plain_words(error.details())),
                ErrorKind::Cluster => Error::Cluster(details()),
                ErrorKind::Auth => Error::Login(details()),
                // Of the primary that sentinels have named.
                _ if error.details().starts_with("Os {") => {
                    Error::Connection(plain_words(error.details()))
                }
                _ => Error::Other(details()),
            },
        }
    }
}

/// What Redis answers with `ERR`, and tells by the words behind it alone.
fn tell_by_words(details: &str) -> Option<Error> {
    let contains = |words| details.contains(words);
    if contains("max number of clients") {
        return Some(Error::Crowded(details.to_owned()));
    }
    if contains("cluster support disabled") {
        return Some(Error::Cluster(details.to_owned()));
    }
    // Which command that was, is not said.
    if contains("user executing the script can't run") {
        return Some(Error::Rights(String::new()));
    }
    if contains("user executing the script can't access") {
        return Some(Error::Rights("~".to_owned()));
    }
    None
}

/// The right that a `NOPERM` misses: `... to run the 'client|tracking' command`, or to access a key.
fn read_right(details: &str) -> String {
    match details.split('\'').nth(1) {
        // Each script needs both, sooner or later.
        Some("eval" | "evalsha") => EVAL.to_owned(),
        Some(command) => format!("+{command}"),
        None if details.contains("key") => "~".to_owned(),
        None => String::new(),
    }
}

/// The words in what fred made of an error of the system or of TLS: `Os { code: 111, kind: ConnectionRefused,
/// message: "Connection refused" }` and `Custom { kind: InvalidData, error: ... }`.
fn plain_words(details: &str) -> String {
    let inner = ["message: ", "error: "]
        .into_iter()
        .find_map(|name| details.split_once(name));
    match inner {
        Some((start, inner)) if start.ends_with("{ ") || start.ends_with(", ") => {
            let inner = inner.trim_end_matches([' ', '}']);
            inner.trim_matches('"').to_owned()
        }
        _ => details.to_owned(),
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
                "login",
                true,
            ),
            (
                "no right",
                ErrorKind::Unknown,
                "NOPERM this user has no permissions to run the 'get' command",
                "rights",
                true,
            ),
            (
                "full house",
                ErrorKind::Unknown,
                "ERR max number of clients reached",
                "clients",
                true,
            ),
            (
                "moved",
                ErrorKind::Cluster,
                "MOVED 3999 127.0.0.1:6381",
                "cluster",
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

    #[test]
    fn words_of_the_system_and_of_tls_have_no_debug_form() {
        for (details, words) in [
            (
                "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
                "Connection refused",
            ),
            (
                "Custom { kind: Uncategorized, error: \"failed to lookup address\" }",
                "failed to lookup address",
            ),
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
                "InvalidCertificate(UnknownIssuer)",
            ),
            ("Connection closed.", "Connection closed."),
        ] {
            assert_eq!(plain_words(details), words);
        }
    }

    #[test]
    fn the_missing_right_is_read_from_the_words() {
        for (details, rights) in [
            (
                "NOPERM this user has no permissions to run the 'client|tracking' command",
                "+client|tracking",
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                "~",
            ),
            ("NOPERM No permissions to access a key", "~"),
            (
                "NOPERM this user has no permissions to run the 'evalsha' command",
                "+eval +evalsha",
            ),
            (
                "ERR The user executing the script can't run this command or subcommand script: b1",
                "",
            ),
        ] {
            let error = Error::from(Fred::new(ErrorKind::Unknown, details));
            assert_eq!(error, Error::Rights(rights.to_owned()), "{details}");
        }
    }
}
