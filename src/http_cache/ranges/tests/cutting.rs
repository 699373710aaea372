//! What of a whole response answers a request.

use http::Method;

use super::*;
use Cut::{One, Unsatisfiable, Whole};

/// RFC 9110 §14.1.1, §14.1.2, §14.2: what is asked of a body of ten bytes.
#[test]
fn range_sets() {
    let stored = stored(&[FRESH]);
    let huge = "99999999999999999999999999";
    let past_huge = format!("bytes={huge}-{huge}9");
    let backward = format!("bytes={huge}9-{huge}");
    let huge_last = format!("bytes=4-{huge}");
    let huge_suffix = format!("bytes=-{huge}");
    let zeros = format!("bytes={}2-{}4", "0".repeat(50), "0".repeat(50));
    #[rustfmt::skip]
    let rows: &[(&str, &str, Cut)] = &[
        // int-range
        ("first byte", "bytes=0-0", One(0..1)),
        ("last byte", "bytes=9-9", One(9..10)),
        ("middle", "bytes=2-4", One(2..5)),
        ("all by its positions", "bytes=0-9", One(0..10)),
        ("open end", "bytes=4-", One(4..10)),
        ("open end from the start", "bytes=0-", One(0..10)),
        ("last past the end", "bytes=4-10", One(4..10)),
        ("last far past the end", "bytes=4-999", One(4..10)),
        ("first at the end", "bytes=10-", Unsatisfiable),
        ("first past the end", "bytes=11-20", Unsatisfiable),
        ("leading zeros", "bytes=002-0004", One(2..5)),
        ("many leading zeros", &zeros, One(2..5)),
        // suffix-range
        ("suffix", "bytes=-3", One(7..10)),
        ("suffix of one", "bytes=-1", One(9..10)),
        ("suffix of all", "bytes=-10", One(0..10)),
        ("suffix longer than the body", "bytes=-11", One(0..10)),
        ("suffix of none", "bytes=-0", Unsatisfiable),
        ("suffix of none, long", "bytes=-000", Unsatisfiable),
        // numbers near 2⁶⁴ and past it
        ("last is 2⁶⁴ − 2", "bytes=4-18446744073709551614", One(4..10)),
        ("last is 2⁶⁴ − 1", "bytes=4-18446744073709551615", One(4..10)),
        ("last is 2⁶⁴", "bytes=4-18446744073709551616", One(4..10)),
        ("last far past 2⁶⁴", &huge_last, One(4..10)),
        ("first is 2⁶⁴ − 1", "bytes=18446744073709551615-", Unsatisfiable),
        ("first is 2⁶⁴", "bytes=18446744073709551616-", Unsatisfiable),
        ("first is 10 × 2⁶⁴", "bytes=184467440737095516160-", Unsatisfiable),
        ("both far past 2⁶⁴", &past_huge, Unsatisfiable),
        ("both far past 2⁶⁴, backward", &backward, Whole),
        ("suffix is 2⁶⁴ − 1", "bytes=-18446744073709551615", One(0..10)),
        ("suffix far past 2⁶⁴", &huge_suffix, One(0..10)),
        // invalid: the field is ignored
        ("first after last", "bytes=5-4", Whole),
        ("first after last, past the end", "bytes=99-98", Whole),
        ("first after last among others", "bytes=0-1,5-4", Whole),
        ("no digits", "bytes=-", Whole),
        ("no set", "bytes=", Whole),
        ("no unit", "0-4", Whole),
        ("only the unit", "bytes", Whole),
        ("empty", "", Whole),
        ("letters", "bytes=a-b", Whole),
        ("hexadecimal", "bytes=0x1-4", Whole),
        ("a plus sign", "bytes=+1-4", Whole),
        ("two dashes", "bytes=--3", Whole),
        ("three positions", "bytes=1-2-3", Whole),
        ("a fraction", "bytes=1.5-4", Whole),
        ("a single number", "bytes=4", Whole),
        ("a bad member among good ones", "bytes=0-1,x,4-5", Whole),
        ("quoted", "bytes=\"0-4\"", Whole),
        ("letters beyond ASCII", "bytes=０-４", Whole),
        // unit
        ("unit in capitals", "BYTES=0-4", One(0..5)),
        ("unit in mixed case", "bYtEs=0-4", One(0..5)),
        ("another unit", "seconds=0-4", Whole),
        ("a unit that begins alike", "bytesx=0-4", Whole),
        ("a unit that ends alike", "xbytes=0-4", Whole),
        ("no range of the unit", "none", Whole),
        // whitespace
        ("space before =", "bytes =0-4", Whole),
        ("space after =", "bytes= 0-4", Whole),
        ("space within a range", "bytes=0 - 4", Whole),
        ("space after a comma", "bytes=0-1, 4-5", many(&[0..2, 4..6])),
        ("space before a comma", "bytes=0-1 ,4-5", many(&[0..2, 4..6])),
        ("tabs around a comma", "bytes=0-1\t,\t4-5", many(&[0..2, 4..6])),
        ("space at the end", "bytes=0-1 ", One(0..2)),
        // empty members
        ("empty member first", "bytes=,0-1", One(0..2)),
        ("empty member last", "bytes=0-1,", One(0..2)),
        ("empty members between", "bytes=0-1, , ,,4-5", many(&[0..2, 4..6])),
        ("only empty members", "bytes=, ,", Whole),
        // several ranges
        ("two", "bytes=0-1,4-5", many(&[0..2, 4..6])),
        ("in the order asked", "bytes=8-9,0-1,4-5", many(&[8..10, 0..2, 4..6])),
        ("with a suffix", "bytes=0-1,-2", many(&[0..2, 8..10])),
        ("one of two is past the end", "bytes=0-1,20-", One(0..2)),
        ("one of three is past the end", "bytes=0-1,20-,8-", many(&[0..2, 8..10])),
        ("all are past the end", "bytes=10-,20-30,-0", Unsatisfiable),
        ("suffix of none beside another", "bytes=-0,3-4", One(3..5)),
        // §15.3.7.2: coalesced
        ("twice the same", "bytes=1-2,1-2", One(1..3)),
        ("overlapping", "bytes=0-4,3-6", One(0..7)),
        ("touching", "bytes=0-4,5-6", One(0..7)),
        ("touching, backward", "bytes=5-6,0-4", One(0..7)),
        ("one within another", "bytes=2-3,0-9", One(0..10)),
        ("a later one joins two", "bytes=0-1,4-5,1-4", One(0..6)),
        ("joined at the place of the first", "bytes=8-9,0-1,4-5,2-2", many(&[8..10, 0..3, 4..6])),
        ("joined at the place of the first of three", "bytes=4-5,8-9,0-1,1-4", many(&[0..6, 8..10])),
        ("overlapping many times", "bytes=0-,0-,0-,0-,0-,0-,0-,0-", One(0..10)),
    ];
    for (name, range, expected) in rows {
        let found = cut_of(&stored, 10, &[("range", range)]);
        assert_eq!(found, *expected, "{name}");
    }
}

/// RFC 9110 §14.1.2: nothing has no positions, but a suffix of it is nothing wrong.
#[test]
fn empty_bodies() {
    let stored = stored(&[FRESH]);
    let rows = [
        ("from the start", "bytes=0-", Unsatisfiable),
        ("first byte", "bytes=0-0", Unsatisfiable),
        ("suffix", "bytes=-1", Whole),
        ("suffix of none", "bytes=-0", Unsatisfiable),
        ("suffix beside another", "bytes=0-0,-1", Whole),
        ("malformed", "bytes=1-0", Whole),
    ];
    for (name, range, expected) in rows {
        assert_eq!(cut_of(&stored, 0, &[("range", range)]), expected, "{name}");
    }
}

/// RFC 9110 §14.2, §15.3.7: whether ranges are looked at at all.
#[test]
fn other_reasons_to_send_all() {
    let (get, head, post) = (Method::GET, Method::HEAD, Method::POST);
    let range = ("range", "bytes=0-4");
    let two = ("range", "bytes=0-1,4-5");
    let coded = ("content-encoding", "gzip");
    // name, method, status, stored fields, request, cut
    #[rustfmt::skip]
    let rows: &[(&str, &Method, u16, Lines<'_>, Lines<'_>, Cut)] = &[
        ("no Range", &get, 200, &[FRESH], &[], Whole),
        ("GET", &get, 200, &[FRESH], &[range], One(0..5)),
        ("HEAD", &head, 200, &[FRESH], &[range], Whole),
        ("POST", &post, 200, &[FRESH], &[range], Whole),
        ("203", &get, 203, &[FRESH], &[range], Whole),
        ("301", &get, 301, &[FRESH], &[range], Whole),
        ("404", &get, 404, &[FRESH], &[range], Whole),
        ("two lines", &get, 200, &[FRESH], &[range, range], Whole),
        ("two lines, one empty", &get, 200, &[FRESH], &[range, ("range", "")], Whole),
        ("another field", &get, 200, &[FRESH], &[("x-range", "bytes=0-4")], Whole),
        ("one range of a coded body", &get, 200, &[FRESH, coded], &[range], One(0..5)),
        ("two ranges of a coded body", &get, 200, &[FRESH, coded], &[two], Whole),
        ("the app says none", &get, 200, &[FRESH, ("accept-ranges", "none")], &[range], One(0..5)),
    ];
    for (name, method, status, response, lines, expected) in rows {
        let stored = store(*status, response, &rfc()).unwrap();
        let lines = headers(lines);
        let found = cut(&request(method, &lines), &stored, 10);
        assert_eq!(found, *expected, "{name}");
    }
}

/// RFC 9110 §14.2: many small ranges are a sign of a broken client or of an attack.
#[test]
fn too_many_ranges() {
    let stored = stored(&[FRESH]);
    let apart = |count: u64| {
        let members: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * 2)).collect();
        format!("bytes={}", members.join(","))
    };
    let commas = |count: usize| format!("bytes=0-1{}", ",".repeat(count));
    let is_many = |cut: &Cut| matches!(cut, Cut::Many(_));
    let rows = [
        ("as many as are looked at", 100_000, apart(64), true),
        ("one more", 100_000, apart(65), false),
        ("a thousand", 100_000, apart(1_000), false),
        ("few of a small body", 100, apart(10), true),
        ("heads that outweigh the body", 100, apart(40), false),
    ];
    for (name, length, range, expected) in rows {
        let found = cut_of(&stored, length, &[("range", &range)]);
        assert_eq!(is_many(&found), expected, "{name}: {found:?}");
        assert!(expected || found == Whole, "{name}: {found:?}");
    }
    let some = cut_of(&stored, 10, &[("range", &commas(63))]);
    assert_eq!(some, One(0..2), "empty members, within reason");
    let more = cut_of(&stored, 10, &[("range", &commas(64))]);
    assert_eq!(more, Whole, "empty members without end");
    let same = format!("bytes=0-{}", ",0-".repeat(63));
    let same = cut_of(&stored, 1 << 40, &[("range", &same)]);
    assert_eq!(same, One(0..1 << 40), "all of it, 64 times");
}

/// RFC 9110 §13.1.5 with §8.8.2.2 and §8.8.3.2.
#[test]
fn if_range() {
    let later_change = ("last-modified", SENT);
    let second_earlier = ("last-modified", "Sun, 06 Nov 1994 08:49:36 GMT");
    let rfc850 = "Sunday, 06-Nov-94 07:49:37 GMT";
    let asctime = "Sun Nov  6 07:49:37 1994";
    // name, stored fields, If-Range, whether it holds
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, &[&str], bool)] = &[
        ("none", &[TAG], &[], true),
        ("the tag", &[TAG], &["\"a\""], true),
        ("another tag", &[TAG], &["\"b\""], false),
        ("another case", &[TAG], &["\"A\""], false),
        ("the empty tag", &[("etag", "\"\"")], &["\"\""], true),
        ("a tag with a comma", &[("etag", "\"a,b\"")], &["\"a,b\""], true),
        ("weak of strong", &[TAG], &["W/\"a\""], false),
        ("strong of weak", &[WEAK], &["\"a\""], false),
        ("weak of weak", &[WEAK], &["W/\"a\""], false),
        ("a tag, and none is stored", &[CHANGED], &["\"a\""], false),
        ("a list of tags", &[TAG], &["\"a\", \"b\""], false),
        ("two tags without a comma", &[TAG], &["\"a\"\"a\""], false),
        ("two lines", &[TAG], &["\"a\"", "\"a\""], false),
        ("two lines are stored", &[TAG, ("etag", "\"b\"")], &["\"a\""], false),
        ("any", &[TAG], &["*"], false),
        ("without quotes", &[("etag", "a")], &["a"], false),
        ("half quoted", &[("etag", "\"a")], &["\"a"], false),
        ("one quote", &[("etag", "\"")], &["\""], false),
        ("a space inside", &[("etag", "\"a b\"")], &["\"a b\""], false),
        ("empty", &[TAG], &[""], false),
        ("the date", &[CHANGED], &[HOUR_EARLIER], true),
        ("the date beside a tag", &[TAG, CHANGED], &[HOUR_EARLIER], true),
        ("the date as RFC 850 has it", &[CHANGED], &[rfc850], true),
        ("the date as asctime has it", &[CHANGED], &[asctime], true),
        ("a later date", &[CHANGED], &[SENT], false),
        ("an earlier date", &[("last-modified", SENT)], &[HOUR_EARLIER], false),
        ("a change in the second it was sent", &[later_change], &[SENT], false),
        ("a change a second before", &[second_earlier], &["Sun, 06 Nov 1994 08:49:36 GMT"], true),
        ("a change after it was sent", &[("last-modified", HOUR_LATER)], &[HOUR_LATER], false),
        ("a date, and none is stored", &[TAG], &[HOUR_EARLIER], false),
        ("garbage equal to garbage", &[("last-modified", "yesterday")], &["yesterday"], false),
        ("a number", &[CHANGED], &["0"], false),
        ("two dates are stored", &[CHANGED, CHANGED], &[HOUR_EARLIER], false),
    ];
    for (name, response, conditions, holds) in rows {
        let stored = stored(&[&[FRESH, ("date", SENT)], *response].concat());
        let mut lines = vec![("range", "bytes=0-4")];
        lines.extend(conditions.iter().map(|condition| ("if-range", *condition)));
        let expected = if *holds { One(0..5) } else { Whole };
        assert_eq!(cut_of(&stored, 10, &lines), expected, "{name}");
    }
    let stored = stored(&[FRESH, TAG]);
    let alone = cut_of(&stored, 10, &[("if-range", "\"a\"")]);
    assert_eq!(alone, Whole, "without Range it says nothing");
    let past = cut_of(
        &stored,
        10,
        &[("range", "bytes=20-"), ("if-range", "\"b\"")],
    );
    assert_eq!(past, Whole, "another representation may be longer");
}
