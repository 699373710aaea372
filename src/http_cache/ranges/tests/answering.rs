//! The 206 and the 416.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};

use super::*;

const ETAG_FIELDS: Lines<'_> = &[
    ("date", SENT),
    ("content-type", "text/plain"),
    FRESH,
    TAG,
    ("expires", HOUR_LATER),
    ("content-location", "/a"),
    ("vary", "accept"),
    ("content-length", "10"),
    ("x-a", "1"),
    ("link", "</b>"),
    ("x-a", "2"),
];

fn answer(stored: &Stored, bytes: &Bytes, cut: &Cut) -> (u16, HeaderMap, String) {
    let (status, headers, body) = response(cut, stored, bytes, "XYZ");
    let text = String::from_utf8(body.concat()).unwrap();
    (status.as_u16(), headers, text)
}

/// RFC 9110 §15.3.7: all stored fields, in order; those of the message are its own.
#[test]
fn one_range() {
    let stored = stored(ETAG_FIELDS);
    let (status, headers, body) = answer(&stored, &body(), &Cut::One(2..5));
    assert_eq!((status, &*body), (206, "234"));
    assert_eq!(
        lines(&headers),
        [
            ("date", SENT),
            ("content-type", "text/plain"),
            FRESH,
            TAG,
            ("expires", HOUR_LATER),
            ("content-location", "/a"),
            ("vary", "accept"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("link", "</b>"),
            ("content-range", "bytes 2-4/10"),
            ("content-length", "3"),
        ]
    );
}

/// RFC 9110 §14.4, §15.3.7.1: `Content-Range` and `Content-Length`, by what is stored and asked.
#[test]
fn positions() {
    let whole = stored(&[FRESH]);
    let part = |range| (tagged(range), bytes_of(&tagged(range)));
    let (middle, middle_bytes) = part("bytes 3-6/10");
    let (open, open_bytes) = part("bytes 3-6/*");
    type Row<'a> = (&'a str, &'a Stored, &'a Bytes, &'a str, &'a str, &'a str);
    let all = body();
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("first byte", &whole, &all, "bytes=0-0", "bytes 0-0/10", "0"),
        ("last byte", &whole, &all, "bytes=-1", "bytes 9-9/10", "9"),
        ("all", &whole, &all, "bytes=0-", "bytes 0-9/10", "0123456789"),
        ("past the end", &whole, &all, "bytes=8-99", "bytes 8-9/10", "89"),
        ("of a part", &middle, &middle_bytes, "bytes=4-5", "bytes 4-5/10", "45"),
        ("all of a part", &middle, &middle_bytes, "bytes=3-6", "bytes 3-6/10", "3456"),
        ("of a part without a length", &open, &open_bytes, "bytes=4-4", "bytes 4-4/*", "4"),
    ];
    for (name, stored, bytes, range, content_range, expected) in rows {
        let cut = cut_of(stored, bytes.len() as u64, &[("range", range)]);
        let (status, headers, body) = answer(stored, bytes, &cut);
        assert_eq!((status, &*body), (206, *expected), "{name}");
        assert_eq!(headers[CONTENT_RANGE], *content_range, "{name}");
        assert_eq!(
            headers[CONTENT_LENGTH],
            expected.len().to_string(),
            "{name}"
        );
    }
}

/// RFC 9110 §15.3.7.2, §14.6: each part with its range and the type, in the order asked.
#[test]
fn several_ranges() {
    let stored = stored(ETAG_FIELDS);
    let cut = many(&[8..10, 0..2]);
    let (status, headers, body) = answer(&stored, &body(), &cut);
    assert_eq!(status, 206);
    assert_eq!(
        body,
        "\r\n--XYZ\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
         \r\n--XYZ\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--XYZ--\r\n"
    );
    assert_eq!(
        headers[CONTENT_TYPE], "multipart/byteranges; boundary=XYZ",
        "of the message"
    );
    assert_eq!(headers[CONTENT_LENGTH], body.len().to_string());
    assert!(
        !headers.contains_key(CONTENT_RANGE),
        "it stands in each part"
    );
    assert_eq!(headers.get_all("x-a").iter().count(), 2, "all other fields");
}

#[test]
fn parts_of_a_body_without_a_type_have_none() {
    let (_, headers, body) = answer(&stored(&[FRESH]), &body(), &many(&[0..1, 3..4]));
    assert!(!body.contains("Content-Type"), "{body}");
    assert_eq!(headers[CONTENT_TYPE], "multipart/byteranges; boundary=XYZ");
}

/// RFC 9110 §15.5.17, §14.4: it tells the length, and nothing of the representation besides.
#[test]
fn unsatisfiable() {
    let fields = [
        ETAG_FIELDS,
        &[
            ("access-control-allow-origin", "*"),
            ("last-modified", HOUR_EARLIER),
            ("content-encoding", "gzip"),
            ("content-language", "en"),
            ("repr-digest", "sha-256=:AA==:"),
            ("cdn-cache-control", "max-age=9"),
        ],
    ]
    .concat();
    let stored = stored(&fields);
    let (status, headers, text) = answer(&stored, &body(), &Cut::Unsatisfiable);
    assert_eq!((status, &*text), (416, ""));
    assert_eq!(
        lines(&headers),
        [
            ("date", SENT),
            ("vary", "accept"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("access-control-allow-origin", "*"),
            ("content-range", "bytes */10"),
            ("content-length", "0"),
        ]
    );
    let (status, headers, _) = answer(&tagged("bytes 3-6/10"), &Bytes::new(), &Cut::Unsatisfiable);
    assert_eq!(
        (status, headers[CONTENT_RANGE].to_str().unwrap()),
        (416, "bytes */10")
    );
    let (_, headers, _) = answer(&stored, &Bytes::new(), &Cut::Unsatisfiable);
    assert_eq!(headers[CONTENT_RANGE], "bytes */0");
}

/// RFC 9530 §2, §3: a digest of the message is not that of a range; one of the representation is.
#[test]
fn digests() {
    let of_message = ("content-digest", "sha-256=:AA==:");
    let of_representation = ("repr-digest", "sha-256=:AA==:");
    let md5 = ("content-md5", "AA==");
    let stored = stored(&[FRESH, of_message, of_representation, md5]);
    for cut in [Cut::One(0..5), many(&[0..1, 3..4])] {
        let (_, headers, _) = answer(&stored, &body(), &cut);
        assert!(!headers.contains_key("content-digest"), "{cut:?}");
        assert!(!headers.contains_key("content-md5"), "{cut:?}");
        assert!(headers.contains_key("repr-digest"), "{cut:?}");
    }
}

/// RFC 9110 §14.4: a cut of another response sends nothing that is not there.
#[test]
fn cuts_that_do_not_fit() {
    let whole = stored(&[FRESH]);
    let part = tagged("bytes 3-6/10");
    let rows = [
        ("past the end", &whole, Cut::One(8..11)),
        ("nothing", &whole, Cut::One(4..4)),
        ("backward", &whole, Cut::One(Range { start: 5, end: 4 })),
        ("one of several", &whole, many(&[0..2, 8..11])),
        ("before the part", &part, Cut::One(2..4)),
        ("behind the part", &part, Cut::One(6..8)),
        ("a part for all", &part, Cut::Whole),
        ("what it lacks", &part, Cut::Lacking),
    ];
    for (name, stored, cut) in rows {
        let bytes = stored.part.map_or(body(), |_| bytes_of(stored));
        let (status, _, text) = answer(stored, &bytes, &cut);
        assert_eq!((status, &*text), (416, ""), "{name}");
    }
    let (status, _, text) = answer(&whole, &body(), &Cut::Whole);
    assert_eq!((status, &*text), (200, "0123456789"), "all of a whole");
}

/// RFC 9110 §15.3.7.2: the parts are of the stored body, of which each reader would hold a copy otherwise.
#[test]
fn nothing_is_copied() {
    let whole = body();
    let (_, _, pieces) = response(&many(&[0..1, 3..7]), &stored(&[FRESH]), &whole, "XYZ");
    let of_stored = |piece: &&Bytes| whole.as_ptr_range().contains(&piece.as_ptr());
    let shared: Vec<_> = pieces.iter().filter(of_stored).collect();
    assert_eq!(shared, [&whole.slice(0..1), &whole.slice(3..7)]);
}

/// RFC 2046 §5.1.1: a boundary is kept to what needs no quotes.
#[test]
fn boundaries() {
    let long = "x".repeat(100);
    let rows = [
        ("fit", "aB9-_", "aB9-_"),
        ("odd", "a\r\n\"; b", "ab"),
        ("beyond ASCII", "aé", "a"),
        ("long", &long, &long[..70]),
        ("empty", "", "part"),
    ];
    for (name, given, expected) in rows {
        let cut = many(&[0..1, 3..4]);
        let (_, headers, body) = response(&cut, &stored(&[FRESH]), &body(), given);
        let kind = format!("multipart/byteranges; boundary={expected}");
        assert_eq!(headers[CONTENT_TYPE], kind, "{name}");
        let end = format!("\r\n--{expected}--\r\n");
        assert!(body.concat().ends_with(end.as_bytes()), "{name}");
    }
}
