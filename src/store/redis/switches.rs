//! What was switched at run time, as Redis keeps it for the fleet (`scripts/switch.lua`).

use fred::types::Value;

use super::attached::AttachedTier;
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
        switches: &[SwitchToKeep],
    ) -> Result<Switches, Error> {
        let scope = self.connection.for_requests();
        let name = self.connection.tier.keys.switches_name();
        let call = || {
            let most = Switches::MAX.to_string();
            let each = switches.iter().flat_map(|kept| {
                let new = if kept.is_new { "1" } else { "0" };
                [
                    kept.subject.to_field().into(),
                    kept.switch.at.to_string().into(),
                    new.into(),
                    kept.switch.body().into(),
                ]
            });
            Call {
                keys: vec![name.clone()],
                args: std::iter::once(most.into()).chain(each).collect(),
            }
        };
        let reply = scope.run_plain(None, Script::Switch, 0, call).await?;
        Ok(read(&reply.into_array()))
    }
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
