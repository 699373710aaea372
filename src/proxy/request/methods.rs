//! The method of a request, and those that frameworks let it put in its place.

use http::Method;
use http::request::Parts;

/// Fields by which frameworks take a request for one of another method.
const OVERRIDING: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// The method, then those that its fields say.
pub fn methods_of(parts: &Parts) -> Vec<Method> {
    let overriding = OVERRIDING
        .iter()
        .flat_map(|name| parts.headers.get_all(*name));
    let overriding = overriding.filter_map(|method| parse(method.as_bytes()));
    std::iter::once(parts.method.clone())
        .chain(overriding)
        .collect()
}

fn parse(written: &[u8]) -> Option<Method> {
    Method::from_bytes(&written.trim_ascii().to_ascii_uppercase()).ok()
}
