//! What a write turned out to be, once both sides are known: which purge rules are for it, and whether it is one.

use http::{Method, StatusCode};

use super::effects::TemplateBodies;
use crate::config::PurgeRule;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::methods;
use crate::proxy::request::plan::Effects;
use crate::proxy::request::purge_rules;
use crate::routes::operation;

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The purge rules to carry out, as indexes into `config.purges`.
    pub rules: Vec<usize>,
    /// Rules of its method and path whose conditions do not hold, or that are for other answers.
    pub others: Vec<usize>,
    /// Whether the target is invalidated, too (RFC 9111 §4.4).
    pub is_write: bool,
    /// Whether it may change something that no rule is about.
    pub is_uncovered: bool,
}

/// Judges a write; `status`: of its answer, if there was one.
///
/// A POST need not be a write. Where rules name it, and none of their conditions hold, it is none: what they say is
/// what a write is. All other methods are (RFC 9110 §9.3).
pub fn judge(
    context: &RequestContext,
    effects: &Effects,
    bodies: TemplateBodies<'_>,
    status: Option<StatusCode>,
) -> Judgement {
    let purges = &context.live.config.purges;
    let mut methods = methods::methods_of(&context.parts);
    let by_body = methods::of_body(&context.parts, bodies.body);
    let may_be_any = by_body.is_none();
    methods.extend(by_body.unwrap_or_default());
    let is_of_method = |index: &&usize| {
        let rule = &purges[**index];
        may_be_any || methods.iter().any(|method| rule.is_for(method))
    };
    let named: Vec<usize> = effects
        .purges
        .iter()
        .filter(is_of_method)
        .copied()
        .collect();
    let holds = |index: &usize| {
        purge_rules::may_hold(context, &methods, *index, bodies.body, bodies.answer)
    };
    let may_be_none = !may_be_any && !named.is_empty() && methods.iter().all(|m| m == Method::POST);
    let (holding, mut others): (Vec<usize>, Vec<usize>) = named.into_iter().partition(holds);
    // A mutation for which none of its path's rules holds is told as well.
    let is_uncovered = holding.is_empty()
        && (others.is_empty()
            || operation::may_be_mutation(bodies.body, context.parts.uri.query()));
    let is_write = !holding.is_empty() || !may_be_none;
    let (rules, of_other_answers): (Vec<usize>, Vec<usize>) = holding
        .into_iter()
        .partition(|index| counts(&purges[*index], status));
    others.extend(of_other_answers);
    Judgement {
        rules,
        others,
        is_write,
        is_uncovered,
    }
}

/// Whether an answer of this status makes anything stale.
pub fn matters(context: &RequestContext, effects: &Effects, status: StatusCode) -> bool {
    let purges = &context.live.config.purges;
    is_success(status)
        || effects
            .purges
            .iter()
            .any(|index| counts(&purges[*index], Some(status)))
}

fn counts(rule: &PurgeRule, status: Option<StatusCode>) -> bool {
    match (status, &rule.statuses) {
        // It may have been any.
        (None, _) => true,
        (Some(status), Some(statuses)) => statuses.contains(&status),
        (Some(status), None) => is_success(status),
    }
}

fn is_success(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}
