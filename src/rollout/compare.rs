//! What two answers to one question differ in, told without what they say: as the status, the name of a field, or a JSON
//! pointer (RFC 6901) with `*` for what is one of many.

use std::collections::BTreeSet;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use crate::routes::is_word;

/// The most differences of one comparison that are told.
const MAX_TOLD: usize = 16;

/// An answer, its content coding undone.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: &'r HeaderMap,
    /// The body.
    pub body: &'r [u8],
}

/// What a difference is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Of the body's JSON, what may differ.
    pub ignored: Vec<Pointer>,
    /// Fields that are compared.
    pub fields: Vec<HeaderName>,
}

/// A JSON pointer, in which `*` is any one member or element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Of `/items/*/views`; `None`: it does not begin with a slash.
    pub fn parse(text: &str) -> Option<Pointer> {
        let rest = text.strip_prefix('/')?;
        Some(Pointer(rest.split('/').map(unescape).collect()))
    }

    /// As it was written.
    pub fn show(&self) -> String {
        let escaped = self
            .0
            .iter()
            .map(|name| name.replace('~', "~0").replace('/', "~1"));
        escaped.map(|name| format!("/{name}")).collect()
    }

    fn covers(&self, path: &[Step<'_>]) -> bool {
        self.0.len() == path.len()
            && self.0.iter().zip(path).all(|(wanted, step)| match step {
                _ if wanted == "*" => true,
                Step::Member(name) => wanted == name,
                Step::Element(index) => *wanted == index.to_string(),
            })
    }
}

impl Compared {
    /// What may differ, in the file's spelling.
    pub fn show_ignored(&self) -> String {
        let shown: Vec<String> = self.ignored.iter().map(Pointer::show).collect();
        shown.join(" ")
    }

    /// The fields.
    pub fn show_fields(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(HeaderName::as_str).collect();
        names.join(" ")
    }
}

/// A step down into a document.
#[derive(Clone, Copy, Debug)]
enum Step<'d> {
    Member(&'d str),
    Element(usize),
}

/// What `one` and `other` differ in, of what is compared; empty: nothing.
pub fn compare(one: Reply<'_>, other: Reply<'_>, compared: &Compared) -> Vec<String> {
    let mut told = BTreeSet::new();
    if one.status != other.status {
        told.insert("status".to_owned());
    }
    for name in &compared.fields {
        let values = |reply: Reply<'_>| -> Vec<Vec<u8>> {
            let values = reply.fields.get_all(name).iter();
            values.map(|value| value.as_bytes().to_vec()).collect()
        };
        if values(one) != values(other) {
            told.insert(format!("field {name}"));
        }
    }
    if one.body != other.body {
        match document(one).zip(document(other)) {
            Some((one, other)) => walk(&one, &other, &mut Vec::new(), compared, &mut told),
            None => {
                told.insert("body".to_owned());
            }
        }
    }
    told.into_iter().take(MAX_TOLD).collect()
}

/// The body as JSON, if it says that it is.
fn document(reply: Reply<'_>) -> Option<Value> {
    let media_type = reply.fields.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = media_type.split(';').next()?.trim().to_ascii_lowercase();
    let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
    is_json.then(|| serde_json::from_slice(reply.body).ok())?
}

fn walk<'d>(
    one: &'d Value,
    other: &'d Value,
    path: &mut Vec<Step<'d>>,
    compared: &Compared,
    told: &mut BTreeSet<String>,
) {
    if one == other || compared.ignored.iter().any(|ignored| ignored.covers(path)) {
        return;
    }
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                // What is absent differs from null.
                let sides = (one.get(name), other.get(name));
                let (Some(one), Some(other)) = sides else {
                    path.push(Step::Member(name));
                    if !compared.ignored.iter().any(|ignored| ignored.covers(path)) {
                        told.insert(tell(path));
                    }
                    path.pop();
                    continue;
                };
                path.push(Step::Member(name));
                walk(one, other, path, compared, told);
                path.pop();
            }
        }
        (Value::Array(ones), Value::Array(others)) => {
            if ones.len() != others.len() {
                told.insert(tell(path));
            }
            for (index, (one, other)) in ones.iter().zip(others).enumerate() {
                path.push(Step::Element(index));
                walk(one, other, path, compared, told);
                path.pop();
            }
        }
        _ => {
            told.insert(tell(path));
        }
    }
}

/// As a pointer. A member whose name looks like one of many, an id or an address, is told as any: names can say who it is.
fn tell(path: &[Step<'_>]) -> String {
    if path.is_empty() {
        return "body".to_owned();
    }
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Member(name) if is_word(name) => pointer.push_str(name),
            Step::Member(_) | Step::Element(_) => pointer.push('*'),
        }
    }
    pointer
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it shows, the two documents, what is ignored and what is told.
    type Row = (
        &'static str,
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    );

    fn fields(kind: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, kind.parse().expect("a value"));
        fields
    }

    fn differences(one: &str, other: &str, ignored: &[&str]) -> Vec<String> {
        let json = fields("application/json; charset=utf-8");
        let reply = |body| Reply {
            status: StatusCode::OK,
            fields: &json,
            body,
        };
        let ignored = ignored
            .iter()
            .map(|text| Pointer::parse(text).expect("a pointer"));
        let compared = Compared {
            ignored: ignored.collect(),
            fields: vec![CONTENT_TYPE],
        };
        compare(reply(one.as_bytes()), reply(other.as_bytes()), &compared)
    }

    #[test]
    fn documents() {
        #[rustfmt::skip]
        let rows: [Row; 15] = [
            ("the same", r#"{"a":1}"#, r#"{"a":1}"#, &[], &[]),
            ("another order and spaces", r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#, &[], &[]),
            ("a member", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, &[], &["/b"]),
            ("deep in a list", r#"{"items":[{"n":1},{"n":2}]}"#, r#"{"items":[{"n":1},{"n":3}]}"#, &[], &["/items/*/n"]),
            ("told once for all elements", r#"[{"n":1},{"n":2}]"#, r#"[{"n":3},{"n":4}]"#, &[], &["/*/n"]),
            ("a longer list", r#"{"l":[1]}"#, r#"{"l":[1,2]}"#, &[], &["/l"]),
            ("absent is not null", r#"{"a":null}"#, "{}", &[], &["/a"]),
            ("a member that is ignored", r#"{"at":1}"#, r#"{"at":2}"#, &["/at"], &[]),
            ("a member that is ignored and absent", r#"{"at":1}"#, "{}", &["/at"], &[]),
            ("any element's", r#"{"l":[{"v":1},{"v":2}]}"#, r#"{"l":[{"v":3},{"v":4}]}"#, &["/l/*/v"], &[]),
            ("one element's", r#"{"l":[{"v":1},{"v":2}]}"#, r#"{"l":[{"v":3},{"v":4}]}"#, &["/l/0/v"], &["/l/*/v"]),
            ("what is ignored ends there", r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#, &["/b"], &["/a/b"]),
            ("a whole branch", r#"{"a":{"b":1,"c":1}}"#, r#"{"a":{"b":2,"c":3}}"#, &["/a"], &[]),
            ("names that are values are not told", r#"{"ann@example.com":1}"#, r#"{"ann@example.com":2}"#, &[], &["/*"]),
            ("another kind", "[]", "{}", &[], &["body"]),
        ];
        for (case, one, other, ignored, expected) in rows {
            assert_eq!(differences(one, other, ignored), expected, "{case}");
            assert_eq!(differences(other, one, ignored), expected, "{case}, turned");
        }
        assert_eq!(differences("{", "[", &[]), ["body"], "no JSON");
    }

    #[test]
    fn status_fields_and_other_bodies() {
        let (text, html) = (fields("text/plain"), fields("text/html"));
        let reply = |status, fields, body: &'static str| Reply {
            status,
            fields,
            body: body.as_bytes(),
        };
        let compared = Compared {
            ignored: Vec::new(),
            fields: vec![CONTENT_TYPE],
        };
        let base = reply(StatusCode::OK, &text, "a");
        #[rustfmt::skip]
        let rows: [(&str, Reply<'_>, &[&str]); 4] = [
            ("the same", base, &[]),
            ("another status", reply(StatusCode::NOT_FOUND, &text, "a"), &["status"]),
            ("another field", reply(StatusCode::OK, &html, "a"), &["field content-type"]),
            ("another text", reply(StatusCode::OK, &text, "b"), &["body"]),
        ];
        for (case, other, expected) in rows {
            assert_eq!(compare(base, other, &compared), expected, "{case}");
        }
        let none = compare(
            base,
            reply(StatusCode::OK, &html, "a"),
            &Compared::default(),
        );
        assert!(none.is_empty(), "a field that is not compared");
    }

    #[test]
    fn what_is_told_is_bounded_and_never_a_value() {
        let document = |secret: &str| {
            let members: Vec<String> = ('a'..='z')
                .map(|c| format!("\"{c}\":\"{secret}\""))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        let told = differences(&document("hunter2"), &document("swordfish"), &[]);
        assert_eq!(told.len(), MAX_TOLD);
        let told = told.join(" ");
        assert!(
            !told.contains("hunter") && !told.contains("sword"),
            "{told}"
        );
    }

    #[test]
    fn pointers() {
        assert_eq!(Pointer::parse("items"), None);
        let escaped = Pointer::parse("/a~1b/~0c").expect("a pointer");
        assert!(escaped.covers(&[Step::Member("a/b"), Step::Member("~c")]));
        assert!(!escaped.covers(&[Step::Member("a/b")]));
    }
}
