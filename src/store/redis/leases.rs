//! The leases that this process has over a connection. Each is renewed while its fill goes on, however long that is; one whose
//! sidecar has died is not, and stands in nobody's way for long.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::batches::Batches;
use super::connection::RedisConnection;
use super::error::Error;
use super::lease::{Hold, LASTING, Lease, LeaseCall, LeaseReply, Wanted};

/// A lease survives one renewal that fails.
const EVERY: Duration = Duration::from_secs(LASTING.as_secs() / 3);

/// Those that are due within this are renewed together.
const TOGETHER: Duration = Duration::from_millis(100);

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
                let call = LeaseCall::to_take(&hold, wanted);
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
            Err(_) => Lease::Unknown(Some(hold.token())),
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
        let renewing = due.iter().map(|hold| {
            let call = LeaseCall::to_renew(Arc::clone(hold));
            leases.calls.send(&connection, call)
        });
        // What has failed is tried again the next time.
        join_all(renewing).await;
        let mut renewals = leases.renewals.lock();
        due.iter()
            .for_each(|hold| renewals.add(hold, Instant::now()));
    }
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

    /// Those that are due until then and go on.
    fn take(&mut self, until: Instant) -> Vec<Arc<Hold>> {
        let count = self.holds.partition_point(|(at, _)| *at <= until);
        let due = self.holds.drain(..count);
        due.filter_map(|(_, hold)| hold.upgrade()).collect()
    }
}
