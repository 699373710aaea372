//! What a variable stands for in one request.

use http::HeaderMap;
use http::header::COOKIE;
use serde_json::Value;

use super::super::Scope;
use super::super::credentials::{names_a_person, names_a_person_in_auth};
use super::super::escape::{
    NEXT, UrlPart, decode, is_simple, is_usual, push, push_digest, push_text,
};
use super::super::json::{self, Member};
use super::super::query::{Field, Query};
use super::Source;
use super::reading::Reading;

/// Which of a value's spellings to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As the app reads it, for the text of a key.
    Decoded,
    /// As the request wrote it, for the form of a key: different for any two requests that differ
    /// in the variable at all.
    Raw,
}

/// A variable that the request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrittenValue {
    /// Whether the decoded spelling tells the raw one.
    pub(super) usual: bool,
    /// Whether there is one value and no doubt about which the app takes.
    pub(super) single: bool,
}

impl WrittenValue {
    const ONE: WrittenValue = WrittenValue {
        usual: true,
        single: true,
    };
}

/// Adds the value of `source`, escaped, to `out`; `None` and nothing added if the request lacks it.
pub(super) fn write_value(
    source: &Source,
    reading: &Reading<'_, '_>,
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    let scope = reading.scope;
    match source {
        Source::Path(name) => write_path(scope, name, spelling, out),
        Source::Query(name) => write_query(reading.query, name, spelling, out),
        Source::QueryRest => Some(write_query_rest(reading, spelling, out)),
        Source::Header(name) => write_header(reading, name, out),
        Source::Cookie(name) => write_cookie(scope.headers, name, spelling, out),
        Source::Host => Some(write_host(scope.host, out)),
        Source::Uri => Some(write_uri(scope, out)),
        Source::Jwt(names) if names_a_person(names) => {
            write_person(scope.claims, names, spelling, out)
        }
        Source::Jwt(names) => write_json(scope.claims, names, spelling, out),
        Source::Auth(names) if names_a_person_in_auth(names) => {
            write_person(scope.auth, names, spelling, out)
        }
        Source::Auth(names) => write_json(scope.auth, names, spelling, out),
        Source::WholeBody => {
            out.push_str(scope.body_digest?);
            Some(WrittenValue::ONE)
        }
        Source::Body(names) => write_json(scope.body, names, spelling, out),
        Source::Response(names) => write_json(scope.response, names, spelling, out),
        Source::Before(names) => write_json(scope.before, names, spelling, out),
    }
}

fn write_path(
    scope: &Scope<'_>,
    name: &str,
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    let (_, raw) = scope.params.iter().find(|(param, _)| *param == name)?;
    if is_simple(raw) {
        out.push_str(raw);
        return Some(WrittenValue::ONE);
    }
    match spelling {
        Spelling::Decoded => push(out, decode(raw, UrlPart::Path), b""),
        Spelling::Raw => push(out, raw.bytes(), b""),
    }
    Some(WrittenValue {
        usual: is_usual(raw, UrlPart::Path),
        single: true,
    })
}

fn write_query(
    query: &Query<'_>,
    name: &str,
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    let mut usual = true;
    let count = write_joined(out, query.named(name), |out, field| {
        let value = field.value().filter(|value| is_simple(value));
        if let (Spelling::Decoded, true, Some(value)) = (spelling, field.simple_name, value) {
            return out.push_str(value);
        }
        usual &= is_usual_field(field);
        match spelling {
            Spelling::Decoded => push(
                out,
                decode(field.value().unwrap_or(""), UrlPart::Query),
                b"",
            ),
            Spelling::Raw => push(out, field.raw.bytes(), b""),
        }
    });
    (count > 0).then_some(WrittenValue {
        usual,
        single: count == 1,
    })
}

/// All the fields that no `{query.name}` of the template takes. The order of fields with different
/// names is not kept: it is what `{query}` is there to level out.
fn write_query_rest(
    reading: &Reading<'_, '_>,
    spelling: Spelling,
    out: &mut String,
) -> WrittenValue {
    let mut usual = true;
    let fields = reading.query.fields();
    let rest = fields
        .filter(|field| !reading.template.names_query_field(field))
        .inspect(|field| usual &= is_usual_field(field));
    match spelling {
        Spelling::Raw => {
            write_joined(out, rest, |out, field| push(out, field.raw.bytes(), b""));
        }
        Spelling::Decoded => {
            for (index, field) in rest.enumerate() {
                if index > 0 {
                    out.push('&');
                }
                push(out, decode(field.name, UrlPart::Query), b"=&");
                out.push('=');
                let value = decode(field.value().unwrap_or(""), UrlPart::Query);
                push(out, value, b"=&");
            }
        }
    }
    WrittenValue {
        usual,
        single: true,
    }
}

fn is_usual_field(field: &Field<'_>) -> bool {
    is_usual(field.name, UrlPart::Query)
        && field
            .value()
            .is_some_and(|value| is_usual(value, UrlPart::Query))
}

fn write_header(reading: &Reading<'_, '_>, name: &str, out: &mut String) -> Option<WrittenValue> {
    let secret = reading.template.hashed.iter().any(|hashed| hashed == name);
    let lines = reading.scope.headers.get_all(name);
    let count = write_joined(out, lines, |out, line| match secret {
        true => push_digest(out, line.as_bytes()),
        false => push(out, line.as_bytes().iter().copied(), b""),
    });
    (count > 0).then_some(WrittenValue {
        usual: true,
        single: count == 1,
    })
}

fn write_cookie(
    headers: &HeaderMap,
    name: &str,
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    let (mut usual, mut has_values) = (true, true);
    let count = write_joined(out, cookies(headers, name), |out, cookie| {
        usual &= cookie.plain_name;
        has_values &= cookie.value.is_some();
        match spelling {
            Spelling::Decoded => push_digest(out, cookie.value.unwrap_or_default()),
            Spelling::Raw => push_digest(out, cookie.pair),
        }
    });
    (count > 0).then_some(WrittenValue {
        usual,
        single: count == 1 && has_values,
    })
}

/// The raw values of the cookies of that name, in order.
pub(crate) fn cookie_values<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'h [u8]> {
    cookies(headers, name).map(|cookie| cookie.value.unwrap_or_default())
}

/// One pair of a `Cookie` field.
struct Cookie<'h> {
    /// All of it but the whitespace before.
    pair: &'h [u8],
    /// As received: an app may read quotes and spaces as part of it. `None`: there is no `=`, and what apps make of that
    /// differs, from an empty value to no cookie at all.
    value: Option<&'h [u8]>,
    /// Whether the name is written without whitespace behind it, and with a value.
    plain_name: bool,
}

/// The cookies of that name, in order, from all `Cookie` lines (RFC 6265 §4.2.1, read leniently): each pair whose own name
/// [`crate::http_cache::vary::names_in`] finds to be that, so that the key has whatever counts as carried by it.
fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = Cookie<'h>> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |piece| {
            let pair = piece.trim_ascii_start();
            let equals = pair.iter().position(|byte| *byte == b'=');
            let written = &pair[..equals.unwrap_or(pair.len())];
            (written.trim_ascii_end() == name.as_bytes()).then(|| Cookie {
                pair,
                value: equals.map(|equals| &pair[equals + 1..]),
                plain_name: equals.is_some() && written.len() == name.len(),
            })
        })
}

/// The separator of path and host, `/`, is escaped: no host has one, and `{host}{uri}` relies on it.
fn write_host(host: &str, out: &mut String) -> WrittenValue {
    match is_simple(host) && !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => out.push_str(host),
        false => {
            let lower = host.bytes().map(|byte| byte.to_ascii_lowercase());
            push(out, lower, b"/");
        }
    }
    WrittenValue::ONE
}

fn write_uri(scope: &Scope<'_>, out: &mut String) -> WrittenValue {
    let path = scope.spelling.map(|spelling| spelling.usual(scope.path));
    push_text(out, path.as_deref().unwrap_or(scope.path), b"?");
    if let Some(query) = scope.query {
        out.push('?');
        push_text(out, query, b"");
    }
    WrittenValue {
        usual: scope.path.starts_with('/'),
        single: true,
    }
}

/// As [`write_json`], of what names a person: what stands for nobody counts as absent.
fn write_person(
    document: Option<&Value>,
    names: &[String],
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    let is_nobody =
        matches!(json::member(document, names), Member::One(value) if json::is_nobody(value));
    match is_nobody {
        true => None,
        false => write_json(document, names, spelling, out),
    }
}

/// Texts, exact numbers and flags are values; all else counts as absent.
fn write_json(
    document: Option<&Value>,
    names: &[String],
    spelling: Spelling,
    out: &mut String,
) -> Option<WrittenValue> {
    match json::member(document, names) {
        Member::One(value) => Some(write_member(value, spelling, out)),
        Member::Absent | Member::Composite | Member::Unknown => None,
    }
}

/// Adds one value of a document.
pub(super) fn write_member(value: &Value, spelling: Spelling, out: &mut String) -> WrittenValue {
    let is_text = value.is_string();
    if is_text && spelling == Spelling::Raw {
        out.push('"');
    }
    push(out, json::text(value).bytes(), b"");
    // A purge bound to `42` is to find `"42"`; the two share a text, and the string is the usual.
    WrittenValue {
        usual: is_text,
        single: true,
    }
}

/// Writes each item, with the sign for "next value" between; returns how many there were.
fn write_joined<I: IntoIterator>(
    out: &mut String,
    items: I,
    mut write: impl FnMut(&mut String, I::Item),
) -> usize {
    let mut count = 0;
    for item in items {
        if count > 0 {
            out.push_str(NEXT);
        }
        write(out, item);
        count += 1;
    }
    count
}
