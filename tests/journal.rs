//! `[redis] journal`: Redis and the sidecar that purged die together, and what it purged stays purged (promises I2
//! and I4).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pannier::app::App;
use pannier::config::{Config, Env};

use crate::running::Running;
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::{Sidecar, TOKEN};

const SHORT: Duration = Duration::from_secs(30);

const RULES: &str = r#"
[[route]]
name = "items"
path = "/item/{id}"
key = "item:{path.id}"
ttl = "5m"
any_host = true

[[route]]
name = "strict"
path = "/strict/{id}"
key = "strict:{path.id}"
ttl = "5m"
any_host = true
coherence = "strict"

[[route]]
name = "views"
path = "/view/{id}"
key = "view:{path.id}"
tags = ["views"]
ttl = "5m"
any_host = true

[[purge]]
name = "write"
path = "/item/{id}"
keys = ["item:{path.id}", "strict:*"]
tags = ["views"]
"#;

/// What a write to `/item/1` makes stale: by key, by pattern and by tag.
const STALE: [&str; 3] = ["/item/1", "/strict/1", "/view/1"];

const LAST_PURGE: &[&str] = &["HGET", "{pannier}:v6:by", "sq"];

/// An app of one version, a Redis, and the config of a sidecar.
struct World {
    app: TestApp,
    redis: RedisServer,
    version: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
    journal: Journal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Journal {
    Kept,
    None,
}

impl World {
    async fn new(journal: Journal) -> World {
        let app = TestApp::start().await;
        let version = Arc::new(AtomicUsize::new(1));
        for path in STALE.into_iter().chain(["/item/2"]) {
            let version = Arc::clone(&version);
            app.on("GET", path, move |_| {
                Answer::text(version.load(Ordering::SeqCst).to_string())
            });
        }
        app.on("PUT", "/item/1", |_| Answer::status(204));
        World {
            app,
            redis: RedisServer::start(),
            version,
            folder: tempfile::tempdir().expect("a folder"),
            journal,
        }
    }

    fn path_of_journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn write_config(&self) -> String {
        let journal = match self.journal {
            Journal::Kept => format!("journal = \"{}\"\n", self.path_of_journal().display()),
            Journal::None => String::new(),
        };
        let text = format!(
            "[listen]\nworkers = 2\n[upstream]\nurl = \"{}\"\n[redis]\nurl = \"{}\"\nreconnect_max = \"200ms\"\ntimeout = \"1s\"\n\
             {journal}{RULES}",
            self.app.url(),
            self.redis.url()
        );
        let file = self.folder.path().join("pannier.toml");
        std::fs::write(&file, text).expect("a writable folder");
        file.display().to_string()
    }

    fn start(&self) -> Running {
        Running::start(&["run", "--config", &self.write_config()], &self.app.url())
    }

    async fn start_and_connect(&self) -> Running {
        let running = self.start();
        eventually("Redis is in use", SHORT, || async {
            stats(&running).await["state"] == "up"
        })
        .await;
        running
    }

    /// All that the app has, stored in Redis and saved by it.
    async fn store_all(&self, running: &Running) {
        for path in STALE.into_iter().chain(["/item/2"]) {
            assert_eq!(read(running, path).await, ("1".to_owned(), false));
        }
        eventually("all is stored", SHORT, || async {
            stats(running).await["entries"] == 4
        })
        .await;
        assert_eq!(self.redis.cli(&["SAVE"]), "OK");
    }

    /// The write's answer; what is read after it is of version 2.
    async fn write(&self, running: &Running) {
        self.version.store(2, Ordering::SeqCst);
        let written = Client::new(running.proxy).request("PUT", "/item/1").send();
        assert_eq!(written.await.status, 204);
    }
}

async fn stats(running: &Running) -> serde_json::Value {
    let admin = Client::new(running.admin);
    admin.get("/stats").await.value()["redis"].clone()
}

/// What a client gets, and whether it was stored.
async fn read(running: &Running, path: &str) -> (String, bool) {
    let answer = Client::new(running.proxy).get(path).await;
    (answer.text().to_owned(), answer.is_hit())
}

/// What stands in Redis is found without a journal, and is the old one; with a journal nothing old is.
async fn expect_nothing_stale(world: &World, running: &Running) {
    for path in STALE {
        let expected = match world.journal {
            Journal::Kept => ("2".to_owned(), false),
            Journal::None => ("1".to_owned(), true),
        };
        assert_eq!(read(running, path).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_redis_has_forgotten_is_missed_after_a_restart() {
    for journal in [Journal::None, Journal::Kept] {
        let mut world = World::new(journal).await;
        let running = world.start_and_connect().await;
        world.store_all(&running).await;
        world.write(&running).await;
        // Killed, at once.
        drop(running);
        world.redis.restart(Data::Snapshot);
        let running = world.start_and_connect().await;
        expect_nothing_stale(&world, &running).await;
    }
}

/// The number of the last purge is as high as the one that is missing, and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_missed_whatever_others_have_purged_since() {
    for journal in [Journal::None, Journal::Kept] {
        let mut world = World::new(journal).await;
        let running = world.start_and_connect().await;
        world.store_all(&running).await;
        world.write(&running).await;
        let purges = world.redis.number(LAST_PURGE);
        drop(running);
        world.redis.restart(Data::Snapshot);
        assert!(world.redis.number(LAST_PURGE) < purges);
        let other = Sidecar::start(
            &world.app.url(),
            &format!("[redis]\nurl = \"{}\"\n", world.redis.url()),
        );
        eventually("others have purged more", SHORT, || async {
            let purge = other.admin().request("POST", "/purge");
            let purge = purge
                .header("authorization", &format!("Bearer {TOKEN}"))
                .header("content-type", "application/json");
            purge.body(r#"{"keys": ["other"]}"#).send().await;
            world.redis.number(LAST_PURGE) > purges
        })
        .await;
        let running = world.start_and_connect().await;
        expect_nothing_stale(&world, &running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_redis_could_not_take_is_sent_after_a_restart() {
    for journal in [Journal::None, Journal::Kept] {
        let mut world = World::new(journal).await;
        let running = world.start_and_connect().await;
        world.store_all(&running).await;
        world.redis.kill();
        world.write(&running).await;
        drop(running);
        // Once more without it: what is pending is not forgotten by another start.
        drop(world.start());
        world.redis.restart(Data::Snapshot);
        let running = world.start_and_connect().await;
        expect_nothing_stale(&world, &running).await;
        let other = read(&running, "/item/2").await;
        assert_eq!(other, ("1".to_owned(), true), "it was not purged");
        assert_eq!(stats(&running).await["pending_purges"], 0);
    }
}

/// The write was answered once it was known that Redis has not taken its purge, and not only that Redis is late.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_not_lost_with_a_redis_that_hung_and_the_sidecar_that_took_the_write() {
    for journal in [Journal::None, Journal::Kept] {
        let mut world = World::new(journal).await;
        let running = world.start_and_connect().await;
        world.store_all(&running).await;
        world.redis.stop();
        world.write(&running).await;
        drop(running);
        world.redis.restart(Data::Snapshot);
        let running = world.start_and_connect().await;
        expect_nothing_stale(&world, &running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_alone_costs_nothing() {
    let world = World::new(Journal::Kept).await;
    let running = world.start_and_connect().await;
    world.store_all(&running).await;
    world.write(&running).await;
    for path in STALE {
        assert_eq!(read(&running, path).await, ("2".to_owned(), false));
    }
    eventually("all is stored again", SHORT, || async {
        stats(&running).await["entries"] == 4
    })
    .await;
    drop(running);
    let running = world.start_and_connect().await;
    for path in STALE {
        assert_eq!(read(&running, path).await, ("2".to_owned(), true), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_one_makes_all_void_once() {
    let world = World::new(Journal::Kept).await;
    let running = world.start_and_connect().await;
    world.store_all(&running).await;
    drop(running);
    let whole = std::fs::read(world.path_of_journal()).expect("it was written");
    let half = &whole[..whole.len() / 2];
    std::fs::write(world.path_of_journal(), half).expect("a writable folder");
    for is_hit in [false, true] {
        let running = world.start_and_connect().await;
        assert_eq!(read(&running, "/item/2").await, ("1".to_owned(), is_hit));
        eventually("it is stored", SHORT, || async {
            stats(&running).await["entries"] == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sidecars_do_not_share_one() {
    let world = World::new(Journal::Kept).await;
    let running = world.start();
    let start = || {
        let env = Env::from_pairs([
            ("PANNIER_LISTEN_PROXY", "127.0.0.1:0"),
            ("PANNIER_LISTEN_ADMIN", "127.0.0.1:0"),
        ]);
        let loaded = Config::load(Path::new(&world.write_config()), &env);
        App::start(
            loaded.unwrap_or_else(|errors| panic!("{errors}")).config,
            None,
        )
    };
    let words = start().err().expect("it is refused").to_string();
    let path = world.path_of_journal().display().to_string();
    for expected in [
        path.as_str(),
        "another process has it locked",
        "end that one",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    drop(running);
    start().expect("it is free again").shutdown();
    start().expect("and again").shutdown();
}
