//! Fields that belong to one connection and go no further (RFC 9110 §7.6.1).

use http::HeaderMap;
use http::header::{CONNECTION, HOST, HeaderName};

use crate::http_cache::remove;

/// Whether a field belongs to one connection. `Trailer` does not: it may say what a trailer section that
/// was lost would have held (§6.6.2), and hyper sends no trailers without it.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Removes the fields of one connection, and those that `Connection` names (§7.6.1).
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers)
        // A client must not be able to take away what the request means (reliability.md R6): the
        // host stays whatever Connection says.
        .filter(|name| *name != HOST)
        .collect();
    remove(headers, |name| is_hop_by_hop(name) || named.contains(name));
}

/// What `Connection` names. All who ask must read it alike: what one took for a field that goes and
/// another overlooked would be a hole.
pub(super) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
    fn connection_fields_and_those_it_names_go_and_the_rest_keeps_its_order() {
        let mut headers = map(&[
            ("a", "1"),
            ("connection", "close, X-Secret, host"),
            ("b", ""),
            ("x-secret", "1"),
            ("a", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("host", "a"),
            ("trailer", "x-sum"),
            ("c", "1"),
        ]);
        headers.append(CONNECTION, HeaderValue::from_bytes(b"\xff, d").unwrap());
        headers.append("d", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut headers);
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let expected = [
            ("a", "1"),
            ("a", "2"),
            ("b", ""),
            ("host", "a"),
            ("trailer", "x-sum"),
            ("c", "1"),
        ];
        assert_eq!(left, expected);
    }
}
