//! Which server the sentinels name as the primary, asked again and again: one that was replaced may go on, and take writes
//! that nobody else sees.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;

use super::clients::Probe;
use super::error::Error;
use crate::clock;
use crate::config::{Redis, RedisAccess, RedisServer, RedisServers};

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long one may take to say it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the sentinels say, for all connections of the process.
#[derive(Default)]
pub(super) struct Sentinels {
    named: Mutex<Option<Named>>,
    asked_at: Mutex<Option<Instant>>,
    is_asking: AtomicBool,
    /// The connections to them that stand, by their number in the config.
    probes: Mutex<HashMap<usize, Probe>>,
}

/// What one of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    primary: Server,
    /// Of the latest failover that it knows: the highest is right.
    epoch: u64,
    /// Its number in the config.
    by: usize,
    /// When they were asked.
    asked: Instant,
}

impl Sentinels {
    /// The number of the one that knows best.
    pub(super) fn best(&self) -> Option<usize> {
        self.named.lock().as_ref().map(|named| named.by)
    }

    /// Whether they name another primary than the one to which a connection leads since then, as far as is known.
    pub(super) fn name_another(&self, here: &Server, since: Instant) -> bool {
        let named = self.named.lock();
        let named = named.as_ref().filter(|named| named.asked > since);
        named.is_some_and(|named| !is_same(here, &named.primary))
    }

    /// Asks them in the background, if it is time to.
    pub(super) fn ask_if_due(self: &Arc<Self>, config: &Arc<Redis>, access: Arc<RedisAccess>) {
        let RedisServers::Sentinel { .. } = config.servers else {
            return;
        };
        let now = clock::monotonic();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= EVERY;
        if !self.asked_at.lock().is_none_or(is_due) || self.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        *self.asked_at.lock() = Some(now);
        let (asking, config) = (Asking(Arc::clone(self)), Arc::clone(config));
        tokio::spawn(async move { asking.0.ask(&config, &access, now).await });
    }

    async fn ask(&self, config: &Redis, access: &RedisAccess, now: Instant) {
        let RedisServers::Sentinel { sentinels, master } = &config.servers else {
            return;
        };
        let questions = sentinels.iter().enumerate().map(async |(by, sentinel)| {
            let known = self.probes.lock().remove(&by);
            let probe = match known.filter(Probe::is_connected) {
                Some(probe) => probe,
                None => connect(config, access, sentinel).await?,
            };
            let (primary, epoch) = ask_one(&probe, master).await?;
            self.probes.lock().insert(by, probe);
            let asked = now;
            Ok::<_, Error>(Named {
                primary,
                epoch,
                by,
                asked,
            })
        });
        let mut answers: FuturesUnordered<_> = questions.collect();
        let mut said = Vec::new();
        // Each as it comes: one may hang.
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(named) => {
                    said.push(named.clone());
                    self.note(named);
                }
                Err(error) => {
                    tracing::debug!(%error, "a sentinel does not say who is the primary");
                }
            }
        }
        if said.len() == sentinels.len() {
            // All of them: also where they have begun anew to count.
            *self.named.lock() = best_of(said);
        }
    }

    /// One that knows less than another did is not believed.
    fn note(&self, named: Named) {
        let mut best = self.named.lock();
        let both = best.take().into_iter().chain([named]);
        *best = best_of(both.collect());
    }
}

/// Nobody asks any more once it is dropped.
struct Asking(Arc<Sentinels>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::Release);
    }
}

fn is_same(one: &Server, other: &Server) -> bool {
    one.host == other.host && one.port == other.port
}

/// What the one says that knows of the latest failover; of several the first in the config, as it was asked last.
fn best_of(said: Vec<Named>) -> Option<Named> {
    said.into_iter()
        .max_by_key(|named| (named.epoch, std::cmp::Reverse(named.by), named.asked))
}

async fn connect(
    config: &Redis,
    access: &RedisAccess,
    sentinel: &RedisServer,
) -> Result<Probe, Error> {
    let probe = Probe::to_sentinel(config, access, sentinel);
    let probe = probe.map_err(|error| Error::Other(error.to_string()))?;
    probe.connect().await?;
    Ok(probe)
}

/// The primary, and the number of the latest failover; without the right to ask for that, 0.
async fn ask_one(probe: &Probe, master: &str) -> Result<(Server, u64), Error> {
    // During a failover `MASTER` goes on with the address of the one before, and has the new number.
    let address = send(probe, vec!["GET-MASTER-ADDR-BY-NAME", master]).await?;
    let told = send(probe, vec!["MASTER", master]).await;
    let primary = read_address(&address);
    let primary = primary.ok_or_else(|| Error::Other("a sentinel names no primary".to_owned()))?;
    Ok((primary, told.ok().and_then(read_epoch).unwrap_or_default()))
}

async fn send(probe: &Probe, words: Vec<&str>) -> Result<Value, Error> {
    let question = CustomCommand::new_static("SENTINEL", ClusterHash::Random, false);
    let answer = probe.client().custom::<Value, _>(question, words);
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.map_or(Err(Error::Timeout), |answer| answer.map_err(Error::from))
}

fn read_address(answer: &Value) -> Option<Server> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [host, port] = parts.as_slice() else {
        return None;
    };
    Some(Server::new(
        host.as_string()?,
        port.as_string()?.parse().ok()?,
    ))
}

/// Of pairs of names and values.
fn read_epoch(answer: Value) -> Option<u64> {
    let fields: HashMap<String, String> = answer.convert().ok()?;
    fields.get("config-epoch")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(port: u16, epoch: u64, by: usize) -> Named {
        Named {
            primary: Server::new("10.0.0.1", port),
            epoch,
            by,
            asked: clock::monotonic(),
        }
    }

    #[test]
    fn who_knows_of_the_latest_failover_is_right() {
        for (case, said, expected) in [
            ("nobody", vec![], None),
            ("all the same", vec![(1, 5, 0), (1, 5, 1)], Some((1, 0))),
            (
                "one was away",
                vec![(1, 4, 0), (2, 5, 1), (2, 5, 2)],
                Some((2, 1)),
            ),
            (
                "the others were",
                vec![(1, 4, 0), (1, 4, 1), (2, 5, 2)],
                Some((2, 2)),
            ),
        ] {
            let said = said
                .into_iter()
                .map(|(port, epoch, by)| named(port, epoch, by));
            let best = best_of(said.collect());
            assert_eq!(
                best.map(|best| (best.primary.port, best.by)),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn who_knows_less_is_not_believed_and_who_has_not_been_asked_since_neither() {
        let (sentinels, before) = (Sentinels::default(), clock::monotonic());
        let here = Server::new("10.0.0.1", 1);
        assert!(
            !sentinels.name_another(&here, before),
            "nobody has said anything"
        );
        sentinels.note(named(1, 4, 0));
        assert!(!sentinels.name_another(&here, before));
        sentinels.note(named(2, 5, 1));
        assert!(sentinels.name_another(&here, before));
        assert_eq!(sentinels.best(), Some(1));
        sentinels.note(named(1, 4, 0));
        assert!(sentinels.name_another(&here, before), "it was away");
        assert!(!sentinels.name_another(&here, clock::monotonic()));
    }

    #[test]
    fn answers_are_read() {
        let words =
            |words: &[&str]| Value::Array(words.iter().map(|word| Value::from(*word)).collect());
        let address = read_address(&words(&["10.0.0.7", "6380"]));
        assert_eq!(address, Some(Server::new("10.0.0.7", 6380)));
        assert_eq!(read_address(&Value::Null), None);
        assert_eq!(read_address(&words(&["10.0.0.7"])), None);
        let pairs = ["name", "m", "ip", "10.0.0.7", "config-epoch", "12"];
        assert_eq!(read_epoch(words(&pairs)), Some(12));
        assert_eq!(read_epoch(words(&pairs[..4])), None);
    }
}
