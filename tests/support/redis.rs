//! A real redis-server on a free port, with its own directory; dropping it kills it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use pannier::clock;

use super::ports::free_port;

/// The longest start of a server on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The running server.
pub(crate) struct RedisServer {
    port: u16,
    directory: tempfile::TempDir,
    settings: Vec<String>,
    /// `LC_ALL`, if it is not this process's.
    locale: Option<&'static str>,
    process: Option<Child>,
}

/// What a restarted server finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// The last snapshot (`SAVE`).
    Snapshot,
    /// Nothing.
    Lost,
}

impl RedisServer {
    /// A server that keeps nothing on disk by itself.
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// A server that keeps nothing on disk by itself, with further settings such as `["--maxmemory", "1mb"]`.
    pub(crate) fn start_with(settings: &[&str]) -> RedisServer {
        let mut server = RedisServer::prepare(settings);
        server.spawn();
        server
    }

    /// As on machines that speak Danish: Lua has texts in the order of that, where `aa` is one letter and the last, and not of
    /// their bytes.
    pub(crate) fn start_in_danish() -> RedisServer {
        let mut server = RedisServer::prepare(&[]);
        server.locale = Some("da_DK.UTF-8");
        server.spawn();
        let order = server.cli(&["EVAL", "return tostring('aa' > 'b')", "0"]);
        assert_eq!(order, "true", "tests/run has made the locale");
        server
    }

    /// Not started.
    fn prepare(settings: &[&str]) -> RedisServer {
        RedisServer {
            port: free_port(),
            directory: tempfile::tempdir().expect("a directory"),
            settings: settings.iter().map(|&setting| setting.into()).collect(),
            locale: None,
            process: None,
        }
    }

    /// A server that holds what `other` saved last (`SAVE`), and answers replicas at once.
    pub(crate) fn start_with_data_of(other: &RedisServer) -> RedisServer {
        let mut server = RedisServer::prepare(&["--repl-diskless-sync-delay", "0"]);
        let dump = |server: &RedisServer| server.directory.path().join("dump.rdb");
        std::fs::copy(dump(other), dump(&server)).expect("it was saved");
        server.spawn();
        server
    }

    /// A cluster of one node that owns all slots; its URL is [`RedisServer::cluster_url`].
    pub(crate) fn start_cluster() -> RedisServer {
        let node = RedisServer::start_node();
        node.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        node.waits_for_cluster();
        node
    }

    /// A cluster of three nodes that have a third of the slots each; any of them has its URL.
    pub(crate) fn start_cluster_of_three() -> [RedisServer; 3] {
        const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];
        let nodes = SLOTS.map(|[first, last]| {
            let node = RedisServer::start_node();
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            node
        });
        for node in &nodes[1..] {
            let port = node.port.to_string();
            nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &node.bus_port()]);
        }
        nodes.iter().for_each(RedisServer::waits_for_cluster);
        nodes
    }

    /// A node of a cluster, without slots.
    fn start_node() -> RedisServer {
        RedisServer::start_node_with(&[])
    }

    /// The same with further settings.
    pub(crate) fn start_node_with(more: &[&str]) -> RedisServer {
        // A lone node does not know its address.
        let announced = ["--cluster-announce-ip", "127.0.0.1"];
        // The default, the port and 10,000, may be past the last port.
        let bus = free_port().to_string();
        let bus = ["--cluster-port", bus.as_str()];
        let settings = [["--cluster-enabled", "yes"], announced, bus].concat();
        RedisServer::start_with(&[&settings[..], more].concat())
    }

    pub(crate) fn bus_port(&self) -> String {
        self.cli(&["CONFIG", "GET", "cluster-port"])
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    }

    fn waits_for_cluster(&self) {
        let started = clock::monotonic();
        while self.cli(&["CLUSTER", "INFO"]).lines().next() != Some("cluster_state:ok") {
            let waited = clock::monotonic().duration_since(started);
            assert!(waited < START, "the cluster does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// For `[redis] url`, as a cluster.
    pub(crate) fn cluster_url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.port)
    }

    /// For `[redis] url`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs one command through redis-cli and returns its raw answer.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        if let Some(at) = self
            .settings
            .iter()
            .position(|word| word == "--requirepass")
        {
            cli.env("REDISCLI_AUTH", &self.settings[at + 1]);
        }
        let output = cli
            .args(["-p", &self.port.to_string(), "--raw"])
            .args(command)
            .output()
            .expect("redis-cli is installed beside redis-server");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// The answer as a number; 0 for what is none.
    pub(crate) fn number(&self, command: &[&str]) -> u64 {
        self.cli(command).parse().unwrap_or_default()
    }

    /// A line of `INFO`, such as `used_memory`.
    pub(crate) fn info(&self, name: &str) -> String {
        let info = self.cli(&["INFO", "everything"]);
        let line = info.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            (field == name).then(|| value.trim().to_owned())
        });
        line.unwrap_or_default()
    }

    /// How often a command was called, by itself or in a script.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats = self.info(&format!("cmdstat_{command}"));
        let calls = stats
            .strip_prefix("calls=")
            .and_then(|rest| rest.split(',').next());
        calls
            .and_then(|calls| calls.parse().ok())
            .unwrap_or_default()
    }

    /// Its next save fails, as on a broken disk, and from then on it refuses writes.
    pub(crate) fn fail_to_save(&self) {
        std::fs::remove_dir_all(self.directory.path()).expect("its own directory");
        self.cli(&["CONFIG", "SET", "save", "3600 1000000"]);
        self.cli(&["BGSAVE"]);
        let started = clock::monotonic();
        while self.info("rdb_last_bgsave_status") != "err" {
            let waited = clock::monotonic().duration_since(started);
            assert!(waited < START, "the save does not fail");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its port of this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it has not been killed.
    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// It hangs: connections stay, nothing is answered.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    /// It goes on after [`RedisServer::stop`].
    pub(crate) fn cont(&self) {
        self.signal("-CONT");
    }

    /// Dead at once, with nothing saved.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Back on the same port, after a kill if it still runs.
    pub(crate) fn restart(&mut self, data: Data) {
        self.kill();
        if data == Data::Lost {
            // Absent when nothing was ever saved.
            let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        }
        self.spawn();
    }

    fn spawn(&mut self) {
        let process = server(self.port, self.directory.path())
            .args(&self.settings)
            .envs(self.locale.iter().flat_map(|locale| {
                let made = concat!(env!("CARGO_MANIFEST_DIR"), "/target/locale");
                [("LC_ALL", *locale), ("LOCPATH", made)]
            }))
            .spawn()
            .expect("redis-server is installed");
        self.process = Some(process);
        let started = clock::monotonic();
        while !self.answers() {
            let waited = clock::monotonic().duration_since(started);
            assert!(waited < START, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        let answer = self.cli(&["PING"]);
        answer == "PONG" || answer.starts_with("NOAUTH")
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("it runs");
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()
            .expect("kill is everywhere");
        assert!(status.success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn server(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// An address that may lead to another server for whoever connects anew, as a name or a service does.
pub(crate) struct Service {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Service {
    pub(crate) async fn start(server: &RedisServer) -> Service {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let service = Service {
            port: listener.local_addr().expect("it is bound").port(),
            target: Arc::new(AtomicU16::new(server.port)),
        };
        let target = Arc::clone(&service.target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = target.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
                    if let Ok(mut server) = server {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        service
    }

    /// For `[redis] url`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it leads from now on.
    pub(crate) fn lead_to(&self, server: &RedisServer) {
        self.target.store(server.port, Ordering::SeqCst);
    }
}
