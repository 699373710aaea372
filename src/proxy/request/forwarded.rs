//! What the gateways in front say of a request, by `X-Forwarded-*` and `Forwarded` (RFC 7239): whether they are
//! believed, and what they say.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use http::request::Parts;

use super::admit::{self, Admitted};
use super::override_names::kind_of;
use super::present::Present;
use crate::config::{Listen, Networks, UntrustedForwarded};
use crate::http_cache::remove;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The fields of which one may be such.
const FAMILY: Present = Present::FORWARDED_FOR
    .or(Present::SCHEME)
    .or(Present::TARGET);

/// Whether what the sender says of the request is believed. If so the host may be the one that it says; if not
/// its word may be taken out of the request.
pub(in crate::proxy) fn settle(
    listen: &Listen,
    sender: IpAddr,
    parts: &mut Parts,
    admitted: &mut Admitted,
) -> bool {
    if !admitted.present.has(FAMILY) {
        return false;
    }
    let is_believed = listen.trusted_proxies.contain(sender);
    if is_believed {
        adopt_host(listen, parts, admitted);
    } else if listen.untrusted_forwarded == UntrustedForwarded::Drop {
        remove(&mut parts.headers, |name| is_of_family(name.as_str()));
        admitted.present = Present::among(&parts.headers);
    }
    is_believed
}

/// Takes the host from what a believed sender says, if it is to be.
pub(super) fn adopt_host(listen: &Listen, parts: &Parts, admitted: &mut Admitted) {
    if listen.forwarded_host
        && let Some(host) = host(&parts.headers)
    {
        admitted.host = host;
    }
}

/// Those of `X-Forwarded-*` that say what was asked for or by whom, and `Forwarded`. Who the user is, which
/// some gateways say by `X-Forwarded-User`, is of another kind.
fn is_of_family(name: &str) -> bool {
    let name = name.replace('_', "-");
    match name.strip_prefix("x-forwarded-") {
        Some("for" | "proto") => true,
        Some(_) => kind_of(&name).is_some(),
        None => name == FORWARDED.as_str(),
    }
}

/// The scheme by which the client came: that of the first gateway.
pub(super) fn scheme(fields: &HeaderMap) -> Option<&'static str> {
    let first = first_of_list(fields, &FORWARDED_PROTO);
    let said = first.or_else(|| first_of_pairs(fields, b"proto"))?;
    ["https", "http"]
        .into_iter()
        .find(|scheme| said.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// The host that the client asked for.
fn host(fields: &HeaderMap) -> Option<String> {
    let first = first_of_list(fields, &FORWARDED_HOST);
    let said = first.or_else(|| first_of_pairs(fields, b"host"))?;
    admit::checked(std::str::from_utf8(said).ok()?).ok()
}

/// The client: of those on the way, the last one that is no trusted gateway. `sender` is one.
pub(super) fn client(fields: &HeaderMap, trusted: &Networks, sender: IpAddr) -> IpAddr {
    let mut hops: Vec<&[u8]> = fields
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .collect();
    if hops.is_empty() {
        let named = |(name, value): (&[u8], _)| name.eq_ignore_ascii_case(b"for").then_some(value);
        let lines = fields.get_all(FORWARDED).iter();
        hops = lines
            .flat_map(|line| pairs(line.as_bytes()))
            .filter_map(named)
            .collect();
    }
    let mut last = sender;
    for hop in hops.into_iter().rev() {
        // Whoever wrote something else, what stands before it is nobody's word.
        let Some(address) = address(hop) else { break };
        last = address;
        if !trusted.contain(address) {
            break;
        }
    }
    last
}

/// An address as these fields have it, perhaps with a port (RFC 7239 §6).
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim().trim_matches('"');
    let text = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}

fn first_of_list<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f [u8]> {
    let list = fields.get(name)?.as_bytes();
    let first = list.split(|byte| *byte == b',').next()?.trim_ascii();
    (!first.is_empty()).then_some(first)
}

fn first_of_pairs<'f>(fields: &'f HeaderMap, wanted: &[u8]) -> Option<&'f [u8]> {
    let mut pairs = fields
        .get_all(FORWARDED)
        .iter()
        .flat_map(|line| pairs(line.as_bytes()));
    let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value)
}

/// The pairs of a line of `Forwarded`, without quotes; what is no pair has no name. Blanks around `=` are not
/// allowed there, and read over by some parsers: so they are here.
pub(super) fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = line.split(|byte| matches!(byte, b',' | b';'));
    pairs.map(<[u8]>::trim_ascii).map(|pair| {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            return (&pair[..0], pair);
        };
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value).trim_ascii();
        (name, value)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Field = (&'static str, &'static str);

    fn map(rows: &[Field]) -> HeaderMap {
        let fields = rows.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    #[test]
    fn who_the_client_is() {
        const FOR: &str = "x-forwarded-for";
        let rows: &[(&str, &[Field], &str)] = &[
            ("nothing said", &[], "10.0.0.1"),
            ("one", &[(FOR, "203.0.113.9")], "203.0.113.9"),
            ("forged", &[(FOR, "1.1.1.1, 203.0.113.9")], "203.0.113.9"),
            (
                "a gateway between",
                &[(FOR, "203.0.113.9, 10.0.0.2")],
                "203.0.113.9",
            ),
            (
                "several lines",
                &[(FOR, "1.1.1.1"), (FOR, "203.0.113.9,10.0.0.2")],
                "203.0.113.9",
            ),
            ("only gateways", &[(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("no address", &[(FOR, "203.0.113.9, unknown")], "10.0.0.1"),
            ("a port", &[(FOR, "203.0.113.9:4711")], "203.0.113.9"),
            ("IPv6", &[(FOR, "2001:db8::7")], "2001:db8::7"),
            (
                "IPv6 and a port",
                &[(FOR, "[2001:db8::7]:4711")],
                "2001:db8::7",
            ),
            (
                "RFC 7239",
                &[(
                    "forwarded",
                    "for=1.1.1.1, for=\"[2001:db8::7]:1\";proto=http, For=10.0.0.2",
                )],
                "2001:db8::7",
            ),
            (
                "both",
                &[("forwarded", "for=1.1.1.1"), (FOR, "203.0.113.9")],
                "203.0.113.9",
            ),
        ];
        let trusted: Networks = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
        for (name, fields, expected) in rows {
            let client = client(&map(fields), &trusted, [10, 0, 0, 1].into());
            assert_eq!(client.to_string(), *expected, "{name}");
        }
    }

    #[test]
    fn scheme_and_host_are_those_of_the_first_gateway() {
        let rows = [
            (("x-forwarded-proto", "HTTPS, http"), (Some("https"), None)),
            (("x-forwarded-proto", "wss"), (None, None)),
            (
                ("x-forwarded-host", "Shop.example, in.example"),
                (None, Some("shop.example")),
            ),
            (("x-forwarded-host", "a/b"), (None, None)),
            (
                (
                    "forwarded",
                    "for=1.1.1.1;host=\"shop.example:1\";proto=https, host=in;proto=http",
                ),
                (Some("https"), Some("shop.example:1")),
            ),
        ];
        for (field, (expected_scheme, expected_host)) in rows {
            let fields = map(&[field]);
            assert_eq!(scheme(&fields), expected_scheme, "{field:?}");
            assert_eq!(host(&fields).as_deref(), expected_host, "{field:?}");
        }
    }

    #[test]
    fn what_is_taken_out() {
        for (name, expected) in [
            ("forwarded", true),
            ("x-forwarded-for", true),
            ("x-forwarded-proto", true),
            ("x-forwarded-host", true),
            ("x-forwarded-port", true),
            ("x-forwarded-prefix", true),
            ("x-forwarded-ssl", true),
            ("x_forwarded_for", true),
            ("x-forwarded-user", false),
            ("x-forwarded-email", false),
            ("x-real-ip", false),
            ("x-original-url", false),
            ("host", false),
        ] {
            assert_eq!(is_of_family(name), expected, "{name}");
        }
    }
}
