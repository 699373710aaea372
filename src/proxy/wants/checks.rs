//! Checks under way in this process: one at a time for the same credentials, and a bounded number in all (promise I7).

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::auth::Digest;
use crate::proxy::request::context::Asker;
use crate::store::Mark;

/// The checks under way.
#[derive(Debug, Default)]
pub struct Checks(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    by_digest: AHashMap<Digest, Flight>,
    /// Those that another has taken the place of among them.
    count: usize,
    next_number: u64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    mark: Mark,
    result: Said,
}

/// What will be said.
pub(super) type Said = watch::Receiver<Option<Checked>>;

/// What a check has come to.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) asker: Asker,
    /// Whether it has waited for Redis in vain, and with it those who waited for it.
    pub(super) redis_is_late: bool,
}

/// What a request is to the check of its credentials.
pub(super) enum Role {
    /// Makes it.
    Leader(Leader, Said),
    /// Waits for it.
    Waiter(Said),
    /// There are too many.
    Full,
}

/// The duty to end a check: dropped, it leaves those who wait without an answer.
#[derive(Debug)]
pub(super) struct Leader {
    checks: Arc<Checks>,
    digest: Digest,
    number: u64,
    /// A moment before it began.
    pub(super) mark: Mark,
    result: watch::Sender<Option<Checked>>,
}

impl Checks {
    /// Joins the check of `digest`, unless there is none or it `is_overtaken`: then leads a new one, if fewer than `max`
    /// are under way.
    pub(super) fn enter(
        self: &Arc<Self>,
        digest: Digest,
        mark: Mark,
        max: usize,
        is_overtaken: impl Fn(Mark) -> bool,
    ) -> Role {
        let mut under_way = self.0.lock();
        if let Some(flight) = under_way.by_digest.get(&digest)
            && !is_overtaken(flight.mark)
        {
            return Role::Waiter(flight.result.clone());
        }
        if under_way.count >= max {
            return Role::Full;
        }
        let (sender, result) = watch::channel(None);
        let number = under_way.next_number;
        under_way.next_number += 1;
        under_way.count += 1;
        let flight = Flight {
            number,
            mark,
            result: result.clone(),
        };
        under_way.by_digest.insert(digest, flight);
        let leader = Leader {
            checks: Arc::clone(self),
            digest,
            number,
            mark,
            result: sender,
        };
        Role::Leader(leader, result)
    }
}

impl Leader {
    /// Tells those who wait.
    pub(super) fn end(self, checked: Checked) {
        self.result.send_replace(Some(checked));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut under_way = self.checks.0.lock();
        under_way.count -= 1;
        let is_own = |flight: &Flight| flight.number == self.number;
        if under_way.by_digest.get(&self.digest).is_some_and(is_own) {
            under_way.by_digest.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credentials, Verdict};
    use crate::routes::identities;

    fn digest(number: u8) -> Digest {
        let credentials = Credentials::of_name(&identities::name_of(&format!("{number:032x}")));
        *credentials.expect("a name").digests().start()
    }

    fn checked() -> Checked {
        Checked {
            asker: Asker {
                verdict: Verdict::Denied,
                digest: None,
                since: Mark::default(),
            },
            redis_is_late: false,
        }
    }

    fn enter(checks: &Arc<Checks>, number: u8, is_overtaken: bool) -> Role {
        checks.enter(digest(number), Mark::default(), 2, |_| is_overtaken)
    }

    #[test]
    fn one_asks_and_the_others_wait() {
        let checks = Arc::new(Checks::default());
        let Role::Leader(leader, _) = enter(&checks, 1, false) else {
            panic!("nobody asks yet");
        };
        let Role::Waiter(said) = enter(&checks, 1, false) else {
            panic!("one asks already");
        };
        assert!(
            matches!(enter(&checks, 2, false), Role::Leader(..)),
            "and is dropped"
        );
        leader.end(checked());
        assert!(said.borrow().is_some());
        assert!(matches!(enter(&checks, 1, false), Role::Leader(..)));
        assert_eq!(checks.0.lock().count, 0);
    }

    #[test]
    fn nobody_joins_what_a_purge_has_overtaken() {
        let checks = Arc::new(Checks::default());
        let Role::Leader(first, _) = enter(&checks, 1, false) else {
            panic!("nobody asks yet");
        };
        let Role::Leader(second, _) = enter(&checks, 1, true) else {
            panic!("the first was overtaken");
        };
        assert!(
            matches!(enter(&checks, 2, false), Role::Full),
            "two are under way"
        );
        first.end(checked());
        assert!(
            matches!(enter(&checks, 1, false), Role::Waiter(_)),
            "of the second"
        );
        drop(second);
        assert!(checks.0.lock().by_digest.is_empty());
    }
}
