//! Clients that read and write through random sidecars.
//!
//! Writes come amid reads of what they make stale, so that fills and purges meet. What a purge has left behind is
//! soon purged by the next one; so at the end nobody writes for a while, and before that writes come in bursts, or
//! of some items rarely.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use pannier::clock;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::app::{ITEMS, SLOWEST, Target, VersionedApp, list_of, view_of};
use super::checker::{Coherence, Item};
use super::fleet::{Fleet, SIDECARS, State};
use super::recorder::Recorder;

const CLIENTS: u64 = 24;
/// Between two requests of a client at most, so that there is time for all else.
const PAUSE: Duration = Duration::from_millis(12);
/// How long a burst of writes is.
const BURST: Duration = Duration::from_millis(600);
/// Writes of a hundred turns of a client, in a burst.
const IN_BURST: u8 = 40;
/// Where they come all the time.
const AT_ALL_TIMES: u8 = 10;
/// What is filled while a write is under way that makes it stale.
const AMID: usize = 4;
/// Reads of what was just written.
const READ_BACK: usize = 6;
/// Requests that wait for frozen sidecars at most.
const WAITING: usize = 200;
/// One of so many of the requests for a frozen sidecar is sent, so that some are as long as it is frozen.
const SENT_TO_FROZEN: u8 = 6;

/// The load, until it is stopped.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// What requests need.
pub(crate) struct Shared {
    pub(crate) app: VersionedApp,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) recorder: Recorder,
    /// Whether clients hang up before they have their answers.
    pub(crate) rude: AtomicBool,
    writes: Writes,
    /// Between two bursts, and at the end.
    silence: Duration,
    is_silent: AtomicBool,
    waiting: Arc<Semaphore>,
    stop: AtomicBool,
}

/// When clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// In bursts: nothing but the load shows what is wrong.
    InBursts,
    /// So that none of the moments of a fault is without.
    AtAllTimes,
}

/// What is asked for, by whichever sidecar.
#[derive(Clone, Copy)]
struct Question {
    target: Target,
    coherence: Coherence,
}

impl Question {
    /// Anything with `item`, by either kind of route.
    fn about(item: Item, random: &mut fastrand::Rng) -> Question {
        Question {
            target: Target::with(item, random),
            coherence: [Coherence::Tracked, Coherence::Strict][random.usize(0..2)],
        }
    }
}

impl Clients {
    pub(crate) fn start(
        app: VersionedApp,
        fleet: Arc<Fleet>,
        seed: u64,
        writes: Writes,
        silence: Duration,
    ) -> Clients {
        let shared = Arc::new(Shared {
            app,
            fleet,
            recorder: Recorder::new(),
            rude: AtomicBool::new(false),
            writes,
            silence,
            is_silent: AtomicBool::new(false),
            waiting: Arc::new(Semaphore::new(WAITING)),
            stop: AtomicBool::new(false),
        });
        let tasks = (0..CLIENTS).map(|nth| {
            let random = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + nth);
            tokio::spawn(read_and_write(shared.clone(), random))
        });
        let tasks = tasks.collect();
        Clients { shared, tasks }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads go on alone for as long as between two bursts, and then nothing is under way.
    pub(crate) async fn stop(self) {
        self.shared.is_silent.store(true, Ordering::SeqCst);
        tokio::time::sleep(self.shared.silence).await;
        self.shared.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        read_everything(&self.shared).await;
        let all = self.shared.waiting.acquire_many(WAITING as u32).await;
        drop(all.expect("it is never closed"));
    }
}

async fn read_and_write(shared: Arc<Shared>, mut random: fastrand::Rng) {
    while !shared.stop.load(Ordering::SeqCst) {
        if random.u8(0..100) < shared.share_of_writes() {
            let item = shared.item_to_write(&mut random);
            write_amid_fills(&shared, item, &mut random).await;
        } else {
            let item = random.u8(0..ITEMS);
            let question = Question::about(item, &mut random);
            read(&shared, question, &mut random).await;
        }
        pause_up_to(PAUSE, &mut random).await;
    }
}

/// The first write empties the store, so that what is asked for then is being filled when the second one comes.
async fn write_amid_fills(shared: &Arc<Shared>, item: Item, random: &mut fastrand::Rng) {
    let questions = [(); AMID].map(|()| Question::about(item, random));
    write(shared, item, random).await;
    let fills = questions.map(|question| {
        let mut random = random.fork();
        async move {
            pause_up_to(SLOWEST, &mut random).await;
            read(shared, question, &mut random).await;
        }
    });
    let second = async {
        // Two round trips to Redis come before the app is asked.
        let longest = SLOWEST * [1, 2][random.usize(0..2)];
        pause_up_to(longest, random).await;
        write(shared, item, random).await;
    };
    tokio::join!(join_all(fills), second);
    for question in questions.into_iter().cycle().take(READ_BACK) {
        read(shared, question, random).await;
    }
}

/// What is stale for good is stale now, wherever it is.
async fn read_everything(shared: &Arc<Shared>) {
    let reads = (0..SIDECARS).flat_map(|number| {
        Target::all().into_iter().flat_map(move |target| {
            [Coherence::Tracked, Coherence::Strict]
                .map(|coherence| shared.clone().read(number, target, coherence))
        })
    });
    futures_util::stream::iter(reads)
        .for_each_concurrent(CLIENTS as usize, |read| read)
        .await;
}

async fn pause_up_to(longest: Duration, random: &mut fastrand::Rng) {
    tokio::time::sleep(longest.mul_f64(random.f64())).await;
}

async fn read(shared: &Arc<Shared>, question: Question, random: &mut fastrand::Rng) {
    let Some(number) = choose(shared, random) else {
        return;
    };
    let Question { target, coherence } = question;
    let exchange = shared.clone().read(number, target, coherence);
    shared.send(number, exchange, random).await;
}

async fn write(shared: &Arc<Shared>, item: Item, random: &mut fastrand::Rng) {
    let Some(number) = choose(shared, random) else {
        return;
    };
    let this = shared.clone();
    let softly = random.bool();
    let prefix = if softly { "/softly" } else { "" };
    // Broad purges remove what narrow ones have left behind, so there are few.
    match random.u16(0..2000) {
        0..1500 => {
            let path = prefix.to_owned() + &Target::Item(item).path(false);
            let body = json!({"view": view_of(item)});
            let exchange = this.write(number, path, body.to_string());
            shared.send(number, exchange, random).await;
        }
        1500..1650 => {
            let path = format!("{prefix}/lists/{}", list_of(item));
            let exchange = this.write(number, path, String::new());
            shared.send(number, exchange, random).await;
        }
        kind => {
            let exchange = this.purge(number, item, kind == 1999, softly);
            shared.send(number, exchange, random).await;
        }
    }
}

fn choose(shared: &Shared, random: &mut fastrand::Rng) -> Option<usize> {
    let number = random.usize(0..SIDECARS);
    (shared.fleet.state(number) != State::Ended).then_some(number)
}

impl Shared {
    /// Of a hundred turns of a client.
    fn share_of_writes(&self) -> u8 {
        let now = self.recorder.moment(clock::monotonic()).as_millis();
        let is_in_burst = now % (BURST + self.silence).as_millis() < BURST.as_millis();
        match self.writes {
            _ if self.is_silent.load(Ordering::SeqCst) => 0,
            Writes::AtAllTimes => AT_ALL_TIMES,
            Writes::InBursts if is_in_burst => IN_BURST,
            Writes::InBursts => 0,
        }
    }

    fn item_to_write(&self, random: &mut fastrand::Rng) -> Item {
        match self.writes {
            Writes::InBursts => random.u8(0..ITEMS),
            // The first one thirty times as often as the last.
            Writes::AtAllTimes => (random.f64().powi(4) * f64::from(ITEMS)) as Item,
        }
    }

    /// Waits for it, unless the sidecar is frozen: then others are to go on.
    async fn send(
        &self,
        number: usize,
        exchange: impl Future<Output = ()> + Send + 'static,
        random: &mut fastrand::Rng,
    ) {
        if self.fleet.state(number) == State::Frozen {
            if random.u8(0..SENT_TO_FROZEN) > 0 {
                return;
            }
            if let Ok(permit) = self.waiting.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    exchange.await;
                    drop(permit);
                });
            }
        } else if self.rude.load(Ordering::SeqCst) && random.bool() {
            let patience = SLOWEST.mul_f64(random.f64());
            let _ = tokio::time::timeout(patience, exchange).await;
        } else {
            exchange.await;
        }
    }
}
