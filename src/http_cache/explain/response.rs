//! Whether an answer with a given head would be stored, and what would then be said of it.

use super::{Statement, of_itself};
use crate::http_cache::forgotten::forgotten;
use crate::http_cache::{Exchange, Policy, Reason, RequestHead, Stored, storable};

/// What would become of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// What [`storable()`] decides.
    pub verdict: Result<Stored, Reason>,
    /// Why.
    pub statements: Vec<Statement>,
}

/// Explains whether `response` to `request` would be stored, and for how long it would be fresh.
pub fn foresee(request: &RequestHead<'_>, response: &Exchange<'_>, policy: &Policy) -> Foreseen {
    let verdict = storable(request, response, policy);
    let statements = match &verdict {
        Ok(stored) => {
            let text = "yes, if its body is whole and not too large";
            let stored_at = response.response_time;
            let mut statements = vec![Statement::new("stored", text, "RFC 9111 §3")];
            statements.extend(of_itself(stored, policy, stored_at));
            for mistake in forgotten(response.headers, policy) {
                let text = format!("{}; {}", mistake.as_str(), mistake.remedy());
                statements.push(Statement::new("forgotten", text, "RFC 9110 §12.5.5"));
            }
            statements
        }
        Err(reason) => {
            let (because, clause) = against(*reason);
            let text = format!("no ({}): {because}", reason.as_str());
            vec![Statement::new("stored", text, clause)]
        }
    };
    Foreseen {
        verdict,
        statements,
    }
}

/// Why an answer is not stored.
fn against(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Method => ("only answers to GET are stored", "RFC 9111 §3"),
        Reason::Status => (
            "the status may not be stored without a lifetime stated for it, or at all",
            "RFC 9111 §3, §5.2.2.3",
        ),
        Reason::RequestNoStore => ("the request says no-store", "RFC 9111 §5.2.1.5"),
        Reason::NoStore => ("the answer says no-store", "RFC 9111 §5.2.2.5"),
        Reason::Private => ("the answer says private", "RFC 9111 §5.2.2.7"),
        Reason::SetCookie => ("it sets a cookie", "RFC 9111 §7.3"),
        Reason::Token => (
            "it hands over a token that its client is known by",
            "promise I8",
        ),
        Reason::VaryAny => ("no request selects it: Vary: *", "RFC 9111 §4.1"),
        Reason::Authorization => (
            "the request has Authorization, and the answer does not say that it may be shared",
            "RFC 9111 §3.5",
        ),
        Reason::Cookie => (
            "the request has Cookie, and the answer does not say that it may be shared",
            "promise I8",
        ),
        Reason::UnacceptedCoding => (
            "it is in a content coding that the request does not accept",
            "RFC 9110 §12.5.3",
        ),
        Reason::NoFreshness => (
            "it is never fresh and cannot be validated",
            "RFC 9111 §3, §4.2",
        ),
        Reason::Partial => ("it is partial", "RFC 9111 §3.3"),
        other => (other.as_str(), "RFC 9111 §3"),
    }
}
