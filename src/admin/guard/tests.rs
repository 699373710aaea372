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

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let json = headers(&[("content-type", "Application/JSON; charset=utf-8")]);
    let body = |length: usize| Full::new(Bytes::from(vec![b' '; length]));
    assert_eq!(
        read_body(&json, body(MAX_BODY)).await.unwrap().len(),
        MAX_BODY
    );
    assert_eq!(
        read_body(&json, body(MAX_BODY + 1)).await,
        Err(Refusal::TooLarge)
    );

    let declared = headers(&[
        ("content-type", "application/json"),
        ("content-length", "65537"),
    ]);
    let never_read = Empty::<Bytes>::new();
    assert_eq!(
        read_body(&declared, never_read).await,
        Err(Refusal::TooLarge)
    );

    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let other = headers(&[("content-type", media_type)]);
        assert_eq!(
            read_body(&other, body(1)).await,
            Err(Refusal::MediaType),
            "{media_type}"
        );
    }
    assert_eq!(
        read_body(&HeaderMap::new(), body(1)).await,
        Err(Refusal::MediaType)
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let json = headers(&[("content-type", "application/json")]);
    let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    assert_eq!(read_body(&json, never).await, Err(Refusal::BodyTimeout));
}
