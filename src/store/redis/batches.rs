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
use tokio::sync::{Notify, oneshot};
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

/// How long after a command those go that can wait: a store of five costs Redis two thirds of what one by itself does.
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

    /// The names of what is stored under the key and of its lease. First the one that Redis is to watch; the other is named to
    /// it in a cluster alone.
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
pub(super) struct Batches<C: KeyCall> {
    queue: Mutex<Queue<C>>,
    /// Told when a task has ended.
    ended: Notify,
}

struct Queue<C: KeyCall> {
    waiting: VecDeque<Waiting<C>>,
    /// Tasks that send. While calls wait there is one, or one that gathers.
    senders: usize,
    /// Whether a task waits for more of those calls that can wait, and is no sender meanwhile.
    is_gathering: bool,
    /// When the last command was taken.
    sent_at: Option<Instant>,
    /// Whether that had no room for all that waited.
    has_left_some: bool,
    /// Whether the end is near: nothing waits for more.
    is_closing: bool,
}

/// What a task does next.
enum Next<C: KeyCall> {
    /// Sends these in one command.
    Send(Vec<Waiting<C>>),
    /// Waits for more until then.
    Gather(Instant),
    /// Nothing any more.
    End,
}

/// The task that an added call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nobody,
    Sender,
    /// One that waits for more until then.
    Gatherer(Instant),
}

/// A call, and who waits for what becomes of it.
struct Waiting<C: KeyCall> {
    call: C,
    reply: oneshot::Sender<Result<C::Reply, Error>>,
}

/// One of the tasks, as it is counted, should it end before its time.
struct Task<'c, C: KeyCall> {
    batches: &'c Batches<C>,
    is_gathering: bool,
}

impl<C: KeyCall> Drop for Task<'_, C> {
    fn drop(&mut self) {
        let mut queue = self.batches.queue.lock();
        match self.is_gathering {
            true => queue.is_gathering = false,
            false => queue.senders -= 1,
        }
    }
}

impl<C: KeyCall> Default for Batches<C> {
    fn default() -> Self {
        Batches {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                senders: 0,
                is_gathering: false,
                sent_at: None,
                has_left_some: false,
                is_closing: false,
            }),
            ended: Notify::new(),
        }
    }
}

/// Sends what waits, until nothing does; waits for more first until `gathers_until`.
async fn send_all<C: KeyCall>(
    batches: Arc<Batches<C>>,
    connection: Arc<RedisConnection>,
    gathers_until: Option<Instant>,
) {
    let mut task = Task {
        batches: &batches,
        is_gathering: gathers_until.is_some(),
    };
    let mut next = gathers_until.map_or_else(|| batches.next(), Next::Gather);
    loop {
        next = match next {
            Next::Send(batch) => {
                send_batch(&connection, batch).await;
                batches.next()
            }
            Next::Gather(until) => {
                task.is_gathering = true;
                tokio::time::sleep_until(until).await;
                task.is_gathering = false;
                batches.next_having_gathered()
            }
            Next::End => break,
        };
    }
    std::mem::forget(task);
    batches.ended.notify_waiters();
}

async fn send_batch<C: KeyCall>(connection: &RedisConnection, batch: Vec<Waiting<C>>) {
    let scope = connection.for_requests();
    let (tier, calls) = (scope.tier, &batch);
    // Redis may watch all keys of a script with each read in it, so that they cost the square of their number. The script
    // makes both names itself. Where slots move, Redis puts it off while a part of its keys is on another node.
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
        let gathers_until = match self.add(Waiting { call, reply }) {
            Wanted::Nobody => None,
            Wanted::Sender => Some(None),
            Wanted::Gatherer(until) => Some(Some(until)),
        };
        if let Some(until) = gathers_until {
            tokio::spawn(send_all(Arc::clone(self), Arc::clone(connection), until));
        }
        // Else the runtime ends.
        answered.await.unwrap_or(Err(Error::Down))
    }

    /// Sends what waits; returns when nothing is under way. From now on nothing waits for more.
    pub(super) async fn flush(&self) {
        self.queue.lock().is_closing = true;
        loop {
            let ended = self.ended.notified();
            if self.queue.lock().is_idle() {
                return;
            }
            ended.await;
        }
    }

    /// Adds one.
    fn add(&self, waiting: Waiting<C>) -> Wanted {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(waiting);
        match queue.held_back_until() {
            _ if !queue.has_place() => Wanted::Nobody,
            None => {
                queue.senders += 1;
                Wanted::Sender
            }
            Some(_) if queue.is_gathering => Wanted::Nobody,
            Some(until) => {
                queue.is_gathering = true;
                Wanted::Gatherer(until)
            }
        }
    }

    /// What a task does that is one of the senders; if that is not to send, it is counted as one no longer.
    fn next(&self) -> Next<C> {
        let mut queue = self.queue.lock();
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

    /// What the task does that has gathered: as one of the senders, if it has a place among them.
    fn next_having_gathered(&self) -> Next<C> {
        {
            let mut queue = self.queue.lock();
            queue.is_gathering = false;
            if !queue.has_place() {
                return Next::End;
            }
            queue.senders += 1;
        }
        self.next()
    }
}

impl<C: KeyCall> Queue<C> {
    /// Whether another task may send.
    fn has_place(&self) -> bool {
        self.senders < AT_A_TIME + self.waiting.len() / MOST_CALLS
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.senders == 0 && !self.is_gathering
    }

    /// Until when more is waited for. `None`: somebody waits for one of the calls, or they fill a command, or did not find room
    /// in the last one, or that was long ago.
    fn held_back_until(&self) -> Option<Instant> {
        let until = self.sent_at? + APART;
        let bytes = self.waiting.iter().map(|waiting| waiting.call.bytes());
        let is_full = self.waiting.len() >= MOST_CALLS || bytes.sum::<usize>() >= MOST_BYTES;
        let may_wait = !self.is_closing && !self.has_left_some && !is_full;
        let can_wait = || self.waiting.iter().all(|waiting| waiting.call.can_wait());
        let is_held = !self.waiting.is_empty() && may_wait && Instant::now() < until && can_wait();
        is_held.then_some(until)
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
        self.has_left_some = !self.waiting.is_empty();
        batch
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_immediate;

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
            batches.add(Waiting { call, reply }) == Wanted::Sender
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

    /// Calls of `bytes` each that can wait or not are added one by one.
    struct Adding {
        batches: Batches<Bytes>,
        answered: Vec<oneshot::Receiver<Result<(), Error>>>,
        bytes: usize,
    }

    impl Adding {
        fn of(bytes: usize) -> Adding {
            Adding {
                batches: Batches::default(),
                answered: Vec::new(),
                bytes,
            }
        }

        fn add(&mut self, can_wait: bool) -> Wanted {
            let (reply, answered) = oneshot::channel();
            self.answered.push(answered);
            let call = Bytes(self.bytes, can_wait);
            self.batches.add(Waiting { call, reply })
        }
    }

    /// How many calls are sent by this, or for how long it waits for more.
    fn told(next: Next<Bytes>) -> Result<usize, Duration> {
        match next {
            Next::Send(batch) => Ok(batch.len()),
            Next::Gather(until) => Err(until - Instant::now()),
            Next::End => Ok(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_goes_with_what_comes_in_a_moment() {
        let mut adding = Adding::of(1);
        assert_eq!(adding.add(true), Wanted::Sender, "nothing was sent before");
        assert_eq!(told(adding.batches.next()), Ok(1));
        assert_eq!(told(adding.batches.next()), Ok(0));
        let until = Instant::now() + APART;
        tokio::time::advance(APART / 3).await;
        assert_eq!(adding.add(true), Wanted::Gatherer(until));
        assert_eq!(adding.add(true), Wanted::Nobody, "it is waited for already");
        tokio::time::advance(APART).await;
        assert_eq!(told(adding.batches.next_having_gathered()), Ok(2));
        // Whoever sent it waits for more, too.
        assert_eq!(adding.add(true), Wanted::Gatherer(Instant::now() + APART));
        assert_eq!(told(adding.batches.next()), Ok(0), "another does already");
        // If somebody waits, the others come along.
        assert_eq!(adding.add(false), Wanted::Sender);
        assert_eq!(told(adding.batches.next()), Ok(2));
        assert_eq!(told(adding.batches.next()), Ok(0));
        assert_eq!(told(adding.batches.next_having_gathered()), Ok(0));
        assert!(adding.batches.queue.lock().is_idle());
        // A task that is cut off while it waits leaves its place.
        let until = Instant::now() + APART;
        assert_eq!(adding.add(true), Wanted::Gatherer(until));
        drop(Task {
            batches: &adding.batches,
            is_gathering: true,
        });
        assert_eq!(adding.add(true), Wanted::Gatherer(until));
        // At the end nothing waits for more.
        assert!(poll_immediate(adding.batches.flush()).await.is_none());
        assert_eq!(told(adding.batches.next_having_gathered()), Ok(2));
        assert_eq!(told(adding.batches.next()), Ok(0));
        assert!(poll_immediate(adding.batches.flush()).await.is_some());
    }

    /// Nothing is kept that could not go with more, or had to wait before.
    #[tokio::test(start_paused = true)]
    async fn full_commands_are_not_held_back() {
        for (bytes, full, of_one) in [
            (1, MOST_CALLS, MOST_CALLS),
            (MOST_BYTES / 2, 2, 2),
            (MOST_BYTES * 2 / 3, 2, 1),
            (2 * MOST_BYTES, 1, 1),
        ] {
            let mut adding = Adding::of(bytes);
            assert_eq!(adding.add(true), Wanted::Sender);
            assert_eq!(told(adding.batches.next()), Ok(1));
            assert_eq!(told(adding.batches.next()), Ok(0));
            for nth in 1..=full {
                let is_full = adding.add(true) == Wanted::Sender;
                assert_eq!(is_full, nth == full, "{bytes} bytes, {nth} calls");
            }
            // Nor is what is left of it.
            adding.add(true);
            let sent: Vec<_> = std::iter::repeat_with(|| told(adding.batches.next()))
                .take_while(|told| *told != Ok(0))
                .collect();
            let all = full + 1;
            let mut expected = vec![Ok(of_one); all / of_one];
            expected.extend((all % of_one > 0).then_some(Ok(all % of_one)));
            assert_eq!(sent, expected, "{bytes} bytes");
        }
    }

    /// However slow Redis is, and however many calls wait.
    #[tokio::test(start_paused = true)]
    async fn who_has_gathered_sends_only_where_there_is_a_place() {
        let mut adding = Adding::of(1);
        for _ in 0..AT_A_TIME {
            assert_eq!(adding.add(false), Wanted::Sender);
            assert_eq!(told(adding.batches.next()), Ok(1));
        }
        assert_eq!(adding.add(true), Wanted::Nobody, "all places are taken");
        // One of them comes back first, and waits for more; then there are others again.
        assert_eq!(told(adding.batches.next()), Err(APART));
        assert_eq!(adding.add(false), Wanted::Sender);
        assert_eq!(told(adding.batches.next()), Ok(2));
        assert_eq!(adding.add(true), Wanted::Nobody);
        assert_eq!(told(adding.batches.next_having_gathered()), Ok(0));
    }
}
