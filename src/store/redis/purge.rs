//! Purges in Redis, at a cost of what they remove: by name, or by a range of an index.

use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;

use super::connection::RedisConnection;
use super::error::Error;
use super::scope::{CommandScope, number};
use super::scripts::{Call, Script};
use crate::routes::{Pattern, Purge};

/// Members of an index looked at, or removed, by one command.
const PAGE: usize = 200;

/// Exact tags a shard remembers for the fills under way.
const FENCED_TAGS: u64 = 1000;

/// The two indexes a purge reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    /// Members are keys.
    Keys,
    /// Members are `tag\0key`.
    Tags,
}

impl RedisConnection {
    /// Removes what `purge` covers, entries and leases; returns how many entries.
    pub(in crate::store) async fn purge(&self, purge: &Purge) -> Result<usize, Error> {
        self.for_requests().purge(purge).await
    }

    /// Sends the failed purges again, oldest first. Refused ones stay; an outage ends the attempt.
    pub(super) async fn send_failed(&self, scope: &CommandScope<'_>) -> Result<(), Error> {
        for (id, purge) in self.tier.journal.failed() {
            match scope.purge(&purge).await {
                Ok(removed) => {
                    self.tier.journal.landed(id);
                    self.tier.count_purged(removed);
                }
                Err(error) if error.is_outage() || error == Error::Down => return Err(error),
                Err(error) => tracing::warn!(%error, "Redis refuses a purge; it is kept"),
            }
        }
        Ok(())
    }
}

impl super::Tier {
    /// Counts entries removed from Redis.
    pub(in crate::store) fn count_purged(&self, removed: usize) {
        let purged = self.metrics.purged_entries.with_label_values(&["redis"]);
        purged.inc_by(removed as u64);
    }
}

impl CommandScope<'_> {
    /// Visits every shard, side by side.
    async fn purge(&self, purge: &Purge) -> Result<usize, Error> {
        let shards = self.tier.keys.shards().iter();
        let results = join_all(shards.map(|shard| self.purge_shard(shard, purge))).await;
        results.into_iter().sum()
    }

    async fn purge_shard(&self, shard: &str, purge: &Purge) -> Result<usize, Error> {
        if purge.everything {
            let all = Pattern::parse("*");
            let removed = self.purge_index(shard, Index::Keys, &all).await?;
            return Ok(removed + self.sweep(shard).await?);
        }
        let ours = |key: &&str| self.tier.keys.shard(key) == shard;
        let exact: Vec<Value> = purge
            .keys
            .iter()
            .filter_map(Pattern::exact)
            .filter(ours)
            .map(Value::from)
            .collect();
        let mut removed = self.remove(shard, exact).await?;
        for pattern in purge
            .keys
            .iter()
            .filter(|pattern| pattern.exact().is_none())
        {
            removed += self.purge_index(shard, Index::Keys, pattern).await?;
        }
        if !purge.tags.is_empty() {
            self.fence_tags(shard, &purge.tags).await?;
        }
        for pattern in &purge.tags {
            removed += self.purge_index(shard, Index::Tags, pattern).await?;
        }
        Ok(removed)
    }

    /// Removes `keys` of a shard.
    pub(super) async fn remove(&self, shard: &str, keys: Vec<Value>) -> Result<usize, Error> {
        let mut removed = 0;
        for page in keys.chunks(PAGE) {
            removed += self.remove_page(shard, Index::Keys, page.to_vec()).await?;
        }
        Ok(removed)
    }

    /// Pages through the part of an index that begins with the pattern's prefix.
    async fn purge_index(
        &self,
        shard: &str,
        index: Index,
        pattern: &Pattern,
    ) -> Result<usize, Error> {
        let mut removed = 0;
        let (mut from, to) = range(index, pattern);
        loop {
            let page = self.page(shard, index, from, &to).await?;
            let Some(last) = page.last().and_then(Value::as_bytes) else {
                return Ok(removed);
            };
            from = [b"(", last].concat();
            let full = page.len() == PAGE;
            let covered: Vec<Value> = page
                .into_iter()
                .filter(|member| pattern.matches(&subject(index, member)))
                .collect();
            if !covered.is_empty() {
                removed += self.remove_page(shard, index, covered).await?;
            }
            if !full {
                return Ok(removed);
            }
        }
    }

    async fn page(
        &self,
        shard: &str,
        index: Index,
        from: Vec<u8>,
        to: &[u8],
    ) -> Result<Vec<Value>, Error> {
        let name = match index {
            Index::Keys => format!("{shard}:ix"),
            Index::Tags => format!("{shard}:tx"),
        };
        let command = CustomCommand::new_static("ZRANGEBYLEX", ClusterHash::FirstKey, false);
        let args: Vec<Value> = vec![
            name.into(),
            Value::Bytes(from.into()),
            Value::Bytes(to.to_vec().into()),
            "LIMIT".into(),
            "0".into(),
            (PAGE as i64).into(),
        ];
        let latency = &self.tier.latency.purge;
        self.send(Some(latency), self.client().custom(command, args))
            .await
    }

    async fn remove_page(
        &self,
        shard: &str,
        index: Index,
        members: Vec<Value>,
    ) -> Result<usize, Error> {
        let kind = match index {
            Index::Keys => "keys",
            Index::Tags => "tags",
        };
        let call = || {
            let mut args: Vec<Value> = vec![shard.into(), kind.into()];
            args.extend(members.iter().cloned());
            control(shard, args)
        };
        let latency = &self.tier.latency.purge;
        let removed = self.run(Some(latency), Script::Purge, call).await?;
        Ok(number(&removed) as usize)
    }

    /// Tells the fills under way, whose tags nobody knows yet.
    async fn fence_tags(&self, shard: &str, tags: &[Pattern]) -> Result<(), Error> {
        let any = tags.iter().any(|pattern| pattern.exact().is_none());
        for page in tags.chunks(PAGE) {
            let call = || {
                let mut args: Vec<Value> = vec![
                    shard.into(),
                    FENCED_TAGS.to_string().into(),
                    if any { "1" } else { "0" }.into(),
                ];
                args.extend(page.iter().filter_map(Pattern::exact).map(Value::from));
                control(shard, args)
            };
            self.run(None, Script::Fence, call).await?;
        }
        Ok(())
    }

    /// Removes entries that no index knows, which is what an eviction of ours by Redis would leave.
    async fn sweep(&self, shard: &str) -> Result<usize, Error> {
        let mut removed = 0;
        let mut cursor = Value::from("0");
        loop {
            let call = || {
                let glob = escape_glob(shard).into();
                control(shard, vec![shard.into(), glob, cursor.clone()])
            };
            let reply = self.run(None, Script::Sweep, call).await?;
            let mut reply = reply.into_array().into_iter();
            cursor = reply.next().unwrap_or_else(|| "0".into());
            removed += reply.next().as_ref().map_or(0, number) as usize;
            if cursor.as_bytes() == Some(b"0") {
                return Ok(removed);
            }
        }
    }
}

/// A call about the whole shard.
fn control(shard: &str, args: Vec<Value>) -> Call {
    let keys = vec![format!("{shard}:by")];
    Call { keys, args }
}

/// The lexical range that holds all an index has for `pattern`.
fn range(index: Index, pattern: &Pattern) -> (Vec<u8>, Vec<u8>) {
    let prefix = match (index, pattern.exact()) {
        (Index::Tags, Some(tag)) => format!("{tag}\0"),
        _ => pattern.prefix().to_owned(),
    };
    if prefix.is_empty() {
        return (b"-".to_vec(), b"+".to_vec());
    }
    // No UTF-8 text holds the byte 0xff, so this is past all that begin with the prefix.
    let to = [b"(", prefix.as_bytes(), b"\xff"].concat();
    ([b"[", prefix.as_bytes()].concat(), to)
}

/// The part of an index's member that the pattern is about.
fn subject(index: Index, member: &Value) -> String {
    let bytes = member.as_bytes().unwrap_or_default();
    let part = match index {
        Index::Keys => bytes,
        Index::Tags => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
    };
    String::from_utf8_lossy(part).into_owned()
}

/// `text` as a Redis glob that matches only itself.
fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
