//! Fields that belong to one connection, and fields a gateway adds (RFC 9110 §7.6).

use std::net::IpAddr;

use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Version};

const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Removes the fields of one connection, and those that `Connection` names (§7.6.1).
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A client must not be able to take away what the request means (reliability.md R6): the
        // host stays whatever Connection says.
        .filter(|name| *name != HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(TRAILER);
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
    let chain = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .map(str::to_owned)
        .chain(std::iter::once(peer.to_string()))
        .collect::<Vec<_>>()
        .join(", ");
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    if let Ok(scheme) = HeaderValue::from_str(scheme) {
        headers.entry(FORWARDED_PROTO).or_insert(scheme);
    }
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.entry(FORWARDED_HOST).or_insert(host);
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
    fn connection_fields_and_those_it_names_go() {
        let mut headers = map(&[
            ("connection", "close, X-Secret, host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("host", "a"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("accept", "*/*")]));
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
}
