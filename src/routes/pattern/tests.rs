use super::*;
use proptest::prelude::*;

fn pattern(parts: &[&str]) -> Pattern {
    let mut builder = PatternBuilder::default();
    for part in parts {
        match *part {
            "*" => builder.push_any_run(),
            "<v>" => builder.push_any_value(),
            literal => builder.push_literal(literal),
        }
    }
    builder.build()
}

#[test]
fn covers() {
    for (parts, key, expected) in [
        (&[][..], "", true),
        (&[], "a", false),
        (&["a"], "a", true),
        (&["a"], "ab", false),
        (&["*"], "", true),
        (&["*"], "a:b", true),
        (&["a", "*"], "a:b:c", true),
        (&["*", "c"], "a:b:c", true),
        (&["*", "c"], "a:b:cd", false),
        (&["a", "*", "a"], "a", false),
        (&["a", "*", "b", "*", "c"], "axbxc", true),
        (&["a", "*", "b", "*", "c"], "axcxb", false),
        (&["u:", "<v>"], "u:1", true),
        (&["u:", "<v>"], "u:", true),
        (&["u:", "<v>"], "u:1:2", false),
        (&["u:", "<v>", ":x"], "u:1:x", true),
        (&["u:", "<v>", ":x"], "u:1:2:x", false),
        (&["a", "<v>", "b"], "axbxb", true),
        (&["a", "<v>", "b"], "axb:b", false),
        (&["<v>", "b", "<v>"], "xbx", true),
        (&["<v>", "b", "<v>"], "x:bx", false),
        (&["u:", "<v>", ":", "*"], "u:1:2:3", true),
        (&["u:", "<v>", ":", "*"], "u:1", false),
        (&["*", "a", "<v>", "b", "*"], "a:a:axb:", true),
        (&["*", "a", "<v>", "b", "*"], "a:ba:", false),
        (&["*", ":a", "<v>", ":b"], "x:a1:a2:b", true),
        (&["*", "a", "<v>", "b"], "ab:ab", true),
        (&["*", "a", "<v>", "b"], "ab:b", false),
        (&["*", "a:b", "<v>", "c", "*"], "a:b:a:bxc", true),
        (&["*", "<v>"], "a:b", true),
        (&["<v>", "*"], "a:b", true),
        (&["?"], "x", false),
        (&["[a-z]"], "b", false),
        (&["\\", "*"], "\\x", true),
        (&["é", "<v>", "é"], "éaéé", true),
    ] {
        assert_eq!(pattern(parts).matches(key), expected, "{parts:?} on {key}");
    }
}

#[test]
fn parsed_globs() {
    for (glob, key, expected) in [
        ("user:*", "user:1", true),
        ("user:*", "users", false),
        ("user:1", "user:1", true),
        ("user:1", "user:12", false),
        ("**", "x", true),
        ("a%2A", "a%2A", true),
        ("a%2A", "abc", false),
        ("a?c", "abc", false),
        ("a[b]c", "abc", false),
        ("a\\*", "a\\b", true),
        ("a\\*", "a*", false),
    ] {
        assert_eq!(
            Pattern::parse(glob).matches(key),
            expected,
            "{glob} on {key}"
        );
    }
}

#[test]
fn exact_and_prefix() {
    for (parts, exact, prefix) in [
        (&[][..], Some(""), ""),
        (&["a", "b"], Some("ab"), "ab"),
        (&["a", "*", "b"], None, "a"),
        (&["<v>", "b"], None, ""),
    ] {
        assert_eq!(pattern(parts).exact(), exact, "{parts:?}");
        assert_eq!(pattern(parts).prefix(), prefix, "{parts:?}");
    }
    assert_eq!(Pattern::literal("a*b").exact(), Some("a*b"));
    assert!(!Pattern::literal("a*b").matches("axb"));
}

#[test]
fn hostile_patterns_end() {
    let long = "a".repeat(4096);
    let colons = "a:".repeat(2048);
    for (name, pattern, key) in [
        (
            "stars",
            Pattern::parse(&format!("{}b", "a*".repeat(32))),
            &long,
        ),
        (
            "a long stretch",
            Pattern::parse(&format!("*{}b*c", "a".repeat(2048))),
            &long,
        ),
        ("open value", pattern(&["*", "a", "<v>", "b", "*"]), &long),
        ("cut values", pattern(&["*", "a", "<v>", "b", "*"]), &colons),
        (
            "values across colons",
            pattern(&["*", "a:a:", "<v>", "b", "*"]),
            &colons,
        ),
        (
            "many values",
            pattern(&[&["*"][..], &["a", "<v>"].repeat(200), &["b", "*"]].concat()),
            &long,
        ),
    ] {
        // A matcher that tries every way would not come back from one of these in a lifetime.
        assert!(!pattern.matches(key), "{name}");
    }
}

#[test]
fn purges_cover_keys_and_tags() {
    let mut purge = Purge::default();
    assert!(purge.is_empty());
    assert!(!purge.covers("a", &["t"]));
    purge.absorb(Purge {
        keys: vec![Pattern::parse("a:*")],
        ..Purge::default()
    });
    purge.absorb(Purge {
        tags: vec![Pattern::literal("t")],
        ..Purge::default()
    });
    for (key, tags, expected) in [
        ("a:1", &[][..], true),
        ("b", &["t"], true),
        ("b", &["s", "t"], true),
        ("t", &["a:1"], false),
    ] {
        assert_eq!(purge.covers(key, tags), expected, "{key} {tags:?}");
    }
    purge.absorb(Purge {
        everything: true,
        ..Purge::default()
    });
    assert!(purge.covers::<&str>("anything", &[]));
}

/// Tries everything.
fn naive(parts: &[Part], key: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        return key.is_empty();
    };
    let cuts = || (0..=key.len()).filter(|at| key.is_char_boundary(*at));
    match first {
        Part::Literal(literal) => key
            .strip_prefix(literal.as_str())
            .is_some_and(|key| naive(rest, key)),
        Part::AnyRun => cuts().any(|at| naive(rest, &key[at..])),
        Part::AnyValue => cuts().any(|at| !key[..at].contains(':') && naive(rest, &key[at..])),
    }
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let part = prop_oneof![Just("*".to_owned()), Just("<v>".to_owned()), "[ab:]{1,3}"];
    proptest::collection::vec(part, 0..7)
        .prop_map(|parts| pattern(&parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn agrees_with_the_naive_matcher(pattern in any_pattern(), key in "[ab:]{0,12}") {
        prop_assert_eq!(pattern.matches(&key), naive(&pattern.parts, &key));
    }

    #[test]
    fn display_reads_back(glob in "[a:%*é]{0,10}", open in any_pattern(), key in "[ab:]{0,12}") {
        let parsed = Pattern::parse(&glob);
        prop_assert_eq!(Pattern::parse(&parsed.to_string()), parsed);
        if open.matches(&key) {
            prop_assert!(Pattern::parse(&open.to_string()).matches(&key));
        }
    }

    #[test]
    fn a_literal_covers_itself_alone(key in "\\PC{0,8}", other in "\\PC{0,8}") {
        prop_assert!(Pattern::literal(&key).matches(&key));
        prop_assert_eq!(Pattern::literal(&key).matches(&other), key == other);
    }
}
