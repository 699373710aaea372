//! Advice, and its acknowledgement.

use std::collections::BTreeMap;

use super::*;
use crate::config::Advice;

const APP: &str = "[upstream]\nurl = \"http://a\"\n";

/// A config that gives each piece of advice once, and the table to acknowledge it in.
fn unwise(advice: Advice) -> (&'static str, &'static str) {
    match advice {
        Advice::AllShared => ("[defaults]\nshared = true\n", "[defaults]\n"),
        Advice::PrivateShared => (
            "[[route]]\npath = \"/a\"\nshared = true\nstore_despite = [\"private\"]\n",
            "[[route]]\n",
        ),
        Advice::OneAnswer => (
            "[[route]]\npath = \"/a/{id}\"\nkey = \"a\"\n",
            "[[route]]\n",
        ),
        Advice::LongLife => (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\nttl = \"2d\"\n\
             [[purge]]\npath = \"/a\"\nkeys = [\"a\"]\n",
            "[[route]]\n",
        ),
        Advice::NeverPurged => ("[[route]]\npath = \"/a\"\nttl = \"2h\"\n", "[[route]]\n"),
        Advice::LargeBody => (
            "[memory]\nin_flight = \"4MiB\"\n[[route]]\npath = \"/a\"\nmax_body = \"2MiB\"\n",
            "[[route]]\n",
        ),
        Advice::IdlePurge => ("[[purge]]\npath = \"/a\"\nkeys = [\"b\"]\n", "[[purge]]\n"),
    }
}

#[test]
fn each_piece_has_its_code_and_is_acknowledged_by_it() {
    for advice in Advice::ALL {
        let code = advice.as_str();
        let (tables, table) = unwise(advice);
        let text = format!("{APP}{tables}");
        let told = warnings(&text, &[]);
        assert!(told.ends_with(&format!(" [{code}]")), "{code}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let line = format!("{table}acknowledge = [\"{code}\"] # it is meant\n");
        let text = text.replace(table, &line);
        let loaded = parse(&text).expect("valid");
        assert_eq!(
            (loaded.warnings, loaded.acknowledged),
            (Vec::new(), 1),
            "{code}"
        );
    }
}

#[test]
fn it_is_inherited_and_what_acknowledges_nothing_is_told() {
    let long = "[[route]]\npath = \"/a/b\"\nttl = \"2h\"\n";
    let rows = [
        (
            "[defaults]",
            "[defaults]\nacknowledge = [\"never-purged\"]\n",
            "",
        ),
        (
            "[[group]]",
            "[[group]]\npath = \"/a/{*rest}\"\nacknowledge = [\"never-purged\"]\n",
            "",
        ),
        (
            "of no use",
            "[defaults]\nacknowledge = [\"never-purged\",\n\"long-life\"]\n",
            "pannier.toml:5: acknowledge: \"long-life\" acknowledges nothing; leave it out",
        ),
    ];
    for (name, tables, expected) in rows {
        let told = warnings(&format!("{APP}{tables}{long}"), &[]);
        assert_eq!(told, expected, "{name}");
    }
    let settings = "[[route]]\npath = \"/a\"\nacknowledge = [\"private-shard\"]\n";
    let told = errors(&format!("{APP}{settings}"));
    assert!(told.contains("did you mean \"private-shared\"?"), "{told}");
}

/// The README has a row for each code.
#[test]
fn the_readme_has_every_code() {
    let readme = include_str!("../../../README.md");
    let table = readme
        .lines()
        .skip_while(|line| *line != "| code | what is unwise |")
        .skip(2);
    let rows = table.map_while(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeMap<&str, &str> = rows.collect();
    let codes: Vec<&str> = rows.keys().copied().collect();
    let mut expected = Advice::WORDS.to_vec();
    expected.sort_unstable();
    assert_eq!(codes, expected);
}
