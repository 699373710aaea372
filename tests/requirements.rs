//! The lists that prove conformance stay whole: every requirement names tests, and each of these
//! exists.
//!
//! `rfc9111.toml` holds every requirement level word of RFC 9111 §3 to §5.5 that concerns a shared
//! cache, `reliability.toml` the project's list of what goes wrong with caching proxies. A test is
//! named as nextest prints it, and a row of a table as `test / row`.

mod named;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use named::Tests;

/// The sections of RFC 9111 from storing to the fields, with the number of requirements in each.
const SECTIONS: &[(&str, usize)] = &[
    ("1.2.2", 1),
    ("3", 8),
    ("3.1", 5),
    ("3.2", 5),
    ("3.3", 5),
    ("3.4", 3),
    ("3.5", 2),
    ("4", 10),
    ("4.1", 8),
    ("4.2", 4),
    ("4.2.1", 4),
    ("4.2.2", 3),
    ("4.2.3", 1),
    ("4.2.4", 3),
    ("4.3.1", 4),
    ("4.3.2", 8),
    ("4.3.3", 4),
    ("4.3.4", 3),
    ("4.3.5", 3),
    ("4.4", 3),
    ("5.1", 2),
    ("5.2", 4),
    ("5.2.1.1", 1),
    ("5.2.1.2", 1),
    ("5.2.1.3", 1),
    ("5.2.1.4", 1),
    ("5.2.1.5", 1),
    ("5.2.1.6", 1),
    ("5.2.1.7", 1),
    ("5.2.2.1", 1),
    ("5.2.2.2", 3),
    ("5.2.2.3", 2),
    ("5.2.2.4", 2),
    ("5.2.2.5", 2),
    ("5.2.2.6", 1),
    ("5.2.2.7", 3),
    ("5.2.2.8", 1),
    ("5.2.2.9", 1),
    ("5.2.2.10", 3),
    ("5.2.3", 1),
    ("5.3", 3),
    ("5.4", 2),
    ("5.5", 1),
];

const README: &str = include_str!("../README.md");

/// The rows of the list of failures.
const CASES: &[(char, u8)] = &[('R', 9), ('K', 9), ('A', 6), ('D', 7), ('O', 5)];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clauses {
    clause: Vec<Clause>,
}

/// One requirement level word of the RFC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clause {
    section: String,
    level: Level,
    /// In our own words.
    text: String,
    tests: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    /// An allowance that a good shared cache uses.
    #[serde(rename = "MAY")]
    May,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failures {
    case: Vec<Case>,
}

/// One thing that goes wrong with caching proxies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    /// What is tried, in our own words.
    tried: String,
    /// The safe result.
    safe: String,
    tests: Vec<String>,
}

#[test]
fn every_clause_of_rfc_9111_has_its_tests() {
    let list: Clauses = read("rfc9111.toml");
    let tests = Tests::read();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for clause in &list.clause {
        *found.entry(&clause.section).or_default() += 1;
        let name = format!("§{} {}", clause.section, clause.text);
        faults.extend(tests.missing(&name, &clause.tests));
    }
    let quoted = format!("({} of them)", list.clause.len());
    assert!(README.contains(&quoted), "README.md does not say {quoted}");
    let expected: BTreeMap<&str, usize> = SECTIONS.iter().copied().collect();
    assert_eq!(found, expected, "requirements by section");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_known_failure_has_its_tests() {
    let list: Failures = read("reliability.toml");
    let tests = Tests::read();
    let mut faults = Vec::new();
    for case in &list.case {
        let name = format!("{}: {} -> {}", case.id, case.tried, case.safe);
        faults.extend(tests.missing(&name, &case.tests));
    }
    let expected: Vec<String> = CASES
        .iter()
        .flat_map(|(table, count)| (1..=*count).map(move |nth| format!("{table}{nth}")))
        .collect();
    let found: Vec<&str> = list.case.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(found, expected);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Prints how many requirements there are of each level (of SHOULD NOT there is none).
#[test]
fn every_level_occurs() {
    let list: Clauses = read("rfc9111.toml");
    let mut found: BTreeMap<Level, usize> = BTreeMap::new();
    for clause in &list.clause {
        *found.entry(clause.level).or_default() += 1;
    }
    println!("{found:?}, {} in all", list.clause.len());
    let levels = [Level::Must, Level::MustNot, Level::Should, Level::May];
    assert_eq!(found.into_keys().collect::<Vec<_>>(), levels);
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/requirements")
        .join(name);
    let text = fs::read_to_string(&path).expect("a file of this repository");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every Rust source below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
