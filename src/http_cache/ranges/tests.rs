use bytes::Bytes;
use http::HeaderMap;

use super::*;
use crate::http_cache::Reason;
use crate::http_cache::tests::fixtures::*;

mod answering;
mod combining;
mod cutting;
mod parts;
mod properties;

const BODY: &[u8] = b"0123456789";
const CC: &str = "cache-control";
const FRESH: (&str, &str) = (CC, "max-age=60");
const TAG: (&str, &str) = ("etag", "\"a\"");
const WEAK: (&str, &str) = ("etag", "W/\"a\"");
const CHANGED: (&str, &str) = ("last-modified", HOUR_EARLIER);

fn body() -> Bytes {
    Bytes::from_static(BODY)
}

/// What `storable` makes of the 206 to a request for some range.
fn part(response: Lines<'_>) -> Result<Stored, Reason> {
    part_for(&[("range", "bytes=0-4")], response)
}

fn part_for(request: Lines<'_>, response: Lines<'_>) -> Result<Stored, Reason> {
    let (request, response) = (headers(request), headers(response));
    crate::http_cache::storable(&get(&request), &exchange(206, &response), &rfc())
}

/// A fresh part with a strong validator.
fn tagged(content_range: &str) -> Stored {
    part(&[FRESH, TAG, ("content-range", content_range)]).unwrap()
}

/// The bytes of [`BODY`] that the part has.
fn bytes_of(stored: &Stored) -> Bytes {
    let part = stored.part.unwrap();
    body().slice(part.first as usize..part.end as usize)
}

/// What of `stored` answers a GET with these lines.
fn cut_of(stored: &Stored, body: u64, request: Lines<'_>) -> Cut {
    let request = headers(request);
    cut(&get(&request), stored, body)
}

fn many(ranges: &[Range<u64>]) -> Cut {
    Cut::Many(ranges.to_vec())
}
