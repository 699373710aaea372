//! The nodes of a cluster, as one runtime is connected to them: shards that are at one node share a connection.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::{BoxFuture, select_ok};
use parking_lot::Mutex;

use super::clients::Clients;
use super::connector::Connector;
use super::error::Error;
use super::slots::SlotMap;
use crate::clock;

/// How long a node may take to say which has what.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most nodes that are asked at a time by connections made for it.
const AT_A_TIME: usize = 4;

/// A runtime's connections, by node.
pub(super) struct NodePool {
    connector: Arc<Connector>,
    slots: Arc<SlotMap>,
    clients: Mutex<Vec<(Server, Weak<Clients>)>>,
    /// What a connection has until it is known where to.
    unconnected: Arc<Clients>,
}

impl NodePool {
    /// `None` if the settings allow no connection.
    pub(super) fn new(connector: Arc<Connector>, slots: Arc<SlotMap>) -> Option<NodePool> {
        Some(NodePool {
            unconnected: Arc::new(connector.make_clients(None)?),
            connector,
            slots,
            clients: Mutex::default(),
        })
    }

    /// What a connection has until it is known where to.
    pub(super) fn unconnected(&self) -> Arc<Clients> {
        Arc::clone(&self.unconnected)
    }

    /// The connection to the node that has a shard; made, if there is none. `None`: no node is known to have it, or no
    /// connection can be.
    pub(super) fn connect_to(&self, shard: usize) -> Option<Arc<Clients>> {
        let node = self.slots.owner(shard)?;
        let mut all = self.clients.lock();
        all.retain(|(_, clients)| clients.upgrade().is_some_and(|it| !it.has_ended()));
        let known = all.iter().find(|(of, _)| *of == node);
        if let Some(clients) = known.and_then(|(_, clients)| clients.upgrade()) {
            return Some(clients);
        }
        let clients = Arc::new(self.connector.make_clients(Some(&node))?);
        clients.connect();
        all.push((node, Arc::downgrade(&clients)));
        Some(clients)
    }

    /// Has a node say which has what, if nobody was asked a moment ago: one that this runtime is connected to, or else
    /// whoever lets it in.
    pub(super) async fn ask(&self) -> Result<(), Error> {
        let asked = self.slots.ask(clock::monotonic(), async || {
            match first_of(self.connected()).await {
                Ok(is_whole) => Ok(is_whole),
                Err(_) => first_of(self.probes()).await,
            }
        });
        match asked.await {
            None | Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err(Error::Cluster("nobody serves some of the slots".to_owned())),
            Some(Err(error)) => Err(error),
        }
    }

    fn connected(&self) -> Vec<Question<'_>> {
        let all = self.clients.lock();
        let clients = all.iter().filter_map(|(node, clients)| {
            let clients = clients.upgrade()?;
            let is_connected = !clients.has_ended() && clients.plain.is_connected();
            is_connected.then(|| (node.clone(), clients))
        });
        let ask = |(node, clients): (Server, Arc<Clients>)| -> Question<'_> {
            Box::pin(async move {
                let answer = ask_for_slots(&clients.plain).await?;
                Ok(self.slots.take_in(&answer, &node))
            })
        };
        clients.map(ask).collect()
    }

    fn probes(&self) -> Vec<Question<'_>> {
        let mut nodes = self.slots.nodes();
        fastrand::shuffle(&mut nodes);
        nodes.truncate(AT_A_TIME);
        let ask = |node: Server| -> Question<'_> {
            Box::pin(async move {
                let probe = self.connector.make_probe(&node).ok_or(Error::Down)?;
                let answer = ask_for_slots(probe.connect().await?).await?;
                Ok(self.slots.take_in(&answer, &node))
            })
        };
        nodes.into_iter().map(ask).collect()
    }
}

/// Asks a node; whether it names the owner of every shard.
type Question<'q> = BoxFuture<'q, Result<bool, Error>>;

/// What the first says that can say it; else what the last has failed with.
async fn first_of(questions: Vec<Question<'_>>) -> Result<bool, Error> {
    match questions.is_empty() {
        true => Err(Error::Down),
        false => select_ok(questions).await.map(|(said, _)| said),
    }
}

async fn ask_for_slots(client: &impl ClientLike) -> Result<Value, Error> {
    let question = CustomCommand::new_static("CLUSTER", ClusterHash::Random, false);
    let answer = client.custom::<Value, _>(question, vec!["SLOTS"]);
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.map_or(Err(Error::Timeout), |answer| answer.map_err(Error::from))
}
