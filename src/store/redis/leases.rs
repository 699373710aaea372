//! The leases that this process has over a connection. Each is renewed while its fill goes on, however long that is; one whose
//! sidecar has died is not, and stands in nobody's way for long.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::batches::Batches;
use super::connection::RedisConnection;
use super::error::Error;
use super::lease::{Hold, LASTING, Lease, LeaseCall, LeaseReply, Wanted, decimal};
use super::scripts::{Call, Script, parse_number};

/// A lease survives a renewal that fails: Redis has a second to answer.
const EVERY: Duration = Duration::from_secs(LASTING.as_secs() / 3);

/// After one that has failed.
const AGAIN: Duration = Duration::from_millis(250);

/// Those that are due within this are renewed together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Those that one command renews.
const AT_A_TIME: usize = 50;

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
            Err(Error::Down) => Lease::Unknown(None),
            Err(_) => Lease::Unknown(Some(hold.token.clone())),
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
        let due = leases.renewals.lock().take(Instant::now() + TOGETHER);
        if due.is_empty() {
            continue;
        }
        let renewed = renew(&connection, &due).await;
        let mut renewals = leases.renewals.lock();
        match renewed {
            Ok(standing) => renewals.put_back(standing, Instant::now() + EVERY),
            Err(_) => renewals.put_back(due, Instant::now() + AGAIN),
        }
    }
}

/// Has these leases last on; returns those that stand.
async fn renew(connection: &RedisConnection, due: &[Arc<Hold>]) -> Result<Vec<Arc<Hold>>, Error> {
    // No request waits for it, so that it may take longer than one would wait.
    let scope = connection.for_maintenance();
    let names = &scope.tier.keys;
    let call = || {
        let mut args = vec![decimal(LASTING.as_millis() as u64)];
        for hold in due {
            args.extend([(&*hold.key).into(), (&*hold.token).into()]);
        }
        Call {
            keys: due.iter().map(|hold| names.lease_name(&hold.key)).collect(),
            args,
        }
    };
    let reply = scope.run_script(None, Script::Prolong, call).await?;
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

    /// Those that go on and are due until then, as many as one command takes.
    fn take(&mut self, until: Instant) -> Vec<Arc<Hold>> {
        let mut due = Vec::new();
        while due.len() < AT_A_TIME
            && let Some((_, hold)) = self.holds.pop_front_if(|(at, _)| *at <= until)
        {
            due.extend(hold.upgrade());
        }
        due
    }

    fn put_back(&mut self, holds: Vec<Arc<Hold>>, due: Instant) {
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

    #[test]
    fn a_command_takes_so_many() {
        let (mut renewals, now) = (Renewals::default(), Instant::now());
        let holds: Vec<_> = (0..AT_A_TIME + 1).map(|n| hold(&n.to_string())).collect();
        holds.iter().for_each(|hold| renewals.add(hold, now));
        let first = renewals.take(now + EVERY);
        assert_eq!((first.len(), &*first[0].key), (AT_A_TIME, "0"));
        assert_eq!(renewals.take(now + EVERY).len(), 1);
    }
}
