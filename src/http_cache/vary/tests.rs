use super::*;
use crate::http_cache::tests::fixtures::*;

fn selects(vary: &str, first: Lines<'_>, second: Lines<'_>) -> bool {
    let (first, second) = (headers(first), headers(second));
    let selector = Selector::of(&get(&first), &headers(&[("vary", vary)])).unwrap();
    selector.selects(&get(&second))
}

/// §4.1.
#[test]
fn matching_requests() {
    let ua = "user-agent";
    let ae = "accept-encoding";
    let al = "accept-language";
    let accept = "accept";
    #[rustfmt::skip]
    let rows: &[(&str, &str, Lines<'_>, Lines<'_>, bool)] = &[
        ("no fields named", "", &[("x", "1")], &[("x", "2")], true),
        ("same value", "x", &[("x", "1")], &[("x", "1")], true),
        ("other value", "x", &[("x", "1")], &[("x", "2")], false),
        ("absent twice", "x", &[], &[], true),
        ("absent then present", "x", &[], &[("x", "1")], false),
        ("present then absent", "x", &[("x", "1")], &[], false),
        ("empty is not absent", "x", &[("x", "")], &[], false),
        ("field name's case", "X-fOO", &[("x-foo", "1")], &[("X-Foo", "2")], false),
        ("two fields, one differs", "x, y", &[("x", "1"), ("y", "1")], &[("x", "1"), ("y", "2")], false),
        ("fields not named", "x", &[("x", "1"), ("z", "1")], &[("x", "1"), ("z", "2")], true),
        ("space after a comma", "x", &[("x", "1,2")], &[("x", "1, 2")], true),
        ("spaces around a comma", "x", &[("x", "1 \t,\t 2")], &[("x", "1,2")], true),
        ("two spaces after a comma", "x", &[("x", "1,  2")], &[("x", "1, 2")], true),
        ("comma at the end", "x", &[("x", "1,")], &[("x", "1, ")], true),
        ("lines joined", "x", &[("x", "1"), ("x", "2")], &[("x", "1, 2")], true),
        ("lines in another order", "x", &[("x", "1"), ("x", "2")], &[("x", "2, 1")], false),
        ("spaces within a member", "x", &[("x", "a b")], &[("x", "a  b")], false),
        ("commas in quotes", "x", &[("x", "\"1,2\"")], &[("x", "\"1, 2\"")], false),
        ("an escaped quote", "x", &[("x", "\"\\\",2\"")], &[("x", "\"\\\", 2\"")], false),
        ("after the quotes", "x", &[("x", "\"a\",2")], &[("x", "\"a\", 2")], true),
        ("value's case", ua, &[(ua, "a")], &[(ua, "A")], false),
        ("coding's case", ae, &[(ae, "GZIP, br")], &[(ae, "gzip,BR")], true),
        ("other codings", ae, &[(ae, "gzip")], &[(ae, "br")], false),
        ("language's case", "accept-language", &[("accept-language", "en-GB")], &[("accept-language", "en-gb")], true),
        ("a comma in quotes that an escape keeps open", "x", &[("x", "\"a\\\\\",b")], &[("x", "\"a\\\\\", b")], true),
        ("weights in another order", al, &[(al, "de;q=0.5, en")], &[(al, "en, de;q=0.5")], true),
        ("three weights", al, &[(al, "fr;q=0.1,en;q=0.9,de")], &[(al, "de,en;q=0.9,fr;q=0.1")], true),
        ("equal weights keep their order", al, &[(al, "de, en")], &[(al, "en, de")], false),
        ("equal weights stated keep their order", al, &[(al, "de;q=0.5, en;q=0.5")], &[(al, "en;q=0.5, de;q=0.5")], false),
        ("another weight", al, &[(al, "de, en;q=0.5")], &[(al, "de, en;q=0.6")], false),
        ("a weight of one is none", al, &[(al, "de;q=1")], &[(al, "de")], true),
        ("and so is 1.000", al, &[(al, "de;q=1.000")], &[(al, "de;q=1")], true),
        ("zeros at the end", al, &[(al, "de;q=0.50")], &[(al, "de;q=0.5")], true),
        ("a weight of nothing", al, &[(al, "de, *;q=0")], &[(al, "*;q=0.000, de")], true),
        ("nothing is not little", al, &[(al, "de, *;q=0")], &[(al, "de, *;q=0.001")], false),
        ("spaces around a semicolon", al, &[(al, "de ; q=0.5")], &[(al, "de;q=0.5")], true),
        ("empty members", al, &[(al, ",de,,en,")], &[(al, "de, en")], true),
        ("an empty list is not absent", ae, &[(ae, "")], &[], false),
        ("weights over two lines", ae, &[(ae, "gzip;q=0.5"), (ae, "br")], &[(ae, "br, gzip;q=0.5")], true),
        ("a capital Q", ae, &[(ae, "gzip;Q=0.5, br")], &[(ae, "br, gzip;q=0.5")], true),
        ("a weight over one keeps all in order", al, &[(al, "de;q=2, en")], &[(al, "en, de;q=2")], false),
        ("a weight of four digits too", al, &[(al, "de;q=0.1234, en")], &[(al, "en, de;q=0.1234")], false),
        ("and a weight of words", al, &[(al, "de;q=x, en")], &[(al, "en, de;q=x")], false),
        ("and two weights", al, &[(al, "de;q=0.1;q=0.2, en")], &[(al, "en, de;q=0.1;q=0.2")], false),
        ("media ranges by weight", accept, &[(accept, "text/*;q=0.5, text/html")], &[(accept, "text/html, text/*;q=0.5")], true),
        ("other parameters count", accept, &[(accept, "text/html;level=1")], &[(accept, "text/html;level=2")], false),
        ("a parameter's case may count", accept, &[(accept, "a/b;c=D")], &[(accept, "a/b;c=d")], false),
        ("a weight inside quotes is none", accept, &[(accept, "a/b;c=\";q=0.1\", c/d")], &[(accept, "c/d, a/b;c=\";q=0.1\"")], false),
        ("weights of other fields mean nothing known", "x", &[("x", "a;q=0.5, b")], &[("x", "b, a;q=0.5")], false),
        ("cookie", "cookie", &[("cookie", "a=1")], &[("cookie", "a=1")], true),
        ("other cookie", "cookie", &[("cookie", "a=1")], &[("cookie", "a=2")], false),
    ];
    for (name, vary, first, second, expected) in rows {
        assert_eq!(selects(vary, first, second), *expected, "{name}");
        assert!(selects(vary, first, first), "{name}: itself");
    }
}

#[test]
fn named_once_and_sorted() {
    let request = headers(&[("a", "1")]);
    let response = headers(&[("vary", "B ,a,, "), ("vary", "A, c")]);
    let selector = Selector::of(&get(&request), &response).unwrap();
    let names: Vec<_> = selector
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(selector.covers(&headers(&[("vary", "c, A")]), plain()));
    assert!(selector.covers(&headers(&[]), plain()));
    assert!(!selector.covers(&headers(&[("vary", "a, d")]), plain()));
    assert!(!selector.covers(&headers(&[("vary", "*")]), plain()));
}

#[test]
fn host_and_form_select_too() {
    let none = HeaderMap::new();
    let selector = Selector::of(&get(&none), &none).unwrap();
    assert!(selector.selects(&get(&none)));
    assert!(!selector.selects(&RequestHead {
        host: "example.org",
        ..get(&none)
    }));
    assert!(!selector.selects(&RequestHead {
        form: "%61",
        ..get(&none)
    }));
}

#[test]
fn credentials_are_not_kept_in_the_clear() {
    for name in [
        "cookie",
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "x-session-token",
        "x-user-id",
        "x-of-this-app-alone",
    ] {
        let request = headers(&[(name, "secret")]);
        let selector = Selector::of(&get(&request), &headers(&[("vary", name)])).unwrap();
        let kept = selector.fields[0].1.as_deref();
        assert_ne!(kept, Some(&b"secret"[..]), "{name}");
        let other = headers(&[(name, "other")]);
        let selects = |request| selector.selects(&get(request));
        assert!(selects(&request) && !selects(&other), "{name}");
    }
    // `explain` shows these, which browsers send with every request.
    for name in ["accept-language", "origin", "user-agent", "sec-ch-ua"] {
        let request = headers(&[(name, "plain")]);
        let selector = Selector::of(&get(&request), &headers(&[("vary", name)])).unwrap();
        let kept = selector.fields[0].1.as_deref();
        assert_eq!(kept, Some(&b"plain"[..]), "{name}");
    }
}

proptest::proptest! {
    /// §4.1: the order of members that differ in weight says nothing, and whoever sends the one form
    /// is compared without a copy.
    #[test]
    fn the_order_of_weights_says_nothing(
        members in proptest::collection::vec("[a-z]{1,3}(-[a-z]{1,2})?", 1..6),
        turn in 0usize..6,
    ) {
        let weighted: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(place, member)| format!("{member};q=0.{}", 9 - place))
            .collect();
        let mut turned = weighted.clone();
        turned.rotate_left(turn % members.len());
        let name = http::header::ACCEPT_LANGUAGE;
        let one = headers(&[("accept-language", &weighted.join(", "))]);
        let other = headers(&[("accept-language", &turned.join(","))]);
        let normal = normal::normalised(&one, &name).unwrap();
        proptest::prop_assert_eq!(&normal, &normal::normalised(&other, &name).unwrap());
        let again = headers(&[("accept-language", std::str::from_utf8(&normal).unwrap())]);
        proptest::prop_assert_eq!(&normal, &normal::normalised(&again, &name).unwrap());
    }
}

/// §4.1: what proxies on the way add differs from what the client sent.
#[test]
fn fields_that_proxies_extend_match_nothing() {
    for vary in ["X-Forwarded-For", "accept, via"] {
        let none = HeaderMap::new();
        let selector = Selector::of(&get(&none), &headers(&[("vary", vary)]));
        assert_eq!(selector, None, "{vary}");
    }
}

fn selects_by(
    variation: &Variation,
    response: Lines<'_>,
    first: Lines<'_>,
    second: Lines<'_>,
) -> Option<bool> {
    let (first, second) = (headers(first), headers(second));
    let asks = |headers| RequestHead {
        variation,
        ..get(headers)
    };
    let selector = Selector::of(&asks(&first), &headers(response))?;
    Some(selector.selects(&asks(&second)))
}

fn texts(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

/// §4.1.
#[test]
fn only_named_fields_count() {
    let only = Variation {
        only: Some(vec![ACCEPT_LANGUAGE]),
        ..Variation::default()
    };
    let none = Variation {
        only: Some(Vec::new()),
        ..Variation::default()
    };
    let (en, de) = (("accept-language", "en"), ("accept-language", "de"));
    #[rustfmt::skip]
    let rows: &[(&str, &Variation, &str, Lines<'_>, Lines<'_>, bool)] = &[
        ("named and said", &only, "accept-language, rsc", &[en], &[de], false),
        ("said, not named", &only, "rsc, cookie", &[("rsc", "1"), ("cookie", "a=1")], &[], true),
        ("named, not said", &only, "rsc", &[en], &[de], true),
        ("anything", &only, "*", &[en], &[de], true),
        ("what nobody can compare", &only, "x-forwarded-for, accept-language", &[en], &[de], false),
        ("none", &none, "accept-language", &[en], &[de], true),
    ];
    for (name, variation, vary, first, second, expected) in rows {
        let selects = selects_by(variation, &[("vary", vary)], first, second);
        assert_eq!(selects, Some(*expected), "{name}");
    }
}

/// §4.1.
#[test]
fn cookies_that_matter() {
    let ignoring = Variation {
        irrelevant: CookieNames::default().with(["theme".to_owned()]),
        ..Variation::default()
    };
    let elsewhere = Variation {
        without_identity: true,
        ..Variation::default()
    };
    let cookie = |line| [("cookie", line)];
    #[rustfmt::skip]
    let rows = [
        ("analytics", &ignoring, "_ga=1", "_ga=2; _gid=3", true),
        ("named by the rule", &ignoring, "theme=dark", "theme=light", true),
        ("none beside", &ignoring, "theme=dark", "", true),
        ("another session", &ignoring, "session=a; _ga=1", "session=b; _ga=1", false),
        ("the same session", &ignoring, "session=a; _ga=1", "_ga=2; session=a", true),
        ("identity is elsewhere", &elsewhere, "session=a", "session=b", true),
    ];
    for (name, variation, first, second, expected) in rows {
        let (first, second) = (cookie(first), cookie(second));
        let selects = selects_by(variation, &[("vary", "cookie")], &first, &second);
        assert_eq!(selects, Some(expected), "{name}");
    }
}

/// §4.1.
#[test]
fn preferences_made_few() {
    let few = Variation {
        languages: texts(&["en", "de"]),
        encodings: texts(&["br", "gzip"]),
        ..Variation::default()
    };
    let language = |line| ("accept-language", line);
    let coding = |line| ("accept-encoding", line);
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>, bool)] = &[
        ("one language", &[language("de-AT, fr;q=0.5")], &[language("fr;q=0.1, de")], true),
        ("two languages", &[language("de-AT")], &[language("fr")], false),
        ("the default", &[language("fr")], &[], true),
        ("one coding", &[coding("gzip, deflate, br, zstd")], &[coding("br")], true),
        ("two codings", &[coding("gzip, br")], &[coding("gzip")], false),
        ("none", &[coding("zstd")], &[], true),
    ];
    for (name, first, second, expected) in rows {
        let response = [("vary", "accept-language, accept-encoding")];
        let selects = selects_by(&few, &response, first, second);
        assert_eq!(selects, Some(*expected), "{name}");
    }
    let mut to_app = headers(&[language("de-AT, fr;q=0.9"), coding("gzip"), coding("zstd")]);
    few.put_preferences(&mut to_app);
    assert_eq!(lines(&to_app), [language("de"), coding("gzip")]);
    let mut to_app = headers(&[]);
    few.put_preferences(&mut to_app);
    assert_eq!(lines(&to_app), [language("en"), coding("identity")]);
}

/// §4.1.
#[test]
fn what_the_app_forgets_to_say() {
    let by_origin = Variation {
        by_origin: true,
        ..Variation::default()
    };
    let plain = Variation::default();
    let none = Variation {
        only: Some(Vec::new()),
        ..Variation::default()
    };
    let (a, b) = (("origin", "https://a"), ("origin", "https://b"));
    let (gzip, br) = (("accept-encoding", "gzip"), ("accept-encoding", "br"));
    let coded = ("content-encoding", "gzip");
    #[rustfmt::skip]
    let rows: &[(&str, &Variation, Lines<'_>, Lines<'_>, Lines<'_>, bool)] = &[
        ("an origin", &by_origin, &[], &[a], &[b], false),
        ("no origin", &by_origin, &[], &[a], &[], false),
        ("the same origin", &by_origin, &[], &[a], &[a], true),
        ("an origin, not asked for", &plain, &[], &[a], &[b], true),
        ("a coding", &plain, &[coded], &[gzip], &[br], false),
        ("a coding, whatever counts", &none, &[coded], &[gzip], &[], false),
        ("the same coding", &plain, &[coded], &[gzip], &[gzip], true),
        ("no coding", &plain, &[("content-encoding", "identity")], &[gzip], &[br], true),
    ];
    for (name, variation, response, first, second, expected) in rows {
        let selects = selects_by(variation, response, first, second);
        assert_eq!(selects, Some(*expected), "{name}");
    }
}

/// RFC 9110 §12.5.5: what selects here selects in caches on the way.
#[test]
fn what_the_app_does_not_say_is_said() {
    let by_origin = Variation {
        by_origin: true,
        ..Variation::default()
    };
    let negotiated = Variation {
        languages: vec!["en".into()],
        encodings: vec!["gzip".into()],
        ..Variation::default()
    };
    let rows: [(&str, &Variation, &[&str], &[&str]); 6] = [
        ("nothing known", &Variation::default(), &[], &[]),
        ("an origin", &by_origin, &[], &["origin"]),
        ("said", &by_origin, &["Accept, Origin"], &["Accept, Origin"]),
        (
            "beside another",
            &by_origin,
            &["Accept"],
            &["Accept", "origin"],
        ),
        ("any", &by_origin, &["*"], &["*"]),
        (
            "both",
            &negotiated,
            &["accept-language"],
            &["accept-language", "accept-encoding"],
        ),
    ];
    for (name, variation, said, expected) in rows {
        let said: Vec<_> = said.iter().map(|value| ("vary", *value)).collect();
        let mut response = headers(&said);
        variation.say(&mut response);
        let lines: Vec<_> = response.get_all(VARY).iter().collect();
        assert_eq!(lines, expected, "{name}");
    }
}
