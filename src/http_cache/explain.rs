//! Why what is stored is fresh, stale or unusable for a request, in words, each with its clause.
//!
//! The verdict is [`reuse()`]'s own and is never decided a second time: all else here puts into words
//! what [`reuse()`] read. Values of fields that may hold a credential are never shown.

mod age;
mod decision;
mod demands;
mod lifetime;
mod response;
mod selection;
mod stale;
mod terms;
mod words;

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::reuse::{Reuse, reuse, until_confirmed};
use super::{Policy, Reason, RequestHead, Stored};

pub use response::{Foreseen, foresee};

/// One thing that is so, and where that is laid down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it is about, such as `age`.
    pub topic: Cow<'static, str>,
    /// In words.
    pub text: String,
    /// The clause of the RFC, the promise (`I8`) or the setting of the rule it follows from.
    pub clause: Cow<'static, str>,
}

impl Statement {
    fn new(
        topic: &'static str,
        text: impl Into<String>,
        clause: impl Into<Cow<'static, str>>,
    ) -> Statement {
        Statement {
            topic: topic.into(),
            text: text.into(),
            clause: clause.into(),
        }
    }
}

/// What a stored response is to a request, before the request's own directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its lifetime exceeds its age (RFC 9111 §4.2).
    Fresh,
    /// It does not.
    Stale,
    /// It says `no-cache`: of use after a validation only (RFC 9111 §5.2.2.4).
    Unvalidated,
    /// The request does not select it (RFC 9111 §4.1), or another one goes first.
    Unselected,
}

impl State {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Stale => "stale",
            State::Unvalidated => "unusable without validation",
            State::Unselected => "unusable for this request",
        }
    }
}

/// What there is to say of one stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In one word.
    pub state: State,
    /// Why.
    pub statements: Vec<Statement>,
}

/// What would be done with a request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What [`reuse()`] decides.
    pub verdict: Reuse,
    /// The word that `Cache-Status` and the metrics have for it before the app is asked.
    pub reason: Reason,
    /// The verdict in words, and what of the request bears on it.
    pub decision: Vec<Statement>,
    /// In the order of the stored responses given.
    pub standings: Vec<Standing>,
}

/// Explains what is done with `request` at `now`, given all that is stored under its key.
///
/// `selected` is the place in `variants` of the response that answers, if any selects the request.
pub fn explain(
    request: &RequestHead<'_>,
    variants: &[&Stored],
    selected: Option<usize>,
    policy: &Policy,
    now: SystemTime,
) -> Explained {
    let chosen = selected.and_then(|place| variants.get(place)).copied();
    let verdict = reuse(request, chosen, !variants.is_empty(), policy, now);
    let standing = |(place, stored): (usize, &&Stored)| {
        let is_chosen = selected == Some(place);
        standing(request, stored, is_chosen, policy, now)
    };
    let mut decision = vec![decision::statement(verdict, chosen, now)];
    decision.extend(terms::identity(request, chosen, policy));
    decision.extend(demands::statements(request, chosen, now));
    decision.extend(decision::own_conditions(request, verdict, chosen));
    Explained {
        verdict,
        reason: decision::reason(verdict),
        decision,
        standings: variants.iter().enumerate().map(standing).collect(),
    }
}

/// As [`explain()`], where what is stored may have been purged without a word: see [`until_confirmed`].
pub fn explain_unconfirmed(
    request: &RequestHead<'_>,
    variants: &[&Stored],
    selected: Option<usize>,
    policy: &Policy,
    now: SystemTime,
) -> Explained {
    let mut explained = explain(request, variants, selected, policy, now);
    let Some(chosen) = selected.and_then(|place| variants.get(place)) else {
        return explained;
    };
    let verdict = until_confirmed(explained.verdict, chosen, now);
    if verdict != explained.verdict {
        // What is not served answers no condition of the request.
        explained.decision.retain(|said| said.topic != "conditions");
        explained.decision[0] = decision::unconfirmed(chosen, verdict);
        explained.verdict = verdict;
        explained.reason = decision::reason(verdict);
    }
    explained
}

fn standing(
    request: &RequestHead<'_>,
    stored: &Stored,
    is_chosen: bool,
    policy: &Policy,
    now: SystemTime,
) -> Standing {
    let state = match stored {
        _ if !is_chosen => State::Unselected,
        _ if stored.no_cache => State::Unvalidated,
        _ if stored.is_fresh(now) => State::Fresh,
        _ => State::Stale,
    };
    let mut statements = vec![selection::statement(request, stored, is_chosen)];
    statements.extend(of_itself(stored, policy, now));
    Standing { state, statements }
}

/// What holds of a stored response whoever asks.
fn of_itself(stored: &Stored, policy: &Policy, now: SystemTime) -> Vec<Statement> {
    let mut statements = age::statements(stored, now);
    statements.extend(lifetime::statements(stored, policy, now));
    statements.extend(terms::no_cache(stored, policy));
    statements.extend(stale::statements(stored, policy, now));
    statements.push(terms::validator(stored));
    statements
}

#[cfg(test)]
mod tests;
