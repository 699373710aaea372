//! One request as a template reads it.

use std::collections::BTreeSet;

use http::header::{AUTHORIZATION, COOKIE};
use serde_json::Value;

use super::super::Scope;
use super::super::escape::{ABSENT, push};
use super::super::json::{self, Lists, Member};
use super::super::query::Query;
use super::value::{self, Spelling};
use super::{Missing, Source, Template};

/// A template and a request.
pub(super) struct Reading<'s, 'q> {
    pub(super) template: &'s Template,
    pub(super) scope: &'s Scope<'q>,
    /// That of the scope, taken apart if a variable reads its fields.
    pub(super) query: &'s Query<'q>,
}

impl<'s, 'q> Reading<'s, 'q> {
    /// `query` is a place to take the query apart in: it has room for many fields and is dear to move.
    pub(super) fn of(
        template: &'s Template,
        scope: &'s Scope<'q>,
        query: &'s mut Query<'q>,
    ) -> Reading<'s, 'q> {
        if let Some(text) = scope.query
            && template.reads_query_fields()
        {
            query.take_apart(text);
        }
        Reading {
            template,
            scope,
            query,
        }
    }

    /// Adds the value of a variable, or its default; whether the spelling was the usual one, which the
    /// text alone tells.
    pub(super) fn render(
        &self,
        source: &Source,
        default: Option<&str>,
        text: &mut String,
    ) -> Result<bool, Missing> {
        let start = text.len();
        if let Some(found) = value::write_value(source, self, Spelling::Decoded, text) {
            // Where there is a default, its text usually means that the variable is absent: an app
            // may well answer `?page=1` and no page differently.
            return Ok(found.usual && default != Some(&text[start..]));
        }
        match default {
            Some(default) if may_default(source, self.scope) => text.push_str(default),
            _ => return Err(Missing(source.clone())),
        }
        Ok(true)
    }

    /// The value of a variable, or its default, if there is no doubt about it.
    pub(super) fn bind(&self, source: &Source, default: Option<&str>) -> Option<String> {
        let mut text = String::new();
        match value::write_value(source, self, Spelling::Decoded, &mut text) {
            Some(found) => found.single.then_some(text),
            None => default
                .filter(|_| may_default(source, self.scope))
                .map(str::to_owned),
        }
    }

    /// The values of a variable of a purge, each once, if there is no doubt about any: a list in a document
    /// stands for each of its members.
    pub(super) fn bind_each(&self, source: &Source, default: Option<&str>) -> Option<Vec<String>> {
        match source.place(self.scope) {
            Some((document, names)) => each_member(document, names, default),
            None => self.bind(source, default).map(|value| vec![value]),
        }
    }

    /// The values of a variable of a tag; as those of a key, but for lists in documents.
    pub(super) fn render_each(
        &self,
        source: &Source,
        default: Option<&str>,
    ) -> Result<Vec<String>, Missing> {
        if let Some((document, names)) = source.place(self.scope) {
            let values = each_member(document, names, default);
            return values.ok_or_else(|| Missing(source.clone()));
        }
        let mut value = String::new();
        self.render(source, default, &mut value)?;
        Ok(vec![value])
    }

    /// Every value as the request spelled it, and the path parameters that the template leaves out:
    /// without them a rule on `/boards/{id}` with the key `board` would serve one board for all.
    pub(super) fn render_form(&self) -> String {
        let mut form = String::from("~");
        for source in self.template.sources() {
            form.push(':');
            if value::write_value(source, self, Spelling::Raw, &mut form).is_none() {
                form.push_str(ABSENT);
            }
        }
        for raw in self.unnamed_params() {
            form.push(':');
            push(&mut form, raw.bytes(), b"");
        }
        if self.is_respelled() {
            form.push(':');
            push(&mut form, self.scope.path.bytes(), b"");
        }
        form
    }

    /// Whether the path is not spelled as the text of a key has it.
    pub(super) fn is_respelled(&self) -> bool {
        let Scope { spelling, path, .. } = self.scope;
        spelling.is_some_and(|spelling| !spelling.is_usual(path))
    }

    /// The path parameters that the template leaves out, as received.
    pub(super) fn unnamed_params(&self) -> impl Iterator<Item = &str> {
        self.scope
            .params
            .iter()
            .filter(|(name, _)| {
                !self.template.sources().any(|source| match source {
                    Source::Path(named) => named == name,
                    Source::Uri => true,
                    _ => false,
                })
            })
            .map(|(_, raw)| *raw)
    }
}

/// What stands at a place of a document, each value once. A member that lacks it takes the default, and none does
/// that is in doubt.
fn each_member(
    document: Option<&Value>,
    names: &[String],
    default: Option<&str>,
) -> Option<Vec<String>> {
    let mut values = BTreeSet::new();
    for member in json::members(document, names, Lists::Each) {
        let mut text = String::new();
        match member {
            Member::One(value) => {
                value::write_member(value, Spelling::Decoded, &mut text);
            }
            Member::Absent => text.push_str(default?),
            Member::Composite | Member::Unknown => return None,
        }
        values.insert(text);
    }
    Some(values.into_iter().collect())
}

/// A claim's default is for requests without a token. One whose token did not verify here may still
/// be somebody to the app, and must not fill the answer of the anonymous (reliability K8).
///
/// So it is with what a check says: who brings nothing to be known by is known to be nobody, and a check that failed, or
/// said no, tells nothing.
///
/// Nor is a default for what is there and stands for no single value, such as a list of roles, or a member
/// that is doubled.
fn may_default(source: &Source, scope: &Scope<'_>) -> bool {
    let anonymous =
        || !scope.headers.contains_key(AUTHORIZATION) && !scope.headers.contains_key(COOKIE);
    let is_absent = |document, names: &[String]| json::member(document, names) == Member::Absent;
    match source {
        Source::Jwt(names) if scope.claims.is_some() => is_absent(scope.claims, names),
        Source::Jwt(_) => anonymous(),
        Source::Auth(names) => scope.auth.is_some() && is_absent(scope.auth, names),
        _ => source
            .place(scope)
            .is_none_or(|(document, names)| is_absent(document, names)),
    }
}
