//! Requests with a body that a route answers by it: reads, as far as it is sure that they are.

use http::Method;

use super::context::RequestContext;
use super::methods::{methods_of, of_body_of_read};
use super::purge_rules;
use super::variables::template_scope;
use crate::config::Route;
use crate::routes::{json, operation};

/// Whether the request has a method that its route answers by the body.
pub fn is_by_body(context: &RequestContext, rule: Option<usize>) -> bool {
    is_by_body_of(context, context.live.rule(rule).route)
}

/// As [`is_by_body`], for its route.
pub fn is_by_body_of(context: &RequestContext, route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.reads_body_of(&context.parts.method))
}

/// Whether a request that its route answers by the body may be a write all the same: it is to be taken for another
/// method, the route's conditions do not surely hold, it may be a mutation and none of them tells mutations from queries,
/// or a purge rule may be for it: of what could not be read any rule whose conditions may hold. A QUERY is none by its method (draft-ietf-httpbis-safe-method-w-body §2).
pub fn may_be_write(
    context: &RequestContext,
    rule: Option<usize>,
    params: &[(&str, &str)],
) -> bool {
    let methods = methods_of(&context.parts);
    let by_body = of_body_of_read(&context.parts, context.sent.document());
    let may_be_any = by_body.is_none();
    if methods.len() > 1 || by_body.is_some_and(|methods| !methods.is_empty()) {
        return true;
    }
    if context.parts.method == Method::QUERY {
        return false;
    }
    let unknown = json::unknown();
    let (body, answer) = (context.sent.document(), Some(&unknown));
    let may_hold = |index| purge_rules::may_hold(context, &methods, index, body, answer);
    !meets_conditions(context, rule, params)
        || may_be_mutation(context, rule)
        || purge_rules::matching(context, &methods, may_be_any)
            .into_iter()
            .any(may_hold)
}

/// Whether it may be a mutation, sent by its hash perhaps, and its route says nothing of which operations are reads.
fn may_be_mutation(context: &RequestContext, rule: Option<usize>) -> bool {
    let tells = |route: &Route| route.when.tell_operations() || route.unless.tell_operations();
    let (body, query) = (context.sent.document(), context.parts.uri.query());
    operation::may_be_mutation(body, query) && !context.live.rule(rule).route.is_some_and(tells)
}

/// Whether the route's `when` surely holds, and its `unless` surely does not.
pub fn meets_conditions(
    context: &RequestContext,
    rule: Option<usize>,
    params: &[(&str, &str)],
) -> bool {
    let Some(route) = context.live.rule(rule).route else {
        return true;
    };
    if route.when.is_empty() && route.unless.is_empty() {
        return true;
    }
    let methods = methods_of(&context.parts);
    let scope = template_scope(context, params, None);
    let is_out = !route.unless.is_empty() && route.unless.may_hold(&scope, &methods);
    route.when.surely_hold(&scope, &methods) && !is_out
}
