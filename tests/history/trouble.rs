//! Does what a fault is, for a while, and undoes it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fred::util::redis_keyslot;
use pannier::clock;
use tokio::runtime::Handle;

use super::clients::Shared;
use super::console::Console;
use super::faults::Fault;
use super::fleet::SIDECARS;
use crate::support::redis::{Data, RedisServer};
use crate::support::redis_cluster::Cluster;
use crate::support::redis_sentinels::Watched;
use crate::support::slow_line::{NEAR, Silence, SlowLine};

const LONG: Duration = Duration::from_secs(30);
const NAMESPACE: &str = "{history}";

/// Each way, in milliseconds. Longer than any `redis.timeout` where Redis is to be slow.
const SLOW: Range<u64> = 260..300;
/// Fills and purges that are under way at the same time overtake each other.
const DISTANT: Range<u64> = 0..3;

/// What is more than one server; the single one has nothing to do then.
pub(crate) enum Several {
    Not,
    Cluster(Cluster),
    Sentinel(Watched),
}

/// What there is to do harm to, on a thread that may block.
pub(crate) struct Trouble {
    pub(crate) redis: RedisServer,
    pub(crate) several: Several,
    pub(crate) lines: [SlowLine; SIDECARS],
    pub(crate) shared: Arc<Shared>,
    pub(crate) random: fastrand::Rng,
    pub(crate) lasts: Duration,
    /// Bookkeeping that is to be harmed yet.
    pub(crate) turns: Vec<String>,
    /// Whether nobody wrote when this was done last.
    pub(crate) is_quiet: bool,
}

impl Trouble {
    /// Returns when it is over.
    pub(crate) fn happen(&mut self, fault: Fault) {
        match fault {
            Fault::Calm => sleep(self.lasts),
            Fault::Distant => self.slow_down(DISTANT),
            Fault::BookkeepingDeleted => self.repeat(100, Trouble::delete_bookkeeping),
            Fault::BookkeepingOfTheWrongType => self.repeat(300, Trouble::replace_bookkeeping),
            Fault::Eviction => self.evict(),
            Fault::Flush => self.repeat(400, |this| drop(this.redis.cli(&["FLUSHALL"]))),
            Fault::OlderData => self.repeat(200, |this| this.restart_older(&[])),
            Fault::OlderDataInTheSameRun => self.repeat(200, Trouble::follow_older),
            Fault::RestartedEmpty => self.repeat(700, |this| this.redis.restart(Data::Lost)),
            Fault::KilledAndBack => self.kill_and_restart(),
            Fault::Hung => self.hang(),
            Fault::TooFewReplicas => self.set_for_a_while("min-replicas-to-write", "1", "0"),
            Fault::CannotSave => self.fail_to_save(),
            Fault::ReadOnly => self.demote(),
            Fault::WritesPaused => self.pause_writes(),
            Fault::ConnectionsKilled => self.repeat(50, |this| {
                this.redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
            }),
            Fault::TooManyClients => self.take_no_more_clients(),
            Fault::Slow => self.slow_down(SLOW),
            Fault::Silent => self.repeat(300, Trouble::silence_one),
            Fault::SidecarFrozen => self.repeat(300, Trouble::freeze_one),
            Fault::SidecarKilled => self.repeat(300, Trouble::kill_one),
            Fault::OlderDataAndSidecarKilled => self.repeat(500, |this| this.restart_older(&[0])),
            Fault::AppFails => self.let_the_app_fail(),
            Fault::RudeClients => self.let_clients_hang_up(),
            Fault::ClusterPrimaryKilled | Fault::SentinelPrimaryKilled => self.kill_a_primary(),
            Fault::ClusterFailover => self.repeat(600, Trouble::fail_over),
            Fault::ClusterSlotMoves => self.repeat(100, Trouble::move_a_slot),
        }
    }

    /// Does it again and again, with pauses of up to twice `pause` milliseconds.
    fn repeat(&mut self, pause: u64, mut act: impl FnMut(&mut Trouble)) {
        let begun = clock::monotonic();
        while clock::monotonic() - begun < self.lasts {
            act(self);
            sleep(Duration::from_millis(
                self.random.u64(pause / 2..=2 * pause),
            ));
        }
    }

    fn note(&self, what: impl Into<String>) {
        self.shared.recorder.note(what);
    }

    /// One of the keys that are neither entries nor leases: each in its turn.
    fn any_bookkeeping(&mut self) -> Option<String> {
        if self.turns.is_empty() {
            let keys = self.redis.cli(&["KEYS", "*"]);
            let of_one = |key: &&str| {
                let rest = key.strip_prefix(NAMESPACE);
                rest.is_some_and(|rest| !rest.contains(":e:") && !rest.contains(":l:"))
            };
            self.turns = keys.lines().filter(of_one).map(str::to_owned).collect();
            self.random.shuffle(&mut self.turns);
        }
        self.turns.pop()
    }

    fn delete_bookkeeping(&mut self) {
        if let Some(key) = self.any_bookkeeping() {
            self.redis.cli(&["DEL", &key]);
            self.note(format!("DEL {key}"));
        }
    }

    fn replace_bookkeeping(&mut self) {
        if let Some(key) = self.any_bookkeeping() {
            let was = self.redis.cli(&["TYPE", &key]);
            self.redis.cli(&["DEL", &key]);
            match was.as_str() {
                "string" => self.redis.cli(&["RPUSH", &key, "garbage"]),
                _ => self.redis.cli(&["SET", &key, "garbage"]),
            };
            self.note(format!("{key}, which was a {was}, replaced"));
        }
    }

    /// Other keys take the space of which there is a little.
    fn evict(&mut self) {
        let used: u64 = self.redis.info("used_memory").parse().expect("a number");
        let max = (used + 400_000).to_string();
        self.redis
            .cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
        self.redis.cli(&["CONFIG", "SET", "maxmemory", &max]);
        let script = "for i = 1, 20 do redis.call('SET', 'other:' .. ARGV[1] .. i, string.rep('x', 8000)) end";
        self.repeat(20, |this| {
            let number = this.random.u32(..).to_string();
            this.redis.cli(&["EVAL", script, "0", &number]);
        });
        let evicted = self.redis.info("evicted_keys");
        self.note(format!("{evicted} keys evicted"));
        self.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    }

    /// With `victims`, sidecars that are killed and started again meanwhile.
    fn restart_older(&mut self, victims: &[usize]) {
        self.redis.cli(&["SAVE"]);
        self.note("saved");
        sleep(Duration::from_millis(600));
        for &number in victims {
            self.shared.fleet.kill(number);
        }
        self.redis.restart(Data::Snapshot);
        self.note("back with what was saved");
        for &number in victims {
            self.shared.fleet.start_again(number);
        }
    }

    /// As a failover and back does to the first server.
    fn follow_older(&mut self) {
        self.redis.cli(&["SAVE"]);
        let older = RedisServer::start_with_data_of(&self.redis);
        self.note("saved");
        sleep(Duration::from_millis(500));
        let fleet = self.shared.fleet.clone();
        // A purge finds out by itself that others are missing. Without any, beats are to.
        self.is_quiet = !self.is_quiet;
        let writes = (0..SIDECARS).filter(|_| self.is_quiet);
        let _no_writes: Vec<_> = writes
            .map(|number| fleet.writes(number).blocking_write())
            .collect();
        let port = older.port().to_string();
        self.redis.cli(&["REPLICAOF", "127.0.0.1", &port]);
        self.wait_until("it follows", |redis| {
            redis.info("master_link_status") == "up"
        });
        self.redis.cli(&["REPLICAOF", "NO", "ONE"]);
        self.note("it has what was saved");
        // What is promised counts from here; a further round would hide how this one ends.
        sleep(Duration::from_millis(1500));
    }

    fn wait_until(&self, what: &str, check: impl Fn(&RedisServer) -> bool) {
        let begun = clock::monotonic();
        while !check(&self.redis) {
            assert!(clock::monotonic() - begun < LONG, "{what}");
            sleep(Duration::from_millis(5));
        }
    }

    fn kill_and_restart(&mut self) {
        self.redis.cli(&["SAVE"]);
        self.redis.kill();
        sleep(self.lasts);
        self.redis.restart(Data::Snapshot);
    }

    fn hang(&mut self) {
        self.redis.stop();
        sleep(self.lasts);
        self.redis.cont();
    }

    fn set_for_a_while(&mut self, setting: &str, on: &str, off: &str) {
        self.redis.cli(&["CONFIG", "SET", setting, on]);
        sleep(self.lasts);
        self.redis.cli(&["CONFIG", "SET", setting, off]);
    }

    fn fail_to_save(&mut self) {
        self.redis.fail_to_save();
        sleep(self.lasts);
        self.redis
            .cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    }

    fn demote(&mut self) {
        self.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        sleep(self.lasts);
        self.redis.cli(&["REPLICAOF", "NO", "ONE"]);
    }

    fn pause_writes(&mut self) {
        self.redis.cli(&["CLIENT", "PAUSE", "600000", "WRITE"]);
        sleep(self.lasts);
        self.redis.cli(&["CLIENT", "UNPAUSE"]);
    }

    /// Some of the connections find a place, and some do not.
    fn take_no_more_clients(&mut self) {
        let mut console = Console::connect(self.redis.port());
        let begun = clock::monotonic();
        while clock::monotonic() - begun < self.lasts {
            let connected: u64 = self
                .redis
                .info("connected_clients")
                .parse()
                .expect("a number");
            let fewer = self.random.u64(2..connected.max(3)).to_string();
            console.command(&["CONFIG", "SET", "maxclients", &fewer]);
            console.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            self.note(format!("{fewer} clients instead of {connected}"));
            sleep(Duration::from_millis(1000));
            console.command(&["CONFIG", "SET", "maxclients", "10000"]);
            sleep(Duration::from_millis(self.random.u64(0..1000)));
        }
    }

    fn slow_down(&mut self, delays: Range<u64>) {
        for line in &self.lines {
            line.set_delays(delays.clone());
        }
        sleep(self.lasts);
        for line in &self.lines {
            line.set_delays(NEAR);
        }
    }

    /// It is told of nothing, and its connections stay. Who writes is to have Redis, so nobody writes through it.
    fn silence_one(&mut self) {
        let number = self.random.usize(0..SIDECARS);
        let fleet = self.shared.fleet.clone();
        let no_writes = fleet.writes(number).blocking_write();
        let line = &self.lines[number];
        // Of one that is lost, another takes the place.
        let silence = match self.random.u8(0..3) {
            0 => Silence::One(self.random.u64(0..line.connections())),
            _ => Silence::Everybody,
        };
        line.set_silence(silence);
        self.note(format!("{number} hears nothing: {silence:?}"));
        sleep(Duration::from_millis(self.random.u64(2000..3000)));
        line.set_silence(Silence::Nobody);
        self.note(format!("{number} hears all"));
        Handle::current().block_on(fleet.wait_for_redis(number));
        drop(no_writes);
    }

    fn freeze_one(&mut self) {
        let number = self.random.usize(0..SIDECARS);
        let fleet = self.shared.fleet.clone();
        fleet.freeze(number);
        self.note(format!("{number} frozen"));
        sleep(Duration::from_millis(self.random.u64(1200..3000)));
        fleet.go_on(number);
        self.note(format!("{number} goes on"));
    }

    fn kill_one(&mut self) {
        let number = self.random.usize(0..SIDECARS);
        let fleet = self.shared.fleet.clone();
        fleet.kill(number);
        self.note(format!("{number} killed"));
        sleep(Duration::from_millis(self.random.u64(0..400)));
        fleet.start_again(number);
        self.note(format!("{number} started"));
    }

    /// Returns when another one has taken over.
    fn kill_a_primary(&mut self) {
        let slot = self.any_slot();
        match &mut self.several {
            Several::Not => {}
            Several::Cluster(cluster) => {
                let owner = cluster.owner(slot);
                cluster.nodes[owner].kill();
                cluster.is_whole();
            }
            Several::Sentinel(watched) => {
                watched.servers[0].kill();
                watched.has_primary(1);
            }
        }
        self.note("another primary");
    }

    fn fail_over(&mut self) {
        let slot = self.any_slot();
        if let Several::Cluster(cluster) = &self.several {
            let owner = cluster.owner(slot);
            cluster.fail_over_to((owner + 3) % 6);
            self.note(format!("{owner} is a replica now"));
        }
    }

    fn move_a_slot(&mut self) {
        let slot = self.any_slot();
        if let Several::Cluster(cluster) = &self.several {
            let to = (cluster.owner(slot) + 1) % 3;
            cluster.migrate(slot, to);
            self.note(format!("slot {slot} has moved to {to}"));
        }
    }

    /// One in which Pannier has something.
    fn any_slot(&mut self) -> u16 {
        let shard = self.random.u8(0..16);
        redis_keyslot(format!("{{history.{shard}}}").as_bytes())
    }

    fn let_the_app_fail(&mut self) {
        self.shared.app.set_failing(true);
        sleep(self.lasts);
        self.shared.app.set_failing(false);
    }

    fn let_clients_hang_up(&mut self) {
        self.shared.rude.store(true, Ordering::SeqCst);
        sleep(self.lasts);
        self.shared.rude.store(false, Ordering::SeqCst);
    }
}

/// How long threads of this machine wait until they run, at worst: what a busy one adds to every bound.
pub(crate) struct Lag {
    stop: std::sync::mpsc::Sender<()>,
    measuring: std::thread::JoinHandle<Duration>,
}

impl Lag {
    pub(crate) fn measure() -> Lag {
        const STEP: Duration = Duration::from_millis(5);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let measuring = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            let mut before: Instant = clock::monotonic();
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(STEP) {
                let now = clock::monotonic();
                worst = worst.max((now - before).saturating_sub(STEP));
                before = now;
            }
            worst
        });
        Lag { stop, measuring }
    }

    pub(crate) fn worst(self) -> Duration {
        drop(self.stop);
        self.measuring.join().expect("no panic")
    }
}
