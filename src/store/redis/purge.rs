//! Purges in Redis, at a cost of what they cover: by name, or by a range of an index.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fred::types::Value;
use futures_util::future::try_join_all;

use super::error::Error;
use super::lineage::Generation;
use super::scope::CommandScope;
use super::scripts::{Call, Reply, Script, parse_number};
use crate::entry::codec;
use crate::routes::{Pattern, Purge, PurgeKind, identities};

/// Members of an index that one command is told to purge.
const PAGE: usize = 160;

/// Patterns that are purged side by side.
const AT_A_TIME: usize = 16;

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

impl Index {
    /// As the scripts take it.
    fn word(self) -> Value {
        match self {
            Index::Keys => "keys".into(),
            Index::Tags => "tags".into(),
        }
    }
}

/// What is done with the entries that a purge finds.
#[derive(Clone, Debug)]
enum Effect {
    Remove,
    /// They begin so afterwards, behind their generation.
    Soften(Bytes),
}

impl Effect {
    fn of(kind: PurgeKind, now: SystemTime) -> Effect {
        match kind {
            PurgeKind::Hard => Effect::Remove,
            PurgeKind::Soft => Effect::Soften(Bytes::from_owner(codec::beginning_of_softened(now))),
        }
    }

    /// As the script takes it.
    fn word(&self) -> Value {
        match self {
            Effect::Remove => "".into(),
            Effect::Soften(beginning) => Value::Bytes(beginning.clone()),
        }
    }
}

/// Whether a purge is whole with a command, which then gives it its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    Whole,
    NotYet,
}

/// Carries out `purge`, as far as it concerns the shard: removes entries, or marks them as stale, and removes leases;
/// returns how many entries. On an error a part may be done: the purge has to be sent again.
pub(super) async fn purge(scope: &CommandScope<'_>, purge: &Purge) -> Result<usize, Error> {
    let effect = Effect::of(purge.kind, scope.tier.clock.now());
    purge_shard(scope, purge, &effect).await
}

/// Sends the purges again that failed, all of a kind as one: there may be many, and others read what they cover until they
/// have landed. What Redis refuses stays in the journal, and so does all if the session ends meanwhile, or the
/// preparation of one, as `stands` says; an outage is an error.
pub(super) async fn resend_failed(
    scope: &CommandScope<'_>,
    stands: impl Fn() -> bool,
) -> Result<(), Error> {
    let tier = scope.tier;
    let failed = tier.journal.failed();
    if failed.is_empty() {
        return Ok(());
    }
    for kind in PurgeKind::ALL {
        let of_kind = failed.iter().filter(|(_, purge)| purge.kind == kind);
        resend_as_one(scope, &stands, kind, of_kind).await?;
    }
    Ok(())
}

async fn resend_as_one<'p>(
    scope: &CommandScope<'_>,
    stands: &impl Fn() -> bool,
    kind: PurgeKind,
    failed: impl Iterator<Item = &'p (u64, Arc<Purge>)> + Clone,
) -> Result<(), Error> {
    let tier = scope.tier;
    let all = Purge::joined(kind, failed.clone().map(|(_, purge)| &**purge));
    if all.is_empty() {
        return Ok(());
    }
    match purge(scope, &all).await {
        Ok(_) if !stands() => Err(Error::Down),
        Ok(purged) => {
            if all.is_read_meanwhile() {
                // A fetch in between may be on its way to memory.
                tier.invalidation_fence.purge(Arc::new(all));
            }
            tier.journal.confirm(failed.map(|(id, _)| *id));
            tier.count_purged(kind, purged);
            Ok(())
        }
        Err(error) if error.is_outage() || error == Error::Down => Err(error),
        Err(error) => {
            tracing::warn!(%error, "Redis refuses purges; they are kept");
            Ok(())
        }
    }
}

/// Removes `keys` of the shard, which nobody has purged.
pub(super) async fn remove_keys(
    scope: &CommandScope<'_>,
    keys: Vec<Value>,
) -> Result<usize, Error> {
    purge_all(scope, keys, Landing::NotYet, &Effect::Remove).await
}

/// Begins another generation, and so makes void all that is stored there, if it is still in the
/// generation `ending`; returns whether it was.
pub(super) async fn renew(
    scope: &CommandScope<'_>,
    why: &str,
    ending: Generation,
) -> Result<bool, Error> {
    let ending = ending.to_string();
    let reply = send_renewal(scope, why, &ending, "").await?.value;
    Ok(reply.into_array().get(2).map(parse_number) == Some(1))
}

async fn send_renewal(
    scope: &CommandScope<'_>,
    why: &str,
    ending: &str,
    process: &str,
) -> Result<Reply, Error> {
    let last = scope.tier.lineage.known().own.to_string();
    let prefix = scope.tier.keys.prefix();
    let call = || {
        Call::about_shard(
            prefix,
            vec![
                why.into(),
                ending.into(),
                process.into(),
                last.as_str().into(),
            ],
        )
    };
    let latency = &scope.tier.latency.purge;
    let reply = scope.run_script(Some(latency), Script::Renew, call);
    reply.await
}

async fn purge_shard(
    scope: &CommandScope<'_>,
    purge: &Purge,
    effect: &Effect,
) -> Result<usize, Error> {
    if purge.everything {
        let reply = send_renewal(scope, "purged", "", scope.tier.process()).await?;
        return Ok(note_landing(scope, reply));
    }
    let (exact, patterns): (Vec<&Pattern>, Vec<&Pattern>) =
        purge.keys.iter().partition(|key| key.exact().is_some());
    let (identities, patterns): (Vec<_>, Vec<_>) = patterns
        .into_iter()
        .partition(|pattern| identities::is_of_identities(pattern));
    let exact = exact.into_iter().filter_map(Pattern::exact);
    let of_shard = exact.filter(|key| scope.tier.keys.has(key));
    let mut of_shard: Vec<Value> = of_shard.map(Value::from).collect();
    if !identities.is_empty() {
        // Each shard has the name that checks of its digests have read.
        of_shard.push(identities::name_of("*").into());
    }
    if patterns.is_empty() && purge.tags.is_empty() {
        return match of_shard.is_empty() {
            true => Ok(0),
            false => purge_all(scope, of_shard, Landing::Whole, effect).await,
        };
    }
    let mut purged = purge_all(scope, of_shard, Landing::NotYet, effect).await?;
    if !purge.tags.is_empty() {
        fence_tags(scope, &purge.tags).await?;
    }
    let keys = patterns.into_iter().map(|pattern| (Index::Keys, pattern));
    let tags = purge.tags.iter().map(|pattern| (Index::Tags, pattern));
    let indexed: Vec<(Index, &Pattern)> = keys.chain(tags).collect();
    for some in indexed.chunks(AT_A_TIME) {
        let purges = some
            .iter()
            .map(|(index, pattern)| purge_index(scope, *index, pattern, effect));
        purged += try_join_all(purges).await?.into_iter().sum::<usize>();
    }
    // An index that was lost meanwhile had nothing to show: this begins another generation then.
    let none = Vec::new();
    purged += purge_page(scope, Index::Keys, none, Landing::Whole, effect).await?;
    Ok(purged)
}

/// Purges `keys` of the shard, page by page; returns how many had an entry.
async fn purge_all(
    scope: &CommandScope<'_>,
    keys: Vec<Value>,
    landing: Landing,
    effect: &Effect,
) -> Result<usize, Error> {
    let mut purged = 0;
    let mut pages = keys.chunks(PAGE).peekable();
    while let Some(page) = pages.next() {
        let landing = match pages.peek() {
            Some(_) => Landing::NotYet,
            None => landing,
        };
        let page = page.to_vec();
        purged += purge_page(scope, Index::Keys, page, landing, effect).await?;
    }
    Ok(purged)
}

/// Purges what an index has for the pattern, page by page.
async fn purge_index(
    scope: &CommandScope<'_>,
    index: Index,
    pattern: &Pattern,
    effect: &Effect,
) -> Result<usize, Error> {
    let beginning = common_beginning(index, pattern);
    let covers_all = match index {
        Index::Keys => pattern.is_prefix(),
        Index::Tags => pattern.is_prefix() || pattern.exact().is_some(),
    };
    let (mut purged, mut from) = (0, beginning.clone().into_bytes());
    // Of keys that are only being fetched, which are in no index.
    let mut leases: Vec<u8> = match index {
        Index::Keys => b"-inf".into(),
        Index::Tags => Vec::new(),
    };
    loop {
        let rest: Option<Vec<u8>> = if covers_all {
            let all = Members::All {
                from,
                beginning: &beginning,
                leases,
            };
            let done = send_purge(scope, index, all, Landing::NotYet, effect).await?;
            purged += done.removed;
            leases = done.leases;
            done.rest
        } else {
            let page = list_page(scope, index, from, &beginning, leases).await?;
            let (members, rest) = (page.members, page.rest);
            leases = page.leases;
            let members = members.into_iter();
            let covered = members.filter(|member| pattern.matches(&matched_part(index, member)));
            let covered: Vec<Value> = covered.collect();
            if !covered.is_empty() {
                for some in covered.chunks(PAGE) {
                    let some = some.to_vec();
                    purged += purge_page(scope, index, some, Landing::NotYet, effect).await?;
                }
            }
            Some(rest).filter(|rest| !rest.is_empty() || !leases.is_empty())
        };
        match rest {
            None => return Ok(purged),
            Some(rest) => from = rest,
        }
    }
}

/// Members of an index that begin so.
struct Page {
    members: Vec<Value>,
    /// Where the next page begins; empty: that was the last.
    rest: Vec<u8>,
    /// The end of leases to go on with; empty: all were looked at.
    leases: Vec<u8>,
}

/// One page of them, with keys that have a lease and begin so.
async fn list_page(
    scope: &CommandScope<'_>,
    index: Index,
    from: Vec<u8>,
    beginning: &str,
    leases: Vec<u8>,
) -> Result<Page, Error> {
    let prefix = scope.tier.keys.prefix();
    let (from, leases) = (Bytes::from(from), Bytes::from(leases));
    let call = || {
        let [from, leases] = [&from, &leases].map(|bytes| Value::Bytes(bytes.clone()));
        let args = vec![index.word(), from, beginning.into(), leases];
        Call::about_shard(prefix, args)
    };
    let latency = &scope.tier.latency.purge;
    let reply = scope.run_script(Some(latency), Script::List, call);
    let mut parts = reply.await?.value.into_array().into_iter();
    let mut next = || parts.next().unwrap_or(Value::Null);
    let bytes_of = |value: Value| value.as_bytes().unwrap_or_default().to_vec();
    Ok(Page {
        rest: bytes_of(next()),
        members: next().into_array(),
        leases: bytes_of(next()),
    })
}

/// Purges these members of an index; returns how many entries went.
async fn purge_page(
    scope: &CommandScope<'_>,
    mut index: Index,
    mut members: Vec<Value>,
    landing: Landing,
    effect: &Effect,
) -> Result<usize, Error> {
    let mut purged = 0;
    loop {
        let these = Members::These(&members);
        let done = send_purge(scope, index, these, landing, effect).await?;
        purged += done.removed;
        if done.left.is_empty() {
            return Ok(purged);
        }
        (index, members) = (Index::Keys, done.left);
    }
}

/// What one command purges.
enum Members<'m> {
    /// Some hundred at most.
    These(&'m [Value]),
    /// Some pages of all that begin so, the first of which is that of `from`; before, some of the leases, from an end on.
    All {
        from: Vec<u8>,
        beginning: &'m str,
        leases: Vec<u8>,
    },
}

impl Members<'_> {
    fn words(&self) -> Vec<Value> {
        match self {
            Members::These(members) => {
                let these = Value::from("these");
                std::iter::once(these)
                    .chain(members.iter().cloned())
                    .collect()
            }
            Members::All {
                from,
                beginning,
                leases,
            } => {
                let [from, leases] = [from, leases].map(|it| Value::Bytes(it.clone().into()));
                vec!["all".into(), from, (*beginning).into(), leases]
            }
        }
    }
}

/// What one command has purged.
struct PurgedSome {
    removed: usize,
    /// Where to go on; `None`: done.
    rest: Option<Vec<u8>>,
    /// The end of leases to go on with; empty: all were looked at.
    leases: Vec<u8>,
    /// Of single members, the keys that are left: what belongs to the others is enough for one command.
    left: Vec<Value>,
}

async fn send_purge(
    scope: &CommandScope<'_>,
    index: Index,
    members: Members<'_>,
    landing: Landing,
    effect: &Effect,
) -> Result<PurgedSome, Error> {
    let process = match landing {
        Landing::Whole => scope.tier.process(),
        Landing::NotYet => "",
    };
    let last = scope.tier.lineage.known().own.to_string();
    let prefix = scope.tier.keys.prefix();
    let call = || {
        let last = last.as_str().into();
        let mut args: Vec<Value> = vec![index.word(), process.into(), last, effect.word()];
        args.extend(members.words());
        Call::about_shard(prefix, args)
    };
    let latency = &scope.tier.latency.purge;
    let reply = scope.run_script(Some(latency), Script::Purge, call).await?;
    let mut further = reply.value.clone().into_array().into_iter().skip(2);
    let mut next = || further.next().unwrap_or(Value::Null);
    let rest = next().as_bytes().map(<[u8]>::to_vec);
    let left = match next() {
        Value::Array(keys) => keys,
        _ => Vec::new(),
    };
    let leases = next().as_bytes().unwrap_or_default().to_vec();
    let removed = note_landing(scope, reply);
    Ok(PurgedSome {
        removed,
        rest,
        leases,
        left,
    })
}

/// Remembers the purge's number, by which data that lack it are known; returns how many entries went.
fn note_landing(scope: &CommandScope<'_>, reply: Reply) -> usize {
    let parts = reply.value.into_array();
    let at = |index: usize| parts.get(index).map_or(0, parse_number);
    scope.tier.lineage.note_own(reply.generation, at(1));
    at(0) as usize
}

/// Fences the fills under way, whose tags nobody knows yet.
async fn fence_tags(scope: &CommandScope<'_>, tags: &[Pattern]) -> Result<(), Error> {
    let any = tags.iter().any(|pattern| pattern.exact().is_none());
    let prefix = scope.tier.keys.prefix();
    for page in tags.chunks(PAGE) {
        let call = || {
            let mut args: Vec<Value> = vec![
                FENCED_TAGS.to_string().into(),
                if any { "1" } else { "0" }.into(),
            ];
            args.extend(page.iter().filter_map(Pattern::exact).map(Value::from));
            Call::about_shard(prefix, args)
        };
        scope.run_script(None, Script::Fence, call).await?;
    }
    Ok(())
}

/// How all members of an index begin that the pattern may match.
fn common_beginning(index: Index, pattern: &Pattern) -> String {
    match (index, pattern.exact()) {
        (Index::Tags, Some(tag)) => format!("{tag}\0"),
        _ => pattern.prefix().to_owned(),
    }
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
