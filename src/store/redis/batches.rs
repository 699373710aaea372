//! Calls about single keys, those of one moment in one command.
//!
//! A call costs Redis several times what it does for one key: the script's functions are made anew, the bookkeeping is
//! looked at and the account read and written. So the first calls go at once, and while these are under way
//! further ones gather for the next command.

use std::collections::VecDeque;
use std::sync::Arc;

use fred::types::Value;
use parking_lot::Mutex;
use prometheus::Histogram;
use tokio::sync::oneshot;

use super::connection::RedisConnection;
use super::error::Error;
use super::lineage::Generation;
use super::scripts::{Call, Script};
use super::tier::Tier;

/// Commands of a connection that are under way before calls gather: so that who asks a distant Redis now and then does not
/// wait for the call before. As many calls as one command takes do not wait, so that a distant one takes as many as come.
const AT_A_TIME: usize = 2;

/// The most calls of one command.
const MOST_CALLS: usize = 16;

/// The most bytes that one command takes with it, but for a call that has more by itself.
const MOST_BYTES: usize = 256 << 10;

/// A call about a key and the lease of it.
pub(super) trait KeyCall: Sized + Send + Sync + 'static {
    /// What becomes of it.
    type Reply: Send;

    /// The script, which takes several, and answers each.
    const SCRIPT: Script;

    /// Of its commands.
    fn latency(tier: &Tier) -> &Histogram;

    /// What the script is told once.
    fn common_args(tier: &Tier) -> Vec<Value>;

    fn key(&self) -> &str;

    /// What the script is told of this one.
    fn args(&self, tier: &Tier) -> Vec<Value>;

    /// What it takes up of a command.
    fn bytes(&self) -> usize;

    /// Reads what the script answers to this one, in `generation`.
    fn read(&self, tier: &Tier, generation: Generation, answer: Value) -> Self::Reply;
}

/// What is to be sent over a connection.
pub(super) struct Batches<C: KeyCall>(Mutex<Queue<C>>);

struct Queue<C: KeyCall> {
    waiting: VecDeque<Waiting<C>>,
    /// Tasks that send.
    senders: usize,
}

/// A call, and who waits for what becomes of it.
struct Waiting<C: KeyCall> {
    call: C,
    reply: oneshot::Sender<Result<C::Reply, Error>>,
}

/// One of the tasks that send, should it end before its time.
struct Sender<'c, C: KeyCall>(&'c Batches<C>);

impl<C: KeyCall> Drop for Sender<'_, C> {
    fn drop(&mut self) {
        self.0.0.lock().senders -= 1;
    }
}

impl<C: KeyCall> Default for Batches<C> {
    fn default() -> Self {
        Batches(Mutex::new(Queue {
            waiting: VecDeque::new(),
            senders: 0,
        }))
    }
}

/// Sends what waits, until nothing does.
async fn send_all<C: KeyCall>(batches: Arc<Batches<C>>, connection: Arc<RedisConnection>) {
    let sender = Sender(&batches);
    while let Some(batch) = batches.take_or_end() {
        send_batch(&connection, batch).await;
    }
    std::mem::forget(sender);
}

async fn send_batch<C: KeyCall>(connection: &RedisConnection, batch: Vec<Waiting<C>>) {
    let scope = connection.for_requests();
    let (tier, calls) = (scope.tier, &batch);
    let call = || {
        let mut args = C::common_args(tier);
        args.extend(calls.iter().flat_map(|waiting| waiting.call.args(tier)));
        let keys = calls.iter().map(|waiting| waiting.call.key());
        Call {
            keys: keys.flat_map(|key| tier.keys.key_names(key)).collect(),
            args,
        }
    };
    let reply = scope.run_script(Some(C::latency(tier)), C::SCRIPT, call);
    match reply.await {
        Ok(reply) => {
            let mut answers = reply.value.into_array().into_iter();
            for Waiting { call, reply: to } in batch {
                let answer = answers.next().unwrap_or(Value::Null);
                let _ = to.send(Ok(call.read(tier, reply.generation, answer)));
            }
        }
        Err(error) => {
            for Waiting { reply: to, .. } in batch {
                let _ = to.send(Err(error.clone()));
            }
        }
    }
}

impl<C: KeyCall> Batches<C> {
    /// Sends `call` with others over `connection`, to be called on the runtime that has it; returns what becomes of it. If this
    /// is dropped before its turn comes, it is not sent.
    pub(super) async fn send(
        self: &Arc<Self>,
        connection: &Arc<RedisConnection>,
        call: C,
    ) -> Result<C::Reply, Error> {
        let (reply, answered) = oneshot::channel();
        if self.add(Waiting { call, reply }) {
            tokio::spawn(send_all(Arc::clone(self), Arc::clone(connection)));
        }
        // Else the runtime ends.
        answered.await.unwrap_or(Err(Error::Down))
    }

    /// Adds one; returns whether a task is to be started for it.
    fn add(&self, waiting: Waiting<C>) -> bool {
        let mut queue = self.0.lock();
        queue.waiting.push_back(waiting);
        let is_wanted = queue.senders < AT_A_TIME + queue.waiting.len() / MOST_CALLS;
        queue.senders += usize::from(is_wanted);
        is_wanted
    }

    /// Those that go together, first come first; `None`: nobody waits, and the task that asks is no sender any more.
    fn take_or_end(&self) -> Option<Vec<Waiting<C>>> {
        let mut queue = self.0.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = queue.waiting.pop_front() {
            if next.reply.is_closed() {
                continue;
            }
            bytes += next.call.bytes();
            if batch.len() == MOST_CALLS || (bytes > MOST_BYTES && !batch.is_empty()) {
                queue.waiting.push_front(next);
                break;
            }
            batch.push(next);
        }
        if batch.is_empty() {
            queue.senders -= 1;
            return None;
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It takes up so many bytes.
    #[derive(Debug, PartialEq, Eq)]
    struct Bytes(usize);

    impl KeyCall for Bytes {
        type Reply = ();
        const SCRIPT: Script = Script::Lease;

        fn latency(tier: &Tier) -> &Histogram {
            &tier.latency.lease
        }

        fn common_args(_tier: &Tier) -> Vec<Value> {
            Vec::new()
        }

        fn key(&self) -> &str {
            ""
        }

        fn args(&self, _tier: &Tier) -> Vec<Value> {
            Vec::new()
        }

        fn bytes(&self) -> usize {
            self.0
        }

        fn read(&self, _tier: &Tier, _generation: Generation, _answer: Value) {}
    }

    /// The calls of each command.
    fn commands_for(calls: &[usize], gone: &[usize]) -> Vec<Vec<usize>> {
        let batches = Batches::default();
        let mut waiting = Vec::new();
        for (at, bytes) in calls.iter().enumerate() {
            let (reply, answered) = oneshot::channel();
            batches.add(Waiting {
                call: Bytes(*bytes),
                reply,
            });
            waiting.extend((!gone.contains(&at)).then_some(answered));
        }
        let taken = std::iter::from_fn(|| batches.take_or_end());
        let bytes = taken.map(|batch| batch.iter().map(|waiting| waiting.call.0).collect());
        bytes.collect()
    }

    #[test]
    fn calls_go_in_order_as_many_as_a_command_takes() {
        const HALF: usize = MOST_BYTES / 2;
        for (calls, gone, expected) in [
            (vec![1, 2, 3], vec![], vec![vec![1, 2, 3]]),
            (vec![1, 2, 3], vec![0, 2], vec![vec![2]]),
            (vec![1, 2, 3], vec![0, 1, 2], vec![]),
            (
                vec![1; 40],
                vec![],
                vec![vec![1; MOST_CALLS], vec![1; MOST_CALLS], vec![1; 8]],
            ),
            (vec![HALF, HALF, 1], vec![], vec![vec![HALF, HALF], vec![1]]),
            (
                vec![1, 3 * HALF, 2, 3],
                vec![],
                vec![vec![1], vec![3 * HALF], vec![2, 3]],
            ),
            (vec![1, 3 * HALF, 2, 3], vec![1], vec![vec![1, 2, 3]]),
        ] {
            assert_eq!(commands_for(&calls, &gone), expected, "{calls:?} {gone:?}");
        }
    }

    #[test]
    fn as_many_tasks_send_as_may_be_under_way() {
        let batches = Batches::default();
        let add = || {
            let (reply, _) = oneshot::channel();
            let call = Bytes(1);
            batches.add(Waiting { call, reply })
        };
        assert_eq!([add(), add(), add()], [true, true, false]);
        drop(Sender(&batches));
        assert_eq!([add(), add()], [true, false]);
        let further: usize = (0..MOST_CALLS).map(|_| usize::from(add())).sum();
        assert_eq!(further, 1, "for a whole command more");
    }
}
