//! Fields with which a request says another target, scheme or meaning than its request line: what the key
//! does not carry must not change the answer (reliability.md K4, R6).

use http::header::{FORWARDED, TE, UPGRADE};
use http::{HeaderMap, HeaderName};

use super::context::RequestContext;
use super::present::Present;
use crate::proxy::hop_by_hop::connection_options;

/// Whether a field of the request may change the answer in a way that neither key nor selector knows;
/// such a GET passes.
pub(super) fn are_unkeyed(context: &RequestContext) -> bool {
    let RequestContext { parts, present, .. } = context;
    present.has(Present::TARGET) && overrides_target(context)
        || present.has(Present::SCHEME) && has_unknown_scheme(&parts.headers)
        || present.has(Present::CONNECTION) && strips_a_field(&parts.headers)
}

/// Fields that frameworks let override the target, so that the answer is not the key's
/// (reliability.md K4). Those that gateways add to every request count where they disagree with the
/// host and the scheme, which the key or the selector has.
fn overrides_target(context: &RequestContext) -> bool {
    const OVERRIDES: [HeaderName; 6] = [
        HeaderName::from_static("x-original-url"),
        HeaderName::from_static("x-rewrite-url"),
        HeaderName::from_static("x-http-method-override"),
        HeaderName::from_static("x-http-method"),
        HeaderName::from_static("x-method-override"),
        HeaderName::from_static("x-forwarded-prefix"),
    ];
    let fields = &context.parts.headers;
    let scheme = context.scheme();
    let (switch, port) = match scheme {
        "https" => ("on", "443"),
        _ => ("off", "80"),
    };
    let own_port = context.host.rsplit_once(':').map_or(port, |(_, port)| port);
    let agrees = |name: &str, allowed: &[&str]| {
        fields.get_all(name).iter().all(|value| {
            let mut allowed = allowed.iter();
            allowed.any(|allowed| value.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        })
    };
    OVERRIDES.iter().any(|name| fields.contains_key(name))
        || !agrees("x-forwarded-host", &[&context.host])
        || !agrees("x-host", &[&context.host])
        || !agrees("x-forwarded-scheme", &[scheme])
        || !agrees("x-forwarded-ssl", &[switch])
        || !agrees("x-forwarded-port", &[port, own_port])
        || !forwarded_agrees(fields, &context.host, scheme)
}

/// RFC 7239 §5.3 and §5.4: the host and the scheme that gateways saw.
fn forwarded_agrees(fields: &HeaderMap, host: &str, scheme: &str) -> bool {
    let lines = fields.get_all(FORWARDED).iter();
    let mut pairs = lines.flat_map(|line| {
        let separators = |byte: &u8| matches!(byte, b',' | b';');
        line.as_bytes().split(separators).map(<[u8]>::trim_ascii)
    });
    pairs.all(|pair| {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            return true;
        };
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        if name.eq_ignore_ascii_case(b"host") {
            value.eq_ignore_ascii_case(host.as_bytes())
        } else {
            !name.eq_ignore_ascii_case(b"proto") || value.eq_ignore_ascii_case(scheme.as_bytes())
        }
    })
}

/// A scheme that no gateway sends would be a variant of its own, and there is room for few.
fn has_unknown_scheme(headers: &HeaderMap) -> bool {
    let mut schemes = headers.get_all("x-forwarded-proto").iter();
    let known = schemes
        .next()
        .is_none_or(|scheme| matches!(scheme.as_bytes(), b"http" | b"https"));
    !known || schemes.next().is_some()
}

/// Whether `Connection` names a field that the key or `Vary` might read and the app would not see.
fn strips_a_field(fields: &HeaderMap) -> bool {
    const OF_THE_CONNECTION: [HeaderName; 5] = [
        HeaderName::from_static("close"),
        HeaderName::from_static("keep-alive"),
        UPGRADE,
        TE,
        HeaderName::from_static("http2-settings"),
    ];
    connection_options(fields)
        .any(|option| !OF_THE_CONNECTION.contains(&option) && fields.contains_key(option))
}
