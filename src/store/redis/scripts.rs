//! The scripts: sent by hash, in full when Redis does not know them.

mod needed;

use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use fred::util::redis_keyslot;

use super::lineage::Generation;
use needed::Shared;

/// Runs although `maxmemory` is reached: it removes, counts or announces, or what it writes is little and soon gone, as a
/// lease, whose store is what makes room.
const ALWAYS: &str = "#!lua flags=allow-oom\n";
/// Refused with `OOM` when `maxmemory` is reached.
const WITH_ROOM: &str = "#!lua\n";
/// Runs wherever it is sent, since it writes nothing.
const READS_ONLY: &str = "#!lua flags=no-writes,allow-stale\n";
/// Before each script, in this order, as far as it needs it.
const COMMON: &str = concat!(
    include_str!("scripts/common.lua"),
    include_str!("scripts/pages.lua"),
    include_str!("scripts/account.lua"),
    include_str!("scripts/entries.lua"),
    include_str!("scripts/room.lua"),
);
/// Of that, what most calls do without.
const RARE: &[&str] = &["begin_generation", "split", "forget", "tidy"];

/// One script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    Lease,
    Put,
    /// As [`Script::Put`] where the server is full: for stubs.
    PutStub,
    Prolong,
    Release,
    Purge,
    List,
    Fence,
    Evict,
    Hits,
    Tidy,
    Sample,
    Sweep,
    Renew,
    Beat,
    Clear,
    ForgetLayouts,
    Short,
    Rights,
    Switch,
    Job,
    Sidecars,
    Writes,
    Unwatch,
}

impl Script {
    const ALL: [Script; 24] = [
        Script::Lease,
        Script::Put,
        Script::PutStub,
        Script::Prolong,
        Script::Release,
        Script::Purge,
        Script::List,
        Script::Fence,
        Script::Evict,
        Script::Hits,
        Script::Tidy,
        Script::Sample,
        Script::Sweep,
        Script::Renew,
        Script::Beat,
        Script::Clear,
        Script::ForgetLayouts,
        Script::Short,
        Script::Rights,
        Script::Switch,
        Script::Job,
        Script::Sidecars,
        Script::Writes,
        Script::Unwatch,
    ];

    /// Whether one that ends in the middle may leave what is in no index.
    pub(super) fn changes_entries(self) -> bool {
        !matches!(self, Script::Sample | Script::Hits | Script::List)
    }

    fn text(self, shared: &Shared<'_>) -> String {
        let (flags, body) = match self {
            Script::Lease => (ALWAYS, include_str!("scripts/lease.lua")),
            Script::Put => (WITH_ROOM, include_str!("scripts/put.lua")),
            Script::PutStub => (ALWAYS, include_str!("scripts/put.lua")),
            Script::Prolong => (ALWAYS, include_str!("scripts/prolong.lua")),
            Script::Release => (ALWAYS, include_str!("scripts/release.lua")),
            Script::Purge => (ALWAYS, include_str!("scripts/purge.lua")),
            Script::List => (ALWAYS, include_str!("scripts/list.lua")),
            Script::Fence => (ALWAYS, include_str!("scripts/fence.lua")),
            Script::Evict => (ALWAYS, include_str!("scripts/evict.lua")),
            Script::Hits => (ALWAYS, include_str!("scripts/hits.lua")),
            Script::Tidy => (ALWAYS, include_str!("scripts/tidy.lua")),
            Script::Sample => (ALWAYS, include_str!("scripts/sample.lua")),
            Script::Sweep => (ALWAYS, include_str!("scripts/sweep.lua")),
            Script::Renew => (ALWAYS, include_str!("scripts/renew.lua")),
            Script::Beat => (ALWAYS, include_str!("scripts/beat.lua")),
            Script::Clear => (ALWAYS, include_str!("scripts/clear.lua")),
            Script::ForgetLayouts => (ALWAYS, include_str!("scripts/forget_layouts.lua")),
            Script::Short => (READS_ONLY, include_str!("scripts/short.lua")),
            Script::Rights => (READS_ONLY, include_str!("scripts/rights.lua")),
            Script::Switch => (ALWAYS, include_str!("scripts/switch.lua")),
            Script::Job => (ALWAYS, include_str!("scripts/job.lua")),
            Script::Sidecars => (ALWAYS, include_str!("scripts/sidecars.lua")),
            Script::Writes => (ALWAYS, include_str!("scripts/writes.lua")),
            Script::Unwatch => (ALWAYS, include_str!("scripts/unwatch.lua")),
        };
        format!("{flags}{}{body}", shared.needed_by(body))
    }
}

/// What a script is called with.
#[derive(Debug)]
pub(super) struct Call {
    /// Of one shard.
    pub(super) keys: Vec<String>,
    /// Those behind the shard's prefix and generation.
    pub(super) args: Vec<Value>,
}

/// What each script gets first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'h> {
    /// The shard's.
    pub(super) prefix: &'h str,
    /// Further keys.
    pub(super) beside: &'h [Value],
    /// The last one known of the shard.
    pub(super) generation: Generation,
}

/// What a script of bookkeeping returns.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) generation: Generation,
    /// Why the script has begun this generation; empty if it has not.
    pub(super) begun: String,
    pub(super) value: Value,
}

impl Reply {
    pub(super) fn read(reply: Value) -> Option<Reply> {
        let mut parts = reply.into_array().into_iter();
        let generation = parts.next()?;
        Some(Reply {
            generation: Generation::read(generation.as_bytes()?)?,
            begun: parts.next()?.into_string().unwrap_or_default(),
            value: parts.next()?,
        })
    }
}

impl Call {
    /// A call about the whole shard that begins with `prefix`.
    pub(super) fn about_shard(prefix: &str, args: Vec<Value>) -> Call {
        let keys = vec![format!("{prefix}:by")];
        Call { keys, args }
    }

    /// The words behind the command's name; `script` is a hash or a text.
    fn into_words(self, script: &str, head: Head<'_>) -> Vec<Value> {
        let keys = self.keys.len() + head.beside.len();
        let mut words = Vec::with_capacity(4 + keys + self.args.len());
        words.push(script.into());
        words.push(Value::from(keys as i64));
        words.extend(self.keys.into_iter().map(Value::from));
        words.extend(head.beside.iter().cloned());
        words.push(head.prefix.into());
        let generation = Bytes::copy_from_slice(&head.generation.text());
        words.push(Value::Bytes(generation));
        words.extend(self.args);
        words
    }
}

/// The texts, of which a process needs one copy, however many tiers it has.
static TEXTS: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
    let shared = Shared::read(COMMON, RARE);
    Script::ALL.map(|script| script.text(&shared))
});

/// The scripts of one Redis and, once it was asked, their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    hashes: [OnceLock<String>; Script::ALL.len()],
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        Scripts {
            hashes: [const { OnceLock::new() }; Script::ALL.len()],
        }
    }

    /// Whether any script's hash is not known yet.
    pub(super) fn are_to_load(&self) -> bool {
        self.hashes.iter().any(|hash| hash.get().is_none())
    }

    /// Loads the scripts whose hash is not known yet. A Redis that refuses `SCRIPT LOAD` gets the text with
    /// each call.
    pub(super) async fn load(&self, client: &WithOptions<Client>) {
        for (hash, text) in self.hashes.iter().zip(TEXTS.iter()) {
            if hash.get().is_some() {
                continue;
            }
            let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
            if let Ok(found) = client.custom::<String, _>(load, vec!["LOAD", text]).await {
                hash.get_or_init(|| found);
            }
        }
    }

    /// Runs one. `call` is called a second time only if Redis has forgotten the script, so that what is
    /// sent need not be copied each time.
    pub(super) async fn run(
        &self,
        client: &WithOptions<Client>,
        script: Script,
        head: Head<'_>,
        call: impl Fn() -> Call,
    ) -> Result<Value, fred::error::Error> {
        if let Some(hash) = self.hashes[script as usize].get() {
            match send(client, "EVALSHA", call().into_words(hash, head)).await {
                Err(error) if error.details().starts_with("NOSCRIPT") => {}
                reply => return reply,
            }
        }
        send(
            client,
            "EVAL",
            call().into_words(&TEXTS[script as usize], head),
        )
        .await
    }
}

/// fred's own `evalsha` would ignore the client's options, and with them the timeout.
async fn send(
    client: &WithOptions<Client>,
    name: &'static str,
    words: Vec<Value>,
) -> Result<Value, fred::error::Error> {
    // The first key stands behind the script and the number of keys. fred looks at no offset in such a command.
    let slot = words.get(2).and_then(Value::as_bytes).map(redis_keyslot);
    let command = CustomCommand::new_static(name, ClusterHash::from(slot), false);
    client.custom(command, words).await
}

/// A number in a script's reply; 0 for anything else.
pub(super) fn parse_number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
