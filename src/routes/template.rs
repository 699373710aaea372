//! Key and tag templates: `user:{path.id}`.
//!
//! The text of a key is made of decoded values, so that a purge bound to a JSON body finds what a
//! percent-encoded query stored. The form beside it keeps what decoding, defaults and joining lose:
//! the two together are different for any two requests that differ in a value the template names.

mod lists;
mod parse;
mod reading;
mod value;
mod variables;

#[cfg(test)]
mod tests;

pub use lists::{Bound, MAX_VALUES, Untagged, tags_of};
pub use parse::TemplateError;
pub(crate) use value::cookie_values;

use http::HeaderName;
use http::header::COOKIE;
use serde_json::Value;

use super::credentials::{may_be_secret, names_a_person_in_auth};
use super::json::EACH;
use super::pattern::PatternBuilder;
use super::query::{Name, Query};
use super::spelling::has_upper_case;
use super::{Pattern, Scope};
use reading::Reading;

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `{path.id}`: a parameter of the rule's path.
    Path(String),
    /// `{query.page}`: one query field.
    Query(String),
    /// `{query}`: every field the template does not name, sorted by name.
    QueryRest,
    /// `{header.accept-language}`
    Header(String),
    /// `{cookie.session}`; hashed.
    Cookie(String),
    /// `{host}`
    Host,
    /// `{uri}`: path and query.
    Uri,
    /// `{jwt.sub}`, nested by dots.
    Jwt(Vec<String>),
    /// `{auth.user.id}`, nested by dots.
    Auth(Vec<String>),
    /// `{body}`: the whole body, as its digest.
    WholeBody,
    /// `{body.project.id}`, nested by dots; `{body.ids[]}`, each of a list.
    Body(Vec<String>),
    /// `{response.id}`, nested by dots; `{response.items[].id}`, each of a list.
    Response(Vec<String>),
    /// `{before.project.id}`: of what was stored for the write's own URL.
    Before(Vec<String>),
}

impl Source {
    /// A source as it stands between braces; `None`: it is none.
    pub(super) fn parse(written: &str) -> Option<Source> {
        parse::parse_name(written, 1).ok()
    }

    /// Whether the target URI alone tells its value.
    fn is_of_the_uri(&self) -> bool {
        match self {
            Source::Path(_) | Source::Query(_) | Source::QueryRest => true,
            Source::Host | Source::Uri => true,
            Source::Header(_) | Source::Cookie(_) => false,
            Source::Jwt(_) | Source::Auth(_) => false,
            Source::WholeBody | Source::Body(_) => false,
            Source::Response(_) | Source::Before(_) => false,
        }
    }

    /// Where it stands in the body of the request or of the answer, if it is of one.
    pub(super) fn place<'a>(
        &'a self,
        scope: &Scope<'a>,
    ) -> Option<(Option<&'a Value>, &'a [String])> {
        match self {
            Source::Body(names) => Some((scope.body, names)),
            Source::Response(names) => Some((scope.response, names)),
            Source::Before(names) => Some((scope.before, names)),
            _ => None,
        }
    }

    /// Whether it tells persons apart; `fields` are the header fields that do.
    fn is_identity(&self, fields: &[HeaderName]) -> bool {
        match self {
            Source::Cookie(_) | Source::Jwt(_) => true,
            // A role is no person: what others of it read is not the writer's own.
            Source::Auth(names) => names_a_person_in_auth(names),
            Source::Header(name) => fields.iter().any(|field| field == name.as_str()),
            _ => false,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Path(name) => write!(f, "{{path.{name}}}"),
            Source::Query(name) => write!(f, "{{query.{name}}}"),
            Source::QueryRest => f.write_str("{query}"),
            Source::Header(name) => write!(f, "{{header.{name}}}"),
            Source::Cookie(name) => write!(f, "{{cookie.{name}}}"),
            Source::Host => f.write_str("{host}"),
            Source::Uri => f.write_str("{uri}"),
            Source::Jwt(names) => write!(f, "{{jwt.{}}}", names.join(".")),
            Source::Auth(names) => write!(f, "{{auth.{}}}", names.join(".")),
            Source::WholeBody => f.write_str("{body}"),
            Source::Body(names) => f.write_str(&show_place("body", names)),
            Source::Response(names) => f.write_str(&show_place("response", names)),
            Source::Before(names) => f.write_str(&show_place("before", names)),
        }
    }
}

/// A place in a document as it is written.
fn show_place(document: &str, names: &[String]) -> String {
    let place = names.join(".").replace(&format!(".{EACH}"), EACH);
    match place.starts_with(EACH) {
        true => format!("{{{document}{place}}}"),
        false => format!("{{{document}.{place}}}"),
    }
}

/// Where a template stands, which decides the sources it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// `key` of a route.
    RouteKey,
    /// `tags` of a route; also `response`.
    RouteTag,
    /// `key` of a route that answers requests with a body; also `body`, and the whole of it.
    KeyWithBody,
    /// `tags` of such a route.
    TagWithBody,
    /// `keys` and `tags` of a purge rule; also `body`, `response`, `before`, and `*` as a wildcard.
    Purge,
}

/// A rendered key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The key: what purges match; in lower case where the app ignores that of paths.
    pub text: String,
    /// How the request spelled its values where that is not the usual spelling (`%61` for `a`), so
    /// that requests the app could tell apart never share an answer; empty usually.
    pub form: String,
}

impl Key {
    /// The longest that is stored: longer ones cost more to index than their answers save.
    pub const MAX: usize = 4096;
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// Whether the values can be told apart in the text: a `:`, which no value holds, stands between
    /// each two of them.
    separated: bool,
    /// The names of the query fields it names, sorted.
    query_names: Vec<Name>,
    /// The header fields it names whose values are hashed: they may be secrets.
    hashed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `*` in a purge.
    AnyRun,
    Variable {
        source: Source,
        /// Escaped as a value is.
        default: Option<String>,
    },
}

/// The first variable of a key that the request lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Source);

impl Template {
    /// Parses `text`; `path_params` are the parameter names of the rule's path.
    pub fn parse(
        text: &str,
        site: Site,
        path_params: &[String],
    ) -> Result<Template, TemplateError> {
        parse::parse_parts(text, site, path_params).map(Template::of)
    }

    /// The default key: `{host}{uri}`.
    pub fn default_key() -> Template {
        let variable = |source| Part::Variable {
            source,
            default: None,
        };
        Template::of(vec![variable(Source::Host), variable(Source::Uri)])
    }

    fn of(parts: Vec<Part>) -> Template {
        Template {
            separated: are_separated(&parts),
            query_names: collect_query_names(&parts),
            hashed: secret_headers(&parts),
            parts,
        }
    }

    /// The same template with the values of these header fields hashed, beside those whose names show that
    /// they may be secrets.
    pub fn hashing(mut self, further: &[HeaderName]) -> Template {
        self.hashed
            .extend(further.iter().map(HeaderName::to_string));
        self
    }

    /// How many bytes of every key are what is written here: not of a value.
    pub fn fixed_length(&self) -> usize {
        let literals = self.parts.iter().map(|part| match part {
            Part::Literal(literal) => literal.len(),
            Part::AnyRun | Part::Variable { .. } => 0,
        });
        literals.sum()
    }

    /// The key of a request, or the first variable that it lacks and that has no default: such a request is
    /// not cached. Requests that differ in any value the template names have different keys (promise I1).
    pub fn render(&self, scope: &Scope<'_>) -> Result<Key, Missing> {
        let mut text = String::with_capacity(64);
        let mut query = Query::default();
        let reading = Reading::of(self, scope, &mut query);
        let mut usual =
            self.separated && reading.unnamed_params().next().is_none() && !reading.is_respelled();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::AnyRun => text.push('*'),
                Part::Variable { source, default } => {
                    usual &= reading.render(source, default.as_deref(), &mut text)?;
                }
            }
        }
        if scope.ignores_case() {
            // The form keeps apart what the text does not.
            usual &= !has_upper_case(&text);
            text.make_ascii_lowercase();
        }
        let form = match usual {
            true => String::new(),
            false => reading.render_form(),
        };
        Ok(Key { text, form })
    }

    /// The variables that the request lacks and that have no default.
    pub fn missing(&self, scope: &Scope<'_>) -> Vec<Source> {
        let mut query = Query::default();
        let reading = Reading::of(self, scope, &mut query);
        let mut text = String::new();
        let missing = self.parts.iter().filter_map(|part| match part {
            Part::Variable { source, default } => reading
                .render(source, default.as_deref(), &mut text)
                .err()
                .map(|missing| missing.0),
            Part::Literal(_) | Part::AnyRun => None,
        });
        missing.collect()
    }

    /// The keys that GETs of one URI render, for a write to it; `None` if no GET of it has a key.
    ///
    /// What does not come from the URI matches any value, such as a language. But where the key tells
    /// persons apart (`identity`: the fields that do), each has a resource of their own there, and a
    /// writer who says who it is writes to that one.
    pub fn of_uri(&self, scope: &Scope<'_>, identity: &[HeaderName]) -> Option<Pattern> {
        let mut query = Query::default();
        let reading = Reading::of(self, scope, &mut query);
        let mut pattern = PatternBuilder::default();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => pattern.push_literal(literal),
                Part::AnyRun => pattern.push_any_run(),
                Part::Variable { source, default } if source.is_of_the_uri() => {
                    let mut text = String::new();
                    reading.render(source, default.as_deref(), &mut text).ok()?;
                    pattern.push_literal(&text);
                }
                // Of those that have no body by their method, where the scope says so.
                Part::Variable {
                    source: Source::WholeBody,
                    ..
                } if scope.body_digest.is_some() => {
                    pattern.push_literal(scope.body_digest.unwrap_or_default());
                }
                Part::Variable { source, .. } => {
                    let own = source.is_identity(identity);
                    match own.then(|| reading.bind(source, None)).flatten() {
                        Some(text) => pattern.push_literal(&text),
                        None => pattern.push_any_value(),
                    }
                }
            }
        }
        let pattern = pattern.build();
        (!pattern.is_too_long()).then(|| pattern.in_case_of(scope))
    }
}

fn collect_query_names(parts: &[Part]) -> Vec<Name> {
    let names = parts.iter().filter_map(|part| match part {
        Part::Variable {
            source: Source::Query(name),
            ..
        } => Some(Name::of(name)),
        _ => None,
    });
    let mut names: Vec<Name> = names.collect();
    names.sort();
    names
}

fn secret_headers(parts: &[Part]) -> Vec<String> {
    let names = parts.iter().filter_map(|part| match part {
        Part::Variable {
            source: Source::Header(name),
            ..
        } => Some(name),
        _ => None,
    });
    let secret = names.filter(|name| *name == COOKIE.as_str() || may_be_secret(name));
    secret.cloned().collect()
}

fn are_separated(parts: &[Part]) -> bool {
    let mut pending: Option<&Source> = None;
    for part in parts {
        match part {
            Part::Literal(literal) if literal.contains(':') => pending = None,
            Part::Literal(_) | Part::AnyRun => {}
            Part::Variable { source, .. } => {
                // A host holds no raw `/`, and a URI begins with one.
                let host_and_uri = (pending, source) == (Some(&Source::Host), &Source::Uri);
                if pending.is_some() && !host_and_uri {
                    return false;
                }
                pending = Some(source);
            }
        }
    }
    true
}
