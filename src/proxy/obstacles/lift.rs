//! What a config would have to say: a value for a key of a table.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::live::Rule;

/// A line of TOML, ready to paste.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Where: `[defaults]`, or `[[route]]` with the route's name.
    pub table: String,
    /// The line, in place of one with the same key.
    pub line: String,
    /// What it means.
    pub means: String,
}

/// A change of the config that lifts an obstacle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lift {
    table: String,
    change: Change,
    means: &'static str,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// A key has this value, as TOML.
    Set(&'static str, String),
    /// A list has these texts.
    List(&'static str, Vec<String>),
    /// The key of the route, as it is, takes more.
    Key { text: String, steps: Vec<KeyStep> },
    /// Another route.
    Route { path: String },
}

/// A change of a key template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyStep {
    /// This variable follows.
    Append(String),
    /// This variable has a default.
    Default(String),
}

const DEFAULTS: &str = "[defaults]";

impl Lift {
    /// A setting of the rule.
    pub(super) fn set(
        rule: Rule<'_>,
        key: &'static str,
        value: impl Into<String>,
        means: &'static str,
    ) -> Lift {
        let change = Change::Set(key, value.into());
        Lift {
            table: table_of(rule),
            change,
            means,
        }
    }

    /// A setting for all routes.
    pub(super) fn set_for_all(key: &'static str, value: &str, means: &'static str) -> Lift {
        Lift::set_in(DEFAULTS, key, value, means)
    }

    /// A key of a table that stands once.
    pub(super) fn set_in(table: &str, key: &'static str, value: &str, means: &'static str) -> Lift {
        Lift {
            table: table.to_owned(),
            change: Change::Set(key, value.to_owned()),
            means,
        }
    }

    /// Texts of a list of the rule.
    pub(super) fn list(
        rule: Rule<'_>,
        key: &'static str,
        texts: Vec<String>,
        means: &'static str,
    ) -> Lift {
        Lift {
            table: table_of(rule),
            change: Change::List(key, texts),
            means,
        }
    }

    /// A change of the route's key; `None` where there is no route.
    pub(super) fn key(rule: Rule<'_>, steps: Vec<KeyStep>, means: &'static str) -> Option<Lift> {
        let text = rule.route?.key_text.clone();
        Some(Lift {
            table: table_of(rule),
            change: Change::Key { text, steps },
            means,
        })
    }

    /// A further route.
    pub(super) fn route(path: &str, means: &'static str) -> Lift {
        Lift {
            table: "[[route]]".to_owned(),
            change: Change::Route {
                path: path.to_owned(),
            },
            means,
        }
    }

    /// Whether `other` changes the same key of the same table; then it is made part of this one.
    pub(super) fn takes_in(&mut self, other: &Lift) -> bool {
        if self.table != other.table {
            return false;
        }
        match (&mut self.change, &other.change) {
            (Change::Set(key, value), Change::Set(others, more)) => key == others && value == more,
            (Change::List(key, texts), Change::List(others, more)) if key == others => {
                add_missing(texts, more);
                true
            }
            (Change::Key { steps, .. }, Change::Key { steps: more, .. }) => {
                add_missing(steps, more);
                true
            }
            (Change::Route { path }, Change::Route { path: other }) => path == other,
            _ => false,
        }
    }

    /// Written out.
    pub(super) fn edit(&self) -> Edit {
        let line = match &self.change {
            Change::Set(key, value) => format!("{key} = {value}"),
            Change::List(key, texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
                format!("{key} = [{}]", texts.join(", "))
            }
            Change::Key { text, steps } => format!("key = {}", quote(&change_key(text, steps))),
            Change::Route { path } => format!("path = {}", quote(path)),
        };
        Edit {
            table: self.table.clone(),
            line,
            means: self.means.to_owned(),
        }
    }
}

fn table_of(rule: Rule<'_>) -> String {
    match rule.name() {
        Some(name) => format!("[[route]] {name}"),
        None => DEFAULTS.to_owned(),
    }
}

fn add_missing<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

fn change_key(text: &str, steps: &[KeyStep]) -> String {
    let mut key = text.to_owned();
    for step in steps {
        match step {
            KeyStep::Append(variable) => {
                key.push(':');
                key.push_str(variable);
            }
            KeyStep::Default(variable) => {
                let open = variable.trim_end_matches('}');
                key = key.replace(variable, &format!("{open}|none}}"));
            }
        }
    }
    key
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("a String takes all");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
