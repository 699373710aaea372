//! Sidecars as processes of their own, over one Redis; frozen, killed and started again while clients go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pannier::clock;
use parking_lot::Mutex;
use tokio::sync::RwLock;

use super::checker::Origin;
use super::faults::OUTAGE_TTL;
use crate::running::Running;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::sidecar::TOKEN;

pub(crate) const SIDECARS: usize = 3;
const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Fleet {
    _folder: tempfile::TempDir,
    file: String,
    app: String,
    redis: [String; SIDECARS],
    members: [Mutex<Member>; SIDECARS],
    writes: [RwLock<()>; SIDECARS],
}

struct Member {
    running: Option<Running>,
    life: u32,
    reached: Reached,
    state: State,
    continued: Option<Instant>,
}

/// How a sidecar's present life is reached.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) origin: Origin,
    pub(crate) proxy: Client,
    pub(crate) admin: Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Runs,
    Frozen,
    Ended,
}

/// What a sidecar has been through while a request was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ran,
    WasFrozen,
    Ended,
}

/// What the sidecars are told.
pub(crate) struct Settings {
    /// By which each of them reaches it.
    pub(crate) redis: [String; SIDECARS],
    pub(crate) outage: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) ttl: Duration,
    /// Whether writes purge anything but their own URL.
    pub(crate) purges: bool,
}

impl Settings {
    fn to_toml(&self) -> String {
        let route = |name: &str, path: &str, key: &str, more: &str| {
            let ttl = self.ttl.as_millis();
            let one = |strict: &str, prefix: &str, coherence: &str| {
                format!(
                    "[[route]]\nname = \"{strict}{name}\"\npath = \"{prefix}{path}\"\nkey = \"{strict}{key}\"\n\
                     ttl = \"{ttl}ms\"\nany_host = true\ncoherence = \"{coherence}\"\n{more}\n"
                )
            };
            one("", "", "tracked") + &one("strict:", "/strict", "strict")
        };
        let routes = [
            route(
                "item",
                "/items/{list}/{item}",
                "item:{path.list}:{path.item}",
                "",
            ),
            route(
                "list",
                "/lists/{list}/{page}",
                "list:{path.list}:{path.page}",
                "",
            ),
            route(
                "view",
                "/views/{view}",
                "view:{path.view}",
                "tags = [\"views\", \"view:{path.view}\"]",
            ),
        ];
        let purges = if self.purges { PURGES } else { "" };
        format!(
            "[redis]\nnamespace = \"history\"\ntimeout = \"{}ms\"\noutage = \"{}\"\noutage_ttl = \"{OUTAGE_TTL}ms\"\n\
             [budget]\nmax = \"100MB\"\n{}{purges}",
            self.timeout.as_millis(),
            self.outage,
            routes.concat()
        )
    }
}

/// Those under `/softly` leave what they find, and make it stale; the routes have no window in which that is served as it
/// is.
const PURGES: &str = r#"
[[purge]]
name = "item"
path = "/items/{list}/{item}"
keys = [
    "item:{path.list}:{path.item}", "strict:item:{path.list}:{path.item}",
    "list:{path.list}:*", "strict:list:{path.list}:*",
]
tags = ["view:{body.view}"]

[[purge]]
name = "list"
path = "/lists/{list}"
keys = ["item:{path.list}:*", "strict:item:{path.list}:*", "list:{path.list}:*", "strict:list:{path.list}:*"]
tags = ["views"]

[[purge]]
name = "item-softly"
path = "/softly/items/{list}/{item}"
keys = [
    "item:{path.list}:{path.item}", "strict:item:{path.list}:{path.item}",
    "list:{path.list}:*", "strict:list:{path.list}:*",
]
tags = ["view:{body.view}"]
soft = true

[[purge]]
name = "list-softly"
path = "/softly/lists/{list}"
keys = ["item:{path.list}:*", "strict:item:{path.list}:*", "list:{path.list}:*", "strict:list:{path.list}:*"]
tags = ["views"]
soft = true
"#;

impl Fleet {
    /// All have Redis, and hear of what is purged.
    pub(crate) async fn start(app: String, settings: &Settings) -> Arc<Fleet> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pannier.toml");
        std::fs::write(&file, settings.to_toml()).expect("a writable folder");
        let file = file.display().to_string();
        let members = std::array::from_fn(|number| {
            let running = spawn(&file, &app, &settings.redis[number], number);
            Mutex::new(Member {
                reached: Reached::new(&running, number, 0),
                running: Some(running),
                life: 0,
                state: State::Runs,
                continued: None,
            })
        });
        let fleet = Fleet {
            _folder: folder,
            file,
            app,
            redis: settings.redis.clone(),
            members,
            writes: Default::default(),
        };
        for number in 0..SIDECARS {
            fleet.wait_for_redis(number).await;
        }
        Arc::new(fleet)
    }

    /// Returns when one has it, and is told of purges.
    pub(crate) async fn wait_for_redis(&self, number: usize) {
        let admin = self.reached(number).admin;
        eventually("Redis is up", LONG, || async {
            let stats = admin.get("/stats").await.value();
            stats["redis"]["state"] == "up" && stats["redis"]["tracking"] == true
        })
        .await;
    }

    /// Held by writes through it that are under way, and by whoever wants none.
    pub(crate) fn writes(&self, number: usize) -> &RwLock<()> {
        &self.writes[number]
    }

    pub(crate) fn reached(&self, number: usize) -> Reached {
        self.members[number].lock().reached.clone()
    }

    pub(crate) fn state(&self, number: usize) -> State {
        self.members[number].lock().state
    }

    /// What became of it between then and now.
    pub(crate) fn fate(&self, origin: Origin, since: Instant) -> Fate {
        let member = self.members[origin.sidecar].lock();
        let was_frozen = member.continued.is_some_and(|continued| continued > since);
        match member.state {
            _ if member.life != origin.life => Fate::Ended,
            State::Ended => Fate::Ended,
            State::Frozen => Fate::WasFrozen,
            State::Runs if was_frozen => Fate::WasFrozen,
            State::Runs => Fate::Ran,
        }
    }

    // For threads that may block.

    pub(crate) fn freeze(&self, number: usize) {
        let mut member = self.members[number].lock();
        member.state = State::Frozen;
        member.signal("-STOP");
    }

    pub(crate) fn go_on(&self, number: usize) {
        let mut member = self.members[number].lock();
        member.signal("-CONT");
        member.continued = Some(clock::monotonic());
        member.state = State::Runs;
    }

    /// It has no time to do anything more.
    pub(crate) fn kill(&self, number: usize) {
        let mut member = self.members[number].lock();
        member.state = State::Ended;
        member.running = None;
    }

    /// Another life; clients go to it at once.
    pub(crate) fn start_again(&self, number: usize) {
        let running = spawn(&self.file, &self.app, &self.redis[number], number);
        let mut member = self.members[number].lock();
        member.life += 1;
        member.reached = Reached::new(&running, number, member.life);
        member.running = Some(running);
        member.state = State::Runs;
    }
}

impl Member {
    fn signal(&self, name: &str) {
        self.running.as_ref().expect("it runs").signal(name);
    }
}

impl Reached {
    fn new(running: &Running, sidecar: usize, life: u32) -> Reached {
        Reached {
            origin: Origin { sidecar, life },
            proxy: Client::new(running.proxy),
            admin: Client::new(running.admin),
        }
    }
}

/// The workers of the first one have a connection each, those of the others share theirs.
fn spawn(file: &str, app: &str, redis: &str, number: usize) -> Running {
    let workers = if number == 0 { "2" } else { "4" };
    let variables = [
        ("PANNIER_ADMIN_TOKEN", TOKEN),
        ("PANNIER_REDIS_URL", redis),
        ("PANNIER_LISTEN_WORKERS", workers),
    ];
    Running::start_with(&["run", "--config", file], app, &variables)
}
