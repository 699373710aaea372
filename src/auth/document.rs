//! What is kept of the document that a check answers with: the values that templates read, so that none is long.

use serde_json::{Map, Value};

use crate::routes::json;

/// A longer text is in no key that would be taken.
const LONGEST_TEXT: usize = 1024;

/// `document` as far as it is read at `names`, which are sorted. What stands for no single value there still does not.
pub(super) fn extract(document: &Value, names: &[Vec<String>]) -> Value {
    if !document.is_object() {
        return json::unknown();
    }
    let mut kept = Map::new();
    for names in names {
        extract_one(document, names, &mut kept);
    }
    Value::Object(kept)
}

fn extract_one(document: &Value, names: &[String], kept: &mut Map<String, Value>) {
    let Some((name, rest)) = names.split_first() else {
        return;
    };
    let Some(value) = document.get(name) else {
        return;
    };
    match value {
        Value::Null => {}
        Value::Object(_) => {
            let deeper = kept
                .entry(name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(deeper) = deeper {
                extract_one(value, rest, deeper);
            }
        }
        Value::String(text) if text.len() > LONGEST_TEXT => {
            kept.insert(name.clone(), json::unknown());
        }
        Value::Array(_) => {
            kept.insert(name.clone(), json::unknown());
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            kept.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_read_is_kept() {
        let long = "x".repeat(LONGEST_TEXT + 1);
        let document = json!({
            "role": "editor",
            "user": { "id": 7, "name": "Ann", "teams": [1], "org": { "id": "o" } },
            "secret": long,
            "nothing": null,
            "flag": true,
            "doubled": [{ "id": 1 }, { "id": 2 }],
        });
        let rows: [(&[&str], Value); 8] = [
            (&[], json!({})),
            (&["role", "flag"], json!({ "role": "editor", "flag": true })),
            (&["user.id"], json!({ "user": { "id": 7 } })),
            (
                &["user", "user.id", "user.org.id"],
                json!({ "user": { "id": 7, "org": { "id": "o" } } }),
            ),
            (&["user"], json!({ "user": {} })),
            (
                &["user.teams", "secret"],
                json!({ "user": { "teams": json::unknown() }, "secret": json::unknown() }),
            ),
            (
                &["nothing", "absent", "role.deeper"],
                json!({ "role": "editor" }),
            ),
            (&["doubled.id"], json!({ "doubled": json::unknown() })),
        ];
        for (names, expected) in rows {
            let split = |text: &&str| text.split('.').map(str::to_owned).collect();
            let paths: Vec<Vec<String>> = names.iter().map(split).collect();
            assert_eq!(extract(&document, &paths), expected, "{names:?}");
        }
        assert_eq!(
            extract(&json!([1]), &[vec!["a".to_owned()]]),
            json::unknown()
        );
    }
}
