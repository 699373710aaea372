//! JSON as templates read it: where a member is doubled, no value of it is lost.
//!
//! Of two members of one name some parsers take the first and others the last (RFC 8259 §4). What the app takes
//! is not known here, so neither counts alone.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// A document whose doubled members are lists of all their values.
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

/// A document of which nothing is known: each of its members may be anything.
pub fn unknown() -> Value {
    Value::Array(Vec::new())
}

/// Whether `document` has something at `names` that stands for no single value: an array, an object, a number
/// that was rounded. What is null is absent, as what is not there.
pub(super) fn is_unclear(document: Option<&Value>, names: &[String]) -> bool {
    let Some(mut value) = document else {
        return false;
    };
    for name in names {
        value = match value {
            Value::Object(members) => members.get(name).unwrap_or(&Value::Null),
            Value::Array(_) => return true,
            _ => return false,
        };
    }
    matches!(value, Value::Array(_) | Value::Object(_) | Value::Number(_))
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
        let mut doubled: Vec<String> = Vec::new();
        while let Some((name, member)) = members.next_entry::<String, Document>()? {
            is_ambiguous |= member.is_ambiguous;
            match map.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(member.value);
                }
                Entry::Occupied(mut place) => {
                    is_ambiguous = true;
                    if !doubled.contains(place.key()) {
                        doubled.push(place.key().clone());
                        let first = place.get_mut().take();
                        place.insert(Value::Array(vec![first]));
                    }
                    if let Value::Array(values) = place.get_mut() {
                        values.push(member.value);
                    }
                }
            }
        }
        Ok(Document {
            value: Value::Object(map),
            is_ambiguous,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn doubled_members_keep_all_their_values() {
        let rows = [
            (
                "once",
                r#"{"a": 1, "b": "x"}"#,
                json!({"a": 1, "b": "x"}),
                false,
            ),
            (
                "twice",
                r#"{"a": 1, "a": "2"}"#,
                json!({"a": [1, "2"]}),
                true,
            ),
            (
                "three times, with a list",
                r#"{"a": [1], "a": 2, "a": 3}"#,
                json!({"a": [[1], 2, 3]}),
                true,
            ),
            (
                "twice the same",
                r#"{"a": 1, "a": 1}"#,
                json!({"a": [1, 1]}),
                true,
            ),
            (
                "spelled otherwise",
                r#"{"a": 1, "\u0061": 2}"#,
                json!({"a": [1, 2]}),
                true,
            ),
            (
                "within",
                r#"[{"a": {"b": true, "b": null}}]"#,
                json!([{"a": {"b": [true, null]}}]),
                true,
            ),
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
    fn what_stands_for_no_single_value() {
        let document =
            json!({"list": [1], "object": {"a": 1}, "null": null, "doubled": [{"a": 1}]});
        let rows: [(&[&str], bool); 6] = [
            (&["list"], true),
            (&["object"], true),
            (&["doubled", "a"], true),
            (&["null"], false),
            (&["absent"], false),
            (&["object", "b"], false),
        ];
        for (names, expected) in rows {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(is_unclear(Some(&document), &names), expected, "{names:?}");
        }
    }
}
