//! The log tells once for each rule and kind what stands in the way of hits, and what the app forgets: bounded by
//! the rules, and told anew after a reload.

use http::HeaderMap;

use super::obstacle::{Obstacle, edits};
use super::of_answer::of_answer;
use super::of_request::of_request;
use crate::http_cache::forgotten::{Forgotten, forgotten};
use crate::http_cache::{Exchange, Reason};
use crate::live::{Rule, RuleFills};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::Lookup;

/// Bits of [`crate::live::RuleFills::tells_first`] beyond those of the reasons.
const FIRST_FORGOTTEN: usize = Reason::COUNT;
const _: () = assert!(FIRST_FORGOTTEN + 2 <= RuleFills::TOLD);

/// A request is not looked up because of `reason`.
pub(in crate::proxy) fn tell_passed(context: &RequestContext, rule: Option<usize>, reason: Reason) {
    let rule = context.live.rule(rule);
    if rule.fills.tells_first(reason.index()) {
        tell(context, rule, &of_request(context));
    }
}

/// An answer is not stored because of `reason`.
pub(in crate::proxy) fn tell_refused(
    context: &RequestContext,
    lookup: &Lookup,
    response: &Exchange<'_>,
    reason: Reason,
) {
    let rule = context.live.rule(lookup.rule);
    if rule.fills.tells_first(reason.index()) {
        tell(context, rule, &of_answer(context, lookup, response, None));
    }
}

/// An answer with these fields is stored.
pub(in crate::proxy) fn tell_forgotten(
    context: &RequestContext,
    rule: Rule<'_>,
    fields: &HeaderMap,
) {
    for mistake in forgotten(fields, rule.policy) {
        let bit = FIRST_FORGOTTEN + mistake as usize;
        if rule.fills.tells_first(bit) {
            warn(context, rule, mistake);
        }
    }
}

fn tell(context: &RequestContext, rule: Rule<'_>, obstacles: &[Obstacle]) {
    let edits = edits(obstacles);
    // What no config can lift is nobody's news.
    if edits.is_empty() {
        return;
    }
    let what: Vec<String> = obstacles
        .iter()
        .map(|obstacle| format!("{}: {}", obstacle.reason.as_str(), obstacle.what))
        .collect();
    let lift: Vec<String> = edits
        .iter()
        .map(|edit| format!("in {}: {} ({})", edit.table, edit.line, edit.means))
        .collect();
    tracing::info!(
        rule = rule.name().unwrap_or("-"),
        path = context.parts.uri.path(),
        in_the_way = what.join("; "),
        lift = lift.join("; "),
        "not a hit, and the next ones like it will not be; told once"
    );
}

fn warn(context: &RequestContext, rule: Rule<'_>, mistake: Forgotten) {
    tracing::warn!(
        rule = rule.name().unwrap_or("-"),
        path = context.parts.uri.path(),
        remedy = mistake.remedy(),
        "{}; told once for the rule",
        mistake.as_str()
    );
}
