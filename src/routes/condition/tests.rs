use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

fn conditions(pairs: &[(&str, &str)]) -> Conditions {
    let params = ["id".to_owned()];
    let parse = |(name, expected): &(&str, &str)| {
        Condition::parse(name, expected, &params).unwrap_or_else(|error| panic!("{error}"))
    };
    Conditions::from(Vec::from_iter(pairs.iter().map(parse)))
}

/// Whether it may hold, and whether it surely does.
fn verdict(pairs: &[(&str, &str)], body: Option<&Value>) -> (bool, bool) {
    let headers = HeaderMap::from_iter([
        (
            HeaderName::from_static("x-kind"),
            HeaderValue::from_static("a"),
        ),
        (
            HeaderName::from_static("x-kind"),
            HeaderValue::from_static("b"),
        ),
    ]);
    let response = json!({"ok": true});
    let scope = Scope {
        host: "h",
        path: "/p",
        query: Some("tag=a%3Ab&m=1+2&m=3"),
        headers: &headers,
        params: &[("id", "7%2F8")],
        claims: None,
        auth: None,
        spelling: None,
        body_digest: None,
        body,
        response: Some(&response),
        before: None,
    };
    let conditions = conditions(pairs);
    let methods = [Method::POST, Method::DELETE];
    (
        conditions.may_hold(&scope, &methods),
        conditions.surely_hold(&scope, &methods),
    )
}

const MUTATION: &str = r"^\s*mutation\b";

#[test]
fn what_a_body_says() {
    let (query, mutation) = (
        json!({"query": "query { a }"}),
        json!({"query": "\nmutation { a }"}),
    );
    let batch = json!([query, mutation]);
    let all = json!([mutation, mutation]);
    let mixed = json!({"list": [], "object": {"a": 1}, "n": 7, "null": null, "flag": false});
    let (yes, no, maybe) = ((true, true), (false, false), (true, false));
    #[rustfmt::skip]
    let rows = [
        ("a query", ("body.query", MUTATION), Some(&query), no),
        ("a mutation", ("body.query", MUTATION), Some(&mutation), yes),
        ("one of a batch", ("body[].query", MUTATION), Some(&batch), maybe),
        ("one of a batch, without the mark", ("body.query", MUTATION), Some(&batch), maybe),
        ("all of a batch", ("body.query", MUTATION), Some(&all), yes),
        ("absent", ("body.query", MUTATION), Some(&mixed), no),
        ("no body", ("body.query", MUTATION), None, no),
        ("not read", ("body.query", MUTATION), Some(&json::unknown()), maybe),
        ("an object", ("body.object", "a"), Some(&mixed), maybe),
        ("a number", ("body.n", "^7$"), Some(&mixed), yes),
        ("a flag", ("body.flag", "^false$"), Some(&mixed), yes),
        ("an empty list", ("body.list", "."), Some(&mixed), no),
        ("an empty list is absent", ("body.list", "absent"), Some(&mixed), yes),
        ("null is absent", ("body.null", "absent"), Some(&mixed), yes),
        ("an object is present", ("body.object", "present"), Some(&mixed), yes),
        ("not there is not present", ("body.no", "present"), Some(&mixed), no),
        ("another in the URL", ("body.m", "^1"), Some(&json!({"m": 1})), maybe),
        ("in the URL alone", ("body.tag", "^a:b$"), None, maybe),
        ("by its hash", ("body.query", MUTATION), Some(&json!({"documentId": "x"})), maybe),
        ("nobody knows", ("body.no", "absent"), Some(&json::unknown()), maybe),
    ];
    for (name, condition, body, expected) in rows {
        assert_eq!(verdict(&[condition], body), expected, "{name}");
    }
}

#[test]
fn what_else_is_known() {
    let (yes, no, maybe) = ((true, true), (false, false), (true, false));
    #[rustfmt::skip]
    let rows = [
        ("query.tag", "^a:b$", yes),
        ("query.m", "^1 2$", maybe),
        ("query.no", "absent", yes),
        ("header.X-Kind", "^b$", maybe),
        ("header.x-no", "present", no),
        ("path.id", "^7/8$", yes),
        ("method", "^DELETE$", maybe),
        ("method", "^PUT$", no),
        ("response.ok", "true", yes),
        ("response.no", "true", no),
    ];
    for (name, expression, expected) in rows {
        assert_eq!(
            verdict(&[(name, expression)], None),
            expected,
            "{name} {expression}"
        );
    }
    assert_eq!(verdict(&[], None), yes);
    assert_eq!(
        verdict(&[("query.tag", "a"), ("query.no", "a")], None),
        no,
        "all must"
    );
}

#[test]
fn what_is_no_condition() {
    let error = |name, expression| match Condition::parse(name, expression, &[]) {
        Err(error) => error.to_string(),
        Ok(condition) => panic!("{condition:?}"),
    };
    for name in [
        "", "body", "bod.y", "body..a", "body.a.0", "jwt.sub", "cookie.a", "host", "query",
    ] {
        assert!(error(name, "absent").contains("names nothing"), "{name}");
    }
    assert_eq!(error("path.id", "a"), "the path has no parameter id");
    assert_eq!(
        error("method", "(a"),
        "\"(a\" is no regular expression: unclosed group"
    );
    assert!(error("method", r"\w{500}{500}").contains("size limit"));
}

#[test]
fn as_in_the_file() {
    let shown = conditions(&[
        ("body[].a", "^x"),
        ("method", "present"),
        ("path.id", "absent"),
    ]);
    assert_eq!(
        shown.to_string(),
        "body[].a = ^x, method = present, path.id = absent"
    );
}
