//! The names of Pannier's keys in Redis, and what an entry costs there.
//!
//! All names of a shard begin with its prefix: a cluster hash tag, `{ns}` or `{ns.3}`, and the version of
//! the layout, as in `{ns}:v6`. So a shard is in one slot and its scripts may touch all of it, and sidecars
//! of two layouts do not touch each other's keys. After the prefix:
//!
//! | name | type | holds |
//! | --- | --- | --- |
//! | `:g` | string | the generation: 16 hexadecimal digits, later ones are greater |
//! | `:u` | string | when a purge last met an entry that Redis had evicted; may be absent |
//! | `:e:<key>` | string | the generation in which it was stored, the entry; nothing behind it: a stub, for an entry that is only in the memory of sidecars |
//! | `:a` | string | when identities were purged last; gone soon after, and read to be told of the next purge |
//! | `:a:<digest>` | string | the same of one person's credentials |
//! | `:l:<key>` | string | the lease of the fill under way: the generation, its token |
//! | `:ix` | paged set | every key with an entry: its priority, expiry, size and tags (`entries.lua`) |
//! | `:x0`–`:x2` | paged set | every key with an entry of a priority, behind the end of the time in which it expires (5 bytes), a sixteenth of its time to live |
//! | `:tx` | paged set | `tag\0key`, for purges by tag |
//! | `:px` | paged set | the same, of what a purge by tag has removed and whose line in `:ix` is still there: taken out later |
//! | `:lx` | zset by the time in ms at which it ends if its fill is not heard of | every key with a lease |
//! | `:tp` | zset by purge number | tags purged lately, for fills under way |
//! | `:ag` | zset by time in ms, of the first shard | purges that are to be carried out again, with who is to do it; may be absent |
//! | `:pl` | zset by purge number | process to the number of its last purge |
//! | `:by` | hash | the account, below |
//!
//! A paged set (`pages.lua`) is a sorted set of the bounds of its pages, and a hash for each page:
//! `:ix:<generation>:<bound>` has the members of `:ix` from `<bound>` on. Redis keeps so small a hash in one piece of
//! memory, so that a member costs some 10 bytes beside its own, and not the hundred that a large sorted set takes.
//!
//! Fields of `:by`, in bytes where nothing else is said: `b0`–`b2` entries with their names by priority, `n0`–`n2` how many,
//! `k` estimated of the bookkeeping beside them, `f` by how many thousandths of it that is right, `l` leases, `px` members of `:px`, `vb` and `vn`
//! what is void and how many entries that is, `o` all else that is more than usual; `sl` and `se` how much the account may come to, and where eviction begins, by
//! what the server has left, `sb` the account when that was looked at; the number of the last purge `sq`, the one below
//! which any tag counts as purged `fl`, the last one that is forgotten in `:pl` `lt`; and times in ms: until when somebody
//! sweeps what is void `sw`, tidies `tw` or has checked the budget `cw`, and from when on stores tidy `tn`.
//!
//! **What is stored is void once another generation has begun.** One begins whenever the bookkeeping may no
//! longer be complete, and so purges may miss something: a structure was evicted, removed or is of another type
//! (each but `:a`, `:e:`, `:l:` and `:u` holds a member that nothing removes, and no page is empty), or purges that a
//! sidecar knows of have not happened (`lineage`). Who reads an entry reads the generation with it.
//!
//! These names of a shard are shared by all layouts, and stand behind the tag alone. No layout may change
//! them or the tags, nor have a name that does not begin with its prefix.
//!
//! | name | type | holds |
//! | --- | --- | --- |
//! | `:layouts` | set | the layout that was in use last, and each that was in use since that one took over |
//! | `:alive` | hash | layout to the time in ms until which its last beat announces it |
//! | `:switches` | hash, of the first shard | what was switched at run time (`crate::rollout`): the subject to the time in ms and the switch; may be absent |
//! | `:jobs` | hash, of the first shard | of each job who runs it, and its last run (`scripts/job.lua`); may be absent |
//! | `:hot` | hash, of the first shard | the keys hit most (`[jobs] hot`): the process to the time in ms and a compressed list; may be absent |
//! | `:sidecars` | hash, of the first shard | what sidecars say of themselves: who to the time in ms and the word; gone soon after the last |
//! | `:writes` | zset by number, of the first shard | writes of late, where rules are compared with the app (`crate::rollout`): gone ten minutes after the last |

use fred::types::{Key, Value};
use fred::util::redis_keyslot;

use crate::routes::identities;
use crate::store::sharding::Sharding;

/// The version of the layout: raise it with any change by which sidecars before and after it would
/// misread, or fail to purge, what the other stored. That is a change of a name or type in the table
/// above, of what a field means, of how keys are spread over shards, of what a script expects to find, or
/// of the form of a key or tag that routes render.
///
/// The bytes of an entry have a version of their own ([`crate::entry::codec`]): one that does not decode
/// is a miss.
pub(super) const LAYOUT: u32 = 6;

/// Stood in `:layouts`, before generations, for a layout that is not known: the set was lost.
pub(super) const UNKNOWN_LAYOUT: &str = "0";

/// A shard of a namespace, as one layout names it.
#[derive(Debug)]
pub(super) struct Keyspace {
    layout: u32,
    sharding: Sharding,
    number: usize,
    names: ShardNames,
}

/// What the names of one shard begin with.
#[derive(Debug)]
pub(super) struct ShardNames {
    /// `{ns}` or `{ns.3}`: common to all layouts.
    pub(super) tag: Box<str>,
    /// `{ns}:v6` or `{ns.3}:v6`: the layout's own.
    pub(super) prefix: Box<str>,
    /// The name of the generation.
    pub(super) generation: Key,
    /// The name that changes where Redis may not have told of a purge.
    pub(super) untold: Key,
    /// In a cluster, what each script may come upon beside its own keys. While the slot moves to another node a part of
    /// them has gone ahead; scripts that name them are put off then (`TRYAGAIN`), and do not take for lost what has moved.
    pub(super) beside: Vec<Value>,
}

/// All bookkeeping of a shard (`common.lua`), by the ends of its names.
const BOOKKEEPING: [&str; 11] = [
    ":g", ":by", ":lx", ":tp", ":pl", ":ix", ":tx", ":px", ":x0", ":x1", ":x2",
];

/// What layouts have in common.
const OF_ALL_LAYOUTS: [&str; 2] = [":layouts", ":alive"];

impl ShardNames {
    fn new(tag: String, layout: u32, clustered: bool) -> ShardNames {
        let prefix = format!("{tag}:v{layout}");
        let own = BOOKKEEPING.iter().map(|end| [&prefix, *end].concat());
        let common = OF_ALL_LAYOUTS.iter().map(|end| [&tag, *end].concat());
        let beside = own.chain(common).filter(|_| clustered);
        ShardNames {
            beside: beside.map(Value::from).collect(),
            prefix: prefix.into(),
            generation: format!("{tag}:v{layout}:g").into(),
            untold: format!("{tag}:v{layout}:u").into(),
            tag: tag.into(),
        }
    }

    /// Where a cluster has it.
    pub(super) fn slot(&self) -> u16 {
        redis_keyslot(self.tag.as_bytes())
    }

    /// The name of the generation.
    pub(super) fn generation_name(&self) -> String {
        [&*self.prefix, ":g"].concat()
    }

    /// The name of the set of layouts.
    pub(super) fn layouts_name(&self) -> String {
        [&*self.tag, ":layouts"].concat()
    }

    /// The prefix that another layout has for this shard.
    pub(super) fn prefix_of_layout(&self, layout: &str) -> String {
        [&*self.tag, ":v", layout].concat()
    }
}

impl Keyspace {
    pub(super) fn new(namespace: &str, sharding: Sharding, number: usize, layout: u32) -> Keyspace {
        let (tag, clustered) = match sharding {
            Sharding::NONE => (format!("{{{namespace}}}"), false),
            _ => (format!("{{{namespace}.{number}}}"), true),
        };
        Keyspace {
            layout,
            sharding,
            number,
            names: ShardNames::new(tag, layout, clustered),
        }
    }

    /// Whether it is the one that has what there is once.
    pub(super) fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Whether its slot may move to another node.
    pub(super) fn is_clustered(&self) -> bool {
        !self.names.beside.is_empty()
    }

    /// Whether `key` is in it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.sharding.shard_of(key) == self.number
    }

    /// The version of the layout.
    pub(super) fn layout(&self) -> u32 {
        self.layout
    }

    /// The names of its bookkeeping.
    pub(super) fn names(&self) -> &ShardNames {
        &self.names
    }

    /// What its names begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.names.prefix
    }

    /// The name of the record of purges that are to be carried out again.
    pub(super) fn later_name(&self) -> String {
        [self.prefix(), ":ag"].concat()
    }

    /// The name of what was switched at run time.
    pub(super) fn switches_name(&self) -> String {
        [&*self.names.tag, ":switches"].concat()
    }

    /// The name of what is known of jobs.
    pub(super) fn jobs_name(&self) -> String {
        [&*self.names.tag, ":jobs"].concat()
    }

    /// The name of what sidecars say is hot.
    pub(super) fn hot_name(&self) -> String {
        [&*self.names.tag, ":hot"].concat()
    }

    /// The name of the writes of late.
    pub(super) fn writes_name(&self) -> String {
        [&*self.names.tag, ":writes"].concat()
    }

    /// The name of what sidecars say of themselves.
    pub(super) fn sidecars_name(&self) -> String {
        [&*self.names.tag, ":sidecars"].concat()
    }

    /// The name of `key`'s entry.
    pub(super) fn entry_name(&self, key: &str) -> String {
        [self.prefix(), ":e:", key].concat()
    }

    /// The name of `key`'s lease.
    pub(super) fn lease_name(&self, key: &str) -> String {
        [self.prefix(), ":l:", key].concat()
    }

    /// The names that are written when what is known under `name` is purged: of all identities, and of this one.
    pub(super) fn identity_names(&self, name: &str) -> Vec<String> {
        let prefix = self.prefix();
        let digest = identities::digest_in(name).unwrap_or_default();
        vec![[prefix, ":a"].concat(), [prefix, ":a:", digest].concat()]
    }

    /// What is called `name`, as far as its change concerns a sidecar.
    pub(super) fn parse<'n>(&self, name: &'n str) -> Option<Name<'n>> {
        let rest = name.strip_prefix(&*self.names.tag)?;
        match rest {
            ":layouts" => return Some(Name::Layouts),
            ":switches" => return Some(Name::Switches),
            _ => {}
        }
        let rest = name.strip_prefix(self.prefix())?;
        match rest {
            ":g" => return Some(Name::Generation),
            ":u" => return Some(Name::Untold),
            ":a" => return Some(Name::Identities),
            _ => {}
        }
        if let Some(digest) = rest.strip_prefix(":a:") {
            return Some(Name::Identity(digest));
        }
        let entry = rest.strip_prefix(":e:").map(Name::Entry);
        entry.or_else(|| rest.strip_prefix(":l:").map(Name::Lease))
    }
}

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'n> {
    /// `:e:<key>`
    Entry(&'n str),
    /// `:l:<key>`
    Lease(&'n str),
    /// `:a:<digest>`
    Identity(&'n str),
    /// `:a`
    Identities,
    /// `:layouts`
    Layouts,
    /// `:switches`
    Switches,
    /// `:g`
    Generation,
    /// `:u`
    Untold,
}

/// The bytes an entry takes in Redis with its name, as `MEMORY USAGE` has them on Redis 7 with jemalloc. What stands
/// beside it is counted by the scripts (`entries.lua`).
pub(super) fn cost(prefix: &str, key: &str, value: usize) -> u64 {
    const DICT_ENTRY: usize = 24;
    const OBJECT: usize = 16;
    // With the header of its length, and the byte that ends it.
    let text = |len: usize| match len {
        0..=31 => allocated(len + 2),
        32..=255 => allocated(len + 4),
        256..=65_535 => allocated(len + 6),
        _ => allocated(len + 10),
    };
    let value = match value {
        // Object and text in one.
        0..=44 => allocated(OBJECT + value + 4),
        _ => OBJECT + text(value),
    };
    (text(prefix.len() + 3 + key.len()) + DICT_ENTRY + value) as u64
}

/// What jemalloc takes for `bytes`: four size classes a doubling.
fn allocated(bytes: usize) -> usize {
    match bytes {
        0..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bookkeeping_is_that_of_the_scripts() {
        let script = include_str!("scripts/common.lua");
        let ends = script.split("prefix .. '").skip(1);
        let ends = ends.map(|rest| rest.split('\'').next().expect("its end"));
        // What was not told is there only at times.
        let mut ends: Vec<&str> = ends.filter(|end| *end != ":u").collect();
        let mut ours = BOOKKEEPING.to_vec();
        ends.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, ends);
    }

    #[test]
    fn names_of_a_single_server() {
        let keys = Keyspace::new("app", Sharding::NONE, 0, 1);
        assert_eq!(keys.prefix(), "{app}:v1");
        assert!(keys.has("user:1") && keys.is_first());
        for (case, name, expected) in [
            ("entry", "{app}:v1:e:user:1", Some(Name::Entry("user:1"))),
            ("lease", "{app}:v1:l:user:1", Some(Name::Lease("user:1"))),
            ("the layouts in use", "{app}:layouts", Some(Name::Layouts)),
            ("the switches", "{app}:switches", Some(Name::Switches)),
            ("the generation", "{app}:v1:g", Some(Name::Generation)),
            ("an identity", "{app}:v1:a:0f", Some(Name::Identity("0f"))),
            ("all identities", "{app}:v1:a", Some(Name::Identities)),
            ("purges untold", "{app}:v1:u", Some(Name::Untold)),
            ("index", "{app}:v1:ix", None),
            ("another namespace", "{app2}:v1:e:user:1", None),
            ("another layout", "{app}:v2:e:user:1", None),
            ("a layout of more digits", "{app}:v10:e:user:1", None),
            ("foreign", "user:1", None),
        ] {
            assert_eq!(keys.parse(name), expected, "{case}");
        }
    }

    #[test]
    fn a_cluster_spreads_keys_and_each_shard_knows_its_own_names() {
        let shards = 0..Sharding::CLUSTER.count();
        let shards: Vec<Keyspace> = shards
            .map(|number| Keyspace::new("app", Sharding::CLUSTER, number, 1))
            .collect();
        let mut used = std::collections::BTreeSet::new();
        for i in 0..1000 {
            let key = format!("user:{i}");
            let number = Sharding::CLUSTER.shard_of(&key);
            let name = shards[number].entry_name(&key);
            for (other, shard) in shards.iter().enumerate() {
                let is_own = other == number;
                assert_eq!(shard.has(&key), is_own);
                let expected = is_own.then_some(Name::Entry(key.as_str()));
                assert_eq!(shard.parse(&name), expected, "{name} in {other}");
            }
            used.insert(number);
        }
        assert_eq!(used.len(), shards.len());
        assert_eq!(shards[3].parse("{app.3}:layouts"), Some(Name::Layouts));
        assert_eq!(shards[3].parse("{app.4}:layouts"), None);
    }

    #[test]
    fn size_classes_are_jemallocs() {
        for (bytes, expected) in [
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1025, 1280),
            (4097, 5120),
        ] {
            assert_eq!(allocated(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn bytes_cost() {
        let plain = cost("{app}:v1", "user:1", 100);
        assert_eq!(plain, 32 + 24 + 16 + 112);
        assert!(cost("{app}:v1", "user:1", 300) > plain + 150);
    }
}
