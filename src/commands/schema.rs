//! `pannier schema`: the config's JSON Schema, so that editors complete and check it.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::config::fields::{Field, Kind, SECTIONS, Section};
use crate::config::units::{DURATION_PATTERN, RATE_PATTERN, SIZE_PATTERN};
use crate::politeness::RequestRate;

/// Any string with `${VAR}` in it passes: what it becomes is known only at the start.
const VARIABLE: &str = "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}";

/// Prints the schema.
pub fn print(out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(&schema())?)?;
    Ok(())
}

/// The JSON Schema (draft 2020-12) of the config file.
pub fn schema() -> Value {
    let properties: Map<String, Value> = SECTIONS
        .iter()
        .map(|section| (section.name.to_owned(), describe_section(section)))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pannier",
        "description": "The config of Pannier, a caching reverse-proxy sidecar.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn describe_section(section: &Section) -> Value {
    let properties: Map<String, Value> = section
        .fields()
        .map(|field| (field.key.to_owned(), describe_field(field)))
        .collect();
    let mut table = json!({
        "type": "object",
        "description": section.doc,
        "additionalProperties": false,
        "properties": properties,
    });
    if !section.repeated {
        return table;
    }
    // The other tables can take what they need from the environment.
    let required = section
        .own
        .iter()
        .filter(|field| field.doc.ends_with(" Required."));
    let required: Vec<&str> = required.map(|field| field.key).collect();
    table["required"] = json!(required);
    json!({ "type": "array", "description": section.doc, "items": table })
}

fn describe_field(field: &Field) -> Value {
    let mut schema = describe_kind(field.kind);
    schema["description"] = json!(field.doc);
    if let Some(default) = read_default(field) {
        schema["default"] = default;
    }
    schema
}

fn describe_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::Address => match_pattern("(.+:[0-9]{1,5})"),
        Kind::Count(least, most) => json!({
            "anyOf": [
                { "type": "integer", "minimum": least, "maximum": most },
                { "type": "string", "pattern": VARIABLE },
            ]
        }),
        Kind::Flag => json!({
            "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": VARIABLE }]
        }),
        Kind::FlagOr(word) => json!({
            "anyOf": [
                { "type": "boolean" },
                { "enum": [word] },
                { "type": "string", "pattern": VARIABLE },
            ]
        }),
        Kind::Wait | Kind::Duration => match_pattern(DURATION_PATTERN),
        Kind::Size(_) => match_pattern(SIZE_PATTERN),
        Kind::Rate => match_pattern(RATE_PATTERN),
        Kind::Requests => match_pattern(RequestRate::PATTERN),
        Kind::OneOf(words) => json!({
            "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }]
        }),
        Kind::TextOrTexts => {
            json!({ "anyOf": [describe_kind(Kind::Text), describe_kind(Kind::Texts)] })
        }
        Kind::Texts => json!({ "type": "array", "items": describe_kind(Kind::Text) }),
        Kind::ManyOf(words) => {
            json!({ "type": "array", "items": describe_kind(Kind::OneOf(words)) })
        }
        Kind::Conditions => {
            json!({ "type": "object", "additionalProperties": describe_kind(Kind::Text) })
        }
        Kind::Waits => json!({ "type": "array", "items": describe_kind(Kind::Wait) }),
        Kind::Table(fields) => {
            let properties: Map<String, Value> = fields
                .iter()
                .map(|field| (field.key.to_owned(), describe_field(field)))
                .collect();
            json!({ "type": "object", "additionalProperties": false, "properties": properties })
        }
        Kind::Counts(least, most) => {
            json!({ "type": "array", "items": describe_kind(Kind::Count(least, most)) })
        }
    }
}

fn match_pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{pattern}$|{VARIABLE}") })
}

fn read_default(field: &Field) -> Option<Value> {
    let text = field.default;
    if text.is_empty() {
        return None;
    }
    Some(match field.kind {
        Kind::Count(..) => json!(text.parse::<u64>().ok()?),
        Kind::Flag | Kind::FlagOr(_) => json!(text == "true"),
        Kind::ManyOf(_) | Kind::Texts | Kind::TextOrTexts | Kind::Counts(..) => {
            json!(text.split(',').collect::<Vec<_>>())
        }
        _ => json!(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_described_and_unknown_ones_are_refused() {
        let schema = schema();
        for section in SECTIONS {
            let table = &schema["properties"][section.name];
            let table = if section.repeated {
                &table["items"]
            } else {
                table
            };
            assert_eq!(table["additionalProperties"], false, "{}", section.name);
            for field in section.fields() {
                let of_field = &table["properties"][field.key];
                assert_eq!(of_field["description"], field.doc, "{}", field.key);
            }
        }
    }

    #[test]
    fn defaults_are_of_the_type_they_are_written_in() {
        let schema = schema();
        let default = |table: &str, key: &str| {
            schema["properties"][table]["properties"][key]["default"].clone()
        };
        assert_eq!(default("listen", "max_connections"), json!(10_000));
        assert_eq!(default("upstream", "preserve_host"), json!(true));
        assert_eq!(default("defaults", "ttl"), json!("5m"));
        assert_eq!(default("listen", "workers"), Value::Null);
    }
}
