//! An example app behind two sidecars that run its shipped config on one Redis, and what every such
//! deployment must show of a table of reads and writes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::app::ExampleApp;
use super::shipped;
use super::table::{Asker, Read, Write};
use crate::support::client::{Client, Outgoing, Reply};
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

/// Seconds that a test may take between storing an answer and looking at what is left of its life.
const SLACK: u64 = 30;

const HOST: &str = "app.example";

/// What every key of an entry begins with in Redis.
const ENTRY: &str = "{pannier}:v6:e:";

/// All of it; dropping it stops it, the sidecars first.
pub(super) struct Deployment {
    sidecars: [Sidecar; 2],
    pub(super) redis: RedisServer,
    pub(super) app: ExampleApp,
}

impl Deployment {
    /// With `config/<name>.toml`, which reads the app's URL from `url_variable`.
    pub(super) async fn start(name: &str, url_variable: &str, app: ExampleApp) -> Deployment {
        Deployment::start_in("on", name, url_variable, app).await
    }

    /// The same with `PANNIER_MODE`.
    pub(super) async fn start_in(
        mode: &str,
        name: &str,
        url_variable: &str,
        app: ExampleApp,
    ) -> Deployment {
        let redis = RedisServer::start();
        let (app_url, redis_url) = (app.url(), redis.url());
        let variables = [
            (url_variable, &*app_url),
            ("REDIS_URL", &*redis_url),
            ("PANNIER_MODE", mode),
        ];
        let start = || Sidecar::start_with_env(&shipped(name), &variables);
        let deployment = Deployment {
            sidecars: [start(), start()],
            redis,
            app,
        };
        for sidecar in &deployment.sidecars {
            use_redis(sidecar).await;
        }
        deployment
    }

    /// A client of the first sidecar.
    pub(super) fn client(&self) -> Client {
        self.sidecars[0].client()
    }

    /// Each row is a miss although all above it are stored, goes under its key with its TTL and
    /// priority, and is then a hit at both sidecars: no two rows share an answer.
    pub(super) async fn stores(&self, reads: &[Read]) {
        let [one, two] = [self.sidecars[0].client(), self.sidecars[1].client()];
        let mut answers = BTreeSet::new();
        for read in reads {
            let (entries, same_priority) = (self.entries(), self.count(read));
            let asked = self.app.requests();
            let first = get(&one, read).await;
            assert_eq!(first.status, 200, "{read:?}");
            assert!(first.cache_status().contains("; fwd=uri-miss"), "{first:?}");
            let key = self.new_entry(&entries, read).await;
            self.is_kept_as_ruled(&key, read);
            assert_eq!(self.count(read), same_priority + 1, "{read:?}");
            // The first sidecar has it in memory, the second one from Redis.
            for client in [&one, &two] {
                let again = get(client, read).await;
                assert!(again.is_hit(), "{read:?}: {}", again.cache_status());
                assert_eq!(again.body, first.body, "{read:?}");
                let left = seconds_left(&again);
                assert!(
                    read.ttl - SLACK < left && left <= read.ttl,
                    "{read:?}: {left} s"
                );
            }
            assert_eq!(self.app.requests(), asked + 1, "{read:?}");
            assert!(answers.insert(first.body), "another row's answer: {read:?}");
        }
        self.remembers(reads.len()).await;
    }

    /// Each write takes its reads away from both tiers of both sidecars and leaves the others, and
    /// all that is answered afterwards is as the app has it.
    pub(super) async fn purges(&self, reads: &[Read], writes: &[Write]) {
        let [one, two] = [self.sidecars[0].client(), self.sidecars[1].client()];
        for write in writes {
            self.warm(reads).await;
            let kept = left_by(write, reads);
            let reply = send(&one, write).await;
            assert!(reply.status.is_success(), "{write:?}: {}", reply.status);
            assert_eq!(stored(&one, reads).await, kept, "{}", write.name);
            assert_eq!(self.entries().len(), kept.len(), "{}", write.name);
            eventually(write.name, SHORT, || async {
                stored(&two, reads).await == kept
            })
            .await;
            self.answers_as_the_app(reads, write).await;
        }
    }

    /// In shadow every read goes to the app, and what the cache would have served was right, before and after every
    /// write.
    pub(super) async fn finds_nothing_in_shadow(&self, reads: &[Read], writes: &[Write]) {
        let mut asked = 0;
        let clients = [self.sidecars[0].client(), self.sidecars[1].client()];
        for write in writes {
            for client in [&clients[0], &clients[0], &clients[1]] {
                for read in reads {
                    let (ours, theirs) = (get(client, read).await, self.app.client());
                    assert_eq!(ours.body, get(&theirs, read).await.body, "{read:?}");
                    let status = ours.cache_status();
                    assert!(status.contains("; detail=shadow"), "{read:?}: {status}");
                    asked += 1;
                }
            }
            self.are_judged(asked).await;
            let reply = send(&clients[0], write).await;
            assert!(reply.status.is_success(), "{write:?}: {}", reply.status);
        }
        assert!(self.judged("same").await > 0, "nothing was compared");
        assert_eq!(self.judged("stale").await, 0);
        assert_eq!(self.judged("uncompared").await, 0);
    }

    /// Waits until it is known of so many requests what the cache would have done.
    async fn are_judged(&self, asked: u64) {
        eventually("all are judged", SHORT, || async {
            let mut judged = 0;
            for verdict in ["same", "stale", "misses", "uncompared"] {
                judged += self.judged(verdict).await;
            }
            judged == asked
        })
        .await;
    }

    async fn judged(&self, verdict: &str) -> u64 {
        let mut sum = 0;
        for sidecar in &self.sidecars {
            let shadow = sidecar.admin().get("/shadow").await.value();
            let rules = shadow["rules"].as_object().expect("rules").values();
            sum += rules.filter_map(|rule| rule[verdict].as_u64()).sum::<u64>();
        }
        sum
    }

    /// No write takes anything away when the app refuses it.
    pub(super) async fn keeps_when_refused(&self, reads: &[Read], writes: &[Write]) {
        let client = self.client();
        self.warm(reads).await;
        let all = names(reads);
        for status in [400, 401, 404, 409, 422, 500, 503] {
            self.app.refuse_writes(status);
            for write in writes {
                assert_eq!(send(&client, write).await.status, status, "{write:?}");
                assert_eq!(stored(&client, reads).await, all, "{status}: {write:?}");
            }
        }
        assert_eq!(self.entries().len(), reads.len());
    }

    /// Asks the app each time and stores nothing, for the reason given.
    pub(super) async fn passes(&self, cases: &[(&str, &str, Asker, &str)]) {
        let client = self.client();
        for (name, path, asker, reason) in cases {
            for _ in 0..2 {
                let asked = self.app.requests();
                let reply = asking(&client, "GET", path, *asker).send().await;
                let status = reply.cache_status();
                assert!(
                    status.ends_with(&format!("detail={reason}")),
                    "{name}: {status}"
                );
                assert_eq!(self.app.requests(), asked + 1, "{name}");
            }
        }
        assert_eq!(self.entries(), BTreeSet::new());
    }

    /// Everyone gets the answer that the first of them has had stored.
    pub(super) async fn shares(&self, path: &str, askers: &[Asker]) {
        let client = self.client();
        let ask = |asker| asking(&client, "GET", path, asker).send();
        ask(askers[0]).await;
        let asked = self.app.requests();
        eventually("stored", SHORT, || async { ask(askers[0]).await.is_hit() }).await;
        for asker in askers {
            assert!(ask(*asker).await.is_hit(), "{path}: {asker:?}");
        }
        assert_eq!(self.app.requests(), asked, "{path}");
    }

    /// Both sidecars have this many entries in memory.
    async fn remembers(&self, entries: usize) {
        for sidecar in &self.sidecars {
            let admin = sidecar.admin();
            eventually("all is in memory", SHORT, || async {
                admin.get("/stats").await.value()["memory"]["entries"] == entries
            })
            .await;
        }
    }

    /// Until both sidecars have all of it, in Redis and in memory.
    async fn warm(&self, reads: &[Read]) {
        for sidecar in &self.sidecars {
            let client = sidecar.client();
            for read in reads {
                eventually(read.name, SHORT, || async {
                    get(&client, read).await.is_hit()
                })
                .await;
            }
        }
        eventually("all is in Redis", SHORT, || async {
            self.entries().len() == reads.len()
        })
        .await;
    }

    async fn answers_as_the_app(&self, reads: &[Read], write: &Write) {
        let (client, app) = (self.client(), self.app.client());
        for read in reads {
            let (ours, theirs) = (get(&client, read).await, get(&app, read).await);
            let case = format!("{} after {}", read.name, write.name);
            assert_eq!(ours.status, theirs.status, "{case}");
            assert_eq!(ours.text(), theirs.text(), "{case}");
        }
    }

    /// The one key that was added to `before`, which must be the row's.
    async fn new_entry(&self, before: &BTreeSet<String>, read: &Read) -> String {
        eventually(read.name, SHORT, || async { self.entries() != *before }).await;
        let after = self.entries();
        let new: Vec<_> = after.difference(before).collect();
        let [new] = new.as_slice() else {
            panic!("{read:?}: {new:?}");
        };
        match read.key.strip_suffix('*') {
            None => assert_eq!(*new, read.key),
            Some(start) => {
                assert!(new.starts_with(start), "{read:?}: {new}");
                let digest = &new[start.len()..];
                let is_digest = digest.bytes().all(|byte| byte.is_ascii_alphanumeric());
                assert!(!digest.is_empty() && is_digest, "{read:?}: {new}");
            }
        }
        new.to_string()
    }

    fn is_kept_as_ruled(&self, key: &str, read: &Read) {
        let left = self.redis.number(&["TTL", &format!("{ENTRY}{key}")]);
        let kept = read.ttl + read.spare;
        assert!(kept - SLACK < left && left <= kept, "{read:?}: {left} s");
    }

    /// How many entries of the row's priority Redis has.
    fn count(&self, read: &Read) -> u64 {
        let field = format!("n{}", read.priority as u64);
        self.redis.number(&["HGET", "{pannier}:v6:by", &field])
    }

    /// The keys of all entries in Redis.
    fn entries(&self) -> BTreeSet<String> {
        let all = self.redis.cli(&["KEYS", &format!("{ENTRY}*")]);
        let keys = all.lines().filter_map(|name| name.strip_prefix(ENTRY));
        keys.map(str::to_owned).collect()
    }
}

/// Waits until the sidecar has Redis and is told of what leaves it.
async fn use_redis(sidecar: &Sidecar) {
    let admin = sidecar.admin();
    eventually("Redis is up", SHORT, || async {
        let stats = admin.get("/stats").await.value();
        stats["redis"]["state"] == "up" && stats["redis"]["tracking"] == true
    })
    .await;
}

/// The reads that are stored. `only-if-cached`: to look must not fill.
async fn stored(client: &Client, reads: &[Read]) -> Vec<&'static str> {
    let mut stored = Vec::new();
    for read in reads {
        let request = asking(client, "GET", read.path, read.asker);
        let reply = request
            .header("cache-control", "only-if-cached")
            .send()
            .await;
        if reply.status != 504 {
            stored.push(read.name);
        }
    }
    stored
}

fn left_by(write: &Write, reads: &[Read]) -> Vec<&'static str> {
    for name in write.stale {
        assert!(names(reads).contains(name), "{name} is no read's name");
    }
    let mut left = names(reads);
    left.retain(|name| !write.stale.contains(name));
    left
}

fn names(reads: &[Read]) -> Vec<&'static str> {
    reads.iter().map(|read| read.name).collect()
}

async fn get(client: &Client, read: &Read) -> Reply {
    asking(client, "GET", read.path, read.asker).send().await
}

async fn send(client: &Client, write: &Write) -> Reply {
    asking(client, write.method, write.path, write.asker)
        .header("content-type", "application/json")
        .body(write.body)
        .send()
        .await
}

fn asking(client: &Client, method: &str, path: &str, asker: Asker) -> Outgoing {
    // The host that both sidecars stand for; their ports would make two of it.
    let request = client.request(method, path).header("host", HOST);
    match asker {
        Some((field, value)) => request.header(field, value),
        None => request,
    }
}

/// The `ttl` of `Cache-Status`.
fn seconds_left(reply: &Reply) -> u64 {
    let mut parameters = reply.cache_status().split("; ");
    let ttl = parameters.find_map(|parameter| parameter.strip_prefix("ttl="));
    let ttl = ttl.unwrap_or_else(|| panic!("no ttl: {}", reply.cache_status()));
    ttl.parse().expect("seconds")
}
