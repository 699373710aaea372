//! What users read of the config names every key, with the default that the list of keys has.

use crate::config::fields::{Field, SECTIONS, Section, section};

const README: &str = include_str!("../../../README.md");

#[test]
fn the_full_file_shows_every_key_and_its_default() {
    let full = include_str!("../../../config/full.toml");
    for section in SECTIONS {
        let header = match section.repeated {
            true => format!("\n[[{}]]\n", section.name),
            false => format!("\n[{}]\n", section.name),
        };
        let (_, body) = full.split_once(&header).expect(section.name);
        let body = body.split("\n[").next().unwrap_or(body);
        for field in shown_in(section) {
            let name = format!("{}.{}", section.name, field.key);
            let is_field = |line: &&str| {
                let line = line.trim_start_matches("# ");
                line.strip_prefix(field.key)
                    .is_some_and(|rest| rest.starts_with(" = "))
            };
            assert!(
                body.lines().any(|line| is_field(&line)),
                "{name} is missing"
            );
            let shows = |text: &str| body.contains(&format!("Default: {text}."));
            let default = field.default;
            let listed = default.contains(',')
                && body.contains("Default: [\"POST\", \"PUT\", \"PATCH\", \"DELETE\"].");
            let right =
                default.is_empty() || shows(default) || shows(&format!("\"{default}\"")) || listed;
            assert!(right, "{name}: the default {default} is not stated");
        }
    }
}

/// What no key sets is said in the README's limits.
#[test]
fn the_readme_tells_limits_that_are_no_keys() {
    use crate::entry::Entry;
    use crate::http_cache::groups;
    use crate::proxy::request::admit;
    use crate::routes::Key;
    let readme = include_str!("../../../README.md");
    let limits = readme.split("## Limits, and what is not there yet").nth(1);
    let table: Vec<&str> = limits
        .expect("a section")
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    #[rustfmt::skip]
    let rows = [
        ("answers under one key", Entry::MAX_VARIANTS),
        ("a key", Key::MAX),
        ("fields of a request", admit::MAX_FIELDS),
        ("cache groups of an answer", groups::MAX_GROUPS),
        ("cache groups of an answer", groups::MAX_LENGTH),
    ];
    for (what, limit) in rows {
        let row = table.iter().find(|row| row[2..].starts_with(what));
        let row = row
            .unwrap_or_else(|| panic!("no row of {what}"))
            .replace(',', "");
        let mut numbers = row.split(|c: char| !c.is_ascii_digit());
        assert!(
            numbers.any(|number| number == limit.to_string()),
            "{what}: {limit}"
        );
    }
}

#[test]
fn the_readme_lists_every_key() {
    let expected: Vec<String> = SECTIONS
        .iter()
        .filter(|section| section.name != "route")
        .flat_map(|section| section.own.iter().map(|field| row(section, field)))
        .collect();
    let is_there = |row: &&String| README.lines().any(|line| line == *row);
    let missing: Vec<_> = expected.iter().filter(|row| !is_there(row)).collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
    // A row of a key that is no more would stay otherwise.
    let rows = README.lines().filter(|line| is_row(line)).count();
    assert_eq!(rows, expected.len(), "rows in the README");
}

/// The settings of routes are shown once, among the defaults.
fn shown_in(section: &Section) -> Vec<&'static Field> {
    match section.name {
        "defaults" => section.fields().collect(),
        _ => section.own.iter().collect(),
    }
}

/// A key's line in the README's table.
fn row(section: &Section, field: &Field) -> String {
    let (meaning, default) = match field.doc.rsplit_once(" Default: ") {
        Some((meaning, default)) => (meaning, default.trim_end_matches('.').to_owned()),
        None => match field.doc.strip_suffix(" Required.") {
            Some(meaning) => (meaning, "required".to_owned()),
            None if field.default.is_empty() => (field.doc, "none".to_owned()),
            None => (field.doc, format!("`{}`", field.default.replace(',', ", "))),
        },
    };
    format!(
        "| `{}.{}` | {default} | {meaning} |",
        section.name, field.key
    )
}

fn is_row(line: &str) -> bool {
    let name = line
        .strip_prefix("| `")
        .and_then(|rest| rest.split('`').next());
    let table = name.and_then(|name| name.split_once('.'));
    table.is_some_and(|(table, _)| section(table).is_some())
}

/// In words of their own, since these are the keys that users write.
#[test]
fn the_readme_explains_every_setting_of_a_route() {
    let (_, after) = README
        .split_once("### Settings of a route")
        .expect("a heading");
    let table = after.split("\n#").next().unwrap_or(after);
    for field in section("route").expect("there are routes").fields() {
        let start = format!("| `{}` | ", field.key);
        let row = table.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("route.{} is missing", field.key));
        let default = row.trim_end_matches(" |").rsplit(" | ").next();
        let right = field.default.is_empty() || default == Some(&*format!("`{}`", field.default));
        assert!(
            right,
            "route.{}: the default is {}",
            field.key, field.default
        );
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        rows,
        section("route").map_or(0, |route| route.fields().count())
    );
}
