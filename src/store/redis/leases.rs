//! The leases that this process has over a connection. Each is renewed while its fill goes on, however long that is; one whose
//! sidecar has died is not, and stands in nobody's way for long.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::batches::Batches;
use super::connection::RedisConnection;
use super::error::Error;
use super::lease::{Hold, LASTING, Lease, LeaseCall, LeaseReply, Wanted, decimal};
use super::scripts::{Call, Script, parse_number};

/// A lease survives a renewal that fails: Redis has so long to answer it.
const EVERY: Duration = Duration::from_secs(LASTING.as_secs() / 3);

/// After one that has failed.
const AGAIN: Duration = Duration::from_millis(250);

/// Those that are due within this are renewed together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Those that one command renews.
const AT_A_TIME: usize = 50;

/// Commands that are under way at a time.
const COMMANDS: usize = 16;

/// Of one connection.
#[derive(Default)]
pub(super) struct Leases {
    calls: Arc<Batches<LeaseCall>>,
    renewals: Mutex<Renewals>,
}

/// What is to be renewed.
#[derive(Debug, Default)]
struct Renewals {
    /// By when they are due.
    holds: VecDeque<(Instant, Weak<Hold>)>,
    /// Whether a task renews them.
    has_task: bool,
}

impl Leases {
    /// Asks for the lease of `key` for a fill that usually takes so long. With it comes what is stored under the
    /// key at that moment (promise I3: anything read earlier may have been purged since). To be called on the runtime that has
    /// the connection.
    pub(super) async fn take(
        self: &Arc<Self>,
        connection: &Arc<RedisConnection>,
        key: &str,
        usual: Option<Duration>,
        wanted: Wanted,
    ) -> Lease {
        let hold = Arc::new(Hold::new(key, usual));
        let asking = async {
            loop {
                let call = LeaseCall::new(&hold, wanted);
                match self.calls.send(connection, call).await {
                    Ok(LeaseReply::Answered(lease)) => return Ok(lease),
                    Ok(LeaseReply::AskAgain) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let answered = connection.within_timeout(asking).await;
        match answered.unwrap_or(Err(Error::Timeout)) {
            Ok(lease) => {
                if let Lease::Held(_) = &lease {
                    self.renew_while_held(connection, &hold);
                }
                lease
            }
            Err(Error::Full(_)) => Lease::Full,
            Err(Error::Down) => Lease::UNASKED,
            Err(error) => Lease::Unknown {
                token: Some(hold.token.clone()),
                why: error.into(),
            },
        }
    }

    /// Renews the lease as long as anybody but this has `hold`.
    fn renew_while_held(self: &Arc<Self>, connection: &Arc<RedisConnection>, hold: &Arc<Hold>) {
        let mut renewals = self.renewals.lock();
        renewals.add(hold, Instant::now());
        if !std::mem::replace(&mut renewals.has_task, true) {
            tokio::spawn(renew_all(Arc::downgrade(self), Arc::downgrade(connection)));
        }
    }
}

/// Renews what is due, until nothing is left. Keeps nothing alive while it waits.
async fn renew_all(leases: Weak<Leases>, connection: Weak<RedisConnection>) {
    let next = || leases.upgrade()?.renewals.lock().next();
    while let Some(at) = next() {
        tokio::time::sleep_until(at).await;
        let (Some(leases), Some(connection)) = (leases.upgrade(), connection.upgrade()) else {
            return;
        };
        let now = Instant::now();
        let due = leases.renewals.lock().take(now + TOGETHER);
        let commands = due.chunks(AT_A_TIME).map(<[_]>::to_vec);
        let renewing = commands.map(|some| renew(&connection, some));
        let renewing = stream::iter(renewing).buffer_unordered(COMMANDS);
        let renewed: Vec<_> = renewing.collect().await;
        let mut renewals = leases.renewals.lock();
        for renewed in renewed {
            match renewed {
                Ok(standing) => renewals.put_back(standing, now + EVERY),
                Err(unanswered) => renewals.put_back(unanswered, Instant::now() + AGAIN),
            }
        }
    }
}

type Holds = Vec<Arc<Hold>>;

/// Has these leases last on, one at least; returns those that stand, or all if that is not known.
async fn renew(connection: &RedisConnection, due: Holds) -> Result<Holds, Holds> {
    let scope = connection.for_unawaited();
    let names = &scope.tier.keys;
    let call = || {
        let mut args = vec![decimal(LASTING.as_millis() as u64)];
        for hold in &due {
            args.extend([(&*hold.key).into(), (&*hold.token).into()]);
        }
        Call {
            keys: due.iter().map(|hold| names.lease_name(&hold.key)).collect(),
            args,
        }
    };
    let renewing = scope.run_script(None, Script::Prolong, call);
    let Ok(Ok(reply)) = tokio::time::timeout(EVERY, renewing).await else {
        return Err(due);
    };
    let stands = reply.value.into_array();
    let both = due.iter().zip(&stands);
    let standing = both.filter(|(_, stands)| parse_number(stands) == 1);
    Ok(standing.map(|(hold, _)| Arc::clone(hold)).collect())
}

impl Renewals {
    fn add(&mut self, hold: &Arc<Hold>, now: Instant) {
        // Most fills end before they are due.
        self.drop_ended();
        self.holds.push_back((now + EVERY, Arc::downgrade(hold)));
    }

    fn drop_ended(&mut self) {
        while let Some((_, hold)) = self.holds.front()
            && hold.strong_count() == 0
        {
            self.holds.pop_front();
        }
    }

    /// When the first one is due; `None`: there is none, and the task ends.
    fn next(&mut self) -> Option<Instant> {
        self.drop_ended();
        let first = self.holds.front().map(|(at, _)| *at);
        self.has_task = first.is_some();
        first
    }

    /// Those that go on and are due until then.
    fn take(&mut self, until: Instant) -> Vec<Arc<Hold>> {
        let count = self.holds.partition_point(|(at, _)| *at <= until);
        let due = self.holds.drain(..count);
        due.filter_map(|(_, hold)| hold.upgrade()).collect()
    }

    fn put_back(&mut self, holds: Holds, due: Instant) {
        let place = self.holds.partition_point(|(at, _)| *at <= due);
        for hold in holds.iter().rev() {
            self.holds.insert(place, (due, Arc::downgrade(hold)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn hold(key: &str) -> Arc<Hold> {
        Arc::new(Hold::new(key, None))
    }

    fn keys(holds: &[Arc<Hold>]) -> Vec<&str> {
        holds.iter().map(|hold| &*hold.key).collect()
    }

    #[test]
    fn who_goes_on_is_renewed_when_it_is_due_and_who_has_ended_is_forgotten() {
        let (mut renewals, now) = (Renewals::default(), Instant::now());
        assert_eq!(renewals.next(), None);
        let [a, b, c] = ["a", "b", "c"].map(hold);
        for (hold, begun) in [(&a, 0), (&b, 0), (&c, 2)] {
            renewals.add(hold, now + begun * SECOND);
        }
        drop(a);
        assert_eq!(renewals.next(), Some(now + EVERY));
        assert!(renewals.has_task);
        assert_eq!(keys(&renewals.take(now)), Vec::<&str>::new());
        let due = renewals.take(now + EVERY);
        assert_eq!(keys(&due), ["b"]);
        // It has failed: again before the other one is due.
        renewals.put_back(due, now + EVERY + AGAIN);
        assert_eq!(renewals.next(), Some(now + EVERY + AGAIN));
        let due = renewals.take(now + EVERY + SECOND);
        assert_eq!(keys(&due), ["b"]);
        renewals.put_back(due, now + 5 * SECOND);
        assert_eq!(renewals.next(), Some(now + 2 * SECOND + EVERY));
        let both = renewals.take(now + 5 * SECOND);
        assert_eq!(keys(&both), ["c", "b"]);
        renewals.put_back(both, now + 6 * SECOND);
        drop((b, c));
        assert_eq!(renewals.next(), None);
        assert!(!renewals.has_task, "the next one begins another");
    }
}
