//! Names of rules: given, or made of their paths; unique.

use std::collections::BTreeSet;

use super::Input;
use crate::config::document::Table;
use crate::config::problem::Problems;
use crate::config::read::Reader;

const LONGEST_NAME: usize = 64;

/// One name for each table: as given, or else made of the path and told apart by a number.
pub(super) fn read_names(
    input: &Input<'_>,
    section: &str,
    tables: &[Table],
    problems: &mut Problems,
) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut given = Vec::new();
    for table in tables {
        let mut reader = input.rule_reader(section, table, problems);
        let name = reader.text("name");
        if let Some(name) = &name {
            check_name(&mut reader, name, "rule", !taken.insert(name.clone()));
        }
        given.push(name);
    }
    let mut names = Vec::new();
    for (table, given) in tables.iter().zip(given) {
        names.push(given.unwrap_or_else(|| {
            // Its errors are reported when the rule itself is read.
            let mut quiet = Problems::default();
            let path = input.rule_reader(section, table, &mut quiet).word("path");
            make_unique(&name_of(&path), &mut taken)
        }));
    }
    names
}

/// `kind`: what is named; `twice`: another one has the name.
pub(super) fn check_name(reader: &mut Reader<'_>, name: &str, kind: &str, twice: bool) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if twice {
        let what = format!("another {kind} is named \"{name}\"");
        reader.reject("name", what, "write a name of its own");
    } else if !name.chars().all(allowed) || name.len() > LONGEST_NAME {
        let what = format!("\"{name}\" cannot be a name");
        let remedy =
            format!("write up to {LONGEST_NAME} of a-z, A-Z, 0-9, \".\", \"_\", \":\" and \"-\"");
        reader.reject("name", what, remedy);
    }
}

/// `/api/users/{id}` to `api-users-id`.
fn name_of(path: &str) -> String {
    let words: Vec<&str> = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut name = words.join("-");
    name.truncate(LONGEST_NAME);
    if name.is_empty() {
        name.push_str("root");
    }
    name
}

fn make_unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or_default();
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_of_paths() {
        let cases = [
            ("parameter", "/api/users/{id}", "api-users-id"),
            ("catch-all", "/files/{*rest}", "files-rest"),
            ("root", "/", "root"),
            ("other alphabet", "/ä", "root"),
        ];
        for (name, path, expected) in cases {
            assert_eq!(name_of(path), expected, "{name}");
        }
    }

    #[test]
    fn made_names_are_told_apart() {
        let mut taken = BTreeSet::from(["a".to_owned(), "a-2".to_owned()]);
        assert_eq!(make_unique("a", &mut taken), "a-3");
        assert_eq!(make_unique("a", &mut taken), "a-4");
        assert_eq!(make_unique("b", &mut taken), "b");
    }
}
