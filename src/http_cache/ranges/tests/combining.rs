//! Asking for the rest, and joining what came.

use super::*;

/// RFC 9111 §3.4: the one range that makes a part whole.
#[test]
fn missing_ranges() {
    let changed: Lines<'_> = &[FRESH, ("date", SENT), CHANGED];
    // name, fields, Content-Range, what is missing
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, &str, Option<Range<u64>>)] = &[
        ("the end", &[FRESH, TAG], "bytes 0-4/10", Some(5..10)),
        ("the last byte", &[FRESH, TAG], "bytes 0-8/10", Some(9..10)),
        ("the start", &[FRESH, TAG], "bytes 5-9/10", Some(0..5)),
        ("both sides", &[FRESH, TAG], "bytes 3-6/10", None),
        ("nothing", &[FRESH, TAG], "bytes 0-9/10", None),
        ("length unknown", &[FRESH, TAG], "bytes 0-4/*", None),
        ("a strong date", changed, "bytes 0-4/10", Some(5..10)),
        ("a date that may be shared", &[FRESH, ("date", SENT), ("last-modified", SENT)], "bytes 0-4/10", None),
        ("a weak tag", &[FRESH, WEAK], "bytes 0-4/10", None),
        ("a weak tag beside a strong date", &[FRESH, WEAK, ("date", SENT), CHANGED], "bytes 0-4/10", None),
        ("a tag without quotes", &[FRESH, ("etag", "a")], "bytes 0-4/10", None),
        ("no validator", &[FRESH], "bytes 0-4/10", None),
    ];
    for (name, fields, content_range, expected) in rows {
        let line = ("content-range", *content_range);
        let stored = part(&[*fields, &[line]].concat()).unwrap();
        assert_eq!(missing(&stored), *expected, "{name}");
    }
    assert_eq!(missing(&stored(&[FRESH, TAG])), None, "of a whole");
}

/// RFC 9110 §13.1.5, §14.2: the request for it.
#[test]
fn requests_for_the_rest() {
    let part_with = |fields: Lines<'_>| {
        part(&[fields, &[FRESH, ("content-range", "bytes 0-4/10")]].concat()).unwrap()
    };
    let conditions = [
        ("x-a", "1"),
        ("range", "bytes=7-8"),
        ("if-range", "\"z\""),
        ("if-none-match", "\"z\""),
        ("if-match", "\"z\""),
        ("if-modified-since", SENT),
        ("if-unmodified-since", SENT),
        ("accept", "text/plain"),
    ];
    let rest = 5..10;
    let none = Range { start: 5, end: 5 };
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, &Range<u64>, Lines<'_>)] = &[
        ("by tag", &[TAG], &rest, &[("range", "bytes=5-9"), ("if-range", "\"a\"")]),
        ("by date", &[("date", SENT), CHANGED], &rest, &[("range", "bytes=5-9"), ("if-range", HOUR_EARLIER)]),
        ("by tag, although there is a date", &[TAG, ("date", SENT), CHANGED], &rest, &[("range", "bytes=5-9"), ("if-range", "\"a\"")]),
        ("weak: all is asked for", &[WEAK], &rest, &[]),
        ("nothing missing: all is asked for", &[TAG], &none, &[]),
    ];
    for (name, fields, missing, expected) in rows {
        let mut request = headers(&conditions);
        add_rest(&mut request, &part_with(fields), missing);
        let expected = [&[("x-a", "1"), ("accept", "text/plain")], *expected].concat();
        assert_eq!(lines(&request), expected, "{name}");
    }
}

/// RFC 9111 §3.4: which can be joined, and into what.
#[test]
fn joining() {
    let with = |fields: Lines<'_>, range: &str| {
        part(&[&[FRESH, ("content-range", range)], fields].concat()).unwrap()
    };
    let whole = |fields: Lines<'_>| stored(&[&[FRESH, ("content-length", "10")], fields].concat());
    let of = |first, end, complete| {
        Some(Some(Part {
            first,
            end,
            complete,
        }))
    };
    let all = Some(None);
    let ten = Some(10);
    let coded: Lines<'_> = &[TAG, ("content-encoding", "gzip")];
    let recoded: Lines<'_> = &[TAG, ("content-encoding", "br")];
    let dated: Lines<'_> = &[("date", SENT), CHANGED];
    let vary = &[TAG, ("vary", "accept")];
    // name, older, newer, part of what they make (`None`: nothing)
    type Row<'a> = (&'a str, Stored, Stored, Option<Option<Part>>);
    #[rustfmt::skip]
    let rows: Vec<Row<'_>> = vec![
        ("touching: whole", with(&[TAG], "bytes 0-4/10"), with(&[TAG], "bytes 5-9/10"), all),
        ("touching, newer first: whole", with(&[TAG], "bytes 5-9/10"), with(&[TAG], "bytes 0-4/10"), all),
        ("touching: part", with(&[TAG], "bytes 1-4/10"), with(&[TAG], "bytes 5-6/10"), of(1, 7, ten)),
        ("overlapping", with(&[TAG], "bytes 1-5/10"), with(&[TAG], "bytes 3-8/10"), of(1, 9, ten)),
        ("newer within older", with(&[TAG], "bytes 1-8/10"), with(&[TAG], "bytes 3-4/10"), of(1, 9, ten)),
        ("older within newer", with(&[TAG], "bytes 3-4/10"), with(&[TAG], "bytes 1-8/10"), of(1, 9, ten)),
        ("the same", with(&[TAG], "bytes 3-4/10"), with(&[TAG], "bytes 3-4/10"), of(3, 5, ten)),
        ("a gap", with(&[TAG], "bytes 0-3/10"), with(&[TAG], "bytes 5-9/10"), None),
        ("a gap, newer first", with(&[TAG], "bytes 5-9/10"), with(&[TAG], "bytes 0-3/10"), None),
        ("length known to the older", with(&[TAG], "bytes 0-4/10"), with(&[TAG], "bytes 5-9/*"), all),
        ("length known to the newer", with(&[TAG], "bytes 0-4/*"), with(&[TAG], "bytes 5-9/10"), all),
        ("length unknown", with(&[TAG], "bytes 0-4/*"), with(&[TAG], "bytes 5-9/*"), of(0, 10, None)),
        ("lengths differ", with(&[TAG], "bytes 0-4/10"), with(&[TAG], "bytes 5-9/11"), None),
        ("past the other's length", with(&[TAG], "bytes 0-4/5"), with(&[TAG], "bytes 5-9/*"), None),
        ("a part of five that is all", with(&[TAG], "bytes 0-4/5"), with(&[TAG], "bytes 3-4/*"), all),
        ("a part into a whole", whole(&[TAG]), with(&[TAG], "bytes 3-4/10"), all),
        ("a part into a whole of another length", whole(&[TAG]), with(&[TAG], "bytes 3-4/9"), None),
        ("a part past a whole", whole(&[TAG]), with(&[TAG], "bytes 10-11/*"), None),
        ("a whole over a part", with(&[TAG], "bytes 3-4/10"), whole(&[TAG]), all),
        ("strong dates", with(dated, "bytes 0-4/10"), with(dated, "bytes 5-9/10"), all),
        ("other tags", with(&[TAG], "bytes 0-4/10"), with(&[("etag", "\"b\"")], "bytes 5-9/10"), None),
        ("other tags, a whole", with(&[TAG], "bytes 0-4/10"), whole(&[("etag", "\"b\"")]), None),
        ("weak tags", with(&[WEAK], "bytes 0-4/10"), with(&[WEAK], "bytes 5-9/10"), None),
        ("one tag is weak", with(&[TAG], "bytes 0-4/10"), with(&[WEAK], "bytes 5-9/10"), None),
        ("weak tags beside strong dates", with(&[&[WEAK], dated].concat(), "bytes 0-4/10"), with(&[&[WEAK], dated].concat(), "bytes 5-9/10"), None),
        ("a tag and a date", with(&[TAG], "bytes 0-4/10"), with(dated, "bytes 5-9/10"), None),
        ("no validators", with(&[], "bytes 0-4/10"), with(&[], "bytes 5-9/10"), None),
        ("no validator in the newer", with(&[TAG], "bytes 0-4/10"), with(&[], "bytes 5-9/10"), None),
        ("other selectors", with(&[TAG], "bytes 0-4/10"), with(vary, "bytes 5-9/10"), None),
        ("equal selectors", with(vary, "bytes 0-4/10"), with(vary, "bytes 5-9/10"), all),
        ("equal codings", with(coded, "bytes 0-4/10"), with(coded, "bytes 5-9/10"), all),
        ("a coding left out, as after If-Range", with(coded, "bytes 0-4/10"), with(&[TAG], "bytes 5-9/10"), all),
        ("other codings", with(coded, "bytes 0-4/10"), with(recoded, "bytes 5-9/10"), None),
        ("a coding only now", with(&[TAG], "bytes 0-4/10"), with(coded, "bytes 5-9/10"), None),
        ("another status", store(203, &[FRESH, TAG], &rfc()).unwrap(), with(&[TAG], "bytes 5-9/10"), None),
    ];
    for (name, old, new, expected) in rows {
        // Byte by byte what its position says, past the end of `BODY` too.
        let bytes = |part: Option<Part>, length: usize| {
            let (first, end) =
                part.map_or((0, length), |part| (part.first as usize, part.end as usize));
            Bytes::from_static(b"0123456789ab").slice(first..end)
        };
        let (old_bytes, new_bytes) = (bytes(old.part, 10), bytes(new.part, 10));
        let found = combined((&old, &old_bytes), (&new, &new_bytes));
        let part = found.as_ref().map(|(stored, _)| stored.part);
        assert_eq!(part, expected, "{name}");
        if let Some((stored, joined)) = found {
            assert_eq!(joined, bytes(stored.part, joined.len()), "{name}");
        }
    }
}

#[test]
fn a_body_that_belies_its_part_is_not_joined() {
    let (old, new) = (tagged("bytes 0-4/10"), tagged("bytes 5-9/10"));
    let (short, fit) = (Bytes::from_static(b"0123"), Bytes::from_static(b"56789"));
    assert_eq!(combined((&old, &short), (&new, &fit)), None);
    assert_eq!(combined((&old, &fit), (&new, &short)), None);
}

#[test]
fn where_both_have_a_byte_the_newer_counts() {
    let (old, new) = (tagged("bytes 0-6/10"), tagged("bytes 2-4/10"));
    let bytes = (Bytes::from_static(b"aaaaaaa"), Bytes::from_static(b"bbb"));
    let (_, joined) = combined((&old, &bytes.0), (&new, &bytes.1)).unwrap();
    assert_eq!(joined, "aabbbaa");
}

/// RFC 9111 §3.2, RFC 9110 §15.3.7.3: whose fields and times the result has.
#[test]
fn fields_of_what_is_joined() {
    let date = ("date", SENT);
    let kind = ("content-type", "text/plain");
    let newer_date = ("date", HOUR_LATER);
    // name, older fields, newer fields, result
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>, Lines<'_>)] = &[
        ("replaced", &[date, FRESH, TAG, ("x-a", "1"), ("x-a", "2")], &[newer_date, (CC, "max-age=9"), TAG, ("x-a", "3")], &[newer_date, (CC, "max-age=9"), TAG, ("x-a", "3")]),
        ("added", &[date, FRESH, TAG], &[newer_date, FRESH, TAG, ("x-a", "1")], &[newer_date, FRESH, TAG, ("x-a", "1")]),
        ("left out, as after If-Range", &[date, FRESH, TAG, kind, ("x-a", "1")], &[newer_date, FRESH, TAG], &[newer_date, FRESH, TAG, kind, ("x-a", "1")]),
        ("withheld by now", &[date, FRESH, TAG, ("x-a", "1")], &[newer_date, (CC, "max-age=60, private=\"x-a\""), TAG], &[newer_date, (CC, "max-age=60, private=\"x-a\""), TAG]),
        ("the type too", &[date, FRESH, TAG, kind], &[newer_date, FRESH, TAG, ("content-type", "text/html")], &[newer_date, FRESH, TAG, ("content-type", "text/html")]),
    ];
    let stored =
        |lines: Lines<'_>, range| part(&[lines, &[("content-range", range)]].concat()).unwrap();
    for (name, old, new, expected) in rows {
        let (old, mut new) = (stored(old, "bytes 0-4/10"), stored(new, "bytes 5-9/10"));
        new.response_time = later(3600);
        let (first, second) = (bytes_of(&old), bytes_of(&new));
        let (joined, _) = combined((&old, &first), (&new, &second)).unwrap();
        assert_eq!(lines(&joined.headers), *expected, "{name}");
        assert_eq!(joined.response_time, later(3600), "{name}");
        assert_eq!(joined.lifetime, new.lifetime, "{name}");
    }
}

/// RFC 9111 §3.4: of a whole that a part confirms, the length stays; a newer whole needs nothing of the older part.
#[test]
fn fields_of_wholes() {
    let length = ("content-length", "10");
    let old = stored(&[FRESH, TAG, length, ("x-a", "1")]);
    let new = part(&[(CC, "max-age=9"), TAG, ("content-range", "bytes 5-9/10")]).unwrap();
    let tail = bytes_of(&new);
    let (joined, _) = combined((&old, &body()), (&new, &tail)).unwrap();
    assert_eq!(joined.headers["content-length"], "10");
    assert_eq!((joined.lifetime, joined.part), (secs(9), None));
    let newest = stored(&[(CC, "max-age=5"), TAG, length]);
    let (joined, bytes) = combined((&new, &tail), (&newest, &body())).unwrap();
    assert_eq!((joined, bytes), (newest, body()), "a newer whole");
}

/// RFC 9111 §3.4: directives that only the older one stated are still among the fields, so they bind.
#[test]
fn directives_that_remain() {
    let stored =
        |lines: Lines<'_>, range| part(&[lines, &[("content-range", range)]].concat()).unwrap();
    let expires = ("expires", HOUR_LATER);
    let strict = "max-age=60, must-revalidate";
    let cdn = ("cdn-cache-control", "max-age=5");
    // name, older fields, newer fields, lifetime, must-revalidate
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>, u64, bool)] = &[
        ("both state theirs", &[(CC, strict)], &[(CC, "max-age=90")], 90, false),
        ("only the older", &[(CC, strict)], &[expires], 60, true),
        ("only the newer", &[expires], &[(CC, "max-age=90"), expires], 90, false),
        ("a targeted one of the older", &[(CC, "max-age=60"), cdn], &[(CC, "max-age=90")], 5, false),
    ];
    for (name, old, new, lifetime, must_revalidate) in rows {
        let common = [TAG, ("date", SENT)];
        let old = stored(&[*old, &common].concat(), "bytes 0-4/10");
        let new = stored(&[*new, &common].concat(), "bytes 5-9/10");
        let (first, second) = (bytes_of(&old), bytes_of(&new));
        let (joined, _) = combined((&old, &first), (&new, &second)).unwrap();
        assert_eq!(joined.lifetime, secs(*lifetime), "{name}");
        assert_eq!(joined.must_revalidate, *must_revalidate, "{name}");
    }
    let public = stored(&[(CC, "max-age=60, public"), TAG], "bytes 0-4/10");
    let own = stored(&[FRESH, TAG], "bytes 5-9/10");
    let (first, second) = (bytes_of(&public), bytes_of(&own));
    for (older, newer) in [
        ((&public, &first), (&own, &second)),
        ((&own, &second), (&public, &first)),
    ] {
        let (joined, _) = combined(older, newer).unwrap();
        assert!(!joined.shareable, "both must let everyone have them");
    }
}
