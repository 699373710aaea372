//! Fields with which a request says another target, scheme or meaning than its request line: what the key
//! does not carry must not change the answer (reliability.md K4, R6).

use http::header::{CONNECTION, TE, UPGRADE};
use http::{HeaderMap, HeaderName};

use super::context::RequestContext;
use super::override_names::{Override, kind_of};
use super::present::Present;
use crate::proxy::hop_by_hop::connection_options;
use crate::routes::KeyedCredentials;

/// A field of the request that may change the answer in a way that neither key nor selector knows; such a
/// GET passes.
pub fn find_unkeyed(context: &RequestContext, keyed: &KeyedCredentials) -> Option<HeaderName> {
    let RequestContext {
        parts,
        present,
        live,
        ..
    } = context;
    let fields = &parts.headers;
    let unsafe_headers = &live.config.defaults.unsafe_headers;
    let named = unsafe_headers
        .iter()
        .find(|name| fields.contains_key(*name) && !keyed.has_header(name));
    if let Some(name) = named {
        return Some(name.clone());
    }
    if present.has(Present::TARGET)
        && let Some(name) = find_override(context, keyed)
    {
        return Some(name.clone());
    }
    if present.has(Present::SCHEME) && has_unknown_scheme(fields) {
        return Some(HeaderName::from_static("x-forwarded-proto"));
    }
    let strips = present.has(Present::CONNECTION) && strips_a_field(fields);
    strips.then_some(CONNECTION)
}

/// A field that overrides the target, or that disagrees with the host and the scheme, which the key or the
/// selector has: gateways add such to every request.
fn find_override<'c>(
    context: &'c RequestContext,
    keyed: &KeyedCredentials,
) -> Option<&'c HeaderName> {
    let is_https = context.scheme() == "https";
    let expected = Expected {
        host: &context.host,
        scheme: context.scheme(),
        tls: if is_https { TLS } else { NO_TLS },
        port: if is_https { "443" } else { "80" },
    };
    let fields = context.parts.headers.iter();
    let mut overriding = fields.filter_map(|(name, value)| {
        let kind = kind_of(name.as_str())?;
        // Read as another name by some apps alone, so nobody can say whether it agrees.
        let is_doubtful = name.as_str().contains('_');
        let overrides = is_doubtful || !expected.agrees(kind, value.as_bytes());
        (overrides && !keyed.has_header(name)).then_some(name)
    });
    overriding.next()
}

const TLS: &[&str] = &["on", "true", "1", "yes"];
const NO_TLS: &[&str] = &["off", "false", "0", "no"];

/// What gateways in front of Pannier say, if they say what the request says.
struct Expected<'c> {
    host: &'c str,
    scheme: &'c str,
    tls: &'static [&'static str],
    port: &'static str,
}

impl Expected<'_> {
    fn agrees(&self, kind: Override, value: &[u8]) -> bool {
        let is = |text: &str| value.eq_ignore_ascii_case(text.as_bytes());
        match kind {
            Override::Always => false,
            Override::Host => is(self.host),
            Override::Scheme => is(self.scheme),
            Override::Tls => self.tls.iter().any(|word| is(word)),
            Override::Port => {
                let own = self
                    .host
                    .rsplit_once(':')
                    .map_or(self.port, |(_, port)| port);
                is(self.port) || is(own)
            }
            Override::Forwarded => self.forwarded_agrees(value),
        }
    }

    /// RFC 7239 §5.3 and §5.4: the host and the scheme that gateways saw. Blanks around `=` are not allowed
    /// there, and read over by some parsers: so they are here.
    fn forwarded_agrees(&self, line: &[u8]) -> bool {
        let pairs = line.split(|byte| matches!(byte, b',' | b';'));
        pairs.map(<[u8]>::trim_ascii).all(|pair| {
            let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
                return true;
            };
            let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value).trim_ascii();
            if name.eq_ignore_ascii_case(b"host") {
                value.eq_ignore_ascii_case(self.host.as_bytes())
            } else {
                !name.eq_ignore_ascii_case(b"proto")
                    || value.eq_ignore_ascii_case(self.scheme.as_bytes())
            }
        })
    }
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
