//! Fields that a gateway adds to a request for the app (RFC 9110 §7.6.3, §10.1.4).

use std::net::IpAddr;

use http::header::{CONNECTION, HeaderName, TE, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether the sender of a request takes a trailer section with the answer (§10.1.4).
pub(super) fn takes_trailers(request: &Parts) -> bool {
    let mut codings = request
        .headers
        .get_all(TE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    request.version != Version::HTTP_10
        && codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Asks the app for a trailer section. `TE` is of one connection, which has to be said (§10.1.4).
pub(super) fn ask_for_trailers(request: &mut HeaderMap) {
    request.insert(TE, HeaderValue::from_static("trailers"));
    request.append(CONNECTION, HeaderValue::from_static("te"));
}

/// Adds `Via` and `X-Forwarded-*` to a request for the app (§7.6.3).
///
/// A gateway in front of Pannier has set `X-Forwarded-Proto` and `-Host` already; they are kept.
pub(super) fn add_forwarding(
    headers: &mut HeaderMap,
    peer: IpAddr,
    host: &str,
    version: Version,
    scheme: &str,
) {
    let via = match version {
        Version::HTTP_10 => "1.0 pannier",
        Version::HTTP_2 => "2.0 pannier",
        _ => "1.1 pannier",
    };
    headers.append(VIA, HeaderValue::from_static(via));
    let mut chain = String::with_capacity(64);
    let before = headers.get_all(FORWARDED_FOR).iter();
    for line in before.filter_map(|line| line.to_str().ok()) {
        chain.push_str(line);
        chain.push_str(", ");
    }
    push_address(&mut chain, peer);
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    let scheme = match scheme {
        "http" => Ok(HeaderValue::from_static("http")),
        other => HeaderValue::from_str(other),
    };
    if let Ok(scheme) = scheme {
        headers.entry(FORWARDED_PROTO).or_insert(scheme);
    }
    // HTTP/1.0 need not name one.
    if !host.is_empty()
        && let Ok(host) = HeaderValue::from_str(host)
    {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

/// As it is written; most are of IPv4, whose numbers need no formatter.
fn push_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        text.push_str(&address.to_string());
        return;
    };
    for (at, number) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn who_takes_trailers() {
        let rows: &[(&str, Version, &[&str], bool)] = &[
            ("nothing said", Version::HTTP_11, &[], false),
            ("said", Version::HTTP_11, &["trailers"], true),
            (
                "in a list",
                Version::HTTP_11,
                &["gzip;q=0.5, Trailers"],
                true,
            ),
            (
                "on a later line",
                Version::HTTP_11,
                &["gzip", "trailers"],
                true,
            ),
            ("another", Version::HTTP_11, &["trailersx"], false),
            ("HTTP/2", Version::HTTP_2, &["trailers"], true),
            ("HTTP/1.0", Version::HTTP_10, &["trailers"], false),
        ];
        for (name, version, values, takes) in rows {
            let mut request = http::Request::builder().version(*version);
            for value in *values {
                request = request.header(TE, *value);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            assert_eq!(takes_trailers(&parts), *takes, "{name}");
        }
    }

    #[test]
    fn the_forwarding_chain_grows() {
        let mut headers = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("via", "1.1 edge"),
        ]);
        add_forwarding(
            &mut headers,
            [127, 0, 0, 1].into(),
            "a.example",
            Version::HTTP_11,
            "http",
        );
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "a.example");
        assert_eq!(
            headers.get_all("via").iter().collect::<Vec<_>>(),
            ["1.1 edge", "1.1 pannier"]
        );
    }

    #[test]
    fn a_request_without_a_host_is_said_to_be_for_none() {
        let mut headers = HeaderMap::new();
        let peer = [127, 0, 0, 1].into();
        add_forwarding(&mut headers, peer, "", Version::HTTP_10, "http");
        assert!(!headers.contains_key("x-forwarded-host"));
    }
}
