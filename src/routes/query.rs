//! Query fields: how a query is taken apart, and how its fields are found by name.

use std::borrow::Cow;
use std::cmp::Ordering;

use smallvec::SmallVec;

use super::escape::{UrlPart, decode, is_simple};

/// The name of a query field in a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    start: u64,
    text: String,
}

impl Name {
    /// How `field` stands to it in the order of names.
    #[inline]
    pub(super) fn compare(&self, field: &Field<'_>) -> Ordering {
        field.compare_to(self.start, &self.text).reverse()
    }

    pub(super) fn of(text: &str) -> Name {
        Name {
            start: pack_start(text.bytes()),
            text: text.to_owned(),
        }
    }
}

/// The first bytes of a name as a number: names are in its order, and only those that share it need be
/// compared.
fn pack_start(name: impl Iterator<Item = u8>) -> u64 {
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
        self.by_name.extend(split_fields(query));
        self.by_name.sort_by(Field::compare);
    }

    /// The fields of that name.
    pub(super) fn named(&self, name: &str) -> &[Field<'q>] {
        let start = pack_start(name.bytes());
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
                true => pack_start(name.bytes()),
                false => pack_start(decode(name, UrlPart::Query)),
            },
        }
    }

    /// Behind the first `=`, as received; `None` without one.
    pub(super) fn value(&self) -> Option<&'q str> {
        self.raw.get(self.name.len() + 1..)
    }

    /// As the app reads it.
    pub(super) fn decoded_name(&self) -> Cow<'q, str> {
        if self.simple_name {
            return Cow::Borrowed(self.name);
        }
        let name: Vec<u8> = decode(self.name, UrlPart::Query).collect();
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
            false => decode(self.name, UrlPart::Query).cmp(name.bytes()),
        }
    }

    fn compare(&self, other: &Field<'_>) -> Ordering {
        if self.start != other.start || other.simple_name {
            return self.compare_to(other.start, other.name);
        }
        decode(self.name, UrlPart::Query).cmp(decode(other.name, UrlPart::Query))
    }
}

/// The fields in order. Only `&` separates; a query of no characters is one empty field.
pub(super) fn split_fields(query: &str) -> impl Iterator<Item = Field<'_>> {
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
    use crate::routes::Template;
    use crate::routes::template::Site;

    fn key(text: &str) -> Template {
        Template::parse(text, Site::RouteKey, &[]).expect("a valid template")
    }

    /// By the definition: each field of the query whose name the app would read so.
    fn searched<'q>(query: &'q str, name: &str) -> Vec<&'q str> {
        let named = |field: &&str| {
            let written = field.split('=').next().unwrap_or_default();
            decode(written, UrlPart::Query).eq(name.bytes())
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
            for field in split_fields(&query) {
                let named = names.iter().any(|name| searched(field.raw, name) == [field.raw]);
                prop_assert_eq!(key.names_query_field(&field), named, "{:?}", field);
            }
        }
    }
}
