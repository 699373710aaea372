//! Fidelity on the wire: what the app and its clients say to each other arrives as it was said.

mod expect;
mod fields;
mod framing;
mod interim;
mod trailers;

/// One cached page and everything else by RFC 9111.
const PAGE: &str = r#"
[[route]]
name = "page"
path = "/page"
key = "page"
any_host = true
ttl = "5m"
"#;

/// A `GET` of `path` in HTTP/1.1, with further field lines.
fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}
