//! Cache groups (RFC 9875): responses that say they belong together, so that one can take all along.
//!
//! A group is kept as a tag of the store, bound to the origin that named it (§2.1), and invalidated as
//! tags are purged: in both tiers, over the whole fleet, ahead of the fills under way. The tag has
//! spaces, which no tag of a config can hold, so neither can be taken for the other.
//!
//! What RFC 9875 leaves open, and how it is settled here:
//!
//! | section | open | here |
//! | --- | --- | --- |
//! | §2 | more than 32 groups, of more than 32 characters | [`MAX_GROUPS`] of [`MAX_LENGTH`]; a response with more is not stored, as a group that is not tracked could not be invalidated |
//! | §2.2.1 | a stored response that is invalidated MAY take its groups along | it does when a write invalidates its own target (RFC 9111 §4.4); those do not take further groups along |
//! | §3 | whether the status matters | it does not: the app says outright what is to go |
//! | §2, §3 | fields that do not parse as a List of Strings | ignored whole (RFC 9651 §4.2); parameters are ignored |

use http::{HeaderMap, HeaderName, Method};
use sfv::{BareItem, List, ListEntry, Parser};

use super::invalidation;

/// The groups a response belongs to (§2).
pub const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups a response to an unsafe request invalidates (§3).
pub const CACHE_GROUP_INVALIDATION: HeaderName =
    HeaderName::from_static("cache-group-invalidation");

/// The most groups of one stored response; §2 asks for 32.
pub const MAX_GROUPS: usize = 128;

/// The longest name of a group in bytes; §2 asks for 32.
pub const MAX_LENGTH: usize = 256;

/// The most groups invalidated one by one: each costs every fill under way a comparison.
const MAX_INVALIDATED: usize = 1000;

/// In place of an origin: what a rule with `any_host` stores is of every origin.
pub const ANY_ORIGIN: &str = "*";

/// More groups than can be tracked, or a longer name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// What a response invalidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidated {
    /// These groups; often none.
    Named(Vec<Box<str>>),
    /// More than the limit: all groups of the origin.
    All,
}

/// The groups that a response names, each once (§2).
pub fn of(response: &HeaderMap) -> Result<Vec<Box<str>>, TooMany> {
    // A walk over the names is less work than to look a long one up.
    if !response.keys().any(|name| *name == CACHE_GROUPS) {
        return Ok(Vec::new());
    }
    let groups = members(response, &CACHE_GROUPS);
    let tracked =
        groups.len() <= MAX_GROUPS && groups.iter().all(|group| group.len() <= MAX_LENGTH);
    tracked.then_some(groups).ok_or(TooMany)
}

/// The groups that the answer to a request with `method` invalidates; none if that method is safe (§3).
pub fn invalidated(method: &Method, response: &HeaderMap) -> Invalidated {
    if invalidation::is_safe(method) || !response.contains_key(CACHE_GROUP_INVALIDATION) {
        return Invalidated::Named(Vec::new());
    }
    let groups = members(response, &CACHE_GROUP_INVALIDATION);
    if groups.len() > MAX_INVALIDATED {
        Invalidated::All
    } else {
        Invalidated::Named(groups)
    }
}

/// The tag of `group` on `origin` (or [`ANY_ORIGIN`]); exact, letter by letter (§2.1).
pub fn tag(origin: &str, group: &str) -> Box<str> {
    format!("group {origin} {group}").into()
}

/// How the tags of all groups of `origin` begin.
pub fn tags_of(origin: &str) -> String {
    format!("group {origin} ")
}

/// Whether a tag of the store stands for a group.
pub fn is_tag(tag: &str) -> bool {
    tag.starts_with("group ")
}

/// A List of Strings (RFC 9651 §3.1, §3.3.3), each once, sorted; empty if the field is anything else.
fn members(response: &HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    // RFC 9651 §4.2: several lines are one list, joined with a comma.
    let lines: Vec<&[u8]> = response
        .get_all(name)
        .into_iter()
        .map(|line| line.as_bytes())
        .collect();
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else {
        return Vec::new();
    };
    let strings: Option<Vec<Box<str>>> = list.iter().map(string).collect();
    let mut strings = strings.unwrap_or_default();
    strings.sort_unstable();
    strings.dedup();
    strings
}

fn string(member: &ListEntry) -> Option<Box<str>> {
    match member {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(text) => Some(text.as_str().into()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests;
