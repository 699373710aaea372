//! One request as a template reads it.

use http::header::{AUTHORIZATION, COOKIE};

use super::super::Scope;
use super::super::escape::{ABSENT, push};
use super::super::json;
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
    match source {
        Source::Jwt(names) if scope.claims.is_some() => !json::is_unclear(scope.claims, names),
        Source::Jwt(_) => anonymous(),
        Source::Auth(names) => scope.auth.is_some() && !json::is_unclear(scope.auth, names),
        Source::Body(names) => !json::is_unclear(scope.body, names),
        Source::Response(names) => !json::is_unclear(scope.response, names),
        _ => true,
    }
}
