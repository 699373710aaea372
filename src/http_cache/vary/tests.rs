use super::*;
use crate::http_cache::fixtures::*;

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
    assert!(selector.covers(&headers(&[("vary", "c, A")])));
    assert!(selector.covers(&headers(&[])));
    assert!(!selector.covers(&headers(&[("vary", "a, d")])));
    assert!(!selector.covers(&headers(&[("vary", "*")])));
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
    for name in ["cookie", "authorization", "proxy-authorization"] {
        let request = headers(&[(name, "secret")]);
        let selector = Selector::of(&get(&request), &headers(&[("vary", name)])).unwrap();
        assert_ne!(
            selector.fields[0].1.as_deref(),
            Some(&b"secret"[..]),
            "{name}"
        );
    }
}
