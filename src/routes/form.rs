//! Bodies of forms as templates read them: the names of fields in brackets or with dots nest, as apps in PHP, Rails
//! and ASP.NET read them, and a field that is there twice is a list.
//!
//! Whatever apps might read in two ways may be anything.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::json;
use super::multipart;

/// How deep names nest, so that what is made of them ends (promise I7).
const MAX_DEPTH: usize = 32;

/// A content type that forms have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'h> {
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `multipart/form-data`, with the text after its type.
    Multipart(&'h str),
    /// A form, but not clearly which.
    Unclear,
}

impl<'h> Form<'h> {
    /// What the fields of a request say; `None`: that its body is no form.
    pub fn of(headers: &'h HeaderMap) -> Option<Form<'h>> {
        let mut lines = headers.get_all(CONTENT_TYPE).into_iter();
        let first = lines.next()?.to_str().unwrap_or("multipart/form-data");
        let (kind, parameters) = first.split_once(';').unwrap_or((first, ""));
        let is = |name: &str| kind.trim().eq_ignore_ascii_case(name);
        let form = match (
            is("application/x-www-form-urlencoded"),
            is("multipart/form-data"),
        ) {
            (true, _) if is_utf8(parameters) => Form::UrlEncoded,
            (true, _) => Form::Unclear,
            (_, true) => Form::Multipart(parameters),
            _ => return None,
        };
        match lines.next() {
            Some(_) => Some(Form::Unclear),
            None => Some(form),
        }
    }

    /// The document that a body is.
    pub fn read(self, body: &[u8]) -> Value {
        match self {
            Form::UrlEncoded => read_urlencoded(body),
            Form::Multipart(parameters) => {
                let fields = multipart::fields(parameters, body);
                fields.map_or_else(json::unknown, |fields| nest(fields.into_iter()))
            }
            Form::Unclear => json::unknown(),
        }
    }
}

fn is_utf8(parameters: &str) -> bool {
    let charset = parameters
        .split(';')
        .find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then_some(value)
        })
        .map(|charset| charset.trim().trim_matches('"'));
    charset.is_none_or(|charset| {
        charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii")
    })
}

fn read_urlencoded(body: &[u8]) -> Value {
    // What `curl -d` sends has this type, whatever it is.
    if let Some(document) = json::parse(body) {
        let is_form_too = body.contains(&b'=') || body.contains(&b'&');
        return match is_form_too || !document.value.is_object() && !document.value.is_array() {
            true => json::unknown(),
            false => document.value,
        };
    }
    // Some part fields by it as well.
    if body.contains(&b';') {
        return json::unknown();
    }
    let fields = form_urlencoded::parse(body);
    nest(fields.map(|(name, value)| (name.into_owned(), Some(value.into_owned()))))
}

/// One document of fields; a text that is `None` may be anything.
fn nest(fields: impl Iterator<Item = (String, Option<String>)>) -> Value {
    let mut document = Value::Object(Map::new());
    for (name, text) in fields {
        let Some(names) = names_of(&name) else {
            return json::unknown();
        };
        // Bytes that are no UTF-8, of which apps make different texts.
        let text = text.filter(|text| !text.contains(char::REPLACEMENT_CHARACTER));
        let value = text.map_or_else(json::unknown, Value::String);
        add(&mut document, &names, value);
    }
    document
}

/// `task[tags][]` is `task`, `tags`, ``; so is `task.tags[0]`. `None`: it may be read in several ways.
fn names_of(name: &str) -> Option<Vec<&str>> {
    let (first, mut rest) = match name.find('[') {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let mut names: Vec<&str> = first.split('.').collect();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']')?;
            let is_place = inside.bytes().all(|byte| byte.is_ascii_digit());
            names.push(if is_place { "" } else { inside });
            rest = after;
        } else {
            // `items[0].id`
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (inside, after) = after.split_at(end);
            names.push(inside);
            rest = after;
        }
    }
    let is_clear = !name.contains(char::REPLACEMENT_CHARACTER) && names.len() <= MAX_DEPTH;
    is_clear.then_some(names)
}

/// Adds a value; under an empty name it is a member of a list, and so is one that comes again.
fn add(place: &mut Value, names: &[&str], value: Value) {
    let [name, rest @ ..] = names else {
        return match place {
            Value::Null => *place = value,
            Value::Array(items) => items.push(value),
            Value::Object(_) => *place = json::unknown(),
            before => *before = Value::Array(vec![before.take(), value]),
        };
    };
    if name.is_empty() {
        if place.is_null() {
            *place = Value::Array(Vec::new());
        }
        return match place {
            Value::Array(items) => add_item(items, rest, value),
            // As a list and as something else: apps take one of them.
            place => *place = json::unknown(),
        };
    }
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    match place {
        Value::Object(members) => match members.entry(*name) {
            Entry::Vacant(vacant) => {
                let mut member = Value::Null;
                add(&mut member, rest, value);
                vacant.insert(member);
            }
            Entry::Occupied(mut member) => add(member.get_mut(), rest, value),
        },
        place => *place = json::unknown(),
    }
}

/// A member of a list; fields of one object follow each other, until one comes again.
fn add_item(items: &mut Vec<Value>, names: &[&str], value: Value) {
    let belongs = match (items.last(), names) {
        (Some(Value::Object(last)), [name, ..]) => !name.is_empty() && !last.contains_key(*name),
        _ => false,
    };
    if !belongs {
        items.push(Value::Null);
    }
    if let Some(item) = items.last_mut() {
        add(item, names, value);
    }
}

#[cfg(test)]
mod tests;
