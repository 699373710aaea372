//! Query fields: how a query is taken apart, and which fields a key leaves out.

use std::borrow::Cow;
use std::cmp::Ordering;

use smallvec::SmallVec;

use super::escape::{Place, decode, is_simple};
use super::template::Source;
use super::{Pattern, Template};

/// The `ignore_query` setting of a rule: names, `prefix*` globs, or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreQuery {
    names: Vec<Pattern>,
}

impl IgnoreQuery {
    /// Parses the list.
    pub fn parse(names: &[String]) -> IgnoreQuery {
        IgnoreQuery {
            names: names.iter().map(|name| Pattern::parse(name)).collect(),
        }
    }

    /// The name, as received, of the first field of `query` that neither `key` names nor the list
    /// ignores; such a GET passes.
    pub fn unkeyed<'q>(&self, key: &Template, query: Option<&'q str>) -> Option<&'q str> {
        let query = query.filter(|_| !key.takes_whole_query())?;
        fields(query)
            .find(|field| !key.names_query_field(field) && !self.ignores(field))
            .map(|field| field.name)
    }

    /// `query` without the fields that the list ignores and `key` does not name, where `key` takes the
    /// whole query: what it is rendered from, so that `{query}` and `{uri}` leave them out. `None` if no
    /// field is left.
    pub fn kept<'q>(&self, key: &Template, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let whole = query?;
        if self.names.is_empty() || !key.takes_whole_query() {
            return Some(Cow::Borrowed(whole));
        }
        let ignored = |field: &Field<'_>| !key.names_query_field(field) && self.ignores(field);
        if !fields(whole).any(|field| ignored(&field)) {
            return Some(Cow::Borrowed(whole));
        }
        let kept: Vec<&str> = fields(whole)
            .filter(|field| !ignored(field))
            .map(|field| field.raw)
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
    }

    fn ignores(&self, field: &Field<'_>) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let name = field.decoded_name();
        self.names.iter().any(|pattern| pattern.matches(&name))
    }
}

impl Template {
    /// Whether every query field enters the key, named or not.
    pub(super) fn takes_whole_query(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::QueryRest | Source::Uri))
    }

    /// Whether a variable is of query fields.
    pub(super) fn reads_query_fields(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Query(_) | Source::QueryRest))
    }

    /// Whether the template names this field.
    pub(super) fn names_query_field(&self, field: &Field<'_>) -> bool {
        self.query_names
            .binary_search_by(|name| field.compare_to(name.start, &name.text).reverse())
            .is_ok()
    }
}

/// The name of a query field in a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    start: u64,
    text: String,
}

impl Name {
    pub(super) fn of(text: &str) -> Name {
        Name {
            start: start(text.bytes()),
            text: text.to_owned(),
        }
    }
}

/// The first bytes of a name as a number: names are in its order, and only those that share it need be
/// compared.
fn start(name: impl Iterator<Item = u8>) -> u64 {
    let mut start = [0; 8];
    for (place, byte) in start.iter_mut().zip(name) {
        *place = byte;
    }
    u64::from_be_bytes(start)
}

/// A query taken apart: its fields by name, those of one name in the order received.
#[derive(Debug, Default)]
pub(super) struct Query<'q> {
    by_name: SmallVec<[Field<'q>; 16]>,
}

impl<'q> Query<'q> {
    /// Adds the fields of `query`, none being there.
    pub(super) fn take_apart(&mut self, query: &'q str) {
        self.by_name.extend(fields(query));
        self.by_name.sort_by(Field::compare);
    }

    /// The fields of that name.
    pub(super) fn named(&self, name: &str) -> &[Field<'q>] {
        let start = start(name.bytes());
        let order = |field: &Field<'_>| field.compare_to(start, name);
        let first = self.by_name.partition_point(|field| order(field).is_lt());
        let rest = &self.by_name[first..];
        let count = rest.iter().take_while(|field| order(field).is_eq()).count();
        &rest[..count]
    }

    /// Every field.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Field<'q>> {
        self.by_name.iter()
    }
}

/// One field of a query. Its name counts as the app reads it: decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'q> {
    /// All of it, as received.
    pub(super) raw: &'q str,
    /// Before the first `=`, as received.
    pub(super) name: &'q str,
    /// Whether the name has one spelling only.
    pub(super) simple_name: bool,
    /// Of the decoded name.
    start: u64,
}

impl<'q> Field<'q> {
    fn of(raw: &'q str) -> Field<'q> {
        let (name, _) = cut(raw, b'=');
        let simple_name = is_simple(name);
        Field {
            raw,
            name,
            simple_name,
            start: match simple_name {
                true => start(name.bytes()),
                false => start(decode(name, Place::Query)),
            },
        }
    }

    /// Behind the first `=`, as received; `None` without one.
    pub(super) fn value(&self) -> Option<&'q str> {
        self.raw.get(self.name.len() + 1..)
    }

    fn decoded_name(&self) -> Cow<'q, str> {
        if self.simple_name {
            return Cow::Borrowed(self.name);
        }
        let name: Vec<u8> = decode(self.name, Place::Query).collect();
        Cow::Owned(String::from_utf8_lossy(&name).into_owned())
    }

    /// The order of its name and `name`, which has this start.
    #[inline]
    fn compare_to(&self, start: u64, name: &str) -> Ordering {
        match self.start == start {
            true => self.compare_whole(name),
            false => self.start.cmp(&start),
        }
    }

    fn compare_whole(&self, name: &str) -> Ordering {
        match self.simple_name {
            true => self.name.cmp(name),
            false => decode(self.name, Place::Query).cmp(name.bytes()),
        }
    }

    fn compare(&self, other: &Field<'_>) -> Ordering {
        if self.start != other.start || other.simple_name {
            return self.compare_to(other.start, other.name);
        }
        decode(self.name, Place::Query).cmp(decode(other.name, Place::Query))
    }
}

/// The fields in order. Only `&` separates; a query of no characters is one empty field.
fn fields(query: &str) -> impl Iterator<Item = Field<'_>> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let (raw, behind) = cut(rest?, b'&');
        rest = behind;
        Some(Field::of(raw))
    })
}

/// What stands before the first `byte`, and what behind it. Most are near: looking at one byte after the
/// other finds them sooner than `split_once` does.
fn cut(text: &str, byte: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|other| other == byte) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::routes::template::Site;

    fn key(text: &str) -> Template {
        Template::parse(text, Site::RouteKey, &[]).expect("a valid template")
    }

    fn ignoring(names: &[&str]) -> IgnoreQuery {
        IgnoreQuery::parse(
            &names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn unkeyed_fields() {
        for (name, template, ignore, query, expected) in [
            ("no query", "k", &[][..], None, None),
            ("named", "k:{query.page}", &[], Some("page=1"), None),
            (
                "not named",
                "k:{query.page}",
                &[],
                Some("page=1&x=2"),
                Some("x"),
            ),
            (
                "value is not the name",
                "k:{query.page}",
                &[],
                Some("x=page"),
                Some("x"),
            ),
            (
                "encoded name",
                "k:{query.page}",
                &[],
                Some("%70age=1"),
                None,
            ),
            (
                "case matters",
                "k:{query.page}",
                &[],
                Some("Page=1"),
                Some("Page"),
            ),
            ("ignored", "k", &["x"], Some("x=1"), None),
            ("ignored exactly", "k", &["x"], Some("xy=1"), Some("xy")),
            (
                "ignored, encoded",
                "k",
                &["utm_*"],
                Some("utm%5Fsource=1"),
                None,
            ),
            (
                "ignored by prefix",
                "k",
                &["utm_*"],
                Some("utm_=1&utm_a"),
                None,
            ),
            (
                "prefix only",
                "k",
                &["utm_*"],
                Some("a_utm_=1"),
                Some("a_utm_"),
            ),
            ("all ignored", "k", &["*"], Some("a=1&b&&=c"), None),
            ("query takes all", "k:{query}", &[], Some("a=1"), None),
            ("uri takes all", "{uri}", &[], Some("a=1"), None),
            (
                "semicolon is data",
                "k:{query.a}",
                &[],
                Some("a=1;b=2"),
                None,
            ),
            ("empty query", "k", &[], Some(""), Some("")),
            ("empty field", "k:{query.a}", &[], Some("a=1&"), Some("")),
        ] {
            let actual = ignoring(ignore).unkeyed(&key(template), query);
            assert_eq!(actual, expected, "{name}");
        }
    }

    #[test]
    fn kept_fields() {
        for (name, template, ignore, query, expected) in [
            ("no query", "{uri}", &["a"][..], None, None),
            (
                "none ignored",
                "{uri}",
                &["a"],
                Some("b=1&c"),
                Some("b=1&c"),
            ),
            (
                "some ignored",
                "{uri}",
                &["utm_*"],
                Some("a=1&utm_x=2&b"),
                Some("a=1&b"),
            ),
            ("all ignored", "{uri}", &["*"], Some("a=1&b"), None),
            (
                "named stays",
                "{query.a}:{query}",
                &["*"],
                Some("a=1&b"),
                Some("a=1"),
            ),
            ("empty query", "{uri}", &["a"], Some(""), Some("")),
        ] {
            let actual = ignoring(ignore).kept(&key(template), query);
            assert_eq!(actual.as_deref(), expected, "{name}");
        }
    }

    /// By the definition: each field of the query whose name the app would read so.
    fn searched<'q>(query: &'q str, name: &str) -> Vec<&'q str> {
        let named = |field: &&str| {
            let written = field.split('=').next().unwrap_or_default();
            decode(written, Place::Query).eq(name.bytes())
        };
        query.split('&').filter(named).collect()
    }

    proptest! {
        #[test]
        fn a_field_is_found_by_any_spelling_of_its_name(
            query in "((a|b|as_many_|%61|%00|%6|%2B|\\+|%20|%FF|é|%C3%A9|\\[|%5b|[._~-]){0,3}(=[ab=]{0,2})?&){0,30}",
            names in vec("(as_many_)?[ab+ é%6\\[._~-]{1,3}", 1..6),
        ) {
            let variables: Vec<String> = names.iter().map(|name| format!("{{query.{name}}}")).collect();
            let key = key(&variables.join(":"));
            let mut taken = Query::default();
            taken.take_apart(&query);
            for name in names.iter().map(String::as_str).chain(["", "a", "é"]) {
                let found: Vec<&str> = taken.named(name).iter().map(|field| field.raw).collect();
                prop_assert_eq!(found, searched(&query, name));
            }
            for field in fields(&query) {
                let named = names.iter().any(|name| searched(field.raw, name) == [field.raw]);
                prop_assert_eq!(key.names_query_field(&field), named, "{:?}", field);
            }
        }
    }
}
