use proptest::prelude::*;

use super::*;
use crate::http_cache::tests::fixtures::headers;

fn named(lines: &[(&str, &str)]) -> Vec<Box<str>> {
    of(&headers(lines)).unwrap()
}

/// RFC 9875 §2: a List of Strings; RFC 9651 §4.2.
#[test]
fn the_field() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("absent", &[], &[]),
        ("one", &[r#""a""#], &["a"]),
        ("two", &[r#""a", "b""#], &["a", "b"]),
        ("no space", &[r#""a","b""#], &["a", "b"]),
        ("two lines", &[r#""a""#, r#""b""#], &["a", "b"]),
        ("each once", &[r#""b", "a", "b""#], &["a", "b"]),
        ("case counts", &[r#""a", "A""#], &["A", "a"]),
        ("space counts", &[r#""a", "a ""#], &["a", "a "]),
        ("the empty one", &[r#""""#], &[""]),
        ("quotes and backslashes", &[r#""a\"b\\c""#], &[r#"a"b\c"#]),
        ("commas inside", &[r#""a, b""#], &["a, b"]),
        ("stars are no wildcards", &[r#""*""#], &["*"]),
        ("parameters are ignored", &[r#""a";x=1;y, "b""#], &["a", "b"]),
        ("an empty field", &[""], &[]),
        ("a token", &["a"], &[]),
        ("a token among strings", &[r#""a", b"#], &[]),
        ("a number", &["1"], &[]),
        ("an inner list", &[r#"("a" "b")"#], &[]),
        ("a byte sequence", &[":YQ==:"], &[]),
        ("a display string", &[r#"%"a""#], &[]),
        ("a comma too many", &[r#""a","#], &[]),
        ("no comma", &[r#""a" "b""#], &[]),
        ("not closed", &[r#""a"#], &[]),
        ("beyond ASCII", &["\"é\""], &[]),
        ("one bad line spoils all", &[r#""a""#, "b"], &[]),
    ];
    for (name, lines, expected) in rows {
        let lines: Vec<_> = lines.iter().map(|line| ("cache-groups", *line)).collect();
        let found = named(&lines);
        assert_eq!(
            found.iter().map(|g| &**g).collect::<Vec<_>>(),
            *expected,
            "{name}"
        );
    }
}

/// RFC 9875 §2: at least 32 groups of at least 32 characters.
#[test]
fn limits() {
    let list = |count: usize, length: usize| {
        let names = (0..count).map(|n| format!("\"{n:0>length$}\""));
        names.collect::<Vec<_>>().join(", ")
    };
    #[rustfmt::skip]
    let rows = [
        ("as many as must be", 32, 32, true),
        ("as many as may be", MAX_GROUPS, 32, true),
        ("one more", MAX_GROUPS + 1, 32, false),
        ("as long as may be", 1, MAX_LENGTH, true),
        ("longer by one", 1, MAX_LENGTH + 1, false),
    ];
    for (name, count, length, tracked) in rows {
        let response = headers(&[("cache-groups", &list(count, length))]);
        let found = of(&response);
        let expected = tracked.then_some(count).ok_or(TooMany);
        assert_eq!(found.map(|groups| groups.len()), expected, "{name}");
    }
    let twice = format!("{0}, {0}", list(MAX_GROUPS, 3));
    assert!(
        of(&headers(&[("cache-groups", &twice)])).is_ok(),
        "doubled ones count once"
    );
}

/// §3.
#[test]
fn invalidation_by_unsafe_methods_only() {
    let response = headers(&[("cache-group-invalidation", r#""a", "b";x"#)]);
    let both = Invalidated::Named(vec!["a".into(), "b".into()]);
    let none = Invalidated::Named(Vec::new());
    #[rustfmt::skip]
    let rows = [
        ("POST", &both), ("PUT", &both), ("PATCH", &both), ("DELETE", &both), ("UNKNOWN", &both),
        ("GET", &none), ("HEAD", &none), ("OPTIONS", &none), ("TRACE", &none), ("PROPFIND", &none),
    ];
    for (method, expected) in rows {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(&invalidated(&method, &response), expected, "{method}");
    }
    let groups_only = headers(&[("cache-groups", r#""a""#)]);
    assert_eq!(invalidated(&Method::POST, &groups_only), none);
    let broken = headers(&[("cache-group-invalidation", r#""a", b"#)]);
    assert_eq!(invalidated(&Method::POST, &broken), none);
}

#[test]
fn more_than_are_told_apart_are_all() {
    let list = |count| {
        (0..count)
            .map(|n| format!("\"{n}\""))
            .collect::<Vec<_>>()
            .join(",")
    };
    let told = |count| {
        let response = headers(&[("cache-group-invalidation", &list(count))]);
        invalidated(&Method::POST, &response)
    };
    assert!(matches!(told(MAX_INVALIDATED), Invalidated::Named(groups) if groups.len() == 1000));
    assert_eq!(told(MAX_INVALIDATED + 1), Invalidated::All);
}

/// RFC 9875 §2.1: the same String of the same origin.
#[test]
fn tags_are_the_same_for_the_same_group_of_the_same_origin_only() {
    let origins = [
        "http://a",
        "https://a",
        "http://a:81",
        "http://b",
        ANY_ORIGIN,
    ];
    let groups = ["x", "X", "x ", "", "a x"];
    let mut tags: Vec<_> = origins
        .iter()
        .flat_map(|origin| groups.iter().map(|group| tag(origin, group)))
        .collect();
    for tag in &tags {
        assert!(is_tag(tag) && tag.contains(' '), "{tag}");
    }
    assert!(tags[0].starts_with(&tags_of("http://a")));
    assert!(!tag("http://ab", "x").starts_with(&tags_of("http://a")));
    let count = tags.len();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), count);
}

proptest! {
    #[test]
    fn no_field_panics(line in "[\x20-\x7e\t]{0,40}") {
        let response = headers(&[("cache-groups", &line), ("cache-group-invalidation", &line)]);
        let _ = of(&response);
        let _ = invalidated(&Method::POST, &response);
    }

    /// What RFC 9651 can write as a String is read back, letter by letter.
    #[test]
    fn every_string_is_a_group(text in "[\x20-\x7e]{0,40}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(named(&[("cache-groups", &quoted)]), vec![Box::<str>::from(text)]);
    }
}
