//! Which server the sentinels name as the primary, asked again and again: one that was replaced may go on, and take writes
//! that nobody else sees.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::clients::{Clients, Probe};
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
    probes: tokio::sync::Mutex<HashMap<usize, Probe>>,
}

/// What one of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    primary: Server,
    /// Of the latest failover that it knows: the highest is right.
    epoch: u64,
    /// Its number in the config.
    by: usize,
}

impl Sentinels {
    /// The number of the one that knows best.
    pub(super) fn best(&self) -> Option<usize> {
        self.named.lock().as_ref().map(|named| named.by)
    }

    /// Whether they name another primary than these lead to, as far as is known.
    pub(super) fn name_another(&self, clients: &Clients) -> bool {
        let named = self.named.lock();
        let Some(named) = &*named else {
            return false;
        };
        let here = clients.plain.active_connections();
        !here.is_empty() && !here.iter().any(|server| is_same(server, &named.primary))
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
        let (this, config) = (Arc::clone(self), Arc::clone(config));
        tokio::spawn(async move {
            let _asking = Asking(&this.is_asking);
            let said = this.ask(&config, &access).await;
            if let Some(named) = best_of(said) {
                *this.named.lock() = Some(named);
            }
        });
    }

    async fn ask(&self, config: &Redis, access: &RedisAccess) -> Vec<Named> {
        let RedisServers::Sentinel { sentinels, master } = &config.servers else {
            return Vec::new();
        };
        let mut probes = self.probes.lock().await;
        let mut asked = Vec::new();
        for (by, sentinel) in sentinels.iter().enumerate() {
            let probe = probes.remove(&by).filter(Probe::is_connected);
            asked.push(async move {
                let probe = match probe {
                    Some(probe) => probe,
                    None => connect(config, access, sentinel).await?,
                };
                let (primary, epoch) = ask_one(&probe, master).await?;
                Ok::<_, Error>((probe, Named { primary, epoch, by }))
            });
        }
        let answers = join_all(asked).await.into_iter().filter_map(|answer| {
            answer
                .inspect_err(
                    |error| tracing::debug!(%error, "a sentinel does not say who is the primary"),
                )
                .ok()
        });
        answers
            .map(|(probe, named)| {
                probes.insert(named.by, probe);
                named
            })
            .collect()
    }
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

/// Nobody asks any more once it is dropped.
struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn is_same(one: &Server, other: &Server) -> bool {
    one.host == other.host && one.port == other.port
}

/// What the one says that knows of the latest failover; of several the first in the config.
fn best_of(said: Vec<Named>) -> Option<Named> {
    said.into_iter()
        .max_by_key(|named| (named.epoch, std::cmp::Reverse(named.by)))
}

async fn ask_one(probe: &Probe, master: &str) -> Result<(Server, u64), Error> {
    let question = CustomCommand::new_static("SENTINEL", ClusterHash::Random, false);
    let words = vec!["MASTER", master];
    let answer = probe.client().custom::<Value, _>(question, words);
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let answer = answer.map_or(Err(Error::Timeout), |answer| answer.map_err(Error::from))?;
    read_primary(answer).ok_or_else(|| Error::Other("a sentinel names no primary".to_owned()))
}

/// Of pairs of names and values.
fn read_primary(answer: Value) -> Option<(Server, u64)> {
    let fields: HashMap<String, String> = answer.convert().ok()?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    let server = Server::new(field("ip")?, field("port")?.parse().ok()?);
    let epoch = field("config-epoch").and_then(|epoch| epoch.parse().ok());
    Some((server, epoch.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(port: u16, epoch: u64, by: usize) -> Named {
        Named {
            primary: Server::new("10.0.0.1", port),
            epoch,
            by,
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
    fn a_primary_is_read_out_of_pairs() {
        let pairs =
            |pairs: &[&str]| Value::Array(pairs.iter().map(|word| Value::from(*word)).collect());
        let whole = [
            "name",
            "m",
            "ip",
            "10.0.0.7",
            "port",
            "6380",
            "config-epoch",
            "12",
        ];
        let read = read_primary(pairs(&whole));
        assert_eq!(read, Some((Server::new("10.0.0.7", 6380), 12)));
        assert_eq!(read_primary(pairs(&whole[..4])), None);
        assert_eq!(read_primary(Value::Null), None);
    }
}
