//! Values that keys of several tables take.

use http::HeaderName;

use super::mistakes;
use crate::config::read::Reader;
use crate::routes::Key;

/// As long as a key may be, which mostly has the path in it.
const LONGEST_PATH: usize = Key::MAX;

/// The path of a rule; `example` is what to write instead of none.
pub(super) fn read_path(reader: &mut Reader<'_>, example: &str) -> Option<String> {
    let path = reader.required("path", example)?;
    if !path.starts_with('/') {
        reader.reject(
            "path",
            format!("\"{path}\" does not begin with /"),
            format!("write \"/{path}\""),
        );
        return None;
    }
    if path.len() > LONGEST_PATH {
        let length = path.len();
        let what = format!("it has {length} bytes, and no more than {LONGEST_PATH} are taken");
        reader.reject("path", what, example);
        return None;
    }
    if let Some((before, _)) = path.split_once('?') {
        let what = "a path has no query";
        reader.reject(
            "path",
            what,
            format!("write \"{before}\" and put {{query.name}} into the key"),
        );
        return None;
    }
    if let Some(remedy) = mistakes::without_star(&path) {
        let what = format!("the * in \"{path}\" is no wildcard");
        reader.reject("path", what, remedy);
        return None;
    }
    Some(path)
}

/// A list of names of header fields.
pub(super) fn read_header_names(reader: &mut Reader<'_>, key: &str) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (place, text) in reader.texts(key) {
        match text.parse::<HeaderName>() {
            Ok(name) => names.push(name),
            Err(_) => reader.reject_at(
                place,
                key,
                format!("\"{text}\" is not the name of a header field"),
                "write such as \"x-company-user\"",
            ),
        }
    }
    names
}

/// Whether it is the name of a cookie, or the beginning of some with a `*` behind it.
pub(super) fn names_cookies(text: &str) -> bool {
    let star_within = text.find('*').is_some_and(|star| star + 1 < text.len());
    // RFC 6265 §4.1.1: a token; brackets besides, which PHP's arrays have.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~[]:".contains(&byte);
    !star_within && !text.is_empty() && text.bytes().all(is_name)
}
