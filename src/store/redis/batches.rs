//! Calls about single keys, those of one moment in one command.
//!
//! A call costs Redis several times what it does for one key: the script's functions are made anew, the bookkeeping is
//! looked at and the account read and written. So the first calls go at once, and while these are under way
//! further ones gather for the next command. Those that nobody waits for gather for a moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use parking_lot::Mutex;
use prometheus::Histogram;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection::RedisConnection;
use super::error::Error;
use super::keys::Keyspace;
use super::lineage::Generation;
use super::scripts::{Call, Script};
use super::tier::Tier;

/// Commands of a connection that are under way before calls gather: so that who asks a distant Redis now and then does not
/// wait for the call before. As many calls as one command takes do not wait, so that a distant one takes as many as come.
const AT_A_TIME: usize = 2;

/// How long after a command those go that can wait: a key of several costs Redis about half of what one by itself does.
pub(super) const APART: Duration = Duration::from_millis(3);

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

    /// Of the names of what is stored under the key and of its lease the one that Redis is to watch, and the other.
    fn names(&self, keys: &Keyspace) -> [String; 2];

    /// What the script is told of this one.
    fn args(&self, tier: &Tier) -> Vec<Value>;

    /// Whether nobody waits for it.
    fn can_wait(&self) -> bool;

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
    /// Whether a task waits until those may be sent that can wait.
    is_gathering: bool,
    /// When the last command was taken.
    sent_at: Option<Instant>,
}

/// What a task that sends does next.
enum Next<C: KeyCall> {
    /// Sends these in one command.
    Send(Vec<Waiting<C>>),
    /// Waits until then.
    Gather(Instant),
    /// Nothing any more.
    End,
}

/// A call, and who waits for what becomes of it.
struct Waiting<C: KeyCall> {
    call: C,
    reply: oneshot::Sender<Result<C::Reply, Error>>,
}

/// One of the tasks, should it end before its time.
struct Task<'c, C: KeyCall> {
    batches: &'c Batches<C>,
    is_gathering: bool,
}

impl<C: KeyCall> Drop for Task<'_, C> {
    fn drop(&mut self) {
        let mut queue = self.batches.0.lock();
        match self.is_gathering {
            true => queue.is_gathering = false,
            false => queue.senders -= 1,
        }
    }
}

impl<C: KeyCall> Default for Batches<C> {
    fn default() -> Self {
        Batches(Mutex::new(Queue {
            waiting: VecDeque::new(),
            senders: 0,
            is_gathering: false,
            sent_at: None,
        }))
    }
}

/// Sends what waits, until nothing does.
async fn send_all<C: KeyCall>(batches: Arc<Batches<C>>, connection: Arc<RedisConnection>) {
    let mut task = Task {
        batches: &batches,
        is_gathering: false,
    };
    loop {
        match batches.next() {
            Next::Send(batch) => send_batch(&connection, batch).await,
            Next::Gather(until) => {
                task.is_gathering = true;
                tokio::time::sleep_until(until).await;
                task.is_gathering = false;
                batches.send_gathered();
            }
            Next::End => return std::mem::forget(task),
        }
    }
}

async fn send_batch<C: KeyCall>(connection: &RedisConnection, batch: Vec<Waiting<C>>) {
    let scope = connection.for_requests();
    let (tier, calls) = (scope.tier, &batch);
    // Redis may watch all keys of a script with each read in it, so that they cost the square of their number. The script
    // knows both names; where a slot may move, it is put off if one has gone ahead.
    let names_each = if tier.keys.is_clustered() { 2 } else { 1 };
    let call = || {
        let mut args = C::common_args(tier);
        args.extend(calls.iter().flat_map(|waiting| waiting.call.args(tier)));
        let names = calls.iter().map(|waiting| waiting.call.names(&tier.keys));
        Call {
            keys: names
                .flat_map(|names| names.into_iter().take(names_each))
                .collect(),
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
        let is_wanted = match queue.held_back_until() {
            Some(_) => !queue.is_gathering,
            None => queue.senders < AT_A_TIME + queue.waiting.len() / MOST_CALLS,
        };
        queue.senders += usize::from(is_wanted);
        is_wanted
    }

    /// What the task that asks, which is one of the senders, does next; if it is not to send, it is none any more.
    fn next(&self) -> Next<C> {
        let mut queue = self.0.lock();
        queue.waiting.retain(|waiting| !waiting.reply.is_closed());
        let held_back = queue.held_back_until();
        if held_back.is_none() && !queue.waiting.is_empty() {
            return Next::Send(queue.take());
        }
        queue.senders -= 1;
        match held_back {
            Some(until) if !queue.is_gathering => {
                queue.is_gathering = true;
                Next::Gather(until)
            }
            _ => Next::End,
        }
    }

    /// The task that gathered is one of the senders again.
    fn send_gathered(&self) {
        let mut queue = self.0.lock();
        queue.is_gathering = false;
        queue.senders += 1;
    }
}

impl<C: KeyCall> Queue<C> {
    /// Until when nothing is sent, so that more comes: as long as all can wait, and fill no command.
    fn held_back_until(&self) -> Option<Instant> {
        let until = self.sent_at? + APART;
        let can_wait = || self.waiting.iter().all(|waiting| waiting.call.can_wait());
        let is_full = self.waiting.len() >= MOST_CALLS;
        (!self.waiting.is_empty() && !is_full && Instant::now() < until && can_wait())
            .then_some(until)
    }

    /// Those that go together, first come first.
    fn take(&mut self) -> Vec<Waiting<C>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.pop_front() {
            bytes += next.call.bytes();
            if batch.len() == MOST_CALLS || (bytes > MOST_BYTES && !batch.is_empty()) {
                self.waiting.push_front(next);
                break;
            }
            batch.push(next);
        }
        self.sent_at = Some(Instant::now());
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It takes up so many bytes, and perhaps can wait.
    #[derive(Debug, PartialEq, Eq)]
    struct Bytes(usize, bool);

    impl KeyCall for Bytes {
        type Reply = ();
        const SCRIPT: Script = Script::Lease;

        fn latency(tier: &Tier) -> &Histogram {
            &tier.latency.lease
        }

        fn common_args(_tier: &Tier) -> Vec<Value> {
            Vec::new()
        }

        fn names(&self, _keys: &Keyspace) -> [String; 2] {
            Default::default()
        }

        fn args(&self, _tier: &Tier) -> Vec<Value> {
            Vec::new()
        }

        fn can_wait(&self) -> bool {
            self.1
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
                call: Bytes(*bytes, false),
                reply,
            });
            waiting.extend((!gone.contains(&at)).then_some(answered));
        }
        let taken = std::iter::from_fn(|| match batches.next() {
            Next::Send(batch) => Some(batch),
            _ => None,
        });
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
            let call = Bytes(1, false);
            batches.add(Waiting { call, reply })
        };
        assert_eq!([add(), add(), add()], [true, true, false]);
        drop(Task {
            batches: &batches,
            is_gathering: false,
        });
        assert_eq!([add(), add()], [true, false]);
        let further: usize = (0..MOST_CALLS).map(|_| usize::from(add())).sum();
        assert_eq!(further, 1, "for a whole command more");
    }

    /// What a task does: how many calls it sends, and then nothing more, or for how long it gathers.
    fn told(batches: &Batches<Bytes>) -> Result<usize, Duration> {
        match batches.next() {
            Next::Send(batch) => {
                assert!(matches!(batches.next(), Next::End));
                Ok(batch.len())
            }
            Next::Gather(until) => Err(until - Instant::now()),
            Next::End => Ok(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_goes_with_what_comes_in_a_moment() {
        let batches = Batches::default();
        let mut waiting = Vec::new();
        let mut add = |can_wait| {
            let (reply, answered) = oneshot::channel();
            waiting.push(answered);
            let call = Bytes(1, can_wait);
            batches.add(Waiting { call, reply })
        };
        assert!(add(true), "nothing was sent before");
        assert_eq!(told(&batches), Ok(1));
        tokio::time::advance(APART / 3).await;
        assert!(add(true) && add(true), "nobody gathers yet");
        assert_eq!(told(&batches), Err(APART * 2 / 3));
        assert_eq!(told(&batches), Ok(0), "another does");
        assert!(!add(true), "it is gathered");
        tokio::time::advance(APART).await;
        batches.send_gathered();
        assert_eq!(told(&batches), Ok(3));
        // Whoever waits is not kept waiting, and takes the others along.
        assert!(add(true));
        assert_eq!(told(&batches), Err(APART));
        assert!(add(false));
        assert_eq!(told(&batches), Ok(2));
        // Nor is a command held back that is full.
        let started: Vec<bool> = (0..MOST_CALLS).map(|_| add(true)).collect();
        assert_eq!(started.iter().filter(|is_started| **is_started).count(), 1);
        assert_eq!(told(&batches), Ok(MOST_CALLS));
        batches.send_gathered();
        // A task that is cut off while it gathers leaves its place.
        assert!(add(true));
        assert_eq!(told(&batches), Err(APART));
        drop(Task {
            batches: &batches,
            is_gathering: true,
        });
        assert!(add(true));
    }
}
