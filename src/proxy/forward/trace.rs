//! `TRACE` (RFC 9110 §9.3.8): its final recipient echoes the request, to whoever could make a browser send it, so
//! nothing that is likely to be secret is among what is echoed.

use http::HeaderMap;
use http::header::HeaderName;
use http::request::Parts;

use crate::http_cache::remove;
use crate::proxy::request::context::RequestContext;
use crate::routes::is_credential;

/// Words in the names of further fields that are likely to hold secrets.
const SECRET: [&str; 5] = ["authorization", "cookie", "token", "csrf", "xsrf"];

/// The request as it came, where it goes no further.
pub(super) fn echo(context: &RequestContext) -> Vec<u8> {
    write(&context.parts, further(context))
}

/// Takes the secrets off the `fields` of a request that the app will echo.
pub(super) fn strip_secrets(context: &RequestContext, fields: &mut HeaderMap) {
    let further = further(context);
    remove(fields, |name| is_secret(name, further));
}

/// `[defaults] credential_headers`.
fn further(context: &RequestContext) -> &[HeaderName] {
    &context.live.config.defaults.credential_headers
}

fn write(parts: &Parts, further: &[HeaderName]) -> Vec<u8> {
    let line = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version);
    let mut out = line.into_bytes();
    for (name, value) in &parts.headers {
        if !is_secret(name, further) {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Cookies, credentials by their names, and `further`.
fn is_secret(name: &HeaderName, further: &[HeaderName]) -> bool {
    let text = name.as_str();
    let is_known = is_credential(text) || SECRET.iter().any(|word| text.contains(word));
    is_known || further.contains(name)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_trace_shows_no_secrets() {
        let mut request = Request::builder()
            .method("TRACE")
            .uri("/a?b")
            .header("host", "a");
        for name in [
            "cookie",
            "cookie2",
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-company",
        ] {
            request = request.header(name, "secret");
        }
        let request = request.header("x-own", "1");
        let parts = request.body(()).unwrap().into_parts().0;
        let further = [HeaderName::from_static("x-company")];
        let text = String::from_utf8(write(&parts, &further)).unwrap();
        assert_eq!(text, "TRACE /a?b HTTP/1.1\r\nhost: a\r\nx-own: 1\r\n\r\n");
    }
}
