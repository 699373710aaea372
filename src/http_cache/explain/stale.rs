//! How long past its lifetime it may be served, and what forbids it (RFC 9111 §4.2.4, RFC 5861).

use std::time::{Duration, SystemTime};

use super::Statement;
use super::words::seconds;
use crate::http_cache::directives::ResponseDirectives;
use crate::http_cache::{Policy, Stored};

pub(super) fn statements(stored: &Stored, policy: &Policy, now: SystemTime) -> Vec<Statement> {
    let directives = ResponseDirectives::under(&stored.headers, policy);
    if stored.must_revalidate {
        let (who, clause) = forbids(&directives);
        let text = format!("never served stale: {who}");
        return vec![Statement::new("stale use", text, clause)];
    }
    if stored.no_cache {
        let text = "never served stale: it is validated before each use";
        return vec![Statement::new("stale use", text, "RFC 9111 §4.2.4")];
    }
    let while_revalidating = Window {
        name: "stale-while-revalidate",
        open: stored.stale_while_revalidate,
        stated: directives.stale_while_revalidate,
        ruled: policy.stale_while_revalidate,
        clause: "RFC 5861 §3",
    };
    let on_error = Window {
        name: "stale-if-error",
        open: stored.stale_if_error,
        stated: directives.stale_if_error,
        ruled: policy.stale_if_error,
        clause: "RFC 5861 §4",
    };
    vec![
        while_revalidating.statement(stored, now),
        on_error.statement(stored, now),
    ]
}

fn forbids(directives: &ResponseDirectives) -> (&'static str, &'static str) {
    if directives.must_revalidate {
        ("must-revalidate", "RFC 9111 §5.2.2.2")
    } else if directives.proxy_revalidate {
        ("proxy-revalidate", "RFC 9111 §5.2.2.8")
    } else if directives.s_maxage.is_some() {
        (
            "s-maxage, which implies proxy-revalidate",
            "RFC 9111 §5.2.2.10",
        )
    } else {
        ("as decided when it was stored", "RFC 9111 §4.2.4")
    }
}

struct Window {
    name: &'static str,
    /// As stored; zero: none.
    open: Duration,
    stated: Option<Duration>,
    ruled: Option<Duration>,
    clause: &'static str,
}

impl Window {
    fn statement(&self, stored: &Stored, now: SystemTime) -> Statement {
        let text = format!("{}: {}", self.name, self.in_words(stored, now));
        Statement::new("stale use", text, self.clause)
    }

    fn in_words(&self, stored: &Stored, now: SystemTime) -> String {
        if self.open.is_zero() {
            let offered = self.stated.or(self.ruled).unwrap_or_default();
            return match offered.is_zero() {
                true => "no: neither the answer nor the rule allows any",
                false => "no, as decided when it was stored",
            }
            .to_owned();
        }
        let whose = if self.stated == Some(self.open) {
            "said by the answer"
        } else if self.stated.is_none() && self.ruled == Some(self.open) {
            "said by the rule"
        } else {
            "as decided when it was stored"
        };
        let window = format!("{} past the lifetime, {whose}", seconds(self.open));
        let past = stored.staleness(now);
        if stored.is_fresh(now) {
            let until = stored.lifetime.saturating_sub(stored.age(now));
            format!("{window}: begins in {}", seconds(until))
        } else if past <= self.open {
            format!("{window}: {} of it left", seconds(self.open - past))
        } else {
            format!("{window}: over for {}", seconds(past - self.open))
        }
    }
}
