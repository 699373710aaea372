//! The promises of keys, on hostile values: injective, inert, found by their purges.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::routes::escape::push;

/// What is hostile: separators, wildcards, escapes whole and broken, spaces, bytes beyond ASCII.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-cB0-2]{1,2}",
        "[:*?\\[\\]\\\\;,~.+\"/-]",
        Just("[a-z]".to_owned()),
        "%[0-9a-fA-F]{2}",
        prop_oneof![
            Just("%2a"),
            Just("%2A"),
            Just("%3A"),
            Just("%3a"),
            Just("%61"),
            Just("%25"),
            Just("%2C"),
            Just("%,"),
            Just("%-"),
            Just("%"),
            Just("%2"),
            Just("%FF"),
            Just("%C3%A9"),
            Just("%20"),
            Just("~:"),
        ]
        .prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// Two of the same shape, often equal, so that near misses are common.
fn pair<S: Strategy>(of: impl Fn() -> S) -> impl Strategy<Value = (S::Value, S::Value)>
where
    S::Value: Clone,
{
    (of(), of(), 0..4u8).prop_map(|(a, b, dice)| match dice {
        0 => (a.clone(), a),
        _ => (a, b),
    })
}

/// A few fields named `a` and `b`, some without a value, some with an unusual name.
fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("%61")];
    let field = (name, proptest::option::of(hostile())).prop_map(|(name, value)| match value {
        Some(value) => format!("{name}={}", value.replace('&', "")),
        None => name.to_owned(),
    });
    vec(field, 0..4).prop_map(|fields| fields.join("&"))
}

/// The raw fields of that (decoded) name: all that a template naming it can be told about.
fn named<'q>(query: &'q str, name: &str) -> Vec<&'q str> {
    let names: &[&str] = if name == "a" { &["a", "%61"] } else { &["b"] };
    query
        .split('&')
        .filter(|field| names.contains(&field.split('=').next().unwrap_or_default()))
        .collect()
}

fn header_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![
        Just(b':'),
        Just(b'*'),
        Just(b'%'),
        Just(b','),
        Just(b' '),
        Just(b'2'),
        Just(b'C'),
        Just(b'\t'),
        Just(0xFF),
        proptest::sample::select(&b"Babc"[..]),
        0x80..=0xFEu8,
    ];
    vec(vec(byte, 0..4), 0..3)
}

fn request_with_header(name: &'static str, lines: &[Vec<u8>]) -> Request {
    let fields: Vec<(&'static str, &[u8])> =
        lines.iter().map(|line| (name, line.as_slice())).collect();
    Request::fields(&fields)
}

fn json_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        hostile().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "[0-2]|true|false|null|1\\.5".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!(1.5)),
        Just(Value::Null),
        Just(json!([1])),
    ]
}

fn render(text: &str, request: &Request) -> Option<Key> {
    let key = request.with(|scope| template(text, Site::RouteKey).render(scope));
    key.ok().inspect(|key| assert_inert(text, key))
}

/// Values bring neither wildcards nor separators: a key has the template's colons and no others.
fn assert_inert(text: &str, key: &Key) {
    assert!(
        key.text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{key:?}"
    );
    assert!(!key.text.contains('*'), "{key:?}");
    assert_eq!(
        key.text.matches(':').count(),
        text.matches(':').count(),
        "{key:?}"
    );
}

/// Equal keys mean equal values, and equal values mean equal keys.
fn assert_injective<V: PartialEq>(
    text: &str,
    (a, b): (&Request, &Request),
    values: (V, V),
) -> Result<(), TestCaseError> {
    for (a, b) in [(a, b), (&a.ignoring_case(), &b.ignoring_case())] {
        let (key_a, key_b) = (render(text, a), render(text, b));
        prop_assert_eq!(&key_a, &render(text, a), "not deterministic");
        if values.0 == values.1 {
            prop_assert_eq!(key_a, key_b, "{}", text);
        } else if key_a.is_some() {
            prop_assert_ne!(key_a, key_b, "{}", text);
        }
    }
    Ok(())
}

const TEMPLATES_OF_A_AND_B: [&str; 7] = [
    "{query.a}:{query.b}",
    "x:{query.a}::{query.b}:y",
    "{query.a}{query.b}",
    "{query.a}-{query.b}",
    "{query.a|}:{query.b|1}",
    "{query.a|a}{query.b|b}",
    "{query.b}:%{query.a|%3A}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn query_fields((a, b) in pair(query), which in 0..TEMPLATES_OF_A_AND_B.len()) {
        let values = |query: &str| {
            ["a", "b"].map(|name| named(query, name).into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_injective(
            TEMPLATES_OF_A_AND_B[which],
            (&Request::query(&a), &Request::query(&b)),
            (values(&a), values(&b)),
        )?;
    }

    #[test]
    fn the_whole_query((a, b) in pair(query)) {
        // Sorted by decoded name, the order of equal names kept: all that `{query}` tells apart.
        let values = |query: &str| {
            [named(query, "a"), named(query, "b")].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let (request_a, request_b) = (Request::query(&a), Request::query(&b));
        let whole = |query: &str| (query.is_empty(), values(query));
        assert_injective("l:{query}", (&request_a, &request_b), (whole(&a), whole(&b)))?;
        assert_injective("{query.a}:{query}", (&request_a, &request_b), (whole(&a), whole(&b)))?;
        let uri = |query: &str| Request { path: "/p".to_owned(), ..Request::query(query) };
        assert_injective("{uri}", (&uri(&a), &uri(&b)), (&a, &b))?;
    }

    #[test]
    fn path_parameters((a, b) in pair(|| (hostile(), hostile()))) {
        let request = |values: &(String, String)| Request {
            params: vec![("id", values.0.clone()), ("rest", values.1.clone())],
            ..Request::default()
        };
        for text in ["{path.id}:{path.rest}", "{path.id}{path.rest}", "k:{path.rest}", "k"] {
            assert_injective(text, (&request(&a), &request(&b)), (&a, &b))?;
        }
    }

    #[test]
    fn hosts_and_paths((a, b) in pair(|| ("[a-c./:%*]{0,4}", "(/[a-cB:%*é]{0,2}){0,3}", proptest::option::of("[a-c?:%&]{0,3}")))) {
        let request = |(host, path, query): &(String, String, Option<String>)| Request {
            host: host.clone(),
            path: path.clone(),
            query: query.clone(),
            ..Request::default()
        };
        for text in ["{host}{uri}", "{host}:{uri}", "{uri}{host}"] {
            assert_injective(text, (&request(&a), &request(&b)), (&a, &b))?;
        }
    }

    #[test]
    fn header_fields((a, b) in pair(header_lines), secret in any::<bool>()) {
        let (name, text) = match secret {
            true => ("authorization", "{header.authorization}:x"),
            false => ("x-team", "{header.x-team}"),
        };
        let (request_a, request_b) = (request_with_header(name, &a), request_with_header(name, &b));
        assert_injective(text, (&request_a, &request_b), (&a, &b))?;
    }

    #[test]
    fn cookies((a, b) in pair(|| vec(("[st]", "[ab%,\"= ]{0,2}"), 0..4))) {
        let values = |cookies: &[(String, String)]| {
            cookies.iter().filter(|(name, _)| name == "s").cloned().collect::<Vec<_>>()
        };
        let request = |cookies: &[(String, String)]| {
            let line: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            Request::fields(&[("cookie", line.join(";").as_bytes())])
        };
        for text in ["{cookie.s}", "{cookie.s|none}"] {
            assert_injective(text, (&request(&a), &request(&b)), (values(&a), values(&b)))?;
        }
    }

    #[test]
    fn claims((a, b) in pair(json_value)) {
        let request = |value: &Value| Request::claims(json!({"sub": value}));
        assert_injective("{jwt.sub}", (&request(&a), &request(&b)), (&a, &b))?;
    }

    #[test]
    fn a_purge_finds_what_the_same_values_stored(
        query in query(),
        id in hostile(),
        lines in header_lines(),
        claim in json_value(),
        a in hostile(),
    ) {
        let request = Request {
            host: "h:1".to_owned(),
            path: "/p".to_owned(),
            query: Some(query),
            params: vec![("id", id)],
            claims: Some(json!({"sub": claim})),
            body: Some(json!({"a": a.clone()})),
            ..request_with_header("x-team", &lines)
        };
        for text in [
            "x:{path.id}:{query.a}:y",
            "{query.a|1}{query.b|2}:{header.x-team|z}",
            "{jwt.sub|0}:{query}:{host}{uri}",
        ] {
            for request in [&request, &request.ignoring_case()] {
                let key = request.with(|scope| template(text, Site::RouteKey).render(scope));
                let pattern = &request.with(|scope| template(text, Site::Purge).bind(scope)).patterns[0];
                if let Ok(key) = key {
                    prop_assert!(pattern.matches(&key.text), "{} does not cover {}", pattern, key.text);
                }
            }
        }
        // The value in a body is the decoded value of the query, however that spelled it.
        let mut spelled = String::new();
        push(&mut spelled, a.bytes(), b"&+");
        let stored = render("b:{query.a}", &Request::query(&format!("a={spelled}"))).expect("present");
        let bound = request.with(|scope| template("b:{body.a}", Site::Purge).bind(scope));
        prop_assert_eq!(bound.patterns[0].exact(), Some(stored.text.as_str()));
    }

    #[test]
    fn no_bound_value_widens_a_purge(value in hostile(), neighbour in hostile()) {
        let body = |value: &str| Request::body(json!({"a": value}));
        for text in ["b:{body.a}", "b:{body.a}:x", "b:{body.a}*"] {
            let bound = body(&value).with(|scope| template(text, Site::Purge).bind(scope));
            prop_assert_eq!(bound.absent, 0);
            let pattern = &bound.patterns[0];
            let text_of = |value: &str| {
                let mut text = String::new();
                push(&mut text, value.bytes(), b"");
                text
            };
            let key = text.replace("{body.a}", &text_of(&neighbour)).replace('*', ":tail");
            let meant = match text.ends_with('*') {
                true => key.starts_with(&format!("b:{}", text_of(&value))),
                false => value == neighbour,
            };
            prop_assert_eq!(pattern.matches(&key), meant, "{} on {}", pattern, key);
        }
    }

    #[test]
    fn parsing_never_panics(text in "[{}|.*:a-z \\PC]{0,20}") {
        for site in [Site::RouteKey, Site::TagWithBody, Site::Purge] {
            let parsed = Template::parse(&text, site, &["a".to_owned()]);
            if let Err(error) = parsed {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
