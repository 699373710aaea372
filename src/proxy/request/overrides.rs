//! Fields with which a request says another target, scheme or meaning than its request line: what the key
//! does not carry must not change the answer (reliability.md K4, R6).

use std::ops::ControlFlow;

use http::header::{CONNECTION, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::RequestContext;
use super::forwarded;
use super::override_names::{Override, kind_of};
use super::present::Present;
use crate::proxy::hop_by_hop::connection_options;
use crate::routes::KeyedCredentials;

const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// More of them than any gateway says is nobody's variant.
const MAX_SELECTING: usize = 1024;

/// A field of the request that may change the answer in a way that neither key nor selector knows; such a
/// GET passes.
pub fn find_unkeyed(context: &RequestContext, keyed: &KeyedCredentials) -> Option<HeaderName> {
    match each_unkeyed(context, keyed, ControlFlow::Break) {
        ControlFlow::Break(name) => Some(name),
        ControlFlow::Continue(()) => None,
    }
}

/// All such fields, each once.
pub fn all_unkeyed(context: &RequestContext, keyed: &KeyedCredentials) -> Vec<HeaderName> {
    let mut names = Vec::new();
    let _ = each_unkeyed(context, keyed, |name| {
        if !names.contains(&name) {
            names.push(name);
        }
        ControlFlow::Continue(())
    });
    names
}

/// Gives `found` each such field, as long as it wants to go on.
fn each_unkeyed(
    context: &RequestContext,
    keyed: &KeyedCredentials,
    mut found: impl FnMut(HeaderName) -> ControlFlow<HeaderName>,
) -> ControlFlow<HeaderName> {
    let RequestContext {
        parts,
        present,
        live,
        ..
    } = context;
    let fields = &parts.headers;
    for name in &live.config.defaults.unsafe_headers {
        if fields.contains_key(name) && !keyed.has_header(name) {
            found(name.clone())?;
        }
    }
    if present.has(Present::TARGET) {
        let mut room = MAX_SELECTING;
        for (name, kind, value) in overriding(context, keyed) {
            room = room.saturating_sub(value.len() + 1);
            if room == 0 || !selects(context, name, kind, value) {
                found(name.clone())?;
            }
        }
    }
    if present.has(Present::SCHEME)
        && has_unknown_scheme(fields)
        && !is_list_of_schemes(fields, context.is_believed)
    {
        found(FORWARDED_PROTO)?;
    }
    if present.has(Present::CONNECTION) && strips_a_field(fields) {
        found(CONNECTION)?;
    }
    ControlFlow::Continue(())
}

/// What selects among the key's answers beside host, scheme and path: what gateways say that is not what the request
/// says. The app may answer by any of it, so each value has its own answer (reliability.md K4). Empty usually.
pub(super) fn selecting(
    context: &RequestContext,
    keyed: &KeyedCredentials,
    any_host: bool,
) -> String {
    let mut selecting = String::new();
    let (fields, present) = (&context.parts.headers, context.present);
    if present.has(Present::TARGET) {
        for (name, kind, value) in overriding(context, keyed) {
            match kind {
                Override::Host if any_host => {}
                Override::Forwarded => {
                    let pairs = forwarded::pairs(value);
                    for (name, value) in pairs.filter(|pair| tells(pair, any_host)) {
                        push(&mut selecting, &name.to_ascii_lowercase(), value);
                    }
                }
                _ => push(&mut selecting, name.as_str().as_bytes(), value),
            }
        }
    }
    if present.has(Present::SCHEME) && has_unknown_scheme(fields) {
        for line in fields.get_all(FORWARDED_PROTO) {
            push(&mut selecting, b"x-forwarded-proto", line.as_bytes());
        }
    }
    if !context.is_believed {
        return selecting;
    }
    let host = fields.get(HOST).map(HeaderValue::as_bytes);
    // The app sees it as well.
    if let Some(host) = host
        && !any_host
        && !host.eq_ignore_ascii_case(context.host.as_bytes())
    {
        push(&mut selecting, b"host", host);
    }
    selecting
}

/// What of `Forwarded` tells requests apart, and not who sent them.
fn tells((name, _): &(&[u8], &[u8]), any_host: bool) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    !(is(b"for") || is(b"by") || any_host && is(b"host"))
}

/// A line of its own, which no field's value can hold.
fn push(selecting: &mut String, name: &[u8], value: &[u8]) {
    selecting.push('\n');
    for byte in name.iter().chain(b"=").chain(value) {
        match byte {
            b' '..=b'~' if *byte != b'\\' => selecting.push(char::from(*byte)),
            // So that no two values look alike.
            other => selecting.push_str(&format!("\\{other:02x}")),
        }
    }
}

/// Whether a field that overrides the request is taken into the selector: what a trusted gateway says of the
/// client's request, and fields of which the config says that a gateway sets them. And, whoever says it, what networks in
/// front say of the scheme, and the scheme's own port, since these are few values.
fn selects(context: &RequestContext, name: &HeaderName, kind: Override, value: &[u8]) -> bool {
    let trusted = &context.live.config.defaults.trusted_identity;
    let is_single = || is_single(&context.parts.headers, name);
    match kind {
        Override::SchemeOfNetwork if scheme_of_network(value).is_some() && is_single() => true,
        // A gateway in a container says its own port of each request, whichever that is mapped to.
        Override::Port if *name == FORWARDED_PORT => {
            context.is_believed
                || trusted.contains(name)
                || value == usual_port(context.scheme()).as_bytes() && is_single()
        }
        Override::Always => trusted.contains(name),
        _ => context.is_believed || trusted.contains(name),
    }
}

/// Fields that override the target, or that disagree with the host and the scheme, which the key or the
/// selector has: gateways add such to every request.
fn overriding<'c>(
    context: &'c RequestContext,
    keyed: &'c KeyedCredentials,
) -> impl Iterator<Item = (&'c HeaderName, Override, &'c [u8])> {
    let is_https = context.scheme() == "https";
    let target = context.parts.uri.path_and_query();
    let expected = Expected {
        target: target.map_or("", |target| target.as_str()),
        host: &context.host,
        scheme: context.scheme(),
        is_https,
    };
    let all = &context.parts.headers;
    let fields = context.parts.headers.iter();
    // Next.js sends it with each request for data, which such a path is for by itself.
    let is_for_data = context.parts.uri.path().starts_with("/_next/data/");
    let fields = fields.filter(move |(name, _)| !(is_for_data && *name == "x-nextjs-data"));
    fields.filter_map(move |(name, value)| {
        let (kind, value) = (kind_of(name.as_str())?, value.as_bytes());
        // Read as another name by some apps alone, so nobody can say whether it agrees.
        let is_doubtful = name.as_str().contains('_');
        // Lines of one name are a list to most apps, which is no host and no port; elements of `Forwarded` are one anyway.
        let is_one = kind == Override::Forwarded || is_single(all, name);
        let overrides = is_doubtful || !is_one || !expected.agrees(name, kind, value);
        (overrides && !keyed.has_header(name)).then_some((name, kind, value))
    })
}

/// As Cloudflare's `CF-Visitor` and `Fastly-SSL` have it; `None`: no network says so.
fn scheme_of_network(value: &[u8]) -> Option<&'static str> {
    match value {
        br#"{"scheme":"https"}"# | b"1" => Some("https"),
        br#"{"scheme":"http"}"# => Some("http"),
        _ => None,
    }
}

fn is_single(fields: &HeaderMap, name: &HeaderName) -> bool {
    fields.get_all(name).iter().nth(1).is_none()
}

fn usual_port(scheme: &str) -> &'static str {
    if scheme == "https" { "443" } else { "80" }
}

/// What gateways in front of Pannier say, if they say what the request says. Apps compare in their own ways, so only the
/// one spelling counts that all take for that: another might be no host, or no TLS, to some.
struct Expected<'c> {
    target: &'c str,
    /// In lower case, as the app gets it.
    host: &'c str,
    scheme: &'c str,
    is_https: bool,
}

impl Expected<'_> {
    fn agrees(&self, name: &HeaderName, kind: Override, value: &[u8]) -> bool {
        let is = |text: &str| value == text.as_bytes();
        match kind {
            // The target itself, as gateways add it to every request (`X-Original-URI: $request_uri`).
            Override::Always => !value.is_empty() && is(self.target),
            Override::Told => false,
            Override::Host => is(self.host),
            Override::Scheme => is(self.scheme),
            Override::SchemeOfNetwork => scheme_of_network(value) == Some(self.scheme),
            Override::Tls => is(self.tls(name)),
            Override::Port => is(port_of(self.host).unwrap_or(usual_port(self.scheme))),
            Override::Forwarded => self.forwarded_agrees(value),
        }
    }

    fn tls(&self, name: &HeaderName) -> &'static str {
        match (name.as_str(), self.is_https) {
            // WebLogic's.
            ("wl-proxy-ssl", true) => "true",
            ("wl-proxy-ssl", false) => "false",
            (_, true) => "on",
            (_, false) => "off",
        }
    }

    /// RFC 7239 §5.3 and §5.4: the host and the scheme that gateways saw.
    fn forwarded_agrees(&self, line: &[u8]) -> bool {
        forwarded::pairs(line).all(|(name, value)| {
            if name.eq_ignore_ascii_case(b"host") {
                value == self.host.as_bytes()
            } else {
                !name.eq_ignore_ascii_case(b"proto") || value == self.scheme.as_bytes()
            }
        })
    }
}

/// The port that a host names, if it does.
fn port_of(host: &str) -> Option<&str> {
    let (_, port) = host.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then_some(port)
}

/// Anything but one of the two schemes. What no gateway sends would be a variant of its own, and there is room for few.
fn has_unknown_scheme(headers: &HeaderMap) -> bool {
    let mut schemes = headers.get_all(FORWARDED_PROTO).iter();
    let known = schemes
        .next()
        .is_none_or(|scheme| matches!(scheme.as_bytes(), b"http" | b"https"));
    !known || schemes.next().is_some()
}

/// What gateways behind each other make. Of anybody's lists there are few, so that nobody fills the room for variants
/// with them; of a trusted gateway's any that is no longer than such are.
fn is_list_of_schemes(headers: &HeaderMap, is_believed: bool) -> bool {
    const LONGEST: usize = 64;
    const MOST: usize = 3;
    let mut lines = headers.get_all(FORWARDED_PROTO).iter();
    if is_believed {
        return lines.map(HeaderValue::len).sum::<usize>() <= LONGEST;
    }
    let (Some(list), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let mut schemes = list.as_bytes().split(|byte| *byte == b',');
    schemes.clone().count() <= MOST
        && schemes.all(|scheme| {
            let scheme = scheme.strip_prefix(b" ").unwrap_or(scheme);
            matches!(scheme, b"http" | b"https")
        })
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
