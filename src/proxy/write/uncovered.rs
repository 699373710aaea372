//! Writes that succeed, match no purge rule and lie near what a route caches: a rule may be missing.

use crate::http_cache::invalidation;
use crate::metrics::Metrics;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::methods::name_of;
use crate::rollout::Mode;
use crate::routes::{is_near, shape_of};

/// Counts such a write by the shape of its path, and tells of each shape once.
pub(super) fn note(context: &RequestContext, metrics: &Metrics) {
    // A GET that names another method need not be one to the app.
    if invalidation::is_safe(&context.parts.method) {
        return;
    }
    let path = context.parts.uri.path();
    let routes = &context.live.config.routes;
    let near = routes
        .iter()
        .find(|route| route.settings.rollout.mode != Mode::Off && is_near(&route.path, path));
    let Some(near) = near else {
        return;
    };
    let (method, shape) = (name_of(&context.parts.method), shape_of(path));
    if metrics.uncovered_writes.note(method, &shape) {
        tracing::info!(
            method,
            path = shape,
            near = near.name,
            "a write that no purge rule covers: add [[purge]] path = \"{shape}\" with the keys and tags that it changes, \
             or keys = [] if it changes nothing that is cached"
        );
    }
}
