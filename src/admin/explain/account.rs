//! The answer of `POST /explain`, as both ends know it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::settings;
use crate::entry::{Entry, Variant};
use crate::http_cache::explain::{self, Explained, State, Statement};
use crate::http_cache::{Policy, Reason, RequestHead, Reuse, Stored, reuse};
use crate::proxy::obstacles::Told;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{Lookup, Plan};
use crate::store::{Holding, Inspection};

/// What a sidecar would do with a request, and what it holds for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// By its config.
    pub plan: Planned,
    /// All of the request that is in the way of a hit.
    #[serde(default)]
    pub in_the_way: Vec<Told>,
    /// Absent where the request is not looked up.
    pub held: Option<HeldAccount>,
}

/// What a config says of a request before anything is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The rule's name, if one matched.
    pub rule: Option<String>,
    /// The key, if it is looked up.
    pub key: Option<String>,
    /// What selects among the key's answers: host, scheme, the rule's path.
    pub selects: Option<String>,
    /// Why it is not looked up.
    pub reason: Option<String>,
    /// The rule's settings that bear on what is stored or how it is served, by their names in the file.
    pub settings: BTreeMap<String, String>,
}

impl Planned {
    /// Of a plan.
    pub fn of(context: &RequestContext, plan: &Plan) -> Planned {
        let (rule, lookup, reason) = match plan {
            Plan::Cache(lookup) => (lookup.rule, Some(lookup), None),
            Plan::Shadow(lookup) => (lookup.rule, Some(lookup), Some(Reason::Shadow)),
            Plan::Pass { rule, reason } => (*rule, None, Some(*reason)),
            Plan::Write(effects) => (effects.rule, None, Some(Reason::Method)),
            Plan::Purge => (None, None, Some(Reason::PurgeMethod)),
            Plan::Upgrade { rule } => (*rule, None, Some(Reason::Upgrade)),
        };
        let rule = context.live.rule(rule);
        Planned {
            rule: rule.name().map(str::to_owned),
            key: lookup.map(|lookup| lookup.key.text.clone()),
            selects: lookup.map(Lookup::selects),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            settings: settings::show(rule),
        }
    }

    /// Where `other` differs: what, here, and there.
    pub fn differences<'a>(&'a self, other: &'a Planned) -> Vec<(&'a str, String, String)> {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let named = [
            ("rule", &self.rule, &other.rule),
            ("key", &self.key, &other.key),
            ("selects", &self.selects, &other.selects),
            ("reason", &self.reason, &other.reason),
        ];
        let named = named.map(|(name, here, there)| (name, word(here), word(there)));
        let settings = self.settings.iter().map(|(name, here)| {
            let there = other.settings.get(name).unwrap_or(here);
            (name.as_str(), here.clone(), there.clone())
        });
        let all = named.into_iter().chain(settings);
        all.filter(|(_, here, there)| here != there).collect()
    }
}

/// What both tiers hold, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAccount {
    /// The memory tier.
    pub memory: Tier,
    /// The Redis tier.
    pub redis: Tier,
    /// The word that `Cache-Status` and the metrics have for the decision before the app is asked.
    pub reason: String,
    /// The decision, and what of the request bears on it.
    pub decision: Vec<Statement>,
    /// Newest first; those of the tier that decides.
    pub variants: Vec<VariantAccount>,
}

/// What one tier holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// There is no such tier.
    Absent,
    /// Memory is not looked into, since the rule is strict.
    Unused,
    /// Memory is left alone, since it has not heard of Redis lately, and that has answered.
    Unheard,
    /// Memory holds so many, and has not heard of Redis lately: the app is to confirm them.
    Unconfirmed(usize),
    /// Redis did not answer.
    Unreachable,
    /// A purge that has not reached Redis yet covers it.
    Purged,
    /// Nothing.
    Nothing,
    /// So many responses.
    Holds(usize),
}

/// One stored response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantAccount {
    /// In one word.
    pub state: State,
    /// The final status.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: usize,
    /// The rule that stored it; empty for unmatched requests.
    pub rule: String,
    /// Whether memory holds it.
    pub in_memory: bool,
    /// Whether Redis holds it.
    pub in_redis: bool,
    /// Why.
    pub statements: Vec<Statement>,
}

type Explain = fn(&RequestHead<'_>, &[&Stored], Option<usize>, &Policy, SystemTime) -> Explained;

impl HeldAccount {
    /// Of what was found for `lookup`.
    pub(super) fn of(context: &RequestContext, lookup: &Lookup, found: &Inspection) -> HeldAccount {
        let head = lookup.head(context);
        let policy = context.live.rule(lookup.rule).policy;
        let (entry, explain): (_, Explain) =
            match (find_deciding(&head, policy, found), &found.memory) {
                (None, Holding::Unconfirmed(entry)) => (Some(entry), explain::explain_unconfirmed),
                (entry, _) => (entry, explain::explain),
            };
        let variants: &[Arc<Variant>] = entry.map_or(&[], |entry| &entry.variants);
        let stored: Vec<&Stored> = variants.iter().map(|variant| &variant.stored).collect();
        let selected = entry.and_then(|entry| entry.select(&head));
        let place = selected
            .and_then(|selected| variants.iter().position(|held| Arc::ptr_eq(held, selected)));
        let explained = explain(&head, &stored, place, policy, found.now);
        let accounts = variants.iter().zip(explained.standings);
        HeldAccount {
            memory: Tier::of(&found.memory),
            redis: Tier::of(&found.redis),
            reason: explained.reason.as_str().to_owned(),
            decision: explained.decision,
            variants: accounts
                .map(|(variant, standing)| VariantAccount {
                    state: standing.state,
                    status: variant.stored.status.as_u16(),
                    bytes: variant.body.len(),
                    rule: variant.rule.to_string(),
                    in_memory: holds_variant(&found.memory, variant),
                    in_redis: holds_variant(&found.redis, variant),
                    statements: standing.statements,
                })
                .collect(),
        }
    }
}

impl Tier {
    fn of(holding: &Holding) -> Tier {
        match holding {
            Holding::Absent => Tier::Absent,
            Holding::Unused => Tier::Unused,
            Holding::Unheard => Tier::Unheard,
            Holding::Unconfirmed(entry) => Tier::Unconfirmed(entry.variants.len()),
            Holding::Unreachable => Tier::Unreachable,
            Holding::Purged => Tier::Purged,
            Holding::Nothing => Tier::Nothing,
            Holding::Entry(entry) => Tier::Holds(entry.variants.len()),
        }
    }
}

/// The entry a request is decided by: memory's if it can be served from, else Redis's, else memory's.
fn find_deciding<'i>(
    head: &RequestHead<'_>,
    policy: &Policy,
    found: &'i Inspection,
) -> Option<&'i Arc<Entry>> {
    let memory = found.memory.entry();
    let serves = memory.is_some_and(|entry| {
        let selected = entry.select(head).map(|variant| &variant.stored);
        let decided = reuse(head, selected, true, policy, found.now);
        matches!(decided, Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. })
    });
    if serves {
        return memory;
    }
    found.redis.entry().or(memory)
}

fn holds_variant(holding: &Holding, variant: &Variant) -> bool {
    let is_same = |held: &Arc<Variant>| {
        held.stored.selector == variant.stored.selector
            && held.stored.response_time == variant.stored.response_time
    };
    let entry = match holding {
        Holding::Unconfirmed(entry) => Some(entry),
        other => other.entry(),
    };
    entry.is_some_and(|entry| entry.variants.iter().any(is_same))
}
