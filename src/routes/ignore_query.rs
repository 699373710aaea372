//! `ignore_query`: which query fields a key may leave out, and the query without them.

use std::borrow::Cow;

use super::query::{Field, split_fields};
use super::{Pattern, Template};
use crate::http_cache::secret_names::names_a_secret;

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
    pub fn find_unkeyed<'q>(&self, key: &Template, query: Option<&'q str>) -> Option<&'q str> {
        self.unkeyed(key, query).next()
    }

    /// As [`IgnoreQuery::find_unkeyed`], of all such fields.
    pub fn unkeyed<'q>(
        &self,
        key: &Template,
        query: Option<&'q str>,
    ) -> impl Iterator<Item = &'q str> {
        let query = query.filter(|_| !key.takes_whole_query()).into_iter();
        query
            .flat_map(split_fields)
            .filter(|field| !key.names_query_field(field) && !self.ignores(field))
            .map(|field| field.name)
    }

    /// What `key` is rendered from: where it takes the whole query, `query` without the fields that the
    /// list ignores and `key` does not name, so that `{query}` and `{uri}` leave them out; `query` itself
    /// elsewhere. `None` if no field is left.
    pub fn remove_ignored<'q>(
        &self,
        key: &Template,
        query: Option<&'q str>,
    ) -> Option<Cow<'q, str>> {
        match key.takes_whole_query() {
            true => self.without_ignored(key, query),
            false => query.map(Cow::Borrowed),
        }
    }

    /// `query` without the fields that the list ignores and `key` does not name; `None` if no field is left.
    pub fn without_ignored<'q>(
        &self,
        key: &Template,
        query: Option<&'q str>,
    ) -> Option<Cow<'q, str>> {
        let whole = query?;
        if self.names.is_empty() {
            return Some(Cow::Borrowed(whole));
        }
        let ignored = |field: &Field<'_>| !key.names_query_field(field) && self.ignores(field);
        if !split_fields(whole).any(|field| ignored(&field)) {
            return Some(Cow::Borrowed(whole));
        }
        let kept: Vec<&str> = split_fields(whole)
            .filter(|field| !ignored(field))
            .map(|field| field.raw)
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
    }

    /// Whether `key` would leave the field `name` out if the list had it, and does not yet. Only of a name that the list
    /// takes for that name alone.
    pub fn would_leave_out(&self, key: &Template, name: &str) -> bool {
        is_plain(name)
            && key.takes_whole_query()
            && split_fields(name)
                .all(|field| !key.names_query_field(&field) && !self.ignores(&field))
    }

    fn ignores(&self, field: &Field<'_>) -> bool {
        // Some apps take `;` for `&`: what stands behind it is a field of its own to them.
        if self.names.is_empty() || field.raw.contains(';') {
            return false;
        }
        let name = field.decoded_name();
        let mut matching = self.names.iter().filter(|pattern| pattern.matches(&name));
        let Some(first) = matching.next() else {
            return false;
        };
        // What says who asks is meant only where it is called by its name.
        let is_meant = |pattern: &Pattern| pattern.exact().is_some();
        is_meant(first) || !names_a_secret(&name.to_ascii_lowercase()) || matching.any(is_meant)
    }
}

/// The fields of `query` whose names are plain, as `ignore_query` takes them, with their values.
pub fn plain_fields(query: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let named = split_fields(query).map(|field| (field.decoded_name(), field.value()));
    let plain = named.filter(|(name, _)| is_plain(name));
    plain.map(|(name, value)| (name, value.unwrap_or_default()))
}

/// Whether a name is no pattern, and nothing that a terminal or a file reads as more than a name: clients choose them.
fn is_plain(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]:$@".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_usual)
}

#[cfg(test)]
mod tests {
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
            (
                "what says who asks is not ignored by a pattern",
                "k",
                &["*", "access_*"],
                Some("a=1&access_Token=x"),
                Some("access_Token"),
            ),
            (
                "but by its name",
                "k",
                &["*", "apiKey"],
                Some("apiKey=x"),
                None,
            ),
            ("a key of another kind", "k", &["*"], Some("key=x"), None),
            (
                "what some apps find behind a semicolon",
                "k:{query.q}",
                &["utm_*"],
                Some("q=a&utm_x=1;q=b"),
                Some("utm_x"),
            ),
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
            let actual = ignoring(ignore).find_unkeyed(&key(template), query);
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
            let actual = ignoring(ignore).remove_ignored(&key(template), query);
            assert_eq!(actual.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_the_list_would_have_left_out() {
        for (name, template, ignore, expected) in [
            ("utm", "{host}{uri}", &[][..], true),
            ("utm", "k:{query}", &["ref"], true),
            ("utm", "k:{query}", &["utm"], false),
            ("utm", "k:{query}", &["u*"], false),
            ("utm", "k:{query.utm}:{query}", &[], false),
            ("utm", "k:{query.page}", &[], false),
            ("filter[a]", "{uri}", &[], true),
            ("*", "{uri}", &[], false),
            ("u*", "{uri}", &[], false),
            ("%2A", "{uri}", &[], false),
            ("a b", "{uri}", &[], false),
            ("\u{1b}", "{uri}", &[], false),
            ("", "{uri}", &[], false),
        ] {
            let actual = ignoring(ignore).would_leave_out(&key(template), name);
            assert_eq!(actual, expected, "{name} of {template}");
        }
        let long = "x".repeat(65);
        assert!(!ignoring(&[]).would_leave_out(&key("{uri}"), &long));
        let query = format!("*=1&%2A=2&a=3&b&=4&{long}=5&%61=6&c[]=d=e");
        let plain = plain_fields(&query).map(|(name, value)| format!("{name} {value}"));
        assert_eq!(plain.collect::<Vec<_>>(), ["a 3", "b ", "a 6", "c[] d=e"]);
    }
}
