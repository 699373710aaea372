//! Which purge rules a request may be for.

use http::Method;
use serde_json::Value;

use super::context::RequestContext;
use super::methods::methods_of;
use super::variables::template_scope;
use crate::routes::json;

/// The rules that name one of the methods, or all where it may be any, and the path in any reading of it, as indexes into
/// `config.purges`.
pub(in crate::proxy) fn matching(
    context: &RequestContext,
    methods: &[Method],
    may_be_any: bool,
) -> Vec<usize> {
    let config = &context.live.config;
    let readings = config
        .upstream
        .paths
        .readings_of_write(context.parts.uri.path());
    let rules = config.purges.iter().enumerate();
    let rules = rules
        .filter(|(_, purge)| may_be_any || methods.iter().any(|method| purge.is_for(method)))
        .filter(|(_, purge)| readings.iter().any(|path| purge.matcher.at(path).is_some()));
    rules.map(|(index, _)| index).collect()
}

/// Whether a rule for GETs may hold for this one, so that it is a write.
pub(in crate::proxy) fn may_be_for_read(context: &RequestContext) -> bool {
    if !context.live.config.has_purges_of_reads {
        return false;
    }
    let (methods, unknown) = (methods_of(&context.parts), json::unknown());
    let may_hold = |index| may_hold(context, &methods, index, None, Some(&unknown));
    matching(context, &methods, false).into_iter().any(may_hold)
}

/// Whether the conditions of rule `index` may hold, in any reading of the path.
pub(in crate::proxy) fn may_hold(
    context: &RequestContext,
    methods: &[Method],
    index: usize,
    body: Option<&Value>,
    answer: Option<&Value>,
) -> bool {
    let rule = &context.live.config.purges[index];
    if !rule.has_conditions() {
        return true;
    }
    let paths = &context.live.config.upstream.paths;
    let readings = paths.readings_of_write(context.parts.uri.path());
    readings
        .iter()
        .filter_map(|path| rule.matcher.at(path))
        .any(|matched| {
            let mut scope = template_scope(context, &matched.params, None);
            scope.body = body;
            scope.response = answer;
            let is_out = !rule.unless.is_empty() && rule.unless.surely_hold(&scope, methods);
            rule.when.may_hold(&scope, methods) && !is_out
        })
}
