//! Origins (RFC 9110 §4.3.1): what two URIs must share for one to speak for the other.

use std::fmt;

use http::uri::Authority;

/// Scheme, host and port in their normal form (RFC 9110 §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// `None`: the scheme's own.
    port: Option<u16>,
}

impl Origin {
    /// The origin of `scheme://authority`; `None` if the host is missing or the port is none. User
    /// information is no part of it.
    pub fn of(scheme: &str, authority: &str) -> Option<Origin> {
        let authority: Authority = authority.parse().ok()?;
        let scheme = scheme.to_ascii_lowercase();
        let host = authority.host().to_ascii_lowercase();
        let port = port(&authority)?.filter(|port| own_port(&scheme) != Some(*port));
        (!host.is_empty()).then_some(Origin { scheme, host, port })
    }

    /// All ways to write its authority: the scheme's own port may be written or left out.
    pub fn authorities(&self) -> Vec<String> {
        let host = &self.host;
        match (self.port, own_port(&self.scheme)) {
            (Some(port), _) => vec![format!("{host}:{port}")],
            (None, Some(own)) => vec![host.clone(), format!("{host}:{own}")],
            (None, None) => vec![host.clone()],
        }
    }
}

/// As in RFC 6454 §6.2: `https://example.com`, `http://example.com:8080`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The port as written; an empty one is as if it were absent (RFC 3986 §6.2.3). `None`: not a port.
fn port(authority: &Authority) -> Option<Option<u16>> {
    let text = authority.as_str();
    let text = text.rsplit_once('@').map_or(text, |(_, text)| text);
    let behind = text.strip_prefix(authority.host())?;
    match behind.strip_prefix(':') {
        None | Some("") => Some(None),
        Some(digits) => digits.parse().ok().map(Some),
    }
}

/// RFC 9110 §4.2.1, §4.2.2.
fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §4.2.3, §4.3.1.
    #[test]
    fn the_normal_form() {
        #[rustfmt::skip]
        let rows = [
            ("plain", "http", "example.com", Some("http://example.com")),
            ("capitals", "HTTP", "Example.COM", Some("http://example.com")),
            ("own port of http", "http", "example.com:80", Some("http://example.com")),
            ("own port of https", "https", "example.com:443", Some("https://example.com")),
            ("the other one's port", "http", "example.com:443", Some("http://example.com:443")),
            ("another port", "http", "example.com:8080", Some("http://example.com:8080")),
            ("empty port", "http", "example.com:", Some("http://example.com")),
            ("port with zeros", "http", "example.com:080", Some("http://example.com")),
            ("port too large", "http", "example.com:65616", None),
            ("IPv6", "http", "[::1]:80", Some("http://[::1]")),
            ("IPv6, another port", "http", "[::1]:81", Some("http://[::1]:81")),
            ("userinfo", "http", "u:80@example.com", Some("http://example.com")),
            ("another scheme", "ws", "example.com:80", Some("ws://example.com:80")),
            ("trailing dot", "http", "example.com.", Some("http://example.com.")),
            ("no host", "http", "", None),
            ("only a port", "http", ":80", None),
        ];
        for (name, scheme, authority, expected) in rows {
            let found = Origin::of(scheme, authority).map(|origin| origin.to_string());
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    /// RFC 9110 §4.2.3.
    #[test]
    fn ways_to_write_it() {
        #[rustfmt::skip]
        let rows: &[(&str, &str, &[&str])] = &[
            ("http", "a", &["a", "a:80"]),
            ("https", "a:443", &["a", "a:443"]),
            ("http", "a:81", &["a:81"]),
            ("ws", "a", &["a"]),
        ];
        for (scheme, authority, expected) in rows {
            let origin = Origin::of(scheme, authority).unwrap();
            assert_eq!(origin.authorities(), *expected, "{scheme}://{authority}");
        }
    }
}
