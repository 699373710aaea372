use super::*;
use crate::http_cache::tests::fixtures::{Lines, headers, secs};

fn response(line: &str) -> ResponseDirectives {
    ResponseDirectives::of(&headers(&[("cache-control", line)]))
}

fn request(lines: Lines<'_>) -> RequestDirectives {
    RequestDirectives::of(&headers(lines))
}

/// §5.2.2.1: what `max-age` reads as.
#[test]
fn max_age_is_read_strictly() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, Option<u64>)] = &[
        ("plain", "max-age=60", Some(60)),
        ("odd case", "MaX-aGe=60", Some(60)),
        ("quoted", "max-age=\"60\"", Some(60)),
        ("quoted with an escape", "max-age=\"6\\0\"", Some(60)),
        ("leading zeros", "max-age=0060", Some(60)),
        ("spaces around the member", " \t max-age=60 \t ", Some(60)),
        // §5.2.3
        ("after an unknown directive", "foo, max-age=60", Some(60)),
        ("after an unknown argument", "foo=bar, max-age=60", Some(60)),
        ("after empty members", ",, ,max-age=60,,", Some(60)),
        // §5.2
        ("no space after the comma", "public,max-age=60", Some(60)),
        ("absent", "public", None),
        ("empty field", "", None),
        ("inside another's quotes", "foo=\"max-age=60\"", None),
        ("after a quoted comma", "foo=\"a, max-age=1\", max-age=60", Some(60)),
        ("after an escaped quote", "foo=\"a\\\", max-age=1\", max-age=60", Some(60)),
        ("prefix of another name", "xmax-age=60", None),
        ("suffix of another name", "max-agex=60", None),
        // §4.2.1
        ("negative", "max-age=-60", Some(0)),
        ("plus sign", "max-age=+60", Some(0)),
        ("decimal", "max-age=60.0", Some(0)),
        ("letters before", "max-age=a60", Some(0)),
        ("letters after", "max-age=60a", Some(0)),
        ("hexadecimal", "max-age=0x60", Some(0)),
        ("single quotes", "max-age='60'", Some(0)),
        ("empty argument", "max-age=", Some(0)),
        ("empty quotes", "max-age=\"\"", Some(0)),
        ("no argument", "max-age", Some(0)),
        ("space before the sign", "max-age =60", Some(0)),
        ("space after the sign", "max-age= 60", Some(0)),
        ("space within", "max-age=6 0", Some(0)),
        ("space within quotes", "max-age=\" 60\"", Some(0)),
        ("quote never closed", "max-age=\"60", Some(0)),
        ("text after the quotes", "max-age=\"60\"0", Some(0)),
        ("semicolon", "max-age=60; public", Some(0)),
        // §1.2.2
        ("2^31", "max-age=2147483648", Some(1 << 31)),
        ("over 2^31", "max-age=2147483649", Some(1 << 31)),
        ("over 2^64", "max-age=99999999999999999999999", Some(1 << 31)),
        // §4.2.1
        ("twice the same", "max-age=60, max-age=60", Some(60)),
        ("twice, smaller first", "max-age=1, max-age=60", Some(1)),
        ("twice, smaller last", "max-age=60, max-age=1", Some(1)),
        ("twice, one invalid", "max-age=60, max-age=x", Some(0)),
    ];
    for (name, line, expected) in rows {
        assert_eq!(response(line).max_age, expected.map(secs), "{name}");
    }
}

/// §5.2.2: the directives without an argument.
#[test]
fn restrictions_count_in_any_form_and_permissions_in_the_right_one() {
    type Read = fn(&ResponseDirectives) -> bool;
    #[rustfmt::skip]
    let rows: &[(&str, &str, Read, bool)] = &[
        // §5.2.2.5
        ("no-store", "no-store", |d| d.no_store, true),
        ("no-store in capitals", "NO-STORE", |d| d.no_store, true),
        ("no-store with an argument", "no-store=x", |d| d.no_store, true),
        ("no-store before a semicolon", "no-store; foo", |d| d.no_store, true),
        ("no-store quoted away", "a=\"no-store\"", |d| d.no_store, false),
        ("no-store behind a broken quote", "a=\"b, no-store", |d| d.no_store, true),
        ("no-store behind a backslash at the end", "a=\"b, no-store\\", |d| d.no_store, true),
        ("no-store with a longer name", "no-store-x", |d| d.no_store, false),
        ("no-store after a blank", "no-cache no-store", |d| d.no_store, true),
        ("no-store after a tab", "max-age=60\tNo-Store", |d| d.no_store, true),
        ("no-store after a semicolon", "must-revalidate; no-store", |d| d.no_store, true),
        ("no-store after a semicolon alone", "max-age=0;no-store", |d| d.no_store, true),
        ("no-store after a colon", "Cache-Control: no-store", |d| d.no_store, true),
        ("no-store as an argument", "foo=no-store", |d| d.no_store, true),
        ("no-store in quotes", "\"no-store\"", |d| d.no_store, true),
        ("no-store as a quoted argument", "foo=\"no-store\"", |d| d.no_store, false),
        ("no-store in brackets", "[no-store]", |d| d.no_store, true),
        ("no-store after a quoted string", "foo=\"a\" no-store", |d| d.no_store, true),
        ("no-store in a quoted string before more", "foo=\"no-store\" a", |d| d.no_store, false),
        ("no-store after a quoted backslash", "foo=\"\\\\\" no-store", |d| d.no_store, true),
        ("no-store in a quote never closed", "foo=\"a no-store", |d| d.no_store, true),
        ("part of a longer word", "foo bar-no-store", |d| d.no_store, false),
        ("must-revalidate after a semicolon", "public; must-revalidate", |d| d.must_revalidate, true),
        ("proxy-revalidate after a blank", "public proxy-revalidate", |d| d.proxy_revalidate, true),
        // §5.2.2.9
        ("public", "public", |d| d.public, true),
        ("public with an argument", "public=x", |d| d.public, false),
        ("public before a semicolon", "public; x", |d| d.public, false),
        ("public after a semicolon", "foo; public", |d| d.public, false),
        ("public after a blank", "foo public", |d| d.public, false),
        ("public as an argument", "foo=public", |d| d.public, false),
        ("public in a quote never closed", "foo=\"a, public, b", |d| d.public, false),
        ("public behind text after quotes", "foo=\"a\"b\"c, public, d\"", |d| d.public, false),
        ("public before a quote never closed", "public, foo=\"a", |d| d.public, true),
        ("public after a quoted string", "foo=\"a\", public", |d| d.public, true),
        ("s-maxage in a quote never closed", "foo=\"a, s-maxage=60, b", |d| d.name_everyone(), false),
        ("must-understand in a quote never closed", "foo=\"a, must-understand, b", |d| d.must_understand, false),
        ("immutable in a quote never closed", "foo=\"a, immutable, b", |d| d.immutable, false),
        // §5.2.2.3
        ("must-understand", "must-understand", |d| d.must_understand, true),
        ("must-understand with an argument", "must-understand=1", |d| d.must_understand, false),
        // §5.2.2.2
        ("must-revalidate", "must-revalidate", |d| d.must_revalidate, true),
        ("must-revalidate with an argument", "must-revalidate=0", |d| d.must_revalidate, true),
        // §5.2.2.8
        ("proxy-revalidate", "proxy-revalidate", |d| d.proxy_revalidate, true),
        // RFC 8246 §2
        ("immutable", "immutable", |d| d.immutable, true),
        // §5.2.2.10
        ("s-maxage names everyone", "s-maxage=0", |d| d.name_everyone(), true),
        ("invalid s-maxage does not", "s-maxage=x", |d| d.name_everyone(), false),
        ("max-age does not share", "max-age=60", |d| d.name_everyone(), false),
        ("s-maxage forbids stale", "s-maxage=1", |d| d.forbid_stale(), true),
        ("max-age does not", "max-age=1", |d| d.forbid_stale(), false),
    ];
    for (name, line, read, expected) in rows {
        assert_eq!(read(&response(line)), *expected, "{name}");
    }
}

/// §5.2.2.4, §5.2.2.7: qualified forms.
#[test]
fn qualified_directives_name_fields() {
    let fields = |names: &[&'static str]| {
        Reach::Fields(
            names
                .iter()
                .map(|name| HeaderName::from_static(name))
                .collect(),
        )
    };
    #[rustfmt::skip]
    let rows = [
        ("absent", "public", Reach::Nothing),
        ("unqualified", "private", Reach::Whole),
        ("one field", "private=\"X-User\"", fields(&["x-user"])),
        ("as a token", "private=x-user", Reach::Whole),
        ("true", "private=true", Reach::Whole),
        ("after a field and a blank", "private=\"a\" private", Reach::Whole),
        ("after a semicolon", "public; private", Reach::Whole),
        ("after a blank", "no-transform private", Reach::Whole),
        ("the name of a field", "foo=\"private\"", Reach::Nothing),
        ("two fields", "private=\"a, b\"", fields(&["a", "b"])),
        ("empty members", "private=\",a,,\"", fields(&["a"])),
        ("two directives", "private=\"a\", private=\"b\"", fields(&["a", "b"])),
        ("both forms", "private=\"a\", private", Reach::Whole),
        ("both forms, other order", "private, private=\"a\"", Reach::Whole),
        ("no names", "private=\"\"", Reach::Whole),
        ("no field name", "private=\"a b\"", Reach::Whole),
        ("quote never closed", "private=\"a", Reach::Whole),
        ("text after the quotes", "private=\"a\"b", Reach::Whole),
    ];
    for (name, line, expected) in rows {
        assert_eq!(response(line).private, expected, "{name}");
        let line = line.replace("private", "no-cache");
        assert_eq!(response(&line).no_cache, expected, "{name} (no-cache)");
    }
}

/// RFC 9110 §5.3: several lines are one list.
#[test]
fn all_lines_count() {
    let lines = [
        ("cache-control", "max-age=60"),
        ("Cache-Control", "no-store"),
    ];
    let directives = ResponseDirectives::of(&headers(&lines));
    assert_eq!(directives.max_age, Some(secs(60)));
    assert!(directives.no_store);
    // A quote opened on one line does not swallow the next.
    let lines = [
        ("cache-control", "a=\"b"),
        ("cache-control", "no-store, c=\""),
    ];
    assert!(ResponseDirectives::of(&headers(&lines)).no_store);
    // What may be inside it permits nothing.
    let lines = [
        ("cache-control", "a=\"b"),
        ("cache-control", "public, c=\""),
    ];
    assert!(!ResponseDirectives::of(&headers(&lines)).public);
}

/// §5.2.1, §5.4.
#[test]
fn request_directives() {
    let none = RequestDirectives::default();
    let no_cache = RequestDirectives {
        no_cache: true,
        ..none
    };
    let max_age = |seconds| RequestDirectives {
        max_age: Some(secs(seconds)),
        ..none
    };
    let max_stale = |window| RequestDirectives {
        max_stale: Some(window),
        ..none
    };
    let min_fresh = |seconds| RequestDirectives {
        min_fresh: Some(secs(seconds)),
        ..none
    };
    let cc = "cache-control";
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, RequestDirectives)] = &[
        ("nothing", &[], none),
        // §5.2.1.4
        ("no-cache", &[(cc, "no-cache")], no_cache),
        ("no-cache after a semicolon", &[(cc, "foo; no-cache")], no_cache),
        // §5.2.1.5
        ("no-store", &[(cc, "no-store")], RequestDirectives { no_store: true, ..none }),
        ("no-store after a blank", &[(cc, "no-cache no-store")], RequestDirectives { no_store: true, ..no_cache }),
        // §5.2.1.7
        ("only-if-cached", &[(cc, "Only-If-Cached")], RequestDirectives { only_if_cached: true, ..none }),
        // §5.2.1.1
        ("max-age", &[(cc, "max-age=5")], max_age(5)),
        ("invalid max-age", &[(cc, "max-age=x")], max_age(0)),
        ("smallest max-age", &[(cc, "max-age=9, max-age=5")], max_age(5)),
        // §5.2.1.2
        ("max-stale of any length", &[(cc, "max-stale")], max_stale(Duration::MAX)),
        ("max-stale", &[(cc, "max-stale=5")], max_stale(secs(5))),
        ("invalid max-stale", &[(cc, "max-stale=x")], max_stale(secs(0))),
        ("smallest max-stale", &[(cc, "max-stale, max-stale=5")], max_stale(secs(5))),
        ("smallest max-stale, other order", &[(cc, "max-stale=5, max-stale")], max_stale(secs(5))),
        // §5.2.1.3
        ("min-fresh", &[(cc, "min-fresh=5")], min_fresh(5)),
        ("largest min-fresh", &[(cc, "min-fresh=5, min-fresh=9")], min_fresh(9)),
        // RFC 5861 §4
        ("stale-if-error", &[(cc, "stale-if-error=5")], RequestDirectives { stale_if_error: Some(secs(5)), ..none }),
        // §5.4
        ("Pragma", &[("pragma", "No-Cache")], no_cache),
        ("Pragma in a list", &[("pragma", "foo, no-cache")], no_cache),
        ("other Pragma", &[("pragma", "foo=no-cache")], none),
        ("Pragma beside Cache-Control", &[("pragma", "no-cache"), (cc, "max-age=5")], max_age(5)),
        // §5.2.3
        ("unknown", &[(cc, "foo, bar=\"no-cache\"")], none),
    ];
    for (name, lines, expected) in rows {
        assert_eq!(request(lines), *expected, "{name}");
    }
}

/// RFC 9213.
#[test]
fn targeted_fields_replace_cache_control() {
    let cc = "cache-control";
    let cdn = "cdn-cache-control";
    let own = "pannier-cache-control";
    type Row<'a> = (&'a str, Lines<'a>, Option<u64>, bool, bool);
    // name, lines, max-age, no-store, targeted
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("only Cache-Control", &[(cc, "max-age=1")], Some(1), false, false),
        ("replaces it", &[(cc, "no-store"), (cdn, "max-age=5")], Some(5), false, true),
        ("forbids alone", &[(cc, "max-age=5"), (cdn, "no-store")], None, true, true),
        ("own before CDN", &[(cdn, "no-store"), (own, "max-age=5")], Some(5), false, true),
        ("several lines", &[(cdn, "max-age=5"), (cdn, "no-store")], Some(5), true, true),
        ("empty is absent", &[(cc, "no-store"), (cdn, "")], None, true, false),
        ("broken is absent", &[(cc, "no-store"), (cdn, "max-age=5, foo=&")], None, true, false),
        ("broken own, good CDN", &[(own, "max-age="), (cdn, "max-age=7")], Some(7), false, true),
        ("capitals are broken", &[(cc, "max-age=1"), (cdn, "Max-Age=5")], Some(1), false, false),
        ("wrong type", &[(cdn, "max-age=\"5\"")], Some(0), false, true),
        ("decimal", &[(cdn, "max-age=5.0")], Some(0), false, true),
        ("negative", &[(cdn, "max-age=-5")], Some(0), false, true),
        ("inner list", &[(cdn, "max-age=(5)")], Some(0), false, true),
        ("parameters ignored", &[(cdn, "max-age=5;x=1")], Some(5), false, true),
        ("last of two", &[(cdn, "max-age=1, max-age=5")], Some(5), false, true),
        ("false is absent", &[(cdn, "no-store=?0, max-age=5")], Some(5), false, true),
        ("unknown directive", &[(cdn, "foo=bar, max-age=5")], Some(5), false, true),
        ("forbidden by a parameter", &[(cdn, "max-age=5;no-store")], Some(5), true, true),
        ("not by a false one", &[(cdn, "max-age=5;no-store=?0")], Some(5), false, true),
        ("forbidden by an argument", &[(cdn, "max-age=5, foo=no-store")], Some(5), true, true),
    ];
    for (name, lines, max_age, no_store, targeted) in rows {
        let directives = ResponseDirectives::of(&headers(lines));
        let found = (directives.max_age, directives.no_store, directives.targeted);
        assert_eq!(found, (max_age.map(secs), *no_store, *targeted), "{name}");
    }
    let whole = [
        "private=true",
        "private=x-a",
        "max-age=5;private",
        "private=?1",
    ];
    for line in whole {
        let directives = ResponseDirectives::of(&headers(&[(cdn, line)]));
        assert_eq!(directives.private, Reach::Whole, "{line}");
    }
    // name, line, whether everyone may have it
    let permissions = [
        ("plain", "public", true),
        ("true", "public=?1", true),
        ("false", "public=?0", false),
        ("a token", "public=true", false),
        ("a number", "public=1", false),
        ("a list", "public=(a)", false),
        ("a parameter", "max-age=5;public", false),
        ("s-maxage", "s-maxage=5", true),
        ("s-maxage of another type", "s-maxage=\"5\"", false),
        ("must-revalidate", "max-age=5, must-revalidate", false),
    ];
    for (name, line, expected) in permissions {
        let directives = ResponseDirectives::of(&headers(&[(cdn, line)]));
        assert_eq!(directives.name_everyone(), expected, "{name}");
    }
    let directives = ResponseDirectives::of(&headers(&[(cdn, "private=\"x-a\"")]));
    assert_eq!(
        directives.private,
        Reach::Fields(vec![HeaderName::from_static("x-a")])
    );
}
