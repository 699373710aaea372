use std::convert::Infallible;

use futures_util::stream;
use http::HeaderValue;
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};

use super::*;

type Field<'a> = (&'static str, &'a str);

fn headers(fields: &[Field]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn only_the_bearer_of_the_token_may_purge() {
    let token = Some("s3cret");
    let right = ("authorization", "Bearer s3cret");
    type Case<'a> = (
        &'a str,
        Option<&'a str>,
        &'a [Field<'a>],
        Result<(), Refusal>,
    );
    let cases: &[Case] = &[
        ("right", token, &[right], Ok(())),
        (
            "scheme in lower case",
            token,
            &[("authorization", "bearer s3cret")],
            Ok(()),
        ),
        ("none", token, &[], Err(Refusal::Unauthorized)),
        (
            "wrong",
            token,
            &[("authorization", "Bearer s3creT")],
            Err(Refusal::Unauthorized),
        ),
        (
            "prefix",
            token,
            &[("authorization", "Bearer s3cre")],
            Err(Refusal::Unauthorized),
        ),
        (
            "longer",
            token,
            &[("authorization", "Bearer s3crets")],
            Err(Refusal::Unauthorized),
        ),
        (
            "empty",
            token,
            &[("authorization", "Bearer ")],
            Err(Refusal::Unauthorized),
        ),
        (
            "bare",
            token,
            &[("authorization", "s3cret")],
            Err(Refusal::Unauthorized),
        ),
        (
            "other scheme",
            token,
            &[("authorization", "Basic s3cret")],
            Err(Refusal::Unauthorized),
        ),
        ("twice", token, &[right, right], Err(Refusal::Unauthorized)),
        ("no token configured", None, &[right], Err(Refusal::NoToken)),
        (
            "empty token configured",
            Some(""),
            &[("authorization", "Bearer ")],
            Err(Refusal::NoToken),
        ),
        (
            "a web page",
            token,
            &[right, ("origin", "http://evil")],
            Err(Refusal::Origin),
        ),
        (
            "a web page's null origin",
            token,
            &[right, ("origin", "null")],
            Err(Refusal::Origin),
        ),
    ];
    for (name, token, fields, expected) in cases {
        assert_eq!(&authorize(&headers(fields), *token), expected, "{name}");
    }
}

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

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let json = headers(&[("content-type", "Application/JSON; charset=utf-8")]);
    let body = |length: usize| Full::new(Bytes::from(vec![b' '; length]));
    assert_eq!(read(&json, body(MAX_BODY)).await.unwrap().len(), MAX_BODY);
    assert_eq!(
        read(&json, body(MAX_BODY + 1)).await,
        Err(Refusal::TooLarge)
    );

    let declared = headers(&[
        ("content-type", "application/json"),
        ("content-length", "65537"),
    ]);
    let never_read = Empty::<Bytes>::new();
    assert_eq!(read(&declared, never_read).await, Err(Refusal::TooLarge));

    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let other = headers(&[("content-type", media_type)]);
        assert_eq!(
            read(&other, body(1)).await,
            Err(Refusal::MediaType),
            "{media_type}"
        );
    }
    assert_eq!(
        read(&HeaderMap::new(), body(1)).await,
        Err(Refusal::MediaType)
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let json = headers(&[("content-type", "application/json")]);
    let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    assert_eq!(read(&json, never).await, Err(Refusal::BodyTimeout));
}
