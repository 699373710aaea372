//! Reading templates: every error says where it is and what to write instead.

use http::HeaderName;

use super::super::escape::push;
use super::super::json::EACH;
use super::{Part, Site, Source};

/// The sources and how each is written.
const SOURCES: [(&str, &str); 11] = [
    ("path", "{path.NAME}"),
    ("query", "{query.NAME} or {query}"),
    ("header", "{header.NAME}"),
    ("cookie", "{cookie.NAME}"),
    ("host", "{host}"),
    ("uri", "{uri}"),
    ("jwt", "{jwt.CLAIM}"),
    ("auth", "{auth.FIELD}"),
    ("body", "{body}, {body.FIELD} or {body.LIST[].FIELD}"),
    ("response", "{response.FIELD} or {response.LIST[].FIELD}"),
    ("before", "{before.FIELD} or {before.LIST[].FIELD}"),
];

/// Why a template could not be parsed; each says what to write instead. Positions count characters
/// from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No text at all.
    #[error("the template is empty; write for example \"user:{{path.id}}\"")]
    Empty,
    /// `{` without `}`.
    #[error("`{{` at position {position} is never closed; add `}}`")]
    Unclosed {
        /// Of the `{`.
        position: usize,
    },
    /// `}` without `{`, or `{` inside braces.
    #[error(
        "stray `{brace}` at position {position}; write variables as {{path.id}}, in single braces"
    )]
    StrayBrace {
        /// Of the brace.
        position: usize,
        /// The brace.
        brace: char,
    },
    /// A source there is none of.
    #[error("unknown source `{name}` at position {position}; {hint}")]
    UnknownSource {
        /// Of the `{`.
        position: usize,
        /// As written.
        name: String,
        /// The nearest source, or all of them.
        hint: String,
    },
    /// The source is right and what follows it is not.
    #[error("`{{{variable}}}` at position {position}: {remedy}")]
    BadVariable {
        /// Of the `{`.
        position: usize,
        /// Between the braces.
        variable: String,
        /// What to write.
        remedy: String,
    },
    /// A source that the site does not offer.
    #[error("`{{{variable}}}` at position {position}: {reason}")]
    NotHere {
        /// Of the `{`.
        position: usize,
        /// Between the braces.
        variable: String,
        /// Where the source may be used.
        reason: String,
    },
    /// A path parameter that the rule's path does not have.
    #[error("`{{path.{name}}}` at position {position}: {hint}")]
    UnknownParam {
        /// Of the `{`.
        position: usize,
        /// As written.
        name: String,
        /// What the path has.
        hint: String,
    },
    /// `*` outside a purge rule.
    #[error(
        "`*` at position {position} would act as a wildcard in purges; leave it out, or use a variable"
    )]
    Wildcard {
        /// Of the `*`.
        position: usize,
    },
    /// Whitespace, a control character or non-ASCII in the literal text.
    #[error(
        "{character:?} at position {position} cannot stand in a key; use printable ASCII without spaces"
    )]
    BadLiteral {
        /// Of the character.
        position: usize,
        /// The character.
        character: char,
    },
}

pub(super) fn parse_parts(
    text: &str,
    site: Site,
    path_params: &[String],
) -> Result<Vec<Part>, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut position = 1;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let taken = match character {
            '{' => {
                flush(&mut literal, &mut parts);
                let inside = take_braces(rest, position)?;
                parts.push(parse_variable(inside, position, site, path_params)?);
                inside.len() + 2
            }
            '*' if site == Site::Purge => {
                flush(&mut literal, &mut parts);
                parts.push(Part::AnyRun);
                1
            }
            _ => {
                literal.push(check_literal(character, position)?);
                1
            }
        };
        position += rest[..taken].chars().count();
        rest = &rest[taken..];
    }
    flush(&mut literal, &mut parts);
    Ok(parts)
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal)));
    }
}

fn check_literal(character: char, position: usize) -> Result<char, TemplateError> {
    match character {
        '}' => Err(TemplateError::StrayBrace {
            position,
            brace: '}',
        }),
        '*' => Err(TemplateError::Wildcard { position }),
        _ if character.is_ascii_graphic() => Ok(character),
        _ => Err(TemplateError::BadLiteral {
            position,
            character,
        }),
    }
}

/// `rest` begins with `{`.
fn take_braces(rest: &str, position: usize) -> Result<&str, TemplateError> {
    let inside = &rest[1..];
    let Some(end) = inside.find(['{', '}']) else {
        return Err(TemplateError::Unclosed { position });
    };
    if inside[end..].starts_with('{') {
        return Err(TemplateError::StrayBrace {
            position: position + 1 + inside[..end].chars().count(),
            brace: '{',
        });
    }
    Ok(&inside[..end])
}

fn parse_variable(
    inside: &str,
    position: usize,
    site: Site,
    path_params: &[String],
) -> Result<Part, TemplateError> {
    let (written, default) = match inside.split_once('|') {
        Some((written, default)) => (written, Some(default)),
        None => (inside, None),
    };
    let source = parse_name(written, position)?;
    check_site(&source, site, position, written)?;
    if let Source::Path(name) = &source {
        check_param(name, position, path_params)?;
    }
    let default = default.map(|default| {
        let mut escaped = String::new();
        push(&mut escaped, default.bytes(), b"");
        escaped
    });
    Ok(Part::Variable { source, default })
}

pub(super) fn parse_name(written: &str, position: usize) -> Result<Source, TemplateError> {
    let (kind, name) = match written.split_once('.') {
        Some((kind, name)) => (kind, Some(name)),
        None => (written, None),
    };
    parse_source(kind, name, position, written)
}

fn parse_source(
    kind: &str,
    name: Option<&str>,
    position: usize,
    written: &str,
) -> Result<Source, TemplateError> {
    let bad = |remedy: String| TemplateError::BadVariable {
        position,
        variable: written.to_owned(),
        remedy,
    };
    let nested = |name: &str| {
        if name.split('.').any(str::is_empty) {
            return Err(bad(EMPTY_NAME.to_owned()));
        }
        if name.split('.').any(is_place_in_list) {
            return Err(bad(OF_NO_LIST.to_owned()));
        }
        Ok(name.split('.').map(str::to_owned).collect())
    };
    let place = |document: fn(Vec<String>) -> Source| {
        let place = parse_place(kind.ends_with(EACH), name);
        place.map(document).map_err(|remedy| bad(remedy.to_owned()))
    };
    match (kind, name) {
        ("path", Some(name)) if !name.is_empty() => Ok(Source::Path(name.to_owned())),
        ("query", Some(name)) if !name.is_empty() => Ok(Source::Query(name.to_owned())),
        ("query", None) => Ok(Source::QueryRest),
        ("header", Some(name)) if !name.is_empty() => name
            .parse::<HeaderName>()
            .map(|name| Source::Header(name.as_str().to_owned()))
            .map_err(|_| bad(format!("`{name}` cannot be the name of a header field"))),
        ("cookie", Some(name)) if !name.is_empty() => match name.contains(['=', ';', ' ', '\t']) {
            true => Err(bad(format!("`{name}` cannot be the name of a cookie"))),
            false => Ok(Source::Cookie(name.to_owned())),
        },
        ("host", None) => Ok(Source::Host),
        ("uri", None) => Ok(Source::Uri),
        ("jwt", Some(name)) => nested(name).map(Source::Jwt),
        ("auth", Some(name)) => nested(name).map(Source::Auth),
        ("body", None) => Ok(Source::WholeBody),
        ("body", Some(_)) | ("body[]", _) => place(Source::Body),
        ("response", Some(_)) | ("response[]", _) => place(Source::Response),
        ("before", Some(_)) | ("before[]", _) => place(Source::Before),
        _ => Err(match SOURCES.iter().find(|(source, _)| *source == kind) {
            Some((_, usage)) => bad(format!("write {usage}")),
            None => TemplateError::UnknownSource {
                position,
                name: kind.to_owned(),
                hint: did_you_mean(kind, SOURCES.iter().map(|(source, _)| *source), "known are"),
            },
        }),
    }
}

/// The names of a place in a document, lists marked; or what to write instead.
fn parse_place(is_list: bool, written: Option<&str>) -> Result<Vec<String>, &'static str> {
    let mut names = Vec::from_iter(is_list.then(|| EACH.to_owned()));
    for written in written.iter().flat_map(|written| written.split('.')) {
        let name = written.strip_suffix(EACH).unwrap_or(written);
        if name.is_empty() {
            return Err(EMPTY_NAME);
        }
        if is_place_in_list(name) {
            return Err(OF_EACH);
        }
        names.push(name.to_owned());
        names.extend((name != written).then(|| EACH.to_owned()));
    }
    Ok(names)
}

const EMPTY_NAME: &str = "a name between dots is empty";
const OF_NO_LIST: &str = "a variable is one text or number, so nothing is read out of a list; name a member that is \
                          no list, or put what the list belongs to into the key";
const OF_EACH: &str =
    "no single place of a list can be named; write items[] for each of its members";

/// `items[0]`, `0` or `*`, as other languages have it.
fn is_place_in_list(name: &str) -> bool {
    name.contains(['[', ']']) || name == "*" || name.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_site(
    source: &Source,
    site: Site,
    position: usize,
    written: &str,
) -> Result<(), TemplateError> {
    let reason = match (source, site) {
        (Source::WholeBody | Source::Body(_), Site::RouteKey | Site::RouteTag) => {
            "a route answers GETs, which have no body; `body` is for [[purge]] rules, and for routes with \
             methods = [\"POST\"] or [\"QUERY\"]"
        }
        (Source::WholeBody, Site::Purge) => {
            "no write has the body of a read; write `*` for any, and {body.FIELD} for what the write says"
        }
        (
            Source::Before(_),
            Site::RouteKey | Site::RouteTag | Site::KeyWithBody | Site::TagWithBody,
        ) => "only a write has something before it; `before` is for [[purge]] rules",
        (Source::Response(_), Site::RouteKey | Site::KeyWithBody) => {
            "the key is needed before there is an answer; `response` is for tags and [[purge]] rules"
        }
        _ => return Ok(()),
    };
    Err(TemplateError::NotHere {
        position,
        variable: written.to_owned(),
        reason: reason.to_owned(),
    })
}

fn check_param(name: &str, position: usize, path_params: &[String]) -> Result<(), TemplateError> {
    if path_params.iter().any(|param| param == name) {
        return Ok(());
    }
    let hint = match path_params {
        [] => format!("the rule's path has no parameters; write it as /…/{{{name}}}"),
        _ => did_you_mean(name, path_params.iter().map(String::as_str), "the path has"),
    };
    Err(TemplateError::UnknownParam {
        position,
        name: name.to_owned(),
        hint,
    })
}

fn did_you_mean<'k>(
    written: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    introduction: &str,
) -> String {
    const NEAR: f64 = 0.75;
    let all = known.clone().collect::<Vec<_>>().join(", ");
    let written = written.trim().to_ascii_lowercase();
    let nearest = known
        .map(|name| (strsim::jaro_winkler(&written, name), name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(similarity, _)| *similarity >= NEAR);
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`? {introduction}: {all}"),
        None => format!("{introduction}: {all}"),
    }
}
