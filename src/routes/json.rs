//! JSON as templates and conditions read it: what stands at a place, and what is in doubt.
//!
//! Of two members of one name some parsers take the first and others the last (RFC 8259 §4). What the app takes
//! is not known here, so neither counts.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// A document in which what a doubled member stands for is in doubt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Whether any member is doubled.
    pub is_ambiguous: bool,
}

/// Reads a document; `None` if it is no JSON.
pub fn parse(bytes: &[u8]) -> Option<Document> {
    serde_json::from_slice(bytes).ok()
}

/// What may be anything: a document that was not read, or a doubled member. It is a number that was rounded, since
/// such a number is in doubt wherever one stands.
pub fn unknown() -> Value {
    Number::from_f64(f64::MAX).map_or(Value::Null, Value::Number)
}

/// What stands at a place of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Member<'d> {
    /// Nothing, or null.
    Absent,
    /// A text, a flag, or a number that is exact.
    One(&'d Value),
    /// An object, or a list where lists stand for nothing.
    Composite,
    /// What may be anything; also what is named of a list where lists stand for nothing.
    Unknown,
}

/// What a list on the way to a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Nothing: a key has one value.
    Composite,
    /// Each of its members.
    Each,
}

/// How a list is marked in names: `items[].id` is `items`, `[]`, `id`.
pub(super) const EACH: &str = "[]";

/// All that stands at `names`; nothing if that is a list without members.
pub fn members<'d>(document: Option<&'d Value>, names: &[String], lists: Lists) -> Vec<Member<'d>> {
    let mut found = Vec::new();
    match document {
        Some(document) => gather(document, names, lists, &mut found),
        None => found.push(Member::Absent),
    }
    found
}

/// The one that stands at `names`.
pub(super) fn member<'d>(document: Option<&'d Value>, names: &[String]) -> Member<'d> {
    let found = members(document, names, Lists::Composite);
    found.first().copied().unwrap_or(Member::Unknown)
}

fn gather<'d>(value: &'d Value, names: &[String], lists: Lists, found: &mut Vec<Member<'d>>) {
    let mut value = value;
    for (at, name) in names.iter().enumerate() {
        match value {
            Value::Array(items) => return gather_each(items, &names[at..], lists, found),
            // Also of what is no list: a form with one field of a list spells it as if it were none.
            _ if name == EACH => {}
            Value::Object(members) => value = members.get(name).unwrap_or(&Value::Null),
            Value::Number(number) if !is_exact(number) => return found.push(Member::Unknown),
            _ => return found.push(Member::Absent),
        }
    }
    found.push(match value {
        Value::Array(items) => return gather_each(items, &[], lists, found),
        Value::Object(_) => Member::Composite,
        Value::Null => Member::Absent,
        // Two may share a number that was rounded when it was read.
        Value::Number(number) if !is_exact(number) => Member::Unknown,
        Value::Number(_) | Value::String(_) | Value::Bool(_) => Member::One(value),
    });
}

fn gather_each<'d>(
    items: &'d [Value],
    names: &[String],
    lists: Lists,
    found: &mut Vec<Member<'d>>,
) {
    let names = match names {
        [mark, rest @ ..] if mark == EACH => rest,
        names => names,
    };
    match lists {
        Lists::Composite if names.is_empty() => found.push(Member::Composite),
        Lists::Composite => found.push(Member::Unknown),
        Lists::Each => items
            .iter()
            .for_each(|item| gather(item, names, lists, found)),
    }
}

/// The text of a [`Member::One`], as it would stand in a URL.
pub fn text(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Whether a value says that there is none, though something is there.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let text = text.trim();
            ["", "0", "nil", "none", "null", "undefined"]
                .iter()
                .any(|nothing| text.eq_ignore_ascii_case(nothing))
        }
        Value::Number(number) => number.as_f64().is_none_or(|number| number <= 0.0),
        Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether what is to name one person stands for nobody: apps give it to all who are not logged in.
pub fn is_nobody(value: &Value) -> bool {
    is_nothing(value) || matches!(value, Value::String(text) if names_nobody(text))
}

/// Letters and digits of the longest word for nobody.
const LONGEST: usize = 16;

/// Zero and less in any spelling, the nil and the max UUID (RFC 9562 §5.9, §5.10), nothing but signs, and words for nobody
/// in any spelling, also as the name in an e-mail address or behind other words (`user:undefined`).
pub(super) fn names_nobody(text: &str) -> bool {
    let text = text.trim();
    if text
        .parse::<f64>()
        .is_ok_and(|number| number.is_nan() || number <= 0.0)
    {
        return true;
    }
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let are_all = |same: char| letters(text).all(|letter| letter.eq_ignore_ascii_case(&same));
    // Also of a text without any.
    if are_all('0') || are_all('f') && letters(text).count() == 32 || is_word_for_nobody(text) {
        return true;
    }
    let is_sign = |letter: char| !letter.is_alphanumeric();
    let name = text.split_once('@').map(|(name, _)| name);
    let mut words = text.rsplit(is_sign).filter(|word| !word.is_empty());
    let last = words
        .next()
        .filter(|_| words.all(|word| word.starts_with(char::is_alphabetic)));
    // A short one may be part of a name.
    let is_long = |part: &&str| part.len() >= 4;
    [name, last]
        .into_iter()
        .flatten()
        .filter(is_long)
        .any(is_word_for_nobody)
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| letter.is_alphanumeric())
}

/// Without an allocation: each hit by a key that names a person asks.
fn is_word_for_nobody(text: &str) -> bool {
    let (mut word, mut len) = ([0; LONGEST], 0);
    for letter in letters(text) {
        if !letter.is_ascii() || len == LONGEST {
            return false;
        }
        letter.to_ascii_lowercase().encode_utf8(&mut word[len..]);
        len += 1;
    }
    matches!(
        &word[..len],
        b"anon"
            | b"anonym"
            | b"anonymous"
            | b"anonymoususer"
            | b"anonuser"
            | b"default"
            | b"defaultuser"
            | b"empty"
            | b"everyone"
            | b"false"
            | b"guest"
            | b"guestuser"
            | b"infinity"
            | b"loggedout"
            | b"missing"
            | b"na"
            | b"nan"
            | b"nil"
            | b"no"
            | b"nobody"
            | b"none"
            | b"noone"
            | b"notavailable"
            | b"notloggedin"
            | b"notset"
            | b"nouser"
            | b"null"
            | b"objectobject"
            | b"public"
            | b"publicuser"
            | b"true"
            | b"unauthenticated"
            | b"unauthorized"
            | b"undefined"
            | b"unknown"
            | b"unknownuser"
            | b"unset"
            | b"user"
            | b"visitor"
            | b"void"
    )
}

fn is_exact(number: &Number) -> bool {
    const LAST_EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|float| float.abs() < LAST_EXACT)
}

impl From<Value> for Document {
    fn from(value: Value) -> Document {
        Document {
            value,
            is_ambiguous: false,
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Document, E> {
        Ok(Value::Bool(value).into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Document, E> {
        Ok(Value::Number(value.into()).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Document, E> {
        Ok(Value::Number(value.into()).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Document, E> {
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Document, E> {
        Ok(Value::String(value.to_owned()).into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Document, E> {
        Ok(Value::String(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let (mut values, mut is_ambiguous) = (Vec::new(), false);
        while let Some(item) = items.next_element::<Document>()? {
            is_ambiguous |= item.is_ambiguous;
            values.push(item.value);
        }
        Ok(Document {
            value: Value::Array(values),
            is_ambiguous,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Document, A::Error> {
        let (mut map, mut is_ambiguous) = (Map::new(), false);
        while let Some((name, member)) = members.next_entry::<String, Document>()? {
            is_ambiguous |= member.is_ambiguous;
            match map.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(member.value);
                }
                Entry::Occupied(mut place) => {
                    is_ambiguous = true;
                    place.insert(unknown());
                }
            }
        }
        is_ambiguous |= doubt_names_in_two_cases(&mut map);
        Ok(Document {
            value: Value::Object(map),
            is_ambiguous,
        })
    }
}

/// Puts what may be anything in place of members whose names differ in case alone, which many apps take for one; whether
/// there are any.
fn doubt_names_in_two_cases(map: &mut Map<String, Value>) -> bool {
    let has_upper_case = |name: &String| name.bytes().any(|byte| byte.is_ascii_uppercase());
    if !map.keys().any(has_upper_case) {
        return false;
    }
    let mut spellings: HashMap<String, Vec<String>> = HashMap::new();
    for name in map.keys() {
        let folded = spellings.entry(name.to_ascii_lowercase()).or_default();
        folded.push(name.clone());
    }
    let doubled = spellings.into_values().filter(|names| names.len() > 1);
    let doubled: Vec<String> = doubled.flatten().collect();
    for name in &doubled {
        map.insert(name.clone(), unknown());
    }
    !doubled.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_doubled_members_stand_for_is_in_doubt() {
        #[rustfmt::skip]
        let rows = [
            ("once", r#"{"a": 1, "b": "x"}"#, json!({"a": 1, "b": "x"}), false),
            ("twice", r#"{"a": 1, "a": "2"}"#, json!({"a": unknown()}), true),
            ("three times, with a list", r#"{"a": [1], "a": 2, "a": 3}"#, json!({"a": unknown()}), true),
            ("twice the same", r#"{"a": 1, "a": 1}"#, json!({"a": unknown()}), true),
            ("spelled otherwise", r#"{"a": 1, "\u0061": 2}"#, json!({"a": unknown()}), true),
            ("in two cases", r#"{"query": 1, "Query": 2, "x": 3}"#, json!({"query": unknown(), "Query": unknown(), "x": 3}), true),
            ("within", r#"[{"a": {"b": true, "b": null}}]"#, json!([{"a": {"b": unknown()}}]), true),
        ];
        for (name, text, value, is_ambiguous) in rows {
            let expected = Document {
                value,
                is_ambiguous,
            };
            assert_eq!(parse(text.as_bytes()), Some(expected), "{name}");
        }
        assert_eq!(parse(b"{"), None);
    }

    #[test]
    fn the_rest_is_as_serde_json_has_it() {
        let text = r#"{"a": [1, -1, 1.5, 18446744073709551616], "b": {"c": "\u00e9"}, "d": null}"#;
        let expected: Value = serde_json::from_str(text).expect("JSON");
        let document = parse(text.as_bytes()).expect("JSON");
        assert_eq!((document.value, document.is_ambiguous), (expected, false));
    }

    #[test]
    fn what_names_nobody() {
        #[rustfmt::skip]
        let nobody = [
            json!(null), json!(false), json!(true), json!(0), json!(-1), json!(-0.0), json!(0.0), json!(""), json!(" \t"),
            json!("0"), json!(" 00 "), json!("-0"), json!("+0"), json!("-1"), json!("0.0"), json!("1e-999"), json!("NaN"),
            json!("-"), json!("--"), json!("?"), json!("\u{200b}"), json!("00000000-0000-0000-0000-000000000000"),
            json!("{00000000-0000-0000-0000-000000000000}"), json!("urn:uuid:00000000-0000-0000-0000-000000000000"),
            json!("ffffffff-ffff-ffff-ffff-ffffffffffff"), json!("000000000000000000000000"), json!("null"), json!("(null)"),
            json!("None"), json!("undefined"), json!("N/A"), json!("anonymous"), json!("Anonymous"), json!("anonymousUser"),
            json!("ANON"), json!("guest"), json!("Guest User"), json!("public"), json!("visitor"), json!("unknown"),
            json!("false"), json!("[object Object]"), json!("not-logged-in"), json!("user:undefined"), json!("auth0|null"),
            json!("anonymous@example.com"), json!("guest@example.com"), json!("users/anonymous"),
        ];
        for value in nobody {
            assert!(is_nobody(&value), "{value}");
        }
        #[rustfmt::skip]
        let somebody = [
            json!(1), json!("1"), json!("7.5"), json!("a"), json!("f"), json!("ann"), json!("guest-7"), json!("anonymous:5f3c"),
            json!("00000000-0000-0000-0000-000000000001"), json!("na@example.com"), json!("kim-na"), json!("0x1f"), json!("張"),
            json!("auth0|5f7c8ec7c33c6c004bbafe82"), json!("usher@example.com"), json!("ffff"), json!("Nobodyson"),
        ];
        for value in somebody {
            assert!(!is_nobody(&value), "{value}");
        }
        // What many share by the rule's word may be called so.
        assert!(!is_nothing(&json!("guest")) && is_nothing(&json!("none")));
    }

    #[test]
    fn what_stands_at_a_place() {
        use Member::{Absent, Composite, Unknown};
        let document = json!({
            "id": "a", "n": 7, "null": null, "object": {"a": 1}, "big": 1e300, "doubled": unknown(),
            "ids": [1, "b"], "none": [], "mixed": [{"id": 1}, {}, {"id": [2, [3]]}, 4],
            "groups": [{"tasks": [{"id": 1}]}, {"tasks": []}, {"tasks": [{"id": 2}, {"id": null}]}],
        });
        let (a, b, one, two, three, seven) = (
            json!("a"),
            json!("b"),
            json!(1),
            json!(2),
            json!(3),
            json!(7),
        );
        let one_of = |value| Member::One(value);
        #[rustfmt::skip]
        let rows: Vec<(&str, Vec<Member<'_>>, Member<'_>)> = vec![
            ("id", vec![one_of(&a)], one_of(&a)),
            ("id.[]", vec![one_of(&a)], one_of(&a)),
            ("n", vec![one_of(&seven)], one_of(&seven)),
            ("null", vec![Absent], Absent),
            ("no", vec![Absent], Absent),
            ("id.no", vec![Absent], Absent),
            ("object", vec![Composite], Composite),
            ("object.a", vec![one_of(&one)], one_of(&one)),
            ("big", vec![Unknown], Unknown),
            ("big.a", vec![Unknown], Unknown),
            ("doubled", vec![Unknown], Unknown),
            ("doubled.[].a", vec![Unknown], Unknown),
            ("ids", vec![one_of(&one), one_of(&b)], Composite),
            ("ids.[]", vec![one_of(&one), one_of(&b)], Composite),
            ("none.[].id", vec![], Unknown),
            ("mixed.id", vec![one_of(&one), Absent, one_of(&two), one_of(&three), Absent], Unknown),
            ("groups.[].tasks.[].id", vec![one_of(&one), one_of(&two), Absent], Unknown),
        ];
        for (names, each, single) in rows {
            let names: Vec<String> = names.split('.').map(str::to_owned).collect();
            assert_eq!(
                members(Some(&document), &names, Lists::Each),
                each,
                "{names:?}"
            );
            assert_eq!(member(Some(&document), &names), single, "{names:?}");
        }
        assert_eq!(member(None, &[]), Absent);
        assert_eq!(member(Some(&unknown()), &["a".to_owned()]), Unknown);
    }
}
