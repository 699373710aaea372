//! A primary and a replica that three sentinels watch, real processes, with passwords of both kinds.

use std::process::{Child, Command, Stdio};

use super::ports::free_port;
use super::redis::RedisServer;
use super::redis_cluster::wait;

/// The password of the servers.
pub(crate) const PASSWORD: &str = "of-the-servers";

/// The sentinels' own.
pub(crate) const SENTINEL_PASSWORD: &str = "of-the-sentinels";

/// The primary's name among them.
pub(crate) const MASTER: &str = "mymaster";

/// Two servers, one of which is the primary, and who watches them.
pub(crate) struct Watched {
    pub(crate) servers: [RedisServer; 2],
    pub(crate) sentinels: Vec<Sentinel>,
}

/// One sentinel; dropping it kills it.
pub(crate) struct Sentinel {
    port: u16,
    _directory: tempfile::TempDir,
    process: Child,
}

impl Watched {
    /// The first server is the primary, and the sentinels agree.
    pub(crate) fn start() -> Watched {
        let login = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
        let prompt = ["--repl-diskless-sync-delay", "0"];
        let settings = [&login[..], &prompt].concat();
        let primary = RedisServer::start_with(&settings);
        let of = format!("127.0.0.1 {}", primary.port());
        let replica = RedisServer::start_with(&[&settings[..], &["--replicaof", &of]].concat());
        wait("it follows", || replica.info("master_link_status") == "up");
        let sentinels = (0..3).map(|_| Sentinel::start(primary.port()));
        let watched = Watched {
            sentinels: sentinels.collect(),
            servers: [primary, replica],
        };
        for sentinel in &watched.sentinels {
            wait("it knows the others and the replica", || {
                let told = sentinel.cli(&["SENTINEL", "MASTER", MASTER]);
                value(&told, "num-other-sentinels") == "2" && value(&told, "num-slaves") == "1"
            });
        }
        watched
    }

    /// The keys of `[redis]`.
    pub(crate) fn keys(&self) -> String {
        let sentinels = self
            .sentinels
            .iter()
            .map(|sentinel| format!("\"127.0.0.1:{}\"", sentinel.port));
        let sentinels: Vec<String> = sentinels.collect();
        format!(
            "sentinels = [{}]\nmaster = \"{MASTER}\"\npassword = \"{PASSWORD}\"\n\
             sentinel_password = \"{SENTINEL_PASSWORD}\"\n",
            sentinels.join(", ")
        )
    }

    /// For `[redis] url`.
    pub(crate) fn url(&self) -> String {
        let [first, others @ ..] = &self.sentinels[..] else {
            unreachable!("three were started");
        };
        let others = others
            .iter()
            .map(|other| format!("node=127.0.0.1:{}&", other.port));
        format!(
            "redis-sentinel://:{PASSWORD}@127.0.0.1:{}/0?{}sentinelServiceName={MASTER}&sentinelPassword={SENTINEL_PASSWORD}",
            first.port,
            others.collect::<String>()
        )
    }

    /// Waits until this server is the primary.
    pub(crate) fn has_primary(&self, number: usize) {
        wait("it is the primary", || self.primary() == Some(number));
    }

    /// This server is the primary from now on, as all sentinels say; the other one is not told.
    pub(crate) fn replace_by(&self, number: usize) {
        let server = &self.servers[number];
        server.cli(&["REPLICAOF", "NO", "ONE"]);
        let port = server.port().to_string();
        for sentinel in &self.sentinels {
            sentinel.cli(&["SENTINEL", "REMOVE", MASTER]);
            sentinel.cli(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "2"]);
            sentinel.cli(&["SENTINEL", "SET", MASTER, "auth-pass", PASSWORD]);
        }
    }

    /// The number of the server that is the primary, by its own word.
    pub(crate) fn primary(&self) -> Option<usize> {
        self.servers
            .iter()
            .position(|server| server.runs() && server.info("role") == "master")
    }
}

impl Sentinel {
    fn start(primary: u16) -> Sentinel {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {SENTINEL_PASSWORD}\n\
             sentinel sentinel-pass {SENTINEL_PASSWORD}\nsentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
             sentinel auth-pass {MASTER} {PASSWORD}\nsentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 3000\n",
            directory.path().display()
        );
        std::fs::write(&file, text).expect("a writable folder");
        let process = Command::new("redis-server")
            .arg(file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Sentinel {
            port,
            _directory: directory,
            process,
        }
    }

    fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .env("REDISCLI_AUTH", SENTINEL_PASSWORD)
            .args(["-p", &self.port.to_string(), "--raw"])
            .args(command)
            .output()
            .expect("redis-cli is installed beside redis-server");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The value behind a name, of names and values line by line.
fn value<'t>(told: &'t str, name: &str) -> &'t str {
    let mut lines = told.lines();
    lines.find(|line| *line == name);
    lines.next().unwrap_or_default()
}
