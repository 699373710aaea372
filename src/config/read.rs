//! Typed reading of one table: fills in variables, falls back to defaults, and collects errors.

use std::net::SocketAddr;
use std::time::Duration;

use super::document::{Node, Table, Value};
use super::env::Env;
use super::fields::{Field, Section, section};
use super::interpolate::{Unfilled, interpolate};
use super::problem::{Position, Problems};
use super::value::{Parsed, parse};

/// Reads one table. After an error a getter returns the default, or a stand-in: no config is made
/// of it, but reading goes on to find the next error.
pub(super) struct Reader<'a> {
    section: &'static Section,
    table: Option<&'a Table>,
    file: &'a str,
    env: &'a Env,
    problems: &'a mut Problems,
    is_clean: bool,
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
            file,
            env,
            problems,
            is_clean: true,
        }
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
        self.problems.error(position, self.name(key), what, remedy);
    }

    /// Reports that the key's value is unwise.
    pub(super) fn warn(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let (position, name) = (self.position(key), self.name(key));
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

    /// A list of texts or words, each with its line.
    pub(super) fn texts(&mut self, key: &str) -> Vec<(Position, String)> {
        match self.value(key) {
            Some(Parsed::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    pub(super) fn counts(&mut self, key: &str) -> Option<Vec<u64>> {
        match self.value(key) {
            Some(Parsed::Counts(counts)) => Some(counts),
            _ => None,
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.section.name)
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.table.and_then(|table| table.get(key))
    }

    /// The key's value; its default if it is not given or wrong.
    fn value(&mut self, key: &str) -> Option<Parsed> {
        let field = self.section.field(key);
        let field = field.expect("every key that is read is in the list of fields");
        self.given(field).or_else(|| parse_default(field))
    }

    fn given(&mut self, field: &'static Field) -> Option<Parsed> {
        let node = self.fill(field.key, self.node(field.key)?)?;
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
