//! `--admin`: one form for every command that asks a sidecar.

use anyhow::bail;
use http::uri::Authority;

/// Host and port of `HOST:PORT` or `http://HOST:PORT`.
pub(super) fn parse(text: &str) -> anyhow::Result<String> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            bail!("--admin {text}: the admin interface has no {scheme}, only http")
        }
        None => text,
    };
    let authority = rest.trim_end_matches('/');
    match authority.parse::<Authority>() {
        Ok(parsed) if parsed.port_u16().is_some() && !authority.contains('@') => {
            Ok(authority.to_owned())
        }
        _ => bail!("--admin {text}: write it as HOST:PORT or http://HOST:PORT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("http://127.0.0.1:9180", Some("127.0.0.1:9180")),
            ("http://127.0.0.1:9180/", Some("127.0.0.1:9180")),
            ("127.0.0.1:9180", Some("127.0.0.1:9180")),
            ("pannier.internal:9180", Some("pannier.internal:9180")),
            ("http://[::1]:9180", Some("[::1]:9180")),
            ("https://127.0.0.1:9180", None),
            ("127.0.0.1", None),
            ("127.0.0.1:70000", None),
            ("http://a:b@c:1", None),
            ("http://a:1/path", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).ok().as_deref(), expected, "{text}");
        }
    }
}
