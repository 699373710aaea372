//! Writes remembered for a while, to find out which of them changed what a rule in shadow has.

use std::sync::Arc;
use std::time::SystemTime;

use crate::clock;
use crate::http_cache::invalidation;
use crate::proxy::cache::{Cache, millis};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::methods::{acting_method, name_of};
use crate::rollout::Write;

/// A write that came at `came` has been taken by the app, or may have been.
pub(super) fn note(cache: &Cache, context: &RequestContext, came: SystemTime) {
    let method = acting_method(&context.parts);
    if invalidation::is_safe(&method) {
        return;
    }
    let path = context.parts.uri.path();
    let write = Write::new(
        name_of(&method),
        path,
        millis(came),
        millis(cache.clock.now()),
    );
    cache.evidence.lock().writes.note(write);
}

/// A write that is not answered yet, or whose purge is not done.
pub(super) struct UnderWay {
    cache: Arc<Cache>,
    number: u64,
}

impl UnderWay {
    /// From now on.
    pub(super) fn begin(cache: &Arc<Cache>) -> UnderWay {
        let number = cache.evidence.lock().under_way.begin(clock::monotonic());
        UnderWay {
            cache: cache.clone(),
            number,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cache.evidence.lock().under_way.end(self.number);
        self.cache.examinations.write_has_ended();
    }
}
