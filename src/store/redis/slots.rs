//! Of a cluster, which node has which shard: as its nodes say when they are asked, or when they are asked for what another
//! one has (`MOVED`).

use std::time::{Duration, Instant};

use fred::types::Value;
use fred::types::config::Server;
use parking_lot::{Mutex, MutexGuard};

/// From one question to the next, at least.
const RARELY: Duration = Duration::from_millis(100);

/// Shared by all runtimes.
#[derive(Debug)]
pub(super) struct SlotMap {
    /// The slot of each shard.
    slots: Vec<u16>,
    /// The nodes that the config names.
    named: Vec<Server>,
    known: Mutex<Known>,
    /// Held by whoever asks: one at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    /// By shard.
    owners: Vec<Option<Server>>,
    /// Whom to ask: those that the config names, and those that they have named.
    nodes: Vec<Server>,
    /// How often nodes have told.
    told: u64,
    asked: Option<Instant>,
}

impl SlotMap {
    /// `named`: the nodes that the config names.
    pub(super) fn new(slots: Vec<u16>, named: Vec<Server>) -> SlotMap {
        SlotMap {
            known: Mutex::new(Known {
                owners: vec![None; slots.len()],
                nodes: named.clone(),
                told: 0,
                asked: None,
            }),
            slots,
            named,
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The node that has a shard, as far as that is known.
    pub(super) fn owner(&self, shard: usize) -> Option<Server> {
        self.known().owners[shard].clone()
    }

    /// The shards that a node has.
    pub(super) fn shards_of(&self, node: &Server) -> Vec<usize> {
        let known = self.known();
        let owners = known.owners.iter().enumerate();
        let its = owners.filter(|(_, owner)| owner.as_ref() == Some(node));
        its.map(|(shard, _)| shard).collect()
    }

    /// Whether a node has any shard; by its address.
    pub(super) fn has_any(&self, node: &str) -> bool {
        let known = self.known();
        let mut owners = known.owners.iter().flatten();
        owners.any(|owner| owner.to_string() == node)
    }

    /// Whom to ask.
    pub(super) fn nodes(&self) -> Vec<Server> {
        self.known().nodes.clone()
    }

    /// Runs `ask`, unless somebody else has asked meanwhile, or did a moment ago.
    pub(super) async fn ask<T>(&self, now: Instant, ask: impl AsyncFnOnce() -> T) -> Option<T> {
        let told = self.known().told;
        let _one_at_a_time = self.asking.lock().await;
        {
            let mut known = self.known();
            let is_early = |asked| now.saturating_duration_since(asked) < RARELY;
            if known.told != told || known.asked.is_some_and(is_early) {
                return None;
            }
            known.asked = Some(now);
        }
        Some(ask().await)
    }

    /// Takes in what the node `asked` answers to `CLUSTER SLOTS`; returns whether it names the owner of every shard.
    pub(super) fn take_in(&self, answer: &Value, asked: &Server) -> bool {
        let ranges = read_ranges(answer, asked);
        let mut known = self.known();
        let mut is_whole = true;
        for (shard, slot) in self.slots.iter().enumerate() {
            let mut ranges = ranges.iter();
            match ranges.find(|range| (range.first..=range.last).contains(slot)) {
                Some(range) => known.owners[shard] = range.nodes.first().cloned(),
                None => is_whole = false,
            }
        }
        if is_whole {
            // What is named no more has left, or has another address.
            known.nodes = self.named.clone();
        }
        for node in ranges.into_iter().flat_map(|range| range.nodes) {
            known.keep_node(node);
        }
        known.told += 1;
        is_whole
    }

    /// Takes in what a node answers that was asked for what another one has: `MOVED 3999 10.0.0.5:6379`. Returns whether
    /// that is what it answers.
    pub(super) fn take_in_moved(&self, words: &str) -> bool {
        let Some((slot, owner)) = read_moved(words) else {
            return false;
        };
        let Some(shard) = self.slots.iter().position(|of_shard| *of_shard == slot) else {
            return false;
        };
        let mut known = self.known();
        known.owners[shard] = Some(owner.clone());
        known.keep_node(owner);
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

impl Known {
    /// The most nodes that are known.
    const MOST: usize = 256;

    fn keep_node(&mut self, node: Server) {
        if !self.nodes.contains(&node) && self.nodes.len() < Known::MOST {
            self.nodes.push(node);
        }
    }
}

/// Slots that are at the same nodes.
#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    /// The primary, then its replicas.
    nodes: Vec<Server>,
}

/// What cannot be read is left out.
fn read_ranges(answer: &Value, asked: &Server) -> Vec<Range> {
    let ranges = answer.clone().into_array().into_iter();
    let read = |range: Value| {
        let mut parts = range.into_array().into_iter();
        let mut bound = || parts.next().and_then(|bound| bound.as_u64());
        let (first, last) = (bound()?, bound()?);
        Some(Range {
            first: u16::try_from(first).ok()?,
            last: u16::try_from(last).ok()?,
            nodes: parts.filter_map(|node| read_node(node, asked)).collect(),
        })
    };
    ranges.filter_map(read).collect()
}

/// `[host, port, id, …]`; without a host it is the one that was asked.
fn read_node(node: Value, asked: &Server) -> Option<Server> {
    let mut parts = node.into_array().into_iter();
    let host = parts.next()?.into_string().unwrap_or_default();
    let port = u16::try_from(parts.next()?.as_u64()?).ok()?;
    match &*host {
        // Its name is to be announced, and is not.
        "?" => None,
        "" => Some(Server::new(asked.host.clone(), port)),
        host => Some(Server::new(bracket(host), port)),
    }
}

fn read_moved(words: &str) -> Option<(u16, Server)> {
    let mut words = words.strip_prefix("MOVED ")?.split(' ');
    let slot = words.next()?.parse().ok()?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| (slot, Server::new(bracket(host), port)))
}

/// An address of IPv6 stands in brackets.
fn bracket(host: &str) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn array(values: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(values.into_iter().collect())
    }

    fn node(host: &str, port: i64) -> Value {
        let more = [Value::from("id"), array([])];
        array([Value::from(host), port.into()].into_iter().chain(more))
    }

    fn map() -> SlotMap {
        SlotMap::new(vec![3999, 12_000], vec![Server::new("named", 1)])
    }

    #[test]
    fn nodes_say_who_has_which_shard() {
        let (slots, asked) = (map(), Server::new("asked", 9));
        assert_eq!(slots.owner(0), None);
        let first = array([
            0.into(),
            5000.into(),
            node("10.0.0.5", 1),
            node("10.0.0.6", 2),
        ]);
        let rest = array([5001.into(), 16_383.into(), node("::1", 3), node("?", 4)]);
        assert!(
            !slots.take_in(&array([first.clone()]), &asked),
            "the other is not served"
        );
        assert!(slots.take_in(&array([first.clone(), rest]), &asked));
        assert_eq!(slots.owner(0), Some(Server::new("10.0.0.5", 1)));
        assert_eq!(slots.owner(1), Some(Server::new("[::1]", 3)));
        assert_eq!(slots.shards_of(&Server::new("10.0.0.5", 1)), [0]);
        assert!(slots.has_any("10.0.0.5:1") && !slots.has_any("10.0.0.6:2"));
        assert_eq!(
            slots.nodes().len(),
            4,
            "the one that is named, three that are told"
        );
        let itself = array([5001.into(), 16_383.into(), node("", 7)]);
        assert!(slots.take_in(&array([first, itself]), &asked));
        assert_eq!(slots.owner(1), Some(Server::new("asked", 7)));
        assert_eq!(
            slots.nodes().len(),
            4,
            "another one in place of the one that is told no more"
        );
        assert!(!slots.take_in(&Value::Null, &asked));
        assert_eq!(slots.owner(1), Some(Server::new("asked", 7)), "as before");
    }

    #[test]
    fn what_has_moved_is_known() {
        let slots = map();
        for (words, expected) in [
            (
                "MOVED 3999 10.0.0.7:6381",
                Some(Server::new("10.0.0.7", 6381)),
            ),
            (
                "MOVED 3999 fe80::1:6381",
                Some(Server::new("[fe80::1]", 6381)),
            ),
            ("MOVED 4000 10.0.0.8:6381", None),
            ("MOVED 3999 :6381", None),
            ("ASK 3999 10.0.0.8:6381", None),
            ("MOVED", None),
        ] {
            let before = slots.owner(0);
            assert_eq!(slots.take_in_moved(words), expected.is_some(), "{words}");
            assert_eq!(slots.owner(0), expected.or(before), "{words}");
        }
        assert_eq!(slots.owner(1), None);
    }

    #[tokio::test]
    async fn one_asks_for_all_that_want_to_know() {
        let slots = map();
        let now = clock::monotonic();
        assert_eq!(slots.ask(now, async || 1).await, Some(1));
        assert_eq!(slots.ask(now + RARELY / 2, async || 2).await, None);
        assert_eq!(slots.ask(now + RARELY, async || 3).await, Some(3));
    }
}
