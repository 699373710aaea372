//! Request targets that an app might read in two ways.

use super::escape::hex_value;

/// How an app that is lenient might read `path`: characters decoded that clients may send as they are, `//`, `;…`,
/// dot segments and a trailing slash resolved. `None` if that is the path itself.
///
/// For purges only, where reading a path in one more way removes too much at worst.
pub fn normalized(path: &str) -> Option<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match decode_plain(segment).as_str() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other.to_owned()),
        }
    }
    let normal = format!("/{}", segments.join("/"));
    (normal != path).then_some(normal)
}

/// Percent-escapes resolved of the characters that a segment may have as they are (RFC 3986 §3.3), but for `;`.
fn decode_plain(segment: &str) -> String {
    let mut decoded = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let byte = rest
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.map(char::from) {
            Some(plain) if plain.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@".contains(plain) => {
                decoded.push(plain);
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

/// The path with `letter` in place of each `%2F`; `None`: it has none.
pub fn replace_encoded_slashes(path: &str, letter: &str) -> Option<String> {
    let has_any = path.contains("%2F") || path.contains("%2f");
    has_any.then(|| path.replace("%2F", letter).replace("%2f", letter))
}

/// Whether `path` (as received) may mean another path to the app than to the matcher, so that it is neither
/// stored nor looked up (promise I1): encoded slash, dot, backslash or NUL, dot segments, `//`, `;`, or a
/// broken percent-escape.
pub fn is_ambiguous(path: &str) -> bool {
    !path.starts_with('/')
        || is_suspect(path.as_bytes())
            && (path.contains("//")
                || path.contains([';', '\\', '\0'])
                || path.split('/').any(|segment| matches!(segment, "." | ".."))
                || has_ambiguous_escape(path.as_bytes()))
}

/// Whether a closer look is needed: paths are plain as a rule, and this is asked of every request.
fn is_suspect(path: &[u8]) -> bool {
    path.iter()
        .any(|byte| matches!(byte, b';' | b'\\' | b'%' | 0))
        || path
            .windows(2)
            .any(|pair| matches!(pair, [b'/', b'/' | b'.']))
}

fn has_ambiguous_escape(path: &[u8]) -> bool {
    path.iter().enumerate().any(|(at, &byte)| {
        byte == b'%'
            && match path.get(at + 1..at + 3) {
                Some(&[high, low]) => match (hex_value(high), hex_value(low)) {
                    (Some(high), Some(low)) => matches!(high << 4 | low, b'/' | b'.' | b'\\' | 0),
                    _ => true,
                },
                _ => true,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::is_ambiguous;

    #[test]
    fn ambiguous_paths() {
        for path in [
            "",
            "*",
            "//me",
            "/a//b",
            "/a//",
            "/me;x.css",
            "/me%00.css",
            "/me%2f..%2fstatic%2fx.css",
            "/a%2Fb",
            "/static/..%2fme",
            "/static/%2e%2e/me",
            "/x%2Ecss",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/.",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%%41",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn plain_paths() {
        for path in [
            "/",
            "/me/x.css",
            "/a/",
            "/a/..b/c..",
            "/a/.well-known",
            "/%C3%A9",
            "/a%20b",
            "/a%25b",
            "/a:b@c,d+e",
        ] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }
}
