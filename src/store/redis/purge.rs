//! Purges in Redis, at a cost of what they remove: by name, or by a range of an index.

use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;

use super::error::Error;
use super::scope::CommandScope;
use super::scripts::{Call, Script, parse_number};
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

/// Removes what `purge` covers, entries and leases, from every shard side by side; returns how many
/// entries went. On an error some shards may have done their part: the purge has to be sent again.
pub(super) async fn purge(scope: &CommandScope<'_>, purge: &Purge) -> Result<usize, Error> {
    let shards = scope.tier.keys.shards().iter();
    let results = join_all(shards.map(|shard| purge_shard(scope, &shard.prefix, purge))).await;
    results.into_iter().sum()
}

/// Sends the purges again that failed, oldest first. One that Redis refuses stays in the journal; an
/// outage ends the attempt.
pub(super) async fn resend_failed(scope: &CommandScope<'_>) -> Result<(), Error> {
    let tier = scope.tier;
    for (id, failed) in tier.journal.failed() {
        match purge(scope, &failed).await {
            Ok(removed) => {
                tier.journal.confirm(id);
                tier.count_purged(removed);
            }
            Err(error) if error.is_outage() || error == Error::Down => return Err(error),
            Err(error) => tracing::warn!(%error, "Redis refuses a purge; it is kept"),
        }
    }
    Ok(())
}

/// Removes `keys` of a shard; returns how many had an entry.
pub(super) async fn remove_keys(
    scope: &CommandScope<'_>,
    shard: &str,
    keys: Vec<Value>,
) -> Result<usize, Error> {
    let mut removed = 0;
    for page in keys.chunks(PAGE) {
        removed += remove_page(scope, shard, Index::Keys, page.to_vec()).await?;
    }
    Ok(removed)
}

async fn purge_shard(scope: &CommandScope<'_>, shard: &str, purge: &Purge) -> Result<usize, Error> {
    if purge.everything {
        let all = Pattern::parse("*");
        let removed = purge_index(scope, shard, Index::Keys, &all).await?;
        return Ok(removed + sweep(scope, shard).await?);
    }
    let (exact, patterns): (Vec<&Pattern>, Vec<&Pattern>) =
        purge.keys.iter().partition(|key| key.exact().is_some());
    let exact = exact.into_iter().filter_map(Pattern::exact);
    let of_shard = exact.filter(|key| scope.tier.keys.prefix_of(key) == shard);
    let mut removed = remove_keys(scope, shard, of_shard.map(Value::from).collect()).await?;
    for pattern in patterns {
        removed += purge_index(scope, shard, Index::Keys, pattern).await?;
    }
    if !purge.tags.is_empty() {
        fence_tags(scope, shard, &purge.tags).await?;
    }
    for pattern in &purge.tags {
        removed += purge_index(scope, shard, Index::Tags, pattern).await?;
    }
    Ok(removed)
}

/// Pages through the part of an index that begins with the pattern's prefix.
async fn purge_index(
    scope: &CommandScope<'_>,
    shard: &str,
    index: Index,
    pattern: &Pattern,
) -> Result<usize, Error> {
    let mut removed = 0;
    let (mut from, to) = lexical_range(index, pattern);
    loop {
        let page = read_page(scope, shard, index, from, &to).await?;
        let Some(last) = page.last().and_then(Value::as_bytes) else {
            return Ok(removed);
        };
        from = [b"(", last].concat();
        let is_full = page.len() == PAGE;
        let covered: Vec<Value> = page
            .into_iter()
            .filter(|member| pattern.matches(&matched_part(index, member)))
            .collect();
        if !covered.is_empty() {
            removed += remove_page(scope, shard, index, covered).await?;
        }
        if !is_full {
            return Ok(removed);
        }
    }
}

async fn read_page(
    scope: &CommandScope<'_>,
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
    let latency = &scope.tier.latency.purge;
    let command = scope.client().custom(command, args);
    scope.send(Some(latency), command).await
}

async fn remove_page(
    scope: &CommandScope<'_>,
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
        Call::about_shard(shard, args)
    };
    let latency = &scope.tier.latency.purge;
    let removed = scope.run_script(Some(latency), Script::Purge, call).await?;
    Ok(parse_number(&removed) as usize)
}

/// Fences the fills under way, whose tags nobody knows yet.
async fn fence_tags(scope: &CommandScope<'_>, shard: &str, tags: &[Pattern]) -> Result<(), Error> {
    let any = tags.iter().any(|pattern| pattern.exact().is_none());
    for page in tags.chunks(PAGE) {
        let call = || {
            let mut args: Vec<Value> = vec![
                shard.into(),
                FENCED_TAGS.to_string().into(),
                if any { "1" } else { "0" }.into(),
            ];
            args.extend(page.iter().filter_map(Pattern::exact).map(Value::from));
            Call::about_shard(shard, args)
        };
        scope.run_script(None, Script::Fence, call).await?;
    }
    Ok(())
}

/// Removes entries that no index knows, which is what an eviction of ours by Redis would leave.
async fn sweep(scope: &CommandScope<'_>, shard: &str) -> Result<usize, Error> {
    let mut removed = 0;
    let mut cursor = Value::from("0");
    loop {
        let call = || {
            let glob = escape_glob(shard).into();
            Call::about_shard(shard, vec![shard.into(), glob, cursor.clone()])
        };
        let reply = scope.run_script(None, Script::Sweep, call).await?;
        let mut reply = reply.into_array().into_iter();
        cursor = reply.next().unwrap_or_else(|| "0".into());
        removed += reply.next().as_ref().map_or(0, parse_number) as usize;
        if cursor.as_bytes() == Some(b"0") {
            return Ok(removed);
        }
    }
}

/// The lexical range that holds all an index has for `pattern`.
fn lexical_range(index: Index, pattern: &Pattern) -> (Vec<u8>, Vec<u8>) {
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

/// The part of an index's member that a pattern is matched against: the key, or the tag.
fn matched_part(index: Index, member: &Value) -> String {
    let bytes = member.as_bytes().unwrap_or_default();
    let part = match index {
        Index::Keys => bytes,
        Index::Tags => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
    };
    String::from_utf8_lossy(part).into_owned()
}

/// `text` as a Redis glob that matches only itself.
pub(super) fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
