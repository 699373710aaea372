//! What a check says, by its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;

use super::document;
use crate::config::Auth;
use crate::routes::json;

/// A check that failed is not made again for the same credentials for so long, so that an app that does not answer
/// costs one timeout and not one a request.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// What is known of whoever asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The app knows them, and says this of them.
    Allowed(Arc<Value>),
    /// They bring nothing by which anybody could be known: no check was made.
    Nobody,
    /// The app does not let them in.
    Denied,
    /// The app could not be asked, or gave no answer that can be used.
    Failed,
}

/// A verdict that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What was said.
    pub verdict: Verdict,
    /// When the app was asked.
    pub asked: Instant,
    /// Until when it holds.
    pub until: Instant,
}

impl Verdict {
    /// Of an answer with this status; `None`: its body is too long, broken, or in a coding that cannot be read.
    pub fn of_answer(auth: &Auth, status: StatusCode, body: Option<&[u8]>) -> Verdict {
        if !auth.allow.contains(&status) {
            // They say nothing of the credentials.
            let is_trouble = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                );
            return match is_trouble {
                true => Verdict::Failed,
                false => Verdict::Denied,
            };
        }
        let Some(body) = body else {
            return Verdict::Failed;
        };
        match json::parse(body).map(|document| document.value) {
            // Auth.js and its kind: 200 for everyone, with nobody in it.
            Some(document) if is_nobody(&document) => Verdict::Denied,
            Some(document) => Verdict::Allowed(Arc::new(document::extract(&document, &auth.names))),
            // 204: the status says it all. A page to log in by says nothing.
            None if body.is_empty() => Verdict::Allowed(Arc::new(json::unknown())),
            None => Verdict::Failed,
        }
    }

    /// What templates read of it; `None`: nothing is known.
    pub fn document(&self) -> Option<&Value> {
        match self {
            Verdict::Allowed(document) => Some(document),
            Verdict::Nobody => Some(&Value::Null),
            Verdict::Denied | Verdict::Failed => None,
        }
    }

    /// Kept from `asked` for as long as it holds.
    pub fn kept(self, asked: Instant, auth: &Auth) -> Decision {
        let holds = match self {
            Verdict::Failed => auth.ttl.min(FAILED_FOR),
            _ => auth.ttl,
        };
        Decision {
            verdict: self,
            asked,
            until: asked + holds,
        }
    }

    /// The word in the metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Allowed(_) => "allowed",
            Verdict::Nobody => "nobody",
            Verdict::Denied => "denied",
            Verdict::Failed => "failed",
        }
    }
}

/// Whether a document is of nobody, though the status says yes, as Auth.js and its kind have it: nothing in it but what is
/// null, false or empty, or no user and no session.
fn is_nobody(document: &Value) -> bool {
    match document {
        Value::Null | Value::Bool(false) => true,
        Value::Object(members) => {
            let is_none = |name| members.get(name).is_some_and(is_nobody);
            members.values().all(is_nobody) || is_none("user") || is_none("session")
        }
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use serde_json::json;

    use super::*;
    use crate::routes::CheckedCredentials;

    #[test]
    fn verdicts_by_answer() {
        let auth = Auth {
            url: PathAndQuery::from_static("/session"),
            credentials: CheckedCredentials::default(),
            allow: vec![StatusCode::OK, StatusCode::NO_CONTENT],
            ttl: Duration::from_secs(30),
            timeout: Duration::from_secs(2),
            max: 1,
            max_checks: 1,
            max_body: 1,
            names: vec![vec!["role".to_owned()]],
        };
        let allowed = |document| Verdict::Allowed(Arc::new(document));
        let rows: [(u16, Option<&str>, Verdict); 18] = [
            (
                200,
                Some(r#"{"role": "a", "x": 1}"#),
                allowed(json!({ "role": "a" })),
            ),
            (200, Some(r#"{"x": 1}"#), allowed(json!({}))),
            (
                200,
                Some(r#"{"role": "a", "role": "b"}"#),
                allowed(json!({ "role": json::unknown() })),
            ),
            (200, Some("[1]"), allowed(json::unknown())),
            (204, Some(""), allowed(json::unknown())),
            (200, Some("<html>"), Verdict::Failed),
            (200, Some(r#"{"user": null, "csrf": "x"}"#), Verdict::Denied),
            (
                200,
                Some(r#"{"authenticated": false, "roles": []}"#),
                Verdict::Denied,
            ),
            (
                200,
                Some(r#"{"session": {}, "role": "a"}"#),
                Verdict::Denied,
            ),
            (200, Some("{}"), Verdict::Denied),
            (200, Some("null"), Verdict::Denied),
            (200, Some("false"), Verdict::Denied),
            (200, None, Verdict::Failed),
            (401, Some(r#"{"role": "a"}"#), Verdict::Denied),
            (302, None, Verdict::Denied),
            (429, Some(""), Verdict::Failed),
            (408, Some(""), Verdict::Failed),
            (503, Some(r#"{"role": "a"}"#), Verdict::Failed),
        ];
        for (status, body, expected) in rows {
            let of = StatusCode::from_u16(status).expect("a status");
            let found = Verdict::of_answer(&auth, of, body.map(str::as_bytes));
            assert_eq!(found, expected, "{status} {body:?}");
        }
        let now = crate::clock::monotonic();
        let holds = |verdict: Verdict| verdict.kept(now, &auth).until - now;
        assert_eq!(holds(Verdict::Denied), auth.ttl);
        assert_eq!(holds(Verdict::Failed), FAILED_FOR);
    }
}
