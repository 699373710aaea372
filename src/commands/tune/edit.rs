//! Suggestions laid over a file, whose comments, order and spelling stay.

use anyhow::{Context, bail};
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use crate::observe::{Edit, EditValue, Suggestion};

/// Lists that a suggestion adds to.
const ADDED_TO: &[&str] = &["ignore_query"];

/// The file with what is suggested. `routes`: the names of its routes, in their order.
pub(super) fn apply(
    text: &str,
    routes: &[&str],
    suggestions: &[Suggestion],
) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("the file is no TOML")?;
    let edits = suggestions
        .iter()
        .filter_map(|one| Some((one, one.edit.as_ref()?)));
    for (suggestion, edit) in edits {
        let index = routes.iter().position(|name| *name == suggestion.rule);
        let tables = document
            .get_mut("route")
            .and_then(Item::as_array_of_tables_mut);
        let table = index.and_then(|index| tables?.get_mut(index));
        match table.filter(|table| is_named(table, &suggestion.rule)) {
            Some(table) => change(table, edit),
            None => bail!("the file has no [[route]] {}", suggestion.rule),
        }
    }
    Ok(document.to_string())
}

/// The line, as it would be written.
pub(super) fn line(edit: &Edit) -> String {
    format!("{} = {}", edit.key, new_value(edit).to_string().trim())
}

/// Whether it is the rule's; one that has no name is by its place.
fn is_named(table: &Table, rule: &str) -> bool {
    let name = table.get("name").and_then(Item::as_str);
    name.is_none_or(|name| name == rule)
}

fn change(table: &mut Table, edit: &Edit) {
    let mut new = new_value(edit);
    if let ("mode", Some(Item::Value(enabled))) = (edit.key, table.get_mut("enabled")) {
        // The older word, and whatever stands beside it.
        let mut off = Value::from(edit.value != EditValue::Text("off".to_owned()));
        *off.decor_mut() = enabled.decor().clone();
        *enabled = off;
        return;
    }
    if let (Some(Item::Value(old)), true) = (table.get(edit.key), ADDED_TO.contains(&edit.key)) {
        new = joined(old, new);
    }
    match table.get_mut(edit.key) {
        Some(Item::Value(old)) => {
            // With the comment behind it.
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        _ => {
            table.insert(edit.key, value(new));
        }
    }
}

fn joined(old: &Value, new: Value) -> Value {
    let mut all = match old {
        Value::Array(array) => array.clone(),
        one => Array::from_iter([one.clone()]),
    };
    for added in new.as_array().into_iter().flatten() {
        let is_there = all.iter().any(|held| held.as_str() == added.as_str());
        if !is_there {
            all.push(added.clone());
        }
    }
    Value::Array(all)
}

fn new_value(edit: &Edit) -> Value {
    match &edit.value {
        EditValue::Text(text) => Value::from(text.as_str()),
        EditValue::Texts(texts) => Value::Array(texts.iter().map(String::as_str).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(rule: &str, key: &'static str, value: EditValue) -> Suggestion {
        Suggestion {
            rule: rule.to_owned(),
            edit: Some(Edit { key, value }),
            why: String::new(),
            gain: String::new(),
            sample: 0,
        }
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let text = "# Our app.\n[upstream]\nurl = 'http://a'   # here\n\n\
                    [[route]]\nname = \"a\"\npath = \"/a\"\nttl = \"30s\"   # half a minute\n\
                    ignore_query = [\"utm\"]  # ads\n\n# The other.\n[[route]]\npath = \"/b\"\n# For now.\nenabled = true  # why not\n";
        let texts =
            |names: &[&str]| EditValue::Texts(names.iter().map(|&n| n.to_owned()).collect());
        let changed = apply(
            text,
            &["a", "b"],
            &[
                suggestion("a", "ttl", EditValue::Text("2m".to_owned())),
                suggestion("a", "ignore_query", texts(&["utm", "ref"])),
                suggestion("b", "mode", EditValue::Text("off".to_owned())),
                suggestion("b", "vary", texts(&[])),
            ],
        );
        let expected = "# Our app.\n[upstream]\nurl = 'http://a'   # here\n\n\
                        [[route]]\nname = \"a\"\npath = \"/a\"\nttl = \"2m\"   # half a minute\n\
                        ignore_query = [\"utm\", \"ref\"]  # ads\n\n# The other.\n[[route]]\npath = \"/b\"\n\
                        # For now.\nenabled = false  # why not\nvary = []\n";
        assert_eq!(changed.expect("it is TOML"), expected);
        for (routes, rule) in [(["a", "b"], "x"), (["b", "a"], "b")] {
            let of_another = apply(text, &routes, &[suggestion(rule, "ttl", texts(&[]))]);
            assert!(of_another.is_err(), "{rule}");
        }
    }
}
