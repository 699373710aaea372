//! What was switched at run time, as Redis keeps it for the fleet (`scripts/switch.lua`).

use std::sync::Arc;

use fred::types::Value;

use super::attached::AttachedTier;
use super::connection::RedisConnection;
use super::error::Error;
use super::scripts::{Call, Script};
use crate::rollout::{Subject, Switch, Switches};

/// A switch on its way to Redis.
#[derive(Clone, Debug)]
pub struct SwitchToKeep {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub switch: Switch,
    /// Whether it is thrown now: then it is later than what Redis has, whatever this machine's clock says.
    pub is_new: bool,
}

impl AttachedTier {
    /// Has Redis keep these, where they are later than what it has; returns all that it has then. Redis tells this
    /// connection of later changes.
    pub(in crate::store) async fn keep_switches(
        &self,
        switches: Vec<SwitchToKeep>,
    ) -> Result<Switches, Error> {
        let connection = Arc::clone(&self.connection);
        let kept = self
            .runner
            .run(async move { connection.keep_switches(&switches).await });
        kept.await.unwrap_or(Err(Error::Down))
    }
}

impl RedisConnection {
    async fn keep_switches(&self, switches: &[SwitchToKeep]) -> Result<Switches, Error> {
        let scope = self.for_requests();
        let name = self.tier.keys.switches_name();
        let call = || Call {
            keys: vec![name.clone()],
            args: words(switches),
        };
        let reply = scope.run_plain(None, Script::Switch, call).await?;
        Ok(read(&reply.into_array()))
    }
}

/// As the script takes them.
fn words(switches: &[SwitchToKeep]) -> Vec<Value> {
    let most = [Switches::MAX, Switches::MAX_CONFIGS];
    let mut words: Vec<Value> = most.map(|most| most.to_string().into()).into();
    for kept in switches {
        words.extend([
            kept.subject.to_field().into(),
            kept.switch.at.to_string().into(),
            if kept.is_new { "1" } else { "0" }.into(),
            kept.switch.body().into(),
        ]);
    }
    words
}

/// What cannot be read is left aside, and stays for whoever wrote it.
fn read(fields: &[Value]) -> Switches {
    let mut switches = Switches::default();
    for pair in fields.chunks_exact(2) {
        let text = |value: &Value| value.as_string();
        let subject = text(&pair[0]).and_then(|field| Subject::of_field(&field));
        let switch = text(&pair[1]).and_then(|text| Switch::parse(&text));
        if let Some((subject, switch)) = subject.zip(switch) {
            switches.put(subject, switch);
        }
    }
    switches
}
