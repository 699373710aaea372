use super::*;

#[test]
fn bodies_say_what_to_purge() {
    let one = PurgeRequest {
        keys: vec!["user:1".into()],
        ..PurgeRequest::default()
    };
    assert_eq!(parse(br#"{"keys": ["user:1"]}"#), Ok(one.clone()));
    assert_eq!(parse(br#"{"keys": ["user:1"], "tags": []}"#), Ok(one));
    let all = PurgeRequest {
        everything: true,
        ..PurgeRequest::default()
    };
    assert_eq!(parse(br#"{"everything": true}"#), Ok(all));
    let both = parse(br#"{"patterns": ["user:*"], "tags": ["t"]}"#).unwrap();
    assert_eq!(
        (both.patterns, both.tags),
        (vec!["user:*".into()], vec!["t".into()])
    );
}

#[test]
fn bodies_that_are_no_purge_are_told_why() {
    let many = format!(r#"{{"keys": [{}"a"]}}"#, r#""a","#.repeat(MAX_SELECTORS));
    let cases = [
        ("no JSON", "user:1", "expected value"),
        (
            "unknown field",
            r#"{"key": ["user:1"]}"#,
            "unknown field `key`",
        ),
        (
            "a string for a list",
            r#"{"keys": "user:1"}"#,
            "expected a sequence",
        ),
        (
            "a string for a bool",
            r#"{"everything": "true"}"#,
            "expected a boolean",
        ),
        (
            "trailing text",
            r#"{"everything": true} x"#,
            "trailing characters",
        ),
        ("empty body", "", "EOF"),
        ("empty object", "{}", "nothing to purge"),
        (
            "empty lists",
            r#"{"keys": [], "tags": []}"#,
            "nothing to purge",
        ),
        (
            "everything: false",
            r#"{"everything": false}"#,
            "nothing to purge",
        ),
        ("empty key", r#"{"keys": ["a", ""]}"#, "an empty string"),
        ("too many", &many, "split the purge"),
    ];
    for (name, body, expected) in cases {
        let refusal = parse(body.as_bytes()).unwrap_err();
        assert_eq!(refusal.status(), 400, "{name}");
        assert!(refusal.to_string().contains(expected), "{name}: {refusal}");
    }
}
