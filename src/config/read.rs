//! Typed reading of one table: fills in variables, falls back to defaults, and collects errors.

use std::net::SocketAddr;
use std::time::Duration;

use super::document::{Node, Table, Value};
use super::env::Env;
use super::fields::{Field, Section, is_setting, section, settings};
use super::interpolate::{Unfilled, interpolate};
use super::problem::{Position, Problems};
use super::value::{Parsed, parse};
use crate::politeness::RequestRate;

/// Reads one table. After an error a getter returns the default, or a stand-in: no config is made
/// of it, but reading goes on to find the next error.
pub(super) struct Reader<'a> {
    section: &'static Section,
    table: Option<&'a Table>,
    /// Where the settings are looked for that the table does not give, the nearest first.
    inherited: Vec<Inherited<'a>>,
    file: &'a str,
    env: &'a Env,
    problems: &'a mut Problems,
    is_clean: bool,
}

/// A table whose settings others inherit.
#[derive(Clone, Debug)]
pub(super) struct Inherited<'a> {
    pub(super) section: &'static Section,
    pub(super) table: &'a Table,
    /// As `explain` names it: `[defaults]`, `[[group]] /api/{*rest}`.
    pub(super) name: String,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which is a `name` table of `file`.
    pub(super) fn new(
        name: &str,
        table: Option<&'a Table>,
        file: &'a str,
        env: &'a Env,
        problems: &'a mut Problems,
    ) -> Reader<'a> {
        Reader {
            section: section(name).expect("every section that is read is in the list"),
            table,
            inherited: Vec::new(),
            file,
            env,
            problems,
            is_clean: true,
        }
    }

    /// With tables from which the settings come that its own does not give, the nearest first.
    pub(super) fn inheriting(self, inherited: Vec<Inherited<'a>>) -> Reader<'a> {
        Reader { inherited, ..self }
    }

    /// Whether no error was found through this reader.
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Whether the file or the environment gives the key.
    pub(super) fn gives(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether the file itself has the key's value, rather than the name of a variable.
    pub(super) fn is_written_out(&self, key: &str) -> bool {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Text(text)) => matches!(interpolate(text, self.env), Ok((_, false))),
            _ => false,
        }
    }

    /// Which of two keys that say the same the nearest table gives, and whether it gives both.
    pub(super) fn nearest(
        &self,
        one: &'static str,
        other: &'static str,
    ) -> Option<(&'static str, bool)> {
        let own = self.table.into_iter();
        let mut tables = own.chain(self.inherited.iter().map(|from| from.table));
        tables.find_map(
            |table| match (table.get(one).is_some(), table.get(other).is_some()) {
                (true, both) => Some((one, both)),
                (false, true) => Some((other, false)),
                (false, false) => None,
            },
        )
    }

    /// Where the key stands, or else its table.
    pub(super) fn position(&self, key: &str) -> Position {
        let node = self.node(key).map(|node| &node.position);
        node.or(self.table.map(|table| &table.position))
            .cloned()
            .unwrap_or_else(|| Position::whole(self.file))
    }

    /// Reports that the key's value cannot be taken.
    pub(super) fn reject(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.reject_at(self.position(key), key, what, remedy);
    }

    /// Reports that an element of the key's value cannot be taken.
    pub(super) fn reject_at(
        &mut self,
        position: Position,
        key: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.is_clean = false;
        let name = self.name_at(&position, key);
        self.problems.error(position, name, what, remedy);
    }

    /// Reports that the key's value is unwise.
    pub(super) fn warn(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let position = self.position(key);
        let name = self.name_at(&position, key);
        self.problems.warning(position, name, what, remedy);
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(Parsed::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that must be given.
    pub(super) fn required(&mut self, key: &str, remedy: &str) -> Option<String> {
        let before = self.problems.errors();
        let text = self.text(key);
        // A value that was given and is wrong has been reported.
        if text.is_none() && self.problems.errors() == before {
            self.reject(key, "it is missing", remedy);
        }
        text
    }

    /// A text that has a default, or a word.
    pub(super) fn word(&mut self, key: &str) -> String {
        self.text(key).unwrap_or_default()
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        match self.value(key) {
            Some(Parsed::Address(address)) => address,
            _ => SocketAddr::from(([0, 0, 0, 0], 0)),
        }
    }

    pub(super) fn count(&mut self, key: &str) -> Option<u64> {
        match self.value(key) {
            Some(Parsed::Count(count)) => Some(count),
            _ => None,
        }
    }

    pub(super) fn requests(&mut self, key: &str) -> Option<RequestRate> {
        match self.value(key) {
            Some(Parsed::Requests(rate)) => Some(rate),
            _ => None,
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        matches!(self.value(key), Some(Parsed::Flag(true)))
    }

    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.maybe_duration(key).unwrap_or_default()
    }

    pub(super) fn maybe_duration(&mut self, key: &str) -> Option<Duration> {
        match self.value(key) {
            Some(Parsed::Duration(duration)) => Some(duration),
            _ => None,
        }
    }

    pub(super) fn size(&mut self, key: &str) -> Option<u64> {
        match self.value(key) {
            Some(Parsed::Size(size)) => Some(size),
            _ => None,
        }
    }

    /// A size as `usize`.
    pub(super) fn length(&mut self, key: &str) -> Option<usize> {
        self.size(key).and_then(|size| usize::try_from(size).ok())
    }

    /// A list of the table itself.
    pub(super) fn own_texts(&mut self, key: &str) -> Vec<(Position, String)> {
        let own = self.table.and_then(|table| table.get(key));
        match own.and_then(|node| self.parse(self.field(key), node)) {
            Some(Parsed::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    /// The names in a list and in those of the same key that the table inherits.
    pub(super) fn all_texts(&mut self, key: &str) -> Vec<(Position, String)> {
        let field = self.field(key);
        let mut texts = Vec::new();
        for (_, node) in self.nodes(key) {
            if let Some(Parsed::Texts(found)) = self.parse(field, node) {
                texts.extend(found);
            }
        }
        texts
    }

    /// Which settings are inherited, and from which tables.
    pub(super) fn origins(&self) -> Vec<(&'static str, String)> {
        let mut origins = Vec::new();
        for key in settings().iter().map(|field| field.key) {
            if self.table.is_some_and(|table| table.get(key).is_some()) {
                continue;
            }
            let from = self
                .inherited
                .iter()
                .find(|from| from.table.get(key).is_some());
            origins.extend(from.map(|from| (key, from.name.clone())));
        }
        origins
    }

    /// A list of texts or words, each with its line.
    pub(super) fn texts(&mut self, key: &str) -> Vec<(Position, String)> {
        match self.value(key) {
            Some(Parsed::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    /// A table of texts, each with its name and line.
    pub(super) fn conditions(&mut self, key: &str) -> Vec<(Position, String, String)> {
        match self.value(key) {
            Some(Parsed::Conditions(conditions)) => conditions,
            _ => Vec::new(),
        }
    }

    /// Durations, each with its line.
    pub(super) fn durations(&mut self, key: &str) -> Vec<(Position, Duration)> {
        match self.value(key) {
            Some(Parsed::Durations(durations)) => durations,
            _ => Vec::new(),
        }
    }

    /// A table's values by their keys.
    pub(super) fn table(&mut self, key: &str) -> Vec<(&'static str, Parsed)> {
        match self.value(key) {
            Some(Parsed::Table(values)) => values,
            _ => Vec::new(),
        }
    }

    pub(super) fn counts(&mut self, key: &str) -> Option<Vec<u64>> {
        match self.value(key) {
            Some(Parsed::Counts(counts)) => Some(counts),
            _ => None,
        }
    }

    /// The key with its table: the one that gives what stands at `position`.
    fn name_at(&self, position: &Position, key: &str) -> String {
        let giver = self.nodes(key).find(|(_, node)| node.covers(position));
        let section = giver.map_or(self.section, |(section, _)| section);
        format!("{}.{key}", section.name)
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.nodes(key).next().map(|(_, node)| node)
    }

    /// What gives the key: the table itself, then those that it inherits from.
    fn nodes(&self, key: &str) -> impl Iterator<Item = (&'static Section, &'a Node)> + use<'a> {
        let own = self.table.map(|table| (self.section, table));
        let inherited = self.inherited.iter().filter(|_| is_setting(key));
        let inherited = inherited.map(|from| (from.section, from.table));
        let tables = own.into_iter().chain(inherited);
        let nodes = tables.filter_map(|(section, table)| Some((section, table.get(key)?)));
        nodes.collect::<Vec<_>>().into_iter()
    }

    fn field(&self, key: &str) -> &'static Field {
        let field = self.section.field(key);
        field.expect("every key that is read is in the list of fields")
    }

    /// The key's value; its default if it is not given or wrong.
    fn value(&mut self, key: &str) -> Option<Parsed> {
        let field = self.field(key);
        let given = self
            .nodes(key)
            .find_map(|(_, node)| self.parse(field, node));
        given.or_else(|| parse_default(field))
    }

    /// `None`: it is wrong, or stands for no value.
    fn parse(&mut self, field: &'static Field, node: &Node) -> Option<Parsed> {
        let node = self.fill(field.key, node)?;
        // `token = "${TOKEN:-}"`: an empty variable is how deployments spell "no value".
        if matches!(&node.value, Value::Given(text) if text.is_empty()) {
            return None;
        }
        match parse(field.kind, &node) {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                let position = wrong.position.unwrap_or(node.position);
                self.reject_at(position, field.key, wrong.what, wrong.remedy);
                None
            }
        }
    }

    /// The node with `${VAR}` filled in everywhere.
    fn fill(&mut self, key: &str, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Text(text) => match interpolate(text, self.env) {
                Ok((filled, false)) => Value::Text(filled),
                Ok((filled, true)) => Value::Given(filled),
                Err(unfilled) => {
                    let (what, remedy) = self.explain(key, text, unfilled);
                    self.reject_at(node.position.clone(), key, what, remedy);
                    return None;
                }
            },
            Value::List(items) => {
                let filled: Vec<_> = items.iter().map(|item| self.fill(key, item)).collect();
                Value::List(filled.into_iter().collect::<Option<_>>()?)
            }
            Value::Table(pairs) => {
                let filled = pairs
                    .iter()
                    .map(|(name, node)| Some((name.clone(), self.fill(key, node)?)))
                    .collect::<Vec<Option<_>>>();
                Value::Table(filled.into_iter().collect::<Option<_>>()?)
            }
            other => other.clone(),
        };
        Some(Node {
            position: node.position.clone(),
            value,
        })
    }

    fn explain(&self, key: &str, text: &str, unfilled: Unfilled) -> (String, String) {
        match unfilled {
            Unfilled::Unset(name) => {
                let what = format!("{name} is not set");
                // Without its only variable the table would have no purpose.
                if !self.section.created_by.is_empty() && text == format!("${{{name}}}") {
                    return (
                        what,
                        format!("set it, or leave out [{}]", self.section.name),
                    );
                }
                (what, format!("set it, or give a default: ${{{name}:-…}}"))
            }
            Unfilled::Open => (
                "no } closes the ${".to_owned(),
                format!("write ${{NAME}}, or $$ for a literal $ in {key}"),
            ),
            Unfilled::NotAName(inside) => (
                format!("${{{inside}}} does not name an environment variable"),
                format!("write ${{NAME}}, or $${{{inside}}} for a literal $"),
            ),
        }
    }
}

fn parse_default(field: &'static Field) -> Option<Parsed> {
    if field.default.is_empty() {
        return None;
    }
    let node = Node {
        position: Position::whole("default"),
        value: Value::Given(field.default.to_owned()),
    };
    parse(field.kind, &node).ok()
}
