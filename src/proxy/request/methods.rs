//! The method of a request, and those that frameworks let it put in its place: a request counts as one of each.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::context::RequestContext;
use super::present::Present;
use crate::http_cache::invalidation;
use crate::routes::Form;
use crate::routes::json::{self, Lists, Member};

/// Header fields by which frameworks take a request for one of another method, and to ASP.NET fields of the query and of
/// forms as well, in any case.
const OVERRIDING: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];
/// The field of a query, a form or a JSON object that does the same.
const FIELD: &str = "_method";

/// The name of a method for labels, the log and what is remembered of writes; `other` of those that no standard names:
/// clients choose them, and how long they are.
pub fn name_of(method: &Method) -> &str {
    const KNOWN: [&str; 24] = [
        "ACL",
        "BAN",
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "QUERY",
        "REPORT",
        "TRACE",
        "UNLINK",
        "UNLOCK",
    ];
    let name = method.as_str();
    match KNOWN.contains(&name) {
        true => name,
        false => "other",
    }
}

/// The method, then those that fields and the query say in its place.
pub fn methods_of(parts: &Parts) -> Vec<Method> {
    let fields = OVERRIDING
        .iter()
        .flat_map(|name| parts.headers.get_all(*name));
    let by_fields = fields.filter_map(|method| parse(method.as_bytes()));
    let others = by_fields.chain(of_query(parts.uri.query()));
    std::iter::once(parts.method.clone())
        .chain(others.filter(|method| *method != parts.method))
        .collect()
}

/// Whether a GET or HEAD may be something else to the app.
pub fn is_disguised(context: &RequestContext) -> bool {
    let may_be = context.present.has(Present::TARGET) || context.parts.uri.query().is_some();
    let reads = [Method::GET, Method::HEAD];
    may_be
        && methods_of(&context.parts)
            .iter()
            .any(|method| !reads.contains(method))
}

/// The method, or the first that is not safe of those in its place: what the request may be at worst.
pub fn acting_method(parts: &Parts) -> Method {
    let mut all = methods_of(parts).into_iter();
    let unsafe_one = all.find(|method| !invalidation::is_safe(method));
    unsafe_one.unwrap_or_else(|| parts.method.clone())
}

/// The query without the fields that say a method; `None`: there are none.
pub fn query_without_method(query: &str) -> Option<String> {
    let says_method = |field: &&str| {
        form_urlencoded::parse(field.as_bytes()).any(|(name, _)| names_method(&name))
    };
    let fields = query.split('&');
    let rest: Vec<&str> = fields.clone().filter(|field| !says_method(field)).collect();
    (rest.len() < fields.count()).then(|| rest.join("&"))
}

/// Whether the body may put another method in the place of POST: a form, or JSON, whose members some frameworks take for
/// fields of one.
pub fn may_be_in_body(parts: &Parts) -> bool {
    parts.method == Method::POST && (Form::of(&parts.headers).is_some() || is_json(&parts.headers))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    types.any(|line| {
        let line = line.as_bytes().to_ascii_lowercase();
        line.windows(5)
            .any(|part| matches!(part, b"/json" | b"+json"))
    })
}

/// The methods that the body says in place of the request's own; `None`: it could not be read, so that it may say any.
pub fn of_body(parts: &Parts, body: Option<&Value>) -> Option<Vec<Method>> {
    if !may_be_in_body(parts) {
        return Some(Vec::new());
    }
    let others = body.and_then(Value::as_object).into_iter().flatten();
    let others = others.map(|(name, _)| name.as_str());
    let others = others.filter(|name| *name != FIELD && names_method(name));
    let mut methods = Vec::new();
    for name in std::iter::once(FIELD).chain(others) {
        for member in json::members(body, &[name.to_owned()], Lists::Each) {
            match member {
                Member::One(value) => methods.extend(parse(json::text(value).as_bytes())),
                Member::Absent => {}
                Member::Composite | Member::Unknown => return None,
            }
        }
    }
    methods.retain(|method| *method != parts.method);
    Some(methods)
}

/// As [`of_body`], of a request that its route answers by the body. Of JSON that could not be read, as of coded, the route says
/// enough: those are reads.
pub fn of_body_of_read(parts: &Parts, body: Option<&Value>) -> Option<Vec<Method>> {
    of_body(parts, body).or_else(|| Form::of(&parts.headers).is_none().then(Vec::new))
}

fn of_query(query: Option<&str>) -> Vec<Method> {
    let may_name = |query: &&str| {
        let mut words = query.as_bytes().windows(6);
        words.any(|word| word.eq_ignore_ascii_case(b"method")) || query.contains('%')
    };
    let Some(query) = query.filter(may_name) else {
        return Vec::new();
    };
    let fields = form_urlencoded::parse(query.as_bytes());
    let fields = fields.filter(|(name, _)| names_method(name));
    fields
        .filter_map(|(_, method)| parse(method.as_bytes()))
        .collect()
}

/// Whether the field of a query or a form with this name says a method in place of the request's own.
fn names_method(name: &str) -> bool {
    name == FIELD
        || OVERRIDING
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field))
}

fn parse(written: &[u8]) -> Option<Method> {
    Method::from_bytes(&written.trim_ascii().to_ascii_uppercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_labels() {
        for method in ["GET", "POST", "QUERY", "PROPFIND", "PURGE"] {
            let parsed = Method::from_bytes(method.as_bytes()).expect(method);
            assert_eq!(name_of(&parsed), method);
        }
        for method in ["FROB", "POSTX", &"A".repeat(60_000)] {
            let parsed = Method::from_bytes(method.as_bytes()).expect(method);
            assert_eq!(name_of(&parsed), "other");
        }
    }
}
