//! Which operation a GraphQL request asks for, where its body does not say it by `query`: by a hash, an id or a name of a
//! text that the app has (persisted queries), in the form of an upload, or in the URL.
//!
//! What such a request does is not known here: it may be a mutation.

use serde_json::{Map, Value};

use super::escape::{UrlPart, decode};
use super::expected::Found;
use super::json::EACH;
use super::query::split_fields;

/// What the text of an operation is called.
const TEXT: &str = "query";
/// What names one of the operations in a text.
const NAME: &str = "operationName";

/// Names of what stands for a text that the app has, in small letters and without `_`. `operations` is the form of an
/// upload, in which the operation is a text of JSON.
const STANDING_FOR_TEXT: [&str; 9] = [
    "documentid",
    "docid",
    "extensions",
    "hash",
    "id",
    "operationid",
    "operations",
    "persistedquery",
    "queryid",
];
/// Those that mean nothing else, wherever they stand.
const SURELY: [&str; 3] = ["documentid", "docid", "queryid"];

/// What may stand at `names` of the body as the app reads it, beside what does: many frameworks read the fields of the
/// URL and those of the body as one.
pub(super) fn beside_body(
    body: Option<&Value>,
    query: Option<&str>,
    names: &[String],
) -> Vec<Found<'static>> {
    let mut found = in_url(query, names);
    if is_left_open(body, query, names) {
        found.push(Found::Unknown);
    }
    found
}

fn in_url(query: Option<&str>, names: &[String]) -> Vec<Found<'static>> {
    let mut names = names.iter().filter(|name| *name != EACH);
    let (Some(query), Some(first)) = (query, names.next()) else {
        return Vec::new();
    };
    let is_nested = names.next().is_some();
    let fields = split_fields(query).filter_map(|field| {
        let name = field.decoded_name();
        let behind = name.strip_prefix(first.as_str())?;
        match behind {
            "" if !is_nested => Some(Found::Text(read(field.value().unwrap_or_default()).into())),
            // `task[id]` is a member to some; one that is nested may be JSON in the field.
            "" => Some(Found::Unknown),
            _ => behind.starts_with(['[', '.']).then_some(Found::Unknown),
        }
    });
    fields.collect()
}

/// Whether `names` is of an operation whose text is not in the request.
fn is_left_open(body: Option<&Value>, query: Option<&str>, names: &[String]) -> bool {
    let Some((last, parents)) = names.split_last() else {
        return false;
    };
    let is_lacking = match last.as_str() {
        TEXT => lacks_text,
        NAME => lacks_name,
        _ => return false,
    };
    let members = parents_at(body, parents);
    // What names it in the URL names it for a body that says nothing.
    let is_open_by_url = || {
        let is_silent = members.iter().all(|members| !has_text(members));
        parents.is_empty() && is_silent && names_in_url(query, last)
    };
    members.iter().any(|members| is_lacking(members)) || is_open_by_url()
}

fn lacks_text(members: &Map<String, Value>) -> bool {
    let given: Vec<String> = given_names(members);
    match has_text(members) {
        true => given.iter().any(|name| SURELY.contains(&name.as_str())),
        false => {
            members.get(NAME).is_some_and(|name| !name.is_null())
                || given.iter().any(|name| stands_for_text(name))
        }
    }
}

fn lacks_name(members: &Map<String, Value>) -> bool {
    let has_name = members
        .get(NAME)
        .is_some_and(|name| !name.is_null() && name != "");
    !has_name
        && !has_text(members)
        && given_names(members)
            .iter()
            .any(|name| stands_for_text(name))
}

/// Whether there is a text; an empty one is none, as to most apps.
fn has_text(members: &Map<String, Value>) -> bool {
    match members.get(TEXT) {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(value) => !value.is_null(),
        None => false,
    }
}

fn names_in_url(query: Option<&str>, asked: &str) -> bool {
    let fields = query.into_iter().flat_map(split_fields);
    let mut names = fields.map(|field| folded(&field.decoded_name()));
    names.any(|name| stands_for_text(&name) || asked == TEXT && name == folded(NAME))
}

fn stands_for_text(folded: &str) -> bool {
    STANDING_FOR_TEXT.contains(&folded)
}

fn given_names(members: &Map<String, Value>) -> Vec<String> {
    let given = members.iter().filter(|(_, value)| !value.is_null());
    given.map(|(name, _)| folded(name)).collect()
}

fn folded(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// The objects at `names`, each of a list.
fn parents_at<'v>(body: Option<&'v Value>, names: &[String]) -> Vec<&'v Map<String, Value>> {
    match (body, names) {
        (Some(Value::Array(items)), [mark, names @ ..]) if mark == EACH => {
            let each = items.iter().map(|item| parents_at(Some(item), names));
            each.flatten().collect()
        }
        (Some(Value::Array(items)), names) => {
            let each = items.iter().map(|item| parents_at(Some(item), names));
            each.flatten().collect()
        }
        (body, [mark, names @ ..]) if mark == EACH => parents_at(body, names),
        (Some(Value::Object(members)), []) => vec![members],
        (Some(Value::Object(members)), [name, names @ ..]) => parents_at(members.get(name), names),
        _ => Vec::new(),
    }
}

fn read(raw: &str) -> String {
    let bytes: Vec<u8> = decode(raw, UrlPart::Query).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a POST with this body may be a mutation for all that can be seen: it is one by its text, or it names a text
/// that the app has. A search for `{"query": "…"}` or `{"id": 7}` is none.
pub fn may_be_mutation(body: Option<&Value>, query: Option<&str>) -> bool {
    let in_url = in_url(query, &[TEXT.to_owned()]);
    let by_url = in_url
        .iter()
        .any(|found| matches!(found, Found::Text(text) if is_mutation(text)));
    by_url || parents_at(body, &[]).into_iter().any(may_be_one)
}

fn may_be_one(members: &Map<String, Value>) -> bool {
    let text_at = |name: &str| members.get(name).and_then(Value::as_str);
    let is_by_hash = || {
        let given = given_names(members);
        let in_extensions = ["persistedQuery", "operationId"];
        let extensions = members.get("extensions").and_then(Value::as_object);
        given.iter().any(|name| SURELY.contains(&name.as_str()))
            || extensions
                .is_some_and(|all| in_extensions.iter().any(|name| all.contains_key(*name)))
    };
    match text_at(TEXT).filter(|text| !text.trim().is_empty()) {
        Some(text) => is_mutation(text),
        None => text_at("operations").is_some_and(is_mutation) || is_by_hash(),
    }
}

/// A text of GraphQL with the word in it; `mutation rate` is something that people look for.
fn is_mutation(text: &str) -> bool {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.contains('{')
        && text
            .split(|c| !is_of_word(c))
            .any(|word| word == "mutation")
}

/// Whether a variable says something of which operation is asked for.
pub(super) fn is_about_operation(name: &str) -> bool {
    let folded = folded(name);
    [TEXT, "operationname", "sha256hash"].contains(&folded.as_str()) || stands_for_text(&folded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT_OF_QUERY: &str = "query A { a }";

    /// What is beside the body's own, in a word.
    fn beside(body: &Value, query: Option<&str>, names: &str) -> String {
        let names: Vec<String> = names.split('.').map(str::to_owned).collect();
        let found = beside_body(Some(body), query, &names);
        let words = found.iter().map(|found| match found {
            Found::Text(text) => text.to_string(),
            Found::Unknown => "?".to_owned(),
            Found::Absent | Found::Composite => "!".to_owned(),
        });
        words.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn an_operation_that_is_only_named_may_be_any() {
        let hash = json!({"persistedQuery": {"version": 1, "sha256Hash": "ab"}});
        #[rustfmt::skip]
        let rows = [
            ("a text", json!({"query": TEXT_OF_QUERY}), "query", ""),
            ("a text with its hash", json!({"query": TEXT_OF_QUERY, "extensions": hash}), "query", ""),
            ("a text with an id of something", json!({"query": TEXT_OF_QUERY, "id": 7}), "query", ""),
            ("a text and another's id", json!({"query": TEXT_OF_QUERY, "documentId": "x"}), "query", "?"),
            ("a hash", json!({"extensions": hash}), "query", "?"),
            ("a hash, and no text", json!({"query": " ", "extensions": hash}), "query", "?"),
            ("a hash, and null", json!({"query": null, "extensions": hash}), "query", "?"),
            ("an id", json!({"id": "GetA"}), "query", "?"),
            ("an id of Relay", json!({"doc_id": "1"}), "query", "?"),
            ("an id that is null", json!({"documentId": null}), "query", ""),
            ("a name", json!({"operationName": "A"}), "query", "?"),
            ("an upload", json!({"operations": "{}", "map": "{}"}), "query", "?"),
            ("one of a batch", json!([{"query": TEXT_OF_QUERY}, {"id": "x"}]), "query", "?"),
            ("one of a batch, with the mark", json!([{"query": TEXT_OF_QUERY}, {"id": "x"}]), "[].query", "?"),
            ("a batch of texts", json!([{"query": TEXT_OF_QUERY}]), "query", ""),
            ("nested", json!({"payload": {"documentId": "x"}}), "payload.query", "?"),
            ("nested elsewhere", json!({"payload": {"documentId": "x"}}), "query", ""),
            ("nothing of the kind", json!({"a": 1, "variables": {}}), "query", ""),
            ("no object", json!(7), "query", ""),
            ("the name of a text", json!({"query": TEXT_OF_QUERY}), "operationName", ""),
            ("the name behind a hash", json!({"extensions": hash}), "operationName", "?"),
            ("a name beside a hash", json!({"extensions": hash, "operationName": "A"}), "operationName", ""),
            ("another member", json!({"extensions": hash}), "variables", ""),
        ];
        for (case, body, names, expected) in rows {
            assert_eq!(beside(&body, None, names), expected, "{case}");
        }
    }

    #[test]
    fn the_url_may_say_it() {
        let (nothing, text) = (json!({}), json!({"query": TEXT_OF_QUERY}));
        #[rustfmt::skip]
        let rows = [
            ("the text", &nothing, "query=mutation+%7Ba%7D", "query", "mutation {a}"),
            ("against that of the body", &text, "a=1&query=x", "query", "x"),
            ("twice", &nothing, "query=a&query=b", "query", "a,b"),
            ("in another spelling", &nothing, "%71uery=a", "query", "a"),
            ("a member of it", &nothing, "task%5Bid%5D=7", "task.id", "?"),
            ("all of it", &nothing, "task=7", "task.id", "?"),
            ("another field", &nothing, "tasks=7", "task.id", ""),
            ("a hash", &nothing, "extensions=%7B%7D", "query", "?"),
            ("a hash beside a text", &text, "extensions=%7B%7D", "query", ""),
            ("a name", &nothing, "operationName=A", "query", "?"),
            ("a name is what it is", &nothing, "operationName=A", "operationName", "A"),
            ("nothing", &text, "a=1", "query", ""),
        ];
        for (case, body, query, names, expected) in rows {
            assert_eq!(beside(body, Some(query), names), expected, "{case}");
        }
        assert_eq!(beside_body(None, None, &[TEXT.to_owned()]), []);
        assert_eq!(
            beside_body(None, Some("documentId=x"), &[TEXT.to_owned()]),
            [Found::Unknown]
        );
    }

    #[test]
    fn what_may_be_a_mutation() {
        #[rustfmt::skip]
        let rows = [
            (json!({"query": "mutation { a }"}), true),
            (json!({"query": "# of a\nmutation A($id: ID!) { a }"}), true),
            (json!({"query": "{ mutations { a } }"}), false),
            (json!({"query": "mutation rate"}), false),
            (json!({"query": TEXT_OF_QUERY}), false),
            (json!({"query": TEXT_OF_QUERY, "extensions": {"persistedQuery": {}}}), false),
            (json!({"extensions": {"persistedQuery": {}}}), true),
            (json!({"extensions": {"operationId": "a/1"}}), true),
            (json!({"extensions": {"trace": true}}), false),
            (json!({"documentId": "x"}), true),
            (json!({"id": 7}), false),
            (json!({"hash": "x"}), false),
            (json!({"operations": "{\"query\": \"mutation { a }\"}"}), true),
            (json!([{"query": TEXT_OF_QUERY}, {"doc_id": "x"}]), true),
            (json!("mutation {"), false),
        ];
        for (body, expected) in rows {
            assert_eq!(may_be_mutation(Some(&body), None), expected, "{body}");
        }
        assert!(may_be_mutation(None, Some("query=mutation%7Ba%7D")));
        assert!(!may_be_mutation(None, Some("query=%7Ba%7D")));
    }
}
