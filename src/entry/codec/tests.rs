use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::entry::tests::samples::{any_entry, at, entry, part, variant, variant_for};
use crate::http_cache::Part;

fn sample() -> Entry {
    let mut first = variant_for("a.example", 10);
    first.stored.selector.fields = vec![
        (http::header::ACCEPT, Some(Box::from(&b"text/html"[..]))),
        (http::header::ACCEPT_LANGUAGE, None),
    ];
    first.tags = vec!["user:1".into(), "board:7".into()];
    Entry {
        variants: vec![
            Arc::new(first),
            Arc::new(variant("second")),
            Arc::new(part(300, "third", Some(1_000))),
            Arc::new(part(300, "fourth", None)),
        ],
    }
}

/// `content` with the head that belongs to it.
fn framed(content: &[u8]) -> Bytes {
    let checksum = crc32fast::hash(content).to_le_bytes();
    [
        &MAGIC[..],
        &[0; CHECKSUM_AT - SOFTENED_AT],
        &checksum,
        content,
    ]
    .concat()
    .into()
}

#[test]
fn every_cut_is_an_error() {
    let bytes = Bytes::from(encode(&sample()));
    for end in 0..bytes.len() {
        assert!(decode(&bytes.slice(..end)).is_err(), "cut at {end}");
    }
}

#[test]
fn every_cut_is_an_error_even_with_a_right_checksum() {
    let content = &encode(&sample())[HEAD..];
    for end in 0..content.len() {
        assert_eq!(
            decode(&framed(&content[..end])),
            Err(DecodeError::Malformed),
            "cut at {end}"
        );
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let bytes = encode(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit / 8 < MAGIC.len() {
            DecodeError::Version
        } else if bit / 8 < CHECKSUM_AT {
            // The time of a soft purge, which nobody could write over under a checksum: it is stale, at worst.
            if let Ok(entry) = decode(&flipped.into()) {
                assert!(
                    entry
                        .variants
                        .iter()
                        .all(|held| held.stored.softened.is_some())
                );
            }
            continue;
        } else {
            DecodeError::Checksum
        };
        assert_eq!(decode(&flipped.into()), Err(expected), "bit {bit}");
    }
}

#[test]
fn a_beginning_written_over_softens_all_variants_and_an_earlier_mark_stands() {
    let (first, later) = (at(100), at(200));
    let mut held = sample();
    Arc::make_mut(&mut held.variants[0]).stored.soften(first);
    let mut bytes = encode(&held);
    assert_eq!(decode(&bytes.clone().into()), Ok(held.clone()));
    bytes[..CHECKSUM_AT].copy_from_slice(&beginning_of_softened(later));
    held.soften(later);
    let found = decode(&bytes.into()).expect("it decodes");
    assert_eq!(found, held);
    let marks = found.variants.iter().map(|held| held.stored.softened);
    let marks: Vec<_> = marks.take(2).collect();
    assert_eq!(marks, [Some(first), Some(later)]);
}

#[test]
fn what_an_encoder_never_writes_is_malformed() {
    let whole = encode(&sample());
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    let no_tags = [0];
    let rows: [(&str, Vec<u8>); 7] = [
        ("trailing byte", [&whole[HEAD..], &[0]].concat()),
        ("nothing at all", Vec::new()),
        ("tags without end", huge.to_vec()),
        ("variants without end", [&no_tags[..], &huge].concat()),
        ("a number over 64 bits", beyond.to_vec()),
        (
            "more variants than allowed",
            [&no_tags[..], &[9; 4_000]].concat(),
        ),
        (
            "a host longer than the rest",
            [&no_tags[..], &[1], &huge].concat(),
        ),
    ];
    for (name, content) in rows {
        assert_eq!(
            decode(&framed(&content)),
            Err(DecodeError::Malformed),
            "{name}"
        );
    }
}

#[test]
fn a_long_tag_named_often_is_malformed() {
    let times = |times| {
        let mut held = variant("");
        held.tags = vec!["t".repeat(4_096).into(); times];
        decode(&encode(&entry(held)).into())
    };
    assert!(times(2).is_ok());
    assert_eq!(times(100), Err(DecodeError::Malformed));
}

#[test]
fn a_part_that_cannot_be_is_malformed() {
    let of = |first, end, complete| {
        Some(Part {
            first,
            end,
            complete,
        })
    };
    let rows = [
        ("fits", of(300, 304, Some(304)), true),
        ("fits, length unknown", of(300, 304, None), true),
        ("near 2⁶⁴", of(u64::MAX - 4, u64::MAX, Some(u64::MAX)), true),
        ("shorter than the body", of(300, 303, None), false),
        ("longer than the body", of(300, 305, None), false),
        ("backward", of(304, 300, None), false),
        ("past the whole", of(300, 304, Some(303)), false),
    ];
    for (name, place, expected) in rows {
        let mut held = variant("part");
        held.stored.part = place;
        let entry = Entry {
            variants: vec![Arc::new(held)],
        };
        let back = decode(&encode(&entry).into());
        assert_eq!(back.is_ok(), expected, "{name}");
        assert!(!expected || back == Ok(entry), "{name}");
    }
    let mut empty = variant("");
    empty.stored.part = of(5, 5, None);
    let entry = Entry {
        variants: vec![Arc::new(empty)],
    };
    let back = decode(&encode(&entry).into());
    assert_eq!(back, Err(DecodeError::Malformed), "empty");
}

#[test]
fn another_version_is_told_apart() {
    let mut bytes = encode(&sample());
    bytes[MAGIC.len() - 1] = VERSION + 1;
    assert_eq!(decode(&bytes.into()), Err(DecodeError::Version));
    for other in [&b""[..], b"PANN", b"a string of another application"] {
        let bytes = Bytes::from_static(other);
        assert_eq!(decode(&bytes), Err(DecodeError::Version), "{other:?}");
    }
}

#[test]
fn a_tag_that_is_not_in_the_list_is_malformed() {
    let mut tagged = variant("");
    tagged.tags = vec!["a".into(), "b".into(), "a".into()];
    let entry = Entry {
        variants: vec![Arc::new(tagged)],
    };
    let mut content = encode(&entry).split_off(HEAD);
    // Tags and an empty body stand last.
    let end = content.len();
    assert_eq!(content[end - 6..], [3, 0, 1, 0, PLAIN, 0]);
    assert_eq!(decode(&framed(&content)), Ok(entry));
    content[end - 4] = 2;
    assert_eq!(decode(&framed(&content)), Err(DecodeError::Malformed));
}

#[test]
fn a_compressed_body_that_is_not_what_it_says_is_malformed() {
    let mut held = variant(&"word ".repeat(1000));
    held.body.compress(|bytes| bytes);
    let entry = entry(held);
    let content = encode(&entry).split_off(HEAD);
    assert!(content.len() < 1000, "only the short form is written");
    assert_eq!(decode(&framed(&content)), Ok(entry.clone()));
    let compressed = entry.variants[0].body.compressed().expect("it is shorter");
    let begin = content.len() - compressed.len();
    // The form, the plain length and the compressed one, a byte or two each.
    let rows = [
        ("an unknown form", begin - 4, 3),
        ("another length", begin - 3, content[begin - 3] ^ 1),
        ("no frame", begin, 0),
    ];
    assert_eq!(content[begin - 4], COMPRESSED);
    for (name, at, byte) in rows {
        let mut changed = content.clone();
        changed[at] = byte;
        let read = decode(&framed(&changed));
        assert_eq!(read, Err(DecodeError::Malformed), "{name}");
    }
}

#[test]
fn names_come_back_however_common_and_values_as_sensitive_as_they_were() {
    let mut held = variant("");
    for name in ["etag", "x-request-id", "x-of-their-own", "retry-after"] {
        let name = HeaderName::from_static(name);
        for sensitive in [false, true] {
            let mut value = HeaderValue::from_static("value");
            value.set_sensitive(sensitive);
            held.stored.headers.append(name.clone(), value);
        }
    }
    let entry = entry(held);
    let back = decode(&encode(&entry).into()).unwrap();
    assert_eq!(back, entry);
    let marks = |entry: &Entry| -> Vec<bool> {
        let headers = &entry.variants[0].stored.headers;
        headers.values().map(HeaderValue::is_sensitive).collect()
    };
    assert_eq!(marks(&back), marks(&entry));
    assert_eq!(marks(&back).iter().filter(|mark| **mark).count(), 4);
}

#[test]
fn what_an_answer_adds_finds_room() {
    for fields in 0..20 {
        let mut held = variant("");
        for n in 0..fields {
            let name = HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
            held.stored
                .headers
                .insert(name, HeaderValue::from_static(""));
        }
        let back = decode(&encode(&entry(held)).into()).unwrap();
        let headers = &back.variants[0].stored.headers;
        assert!(headers.capacity() >= headers.len() + 2, "{fields} fields");
    }
}

#[test]
fn bodies_and_values_are_slices_of_the_input() {
    let bytes = Bytes::from(encode(&sample()));
    let range = bytes.as_ptr_range();
    let entry = decode(&bytes).unwrap();
    for variant in &entry.variants {
        assert!(range.contains(&variant.body.as_ptr()));
        for value in variant.stored.headers.values() {
            assert!(range.contains(&value.as_bytes().as_ptr()));
        }
    }
}

#[test]
fn what_a_millisecond_does_not_hold_is_rounded_down() {
    let mut odd = variant("");
    odd.stored.response_time = at(1) + Duration::from_nanos(1_999_999);
    odd.stored.request_time = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    odd.stored.lifetime = Duration::MAX;
    let entry = Entry {
        variants: vec![Arc::new(odd)],
    };
    let back = decode(&encode(&entry).into()).unwrap();
    let stored = &back.variants[0].stored;
    assert_eq!(stored.response_time, at(1) + Duration::from_millis(1));
    assert_eq!(stored.request_time, SystemTime::UNIX_EPOCH);
    assert_eq!(stored.lifetime, Duration::from_millis(u64::MAX));
}

#[test]
fn variants_past_the_cap_are_left_out() {
    let variants: Vec<_> = (0..100).map(|n| Arc::new(variant_for("a", n))).collect();
    let back = decode(&encode(&Entry { variants }).into()).unwrap();
    assert_eq!(back.variants.len(), Entry::MAX_VARIANTS);
    assert_eq!(back.variants[0].stored.response_time, at(0));
}

proptest! {
    #[test]
    fn any_entry_comes_back_whole(entry in any_entry()) {
        let bytes = encode(&entry);
        prop_assert_eq!(decode(&bytes.into()), Ok(entry));
    }

    #[test]
    fn any_bytes_decode_without_a_panic(content: Vec<u8>) {
        let _ = decode(&framed(&content));
    }

    #[test]
    fn a_changed_byte_under_a_right_checksum_never_panics(
        entry in any_entry(),
        place: prop::sample::Index,
        byte: u8,
    ) {
        let mut content = encode(&entry).split_off(HEAD);
        let at = place.index(content.len());
        content[at] = byte;
        if let Ok(decoded) = decode(&framed(&content)) {
            let _ = (decoded.keep_for(at_end()), decoded.keep_for(SystemTime::UNIX_EPOCH));
            let _ = decoded.weight();
        }
    }
}

fn at_end() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::MAX)
}
