use super::*;
use crate::routes::PathSpelling;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

mod lists;
mod properties;

const NO_PARAMS: &[String] = &[];

/// A request to render from; [`Request::scope`] lends it.
#[derive(Clone, Debug, Default)]
struct Request {
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    params: Vec<(&'static str, String)>,
    claims: Option<Value>,
    auth: Option<Value>,
    body: Option<Value>,
    spelling: Option<PathSpelling>,
}

impl Request {
    /// The same, to an app that ignores case.
    fn ignoring_case(&self) -> Request {
        Request {
            spelling: Some(PathSpelling {
                ignore_case: true,
                ..PathSpelling::default()
            }),
            ..self.clone()
        }
    }

    fn query(query: &str) -> Request {
        Request {
            query: Some(query.to_owned()),
            ..Request::default()
        }
    }

    fn path_param(name: &'static str, raw: &str) -> Request {
        Request {
            params: vec![(name, raw.to_owned())],
            ..Request::default()
        }
    }

    fn fields(fields: &[(&'static str, &[u8])]) -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).expect("a valid field value"),
            );
        }
        Request {
            headers,
            ..Request::default()
        }
    }

    fn auth(auth: Value) -> Request {
        Request {
            auth: Some(auth),
            ..Request::default()
        }
    }

    fn claims(claims: Value) -> Request {
        Request {
            claims: Some(claims),
            ..Request::default()
        }
    }

    fn body(body: Value) -> Request {
        Request {
            body: Some(body),
            ..Request::default()
        }
    }

    fn with<R>(&self, read: impl FnOnce(&Scope<'_>) -> R) -> R {
        let params: Vec<(&str, &str)> = self
            .params
            .iter()
            .map(|(name, raw)| (*name, raw.as_str()))
            .collect();
        read(&Scope {
            host: &self.host,
            path: &self.path,
            spelling: self.spelling.as_ref(),
            query: self.query.as_deref(),
            headers: &self.headers,
            params: &params,
            claims: self.claims.as_ref(),
            auth: self.auth.as_ref(),
            body_digest: None,
            body: self.body.as_ref(),
            response: None,
            before: None,
        })
    }
}

fn template(text: &str, site: Site) -> Template {
    let params = ["id", "rest"].map(str::to_owned);
    Template::parse(text, site, &params).expect(text)
}

fn render(text: &str, request: &Request) -> Option<(String, bool)> {
    let key = request.with(|scope| template(text, Site::RouteKey).render(scope));
    key.ok().map(|key| (key.text, key.form.is_empty()))
}

fn bind(text: &str, request: &Request) -> (String, usize) {
    let bound = request.with(|scope| template(text, Site::Purge).bind(scope));
    let patterns: Vec<String> = bound.patterns.iter().map(ToString::to_string).collect();
    (patterns.join(" "), bound.absent)
}

#[test]
fn query_values() {
    const USUAL: bool = true;
    for (name, text, query, expected) in [
        ("plain", "b:{query.id}", "id=7", Some(("b:7", USUAL))),
        (
            "escaped",
            "b:{query.id}",
            "id=a%20b",
            Some(("b:a%20b", USUAL)),
        ),
        ("plus", "b:{query.id}", "id=a+b", Some(("b:a%20b", false))),
        (
            "colon",
            "b:{query.id}",
            "id=a%3Ab",
            Some(("b:a%3Ab", USUAL)),
        ),
        (
            "raw colon",
            "b:{query.id}",
            "id=a:b",
            Some(("b:a%3Ab", false)),
        ),
        ("star", "b:{query.id}", "id=*", Some(("b:%2A", USUAL))),
        (
            "needless escape",
            "b:{query.id}",
            "id=%61",
            Some(("b:a", false)),
        ),
        (
            "needless in the name",
            "b:{query.id}",
            "%69d=a",
            Some(("b:a", false)),
        ),
        ("empty", "b:{query.id}", "id=", Some(("b:", USUAL))),
        ("no value", "b:{query.id}", "id", Some(("b:", false))),
        ("absent", "b:{query.id}", "x=1", None),
        (
            "doubled",
            "b:{query.id}",
            "id=1&id=2",
            Some(("b:1%,2", USUAL)),
        ),
        (
            "semicolon",
            "b:{query.id}",
            "id=1;id=2",
            Some(("b:1;id=2", false)),
        ),
        ("percent", "b:{query.id}", "id=%25", Some(("b:%25", USUAL))),
        ("broken", "b:{query.id}", "id=%", Some(("b:%25", false))),
        (
            "bad utf-8",
            "b:{query.id}",
            "id=%FF",
            Some(("b:%FF", USUAL)),
        ),
        (
            "utf-8",
            "b:{query.id}",
            "id=%C3%A9",
            Some(("b:%C3%A9", USUAL)),
        ),
        ("second =", "b:{query.id}", "id=a=b", Some(("b:a=b", false))),
        (
            "two",
            "{query.a}:{query.b}",
            "b=2&a=1",
            Some(("1:2", USUAL)),
        ),
        (
            "unseparated",
            "{query.a}-{query.b}",
            "a=1&b=2",
            Some(("1-2", false)),
        ),
        ("default", "p:{query.page|1}", "", Some(("p:1", USUAL))),
        (
            "default given",
            "p:{query.page|1}",
            "page=1",
            Some(("p:1", false)),
        ),
        (
            "default passed by",
            "p:{query.page|1}",
            "page=2",
            Some(("p:2", USUAL)),
        ),
        ("empty default", "p:{query.page|}", "", Some(("p:", USUAL))),
        (
            "hostile default",
            "p:{query.page|a:*}",
            "",
            Some(("p:a%3A%2A", USUAL)),
        ),
        (
            "rest",
            "l:{query}",
            "b=2&a=1&b=1",
            Some(("l:a=1&b=2&b=1", USUAL)),
        ),
        (
            "rest but named",
            "l:{query.a}:{query}",
            "b=2&a=1",
            Some(("l:1:b=2", USUAL)),
        ),
        (
            "rest escaped",
            "l:{query}",
            "a=%26b%3D1",
            Some(("l:a=%26b%3D1", USUAL)),
        ),
        ("rest, no value", "l:{query}", "a", Some(("l:a=", false))),
        (
            "rest of nothing",
            "l:{query.a}:{query}",
            "a=1",
            Some(("l:1:", USUAL)),
        ),
    ] {
        let actual = render(text, &Request::query(query));
        let expected = expected.map(|(text, usual)| (text.to_owned(), usual));
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn other_values() {
    let uri = Request {
        host: "Example.com:8080".to_owned(),
        path: "/a%20b".to_owned(),
        query: Some("x=1".to_owned()),
        ..Request::default()
    };
    let digest = "ba7816bf8f01cfea414140de5dae2223";
    for (name, text, request, expected) in [
        (
            "path",
            "u:{path.id}",
            Request::path_param("id", "a%20b"),
            Some("u:a%20b"),
        ),
        (
            "path with a plus",
            "u:{path.id}",
            Request::path_param("id", "a+b"),
            Some("u:a+b"),
        ),
        (
            "catch-all",
            "u:{path.rest}",
            Request::path_param("rest", "a/b"),
            Some("u:a/b"),
        ),
        (
            "host and uri",
            "{host}{uri}",
            uri,
            Some("example.com%3A8080/a%2520b?x=1"),
        ),
        (
            "header",
            "l:{header.Accept-Language}",
            Request::fields(&[("accept-language", b"de, en;q=0.5")]),
            Some("l:de,%20en;q=0.5"),
        ),
        (
            "header twice",
            "l:{header.x}",
            Request::fields(&[("x", b"a"), ("x", b"b,c")]),
            Some("l:a%,b,c"),
        ),
        (
            "empty header",
            "l:{header.x}",
            Request::fields(&[("x", b"")]),
            Some("l:"),
        ),
        ("no header", "l:{header.x}", Request::default(), None),
        (
            "authorization",
            "{header.authorization}",
            Request::fields(&[("authorization", b"abc")]),
            Some(digest),
        ),
        (
            "cookie",
            "{cookie.s}",
            Request::fields(&[("cookie", b"a=1; s=abc;b=2")]),
            Some(digest),
        ),
        (
            "cookie in a second line",
            "{cookie.s}",
            Request::fields(&[("cookie", b"a=1"), ("cookie", b"s=abc")]),
            Some(digest),
        ),
        (
            "no such cookie",
            "{cookie.s}",
            Request::fields(&[("cookie", b"ss=1; S=2")]),
            None,
        ),
        (
            "whole cookie",
            "{header.cookie}",
            Request::fields(&[("cookie", b"abc")]),
            Some(digest),
        ),
        (
            "claim",
            "{jwt.sub}",
            Request::claims(json!({"sub": "a:b"})),
            Some("a%3Ab"),
        ),
        (
            "nested claim",
            "{jwt.org.id}",
            Request::claims(json!({"org": {"id": 7}})),
            Some("7"),
        ),
        (
            "true",
            "{jwt.admin}",
            Request::claims(json!({"admin": true})),
            Some("true"),
        ),
        (
            "null",
            "{jwt.sub}",
            Request::claims(json!({"sub": null})),
            None,
        ),
        (
            "array",
            "{jwt.sub}",
            Request::claims(json!({"sub": ["a"]})),
            None,
        ),
        (
            "object",
            "{jwt.sub}",
            Request::claims(json!({"sub": {}})),
            None,
        ),
        (
            "rounded number",
            "{jwt.sub}",
            Request::claims(json!({"sub": 1e30})),
            None,
        ),
        ("no token", "{jwt.sub}", Request::default(), None),
        (
            "no token, default",
            "{jwt.sub|anon}",
            Request::default(),
            Some("anon"),
        ),
        (
            "no such claim, default",
            "{jwt.sub|anon}",
            Request::claims(json!({})),
            Some("anon"),
        ),
        (
            "unverified token, default",
            "{jwt.sub|anon}",
            Request::fields(&[("authorization", b"Bearer x")]),
            None,
        ),
        (
            "unverified cookie, default",
            "{jwt.sub|anon}",
            Request::fields(&[("cookie", b"token=x")]),
            None,
        ),
    ] {
        let actual = render(text, &request).map(|(text, _)| text);
        assert_eq!(actual.as_deref(), expected, "{name}");
    }
}

#[test]
fn requests_that_differ_have_different_keys() {
    let at = |host: &str, path: &str| Request {
        host: host.to_owned(),
        path: path.to_owned(),
        ..Request::default()
    };
    let cookies = |lines: &[&str]| {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("cookie", line.as_bytes()))
            .collect();
        Request::fields(&lines)
    };
    for (text, a, b) in [
        (
            "{query.a}:{query.b}",
            Request::query("a=x:y&b=z"),
            Request::query("a=x&b=y:z"),
        ),
        (
            "{query.a}{query.b}",
            Request::query("a=1&b=23"),
            Request::query("a=12&b=3"),
        ),
        (
            "{query.a}-{query.b}",
            Request::query("a=1-2&b=3"),
            Request::query("a=1&b=2-3"),
        ),
        (
            "{query.a}",
            Request::query("a=1&a=2"),
            Request::query("a=1%25%2C2"),
        ),
        (
            "{query.a}",
            Request::query("a=1&a=2"),
            Request::query("a=2&a=1"),
        ),
        ("{query.a}", Request::query("a"), Request::query("a=")),
        ("{query.a}", Request::query("a=%61"), Request::query("a=a")),
        (
            "{query.a}",
            Request::query("a=%c3"),
            Request::query("a=%C3"),
        ),
        ("{query.a}", Request::query("a=+"), Request::query("a=%20")),
        ("{query.a|x}", Request::query("a=x"), Request::query("")),
        (
            "{query}",
            Request::query("a=1&b=2"),
            Request::query("a=1%26b=2"),
        ),
        ("{query}", Request::query(""), Request::default()),
        (
            "{query}",
            Request::query("a=1&b=2"),
            Request::query("a%3D1%26b=2"),
        ),
        ("{host}{uri}", at("a/b", "/c"), at("a", "/b/c")),
        (
            "k",
            Request::path_param("id", "1"),
            Request::path_param("id", "2"),
        ),
        (
            "{jwt.sub}",
            Request::claims(json!({"sub": 42})),
            Request::claims(json!({"sub": "42"})),
        ),
        ("{cookie.s}", cookies(&["s=1; s=2"]), cookies(&["s=2; s=1"])),
        ("{cookie.s}", cookies(&["s=1; s=2"]), cookies(&["s=1"])),
        ("{cookie.s}", cookies(&["s =1"]), cookies(&["s=1"])),
        ("{cookie.s}", cookies(&["s="]), cookies(&["s=\"\""])),
        ("{cookie.s}", cookies(&["s"]), cookies(&["s="])),
        ("{cookie.s}", cookies(&["s"]), cookies(&["s;s"])),
        ("{cookie.s|none}", cookies(&["s"]), Request::default()),
        ("{cookie.s|none}", cookies(&["s "]), Request::default()),
        (
            "{cookie.s|none}",
            cookies(&["s=none"]),
            cookies(&["s; s=none"]),
        ),
    ] {
        let key =
            |request: &Request| request.with(|scope| template(text, Site::RouteKey).render(scope));
        let (a, b) = (key(&a).expect(text), key(&b).expect(text));
        assert_ne!(a, b, "{text}");
    }
}

#[test]
fn a_path_parameter_left_out_is_in_the_form() {
    let request = Request::path_param("id", "1");
    assert_eq!(
        render("user:{path.id}", &request),
        Some(("user:1".to_owned(), true))
    );
    assert_eq!(render("user", &request), Some(("user".to_owned(), false)));
}

#[test]
fn secrets_stay_out_of_keys() {
    let request = Request::fields(&[
        ("authorization", b"Bearer hunter2"),
        ("cookie", b"s =hunter2; s=hunter2"),
        ("proxy-authorization", b"hunter2"),
    ]);
    let text =
        "{header.authorization}{cookie.s}{header.cookie}{header.proxy-authorization}{cookie.t|}";
    let key = request
        .with(|scope| template(text, Site::RouteKey).render(scope))
        .expect("all but one are there");
    assert!(!key.text.contains("hunter2") && !key.form.contains("hunter2"));
    assert!(!key.form.is_empty());
    let (pattern, _) = bind(text, &request);
    assert!(!pattern.contains("hunter2"));
}

#[test]
fn bound_purges() {
    for (name, text, request, pattern, absent) in [
        (
            "body",
            "b:{body.p}:*",
            Request::body(json!({"p": "a b"})),
            "b:a%20b:*",
            0,
        ),
        (
            "number",
            "b:{body.p.id}",
            Request::body(json!({"p": {"id": 42}})),
            "b:42",
            0,
        ),
        (
            "array",
            "b:{body.p}:x",
            Request::body(json!({"p": [1]})),
            "b:1:x",
            0,
        ),
        (
            "no body",
            "b:{body.p}:{body.q}",
            Request::default(),
            "b:*:*",
            2,
        ),
        ("default", "b:{body.p|x}", Request::default(), "b:x", 0),
        (
            "an object is not absent",
            "b:{body.p|x}",
            Request::body(json!({"p": {}})),
            "b:*",
            1,
        ),
        (
            "null is absent",
            "b:{body.p|x}",
            Request::body(json!({"p": null})),
            "b:x",
            0,
        ),
        (
            "star",
            "b:{body.p}",
            Request::body(json!({"p": "*"})),
            "b:%2A",
            0,
        ),
        (
            "colon",
            "b:{body.p}",
            Request::body(json!({"p": ":"})),
            "b:%3A",
            0,
        ),
        (
            "doubled",
            "b:{query.p}",
            Request::query("p=1&p=2"),
            "b:*",
            1,
        ),
        (
            "path",
            "b:{path.id}",
            Request::path_param("id", "%31"),
            "b:1",
            0,
        ),
    ] {
        assert_eq!(bind(text, &request), (pattern.to_owned(), absent), "{name}");
    }
}

#[test]
fn an_absent_variable_stays_within_its_value() {
    let bind = |text| {
        let bound = Request::default().with(|scope| template(text, Site::Purge).bind(scope));
        bound.patterns[0].clone()
    };
    let pattern = bind("b:{body.p}:x");
    assert!(pattern.matches("b:1:x"));
    assert!(!pattern.matches("b:1:2:x"));
    let pattern = bind("b:*:x");
    assert!(pattern.matches("b:1:2:x"));
}

#[test]
fn what_a_template_reads() {
    for (text, body, response, jwt) in [
        ("k", false, false, false),
        ("{body.a}", true, false, false),
        ("{response.a}", false, true, false),
        ("{jwt.a}", false, false, true),
        ("{header.x}{query.a}{host}{uri}", false, false, false),
    ] {
        let template = template(text, Site::Purge);
        assert_eq!(template.reads_body(), body, "{text}");
        assert_eq!(template.reads_response(), response, "{text}");
        assert_eq!(template.reads_jwt(), jwt, "{text}");
    }
    assert_eq!(
        Template::default_key(),
        Template::parse("{host}{uri}", Site::RouteKey, NO_PARAMS).expect("valid")
    );
}

#[test]
fn sources_read_back() {
    for text in [
        "{path.id}",
        "{query.a.b}",
        "{query}",
        "{header.x-y}",
        "{cookie.s}",
        "{host}",
        "{uri}",
        "{jwt.a.b}",
        "{body.a.b}",
        "{response.a}",
    ] {
        let template = template(text, Site::Purge);
        let sources: Vec<String> = template.sources().map(Source::to_string).collect();
        assert_eq!(sources, [text]);
    }
}

#[test]
fn errors_say_where_and_what_instead() {
    use Site::{KeyWithBody, Purge, RouteKey, RouteTag, TagWithBody};
    for (text, site, expected) in [
        ("", RouteKey, "the template is empty"),
        (
            "user:{path.id",
            RouteKey,
            "`{` at position 6 is never closed",
        ),
        ("user:path.id}", RouteKey, "stray `}` at position 13"),
        ("{{path.id}}", RouteKey, "stray `{` at position 2"),
        ("{path.id{", RouteKey, "stray `{` at position 9"),
        ("é:{path.id}", RouteKey, "'é' at position 1"),
        ("a b", RouteKey, "' ' at position 2"),
        ("a\n", RouteKey, "'\\n' at position 2"),
        (
            "user:*",
            RouteKey,
            "`*` at position 6 would act as a wildcard",
        ),
        (
            "user:*",
            RouteTag,
            "`*` at position 6 would act as a wildcard",
        ),
        (
            "{cookies.a}",
            RouteKey,
            "`cookies` at position 1; did you mean `cookie`?",
        ),
        ("{params.id}", RouteKey, "unknown source `params`"),
        (
            "{xyzzy}",
            RouteKey,
            "known are: path, query, header, cookie",
        ),
        ("{}", RouteKey, "unknown source `` at position 1"),
        ("{ path.id}", RouteKey, "did you mean `path`?"),
        ("{path}", RouteKey, "write {path.NAME}"),
        ("{path.}", RouteKey, "write {path.NAME}"),
        ("{host.x}", RouteKey, "write {host}"),
        ("{jwt}", RouteKey, "write {jwt.CLAIM}"),
        ("{jwt.a..b}", RouteKey, "a name between dots is empty"),
        (
            "{header.a b}",
            RouteKey,
            "cannot be the name of a header field",
        ),
        ("{cookie.a=b}", RouteKey, "cannot be the name of a cookie"),
        (
            "{path.ids}",
            RouteKey,
            "did you mean `id`? the path has: id, rest",
        ),
        (
            "{path.zzz}",
            RouteKey,
            "`{path.zzz}` at position 1: the path has: id, rest",
        ),
        ("{body.a}", RouteKey, "`body` is for [[purge]] rules"),
        ("{body.a}", RouteTag, "`body` is for [[purge]] rules"),
        ("{body}", RouteKey, "for routes with methods = [\"POST\"]"),
        ("{body}", Purge, "write `*` for any"),
        ("{response.a}", KeyWithBody, "before there is an answer"),
        ("k:{response.a}", RouteKey, "`{response.a}` at position 3"),
    ] {
        let params = ["id", "rest"].map(str::to_owned);
        let error = Template::parse(text, site, &params).expect_err(text);
        let message = error.to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
    let error = Template::parse("{path.id}", RouteKey, NO_PARAMS).expect_err("no parameters");
    assert!(error.to_string().contains("has no parameters"), "{error}");
    assert!(Template::parse("{response.a}", RouteTag, NO_PARAMS).is_ok());
    assert!(Template::parse("*:{body.a}", Purge, NO_PARAMS).is_ok());
    assert!(Template::parse("{body}:{body.a}", KeyWithBody, NO_PARAMS).is_ok());
    assert!(Template::parse("{body}:{response.a}", TagWithBody, NO_PARAMS).is_ok());
}

/// RFC 9111 §4.4: whoever wrote, and whatever a GET of the same URI carries besides.
#[test]
fn keys_of_a_uri() {
    let writer = |fields: &[(&'static str, &[u8])]| Request {
        query: Some("page=2".to_owned()),
        claims: Some(json!({"sub": "ann"})),
        ..Request::fields(fields)
    };
    let ann: &[(&str, &[u8])] = &[
        ("cookie", b"s=1"),
        ("x-user", b"ann"),
        ("accept-language", b"de"),
    ];
    #[rustfmt::skip]
    let rows = [
        ("of the URI", "a:{query.page}", ann, Some("a:2")),
        ("its default", "a:{query.size|9}", ann, Some("a:9")),
        ("no GET of it has a key", "a:{query.size}", ann, None),
        ("a language", "a:{header.accept-language|en}:b", ann, Some("a:*:b")),
        ("a language, absent", "a:{header.accept-language}", &[], Some("a:*")),
        ("a gateway's field", "a:{header.x-user}", ann, Some("a:ann")),
        ("a gateway's field, absent", "a:{header.x-user|nobody}", &[], Some("a:*")),
        ("a claim", "a:{jwt.sub}", ann, Some("a:ann")),
        ("a claim, absent", "a:{jwt.org}", ann, Some("a:*")),
        ("a cookie, absent", "a:{cookie.s|none}", &[], Some("a:*")),
    ];
    for (name, text, fields, expected) in rows {
        let template = Template::parse(text, Site::RouteKey, NO_PARAMS).expect(name);
        let identity = [HeaderName::from_static("x-user")];
        let (found, key) = writer(fields).with(|scope| {
            let key = template.render(scope).ok();
            (template.of_uri(scope, &identity), key)
        });
        let shown = found.as_ref().map(ToString::to_string);
        assert_eq!(shown.as_deref(), expected, "{name}");
        if let (Some(pattern), Some(key)) = (found, key) {
            assert!(pattern.matches(&key.text), "{name}: its own key");
        }
    }
}

#[test]
fn what_a_check_says() {
    let anybody = || Request::auth(json!({"role": "editor", "user": {"id": 7}, "teams": ["a"]}));
    let nobody = || Request::auth(Value::Null);
    let with_cookie = |request: Request| Request {
        headers: Request::fields(&[("cookie", b"sid=1")]).headers,
        ..request
    };
    let rows = [
        ("a text", "k:{auth.role}", anybody(), Some("k:editor")),
        (
            "a number, nested",
            "k:{auth.user.id}",
            anybody(),
            Some("k:7"),
        ),
        ("absent", "k:{auth.org}", anybody(), None),
        (
            "absent, with a default",
            "k:{auth.org|none}",
            anybody(),
            Some("k:none"),
        ),
        ("a list is no value", "k:{auth.teams|none}", anybody(), None),
        ("of nobody", "k:{auth.role}", nobody(), None),
        (
            "of nobody, with a default",
            "k:{auth.role|guest}",
            nobody(),
            Some("k:guest"),
        ),
        ("not known", "k:{auth.role|guest}", Request::default(), None),
        (
            "not known of somebody",
            "k:{auth.role|guest}",
            with_cookie(Request::default()),
            None,
        ),
    ];
    for (name, text, request, expected) in rows {
        let key = render(text, &request).map(|(key, _)| key);
        assert_eq!(key.as_deref(), expected, "{name}");
    }
    assert_eq!(
        bind("k:{auth.role}", &anybody()),
        ("k:editor".to_owned(), 0)
    );
    assert_eq!(
        bind("k:{auth.role|guest}", &Request::default()),
        ("k:*".to_owned(), 1)
    );
}

/// A role is shared: a write to a URI makes stale what all roles see there.
#[test]
fn the_keys_of_a_uri_for_a_writer_whom_a_check_knows() {
    let writer = Request::auth(json!({"role": "editor", "user": {"id": 7}}));
    let of_uri = |text: &str| {
        let pattern = writer.with(|scope| template(text, Site::RouteKey).of_uri(scope, &[]));
        pattern.map(|pattern| pattern.to_string())
    };
    assert_eq!(of_uri("me:{auth.user.id}").as_deref(), Some("me:7"));
    assert_eq!(of_uri("all:{auth.role}").as_deref(), Some("all:*"));
}

/// To an app that ignores case: one text for all cases of a value, wherever it comes from, and a form for each.
#[test]
fn values_in_another_case_are_purged_together_and_kept_apart() {
    let rows = [
        (
            "a parameter",
            "P:{path.id}",
            Request::path_param("id", "aB-9"),
            Request::path_param("id", "Ab-9"),
        ),
        (
            "an escape",
            "P:{path.id}",
            Request::path_param("id", "a%42-9"),
            Request::path_param("id", "aB-9"),
        ),
        (
            "a query",
            "P:{query.id}",
            Request::query("id=AB-9"),
            Request::query("id=ab-9"),
        ),
        (
            "a claim",
            "P:{jwt.sub}",
            Request::claims(json!({"sub": "AB-9"})),
            Request::claims(json!({"sub": "aB-9"})),
        ),
        (
            "a default",
            "P:{query.id|AB-9}",
            Request::query("id=ab-9"),
            Request::default(),
        ),
    ];
    for (case, text, one, other) in rows {
        let (strict_one, strict_other) = (one.clone(), other.clone());
        let key = |request: &Request| {
            let key = request.with(|scope| template(text, Site::RouteKey).render(scope));
            key.unwrap_or_else(|missing| panic!("{case}: {missing:?}"))
        };
        let (one, other) = (key(&one.ignoring_case()), key(&other.ignoring_case()));
        assert_eq!(
            (one.text.as_str(), other.text.as_str()),
            ("p:ab-9", "p:ab-9"),
            "{case}"
        );
        assert_ne!(one.form, other.form, "{case}");
        assert!(key(&strict_one).text.starts_with("P:"), "{case}");
        assert!(key(&strict_other).text.starts_with("P:"), "{case}");
    }
    let body = Request::body(json!({"id": "AB-9"})).ignoring_case();
    let bound = body.with(|scope| template("P:{body.id}:*", Site::Purge).bind(scope));
    assert_eq!(bound.patterns, [Pattern::parse("p:ab-9:*")]);
    let tags = body.with(|scope| template("P:{body.id}", Site::TagWithBody).tags(scope));
    assert_eq!(tags, Ok(vec!["p:ab-9".to_owned()]));
    let of_uri = Request::path_param("id", "AB-9").ignoring_case();
    let of_uri = of_uri.with(|scope| template("P:{path.id}", Site::RouteKey).of_uri(scope, &[]));
    assert_eq!(of_uri, Some(Pattern::literal("p:ab-9")));
}
