//! A Redis Cluster of three primaries and three replicas, real processes.

use std::time::Duration;

use pannier::clock;

use super::redis::RedisServer;

/// What does not happen by then does not happen.
const LONG: Duration = Duration::from_secs(60);

/// Of a slot each: a third of them.
const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];

/// A dead primary is known as such after this and a little more.
const NODE_TIMEOUT: &str = "1000";

/// The nodes: three that began as primaries, then the replica of each.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl Cluster {
    /// All slots are served, and each replica follows.
    pub(crate) fn start() -> Cluster {
        let settings = [
            ["--cluster-node-timeout", NODE_TIMEOUT],
            ["--repl-diskless-sync-delay", "0"],
            ["--cluster-replica-validity-factor", "0"],
        ];
        let nodes = (0..6).map(|_| RedisServer::start_node_with(&settings.concat()));
        let cluster = Cluster {
            nodes: nodes.collect(),
        };
        let [first, others @ ..] = &cluster.nodes[..] else {
            unreachable!("six were started");
        };
        for (node, [from, to]) in cluster.nodes.iter().zip(SLOTS) {
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
        }
        for node in others {
            let port = node.port().to_string();
            first.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &node.bus_port()]);
        }
        cluster.wait("all know each other", |node| {
            node.cli(&["CLUSTER", "INFO"])
                .contains("cluster_known_nodes:6")
        });
        for (number, primary) in cluster.nodes[..3].iter().enumerate() {
            let id = primary.cli(&["CLUSTER", "MYID"]);
            let replica = &cluster.nodes[3 + number];
            wait("it is a replica", || {
                replica.cli(&["CLUSTER", "REPLICATE", &id]) == "OK"
            });
        }
        for replica in &cluster.nodes[3..] {
            wait("it follows", || replica.info("master_link_status") == "up");
        }
        cluster.is_whole();
        cluster
    }

    /// Waits until all that run find that every slot is served.
    pub(crate) fn is_whole(&self) {
        self.wait("the cluster is whole", |node| {
            node.cli(&["CLUSTER", "INFO"])
                .starts_with("cluster_state:ok")
        });
    }

    /// For `[redis] url`; one of the nodes is named, and names the others.
    pub(crate) fn url(&self) -> String {
        self.nodes[0].cluster_url()
    }

    /// The number of the node that serves `slot`.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let mut found = None;
        wait("somebody serves the slot", || {
            found = self.nodes.iter().position(|node| {
                node.runs() && node.info("role") == "master" && serves(node, slot)
            });
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// The replica takes over from its primary, in order and without loss.
    pub(crate) fn fail_over_to(&self, replica: usize) {
        let node = &self.nodes[replica];
        wait("it takes over", || {
            node.cli(&["CLUSTER", "FAILOVER"]);
            node.info("role") == "master"
        });
        let primaries = || {
            let roles = self.nodes.iter().map(|node| node.info("role"));
            roles.filter(|role| role == "master").count()
        };
        wait("the other one follows it", || primaries() == 3);
    }

    /// As `redis-cli --cluster reshard` does it, but key by key: requests come in between.
    pub(crate) fn migrate(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to);
        self.end_migration(slot, to);
    }

    /// From now on, keys of the slot may move.
    pub(crate) fn begin_migration(&self, slot: u16, to: usize) {
        let (source, target) = (&self.nodes[self.owner(slot)], &self.nodes[to]);
        let [source_id, target_id] = [source, target].map(|node| node.cli(&["CLUSTER", "MYID"]));
        set_slot(target, slot, &["IMPORTING", &source_id]);
        set_slot(source, slot, &["MIGRATING", &target_id]);
    }

    /// One key moves.
    pub(crate) fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = self.nodes[to].port().to_string();
        let words = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
        let answer = self.nodes[from].cli(&words);
        assert!(["OK", "NOKEY"].contains(&&*answer), "{answer}");
    }

    /// All that is left of the slot moves.
    pub(crate) fn end_migration(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        let number = slot.to_string();
        loop {
            let key = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", &number, "1"]);
            if key.is_empty() {
                break;
            }
            self.move_key(&key, from, to);
        }
        let target = self.nodes[to].cli(&["CLUSTER", "MYID"]);
        for node in [to, from] {
            set_slot(&self.nodes[node], slot, &["NODE", &target]);
        }
        wait("it is known", || self.owner(slot) == to);
    }

    fn wait(&self, what: &str, is_so: impl Fn(&RedisServer) -> bool) {
        let running = || self.nodes.iter().filter(|node| node.runs());
        wait(what, || running().all(&is_so));
    }
}

fn set_slot(node: &RedisServer, slot: u16, words: &[&str]) {
    let slot = slot.to_string();
    let answer = node.cli(&[&["CLUSTER", "SETSLOT", &slot], words].concat());
    assert_eq!(answer, "OK", "{words:?}");
}

/// Whether it says that it serves the slot itself.
fn serves(node: &RedisServer, slot: u16) -> bool {
    let nodes = node.cli(&["CLUSTER", "NODES"]);
    let Some(own) = nodes.lines().find(|line| line.contains("myself")) else {
        return false;
    };
    own.split(' ').skip(8).any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let bounds = from.parse().ok().zip(to.parse().ok());
        bounds.is_some_and(|(from, to): (u16, u16)| (from..=to).contains(&slot))
    })
}

pub(super) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = clock::monotonic();
    while !is_so() {
        let waited = clock::monotonic().duration_since(started);
        assert!(waited < LONG, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
