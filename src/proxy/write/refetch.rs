//! What the purge rules of a write have asked for again (`then = "refetch"`): of what they purged, what was read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::Refetch;
use crate::observe::Target;
use crate::politeness::FetchOrigin;
use crate::proxy::cache::{self, Cache};
use crate::proxy::request::context::RequestContext;
use crate::proxy::unsent;
use crate::routes::Purge;

/// What a rule purged, that has it asked for again.
#[derive(Debug)]
pub(super) struct Refetched {
    pub(super) purge: Purge,
    pub(super) how: Refetch,
    /// When it is purged again.
    pub(super) again_after: Vec<Duration>,
}

/// A later purge is carried out so soon after its time.
const LATER_PURGE: Duration = Duration::from_millis(150);

/// Has it asked for, as nobody: what only somebody may read is theirs to ask for.
pub(super) fn begin(cache: &Arc<Cache>, write: &RequestContext, all: &[Refetched]) {
    let now = clock::monotonic();
    for refetched in all {
        let hot = hot(cache, refetched);
        let times = refetched.times(now);
        for (key, target) in hot {
            let url = format!("{}{}", target.origin, target.uri);
            if let Ok(mut context) = unsent::request(&url, &[], &write.live, write.pool) {
                context.fetch_origin = FetchOrigin::Refetch;
                cache::refetch(cache, context, &key, &times);
            }
        }
    }
}

/// What was read since it was stored, or is being asked for again already; what was fetched most often first.
fn hot(cache: &Cache, refetched: &Refetched) -> Vec<(String, Target)> {
    let Refetched { purge, how, .. } = refetched;
    let exact = purge.tags.iter().filter_map(|tag| tag.exact());
    let tags: Vec<u32> = exact.map(|tag| crc32fast::hash(tag.as_bytes())).collect();
    let is_hot = |key: &str| cache.read_marks.has(key) || cache.refetches.has(key);
    let is_wanted = |key: &str, tagged: &[u32]| {
        let is_covered = purge.keys.iter().any(|pattern| pattern.matches(key))
            || tagged.iter().any(|tag| tags.contains(tag));
        is_covered && is_hot(key)
    };
    let observations = cache.observations.lock();
    let mut targets = observations.targets(is_wanted);
    targets.truncate(how.max);
    targets
}

impl Refetched {
    /// When it is asked for: after the delay, and after each purge that is to come.
    fn times(&self, now: Instant) -> Vec<Instant> {
        let again = self.again_after.iter().map(|after| *after + LATER_PURGE);
        let after = std::iter::once(self.how.delay).chain(again);
        after.map(|after| now + after).collect()
    }
}
