//! `when` and `unless`: what a request and its answer must be.

use std::borrow::Cow;
use std::fmt;

use http::Method;
use regex::{Regex, RegexBuilder};

use super::Scope;
use super::escape::{UrlPart, decode};
use super::expected::{Expected, Found};
use super::json::{self, Lists};
use super::operation;
use super::query::Query;
use super::template::Source;

/// The most that one expression takes once it is compiled (promise I7).
const MAX_EXPRESSION: usize = 1 << 20;

/// All of these must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<Condition>);

/// One variable, and what it must be.
#[derive(Clone, Debug)]
pub struct Condition {
    variable: Variable,
    expected: Expected<Regex>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    Method,
    Of(Source),
}

/// Why a condition cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Nothing has such a name; or what a condition cannot read.
    #[error("\"{0}\" names nothing of a request or its answer")]
    UnknownName(String),
    /// A parameter that the rule's path does not have.
    #[error("the path has no parameter {0}")]
    UnknownParam(String),
    /// No regular expression, or too large a one.
    #[error("\"{expression}\" is no regular expression: {why}")]
    BadExpression {
        /// As written.
        expression: String,
        /// In the words of who reads it.
        why: String,
    },
}

impl Condition {
    /// Of a name such as `body.query`, `response.ok`, `query.id`, `header.x-kind`, `path.id` or `method`, and
    /// `absent`, `present` or a regular expression; `params` are those of the rule's path.
    pub fn parse(
        name: &str,
        expected: &str,
        params: &[String],
    ) -> Result<Condition, ConditionError> {
        let unknown = || ConditionError::UnknownName(name.to_owned());
        let variable = match name {
            "method" => Variable::Method,
            name => Variable::Of(Source::parse(name).ok_or_else(unknown)?),
        };
        match &variable {
            Variable::Of(Source::Path(param)) if !params.contains(param) => {
                return Err(ConditionError::UnknownParam(param.clone()));
            }
            Variable::Of(
                Source::Path(_)
                | Source::Query(_)
                | Source::Header(_)
                | Source::Body(_)
                | Source::Response(_),
            )
            | Variable::Method => {}
            Variable::Of(_) => return Err(unknown()),
        }
        let expected = Expected::parse(expected, compile)?;
        Ok(Condition { variable, expected })
    }

    /// What of each value is known: a list in a body stands for each of its members.
    fn verdicts(&self, scope: &Scope<'_>, methods: &[Method]) -> Vec<Option<bool>> {
        let mut found = self.find(scope, methods);
        if found.is_empty() {
            found.push(Found::Absent);
        }
        let verdict = |found| {
            self.expected
                .is_met(found, |expression, text| expression.is_match(text))
        };
        found.iter().map(verdict).collect()
    }

    fn find<'a>(&'a self, scope: &Scope<'a>, methods: &'a [Method]) -> Vec<Found<'a>> {
        let source = match &self.variable {
            Variable::Method => {
                let texts = methods.iter().map(|method| method.as_str().into());
                return texts.map(Found::Text).collect();
            }
            Variable::Of(source) => source,
        };
        if let Some((document, names)) = source.place(scope) {
            let members = json::members(document, names, Lists::Each);
            let mut found: Vec<Found<'a>> = members.into_iter().map(Found::from).collect();
            if matches!(source, Source::Body(_)) {
                if found.is_empty() {
                    found.push(Found::Absent);
                }
                found.extend(operation::beside_body(document, scope.query, names));
            }
            return found;
        }
        match source {
            Source::Path(name) => {
                let params = scope.params.iter().filter(|(param, _)| param == name);
                params.map(|(_, raw)| read(raw, UrlPart::Path)).collect()
            }
            Source::Query(name) => {
                let mut query = Query::default();
                query.take_apart(scope.query.unwrap_or_default());
                let values = query
                    .named(name)
                    .iter()
                    .map(|field| field.value().unwrap_or(""));
                values.map(|raw| read(raw, UrlPart::Query)).collect()
            }
            Source::Header(name) => {
                let lines = scope.headers.get_all(name).into_iter();
                let texts = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
                texts.map(Found::Text).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What an app reads of a part of the URL.
fn read(raw: &str, part: UrlPart) -> Found<'static> {
    let bytes: Vec<u8> = decode(raw, part).collect();
    Found::Text(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

fn compile(expression: &str) -> Result<Regex, ConditionError> {
    let compiled = RegexBuilder::new(expression)
        .size_limit(MAX_EXPRESSION)
        .build();
    compiled.map_err(|error| {
        let error = error.to_string();
        // The lines before show the expression once more.
        let why = error.lines().last().unwrap_or_default();
        ConditionError::BadExpression {
            expression: expression.to_owned(),
            why: why.trim_start_matches("error: ").to_owned(),
        }
    })
}

impl From<Vec<Condition>> for Conditions {
    fn from(conditions: Vec<Condition>) -> Conditions {
        Conditions(conditions)
    }
}

impl Conditions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them may hold: of several values one is enough, and what could not be read may be anything.
    /// `methods`: the request's, and those that it may be taken for.
    pub fn may_hold(&self, scope: &Scope<'_>, methods: &[Method]) -> bool {
        self.0.iter().all(|condition| {
            let verdicts = condition.verdicts(scope, methods);
            verdicts.iter().any(|verdict| *verdict != Some(false))
        })
    }

    /// Whether all of them hold for certain: for each of several values.
    pub fn surely_hold(&self, scope: &Scope<'_>, methods: &[Method]) -> bool {
        self.0.iter().all(|condition| {
            let verdicts = condition.verdicts(scope, methods);
            verdicts.iter().all(|verdict| *verdict == Some(true))
        })
    }

    /// Whether any reads the request's body.
    pub fn read_body(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Body(_)))
    }

    /// Whether any has an expression for what a GraphQL request asks for: its text, its name, or what stands for them.
    pub fn tell_operations(&self) -> bool {
        self.0.iter().any(|condition| {
            let is_about = match &condition.variable {
                Variable::Of(Source::Body(names)) => {
                    names.iter().any(|name| operation::is_about_operation(name))
                }
                Variable::Of(Source::Query(name)) => operation::is_about_operation(name),
                Variable::Of(Source::Header(name)) => {
                    name.to_ascii_lowercase().contains("operation")
                }
                Variable::Of(_) | Variable::Method => false,
            };
            is_about && matches!(condition.expected, Expected::Text(_))
        })
    }

    /// Whether any reads the answer's body.
    pub fn read_response(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Response(_)))
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0
            .iter()
            .filter_map(|condition| match &condition.variable {
                Variable::Of(source) => Some(source),
                Variable::Method => None,
            })
    }
}

impl fmt::Display for Conditions {
    /// As in the file, without its braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.iter().map(|condition| {
            let name = match &condition.variable {
                Variable::Method => "method".to_owned(),
                Variable::Of(source) => source.to_string().replace(['{', '}'], ""),
            };
            match &condition.expected {
                Expected::Absent => format!("{name} = absent"),
                Expected::Present => format!("{name} = present"),
                Expected::Text(expression) => format!("{name} = {expression}"),
            }
        });
        f.write_str(&texts.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
