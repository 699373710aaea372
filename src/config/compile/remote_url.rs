//! URLs that Pannier itself asks.

use http::Uri;
use http::uri::PathAndQuery;

use super::upstream::with_port;
use crate::config::{RemoteUrl, Target};

/// What is wrong with a URL, and what to write.
pub(super) type UrlFault = (String, String);

/// `example`: what may be written.
pub(super) fn parse_url(text: &str, example: &str) -> Result<RemoteUrl, UrlFault> {
    let example = || format!("write such as {example}");
    let uri: Uri = text
        .parse()
        .map_err(|_| ("it is not a URL".to_owned(), example()))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(("it has no scheme".to_owned(), example()));
    };
    if authority.as_str().contains('@') {
        let what = "a user or password in it would not be sent".to_owned();
        return Err((what, "leave out what stands before the @".to_owned()));
    }
    let target = match scheme {
        "https" => Target::Https(with_port(authority, 443)?),
        "http" => Target::Http(with_port(authority, 80)?),
        _ => return Err((format!("{scheme}:// is not supported"), example())),
    };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // RFC 9110 §4.2.3: an empty path is the same as `/`, and no request line can be without one.
    let path = match path.strip_prefix('?') {
        Some(query) => format!("/?{query}"),
        None => path.to_owned(),
    };
    Ok(RemoteUrl {
        target,
        host: authority.to_string(),
        path,
        ca_file: None,
    })
}
