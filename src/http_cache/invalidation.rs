//! Invalidating stored responses (RFC 9111 §4.4).

use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, Method, StatusCode};

/// Methods registered as safe; all others, unknown ones above all, are not.
const SAFE: [&str; 7] = [
    "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH",
];

/// Whether `method` is one whose success invalidates its target: every method not known to be safe.
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    // §4.4: a "non-error response" is 2xx or 3xx.
    !SAFE.contains(&method.as_str()) && (status.is_success() || status.is_redirection())
}

/// The further paths (with query) to invalidate: `Location` and `Content-Location` of the same origin.
///
/// `scheme`, `host` (with its port unless that is the scheme's own; empty: no absolute reference
/// matches) and `path_and_query` are the request's.
pub fn further_targets(
    scheme: &str,
    host: &str,
    path_and_query: &str,
    response: &HeaderMap,
) -> Vec<String> {
    let mut targets = Vec::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for line in response.get_all(name) {
            let reference = line.to_str().unwrap_or_default().trim();
            if let Some(target) = same_origin(scheme, host, path_and_query, reference)
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
    }
    targets
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
    let (path, query) = base.split_once('?').unwrap_or((base, ""));
    let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
    match reference.bytes().next() {
        // The request's own target, invalidated already.
        None => None,
        Some(b'/') => target(reference),
        Some(b'?') => target(&format!("{path}{reference}")),
        Some(_) => target(&format!("{directory}{reference}")),
    }
    .filter(|found| *found != with_query(path, query))
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
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
    let ours: Authority = host.parse().ok()?;
    let theirs = uri.authority()?;
    let same = uri.scheme_str()?.eq_ignore_ascii_case(scheme)
        && theirs.host().eq_ignore_ascii_case(ours.host())
        && port(scheme, theirs) == port(scheme, &ours)
        && !theirs.as_str().contains('@');
    if !same {
        return None;
    }
    target(uri.path_and_query().map_or("/", PathAndQuery::as_str))
}

fn port(scheme: &str, authority: &Authority) -> Option<u16> {
    authority.port_u16().or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
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
