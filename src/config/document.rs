//! The TOML text as a tree that knows its lines, with overrides from the environment laid over it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{SECTIONS, Section, section};
use super::problem::{Position, Problems, did_you_mean};

/// The whole file; only known sections and keys are in it.
#[derive(Debug, Default)]
pub(super) struct Document {
    tables: BTreeMap<&'static str, Table>,
    lists: BTreeMap<&'static str, Vec<Table>>,
    broken: bool,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    /// Where it begins.
    pub(super) position: Position,
    entries: BTreeMap<&'static str, Node>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub(super) position: Position,
    /// The value.
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string of the file, `${VAR}` not yet filled in.
    Text(String),
    /// Text from outside the file: taken as it is, and also read as a number, flag or list.
    Given(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// An array.
    List(Vec<Node>),
    /// An inline table, in the order of its keys.
    Table(Vec<(String, Node)>),
    /// What no key takes: the TOML name of its type.
    Other(&'static str),
}

impl Document {
    /// Parses `text`; syntax errors and unknown keys are reported.
    pub(super) fn parse(text: &str, file: &str, problems: &mut Problems) -> Document {
        let lines = Lines::new(text, file);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let position = lines.position(span.start);
            if error.message() == "duplicate key" {
                let key = text.get(span).unwrap_or_default();
                let remedy = match section(key) {
                    Some(known) if known.repeated => format!("write [[{key}]], in double brackets"),
                    _ => "keep one of them".to_owned(),
                };
                problems.error(position, key, "the key is there twice", remedy);
                continue;
            }
            let what = error.message().replace('\n', " ");
            let remedy = "correct the TOML syntax (https://toml.io)";
            problems.error(position, "", what, remedy);
        }
        let mut document = Document {
            broken: !errors.is_empty(),
            ..Document::default()
        };
        // A tree recovered from broken text would only add errors that are not there.
        if !document.broken {
            for (key, value) in root.get_ref() {
                document.add_section(&lines, key, value, problems);
            }
        }
        document
    }

    /// Whether the text is not TOML.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The table of that name.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether there is a table of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// The tables of an array of tables.
    pub(super) fn list(&self, name: &str) -> &[Table] {
        self.lists.get(name).map_or(&[], Vec::as_slice)
    }

    /// Sets a key from outside the file; `source` is what errors name.
    pub(super) fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: &str,
        source: &str,
    ) {
        let position = Position::whole(source);
        let table = self.tables.entry(section).or_insert_with(|| Table {
            position: position.clone(),
            entries: BTreeMap::new(),
        });
        let value = Value::Given(value.to_owned());
        table.entries.insert(key, Node { position, value });
    }

    fn add_section(
        &mut self,
        lines: &Lines<'_>,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        problems: &mut Problems,
    ) {
        let name: &str = key.get_ref();
        let position = lines.position(key.span().start);
        let Some(known) = section(name) else {
            let (what, remedy) = unknown_section(name, value.get_ref());
            return problems.error(position, name, what, remedy);
        };
        match (value.get_ref(), known.repeated) {
            (DeValue::Table(table), false) => {
                let table = lines.table(known, position, table, problems);
                self.tables.insert(known.name, table);
            }
            (DeValue::Array(items), true) => {
                let tables = items.iter().filter_map(|item| match item.get_ref() {
                    DeValue::Table(table) => {
                        let position = lines.position(item.span().start);
                        Some(lines.table(known, position, table, problems))
                    }
                    _ => {
                        let position = lines.position(item.span().start);
                        problems.error(
                            position,
                            name,
                            "this is not a table",
                            format!("write [[{name}]]"),
                        );
                        None
                    }
                });
                self.lists.insert(known.name, tables.collect());
            }
            (_, true) => problems.error(
                position,
                name,
                "there can be many of these",
                format!("write [[{name}]], in double brackets"),
            ),
            (_, false) => problems.error(
                position,
                name,
                "this is a table",
                format!("write [{name}] on its own line and the keys below it"),
            ),
        }
    }
}

impl Node {
    /// Whether it, or an element of it, stands there.
    pub(super) fn covers(&self, position: &Position) -> bool {
        let is_within = |item: &Node| item.position == *position;
        let items = match &self.value {
            Value::List(items) => items.as_slice(),
            _ => &[],
        };
        is_within(self) || items.iter().any(is_within)
    }
}

impl Table {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key)
    }
}

fn unknown_section(name: &str, value: &DeValue<'_>) -> (String, String) {
    let is_table = matches!(value, DeValue::Table(_) | DeValue::Array(_));
    if !is_table && let Some(home) = home_of(name) {
        let what = "this key stands outside any table".to_owned();
        return (what, format!("move it below [{home}]"));
    }
    let what = "there is no such table".to_owned();
    let all: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    match did_you_mean(name, all.iter().copied()) {
        Some(near) => (what, format!("did you mean {}?", show_header(near))),
        None => (what, format!("the tables are {}", all.join(", "))),
    }
}

fn unknown_key(section: &Section, key: &str) -> (String, String) {
    let what = format!("{} has no such key", show_header(section.name));
    let keys = section.fields().map(|field| field.key);
    let remedy = match (did_you_mean(key, keys.clone()), home_of(key)) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, Some(home)) => format!("it belongs below {}", show_header(home)),
        (None, None) => format!("its keys are {}", keys.collect::<Vec<_>>().join(", ")),
    };
    (what, remedy)
}

/// The first section that has the key.
fn home_of(key: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|section| section.field(key).is_some())
        .map(|section| section.name)
}

fn show_header(name: &str) -> String {
    match section(name) {
        Some(section) if section.repeated => format!("[[{name}]]"),
        _ => format!("[{name}]"),
    }
}

/// Offsets to lines, for one text.
struct Lines<'a> {
    /// Where each line ends: every value of the file is looked up, so that counting anew from the top
    /// would cost the square of its length.
    ends: Vec<usize>,
    file: &'a str,
}

impl<'a> Lines<'a> {
    fn new(text: &str, file: &'a str) -> Lines<'a> {
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Lines { ends, file }
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.ends.partition_point(|end| *end < offset);
        Position::line(self.file, before + 1)
    }

    fn table(
        &self,
        section: &'static Section,
        position: Position,
        table: &DeTable<'_>,
        problems: &mut Problems,
    ) -> Table {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some(field) = section.field(name) else {
                let (what, remedy) = unknown_key(section, name);
                let position = self.position(key.span().start);
                problems.error(position, format!("{}.{name}", section.name), what, remedy);
                continue;
            };
            entries.insert(field.key, self.node(value));
        }
        Table { position, entries }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let position = self.position(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("number out of range"), Value::Integer),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect())
            }
            DeValue::Table(table) => {
                let pairs = table.iter().map(|(key, value)| {
                    let key: &str = key.get_ref();
                    (key.to_owned(), self.node(value))
                });
                Value::Table(pairs.collect())
            }
            other => Value::Other(other.type_str()),
        };
        Node { position, value }
    }
}
