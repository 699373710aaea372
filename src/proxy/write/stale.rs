//! All that a write makes stale, as far as both sides are known.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use prometheus::IntCounterVec;
use serde_json::Value;

use super::effects::{Answers, MissingVariable, TemplateBodies};
use super::judge::{self, Judgement};
use super::refetch::Refetched;
use super::{before, effects};
use crate::body::{Copy, Progress};
use crate::proxy::cache::Cache;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Effects;
use crate::proxy::request::variables;
use crate::routes::{Pattern, Purge, Purges, shape_of};

/// A write as far as it is known.
#[derive(Clone, Copy)]
pub(super) struct Known<'w> {
    pub(super) cache: &'w Cache,
    pub(super) context: &'w RequestContext,
    pub(super) effects: &'w Effects,
    pub(super) copy: Option<&'w Copy>,
    pub(super) progress: &'w Progress,
    /// Tags of the groups that the target was in when the write came.
    pub(super) companions: &'w [Pattern],
    /// What was stored for the target then, if a rule reads it.
    pub(super) before: Option<&'w Value>,
}

impl Known<'_> {
    /// All that a write which may have succeeded makes stale: what the purge rules name, and the target
    /// itself (RFC 9111 §4.4) with its groups (RFC 9875 §2.2.1). The target is removed whatever the rules say of it:
    /// what §4.4 invalidates is not served before the app has confirmed it. Returned is also what rules have asked for
    /// again.
    pub(super) fn purge(
        self,
        purges: &mut Purges,
        received: Option<Bytes>,
        answer: Option<(StatusCode, &HeaderMap)>,
    ) -> (Judgement, Vec<Refetched>) {
        let cap = self.context.live.config.defaults.max_variables;
        let headers = &self.context.parts.headers;
        let body = variables::read_body(headers, self.sent().as_deref(), cap);
        let received = variables::read_json(received.as_deref(), cap);
        let bodies = TemplateBodies {
            body: body.as_ref(),
            answer: received.as_ref(),
            before: self.before,
        };
        let (status, fields) = answer.unzip();
        let judgement = judge::judge(self.context, self.effects, bodies, status);
        let mut refetched = Vec::new();
        for index in &judgement.rules {
            let purge = self.bind(*index, bodies);
            refetched.extend(self.refetched(*index, &purge));
            purges.absorb(purge);
        }
        if !judgement.is_write {
            return (judgement, refetched);
        }
        let status = status.unwrap_or(StatusCode::OK);
        let answers = Answers::of_write(self.context, &judgement.rules);
        let invalidated = effects::invalidated(self.context, status, fields, answers);
        if !invalidated.is_empty() {
            let tags = &mut purges.hard.tags;
            tags.extend(self.companions.iter().cloned());
            tags.extend(before::companions_in_memory(self.cache, self.context));
        }
        purges.hard.keys.extend(invalidated);
        (judgement, refetched)
    }

    /// What the rule has asked for again of what it purges.
    fn refetched(self, index: usize, purge: &Purge) -> Option<Refetched> {
        let rule = &self.context.live.config.purges[index];
        rule.refetch.map(|how| Refetched {
            purge: purge.clone(),
            how,
            again_after: rule.again_after.clone(),
        })
    }

    /// The body that was sent; `None`: it is over the cap, or the app answered before it had all of it, and what it
    /// may have read further is not known.
    fn sent(self) -> Option<Vec<u8>> {
        let copy = self.copy.filter(|_| self.progress.is_whole());
        copy.and_then(Copy::copied)
    }

    fn bind(self, index: usize, bodies: TemplateBodies<'_>) -> Purge {
        let rule = self.context.live.config.purges[index].name.as_str();
        // Half a request must not be a way to empty the store: it purges what it names, and no more.
        let missing = if self.progress.broke() {
            MissingVariable::Skipped
        } else {
            MissingVariable::MatchesAny
        };
        let bound = effects::bind(self.context, index, bodies, missing);
        let metrics = &self.cache.metrics;
        metrics.purges.with_label_values(&[rule]).inc();
        if bound.absent > 0 && missing == MissingVariable::MatchesAny {
            let count = |counter: &IntCounterVec, by: usize| {
                counter.with_label_values(&[rule]).inc_by(by as u64);
            };
            count(&metrics.purge_variables_absent, bound.absent);
            count(&metrics.purge_lists_too_long, bound.too_many);
            let path = shape_of(self.context.parts.uri.path());
            let (absent, too_long) = (bound.absent, bound.too_many);
            // A line for each such write, as far as the log takes them.
            tracing::info!(
                target: "pannier::writes",
                rule,
                absent,
                too_long,
                path,
                "purge widened: variables absent from the write"
            );
        }
        bound.purge
    }
}
