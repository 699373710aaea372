//! Invalidating stored responses (RFC 9111 §4.4).

use std::fmt::Write;

use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::origin::Origin;

/// Methods registered as safe; all others, unknown ones above all, are not.
const SAFE: [&str; 8] = [
    "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH",
];

/// Whether `method` is known to be safe (RFC 9110 §9.2.1).
pub fn is_safe(method: &Method) -> bool {
    SAFE.contains(&method.as_str())
}

/// Whether the answer invalidates its request's target: every method not known to be safe does, unless
/// it failed.
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    // §4.4: a "non-error response" is 2xx or 3xx.
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// The further paths (with query) to invalidate: `Location` and `Content-Location` of the same origin.
///
/// `scheme`, `host` (with its port, if it was given; empty: no absolute reference matches) and
/// `path_and_query` are the request's.
pub fn further_targets(
    scheme: &str,
    host: &str,
    path_and_query: &str,
    response: &HeaderMap,
) -> Vec<String> {
    let mut targets = Vec::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for line in response.get_all(name) {
            let reference = ascii(line);
            if let Some(target) = same_origin(scheme, host, path_and_query, reference.trim())
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
    }
    targets
}

/// What apps write beyond ASCII, as clients send it: percent-encoded (RFC 3987 §3.1).
fn ascii(line: &HeaderValue) -> String {
    let mut reference = String::with_capacity(line.len());
    for byte in line.as_bytes() {
        if byte.is_ascii() {
            reference.push(char::from(*byte));
        } else {
            write!(reference, "%{byte:02X}").expect("a String takes all");
        }
    }
    reference
}

/// The path and query of a reference (RFC 3986 §4.1), if it stays on the request's origin.
fn same_origin(scheme: &str, host: &str, base: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some(network) = reference.strip_prefix("//") {
        return absolute(scheme, host, &format!("{scheme}://{network}"));
    }
    if has_scheme(reference) {
        return absolute(scheme, host, reference);
    }
    let path = base.split('?').next().unwrap_or_default();
    let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
    match reference.bytes().next() {
        // The request's own target, invalidated already.
        None => None,
        Some(b'/') => target(reference),
        Some(b'?') => target(&format!("{path}{reference}")),
        Some(_) => target(&format!("{directory}{reference}")),
    }
    .filter(|found| found != base)
}

/// RFC 3986 §3.1: letters and a few others, then a colon, before any slash or query.
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

fn absolute(scheme: &str, host: &str, reference: &str) -> Option<String> {
    let uri: Uri = reference.parse().ok()?;
    let theirs = uri.authority()?.as_str();
    // RFC 9110 §4.2.4: who writes user information into a URI is not to be trusted.
    if theirs.contains('@') || Origin::of(uri.scheme_str()?, theirs)? != Origin::of(scheme, host)? {
        return None;
    }
    target(uri.path_and_query().map_or("/", PathAndQuery::as_str))
}

/// A path with its query, dot segments removed; `None` if it is none.
fn target(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query
        .split_once('?')
        .map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let mut target = without_dot_segments(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let parsed: PathAndQuery = target.parse().ok()?;
    (parsed.as_str() == target && target.starts_with('/')).then_some(target)
}

/// RFC 3986 §5.2.4.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let tail = if ends_in_directory && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{tail}", kept.join("/"))
}

#[cfg(test)]
mod tests;
