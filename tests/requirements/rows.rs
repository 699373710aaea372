//! How many rows the tables of the policy have, by the section they are about.
//!
//! A table's section is the first that the doc comment of its test names, or the one that a comment
//! line of its own (`// §5.2.1`) names for the rows below it. A section without an RFC is of RFC 9111,
//! or of the one that the table is about.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use super::sources;

/// Rows that the policy's tables have at the least.
const LEAST: usize = 1145;

/// Prints the count by section: `cargo nextest run rows_by_section --no-capture`.
#[test]
fn rows_by_section() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http_cache");
    let mut sections: BTreeMap<Section, usize> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for file in sources(&room) {
        // What `explain` says is no policy.
        if file
            .iter()
            .any(|part| part == "explain" || part == "explain.rs")
        {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a readable source");
        for (section, count) in rows(&text) {
            match section {
                Some(section) => *sections.entry(section).or_default() += count,
                None => unnamed.push(format!("{}: {count} rows", file.display())),
            }
        }
    }
    let all: usize = sections.values().sum();
    for (section, count) in &sections {
        println!("| {section} | {count} |");
    }
    println!("| all | {all} |");
    assert!(unnamed.is_empty(), "rows of no section: {unnamed:#?}");
    assert!(all >= LEAST, "{all} rows");
    for (section, quoted) in quoted(include_str!("../../README.md")) {
        let within = sections
            .iter()
            .filter(|(found, _)| found.is_within(&section));
        let found: usize = within.map(|(_, count)| count).sum();
        assert!(
            found >= quoted,
            "README.md says {quoted} rows for {section}; there are {found}"
        );
    }
}

/// A section of an RFC, ordered as printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Section {
    rfc: u16,
    numbers: Vec<u16>,
}

impl Section {
    /// The first section that a text names: `§4.1` (of RFC 9111), `RFC 9110 §14.2`, `RFC 5861`.
    fn named_in(text: &str) -> Option<Section> {
        let section = text.find('§');
        let rfc = text
            .find("RFC ")
            .filter(|at| section.is_none_or(|section| *at < section))
            .and_then(|at| Some((at, *leading(&text[at + 4..]).first()?)));
        let own = |at: usize| leading(&text[at + '§'.len_utf8()..]);
        match (rfc, section) {
            (None, section) => section.map(|at| Section {
                rfc: 9111,
                numbers: own(at),
            }),
            (Some((at, rfc)), section) => {
                // `RFC 5861, §4`: of another one.
                let follows = |section: usize| text[at + 4..section].trim() == rfc.to_string();
                let numbers = section.filter(|section| follows(*section)).map(own);
                Some(Section {
                    rfc,
                    numbers: numbers.unwrap_or_default(),
                })
            }
        }
    }

    /// As a line in a table names it: of the RFC that the table is about, unless it names one.
    fn in_table_of(self, line: &str, about: Option<&Section>) -> Section {
        let rfc = about.map_or(self.rfc, |about| about.rfc);
        match line.contains("RFC ") {
            true => self,
            false => Section { rfc, ..self },
        }
    }

    /// Whether it is `other` or a part of it.
    fn is_within(&self, other: &Section) -> bool {
        self.rfc == other.rfc && self.numbers.starts_with(&other.numbers)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RFC {}", self.rfc)?;
        for (nth, number) in self.numbers.iter().enumerate() {
            write!(out, "{}{number}", if nth == 0 { " §" } else { "." })?;
        }
        Ok(())
    }
}

/// The dotted numbers at the start.
fn leading(text: &str) -> Vec<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers = text[..end.unwrap_or(text.len())].split('.');
    numbers.map_while(|number| number.parse().ok()).collect()
}

/// The rows counted under one section.
type Counted = (Option<Section>, usize);

/// The tables of a file.
fn rows(text: &str) -> Vec<Counted> {
    let mut found = Vec::new();
    let (mut about, mut doc) = (None, None);
    let (mut marked, mut in_test) = (false, false);
    let mut table: Option<Table> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if let Some(open) = &mut table {
            if open.ends(indent, line) {
                found.extend(table.take().and_then(Table::counted));
            } else if let Some(section) = line.strip_prefix("// ").and_then(Section::named_in) {
                let section = section.in_table_of(line, about.as_ref());
                let below = Table::begins(open.indent, Some(section));
                found.extend(std::mem::replace(open, below).counted());
            } else if indent == open.indent + 4 && line.starts_with('(') {
                open.rows += 1;
            }
        } else if let Some(words) = line.strip_prefix("/// ") {
            doc = doc.or_else(|| Section::named_in(words));
        } else if line.starts_with("#[test]") {
            marked = true;
        } else if line.contains("fn ") && line.ends_with('{') {
            about = doc.take();
            in_test = std::mem::take(&mut marked);
        } else if line.is_empty() {
            doc = None;
        } else if in_test && begins_a_table(line) {
            table = Some(Table::begins(indent, about.clone()));
        }
    }
    found
}

/// A table, or what of it stands below a section's name.
struct Table {
    indent: usize,
    section: Option<Section>,
    rows: usize,
}

impl Table {
    fn begins(indent: usize, section: Option<Section>) -> Table {
        Table {
            indent,
            section,
            rows: 0,
        }
    }

    fn ends(&self, indent: usize, line: &str) -> bool {
        indent <= self.indent && line.starts_with([']', '}'])
    }

    fn counted(self) -> Option<Counted> {
        (self.rows > 0).then_some((self.section, self.rows))
    }
}

/// Whether an array of rows begins on this line.
fn begins_a_table(line: &str) -> bool {
    let named = line.starts_with("let rows") || line.starts_with("for (");
    named && line.ends_with('[')
}

/// The lines of the README's table, `| RFC 9111 §4.1 | 52 |`; each counts the sections within it.
fn quoted(readme: &str) -> Vec<(Section, usize)> {
    let lines = readme.lines().filter(|line| line.starts_with("| RFC "));
    lines
        .filter_map(|line| {
            let (section, count) = line.trim_matches(['|', ' ']).split_once('|')?;
            Some((Section::named_in(section)?, count.trim().parse().ok()?))
        })
        .collect()
}

#[test]
fn sections_are_read() {
    for (text, expected) in [
        ("§4.1: words, §5", "RFC 9111 §4.1"),
        ("RFC 9110 §13.1.2: words", "RFC 9110 §13.1.2"),
        ("RFC 5861, §4", "RFC 5861"),
        ("§4.2.4, RFC 5861: windows", "RFC 9111 §4.2.4"),
        ("as RFC 9211 §2 says", "RFC 9211 §2"),
    ] {
        let found = Section::named_in(text).map(|section| section.to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
    assert_eq!(Section::named_in("promise I8 of some RFC"), None);
}

#[test]
fn rows_are_counted() {
    let text = "\
/// §4.1: first.
#[test]
fn first() {
    let rows = [
        (\"a\", 1),
        (\"b\", [
            (2),
        ]),
        // §5.4
        (\"c\", 3),
    ];
}

/// RFC 9110 §14.2.
#[test]
fn of_another() {
    let rows = [
        // §14.4
        (\"f\", 6),
    ];
}

#[test]
fn second() {
    for (name, x) in [
        (\"d\", 4),
    ] {
    }
}

fn no_test() {
    for (name, x) in [
        (\"e\", 5),
    ] {
    }
}
";
    let found = rows(text);
    let found: Vec<_> = found
        .iter()
        .map(|(section, count)| (section.as_ref().map(Section::to_string), *count))
        .collect();
    let named = |section: &str, count| (Some(section.to_owned()), count);
    let expected = [
        named("RFC 9111 §4.1", 2),
        named("RFC 9111 §5.4", 1),
        named("RFC 9110 §14.4", 1),
        (None, 1),
    ];
    assert_eq!(found, expected);
}
